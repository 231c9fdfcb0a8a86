"""`Module`: パラメータを持つ部品の土台。"""

from __future__ import annotations

from typing import Any

from micrograd_jp.graph import Node


class Module:
    """パラメータを持つ部品。属性に置いた `Value`、勾配を求める `Tensor`、`Module`、
    そのリストを自分で見つける。
    """

    def parameters(self) -> list[Any]:
        """すべてのパラメータを、属性の順に。共有されたものは 1 度だけ。"""
        found: dict[int, Any] = {}
        _collect(list(vars(self).values()), found)
        return list(found.values())

    def zero_grad(self) -> None:
        """すべてのパラメータの勾配を 0（未計算）に戻す。"""
        for parameter in self.parameters():
            parameter.grad = None


def _collect(x: Any, found: dict[int, Any]) -> None:
    if isinstance(x, Module):
        for parameter in x.parameters():
            found.setdefault(id(parameter), parameter)
    elif isinstance(x, Node):
        if x.is_leaf and x.requires_grad:
            found.setdefault(id(x), x)
    elif isinstance(x, list | tuple):
        for element in x:
            _collect(element, found)
    elif isinstance(x, dict):
        _collect(list(x.values()), found)
