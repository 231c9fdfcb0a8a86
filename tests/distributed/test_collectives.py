"""`mg.distributed`: つながること、全員での計算、間違った使い方、止まった相手。"""

import datetime
import subprocess
import sys
import time

import numpy as np
import pytest
from processes import LIMIT, environment, free_port, launch, written

import micrograd_jp as mg

distributed = mg.distributed
posix = pytest.mark.skipif(sys.platform == "win32", reason="シグナルは POSIX のもの")


@pytest.fixture(autouse=True)
def alone(monkeypatch):
    for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)


def test_alone_nothing_happens_and_nothing_is_needed(monkeypatch):
    monkeypatch.setitem(sys.modules, "jax", None)
    distributed.init_process_group()
    assert (distributed.get_rank(), distributed.get_world_size()) == (0, 1)
    assert not distributed.is_initialized()
    x = mg.tensor([1.0, 2.0])
    assert distributed.all_reduce(x, "mean") is x and x.tolist() == [1, 2]
    assert distributed.broadcast(x) is x
    assert distributed.all_reduce(3, "max") == 3
    distributed.barrier()
    distributed.destroy_process_group()


@pytest.mark.parametrize(
    ("call", "kind", "sentence"),
    [
        (lambda d: d.init_process_group("mpi"), ValueError, "unknown backend"),
        (lambda d: d.init_process_group(timeout=0), ValueError, "invalid timeout"),
        (lambda d: d.init_process_group(rank=2, world_size=2), ValueError, "invalid rank"),
        (lambda d: d.init_process_group(rank=0, world_size=2), ValueError, "invalid address"),
        (
            lambda d: d.init_process_group(init_method="tcp://host", rank=0, world_size=2),
            ValueError, "invalid address",
        ),
        (lambda d: d.all_reduce(1.0, "product"), ValueError, "unknown operation"),
        (lambda d: d.all_reduce(np.ones(2, np.int64), "mean"), ValueError, "mean of integers"),
        (lambda d: d.all_reduce("x"), TypeError, "expected a tensor"),
        (lambda d: d.all_reduce(mg.ones(2, requires_grad=True) * 2), ValueError, "break the graph"),
        (lambda d: d.broadcast(1.0, src=1), ValueError, "no such process"),
    ],
)  # fmt: skip
def test_bad_arguments(call, kind, sentence):
    with pytest.raises(kind, match=sentence):
        call(distributed)


def test_one_of_two_without_what_it_needs(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    for call in (distributed.get_rank, distributed.get_world_size, distributed.barrier):
        with pytest.raises(RuntimeError, match="is not initialized"):
            call()
    monkeypatch.setenv("RANK", "one")
    with pytest.raises(ValueError, match="invalid environment"):
        distributed.init_process_group()
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("MASTER_PORT", "29500")
    monkeypatch.setitem(sys.modules, "jax", None)
    with pytest.raises(ImportError, match=r"micrograd_jp\[accel\]"):
        distributed.init_process_group(timeout=datetime.timedelta(seconds=5))


TOGETHER = """
    import numpy as np
    import micrograd_jp as mg
    d = mg.distributed
    d.init_process_group()
    rank, bits = d.get_rank(), lambda x: np.asarray(x.data).tobytes()
    assert d.is_initialized() and d.get_world_size() == 2
    x = mg.tensor([1.0, 2.0, float(rank)])
    assert d.all_reduce(x) is x and x.tolist() == [2, 4, 1]
    assert (d.all_reduce(rank + 1, "max"), d.all_reduce(rank, "min")) == (2, 0)
    assert d.all_reduce(0.5 * rank, "mean") == 0.25 and d.all_reduce(2**40 + rank) == 2**41 + 1
    # The largest half twice: the sum overflows, the mean does not.
    assert d.all_reduce(mg.tensor(np.full(2, 65504, np.float16)), "mean").tolist() == [65504] * 2
    for dtype in ("float64", "complex128", "float32"):
        a = np.array([1 / 3, -0.0, rank + 1e-9]).astype(dtype)
        b = d.all_reduce(a)
        assert b is a and b.dtype == dtype and b[0] == 2 * np.asarray(1 / 3).astype(dtype)
    given = np.array([[np.nan, -0.0, 1e-310], [rank, 3.0, np.inf]])
    kept = np.where(np.arange(2)[:, None] == 1, np.array([1.0, 3.0, np.inf]), given)
    d.broadcast(given, src=1)
    assert given.tobytes() == kept.tobytes()
    assert d.broadcast(np.array([rank == 1, True]), 1).tolist() == [True, True]
    assert d.broadcast(7.5 - rank) == 7.5
    z = d.all_reduce(np.array([complex(rank, np.inf), 1j]))
    assert z[0] == complex(1, np.inf) and z[1] == 2j
    import jax.numpy as jnp
    z = mg.Tensor(jnp.full(3, float(rank)))
    d.all_reduce(z)
    assert isinstance(z._data, jnp.ndarray) and z.tolist() == [1, 1, 1] and repr(z)
    d.barrier()
    print("agreed", flush=True)
    d.all_reduce(np.ones(3 + rank))
"""


def test_two_processes_reckon_together_and_a_difference_is_said_in_both(tmp_path):
    pytest.importorskip("jax", reason="extra の accel")
    done = launch(written(tmp_path, TOGETHER))
    assert done.stdout.count("agreed") == 2, done.stderr
    for k in range(2):
        last = [line for line in done.stderr.splitlines() if line.startswith(f"[{k}]")][-1]
        assert "mismatch between processes" in last and "sum, (4,), float64" in last
    assert done.returncode == 1
    assert "Gloo" not in done.stdout + done.stderr


def alone_in_a_world_of_two(tmp_path, source, **variables):
    pytest.importorskip("jax", reason="extra の accel")
    variables = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500", **variables}
    return subprocess.run(
        [sys.executable, str(written(tmp_path, source))], env=environment(**variables),
        capture_output=True, encoding="utf-8", timeout=LIMIT, check=False,
    )  # fmt: skip


def test_init_after_an_array_exists(tmp_path):
    source = """
        import jax.numpy as jnp
        x = jnp.ones(3)
        import micrograd_jp as mg
        mg.distributed.init_process_group()
    """
    done = alone_in_a_world_of_two(tmp_path, source, RANK="0")
    assert done.returncode == 1 and "JAX is already in use" in done.stderr.splitlines()[-1]


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
def test_an_address_where_nobody_is(tmp_path, rank):
    source = """
        import micrograd_jp as mg
        mg.distributed.init_process_group(timeout=2)
    """
    port = str(free_port())
    done = alone_in_a_world_of_two(tmp_path, source, RANK=str(rank), MASTER_PORT=port)
    assert done.returncode == 1
    assert f"127.0.0.1:{port}" in done.stderr and "timeout" in done.stderr.splitlines()[-1]


GONE = """
    import os, signal, sys, time
    import micrograd_jp as mg
    d = mg.distributed
    d.init_process_group(timeout=20)
    how, who = sys.argv[1], int(sys.argv[2])
    d.barrier()
    began = time.monotonic()
    if d.get_rank() == who:
        print("pid", os.getpid(), flush=True)
        if how == "SIGKILL": os.kill(os.getpid(), signal.SIGKILL)
        if how in ("SIGSTOP", "elsewhere"): os.kill(os.getpid(), signal.SIGSTOP)
        if how == "error": raise ValueError("mine")
        if how == "exit": sys.exit(0)
        if how == "late": time.sleep(60)
    if how == "elsewhere": time.sleep(60)
    try:
        d.barrier()
    except d.DistributedError as error:
        print("after", time.monotonic() - began, str(error), flush=True)
        raise
    finally:
        print("finally", flush=True)
"""


@posix
@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "who", "limit", "sentence"),
    [
        ("SIGKILL", 1, 2, "connection lost"),
        ("error", 1, 2, "connection lost"),
        ("exit", 1, 6, "process 1 has already exited"),
        ("SIGSTOP", 1, 22, "process 1 does not respond"),
        ("SIGSTOP", 0, 22, "process 0 does not respond"),
        ("late", 1, 24, "timeout"),
    ],
)
def test_whoever_waits_for_one_that_is_gone_hears_it(tmp_path, how, who, limit, sentence):
    pytest.importorskip("jax", reason="extra の accel")
    began = time.monotonic()
    done = launch(written(tmp_path, GONE), how, str(who))
    heard = [line for line in done.stdout.splitlines() if "after" in line]
    assert len(heard) == 1 and sentence in heard[0], done.stdout + done.stderr
    assert float(heard[0].split()[2]) < limit
    assert f"[{1 - who}] finally" in done.stdout
    assert done.returncode and time.monotonic() - began < 60
    assert "coordination_service" not in done.stderr and "Check failure" not in done.stderr


@posix
@pytest.mark.slow
def test_whoever_is_elsewhere_is_ended_with_a_sentence(tmp_path):
    pytest.importorskip("jax", reason="extra の accel")
    done = launch(written(tmp_path, GONE), "elsewhere", "1")
    assert done.returncode == 1
    assert "[0] DistributedError: プロセス 1 が" in done.stderr
