"""nan・inf: 重みが壊れる前に止まり、最初に生んだノードを名指しする。"""

import numpy as np
import pytest

import micrograd_jp as mg
from micrograd_jp import nn
from micrograd_jp.training import NonFiniteError


def run(loss, model, batches, **options):
    optimizer = mg.optim.SGD(model.parameters(), lr=0.1)
    return mg.fit(model, batches, loss, optimizer, 2, metric=None, progress=False, **options)


X = mg.tensor([[1.0, 2.0]])
BAD = mg.tensor([[1.0, -2.0]])


def linear():
    mg.manual_seed(0)
    return nn.Linear(2, 1)


def test_a_nan_loss_names_the_node_and_leaves_the_weights():
    model = linear()

    def loss(y, t):
        return mg.log(0 * y + t).sum() + (y * y).sum()

    batches = [(X, mg.tensor([1.0])), (X, mg.tensor([-1.0]))]
    with pytest.raises(
        NonFiniteError, match=r"1 エポック目の 2 回目の更新で、損失が nan"
    ) as caught:
        run(loss, model, batches)
    text = str(caught.value)
    assert "log(" in text and "test_nonfinite.py" in text
    assert caught.value.history.updates == 1
    # One update was made: that of the good batch, and no other.
    again = linear()
    run(lambda y, t: (y * y).sum(), again, [(X, mg.tensor([1.0]))] * 1, callbacks=[_stop])
    for a, b in zip(model.parameters(), again.parameters()):
        np.testing.assert_array_equal(a.detach().numpy(), b.detach().numpy())
        assert not a.has_grad


def _stop(_):
    raise StopIteration


def test_a_finite_loss_with_an_infinite_gradient():
    model = linear()
    weights = [p.detach().numpy().copy() for p in model.parameters()]

    def loss(y, t):
        return mg.sqrt((y - y.detach()) ** 2).sum()  # 0, with the gradient 0 · ∞

    with pytest.raises(NonFiniteError, match="勾配が nan か inf") as caught:
        run(loss, model, [(X, X)])
    assert "逆伝播 (backward)" in str(caught.value)
    assert caught.value.node.op.name in ("sqrt", "pow")
    for p, w in zip(model.parameters(), weights):
        np.testing.assert_array_equal(p.data, w)


def test_huge_but_finite_gradients_are_not_mistaken():
    model = linear()
    history = run(lambda y, t: (y * 1e25).sum() * 1e-25, model, [(X, X)])
    assert history.stopped == "finished"
    model = linear()
    history = run(lambda y, t: (y * 1e25).sum(), model, [(X, X)], callbacks=[_stop])
    assert np.isfinite(model.weight.detach().numpy()).all()


def test_random_numbers_and_buffers_are_those_of_the_failing_update():
    """The nan comes of one dropped unit: only the same random numbers show it again."""

    class Model(nn.Module):
        def __init__(self):
            self.norm, self.drop, self.out = nn.BatchNorm1d(2), nn.Dropout(0.5), nn.Linear(2, 1)

        def forward(self, x):
            kept = self.drop(mg.ones(50) + 0 * self.out.bias)
            return self.out(self.norm(x)).sum() + mg.log(kept.sum() - 50)  # nan: fewer than half

    mg.manual_seed(3)
    model = Model()
    x = mg.tensor([[1.0, 2.0], [3.0, 5.0]])
    with pytest.raises(NonFiniteError) as caught:
        for _ in range(20):
            run(lambda y, t: y, model, [(x, x)] * 5)
    assert caught.value.node is not None
    assert caught.value.node.op.name == "log"
    assert np.isfinite(model.norm.running_mean.numpy()).all()


def test_scalar_models_too():
    model = nn.Neuron(2, nonlin=False)
    with pytest.raises(NonFiniteError, match="log"):
        run(lambda y, t: mg.log(y[0] * 0.0 - 1.0), model, [(X, X)])


def test_a_nan_in_the_input_is_said():
    with pytest.raises(NonFiniteError, match="nan"):
        run(lambda y, t: (y * y).sum(), linear(), [(mg.tensor([[np.nan, 1.0]]), X)])
