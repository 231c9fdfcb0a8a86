"""わざと誤らせた規則 (planted faults): 検査が本当に誤りを見つけるかを確かめるための陰性対照。

>>> from micrograd_jp.ops.elementwise import tanh
>>> [fault.name for fault in planted(tanh) if not fault.harmless]
['×1.01[x]', 'sign[x]', 'zero[x]', 'detached[x]', 'second×1.01[x]']
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

from micrograd_jp.engine.operations import apply, reduce
from micrograd_jp.engine.value import Value
from micrograd_jp.graph.higher_order import gradients
from micrograd_jp.ops.gates import Gate
from micrograd_jp.ops.primitive import Elementwise, Primitive, Reduction, Rule


@dataclass(frozen=True)
class Fault:
    """植えられた誤り。

    Attributes:
        name: 何をどの引数に植えたか (`"sign[y]"`)。
        primitive: 誤った規則をもつ演算（登録されていない）。
        order: 何階微分で初めて誤りになるか。
        harmless: 誤りにならないことが証明できるとき、その理由。誤りなら空。
    """

    name: str
    primitive: Primitive
    order: Literal[1, 2] = 1
    harmless: str = ""


def run(primitive: Primitive, *args: Any) -> Value:
    """登録されていない演算も実行する。

    Args:
        primitive: 演算の宣言。
        *args: `Elementwise` なら `Value` か数、`Reduction` ならその並び。
    """
    if isinstance(primitive, Reduction):
        return reduce(primitive, *args)
    assert isinstance(primitive, Elementwise)
    return apply(primitive, *args)


def planted(primitive: Primitive) -> Iterator[Fault]:
    """`primitive` の規則に誤りを 1 つずつ植えて返す。

    Args:
        primitive: 演算の宣言。
    """
    if isinstance(primitive, Reduction):
        yield from _planted_reduction(primitive)
    elif isinstance(primitive, Elementwise):
        yield from _planted_elementwise(primitive)


# ---- 1 つの局所微分を誤らせる --------------------------------------------------------------------

Spoil = Callable[[Any], Any]


def _constant(d: Any) -> Any:
    """The partial derivative without its graph: right to first order only."""
    return d.data if isinstance(d, Value) else d


_FIRST: dict[str, Spoil] = {
    "×1.01": lambda d: d * 1.01,
    "sign": lambda d: d * -1,
    "zero": lambda d: 0,
}
_SECOND: dict[str, Spoil] = {
    "detached": _constant,
    "second×1.01": lambda d: d * 1.01 - _constant(d) * 0.01,
}
_ALWAYS_ZERO = "微分は恒等的に 0 (identically zero)"
_CONSTANT = "局所微分が定数 (constant partial)"
_EQUAL = "局所微分がみな等しい (equal partials)"


def _planted_elementwise(op: Elementwise) -> Iterator[Fault]:
    columns = list(zip(*_observations(op), strict=True))
    for i, rule in enumerate(op.partials):
        if rule is not None:
            yield from _spoiled(op, f"[{op.arguments[i]}]", columns[i], _spoiler(op, i, rule))
    differentiable = [i for i, rule in enumerate(op.partials) if rule is not None]
    for i, j in pairwise(differentiable):
        swapped = list(op.partials)
        swapped[i], swapped[j] = swapped[j], swapped[i]
        name = f"swapped[{op.arguments[i]},{op.arguments[j]}]"
        harmless = _EQUAL if columns[i] == columns[j] else ""
        yield Fault(name, dataclasses.replace(op, partials=tuple(swapped)), 1, harmless)


def _spoiler(op: Elementwise, i: int, rule: Rule) -> Callable[[Spoil], Primitive]:
    def spoiled(spoil: Spoil) -> Primitive:
        def wrong(m: Any, z: Any, *xs: Any) -> Any:
            d = rule(m, z, *xs)
            return Gate(d.shut, spoil(d.slope)) if isinstance(d, Gate) else spoil(d)

        partials = (*op.partials[:i], wrong, *op.partials[i + 1 :])
        return dataclasses.replace(op, partials=partials)

    return spoiled


def _planted_reduction(op: Reduction) -> Iterator[Fault]:
    def rewritten(change: Callable[[list[Any]], list[Any]]) -> Primitive:
        def wrong(m: Any, z: Any, xs: Sequence[Any]) -> list[Any]:
            return change(list(op.partials(m, z, xs)))

        return dataclasses.replace(op, partials=wrong)

    seen = [partial for observation in _observations(op) for partial in observation]
    yield from _spoiled(op, "", seen, lambda spoil: rewritten(lambda ds: [spoil(d) for d in ds]))
    harmless = _EQUAL if len(set(seen)) == 1 else ""
    yield Fault("swapped", rewritten(lambda ds: ds[::-1]), 1, harmless)


def _spoiled(
    op: Primitive, where: str, seen: Sequence[_Partial], spoiled: Callable[[Spoil], Primitive]
) -> Iterator[Fault]:
    always_zero = all(partial.value == 0 for partial in seen)
    constant = all(partial.constant for partial in seen)
    for name, spoil in _FIRST.items():
        harmless = _ALWAYS_ZERO if always_zero else ""
        yield Fault(name + where, spoiled(spoil), 1, harmless)
    if always_zero:
        yield Fault("+1" + where, spoiled(lambda d: d + 1))
    for name, spoil in _SECOND.items():
        yield Fault(name + where, spoiled(spoil), 2, _CONSTANT if constant else "")


# ---- 誤りになりえない場所を見分ける -------------------------------------------------------


@dataclass(frozen=True)
class _Partial:
    value: float
    constant: bool  # its own derivatives are all 0


def _observations(op: Primitive) -> list[list[_Partial]]:
    """Every local derivative at a few points on either side of any kink."""
    return [_partials_at(op, fraction) for fraction in (0.07, 0.47, 0.87)]


def _partials_at(op: Primitive, fraction: float) -> list[_Partial]:
    def leaf(i: int, domain: tuple[float, float]) -> Value:
        low, high = domain  # arguments at different places, so that max has no ties
        return Value(low + (high - low) * ((fraction + 0.2 * i) % 1))

    args: list[Any]
    if isinstance(op, Reduction):
        args = [[leaf(3 * k + i, op.domain) for i in range(3)] for k in range(op.lists)]
        leaves = [x for xs in args for x in xs]
    else:
        assert isinstance(op, Elementwise)
        args = leaves = [
            Value(float(fraction > 0.5)) if rule is None else leaf(i, domain)
            for i, (domain, rule) in enumerate(zip(op.domain, op.partials, strict=True))
        ]
    total = gradients(run(op, *args), Value(1.0))
    partials = []
    for x in leaves:
        second = gradients(total[x], Value(1.0))
        constant = all(second[y].data == 0 for y in leaves if y in second)
        partials.append(_Partial(total[x].data, constant))
    return partials
