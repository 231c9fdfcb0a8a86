"""通信を 1 つのスレッドにさせ、待つ側は時間を区切って待つ。

JAX の通信は C++ の中で待つので、そこでは例外も Ctrl-C も受け取れない。待つのを Python の側にして
おけば、相手が止まったときに、文のある例外を出せる。
"""

from __future__ import annotations

import os
import queue
import threading
import time
from collections.abc import Callable
from typing import Any

from micrograd_jp.distributed.pulse import Pulse
from micrograd_jp.locks import Lock


class DistributedError(RuntimeError):
    """ほかのプロセスが終わった、止まった、または違うことをした。この仕事は、もう続けられない。"""


class _Job:
    def __init__(self, work: Callable[[], Any]) -> None:
        self.work, self.done = work, threading.Event()
        self.result: Any = None
        self.error: BaseException | None = None


class Talk:
    """通信するスレッド。

    Args:
        jax: モジュール。
        pulse: ほかのプロセスの様子。
        timeout: 1 つの通信を待つ秒数。
    """

    def __init__(self, jax: Any, pulse: Pulse, timeout: float) -> None:
        self.jax, self.pulse, self.timeout, self.process = jax, pulse, timeout, os.getpid()
        self.broken = ""  # why nothing can be said any more
        self._turn = Lock()
        self._jobs: queue.SimpleQueue[_Job] = queue.SimpleQueue()
        threading.Thread(target=self._work, name="micrograd_jp-talk", daemon=True).start()

    def _work(self) -> None:
        with self.jax.enable_x64(True):  # numbers of 64 bits stay what they are
            while True:
                job = self._jobs.get()
                try:
                    job.result = job.work()
                except BaseException as error:
                    job.error = error
                job.done.set()

    def __call__(self, work: Callable[[], Any]) -> Any:
        """`work()` を通信のスレッドで。

        Raises:
            DistributedError: ほかのプロセスが終わった、止まった、来ない。
        """
        if self.process != os.getpid():
            raise DistributedError(
                "fork した子のプロセスからは通信できません (a forked child is not in the process "
                "group): 通信は、親のプロセスでしてください。"
            )
        with self._turn:
            if self.broken:
                raise DistributedError(self.broken)
            job = _Job(work)
            self._jobs.put(job)
            try:
                self._wait(job)
            except BaseException as error:
                self.broken = str(error) or (
                    "通信の途中でやめたので、続けられません (a collective was interrupted)。"
                )
                raise
            if job.error is None:
                return job.result
            self.broken = _explained(job.error)
            raise DistributedError(self.broken) from None

    def _wait(self, job: _Job) -> None:
        began = time.monotonic()
        while not job.done.wait(0.5):
            waited = time.monotonic() - began
            if reason := self.pulse.failure or (self.pulse.gone if waited > 2 else ""):
                raise DistributedError(reason)
            if waited > self.timeout:
                raise DistributedError(
                    f"{waited:.0f} 秒待ちましたが、ほかのプロセスが同じ通信に来ません (timeout): "
                    "どのプロセスも、同じ順に、同じ回数だけ通信します。1 つのプロセスだけで "
                    "all_reduce、barrier、fit、distributed=True のデータの評価をしていないか確かめ"
                    "てください。長くかかる仕事なら init_process_group(timeout=秒) を大きくします。"
                )


def _explained(error: BaseException) -> str:
    text = str(error).splitlines()[0] if str(error) else type(error).__name__
    if any(word in text for word in ("Gloo", "NCCL", "UNAVAILABLE", "onnection", "closed")):
        return (
            "ほかのプロセスとの通信が切れました (connection lost): そのプロセスが終わったか、"
            f"ネットワークが切れています。そちらのエラーを見てください。({text})"
        )
    return f"通信できませんでした (communication failed): {text}"
