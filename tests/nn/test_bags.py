"""`EmbeddingBag` と `F.embedding_bag`: 値と勾配を PyTorch と比べる。"""

import numpy as np
import pytest
from hypothesis import strategies as st

import micrograd_jp as mg
import micrograd_jp.nn.functional as F
from micrograd_jp import nn
from tests.reference import like_pytorch, torch

seeds = st.integers(0, 2**32 - 1)


@like_pytorch(
    seeds, st.sampled_from(["sum", "mean", "max"]), st.booleans(), st.booleans(),
    st.sampled_from([None, 0, -1]), st.booleans(), max_examples=40, kept=20,
)  # fmt: skip
def test_the_numbers_are_pytorchs(seed, mode, rows, weighted, padding, with_end):
    rng = np.random.default_rng(seed)
    w = rng.normal(size=(6, 3))
    numbers = rng.integers(0, 6, (4, 5) if rows else 11)
    given = {"mode": mode, "padding_idx": padding}
    offsets = None
    if not rows:
        offsets = np.array([0, 3, 3, 7] + [11] * with_end)
        given["include_last_offset"] = with_end
    weights = rng.normal(size=numbers.shape) if weighted and mode == "sum" else None
    found, slope = [], rng.normal(size=(4, 3))
    for library, G in ((mg, F), (torch, torch.nn.functional)):
        table = library.tensor(w, requires_grad=True)
        each = None if weights is None else library.tensor(weights, requires_grad=True)
        at = None if offsets is None else library.tensor(offsets)
        y = G.embedding_bag(library.tensor(numbers), table, at, per_sample_weights=each, **given)
        (y * library.tensor(slope)).sum().backward()
        found.append([y.detach().numpy(), table.grad.numpy()])
        if each is not None:
            found[-1].append(each.grad.numpy())
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, np.asarray(b), rtol=1e-9, atol=1e-12)


def test_the_module_is_the_function():
    w = np.random.default_rng(0).normal(size=(5, 3))
    bag = nn.EmbeddingBag.from_pretrained(mg.tensor(w), mode="sum", padding_idx=1)
    x = mg.tensor([0, 1, 4, 2])
    np.testing.assert_array_equal(bag(x, mg.tensor([0, 3])).data, [w[0] + w[4], w[2]])
    assert not bag.weight.requires_grad
    assert repr(bag) == "EmbeddingBag(5, 3, mode='sum', padding_idx=1)"
    drawn = nn.EmbeddingBag(5, 3, max_norm=0.5)
    assert (mg.norm(drawn(mg.tensor([[0], [1]])), 2, 1).data <= 0.5 + 1e-6).all()


def test_bags_in_jit_are_the_same():
    pytest.importorskip("jax", reason="needs JAX (extra accel)")
    w, x = mg.randn(5, 3), mg.tensor([[0, 1, 4], [2, 2, 0]])
    for mode in ("mean", "max"):
        bag = mg.jit(lambda w, mode=mode: F.embedding_bag(x, w, mode=mode, padding_idx=1))
        wanted = F.embedding_bag(x, w, mode=mode, padding_idx=1)
        np.testing.assert_allclose(np.asarray(bag(w).data), wanted.data, rtol=1e-5)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"mode": "min"}, "invalid mode"),
        ({"input": [1, 2]}, "invalid shape"),
        ({"offsets": [0]}, "invalid shape"),
        ({"input": [1, 2], "offsets": [1]}, "invalid offsets"),
        ({"input": [1, 2], "offsets": [0, 2, 1]}, "invalid offsets"),
        ({"input": [1, 2], "offsets": [0, 3]}, "invalid offsets"),
        ({"input": [1, 2], "offsets": [0, 1], "include_last_offset": True}, "invalid offsets"),
        ({"per_sample_weights": mg.ones(1, 2)}, "per_sample_weights"),
        ({"per_sample_weights": mg.ones(2), "mode": "sum"}, "per_sample_weights"),
        ({"input": [[9]]}, "範囲の外"),
    ],
)
def test_bad_bags_are_refused(given, told):
    given = {"input": [[0, 1]], **given}
    for name in ("input", "offsets"):
        if name in given:
            given[name] = mg.tensor(given[name])
    with pytest.raises(ValueError, match=told):
        F.embedding_bag(weight=mg.ones(3, 2), **given)
