"""注意機構と Transformer: PyTorch との比較、性質、使い方の誤り。"""

import warnings

import numpy as np
import pytest
from hypothesis import strategies as st

import micrograd_jp as mg
import micrograd_jp.nn.functional as F
from micrograd_jp import nn
from tests.reference import like_pytorch, pytorch_answers

seeds, flags = st.integers(0, 2**32 - 1), st.booleans()
masks = st.sampled_from([None, "bool", "float", "blind"])


def mask_of(kind, rng, shape):
    """An array for a mask: booleans, numbers, or booleans with a row that sees nothing."""
    if kind is None:
        return None
    if kind == "float":
        return rng.normal(size=shape)
    mask = rng.random(shape) < 0.7
    mask[..., 0] = True
    if kind == "blind":
        mask[..., 0, :] = False
    return mask


def gradients(m, out, leaves, parameters=()):
    flat = [y for y in out if y is not None]
    sum((y * y * y).sum() for y in flat).backward()
    found = [*flat, *[p.grad for p in [*leaves, *parameters] if p.grad is not None]]
    return [y.detach().numpy() for y in found]


def products(m, seed, batch, sizes, mask, causal, scale, gqa):
    """Scaled dot products, and the gradients."""
    rng, (length, keys) = np.random.default_rng(seed), sizes
    kv = (1,) if gqa else batch[-1:]
    shapes = [(*batch, length, 4), (*batch[:-1], *kv, keys, 4), (*batch[:-1], *kv, keys, 3)]
    leaves = [m.tensor(rng.normal(size=shape), requires_grad=True) for shape in shapes]
    given = None if causal else mask_of(mask, rng, (*batch[1:], length, keys))
    given = None if given is None else m.tensor(given)
    y = m.nn.functional.scaled_dot_product_attention(
        *leaves, attn_mask=given, is_causal=causal, scale=scale, enable_gqa=gqa
    )
    return gradients(m, [y], leaves)


def heads(m, seed, how, apart, mask, padding, need, average):
    """A layer of attention over queries, keys and values that may be the same."""
    rng, bf = np.random.default_rng(seed), how.get("batch_first", False)
    layer = m.nn.MultiheadAttention(4, 2, **how).double()
    widths = (4, how.get("kdim", 4), how.get("vdim", 4))
    lengths = (3, 5, 5) if apart else (3, 3, 3)
    leaves = [
        m.tensor(rng.normal(size=(2, n, w) if bf else (n, 2, w)), requires_grad=True)
        for n, w in zip(lengths, widths)
    ]
    xs = leaves if apart else [leaves[0]] * 3
    keys = lengths[1]
    given = {}
    if mask:
        numbers = mask_of(mask, rng, (4, 3, keys) if need else (3, keys))
        given["attn_mask"] = m.tensor(~numbers if numbers.dtype == bool else numbers)
    if padding:
        shut = np.zeros((2, keys), bool)
        shut[0, -1] = True
        given["key_padding_mask"] = m.tensor(shut)
    state = {k: m.tensor(rng.uniform(-1, 1, v.shape)) for k, v in layer.state_dict().items()}
    layer.load_state_dict(state)
    out = layer(*xs, need_weights=need, average_attn_weights=average, **given)
    return [*gradients(m, out, leaves, layer.parameters()), list(state)]


def layers(m, seed, kind, how, masked, padded):
    """A layer of a transformer, an encoder, a decoder or both."""
    rng = np.random.default_rng(seed)
    bf = how["batch_first"]
    shape = lambda n: (2, n, 4) if bf else (n, 2, 4)
    src, tgt = (m.tensor(rng.normal(size=shape(n)), requires_grad=True) for n in (4, 3))
    causal = m.nn.Transformer.generate_square_subsequent_mask(3, dtype=m.float64)
    shut = np.zeros((2, 4), bool)
    shut[1, 2:] = True
    shut = m.tensor(shut) if padded else None
    small = {"d_model": 4, "nhead": 2, "dim_feedforward": 5, "dropout": 0.0, **how}
    if kind == "encoder":
        layer = m.nn.TransformerEncoder(
            m.nn.TransformerEncoderLayer(**small), 2, m.nn.LayerNorm(4), enable_nested_tensor=False
        )
        call = lambda: layer(src, src_key_padding_mask=shut)
    elif kind == "decoder":
        layer = m.nn.TransformerDecoder(m.nn.TransformerDecoderLayer(**small), 2)
        call = lambda: layer(tgt, src, causal if masked else None, memory_key_padding_mask=shut)
    else:
        layer = m.nn.Transformer(num_encoder_layers=1, num_decoder_layers=1, **small)
        call = lambda: layer(src, tgt, tgt_mask=causal if masked else None,
                             src_key_padding_mask=shut, memory_key_padding_mask=shut)  # fmt: skip
    layer = layer.double()
    state = {k: m.tensor(rng.uniform(-1, 1, v.shape)) for k, v in layer.state_dict().items()}
    layer.load_state_dict(state)
    out = gradients(m, [call()], [src, tgt], layer.parameters())
    with m.no_grad():
        layer.eval()
        return [*out, call().numpy(), list(state)]


PROGRAMS = {"products": products, "heads": heads, "layers": layers}


@pytorch_answers
def of_pytorch(torch, name, *args):
    with warnings.catch_warnings():  # on what it does faster, and how
        warnings.simplefilter("ignore", UserWarning)
        return PROGRAMS[name](torch, *args)


def agree(name, *args):
    for a, b in zip(PROGRAMS[name](mg, *args), of_pytorch(name, *args), strict=True):
        if isinstance(a, list):
            assert a == list(b)
        else:
            np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-10)


@like_pytorch(
    seeds, st.sampled_from([(1,), (2, 2), (1, 2, 2)]),
    st.tuples(st.integers(1, 4), st.integers(1, 4)), masks, flags,
    st.sampled_from([None, 0.3]), flags, max_examples=20, kept=10,
)  # fmt: skip
def test_scaled_dot_products(seed, batch, sizes, mask, causal, scale, gqa):
    agree("products", seed, batch, sizes, mask, causal, scale, gqa and len(batch) == 3)


@like_pytorch(
    seeds, flags, flags, flags, flags, flags, st.sampled_from([None, "bool", "float"]), flags,
    flags, flags, max_examples=15, kept=10,
)  # fmt: skip
def test_multihead_attention(
    seed, bias, added, zero, wide, batch_first, mask, apart, padding, need
):
    how = {"bias": bias, "batch_first": batch_first, "add_bias_kv": added, "add_zero_attn": zero}
    how |= {"kdim": 3, "vdim": 2} if wide else {}
    agree("heads", seed, how, apart or wide, mask, padding, need, need and bias)


@like_pytorch(
    seeds, st.sampled_from(["encoder", "decoder", "both"]), flags, flags,
    st.sampled_from(["relu", "gelu"]), flags, flags, flags, max_examples=8, kept=6, large=20_000,
)  # fmt: skip
def test_transformers(seed, kind, batch_first, norm_first, activation, bias, masked, padded):
    how = {
        "batch_first": batch_first, "norm_first": norm_first, "activation": activation, "bias": bias
    }  # fmt: skip
    agree("layers", seed, kind, how, masked, padded)


def test_a_single_sequence_is_a_batch_of_one():
    mg.manual_seed(0)
    layer, x = nn.MultiheadAttention(4, 2), mg.randn(3, 4)
    one, weights = layer(x, x, x)
    many, others = layer(*[x.unsqueeze(1)] * 3)
    np.testing.assert_allclose(one.data, many.data[:, 0], rtol=1e-6)
    np.testing.assert_allclose(weights.data, others.data[0], rtol=1e-6)


def test_nothing_flows_from_what_may_not_be_seen():
    """The law of causality: no gradient, and no change, from later places."""
    x = mg.randn(4, 3, dtype=mg.float64).requires_grad_()
    y = F.scaled_dot_product_attention(x, x, x, is_causal=True)
    y[1].sum().backward()
    assert (x.grad.data[2:] == 0).all() and (x.grad.data[:2] != 0).any()


def test_dropout_of_the_weights():
    mg.manual_seed(0)
    ones = mg.ones(1, 50, 2)
    y = F.scaled_dot_product_attention(ones, ones, ones, dropout_p=0.5)
    assert 0.7 < y.data.mean() < 1.3 and y.data.std() > 0.05
    layer = nn.TransformerEncoderLayer(4, 2, 8)
    x = mg.randn(3, 2, 4)
    assert (layer(x) != layer(x)).any()
    layer.eval()
    assert (layer(x) == layer(x)).all()


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_the_dtype_stays(dtype):
    x = mg.ones(2, 3, 4).to(dtype)
    mask = mg.tril(mg.ones(3, 3)).bool()
    assert F.scaled_dot_product_attention(x, x, x, mask).dtype == getattr(mg, dtype)
    layer = nn.TransformerEncoderLayer(4, 2, 8).to(dtype)
    assert layer(x).dtype == getattr(mg, dtype)


@pytest.mark.slow
def test_inside_jit():
    pytest.importorskip("jax", reason="jax がありません")
    mg.manual_seed(0)
    model = nn.Transformer(4, 2, 1, 1, 8, dropout=0.0)
    x, hidden = mg.randn(3, 2, 4), mg.tensor([[False, False, True]] * 2)
    causal = nn.Transformer.generate_square_subsequent_mask(3)

    def step(x):
        model.zero_grad()
        y = model(x, x, tgt_mask=causal, src_key_padding_mask=hidden)
        z = F.scaled_dot_product_attention(x, x, x, x[:, :, :2] > 0)
        loss = (y * y * y).sum() + (z * z).sum()
        loss.backward()
        return loss, [p.grad for p in model.parameters()]

    wanted, found = step(x), mg.jit(step, model)(x)
    for a, b in zip((found[0], *found[1]), (wanted[0], *wanted[1]), strict=True):
        np.testing.assert_allclose(np.asarray(a.data), b.data, rtol=1e-3, atol=1e-4)


layer = nn.MultiheadAttention(4, 2)
x = mg.ones(3, 2, 4)


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        (lambda: F.scaled_dot_product_attention(x, x, x[:2]), "batch"),
        (lambda: F.scaled_dot_product_attention(x, mg.ones(3, 2, 3), x), "shape mismatch"),
        (lambda: F.scaled_dot_product_attention(x, x, x, x[:, :, :2] > 0, is_causal=True), "both"),
        (lambda: F.scaled_dot_product_attention(x, x, x, mg.ones(5, 2)), "attn_mask"),
        (lambda: nn.MultiheadAttention(4, 3), "num_heads"),
        (lambda: nn.MultiheadAttention(0, 1), "embed_dim"),
        (lambda: layer(x, x, x[0]), "3 dimensions"),
        (lambda: layer(x, x, mg.ones(3, 2, 5)), "最後の次元"),
        (lambda: layer(x, x, mg.ones(2, 2, 4)), "key と value"),
        (lambda: layer(x, x, x, is_causal=True), "attn_mask"),
        (lambda: layer(x, x, x, attn_mask=mg.ones(2, 3)), "attn_mask"),
        (lambda: layer(x, x, x, mg.ones(3, 2)), "key_padding_mask"),
        (lambda: nn.TransformerEncoderLayer(4, 2, activation="sin"), "activation"),
        (lambda: nn.TransformerEncoderLayer(4, 2, activation=None), "activation"),
        (lambda: nn.TransformerEncoder(layer, 0), "num_layers"),
        (lambda: nn.TransformerDecoder(layer, 0), "num_layers"),
        (lambda: nn.TransformerEncoder(x, 2), "expected a Module"),
    ],
)
def test_what_is_refused(wrong, text):
    with pytest.raises((ValueError, TypeError), match=text):
        wrong()
