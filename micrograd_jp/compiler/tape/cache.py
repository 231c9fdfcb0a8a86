"""テープの核 (kernel) の機械語。コンパイルと、そのディスク上の覚え書きは `native` がする。"""

from __future__ import annotations

import ctypes
import ctypes.util
import functools
import sys
from collections.abc import Callable
from typing import Any

from micrograd_jp.compiler.table.codes import PRIMITIVES
from micrograd_jp.compiler.tape.kernel import module
from micrograd_jp.native import machine_code
from micrograd_jp.native.math import LIBRARY

Kernel = Callable[[int, int, int, int], int]
"""`(命令, 値, 勾配, ライブラリ関数の表)`、どれも番地。0 か、知らない命令の場所 + 1 を返す。"""

FUNCTIONS = ("forward", "backward")

_SIGNATURE = ctypes.CFUNCTYPE(ctypes.c_int64, *[ctypes.c_void_p] * 4)


@functools.cache
def available() -> bool:
    """llvmlite（extra `fast`）と、数学ライブラリがあるか。"""
    try:
        library()
    except (OSError, AttributeError):
        return False
    return machine_code.available()


@functools.cache
def library() -> Any:
    """数学ライブラリの関数の番地の表。

    Raises:
        OSError: 数学ライブラリがない。
        AttributeError: 関数が足りない。
    """
    name = "ucrtbase" if sys.platform == "win32" else ctypes.util.find_library("m")
    loaded = ctypes.CDLL(name)
    addresses = [ctypes.cast(getattr(loaded, f), ctypes.c_void_p).value for f in LIBRARY]
    return (ctypes.c_void_p * len(addresses))(*addresses)


def kernels(dtype: str, lanes: int) -> tuple[Kernel, Kernel]:
    """順伝播と逆伝播の機械語。

    Args:
        dtype: `"float32"` か `"float64"`。
        lanes: レーンの数。
    """
    return _kernels(dtype, lanes, len(PRIMITIVES))


@functools.cache
def _kernels(dtype: str, lanes: int, count: int) -> tuple[Kernel, Kernel]:
    forward, backward = map(_SIGNATURE, machine_code.addresses(module(dtype, lanes), FUNCTIONS))
    return forward, backward
