"""配列の演算の JavaScript は、本物のブラウザで、NumPy と同じ値と、同じ勾配を出す。

足す順序は違ってよい: 相対 1e-12。

ページの中で計算しない演算は `NOT_PLAYED` に、理由とともにある。ほかは、どれも例で試される。
"""

import json
import math

import numpy as np
import pytest

import micrograd_jp as mg
from micrograd_jp import nn
from micrograd_jp.graph import topological_order
from micrograd_jp.graph.shares import parameters, shares
from micrograd_jp.namespace import javascript
from micrograd_jp.namespace.graph import on_graph
from micrograd_jp.namespace.javascript.arrays import Unsupported
from micrograd_jp.namespace.javascript.ways import array_rule
from micrograd_jp.ops.primitive import array_ops
from micrograd_jp.viz.player import play

F = nn.functional
NOT_PLAYED = {
    "連立方程式、行列式、行列の分解は、要素によって手順が変わる":
        "solve inv signdet logabsdet det cofactors cholesky qr svd eigh pinv",
    "画像の演算は、小さな図では見えない": """conv2d conv2d_input conv2d_weight
        window_max window_pick window_drop window_sum window_spread""",
    "1 つの演算の中で、時刻が進む": "rnn lstm gru",
    "2 つの数の角度は、ページの関数の集まり (library.js) にない": "atan2",
    "ページの中の数は実数である":
        "real imag complex conj modulus complex_pow fourier rfft irfft",
    "統計が順伝播の数で、書き換えた葉についてこない": "batch_norm",
}  # fmt: skip

SMALL = [[0.5, -1.25, 2.0, 0.25], [-0.75, 1.5, 0.125, -2.0], [3.0, 0.75, -0.5, 1.0]]


def leaf(values):
    return mg.tensor(np.array(values, dtype=float), requires_grad=True)


x, y, square = leaf(SMALL), leaf(np.array(SMALL)[::-1] * 0.7 + 0.1), leaf(np.array(SMALL)[:, :3])
row, column, cube = leaf([1.0, -2.0, 0.5, 3.0]), leaf([[2.0], [0.5], [-1.0]]), leaf(
    np.arange(12.0).reshape(2, 3, 2) / 7 - 0.8
)  # fmt: skip
inf = math.inf
CASES = {
    "broadcast": lambda: x * row + column / 2 - y,
    "number": lambda: 1 / (2 - x) + 2**x,
    "pow": lambda: (x * x + 1) ** y,
    "relu": lambda: mg.relu(x - 0.5), "tanh": lambda: mg.tanh(x), "gelu": lambda: mg.gelu(x),
    "where": lambda: mg.where(x > y, x, row), "clip": lambda: mg.clip(x, -0.5, 1.0),
    "maximum": lambda: mg.maximum(x, row), "abs": lambda: mg.abs(x), "elu": lambda: mg.elu(x),
    "matmul": lambda: x @ y.T, "vector": lambda: x @ row, "from the left": lambda: column.T @ x,
    "inner": lambda: row @ row, "batch": lambda: cube @ cube.transpose(1, 2),
    "vector and batch": lambda: leaf([1.0, 2.0, 3.0]) @ cube,
    "linear": lambda: F.linear(x, y, leaf([0.1, 0.2, 0.3])), "no bias": lambda: F.linear(x, y),
    "einsum": lambda: mg.einsum("ij,kj->ik", x, y), "trace": lambda: mg.einsum("ij,ij->", x, y),
    "three": lambda: mg.einsum("bij,jk,i->bk", cube, leaf([[1.0, 2], [3, 4]]), leaf([1.0, -1, 2])),
    "sum": lambda: x.sum(), "rows": lambda: x.sum(axis=1),
    "kept": lambda: x.sum(axis=0, keepdims=True),
    "mean": lambda: x.mean(), "columns": lambda: cube.mean(axis=(0, 2)),
    "amax": lambda: mg.amax(mg.relu(x), axis=1), "amin": lambda: mg.amin(x),
    "logsumexp": lambda: mg.logsumexp(x, 1), "softmax": lambda: mg.softmax(x, 1),
    "log_softmax": lambda: mg.log_softmax(x, 0), "norm": lambda: mg.norm(x, axis=1),
    "var": lambda: mg.var(x, 1), "std": lambda: mg.std(cube, 0),
    "layer_norm": lambda: F.layer_norm(x, 4),
    "layer_norm, scaled": lambda: F.layer_norm(x, 4, row, row * 2),
    "cumsum": lambda: mg.cumsum(cube, axis=1), "remainder": lambda: x % 0.7,
    "negative remainder": lambda: x % -row, "floor_divide": lambda: x // y,
    "reshape": lambda: x.reshape(2, 6), "transpose": lambda: cube.permute(2, 0, 1),
    "expand": lambda: row.expand(3, 4), "flip": lambda: mg.flip(x, 1),
    "roll": lambda: mg.roll(x, 2, 1), "cat": lambda: mg.concatenate([x, y], 1),
    "stack": lambda: mg.stack([x, y], 0), "pad": lambda: mg.pad(x, ((1, 2), (0, 1)), value=0.5),
    "tril": lambda: mg.tril(x, 1), "triu": lambda: mg.triu(x),
    "getitem": lambda: x[1:, ::2], "list": lambda: x[[0, 0, 2], [1, 1, 3]],
    "diagonal": lambda: mg.diagonal(square), "scattered": lambda: mg.scatter_add(
        mg.zeros(3, 4, dtype=mg.float64), 0, mg.tensor([[0, 1, 1, 0]]), x[:1]),
    "astype": lambda: x.float(), "cross_entropy": lambda: mg.cross_entropy(x, mg.tensor([0, 3, 1])),
    "probabilities": lambda: mg.cross_entropy(x, mg.softmax(y, 1)),
    "mse": lambda: mg.mse_loss(x, y), "hinge": lambda: mg.relu(1 - x * mg.sign(y)).mean(),
    "item": lambda: x.sum().to_value() * 3, "of values": lambda: mg.stack(
        [mg.Value(1.0), mg.Value(2.0)]) * 2,
    "zeroed": lambda: on_graph.zeroed(x, (0, slice(1, 3))),
    "infinite": lambda: mg.softmax(mg.tensor([[-inf, 0.0, 1.0]], requires_grad=True), 1),
}  # fmt: skip


def written_over():
    t = x * 2
    t[0] = row
    t[:, 1] = 0
    t += 1
    return t * t


def nodes(root):
    return [node for node in topological_order(root) if node.op and node.is_array_op]


def rule_of(node):
    wanted = [i for i, a in enumerate(node.operands) if any(a is p for p in node.parents)]
    like = node if hasattr(node, "shape") else np.float64(0)
    return wanted, array_rule(node.op, node.operands, wanted, parameters(node), like)


def flat(a):
    return np.ravel(np.asarray(getattr(a, "_data", a), dtype=float)).tolist()


@pytest.fixture(scope="module")
def script(browser):
    page = browser.new_page()
    page.add_script_tag(content=javascript.library())
    yield page
    page.close()


def differences(page, node):
    wanted, text = rule_of(node)
    xs, z = [flat(a) for a in node.operands], np.asarray(node.data)
    g = np.random.default_rng(0).normal(size=z.shape).astype(z.dtype)
    found = page.evaluate(
        f"""([xs, z, g, wanted]) => {{
          const rule = {text};
          return [rule.value(...xs), wanted.map((k) => rule.shares[k](g, z, ...xs).share)];
        }}""",
        [xs, flat(z), flat(g), wanted],
    )
    upstream = float(g) if not hasattr(node, "shape") else g
    with np.errstate(all="ignore"):
        expected = [flat(z), [flat(s) for s in shares(node, np.asarray(upstream))]]
    close = {"rtol": 1e-6 if z.dtype == np.float32 else 1e-12, "atol": 1e-12}
    out = (
        [] if np.allclose(found[0], expected[0], equal_nan=True, **close) else [(node.op, "value")]
    )
    for k, f, e in zip(wanted, found[1], expected[1], strict=True):
        if len(f) != len(e) or not np.allclose(f, e, equal_nan=True, **close):
            out.append((node.op, k, f, e))
    return out


@pytest.mark.parametrize("name", CASES)
def test_values_and_gradients(script, name):
    found = nodes(CASES[name]())
    assert found
    assert [d for node in found for d in differences(script, node)] == []


def test_every_array_operation_is_tried_or_has_its_reason():
    makes = [*CASES.values(), written_over]  # the last is played as a whole, below
    found = [node for make in makes for node in nodes(make())]
    tried = {node.op.name.removeprefix("tensor.") for node in found}
    refused = {name for names in NOT_PLAYED.values() for name in names.split()}
    every = {op.name.removeprefix("tensor.") for op in array_ops()}
    assert every - tried - refused == set()
    assert refused & tried == set() and refused <= every


def test_what_was_written_over(page):
    """The arrays that the nodes stand for are gone; the page computes them from the leaves."""
    root = written_over().sum()
    page.set_content(play(root).html)
    x.grad = row.grad = None
    root.backward()
    found = page.evaluate("() => [lossOf(now.values), now.grads, NODES.map((n) => n.rule)]")
    leaves = [g for g, rule in zip(found[1], found[2], strict=True) if rule is None]
    assert found[0] == pytest.approx(root.item())
    expected = sorted(flat(t.grad) for t in (x, row))
    assert sorted(g for g in leaves if any(g)) == [pytest.approx(e) for e in expected]


@pytest.mark.parametrize("make", [
    lambda: mg.det(square), lambda: mg.solve(square, column),
    lambda: mg.cholesky(mg.eye(2) + 0 * square[:2, :2]),
    lambda: F.conv2d(mg.ones(1, 1, 3, 3, requires_grad=True), mg.ones(1, 1, 2, 2)),
    lambda: F.max_pool2d(mg.ones(1, 1, 4, 4, requires_grad=True), 2),
    lambda: nn.BatchNorm2d(1)(mg.ones(1, 1, 4, 4)),
])  # fmt: skip
def test_what_a_page_cannot_compute_is_refused(make):
    with pytest.raises(Unsupported):
        for node in nodes(make()):
            rule_of(node)


def test_a_wrong_line_is_found(browser):
    """Negative control."""
    text = javascript.library()
    for right, wrong in [("otherwise : x[p]", "otherwise : x[0]"), ("+= g[i]", "= g[i]")]:
        assert right in text
        text = text.replace(right, wrong)
    page = browser.new_page()
    page.add_script_tag(content=text)
    for name in ("transpose", "list"):
        assert differences(page, nodes(CASES[name]())[0])
    page.close()


def test_the_pieces_of_a_product_and_of_a_broadcast(script):
    """Wᵀ and the copies that a page shows are what the gradient is made of."""
    b = leaf([0.1, 0.2, 0.3])
    p = F.linear(x, y, b)
    (_, text), g = rule_of(p), np.ones((3, 3))
    show = f"([xs, z, g]) => [0, 1, 2].map((k) => ({text}).shares[k](g, z, ...xs))"
    to_x, to_w, to_b = script.evaluate(show, [[flat(a) for a in (x, y, b)], flat(p), flat(g)])
    assert [f["text"] for f in to_x["factors"]] == ["{g}", "{1}"] and to_x["sign"] == "@"
    assert [f["text"] for f in to_w["factors"]] == ["{g}ᵀ", "{0}"]
    assert to_b["copies"]["shape"] == [3, 3] and to_b["share"] == [3, 3, 3]
    assert json.dumps(to_b["copies"]["x"]) == json.dumps([1] * 9)
