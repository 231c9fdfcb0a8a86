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
    def f(a, b):
        return a + b

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
    "neg pow relu sigmoid sign sin sinh sqrt sub tan tanh".split()
)


def test_what_is_written_in_place_is_what_pytorch_writes_in_place():
    assert {op.name for op in elementwise_primitives() if op.in_place} == PYTORCHS
    for op in elementwise_primitives():
        assert hasattr(torch.Tensor, f"{op.name}_") == (op.name in PYTORCHS)


def test_functions_keep_their_own_signatures():
    assert list(inspect.signature(mg.Tensor.tril).parameters) == ["x", "k"]
    t = mg.tensor(np.arange(9.0).reshape(3, 3))
    assert mg.tril(t, diagonal=-1).tolist() == t.tril(k=-1).tolist() == t.tril_(-1).tolist()
