"""どの約束も、その違いだけを説明する。同じ姿の誤りを植えると、説明はつかない。"""
# ruff: noqa: E402

import warnings
from dataclasses import replace
from math import nan

import pytest

torch = pytest.importorskip("torch", reason="PyTorch がないので比べない")
from fuzz_conventions import NAMES, explained
from fuzz_program import Line, run

T = "t1 = m.tensor({}, dtype=m.{}).requires_grad_()"
NAN = "t1 = m.tensor([nan, 2.0], dtype=m.float64)"


def program(text):
    """Lines, one a statement; what stands after `=>` is what we run instead."""
    lines = []
    for statement in text.split("; "):
        theirs, _, ours = statement.partition(" => ")
        gives = theirs.split(" = ")[0] if " = " in theirs and theirs[0] == "t" else ""
        gives = gives if gives.isalnum() else ""
        writes = "backward" in theirs or "_(" in theirs or not gives
        lines.append(Line(ours or theirs, theirs, gives, writes))
    return lines


def verdict(text):
    """What explains the program's difference; None for nothing."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        lines = program(text)
        finding = run(lines)
        assert finding is not None, "no difference"
        return explained(finding, lines)


W = "t1 = m.tensor([1.0, 2.0], dtype=m.float64).requires_grad_()"
AGAIN = (  # a graph that goes back once more after an update by hand
    "t1 = m.tensor([1.0, 2.0], dtype=m.{}).requires_grad_(); t2 = m.ones(2, dtype=m.float64)"
    ".requires_grad_(); t3 = (t1 * t2).sum(); t3.backward(retain_graph=True); "
    "t1.data -= 0.1 * t1.grad.detach(); {}"
)
EMPTY = (
    "t1 = m.tensor([nan, 0.0], dtype=m.float64).requires_grad_(); "
    "t2 = m.zeros((0, 2), dtype=m.float64) / t1; t2.sum().backward(create_graph=True); "
)
VIEWS = ("t1 = m.tensor([1.0, 2.0]); t2 = t1[:2]; t3 = t2[:]; "
         "t4 = m.tensor(2.0).requires_grad_(); ")  # fmt: skip
RAISE = "exec('raise {}(\"断ります ({})\")')"


def refused(error, said, line):
    return line + " => " + RAISE.format(error, said)


EXPLAINED = {
    # convention: (what it explains, faults of the same look elsewhere)
    "PyTorch だけが断る": (
        ["t1 = m.tensor([3, 4], dtype=m.int64); t2 = m.mean(t1)",
         "t1 = m.tensor([3, 4], dtype=m.uint8); t2 = F.selu(t1)",
         "t1 = m.tensor([1.5, 0.5]); t2 = t1 - True",
         "t1 = m.tensor([3, 4], dtype=m.int64); t2 = m.clip(t1, t1, inf)",
         W + "; t4 = m.eye(2, dtype=m.float64) * t1.sum(); "
         "t2 = t4.cholesky() => t2 = m.cholesky(t4); "
         "t3 = m.eye(2, dtype=m.float64).requires_grad_(); t2.copy_(t3); t2.sum().backward()"],
        ["t1 = m.tensor([3, 4], dtype=m.int64); t2 = m.mean(t1) => t2 = m.mean(t1) + 1",
         "t1 = m.tensor([3, 4], dtype=m.uint8); t2 = F.selu(t1) => t2 = -F.selu(t1)",
         "t1 = m.tensor([3, 4], dtype=m.int64); t2 = m.clip(t1, t1, inf) => t2 = t1 + 1",
         W + "; t2 = m.cholesky(t1) => t2 = t1 * 1"],
    ),
    "PyTorch の誤り": (
        [W + "; t2 = F.hardsigmoid(t1); t2.sum().backward()",
         T.format("[nan, 0.0] * 32", "float64") + "; t2 = F.elu(t1); t2.sum().backward()",
         "t1 = m.full((3, 2), 2.0); t1.mul_(t1[-2:, 1])",
         W + "; t2 = t1 * 1; t2.logical_not_(); t2.sum().backward()",
         T.format("[inf, 2.0]", "float64") + "; t2 = t1.prod(); t2.backward()"],
        [W + "; t2 = F.hardsigmoid(t1); t2.sum().backward() => (t2.sum() * 1.0000001).backward()",
         "t1 = m.full((3, 2), 2.0); t1.mul_(t1[-2:, 1]) => t1.mul_(t1[-2:, 1] * 2)",
         W + "; t2 = t1 * 1; t2.logical_not_(); "
         "t2.sum().backward() => (t2 + 2 * t1).sum().backward()",
         T.format("[inf, 2.0]", "float64")
         + "; t2 = t1.prod(); t2.backward() => (t2 * nan).backward()",
         "t1 = m.tensor([1.0, 2.0]); t2 = m.gelu(t1) => t2 = m.gelu(t1) + nan"],
    ),
    "1 つのグラフに 1 度": (
        [W + "; t2 = t1.sum(); t2.backward(); t2.backward()"],
        [W + "; t2 = t1.sum(); " + refused(
            "RuntimeError", "backward through the graph a second time", "t2.backward()"),
         W + "; t2 = t1.sum(); t2.backward(); " + refused(
            "RuntimeError", "backward through the graph a second time", "t2.backward()")],
    ),
    "書き換えの検査": (
        [W + "; t2 = t1.expm1(); with m.no_grad(): t1 += 1; t2.sum().backward()",
         AGAIN.format("float64", "t3.backward()"),

         W + "; t2 = 1 / t1; t2.sum().backward(create_graph=True); "
         "t1.data = t1.data - 0.1 * t1.grad.detach(); t2.sum().backward(create_graph=True)"],
        [W + "; t2 = t1.expm1(); " + refused(
            "RuntimeError", "modified in place", "t2.sum().backward()"),
         W + "; t2 = t1.expm1(); t1.data = t1.data - 1; " + refused(
            "RuntimeError", "modified in place", "t2.sum().backward()"),
         W + "; t2 = t1.detach(); " + refused(
            "RuntimeError", "more than one element refers to a single memory location",
            "t2.add_(1)")],
    ),
    "data への代入": (
        [W + "; t2 = (t1 * t1).sum(); t1.data = t1.data * 0; t2.backward()",
         AGAIN.format("float32", "t3.backward()")],
        [W + "; t2 = (t1 * t1).sum(); t1.data = t1.data * 0; "
         "t2.backward() => (2 * t2).backward()",
         AGAIN.format("float32", "t3.backward() => (2 * t3).backward()"),
         W + "; t1.sum().backward(); t1.data -= t1.grad.detach() => "
         "t1.data -= 2 * t1.grad.detach()"],
    ),
    "定数の勾配": (
        [W + "; t2 = m.relu(t1); t2.sum().backward(create_graph=True); "
         "t1.grad.sum().backward(create_graph=True)"],
        [W + "; t2 = t1 * t1; t2.sum().backward(create_graph=True); " + refused(
            "RuntimeError", "no graph", "t1.grad.sum().backward(create_graph=True)")],
    ),
    "整数に勾配": (
        [W + "; t2 = m.zeros((2,), dtype=m.int64); t2.copy_(t1)"],
        ["t1 = m.tensor([1.0, 2.0]); t2 = m.zeros((2,), dtype=m.int64); " + refused(
            "TypeError", "cannot cast", "t2.copy_(t1)")],
    ),
    "型に入らない数": (
        ["t1 = m.tensor([1], dtype=m.uint8); t2 = t1 + 300",
         "t1 = m.tensor([1], dtype=m.uint8); t2 = t1 > -1"],
        ["t1 = m.tensor([1], dtype=m.uint8); " + refused(
            "OverflowError", "integer out of range", "t2 = t1 + 3"),
         "t1 = m.tensor([1], dtype=m.uint8); t2 = t1 > 1 => t2 = t1 > 0"],
    ),
    "整数の負のべき": (
        ["t1 = m.tensor([1, 2]); t2 = m.tensor(-1); t3 = t1 ** t2"],
        ["t1 = m.tensor([1, 2]); t2 = m.tensor(1); " + refused(
            "ValueError", "negative integer power", "t3 = t1 ** t2")],
    ),
    "clip の限り": (
        ["t1 = m.tensor([1, 2]); t2 = t1.clip(max=inf)",
         "t1 = m.tensor([1, 2]); t2 = t1.clip(m.tensor(0.5, dtype=m.float64), 3)"],
        ["t1 = m.tensor([1, 2]); t2 = t1.clip(max=1.5) => t2 = t1.clip(max=1)",
         "t1 = m.tensor([1.0, 2.0]); t2 = t1.clip(max=inf) => t2 = t1.clip(max=1.5)"],
    ),
    "nan の符号": (
        [NAN + "; t2 = t1.sign()"],
        [NAN + "; t2 = t1.sign() => t2 = t1.sign() * nan",
         "t1 = m.tensor([0.0, 2.0]); t2 = t1.sign() => t2 = t1.sign() / t1.sign()"],
    ),
    "閉じた門": (
        [W + "; t2 = t1.amin() / 0; t2.backward()"],
        [W + "; t2 = t1.amin() / 0; t2.backward() => (t2 * t1[1] * 0).backward()",
         W + "; t2 = t1.amin() * 2; t2.backward() => (t2 + nan * t1[1]).backward()"],
    ),
    "0.5 乗は平方根": (
        ["t1 = m.tensor(-inf); t2 = m.tensor(0.5); t3 = t1 ** t2"],
        ["t1 = m.tensor(4.0); t2 = m.tensor(0.5); t3 = t1 ** t2 => t3 = t1 ** t2 * nan"],
    ),
    "どこでも 0 の勾配": (
        [W + "; t2 = t1.norm(0); t2.backward()"],
        [W + "; t2 = t1.norm(0); t2.backward() => (t2 + t1.sum()).backward()",
         W + "; t2 = t1 * 1; t2.detach().sum().requires_grad_().backward() => t2.sum().backward()"],
    ),
    "0 でのノルム": (
        [T.format("[0.0, 0.0]", "float64") + "; t2 = t1.norm(); t3 = t2 * t2; "
         "t3.backward(create_graph=True); t1.grad.sum().backward()",
         T.format("[2.0, 2.0]", "float64") + "; t2 = t1.std(); t3 = t2 * t2; "
         "t3.backward(create_graph=True); t1.grad[0].backward()"],
        [T.format("[0.0, 0.0]", "float64") + "; t2 = t1.norm(); t3 = t2 * t2; "
         "t3.backward(create_graph=True); t1.grad.sum().backward() => "
         "(2 * t1.grad).sum().backward()",
         T.format("[3.0, 4.0]", "float64") + "; t2 = t1.norm(); t3 = t2 * t2; "
         "t3.backward(create_graph=True); t1.grad.sum().backward() => "
         "(nan * t1.grad).sum().backward()"],
    ),
    "inf の 2 階微分": (
        [T.format("[-2.0]", "float64") + "; t2 = t1.sigmoid() / 0; "
         "t2.backward(create_graph=True); (t1.grad * t1.grad).sum().backward()",
         EMPTY + "t1.grad.sum().backward(create_graph=True); "
         "t1.grad.sum().backward(create_graph=True)"],
        [EMPTY.replace("nan, 0.0", "1.0, 2.0") + "t1.grad.sum().backward(create_graph=True) => "
         "t1.grad.fill_(nan)",
         T.format("[-2.0]", "float64") + "; t2 = t1.sigmoid() / 2; "
         "t2.backward(create_graph=True); (t1.grad * t1.grad).sum().backward() => "
         "(t1.grad * nan).sum().backward()",
         T.format("[-2.0]", "float64") + "; t2 = t1.sigmoid() / 0; "
         "t2.backward(create_graph=True) => (t2 * nan).backward(create_graph=True)"],
    ),
    "retain_grad した途中の値": (
        [W + "; t2 = 2 / t1; t2.retain_grad(); t2.sum().backward(create_graph=True); "
         "(t1.grad**2).sum().backward()",
         VIEWS + "t3.mul_(t4); t2.retain_grad(); t3.sum().backward()"],
        [W + "; t2 = 2 / t1; t2.retain_grad(); t2.sum().backward() => (2 * t2).sum().backward()",
         VIEWS + "t3.mul_(t4); t2.retain_grad(); t2.sum().backward() => (2 * t2).sum().backward()",
         W + "; t2 = t1[:1]; t2.retain_grad(); "
         "t1.sum().backward() => (t1.sum() + 0 * t2.sum()).backward()",
         W + "; t2 = t1 * 2; t2.retain_grad(); t2.sum().backward(retain_graph=True); "
         "t2.sum().backward() => exec('t2.sum().backward(); t2.grad = 3 * t2.grad')"],
    ),
    "メモリの並び": (
        ["t1 = m.tensor([[2.0, 1.0], [1.0, 2.0]]); t2 = t1.cholesky() => t2 = m.cholesky(t1); "
         "t3 = t2.reshape(4); t2.zero_()",
         "t1 = m.arange(12).reshape(3, 2, 2).float().transpose(0, -1).clone(); "
         "t2 = F.max_pool2d(t1, (1, 2), 1); t3 = t2.ravel(); t2[0, 0] = 7"],
        ["t1 = m.tensor([[2.0, 1.0], [1.0, 2.0]]); t2 = t1.exp(); "
         "t3 = t2.reshape(4) => t3 = t2.reshape(4).clone(); t2.zero_()"],
    ),
    "nan の最大値": (
        [T.format("[nan, 1.0]", "float64") + "; t2 = t1.max(); t2.backward()"],
        [T.format("[2.0, 1.0]", "float64")
         + "; t2 = t1.max(); t2.backward() => (t2 + nan * t1[1]).backward()"],
    ),
    "ほかのビューの requires_grad": (
        ["t1 = m.tensor([1.0, 2.0]); t2 = m.tensor(2.0).requires_grad_(); t3 = t1[1:]; "
         "t1.mul_(t2)"],
        ["t1 = m.tensor([1.0, 2.0]); t2 = m.tensor(2.0).requires_grad_(); "
         "t1.mul_(t2) => t1.mul_(t2.detach())"],
    ),
    "上書きした値の勾配": (
        [W + "; t2 = t1 * 1; t3 = m.ones(2, dtype=m.float64).requires_grad_(); "
         "t4 = t2.copy_(t3); t4.sum().backward()",
         W + "; t2 = t1 * 1; t3 = m.tensor([3.0, 4.0], dtype=m.float64).requires_grad_(); "
         "t2.copy_(t3); t2.sum().backward()",
         W + "; t2 = (t1 * 9) ** 1e30; t2.fill_(t1[0]); t2.sum().backward()"],
        [W + "; t2 = t1 * 1; t2.sum().backward() => t2.detach().sum().requires_grad_().backward()",
         W + "; t2 = (t1 * 9) ** 1e30; t2.fill_(t1[0]); "
         "t2.sum().backward() => (2 * t2.sum()).backward()",
         *(W + f"; t2 = m.ones(2); t2.fill_(2); t3 = t1 * {y}; t3.sum().backward() => "
           "t3.detach().sum().requires_grad_().backward()" for y in (0, nan))],
    ),
    "正解は 0 以上 1 以下": (
        ["t1 = m.tensor([1.0]); t2 = m.tensor([2.0]); "
         "t3 = F.binary_cross_entropy_with_logits(t1, t2)"],
        ["t1 = m.tensor([1.0]); t2 = m.tensor([1.0]); " + refused(
            "ValueError", "target out of range",
            "t3 = F.binary_cross_entropy_with_logits(t1, t2)")],
    ),
    "同じパラメータを 2 度": (
        [W + "; o = m.optim.SGD([t1, t1], lr=0.1)"],
        [W + "; t2 = t1.detach().requires_grad_(); " + refused(
            "ValueError", "appear more than once", "o = m.optim.SGD([t1, t2], lr=0.1)")],
    ),
    "逆行列のない行列": (
        ["t1 = m.zeros(1, 1).requires_grad_(); t2 = t1.slogdet(); t2[1].backward()"],
        ["t1 = m.ones(1, 1).requires_grad_(); t2 = t1.slogdet(); " + refused(
            "RuntimeError", "singular matrix", "t2[1].backward()"),
         "t1 = m.ones(1, 1).requires_grad_(); t2 = t1.slogdet(); "
         "t3 = m.zeros(1).requires_grad_(); t4 = t2[1] + t3.sqrt().sum(); " + refused(
            "RuntimeError", "singular matrix", "t4.backward()")],
    ),
    "空の出力": (
        ["t1 = m.ones(4, 4, 4, 2); t2 = m.ones(4, 1, 2, 1); "
         "t3 = F.conv_transpose2d(t1, t2, padding=1, groups=2)"],
        ["t1 = m.ones(1, 1, 4, 4); t2 = m.ones(1, 1, 2, 2); " + refused(
            "ValueError", "output would be empty", "t3 = F.conv_transpose2d(t1, t2)")],
    ),
}  # fmt: skip


def test_every_convention_has_its_control():
    assert EXPLAINED.keys() == NAMES


@pytest.mark.parametrize("name", EXPLAINED)
def test_it_explains_what_it_says(name):
    assert {verdict(text) for text in EXPLAINED[name][0]} == {name}


@pytest.mark.parametrize("name", EXPLAINED)
def test_it_does_not_explain_a_fault_of_the_same_look(name):
    assert {verdict(text) for text in EXPLAINED[name][1]} == {None}


# ---- 丸め ----------------------------------------------------------------------------------------

SINGULAR = "t1 = m.tensor([[2.137, 2.428], [-0.5, -0.556]], dtype=m.float64); t2 = m.solve(t1, t1)"


def theirs(text):
    return [replace(x, theirs=x.theirs.replace("m.solve", "m.linalg.solve")) for x in program(text)]


def test_what_moves_by_a_rounding_is_not_a_difference():
    off = SINGULAR + "; t3 = t2 ** -3 => t3 = (t2 * (1 + 1e-15) + 1e-16) ** -3"
    lines = theirs(off)
    assert explained(run(lines), lines) == "丸め"


@pytest.mark.parametrize("fault", [
    "t3 = t2 + 1 => t3 = t2 + 1.00001",
    "t3 = t1.sum() => t3 = t1.sum() * 1.00001",
    "t3 = t1.exp() => t3 = t1.exp() * nan",
    "t3 = (t1 - t1).sign() => t3 = (t1 - t1).sign() + 1",
])  # fmt: skip
def test_what_does_not_move_is_one(fault):
    lines = theirs(SINGULAR + "; " + fault)
    assert explained(run(lines), lines) is None
