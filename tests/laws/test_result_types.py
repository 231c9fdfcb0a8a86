"""結果の型 (result dtype): どの演算でも、どの型と数の組でも、PyTorch の型になる。

真偽値になるのは比較と論理だけ。NumPy の上でも JAX の上でも同じ（64 ビットの型が使えない JAX では、
それに対応する 32 ビットの型）。PyTorch が断る組は、ここでは決めない。
"""

import functools
import itertools
import operator
import sys

import numpy as np
import pytest
import ways

import micrograd_jp as mg
from micrograd_jp import namespace
from micrograd_jp.namespace import dtype_of
from micrograd_jp.ops.primitive import elementwise_primitives
from micrograd_jp.tensor.registry import IN_PLACE
from tests.reference import torch
from tests.tensor.array_cases import ROWS, is_complex
from tests.tensor.composed_rows import composed

F = torch.nn.functional

DTYPES = ("bool", "uint8", "int8", "int32", "int64", "bfloat16", "float16", "float32", "float64")
NUMBERS = (True, 2, 2.5)
KINDS = ("numpy", "jax")
IN_32_BITS = {"int64": "int32", "float64": "float32"}  # JAX as it comes


class On:
    """ones, in micrograd_jp on one kind of arrays and in PyTorch."""

    def __init__(self, kind, quick=True):
        self.jax = pytest.importorskip("jax") if kind == "jax" else None
        self.dtypes = DTYPES
        if self.jax:  # every pair of dtypes is compiled anew, which takes its time
            more = () if quick else ("bool", "uint8", "float16", "bfloat16")
            self.dtypes = ("int32", "float32", *more)

    def ours(self, dtype, shape=(2,), like=None):
        x = np.ones(shape) if like is None else like
        x = np.asarray(x).astype(dtype_of(dtype))
        return mg.tensor(self.jax.numpy.asarray(x) if self.jax else x)

    def theirs(self, dtype, shape=(2,), like=None):
        dtype = getattr(torch, dtype)
        return torch.ones(shape, dtype=dtype) if like is None else torch.tensor(like).to(dtype)

    def dtype_of(self, out):
        """The name of the dtype that a function gave, as it is on this kind; None if it refused."""
        if isinstance(out, Exception):
            return None
        name = str(getattr(out, "dtype", type(out).__name__)).removeprefix("torch.")
        return IN_32_BITS.get(name, name) if self.jax else name


def tried(f, *xs):
    """The results of a function one after the other, or the error it raised."""
    try:
        out = f(*xs)
    except (TypeError, RuntimeError, ValueError, NotImplementedError, IndexError) as error:
        return [error]
    return list(out) if isinstance(out, tuple) else [out]


def differences(on, ours, theirs, operands):
    """Where the two disagree. An operand is a dtype with a shape, or a number."""
    xs, ts = (
        [make(*x) if isinstance(x, tuple) else x for x in operands] for make in (on.ours, on.theirs)
    )
    wanted = [on.dtype_of(t) for t in tried(theirs, *ts)]
    if None in wanted:
        return []
    got = [on.dtype_of(x) for x in tried(ours, *xs)]
    return [] if got == wanted else [f"{operands}: {got}, not {wanted}"]


_NAMES = {"clip": "clamp", "hard_sigmoid": "hardsigmoid"}


def oracle(op):
    if op.name in ("maximum", "minimum"):  # PyTorch's take no numbers
        f = getattr(torch, op.name)
        return lambda x, y: f(torch.as_tensor(x), torch.as_tensor(y))
    name = _NAMES.get(op.name, op.name)
    return getattr(torch, name, None) or getattr(F, name)


def pairs(on):
    """Every pair of operands, of which one is an array."""
    arrays = [(dtype, (2,)) for dtype in on.dtypes]
    others = [*arrays, *[(dtype, ()) for dtype in on.dtypes], *NUMBERS]
    return [pair for x in arrays for y in others for pair in ((x, y), (y, x))]


def elementwise_differences(on, op):
    f, g = getattr(mg, op.name), oracle(op)
    if op.name == "where":
        mask = (np.array(True), torch.tensor(True))
        chosen = [*pairs(on), *itertools.product(NUMBERS, repeat=2)]
        return [
            d for pair in chosen
            for d in differences(on, lambda x, y: f(mask[0], x, y),
                                 lambda x, y: g(mask[1], x, y), pair)
        ]  # fmt: skip
    if op.name == "clip":
        limits = [(0,), (0.5,), (True,), (0, 1), (0, 1.5)]
        given = [((dtype, (2,)), *more) for dtype in on.dtypes for more in limits]
    elif op.arity == 1 or op.defaults:
        given = [((dtype, (2,)),) for dtype in on.dtypes]
    else:
        given = pairs(on)
    return [d for operands in given for d in differences(on, f, g, operands)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("op", elementwise_primitives(), ids=lambda op: op.name)
def test_elementwise(op, kind):
    if kind == "jax" and op.name not in ("div", "where", "exp", "sign"):
        pytest.skip("they take the same way; with the slow tests, all of them")
    assert elementwise_differences(On(kind), op) == []


@pytest.mark.slow
@pytest.mark.parametrize("op", elementwise_primitives(), ids=lambda op: op.name)
def test_elementwise_on_jax_with_every_dtype(op):
    assert elementwise_differences(On("jax", quick=False), op) == []


OPERATORS = {
    **{name: (getattr(operator, name),) * 2 for name in (
        "add", "sub", "mul", "truediv", "pow", "floordiv", "mod", "and_", "or_", "xor",
        "eq", "ne", "lt", "le", "gt", "ge", "matmul")},
    **{name: (getattr(mg, name), getattr(torch, name)) for name in (
        "floor_divide", "remainder", "logical_and", "outer", "dot")},
    "stack": (lambda *xs: mg.stack(xs), lambda *xs: torch.stack(xs)),
    "cat": (lambda *xs: mg.cat(xs), lambda *xs: torch.cat(xs)),
    "masked_fill": (lambda x, v: mg.masked_fill(x, np.array(True), v),
                    lambda x, v: torch.masked_fill(x, torch.tensor(True), v)),
    "Tensor.where": (lambda x, y: mg.Tensor.where(mg.as_tensor(x), np.array(True), y),
                     lambda x, y: torch.as_tensor(x).where(torch.tensor(True), y)),
}  # fmt: skip


@pytest.mark.parametrize("name", OPERATORS)
def test_two_operands(name):
    on = On("numpy")
    assert [d for pair in pairs(on) for d in differences(on, *OPERATORS[name], pair)] == []


ON_FLOATS = ("convolved", "convolved_back", "window_max", "window_sum", "addmm")
"""What makes floats of whole numbers here; `mg.addmm` does with a factor beta = 0.5."""

ROWS_WITH_ORACLE = [c for c in ROWS if c.torch and not c.empty and c.name != "item"]
"""`item` makes Values, which are doubles."""


@pytest.mark.parametrize("case", ROWS_WITH_ORACLE, ids=repr)
def test_array_functions(case):
    on = On("numpy")
    found = []
    floats = case.name in ON_FLOATS
    for dtype in on.dtypes[-4:] if floats else on.dtypes:
        if is_complex(case) and dtype == "float16":  # there is no complex32
            continue
        points = case.point()
        xs, ts = ([make(dtype, like=p) for p in points] for make in (on.ours, on.theirs))
        wanted = [on.dtype_of(t) for t in tried(case.torch, *ts)]
        if None not in wanted:
            got = [on.dtype_of(x) for x in tried(case.f, *xs)]
            if got != wanted:
                found.append((dtype, got, wanted))
    assert found == []


# ---- その場で書き換える、作る -------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(IN_PLACE.keys() - composed()))
def test_in_place_keeps_its_dtype_or_refuses(name):
    if not hasattr(torch.Tensor, name):
        return
    on = On("numpy")
    found = []
    for dtype in on.dtypes:
        for other in [(), *[(v,) for v in NUMBERS], *[(("ones", d),) for d in on.dtypes]]:
            x, t = on.ours(dtype), on.theirs(dtype)
            wanted = tried(getattr(t, name), *[on.theirs(o[1]) if isinstance(o, tuple) else o
                                               for o in other])  # fmt: skip
            tried(getattr(x, name), *[on.ours(o[1]) if isinstance(o, tuple) else o for o in other])
            if on.dtype_of(wanted[0]) and str(x.dtype) != dtype:
                found.append((dtype, other, str(x.dtype)))
    assert found == []


@pytest.mark.parametrize("name", ["iadd", "isub", "imul", "itruediv", "ifloordiv", "imod", "iand"])
def test_augmented_assignment(name):
    on, f = On("numpy"), getattr(operator, name)
    others = [*[(d, (2,)) for d in on.dtypes], *NUMBERS]
    given = [((dtype, (2,)), y) for dtype in on.dtypes for y in others]
    assert [d for pair in given for d in differences(on, f, f, pair)] == []


CREATED = {
    "full": lambda m, v: m.full((2,), v), "tensor": lambda m, v: m.tensor(v),
    "list": lambda m, v: m.tensor([v, v]), "arange": lambda m, v: m.arange(v + 1),
    "linspace": lambda m, v: m.linspace(0, v, 3), "nested": lambda m, v: m.tensor([[v], [1]]),
    "eye": lambda m, v: m.eye(2), "zeros": lambda m, v: m.zeros(2), "ones": lambda m, v: m.ones(2),
    "rand": lambda m, v: m.rand(2), "randn": lambda m, v: m.randn(2),
    "randint": lambda m, v: m.randint(3, (2,)), "randperm": lambda m, v: m.randperm(3),
    "empty": lambda m, v: m.empty(2), "no number": lambda m, v: m.tensor([]),
}  # fmt: skip
LIKE = {
    "full_like": lambda m, x: m.full_like(x, 1), "zeros_like": lambda m, x: m.zeros_like(x),
    "ones_like": lambda m, x: m.ones_like(x), "empty_like": lambda m, x: m.empty_like(x),
    "rand_like": lambda m, x: m.rand_like(x), "randn_like": lambda m, x: m.randn_like(x),
}  # fmt: skip


@pytest.mark.parametrize("name", CREATED)
@pytest.mark.parametrize("number", [*NUMBERS, 3.0, np.float64(2.5), np.float32(2)])
def test_creation(name, number):
    if name in ("tensor", "list", "nested") and isinstance(number, np.generic):
        pytest.skip("a NumPy scalar keeps its dtype here")
    f = CREATED[name]
    assert differences(On("numpy"), lambda v: f(mg, v), lambda v: f(torch, v), (number,)) == []


@pytest.mark.parametrize("name", LIKE)
def test_like(name):
    on, f = On("numpy"), LIKE[name]
    given = [((dtype, (2,)),) for dtype in on.dtypes]
    assert [
        d for x in given for d in differences(on, lambda x: f(mg, x), lambda x: f(torch, x), x)
    ] == []


# ---- 勾配の型、知られた例、負の対照 --------------------------------------------------------------


@pytest.mark.parametrize("op", [op for op in elementwise_primitives() if op.operator])
@pytest.mark.parametrize("create_graph", [False, True])
def test_a_gradient_has_the_dtype_of_its_operand(op, create_graph):
    on = On("numpy")
    for dtype in ("bfloat16", "float16", "float32", "float64"):
        for other in [*[(d, (2,)) for d in on.dtypes], (("int64"), ()), ("float64", ()), *NUMBERS]:
            x = on.ours(dtype).requires_grad_()
            y = on.ours(*other) if isinstance(other, tuple) else other
            if op.operator == "-" and str(getattr(y, "dtype", 0)) == "bool":
                continue
            for out in (getattr(mg, op.name)(x, y), getattr(mg, op.name)(y, x)):
                x.grad = None
                out.sum().backward(create_graph=create_graph)
                assert x.grad.dtype == x.dtype, (dtype, other)
                assert out.dtype == torch.result_type(
                    on.theirs(dtype), on.theirs(*other) if isinstance(other, tuple) else other
                ).__repr__().removeprefix("torch.")  # fmt: skip


CHOSEN = {"maximum", "minimum", "leaky_relu"}
"""Their slopes are one of two numbers, and NumPy's `where` knows no weak ones."""


@pytest.mark.parametrize("op", [op for op in elementwise_primitives() if op.name not in CHOSEN])
def test_a_slope_is_no_wider_than_what_it_was_computed_from(op):
    """Else the whole gradient is computed in double precision, and then rounded."""
    m, x = namespace.ieee, np.full(2, 0.5, np.float32)
    for others in ((2.0, 3.0), (2, 3), (x, x)):
        xs = (x, *others)[: op.arity]
        rules = op.partials if others[0] is x else op.partials[:1]
        for rule in rules:
            if rule is not None:
                with np.errstate(all="ignore"):
                    assert m.times(x, rule(m, op.value(m, *xs), *xs)).dtype == np.float32


# ---- ほかの道でも、NumPy の上と同じ型 ------------------------------------------------------------
# `Value` は Python の小数と同じに弱い。コンパイルした関数の型は 1 つ (`test_compiled.py`)。


def given_to(op):
    """Operands of every kind for an operation: a dtype with a shape, a number, or a `Value`."""
    arrays = [(dtype, (2,)) for dtype in DTYPES]
    if op.arity == 1:
        return [(x,) for x in arrays]
    others = [*arrays, *[(dtype, ()) for dtype in DTYPES], *NUMBERS, "Value"]
    pairs = [pair for x in arrays for y in others for pair in ((x, y), (y, x))]
    if op.arity == 2:
        return pairs
    return [(True, *pair) if op.name == "where" else (*pair, pair[1]) for pair in pairs]


def dtypes(op, array=np.array, backward=True, value=lambda: mg.Value(2.5), given=()):
    """The dtype of every result and of the gradients of its operands."""
    f, found = getattr(mg, op.name), {}
    for operands in given or given_to(op):
        xs = [
            value() if x == "Value" else mg.tensor(array(np.ones(x[1], dtype_of(x[0]))))
            if isinstance(x, tuple) else x for x in operands
        ]  # fmt: skip
        for x in xs:
            if isinstance(x, mg.Tensor) and x.is_floating_point():
                x.requires_grad_()
        (out,) = tried(f, *xs)
        found[operands] = [str(getattr(out, "dtype", "refused"))]
        if backward and getattr(out, "requires_grad", False):
            out.sum().backward()
            grads = [x.grad for x in xs if isinstance(x, mg.Tensor)]
            found[operands] += [str(g.dtype) for g in grads if g is not None]
    return found


@functools.cache
def plainly(op, backward=True):
    return dtypes(op, backward=backward)


def in_a_trace(op, backward=False):
    """What `mg.jit` sees: there, the gradient of a `Value` has no number, so none is asked for."""
    jnp, found = pytest.importorskip("jax.numpy"), {}

    def program(one):
        found.update(dtypes(op, jnp.array, backward, lambda: 2.5))
        return [one]

    ways.trace(program, np.ones(()))
    return found


every_op = pytest.mark.parametrize("op", elementwise_primitives(), ids=lambda op: op.name)


@pytest.mark.parametrize("op", [op for op in elementwise_primitives() if op.kink])
def test_machine_code_gives_the_same_dtypes(op):
    """What has gates has machine code."""
    with ways.nothing_is_small():
        assert dtypes(op) == plainly(op)


@every_op
def test_a_value_is_as_weak_as_a_number(op):
    given = [operands for operands in given_to(op) if "Value" in operands]
    assert dtypes(op, given=given) == dtypes(op, value=lambda: 2.5, given=given)


@pytest.mark.parametrize("op", [
    op if op.arity == 1 or op.name == "where" else pytest.param(op, marks=pytest.mark.slow)
    for op in elementwise_primitives()
], ids=lambda op: op.name)  # fmt: skip
def test_a_jitted_function_gives_the_same_dtypes(op):
    """Those of two arguments take the same way: the slow tests try them all."""
    assert in_a_trace(op) == plainly(op, backward=False)


@pytest.mark.slow
@pytest.mark.parametrize(
    "op", [op for op in elementwise_primitives() if op.arity == 1 or op.name in ("div", "where")]
)
def test_a_jitted_function_gives_the_same_dtypes_to_gradients(op):
    assert in_a_trace(op, backward=True) == plainly(op)


def test_examples():
    c = mg.tensor([True, False])
    one = mg.where(c, 1, 0)
    assert one.dtype == mg.int64 and (one + one).tolist() == [2, 0]
    image = mg.tensor(np.array([0, 255], np.uint8))
    assert (image / 255).dtype == mg.float32 and (image / 255).tolist() == [0.0, 1.0]
    with pytest.raises(TypeError, match=r"真偽値の sub はできません \(not for bool\)"):
        c - c


@pytest.mark.control
def test_the_check_finds_numpys_own_rules(monkeypatch):
    module = sys.modules["micrograd_jp.tensor.run"]  # the name is a function's, too
    ops = {op.name: op for op in elementwise_primitives()}
    plain = {name: plainly(ops[name], backward=False) for name in ("where", "exp")}
    beside = [(("uint8", (2,)), "Value")]
    weak = dtypes(ops["div"], given=beside)
    with monkeypatch.context() as patch, pytest.raises(AssertionError):
        wide = staticmethod(lambda c, x, y: np.where(c, np.float64(x), y))
        patch.setattr(type(namespace.ieee), "where", wide)
        test_a_slope_is_no_wider_than_what_it_was_computed_from(ops["pow"])
    monkeypatch.setattr(module, "_agreed", lambda op, operands: (operands, None))
    for name in ("where", "div", "add", "exp"):
        assert elementwise_differences(On("numpy"), ops[name]) != []
    for name in ("where", "exp"):
        assert in_a_trace(ops[name]) != plain[name]
    assert dtypes(ops["div"], given=beside) != weak
