"""勾配のフック (gradient hooks) の置き場: ノードから、その勾配ができたときに呼ぶ関数へ。"""

from __future__ import annotations

from functools import partial
from typing import Any
from weakref import ref

from micrograd_jp.graph.modes import is_grad_enabled, no_grad
from micrograd_jp.graph.node import Node
from micrograd_jp.ops.complex import is_complex

_places: dict[int, Hooks] = {}  # by identity: two Tensors are equal element by element


class Hooks:
    """1 つのノードのフック。`HookHandle` が、属性 `before` と `after` に置く。

    Attributes:
        pending: 葉に届いた勾配の和と、どの逆伝播のものか（そのトポロジカル順序の印）。
    """

    pending: tuple[Any, Any] = (None, None)

    def __init__(self, node: Any) -> None:
        self._gone = ref(node, partial(_forget, id(node)))  # keeps nothing alive
        _places[id(node)] = self

    def changed(self, node: Any, gradient: Any) -> Any:
        """フックを順に呼んだあとの勾配。配列なら配列、ノードならノードのまま。

        Raises:
            ValueError: フックが違う形を返した。
            TypeError: フックが `Tensor` でないものを返した。
        """
        hooks = vars(self).get("before")
        if not hooks:
            return gradient
        as_node = isinstance(gradient, Node)
        shown: Any = gradient if as_node else node.of_array(gradient)
        if as_node and is_grad_enabled():
            return _through(hooks, shown)
        with no_grad():
            out = _through(hooks, shown)
        return out if as_node else out._data

    def accumulated(self, node: Any) -> None:
        """足し込んだあとのフックを呼ぶ。"""
        for hook in tuple(vars(self).get("after", {}).values()):
            hook(node)


def _through(hooks: dict[int, Any], gradient: Any) -> Any:
    for hook in tuple(hooks.values()):
        new = hook(gradient)
        if new is None:
            continue
        if not isinstance(new, Node):
            raise TypeError(
                "register_hook のフックは Tensor か None を返します (expected a Tensor): "
                f"{type(new).__name__} が返されました。"
            )
        shape = getattr(new, "shape", ())
        if shape != gradient.shape:
            raise ValueError(
                f"フックの返した勾配の形が違います (shape mismatch): {shape} が返されました。"
                f"{gradient.shape} にしてください。"
            )
        if is_complex(new) and not is_complex(gradient):
            raise TypeError(
                "実数の勾配のフックが、複素数を返しました (complex gradient of a "
                "real Tensor): g.real のような実数にしてください。"
            )
        gradient = new
    return gradient


def _forget(key: int, _: Any) -> None:
    _places.pop(key, None)


def hooks_of(node: Any) -> Hooks | None:
    """そのノードのフック。なければ `None`。"""
    return _places.get(id(node))


def hooked(node: Any, gradient: Any) -> Any:
    """フックがあれば、それを通した勾配。"""
    hooks = _places.get(id(node))
    return gradient if hooks is None else hooks.changed(node, gradient)
