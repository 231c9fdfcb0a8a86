"""Machine code: exp and log to the last digits everywhere, and the cache on disk."""

import ctypes
import os
import subprocess
import sys

import numpy as np
import pytest

from micrograd_jp.compiler.table import codes
from micrograd_jp.compiler.tape import kernel
from micrograd_jp.native import machine_code as native
from micrograd_jp.native.expressions import Code
from micrograd_jp.native.math import FORMATS, LIBRARY, Native
from micrograd_jp.ops.primitive import Elementwise, elementwise_primitives

pytest.importorskip("llvmlite", reason="machine code needs llvmlite (extra fast)")

INLINED = ("exp", "expm1", "log", "log1p", "tanh", "sqrt", "abs", "sign", "floor")


def run_unary(name, x, lanes=16):
    """Values of one elementwise operation, one instruction for each row of lanes."""
    dtype = x.dtype.name
    number = list(kernel.forward_branches()).index(name) + kernel.STOP + 1
    rows = -(-x.size // lanes)
    raw = np.zeros(3 * rows * lanes * x.itemsize + 64, np.uint8)
    start = -raw.ctypes.data % 64
    v = raw[start : start + 3 * rows * lanes * x.itemsize].view(x.dtype).reshape(-1, lanes)
    v[:rows].reshape(-1)[: x.size] = x
    outs = rows + 2 * np.arange(rows)  # beside each value there is room for its derivative
    code = np.column_stack([np.full(rows, number), outs, np.arange(rows)]).reshape(-1)
    code = np.append(code, kernel.STOP).astype(np.uint32)
    forward, _ = kernel.kernels(dtype, lanes)
    address = v.ctypes.data
    library = ctypes.addressof(kernel.library())
    assert forward(code.ctypes.data, address, address, library) == 0
    return v[outs].reshape(-1)[: x.size].copy()


def numbers(dtype):
    """Bit patterns of every kind, the interesting ranges densely, and the special numbers."""
    rng = np.random.default_rng(0)
    width = np.dtype(dtype).itemsize
    any_bits = rng.integers(0, 256, 100_000 * width, dtype=np.uint8).view(dtype)
    low, high = (-110, 95) if width == 4 else (-750, 715)
    special = [0.0, -0.0, np.inf, -np.inf, np.nan, 1, -1, np.finfo(dtype).tiny, np.finfo(dtype).max]
    denormal = np.array([1, 2, 12345], f"u{width}").view(dtype)
    return np.concatenate(
        [any_bits, np.linspace(low, high, 100_000, dtype=dtype), denormal, -denormal,
         rng.uniform(-1, 1, 100_000).astype(dtype), np.array(special, dtype)]
    )  # fmt: skip


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", INLINED)
def test_inlined_functions_are_exact_to_three_units_in_the_last_place(name, dtype):
    x = numbers(dtype)
    with np.errstate(all="ignore"):
        exact = getattr(np, name)(x.astype(np.longdouble))
        rounded = exact.astype(dtype)
        got = run_unary(name, x)
        unit = np.spacing(np.abs(rounded)).astype(np.longdouble)
        error = np.abs(got.astype(np.longdouble) - exact) / unit
    same = (got == rounded) | (np.isnan(got) & np.isnan(rounded))
    worst = np.where(same, 0, error)
    assert not np.isnan(worst).any() and worst.max() <= 3, (x[np.argmax(worst)], worst.max())
    signs = np.signbit(got) == np.signbit(rounded)
    assert (signs | np.isnan(rounded)).all()


@pytest.mark.parametrize("name", sorted(set(LIBRARY) - {"pow"}))
def test_library_functions_in_both_types(name):
    x = np.linspace(-3, 3, 1001)
    with np.errstate(all="ignore"):
        wanted = run_unary(name, x)
        got = run_unary(name, x.astype(np.float32))
    inside = np.abs(np.gradient(wanted, x)) < 50  # there a rounded x makes no great difference
    np.testing.assert_allclose(got[inside], wanted[inside], rtol=1e-5, atol=1e-5)


def test_every_declared_operation_has_machine_code():
    declared = {op.name for op in elementwise_primitives()}
    assert declared <= set(kernel.forward_branches())


def test_what_is_declared_later_leaves_the_kernel_of_other_tapes_alone():
    one = Elementwise("doubled_later", "2×", "", lambda m, x: x * 2.0, (lambda m, z, x: 2.0,))
    number = codes.code_of(one)
    first, all_ = kernel.forward_branches(codes.KNOWN), kernel.forward_branches()
    assert list(all_)[: len(first)] == list(first)  # the numbers are the same
    assert kernel.enough({"tanh", "dot"}) == codes.KNOWN <= number
    assert kernel.enough({"tanh", codes.name_of(number)}) > number


def test_an_operation_that_calls_something_unknown_has_none():
    op = Elementwise("w", "w", "", lambda m, x: m.lambert_w(x), (lambda m, z, x: z,))
    assert kernel.calls(op) == (np.inf, np.inf)


@pytest.mark.parametrize("kind", FORMATS)
def test_the_same_expression_is_written_once(kind):
    code = Code()
    m = Native(code, kind, 4)
    x = code.number(kind, 4, "%x")
    m.exp(x) + m.exp(x)
    assert sum("fadd" in line for line in code.lines) == sum(
        "fadd" in line for line in dict.fromkeys(line.split("=")[1] for line in code.lines)
    )


# ---- 覚え書き --------------------------------------------------------------------------------

_PROGRAM = """
import os, sys
before = os.environ.get("BEFORE", "")
exec(before)
import numpy as np
import micrograd_jp as mg
assert "llvmlite" not in sys.modules and "numba" not in sys.modules
from micrograd_jp.native import machine_code as native
compiled = []
was = native._compiled
native._compiled = lambda *args: compiled.append(1) or was(*args)
"""
# One kernel each. That of the tape is as long as the table of operations.
_KERNELS = {
    "relu": """
print(mg.relu(mg.ones(1 << 16))[:1].tolist(), len(compiled), "numba" in sys.modules)
""",
    "tape": """
f = mg.compile(lambda x: mg.tanh(x) * x, executor="tape", dtype=np.float64)
print(f(np.array([0.5])).tolist(), len(compiled), "numba" in sys.modules)
""",
}


def run_program(folder, before="", name="relu"):
    environment = {**os.environ, "MICROGRAD_JP_KERNELS": str(folder), "BEFORE": before}
    program = [sys.executable, "-c", _PROGRAM + _KERNELS[name]]
    done = subprocess.run(program, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout.split("] ")[1].split()


@pytest.mark.parametrize("name", ["relu", pytest.param("tape", marks=pytest.mark.slow)])
def test_another_process_finds_the_machine_code(tmp_path, name):
    assert run_program(tmp_path, name=name) == ["1", "False"]
    [file] = tmp_path.iterdir()
    assert run_program(tmp_path, name=name) == ["0", "False"]
    whole = file.read_bytes()
    file.write_bytes(whole[:-1] + b"?")  # broken: compiled again, and repaired
    assert run_program(tmp_path, name=name) == ["1", "False"]
    assert len(file.read_bytes()) == len(whole)
    assert run_program(tmp_path, name=name) == ["0", "False"]


def test_a_folder_that_cannot_be_written_is_no_error(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    assert run_program(blocked) == ["1", "False"]


posix = pytest.mark.skipif(os.name != "posix", reason="POSIX の権限")


@posix
@pytest.mark.parametrize("mode", [0o602, pytest.param(0o620, marks=pytest.mark.slow)])
def test_what_others_can_write_is_not_executed(mode, tmp_path):
    """In a shared folder: what everybody can write, and the group."""
    assert run_program(tmp_path) == ["1", "False"]
    [file] = tmp_path.iterdir()
    assert file.stat().st_mode & 0o777 == 0o600
    file.chmod(mode)
    assert run_program(tmp_path) == ["1", "False"]
    assert file.stat().st_mode & 0o777 == 0o600


@pytest.mark.slow
@posix
def test_what_is_of_somebody_else_or_no_file_is_not_executed(tmp_path):
    assert run_program(tmp_path) == ["1", "False"]
    [file] = tmp_path.iterdir()
    if os.geteuid() == 0:  # a file of somebody else
        os.chown(file, 12345, -1)
        assert run_program(tmp_path) == ["1", "False"]
        assert file.stat().st_uid == 0
    else:
        before = f"os.geteuid = lambda: {os.geteuid() + 1}"
        assert run_program(tmp_path, before) == ["1", "False"]
    file.unlink()
    os.mkfifo(file)  # would be waited for without end
    assert run_program(tmp_path) == ["1", "False"]
    assert run_program(tmp_path) == ["0", "False"]


_NO_HOME = """
import pwd
for name in ("HOME", "XDG_CACHE_HOME", "MICROGRAD_JP_KERNELS"): os.environ.pop(name, None)
def getpwuid(uid): raise KeyError(uid)
pwd.getpwuid = getpwuid
"""
_FULL = """
import resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
"""


@posix
def test_without_a_home_and_on_a_full_disk_it_is_compiled_and_nothing_is_left(tmp_path):
    assert run_program(tmp_path, _NO_HOME) == ["1", "False"]
    assert run_program(tmp_path, _FULL) == ["1", "False"]
    assert not list(tmp_path.iterdir())


def test_the_folder_can_be_chosen(monkeypatch, tmp_path):
    monkeypatch.setenv("MICROGRAD_JP_KERNELS", str(tmp_path / "here"))
    assert native.folder() == tmp_path / "here"
    monkeypatch.delenv("MICROGRAD_JP_KERNELS")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert native.folder() == tmp_path / "micrograd_jp" / "kernels"
