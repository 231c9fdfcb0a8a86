"""What one process has compiled, the next one reads; what is damaged is made again."""

import random
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import micrograd_jp as mg
from micrograd_jp import nn
from micrograd_jp.compiler import pipeline, remembered
from micrograd_jp.compiler.lift import lift
from micrograd_jp.compiler.machine import machine
from micrograd_jp.native import machine_code
from micrograd_jp.ops.primitive import Elementwise

pytest.importorskip("llvmlite", reason="機械語には llvmlite (extra fast) が要る")


@pytest.fixture
def folder(monkeypatch, tmp_path):
    monkeypatch.setenv("MICROGRAD_JP_KERNELS", str(tmp_path))
    monkeypatch.setenv("MICROGRAD_JP_REMEMBER", "1")
    monkeypatch.setattr(pipeline, "MANY", 0)
    machine_code.addresses.cache_clear()
    return tmp_path


@pytest.fixture
def made(monkeypatch):
    """What has been made, and not only read: matrices found, machine code written."""
    found = []

    def noting(where, name):
        real = getattr(where, name)
        monkeypatch.setattr(where, name, lambda *args: (found.append(name), real(*args))[1])

    noting(pipeline, "lifted")
    noting(machine.Machine, "forward")
    noting(machine.Machine, "backward")
    return found


def answers(n=1, executor="native"):
    random.seed(0)
    model = nn.MLP(5, [7, 2])
    f = mg.compile(lambda x: mg.logsumexp(model(x)), dtype=np.float64, executor=executor)
    x = mg.tensor(np.random.default_rng(0).standard_normal((n, 5)), requires_grad=True)
    values = f(x.detach())
    f.backward()  # of the parameters; then of the inputs, too
    first = [p.grad.tolist() for p in f.parameters()]
    f.zero_grad()
    f(x).sum().backward()
    return values.tolist(), first, x.grad.tolist(), [p.grad.tolist() for p in f.parameters()]


def test_what_is_remembered_is_not_made_again(folder, made):
    first = answers()
    assert made == ["lifted", "forward", "backward", "backward"]
    made.clear()
    assert answers() == first
    assert made == []
    answers(n=40)  # in blocks of samples: other machine code of the same program
    assert made == ["forward", "backward", "backward"]


def test_what_was_only_read_is_written_again_where_more_is_needed(folder, made):
    """The places of numbers grow in the order in which the code is written."""
    first = answers()
    for path in folder.iterdir():  # the code for the inputs came last
        if path.stat().st_mtime_ns == max(p.stat().st_mtime_ns for p in folder.iterdir()):
            path.unlink()
    made.clear()
    assert answers() == first
    assert made == ["forward", "backward", "backward"]


@pytest.mark.slow
@given(st.data())
@settings(max_examples=3)
def test_whatever_is_damaged_is_made_again(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("kernels")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MICROGRAD_JP_KERNELS", str(folder))
        patch.setenv("MICROGRAD_JP_REMEMBER", "1")
        patch.setattr(pipeline, "MANY", 0)
        machine_code.addresses.cache_clear()
        first = answers()
        paths = sorted(folder.iterdir())
        assert {path.suffix for path in paths} == {".o", ".pickle"}
        for path in paths:
            content = bytearray(path.read_bytes())
            how = data.draw(st.sampled_from(["whole", "changed", "cut", "empty", "gone"]))
            at = data.draw(st.integers(0, len(content) - 1))
            content[at] ^= data.draw(st.integers(1, 255)) if how == "changed" else 0
            path.write_bytes(content[: {"cut": at, "empty": 0}.get(how, len(content))])
            if how == "gone":
                path.unlink()
        machine_code.addresses.cache_clear()
        assert answers() == first
        before = {path: path.read_bytes() for path in paths}
        machine_code.addresses.cache_clear()
        assert answers() == first  # and now all is whole
        assert all(path.read_bytes() == content for path, content in before.items())


def test_what_others_can_write_is_not_read(folder, made):
    first = answers()
    for path in folder.iterdir():
        path.chmod(0o666)
    made.clear()
    machine_code.addresses.cache_clear()
    assert answers() == first
    assert "lifted" in made and "forward" in made


def test_another_process_knows_the_same_names(folder):
    """Whatever was imported or compiled before."""
    program = (
        "import sys; sys.path.insert(0, sys.argv[1]); import micrograd_jp as mg\n"
        "mg.compile(lambda x: mg.tanh(x) * x)(2.0)\n"
        "import test_remembered as t; from micrograd_jp.compiler import pipeline\n"
        "pipeline.MANY = 0; print(t.answers(executor='lift')[0])"
    )
    here = str(answers(executor="lift")[0])
    names = {path.name for path in folder.iterdir()}
    done = subprocess.run(
        [sys.executable, "-c", program, __file__.rpartition("/")[0]],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.strip() == here
    new = {path.name for path in folder.iterdir()} - names
    assert len(new) <= 2  # of the small function


def test_operations_of_the_user_are_not_remembered(folder):
    """Their formulas may be others in the next process."""
    double = Elementwise("double_of_tests", "2x", "", lambda m, x: x + x, (lambda m, z, x: 2,))
    for op in double, Elementwise("double_of_tests", "3x", "", lambda m, x: x + x + x, (None,)):
        assert remembered.named("program", [op]) == ""
    assert remembered.named("program", [lift]) == ""


def test_what_differs_has_another_name(folder, monkeypatch):
    a = np.arange(6.0)
    every = [
        (a,), (a[::-1],), (a.reshape(2, 3),), (a.astype(np.float32),), (a, a), ([a, a],),
        (list(a),), ("a",), (None,), (0,), (0.0,), (-0.0,), (False,), ({1: "x"},), ({1: "y"},),
    ]  # fmt: skip
    names = [remembered.named("kind", *parts) for parts in every]
    assert len({*names, remembered.named("other kind", a)}) == len(every) + 1
    assert remembered.named("kind", a.copy()[::-1][::-1]) == names[0]
    monkeypatch.setenv("MICROGRAD_JP_REMEMBER", "0")
    assert remembered.named("kind", a) == ""
