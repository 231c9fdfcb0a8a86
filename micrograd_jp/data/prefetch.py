"""先読み (prefetch): 次のバッチを裏のスレッドで用意する。

隠せる時間は、作る時間と使う時間の短い方。それがスレッドの受け渡しより短ければ、スレッドは使わない。
繰り返しが途中でやめられるとスレッドも終わる。スレッドの中の例外は、使う側でそのまま起こる。
"""

from __future__ import annotations

import os
import queue
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from math import inf
from time import perf_counter as _clock
from typing import Any, TypeVar

WORTH = 2e-4
"""1 つごとに隠せる時間がこの秒数より短ければ、先読みしない。0 なら、いつもする。"""

_TRIED = 3  # how many are made without a thread to see how long it takes

T = TypeVar("T")
_DONE = object()


class _Producer:
    """Fills a queue with at most `depth` results that nobody has taken yet."""

    def __init__(self, make: Callable[[T], Any], jobs: Iterable[T], depth: int) -> None:
        self.ready: queue.SimpleQueue[tuple[Any, BaseException | None]] = queue.SimpleQueue()
        self.free = threading.Semaphore(depth)
        self.stopped, self.process = False, os.getpid()
        # A daemon: an iterator that is still alive at exit must not keep the process from ending.
        self.thread = threading.Thread(target=self._work, args=(make, jobs), daemon=True)
        self.thread.name = "micrograd_jp-prefetch"

    def _work(self, make: Callable[[T], Any], jobs: Iterable[T]) -> None:
        try:
            for job in jobs:
                self.free.acquire()
                if self.stopped:
                    return
                self.ready.put((make(job), None))
            self.ready.put((_DONE, None))
        except BaseException as error:
            self.ready.put((_DONE, error))

    def take(self) -> tuple[Any, BaseException | None]:
        if self.process != os.getpid():
            raise RuntimeError(
                "fork する前に始めた先読みの反復は、子のプロセスでは続けられません (a prefetching "
                "iterator does not survive a fork): 子で、もう一度 for x, t in loader: と始めて"
                "ください。"
            )
        return self.ready.get()

    def stop(self) -> None:
        self.stopped = True
        self.free.release()
        # At exit a daemon never ends (from Python 3.13 on, who waits for it waits for ever), and
        # the collector may call this in the thread itself.
        if not sys.is_finalizing() and self.thread is not threading.current_thread():
            self.thread.join()


def prefetched(make: Callable[[T], Any], jobs: Iterable[T], depth: int) -> Iterator[Any]:
    """`map(make, jobs)` と同じ列。`make` は裏のスレッドで、最大 `depth` 個だけ先に呼ばれる。

    はじめのいくつかは、その場で作って時間を見る。先読みで速くならないなら、残りもその場で作る。

    Args:
        make: 1 つを作る関数。
        jobs: その引数の列。
        depth: 先に用意しておく数（1 以上）。
    """
    jobs = iter(jobs)
    making = using = inf
    for job in islice(jobs, _TRIED if WORTH > 0 else 0):
        start = _clock()
        item = make(job)
        ready = _clock()
        yield item
        del item  # a batch that is kept would keep the memory beside it from being used again
        making, using = min(making, ready - start), min(using, _clock() - ready)
    if min(making, using) < WORTH:
        yield from map(make, jobs)
        return
    producer = _Producer(make, jobs, depth)
    producer.thread.start()
    try:
        while True:
            item, error = producer.take()
            if error is not None:
                raise error
            if item is _DONE:
                return
            producer.free.release()
            yield item
    finally:
        producer.stop()
