"""チェックポイント (checkpoint): 学習のすべての状態を 1 つのファイルに。いつ止まっても続く。"""

from __future__ import annotations

import io
import math
import operator
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from micrograd_jp.arguments import explain_all
from micrograd_jp.files import only_writer
from micrograd_jp.saving import decoded, encoded, formats, save
from micrograd_jp.tensor.generator import get_rng_state
from micrograd_jp.training.history import History
from micrograd_jp.training.together import Alone

_VERSION = 1
_PARTS = {"version", "model", "optimizer", "scheduler", "data", "watch", "random", "history"}
_NEWER = {"trained", "others", "scaler"}  # which older versions did not write
_CALLED = {"scheduler": "scheduler", "watch": "early_stopping", "scaler": 'precision="16-mixed"'}


@dataclass(frozen=True)
class Checkpoint:
    """チェックポイントの場所と間隔。エポックの終わりには、いつも保存される。

    Attributes:
        path: `.safetensors` か `.npz` で終わるパス。
        seconds: エポックの途中でも、前の保存からこの秒数がたてば保存する（`None` ならしない）。
        updates: エポックの途中でも、この回数の更新ごとに保存する（`None` ならしない）。

    Raises:
        ValueError: 間隔が正の数でない、知らない拡張子。
    """

    path: Any
    seconds: float | None = 60.0
    updates: int | None = None

    def __post_init__(self) -> None:
        formats.of(Path(self.path))
        for name in ("seconds", "updates"):
            interval = getattr(self, name)
            if interval is not None and not interval > 0:
                raise ValueError(
                    f"{name} は正の数です (expected a positive number): {interval!r}。"
                )


class Session:
    """学習の状態すべて。`checkpoint` があれば、保存と再開をする。"""

    def __init__(
        self, model: Any, data: Any, optimizer: Any, scheduler: Any, watch: Any, history: History,
        checkpoint: Checkpoint | None, others: Alone, scaler: Any = None,
    ) -> None:  # fmt: skip
        self.model, self.data, self.optimizer, self.watch = model, data, optimizer, watch
        self.history, self.checkpoint, self.others = history, checkpoint, others
        self._parts: dict[str, Any] = {
            "model": model, "optimizer": optimizer, "scheduler": scheduler, "watch": watch,
            "scaler": scaler,
        }  # fmt: skip
        self.batches_done = 0  # of this epoch, for data that cannot tell their position
        self.trained = False  # whether of this epoch only the results are left
        self._resumes = hasattr(data, "state_dict")
        self._started = time.perf_counter() - history.seconds
        # What the loop asks after each update.
        self.save_at = math.inf
        self._schedule()

    def _schedule(self) -> None:
        if self.checkpoint is not None and self.checkpoint.seconds is not None:
            self.save_at = time.perf_counter() + self.checkpoint.seconds

    # ---- 状態 ----

    def state_dict(self) -> dict[str, Any]:
        """いまの状態の写し。"""
        self.clock()
        return {
            "version": _VERSION,
            **{name: None if x is None else x.state_dict() for name, x in self._parts.items()},
            "data": self.data.state_dict() if self._resumes else self.batches_done,
            "trained": self.trained,
            "random": get_rng_state(),
            **self.others.randoms(),
            "history": self.history.to_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """状態に戻す。すべてを確かめるまで、何も変えない。

        Raises:
            ValueError: 学習の状態でない、または、モデルなどが保存したときと違う。
        """
        try:
            loads = self._loads(state)
        except (TypeError, LookupError, AttributeError, ArithmeticError) as error:
            raise ValueError(
                "チェックポイントの中身が、この学習に合いません (unsuitable checkpoint): "
                f"{error}。別のパスを使うか、resume=False としてください。"
            ) from error
        before = self._loads(self.state_dict())
        try:
            for put_in in loads:
                put_in()
        except BaseException:  # of somebody else's part, which could not be asked before
            for put_back in before:
                put_back()
            raise
        self._started = time.perf_counter() - self.history.seconds

    def _loads(self, state: Mapping[str, Any]) -> list[Callable[[], Any]]:
        if not isinstance(state, Mapping) or set(state) - _NEWER != _PARTS:
            raise ValueError(
                "学習のチェックポイントではありません (not a checkpoint of fit): 別のパスを"
                "使うか、resume=False としてください。"
            )
        if state["version"] != _VERSION:
            raise ValueError(
                f"知らない版のチェックポイントです (unknown version): {state['version']!r}。"
            )
        for name, shown in _CALLED.items():
            if (self._parts[name] is None) != (state.get(name) is None):
                raise ValueError(
                    f"{shown} の有無が、チェックポイントと違います ({shown} mismatch): "
                    "保存したときと同じ引数で呼ぶか、resume=False としてください。"
                )
        history = History.from_dict(state["history"])
        parts = {**self._parts, "data": self.data if self._resumes else None}
        loads = [_loading(x, state[name]) for name, x in parts.items() if x is not None]
        if not self._resumes:
            done = operator.index(state["data"])
            loads.append(lambda: setattr(self, "batches_done", done))
        trained = state.get("trained", False)
        if trained not in (False, True):
            raise ValueError(
                f"チェックポイントの trained が違います (expected a bool): {trained!r}。"
            )
        loads.append(lambda: setattr(self, "trained", trained))
        loads.append(self.others.setting_random(state))
        loads.append(lambda: vars(self.history).update(vars(history)))
        return loads

    def resume(self) -> None:
        """チェックポイントがあれば、その状態に戻す。合わなければ、何も変えない。

        Raises:
            LoadError: ファイルが壊れている。
            ValueError: モデルなどが保存したときと違う。
        """
        if self.checkpoint is None:
            return
        path, contents = Path(self.checkpoint.path), b""
        if self.others.first and path.exists():
            contents = path.read_bytes()
        if contents := self.others.contents(contents):
            self.load_state_dict(decoded(io.BytesIO(contents), path))

    def clock(self) -> None:
        """かかった秒数を記録する。"""
        self.history.seconds = time.perf_counter() - self._started

    # ---- 保存 ----

    def due(self, updates: int) -> bool:
        """この回数の更新を終えたところで、保存すべきか。"""
        every = None if self.checkpoint is None else self.checkpoint.updates
        return every is not None and updates % every == 0

    def save(self) -> None:
        """チェックポイントを書く。"""
        if self.checkpoint is not None:
            self._write(self.state_dict())
            self._schedule()

    def _write(self, state: Any) -> None:
        if self.checkpoint is not None and self.others.first:
            save(state, self.checkpoint.path)

    @contextmanager
    def end_of_epoch(self) -> Iterator[None]:
        """この中で例外が出ても、学習したエポックは失われない: 再開すると、この中だけをやり直す。"""
        self.trained = True
        before = None if self.checkpoint is None else self.state_dict()
        try:
            yield
        except Exception:
            self._write(before)
            raise
        self.trained = False

    def rehearse(self) -> None:
        """書けないものがあれば、学習を始める前に断る。何も書かない。

        Raises:
            TypeError, ValueError, ImportError: `save` と同じ。
        """
        if self.checkpoint is None:
            return
        for name, part in self._parts.items():
            if part is not None and not hasattr(part, "state_dict"):
                raise TypeError(
                    f"チェックポイントには {name} の state_dict() と load_state_dict() が要ります "
                    f"(cannot be saved): {type(part).__name__} にはありません。"
                )
        encoded(self.state_dict(), Path(self.checkpoint.path))

    def alone(self) -> AbstractContextManager[None]:
        """この中では、ほかのプロセスの `fit` は、同じチェックポイントに書けない。"""
        if self.checkpoint is None or not self.others.first:
            return nullcontext()
        return only_writer(Path(os.path.realpath(self.checkpoint.path)))


def _loading(part: Any, state: Any) -> Callable[[], Any]:
    """What loads the state into the part. If it is ours, all is found to fit before."""
    if type(part).load_state_dict.__module__.startswith("micrograd_jp."):
        load: Callable[[], Any] = part._loading(state)
        return load
    return lambda: part.load_state_dict(state)


explain_all(globals())
