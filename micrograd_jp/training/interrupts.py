"""Ctrl-C: 更新の途中で切らずに、区切りで止まれるように、合図だけを受け取る。"""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any


class Interrupts:
    """`with` の中の 1 度目の Ctrl-C を `asked` に書き留める。2 度目は `KeyboardInterrupt` になる。

    主スレッドの外では何もしない（Ctrl-C は主スレッドに届く）。
    """

    def __init__(self) -> None:
        self.asked = False
        self._before: Any = None  # what Ctrl-C did; None: not ours to change

    def __enter__(self) -> Interrupts:
        ours = signal.getsignal(signal.SIGINT) is not None  # None: not installed by Python
        if ours and threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGINT, self._note)
        return self

    def __exit__(self, *error: object) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
