"""`Module` の木をたどる: 属性、リスト、タプル、辞書の中のパラメータ、バッファ、部品とその名前。

名前は PyTorch と同じ点つなぎ ("layers.0.weight")。どの部品でも、自分のパラメータが先、
部品の中のものが後に来る。
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from micrograd_jp.arguments import explain_methods
from micrograd_jp.engine.numbers import is_number
from micrograd_jp.engine.value import Value
from micrograd_jp.graph.node import Node
from micrograd_jp.nn.module.around import AROUND
from micrograd_jp.nn.module.parameter import is_parameter
from micrograd_jp.on_demand import what_to_write

Named = Iterator[tuple[str, Any]]

UNNAMED = "_modules"
"""この属性（辞書）の中の部品は、属性の名前を付けずに呼ばれる ("0.weight")。"""

BUFFERS = "_buffers"
"""バッファの名前から、保存するかどうか (persistent) への辞書をもつ属性。"""

HOOKS = "_forward_hooks"
"""取り付けたフックを持つ属性（なければ、ない）。"""

_INTERNAL = frozenset({BUFFERS, HOOKS, AROUND})


class Part:
    """木の節 (`Module` の土台): 中のものを、名前の順にたどる。

    どの `named_…` も、`prefix` は名前の前に付けるもの、`recurse=False` なら部品の中のものは除き、
    `remove_duplicate=False` なら、共有されたものもその名前の数だけ現れる。
    """

    def parameters(self, recurse: bool = True) -> list[Any]:
        """すべてのパラメータを、属性の順に。共有されたものは 1 度だけ。"""
        # By the attributes alone: a subclass that overrides this method may call it as super's.
        return [x for _, x in once(parameters(self, own=False, recurse=recurse))]

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Named:
        """パラメータを名前とともに、属性の順に。共有されたものは最初の名前で 1 度だけ。

        Raises:
            TypeError: 文字列でない `prefix`。
            ValueError: 部品が自分自身を含んでいる。
        """
        found = parameters(self, prefixed(prefix), recurse=bool(recurse))
        return once(found) if remove_duplicate else found

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Named:
        """バッファを名前とともに。共有されたものは 1 度だけ。

        Raises:
            TypeError: 文字列でない `prefix`。
        """
        found = buffers(self, prefixed(prefix), recurse=bool(recurse))
        return once(found) if remove_duplicate else found

    def buffers(self, recurse: bool = True) -> list[Any]:
        """すべてのバッファ。"""
        return [x for _, x in self.named_buffers(recurse=recurse)]

    def named_modules(
        self, memo: set[Any] | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Named:
        """自分と、中のすべての部品を、名前とともに（自分の名前は空）。同じものは 1 度だけ。

        Args:
            memo: もう見た部品の集合。これらは除かれ、見た部品が加わる。
            prefix: 名前の前に付ける。
            remove_duplicate: 偽なら、同じものも、名前の数だけ。

        Raises:
            TypeError: 集合でない `memo`、文字列でない `prefix`。
            ValueError: 部品が自分自身を含んでいる。
        """
        if not isinstance(memo, set | None):
            raise TypeError(
                "memo はもう見た部品の集合 (set) です (expected a set): "
                f"{type(memo).__name__} が渡されました。名前の前に付けるのは prefix=… です。"
            )
        found = modules(self, prefixed(prefix))
        return once(found, memo) if remove_duplicate else found

    def modules(self, remove_duplicate: bool = True) -> list[Any]:
        """自分と、中のすべての部品。`remove_duplicate=False` なら、同じものも何度でも。"""
        return [x for _, x in self.named_modules(remove_duplicate=bool(remove_duplicate))]

    def named_children(self) -> Named:
        """直接の部品を名前とともに。"""
        return once(children(self))

    def children(self) -> list[Any]:
        """直接の部品。"""
        return [module for _, module in self.named_children()]

    def get_submodule(self, target: str) -> Any:
        """点つなぎの名前 (`"layers.0"`) の部品。空の文字列なら自分。

        Raises:
            AttributeError: その名前の部品がない。
        """
        return _at(modules(self), target, "部品", "module")

    def get_parameter(self, target: str) -> Any:
        """点つなぎの名前 (`"layers.0.weight"`) のパラメータ。

        Raises:
            AttributeError: その名前のパラメータがない。
        """
        return _at(parameters(self), target, "パラメータ", "parameter")

    def get_buffer(self, target: str) -> Any:
        """点つなぎの名前のバッファ。

        Raises:
            AttributeError: その名前のバッファがない。
        """
        return _at(buffers(self), target, "バッファ", "buffer")


def prefixed(prefix: Any) -> str:
    """名前の前に付ける文字列であることを確かめる。"""
    # Looked at now, as the flags are: who iterates over the names later has no door.
    if not isinstance(prefix, str):
        raise TypeError(
            "prefix は名前の前に付ける文字列です (expected str): "
            f"{type(prefix).__name__} が渡されました。"
        )
    return prefix


def _at(found: Named, target: Any, what: str, english: str) -> Any:
    names = dict(found)
    if target not in names:
        some = "、".join(repr(name) for name in list(names)[:8])
        raise AttributeError(
            f"{target!r} という{what}はありません (no such {english}): {some}"
            f"{' など' if len(names) > 8 else ''}があります。"
        )
    return names[target]


def without(part: Any, name: str) -> AttributeError:
    """ない属性のエラー。PyTorch にある名前なら、代わりに何と書くかを言う。"""
    text = f"{type(part).__name__!r} object has no attribute {name!r}"
    return AttributeError(what_to_write(name, "nn.Module") or text, name=name, obj=part)


def members(module: Part) -> Named:
    """属性の中の、計算グラフのノードと部品を、名前とともに属性の順に。"""

    def found(name: str, x: Any, inside: tuple[Any, ...]) -> Named:
        if isinstance(x, Part | Node):
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

    for name, x in list(vars(module).items()):  # another thread may hang a hook in meanwhile
        if name == UNNAMED:
            yield from x.items()
        elif name not in _INTERNAL:
            yield from found(name, x, ())


def kept(module: Part, name: str, new: Any) -> str:
    """属性 `name` に必要なもの。`new` を置いてよければ、空。"""
    old = vars(module).get(name)
    if isinstance(old, Part):
        return "" if isinstance(new, Part) else "Module"
    if name in vars(module).get(BUFFERS, ()):
        return "" if isinstance(new, Node) else "Tensor"
    if not is_parameter(old) or is_parameter(new):
        return ""
    if isinstance(old, Value):  # a number in its place freezes it
        return "" if is_number(new) else "葉の Value か数"
    return "nn.Parameter(…)"


def children(module: Part) -> Named:
    """直接の部品（同じものが 2 度現れることもある）。"""
    return ((name, x) for name, x in members(module) if not isinstance(x, Node))


def modules(module: Part, prefix: str = "", inside: tuple[Part, ...] = ()) -> Named:
    """自分と、中のすべての部品（同じものが 2 度現れることもある）。

    Raises:
        ValueError: 部品が自分自身を含んでいる。
    """
    inside = entered(module, prefix, inside)
    yield prefix, module
    for name, child in children(module):
        yield from modules(child, joined(prefix, name), inside)


def entered(module: Part, prefix: str, inside: tuple[Part, ...]) -> tuple[Part, ...]:
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
    module: Part,
    prefix: str = "",
    inside: tuple[Part, ...] = (),
    own: bool = True,
    recurse: bool = True,
) -> Named:
    """パラメータ（共有されたものは、名前の数だけ現れる）。

    Args:
        module: 部品。
        prefix: 名前の前に付けるもの。
        inside: 外側の部品。
        own: 真なら、`parameters()` を自分で書いた部品には、その答えを聞く (micrograd の流儀)。
        recurse: 偽なら、部品の中のものは除く。
    """
    if own and type(module).parameters is not Part.parameters:
        yield from _as_listed(module, prefix, inside)
        return
    inside = entered(module, prefix, inside)
    found, own_buffers = list(members(module)), vars(module).get(BUFFERS, ())
    for name, x in found:
        if is_parameter(x) and name not in own_buffers:
            yield joined(prefix, name), x
    for name, x in found if recurse else ():
        if not isinstance(x, Node):
            yield from parameters(x, joined(prefix, name), inside)


def _as_listed(module: Part, prefix: str, inside: tuple[Part, ...]) -> Named:
    """What the module's own `parameters()` lists, named by the attributes it is found in."""
    names: dict[int, str] = {}
    for name, x in parameters(module, prefix, inside, own=False):
        names.setdefault(id(x), name)
    for i, x in enumerate(module.parameters()):
        yield names.get(id(x), joined(prefix, f"parameters.{i}")), x


def buffers(
    module: Part, prefix: str = "", only_persistent: bool = False, recurse: bool = True
) -> Named:
    """バッファ（共有されたものは、名前の数だけ現れる）。"""
    for place, owner in modules(module, prefix) if recurse else [(prefix, module)]:
        for name, persistent in vars(owner).get(BUFFERS, {}).items():
            x = getattr(owner, name)
            if x is not None and (persistent or not only_persistent):
                yield joined(place, name), x


def once(found: Named, memo: set[Any] | None = None) -> Named:
    """同じものは、最初の名前で 1 度だけ。`memo` にあるものは除き、見たものを加える。"""
    seen = {id(x) for x in memo or ()}
    for name, x in found:
        if id(x) not in seen:
            seen.add(id(x))
            if memo is not None:
                memo.add(x)
            yield name, x


explain_methods(Part)  # the functions are called once for every parameter
