"""更新をとばす: 勾配がオーバーフローしたら、重みも最適化手法の状態も変えない。"""

from __future__ import annotations

from typing import Any

from micrograd_jp import namespace
from micrograd_jp.optim.optimizer import Optimizer, parameters_of


def step_unless(optimizer: Optimizer, skipped: Any) -> Any:
    """`optimizer.step()`。ただし `skipped` が真なら、何も変えない。

    `step` の後のフックは、`jit` の中では、とばしたときも（変わらない重みで）呼ばれる。

    Args:
        optimizer: 最適化手法。
        skipped: 真偽値。`jit` の中の、値のない配列でもよい（更新してから、元の値を選び直す）。

    Raises:
        TypeError: `jit` の中の、dampening のある SGD の、最初の更新。
    """
    if not namespace.is_traced(skipped):
        return None if bool(skipped) else optimizer.step()
    m = namespace.of(skipped)
    given = [
        (group, unit, unit.step, dict(unit.state))
        for group, units in zip(optimizer.param_groups, optimizer._units, strict=True)
        for unit in units
    ]
    for group, _, _, state in given:
        # The first momentum is not damped; without momentum there is nothing to damp.
        if group.get("dampening") and not state.keys() >= {*optimizer.slots(group)}:
            raise TypeError(
                "jit の中では、dampening のある SGD の最初の更新をとばせません "
                "(cannot skip the first damped step): 1 度 jit なしで更新してから jit して"
                "ください。"
            )
    params = parameters_of(optimizer)
    before = [p._data for p in params]
    optimizer._advance()
    for p, old in zip(params, before, strict=True):
        p.data = m.where(skipped, old, p._data)
    for group, unit, step, state in given:
        unit.step = m.where(skipped, step, unit.step)
        for slot, x in unit.state.items():
            old = state.get(slot, optimizer.first(slot, group))
            unit.state[slot] = m.where(skipped, old, x)
    optimizer._call_hooks(())  # which see the weights that stay
    return None
