"""`Value`: micrograd との互換、演算、比較、表示、NumPy、悪い入力。"""

import copy
import math
import operator
import pickle
import random
from fractions import Fraction

import micrograd.engine as original
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import micrograd_jp as mg
from micrograd_jp.engine import Value

finite = st.floats(-1e6, 1e6, allow_nan=False)


def sanity_check(V):
    """test_sanity_check of micrograd's published tests."""
    x = V(-4.0)
    z = 2 * x + 2 + x
    q = z.relu() + z * x
    h = (z * z).relu()
    y = h + q + q * x
    y.backward()
    return [x], y


def more_ops(V):
    """test_more_ops of micrograd's published tests."""
    a, b = V(-4.0), V(2.0)
    c = a + b
    d = a * b + b**3
    c += c + 1
    c += 1 + c + (-a)
    d += d * 2 + (b + a).relu()
    d += 3 * d + (b - a).relu()
    e = c - d
    f = e**2
    g = f / 2.0
    g += 10.0 / f
    g.backward()
    return [a, b], g


@pytest.mark.parametrize("program", [sanity_check, more_ops])
def test_micrograds_published_expressions(program):
    ours, theirs = program(Value), program(original.Value)
    assert ours[1].data == pytest.approx(theirs[1].data, rel=1e-12)
    assert [v.grad for v in ours[0]] == pytest.approx([v.grad for v in theirs[0]], rel=1e-12)


def test_numbers_published_in_microgads_readme():
    (a, b), g = more_ops(Value)
    assert f"{g.data:.4f}" == "24.7041"
    assert f"{a.grad:.4f}" == "138.8338"
    assert f"{b.grad:.4f}" == "645.5773"


def random_program(V, seed):
    """The same random program on any class with micrograd's operators."""
    rng = random.Random(seed)
    leaves = [V(rng.uniform(-2, 2)) for _ in range(3)]
    nodes = list(leaves)
    for _ in range(12):
        a, b = rng.choice(nodes), rng.choice(nodes)
        nodes.append(
            rng.choice(
                [
                    lambda: a + b,
                    lambda: a * b,
                    lambda: a - b,
                    lambda: a.relu(),
                    lambda: a * 0.5,
                    lambda: 3 - a,
                    lambda: a / (b * b + 1.0),
                    lambda: a**2,
                    lambda: -a,
                ]
            )()
        )
    root = sum(nodes)
    root.backward()
    return root.data, [v.grad for v in leaves]


@given(st.integers(0, 10**9))
def test_random_programs_agree_with_micrograd(seed):
    value, grads = random_program(Value, seed)
    expected, expected_grads = random_program(original.Value, seed)
    assert value == pytest.approx(expected, rel=1e-9, abs=1e-9)
    assert grads == pytest.approx(expected_grads, rel=1e-9, abs=1e-9)


class TestMicrogradNames:
    def test_prev_and_op(self):
        a, b = Value(2.0), Value(3.0)
        assert (a * b)._prev == {a, b}
        assert [(a + b)._op, (a * b)._op, (a**2)._op, a.relu()._op, a._op] == [
            "+", "*", "**2", "ReLU", "",
        ]  # fmt: skip
        constant = next(p for p in (a * 7)._prev if p is not a)
        assert constant.data == 7.0

    def test_the_tracing_code_of_micrograds_notebook(self):
        """trace_graph.ipynb walks the graph by itself, through _prev and _op."""

        def trace(root):
            nodes, edges = set(), set()

            def build(v):
                if v not in nodes:
                    nodes.add(v)
                    for child in v._prev:
                        edges.add((child, v))
                        build(child)

            build(root)
            texts = {f"{n.data:.4f} {n.grad:.4f}" for n in nodes if n._op}
            return len(nodes), len(edges), texts, sorted(n._op for n in nodes)

        def program(V):
            x = V(1.0)
            y = (x * 2 + 1).relu() * x
            y.backward()
            return trace(y)

        ours, theirs = program(Value), program(original.Value)
        assert ours == theirs  # also the constants 2 and 1 are nodes there

    def test_label(self):
        assert Value(1.0).label == "" and Value(1.0, label="重み").label == "重み"
        total = Value(1.0) + Value(2.0)
        assert total.label == ""
        total.label = "和"
        assert total.label == "和"

    def test_grad_is_a_number_before_and_after_backward(self):
        x = Value(3.0)
        y = x * x
        assert x.grad == 0 and y.grad == 0 and not x.has_grad and not y.has_grad
        y.backward()
        assert x.grad == 6 and y.grad == 1 and x.has_grad
        x.grad = 0
        assert x.grad == 0 and x.has_grad
        x.grad = None
        assert x.grad == 0 and not x.has_grad
        x.data -= 0.1 * x.grad  # micrograd's update

    def test_repr(self):
        x = Value(2.0)
        assert repr(x) == "Value(data=2.0)"
        (x * x).backward()
        assert repr(x) == "Value(data=2.0, grad=4.0)"
        assert repr(Value(1.0, label="w")) == "Value(data=1.0, label='w')"


@given(finite, finite)
def test_operators_take_numbers_on_either_side(x, y):
    for op in (operator.add, operator.sub, operator.mul):
        expected = op(x, y)
        for result in (op(Value(x), Value(y)), op(Value(x), y), op(x, Value(y))):
            assert isinstance(result, Value)
            assert result.data == expected


@given(st.floats(0.1, 10), st.floats(-3, 3))
def test_power_in_all_three_forms(x, y):
    for result in (Value(x) ** Value(y), Value(x) ** y, x ** Value(y)):
        assert result.data == pytest.approx(x**y)


@pytest.mark.parametrize(
    "number",
    [2, 2.0, True, np.float32(2), np.float64(2), np.int64(2), np.bool_(True), Fraction(1, 2)],
    ids=lambda n: type(n).__name__,
)
def test_every_kind_of_real_number_is_accepted(number):
    v = Value(3.0)
    for result, expected in (
        (v * number, 3.0 * float(number)),
        (number * v, 3.0 * float(number)),
        (number - v, float(number) - 3.0),
        (Value(number), float(number)),
    ):
        assert type(result) is Value
        assert type(result.data) is float
        assert result.data == expected


@given(finite, finite)
def test_comparisons_compare_numbers(x, y):
    for compare in (
        operator.lt, operator.le, operator.gt, operator.ge, operator.eq, operator.ne
    ):  # fmt: skip
        expected = compare(x, y)
        assert compare(Value(x), Value(y)) is expected
        assert compare(Value(x), y) is expected
        assert compare(x, Value(y)) is expected


def test_equal_values_are_different_members_of_a_set():
    a, b = Value(1.0), Value(1.0)
    assert a == b and len({a, b}) == 2 and a != Value(float("nan"))
    assert a != "1" and a != None  # noqa: E711
    assert bool(Value(0.5)) and not Value(0.0)


def test_formatting_shows_the_number():
    assert f"{Value(3.14159):.2f}" == "3.14" and f"{Value(1.0)}" == "Value(data=1.0)"


class TestNumPy:
    def test_scalars_and_arrays(self):
        v = Value(3.0)
        assert type(np.float64(2) * v) is Value
        for product in (np.array([1.0, 2.0]) * v, v * np.array([1.0, 2.0])):
            assert product.dtype == object and [p.data for p in product] == [3.0, 6.0]
        product[1].backward()
        assert v.grad == 2.0

    def test_object_arrays(self):
        w = np.array([[Value(1.0), Value(2.0)], [Value(3.0), Value(4.0)]])
        x = np.array([Value(5.0), Value(6.0)])
        y = np.tanh(w @ x / 100).sum()
        y.backward()
        slope = 1 - np.tanh(np.array([17.0, 39.0]) / 100) ** 2
        assert [v.grad for v in w.flat] == pytest.approx(
            [slope[i] * x[j].data / 100 for i in range(2) for j in range(2)]
        )

    @pytest.mark.parametrize(
        "name",
        "exp log log1p expm1 sqrt sin cos tan arcsin arccos arctan sinh cosh tanh arcsinh "
        "arccosh arctanh negative positive absolute square reciprocal floor".split(),
    )
    def test_ufuncs_on_values(self, name):
        ufunc, x = getattr(np, name), 1.5 if name == "arccosh" else 0.5
        assert ufunc(Value(x)).data == pytest.approx(float(ufunc(x)), abs=1e-15)
        assert ufunc(np.array([Value(x)]))[0].data == pytest.approx(float(ufunc(x)), abs=1e-15)

    def test_statistics_of_object_arrays(self):
        v = np.array([Value(1.0), Value(2.0), Value(6.0)])
        assert np.mean(v).data == 3.0
        assert np.var(v).data == pytest.approx(14 / 3)
        assert np.max(v).data == 6.0

    def test_writing_into_a_numeric_array_is_refused(self):
        array = np.zeros(2)
        with pytest.raises(TypeError, match="in-place"):
            array += Value(1.0)
        assert array.tolist() == [0.0, 0.0]


class TestBadInput:
    @pytest.mark.parametrize(
        "bad",
        [
            "1",
            None,
            1j,
            [[1.0]],
            [],
            (1.0,),
            {},
            np.array([True]),
            np.zeros((2, 2)),
            b"1",
            object(),
        ],
        ids=lambda x: type(x).__name__ + " " + repr(x).partition(" at 0x")[0],
    )
    def test_value_takes_one_real_number(self, bad):
        with pytest.raises(TypeError, match="expected a real number"):
            Value(bad)

    def test_a_value_of_a_value(self):
        with pytest.raises(TypeError, match="already a Value"):
            Value(Value(1.0))

    @pytest.mark.parametrize("bad", ["1", None, 1j, [1.0]], ids=repr)
    @pytest.mark.parametrize("op", [operator.add, operator.mul, operator.pow, operator.lt])
    def test_operators(self, op, bad):
        for pair in ((Value(1.0), bad), (bad, Value(1.0))):
            with pytest.raises(TypeError, match="expected a real number"):
                op(*pair)

    def test_unknown_types_get_their_turn(self):
        class Other:
            def __rmul__(self, other):
                return "mine"

        assert Value(1.0) * Other() == "mine"

    def test_too_large_integers(self):
        for attempt in (lambda: Value(10**400), lambda: Value(1.0) * 10**400):
            with pytest.raises(OverflowError, match="too large"):
                attempt()

    @pytest.mark.parametrize(
        "convert", [float, int, complex, round, math.trunc, math.sin, math.exp, math.sqrt]
    )
    def test_conversions_that_would_lose_the_gradient(self, convert):
        with pytest.raises(TypeError, match=r"(?s)v\.data.*v\.sin\(\)"):
            convert(Value(1.0))

    def test_an_array_of_floats_from_values(self):
        with pytest.raises(TypeError, match=r"v\.data"):
            np.array([Value(1.0)], dtype=float)

    def test_label_must_be_text(self):
        with pytest.raises(TypeError, match="label"):
            Value(1.0, (Value(2.0),))

    def test_grad_must_be_a_number(self):
        x = Value(1.0)
        with pytest.raises(TypeError, match="expected a real number"):
            x.grad = "0"
        assert not x.has_grad

    def test_data_takes_numbers_only(self):
        x = Value(1.0)
        for bad in ("1", None, [1.0], 1j):
            with pytest.raises(TypeError, match="expected a real number"):
                x.data = bad
        assert x.data == 1.0
        for number in (2, np.float32(2.0), np.array(2.0), Value(2.0), mg.tensor(2.0)):
            x.data = number
            assert (type(x.data), x.data) == (float, 2.0)

    @pytest.mark.parametrize(
        ("call", "error", "match"),
        [
            (lambda v: mg.dot([v], [v, v]), ValueError, "length mismatch"),
            (lambda v: mg.sum(v), TypeError, "expected a list"),
            (lambda v: mg.prod("12"), TypeError, "expected a list"),
            (lambda v: mg.sum([v, None]), TypeError, "expected a real number"),
            (lambda v: mg.dot([v], ["1"]), TypeError, "expected a real number"),
            (lambda v: mg.logsumexp([]), ValueError, "empty"),
            (lambda v: mg.softmax([]), ValueError, "empty"),
            (lambda v: mg.exp("1"), TypeError, "expected a real number"),
            (lambda v: mg.exp(), TypeError, "wrong arguments"),
            (lambda v: mg.exp(v, v), TypeError, "wrong arguments"),
            (lambda v: mg.clip(v, low=0), TypeError, "wrong arguments"),
            (lambda v: mg.clip(v, 0, min=0), TypeError, "wrong arguments"),
            (lambda v: mg.clip(v), RuntimeError, "at least one of min and max"),
            (lambda v: v.clip(None, None), RuntimeError, "at least one of min and max"),
        ],
    )
    def test_functions(self, call, error, match):
        with pytest.raises(error, match=match):
            call(Value(1.0))


class TestFunctions:
    def test_sums_products_and_dots_are_one_node(self):
        vs = [Value(float(i)) for i in range(1, 5)]
        for total, expected in ((mg.sum(vs), 10), (mg.prod(vs), 24), (mg.dot(vs, vs), 30)):
            assert total.data == expected
            assert len(total.parents) in (4, 8)

    def test_constants_are_not_nodes(self):
        w = [Value(2.0), Value(3.0)]
        total = mg.dot(w, (10, 20.0))
        assert total.parents == tuple(w)
        assert total.operands[2:] == (10.0, 20.0)
        total.backward()
        assert [v.grad for v in w] == [10.0, 20.0]

    def test_empty(self):
        assert (mg.sum([]).data, mg.prod([]).data, mg.dot([], []).data) == (0.0, 1.0, 0.0)

    @given(st.lists(st.floats(-5, 5), min_size=1, max_size=6))
    def test_gradient_of_a_product_with_zeros(self, xs):
        xs[0] = 0.0
        vs = [Value(x) for x in xs]
        mg.prod(vs).backward()
        for i, v in enumerate(vs):
            assert v.grad == pytest.approx(math.prod(xs[:i] + xs[i + 1 :]))

    @given(st.lists(st.floats(-1000, 1000), min_size=1, max_size=6))
    def test_softmax(self, xs):
        shifted = np.array(xs) - max(xs)
        expected = np.exp(shifted) / np.exp(shifted).sum()
        assert [p.data for p in mg.softmax(xs)] == pytest.approx(
            expected.tolist(), rel=1e-9, abs=1e-300
        )
        with np.errstate(divide="ignore"):
            assert [p.data for p in mg.log_softmax(xs)] == pytest.approx(
                (shifted - np.log(np.exp(shifted).sum())).tolist(), abs=1e-9
            )
        vs = [Value(x) for x in xs]
        mg.logsumexp(vs).backward()
        assert [v.grad for v in vs] == pytest.approx(expected.tolist(), abs=1e-12)

    @pytest.mark.parametrize(
        ("xs", "expected"),
        [
            ([math.inf, 0], math.inf),
            ([-math.inf, -math.inf], -math.inf),
            ([-math.inf, 1.0], 1.0),
            ([math.nan, 1.0], math.nan),
            ([math.inf, math.nan], math.nan),
        ],
    )
    def test_logsumexp_of_infinities(self, xs, expected):
        assert mg.logsumexp(xs).data == pytest.approx(expected, nan_ok=True)

    def test_where_and_clip(self):
        x, y = Value(2.0), Value(5.0)
        assert mg.where(x > 1, x, y) == 2.0 and x.where(x > 3, y) == 5.0
        assert mg.clip(x, min=3) == 3.0 and mg.clip(x, None, 3) == 2.0 and x.clip(0, 1) == 1.0

    def test_functions_of_numbers_give_values(self):
        assert mg.exp(0) == 1.0 and mg.exp(0).is_leaf
        assert mg.maximum(1, 2).data == 2.0

    def test_detach_and_clone(self):
        x = Value(2.0, label="x")
        (x.detach() * x).backward()
        assert x.grad == 2.0
        assert x.item() == 2.0
        x.grad = None
        (x.clone() * x).backward()
        assert x.grad == 4.0


def test_copies():
    x = Value(2.0, label="x")
    y = x.tanh() * 3 + mg.dot([x, x], [1.0, 2.0])
    for duplicate in (copy.deepcopy(y), pickle.loads(pickle.dumps(y))):
        duplicate.backward()
        assert duplicate.op is y.op
        leaf = duplicate.operands[0].operands[0].operands[0]
        assert leaf.grad == pytest.approx(3 * (1 - math.tanh(2.0) ** 2) + 3)
    assert not x.has_grad


class Money(Value):
    """A user's own subclass."""

    __slots__ = ()


def test_subclasses_of_value_take_part():
    a, b = Money(2.0), Value(3.0)
    for product in (a * b, b * a, a * a, mg.dot([a], [b]), a.exp(), 2 * a):
        a.grad = None
        product.backward()
        assert a.has_grad and a.grad != 0
