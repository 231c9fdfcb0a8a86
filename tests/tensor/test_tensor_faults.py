"""陰性対照: 配列の演算の規則を誤らせると、`gradcheck` が必ず気づく。"""

import contextlib
import functools

import numpy as np
import pytest
from array_cases import ROWS

import micrograd_jp as mg
from micrograd_jp.graph import Node, shares, topological_order
from micrograd_jp.ops.primitive import array_ops
from micrograd_jp.testing import gradcheck


@contextlib.contextmanager
def spoiled(op, change):
    """The rule of a registered operation, wrong for a while."""
    right = op.vjp
    rules = right if isinstance(right, tuple) else None

    def wrong(m, *args, **params):
        every = [r(m, *args, **params) for r in rules] if rules else right(m, *args, **params)
        return tuple(s if s is None else change(m, s) for s in every)

    object.__setattr__(op, "vjp", wrong)
    try:
        yield
    finally:
        object.__setattr__(op, "vjp", right)


def constant(share):
    return mg.Tensor(share.data) if isinstance(share, Node) else share


def reversed_(m, share):
    """The right numbers in the wrong places."""
    if not share.shape:
        return share * -1.0
    return m.flip(share, axis=tuple(range(len(share.shape))))


FAULTS = {
    "zero": (1, lambda m, s: s * 0.0),
    "×1.01": (1, lambda m, s: s * 1.01),
    "sign": (1, lambda m, s: s * -1.0),
    "reversed": (1, reversed_),
    "detached": (2, lambda m, s: constant(s)),
    "second×1.01": (2, lambda m, s: s * 1.01 - constant(s) * 0.01),
}
FLAT = {"tensor.floor_divide", "tensor.signdet"}
"""The slope is 0 everywhere: a factor changes nothing."""
FLAT_FAULTS = {"slope": (1, lambda m, s: s + 1.0)}


@functools.cache
def used():
    """The rows of the table that use an operation, the smallest first."""
    found = {op: [] for op in array_ops()}
    for case in sorted(ROWS, key=lambda case: sum(x.size for x in case.point())):
        if not case.empty:
            out = case.f(*[mg.tensor(x, requires_grad=True) for x in case.point()])
            if np.size(out.data):
                for op in {node.op for node in topological_order(out)} & found.keys():
                    found[op].append(case)
    return found


def users(op, order):
    """Two rows of the table that use the operation, and pass as long as it is right."""
    # gradcheck itself stacks, reshapes and picks: there, two wrong signs would cancel.
    for case in used()[op][:2] + [case for case in ROWS if case.name == "sum"][:1]:
        assert passes(case, order)
        yield case


@functools.cache
def passes(case, order):
    return gradcheck(squared(case), case.point(), order=order, allow_zero=True)


def squared(case):
    """So that no second derivative is identically zero."""
    return lambda *xs: (case.f(*xs) + 0.3) ** 2


def everything():
    """Every operation with every fault; some of them, others with each operation, are slow.

    A factor of 1.01 is the least that has to be seen; of the coarser faults every operation has
    one in the fast part, or its neighbour has; every fourth one has one of the two in the second
    derivative.
    """
    for i, op in enumerate(array_ops()):
        for j, fault in enumerate(FLAT_FAULTS if op.name in FLAT else FAULTS):
            if op.name in FLAT:
                yield pytest.param(op, fault, id=f"{op.name}-{fault}")
                continue
            if FAULTS[fault][0] == 2:  # of the recurrent ones they are programs of seconds
                long = (i + j) % 8 or op.name in ("tensor.lstm", "tensor.gru")
            else:
                long = fault != "×1.01" and (i + j) % 6
            yield pytest.param(
                op, fault, id=f"{op.name}-{fault}", marks=[pytest.mark.slow] if long else []
            )


@pytest.mark.parametrize(("op", "fault"), list(everything()))
def test_a_wrong_rule_is_caught(op, fault):
    if op.name == "tensor.astype":
        pytest.skip("float64 の中では型は変わらない")
    order, change = (FAULTS | FLAT_FAULTS)[fault]
    for case in users(op, order):
        f = squared(case)
        with spoiled(op, change):
            report = gradcheck(f, case.point(), order=order, allow_zero=True, raise_exception=False)
        if order == 2:
            assert all(row.passed for row in report.rows if row.order == 1), str(report)
        if report.mismatched:
            return
    raise AssertionError(f"{fault} was not seen by {[*users(op, order)]}")


def test_a_broadcast_that_is_not_summed_is_caught(monkeypatch):
    def first_only(m, g, shape):
        if g.shape == shape:
            return g
        return m.reshape(m.getitem(m.reshape(g, (-1,)), (slice(0, int(np.prod(shape))),)), shape)

    f = lambda x, y: mg.tanh(x * y)
    point = [np.array([[0.3, -0.5], [0.7, 0.2]]), np.array([0.4, 1.1])]
    assert gradcheck(f, point, order=2)
    monkeypatch.setattr(shares, "summed_to", first_only)
    report = gradcheck(f, point, raise_exception=False)
    assert report.mismatched
    assert {row.input for row in report.rows if not row.passed} == {1}
