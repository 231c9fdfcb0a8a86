"""葉の勾配を、`Tensor` や 0.0 に包まずに、あるがままに: 配列・数・ノード、なければ `None`。"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from micrograd_jp.graph.hooks import hooks_of
from micrograd_jp.graph.node import Node, lock


def gradient_of(leaf: Node) -> Any:
    """葉の勾配。"""
    return leaf._grad


def gradients_of(leaves: Iterable[Node]) -> list[Any]:
    """それぞれの葉の勾配。"""
    return [leaf._grad for leaf in leaves]


def clear_gradients(leaves: Iterable[Node]) -> None:
    """どの葉も、勾配を未計算に戻す。"""
    for leaf in leaves:
        leaf._grad = None


def set_gradients(leaves: Iterable[Node], gradients: Iterable[Any]) -> None:
    """それぞれの葉の勾配を、写さずに取り替える。"""
    for leaf, gradient in zip(leaves, gradients):
        leaf._grad = gradient


def receive(leaf: Any, share: Any, fresh: bool = False) -> None:
    """計算グラフの外で求めた勾配を、葉の `Tensor` に、逆伝播が届けるのと同じように足し込む。

    型は葉のものになり、フックを通る。勾配を求めない葉には、何もしない。

    Args:
        leaf: 葉。
        share: 勾配の配列。
        fresh: ほかの誰も持っていない配列であること。
    """
    if not leaf.requires_grad:
        return
    if share.dtype != leaf.dtype:
        share, fresh = share.astype(leaf.dtype), True
    if hooks_of(leaf) is not None:
        leaf.backward(leaf.of_array(share))
        return
    with lock:
        leaf.accumulate(share, fresh)
