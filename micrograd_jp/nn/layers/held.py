"""パラメータのリストと辞書。"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Self

from micrograd_jp.arguments import explain_all
from micrograd_jp.nn.module import tree
from micrograd_jp.nn.module.module import Module, attribute_name
from micrograd_jp.nn.module.parameter import Parameter
from micrograd_jp.tensor.array import Tensor

__all__ = ["ParameterDict", "ParameterList"]


class _Held(Module):
    """A module whose parameters have names of their own."""

    def __init__(self) -> None:
        setattr(self, tree.UNNAMED, {})

    @property
    def _held(self) -> dict[str, Any]:
        held: dict[str, Any] = vars(self)[tree.UNNAMED]
        return held

    def _hold(self, name: str, parameter: Any) -> None:
        if not isinstance(parameter, Tensor):
            raise TypeError(
                f"{type(self).__name__} には nn.Parameter か Tensor を渡します "
                f"(expected a Parameter): {type(parameter).__name__} が渡されました。"
            )
        own = isinstance(parameter, Parameter)
        self._held[attribute_name(name)] = parameter if own else Parameter(parameter)

    def __getattr__(self, name: str) -> Any:
        held = vars(self).get(tree.UNNAMED, {})
        if name not in held:
            raise tree.without(self, name)
        return held[name]

    def __len__(self) -> int:
        return len(self._held)

    def __bool__(self) -> bool:
        return True

    def extra_repr(self) -> str:
        """それぞれの形と型。"""
        return ", ".join(f"({k}): {p.dtype} {p.shape}" for k, p in self._held.items())


class ParameterList(_Held):
    """パラメータのリスト。`Tensor` は `nn.Parameter` になる。

    Args:
        values: パラメータの並び。

    Raises:
        TypeError: `Tensor` でない要素。
        IndexError: 番号が範囲の外。
    """

    def __init__(self, values: Iterable[Any] | None = None) -> None:
        super().__init__()
        self.extend(values or ())

    def append(self, value: Any) -> Self:
        """末尾に加える。"""
        self._hold(str(len(self)), value)
        return self

    def extend(self, values: Iterable[Any]) -> Self:
        """末尾に続けて加える。"""
        for value in list(values):
            self.append(value)
        return self

    def __iter__(self) -> Iterator[Any]:
        return iter(self._held.values())

    def __getitem__(self, i: int | slice) -> Any:
        found = list(self._held.values())[i]
        return ParameterList(found) if isinstance(i, slice) else found

    def __setitem__(self, i: int, value: Any) -> None:
        self._hold(list(self._held)[i], value)


class ParameterDict(_Held):
    """パラメータの辞書。`Tensor` は `nn.Parameter` になる。

    Args:
        parameters: 名前からパラメータへ。

    Raises:
        TypeError: `Tensor` でない値。
        ValueError: 空の名前や、点を含む名前。
    """

    def __init__(self, parameters: Any = None) -> None:
        super().__init__()
        self.update(parameters or {})

    def update(self, parameters: Any) -> None:
        """パラメータを加える。同じ名前のものは置き換える。"""
        pairs = parameters.items() if hasattr(parameters, "items") else parameters
        for name, parameter in pairs:
            self._hold(name, parameter)

    def __getitem__(self, name: str) -> Any:
        if name not in self._held:
            raise KeyError(
                f"{name!r} というパラメータはありません (no such parameter): {list(self)}。"
            )
        return self._held[name]

    def __setitem__(self, name: str, parameter: Any) -> None:
        self._hold(name, parameter)

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
        """パラメータ。"""
        return self._held.values()

    def items(self) -> Any:
        """名前とパラメータ。"""
        return self._held.items()

    def get(self, name: str, default: Any = None) -> Any:
        """その名前のパラメータ。なければ `default`。"""
        return self._held.get(name, default)

    def pop(self, name: str) -> Any:
        """取り除いて返す。"""
        found = self[name]
        del self[name]
        return found

    def popitem(self) -> tuple[str, Any]:
        """最後に加えた名前とパラメータを、取り除いて返す。

        Raises:
            KeyError: 空。
        """
        if not self._held:
            raise KeyError("空の ParameterDict です (empty): 取り除くものがありません。")
        return self._held.popitem()

    def setdefault(self, name: str, default: Any) -> Any:
        """その名前のパラメータ。なければ `default` を加えて返す。"""
        if name not in self._held:
            self._hold(name, default)
        return self._held[name]

    def clear(self) -> None:
        """すべて除く。"""
        self._held.clear()

    def copy(self) -> ParameterDict:
        """同じパラメータの、別の辞書。"""
        return ParameterDict(self._held)

    @staticmethod
    def fromkeys(keys: Any, default: Any = None) -> ParameterDict:
        """どの名前も `default` を指す辞書。"""
        return ParameterDict(dict.fromkeys(keys, default))


explain_all(globals())
