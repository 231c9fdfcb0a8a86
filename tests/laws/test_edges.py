"""端の約束: 断る言葉が形を言うこと、型の端の数、−∞ のロジット、入れ子の条件。"""

import inspect
import itertools

import numpy as np
import pytest

import micrograd_jp as mg
from micrograd_jp.namespace import ieee
from micrograd_jp.nn import functional as F
from micrograd_jp.ops.gates import Gate, gate
from micrograd_jp.tensor import creation, random

SHAPES = [(2,), (3,), (2, 3), (3, 2), (2, 2, 3), (3, 3, 2), (2, 1, 3, 4)]


@pytest.mark.parametrize(("a", "b"), [*itertools.product(SHAPES, SHAPES)])
def test_a_product_that_does_not_fit_says_which_lengths_differ(a, b):
    x, y = np.ones(a), np.ones(b)
    try:
        wanted = (x @ y).shape
    except ValueError:
        inner = b[-2] if len(b) > 1 else b[0]
        lengths = f"{a[-1]} .*{inner}" if a[-1] != inner else r"batch.*\("
        with pytest.raises(ValueError, match=rf"matmul shape mismatch.*{lengths}"):
            mg.tensor(x) @ mg.tensor(y)
    else:
        assert (mg.tensor(x) @ mg.tensor(y)).shape == wanted


@pytest.mark.parametrize(("a", "b", "fits"), [
    ((2, 2), (2, 3), True), ((3, 2, 2), (2, 3), True), ((2, 2), (3, 2, 1), True),
    ((3, 2, 2), (3, 2), True), ((3, 2, 2), (4, 2, 1), False), ((3, 2, 2), (3, 1), False),
    ((2, 3, 2, 2), (4, 2, 1), False), ((2, 3, 2, 2), (3, 2, 1), True),
])  # fmt: skip
def test_batches_of_equations(a, b, fits):
    matrices = np.random.default_rng(0).normal(size=a)
    right = np.random.default_rng(1).normal(size=b)
    if not fits:
        with pytest.raises(ValueError, match="shape mismatch"):
            mg.solve(mg.tensor(matrices), mg.tensor(right))
        return
    out = mg.solve(mg.tensor(matrices), mg.tensor(right))._data
    vectors = len(b) == 1 or b == a[:-1]
    if vectors:
        out, right = out[..., None], right[..., None]
    np.testing.assert_allclose(matrices @ out, np.broadcast_to(right, out.shape), rtol=1e-9)


@pytest.mark.parametrize("wrong", [(), (1, 2, 3), (1,) * 4, 0, -1, (2, 0)])
def test_windows_are_one_number_or_two(wrong):
    x = mg.ones(1, 1, 6, 6)
    for name in ("kernel_size", "stride"):
        with pytest.raises(ValueError, match=f"invalid {name}"):
            F.max_pool2d(x, **{"kernel_size": 2, name: wrong})


# ---- 型の端 -------------------------------------------------------------------------------------


def wide(x):
    return mg.tensor(x, dtype=mg.float64)


@pytest.mark.parametrize("kind", [float, np.float64, np.array, wide, lambda x: np.array([x])])
def test_the_ends_of_int64_and_of_uint8(kind):
    t = mg.tensor([0, 0])
    for fits in (-(2.0**63), 2.0**63 - 1024, 5.0):
        t[:1] = kind(fits)
        assert t[0].item() == int(fits)
    for too_large in (2.0**63, 2.0**64, -(2.0**63) - 2048, np.inf, np.nan):
        with pytest.raises((ValueError, OverflowError)):
            t[:1] = kind(too_large)
    assert t.tolist() == [5, 0]


@pytest.mark.parametrize("n", [0, 1, 5, 255, -1, -255])
def test_bytes_count_from_the_other_end(n):
    t = mg.tensor(np.zeros(2, "u1"))
    t[0] = n
    t[1:].fill_(n)
    assert t.tolist() == [n % 256] * 2
    for too_large in (256, -256):
        with pytest.raises(ValueError, match="without overflow"):
            t[0] = too_large


def test_every_maker_tracks_when_asked():
    x = mg.tensor([[1.0, 2.0]])
    made = []
    for name, f in {**vars(creation), **vars(random)}.items():
        if name[0] == "_" or not inspect.isfunction(f):
            continue
        parameters = inspect.signature(f).parameters
        if "requires_grad" not in parameters:
            continue
        first = x if next(iter(parameters)) in ("x", "data", "array") else 2
        plain = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
        needed = [p for p in parameters.values() if p.default is p.empty and p.kind in plain]
        more = [7.0] * (len(needed) - 1)
        if name == "full":
            first = (2,)
        for wanted in (True, False):
            made.append(name)
            options = {"dtype": mg.float32} if "dtype" in parameters else {}
            assert f(first, *more, requires_grad=wanted, **options).requires_grad == wanted
        assert not f(first, *more).requires_grad
    assert len(set(made)) > 8


def test_random_integers_by_name():
    assert set(mg.randint(low=3, high=5, shape=(50,)).tolist()) == {3, 4}
    assert mg.randint(2, (4,)).shape == (4,)


# ---- 損失、条件 -------------------------------------------------------------------------


@pytest.mark.parametrize("low", [-np.inf, -1e4, -3.0])
@pytest.mark.parametrize("rows", [1, 3])
def test_the_slope_of_cross_entropy_is_the_softmax_minus_the_target(low, rows):
    x = np.random.default_rng(rows).normal(size=(rows, 4))
    x[0, 2], x[-1, 0] = low, low
    t = np.array([1, 3, 1])[:rows]
    logits = mg.tensor(x, requires_grad=True)
    mg.cross_entropy(logits, mg.tensor(t), reduction="sum").backward()
    softmax = np.exp(x) / np.exp(x).sum(1, keepdims=True)
    np.testing.assert_allclose(logits.grad._data, softmax - np.eye(4)[t], rtol=1e-9, atol=1e-12)


def test_conditions_in_conditions_choose_and_shut_as_they_are_written():
    """Whatever stands on either side: a literal 0 is shut, everything else is a slope."""
    c, d = np.array([True, True, False, False]), np.array([True, False, True, False])
    five, ones = np.full(4, 5.0), np.ones(4)
    leaves = [(0, (0, True)), (1, (1, False)), (five, (five, False)), (ones, (ones, False))]
    inner = [
        (gate(ieee, d, x, y), (np.where(d, a, b), np.where(d, s, t)))
        for (x, (a, s)), (y, (b, t)) in itertools.product(leaves, leaves)
    ]
    for (x, (a, s)), (y, (b, t)) in itertools.product([*leaves, *inner], [*leaves, *inner]):
        made = gate(ieee, c, x, y)
        shut = np.broadcast_to(made.shut, 4) if isinstance(made, Gate) else np.zeros(4, bool)
        slope = np.broadcast_to(made.slope if isinstance(made, Gate) else made, 4)
        wanted_shut = np.where(c, s, t)
        open_ = ~wanted_shut
        if not wanted_shut.all():
            assert slope[open_].tolist() == np.where(c, a, b)[open_].tolist()
            assert not shut[open_].any()
        assert (shut | (slope == 0))[wanted_shut].all()


def test_targets_that_are_none_at_all_lose_nothing():
    loss = mg.nn.functional.binary_cross_entropy_with_logits
    for shape in ((0,), (0, 3)):
        x = mg.zeros(shape, requires_grad=True)
        total = loss(x, mg.zeros(shape), reduction="sum")
        total.backward()
        assert total.item() == 0.0 and x.grad.shape == shape


def test_a_label_is_text():
    t = mg.tensor([1.0])
    t.label = 3
    assert t.label == "3"


@pytest.mark.control
def test_old_answers_are_noticed(monkeypatch):
    right = mg.cross_entropy
    with monkeypatch.context() as patch:  # a probability that is 0 has no logarithm
        patch.setattr(mg, "cross_entropy", lambda z, t, **how: right(z + 0 * z, t, **how))
        with pytest.raises(AssertionError), np.errstate(invalid="ignore"):
            test_the_slope_of_cross_entropy_is_the_softmax_minus_the_target(-np.inf, 3)
    monkeypatch.setattr(mg.Tensor, "__matmul__", lambda x, y: mg.tensor(x._data @ y._data))
    with pytest.raises(AssertionError):
        test_a_product_that_does_not_fit_says_which_lengths_differ((2, 3), (2, 3))
