"""数で書いた MNIST の MLP: コンパイルした勾配は、配列の `Tensor` で書いたものと等しい。"""

import os
import random

import numpy as np
import pytest

import micrograd_jp as mg
from micrograd_jp.nn import MLP, functional

SAMPLES = 128


@pytest.mark.skipif("MICROGRAD_JP_DATA" not in os.environ, reason="MNIST の場所が分からない")
def test_gradients_of_the_mnist_step_are_the_tensor_engines():
    images, labels = mg.data.datasets.mnist(train=False, flatten=True)[:SAMPLES]
    random.seed(0)
    model = MLP(784, [100, 10])
    for p in model.parameters():
        p.data *= 0.05  # away from saturation: every logit takes part
    weights = [
        mg.tensor(np.array([[v.data for v in n.w] for n in layer.neurons]), requires_grad=True)
        for layer in model.layers
    ]
    biases = [
        mg.tensor(np.array([n.b.data for n in layer.neurons]), requires_grad=True)
        for layer in model.layers
    ]

    loss = mg.compile(lambda x, t: mg.cross_entropy(model(x), t), dtype=np.float64)
    x = images.numpy().astype(np.float64)
    values = loss(x, np.eye(10)[labels.numpy()])
    loss.backward()
    assert "784→100" in str(loss.program)

    h = mg.relu(functional.linear(mg.tensor(x), weights[0], biases[0]))
    losses = functional.cross_entropy(
        functional.linear(h, weights[1], biases[1]), labels, reduction="none"
    )
    losses.mean().backward()
    np.testing.assert_allclose(values.detach().numpy(), losses.detach().numpy(), rtol=1e-10)
    for layer, weight, bias in zip(model.layers, weights, biases, strict=True):
        ours = np.array([[v.grad for v in n.w] for n in layer.neurons])
        np.testing.assert_allclose(ours, weight.grad.numpy(), rtol=1e-8, atol=1e-12)
        assert np.abs(ours).max() > 1e-4
        np.testing.assert_allclose(
            [n.b.grad for n in layer.neurons], bias.grad.numpy(), rtol=1e-8, atol=1e-12
        )
