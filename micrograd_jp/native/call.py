"""機械語を呼ぶときに、どの計算にも要るもの: 型、番地、引数の型、仕事の切り分け。"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from micrograd_jp.native import machine_code, threads
from micrograd_jp.native.ir import Vector

_TYPES = {"p": ctypes.c_void_p, "i": ctypes.c_int64}


def suits(*arrays: Any) -> bool:
    """どれもが同じ、機械語のある型か。機械語が止められていれば偽。"""
    dtype = arrays[0].dtype
    return (
        dtype.char in "fd"
        and dtype.isnative
        and all(a.dtype == dtype for a in arrays)
        and machine_code.enabled()
    )


def address(a: Any) -> int:
    """配列のはじめの番地。"""
    at: int = a.__array_interface__["data"][0]
    return at


@functools.cache
def kernels(module: Callable[[Vector], str], dtype: Any, **arguments: str) -> Any:
    """Python から呼べる機械語。

    Args:
        module: `dtype` の数のベクトルから、IR の全体を作る関数。
        dtype: 数の型。
        arguments: 関数の名前と、引数の型: p はポインタ、i は 64 ビットの整数。

    Returns:
        関数を、名前のとおりの属性にもつもの。
    """
    text = module(Vector.of(dtype.name, machine_code.vector_bytes()))
    addresses = machine_code.addresses(text, tuple(arguments))
    return SimpleNamespace(
        **{
            name: ctypes.CFUNCTYPE(None, *[_TYPES[letter] for letter in letters])(at)
            for (name, letters), at in zip(arguments.items(), addresses, strict=True)
        }
    )


def in_parts(work: Callable[[int, int], None], n: int, each: int) -> None:
    """n 個を `each` 個ずつに分け、`work(始まり, 個数)` をスレッドで呼ぶ。"""
    threads.run(lambda i: work(i * each, min(each, n - i * each)), -(-n // each))
