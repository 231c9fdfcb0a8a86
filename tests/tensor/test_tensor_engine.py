"""`Tensor` の逆伝播の約束: 蓄積、2 度目、`gradient=`、エラー、メモリ、写し。"""

import copy
import gc
import pickle
import time
import weakref
from inspect import signature

import numpy as np
import pytest

import micrograd_jp as mg
from micrograd_jp.tensor.functions import FUNCTIONS
from tests.tensor.composed_rows import composed


def leaf(x, **options):
    return mg.tensor(np.array(x, dtype=float), requires_grad=True, **options)


# ---- 蓄積 ------------------------------------------------------------------------------------


def test_gradients_accumulate():
    x = leaf([1.0, 2.0])
    for n in (1, 2, 3):
        (x * x).sum().backward()
        np.testing.assert_array_equal(x.grad.numpy(), n * 2 * x.detach().numpy())
    x.grad = None
    assert x.grad is None
    (x * 3.0).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), [3.0, 3.0])


def test_accumulation_does_not_write_into_an_earlier_gradient():
    x = leaf([1.0, 2.0])
    x.sum().backward()
    first = x.grad.numpy()
    x.sum().backward()
    np.testing.assert_array_equal(first, [1.0, 1.0])


@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("second", [False, True])
def test_accumulation_with_and_without_create_graph(first, second):
    x = leaf([1.0, 2.0])
    (x**2).sum().backward(create_graph=first)
    (x**3).sum().backward(create_graph=second)
    np.testing.assert_allclose(
        x.grad.detach().numpy(), 2 * x.detach().numpy() + 3 * x.detach().numpy() ** 2
    )
    assert isinstance(x.grad, mg.Tensor)


def test_a_tensor_used_many_times():
    x = leaf([2.0])
    y = x
    for _ in range(10):
        y = y + y
    y.sum().backward()
    assert x.grad.item() == 1024


def test_only_leaves_keep_their_gradients():
    x = leaf([1.0])
    y = x * 2.0
    z = y * y
    z.sum().backward()
    assert y.grad is None
    assert z.grad is None


def test_new_data_after_the_forward_pass_does_not_change_the_gradient():
    x, w = leaf([1.0, 2.0]), leaf([3.0, 4.0])
    y = (x * w).sum()
    x.data, w.data = np.array([50.0, 60.0]), np.array([70.0, 80.0])
    y.backward()
    assert (x.grad.tolist(), w.grad.tolist()) == ([3.0, 4.0], [1.0, 2.0])


def test_a_second_backward_is_refused():
    x = leaf([1.0, 2.0])
    y = (x * x).sum()
    y.backward()
    with pytest.raises(RuntimeError, match="second time"):
        y.backward()
    shared = x * 2.0
    shared.sum().backward()
    with pytest.raises(RuntimeError, match="second time"):
        (shared * shared).sum().backward()


def test_retain_graph():
    x = leaf([1.0, 2.0])
    y = (x * x).sum()
    y.backward(retain_graph=True)
    y.backward()
    np.testing.assert_array_equal(x.grad.numpy(), [4.0, 8.0])
    with pytest.raises(RuntimeError, match="second time"):
        y.backward()


def test_create_graph_keeps_the_graph():
    x = leaf([1.0, 2.0])
    y = (x * x).sum()
    y.backward(create_graph=True)
    y.backward(create_graph=True)
    np.testing.assert_array_equal(x.grad.detach().numpy(), [4.0, 8.0])


@pytest.mark.parametrize("flipped", [False, True])
def test_a_refused_backward_changes_nothing(flipped):
    x, y = leaf([1.0, 2.0]), leaf([1.0])
    spent = x * 2.0
    spent.sum().backward()
    x.grad = None
    with pytest.raises(RuntimeError, match="second time"):
        (spent + y if flipped else y + spent).backward([1.0, 1.0])
    assert x.grad is None
    assert y.grad is None


def test_backward_of_a_leaf():
    x = leaf(3.0)
    x.backward()
    x.backward()
    assert x.grad.item() == 2.0


def test_the_gradient_argument():
    x = leaf([1.0, 2.0])
    for seed in ([1.0, 10.0], np.array([1, 10]), mg.tensor([1.0, 10.0])):
        x.grad = None
        (x * 3.0).backward(seed)
        np.testing.assert_array_equal(x.grad.numpy(), [3.0, 30.0])
        assert x.grad.dtype == np.float64


@pytest.mark.parametrize("shape", [(2,), (1, 2), (2, 1)])
def test_a_gradient_of_the_wrong_shape(shape):
    x = leaf([[1.0], [2.0]][: shape[0]])
    wrong = np.ones((3,))
    with pytest.raises(ValueError, match="gradient shape mismatch"):
        (x * 1.0).backward(wrong)


def test_a_gradient_is_needed_and_a_graph_too():
    x = leaf([1.0, 2.0])
    with pytest.raises(RuntimeError, match="gradient required"):
        (x * 2.0).backward()
    with pytest.raises(RuntimeError, match="no graph"):
        mg.tensor([1.0]).sum().backward()
    with mg.no_grad():
        y = x.sum()
    with pytest.raises(RuntimeError, match="no graph"):
        y.backward()


def test_setting_the_gradient():
    x = leaf([1.0, 2.0])
    mine = np.array([5.0, 6.0])
    x.grad = mine
    mine[0] = 0.0
    np.testing.assert_array_equal(x.grad.numpy(), [5.0, 6.0])
    with pytest.raises(ValueError, match="grad shape mismatch"):
        x.grad = np.ones(3)


# ---- つなぐ・切る -----------------------------------------------------------------------------


def test_detach_shares_the_data_and_cuts_the_graph():
    x = leaf([1.0, 2.0])
    y = x * 2.0
    d = y.detach()
    assert np.shares_memory(d.numpy(), y.detach().numpy())
    assert not d.requires_grad
    assert d.is_leaf
    (d * x).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), y.detach().numpy())


def test_a_clone_has_its_own_memory():
    x = leaf([1.0, 2.0])
    c = x.clone()
    assert not np.shares_memory(c.detach().numpy(), x.detach().numpy())
    c.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), [1.0, 1.0])


def test_tensor_copies_its_input():
    a = np.array([1.0, 2.0])
    t = mg.tensor(a)
    a[0] = 9.0
    assert t.tolist() == [1.0, 2.0]
    assert t.dtype == np.float64
    u = mg.tensor(t)
    assert not np.shares_memory(t.numpy(), u.numpy())


def test_types_of_new_tensors():
    assert mg.tensor([1.0]).dtype == np.float32
    assert mg.tensor(1.0).dtype == np.float32
    assert mg.tensor([1]).dtype == np.int64
    assert mg.tensor([True]).dtype == np.bool_
    assert mg.tensor([1], dtype=float).dtype == np.float64
    assert mg.tensor(np.float64(1.0)).dtype == np.float64
    assert mg.exp(mg.tensor([1, 2])).dtype == np.float32
    mg.set_default_dtype(np.float64)
    try:
        assert mg.tensor([1.0]).dtype == np.float64
        assert mg.exp(mg.tensor([1, 2])).dtype == np.float64
    finally:
        mg.set_default_dtype(np.float32)
    with pytest.raises(TypeError, match="expected a floating dtype"):
        mg.set_default_dtype(int)


# ---- エラー ----------------------------------------------------------------------------------

X = mg.tensor(np.ones((2, 3)))

GIVEN = {"x": X, "xs": [X, X], "index": mg.tensor([[0]]), "indices": [0], "source": X}
OF_AXES = [
    name for name, f in FUNCTIONS.items()
    if "axis" in signature(f).parameters and name not in composed(FUNCTIONS)
]  # fmt: skip


@pytest.mark.parametrize("name", OF_AXES)
def test_who_is_given_a_wrong_axis_says_its_own_name(name):
    f = FUNCTIONS[name]
    needed = [p.name for p in signature(f).parameters.values() if p.default is p.empty]
    others = {p: GIVEN.get(p, 1) for p in needed if p != "axis"}
    if name == "index_select":
        others["index"] = [0]
    with pytest.raises(IndexError, match=f"^{f.__name__} の軸 5 がありません"):
        f(**others, axis=5)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: X + np.ones(4), ValueError, "shapes do not broadcast"),
        (lambda: X @ X, ValueError, "matmul shape mismatch"),
        (lambda: X @ mg.tensor(1.0), ValueError, "matmul shape mismatch"),
        (lambda: X.sum(2), IndexError, "axis out of range"),
        (lambda: X.sum((0, -2)), ValueError, "duplicate axis"),
        (lambda: X.sum(1.0), TypeError, "expected int"),
        (lambda: X.sum("a"), TypeError, "expected int"),
        (lambda: X.reshape(4), ValueError, "invalid shape"),
        (lambda: X.reshape(-1, -1), ValueError, "invalid shape"),
        (lambda: X.reshape(2.0, 3), TypeError, "expected integers"),
        (lambda: X.transpose((0, 0)), ValueError, "duplicate axis"),
        (lambda: X.transpose(0), ValueError, "expected every axis"),
        (lambda: X.broadcast_to(2, 4), ValueError, "do not broadcast"),
        (lambda: X[2], IndexError, "invalid index|out of range"),
        (lambda: X[0, 0, 0], IndexError, "範囲|index"),
        (lambda: X[:, 5], IndexError, "invalid index|out of range"),
        (lambda: mg.tensor(np.ones((0, 2))).amax(0), ValueError, "empty axis"),
        (lambda: mg.stack([]), ValueError, "shape mismatch|empty"),
        (lambda: mg.stack([X, X.T]), ValueError, "shape mismatch"),
        (lambda: mg.concatenate([X, X.T]), ValueError, "shape mismatch"),
        (lambda: mg.pad(X, [(1, 1)]), ValueError, "invalid widths"),
        (lambda: mg.roll(X, (1, 2), 0), ValueError, "length mismatch"),
        (lambda: X + "a", TypeError, "expected a real number"),
        (lambda: X * None, TypeError, "expected a real number"),
        (lambda: mg.Value(1.0) * 1j, TypeError, "expected a real number"),
        (lambda: X + object(), TypeError, "unsupported operand"),
        (lambda: mg.tensor([[1.0], [1.0, 2.0]]), ValueError, "ragged"),
        (lambda: mg.tensor("a"), TypeError, "expected"),
        (lambda: mg.tensor([None]), TypeError, "expected"),
        (lambda: mg.tensor([1j], dtype=mg.float32), ValueError, "complex into real"),
        (lambda: mg.tensor([mg.Value(1.0)]), TypeError, "use stack"),
        (lambda: mg.tensor([[1.0, mg.Value(1.0)]]), TypeError, "use stack"),
        (lambda: mg.tensor(mg.Value(1.0)), TypeError, "use stack"),
        (lambda: mg.tensor([1, 2], requires_grad=True), TypeError, "floating and complex dtypes"),
        (lambda: mg.tensor([True], requires_grad=True), TypeError, "floating and complex dtypes"),
        (lambda: X.item(), ValueError, "expected one element"),
        (lambda: X.to_value(), ValueError, "expected one element"),
        (lambda: bool(X), ValueError, "expected one element"),
        (lambda: len(mg.tensor(1.0)), TypeError, "0-d"),
        (lambda: leaf([1.0]).numpy(), RuntimeError, "requires grad"),
        (lambda: leaf([1.0]).__setitem__(0, 2.0), RuntimeError, "in-place"),
    ],
)  # fmt: skip
def test_errors_say_what_was_wrong(make, error, message):
    with pytest.raises(error, match=message) as caught:
        make()
    assert any(ord(c) > 0x3000 for c in str(caught.value)) or "unsupported operand" in message


def test_in_place_assignment_without_a_graph():
    t = mg.tensor([1.0, 2.0])
    t[0] = 5.0
    t[1:] = mg.tensor([7.0])
    assert t.tolist() == [5.0, 7.0]
    x = leaf([1.0])
    with mg.no_grad():
        x.detach().numpy()[0] = 3.0
    assert x.item() == 3.0


def test_a_failed_operation_leaves_no_trace():
    x = leaf([1.0, 2.0])
    with pytest.raises(ValueError, match="broadcast"):
        x + np.ones(3)
    assert x.grad is None
    assert x.is_leaf


# ---- メモリと深さ -----------------------------------------------------------------------------


def test_intermediates_die_at_once():
    gc.collect()
    gc.disable()
    try:
        x = leaf(np.ones(4))
        y = mg.exp(x)
        big = weakref.ref(y.detach().numpy())
        z = (y * 2.0).sum()
        del y
        assert big() is not None
        z.backward(create_graph=True)
        del z
        x.grad = None
        assert big() is None
    finally:
        gc.enable()


def chain(n):
    x = leaf([1.0, 0.5])
    y = x
    for _ in range(n):
        y = y * 0.999999
    return x, y


def check_chain(n):
    x, y = chain(n)
    y.backward(np.ones(2))
    np.testing.assert_allclose(x.grad.numpy(), 0.999999**n, rtol=1e-6)
    started = time.perf_counter()
    del y
    return time.perf_counter() - started


def test_a_deep_chain():
    check_chain(20_000)


@pytest.mark.slow
def test_a_chain_of_a_million():
    check_chain(1_000_000)


def test_a_deep_chain_with_create_graph():
    x, y = chain(5_000)
    (y * y).sum().backward(create_graph=True)
    g = x.grad
    x.grad = None
    g.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), 2 * 0.999999**10_000, rtol=1e-6)


# ---- 写しと表示 -------------------------------------------------------------------------------


def test_copies_are_independent():
    x = leaf([1.0, 2.0], label="x")
    for other in (copy.deepcopy(x), pickle.loads(pickle.dumps(x))):
        assert (other.label, other.requires_grad, other.dtype) == ("x", True, x.dtype)
        assert not np.shares_memory(other.detach().numpy(), x.detach().numpy())
        other.sum().backward()
        assert x.grad is None
    x.sum().backward()
    other = copy.deepcopy(x)
    np.testing.assert_array_equal(other.grad.numpy(), [1.0, 1.0])
    assert not np.shares_memory(other.grad.numpy(), x.grad.numpy())


def test_repr():
    assert repr(mg.tensor([1.0, 2.0])) == "tensor([1., 2.])"
    assert repr(leaf([1.0])) == "tensor([1.], dtype=float64, requires_grad=True)"
    assert "op=sum" in repr(leaf([1.0]).sum())
    assert "label='W'" in repr(leaf([1.0], label="W"))
    assert len(repr(mg.tensor(np.zeros((100, 100))))) < 1000
    assert repr(mg.tensor(np.zeros((0, 2)))).startswith("tensor([]")


# ---- モード -----------------------------------------------------------------------------------


def test_anomaly_in_the_forward_pass_of_tensors():
    x = leaf([1.0, 0.0])
    with mg.detect_anomaly(), pytest.raises(mg.AnomalyError, match="log") as caught:
        mg.log(x - 1.0).sum()
    assert "test_tensor_engine.py" in str(caught.value)


def test_anomaly_in_the_backward_pass_of_tensors():
    x = leaf([1.0, 0.0])
    with mg.detect_anomaly():
        y = mg.sqrt(x).sum()
        with pytest.raises(mg.AnomalyError, match="backward"):
            y.backward()


def test_no_anomaly():
    x = leaf([1.0, 2.0])
    with mg.detect_anomaly():
        (mg.log(x) @ x).backward()
    np.testing.assert_allclose(x.grad.numpy(), 1 + np.log(x.detach().numpy()))


def test_comparisons_are_plain():
    x = leaf([1.0, 2.0])
    y = x > 1.5
    assert y.dtype == np.bool_
    assert not y.requires_grad
    assert ((x == x).tolist(), (x != 1.0).tolist()) == ([True, True], [False, True])
    assert (np.array([1.5, 1.5]) < x).tolist() == [False, True]
    assert isinstance(np.array([1.5, 1.5]) < x, mg.Tensor)
    assert len({x, x, y}) == 2


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 0, 2)])
def test_contiguous_is_in_order_and_itself_where_it_was(order):
    t = leaf(np.arange(24.0).reshape(2, 3, 4)).permute(*order)
    c = t.contiguous()
    assert c.detach().numpy().flags.c_contiguous and c.tolist() == t.tolist()
    assert (c is t) == t._data.flags.c_contiguous
    assert c.contiguous() is c
