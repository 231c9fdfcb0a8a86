"""`Module` の木をたどる: 属性、リスト、タプル、辞書の中のパラメータ、バッファ、部品とその名前。

名前は PyTorch と同じ点つなぎ ("layers.0.weight")。どの部品でも、自分のパラメータが先、
部品の中のものが後に来る。
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from micrograd_jp.engine.value import Value
from micrograd_jp.graph.backward import Node
from micrograd_jp.nn.module.parameter import is_parameter

if TYPE_CHECKING:
    from micrograd_jp.nn.module.module import Module

Named = Iterator[tuple[str, Any]]

UNNAMED = "_modules"
"""この属性（辞書）の中の部品は、属性の名前を付けずに呼ばれる ("0.weight")。"""

BUFFERS = "_buffers"
"""バッファの名前から、保存するかどうか (persistent) への辞書をもつ属性。"""

_INTERNAL = frozenset({BUFFERS, "_forward_hooks"})


def members(module: Module) -> Named:
    """属性の中の、計算グラフのノードと部品を、名前とともに属性の順に。"""
    from micrograd_jp.nn.module.module import Module

    def found(name: str, x: Any, inside: tuple[Any, ...]) -> Named:
        if isinstance(x, Module | Node):
            yield name, x
        elif isinstance(x, list | tuple | dict):
            if any(x is outer for outer in inside):
                raise _contains_itself(name, "並び")
            pairs = x.items() if isinstance(x, dict) else enumerate(x)
            for key, element in pairs:
                if element.__class__ is Value:  # a neuron's weights: many, and nothing inside
                    yield f"{name}.{key}", element
                else:
                    yield from found(f"{name}.{key}", element, (*inside, x))

    for name, x in vars(module).items():
        if name == UNNAMED:
            yield from x.items()
        elif name not in _INTERNAL:
            yield from found(name, x, ())


def children(module: Module) -> Named:
    """直接の部品（同じものが 2 度現れることもある）。"""
    return ((name, x) for name, x in members(module) if not isinstance(x, Node))


def modules(module: Module, prefix: str = "", inside: tuple[Module, ...] = ()) -> Named:
    """自分と、中のすべての部品（同じものが 2 度現れることもある）。

    Raises:
        ValueError: 部品が自分自身を含んでいる。
    """
    inside = entered(module, prefix, inside)
    yield prefix, module
    for name, child in children(module):
        yield from modules(child, joined(prefix, name), inside)


def entered(module: Module, prefix: str, inside: tuple[Module, ...]) -> tuple[Module, ...]:
    """外側の部品の列に自分を加える。循環していれば、ここで分かる。"""
    if any(module is outer for outer in inside):
        raise _contains_itself(prefix, type(module).__name__)
    return (*inside, module)


def _contains_itself(name: str, kind: str) -> ValueError:
    return ValueError(
        f"{kind} が自分自身を含んでいます (module contains itself): {name!r}。"
        "親などへの参照は、Module の属性ではなく、引数で渡すか関数 (lambda: 親) に包んでください。"
    )


def joined(prefix: str, name: str) -> str:
    """点でつないだ名前。"""
    return f"{prefix}.{name}" if prefix else name


def parameters(
    module: Module, prefix: str = "", inside: tuple[Module, ...] = (), own: bool = True
) -> Named:
    """パラメータ（共有されたものは、名前の数だけ現れる）。

    Args:
        module: 部品。
        prefix: 名前の前に付けるもの。
        inside: 外側の部品。
        own: 真なら、`parameters()` を自分で書いた部品には、その答えを聞く (micrograd の流儀)。
    """
    if own and _lists_its_own(module):
        yield from _as_listed(module, prefix, inside)
        return
    inside = entered(module, prefix, inside)
    found = list(members(module))
    for name, x in found:
        if isinstance(x, Node) and is_parameter(x) and not _is_buffer(module, name):
            yield joined(prefix, name), x
    for name, x in found:
        if not isinstance(x, Node):
            yield from parameters(x, joined(prefix, name), inside)


def _lists_its_own(module: Module) -> bool:
    from micrograd_jp.nn.module.module import Module

    return type(module).parameters is not Module.parameters


def _as_listed(module: Module, prefix: str, inside: tuple[Module, ...]) -> Named:
    """What the module's own `parameters()` lists, named by the attributes it is found in."""
    names: dict[int, str] = {}
    for name, x in parameters(module, prefix, inside, own=False):
        names.setdefault(id(x), name)
    for i, x in enumerate(module.parameters()):
        yield names.get(id(x), joined(prefix, f"parameters.{i}")), x


def buffers(module: Module, only_persistent: bool = False) -> Named:
    """バッファ（共有されたものは、名前の数だけ現れる）。"""
    for prefix, owner in modules(module):
        for name, persistent in vars(owner).get(BUFFERS, {}).items():
            x = getattr(owner, name)
            if x is not None and (persistent or not only_persistent):
                yield joined(prefix, name), x


def _is_buffer(module: Module, name: str) -> bool:
    return name in vars(module).get(BUFFERS, ())


def once(found: Named) -> Named:
    """同じものは、最初の名前で 1 度だけ。"""
    seen: set[int] = set()
    for name, x in found:
        if id(x) not in seen:
            seen.add(id(x))
            yield name, x
