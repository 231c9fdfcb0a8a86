"""表のすべての行で: 勾配、PyTorch との一致、型、メモリ、非連続な配列。"""

import copy
import gc
import inspect
import pickle
import weakref

import numpy as np
import pytest
from array_cases import CASES, ROWS

import micrograd_jp as mg
from micrograd_jp import functions
from micrograd_jp.graph import gradients, topological_order
from micrograd_jp.ops.primitive import array_ops
from micrograd_jp.tensor.registry import FUNCTIONS
from micrograd_jp.testing import gradcheck
from tests.reference import torch
from tests.tensor.composed_rows import composed
from tests.together import together

FULL = [case for case in CASES if not case.empty]
WITH_ORACLE = [case for case in CASES if case.torch is not None]


def tracked(arrays):
    return [mg.tensor(x, requires_grad=True) for x in arrays]


def cotangent(shape, salt=0):
    return np.random.default_rng(salt + len(shape)).uniform(0.5, 1.5, shape)


def nodes_of(out):
    return topological_order(out)


def pulled(case, arrays, seed=None):
    """The output and the gradients of every input."""
    xs = tracked(arrays)
    out = case.f(*xs)
    out = out if isinstance(out, mg.Tensor) else mg.stack([out])
    out.backward(cotangent(out.shape) if seed is None else seed)
    return out, [x.grad.numpy() if x.grad is not None else np.zeros_like(x.data) for x in xs]


# ---- 表に載っていないものはない ----------------------------------------------------------------


def test_every_array_operation_is_in_the_table():
    used = set()
    for case in ROWS:
        out = case.f(*tracked(case.point()))
        used |= {node.op.name for node in nodes_of(out) if node.op is not None}
    assert {op.name for op in array_ops()} - used == set()


# Functions without a gradient of their own (test_surface.py), and those of sequences of Values.
NOT_IN_TABLE = set(
    """
    function reduce elementwise_primitives as_tensor run Tensor Value explain_all
    all any argmax argmin argsort nonzero one_hot bincount histogram multinomial
    eq ne lt le gt ge isnan isinf isfinite allclose equal
    logical_not logical_and logical_or logical_xor window_places curved_at_zero is_floating_point
    is_complex
""".split()
)


def test_every_function_is_in_the_table():
    public = {
        name
        for name, f in vars(functions).items()
        if inspect.isfunction(f) and not name.startswith("_")
    }
    assert public - NOT_IN_TABLE - composed(FUNCTIONS) - {case.name for case in CASES} == set()


# ---- 勾配 ------------------------------------------------------------------------------------


def orders():
    """Second derivatives take long where there are many numbers; of every operation, those of its
    two smallest rows are looked at in any case (test_tensor_faults.py).
    """
    for case in FULL:
        many = sum(x.size for x in case.point()) >= 6
        for order in (1, 2) if many else (2,):
            long = [pytest.mark.slow] if many and order == 2 else []
            yield pytest.param(case, order, id=f"{case!r}-{order}", marks=long)


@pytest.mark.parametrize(("case", "order"), list(orders()))
def test_first_and_second_derivatives(case, order):
    if np.size(case.f(*map(mg.tensor, case.point())).data) == 0:
        return
    gradcheck(case.f, case.point(), order=order, allow_zero=True)


@pytest.mark.parametrize("case", WITH_ORACLE, ids=repr)
def test_values_and_derivatives_are_pytorchs(case):
    point = case.point()
    ours, theirs = tracked(point), [torch.tensor(x, requires_grad=True) for x in point]
    y, z = case.f(*ours), case.torch(*theirs)
    assert y.shape == tuple(z.shape)
    np.testing.assert_allclose(y.detach().numpy(), z.detach().numpy(), rtol=1e-12, atol=1e-14)
    seed = cotangent(y.shape)
    total = gradients(y, mg.tensor(seed))
    g = [total.get(x, mg.tensor(np.zeros(x.shape))) for x in ours]
    h = torch.autograd.grad(
        z, theirs, torch.tensor(seed), create_graph=True, allow_unused=True, materialize_grads=True
    )
    for a, b in zip(g, h):
        np.testing.assert_allclose(
            a.detach().numpy(), b.detach().numpy(force=True), rtol=1e-11, atol=1e-13
        )
    # Second derivatives: of a random projection of the gradient.
    weights = [cotangent(x.shape, i + 1) for i, x in enumerate(point)]
    p = sum(((a * w).sum() for a, w in zip(g, weights)), mg.tensor(0.0, dtype=float))
    q = sum((b * torch.tensor(w)).sum() for b, w in zip(h, weights))
    want = [torch.zeros_like(x) for x in theirs]
    if q.requires_grad:
        want = torch.autograd.grad(q, theirs, allow_unused=True, materialize_grads=True)
    if p.requires_grad:
        p.backward()
    for x, w in zip(ours, want):
        got = np.zeros(x.shape) if x.grad is None else x.grad.numpy()
        np.testing.assert_allclose(got, w.detach().numpy(force=True), rtol=1e-10, atol=1e-12)


@together(CASES)
def test_backward_and_create_graph_agree(case):
    out, grads = pulled(case, case.point())
    xs = tracked(case.point())
    again = case.f(*xs)
    again = again if isinstance(again, mg.Tensor) else mg.stack([again])
    again.backward(cotangent(out.shape), create_graph=True)
    for x, g in zip(xs, grads):
        assert x.grad.shape == x.shape
        np.testing.assert_allclose(x.grad.detach().numpy(), g, rtol=1e-13, atol=1e-15)


@together(CASES)
def test_the_vjp_is_linear(case):
    point = case.point()
    shape = pulled(case, point)[0].shape
    u, v = cotangent(shape, 1), cotangent(shape, 2)
    a, b, both = (pulled(case, point, seed)[1] for seed in (u, v, 2 * u - 3 * v))
    for i in range(len(point)):
        np.testing.assert_allclose(both[i], 2 * a[i] - 3 * b[i], rtol=1e-10, atol=1e-12)


# ---- 形と型 -----------------------------------------------------------------------------------


@together(CASES)
def test_gradients_have_the_shape_and_type_of_their_inputs(case):
    for dtype in (np.float32, np.float64):
        point = [x.astype(dtype) for x in case.point()]
        xs = tracked(point)
        out = case.f(*xs)
        if not isinstance(out, mg.Tensor) or case.name == "astype":
            continue
        assert (
            all(x.data.real.dtype == dtype for x in nodes_of(out) if isinstance(x, mg.Tensor))
            or case.name == "item"
        )
        assert isinstance(out.detach().numpy(), np.ndarray)
        out.backward(np.ones(out.shape), create_graph=True)  # a float64 seed
        for x in xs:
            assert (x.grad.shape, x.grad.dtype) == (x.shape, dtype)
            assert isinstance(x.grad._data, np.ndarray)
        xs = tracked(point)
        case.f(*xs).backward(np.ones(out.shape))
        for x in xs:
            assert (x.grad.shape, x.grad.dtype) == (x.shape, dtype)
            assert isinstance(x._grad, np.ndarray)


VIEWS = {
    "transposed": lambda x: np.array(x.T, order="C").T,
    "strided": lambda x: np.repeat(x, 2, axis=-1)[..., ::2] if x.ndim else x,
    "negative": lambda x: np.array(x[::-1], order="C")[::-1] if x.ndim else x,
    "read-only": lambda x: (x.setflags(write=False), x)[1],
}


@together(CASES)
def test_the_memory_layout_does_not_matter(case):
    want_out, want = pulled(case, case.point())
    for view in VIEWS.values():
        require_the_same(case, view, want_out, want)


def require_the_same(case, view, want_out, want):
    point = [view(x) for x in case.point()]
    xs = [mg.Tensor(x, requires_grad=True) for x in point]  # no copy: the very layout
    out = case.f(*xs)
    out = out if isinstance(out, mg.Tensor) else mg.stack([out])
    seed = view(cotangent(out.shape))
    out.backward(seed)
    np.testing.assert_allclose(
        out.detach().numpy(), want_out.detach().numpy(), rtol=1e-13, atol=1e-15
    )
    for x, g in zip(xs, want):
        np.testing.assert_allclose(x.grad.numpy(), g, rtol=1e-13, atol=1e-15)
    for x, y in zip(point, case.point()):
        np.testing.assert_array_equal(x, y)
    np.testing.assert_array_equal(seed, cotangent(out.shape))


# ---- メモリ -----------------------------------------------------------------------------------


@together((case, create_graph) for case in FULL for create_graph in (False, True))
def test_gradients_share_no_memory(case, create_graph):
    xs = tracked(case.point())
    out = case.f(*xs)
    out = out if isinstance(out, mg.Tensor) else mg.stack([out])
    seed = mg.tensor(cotangent(out.shape))
    out.backward(seed, create_graph=create_graph)
    grads = [x.grad.detach().numpy() for x in xs]
    others = [seed.numpy(), out.detach().numpy(), *(x.detach().numpy() for x in xs)]
    for i, g in enumerate(grads):
        assert g.flags.writeable
        assert not any(np.shares_memory(g, other) for other in [*others, *grads[:i]])


@together(CASES)
def test_a_graph_dies_when_it_is_dropped(case):
    xs = tracked(case.point())
    out = case.f(*xs)
    out.backward(np.ones(out.shape) if isinstance(out, mg.Tensor) else None)
    del out  # now everything is imported and compiled
    gc.freeze()  # what was there before needs no look
    gc.disable()
    try:
        out = case.f(*xs)
        arrays = [
            weakref.ref(node._data)
            for node in nodes_of(out)
            if isinstance(node._data, np.ndarray) and node.op is not None
        ]
        out.backward(np.ones(out.shape) if isinstance(out, mg.Tensor) else None)
        out = case.f(*xs)
        out.backward(np.ones(out.shape) if isinstance(out, mg.Tensor) else None)
        del out
        assert not [ref for ref in arrays if ref() is not None]
        assert gc.collect() == 0
    finally:
        gc.enable()


# ---- 記録 ------------------------------------------------------------------------------------


@together(CASES)
def test_no_grad_records_nothing(case):
    xs = tracked(case.point())
    with mg.no_grad():
        out = case.f(*xs)
    assert out.is_leaf
    assert not out.parents
    if isinstance(out, mg.Tensor):
        assert not out.requires_grad
        np.testing.assert_array_equal(out.numpy(), case.f(*xs).detach().numpy())


@together([case for case in CASES if case.name != "item"])  # a Value is always tracked
def test_constants_are_not_recorded(case):
    xs = [mg.tensor(x) for x in case.point()]
    out = case.f(*xs)
    assert out.is_leaf
    if len(xs) < 2:
        return
    xs[0].requires_grad_()
    out = case.f(*xs)
    leaves = [n for n in nodes_of(out) if n.op is None]
    assert leaves == [xs[0]]
    out.backward(np.ones(out.shape))
    assert xs[0].grad is not None
    assert all(x.grad is None for x in xs[1:])


@together(CASES)
def test_copies_and_pickles_of_a_graph(case):
    xs = tracked(case.point())
    out = case.f(*xs)
    for other in (copy.deepcopy(out), pickle.loads(pickle.dumps(out))):
        assert type(other) is type(out)
        np.testing.assert_array_equal(other.data, out.data)
        other.backward(*([np.ones(other.shape)] if isinstance(other, mg.Tensor) else []))
        assert all(x.grad is None for x in xs)
        leaves = [n for n in nodes_of(other) if n.op is None]
        assert all(isinstance(n.grad, mg.Tensor) for n in leaves)
    if isinstance(out, mg.Tensor):
        assert isinstance(repr(out), str)
