"""たくさんの数の関数の記録: 1 度だけ記録し、入力を 1 つずつ動かした値をまとめて計算する。

n 個の入力を 1 つずつ動かすと、関数を n 回呼ぶことになり、その 1 回も n に比例する。記録があれば、
動かした入力から先だけを、たくさんの点についてまとめて計算できる。記録できない関数（値で分岐する、
入力に書き込む）と、記録がもとの関数と違う値になる関数は、書かれたとおりに呼ばれる。
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from micrograd_jp.compiler.record.recorder import Recorder, collector_paused
from micrograd_jp.compiler.record.traced import Traced
from micrograd_jp.compiler.table.levels import Levels
from micrograd_jp.compiler.table.part import part
from micrograd_jp.compiler.table.table import Array, Trace
from micrograd_jp.engine.value import Value
from micrograd_jp.testing.estimate import Search, T, answered_together
from micrograd_jp.transforms import leaves_of, map_structure

MANY = 64
"""これより入力が少なければ、そのまま呼ぶほうが速い。"""

_TOGETHER = 256
"""まとめて動かす入力の数。多いと、動かないものまで点ごとに計算し、少ないと、まとめた甲斐がない。"""

_ROOM = 1 << 24
"""1 度に計算する数の個数（ノード × 点）の上限: 128 MiB。"""


def recorded(
    f: Callable[..., Any], args: Any, point: Any, outputs: Callable[[Any], Array]
) -> Recording | None:
    """`f` の記録。

    Args:
        f: `Value` の関数。
        args: 引数の形。葉はどれも数である。
        point: そのときの数を、葉の順に。
        outputs: `f` をそのまま呼んだときの、出力の数。記録を確かめるために、近くの点でも呼ぶ。

    Returns:
        記録。入力が少ないか、記録できないか、`f` と違う値になるなら `None`。
    """
    if len(point) < MANY or point.__class__ is not list:
        return None
    rng = random.Random(0)
    near = [[x + max(1.0, abs(x)) * rng.uniform(-0.125, 0.125) for x in point] for _ in range(2)]
    try:
        recording = Recording(*_trace(f, args), point)
        literally = [outputs(at) for at in (point, *near)]
        again = recording.at([point, *near]).T
        same = all(np.allclose(a, b, 1e-9, 0, True) for a, b in zip(literally, again, strict=True))
    except Exception:  # whatever it is, f itself says it, or does not have it
        return None
    return recording if same else None


def _trace(f: Callable[..., Any], args: Any) -> tuple[Trace, Array]:
    recorder = Recorder()
    with collector_paused():
        returned = f(*map_structure(lambda _: Traced.at(recorder, recorder.new_input()), args))
        found = leaves_of(returned)
        if not all(isinstance(z, Value) for z in found):
            raise TypeError
        trace, parameters = recorder.finish([recorder.operand(z) for z in found])
    return trace, np.array([v.data for v in parameters])


class Recording:
    """記録された関数と、その点での値。"""

    def __init__(self, trace: Trace, parameters: Array, point: Sequence[float]) -> None:
        self._trace, self._parameters, self._point = trace, parameters, point
        self._every = Levels(replace(trace, outputs=np.arange(len(trace))), np.float64)
        self._values = self._every.forward(parameters, [np.array([point]).T])[:, 0]

    @property
    def outputs(self) -> Array:
        """動かさないときの出力 (O,)。"""
        return self._values[self._trace.outputs]

    def at(self, points: Sequence[Sequence[float]]) -> Array:
        """いくつかの点での出力 (O, 点の数)。"""
        values = self._every.forward(self._parameters, [np.array(points).T])
        return values[self._trace.outputs]

    def answers(
        self, search: Callable[[float], Search[T]], number: Callable[[Array], Array]
    ) -> list[T]:
        """入力を 1 つずつ動かす `search` の答えを、入力の順に。

        Args:
            search: 入力の数から、その入力だけの関数を調べる計算を作る関数。
            number: 出力 (O, 点の数) から、点ごとの 1 つの数を作る関数。
        """
        found: list[T] = []
        # Each asks for two points at a time.
        together = min(_TOGETHER, max(1, _ROOM // (2 * len(self._trace))))
        for start in range(0, len(self._point), together):
            own = self._point[start : start + together]
            moved = self._moved(start, own, number)
            found += answered_together([search(x) for x in own], moved)
        return found

    def _moved(
        self, start: int, point: Sequence[float], number: Callable[[Array], Array]
    ) -> Callable[[list[int], list[float]], list[float]]:
        """The numbers where of these inputs one is moved, and of the others none."""
        nodes = self._trace.inputs[start : start + len(point)]
        levels = Levels(part(self._trace, self._values, nodes), np.float64)

        def numbers(which: list[int], to: list[float]) -> list[float]:
            inputs = np.repeat(np.array(point)[:, None], len(to), axis=1)
            inputs[which, np.arange(len(to))] = to
            found: list[float] = number(levels.forward(np.empty(0), [inputs])).tolist()
            return found

        return numbers
