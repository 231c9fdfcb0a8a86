"""部品をまとめる部品: 順につなぐ、リストや辞書として持つ、入力を足す。"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Self, overload

from micrograd_jp.arguments import explain_all
from micrograd_jp.nn.layers.holder import ByName, Holder
from micrograd_jp.nn.module import tree
from micrograd_jp.nn.module.module import Module, attribute_name

__all__ = ["ModuleDict", "ModuleList", "Residual", "Sequential"]


class _Children(Holder):
    """A module whose children have names of their own."""

    def _hold(self, name: str, module: Any) -> None:
        self._held[attribute_name(name)] = _module(type(self).__name__, module)

    def add_module(self, name: str, module: Module | None) -> None:
        """名前をつけて部品を加える。"""
        self._hold(name, module)


class _List(_Children):
    """Children numbered from 0, or named if given as a dictionary."""

    def _like(self, children: dict[str, Module]) -> Self:
        """Part of the list, as the same kind of list with the same names."""
        part = type(self).__new__(type(self))
        vars(part).update({k: v for k, v in vars(self).items() if k == "training"})
        setattr(part, tree.UNNAMED, children)
        return part

    def __iter__(self) -> Iterator[Module]:
        return iter(self._held.values())

    @overload
    def __getitem__(self, i: slice) -> Self: ...
    @overload
    def __getitem__(self, i: int | str) -> Any: ...
    def __getitem__(self, i: int | str | slice) -> Any:
        if isinstance(i, slice):
            names = list(self._held)[i]
            numbered = all(name.isdecimal() for name in names)
            return self._like(
                {str(k) if numbered else name: self._held[name] for k, name in enumerate(names)}
            )
        return self._held[self._name(i)]

    def __setitem__(self, i: int | str, module: Module) -> None:
        self._hold(self._name(i), module)

    def __delitem__(self, i: int | str) -> None:
        del self._held[self._name(i)]
        self._renumber()

    def _name(self, i: int | str) -> str:
        names = list(self._held)
        if isinstance(i, str) and i in self._held:
            return i
        try:
            return names[i]  # type: ignore[index]
        except (IndexError, TypeError):
            raise IndexError(
                f"{type(self).__name__} に {i!r} はありません (index out of range): "
                f"{len(names)} 個の部品があります。"
            ) from None

    def _renumber(self) -> None:
        if all(name.isdecimal() for name in self._held):
            held = {str(i): child for i, child in enumerate(self._held.values())}
            setattr(self, tree.UNNAMED, held)

    def pop(self, i: int | str = -1) -> Any:
        """取り出して、除く。

        Raises:
            IndexError: その番号の部品がない。
        """
        module = self[i]
        del self[i]
        return module

    def append(self, module: Module) -> Self:
        """末尾に加える。"""
        self._hold(str(len(self)), module)
        return self

    def extend(self, modules: Iterable[Module]) -> Self:
        """末尾に続けて加える。"""
        for module in list(modules):
            self.append(module)
        return self

    def insert(self, i: int, module: Module) -> None:
        """`i` 番目の前に入れる。"""
        children = list(self._held.items())
        children.insert(i, (str(len(children)), _module(type(self).__name__, module)))
        setattr(self, tree.UNNAMED, dict(children))
        self._renumber()


class Sequential(_List):
    """部品を順につなぐ (sequential)。`Sequential(a, b)(x)` は `b(a(x))`。

    引数は部品の列か、名前から部品への辞書 (`OrderedDict`)。添字とスライスで部品を取り出せる。

    Raises:
        TypeError: `Module` でない引数。
    """

    def __init__(self, *modules: Module | Mapping[str, Module]) -> None:
        super().__init__()
        if len(modules) == 1 and isinstance(modules[0], Mapping):
            pairs: Iterable[tuple[str, Any]] = modules[0].items()
        else:
            pairs = ((str(i), module) for i, module in enumerate(modules))
        for name, module in pairs:
            self._hold(name, module)

    def forward(self, x: Any) -> Any:
        """順に通す。"""
        for module in self._held.values():
            x = module(x)
        return x


class ModuleList(_List):
    """部品のリスト。呼び出し方は使う側が `forward` に書く。

    Raises:
        TypeError: `Module` でない要素。
    """

    def __init__(self, modules: Iterable[Module] = ()) -> None:
        super().__init__()
        self.extend(modules)


class ModuleDict(ByName, _Children):
    """部品の辞書。呼び出し方は使う側が `forward` に書く。

    Raises:
        TypeError: `Module` でない値。
        ValueError: 空の名前や、点を含む名前。
    """

    _missing = "部品はありません (no such module)"

    def __init__(self, modules: Mapping[str, Module] | None = None) -> None:
        super().__init__()
        self.update(modules or {})


class Residual(Sequential):
    """スキップ接続 (skip connection): x + F(x)。引数は F を順につなぐ部品。

    深くしても勾配が消えにくい: ∂L/∂x = ∂L/∂H·∂F/∂x + ∂L/∂H。
    He et al. (2016) "Deep Residual Learning for Image Recognition"。

    Raises:
        ValueError: F の出力の形が入力と違う（呼んだとき）。
    """

    def forward(self, x: Any) -> Any:
        """`x` と同じ形の x + F(x)。"""
        out = super().forward(x)
        if getattr(out, "shape", None) != getattr(x, "shape", None):
            raise ValueError(
                "Residual の入力と出力の形が違います (shape mismatch): "
                f"{tuple(x.shape)} が {tuple(out.shape)} になりました。"
                "F の出力を入力と同じ形にしてください。"
            )
        return x + out


def _module(owner: str, module: Any) -> Module:
    if not isinstance(module, Module):
        kind = module.__name__ if isinstance(module, type) else type(module).__name__
        raise TypeError(
            f"{owner} には Module を渡します (expected a Module): {kind} が渡されました。"
            "クラスそのもの (nn.ReLU) ではなく nn.ReLU()、関数の代わりに Module を渡してください。"
        )
    return module


explain_all(globals())
