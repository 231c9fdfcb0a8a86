"""ほかのプロセスと一緒に学習する: 同じ始まり、勾配の平均、同じ判断。1 つだけなら、何もしない。

どのプロセスも自分の見本で勾配を計算し、1 更新に 1 度、平らな配列 1 つの和を求める。その配列には、
勾配のほかに、プロセス 0 のバッファ（バッチ正規化の移動平均など）と、プロセスごとの見出し（見本の
数、損失、保存したいか、止めたいか）が入っている。だから、食い違いは、重みを変える前に、全員が気づく。
"""

from __future__ import annotations

import json
import math
import warnings
import zlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from micrograd_jp import namespace
from micrograd_jp.arguments import explain_all
from micrograd_jp.data import DataLoader
from micrograd_jp.distributed import DistributedError, barrier
from micrograd_jp.distributed.collectives import (
    bytes_of_first,
    combined,
    distributed_from,
    gathered,
    gathered_bytes,
    require_same,
)  # fmt: skip
from micrograd_jp.engine.value import Value
from micrograd_jp.environment import processes, require_joined
from micrograd_jp.graph.leaves import gradients_of, set_gradients
from micrograd_jp.graph.node import data_of
from micrograd_jp.optim.optimizer import parameters_of
from micrograd_jp.tensor.generator import (
    generator,
    get_rng_state,
    set_rng_state,
    setting_rng_state,
)  # fmt: skip
from micrograd_jp.training.evaluation import size_of

_ROWS, _LOSS, _SAVE, _STOP, _MARK, _SLOTS = range(6)


class Alone:
    """1 つのプロセスの学習。

    Args:
        wishes: いま保存したいか、止めたいか。
    """

    first = True
    """チェックポイントと表示をする 1 つか。"""
    blame = ""
    """直前の損失が有限でないのがほかのプロセスなら、それを言う文。"""

    def __init__(self, wishes: Callable[[], tuple[bool, bool]]) -> None:
        self._wishes = wishes

    def begin(self, what: str) -> None:
        """始まりを揃える。"""

    def average(self, window: Sequence[Any], total: float) -> float:
        """勾配とバッファを全員のものにする。全員の損失の平均を返す。"""
        return total

    def ended(self) -> None:
        """このプロセスの、このエポックのミニバッチが終わった。"""

    def decided(self) -> tuple[bool, bool]:
        """保存するか、止めるか。"""
        return self._wishes()

    def agreed(self, number: int) -> int:
        """全員の数の最大。"""
        return number

    def results(self, *numbers: float | None) -> tuple[float | None, ...]:
        """プロセス 0 の数。"""
        return numbers

    def contents(self, contents: bytes) -> bytes:
        """プロセス 0 のバイト列。"""
        return contents

    def randoms(self) -> dict[str, Any]:
        """ほかのプロセスの乱数の状態を、チェックポイントの項目として。"""
        return {}

    def setting_random(self, state: Any) -> Callable[[], None]:
        """チェックポイントから、このプロセスの乱数の状態に戻す関数。"""
        return setting_rng_state(state["random"])

    def close(self) -> None:
        """学習の終わりを揃える。"""


class Together(Alone):
    """いくつものプロセスの 1 つの学習。

    Args:
        model: モデル。
        optimizer: 最適化手法。
        wishes: いま保存したいか、止めたいか。
    """

    def __init__(self, model: Any, optimizer: Any, wishes: Callable[[], tuple[bool, bool]]) -> None:
        super().__init__(wishes)
        self.first, self._optimizer = processes.rank == 0, optimizer
        parameters = parameters_of(optimizer)
        self._tensors = [p for p in parameters if not isinstance(p, Value)]
        self._values = [p for p in parameters if isinstance(p, Value)]
        self._buffers = list(model.buffers()) if hasattr(model, "buffers") else []
        self._moving = [b for b in self._buffers if b.dtype.kind in "fV"]
        kinds = {p.dtype for p in (*self._tensors, *self._moving)}
        if any(kind.kind == "c" for kind in kinds):
            raise TypeError(
                "複素数のパラメータは、いくつものプロセスでは学習できません (complex parameters): "
                "1 つのプロセスで学習してください。"
            )
        wide = self._values or any(kind.itemsize > 4 for kind in kinds)
        self._kind = np.dtype(np.float64 if wide else np.float32)
        self._saves = self._stops = False
        self._met = False

    def begin(self, what: str) -> None:
        """同じものを学習することを確かめ、プロセス 0 の重みとバッファから始め、乱数を分ける。"""
        shapes = [(tuple(p.shape), str(p.dtype)) for p in (*self._tensors, *self._buffers)]
        options = [
            {name: x for name, x in group.items() if name != "params"}
            for group in self._optimizer.param_groups
        ]
        rule = type(self._optimizer).__name__
        mark = zlib.crc32(repr((shapes, rule, options)).encode())
        require_same(
            f"fit({what}, パラメータ {len(self._tensors) + len(self._values)} 個 {mark:08x})"
        )
        for t in (*self._tensors, *self._buffers):
            t.data = distributed_from(t._data, 0)
        if self._values:
            numbers = distributed_from(np.array([v._data for v in self._values]), 0)
            for v, number in zip(self._values, numbers.tolist()):
                v.data = number
        # The weights are one, what is dropped is not.
        drawn = np.array([generator().integers(2**63)])
        seed = int(distributed_from(drawn, 0)[0])
        if not self.first:
            state = np.random.default_rng((seed, processes.rank)).bit_generator.state
            set_rng_state({**get_rng_state(), "numpy": state})

    def average(self, window: Sequence[Any], total: float) -> float:
        """勾配の平均と、損失の平均。

        Raises:
            DistributedError: 見本の数が、プロセスで違う。このとき重みは変わっていない。
        """
        given = gradients_of(self._tensors)
        parts = [
            np.zeros(t.size) if g is None else np.asarray(data_of(g)).reshape(-1)
            for t, g in zip(self._tensors, given)
        ]
        counts = np.array([g is not None for g in given])
        parts += [np.array([v.grad for v in self._values]), counts]
        parts += [
            np.asarray(b._data).reshape(-1) if self.first else np.zeros(b.size)
            for b in self._moving
        ]
        saves, stops = self._wishes()
        heads = np.zeros((processes.count, _SLOTS), self._kind)
        mark = 0 if self._met or not window else _mark(window[0])
        heads[processes.rank] = sum(map(size_of, window)), total, saves, stops, mark
        flat = np.concatenate([*parts, heads.reshape(-1)], dtype=self._kind, casting="unsafe")
        with np.errstate(all="ignore"):
            found = combined(flat, "sum")
            heads = found[-heads.size :].reshape(heads.shape)
            total = self._read(heads, total)
            gradients = sum(t.size for t in self._tensors) + len(self._values)
            found[:gradients] /= processes.count
        self._put(found)
        return total

    def _read(self, heads: Any, total: float) -> float:
        """What the others say. Returns the mean of the losses."""
        rows = heads[:, _ROWS].astype(int).tolist()
        if len(set(rows)) > 1:
            shown = "、".join(f"プロセス {k}: {n}" for k, n in enumerate(rows[:16]))
            raise DistributedError(
                "ミニバッチの見本の数が、プロセスで違います (different numbers of rows): "
                f"{shown}（0 は、もうミニバッチがない）。平均が偏るので、重みを変えずに止めます。"
                "DataLoader(…, distributed=True) なら、どのプロセスでも同じ数になります。"
            )
        self._saves, self._stops = bool(heads[0, _SAVE]), bool(heads[:, _STOP].any())
        marks = heads[:, _MARK]
        if not self._met and self.first and rows[0] and (marks == marks[0]).all():
            warnings.warn(
                "最初のミニバッチが、どのプロセスでも同じです (every process has the same data): "
                "DataLoader(…, distributed=True) とすると、分け合います。",
                UserWarning,
                stacklevel=2,
            )
        self._met = True
        losses = heads[:, _LOSS].tolist()
        self.blame = ""
        bad = [k for k, loss in enumerate(losses) if not math.isfinite(loss)]
        if bad and math.isfinite(total):
            self.blame = (
                f"プロセス {bad[0]} の損失が {losses[bad[0]]} になりました (non-finite loss in "
                f"process {bad[0]})。原因は、そのプロセスのエラーにあります。重みは前のままです。"
            )
        return math.fsum(losses) / len(losses) if not bad else math.nan

    def _put(self, found: Any) -> None:
        """Hand out the flat means: gradients, which exist where anyone has one, and buffers."""
        place = 0

        def following(n: int) -> Any:
            nonlocal place
            place += n
            return found[place - n : place]

        pieces = [following(t.size) for t in self._tensors]
        for v, g in zip(self._values, following(len(self._values)).tolist()):
            v.grad = g
        there = following(len(self._tensors)) > 0
        means = [_like(t, x) if has else None for t, x, has in zip(self._tensors, pieces, there)]
        set_gradients(self._tensors, means)
        for b in self._moving:
            b.data = _like(b, following(b.size))

    def ended(self) -> None:
        """ほかのプロセスも終わったことを確かめる。"""
        kept = gradients_of(self._tensors)
        set_gradients(self._tensors, [None] * len(kept))
        numbers = [v.grad for v in self._values]
        self.average((), 0.0)
        set_gradients(self._tensors, kept)
        for v, g in zip(self._values, numbers):
            v.grad = g

    def decided(self) -> tuple[bool, bool]:
        """直前の通信で、プロセス 0 が保存したがったか、誰かが止めたがったか。"""
        return self._saves, self._stops

    def agreed(self, number: int) -> int:
        """全員の数の最大。"""
        return int(gathered(np.array([number])).max())

    def results(self, *numbers: float | None) -> tuple[float | None, ...]:
        """プロセス 0 の数。"""
        own = np.array([math.nan if x is None else x for x in numbers], np.float64)
        found = distributed_from(own, 0).tolist()
        return tuple(None if x is None else y for x, y in zip(numbers, found))

    def contents(self, contents: bytes) -> bytes:
        """プロセス 0 のバイト列。"""
        return bytes_of_first(contents)

    def randoms(self) -> dict[str, Any]:
        """プロセス 1 からの、乱数の状態。"""
        states = gathered_bytes(json.dumps(get_rng_state()).encode())
        return {"others": [json.loads(state) for state in states[1:]]}

    def setting_random(self, state: Any) -> Callable[[], None]:
        """このプロセスの状態がなければ（前はプロセスが少なかった）、いまのまま。"""
        others = state.get("others", [])
        if self.first:
            return setting_rng_state(state["random"])
        if processes.rank <= len(others):
            return setting_rng_state(others[processes.rank - 1])
        return lambda: None

    def close(self) -> None:
        """プロセス 0 が書き終えるまで待つ。"""
        barrier()


def together(
    model: Any, optimizer: Any, data: Any, wishes: Callable[[], tuple[bool, bool]]
) -> Alone:
    """この学習が、1 つのプロセスのものか、いくつものプロセスのものか。"""
    if isinstance(data, DataLoader) and data.distributed:
        require_joined()
    return Together(model, optimizer, wishes) if processes.count > 1 else Alone(wishes)


def _like(t: Any, flat: Any) -> Any:
    """Numbers as an array of the kind, the dtype and the shape of the Tensor's."""
    numbers = flat.reshape(t.shape).astype(t.dtype)
    return numbers if t._data.__class__ is np.ndarray else namespace.of(t._data).asarray(numbers)


def _mark(batch: Any) -> int:
    """24 bits that tell mini-batches apart."""
    parts = batch if isinstance(batch, tuple | list) else [batch]
    mark = 0
    for x in parts:
        mark = zlib.crc32(np.asarray(data_of(x)).tobytes(), mark)
    return mark & 0xFFFFFF


explain_all(globals())
