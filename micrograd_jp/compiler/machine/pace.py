"""いくつかの核に分けるかどうかを、かかった時間から決める (pace)。

2 つ目の核がほかの仕事をしていると、分けた仕事は、待たされてかえって遅くなる。1 人でした時間を
ときどき測り、分けたほうが遅ければ、しばらく 1 人でする。仕事の分け方は変わらないので、答えは同じ。
"""

from __future__ import annotations

import time
from collections.abc import Callable

from micrograd_jp.native import threads

_SHORTEST, _LONGEST = 16, 4096
_MEASURED = 3
_GAIN = 0.9  # what is hardly faster is not worth the other cores


class Pace:
    """同じくらいの大きさの仕事を、何度もする人の覚え書き。"""

    def __init__(self) -> None:
        self._alone = float("inf")
        self._left, self._pause, self._streak = _MEASURED, _SHORTEST, 0

    def run(self, work: Callable[[int], None], count: int) -> None:
        """`work(0), …, work(count − 1)` を、1 人か、いくつかのスレッドで。"""
        if count <= 1 or threads.threads() == 1:
            for i in range(count):
                work(i)
            return
        started = time.perf_counter()
        if self._left:
            self._left -= 1
            for i in range(count):
                work(i)
            self._alone = min(self._alone, time.perf_counter() - started)
            return
        threads.run(work, count)
        if time.perf_counter() - started < _GAIN * self._alone:
            self._streak += 1
            if self._streak == _SHORTEST:
                self._pause = _SHORTEST
            return
        self._left, self._pause, self._streak = self._pause, min(2 * self._pause, _LONGEST), 0
        self._alone = float("inf")  # measured again
