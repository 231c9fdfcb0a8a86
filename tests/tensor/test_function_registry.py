"""登録簿: 1 つの宣言から、関数、メソッド、その場で書き換えるメソッド、別名ができる。"""

import inspect

import numpy as np
import pytest

import micrograd_jp as mg
from micrograd_jp import functions
from micrograd_jp.namespace.graph import on_graph
from micrograd_jp.ops.primitive import elementwise_primitives
from micrograd_jp.tensor import registry
from micrograd_jp.tensor.functions import FUNCTIONS, IN_PLACE, METHODS, RULES
from tests.reference import torch
from tests.tensor.composed_rows import composed


@pytest.fixture
def tables(monkeypatch):
    """Empty tables in place of the package's."""
    for name in ("FUNCTIONS", "METHODS", "IN_PLACE"):
        monkeypatch.setattr(registry, name, {})
    return registry


def test_what_a_declaration_says(tables):
    def shifted(x, axis, k=0):
        return x, axis, k

    def only_in_place(x):
        return x

    assert tables.function(in_place=True, torch={"diagonal": "k"})(shifted) is shifted
    assert tables.function(package=False, method=False, in_place=True)(only_in_place)
    assert list(tables.FUNCTIONS) == list(tables.METHODS) == ["shifted"]
    assert list(tables.IN_PLACE) == ["shifted_", "only_in_place_"]
    called = tables.FUNCTIONS["shifted"]
    assert called is tables.METHODS["shifted"] is tables.IN_PLACE["shifted_"]
    assert called.torch_names == {"input": "x", "dim": "axis", "diagonal": "k"}
    assert called(input=1, dim=2, diagonal=3) == called(1, 2, 3) == (1, 2, 3)
    with pytest.raises(TypeError, match="given twice"):
        called(1, 2, axis=2, dim=2)
    with pytest.raises(TypeError, match="given twice"):
        called(1, 2, 3, diagonal=3)
    with pytest.raises(TypeError):
        shifted(1, dim=2)  # the function itself has only its own names


def test_a_factory_names_what_it_makes(tables):
    @tables.function(package=False, name="twice", summary="2 倍。")
    def made(x):
        return 2 * x

    assert (made.__name__, made.__doc__) == ("twice", "2 倍。")
    assert (list(tables.FUNCTIONS), list(tables.METHODS)) == ([], ["twice"])


def test_a_function_without_other_names_is_not_wrapped():
    def f(p, q):
        return p + q

    assert registry.torch_names()(f) is f


def test_every_table_reaches_its_users():
    for name, f in METHODS.items():
        assert getattr(mg.Tensor, name) is f
    for name in FUNCTIONS:
        assert callable(getattr(mg, name))
    for name, f in (FUNCTIONS | RULES).items():
        assert getattr(on_graph, name) is inspect.unwrap(f)
    for name in RULES:
        assert hasattr(functions, name)
        assert not hasattr(mg, name)
    for name in IN_PLACE:
        assert getattr(mg.Tensor, name).__name__ == name


def test_in_place_methods_are_the_declared_ones():
    elementwise = {f"{op.name}_" for op in elementwise_primitives() if op.in_place}
    assert {"exp_", "add_", "clip_"} <= elementwise <= IN_PLACE.keys()
    undeclared = {op.name for op in elementwise_primitives() if not op.in_place}
    assert {"where", "clone", "maximum"} <= undeclared
    assert not any(hasattr(mg.Tensor, f"{name}_") for name in undeclared)


def test_an_operation_on_x_is_a_method():
    for op in elementwise_primitives():
        assert op.arguments[0] != "x" or hasattr(mg.Tensor, op.name)


PYTORCHS = set(
    "abs acos acosh add asin asinh atan atanh clip cos cosh div erf exp expm1 floor log log1p mul "
    "log2 log10 neg pow relu sigmoid sign sin sinh sqrt sub tan tanh".split()
)


def test_what_is_written_in_place_is_what_pytorch_writes_in_place():
    assert {op.name for op in elementwise_primitives() if op.in_place} == PYTORCHS
    for op in elementwise_primitives():
        assert hasattr(torch.Tensor, f"{op.name}_") == (op.name in PYTORCHS)


def test_functions_keep_their_own_signatures():
    assert list(inspect.signature(mg.Tensor.tril).parameters) == ["x", "k"]
    t = mg.tensor(np.arange(9.0).reshape(3, 3))
    assert mg.tril(t, diagonal=-1).tolist() == t.tril(k=-1).tolist() == t.tril_(-1).tolist()


X = [[0.5, 0.25], [0.125, 0.75]]
ARGUMENTS = {
    "cumsum": (0,), "unsqueeze": (0,), "swapaxes": (0, 1), "movedim": (0, 1), "roll": (1,),
    "pad": (1,), "split": (1,), "getitem": (0,), "take": ([1, 0],), "repeat_interleave": (2,),
    "repeat": (2,), "gather": (0, [[0, 1]]), "scatter_add": (0, [[0, 1]], [[1.0, 2.0]]),
    "index_add": (0, [1], [[1.0, 2.0]]), "topk": (1,), "index_select": (0, [1]),
    "masked_fill": ([[True, False]] * 2, 3.0), "masked_select": ([[True, False]] * 2,),
    "chunk": (2,), "mv": ([1.0, 2.0],), "addmm": (X, X), "reshape": (-1,), "view": (4,),
    "permute": (1, 0), "broadcast_to": (3, 2, 2), "expand": (3, -1, 2),
    "tile": (2, 1), "transpose": (1, 0),
}  # fmt: skip
OTHERWISE = {  # what takes no floats, or begins with something else than an array
    "one_hot": lambda x: FUNCTIONS["one_hot"](as_whole(x)),
    "multinomial": lambda x: mg.multinomial(x, 2, generator=mg.Generator()),
    "bincount": lambda x: FUNCTIONS["bincount"](as_whole(x)[0]),
    "einsum": lambda x: mg.einsum("ij,kj->ik", x, x),
    "scattered": lambda x: FUNCTIONS["scattered"](x, (slice(2), 0), (3, 3, 2)),
    "bmm": lambda x: mg.bmm([x], [x]) if isinstance(x, list) else mg.bmm(x[None], x[None]),
    "dot": lambda x: FUNCTIONS["dot"](x[0], x[1]),
    "clamp": lambda x: mg.clamp(mg.tensor(x), 0.2),  # of a list, elementwise: of Values
}


def as_whole(x):
    return [[1, 0], [0, 1]] if isinstance(x, list) else (x > 0.3).astype(int)


def numbers(out):
    parts = out if isinstance(out, tuple | list) else [out]
    return [np.asarray(getattr(part, "_data", part)) for part in parts]


@pytest.mark.parametrize("name", sorted(FUNCTIONS.keys() - composed(FUNCTIONS)))
def test_lists_and_arrays_are_taken_for_what_they_hold(name):
    """Of a Tensor, an array or a list: the same numbers."""
    f = FUNCTIONS[name]
    first = [p for p in inspect.signature(f).parameters.values() if p.default is p.empty]
    more = ARGUMENTS.get(name, (X,) * (len(first) - 1))
    call = OTHERWISE.get(name, lambda x: f(x, *more))
    of_tensor, of_array, of_list = (
        numbers(call(x)) for x in (mg.tensor(np.array(X)), np.array(X), X)
    )
    for a, b, c in zip(of_tensor, of_array, of_list, strict=True):
        np.testing.assert_array_equal(a, b)
        np.testing.assert_allclose(a, c, rtol=1e-5)
