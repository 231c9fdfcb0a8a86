"""1 変数の微分係数を、誤差の見積もりと「ここで微分できるか」の判定つきで求める。

刻み h を 1/4 ずつ縮め、中心差分をリチャードソン補外 (Richardson extrapolation) する。
同時に左右の片側差分を見比べる。滑らかなら両者の差は h に比例して消え、折れ点 (kink) では残る。

Ridders, "Accurate computation of F'(x) and F'(x)F''(x)", Adv. Eng. Software 4 (1982).
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TypeVar

T = TypeVar("T")
Search = Generator[Sequence[float], Sequence[float], T]
"""いくつかの点での関数の値を尋ね (yield)、受け取り、を繰り返して答える計算。"""

EPS = sys.float_info.epsilon
DISCERNIBLE = 5e-3
"""数値微分は、これより小さい相対誤差で求まって初めて、1 % 違う規則を見分けられる。"""

_SHRINK = 4.0
_FINEST = 2.0**-26  # below this share of |x|, x ± h is rounded too coarsely
_MOST_STEPS = 60
_FEWEST_STEPS = 3
_SIGNIFICANT = 1e-3  # share of the slope; smaller disagreements cannot hide a 1 % error
_CONVERGED = 1e-9


class Kind(Enum):
    """その点のまわりで関数がどう見えるか。値は利用者に見せる言葉。"""

    SMOOTH = "滑らか (smooth)"
    KINK = "折れ点 (kink)"
    JUMP = "不連続 (discontinuity)"
    STEEP = "傾きが無限大 (infinite slope)"
    EDGE = "定義域の端 (edge of the domain)"


@dataclass(frozen=True)
class Estimate:
    """数値微分の結果。

    Attributes:
        derivative: 微分係数の見積もり。
        error: その誤差の見積もり。
        kind: 点の種類。`SMOOTH` 以外では `derivative` に意味がない。
        left: 左からの傾き。
        right: 右からの傾き。
    """

    derivative: float
    error: float
    kind: Kind
    left: float
    right: float


@dataclass(slots=True)
class _Step:
    """The one-sided and central differences with one h."""

    h: float
    left: float
    right: float
    central: float
    change: float  # the larger of |f(x ± h) − f(x)|
    rounding: float  # of f's values

    @property
    def noise(self) -> float:
        """What rounding alone can do to the differences."""
        return self.rounding / self.h

    @property
    def finite(self) -> bool:
        return math.isfinite(self.left) and math.isfinite(self.right)

    @property
    def slope(self) -> float:
        return max(abs(self.left), abs(self.right))

    @property
    def bend(self) -> float:
        """How far the two sides disagree; 0 where rounding may be the reason."""
        bend = abs(self.right - self.left)
        return bend if bend > max(8 * self.noise, _SIGNIFICANT * self.slope) else 0.0


def estimate(f: Callable[[float], float], x: float, y: float | None = None) -> Estimate:
    """`f` の `x` での微分係数。

    Args:
        f: 数から数への関数。`f(x)` は有限でなければならない。
        x: 有限の数。
        y: 分かっていれば、`f(x)`。
    """
    return answered(searching(x, f(x) if y is None else y), f)


def answered(search: Search[T], f: Callable[[float], float]) -> T:
    """尋ねられた点を 1 つずつ `f` で計算したときの、`search` の答え。"""
    points = next(search)
    while True:
        try:
            points = search.send([f(x) for x in points])
        except StopIteration as done:
            answer: T = done.value
            return answer


def answered_together(
    searches: Sequence[Search[T]], f: Callable[[list[int], list[float]], Sequence[float]]
) -> list[T]:
    """たくさんの `search` の答え。どれもが次に尋ねる点を、まとめて計算する。

    Args:
        searches: 1 つずつの計算。
        f: 何番目の計算が尋ねたかと、その点から、値を同じ順に返す関数。
    """
    answers: dict[int, T] = {}
    asked = {i: next(search) for i, search in enumerate(searches)}
    while asked:
        values = iter(
            f(
                [i for i, points in asked.items() for _ in points],
                [x for points in asked.values() for x in points],
            )
        )
        for i, points in list(asked.items()):
            try:
                asked[i] = searches[i].send([next(values) for _ in points])
            except StopIteration as done:
                answers[i] = done.value
                del asked[i]
    return [answers[i] for i in range(len(searches))]


def searching(x: float, y: float) -> Search[Estimate]:
    """`f(x)` が `y` である関数の、`x` での微分係数。"""
    h = max(1.0, abs(x)) / 8
    finest = _FINEST * (abs(x) or 1.0)
    steps: list[_Step] = []
    row: list[float] = []  # of the extrapolation tableau; emptied where a kink is in reach
    best, error, at, value = math.nan, math.inf, h, math.nan
    while h >= finest and len(steps) < _MOST_STEPS:
        step = yield from _differences(x, y, h)
        steps.append(step)
        h /= _SHRINK
        if step.change == 0 and any(s.left != 0 != s.right for s in steps):
            break  # on both sides f moves, but so small a step is rounded away
        if not step.finite or _bends(steps):
            row = []
            continue
        before, row = row, _extrapolated(row, step.central)
        previous, (value, doubt) = value, _least_doubtful(row, before)
        # Rounding makes two values agree by accident now and then, three hardly ever.
        doubt = max(doubt, abs(value - previous)) + step.noise
        if before and doubt < error:
            best, error, at = value, doubt, step.h
        if len(steps) < _FEWEST_STEPS:
            continue
        converged = error <= _CONVERGED * abs(best) + 2 * step.noise
        # A kink hides from central differences; only equal slopes on both sides rule it out.
        if converged and abs(step.right - step.left) <= max(
            DISCERNIBLE * step.slope, 8 * step.noise
        ):
            break
        if step.noise > _SIGNIFICANT * max(step.slope, error):
            break
    error = max(error, (yield from _hidden_noise(x, y, best, at)))
    kind = _diagnosis(steps, error <= DISCERNIBLE * abs(best))
    last = next((s for s in reversed(steps) if s.finite), steps[-1])
    if math.isnan(best):
        best, error = last.central, math.inf
    return Estimate(best, error, kind, last.left, last.right)


def _differences(x: float, y: float, h: float) -> Search[_Step]:
    above, below = x + h, x - h
    up, down = yield above, below
    return _Step(
        h=h,
        left=(y - down) / (x - below),
        right=(up - y) / (above - x),
        central=(up - down) / (above - below),
        change=max(abs(up - y), abs(down - y)),
        rounding=4 * EPS * max(abs(y), abs(up), abs(down)),
    )


def _hidden_noise(x: float, y: float, best: float, h: float) -> Search[float]:
    """The error at step h that finer steps reveal, where rounding weighs more.

    Large numbers that cancel inside f round more coarsely than its value shows.
    """
    fine = []
    for by in (37.0, 53.0):
        fine.append((yield from _differences(x, y, h / by)))
    return max(2 * abs(step.central - best) * step.h / h for step in fine)


def _bends(steps: list[_Step]) -> bool:
    """Whether the two sides disagree and a smaller step did not bring them closer."""
    if len(steps) < 2 or not steps[-2].finite:
        return False
    return steps[-1].bend > 0.6 * steps[-2].bend


def _extrapolated(before: list[float], central: float) -> list[float]:
    """The next row of Neville's tableau: the error of a central difference is even in h."""
    row, factor = [central], 1.0
    for previous in before:
        factor *= _SHRINK**2
        row.append(row[-1] + (row[-1] - previous) / (factor - 1))
    return row


def _least_doubtful(row: list[float], before: list[float]) -> tuple[float, float]:
    """The value of a row that lies closest to the two it was made of, and twice how close."""
    doubts = [
        (2 * max(abs(row[j] - row[j - 1]), abs(row[j] - before[j - 1])), row[j])
        for j in range(1, len(row))
    ]
    doubt, value = min(doubts, default=(math.inf, row[0]))
    return value, doubt


def _diagnosis(steps: list[_Step], accurate: bool) -> Kind:
    if not steps[-1].finite:
        return Kind.EDGE
    if len(steps) < _FEWEST_STEPS or not all(step.finite for step in steps[-3:]):
        return Kind.SMOOTH
    first, second, third = steps[-3:]
    bends = [first.bend, second.bend, third.bend]
    if min(bends) > 0.8 * max(bends) > 0:
        return Kind.KINK
    if accurate or third.change <= 4 * third.rounding:
        return Kind.SMOOTH
    growth = min(second.slope - 1.5 * first.slope, third.slope - 1.5 * second.slope)
    if growth <= 0:
        return Kind.SMOOTH
    return Kind.JUMP if third.change > 0.8 * first.change else Kind.STEEP
