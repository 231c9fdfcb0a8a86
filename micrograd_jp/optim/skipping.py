"""更新をとばす: あふれた勾配では、重みも最適化手法の状態も変えない。"""

from __future__ import annotations

import itertools
from typing import Any

from micrograd_jp import namespace
from micrograd_jp.optim.optimizer import Optimizer


def step_unless(optimizer: Optimizer, skipped: Any) -> Any:
    """`optimizer.step()`。ただし `skipped` が真なら、何も変えない。

    Args:
        optimizer: 最適化手法。
        skipped: 真偽値。`jit` の中の、値のない配列でもよい（更新してから、元の値を選び直す）。

    Raises:
        TypeError: `jit` の中の、dampening のある SGD の、最初の更新。
    """
    if not namespace.is_traced(skipped):
        return None if bool(skipped) else optimizer.step()
    m = namespace.of(skipped)
    pairs = zip(optimizer.param_groups, optimizer._units, strict=True)
    units = [(group, unit) for group, some in pairs for unit in some]
    given = [(unit.step, dict(unit.state)) for _, unit in units]
    for (group, _), (_, state) in zip(units, given, strict=True):
        if not state and group.get("dampening"):  # the first momentum is not damped
            raise TypeError(
                "jit の中では、dampening のある SGD の最初の更新をとばせません "
                "(cannot skip the first damped step): 1 度 jit なしで更新してから jit して"
                "ください。"
            )
    params = list(itertools.chain(*(group["params"] for group in optimizer.param_groups)))
    before = [p.data for p in params]
    loss = optimizer.step()
    for p, old in zip(params, before, strict=True):
        p.data = m.where(skipped, old, p.data)
    for (group, unit), (step, state) in zip(units, given, strict=True):
        unit.step = m.where(skipped, step, unit.step)
        for slot, x in unit.state.items():
            old = state.get(slot, optimizer.first(slot, group))
            unit.state[slot] = m.where(skipped, old, x)
    return loss
