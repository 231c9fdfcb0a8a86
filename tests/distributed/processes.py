"""プログラムを いくつかのプロセスで動かす。"""

import os
import socket
import subprocess
import sys
import textwrap
from pathlib import Path

ROOT = Path(__file__).parents[2]
# Starting takes seconds, minutes on a crowded machine; a hang ends by itself much earlier.
LIMIT = 240


def environment(**variables):
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("JAX_", "XLA_", "OMP_"))}
    names = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
    kept = {k: v for k, v in kept.items() if k not in names}
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests" / "distributed")])
    kept["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "")  # how long it compiles: see conftest
    return {**kept, "PYTHONPATH": path, "PYTHONIOENCODING": "utf-8", **variables}


def written(folder, source, name="program.py"):
    path = Path(folder) / name
    path.write_text(textwrap.dedent(source), encoding="utf-8")
    return path


def command(program, *arguments, options=()):
    return [sys.executable, "-m", "micrograd_jp.launch", *options, str(program), *arguments]


def launch(program, *arguments, options=(), **variables):
    """プログラムを launch で最後まで動かす。"""
    return subprocess.run(
        command(program, *arguments, options=options), env=environment(**variables),
        capture_output=True, encoding="utf-8", timeout=LIMIT, check=False,
    )  # fmt: skip


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]
