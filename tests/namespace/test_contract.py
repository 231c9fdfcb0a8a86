"""名前空間の約束: 規則の `m.名前` はどれも表にあり、どの名前空間も表の名前をもつ。"""

import ast
from pathlib import Path
from types import SimpleNamespace

import pytest

import micrograd_jp as mg
from micrograd_jp import namespace
from micrograd_jp.namespace.base import ARRAYS, ELEMENTWISE, LISTS, VALUES
from micrograd_jp.namespace.graph import on_graph
from micrograd_jp.namespace.stacked import stacked
from micrograd_jp.native.expressions import Code
from micrograd_jp.native.math import Native
from micrograd_jp.ops.symbols import Writing

PACKAGE = Path(mg.__file__).parent
CONTRACT = {**ELEMENTWISE, **LISTS, **ARRAYS, **VALUES}


def asked(source):
    """The names that are asked of a namespace: `m.name` and `namespace.of(x).name`."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute):
            whom = ast.unparse(node.value)
            if whom == "m" or whom.startswith(("namespace.of(", "_namespace.of(")):
                yield node.attr


def asked_in(*folders):
    files = [file for folder in folders for file in sorted((PACKAGE / folder).rglob("*.py"))]
    assert files
    return {name for file in files for name in asked(file.read_text())}


def jax_namespace():
    return namespace.of(pytest.importorskip("jax.numpy").ones(2))


NAMESPACES = {  # whoever imports `mg.tensor` finds the table of on_graph filled
    "scalar": (lambda: namespace.scalar, ELEMENTWISE, LISTS),
    "analytic": (lambda: namespace.analytic, ELEMENTWISE, LISTS),
    "NumPy": (lambda: namespace.ieee, ELEMENTWISE, ARRAYS, VALUES),
    "JAX": (jax_namespace, ELEMENTWISE, ARRAYS, VALUES),
    "on_graph": (lambda: mg.tensor and on_graph, ELEMENTWISE, LISTS, ARRAYS),
    "stacked": (lambda: stacked, ELEMENTWISE, LISTS),
    "Native": (lambda: Native(Code(), "float", 4), ELEMENTWISE),
    "Writing": (Writing, ELEMENTWISE),
}


def missing(m, *groups):
    return [name for group in groups for name in group if not callable(getattr(m, name, None))]


@pytest.mark.parametrize("name", NAMESPACES)
def test_a_namespace_has_what_it_promises(name):
    make, *groups = NAMESPACES[name]
    assert missing(make(), *groups) == []


def test_rules_ask_for_nothing_else():
    assert asked_in("ops", "graph") - set(CONTRACT) == set()


def test_elementwise_rules_work_without_arrays():
    tables = {
        "elementwise.py": set(ELEMENTWISE),
        "lists.py": {*ELEMENTWISE, *LISTS},
    }
    for file, allowed in tables.items():
        names = set(asked((PACKAGE / "ops" / file).read_text()))
        assert names
        assert names - allowed == set()


def test_nothing_is_promised_in_vain():
    assert set(CONTRACT) - asked_in("") == set()
    assert {*ELEMENTWISE, *LISTS, *ARRAYS} - asked_in("ops", "graph") == set()


def test_a_gap_is_noticed():
    assert missing(SimpleNamespace(exp=abs, log=1), {"exp": "", "log": ""}, {"sin": ""}) == [
        "log", "sin",
    ]  # fmt: skip
    assert missing(namespace.scalar, ARRAYS)
    rule = "lambda m, x: m.exp(x) + namespace.of(x.data).forgotten(m.where(x.m, 1, 0))"
    assert set(asked(rule)) == {"exp", "where", "forgotten"}
