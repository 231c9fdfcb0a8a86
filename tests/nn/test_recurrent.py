"""再帰層と、長さの違う系列: PyTorch との比較、性質、使い方の誤り。"""

import numpy as np
import pytest
from hypothesis import strategies as st

import micrograd_jp as mg
from micrograd_jp import nn
from micrograd_jp.nn.utils import rnn
from tests.reference import like_pytorch, pytorch_answers, torch

seeds, flags = st.integers(0, 2**32 - 1), st.booleans()
KINDS = ["RNN", "LSTM", "GRU"]


def numbers(x):
    """Arrays alone, of what either library returns."""
    if isinstance(x, tuple | list):
        return [y for part in x for y in numbers(part)]
    return [x.detach().numpy()]


def outcome(m, make, inputs, call):
    """Results, then the gradients of the inputs and of the parameters, then the names.

    The weights are the same in both libraries; the loss is the sum of the cubes of all results.
    """
    layer, rng = make(m).double(), np.random.default_rng(1)
    names = list(layer.state_dict())
    state = {k: m.tensor(rng.uniform(-1, 1, v.shape)) for k, v in layer.state_dict().items()}
    layer.load_state_dict(state)
    leaves = [m.tensor(x, requires_grad=True) for x in inputs]
    out = call(m, layer, leaves)
    flat = [y for part in out for y in (part if isinstance(part, tuple | list) else [part])]
    sum((y * y * y).sum() for y in flat).backward()
    slopes = [p.grad for p in [*leaves, *layer.parameters()]]
    return [*numbers(flat), *numbers(slopes)], [*names, repr(layer)]


def agree(name, *args):
    """The functions of this file called `name` say what is made and called, in both libraries."""
    (ours, names), (theirs, wanted) = outcome(mg, *PROGRAMS[name](*args)), of_pytorch(name, *args)
    assert names == list(wanted)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-10)


@pytorch_answers
def of_pytorch(torch, name, *args):
    return outcome(torch, *PROGRAMS[name](*args))


def layers(seed, kind, how, one, given):
    rng, batch = np.random.default_rng(seed), () if one else (3,)
    n = how.get("num_layers", 1) * (1 + how["bidirectional"])
    shape = (3, 4, 2) if how["batch_first"] and not one else (4, *batch, 2)
    inputs = [rng.normal(size=shape)]
    if given:
        widths = [how.get("proj_size", 3), 3] if kind == "LSTM" else [3]
        inputs += [rng.normal(size=(n, *batch, w)) for w in widths]

    def call(m, layer, leaves):
        start = tuple(leaves[1:]) if kind == "LSTM" else leaves[-1]
        return layer(leaves[0], start if given else None)

    return lambda m: getattr(m.nn, kind)(2, 3, **how), inputs, call


def packed(seed, kind, lengths, batch_first, two_ways, given):
    rng, n = np.random.default_rng(seed), len(lengths)
    inputs = [rng.normal(size=(n, 5, 2) if batch_first else (5, n, 2))]
    inputs += [rng.normal(size=(1 + two_ways, n, 2))] * given

    def call(m, layer, leaves):
        rnn = m.nn.utils.rnn
        x = rnn.pack_padded_sequence(leaves[0], m.tensor(lengths), batch_first, False)
        start = (leaves[1], leaves[1]) if kind == "LSTM" and given else leaves[-1]
        out, states = layer(x, start if given else None)
        padded, back = rnn.pad_packed_sequence(out, batch_first, 0.5, total_length=5)
        assert back.tolist() == lengths
        return padded, states, x.data, x.batch_sizes.double()

    return lambda m: getattr(m.nn, kind)(2, 2, bidirectional=two_ways), inputs, call


def cells(kind, how, one):
    rng, batch = np.random.default_rng(1), () if one else (4,)

    def call(m, layer, leaves):
        x, h = leaves
        return layer(x, (h, h) if kind == "LSTM" else h), layer(x)

    shapes = [(*batch, 2), (*batch, 3)]
    make = lambda m: getattr(m.nn, f"{kind}Cell")(2, 3, **how)
    return make, [rng.normal(size=shape) for shape in shapes], call


PROGRAMS = {"layers": layers, "packed": packed, "cells": cells}


@like_pytorch(
    seeds, st.sampled_from(KINDS), st.integers(1, 2), flags, flags, flags, flags, flags,
    max_examples=10, kept=8,
)  # fmt: skip
def test_layers(seed, kind, layers, bias, batch_first, two_ways, extra, given):
    how = {"bias": bias, "batch_first": batch_first, "bidirectional": two_ways}
    how |= {"num_layers": layers} if layers > 1 else {}
    how |= (
        {"LSTM": {"proj_size": 1}, "RNN": {"nonlinearity": "relu"}}.get(kind, {}) if extra else {}
    )
    agree("layers", seed, kind, how, extra and not bias, given)


@like_pytorch(
    seeds, st.sampled_from(KINDS), st.lists(st.integers(1, 4), min_size=1, max_size=4), flags,
    flags, flags, max_examples=10, kept=8,
)  # fmt: skip
def test_packed_sequences(seed, kind, lengths, batch_first, two_ways, given):
    agree("packed", seed, kind, lengths, batch_first, two_ways, given)


def test_each_sequence_is_read_as_if_alone():
    """The law that PyTorch has nothing to do with."""
    mg.manual_seed(0)
    model = nn.LSTM(2, 3, 2, bidirectional=True).double()
    sequences = [mg.randn(n, 2, dtype=mg.float64) for n in (2, 4, 1, 4)]
    out, (h, c) = model(rnn.pack_sequence(sequences, enforce_sorted=False))
    for i, (one, all_of_it) in enumerate(zip(sequences, rnn.unpack_sequence(out), strict=True)):
        y, (hy, cy) = model(one)
        for a, b in ((y, all_of_it), (hy, h[:, i]), (cy, c[:, i])):
            np.testing.assert_allclose(a.data, b.data, rtol=1e-12)


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("batch_first", [False, True])
def test_padding(side, batch_first):
    arrays = [np.arange(n * 2.0).reshape(n, 2) for n in (2, 3, 1)]
    y = rnn.pad_sequence([mg.tensor(x) for x in arrays], batch_first, -1.0, side)
    z = torch.nn.utils.rnn.pad_sequence([torch.tensor(x) for x in arrays], batch_first, -1.0, side)
    np.testing.assert_array_equal(y.data, z.numpy())
    if side == "right":
        for x, back in zip(arrays, rnn.unpad_sequence(y, [2, 3, 1], batch_first), strict=True):
            np.testing.assert_array_equal(back.data, x)


@pytest.mark.parametrize("one", [False, True])
@pytest.mark.parametrize(
    ("kind", "how"), [("RNN", {}), ("RNN", {"nonlinearity": "relu"}), ("LSTM", {"bias": False}),
                      ("GRU", {})],
)  # fmt: skip
def test_cells(kind, how, one):
    agree("cells", kind, how, one)


@pytest.mark.slow
def test_inside_jit():
    """The loss and the gradients of all three, read both ways, in one compilation."""
    pytest.importorskip("jax", reason="jax がありません")
    mg.manual_seed(0)
    both = {"bidirectional": True}
    model = nn.ModuleList(
        [nn.RNN(2, 2, nonlinearity="relu"), nn.LSTM(2, 2, **both), nn.GRU(2, 2, **both),
         nn.LSTM(2, 3, proj_size=2), nn.RNN(2, 2, bias=False)]
    )  # fmt: skip
    x = mg.randn(3, 2, 2)

    def step(x):
        model.zero_grad()
        loss = sum((layer(x)[0] ** 2).sum() for layer in model)
        loss.backward()
        return loss, [p.grad for p in model.parameters()]

    wanted, found = step(x), mg.jit(step, model)(x)
    for a, b in zip((found[0], *found[1]), (wanted[0], *wanted[1]), strict=True):
        np.testing.assert_allclose(np.asarray(a.data), b.data, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_half_precision_is_rounded_once(kind):
    """The states of 200 steps, as of float32, and no step more than one rounding away."""
    mg.manual_seed(0)
    model, x = getattr(nn, kind)(2, 4), mg.randn(200, 1, 2).half()
    model = model.half()
    short = model(x)[0].detach()
    wide = model.float()(x.float())[0].detach()
    assert short.dtype == mg.float16
    np.testing.assert_allclose(short.float().data, wide.data, atol=2e-3)


def test_dropout_between_the_layers_alone():
    mg.manual_seed(0)
    model, x = nn.GRU(2, 50, 2, dropout=0.5), mg.ones(1, 1, 2)
    different = {model(x)[0].sum().item() for _ in range(5)}
    assert len(different) == 5
    first = {model(x)[1][0].sum().item() for _ in range(5)}
    assert len(first) == 1
    model.eval()
    assert len({model(x)[0].sum().item() for _ in range(3)}) == 1
    with pytest.warns(UserWarning, match="num_layers=1"):
        nn.GRU(2, 2, dropout=0.5)


layer, cell = nn.LSTM(2, 3), nn.GRUCell(2, 3)
bundle = rnn.pack_sequence([mg.ones(2, 2), mg.ones(1, 2)])


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        (lambda: nn.LSTM(2, 3, proj_size=3), "proj_size"),
        (lambda: nn.RNN(2, 3, nonlinearity="sin"), "nonlinearity"),
        (lambda: nn.GRU(0, 3), "input_size"),
        (lambda: nn.GRU(2, 3, dropout=2.0, num_layers=2), "確率"),
        (lambda: layer(mg.ones(4, 3)), "input_size = 2"),
        (lambda: layer(mg.ones(2)), "3 次元"),
        (lambda: layer(mg.ones(0, 1, 2)), "empty sequence"),
        (lambda: layer(mg.ones(4, 1, 2), mg.ones(1, 1, 3)), "h_0, c_0"),
        (lambda: layer(mg.ones(4, 1, 2), (mg.ones(1, 1, 3), mg.ones(1, 2, 3))), "c_0"),
        (lambda: layer(mg.ones(4, 2), (mg.ones(1, 3), mg.ones(3))), r"c_0 .*\(1, 3\) に"),
        (lambda: layer(rnn.pack_sequence([mg.ones(2)])), "expected 2 dimensions"),
        (lambda: cell(mg.ones(1, 2), (mg.ones(1, 3), mg.ones(1, 3))), "h_0 1 つ"),
        (lambda: cell(mg.ones(1, 1, 2)), "1 or 2 dimensions"),
        (lambda: cell(mg.ones(1, 2), mg.ones(3)), "state shape"),
        (lambda: rnn.pack_padded_sequence(mg.ones(3, 2, 1), [1, 3]), "enforce_sorted"),
        (lambda: rnn.pack_padded_sequence(mg.ones(3, 2, 1), [4, 3]), "1 から 3"),
        (lambda: rnn.pack_padded_sequence(mg.ones(3, 2, 1), [3]), "one length per"),
        (lambda: rnn.pad_packed_sequence(bundle, total_length=1), "total_length"),
        (lambda: rnn.pad_packed_sequence(mg.ones(3)), "PackedSequence"),
        (lambda: rnn.pad_sequence([]), "1 つ以上"),
        (lambda: rnn.pad_sequence([mg.ones(2, 1), mg.ones(2, 2)]), "shape mismatch"),
        (lambda: rnn.pad_sequence([mg.ones(2)], padding_side="top"), "padding_side"),
    ],
)
def test_what_is_refused(wrong, text):
    with pytest.raises((ValueError, TypeError), match=text):
        wrong()
