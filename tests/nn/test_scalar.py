"""スカラーのネットワーク: micrograd と同じ乱数、同じ形、同じ学習。"""

import random

import micrograd.engine as original
import micrograd.nn as original_nn
import numpy as np
import pytest
from sklearn.datasets import make_moons

import micrograd_jp as mg
from micrograd_jp import nn
from micrograd_jp.engine import Value


def pair(*shape):
    """The same network in both libraries, from the same seed."""
    networks = []
    for module in (nn, original_nn):
        random.seed(1337)
        networks.append(module.MLP(shape[0], list(shape[1:])))
    return networks


def test_same_weights_and_repr_as_micrograd():
    ours, theirs = pair(3, 4, 2)
    assert [p.data for p in ours.parameters()] == [p.data for p in theirs.parameters()]
    assert repr(ours) == repr(theirs)


def test_same_outputs_and_gradients_as_micrograd():
    ours, theirs = pair(2, 8, 8, 1)
    for network, V in ((ours, Value), (theirs, original.Value)):
        network([V(0.3), V(-0.7)]).backward()
    assert [p.grad for p in ours.parameters()] == pytest.approx(
        [p.grad for p in theirs.parameters()], abs=1e-12
    )


def moons_demo(V, MLP, steps):
    """The training loop of micrograd's demo.ipynb, word for word but for the printing."""
    np.random.seed(1337)
    random.seed(1337)
    X, y = make_moons(n_samples=100, noise=0.1)
    y = y * 2 - 1
    model = MLP(2, [16, 16, 1])
    history = []
    for k in range(steps):
        inputs = [list(map(V, xrow)) for xrow in X]
        scores = list(map(model, inputs))
        losses = [(1 + -yi * scorei).relu() for yi, scorei in zip(y.tolist(), scores)]
        data_loss = sum(losses) * (1.0 / len(losses))
        alpha = 1e-4
        reg_loss = alpha * sum(p * p for p in model.parameters())
        total_loss = data_loss + reg_loss
        accuracy = [(yi > 0) == (scorei.data > 0) for yi, scorei in zip(y, scores)]
        model.zero_grad()
        total_loss.backward()
        learning_rate = 1.0 - 0.9 * k / 100
        for p in model.parameters():
            p.data -= learning_rate * p.grad
        history.append((total_loss.data, float(sum(accuracy) / len(accuracy))))
    return history


@pytest.mark.slow
def test_moons_demo_step_by_step_like_micrograd():
    ours, theirs = moons_demo(Value, nn.MLP, 2), moons_demo(original.Value, original_nn.MLP, 2)
    assert np.array(ours) == pytest.approx(np.array(theirs), rel=1e-9)
    # demo.ipynb prints "step 0 loss 0.8958441028683222, accuracy 50.0%" … "step 99 …, 100.0%"
    assert ours[0] == pytest.approx((0.8958441028683222, 0.50), rel=1e-9)


@pytest.mark.slow
def test_moons_demo_reaches_the_published_end():
    history = moons_demo(Value, nn.MLP, 100)
    assert history[-1][0] < 0.02
    assert history[-1][1] == 1.0


def test_inputs_may_be_numbers_arrays_or_values():
    model = nn.MLP(3, [4, 2])
    x = np.array([0.1, 0.2, 0.3])
    outputs = [[o.data for o in model(form)] for form in (x, x.tolist(), list(map(Value, x)))]
    assert outputs[0] == outputs[1] == outputs[2]


def test_a_layer_of_one_neuron_gives_a_value():
    assert isinstance(nn.MLP(2, [1, 1])([1.0, 2.0]), Value)


class TestModule:
    def test_finds_parameters_in_attributes_lists_and_modules_once(self):
        class Model(nn.Module):
            def __init__(self):
                self.scale = Value(2.0)
                self.body = [nn.Neuron(2), {"head": nn.Neuron(1)}]
                self.tied = self.scale
                self.name = "model"

        model = Model()
        assert len(model.parameters()) == 1 + 3 + 2
        assert model.parameters()[0] is model.scale

    def test_tensors_are_parameters_if_they_ask_for_a_gradient(self):
        class Model(nn.Module):
            def __init__(self):
                self.constant = mg.tensor([1.0])
                self.weight = mg.tensor([2.0], requires_grad=True)
                self.bias = Value(0.0)

        model = Model()
        assert list(map(id, model.parameters())) == [id(model.weight), id(model.bias)]
        (model.weight * model.constant + model.bias).sum().backward()
        model.zero_grad()
        assert model.weight.grad is None

    def test_zero_grad(self):
        neuron = nn.Neuron(2, nonlin=False)
        neuron([1.0, 2.0]).backward()
        assert any(p.has_grad for p in neuron.parameters())
        neuron.zero_grad()
        assert not any(p.has_grad for p in neuron.parameters())


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: nn.Neuron(2)([1.0]), ValueError, "length mismatch"),
        (lambda: nn.MLP(3, [2])([1.0, 2.0]), ValueError, "length mismatch"),
        (lambda: nn.Neuron(2)(["1", 2.0]), TypeError, "expected a real number"),
        (lambda: nn.Neuron(0), ValueError, "positive int"),
        (lambda: nn.Neuron(2.5), ValueError, "positive int"),
        (lambda: nn.Layer(2, -1), ValueError, "positive int"),
        (lambda: nn.MLP(2, []), ValueError, "non-empty list"),
        (lambda: nn.MLP(2, 3), ValueError, "non-empty list"),
    ],
)
def test_bad_input(call, error, match):
    with pytest.raises(error, match=match):
        call()


def test_inference_without_a_graph():
    with mg.no_grad():
        assert nn.MLP(2, [3, 1])([1.0, 2.0]).is_leaf
