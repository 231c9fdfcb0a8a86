"""機械語を呼ぶときに、どの計算にも要るもの: 型、番地、引数の型、仕事の切り分け。"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable
from typing import Any

from micrograd_jp.native import machine_code, threads
from micrograd_jp.native.ir import Function, Vector

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
    try:  # six times faster, where the memory may be written to and has no gaps
        return ctypes.addressof(_byte(a))
    except (TypeError, ValueError, BufferError):
        at: int = a.__array_interface__["data"][0]
        return at


_byte = ctypes.c_char.from_buffer


@functools.cache
def kernel(function: Function, dtype: Any) -> Callable[..., None]:
    """`dtype` の数のための機械語を、Python から呼べるように。"""
    text = function.module(Vector.of(dtype.name, machine_code.vector_bytes()))
    (at,) = machine_code.addresses(text, (function.name,))
    return ctypes.CFUNCTYPE(None, *[_TYPES[letter] for letter in function.arguments])(at)


def in_parts(work: Callable[[int, int], None], n: int, each: int) -> None:
    """n 個を `each` 個ずつに分け、`work(始まり, 個数)` をスレッドで呼ぶ。"""
    threads.run(lambda i: work(i * each, min(each, n - i * each)), -(-n // each))
