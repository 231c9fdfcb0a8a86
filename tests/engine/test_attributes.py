"""`Value` に置く覚え書き (`p.m = 0`): 写しにも付いていき、書き間違いは断られる。"""

import copy
import pickle
import random
import sys
import tracemalloc

import pytest

import micrograd_jp as mg
from micrograd_jp.engine import Value
from micrograd_jp.engine.attributes import SLIPS

WAYS = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "pickle": lambda v: pickle.loads(pickle.dumps(v)),
}


def leaf():
    return Value(2.0)


def result():
    return Value(2.0) * 3.0 + 1.0


def captured():
    p = Value(2.0)
    program = mg.compile(lambda x: p * x[0])
    program([3.0])
    assert type(p) is not Value and isinstance(p, Value)
    return p


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("make", [leaf, result, captured])
def test_what_is_kept_with_a_value_is_copied_with_it(make, way):
    v = make()
    v.m, v.seen = 0.5, ["w"]
    v.m += 1
    w = WAYS[way](v)
    assert (w.m, w.seen, w.data) == (1.5, ["w"], v.data)
    assert (w.seen is v.seen) == (way == "copy")
    w.m = 9.0
    assert v.m == 1.5
    del v.m
    assert not hasattr(v, "m")


def test_nodes_that_are_kept_with_nodes_are_copied_once():
    x = Value(2.0)
    y = x * x
    y.parts, x.result = [x, y], y
    z = pickle.loads(pickle.dumps(y))
    (parent, _) = z.parents
    assert z.parts[0] is parent and z.parts[1] is z and parent.result is z


def test_a_value_keeps_nothing_by_itself():
    """Neither an operation nor backward nor a look makes a dictionary."""
    v = result()
    v.backward()
    repr(v), copy.copy(v)
    assert vars(v) == {} == vars(pickle.loads(pickle.dumps(v)))


@pytest.mark.skipif(sys.implementation.name != "cpython", reason="CPython の大きさ")
def test_a_node_stays_small():
    """Room for attributes costs 32 bytes a node on CPython 3.11, and nothing is made in it."""
    x, n = Value(0.5), 2000
    keep = [x * 1.0 for _ in range(n)]  # the first of a class get more room than all others
    tracemalloc.start()
    for i in range(n):
        keep[i] = x * 1.0
    size = tracemalloc.get_traced_memory()[0] / n
    tracemalloc.stop()
    assert size < 176, size  # with 24 for the number


def adam_by_hand(parameters, loss, steps=5):
    """As course notebooks write it: the moments are kept with the parameters."""
    for p in parameters:
        p.m = 0.0
        p.v = 0.0
    for t in range(1, steps + 1):
        for p in parameters:
            p.grad = 0.0
        loss().backward()
        for p in parameters:
            p.m = 0.9 * p.m + 0.1 * p.grad
            p.v = 0.95 * p.v + 0.05 * p.grad**2
            m, v = p.m / (1 - 0.9**t), p.v / (1 - 0.95**t)
            p.data -= 0.1 * m / (v**0.5 + 1e-8)
    return [p.data for p in parameters]


@pytest.mark.parametrize("compiled", [False, True])
def test_an_optimizer_written_on_the_parameters_is_the_librarys(compiled):
    rng = random.Random(0)
    start, xs = [rng.gauss(0, 1) for _ in range(4)], [rng.gauss(0, 1) for _ in range(4)]

    def loss_of(ps, x):
        return (mg.dot(ps, x) - 1.0) ** 2 + 0.1 * mg.dot(ps, ps)

    theirs = [Value(x) for x in start]
    optimizer = mg.optim.Adam(theirs, lr=0.1, betas=(0.9, 0.95))
    for _ in range(5):
        optimizer.zero_grad()
        loss_of(theirs, xs).backward()
        optimizer.step()
    ours = [Value(x) for x in start]
    program = mg.compile(lambda x: loss_of(ours, x), dtype=mg.float64)
    found = adam_by_hand(ours, lambda: program(xs) if compiled else loss_of(ours, xs))
    assert found == pytest.approx([p.data for p in theirs], rel=1e-9)


# ---- 断る代入 --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", " ".join(SLIPS.values()).split())
@pytest.mark.parametrize("make", [leaf, result, captured])
def test_a_slip_is_refused_before_anything_changes(make, name):
    v = make()
    right = next(right for right, slips in SLIPS.items() if name in slips.split())
    with pytest.raises(AttributeError, match=rf"v\.{name} には.*v\.{right} の書き間違い"):
        setattr(v, name, 0.0)
    assert vars(v) == {} and not hasattr(v, name) and name not in dir(v) and right in dir(v)
    with pytest.raises(AttributeError, match=f"object has no attribute '{name}'"):
        getattr(v, name)


@pytest.mark.parametrize(
    ("name", "advice"), [("requires_grad", "no_grad"), ("_backward", "演算の宣言")]
)
def test_what_would_be_ignored_is_refused(name, advice):
    v = leaf()
    with pytest.raises(AttributeError, match=advice):
        setattr(v, name, None)
    assert v.requires_grad is Value.requires_grad is True


def test_names_of_the_nodes_own_structure_stay_read_only():
    v = result()
    for name in ("parents", "operands", "partials", "is_leaf", "has_grad", "_prev", "_op"):
        with pytest.raises(AttributeError):
            setattr(v, name, None)
