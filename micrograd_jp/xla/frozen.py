"""Python の値の比べ方: プログラムが同じになるあいだだけ、等しい。"""

from __future__ import annotations

import functools
import types
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np

from micrograd_jp.graph.node import Node
from micrograd_jp.nn.module.module import Module

_PLAIN = (bool, int, str, bytes, type(None), np.dtype)


class Same:
    """Compares by identity, and keeps what it compares alive."""

    def __init__(self, x: Any) -> None:
        self.x = x

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Same) and other.x is self.x

    def __hash__(self) -> int:
        return id(self.x)

    def __repr__(self) -> str:
        return f"<{type(self.x).__name__}>"


def is_plain(x: Any) -> bool:
    """数、文字列と、その入れ子だけでできているか。"""
    if isinstance(x, list | tuple | dict):
        return all(map(is_plain, x.values() if isinstance(x, dict) else x))
    return isinstance(x, (*_PLAIN, float))


def frozen(x: Any, node: Callable[[Any], Any] | None = None) -> Any:
    """プログラムが同じになるあいだだけ等しいもの。

    Args:
        x: 何でも。
        node: `Tensor`、`Value`、`Module` を何に替えるか。なければ、その中の数を見る。
    """
    kind = x.__class__
    if kind in _PLAIN:
        return kind, x
    if kind is float:
        return x.hex()  # nan is itself, and -0.0 is not 0.0
    if kind is list or kind is tuple:
        return kind, tuple([frozen(y, node) for y in x])
    if kind is dict:
        return kind, tuple([(frozen(k, node), frozen(y, node)) for k, y in x.items()])
    if isinstance(x, Node | Module) and node is not None:
        return node(x)
    if isinstance(x, Node):
        return frozen(x._data)
    if kind is np.ndarray and not x.dtype.hasobject:
        return x.shape, x.dtype, zlib.crc32(x.tobytes())
    if isinstance(x, np.generic):
        return x.dtype, frozen(x.item())
    if isinstance(x, types.MethodType):
        return Same(x.__func__), Same(x.__self__)
    if isinstance(x, functools.partial):
        return frozen(x.func, node), frozen(x.args, node), frozen(x.keywords, node)
    return Same(x)
