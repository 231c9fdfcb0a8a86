"""Lifting: the matrices that are found, whatever the order and shape of the scalar program."""

import math
import random

import numpy as np
import pytest
from agreement import agree

import micrograd_jp as mg
from micrograd_jp import nn


def values(*shape, seed=0):
    rng = np.random.default_rng(seed)
    flat = iter(rng.standard_normal(math.prod(shape)).tolist())

    def build(shape):
        return [build(shape[1:]) for _ in range(shape[0])] if shape else mg.Value(next(flat))

    return build(shape)


def flat(nested):
    return [x for y in nested for x in flat(y)] if isinstance(nested, list) else [nested]


def products(compiled):
    """(rows, columns, places) of every matrix product found."""
    steps = [step for step in compiled.program.steps if step.kind == "matmul"]
    return [(*step.blocks[0].shape, step.shape[1]) for step in steps]


def kinds(compiled):
    return [step.kind for step in compiled.program.steps]


def batch(*shape, seed=1):
    return np.random.default_rng(seed).standard_normal((5, *shape))


def in_order(terms):
    return sum(terms)


def shuffled(terms):
    terms = list(terms)
    random.Random(str(len(terms))).shuffle(terms)
    return sum(terms)


def balanced(terms):
    terms = list(terms)
    while len(terms) > 1:
        terms = [sum(terms[i : i + 2]) for i in range(0, len(terms), 2)]
    return terms[0]


def from_the_right(terms):
    total, *rest = reversed(list(terms))
    for term in rest:
        total = term + total
    return total


@pytest.mark.parametrize("total", [in_order, shuffled, balanced, from_the_right])
@pytest.mark.parametrize("swapped", [False, True])
def test_a_layer_is_one_matrix_in_any_order(total, swapped):
    W, b = values(4, 6), values(4)

    def loss(x):
        terms = [[v * w if swapped else w * v for w, v in zip(row, x)] for row in W]
        return mg.sum([mg.tanh(total(t) + c) for t, c in zip(terms, b)])

    compiled = agree(loss, [batch(6)], flat([W, b]), "lift")
    assert products(compiled) == [(4, 6, 1)]


@pytest.mark.parametrize("swapped", [False, True])
def test_differences_of_differences_keep_their_signs(swapped):
    W, b = values(3, 6), values(3)

    def nested(terms, c):
        total = c
        for term in terms:  # c is subtracted an even number of times, its neighbour an odd one
            total = total - term if swapped else term - total
        return total

    def loss(x):
        sums = [nested([w * v for w, v in zip(row, x)], c) for row, c in zip(W, b)]
        return sums[0].tanh() - (sums[1].tanh() - (sums[2] - sums[0]))

    agree(loss, [batch(6)], flat([W, b]), "lift")


def test_weights_become_views_of_the_parameter_vector():
    W, b = values(3, 4), values(3)
    compiled = mg.compile(lambda x: mg.sum([(mg.dot(r, x) + c).tanh() for r, c in zip(W, b)]))
    compiled(batch(4))
    (vector,) = compiled.parameters()
    written = [v.data for v in flat(W)]
    vector._data[:] = np.arange(15)
    read = [v.data for v in flat(W)]
    assert sorted(read) == read == list(map(float, range(12))) and written != read


def convolution(x, filters, biases, pad=0):
    n, k = len(x), len(filters[0])
    inside = lambda i, j: 0 <= i < n and 0 <= j < n
    return [
        [
            [
                sum(
                    (
                        w[u][v] * x[i + u][j + v]
                        for u in range(k)
                        for v in range(k)
                        if inside(i + u, j + v)
                    ),
                    b,
                )
                for j in range(-pad, n - k + 1 + pad)
            ]
            for i in range(-pad, n - k + 1 + pad)
        ]
        for w, b in zip(filters, biases, strict=True)
    ]


@pytest.mark.parametrize("pad", [0, 1])
def test_a_convolution_is_one_product_with_or_without_borders(pad):
    filters, biases = values(2, 3, 3), values(2)

    def loss(x):
        return mg.sum([v.relu() for v in flat(convolution(x, filters, biases, pad))])

    compiled = agree(loss, [batch(5, 5)], flat([filters, biases]), "lift")
    assert products(compiled) == [(2, 9, (3 + 2 * pad) ** 2)]


def test_borders_with_a_weight_that_is_not_finite():
    filters, biases = values(2, 3, 3), values(2)
    filters[0][0][0].data = -np.inf  # which the outputs at two of the borders do not use

    def loss(x):
        return mg.sum([v.relu() for v in flat(convolution(x, filters, biases, 1))])

    agree(loss, [abs(batch(5, 5))], flat([filters, biases]), "lift")


def test_borders_with_upstream_gradients_that_are_not_finite():
    filters, biases = values(1, 2, 2), values(1)

    def loss(x):
        planes = flat(convolution(x, filters, biases, 1))
        return mg.sum([mg.sqrt(v - v.detach()) for v in planes])  # the slope at 0 is inf

    agree(loss, [abs(batch(3, 3))], flat([filters, biases]), "lift")


def test_two_convolutions_and_a_dense_layer():
    first, b1, second, b2 = values(2, 2, 2), values(2), values(3, 2, 2, 2), values(3)
    dense = values(3, 12)

    def loss(x):
        h = convolution(x, first, b1)
        h = [[[v.tanh() for v in row] for row in plane] for plane in h]
        z = []
        for w, b in zip(second, b2, strict=True):
            planes = [convolution(plane, [w[c]], [0])[0] for c, plane in enumerate(h)]
            size = range(len(planes[0]))
            z += [sum((plane[i][j] for plane in planes), b).relu() for i in size for j in size]
        return mg.logsumexp([mg.dot(row, z) for row in dense])

    parameters = flat([first, b1, second, b2, dense])
    compiled = agree(loss, [batch(4, 4)], parameters, "lift")
    assert products(compiled) == [(2, 4, 9), (3, 8, 4), (3, 12, 1)]


def test_subtracted_products():
    W, b = values(3, 4), values(3)

    def loss(x):
        rows = [b - row[0] * x[0] + row[1] * x[1] - (row[2] * x[2] - row[3] * x[3])
                for row, b in zip(W, b)]  # fmt: skip
        return mg.sum([-(r - 1).sigmoid() for r in rows]) - rows[0] * rows[1]

    agree(loss, [batch(4)], flat([W, b]), "lift")


def test_residuals_beside_dot_products():
    W, b = values(4, 4), values(4)

    def loss(x):
        h = [v + mg.dot(row, x) + c for row, c, v in zip(W, b, x)]
        h = [v - mg.dot(row, h) + v * u for row, v, u in zip(W, h, x)]
        return mg.sum([v.tanh() for v in h])

    compiled = agree(loss, [batch(4)], flat([W, b]), "lift")
    assert products(compiled) == [(4, 4, 1), (4, 4, 1)]


def test_inputs_with_each_other_and_with_targets():
    a = values(3)

    def loss(x, t):
        z = [mg.dot(x, t), x[0] * t[1] - x[1] * t[0] + a[0], sum(u * u for u in x) * a[1]]
        return mg.sum(z) + a[2] * mg.dot(x, x)

    agree(loss, [batch(3), batch(3, seed=4)], a, "lift")


def test_sums_of_parameters_alone_are_computed_once():
    W = values(3, 3)

    def loss(x):
        penalty = sum(w * w for w in flat(W)) + mg.sum([abs(w) for w in flat(W)])
        scale = mg.exp(W[0][0]) * mg.dot(W[1], W[2])
        return mg.dot([scale * w for w in W[0]], x) + penalty * x[0] + penalty

    compiled = agree(loss, [batch(3)], flat(W), "lift")
    fixed = [step for step in compiled.program.steps if not step.varying]
    assert fixed and all(step.kind != "matmul" for step in fixed)


def test_weights_used_by_many_layers():
    W = values(3, 3)

    def loss(x):
        for _ in range(4):
            x = [mg.tanh(mg.dot(row, x)) for row in W]
        return mg.sum(x) + W[0][0]

    compiled = agree(loss, [batch(3)], flat(W), "lift")
    assert products(compiled) == [(3, 3, 1)] * 4


def test_transposed_weights():
    W = values(3, 4)

    def loss(x):
        h = [mg.dot(row, x).tanh() for row in W]
        back = [mg.dot([row[j] for row in W], h) for j in range(4)]
        return mg.sum([(u - v) ** 2 for u, v in zip(back, x)])

    compiled = agree(loss, [batch(4)], flat(W), "lift")
    assert products(compiled) == [(3, 4, 1), (4, 3, 1)]


def test_common_subexpressions_and_dead_code():
    W = values(4, 3)

    def loss(x):
        once = [mg.dot(row, x).relu() for row in W]
        twice = [mg.dot(row, x).relu() for row in W]
        dead = [mg.exp(v) for v in once]
        assert len(dead) == 4
        return mg.sum([u * v for u, v in zip(once, twice)])

    compiled = agree(loss, [batch(3)], flat(W), "lift")
    assert products(compiled) == [(4, 3, 1)]
    assert kinds(compiled).count("map") <= 2


def test_weights_that_share_nothing_are_still_one_operation():
    w, b = values(6, 2), values(6)

    def loss(x):
        local = [mg.dot(w[i], x[i : i + 2]) + b[i] for i in range(6)]
        return mg.sum([v.tanh() for v in local])

    compiled = agree(loss, [batch(7)], flat([w, b]), "lift")
    assert len(compiled.program.steps) <= 5


def test_constant_weights_and_averages():
    def loss(x):
        blur = [0.25 * x[i] + 0.5 * x[i + 1] + 0.25 * x[i + 2] for i in range(6)]
        mean = sum(blur) / len(blur)
        return sum((v - mean) ** 2 for v in blur)

    compiled = agree(loss, [batch(8)], [], "lift")
    assert (1, 3, 6) in products(compiled)


def test_inputs_used_out_of_order():
    W = values(2, 3)
    agree(
        lambda x, y: mg.sum([mg.dot(r, [x[4], y[0], x[1]]).sin() for r in W]) * y[1],
        [batch(5), batch(2)], flat(W), "lift",
    )  # fmt: skip


def test_softmax_attention():
    Wq, Wk, Wv = values(2, 3), values(2, 3), values(2, 3)

    def loss(x):
        q, k, v = ([[mg.dot(row, token) for row in W] for token in x] for W in (Wq, Wk, Wv))
        out = []
        for a in q:
            weights = mg.softmax([mg.dot(a, b) / 2**0.5 for b in k])
            out += [mg.dot(weights, [value[j] for value in v]) for j in range(2)]
        return mg.sum([o * o for o in out])

    agree(loss, [batch(4, 3)], flat([Wq, Wk, Wv]), "lift")


def test_gradients_of_a_network_on_images_equal_the_tensor_engines():
    random.seed(0)
    model = nn.MLP(49, [16, 10])
    rng = np.random.default_rng(0)
    X = rng.random((32, 49))
    labels = rng.integers(0, 10, 32)

    def loss(x, t):
        z = model(x)
        return mg.logsumexp(z) - mg.dot(t, z)

    compiled = mg.compile(loss, dtype=np.float64, executor="lift")
    got = compiled(X, np.eye(10)[labels])
    compiled.backward()
    arrays = []
    for layer in model.layers:
        rows = [[w.data for w in neuron.w] for neuron in layer.neurons]
        biases = [neuron.b.data for neuron in layer.neurons]
        arrays += [mg.tensor(np.array(a), requires_grad=True) for a in (rows, biases)]
    W1, b1, W2, b2 = arrays
    z = mg.relu(mg.tensor(X) @ W1.T + b1) @ W2.T + b2
    losses = z.logsumexp(1) - z[np.arange(32), labels]
    losses.mean().backward()
    np.testing.assert_allclose(got._data, losses._data, rtol=1e-12)
    for layer, W, b in zip(model.layers, (W1, W2), (b1, b2), strict=True):
        rows = [[w.grad for w in neuron.w] for neuron in layer.neurons]
        np.testing.assert_allclose(rows, W.grad._data, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose([n.b.grad for n in layer.neurons], b.grad._data, rtol=1e-9)


def test_a_broken_matrix_would_be_noticed():
    """The comparison above can fail: a program with two weights exchanged is not equal."""
    W = values(2, 3)
    compiled = mg.compile(lambda x: mg.dot(W[0], x) * mg.dot(W[1], x).exp(), dtype=np.float64)
    x = batch(3)
    right = compiled(x)._data.copy()
    (vector,) = compiled.parameters()
    vector.data[[0, 1]] = vector.data[[1, 0]]
    assert not np.allclose(compiled(x).data, right)


def test_parameters_among_the_outputs():
    """In the memory of a matrix they stand in another order than they were met in."""
    W, b, x = values(2, 3), values(2, seed=1), batch(3)

    def f(x):
        return [mg.exp(b[1]), *(mg.dot(r, x) + c for r, c in zip(W, b)), W[0][1], b[0], x[2]]

    got = mg.compile(f, dtype=np.float64, executor="lift")(x)._data
    wanted = [[out.data for out in f([*map(mg.Value, row)])] for row in x.tolist()]
    np.testing.assert_allclose(got, wanted, rtol=1e-12)
