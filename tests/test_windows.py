"""Windows のための道: Windows のふりをしたプロセス (as_on_windows.py) で、最後まで動く。"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from micrograd_jp import files

ROOT = Path(__file__).parents[1]
ENV = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{Path(__file__).parent}"}
pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="/proc と flock で Windows のふりをする"
)

# What is not ours is imported as it is here.
OTHERS = """
import ctypes.util, hashlib, logging, random, shutil, subprocess, tempfile, urllib.request
import numpy as np
for name in ("llvmlite.binding", "matplotlib.pyplot", "graphviz", "safetensors.numpy"):
    try: __import__(name)
    except ImportError: pass
"""
START = """
import os, sys
from pathlib import Path
import as_on_windows
as_on_windows.pretend()
import micrograd_jp as mg
from micrograd_jp import files
"""


def run(program, *arguments, code=0):
    done = subprocess.run(
        [sys.executable, "-Xwarn_default_encoding", "-Wignore::EncodingWarning", "-c", program,
         *arguments],
        capture_output=True, text=True, timeout=300,
        env=ENV,
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    return done.stdout + done.stderr


EVERYTHING = """
import importlib, pkgutil
for found in pkgutil.walk_packages(mg.__path__, "micrograd_jp."):
    if not found.name.endswith("__main__"):
        try: importlib.import_module(found.name)
        except ImportError as error: assert "missing dependency" in str(error), error
folder = Path(sys.argv[1])
x = np.random.default_rng(0).normal(size=(12, 2)).astype("f4")
loader = mg.data.DataLoader(
    mg.data.TensorDataset(x, (x[:, 0] > 0).astype("i8")), 4, shuffle=True, prefetch=2)
for suffix in (".npz", ".safetensors"):
    if suffix == ".safetensors" and "safetensors" not in sys.modules: continue
    whole = folder / f"whole{suffix}"
    histories = []
    for path, epochs in ((None, (3,)), (folder / f"run{suffix}", (1, 3))):
        for n in epochs:
            mg.manual_seed(0)
            model = mg.nn.Sequential(mg.nn.Linear(2, 4), mg.nn.ReLU(), mg.nn.Linear(4, 2))
            optimizer = mg.optim.Adam(model.parameters(), lr=0.1)
            history = mg.fit(model, loader if path else list(loader), mg.cross_entropy, optimizer,
                             n, checkpoint=path, progress=False)
    assert history.updates == 9 and history.losses[-1] < history.losses[0]
    mg.save(model.state_dict(), whole)
    model.load_state_dict(mg.load(whole))
    assert sorted(p.name for p in folder.glob("*" + suffix)) == [f"run{suffix}", f"whole{suffix}"]
assert not [p for p in folder.iterdir() if p.name.startswith(".")], "neither temporaries nor locks"
@mg.compile
def f(a, b):
    return (a * b).tanh() + mg.exp(a / b)
f(x[:, 0], x[:, 1] + 9.0)
v = mg.Value(2.0); (v * v).backward(); assert v.grad == 4.0
print("done")
"""


@pytest.mark.slow
def test_everything_runs_without_what_windows_lacks(tmp_path):
    assert run(OTHERS + START + EVERYTHING, str(tmp_path)).strip().endswith("done")


LOCK = """
path = Path(sys.argv[1])
with files.only_writer(path):
    try:
        with files.only_writer(path): raise SystemExit("two writers")
    except BlockingIOError as error:
        assert f"プロセス {os.getpid()} " in str(error), error
    assert len(as_on_windows.locked) == 1
    files.write_atomically(path, b"1")
assert not as_on_windows.locked and os.listdir(path.parent) == [path.name]
with files.only_writer(path): pass
assert as_on_windows.blocked == [], "what was open was to be removed"
"""


def test_the_lock(tmp_path):
    run(START + LOCK, str(tmp_path / "run.npz"))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("os.lseek(file, _FAR, os.SEEK_SET)", "0", "Permission denied"),
        ('if sys.platform == "win32":  # where nothing open', "if False:  #", "Assertion"),
        ('if sys.platform != "win32":  # the new', "if True:  #", "Permission denied"),
    ],
)
def test_a_lock_that_forgets_where_it_is_would_be_noticed(old, new, said, tmp_path):
    """The negative control: what holds on POSIX, or does not, is another thing here."""
    source = Path(files.__file__).read_text(encoding="utf-8")
    assert source.count(old) == 1
    changed = f"""
import types
changed = types.ModuleType("changed")
exec({source.replace(old, new)!r}, vars(changed))
files = changed
"""
    assert said in run(START + changed + LOCK, str(tmp_path / "run.npz"), code=1)


OTHER = """
with files.only_writer(Path(sys.argv[1])):
    print("locked", flush=True)
    sys.stdin.readline()
"""


def test_another_process_is_named_and_when_it_is_killed_nothing_is_left(tmp_path):
    path = tmp_path / "run.npz"
    other = subprocess.Popen(
        [sys.executable, "-c", START + OTHER, str(path)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env=ENV,
    )  # fmt: skip
    try:
        assert other.stdout.readline() == "locked\n"
        asked = f"""
try:
    with files.only_writer(Path(sys.argv[1])): pass
except BlockingIOError as error: print(error)
assert files._is_alive({other.pid})
"""
        assert f"プロセス {other.pid} " in run(START + asked, str(path))
    finally:
        other.kill()
        other.communicate()
    run(f"{START}assert not files._is_alive({other.pid})\n{LOCK}", str(path))


READ = """
path = Path(sys.argv[1])
files.write_atomically(path, b"old")
reader = path.open("rb")
waits = []
def wait(seconds):
    waits.append(seconds)
    if len(waits) == int(sys.argv[2]): reader.close()
files.time.sleep = wait
try: files.write_atomically(path, b"new")
except PermissionError as error:
    assert str(path) in str(error)
    print("refused")
reader.close()
assert os.listdir(path.parent) == [path.name]
print(path.read_bytes().decode(), len(waits))
"""


@pytest.mark.parametrize(("closes", "ends"), [(2, "new 2"), (99, "refused\nold 4")])
def test_a_reader_has_time_to_close_the_file(closes, ends, tmp_path):
    assert run(START + READ, str(tmp_path / "a"), str(closes)).strip() == ends
