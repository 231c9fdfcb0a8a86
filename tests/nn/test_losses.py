"""損失: PyTorch との比較、`Value` と `Tensor` の一致、±1000、性質、正解の誤り。"""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from loss_oracle import close, compare

import micrograd_jp as mg
import micrograd_jp.nn.functional as F
from micrograd_jp import nn
from micrograd_jp.compiler.pipeline import EXECUTORS
from micrograd_jp.graph import topological_order
from micrograd_jp.testing import gradcheck
from tests.reference import like_pytorch, torch

seeds = st.integers(0, 2**32 - 1)
reductions = st.sampled_from(["mean", "sum", "none"])


def both_kinds(loss, x, t, **options):
    """The same loss of a Tensor and of lists of Values, with gradients."""
    a = mg.tensor(np.array(x, dtype=float), requires_grad=True)
    y = loss(a, mg.tensor(np.asarray(t)), **options)
    leaves = [mg.Value(v) for v in a.detach().numpy().ravel()]
    n = a.shape[-1]
    rows = leaves if a.ndim == 1 else [leaves[i : i + n] for i in range(0, a.size, n)]
    t = np.asarray(t).tolist()
    z = loss(rows, t, **options)
    if isinstance(z, list):
        close(np.ravel(y.tolist()), [v.data for v in z])
        z = mg.sum(z)
    else:
        close(y.tolist(), z.data)
    y.sum().backward()
    z.backward()
    close(a.grad.data.ravel(), [v.grad for v in leaves])


# ---- クラス ---------------------------------------------------------------------------------

shapes = st.tuples(st.integers(1, 4), st.integers(1, 5)) | st.tuples(
    st.integers(1, 3), st.integers(1, 4), st.integers(1, 3)
) | st.tuples(st.integers(1, 5))  # fmt: skip


def class_targets(rng, shape, probabilities):
    axis = min(1, len(shape) - 1)
    n, rest = shape[axis], shape[:axis] + shape[axis + 1 :]
    if not probabilities:
        return np.asarray(rng.integers(0, n, rest))
    p = rng.uniform(0.1, 1, shape)
    return p / p.sum(axis, keepdims=True)


@like_pytorch(
    seeds,
    shapes,
    st.booleans(),
    st.booleans(),
    st.sampled_from([0.0, 0.1, 1.0]),
    reductions,
    max_examples=60,
    kept=40,
)
def test_cross_entropy_is_pytorchs(seed, shape, probabilities, weighted, smoothing, reduction):
    rng = np.random.default_rng(seed)
    x, t = rng.normal(size=shape) * 3, class_targets(rng, shape, probabilities)
    w = rng.uniform(0.5, 2, shape[min(1, len(shape) - 1)]) if weighted else None
    options = {"reduction": reduction, "label_smoothing": smoothing}
    compare(
        lambda x, t: mg.cross_entropy(x, t, None if w is None else mg.tensor(w), **options),
        lambda x, t: torch.nn.functional.cross_entropy(
            x, t, None if w is None else torch.tensor(w), **options
        ),
        x, t,
    )  # fmt: skip


@like_pytorch(seeds, shapes, st.booleans(), reductions, max_examples=25, kept=15)
def test_nll_is_pytorchs(seed, shape, weighted, reduction):
    rng = np.random.default_rng(seed)
    x, t = rng.normal(size=shape), class_targets(rng, shape, False)
    w = rng.uniform(0.5, 2, shape[min(1, len(shape) - 1)]) if weighted else None
    compare(
        lambda x, t: mg.nll_loss(x, t, w, reduction=reduction),
        lambda x, t: torch.nn.functional.nll_loss(
            x, t, None if w is None else torch.tensor(w), reduction=reduction
        ),
        x, t,
    )  # fmt: skip


@like_pytorch(
    seeds,
    st.integers(1, 4),
    st.integers(2, 5),
    st.floats(0, 3),
    reductions,
    max_examples=25,
    kept=12,
)
def test_hinge_against_the_definition_in_pytorch(seed, n, c, margin, reduction):
    def theirs(x, t):
        right = torch.nn.functional.one_hot(t, c).bool()
        best = x.masked_fill(right, -torch.inf).amax(1)
        losses = torch.relu(best - x[right] + margin)
        return losses if reduction == "none" else getattr(losses, reduction)()

    rng = np.random.default_rng(seed)
    x, t = rng.normal(size=(n, c)), rng.integers(0, c, n)
    compare(lambda x, t: mg.hinge_loss(x, t, margin, reduction), theirs, x, t)


@settings(max_examples=40)
@given(
    seeds, st.integers(1, 3), st.integers(2, 4), st.sampled_from(["index", "p", "one-hot"]),
    st.booleans(), st.sampled_from([0.0, 0.2]), reductions,
)  # fmt: skip
def test_values_and_tensors_agree_on_classes(seed, n, c, kind, weighted, smoothing, reduction):
    rng = np.random.default_rng(seed)
    x, t = rng.normal(size=(n, c)) * 3, class_targets(rng, (n, c), kind == "p")
    options = {"reduction": reduction}
    both_kinds(mg.hinge_loss, x, rng.integers(0, c, n), margin=0.7, **options)
    if weighted:
        options["weight"] = rng.uniform(0.5, 2, c)
    if kind == "index":
        both_kinds(mg.nll_loss, x, t, **options)
    if kind == "one-hot":
        t = np.eye(c, dtype=int)[t]
    both_kinds(mg.cross_entropy, x, t, label_smoothing=smoothing, **options)
    both_kinds(mg.cross_entropy, x[0], t[0], label_smoothing=smoothing, **options)


@like_pytorch(seeds, st.integers(1, 4), st.booleans(), st.sampled_from([0.0, 0.2]), max_examples=30)
def test_values_as_targets_are_pytorchs_whatever_their_sum(seed, c, weighted, smoothing):
    rng = np.random.default_rng(seed)
    x, t = rng.normal(size=c) * 3, rng.uniform(-1, 1, c)
    weight = rng.uniform(0.5, 2, c) if weighted else None
    a, b = [[mg.Value(v) for v in row.tolist()] for row in (x, t)]
    loss = mg.cross_entropy(a, b, weight=weight, label_smoothing=smoothing)
    loss.backward()
    u, v = torch.tensor(x, requires_grad=True), torch.tensor(t, requires_grad=True)
    weight = None if weight is None else torch.tensor(weight)
    theirs = torch.nn.functional.cross_entropy(u, v, weight, label_smoothing=smoothing)
    theirs.backward()
    close(loss.data, theirs.detach())
    close([z.grad for z in a], u.grad)
    close([z.grad for z in b], v.grad)


@pytest.mark.parametrize("executor", sorted(EXECUTORS))
def test_compiled_targets_count_for_what_they_sum_to(executor):
    if executor == "tape":
        pytest.importorskip("llvmlite", reason="needs llvmlite (extra fast)")
    w = [mg.Value(v) for v in (0.5, -1.0, 2.0)]
    loss = mg.compile(lambda x, t: mg.cross_entropy([a * b for a, b in zip(w, x)], t),
                      dtype="float64", executor=executor)  # fmt: skip
    x, t = np.array([[1.0, 2.0, 3.0]] * 3), np.array([[0, 0, 0], [0, 1, 0], [0.2, 0, 0.5]])
    z = mg.tensor(x * [v.data for v in w])
    close(loss(x, t).detach().numpy(), -(mg.log_softmax(z, 1).numpy() * t).sum(1))


def test_class_numbers_and_one_hot_rows_of_values_cost_two_nodes():
    x = [mg.Value(v) for v in (0.5, -1.0, 2.0)]
    index = mg.cross_entropy(x, 2)
    assert len([n for n in topological_order(index) if not n.is_leaf]) == 2
    assert mg.cross_entropy(x, [0, 0, 1]).data == index.data


@given(seeds, st.floats(-1000, 1000))
def test_cross_entropy_and_hinge_do_not_change_when_all_logits_shift(seed, shift):
    rng = np.random.default_rng(seed)
    x, t = rng.normal(size=(3, 4)), mg.tensor(rng.integers(0, 4, 3))
    for loss in (mg.cross_entropy, mg.hinge_loss):
        a, b = (mg.tensor(v, requires_grad=True) for v in (x, x + shift))
        for v in (a, b):
            loss(v, t).backward()
        assert loss(a, t).item() == pytest.approx(loss(b, t).item(), abs=1e-11)
        np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy(), atol=1e-11)
        np.testing.assert_allclose(a.grad.numpy().sum(1), 0, atol=1e-12)


@pytest.mark.parametrize("dtype", [mg.float32, mg.float64])
def test_stable_at_a_thousand(dtype):
    x = mg.tensor([[1000.0, -1000.0, 0.0]] * 3, dtype=dtype, requires_grad=True)
    losses = mg.cross_entropy(x, [0, 1, 2], reduction="none")
    losses.sum().backward()
    assert losses.tolist() == [0.0, 2000.0, 1000.0]
    assert x.grad.tolist() == [[0, 0, 0], [1, -1, 0], [1, 0, -1]]
    assert losses.dtype == x.grad.dtype == dtype
    z = mg.tensor([1000.0, -1000.0, 1000.0, -1000.0], dtype=dtype, requires_grad=True)
    losses = F.binary_cross_entropy_with_logits(z, mg.tensor([1, 0, 0, 1]), reduction="none")
    losses.sum().backward()
    assert losses.tolist() == [0.0, 0.0, 1000.0, 1000.0]
    assert z.grad.tolist() == [0.0, 0.0, 1.0, -1.0]
    row = [mg.Value(v) for v in (1000.0, -1000.0, 0.0)]
    loss = mg.cross_entropy(row, 1)
    loss.backward()
    assert (loss.data, [v.grad for v in row]) == (2000.0, [1.0, -1.0, 0.0])


def test_small_binary_losses_keep_their_digits():
    z = mg.tensor([40.0, -40.0], dtype=mg.float64, requires_grad=True)
    losses = F.binary_cross_entropy_with_logits(z, mg.tensor([1, 0]), reduction="none")
    losses.sum().backward()
    assert losses.tolist() == pytest.approx([np.exp(-40.0)] * 2, rel=1e-12)
    assert z.grad.tolist() == pytest.approx([-np.exp(-40.0), np.exp(-40.0)], rel=1e-12)


# ---- 要素ごと -------------------------------------------------------------------------------

ELEMENTWISE = {
    "mse_loss": lambda y, t, r: torch.nn.functional.mse_loss(y, t, reduction=r),
    "l1_loss": lambda y, t, r: torch.nn.functional.l1_loss(y, t, reduction=r),
    "binary_cross_entropy_with_logits": lambda y, t, r: (
        torch.nn.functional.binary_cross_entropy_with_logits(y, t, reduction=r)
    ),
    "sum_squared_error": lambda y, t, r: torch.nn.functional.mse_loss(y, t, reduction=r) * 0.5,
}


@like_pytorch(
    seeds,
    st.sampled_from(sorted(ELEMENTWISE)),
    st.lists(st.integers(1, 3)),
    reductions,
    max_examples=40,
    kept=30,
)
def test_elementwise_losses_are_pytorchs(seed, name, shape, reduction):
    rng = np.random.default_rng(seed)
    x, t = rng.normal(size=shape[:3]), rng.uniform(size=shape[:3])
    compare(
        lambda y, t: getattr(mg, name)(y, t, reduction=reduction),
        lambda y, t: ELEMENTWISE[name](y, t, reduction),
        np.asarray(x), np.asarray(t),
    )  # fmt: skip


@like_pytorch(seeds, st.booleans(), st.booleans(), reductions, max_examples=15, kept=12)
def test_weights_of_the_binary_loss_are_pytorchs(seed, weighted, positive, reduction):
    rng = np.random.default_rng(seed)
    x, t, *ws = rng.normal(size=(2, 3)), rng.uniform(size=(2, 3)), *rng.uniform(1, 2, (2, 3))
    ws = [w if given else None for w, given in zip(ws, (weighted, positive))]
    compare(
        lambda y, t: nn.BCEWithLogitsLoss(ws[0], reduction=reduction, pos_weight=ws[1])(y, t),
        lambda y, t: torch.nn.BCEWithLogitsLoss(
            *[None if w is None else torch.tensor(w) for w in ws[:1]], reduction=reduction,
            pos_weight=None if ws[1] is None else torch.tensor(ws[1]),
        )(y, t),
        x, t,
    )  # fmt: skip


@settings(max_examples=40)
@given(seeds, st.sampled_from([*ELEMENTWISE, "hinge_loss"]), st.integers(1, 4), reductions)
def test_values_and_tensors_agree_element_by_element(seed, name, n, reduction):
    rng = np.random.default_rng(seed)
    binary = name == "binary_cross_entropy_with_logits"
    t = rng.choice([-1.0, 1.0], n) if name == "hinge_loss" else rng.normal(size=n)
    if binary:
        t = rng.choice([0.0, 1.0, 0.3], n)
    x = rng.normal(size=n)
    assume(np.abs(1 - t * x).min() > 1e-6)
    both_kinds(getattr(mg, name), x, t, reduction=reduction)
    if name != "hinge_loss":
        both_kinds(getattr(mg, name), x.reshape(1, n), t.reshape(1, n), reduction=reduction)


def test_the_line_by_hand():
    # x = 3 → 7 and x = 9 → 13 with y = 3x − 8: E = 36, ∂E/∂w = 36, ∂E/∂b = 0.
    w, b = mg.Value(3.0), mg.Value(-8.0)
    error = mg.sum_squared_error([w * x + b for x in (3, 9)], [7, 13])
    error.backward()
    assert (error.data, w.grad, b.grad) == (36.0, 36.0, 0.0)


def test_micrograds_binary_hinge():
    scores = [mg.Value(0.3), mg.Value(-2.0), mg.Value(2.0)]
    loss = mg.hinge_loss(scores, [1, 1, 1])
    assert loss.data == pytest.approx((0.7 + 3.0 + 0.0) / 3)
    assert mg.hinge_loss(scores[0], -1).data == 1.3
    assert mg.hinge_loss(scores[0], mg.Value(-1.0)).data == 1.3
    assert mg.hinge_loss(mg.tensor(0.25), mg.tensor(1)).item() == 0.75


def test_squares_of_values_use_one_dot():
    ys = [mg.Value(1.0), mg.Value(2.0)]
    made = [n.op.name for n in topological_order(mg.mse_loss(ys, [0, 0])) if not n.is_leaf]
    assert sorted(made) == ["div", "dot", "sub", "sub"]


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize(
    "f",
    [
        lambda x: mg.cross_entropy(x, [2, 0], reduction="none"),
        lambda x: mg.cross_entropy(x, [2, 0], [1.0, 2.0, 3.0], label_smoothing=0.1),
        lambda x: mg.cross_entropy(x, np.array([[0.1, 0.2, 0.7], [0.5, 0.5, 0]]), reduction="sum"),
        lambda x: mg.binary_cross_entropy_with_logits(x, np.full((2, 3), 0.3), pos_weight=2.0),
        lambda x: mg.sum_squared_error(x, np.ones((2, 3))),
        lambda x: mg.hinge_loss(x**2, [2, 0]),
        lambda x: mg.l1_loss(x**2, np.full((2, 3), 50.0)),
    ],
)
def test_gradcheck(f, order):
    x = np.array([[0.5, -1.0, 2.0], [1.5, 0.2, -0.4]])
    assert gradcheck(f, [x], order=order, allow_zero=True, rtol=1e-5)


def test_a_wrong_loss_would_be_noticed():
    with pytest.raises(AssertionError):
        compare(
            lambda x, t: mg.cross_entropy(x, t) * 1.001,
            lambda x, t: torch.nn.functional.cross_entropy(x, t),
            np.array([[0.5, 1.0]]), np.array([0]),
        )  # fmt: skip


def test_modules_pass_everything_on():
    x, t = mg.randn(4, 3), mg.tensor([0, 1, 2, 0])
    w = mg.tensor([1.0, 2.0, 3.0])
    pairs = [
        (
            nn.CrossEntropyLoss(w, reduction="sum", label_smoothing=0.1),
            mg.cross_entropy(x, t, w, reduction="sum", label_smoothing=0.1),
        ),
        (nn.NLLLoss(w, reduction="sum"), mg.nll_loss(x, t, w, reduction="sum")),
        (nn.HingeLoss(0.5, reduction="sum"), mg.hinge_loss(x, t, 0.5, "sum")),
    ]
    for module, expected in pairs:
        assert module(x, t).item() == expected.item()
        assert module.parameters() == []
    y = x + 1
    for module, expected in (
        (nn.MSELoss(reduction="sum"), 12.0), (nn.L1Loss(), 1.0), (nn.SumSquaredError(), 6.0),
    ):  # fmt: skip
        assert module(y, x).item() == pytest.approx(expected, rel=1e-5)
    assert repr(nn.MSELoss(reduction="sum")) == "MSELoss(reduction='sum')"


def test_float32_logits_keep_their_dtype_whatever_the_targets():
    x = mg.randn(2, 3, requires_grad=True)
    for t in (np.full((2, 3), 1 / 3), np.eye(3, dtype=int)[:2], np.array([0, 2], dtype=np.uint8)):
        assert mg.cross_entropy(x, t).dtype == mg.float32
    assert mg.cross_entropy(x, [0, 1], np.ones(3)).dtype == mg.float32
    assert mg.mse_loss(x, np.zeros((2, 3))).dtype == mg.float32
    assert mg.mse_loss(x, np.zeros((2, 3), dtype=int)).dtype == mg.float32


X, ROW = mg.ones(2, 3), [mg.Value(0.0)] * 3


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: mg.cross_entropy(X, [0, 3]), ValueError, "out of range.*3"),
        (lambda: mg.cross_entropy(X, [0, -1]), ValueError, "out of range.*-1"),
        (lambda: mg.cross_entropy(X, [0, 1, 2]), ValueError, r"\(2, 3\) に正解 \(3,\)"),
        (lambda: mg.cross_entropy(X, mg.ones(2, 1)), ValueError, "target shape mismatch"),
        (lambda: mg.cross_entropy(X, [0.5, 1.0]), TypeError, "expected integer.*float32"),
        (lambda: mg.cross_entropy(X, [0.0, 1.0]), TypeError, "expected integer.*float32"),
        (lambda: mg.cross_entropy(X, [True, False]), TypeError, "expected integer.*bool"),
        (lambda: mg.cross_entropy(X, X), ValueError, "not a probability.*和が 3"),
        (lambda: mg.cross_entropy(X, [[2, -1, 0], [1, 0, 0]]), ValueError, "負の数 -1"),
        (lambda: mg.cross_entropy(X, X * float("nan")), ValueError, "not a probability"),
        (lambda: mg.cross_entropy(mg.tensor(1.0), 0), ValueError, "expected a class axis"),
        (lambda: mg.cross_entropy(mg.ones(2, 0), [0, 0]), ValueError, "expected a class axis"),
        (lambda: mg.cross_entropy(X, [0, 1], [1.0, 2.0]), ValueError, "weight shape"),
        (lambda: mg.cross_entropy(X, [0, 1], label_smoothing=2), ValueError, "label_smoothing"),
        (lambda: mg.cross_entropy(X, [0, 1], reduction="avg"), ValueError, "unknown reduction"),
        (lambda: mg.cross_entropy(ROW, 3), ValueError, "out of range"),
        (lambda: mg.cross_entropy(ROW, 1.0), TypeError, "class index or a distribution"),
        (lambda: mg.cross_entropy(ROW, True), TypeError, "class index or a distribution"),
        (lambda: mg.cross_entropy(ROW, mg.Value(1.0)), TypeError, "class index"),
        (lambda: mg.cross_entropy(ROW, [0.5, 0.5]), ValueError, "length mismatch"),
        (lambda: mg.cross_entropy(ROW, [0.5, 0.1, 0.1]), ValueError, "not a probability"),
        (lambda: mg.cross_entropy(ROW, [1.5, -0.5, 0]), ValueError, "not a probability"),
        (lambda: mg.cross_entropy([], 0), ValueError, "expected a list of Values"),
        (lambda: mg.cross_entropy([ROW, ROW], [0]), ValueError, "batch size mismatch"),
        (lambda: mg.cross_entropy(ROW, 0, weight=[1.0]), ValueError, "weight shape"),
        (lambda: mg.nll_loss(X, [0, 5]), ValueError, "out of range"),
        (lambda: mg.nll_loss(ROW, 0.5), TypeError, "class index"),
        (lambda: mg.mse_loss(X, mg.ones(3)), ValueError, r"\(2, 3\) と \(3,\)"),
        (lambda: mg.mse_loss(X, 1.0), ValueError, "shape mismatch"),
        (lambda: mg.mse_loss(ROW, [1, 2]), ValueError, "length mismatch"),
        (lambda: mg.mse_loss(ROW, 1), ValueError, "length mismatch"),
        (lambda: mg.mse_loss(ROW[0], [1]), ValueError, "shape mismatch"),
        (lambda: mg.binary_cross_entropy_with_logits(X, X * 2), ValueError, "target out of range"),
        (lambda: mg.binary_cross_entropy_with_logits(ROW, [0, 1, -1]), ValueError, "out of range"),
        (lambda: mg.hinge_loss(X, X * 0.5), ValueError, "expected -1 or 1"),
        (lambda: mg.hinge_loss(ROW, [0, 1, 1]), ValueError, "expected -1 or 1"),
        (lambda: mg.hinge_loss(X, [0, 3]), ValueError, "out of range"),
        (lambda: mg.hinge_loss(ROW, 3), ValueError, "out of range"),
        (lambda: mg.hinge_loss(mg.ones(2, 1), [0, 0]), ValueError, "2 or more classes"),
        (lambda: mg.hinge_loss([mg.Value(1.0)], 0), ValueError, "2 or more classes"),
        (lambda: nn.MSELoss(reduction="average"), ValueError, "unknown reduction"),
    ],
)
def test_bad_targets(call, error, match):
    with pytest.raises(error, match=match):
        call()


def test_targets_of_nothing_are_no_mistake():
    """There is no smallest number among none to be outside of 0 and 1."""
    nothing = mg.zeros(0, 3, requires_grad=True)
    for loss in (F.binary_cross_entropy_with_logits, F.cross_entropy):
        loss(nothing, mg.zeros(0, 3), reduction="sum").backward()
        assert nothing.grad.shape == (0, 3)
