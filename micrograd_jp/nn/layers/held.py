"""パラメータのリストと辞書。"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Self

from micrograd_jp.arguments import explain_all
from micrograd_jp.nn.layers.holder import ByName, Holder
from micrograd_jp.nn.module.module import attribute_name
from micrograd_jp.nn.module.parameter import Parameter
from micrograd_jp.tensor.array import Tensor

__all__ = ["ParameterDict", "ParameterList"]


class _Held(Holder):
    """A module whose parameters have names of their own."""

    def _hold(self, name: str, parameter: Any) -> None:
        if not isinstance(parameter, Tensor):
            raise TypeError(
                f"{type(self).__name__} には nn.Parameter か Tensor を渡します "
                f"(expected a Parameter): {type(parameter).__name__} が渡されました。"
            )
        own = isinstance(parameter, Parameter)
        self._held[attribute_name(name)] = parameter if own else Parameter(parameter)

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


class ParameterDict(ByName, _Held):
    """パラメータの辞書。`Tensor` は `nn.Parameter` になる。

    Args:
        parameters: 名前からパラメータへ。

    Raises:
        TypeError: `Tensor` でない値。
        ValueError: 空の名前や、点を含む名前。
    """

    _missing = "パラメータはありません (no such parameter)"

    def __init__(self, parameters: Any = None) -> None:
        super().__init__()
        self.update(parameters or {})

    def get(self, name: str, default: Any = None) -> Any:
        """その名前のパラメータ。なければ `default`。"""
        return self._held.get(name, default)

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

    def copy(self) -> ParameterDict:
        """同じパラメータの、別の辞書。"""
        return ParameterDict(self._held)

    @staticmethod
    def fromkeys(keys: Any, default: Any = None) -> ParameterDict:
        """どの名前も `default` を指す辞書。"""
        return ParameterDict(dict.fromkeys(keys, default))


explain_all(globals())
