"""標準出力が cp932・ASCII・Latin-1 でも、表も、表示も、コマンドも、デモも、最後まで印字する。"""

import ast
import functools
import os
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest

import micrograd_jp.columns as columns

ROOT = Path(__file__).parents[1]
DEMOS = sorted(
    path for path in (ROOT / "demos").glob("*.py") if "__main__" in path.read_text("utf-8")
)
QUICK = [path.stem for path in DEMOS if path.stem not in ("apple", "house", "quickstart")]
SPOKEN = {
    "cp932": {"PYTHONIOENCODING": "cp932"},
    "ascii": {"PYTHONIOENCODING": "ascii"},
    "latin-1": {"PYTHONIOENCODING": "latin-1"},
    # The locale C without what Python does for it since 3.7.
    "C": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
}
TABLES = """
import numpy as np
import micrograd_jp as mg
from micrograd_jp.nn import MLP
w = mg.Value(2.0, label="重み w₁")
L = (w * 3 - 1).tanh()
L.backward()
net = mg.nn.Sequential(mg.nn.Conv2d(1, 2, 3, padding=1), mg.nn.ReLU(), mg.nn.Flatten())
model = MLP(3, [4, 2])
@mg.compile
def loss(x, t):
    return mg.cross_entropy(model(x), t)
loss(np.ones((2, 3)), np.eye(2))
print(loss.program, loss.explain(), loss, sep="\\n")
print(net.summary((1, 1, 6, 6)), net, model, sep="\\n")
print(w, L, mg.tensor([1.0]), mg.one_hot, mg.Value.tanh, mg.float32, sep="\\n")
print([L], mg.optim.SGD(net.parameters(), lr=0.1), mg.data.datasets.moons(20))
print(mg.testing.numerical_gradient(mg.tanh, 0.5), mg.tanh.__doc__, mg.ops.elementwise.tanh)
loader = mg.data.DataLoader(mg.data.TensorDataset(np.eye(3), [0, 1, 2]), 2)
print(loader, mg.fit(mg.nn.Linear(3, 3), loader, mg.cross_entropy,
      mg.optim.SGD([mg.tensor([1.0], requires_grad=True)], lr=0.1), 2))
try: mg.tensor([[1.0, 2.0]]) @ mg.tensor([1.0])
except ValueError as error: print(error)
print("名前の読めないファイル: \\udcff")
print("終わり。")
"""


def run(encoding, *arguments, cwd=None, program=None):
    settings = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHONIO", "PYTHONUTF"))}
    if program is not None:
        (cwd / "program.py").write_text(program, encoding="utf-8")
        arguments = ("program.py",)
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, cwd=cwd,
        env={**settings, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'demos'}", **SPOKEN[encoding]},
    )  # fmt: skip


def printed(encoding, *arguments, **how):
    done = run(encoding, *arguments, **how)
    assert done.returncode == 0, done.stderr.decode("ascii", "replace")
    return done.stdout.decode("ascii" if encoding == "C" else encoding)


# ---- 本物の標準出力 ----------------------------------------------------------------------------


def of(*encodings):
    """A process for every encoding: these at once, the others with the slow tests."""
    return pytest.mark.parametrize("encoding", [
        e if e in encodings else pytest.param(e, marks=pytest.mark.slow) for e in SPOKEN
    ])  # fmt: skip


@of("cp932", "C")
def test_tables_and_reprs(encoding, tmp_path):
    text = printed(encoding, cwd=tmp_path, program=TABLES)
    assert "h1 = relu(W1 x + b1)" in text and "Linear" in text
    assert text.splitlines()[-1] == ("終わり。" if encoding == "cp932" else "??????.")


@of("cp932")
def test_a_standard_output_that_is_strict_again_would_not_print_them(encoding, tmp_path):
    """The negative control: the tables do hold what these encodings lack."""
    strict = "import sys, micrograd_jp; sys.stdout.reconfigure(errors='strict')"
    done = run(encoding, cwd=tmp_path, program=strict + TABLES)
    assert done.returncode == 1 and b"UnicodeEncodeError" in done.stderr


@pytest.mark.slow
@of("C")
def test_the_help_of_every_demo(encoding, tmp_path):
    program = f"""
import runpy, sys
for path in {[str(path) for path in DEMOS]}:
    sys.argv = [path, "--help"]
    try: runpy.run_path(path, run_name="__main__")
    except SystemExit as stopped: assert stopped.code == 0, path
"""
    assert printed(encoding, cwd=tmp_path, program=program).count("usage: ") == len(DEMOS) > 10


@pytest.mark.slow
def test_readmes_first_demo(tmp_path):
    """In cp932 it runs in `test_quickstart.py`."""
    text = printed("C", str(ROOT / "demos" / "quickstart.py"), "--epochs", "1", cwd=tmp_path)
    assert "learning_curve.png" in text and text.count("\n") > 10


@pytest.mark.slow
@pytest.mark.parametrize(
    ("demo", "encoding"),
    [(demo, ["cp932", "ascii", "latin-1"][i % 3]) for i, demo in enumerate(QUICK)],
)
def test_every_demo(demo, encoding, tmp_path):
    printed(encoding, str(ROOT / "demos" / f"{demo}.py"), "--quick", cwd=tmp_path)
    assert any((tmp_path / "out").iterdir())


# ---- 何を変えるか ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "after"),
    [("cp932", columns._HANDLER), ("cp932:replace", "replace"), ("utf-8:ignore", "ignore")],
)
def test_what_somebody_has_chosen_stays(before, after):
    settings = {**os.environ, "PYTHONIOENCODING": before}
    program = "import micrograd_jp, sys; print(sys.stdout.errors, sys.stdout.encoding)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, env=settings, check=True
    )
    assert done.stdout.decode("ascii").split() == [after, before.partition(":")[0]]


@pytest.mark.parametrize(
    "stream",
    ["None", "__import__('io').StringIO()", "open(__import__('os').devnull, 'wb')"],
)
def test_other_standard_outputs_are_left_alone(stream):
    """None (pythonw), a notebook's, a test's."""
    program = f"import sys; sys.stdout = {stream}; import micrograd_jp as mg; mg.Value(1.0)"
    subprocess.run([sys.executable, "-c", program], check=True)


# ---- 近い文字 ----------------------------------------------------------------------------------


@functools.cache
def programs():
    """The files of the package (of the wheel, where it is what is tested) and the demos, read."""
    package = Path(columns.__file__).parent
    files = [*package.rglob("*.py"), *(ROOT / "demos").glob("*.py")]
    return [(path, [*ast.walk(ast.parse(path.read_text("utf-8")))]) for path in files]


@pytest.mark.slow
def test_every_sign_of_ours_has_a_spelling():
    """What is no Japanese is readable in ASCII: in strings of the package and of the demos."""
    signs = {
        c
        for _, nodes in programs()
        for node in nodes
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        for c in node.value
        if not c.isascii() and c.isprintable() and unicodedata.east_asian_width(c) not in "WF"
    }
    assert len(signs) > 60
    assert [c for c in signs if not columns.plain(c).isascii() or "?" in columns.plain(c)] == []


def test_spellings():
    assert "".join(map(columns.plain, "∂L/∂w₁ − ½x² → Δα")) == "dL/dw1 - 1/2x2 -> DELTAalpha"
    assert columns.plain("層") == "??"  # as wide as it is


# ---- ファイルの文字コード ----------------------------------------------------------------------


def test_no_text_file_is_opened_in_the_encoding_of_the_machine():
    careless = [
        f"{path.name}:{node.lineno}"
        for path, nodes in programs()
        for node in nodes
        if isinstance(node, ast.Call) and _opens_text(node)
    ]
    assert careless == []


def _opens_text(call):
    name = getattr(call.func, "attr", getattr(call.func, "id", ""))
    given = [*call.args, *(k.value for k in call.keywords)]
    words = [x.value for x in given if isinstance(x, ast.Constant) and isinstance(x.value, str)]
    named = {k.arg for k in call.keywords}
    if name == "open" and isinstance(call.func, ast.Name):
        return "encoding" not in named and not any("b" in mode for mode in words[-1:])
    text = {"read_text": 0, "write_text": 1}
    return name in text and "encoding" not in named and len(call.args) <= text[name]
