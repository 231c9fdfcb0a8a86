"""名前の付いた部品やパラメータを持つ部品: リストと辞書の土台。"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from micrograd_jp.arguments import explain_all, undefined
from micrograd_jp.nn.module import tree
from micrograd_jp.nn.module.module import Module

__all__: list[str] = []


class Holder(Module):
    """持つものに、自分の名前 ("0", "1", … か、辞書の鍵) がある。"""

    def __init__(self) -> None:
        setattr(self, tree.UNNAMED, {})

    @property
    def _held(self) -> dict[str, Any]:
        held: dict[str, Any] = vars(self)[tree.UNNAMED]
        return held

    def _hold(self, name: str, x: Any) -> None:
        raise undefined(self, "_hold(self, name, x)")

    def __len__(self) -> int:
        return len(self._held)

    def __bool__(self) -> bool:
        return True  # an empty container is still a module: `if model:` asks whether there is one


class ByName(Holder):
    """辞書。派生クラスの `_hold` が、持ってよいものかを調べる。"""

    _missing: ClassVar[str]  # "… という部品はありません (no such module)"

    def update(self, given: Any) -> None:
        """加える。辞書か、名前とものの組の並びから。同じ名前のものは置き換える。"""
        for name, x in given.items() if hasattr(given, "items") else given:
            self._hold(name, x)

    def __getitem__(self, name: str) -> Any:
        if name not in self._held:
            raise KeyError(f"{name!r} という{self._missing}: {list(self)}。")
        return self._held[name]

    def __setitem__(self, name: str, x: Any) -> None:
        self._hold(name, x)

    def __delitem__(self, name: str) -> None:
        del self._held[name]

    def __contains__(self, name: object) -> bool:
        return name in self._held

    def __iter__(self) -> Iterator[str]:
        return iter(self._held)

    def keys(self) -> Any:
        """名前。"""
        return self._held.keys()

    def values(self) -> Any:
        """持っているもの。"""
        return self._held.values()

    def items(self) -> Any:
        """名前と、持っているもの。"""
        return self._held.items()

    def pop(self, name: str) -> Any:
        """取り除いて返す。

        Raises:
            KeyError: その名前のものがない。
        """
        found = self[name]
        del self[name]
        return found

    def clear(self) -> None:
        """すべて取り除く。"""
        self._held.clear()


explain_all(globals())
