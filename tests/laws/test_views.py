"""ビュー: PyTorch がビューを返す演算の結果に書き込むと、もとも変わり、逆伝播もそれに気づく。"""

import contextlib
import functools

import numpy as np
import pytest
import ways
from array_cases import CASES

import micrograd_jp as mg
from micrograd_jp.graph.writes import Writes
from micrograd_jp.tensor import inplace
from micrograd_jp.tensor.registry import FUNCTIONS, METHODS
from tests.reference import torch

# What PyTorch documents as a view, and what is one where it can be.
DOCUMENTED = {
    "adjoint", "as_strided", "chunk", "contiguous", "detach", "diagonal", "dsplit", "expand",
    "expand_as", "flatten", "hsplit", "imag", "movedim", "moveaxis", "narrow", "permute", "ravel",
    "real", "reshape", "reshape_as", "select", "split", "split_with_sizes", "squeeze", "swapaxes",
    "swapdims", "t", "tensor_split", "transpose", "unbind", "unflatten", "unfold", "unsqueeze",
    "view", "view_as", "vsplit",
}  # fmt: skip
VIEWS = {
    "[0]": lambda t: t[0],
    "[0, 1]": lambda t: t[0, 1],
    "[-1, 1:, None]": lambda t: t[-1, 1:, None],
    "[..., ::2]": lambda t: t[..., ::2],
    "iteration": lambda t: list(t),
    "iteration of iterations": lambda t: [x for row in t for x in row],
    "T": lambda t: t.T,
    "mT": lambda t: t.mT,
    "chunk": lambda t: t.chunk(2, 1),
    "contiguous": lambda t: t.contiguous(),
    "detach": lambda t: t.detach(),
    "diagonal": lambda t: t.diagonal(),
    "diagonal 1": lambda t: t.diagonal(1),
    "diagonal -1": lambda t: t.diagonal(offset=-1, dim1=1, dim2=0),
    "adjoint": lambda t: t.adjoint(),
    "dsplit": lambda t: t.unsqueeze(0).dsplit(2),
    "hsplit": lambda t: t.hsplit(2),
    "moveaxis": lambda t: t.moveaxis(0, 1),
    "narrow": lambda t: t.narrow(1, 1, 2),
    "real": lambda t: t.real,
    "select": lambda t: t.select(1, 2),
    "swapdims": lambda t: t.swapdims(0, 1),
    "tensor_split": lambda t: t.tensor_split(3, 1),
    "unflatten": lambda t: t.unflatten(1, (2, 2)),
    "vsplit": lambda t: t.vsplit([1]),
    "expand": lambda t: t.expand(3, 4),
    "expand more": lambda t: t.expand(2, 3, 4),
    "expand_as": lambda t: t.expand_as(t),
    "flatten": lambda t: t.flatten(),
    "flatten one": lambda t: t[0].flatten(),
    "movedim": lambda t: t.movedim(0, 1),
    "permute": lambda t: t.permute(1, 0),
    "ravel": lambda t: t.ravel(),
    "reshape": lambda t: t.reshape(2, 6),
    "reshape that copies": lambda t: t.T.reshape(12),
    "reshape_as": lambda t: t.reshape_as(t.T),
    "split": lambda t: t.split(2, 1),
    "squeeze": lambda t: t[:1].squeeze(),
    "swapaxes": lambda t: t.swapaxes(0, 1),
    "t": lambda t: t.t(),
    "transpose": lambda t: t.transpose(0, 1),
    "unbind": lambda t: t.unbind(1),
    "unbind of 1-d": lambda t: t[0].unbind(),
    "unsqueeze": lambda t: t.unsqueeze(1),
    "view": lambda t: t.view(4, 3),
    "view_as": lambda t: t.view_as(t),
    "one after another": lambda t: t.T[1:].unsqueeze(0)[0, :, 1].reshape(-1, 1),
}
REFUSED = r"single memory|on a leaf that requires grad"
POINT = np.arange(12.0).reshape(3, 4)
rows = pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
# On JAX every view and every write is a program of its own: most of them are slow.
on_both = pytest.mark.parametrize(
    "view, kind",
    [pytest.param(view, "numpy", id=f"{name}-numpy") for name, view in VIEWS.items()]
    + [
        pytest.param(view, "jax", id=f"{name}-jax", marks=[pytest.mark.slow] if i % 4 else [])
        for i, (name, view) in enumerate(VIEWS.items())
    ],
)


def parts(x):
    return x if isinstance(x, list | tuple) else [x]


def made(kind, data=POINT):
    if kind == "jax":
        return mg.tensor(pytest.importorskip("jax.numpy", reason="JAX がない").array(data))
    return mg.tensor(data)


def test_every_view_is_in_the_table():
    ours = DOCUMENTED & (METHODS.keys() | FUNCTIONS.keys() | set(dir(mg.Tensor)))
    own = {"unfold", "imag"}  # ours copies; of complex numbers (tests/tensor/test_complex.py)
    assert ours - {name.split()[0] for name in VIEWS} == own


@on_both
def test_a_write_to_the_view_reaches_the_tensor(view, kind):
    if kind == "jax" and view is VIEWS["reshape that copies"]:
        return  # a JAX array has no layout: the result may be a view
    t, theirs = made(kind), torch.tensor(POINT, dtype=torch.float32 if kind == "jax" else None)
    for k, (x, y) in enumerate(zip(parts(view(t)), parts(view(theirs)), strict=True)):
        for write in (lambda z, k=k: z.fill_(k + 7.0), lambda z: z.add_(1), lambda z: z.zero_()):
            try:
                write(y)
            except RuntimeError as error:  # expanded: many elements in one place
                assert "single memory location" in str(error)
                with pytest.raises(RuntimeError, match="single memory location"):
                    write(x)
            else:
                assert write(x) is x
            np.testing.assert_array_equal(np.asarray(x._data), y.numpy())
            np.testing.assert_array_equal(np.asarray(t._data), theirs.numpy())


@rows
def test_backward_notices_the_write(view):
    w = mg.tensor(np.ones((3, 4)), requires_grad=True)
    t = mg.tensor(POINT)
    y = (w * t).sum()
    for x in parts(view(t)):
        x.fill_(5.0)
    if t.tolist() == POINT.tolist():
        y.backward()  # it was a copy
    else:
        with pytest.raises(RuntimeError, match="modified in place"):
            y.backward()
        assert w.grad is None


@on_both
def test_a_tracked_value_written_to_the_view_brings_its_gradient(view, kind):
    t, w = made(kind), mg.tensor(made(kind, np.array(2.0))._data, requires_grad=True)
    for x in parts(view(t)):
        x.fill_(w * 50)
    changed = int((np.asarray(t._data) == 100).sum())
    assert t.requires_grad == (changed > 0 and view is not VIEWS["detach"])
    if t.requires_grad:  # what `detach` shares are the numbers
        t.sum().backward()
        assert w.grad.item() == 50.0 * changed


@rows
def test_a_view_of_a_parameter_is_not_written(view):
    w = mg.tensor(POINT, requires_grad=True)
    if view is VIEWS["detach"] or view is VIEWS["reshape that copies"]:
        return
    for x in parts(view(w)):
        with pytest.raises(RuntimeError, match=REFUSED):
            x.add_(1)
        with pytest.raises(RuntimeError, match=REFUSED):
            x[...] = 5
    assert w.tolist() == POINT.tolist()
    with mg.no_grad():
        for x in parts(view(w)):
            x.fill_(5)
    assert 5.0 in w._data and w.is_leaf


# ---- どの道で計算したものでも -------------------------------------------------------------------
# Inside a compiled function there are only numbers, which have no views: its result has.


def compiled(x):
    return mg.compile(lambda row: [v * 1.0 for v in row], dtype=np.float64)(x)


def written(names, start=mg.relu):
    """A program: the views of what `start` gives, written; all numbers and gradients."""

    def program(x0, w0):
        found = []
        for name in names:
            x, w = (y.clone().requires_grad_() for y in (x0, w0))
            t = start(x)
            for k, part in enumerate(parts(VIEWS[name](t))):
                with contextlib.suppress(RuntimeError):  # spread
                    part.fill_(w * (k + 2)).mul_(w)
                    found.append(part)
            (t * x0).sum().backward()
            found += [t, *(y.grad for y in (x, w) if y.grad is not None)]
        return found

    return program


def found(run, names, start=mg.relu):
    return [x.tolist() for x in run(written(names, start), POINT + 1, np.array(2.0))]


@functools.cache
def plainly(*names):
    return found(ways.run_on_numpy, names)


def differs(run, names, start=mg.relu):
    return found(run, names, start) != plainly(*names)


def test_a_result_of_machine_code_is_written_through_its_views():
    assert not differs(ways.run_natively, VIEWS)


def test_a_result_of_a_compiled_function_is_written_through_its_views():
    assert not differs(ways.run_on_numpy, VIEWS, compiled)


@pytest.mark.parametrize("names", [
    ("[0]", "diagonal", "unbind"),
    pytest.param(VIEWS.keys() - {"reshape that copies"}, marks=pytest.mark.slow),
])  # fmt: skip
def test_views_are_written_inside_a_jitted_function(names):
    assert not differs(ways.run_jitted, sorted(names))


def shared(case):
    """What `fill_` on the result does to the arguments, here and there."""
    point = case.point()
    ours, theirs = [mg.tensor(x) for x in point], [torch.tensor(x) for x in point]
    for x, y in zip(parts(case.f(*ours)), parts(case.torch(*theirs)), strict=True):
        if not isinstance(x, mg.Tensor):
            return [], []
        try:
            y.fill_(7)
        except RuntimeError:
            continue
        x.fill_(7)
    return [x.tolist() for x in ours], [y.tolist() for y in theirs]


def differing(cases):
    found = []
    for case in cases:
        try:
            ours, theirs = shared(case)
        except Exception as error:
            raise AssertionError(f"{case!r}") from error
        if ours != theirs:
            found.append(repr(case))
    return found


def test_every_operation_shares_memory_where_pytorch_does():
    steps_back = ["getitem[(2, 3)]"]  # x[:, ::-2], which PyTorch does not have
    assert differing([case for case in CASES if case.torch is not None]) == steps_back


@pytest.mark.parametrize("key", [
    np.s_[:, [0, 2, 0]], np.s_[:, :, [1, 3]], np.s_[0, :, [1, 2]], np.s_[:, [1, 2], [0, 3]],
    np.s_[:, None, [1, 2]], np.s_[:, [[0, 1], [2, 0]]], np.s_[:, [True, False, True]],
])  # fmt: skip
def test_what_is_chosen_by_arrays_can_be_written_through_another_shape(key):
    """As in PyTorch, it lies in memory in order: `reshape` is a view of it."""
    chosen = mg.arange(24.0).reshape(2, 3, 4)[key]
    chosen.reshape(-1).zero_()
    assert not chosen._data.any()


@pytest.mark.control
def test_the_checks_find_the_old_faults(monkeypatch):
    """The negative control: elements that are copies, a diagonal that is one, forgotten bases."""
    ways_there = (
        (ways.run_on_numpy, ["T", "diagonal"], compiled), (ways.run_natively, ["unbind"]),
        (ways.run_jitted, ["[0]"]),
    )  # fmt: skip
    assert not any(differs(*how) for how in ways_there)
    with monkeypatch.context() as patch:
        from micrograd_jp.namespace.numpy import NumPy

        patch.setattr(NumPy, "getitem", lambda self, x, key: np.copy(x[key]))
        with pytest.raises(AssertionError):
            test_a_write_to_the_view_reaches_the_tensor(VIEWS["unbind of 1-d"], "numpy")
    with monkeypatch.context() as patch:
        patch.setattr(mg.Tensor, "base", property(lambda self: None))
        with pytest.raises(AssertionError):
            test_a_tracked_value_written_to_the_view_brings_its_gradient(VIEWS["T"], "numpy")
    with monkeypatch.context() as patch:
        patch.setattr(inplace, "become", lambda t, keys, value: None)
        with pytest.raises(AssertionError):
            test_a_tracked_value_written_to_the_view_brings_its_gradient(VIEWS["reshape"], "numpy")
        assert all(differs(*how) for how in ways_there)
    with monkeypatch.context() as patch:
        patch.setattr(Writes, "note", lambda *_: None)
        with pytest.raises(pytest.fail.Exception):
            test_backward_notices_the_write(VIEWS["[0]"])
