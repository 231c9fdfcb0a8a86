"""プロセスの組 (process group): 何個のプロセスの何番目か。始め方と終え方。"""

from __future__ import annotations

import atexit
import datetime
import os
import sys
import tempfile
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np

from micrograd_jp.arguments import explain_all
from micrograd_jp.distributed.mesh import Mesh
from micrograd_jp.distributed.pulse import Pulse
from micrograd_jp.distributed.talk import DistributedError, Talk
from micrograd_jp.environment import processes, require, require_joined

# What the launchers set that JAX knows by itself.
_CLUSTERS = ("SLURM_NTASKS", "OMPI_MCA_orte_hnp_uri", "PMIX_NAMESPACE", "TPU_WORKER_HOSTNAMES")
_PATIENCE = 14  # seconds until a silent process is taken for stopped
_HEARTBEAT = 24  # and until JAX takes it for that, which ends every process without an exception


class _Group:
    """The one group of this process."""

    mesh: Mesh | None = None
    talk: Talk | None = None
    ended = False


group = _Group()


def init_process_group(
    backend: str | None = None,
    *,
    init_method: str | None = None,
    rank: int | None = None,
    world_size: int | None = None,
    timeout: float | datetime.timedelta = 600.0,
) -> None:
    """ほかのプロセスとつながる。プログラムのはじめ、JAX の配列を作る前に、どのプロセスでも呼ぶ。

    番号とアドレスは、引数、環境変数 RANK、WORLD_SIZE、MASTER_ADDR、MASTER_PORT
    （`python -m micrograd_jp.launch` や torchrun が決める）、JAX の自動検出（SLURM、Open MPI、
    TPU など）の順に探す。どれもなければ 1 つだけで動き、何もしない。

    Args:
        backend: `"gloo"` なら CPU、`"nccl"` なら GPU で計算する。`None` なら JAX の選ぶもの。
        init_method: `"tcp://計算機:ポート"`（プロセス 0 のアドレス）か `"env://"`。
        rank: このプロセスの番号。0 から。
        world_size: プロセスの数。
        timeout: 全員がそろうのを待つ秒数、1 つの通信を待つ秒数。

    Raises:
        ImportError: 2 つ以上のプロセスなのに、JAX がない。
        ValueError: 番号やアドレスが合わない。
        RuntimeError: もうつながっている。JAX がもう計算を始めている。
        DistributedError: `timeout` 秒のうちに全員がそろわない。
    """
    if backend not in (None, "gloo", "nccl"):
        raise ValueError(
            f'backend は "gloo" (CPU) か "nccl" (GPU) です (unknown backend): {backend!r}。'
        )
    seconds = timeout.total_seconds() if isinstance(timeout, datetime.timedelta) else timeout
    if not 1 <= seconds < 1e6:
        raise ValueError(f"timeout は 1 以上の秒数です (invalid timeout): {timeout!r}。")
    if group.talk is not None or group.ended:
        raise RuntimeError(
            "init_process_group は 1 つのプロセスで 1 度だけ呼びます (called twice): 2 度目の呼び"
            "出しを消してください。"
        )
    address, rank, count = _found(init_method, rank, world_size)
    if count == 1 or (address is None and not any(name in os.environ for name in _CLUSTERS)):
        return
    jax = require("jax", "accel")
    options: dict[str, Any] = {}
    if address is not None:
        options = {"coordinator_address": address, "num_processes": count, "process_id": rank}
        options["local_device_ids"] = _own_gpu()
    if backend is not None:
        jax.config.update("jax_platforms", "cpu" if backend == "gloo" else "cuda")
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.config.update("jax_enable_preemption_service", False)  # or nobody could SIGTERM us
    if any("_proxy" in name.lower() for name in os.environ):  # through which nobody finds a peer
        os.environ.setdefault("no_grpc_proxy", (address or "").rpartition(":")[0])
    if not _connected(jax, options, int(seconds)):
        return
    _begin(jax, seconds)


def _found(method: Any, rank: Any, count: Any) -> tuple[str | None, int, int]:
    """The address of process 0, our number, and how many there are."""
    variables = os.environ
    try:
        rank = int(variables.get("RANK", -1)) if rank is None else rank
        count = int(variables.get("WORLD_SIZE", -1)) if count is None else count
    except ValueError:
        raise ValueError(
            "環境変数 RANK と WORLD_SIZE は整数です (invalid environment): "
            f"RANK={variables.get('RANK')!r}、WORLD_SIZE={variables.get('WORLD_SIZE')!r}。"
        ) from None
    if (rank, count) == (-1, -1) and method is None:
        return None, 0, 0
    if not 0 <= rank < count:
        raise ValueError(
            f"rank は 0 以上 world_size 未満の整数です (invalid rank): rank={rank}、"
            f"world_size={count}。環境変数なら RANK と WORLD_SIZE の両方を決めてください。"
        )
    if method is None or method == "env://":
        host, port = variables.get("MASTER_ADDR", "127.0.0.1"), variables.get("MASTER_PORT", "")
        if variables.get("TORCHELASTIC_USE_AGENT_STORE") == "True" and port.isdigit():
            port = str(int(port) + 1)  # torchrun itself listens at the other
        method = f"tcp://{host}:{port}"
    scheme, _, address = method.partition("://")
    host, _, port = address.rpartition(":")
    if count > 1 and (scheme != "tcp" or not host or not port.isdigit() or int(port) > 65535):
        raise ValueError(
            f"プロセス 0 のアドレスが読めません (invalid address): {method!r}。環境変数 "
            "MASTER_ADDR と MASTER_PORT（1 から 65535）を決めるか、init_method="
            '"tcp://127.0.0.1:29500" のように'
            "書いてください。"
        )
    return address, rank, count


def _own_gpu() -> int | None:
    """The number of the one GPU of this process, where torchrun or our launcher gave numbers."""
    shared = os.environ.get("LOCAL_WORLD_SIZE", "1") != "1"
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if shared and (visible is None or "," in visible) and "LOCAL_RANK" in os.environ:
        return int(os.environ["LOCAL_RANK"])
    return None


def _connected(jax: Any, options: dict[str, Any], seconds: int) -> bool:
    """Whether there are others, and we are connected with them."""
    failures: list[Exception] = []

    def connect() -> None:
        try:
            with warnings.catch_warnings():
                if not options:  # whoever is alone need not hear what was looked for
                    warnings.simplefilter("ignore")
                jax.distributed.initialize(
                    **options,
                    initialization_timeout=seconds + 60,  # at which JAX would abort
                    heartbeat_timeout_seconds=_HEARTBEAT,
                    shutdown_timeout_seconds=seconds,
                )
        except Exception as error:
            failures.append(error)

    thread = threading.Thread(target=connect, daemon=True)
    thread.start()
    thread.join(seconds)
    if not thread.is_alive() and not failures:
        processes.rank, processes.count = int(_state().process_id), int(_state().num_processes)
        return processes.count > 1
    if failures and isinstance(failures[0], ValueError) and not options:
        return False  # JAX found nobody either
    text = str(failures[0]).splitlines()[0][:200] if failures else ""
    if "must be called before" in text:
        raise RuntimeError(
            "JAX がもう計算を始めています (JAX is already in use): mg.distributed."
            "init_process_group() は、JAX の配列を作ったり jax.devices() を呼んだりする前に、"
            "プログラムのはじめに書いてください。"
        )
    group.ended = True
    atexit.register(_leave_now)
    where = options.get("coordinator_address", "自動検出したアドレス")
    if text:
        raise DistributedError(f"{where} でつながれませんでした (cannot connect): {text}")
    raise DistributedError(
        f"{seconds} 秒のうちに、全員がつながりませんでした (timeout): プロセス 0 は {where} で"
        "待ちます。アドレス、プロセスの数、ファイアウォールを確かめてください。"
    )


def _state() -> Any:
    """JAX's own record: there is no public way to its table of keys."""
    from jax._src.distributed import global_state

    return global_state


def _begin(jax: Any, seconds: float) -> None:
    atexit.register(_at_exit)
    pulse = Pulse(_state().client, processes.rank, processes.count, _PATIENCE)
    group.talk = Talk(jax, pulse, seconds)

    def meet() -> Any:
        group.mesh = Mesh(jax)
        return group.mesh.combined(np.ones(1, np.float32), "sum")

    with _without_gloo_lines():
        group.talk(meet)


@contextmanager
def _without_gloo_lines() -> Iterator[None]:
    """Gloo prints a line for each process when they meet; anything else is printed afterwards."""
    with suppress(Exception):
        sys.stdout.flush()
        sys.stderr.flush()
    with tempfile.TemporaryFile() as caught:
        kept = {number: os.dup(number) for number in (1, 2)}
        try:
            for number in kept:
                os.dup2(caught.fileno(), number)
            yield
        finally:
            with suppress(Exception):
                sys.stdout.flush()
                sys.stderr.flush()
            for number, copy in kept.items():
                os.dup2(copy, number)
                os.close(copy)
            caught.seek(0)
            for line in caught:
                if not line.startswith(b"[Gloo] Rank"):
                    os.write(2, line)


def is_initialized() -> bool:
    """ほかのプロセスとつながっているか。1 つだけで動いているときは偽。"""
    return group.talk is not None


def get_rank() -> int:
    """このプロセスの番号。0 から。1 つだけで動いているときは 0。

    Raises:
        RuntimeError: いくつものプロセスの 1 つなのに、まだ `init_process_group()` を呼んでいない。
    """
    require_joined()
    return processes.rank


def get_world_size() -> int:
    """プロセスの数。1 つだけで動いているときは 1。

    Raises:
        RuntimeError: いくつものプロセスの 1 つなのに、まだ `init_process_group()` を呼んでいない。
    """
    require_joined()
    return processes.count


def destroy_process_group() -> None:
    """ほかのプロセスと別れる。全員が呼ぶまで待つ。プログラムの終わりには、自動で呼ばれる。

    このあと、もう一度つながることはできない。つながっていなければ、何もしない。
    """
    talk = group.talk
    if talk is None:
        return
    broken = talk.broken or talk.pulse.failure
    with suppress(Exception):
        talk.pulse.leave()
    if not broken:
        with suppress(Exception):
            talk.jax.distributed.shutdown()
    group.talk = None
    group.ended = True
    processes.rank, processes.count = 0, 1


def _at_exit() -> None:
    """JAX would wait at its exit for processes that are no more, and then abort."""
    if group.talk is None:
        return
    failed = group.talk.broken or group.talk.pulse.failure
    if failed or (getattr(sys, "last_value", None) is not None and not hasattr(sys, "ps1")):
        _leave_now()
    destroy_process_group()


def _leave_now() -> None:
    with suppress(Exception):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(1)


explain_all(globals())
