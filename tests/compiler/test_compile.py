"""The surface of mg.compile: arguments, results, captured parameters, optimizers, gradients."""

import copy
import pickle
import random

import numpy as np
import pytest

import micrograd_jp as mg
from micrograd_jp import nn


@pytest.fixture
def model():
    random.seed(0)
    return nn.MLP(3, [4, 2])


def loss_of(model):
    def loss(x, t):
        z = model(x)
        return mg.logsumexp(z) - mg.dot(t, z)

    return loss


def data(n=6):
    rng = np.random.default_rng(0)
    return rng.standard_normal((n, 3)), np.eye(2)[rng.integers(0, 2, n)]


def test_decorator_with_and_without_arguments_and_function(model):
    X, T = data()

    @mg.compile
    def plain(x, t):
        """Doc."""
        return loss_of(model)(x, t)

    @mg.compile(dtype=np.float64)
    def with_arguments(x, t):
        return loss_of(model)(x, t)

    values = plain(X, T)
    assert values.shape == (6,) and values.dtype == np.float32 == mg.get_default_dtype()
    assert with_arguments(X, T).dtype == np.float64
    assert plain.__name__ == "plain" and plain.__doc__ == "Doc."
    np.testing.assert_allclose(mg.compile(loss_of(model))(X, T)._data, values._data)


def test_structures_of_arguments():
    def f(a, *, options):
        (x, y), z = a["pair"], options[0]
        return x[0] * y + x[1] + z[1][0]

    x, y, z = np.arange(8.0).reshape(4, 2), np.arange(4.0), np.ones((4, 2, 1)) * 10
    compiled = mg.compile(f)
    got = compiled({"pair": (x, y)}, options=[z])
    assert got.tolist() == (x[:, 0] * y + x[:, 1] + 10).tolist()
    assert compiled({"pair": (mg.tensor(x), y)}, options=[z]).tolist() == got.tolist()
    one = compiled({"pair": ([1.0, 2], 3)}, options=[[[0], [5]]])
    assert one.shape == () and one.item() == 10.0
    assert len(compiled.compilations) == 2


def test_numbers_are_shared_by_all_samples_and_other_things_are_passed_on():
    f = mg.compile(lambda x, c, mode, flag, extra=None: x * c if mode == "mul" and flag else x + c)
    x = np.array([1, 2, 3])
    assert f(x, 10, "mul", True).tolist() == [10.0, 20.0, 30.0]
    assert f(x, 5, "mul", True).tolist() == [5.0, 10.0, 15.0]
    assert len(f.compilations) == 1
    assert f(x, 5, "add", True).tolist() == [6.0, 7.0, 8.0]
    assert f(x, 5, "mul", False).tolist() == [6.0, 7.0, 8.0]
    assert len(f.compilations) == 3


def test_results_mirror_the_nesting():
    f = mg.compile(lambda x: {"list": [x, 2 * x], "pair": (x + 1, [[x], [x], [3]]), "n": 7})
    out = f(np.array([1.0, 2.0]))
    assert out["list"].tolist() == [[1.0, 2.0], [2.0, 4.0]]
    assert out["pair"][0].tolist() == [2.0, 3.0] and out["pair"][1].shape == (2, 3, 1)
    assert out["n"].tolist() == [7.0, 7.0]
    ragged = mg.compile(lambda x: [[x], [x, x]])(1.0)
    assert [part.shape for part in ragged] == [(1,), (2,)]
    assert mg.compile(lambda x: [])(np.ones(3)).shape == (3, 0)


def test_wrong_arguments():
    f = mg.compile(lambda x, t: x * t)
    with pytest.raises(ValueError, match=r"batch size mismatch.*\(3,\), \(4,\)"):
        f(np.ones(3), np.ones(4))
    with pytest.raises(TypeError, match="numeric"):
        f(np.array(["a"]), np.ones(1))
    with pytest.raises(TypeError, match="callable"):
        mg.compile(3)
    with pytest.raises(TypeError, match="float32"):
        mg.compile(lambda x: x, dtype=np.int32)
    with pytest.raises(ValueError, match="unknown executor"):
        mg.compile(lambda x: x, executor="fast")
    with pytest.raises(RuntimeError, match="before any call"):
        mg.compile(lambda x: x).backward()
    with pytest.raises(RuntimeError, match="not traced yet"):
        mg.compile(lambda x: x).parameters()
    several = mg.compile(lambda x: [x, x])
    several(1.0)
    with pytest.raises(TypeError, match="scalar output"):
        several.backward()
    with pytest.raises(TypeError, match="scalar output"):
        several.value_and_grad(1.0)


def test_captured_values_are_read_and_written_through(model):
    X, T = data()
    before = [p.data for p in model.parameters()]
    loss = mg.compile(loss_of(model), dtype=np.float64)
    first = loss(X, T)
    assert [p.data for p in model.parameters()] == before
    w = model.layers[0].neurons[0].w[0]
    assert isinstance(w, mg.Value) and w.is_leaf and not w.has_grad and w.grad == 0.0
    w.data = w.data + 1
    assert not np.allclose(loss(X, T)._data, first._data)
    w.data = before[0]
    np.testing.assert_array_equal(loss(X, T)._data, first._data)
    loss.backward()
    once = w.grad
    loss.backward()
    assert w.has_grad and w.grad == pytest.approx(2 * once)
    w.grad = 5.0
    assert w.grad == 5.0
    model.zero_grad()
    assert w.grad == 0.0
    with pytest.raises(TypeError):
        w.data = "text"


def test_captured_values_go_on_working_in_eager_graphs(model):
    X, T = data()
    loss = mg.compile(loss_of(model), dtype=np.float64)
    loss(X, T)
    loss.backward()
    compiled = [p.grad for p in model.parameters()]
    model.zero_grad()
    total = sum(loss_of(model)(x, t) for x, t in zip(X.tolist(), T.tolist())) / len(X)
    total.backward()
    np.testing.assert_allclose([p.grad for p in model.parameters()], compiled, rtol=1e-9)
    w = model.layers[0].neurons[0].w[0]
    (w * w * w).backward(create_graph=True)
    slope = w.grad
    assert isinstance(slope, mg.Value)
    w.grad = None
    copied = copy.deepcopy(w)
    assert type(copied) is mg.Value and copied.data == w.data
    assert pickle.loads(pickle.dumps(w)).data == w.data
    copied.data = 9.0
    assert w.data != 9.0


@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW"])
def test_optimizers_on_the_flat_vector_equal_optimizers_on_values(name):
    X, T = data()
    trained = []
    for flat in (True, False):
        random.seed(0)
        model = nn.MLP(3, [4, 2])
        loss = mg.compile(loss_of(model), dtype=np.float64)
        loss(X, T)
        optimizer = getattr(mg.optim, name)(loss.parameters() if flat else model.parameters())
        for _ in range(3):
            optimizer.zero_grad()
            loss(X, T)
            loss.backward()
            optimizer.step()
        trained.append([p.data for p in model.parameters()])
    np.testing.assert_allclose(*trained, rtol=1e-6)


def test_functions_share_their_parameters(model):
    X, T = data()
    loss, predict = mg.compile(loss_of(model)), mg.compile(model)
    before = predict(X)._data.copy()
    assert before.shape == (6, 2)
    optimizer = mg.optim.SGD(loss.trace(X, T).parameters(), lr=0.5)
    loss(X, T)
    loss.backward()
    optimizer.step()
    assert not np.allclose(predict(X).data, before)
    assert [id(p) for p in predict.parameters()] == [id(p) for p in loss.parameters()]


def test_functions_that_share_a_part_of_their_parameters():
    a, b, c = mg.Value(2.0), mg.Value(3.0), mg.Value(5.0)
    x = np.array([1.0, 2.0])
    first = mg.compile(lambda x: a * x + b)
    second = mg.compile(lambda x: b * x * c)
    third = mg.compile(lambda x: a * x)
    assert first(x).tolist() == [5.0, 7.0]
    assert second(x).tolist() == [15.0, 30.0] and third(x).tolist() == [2.0, 4.0]
    assert [len(p) for p in second.parameters()] == [2, 1]
    second.backward()
    assert (a.grad, b.grad, c.grad) == (0.0, 7.5, 4.5)
    b.data = 1.0
    assert first(x).tolist() == [3.0, 5.0] and second(x).tolist() == [5.0, 10.0]


def test_parameters_that_come_after_the_optimizer_are_said():
    """A longer input may reach some that the optimizer was never given."""
    w = [mg.Value(1.0) for _ in range(3)]
    f = mg.compile(lambda xs: mg.dot(w[: len(xs)], xs))
    f([1.0, 2.0])
    f([1.0, 2.0, 3.0])  # nothing was given to anybody yet
    late = [mg.Value(1.0), mg.Value(1.0)]
    g = mg.compile(lambda xs: mg.dot(late[: len(xs)], xs))
    optimizer = mg.optim.SGD(g.trace([1.0]).parameters(), lr=0.1)
    with pytest.warns(UserWarning, match="new parameters") as caught:
        g([1.0, 2.0])
    assert caught[0].filename == __file__
    g.backward()
    optimizer.step()
    assert late[0].data < 1.0 == late[1].data


def test_a_vector_that_is_replaced_is_used():
    w = mg.Value(2.0)
    f = mg.compile(lambda x: w * x, dtype=np.float64)
    x = np.array([1.0, 2.0])
    (vector,) = f.trace(x).parameters()
    for number in (3.0, 4.0, 5.0):
        vector.data = np.array([number])
        assert f(x).tolist() == [number, 2 * number]
        f.backward()
    assert w.data == 5.0 and w.grad == 4.5


def test_results_are_part_of_the_graph_of_tensors(model):
    X, T = data()
    loss = mg.compile(loss_of(model), dtype=np.float64)
    x = mg.tensor(X, requires_grad=True)
    weights = np.linspace(0, 1, 6)
    (loss(x, T) * weights).sum().backward()
    by_tensors = [p.grad for p in model.parameters()]
    by_samples, gradients = loss.value_and_grad(X, T)
    (of_vector,) = gradients.parameters
    loss.zero_grad()
    (vector,) = loss.parameters()
    vector.grad = weights @ of_vector
    np.testing.assert_allclose([p.grad for p in model.parameters()], by_tensors, rtol=1e-9)
    np.testing.assert_allclose(x.grad._data, weights[:, None] * gradients.inputs[0], rtol=1e-9)
    assert by_samples.shape == (6,) and gradients.inputs[1].shape == T.shape
    with pytest.raises(RuntimeError, match="create_graph"):
        loss(X, T).mean().backward(create_graph=True)
    with mg.no_grad():
        assert not loss(X, T).requires_grad


def test_backward_asks_when_it_runs_which_inputs_want_a_gradient():
    loss = mg.compile(lambda x: x * x, dtype=np.float64)
    x, y = mg.tensor([3.0], dtype=mg.float64), mg.tensor([3.0], dtype=mg.float64)
    loss(x)
    x.requires_grad = True
    loss.backward()
    assert x.grad.tolist() == [6.0]
    y.requires_grad = True
    loss(y)
    y.requires_grad = False
    loss.backward()
    assert y.grad is None


def test_backward_through_an_earlier_call():
    w = mg.Value(2.0)
    f = mg.compile(lambda x: mg.sin(w * x), dtype=np.float64)
    first, second = f(np.array([1.0, 2.0])), f(np.array([3.0]))
    (first.sum() + second.sum()).backward()
    assert w.grad == pytest.approx(np.cos(2) + 2 * np.cos(4) + 3 * np.cos(6))


def test_value_and_grad_is_not_the_call_that_backward_is_about():
    w = mg.Value(2.0)
    f = mg.compile(lambda x: mg.sin(w * x), dtype=np.float64)
    f(np.array([1.0, 2.0]))
    f.value_and_grad(np.array([3.0, 4.0, 5.0]))
    f.backward()
    assert w.grad == pytest.approx((np.cos(2) + 2 * np.cos(4)) / 2)


def test_one_sample():
    w = mg.Value(2.0)
    f = mg.compile(lambda x, y: w * x[0] + y, dtype=np.float64)
    value, gradients = f.value_and_grad([3.0, 1.0], 4)
    assert value.item() == 10.0 and value.shape == ()
    assert [g.tolist() for g in gradients.inputs] == [2.0, 0.0, 1.0]
    assert gradients.parameters[0].tolist() == [3.0]


def test_a_compiled_function_inside_another():
    w = mg.Value(2.0)
    inner = mg.compile(lambda x: w * x)
    outer = mg.compile(lambda xs: mg.sum([inner(x) * x for x in xs]))
    assert outer(np.array([[1.0, 2.0]])).tolist() == [10.0]
    assert not inner.compilations


def test_forget_after_weights_were_replaced():
    weights = [mg.Value(2.0)]
    f = mg.compile(lambda x: weights[0] * x)
    assert f(3.0).item() == 6.0
    weights[0] = mg.Value(5.0)
    assert f(3.0).item() == 6.0
    f.forget()
    assert f(3.0).item() == 15.0


def test_results_are_not_overwritten_by_the_next_call(model):
    X, T = data()
    loss = mg.compile(loss_of(model))
    first = loss(X, T)
    kept = first._data.copy()
    loss.backward()
    (vector,) = loss.parameters()
    gradient = vector.grad.data
    saved = gradient.clone()
    vector.grad = None
    loss(X + 1, T)
    loss.backward()
    np.testing.assert_array_equal(first.data, kept)
    np.testing.assert_array_equal(gradient, saved)


def test_the_gradient_of_an_input_reaches_what_it_was_computed_from():
    w = mg.Value(3.0)
    loss = mg.compile(lambda a, b: w * a[0] * b[1])
    x = mg.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    y = x * 2  # is used twice, and again
    for _ in range(2):
        loss(y[:, :1] + 1, y)
        loss.backward()
    with_the_graph = mg.tensor(x.detach().numpy(), requires_grad=True)
    y = with_the_graph * 2
    loss(y[:, :1] + 1, y).mean().backward()
    np.testing.assert_allclose(x.grad._data, 2 * with_the_graph.grad._data)


def test_frozen_parameters_get_nothing_through_the_graph():
    w, b = mg.Value(2.0), mg.Value(1.0)
    loss = mg.compile(lambda x: x * w + b)
    loss(X := np.ones(3))
    [both] = loss.parameters()
    both.requires_grad_(False)
    assert not loss(X).requires_grad
    x = mg.tensor(X, requires_grad=True)
    loss(x).sum().backward()
    assert x.grad.tolist() == [2, 2, 2] and both.grad is None
    both.requires_grad_(True)
    loss(X).mean().backward()
    assert (w.grad, b.grad) == (1, 1)


def test_a_copy_computes_the_same():
    """Whatever operations it has: those that only recordings know are no names."""
    rows = [mg.Value(1.0), mg.Value(2.0)]
    loss = mg.compile(lambda x, i: max(mg.take(rows, i) * x, x.detach()))
    values = loss(x := np.array([1.0, -3.0]), i := np.array([1, 0]))
    twin = copy.deepcopy(loss)
    assert twin(x, i).tolist() == values.tolist() == [2, -3]
    with pytest.raises(TypeError, match="cannot copy or pickle"):
        copy.deepcopy(values)
    with pytest.raises(TypeError, match="cannot copy or pickle"):
        copy.copy(values.op)
