"""パラメータの名前: モジュールの中の場所 (`0.weight`) が、図と説明の名前になる。"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from micrograd_jp.graph.node import Node
from micrograd_jp.graph.spent import Shown


class Named(Shown):
    """葉の代わりに描く、名前の付いたもの。

    Attributes:
        stands_for: その葉。
    """

    def __init__(self, leaf: Any, name: str) -> None:
        super().__init__(None, name, leaf._data, leaf.grad if leaf.has_grad else None)
        self.stands_for, self.requires_grad = leaf, leaf.requires_grad
        if hasattr(leaf, "shape"):
            self.shape, self.dtype = leaf.shape, leaf.dtype


def gives_names(parameters: Any) -> bool:
    """名前のあるもの（モジュールか辞書）か。"""
    return isinstance(parameters, Mapping) or hasattr(parameters, "named_parameters")


def names_of(parameters: Any) -> dict[Node, str]:
    """葉から名前へ。

    Args:
        parameters: モジュール、`dict(model.named_parameters())` のような辞書、または `None`。

    Raises:
        TypeError: ほかのもの、葉でないものの名前。
    """
    if parameters is None:
        return {}
    if not gives_names(parameters):
        raise TypeError(
            "parameters は Module か、名前から葉への辞書です (expected a Module or a dict of "
            f"names): {type(parameters).__name__} が渡されました。parameters=model か "
            "parameters=dict(model.named_parameters()) と書いてください。"
        )
    module = hasattr(parameters, "named_parameters")
    found: dict[Node, str] = {}
    for name, leaf in parameters.named_parameters() if module else parameters.items():
        if not isinstance(leaf, Node) or not leaf.is_leaf:
            raise TypeError(
                "parameters で名前を付けるのは、葉の Value か Tensor です (expected leaves): "
                f"{name!r} は {leaf!r} です。途中の結果には h.label = {str(name)!r} と書きます。"
            )
        found.setdefault(leaf, str(name))
    return found


def named(
    graph: dict[Any, tuple[Any, ...]], outputs: list[Any], names: Mapping[Node, str]
) -> tuple[dict[Any, tuple[Any, ...]], list[Any]]:
    """名前のある葉を、名前の付いたものに置き換えたグラフと出力。"""
    known = {x: Named(x, names[x]) for x in graph if x in names}
    if not known:
        return graph, outputs

    def seen(x: Any) -> Any:
        return known.get(x, x) if isinstance(x, Node) else x

    replaced = {seen(x): tuple(map(seen, operands)) for x, operands in graph.items()}
    return replaced, [seen(x) for x in outputs]
