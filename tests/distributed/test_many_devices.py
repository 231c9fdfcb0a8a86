"""1 つのプロセスの 8 つの装置: 分けた配列でも、1 つの装置と同じ答え。使えない置き方は文で断る。"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from processes import LIMIT, environment

FLAGS = os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=8"


@pytest.mark.slow
def test_eight_devices_compute_what_one_does():
    pytest.importorskip("jax", reason="extra の accel")
    program = Path(__file__).with_name("many_devices.py")
    done = subprocess.run(
        [sys.executable, str(program)], capture_output=True, encoding="utf-8",
        env=environment(XLA_FLAGS=FLAGS, JAX_PLATFORMS="cpu"),
        timeout=LIMIT, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("all right\n")
