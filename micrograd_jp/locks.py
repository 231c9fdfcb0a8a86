"""錠 (lock): このパッケージのすべての錠と、fork のときの決まり。

fork した子には、fork したスレッドしかいない。ほかのスレッドが持っていた錠は誰も放さず、待つ子は
止まる。だから、子では錠を開ける。ほかのライブラリ（matplotlib、LLVM、Graphviz、import）を守る錠だけは、
中を途中のまま子に渡せないので、fork がその終わりを待つ。
"""

from __future__ import annotations

import os

# What threading and weakref hand on: every import of the package loads this file, and no more.
from _thread import RLock, _local
from _weakref import ref
from _weakrefset import WeakSet
from collections.abc import Callable
from typing import Any

PATIENCE = 10.0
"""fork が、ほかのスレッドの終わりを待つ秒数。過ぎたら待たない（待ち合って止まるよりよい）。"""

_locks: WeakSet[Any] = WeakSet()
_in_child: list[Callable[[], None]] = []


class Lock(RLock):  # type: ignore[misc]  # final for type checkers only
    """同じスレッドなら何度でも入れる錠。持ち主ごと写せる（写しは別の錠）。

    Args:
        owner: 持ち主。fork のときほかのスレッドが持っていたら、子で `owner.interrupted()` を呼ぶ。
    """

    def __init__(self, owner: Any = None) -> None:
        self.owner = (lambda: None) if owner is None else ref(owner)
        _locks.add(self)

    def __reduce__(self) -> Any:
        return type(self), (self.owner(),)


class Outside(Lock):  # type: ignore[misc]
    """ほかのライブラリを守る錠。fork は、これを持つスレッドを待つ。モジュールに 1 つ作る。"""

    def __init__(self, owner: Any = None) -> None:
        super().__init__(owner)
        if hasattr(os, "register_at_fork"):
            # What was registered last waits first: a library that this one calls while it is held
            # (logging) must have been imported before.
            os.register_at_fork(
                before=lambda: self.acquire(timeout=PATIENCE),
                after_in_parent=self._leave,
                after_in_child=self._leave,
            )

    def _leave(self) -> None:
        if self._is_owned():  # type: ignore[attr-defined]
            self.release()


class OfThread(_local):
    """スレッドごとの属性。持ち主ごと写せる（写しは空）。"""

    def __reduce__(self) -> Any:
        return type(self), ()


def in_child(function: Callable[[], None]) -> Callable[[], None]:
    """fork した子で、錠が開いたあとに呼ぶ関数。修飾子 (decorator) としても使う。"""
    _in_child.append(function)
    return function


def _open() -> None:
    for lock in list(_locks):
        if lock.acquire(blocking=False):
            lock.release()
            continue
        lock._at_fork_reinit()
        owner = lock.owner()
        if owner is not None:
            owner.interrupted()
    for function in _in_child:
        function()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_open)
