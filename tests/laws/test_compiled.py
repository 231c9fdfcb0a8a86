"""コンパイルした関数でも: 書き込みは正しいか断り、長くても終わり、メモリも順序も残らない。

どの実行のしかたでも。端の値と門は、`test_ieee.py` と `test_closed_gates.py` がすべての道で調べる。
"""

import copy
import operator
import pickle
import re

import numpy as np
import pytest
from test_memory_after_backward import kept

import micrograd_jp as mg
from micrograd_jp.compiler import call
from micrograd_jp.compiler.pipeline import EXECUTORS
from micrograd_jp.compiler.record.traced import Traced
from micrograd_jp.graph import spent
from micrograd_jp.namespace import stacked
from micrograd_jp.ops.primitive import elementwise_primitives
from micrograd_jp.tensor.inplace import IN_PLACE
from tests.tensor.composed_rows import composed

JAPANESE = re.compile(r"[\u3040-\u30ff\u4e00-\u9fff]")
UNARY = {op.name for op in elementwise_primitives() if op.arity == 1}
every_executor = pytest.mark.parametrize("executor", sorted(EXECUTORS))


@pytest.fixture(autouse=True)
def _can_run(request):
    if "executor" in request.fixturenames and request.getfixturevalue("executor") == "tape":
        pytest.importorskip("llvmlite", reason="needs llvmlite (extra fast)")


# ---- 関数の中で書き込む -------------------------------------------------------------------------


def written(method):
    def body(x, w):
        h = mg.zeros(2, 2)
        arguments = {
            "index_add_": (0, [0, 1]), "scatter_add_": (0, [[0, 1]]),
            "masked_fill_": (np.eye(2) > 0,), "clamp_": (0.0,), "clip_": (0.0,),
        }  # fmt: skip
        getattr(h, method)(*arguments.get(method, ()), x * w)
        return h.sum()

    return body


def assigned(write):
    def body(x, w):
        h = mg.zeros(3)
        write(h, x * w)
        return h.sum() + w

    return body


def in_a_list(x, w):
    h = [0.0, x]
    h[0] = h[1] * w
    h[1] += h[0]
    h[0] *= h[1]
    return mg.sum(h)


def in_a_module(x, w):
    part = mg.nn.Neuron(1)
    part.b = x * w
    return part([w])


ALONE = {"normal_", "uniform_", "zero_", *(f"{name}_" for name in UNARY)}
"""They take no number."""
INSIDE = {
    "list": in_a_list,
    "module": in_a_module,
    "[0] =": assigned(lambda h, v: operator.setitem(h, 0, v)),
    "[mask] =": assigned(lambda h, v: operator.setitem(h, h < 1, v)),
    "array[0] =": lambda x, w: operator.setitem(np.zeros(2), 0, x * w),
    "+=": assigned(lambda h, v: operator.iadd(h, v)),
    "data =": assigned(lambda h, v: setattr(h, "data", v)),
    "x.data =": lambda x, w: (setattr(x, "data", 3.0), x * w)[1],
    "x.grad =": lambda x, w: (setattr(x, "grad", None), x * w)[1],
    "w.grad =": lambda x, w: (setattr(w, "grad", x), x * w)[1],
    "stack": lambda x, w: mg.stack([x, w]).sum(),
    "tensor": lambda x, w: mg.tensor([x, w]).sum(),
    "Tensor *": lambda x, w: (mg.ones(3) * x * w).sum(),
    "* Tensor": lambda x, w: (x * w * mg.ones(3)).sum(),
    "index_add": lambda x, w: mg.zeros(2).index_add(0, [0], mg.stack([x * w])).sum(),
    **{name: written(name) for name in sorted(IN_PLACE.keys() - composed()) if name not in ALONE},
}


def silent(body):
    """What a compiled function gets wrong without a sentence, if anything."""
    numbers = np.array([1.5, -0.5])
    w = mg.Value(2.0)
    try:
        out = mg.compile(lambda x: body(x, w), dtype=np.float64)(numbers)
        out.backward(np.ones(2))
    except (TypeError, ValueError, AttributeError) as error:
        return "" if JAPANESE.search(str(error)) else repr(error)
    values, v = [], mg.Value(2.0)
    for number in numbers:
        y = body(mg.Value(number), v)
        y = y if isinstance(y, mg.Value) else y.to_value()
        y.backward()
        values.append(y.data)
    same = np.allclose(out._data, values) and np.isclose(w.grad, v.grad)
    return "" if same else f"{out} {w.grad}, not {values} {v.grad}"


@pytest.mark.parametrize("name", INSIDE)
def test_writing_inside_is_right_or_refused(name):
    assert silent(INSIDE[name]) == ""


# ---- 呼んでから、逆伝播までに書き込む -----------------------------------------------------------


def by_an_optimizer(f, x, w):
    f.parameters()[0].grad = mg.tensor(np.ones(1))
    mg.optim.SGD(f.parameters(), lr=1.0).step()
    f.zero_grad()


def of_a_leaf(f, x, w):
    with mg.no_grad():
        x.mul_(100)


BETWEEN = {
    "optimizer": by_an_optimizer,
    "w.data =": lambda f, x, w: setattr(w, "data", 50.0),
    "a leaf": of_a_leaf,
    "an element": lambda f, x, w: of_a_leaf(f, x[:1], w),
    "x.data *=": lambda f, x, w: setattr(x, "data", operator.imul(x._data, 100)),
    "another's data": lambda f, x, w: setattr(f.parameters()[0], "data", np.array([7.0])),
    "nothing": lambda f, x, w: None,
}


def lost(write, executor, again):
    """Whether a write between a call and its backward is neither noticed nor without effect."""
    w = mg.Value(2.0)
    f = mg.compile(lambda x: w * x * x, dtype=np.float64, executor=executor)
    x = mg.tensor(np.array([1.0, 3.0]), requires_grad=True)
    out = f(x)
    write(f, x, w)
    if again:
        f(np.array([5.0, 6.0]))
    try:
        out.backward(np.ones(2))
    except RuntimeError as error:
        assert "modified in place" in str(error)
        assert not w.grad
        assert x.grad is None
        return write is BETWEEN["nothing"]
    return (w.grad, x.grad.tolist()) != (10.0, [4.0, 12.0])


@every_executor
@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize("name", BETWEEN)
def test_backward_notices_what_was_written_since(name, again, executor):
    assert not lost(BETWEEN[name], executor, again)


def test_so_does_the_functions_own_backward():
    w = mg.Value(2.0)
    f = mg.compile(lambda x: w * x * x, executor="levels")
    f(np.ones(3))
    w.data = 5.0
    with pytest.raises(RuntimeError, match="modified in place"):
        f.backward()
    assert not w.grad


# ---- 長い鎖 -------------------------------------------------------------------------------------

N = 2_000


def chain(x, w, n=N):
    y = x
    for i in range(n):
        y = y * 0.9999 if i % 2 else y + w
    return y


@pytest.mark.parametrize("executor", [
    pytest.param(e, marks=pytest.mark.slow) if e in ("lift", "native", "python") else e
    for e in sorted(EXECUTORS)
])  # fmt: skip
def test_a_long_chain(executor):
    w, v, x = mg.Value(1e-3), mg.Value(1e-3), mg.Value(1.5)
    f = mg.compile(lambda x: chain(x, w), dtype=np.float64, executor=executor)
    out = f(np.array([1.5]))
    f.backward()
    eager = chain(x, v)
    eager.backward()
    assert out.item() == pytest.approx(eager.data, rel=1e-9)
    assert w.grad == pytest.approx(v.grad, rel=1e-9)
    assert len(repr(f)) < 300 and "を表示" not in repr(out)
    with pytest.raises(ValueError, match="too many nodes"):
        f.draw("trace")


def test_a_chain_made_outside():
    w = mg.Value(1e-3)
    y = chain(mg.Value(1.5), w)
    out = mg.compile(lambda x: y * x, dtype=np.float64)(np.array([1.0, 2.0]))
    np.testing.assert_allclose(out._data, [y.data, 2 * y.data])


def of_a_file(x):
    return x * x


def test_copies():
    """A function is copied and traces anew; a result goes without its graph."""
    w = mg.Value(2.0)
    f = mg.compile(lambda x: w * x)
    out = f(np.ones(3))
    assert copy.deepcopy(f)(np.ones(3)).tolist() == copy.copy(out.detach()).tolist() == [2.0] * 3
    assert pickle.loads(pickle.dumps(mg.compile(of_a_file)))(np.array([3.0])).tolist() == [9.0]
    for copied in (copy.deepcopy, pickle.dumps):
        for result in (out, out.sum() * 2):
            with pytest.raises(TypeError, match=r"y\.detach\(\)"):
                copied(result)
        copied(out.detach())
    assert out.tolist() == [2.0] * 3


# ---- メモリと、前に何を計算したか ---------------------------------------------------------------


@every_executor
def test_the_bytes_of_a_kept_loss_do_not_depend_on_the_batch(executor, monkeypatch):
    monkeypatch.setattr(spent, "FEW", 0)
    monkeypatch.setattr(spent, "LITTLE", 0)
    w = [mg.Value(0.5) for _ in range(8)]
    f = mg.compile(lambda x: mg.tanh(mg.dot(w, x)), executor=executor)
    sizes = []
    for n in (64, 512):
        loss = f(np.ones((n, 8), np.float32)).mean()
        loss.backward()
        sizes.append(sum(a.nbytes for a in kept(loss, f.parameters())))
    assert sizes[0] == sizes[1] < 200


def program(executor):
    rng = np.random.default_rng(0)
    w = [mg.Value(x) for x in rng.standard_normal(12)]
    f = mg.compile(
        lambda x: mg.logsumexp([mg.dot(w[k : k + 4], x) for k in (0, 4, 8)]) + sum(w),
        executor=executor,
    )
    x = rng.standard_normal((50, 4))
    out = f(x)
    out.backward(np.ones(50, np.float32))
    return f, x, [out._data.tobytes(), f.parameters()[0].grad.numpy().tobytes()]


@every_executor
def test_the_same_bits_whatever_was_called_before(executor):
    f, x, bits = program(executor)
    for before in (x[:1], np.full((200, 4), np.inf), x[::-1], x[:0], np.full((50, 4), np.nan)):
        f(before).backward(np.ones(len(before), np.float32))
        f.value_and_grad(before[:3])
        f.zero_grad()
        out = f(x)
        out.backward(np.ones(50, np.float32))
        assert [out._data.tobytes(), f.parameters()[0].grad.numpy().tobytes()] == bits
    assert program(executor)[2] == bits


# ---- 比較、型、足し合わせ -----------------------------------------------------------------------


@pytest.mark.parametrize("other", [None, "a", b"a", [1.0], {}, object(), ..., int])
def test_a_stranger_is_not_equal(other):
    seen = []

    def f(x):
        seen.append([x == other, x != other, other == x, other != x, x in [other, None]])
        for compare in (operator.lt, operator.le, operator.gt, operator.ge):
            with pytest.raises(TypeError):
                compare(x, other)
        return x

    mg.compile(f)(np.ones(2))
    assert seen == [[False, True, False, True, False]]


@every_executor
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_results_and_gradients_have_their_dtype(dtype, executor):
    w = mg.Value(2.0)
    f = mg.compile(lambda x: (x * w, x > 0), dtype=dtype, executor=executor)
    for name in ("bool", "uint8", "int64", "float16", "float32", "float64"):
        x = mg.tensor(np.array([1, 0, 3]).astype(name), requires_grad=name.startswith("float"))
        product, mask = f(x)
        product.sum().backward()
        assert product.dtype == mask.dtype == f.parameters()[0].grad.dtype == dtype
        assert x.grad is None or x.grad.dtype == x.dtype


def sum_errors(executor):
    """In units of what is allowed: as `test_accumulation.py` has it."""
    n, eps = 5000, np.finfo(np.float32).eps
    numbers = np.where(np.arange(n) % 3, 0.1, 0.3).astype(np.float32)
    exact = numbers.astype(np.float64)
    found = {}
    for name, body, wanted in (
        ("sum", mg.sum, exact.sum()),
        ("+", sum, exact.sum()),
        ("dot", lambda xs: mg.dot(xs, xs), (exact * exact).sum()),
        ("logsumexp", mg.logsumexp, np.log(np.exp(exact).sum())),
    ):
        out = mg.compile(body, dtype=np.float32, executor=executor)(np.stack([numbers] * 2))
        found[name] = abs(out[0].item() - wanted) / (4 * np.log2(n) * eps * wanted)
    w, n = mg.Value(1.0), 10_000 if executor == "python" else 1_000_000
    f = mg.compile(lambda x: x * w, dtype=np.float32, executor=executor)
    f(np.resize(numbers, n)).backward(np.ones(n, np.float32))
    wanted = np.resize(exact, n).sum()
    found["samples"] = abs(w.grad - wanted) / (4 * np.log2(n) * eps * wanted)
    return found


@pytest.mark.parametrize("executor", [
    pytest.param(e, marks=pytest.mark.slow) if e in ("tape", "python") else e
    for e in sorted(EXECUTORS)
])  # fmt: skip
def test_sums_of_many(executor):
    assert max(sum_errors(executor).values()) < 1, sum_errors(executor)


# ---- 対照 ---------------------------------------------------------------------------------------


@pytest.mark.control
def test_the_old_faults_are_noticed(monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(call.Call, "_require_unwritten", lambda *_: None)
        assert lost(BETWEEN["optimizer"], "lift", False)
        assert lost(BETWEEN["w.data ="], "levels", True)
        assert lost(BETWEEN["a leaf"], "lift", True)
        assert lost(BETWEEN["x.data *="], "lift", True)
    with monkeypatch.context() as patch:
        patch.setattr(type(stacked.stacked), "sum", lambda self, x, axis=0, keepdims=False:
                      np.add.reduce(x, axis=axis, keepdims=keepdims))  # fmt: skip
        assert sum_errors("levels")["sum"] > 1
    monkeypatch.delattr(Traced, "op")
    assert "AttributeError" in silent(in_a_module)
