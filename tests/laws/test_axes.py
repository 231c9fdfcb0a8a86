"""位置で渡した引数: PyTorch と同じ意味か、エラー。軸は整数かその組で、値は軸にならない。

登録簿のすべての関数とメソッドを、いろいろな引数の組で、PyTorch と並べて呼ぶ。どちらも答えたなら、
答えは等しい。
"""

import inspect
import itertools
import warnings

import numpy as np
import pytest
import ways

import micrograd_jp as mg
from micrograd_jp.ops.primitive import elementwise_primitives
from micrograd_jp.tensor import inplace  # noqa: F401 (it registers the methods that end in _)
from micrograd_jp.tensor.registry import FUNCTIONS, IN_PLACE, METHODS
from tests.reference import pytorch_answers, torch
from tests.tensor.composed_rows import composed

X = np.array([[-9.0, 2.5, 4.0], [0.5, -1.5, 7.0]])
"""No two numbers alike: an order is an order."""

ARGUMENTS = {
    "0": lambda t: 0, "1": lambda t: 1, "-1": lambda t: -1, "True": lambda t: True,
    "1.0": lambda t: 1.0, "(0, 1)": lambda t: (0, 1), "[1]": lambda t: [1],
    "Tensor 0": lambda t: t(np.array(0)), "Tensor 1.0": lambda t: t(np.array(1.0)),
    "Tensor [1]": lambda t: t(np.array([1])), "like x": lambda t: t(X[::-1].copy()),
    "mask": lambda t: t(X > 0),
}  # fmt: skip
GIVEN = [names for n in range(3) for names in itertools.product(ARGUMENTS, repeat=n)]
FEW = [names for names in GIVEN if len(names) < 2]


def answer(f, tensor, names):
    """What a positional call gives, as arrays; the error if it refuses."""
    try:
        return plain(f(tensor(X.copy()), *[ARGUMENTS[name](tensor) for name in names]))
    except Exception as error:  # whether ours are sentences is asked elsewhere
        return error


def plain(out):
    if isinstance(out, tuple | list):
        return [plain(x) for x in out]
    return out.detach().numpy() if hasattr(out, "detach") else out


def same(a, b):
    if isinstance(a, list) or isinstance(b, list):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    if not isinstance(a, np.ndarray) and not isinstance(b, np.ndarray):
        return a == b
    a, b = np.asarray(a), np.asarray(b)
    return a.shape == b.shape and np.allclose(a, b, equal_nan=True)


def differences(ours, theirs, given):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wanted = answers_of_pytorch(theirs, given)
        mine = [answer(ours, mg.tensor, names) for names in given]
    return [
        names for names, a, b in zip(given, mine, wanted, strict=True)
        if not isinstance(a, Exception) and not refused(b) and not same(a, b)
    ]  # fmt: skip


def refused(x):
    return isinstance(x, str) and x == "refused"


@pytorch_answers
def answers_of_pytorch(torch, f, given):
    """To all calls of a function, in one question."""
    found = [answer(f, torch.tensor, names) for names in given]
    return ["refused" if isinstance(x, Exception) else x for x in found]


def in_torch(name):
    return getattr(torch, name, None) or getattr(torch.nn.functional, name, None)


COMPOSED = composed(FUNCTIONS, METHODS)
PUBLIC = {n: f for n, f in FUNCTIONS.items() if in_torch(n) and n not in COMPOSED} | {
    op.name: getattr(mg, op.name) for op in elementwise_primitives() if in_torch(op.name)
}
RANDOM = {"normal_", "uniform_"}


@pytest.mark.parametrize("name", PUBLIC)
def test_functions(name):
    assert differences(PUBLIC[name], in_torch(name), GIVEN) == []


@pytest.mark.parametrize(
    "name",
    [n for n in METHODS if hasattr(torch.Tensor, n) and n not in {"type", "cuda", *COMPOSED}],
)
def test_methods(name):  # `t.type()` without a dtype is refused here
    given = FEW if METHODS[name] is FUNCTIONS.get(name) else GIVEN
    assert differences(METHODS[name], getattr(torch.Tensor, name), given) == []


@pytest.mark.parametrize("name", sorted(IN_PLACE.keys() - COMPOSED))
def test_in_place(name):
    if name not in RANDOM and hasattr(torch.Tensor, name):
        ours, theirs = getattr(mg.Tensor, name), getattr(torch.Tensor, name)
        assert differences(ours, theirs, FEW) == []


# ---- `mg.jit` の中でも --------------------------------------------------------------------------
# `Value` とコンパイルした関数は数のリストを受け取り、軸がない。機械語は軸を決めたあとで選ばれる。

OWN = {n: f for n, f in METHODS.items() if f is not FUNCTIONS.get(n) and n not in COMPOSED}


def call_of(f, names):
    def call(array):
        tensor = lambda x: mg.tensor(array(x))
        return f(tensor(X.copy()), *[ARGUMENTS[name](tensor) for name in names])

    return call


def traced_otherwise(f, given):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = ways.traced_otherwise([call_of(f, names) for names in given])
    return [(given[i], *outcomes) for i, *outcomes in found]


def test_positional_calls_in_a_trace():
    for table in (PUBLIC, OWN):
        for name, f in [*table.items()][::3]:  # with the slow tests, all of them
            assert traced_otherwise(f, FEW) == [], name


@pytest.mark.slow
@pytest.mark.parametrize("table", [PUBLIC, OWN])
def test_positional_calls_of_two_arguments_in_a_trace(table):
    for name, f in table.items():
        assert traced_otherwise(f, GIVEN) == [], name


# ---- 軸は整数か、その組 -------------------------------------------------------------------------

AXES = ("axis", "axis1", "axis2", "first", "second", "start_axis", "end_axis", "destination")
OTHERS = {
    "index": [[0, 1]], "indices": [0], "repeats": 2, "shift": 1, "sizes": 1, "k": 1, "chunks": 2,
    "source": mg.ones(2, 2), "second": 0, "first": 0, "destination": 0, "xs": [mg.ones(2, 2)],
    "axis": 0,
}  # fmt: skip
NO_AXES = {
    "Tensor": mg.tensor(1), "1.0": 1.0, "True": True, "array": np.array([1]),
    "0-d array": np.array(1), "text": "1",
}  # fmt: skip


def with_axes():
    for name, f in ((n, f) for n, f in (FUNCTIONS | METHODS).items() if n not in COMPOSED):
        for axis in inspect.signature(f).parameters:
            moves = name == "movedim" and axis == "source"
            if (axis in AXES or moves) and not (name == "repeat" and f is METHODS[name]):
                yield pytest.param(name, f, axis, id=f"{name}-{axis}")


def accepts(name, f, axis, value):
    """Whether the function takes the value for an axis."""
    needed = {
        p.name: OTHERS[p.name] for p in list(inspect.signature(f).parameters.values())
        if p.name in OTHERS and p.default is p.empty
    }  # fmt: skip
    if name == "movedim":
        needed |= {"source": 0}
    if name in ("index_add", "index_select"):
        needed |= {"index": [0, 1]}
    first = () if "xs" in needed else (mg.ones(2, 2),)
    try:
        f(*first, **{**needed, axis: value})
    except TypeError as error:
        if "整数" not in str(error):
            raise
        return False
    except ValueError as error:  # a whole number, that is, but the same axis twice
        assert "duplicate axis" in str(error)
    return True


@pytest.mark.parametrize("name, f, axis", list(with_axes()))
def test_an_axis_is_a_whole_number(name, f, axis):
    assert accepts(name, f, axis, np.int64(-1)) and accepts(name, f, axis, 1)
    taken = {kind for kind, value in NO_AXES.items() if accepts(name, f, axis, value)}
    elementwise = {"Tensor", "array", "0-d array"} if name in ("max", "min") else set()
    assert taken == elementwise


# ---- 知られた例と、負の対照 ----------------------------------------------------------------------


def test_examples():
    x = mg.tensor(X)
    assert mg.max(x, mg.tensor(0.0)).tolist() == np.maximum(X, 0).tolist()
    assert x.min(x.flip(0)).shape == x.max(other=x).shape == (2, 3)
    assert x.norm(3).item() == pytest.approx((np.abs(X) ** 3).sum() ** (1 / 3))
    assert x.norm(1).item() == np.abs(X).sum() and x.norm(1, 0).shape == (3,)
    assert mg.tensor([1, 2]).repeat(2).tolist() == [1, 2, 1, 2]
    assert mg.tensor([1, 2]).repeat_interleave(2).tolist() == [1, 1, 2, 2]
    with pytest.raises(ValueError, match=r"repeat_interleave\(回数, 軸\)"):
        x.repeat(2, axis=0)
    with pytest.raises(ValueError, match=r"unknown norm"):
        x.norm("nuc")
    with pytest.raises(TypeError, match=r"argmax の axis は整数"):
        x.argmax((0, 1))


@pytest.mark.control
def test_the_old_signatures_are_caught():
    def norm(x, axis=None, keepdims=False):
        return mg.norm(x, 2, axis, keepdims)

    def maximum_along(x, axis=None, keepdims=False):
        return mg.max(x, axis if axis is None else int(axis), keepdims)

    assert differences(norm, torch.norm, GIVEN) != []
    assert differences(maximum_along, torch.max, GIVEN) != []
    assert traced_otherwise(lambda x: x.sum(0 if isinstance(x._data, np.ndarray) else 1), FEW) != []
    assert traced_otherwise(lambda x: bool(np.array_equal(x.data, x.data)), FEW) != []
    assert differences(lambda x, n: mg.repeat(x, n), torch.Tensor.repeat, [("(0, 1)",)]) == []
    assert accepts("sum", lambda x, axis: x.sum(int(axis)), "axis", mg.tensor(1))
