"""逆伝播のあとの損失は、途中の配列を生かしておかない。それでも、グラフは描ける。

どの配列の演算でも: 損失からたどれる配列は、利用者の葉と損失のものだけ。コンパイルした関数の結果は
`test_compiled.py` が調べる。`mg.jit` の結果にはグラフがない。`Value` のグラフは数だけでできている。
"""

import gc
import types
import weakref

import numpy as np
import pytest
import ways
from array_cases import CASES

import micrograd_jp as mg
from micrograd_jp import namespace, nn
from micrograd_jp.graph import backward as chain_rule
from micrograd_jp.graph import spent
from micrograd_jp.nn import functional as F
from tests.together import together

WITH_GRADIENT = [case for case in CASES if not case.empty]
NOT_THE_GRAPHS = (type, types.ModuleType, types.FunctionType, types.BuiltinFunctionType)


def arrays_from(root):
    """Every array that stays alive as long as `root` does."""
    seen, stack, found = set(), [root], []
    while stack:
        x = stack.pop()
        if id(x) in seen or isinstance(x, NOT_THE_GRAPHS) or hasattr(x, "vjp"):
            continue
        seen.add(id(x))
        if isinstance(x, np.ndarray):
            found.append(x)
            stack.append(x.base)  # the collector does not look into arrays
        elif namespace.is_array(x):  # of JAX
            found.append(x)
            continue
        stack += gc.get_referents(x)
    return found


def kept(root, leaves):
    """The arrays that are neither the root's own nor the leaves' numbers and gradients."""
    own = [x for node in (root, *leaves) for x in (node._data, node._grad)]
    known = {id(x) for x in own} | {id(x.base) for x in own if isinstance(x, np.ndarray)}
    return [x for x in arrays_from(root) if x.size and id(x) not in known]


@pytest.fixture
def _nothing_is_small(monkeypatch):
    monkeypatch.setattr(spent, "FEW", 0)
    monkeypatch.setattr(spent, "LITTLE", 0)


def loss_of(case, array=np.array):
    xs = [mg.tensor(array(x), requires_grad=True) for x in case.point()]
    out = case.f(*xs)
    out = out if isinstance(out, mg.Tensor) else mg.stack([out])
    return xs, out, (out * out).sum()


@pytest.mark.usefixtures("_nothing_is_small")
@together(WITH_GRADIENT)
def test_a_loss_keeps_no_array_of_any_operation(case):
    leaves, out, loss = loss_of(case)
    value = out.detach().numpy().copy()
    loss.backward()
    assert kept(loss, leaves) == []
    np.testing.assert_array_equal(out.data, value)  # whoever holds a result has its numbers
    with pytest.raises(RuntimeError, match="既に逆伝播"):
        loss.backward()
    assert f"{out.shape} {out.dtype}" in mg.draw(loss).source or out.shape == ()


def keep_something(cases, array=np.array):
    """The rows of the table whose spent loss still holds an array."""
    found = []
    for case in cases:
        leaves, _, loss = loss_of(case, array)
        loss.backward()
        if kept(loss, leaves):
            found.append(case)
    return found


@pytest.mark.usefixtures("_nothing_is_small")
def test_nor_with_machine_code():
    with ways.nothing_is_small():
        assert keep_something(WITH_GRADIENT) == []


@pytest.mark.slow
@pytest.mark.usefixtures("_nothing_is_small")
def test_nor_of_other_operations_on_jax():
    """Of some: what lets go of the arrays does not ask whose they are."""
    with ways.double() as jax:
        assert keep_something(WITH_GRADIENT[::9], jax.numpy.array) == []


def test_a_jitted_loss_has_no_graph():
    pytest.importorskip("jax", reason="JAX がない")

    def loss(x):
        total = (x.requires_grad_().tanh() ** 2).sum()
        total.backward()
        return total

    out = mg.jit(loss)(mg.ones(9, 7))
    assert (out.op, out.requires_grad) == (None, False)
    assert kept(out, []) == []


@pytest.mark.usefixtures("_nothing_is_small")
@pytest.mark.parametrize("let_go", [True, False])
def test_nor_of_jax(let_go, monkeypatch):
    jnp = pytest.importorskip("jax.numpy", reason="JAX がない")
    if not let_go:  # negative control
        code = (lambda order: None).__code__
        monkeypatch.setattr(chain_rule.__globals__["let_go"], "__code__", code)
    x = mg.tensor(jnp.ones((9, 7)), requires_grad=True)
    loss = ((x.tanh() @ x.T).relu().softmax(0) ** 2).sum()
    loss.backward()
    assert (kept(loss, [x]) == []) is let_go


def keeps_its_graph(case, detached=mg.Tensor.detach):
    xs = [mg.tensor(x, requires_grad=True) * 1 for x in case.point()]
    seen = list(map(weakref.ref, xs))
    out = case.f(*xs)
    held = detached(out) if isinstance(out, mg.Tensor) else None
    del xs, out
    return any(x() is not None for x in seen) and held is not None


def test_what_is_detached_keeps_no_graph():
    """Not even a spread Tensor, which knows what its memory is a view of."""
    assert [case for case in WITH_GRADIENT if keeps_its_graph(case)] == []
    undetached = [keeps_its_graph(case, lambda t: t) for case in WITH_GRADIENT]
    assert sum(undetached) > len(undetached) // 2


@pytest.mark.control
@pytest.mark.usefixtures("_nothing_is_small")
def test_negative_control_without_letting_go_the_arrays_stay(monkeypatch):
    monkeypatch.setattr(chain_rule.__globals__["let_go"], "__code__", (lambda order: None).__code__)
    case = next(case for case in WITH_GRADIENT if case.name == "matmul")
    leaves, _, loss = loss_of(case)
    loss.backward()
    assert kept(loss, leaves)
    rows = [case for case in WITH_GRADIENT if "conv" in case.name]
    with ways.nothing_is_small():
        assert keep_something(rows) == rows


def networks():
    rows = mg.tensor(np.ones((1, 1, 12, 12), np.float32))
    conv = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.1),
        nn.Flatten(), nn.Linear(100, 3),
    )  # fmt: skip
    mlp = nn.Sequential(nn.Flatten(), nn.Linear(144, 9), nn.Tanh(), nn.Linear(9, 3))
    return [(rows, conv), (rows, mlp)]


@pytest.mark.parametrize(("rows", "model"), networks(), ids=["conv", "mlp"])
def test_the_bytes_of_a_kept_loss_do_not_depend_on_the_batch(rows, model):
    sizes = []
    for n in (8, 64):
        x, target = rows.expand(n, 1, 12, 12) * 1.0, mg.tensor(np.zeros(n, int))
        loss = F.cross_entropy(model(x), target)
        loss.backward()
        sizes.append(sum(a.nbytes for a in kept(loss, model.parameters())))
    assert sizes[1] == sizes[0] < 200


def test_a_running_total_does_not_grow_with_the_batch():
    w = mg.tensor(np.ones(1000), requires_grad=True)
    total, losses = 0.0, []
    for _ in range(5):
        loss = (mg.tensor(np.ones(1000)) * w).tanh().mean()
        loss.backward()
        total += loss
        losses.append(loss)
    assert sum(a.nbytes for a in kept(total, [w])) < 200
    assert total.item() == pytest.approx(5 * np.tanh(1))


# ---- 描ける、断る -----------------------------------------------------------------------------


def two_layers():
    x = mg.tensor(np.ones((40, 30)), label="x")
    w = mg.tensor(np.ones((30, 20)), requires_grad=True, label="w")
    h = x @ w
    h.label = "h"
    return x, w, h, (mg.relu(h) ** 2.0).mean()


def test_the_drawing_is_the_same_before_and_after():
    *_, loss = two_layers()
    before = mg.draw(loss, show=("label", "data", "legend")).source
    loss.backward()
    shown = ("x|(40, 30)", "w|(30, 20)", "h|(40, 20)", "ReLU", "2")
    after = mg.draw(loss, show=("label", "data", "legend")).source
    assert all(text in after for text in shown)
    assert before.count("->") == after.count("->")


def test_labels_and_retained_gradients_show_after_backward():
    _, _, h, loss = two_layers()
    h.retain_grad()
    loss.backward()
    h.label = "あとから"
    named = [row for row in mg.draw([loss, h]).source.splitlines() if 'label="' in row]
    (row,) = [row for row in named if "あとから" in row]  # what is held and the record are one
    assert "勾配 最小 0.075" in row
    assert "勾配 (40, 20) の配列" in mg.draw(loss).source
    np.testing.assert_allclose(h.grad._data, 2 * h._data / h._data.size)


def test_what_may_run_again_keeps_everything():
    _, w, _, loss = two_layers()
    loss.backward(retain_graph=True)
    first = w.grad.numpy().copy()
    loss.backward()
    np.testing.assert_array_equal(w.grad._data, 2 * first)
    _, w, _, loss = two_layers()
    loss.backward(create_graph=True)
    (w.grad * w.grad).sum().backward()


@pytest.mark.parametrize("use", [
    lambda h, w: (h * 2.0).sum().backward(),
    lambda h, w: (h.sum() * w.sum()).backward(create_graph=True),
    lambda h, w: mg.grad(lambda v: (h.sum() * v.sum()))(w),
    lambda h, w: mg.jvp(lambda v: (h.sum() * v.sum()), (w,), (w.detach(),)),
])  # fmt: skip
def test_a_spent_part_of_another_graph_is_refused(use):
    _, w, h, loss = two_layers()
    loss.backward()
    with pytest.raises(RuntimeError, match="既に逆伝播"):
        use(h, w)


def test_values_made_of_tensors_go_on_through_the_record():
    _, w, h, _ = two_layers()
    loss = mg.stack([h.mean().to_value() * 2.0]).sum()
    loss.backward()
    assert all(a.size == 1 for a in kept(loss, [w]))
    assert "h|(40, 20)" in mg.draw(loss).source
