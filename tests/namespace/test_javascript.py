"""宣言から書いた JavaScript は、本物のブラウザで、Python と同じ値と局所微分を出す。

四則演算、根号、比較だけの式は 1 ビットも違わない（IEEE 754 が答えを決めている）。`exp` などの
数学関数は、ブラウザと C のライブラリで最後の数桁が違ってよい: 相対 1e-13、1 に近い数どうしの引き算
（1 − z² など）で残る分として絶対 1e-14 まで。Python の `sum` は版によって誤差を補うので、和も同じ。
"""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from micrograd_jp.engine.operations import _kernel
from micrograd_jp.namespace import ieee, javascript, scalar
from micrograd_jp.namespace.base import ELEMENTWISE, LISTS
from micrograd_jp.namespace.scalar import slope
from micrograd_jp.ops.primitive import elementwise_primitives, lookup, reductions
from micrograd_jp.ops.symbols import Symbol, Writing, shown
from micrograd_jp.testing import strategies

EDGES = [0.0, -0.0, 1.0, -1.0, 0.5, 3.0, -3.0, 710.0, -750.0, 1e-320, math.inf, -math.inf, math.nan]
EXACT = {"+", "-", "*", "/", "negative", "where", "<", "<=", ">", ">=", "==", "name",
         "abs", "sign", "floor", "sqrt", "maximum", "minimum"}  # fmt: skip


def is_exact(tree):
    if not isinstance(tree, Symbol):
        return True
    return tree.kind in EXACT and (tree.kind == "name" or all(map(is_exact, tree.args)))


def exactness(op):
    """Whether the value, and each local derivative, is arithmetic alone."""
    m, z, xs = Writing(), Symbol("name", "z"), [Symbol("name", x) for x in "xyw"[: op.arity]]
    rules = [shown(0 if rule is None else rule(m, z, *xs)) for rule in op.partials]
    return is_exact(op.value(m, *xs)), [is_exact(rule) for rule in rules]


def same(found, expected, exact):
    found = float(found)
    if exact:
        return np.array(found).tobytes() == np.array(expected).tobytes() or (
            math.isnan(found) and math.isnan(expected)
        )
    near = math.isclose(found, expected, rel_tol=1e-13, abs_tol=1e-14)
    return near or (math.isnan(found) and math.isnan(expected))


def loaded(browser, change=lambda text: text):
    """A page that knows every rule."""
    page = browser.new_page()
    written = {op.name: javascript.elementwise(op) for op in elementwise_primitives()}
    page.add_script_tag(content=change(javascript.with_rules(written)))
    return page


@pytest.fixture(scope="module")
def script(browser):
    page = loaded(browser)
    yield page
    page.close()


def run(page, op, points):
    """Per point: the value, and the local derivatives; a shut gate is `None`."""
    return page.evaluate(
        """([name, points]) => points.map((xs) => {
          const z = RULES[name].value(...xs);
          return [z, RULES[name].partials.map((d) => d(z, ...xs))];
        })""",
        [op.name, points],
    )


def differences(page, op, points):
    exact, exact_partials = exactness(op)
    wanted = tuple(range(op.arity))
    out = []
    for xs, (z, ds) in zip(points, run(page, op, points), strict=True):
        expected = _kernel(op, wanted)(*xs)[0]
        if not same(z, expected, exact):
            out.append((op.name, xs, "value", z, expected))
        # The rules at the very z of the page: 1 − z² near saturation is nothing but rounding.
        with np.errstate(all="ignore"):
            args = [np.float64(z), *map(np.float64, xs)]
            rules = [0 if rule is None else rule(ieee, *args) for rule in op.partials]
        for i, (d, rule, exactly) in enumerate(zip(ds, rules, exact_partials, strict=True)):
            shut = slope(rule).__class__ is not float
            if (d is None) != shut or not (shut or same(d, slope(rule), exactly)):
                out.append((op.name, xs, f"partial {i}", d, slope(rule)))
    return out


def test_the_library_has_what_a_namespace_promises(script):
    written = {"where", "gate"}  # as the operator ? : of the language
    names = [*({*ELEMENTWISE} - written), *LISTS, "pow"]
    assert (
        script.evaluate("(names) => names.filter((x) => typeof m[x] !== 'function')", names) == []
    )


@pytest.mark.parametrize("op", elementwise_primitives(), ids=lambda op: op.name)
def test_the_edges_of_ieee(script, op):
    points = [[*xs] for xs in itertools.product(EDGES, repeat=min(op.arity, 2))]
    if op.arity == 3:
        points = [[x, *xs] for x, xs in itertools.product((0.5, math.nan, 2.0, 0.0), points)]
    assert differences(script, op, points) == []


anything = st.floats(width=64) | st.sampled_from(EDGES)


@pytest.mark.parametrize("op", elementwise_primitives(), ids=lambda op: op.name)
@settings(max_examples=2)
@given(data=st.data())
def test_every_primitive_on_the_points_of_the_strategies(script, op, data):
    point = strategies.inputs(op) | st.lists(anything, min_size=op.arity, max_size=op.arity)
    points = data.draw(st.lists(point, min_size=60, max_size=90))
    assert differences(script, op, points) == []


def list_differences(page, op, lists):
    """The same for the operations on lists; `lists` have any lengths."""
    out = []
    for xs in lists:
        text = javascript.reduction(op, len(xs))
        z = page.evaluate(f"(xs) => ({text}).value(xs)", xs)
        ds = page.evaluate(f"([z, xs]) => ({text}).partials(z, xs)", [z, xs])
        with np.errstate(all="ignore"):
            expected = float(op.value(scalar, xs)) if np.isfinite(xs).all() else None
            partials = [slope(d) for d in op.partials(scalar, z, xs)] if expected else []
        if expected is not None and not same(z, expected, False):
            out.append((op.name, xs, z, expected))
        out += [(op.name, xs, d, e) for d, e in zip(ds, partials) if not same(d, e, False)]
    return out


@pytest.mark.parametrize("op", reductions(), ids=lambda op: op.name)
@settings(max_examples=15)
@given(data=st.data())
def test_operations_on_lists(script, op, data):
    rows = data.draw(strategies.inputs(op))
    assert list_differences(script, op, [[x for row in rows for x in row]]) == []


def test_lists_with_infinities(script):
    total = lookup("logsumexp")
    text = javascript.reduction(total, 2)
    find = f"(lists) => lists.map((xs) => ({text}).value(xs))"
    inf, nan = math.inf, math.nan
    found = script.evaluate(find, [[inf, 1.0], [-inf, -inf], [nan, 1.0], [inf, nan], [-inf, 2.0]])
    assert found[:2] == [inf, -inf] and found[4] == 2.0
    assert all(map(math.isnan, found[2:4]))


@pytest.mark.parametrize(("right", "wrong", "name"), [
    ("[(z, x) => 1 - z * z]", "[(z, x) => 1 + z * z]", "tanh"),
    ("(x === 1 || (x === -1 && Math.abs(y) === Infinity) ? 1 : x ** y)", "x ** y", "pow"),
    ("(x >= y || x !== x ? x : y)", "Math.max(x, y)", "maximum"),
    ("(x != 0 ? y : w)", "(x ? y : w)", "where"),
    ("((x <= 0) ? SHUT : 1)", "((x <= 0) ? 0 : 1)", "relu"),
])  # fmt: skip
def test_one_wrong_rule_is_found(browser, right, wrong, name):
    """Negative control, one for each kind of edge."""
    page = loaded(browser, lambda text: text.replace(right, wrong))
    op = lookup(name)
    points = [[*xs] for xs in itertools.product(EDGES, repeat=op.arity)]
    found = differences(page, op, points)
    page.close()
    assert found
