"""README とサイトのページが言うことは本当か: コードを実行し、約束の表を 1 行ずつ確かめる。"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import micrograd_jp as mg
from tests.reference import torch

README = Path(__file__).parent.parent / "README.md"
PAGES = {
    path.name: path.read_text(encoding="utf-8")
    for path in (README, *sorted((README.parent / "demos" / "site").glob("*.md")))
}
TEXT = "\n".join(PAGES.values())
RECIPES = dict(re.findall(r"\((add an? [^)]+)\)\*\*.*?```python recipe\n(.*?)```", TEXT, re.S))
CODE = {name: re.findall(r"```python\n(.*?)```", text, re.S) for name, text in PAGES.items()}
CONVENTIONS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in TEXT.splitlines()
    if re.match(r"\| `[^`]*\bx\b[^`]*` \| \S+ \| \S+ \| \S+ \|", line)
]


def test_everything_was_found():
    assert sum(map(len, CODE.values())) == 15
    assert len(CONVENTIONS) > 30


LONG = {"images.md"}  # trains


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.slow] * (name in LONG))
        for name, blocks in CODE.items()
        if blocks
    ],
)
def test_python_blocks_run_in_order(name, tmp_path, monkeypatch):
    """Those of a page need nothing of the others."""
    monkeypatch.chdir(tmp_path)
    scope = {}
    for block in CODE[name]:
        exec(block, scope)
    assert (tmp_path / "graph.svg").exists() or name not in ("README.md", "values.md")
    if name == "checking.md":
        scope["test_my_function"]()


@pytest.mark.parametrize("name", PAGES)
def test_links_lead_somewhere(name):
    where = (README if name == README.name else README.parent / "demos" / "site" / name).parent
    for link in re.findall(r"\]\(([^)#\s]+)\)", PAGES[name]):
        assert link.startswith("https://") or (where / link).exists(), link


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
    assert f"## {mg.__version__}\n" in TEXT and f"= {{{mg.__version__}}}" in TEXT


# ---- 足すとき: 書いてある行を、パッケージの写しに本当に書き足す ------------------------------

CHECKS = {
    "add a primitive": """
from hypothesis import find
from micrograd_jp.testing.strategies import expressions

x = mg.Value(0.3, label="x")
y = x.logcosh()
y.backward()
assert y.data == math.log(math.cosh(0.3)) == mg.logcosh(0.3).data
assert math.isclose(x.grad, math.tanh(0.3))
assert gradcheck(mg.logcosh, [0.3], order=2)
p = np.array([[0.2, -0.6], [0.5, 0.9]])
assert gradcheck(mg.logcosh, [p], order=2) and gradcheck(lambda t: t.logcosh(), [p])
third = mg.grad(mg.grad(mg.grad(mg.logcosh)))(0.3).data
assert math.isclose(third, -2 * math.tanh(0.3) / math.cosh(0.3) ** 2)
t = mg.tensor(p)
t.logcosh_()
assert np.allclose(t.numpy(), np.log(np.cosh(p)))
assert "logcosh" in mg.draw(y).source
compiled = mg.compile(lambda v: mg.logcosh(v[0]))
assert np.allclose(compiled(p[:, :1]).numpy(), np.log(np.cosh(p))[:, 0])
assert "mg.logcosh(" in find(expressions(), lambda e: "logcosh" in e.source).source
assert surface.count("def logcosh(self)") == 2 and surface.count("def logcosh_(self)") == 1
assert "def logcosh(x: Operand)" in surface
""",
    "add an array function": """
x = rng.standard_normal((4, 3))
assert np.allclose(mg.gram(x).numpy(), x @ x.T)
assert np.array_equal(mg.tensor(x).gram().numpy(), mg.gram(x).numpy())
assert gradcheck(mg.gram, [x], order=2)
assert surface.count("def gram(") == 2
if importlib.util.find_spec("jax"):
    import jax.numpy as jnp
    a = mg.tensor(jnp.asarray(x, dtype="float32"), requires_grad=True)
    (a.gram() ** 2).sum().backward()
    b = mg.tensor(x.astype("float32"), requires_grad=True)
    (b.gram() ** 2).sum().backward()
    assert np.allclose(a.grad.numpy(), b.grad.numpy(), rtol=1e-4)
""",
    "add a layer": """
layer = mg.nn.ScaleNorm(8)
x = rng.standard_normal((5, 8))
expected = x / np.linalg.norm(x, axis=-1, keepdims=True) * 8**0.5
assert np.allclose(layer(mg.tensor(x)).detach().numpy(), expected)
assert list(layer.state_dict()) == ["weight"] and len(list(layer.parameters())) == 1
layer.load_state_dict({"weight": mg.full((1,), 3.0)})
assert np.allclose(layer(mg.tensor(x)).detach().numpy(), expected / 8**0.5 * 3)
assert gradcheck(layer, [mg.tensor(x)], order=2)
model = mg.nn.Sequential(mg.nn.Linear(3, 8), layer)
assert "ScaleNorm" in str(model.summary((1, 3))) and "ScaleNorm" in repr(model)
model(mg.tensor(x[:, :3].astype("float32"))).sum().backward()
assert all(p.grad is not None for p in model.parameters())
""",
    "add a native kernel": """
from micrograd_jp import native
from micrograd_jp.native import pointwise

taken = []
run = pointwise._run
pointwise._run = lambda *args: taken.append(args) or run(*args)
x = rng.standard_normal((256, 512))
x[0, :4] = np.nan, np.inf, -np.inf, -0.0
for dtype in ("float32", "float64"):
    t = mg.tensor(x.astype(dtype), requires_grad=True)
    for array in (t, t[:, :257], t[:3]):  # whole; with gaps; small
        fast = array.detach().abs().numpy()
        with native.disabled():
            plain = array.detach().abs().numpy()
        assert fast.tobytes() == plain.tobytes() and fast.dtype == dtype
    (t[1:] * 2).abs().sum().backward()
    assert np.array_equal(t.grad.numpy()[1:], 2 * np.sign(x[1:]))
assert len(taken) == 4  # of each type: the whole array, and once more for the gradient
""",
}


def test_every_recipe_is_short_and_has_its_check():
    assert RECIPES.keys() == CHECKS.keys()
    for lines in RECIPES.values():
        assert len([line for line in lines.splitlines() if not line.startswith("# ")]) <= 8
        for name in re.findall(
            r"^(?:class |def |)(\w+)(?:\(Module\):| = define| = array_op)", lines, re.M
        ):
            assert not hasattr(mg, name) and not hasattr(mg.nn, name), f"{name} はもうある"


@pytest.mark.slow
@pytest.mark.parametrize("title", CHECKS)
def test_a_recipe_does_what_it_promises(title, tmp_path):
    if title == "add a native kernel":
        pytest.importorskip("llvmlite", reason="機械語には llvmlite が要る")
    shutil.copytree(
        Path(mg.__file__).parent, tmp_path / "micrograd_jp", ignore=lambda *_: ["__pycache__"]
    )
    for name, lines in re.findall(
        r"^# (\S+\.py)\n(.*?)(?=^# micrograd_jp/|\Z)", RECIPES[title], re.S | re.M
    ):
        path = tmp_path / name
        path.write_text(f"{path.read_text(encoding='utf-8')}\n\n{lines}", encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}

    def run(*arguments):
        done = subprocess.run(
            [sys.executable, *arguments],
            capture_output=True, text=True, encoding="utf-8", cwd=tmp_path, env=environment,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr

    run("-m", "micrograd_jp.stub")
    program = f"""
import importlib.util, math, pathlib
import numpy as np
import micrograd_jp as mg
from micrograd_jp.testing import gradcheck

assert mg.__file__.startswith({str(tmp_path)!r})
rng = np.random.default_rng(0)
surface = pathlib.Path("micrograd_jp/_surface.pyi").read_text("utf-8")
{CHECKS[title]}
"""
    run("-W", "error", "-c", program)
    if title == "add an array function":  # every namespace has the name that the rule asks for
        contract = README.parent / "tests" / "namespace" / "test_contract.py"
        run("-m", "pytest", "-q", "-p", "no:cacheprovider", str(contract))
