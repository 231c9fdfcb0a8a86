"""README が言うことは本当か: コードを実行し、約束の表を 1 行ずつ確かめる。"""

import re
from pathlib import Path

import pytest

import micrograd_jp as mg

README = Path(__file__).parent.parent / "README.md"
TEXT = README.read_text(encoding="utf-8")
CODE = re.findall(r"```python\n(.*?)```", TEXT, re.S)
CONVENTIONS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in TEXT.splitlines()
    if re.match(r"\| `[^`]*\bx\b[^`]*` \| \S+ \| \S+ \| \S+ \|", line)
]


def test_the_readme_was_found_whole():
    assert len(CODE) == 8
    assert len(CONVENTIONS) > 30


def test_python_blocks_run_in_order(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    scope = {}
    for block in CODE:
        exec(block, scope)
    assert (tmp_path / "graph.svg").exists()
    scope["test_my_function"]()


def same(a, b):
    return a == pytest.approx(b, rel=1e-12, nan_ok=True)


conventions = pytest.mark.parametrize(
    ("expression", "x", "value", "slope"),
    [(row[0].strip("`"), *map(float, row[1:4])) for row in CONVENTIONS],
)


@conventions
def test_conventions(expression, x, value, slope):
    leaf = mg.Value(x)
    result = eval(expression, {"x": leaf, "zero": mg.Value(0.0)})
    result.backward()
    assert same(result.data, value)
    assert same(leaf.grad, slope)


@conventions
def test_conventions_are_pytorchs(expression, x, value, slope):
    torch = pytest.importorskip("torch", reason="PyTorch がないので比べない")
    # What PyTorch has only as a function: x.elu() → F.elu(x)
    expression = re.sub(r"x\.(leaky_relu|elu|softplus)\(\)", r"F.\1(x)", expression)
    expression = expression.replace("x.hard_sigmoid()", "F.hardsigmoid(x)")
    leaf = torch.tensor(x, dtype=torch.float64, requires_grad=True)
    zero = torch.zeros((), dtype=torch.float64)
    result = eval(expression, {"x": leaf, "zero": zero, "F": torch.nn.functional})
    result.backward()
    assert same(result.item(), value)
    assert same(leaf.grad.item(), slope)


def test_every_primitive_is_named():
    from micrograd_jp.ops.primitive import elementwise_primitives

    words = set(re.findall(r"\w+", TEXT))
    hidden = {"add", "sub", "mul", "div", "pow", "neg", "clone"}
    assert {op.name for op in elementwise_primitives()} - hidden <= words


def test_version_stands_in_one_place():
    root = README.parent
    assert mg.__version__ not in (root / "pyproject.toml").read_text(encoding="utf-8").replace(
        "micrograd==0.1.0", ""
    )
    assert f"### {mg.__version__}" in TEXT
