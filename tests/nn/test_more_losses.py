"""PyTorch の損失のすべて: 乱数の形と設定で、値も勾配も PyTorch と等しい。折れ点でも。"""

import inspect
import warnings

import numpy as np
import pytest
from hypothesis import strategies as st
from loss_oracle import close, compare

import micrograd_jp as mg
import micrograd_jp.nn.functional as F
from micrograd_jp import nn
from micrograd_jp.testing import gradcheck
from tests.reference import like_pytorch, pytorch_answers, torch

seeds = st.integers(0, 2**32 - 1)
reductions = st.sampled_from(["mean", "sum", "none"])


def both(name, tensors, options, weights=()):
    """Values and the gradients of all floating inputs, of the functions and of the modules."""
    taken = {k: mg.tensor(v) if k in weights else v for k, v in options.items()}
    given = {k: torch.tensor(v) if k in weights else v for k, v in options.items()}
    a = [mg.tensor(x, requires_grad=x.dtype.kind == "f") for x in tensors]
    b = [torch.tensor(x, requires_grad=x.dtype.kind == "f") for x in tensors]
    y = getattr(F, name)(*a, **taken)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "reduction: 'mean' divides")
        z = getattr(torch.nn.functional, name)(*b, **given)
    close(y.data, z.detach())
    y.sum().backward()
    z.sum().backward()
    for p, q in zip(a, b):
        if p.requires_grad:
            close(p.grad.data, q.grad)


# ---- クラスの損失の、すべての組み合わせ ---------------------------------------------------------

class_shapes = st.sampled_from([(5,), (4, 3), (2, 3, 4), (2, 3, 2, 2)])


@like_pytorch(
    seeds, class_shapes, st.booleans(), st.sampled_from([0.0, 0.1, 1.0]),
    st.sampled_from([-100, 0, 1]), st.sampled_from([0.0, 0.4, 1.0]), reductions,
    max_examples=60, kept=40,
)  # fmt: skip
def test_ignored_classes_are_pytorchs(
    seed, shape, weighted, smoothing, ignore_index, ignored, reduction
):
    rng = np.random.default_rng(seed)
    axis = min(1, len(shape) - 1)
    t = np.asarray(rng.integers(0, shape[axis], shape[:axis] + shape[axis + 1 :]))
    t = np.where(rng.random(t.shape) < ignored, ignore_index, t)
    x, w = rng.normal(size=shape) * 3, rng.uniform(0.5, 2, shape[axis]) if weighted else None
    options = {"ignore_index": ignore_index, "reduction": reduction}
    pairs = [("nll_loss", options), ("cross_entropy", {**options, "label_smoothing": smoothing})]
    for name, given in pairs:
        compare(
            lambda x, t: getattr(F, name)(x, t, None if w is None else mg.tensor(w), **given),
            lambda x, t: getattr(torch.nn.functional, name)(
                x, t, None if w is None else torch.tensor(w), **given
            ),
            x, t,
        )  # fmt: skip


def test_ignored_rows_of_values_are_those_of_a_tensor():
    x = np.array([[0.5, -1.0], [2.0, 0.3], [0.1, 0.2]])
    rows = [[mg.Value(v) for v in row] for row in x]
    for options in ({}, {"weight": [1.0, 3.0]}, {"label_smoothing": 0.2}, {"reduction": "sum"}):
        ours = mg.cross_entropy(rows, [1, -100, 0], **options)
        close(ours.data, mg.cross_entropy(mg.tensor(x), mg.tensor([1, -100, 0]), **options).data)
    ours.backward()
    assert [v.grad for v in rows[1]] == [0.0, 0.0]
    assert np.isnan(mg.nll_loss(rows, [-100] * 3).data)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_ignored_classes_inside_jit(dtype):
    jnp = pytest.importorskip("jax.numpy", reason="jax がありません")
    x = mg.Tensor(jnp.asarray(np.arange(6.0).reshape(3, 2) % 4, dtype), requires_grad=True)
    t = mg.Tensor(jnp.asarray([1, -100, 0]))
    found = mg.jit(lambda x, t: mg.cross_entropy(x, t))(x, t)
    assert found.dtype == x.dtype
    plain = mg.cross_entropy(x.data[np.array([0, 2])], np.array([1, 0]))
    np.testing.assert_allclose(
        np.asarray(found.data, "f8"), np.asarray(plain.data, "f8"), rtol=1e-2
    )


# ---- 要素ごと -----------------------------------------------------------------------------------

SCALE = st.sampled_from([0.5, 1.0, 2.0])
ELEMENTS = {
    "mse_loss": ({}, "normal"), "l1_loss": ({}, "normal"),
    "smooth_l1_loss": ({"beta": st.sampled_from([0.0, 0.5, 1.0])}, "normal"),
    "huber_loss": ({"delta": SCALE}, "normal"),
    "binary_cross_entropy": ({}, "share"),
    "kl_div": ({"log_target": st.booleans()}, "share"),
    "poisson_nll_loss": ({"log_input": st.booleans(), "full": st.booleans()}, "count"),
    "soft_margin_loss": ({}, "sign"), "hinge_embedding_loss": ({"margin": SCALE}, "sign"),
}  # fmt: skip


@pytest.mark.parametrize("name", ELEMENTS)
@like_pytorch(
    seeds, lambda name: st.fixed_dictionaries(ELEMENTS[name][0]),
    st.lists(st.integers(1, 3), max_size=3), reductions, max_examples=20, kept=8,
)  # fmt: skip
def test_elementwise_losses_are_pytorchs(name, seed, options, shape, reduction):
    """On a grid of halves: often at a kink."""
    rng = np.random.default_rng(seed)
    kind = ELEMENTS[name][1]
    x = np.asarray(rng.integers(-4, 5, shape) / 2)
    t = np.asarray(rng.integers(-4, 5, shape) / 2)
    if kind == "share":
        x, t = np.asarray(rng.uniform(0.01, 0.99, shape)), np.asarray(rng.uniform(0.1, 1, shape))
    if kind == "count":
        x, t = np.asarray(rng.uniform(0.5, 2, shape)), np.asarray(rng.uniform(1.1, 4, shape))
    if kind == "sign":
        t = np.asarray(rng.choice([-1.0, 1.0], shape))
    fixed = t if kind != "sign" else t.astype(int)
    both(name, [x, fixed], {**options, "reduction": reduction})


def test_the_ends_of_probabilities_are_pytorchs():
    p = np.array([0.0, 0.0, 1.0, 1.0, 1e-13, 1e-13, 0.5, 0.0])
    t = np.array([0, 1, 0, 1, 0, 1, 1, 0.3])
    a, b = mg.tensor(p, requires_grad=True), torch.tensor(p, requires_grad=True)
    y = F.binary_cross_entropy(a, mg.tensor(t), reduction="none")
    z = torch.nn.functional.binary_cross_entropy(b, torch.tensor(t), reduction="none")
    y.sum().backward()
    z.sum().backward()
    close(y.data, z.detach())
    np.testing.assert_allclose(a.grad.data, np.asarray(b.grad), rtol=1e-9)
    values = [mg.Value(float(v)) for v in p]
    loss = F.binary_cross_entropy(values, t.tolist(), reduction="sum")
    loss.backward()
    assert loss.data == pytest.approx(y.data.sum()) and np.isfinite([v.grad for v in values]).all()


@like_pytorch(seeds, st.sampled_from(["batchmean", "mean"]), st.booleans(), max_examples=10, kept=6)
def test_a_divergence_of_a_batch_is_pytorchs(seed, reduction, log_target):
    rng = np.random.default_rng(seed)
    x = np.log(rng.dirichlet(np.ones(4), 3))
    t = rng.dirichlet(np.ones(4), 3)
    options = {"reduction": reduction, "log_target": log_target}
    both("kl_div", [x, np.log(t) if log_target else t], options)


def test_a_share_of_0_adds_nothing_to_a_divergence():
    t = mg.tensor([0.0, 1.0], requires_grad=True)
    loss = F.kl_div(mg.tensor([-5.0, -0.5]), t, reduction="sum")
    loss.backward()
    assert loss.item() == 0.5 and np.isfinite(t.grad.data).all()


@like_pytorch(
    seeds, st.sampled_from(["same", "last", "one", "number"]), st.booleans(), reductions,
    max_examples=20, kept=10,
)  # fmt: skip
def test_gaussians_are_pytorchs(seed, form, full, reduction):
    rng = np.random.default_rng(seed)
    x, t, v = rng.normal(size=(3, 2)), rng.normal(size=(3, 2)), rng.uniform(0, 2, (3, 2))
    v[0, 0] = 0.0  # below eps: the slope stays
    v = {"same": v, "last": v[:, 0], "one": v[:, :1], "number": None}[form]
    options = {"full": full, "reduction": reduction, "eps": 1e-2}
    if v is None:
        both("gaussian_nll_loss", [x, t], {**options, "var": 0.7})
    else:
        both("gaussian_nll_loss", [x, t, v], options)


# ---- いくつもの入力 -----------------------------------------------------------------------------


@like_pytorch(seeds, SCALE, reductions, max_examples=20, kept=8)
def test_rankings_and_margins_are_pytorchs(seed, margin, reduction):
    rng = np.random.default_rng(seed)
    x, y = rng.integers(-4, 5, (2, 6)) / 2
    t = rng.choice([-1, 1], 6)
    both("margin_ranking_loss", [x, y, t], {"margin": margin, "reduction": reduction})
    scores = rng.integers(-4, 5, (3, 4)) / 2
    w = rng.uniform(0.5, 2, 4)
    for p in (1, 2):
        for one in (slice(None), 0):
            options = {"p": p, "margin": margin, "reduction": reduction, "weight": w}
            target = np.asarray(rng.integers(0, 4, 3)[one])
            both("multi_margin_loss", [scores[one], target], options, ("weight",))
    labels = np.array([[2, 0, -1, 1], [-1, 0, 1, 2], [3, 1, 2, 0]])
    for one in (slice(None), 0):
        both("multilabel_margin_loss", [scores[one], labels[one]], {"reduction": reduction})
    options = {"reduction": reduction, "weight": w}
    both("multilabel_soft_margin_loss", [scores, rng.uniform(size=(3, 4))], options, ("weight",))


@like_pytorch(
    seeds, SCALE, st.sampled_from([1.0, 2.0, 3.0]), st.booleans(), reductions,
    max_examples=20, kept=8,
)  # fmt: skip
def test_similarities_are_pytorchs(seed, margin, p, swap, reduction):
    rng = np.random.default_rng(seed)
    a, b, c = rng.normal(size=(3, 4, 3))
    options = {"margin": margin, "reduction": reduction}
    both("triplet_margin_loss", [a, b, c], {**options, "p": p, "swap": swap})
    both("triplet_margin_with_distance_loss", [a, b, c], {**options, "swap": swap})
    options["margin"] = margin - 1
    both("cosine_embedding_loss", [a, b, rng.choice([-1, 1], 4)], options)
    both("cosine_embedding_loss", [a[0], b[0], np.asarray(-1)], options)


@like_pytorch(seeds, st.sampled_from([1.0, 2.0, 3.0]), st.sampled_from([0, 1, -1]), max_examples=15)
def test_lengths_and_angles_are_pytorchs(seed, p, dim):
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(2, 4, 3))
    a[1], b[:, 2] = 0.0, 0.0  # nothing to divide by
    both("normalize", [a], {"p": p, "dim": dim})
    both("cosine_similarity", [a, b], {"dim": dim})
    both("cosine_similarity", [a, b[:1]], {"dim": 1})
    both("pairwise_distance", [a, b], {"p": p, "keepdim": dim == 0})


WEIGHED = ["mse_loss", "l1_loss", "huber_loss"]


@like_pytorch(
    seeds, st.sampled_from(WEIGHED), st.sampled_from([(1,), (4,), (2, 3)]), reductions,
    max_examples=20, kept=12,
)  # fmt: skip
def test_weighted_elements_are_pytorchs(seed, name, shape, reduction):
    """Tensors and rows of Values; only a Huber loss's mean does not ask for the weights' sum."""
    rng = np.random.default_rng(seed)
    x, t, w = rng.normal(size=(3, *shape)) * 2
    ours, theirs = getattr(F, name), getattr(torch.nn.functional, name)
    compare(
        lambda x, t: ours(x, t, weight=mg.tensor(w), reduction=reduction),
        lambda x, t: theirs(x, t, weight=torch.tensor(w), reduction=reduction),
        x, t,
    )  # fmt: skip
    a = mg.tensor(x, requires_grad=True)
    y = ours(a, mg.tensor(t), weight=mg.tensor(w), reduction=reduction)
    y.sum().backward()
    values = [mg.Value(v) for v in x.ravel().tolist()]
    rows = np.reshape(np.array(values, object), shape).tolist()
    z = ours(rows, t.tolist(), weight=w.tolist(), reduction=reduction)
    close(y.data.ravel(), [v.data for v in z] if reduction == "none" else [z.data])
    (mg.sum(z) if reduction == "none" else z).backward()
    close(a.grad.data.ravel(), [v.grad for v in values])


@pytest.mark.parametrize(
    ("name", "shapes"),
    [
        ("smooth_l1_loss", 2), ("huber_loss", 2), ("binary_cross_entropy", 2), ("kl_div", 2),
        ("gaussian_nll_loss", 3), ("poisson_nll_loss", 2), ("triplet_margin_loss", 3),
        ("cosine_similarity", 2), ("pairwise_distance", 2), ("normalize", 1),
    ],
)  # fmt: skip
def test_second_derivatives(name, shapes):
    rng = np.random.default_rng(0)
    xs = [rng.uniform(0.2, 0.8, (2, 3)) for _ in range(shapes)]
    assert gradcheck(getattr(F, name), xs, order=2, allow_zero=True, rtol=1e-4)


@pytest.mark.parametrize("name", [n for n in ELEMENTS if n != "binary_cross_entropy"])
def test_values_and_tensors_agree(name):
    rng = np.random.default_rng(1)
    x, t = rng.uniform(0.1, 3, 5), np.array([1.0, -1.0, 1.0, 1.0, -1.0])
    values = [mg.Value(v) for v in x]
    a = mg.tensor(x, requires_grad=True)
    y, z = getattr(F, name)(a, mg.tensor(t)), getattr(F, name)(values, t.tolist())
    y.backward()
    z.backward()
    close(y.item(), z.data)
    close(a.grad.data, [v.grad for v in values])


# ---- 部品と引数 ---------------------------------------------------------------------------------


@pytorch_answers
def arguments_of_pytorch(torch, name):
    given = inspect.signature(getattr(torch.nn, name)).parameters.values()
    return [
        (p.name, p.default if p.default is not p.empty else "needed", int(p.kind)) for p in given
    ]


MODULES = {
    "MSELoss": 2, "L1Loss": 2, "SmoothL1Loss": 2, "HuberLoss": 2, "CrossEntropyLoss": 2,
    "NLLLoss": 2, "BCELoss": 2, "BCEWithLogitsLoss": 2, "KLDivLoss": 2, "GaussianNLLLoss": 3,
    "PoissonNLLLoss": 2, "SoftMarginLoss": 2, "HingeEmbeddingLoss": 2, "MarginRankingLoss": 3,
    "MultiMarginLoss": 2, "MultiLabelMarginLoss": 2, "MultiLabelSoftMarginLoss": 2,
    "CosineEmbeddingLoss": 3, "TripletMarginLoss": 3, "TripletMarginWithDistanceLoss": 3,
    "CosineSimilarity": 2, "PairwiseDistance": 2,
}  # fmt: skip


@pytest.mark.parametrize("name", MODULES)
def test_the_arguments_of_modules_are_pytorchs(name):
    ours = inspect.signature(getattr(nn, name)).parameters.values()
    found = [(p.name, "needed" if p.default is p.empty else p.default, int(p.kind)) for p in ours]
    assert found == [tuple(x) for x in arguments_of_pytorch(name)]


def test_modules_pass_their_settings_on():
    rng = np.random.default_rng(0)
    x, t = mg.tensor(rng.normal(size=(3, 4))), mg.tensor(rng.normal(size=(3, 4)))
    loss = nn.SmoothL1Loss(beta=0.3, reduction="sum")
    assert loss(x, t).item() == F.smooth_l1_loss(x, t, beta=0.3, reduction="sum").item()
    w = mg.tensor([1.0, 2.0, 3.0, 4.0])
    loss = nn.CrossEntropyLoss(weight=w, ignore_index=1)
    classes = mg.tensor([0, 1, 2])
    assert loss(x, classes).item() == F.cross_entropy(x, classes, w, ignore_index=1).item()
    assert list(loss.state_dict()) == ["weight"]
    distance = nn.TripletMarginWithDistanceLoss(distance_function=lambda a, b: (a - b).abs().sum(1))
    assert distance(x, x, t).item() == pytest.approx(
        np.maximum(1 - np.abs(x.data - t.data).sum(1), 0).mean()
    )


@pytest.mark.parametrize(
    ("old", "wanted"),
    [
        ({"size_average": False}, "sum"), ({"reduce": False}, "none"),
        ({"size_average": True}, "mean"), ({"size_average": False, "reduce": True}, "sum"),
    ],
)  # fmt: skip
def test_old_arguments_warn_and_are_understood(old, wanted):
    with pytest.warns(UserWarning, match=f"reduction='{wanted}'"):
        loss = nn.MSELoss(**old)
    assert loss.reduction == wanted
    x = mg.ones(2, 3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        y = F.mse_loss(x, x * 2, **old)
    assert y.tolist() == F.mse_loss(x, x * 2, reduction=wanted).tolist()


X = mg.ones(2, 3)


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: nn.MSELoss("sum"), TypeError, "reduction='sum'"),
        (lambda: nn.MSELoss(3, 4, 5, 6), TypeError, "wrong arguments"),
        (lambda: nn.GaussianNLLLoss(True), TypeError, "wrong arguments"),
        (lambda: F.huber_loss(X, X, delta=0), ValueError, "delta > 0"),
        (lambda: F.smooth_l1_loss(X, X, beta=-1), ValueError, "beta >= 0"),
        (lambda: F.binary_cross_entropy(X * 2, X), ValueError, "確率は 0 以上"),
        (lambda: F.kl_div(X, X, reduction="average"), ValueError, "batchmean"),
        (lambda: F.gaussian_nll_loss(X, X, -X), ValueError, "negative"),
        (lambda: F.gaussian_nll_loss(X, X, mg.ones(3, 2)), ValueError, "incorrect size"),
        (lambda: F.multi_margin_loss(X, mg.tensor([0, 1]), p=3), ValueError, "p == 1"),
        (lambda: F.multi_margin_loss(X, mg.tensor([0, 3])), ValueError, "out of range"),
        (lambda: F.multilabel_margin_loss(X, X), TypeError, "integer"),
        (lambda: F.triplet_margin_loss(X, X, X, margin=0), ValueError, "greater than 0"),
        (lambda: F.triplet_margin_loss(X, X, mg.ones(3)), ValueError, "shape mismatch"),
        (lambda: F.cosine_embedding_loss(X, X, mg.ones(3)), ValueError, "shape mismatch"),
        (lambda: F.cosine_embedding_loss(X, X, mg.zeros(2)), ValueError, "-1 or 1"),
        (lambda: F.margin_ranking_loss(X, X, mg.ones(2)), ValueError, "shape mismatch"),
        *[
            (lambda n=n, x=x, w=w: getattr(F, n)(x, x, weight=w), ValueError, f"{n} の出力と重み")
            for n in WEIGHED
            for x, w in ((X, mg.ones(3)), ([mg.Value(1.0)] * 2, [1.0] * 3))
        ],
    ],
)
def test_bad_arguments(call, error, match):
    with pytest.raises(error, match=match):
        call()
