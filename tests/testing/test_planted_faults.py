"""陰性対照: どの演算でも、規則を誤らせれば `gradcheck` が気づく。"""

import functools

import pytest
from hypothesis import Phase, given, settings

import micrograd_jp as mg
from micrograd_jp.ops.primitive import Reduction, elementwise_primitives, reductions
from micrograd_jp.testing import gradcheck
from micrograd_jp.testing.faults import planted, run
from micrograd_jp.testing.strategies import inputs

CASES = [(op, fault) for op in [*elementwise_primitives(), *reductions()] for fault in planted(op)]


def cases(harmless):
    """The smallest fault of every operation, and of the coarser ones every fourth; all in slow."""
    return pytest.mark.parametrize(
        ("op", "fault"),
        [
            pytest.param(
                op, fault, id=" ".join(filter(None, [op.name, fault.name, fault.harmless])),
                marks=[] if fault.name.startswith("×1.01") or i % 4 == 0 else [pytest.mark.slow],
            )
            for i, (op, fault) in enumerate(CASES)
            if bool(fault.harmless) is harmless
        ],
    )  # fmt: skip


@functools.cache
def points(op):
    drawn = []

    @settings(max_examples=10, derandomize=True, database=None, phases=[Phase.generate])
    @given(inputs(op))
    def collect(xs):
        drawn.append(xs)

    collect()
    return drawn


def partials(op, args):
    if isinstance(op, Reduction):
        return run(op, *[[*map(mg.Value, xs)] for xs in args]).partials
    return run(op, *map(mg.Value, args)).partials


def shows(op, fault, args):
    """Whether the planted rule gives a noticeably different number here."""
    return partials(fault.primitive, args) != pytest.approx(partials(op, args), rel=1e-3, abs=1e-12)


@cases(harmless=False)
def test_a_planted_fault_is_caught(op, fault, checkable):
    caught = 0
    for args in points(op):
        f, xs = checkable(fault.primitive, args)
        report = gradcheck(f, xs, order=fault.order, allow_zero=True, raise_exception=False)
        caught += report.mismatched
        if fault.order == 1:
            assert report.mismatched == shows(op, fault, args), f"{args}\n{report}"
        else:
            assert all(row.passed for row in report.rows if row.order == 1), f"{args}\n{report}"
    assert caught >= 2


@cases(harmless=True)
def test_what_is_called_harmless_is(op, fault, checkable):
    for args in points(op):
        f, xs = checkable(fault.primitive, args)
        gradcheck(f, xs, order=2, allow_zero=True)


def test_the_controls_are_complete():
    """Every primitive has a factor, a sign, a zero and, if it has two arguments, a swap."""
    for op in [*elementwise_primitives(), *reductions()]:
        names = " ".join(fault.name for case, fault in CASES if case is op)
        for kind in ("×1.01", "sign", "zero", "detached", "second×1.01"):
            assert kind in names, (op, kind)
        if getattr(op, "arity", 2) > 1:
            assert "swapped" in names, op
        assert any(fault.order == 1 and not fault.harmless for case, fault in CASES if case is op)


def test_without_allow_zero_a_zero_rule_never_passes(checkable):
    for op, fault in CASES:
        if fault.name.startswith("zero"):
            for args in points(op):
                if shows(op, fault, args):
                    f, xs = checkable(fault.primitive, args)
                    assert not gradcheck(f, xs, raise_exception=False)
