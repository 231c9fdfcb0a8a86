"""学習の途中の図を撮る (recording): `fit(…, record=…)`。`history.movie` で動画になる。"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from micrograd_jp.arguments import explain_all, require_function
from micrograd_jp.engine.numbers import require_count
from micrograd_jp.nn.module.evaluating import undisturbed
from micrograd_jp.training.history import History
from micrograd_jp.viz.movie import picture


@dataclass(frozen=True)
class Record:
    """何を、いつ撮るか。学習の前とエポックの終わりには、いつも撮る。

    Attributes:
        draw: モデルから図を作る関数。matplotlib の図か、`mg.draw` や `mg.viz.network` の図を返す。
        updates: エポックの途中でも、この回数の更新ごとに撮る（`None` なら撮らない）。
        frames: 残すコマの最大の数。超えると 1 つおきに捨て、間隔を 2 倍にする。最後の図は残る。

    Raises:
        TypeError: 関数でない `draw`、整数でない数。
        ValueError: 1 より小さい `updates`、3 より小さい `frames`。
    """

    draw: Callable[[Any], Any]
    updates: int | None = None
    frames: int = 120

    def __post_init__(self) -> None:
        if not callable(self.draw):
            raise TypeError(
                "record は、モデルから図を作る関数です (expected a function): "
                f"{type(self.draw).__name__} が渡されました。record=mg.viz.templates や "
                "record=lambda model: mg.viz.decision_boundary(model, data) と書いてください。"
            )
        require_function("record", self.draw, "model")
        if self.updates is not None:
            require_count("updates", self.updates)
        require_count("frames", self.frames)
        if self.frames < 3:
            raise ValueError(f"frames は 3 以上です (at least 3): {self.frames} が渡されました。")


class Recorder:
    """撮る人。撮っても、学習はビットまで変わらない。

    Args:
        record: `Record` か、図を作る関数。`None` なら何もしない。
        model: モデル。
        history: 撮ったコマを入れる記録。
    """

    def __init__(self, record: Any, model: Any, history: History) -> None:
        if record is not None and not isinstance(record, Record):
            record = Record(record)
        self.record: Record | None = record
        self.model, self.history = model, history
        self._every = 0 if record is None else record.updates or 0
        self._gap = 0

    def wants(self, update: int) -> bool:
        """エポックの途中の、この更新のあとで撮るか。"""
        return self.record is not None and self._every > 0 and update % self._every == 0

    def take(self, update: int) -> None:
        """いまの図を撮る。同じ更新では 1 度だけ。"""
        frames = self.history.frames
        if self.record is None or (frames and frames[-1][0] >= update):
            return
        with undisturbed(self.model) if hasattr(self.model, "buffers") else nullcontext():
            taken = (update, picture(self.record.draw(self.model)))
        if len(frames) > 1 and frames[-1][0] - frames[-2][0] < self._gap:
            frames.pop()  # nearer than the others are by now: it was only the last one
        frames.append(taken)
        if len(frames) > self.record.frames:
            del frames[1:-1:2]
            self._every *= 2
            self._gap = max(b - a for (a, _), (b, _) in pairwise(frames[:-1]))


explain_all(globals())
