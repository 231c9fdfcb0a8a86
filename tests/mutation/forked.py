"""A copy of the tree, and children that test it, with all but this package already imported."""

import compileall
import contextlib
import gc
import json
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from pathlib import Path

ROOT = Path(__file__).parents[2]
COPIED = ["micrograd_jp", "tests", "demos", "pyproject.toml", "README.md", "LICENSE"]
MEMORY = 6 << 30
WALL = 12  # seconds a second of computing may take where the machine is shared


def preload() -> None:
    """What every child would import again."""
    os.environ |= {"CI": "1", "MPLBACKEND": "Agg", "OMP_NUM_THREADS": "1"}
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    for name in "numpy pytest hypothesis torch jax matplotlib llvmlite safetensors".split():
        with contextlib.suppress(ImportError):
            __import__(name)
    gc.collect()
    gc.freeze()  # pytest collects garbage again and again: not among all of this
    warnings.filterwarnings("ignore", message=".*fork", category=RuntimeWarning)  # jax, unused here


def copy() -> Path:
    """The tree of this moment, somewhere else; compiled, and never compiled again."""
    tree = Path(tempfile.mkdtemp(prefix="mutants-"))
    for name in COPIED:
        ignore = shutil.ignore_patterns("__pycache__", "figures", "mutation")
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, tree / name, ignore=ignore)
        else:
            shutil.copy(ROOT / name, tree / name)
    for name in ("micrograd_jp", "tests"):
        compileall.compile_dir(tree / name, quiet=1)
    return tree


def child(tree: Path, work, seconds: float):
    """What `work()` gives in a child in `tree`, or None where it died or took too long."""
    answer = tree / "answer.json"
    answer.unlink(missing_ok=True)
    pid = os.fork()
    if pid == 0:
        try:
            _enter(tree, seconds)
            answer.write_text(json.dumps(work()))
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            os._exit(0)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.setpgid(pid, pid)
    until = time.monotonic() + WALL * seconds
    while os.waitpid(pid, os.WNOHANG) == (0, 0):
        if time.monotonic() > until:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            return None
        time.sleep(0.02)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)  # what it left running
    return json.loads(answer.read_text()) if answer.exists() else None


def spread(items: list, jobs: int, work) -> None:
    """`work(some of the items)` in each of `jobs` processes."""
    workers = []
    for i in range(min(jobs, len(items))):
        pid = os.fork()
        if pid == 0:
            try:
                work(items[i::jobs])
            except BaseException:
                traceback.print_exc()
                os._exit(1)
            os._exit(0)
        workers.append(pid)
    for pid in workers:
        if os.waitpid(pid, 0)[1]:
            raise RuntimeError(f"process {pid} died")


def _enter(tree: Path, seconds: float) -> None:
    with contextlib.suppress(PermissionError):
        os.setpgid(0, 0)
    resource.setrlimit(resource.RLIMIT_CPU, (int(seconds) + 1, int(seconds) + 2))
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    os.chdir(tree)
    os.environ |= {"PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "mutants"}
    os.environ |= {"XDG_CACHE_HOME": str(tree / "cache"), "TMPDIR": str(tree)}
    tempfile.tempdir = None
    sys.dont_write_bytecode = True
    sys.path.insert(0, str(tree))
    out = os.open(tree / "output.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(out, 1)
    os.dup2(out, 2)
