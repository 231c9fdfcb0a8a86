"""機械語の核を、CPU の核の数だけのスレッドで動かす (threads)。

機械語を呼んでいる間は GIL が放されるので、Python のスレッドで足りる。仕事の分け方は計算する側が
形だけから決め、スレッドの数によらない。だから答えは、どの機械でも同じ順に足したものになる。
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from micrograd_jp.locks import Lock, Outside, in_child

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

_pool: ThreadPoolExecutor | None = None
_lock = Outside()  # an import is under way


@functools.cache
def threads() -> int:
    """使うスレッドの数: 使える核の数か、環境変数 `MICROGRAD_JP_THREADS`。"""
    given = os.environ.get("MICROGRAD_JP_THREADS", "")
    if given.isdigit() and int(given):
        return int(given)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _helpers() -> ThreadPoolExecutor:
    global _pool
    with _lock:
        if _pool is None:
            from concurrent.futures import ThreadPoolExecutor  # takes as long as all of this folder

            _pool = ThreadPoolExecutor(threads() - 1, "micrograd_jp-kernels")
        return _pool


@in_child
def _forget() -> None:
    """A fork has the pool, but not its threads."""
    global _pool
    _pool = None


def run(work: Callable[[int], None], count: int) -> None:
    """`work(0), …, work(count − 1)` を、順不同で、いくつかのスレッドで呼ぶ。

    呼び出したスレッドも働く。例外は、呼び出した側で起こる。
    """
    if min(count, threads()) <= 1:
        for i in range(count):
            work(i)
        return
    jobs, taking = iter(range(count)), Lock()

    def drain() -> None:
        while True:
            with taking:
                i = next(jobs, None)
            if i is None:
                return
            work(i)

    helpers: list[Future[None]] = []
    try:
        for _ in range(min(count, threads()) - 1):
            helpers.append(_helpers().submit(drain))
    except RuntimeError:  # the interpreter is shutting down: no new threads
        pass
    try:
        drain()
    finally:
        with taking:
            jobs = iter(())  # after an exception, nobody begins anything more
        for helper in helpers:
            if not helper.cancel():
                helper.result()
