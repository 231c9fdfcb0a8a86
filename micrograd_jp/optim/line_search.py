"""直線探索 (line search): 強い Wolfe 条件を満たす歩幅を、3 次の補間で探す。

区間を広げて挟み (bracket)、それから縮める (zoom)。Nocedal & Wright, "Numerical Optimization" (2006)
Algorithm 3.5, 3.6 と、Schmidt の minFunc。途中の点も PyTorch の `LBFGS` と同じである。
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple


class Trial(NamedTuple):
    """直線の上の 1 点。

    Attributes:
        t: 歩幅。
        loss: 損失。
        slope: 直線に沿った傾き。
        gradient: 勾配の配列。
    """

    t: float
    loss: float
    slope: float
    gradient: Any


def strong_wolfe(
    evaluate: Callable[[float], Trial],
    start: Trial,
    t: float,
    reach: float,
    most: int,
    tolerance_change: float = 1e-9,
    c1: float = 1e-4,
    c2: float = 0.9,
) -> tuple[Trial, int]:
    """f(t) ≤ f(0) + c₁·t·f′(0) と |f′(t)| ≤ c₂|f′(0)| を満たす点。なければ、いちばん低かった点。

    Args:
        evaluate: 歩幅から、その点。
        start: 歩幅 0 の点。
        t: はじめに試す歩幅。
        reach: 向きの成分の最大の大きさ（区間が狭いかを見る）。
        most: 試す回数の上限。
        tolerance_change: これより狭い区間では止める。
        c1: 下がる量の条件の係数。
        c2: 傾きの条件の係数。

    Returns:
        見つかった点と、試した回数。
    """

    def too_high(trial: Trial) -> bool:
        return trial.loss > start.loss + c1 * trial.t * start.slope

    def flat(trial: Trial) -> bool:
        return abs(trial.slope) <= -c2 * start.slope

    before, now = start, evaluate(t)
    turns = 0
    while turns < most:
        if too_high(now) or (turns > 1 and now.loss >= before.loss):
            break
        if flat(now):
            return now, turns + 1
        if now.slope >= 0:
            break
        bounds = now.t + 0.01 * (now.t - before.t), now.t * 10
        before, now = now, evaluate(_cubic_minimum(before, now, *bounds))
        turns += 1
    else:
        before = start
    bracket = [before, now]
    low, high = _by_loss(bracket)
    close_to_an_end = False
    while turns < most:
        left, right = sorted(trial.t for trial in bracket)
        if (right - left) * reach < tolerance_change:
            break
        t = _cubic_minimum(bracket[0], bracket[1], left, right)
        margin = 0.1 * (right - left)
        if min(right - t, t - left) >= margin:
            close_to_an_end = False
        elif close_to_an_end or t >= right or t <= left:
            t = right - margin if abs(t - right) < abs(t - left) else left + margin
            close_to_an_end = False
        else:
            close_to_an_end = True
        now = evaluate(t)
        turns += 1
        if too_high(now) or now.loss >= bracket[low].loss:
            bracket[high] = now
            low, high = _by_loss(bracket)
            continue
        done = flat(now)
        if not done and now.slope * (bracket[high].t - bracket[low].t) >= 0:
            bracket[high] = bracket[low]
        bracket[low] = now
        if done:
            break
    return bracket[low], turns + 1


def _by_loss(bracket: list[Trial]) -> tuple[int, int]:
    """The places of the lower and of the higher end."""
    return (0, 1) if bracket[0].loss <= bracket[1].loss else (1, 0)


def _cubic_minimum(a: Trial, b: Trial, low: float, high: float) -> float:
    """Of the cubic through both points with their slopes; the middle where it has none."""
    a, b = (a, b) if a.t <= b.t else (b, a)
    try:
        d1 = a.slope + b.slope - 3 * (a.loss - b.loss) / (a.t - b.t)
        square = d1 * d1 - a.slope * b.slope
        if square >= 0:
            d2 = math.sqrt(square)
            t = b.t - (b.t - a.t) * ((b.slope + d2 - d1) / (b.slope - a.slope + 2 * d2))
            return min(max(t, low), high)
    except ZeroDivisionError:
        pass
    return (low + high) / 2
