"""名前を、はじめて使うときに読み込むモジュール (lazy loading): `mg`、`mg.viz`、`mg.testing`。"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from types import ModuleType
from typing import NoReturn

from micrograd_jp.locks import Outside

_lock = Outside()


class OnDemand(ModuleType):
    """`hand_out` が、パッケージをこのクラスのモジュールにする。"""

    _places: dict[str, tuple[str, str]]
    _whole: tuple[str, ...]
    _extra: tuple[str, ...]

    def _found(self, name: str) -> object:
        where, there = self._places.get(name, ("", name))
        if not where and not name.startswith("_"):
            where = next((whole for whole in self._whole if name in self._load(whole).__all__), "")
        if not where:
            told = what_to_write(name, self.__name__)
            text = told or f"module {self.__name__!r} has no attribute {name!r}"
            raise AttributeError(text, name=name, obj=self)
        module = self._load(where)
        found = vars(self)[name] = getattr(module, there) if there else module
        return found

    def __setattr__(self, name: str, value: object) -> None:
        # The import system would put the folder micrograd_jp.tensor over the function mg.tensor.
        if not (isinstance(value, ModuleType) and self._places.get(name, ("", ""))[1]):
            super().__setattr__(name, value)

    @property
    def __all__(self) -> list[str]:
        whole = (name for where in self._whole for name in self._load(where).__all__)
        return sorted({*self._places, *whole} - {*self._extra})

    def __dir__(self) -> list[str]:
        return [*self.__all__, *(name for name in vars(self) if name.startswith("__"))]

    def _load(self, where: str) -> ModuleType:
        """One import at a time: threads that enter a folder by two files would see half of it."""
        # An import of our own does not wait: the thread that holds the lock may wait for it.
        if _within_an_import_of_our_own():
            return import_module(f"{self.__name__}.{where}")
        with _lock:
            return import_module(f"{self.__name__}.{where}")


def _within_an_import_of_our_own() -> bool:
    """`from micrograd_jp import namespace` in a file of this package."""
    asking = sys._getframe(3)  # _load and _found are between
    caller = asking.f_back
    return (
        asking.f_code.co_name == "_handle_fromlist"  # the import system's
        and caller is not None
        and caller.f_globals.get("__name__", "").startswith("micrograd_jp.")
    )


def what_to_write(name: str, place: str) -> str | None:
    """ここにない PyTorch の名前の代わりに何と書くか。表 (`missing`) は、ここで読む。

    Args:
        name: 名前。
        place: それを尋ねたモジュールの `__name__`、またはクラスの名前。
    """
    if name[0] == "_":
        return None
    inner = place.removeprefix("micrograd_jp").removeprefix(".").removeprefix("tensor.")
    told: str | None = import_module("micrograd_jp.missing").sentence(name, inner or "mg")
    return told


def about_arguments(names: Iterable[str]) -> str:
    """ここにない PyTorch の引数の代わりに何と書くか。表になければ空。"""
    told: str = import_module("micrograd_jp.missing").about_arguments(names)
    return told


def teller(module: str) -> Callable[[str], NoReturn]:
    """モジュールの `__getattr__`: ない名前のエラーが、代わりに何と書くかを言う。

    Args:
        module: 実行中のモジュールの `__name__`。
    """

    def __getattr__(name: str) -> NoReturn:
        text = what_to_write(name, module) or f"module {module!r} has no attribute {name!r}"
        raise AttributeError(text, name=name, obj=sys.modules[module])

    return __getattr__


def later(
    package: str, places: Mapping[str, str | None],
    otherwise: Callable[[str], NoReturn] | None = None,
) -> None:  # fmt: skip
    """`package` の名前を、どれかがはじめて尋ねられたときに、すべて読み込む: 部屋の中で使う形。

    モジュールのクラスは変わらず、2 度目からは、ふつうの属性と同じ速さで見つかる (PEP 562)。

    Args:
        package: 実行中の `__init__.py` の `__name__`。
        places: 名前から、それのあるモジュールへ（`None` なら、名前がモジュールそのもの）。
        otherwise: ほかの名前のエラーを出す関数 (`teller`)。
    """
    held = vars(sys.modules[package])

    def found(name: str) -> object:
        if name not in places:
            if otherwise is not None:
                otherwise(name)
            text = f"module {package!r} has no attribute {name!r}"
            raise AttributeError(text, name=name, obj=sys.modules[package])
        for one, where in places.items():
            module = import_module(f"{package}.{where or one}")
            held[one] = getattr(module, one) if where else module
        if otherwise is None:
            held.pop("__getattr__", None)  # as long as it is there, every attribute takes longer
        else:
            held["__getattr__"] = otherwise
        return held[name]

    held["__getattr__"] = found


def hand_out(
    package: str,
    places: dict[str, tuple[str, str]],
    whole: tuple[str, ...] = (),
    extra: tuple[str, ...] = (),
) -> None:
    """`package` の名前を、はじめて尋ねられたときに読み込む。

    Args:
        package: 実行中の `__init__.py` の `__name__`。
        places: 名前から、その中のモジュールと、そこでの名前へ（空なら、モジュールそのもの）。
        whole: `__all__` のすべてが公開されるモジュール。名前はこの順に探される。
        extra: 追加の依存が要る名前。`import *` と `dir` には含めない。
    """
    module = sys.modules[package]
    vars(module).update(_places=places, _whole=whole, _extra=extra)
    module.__class__ = OnDemand
    # In the module and not in the class: names that are there are found without a detour (PEP 562).
    vars(module)["__getattr__"] = vars(OnDemand)["_found"].__get__(module)
