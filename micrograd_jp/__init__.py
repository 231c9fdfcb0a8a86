"""micrograd_jp: 読める・描ける・確かめられる自動微分 (automatic differentiation)。

>>> import micrograd_jp as mg
>>> x = mg.Value(3.0)
>>> y = x**2 + mg.sin(x)
>>> y.backward()
>>> round(x.grad, 4)
5.01

公開する名前の表は `names.py` にある。どれも、はじめて尋ねられたときに読み込まれる。
"""

from __future__ import annotations

import sys
from _thread import RLock
from importlib import import_module
from types import ModuleType

from micrograd_jp.names import MODULES, SINGLE, WHOLE

__version__ = "0.1.0"

_lock = RLock()


def _module(where: str) -> ModuleType:
    """One import at a time: threads that enter a folder by two files would see half of it."""
    with _lock:
        return import_module(f"{__name__}.{where}")


def _asked_by_an_import_of_our_own() -> bool:
    """`from micrograd_jp import namespace` in a file of the package, while it is being imported."""
    caller = sys._getframe(2).f_back  # behind the import system
    return caller is not None and caller.f_globals.get("__name__", "").startswith(f"{__name__}.")


class _Root(ModuleType):
    """A module that imports its names when they are first asked for."""

    def __getattr__(self, name: str) -> object:
        if name in MODULES:
            if _asked_by_an_import_of_our_own():  # a thread that waits for us may be ahead of us
                return import_module(f"{__name__}.{name}")
            return _module(name)  # which also puts it here
        where, there = SINGLE.get(name, ("", name))
        if not where and not name.startswith("_"):
            where = next((whole for whole in WHOLE if name in _module(whole).__all__), "")
        if not where:
            text = f"module {__name__!r} has no attribute {name!r}"
            raise AttributeError(text, name=name, obj=self)
        found = vars(self)[name] = getattr(_module(where), there)
        return found

    def __setattr__(self, name: str, value: object) -> None:
        # The import system would put the folder micrograd_jp.tensor over the function mg.tensor.
        if not (name in SINGLE and isinstance(value, ModuleType)):
            super().__setattr__(name, value)

    @property
    def __all__(self) -> list[str]:
        whole = (name for where in WHOLE for name in _module(where).__all__)
        return sorted({*MODULES, *SINGLE, *whole})

    def __dir__(self) -> list[str]:
        return [*self.__all__, *(name for name in vars(self) if name.startswith("__"))]


sys.modules[__name__].__class__ = _Root
