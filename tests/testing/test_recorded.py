"""たくさんの数の勾配確認: まとめた計算は 1 つずつ呼んだときと合い、誤りも見逃さない。"""

import random

import numpy as np
import pytest

import micrograd_jp as mg
from micrograd_jp.ops.elementwise import tanh
from micrograd_jp.testing import Verdict, gradcheck, numerical_gradient, recorded
from micrograd_jp.testing.faults import planted, run

N = 12
POINT = [random.Random(0).uniform(-2, 2) for _ in range(N)]


def rows(f, x, literally, monkeypatch, **options):
    with monkeypatch.context() as patch:
        patch.setattr(recorded, "MANY", len(x) + 1 if literally else 1)
        found = gradcheck(f, (x,), raise_exception=False, **options).rows
    return sorted(found, key=lambda row: int(row.index[1:-1]))


def calls(f):
    counted = []
    return lambda *args: (counted.append(None), f(*args))[1], counted


OUTSIDE = mg.Value(0.7)
FUNCTIONS = {
    "chain": lambda xs: sum(mg.tanh(x) * x for x in xs),
    "lists": lambda xs: [mg.logsumexp(xs[:7]), mg.dot(xs[5:], xs[:7]), xs[3] * OUTSIDE],
    "unused": lambda xs: mg.prod([x.sin() + 2 for x in xs[:5]]),
    "conditions": lambda xs: mg.sum([mg.where(x > 0.1, x * x, x.exp()) for x in xs]),
    "kinks": lambda xs: sum(mg.abs(x - a) for x, a in zip(xs, [*POINT[:3], *[9.0] * N])),
    "jumps": lambda xs: sum((x > a) * x for x, a in zip(xs, [*POINT[:3], *[-9.0] * N])),
    "edges": lambda xs: mg.sum([(x - a).sqrt() for x, a in zip(xs, [*POINT[:3], *[-9.0] * N])]),
    "wrong": lambda xs: mg.sum([*[x * x for x in xs[1:]], xs[0] * xs[0].detach()]),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_it_finds_what_calling_one_by_one_finds(name, monkeypatch):
    f, counted = calls(FUNCTIONS[name])
    one = rows(f, POINT, True, monkeypatch)
    assert len(counted) > 4 * N
    counted.clear()
    other = rows(f, POINT, False, monkeypatch)
    assert len(counted) < 10
    assert {row.verdict for row in other} == {row.verdict for row in one}
    for a, b in zip(one, other, strict=True):
        assert (a.index, a.verdict, a.note) == (b.index, b.verdict, b.note)
        assert b.analytic == a.analytic
        assert b.numeric == pytest.approx(a.numeric, rel=1e-9, abs=1e-9, nan_ok=True)
    if name == "wrong":
        assert [row.index for row in other if row.verdict is Verdict.MISMATCH] == ["[0]"]


def test_a_wrong_rule_is_found(monkeypatch):
    for fault in planted(tanh):
        if fault.order == 1 and not fault.harmless:
            f = lambda xs, op=fault.primitive: mg.sum([*map(mg.tanh, xs[1:]), run(op, xs[0])])
            wrong = [row.index for row in rows(f, POINT, False, monkeypatch) if not row.passed]
            assert wrong == ["[0]"], fault.name


def branching(xs):
    return sum(x if x > 0 else 3 * x for x in xs)


def lying(xs):
    hidden = type(xs[0]) is not mg.Value  # another function when it is recorded
    return sum(x * x * (2 if hidden else 1) for x in xs)


def catching(xs):
    try:
        return sum(x * x.item() for x in xs)
    except TypeError:
        return sum(x * a for x, a in zip(xs, POINT))


@pytest.mark.parametrize("f", [branching, lying, catching])
def test_what_cannot_be_recorded_is_called_as_it_is(f, monkeypatch):
    counted_f, counted = calls(f)
    some = rows(counted_f, POINT, False, monkeypatch)
    assert len(counted) > 4 * N
    assert some == rows(f, POINT, True, monkeypatch)
    assert all(row.passed for row in some) is (f is not catching)


def test_a_kink_of_a_branch_is_still_a_kink(monkeypatch):
    monkeypatch.setattr(recorded, "MANY", 1)
    report = gradcheck(branching, ([0.0, *POINT[1:]],), raise_exception=False)
    assert report.rows[0].verdict is Verdict.NOT_SMOOTH
    assert all(row.passed for row in report.rows[1:])


def test_what_writes_to_its_input_is_refused_as_ever(monkeypatch):
    def f(xs):
        xs[1].data = 0.0
        return mg.sum(xs)

    monkeypatch.setattr(recorded, "MANY", 1)
    with pytest.raises(RuntimeError, match="1 番目の入力の data を"):
        gradcheck(f, (POINT,))


def test_few_inputs_are_moved_by_calling_and_many_together():
    f, counted = calls(lambda xs: mg.dot(xs, xs))
    assert gradcheck(f, (POINT,)) and len(counted) > 4 * N
    counted.clear()
    assert gradcheck(f, ([*np.linspace(0.5, 2.0, 300).tolist()],)) and len(counted) < 10


@pytest.mark.parametrize("method", ["central", "richardson"])
def test_numerical_gradient(method, monkeypatch):
    f, counted = calls(lambda xs, s: mg.sum([mg.tanh(x) * s * x for x in xs]))
    monkeypatch.setattr(recorded, "MANY", 1)
    other = numerical_gradient(f, POINT, 0.5, method=method)
    assert len(counted) < 10
    monkeypatch.setattr(recorded, "MANY", N + 2)
    one = numerical_gradient(f, POINT, 0.5, method=method)
    assert np.allclose(one[0], other[0], 1e-8, 1e-10)
    assert one[1] == pytest.approx(other[1], rel=1e-8)
    assert len(counted) > 2 * N
