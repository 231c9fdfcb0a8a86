"""テープを実行する機械語 (kernel): 書き、LLVM でコンパイルし、ディスクに覚えておく。

核の本体は、命令を 1 つ読んではその枝へ跳ぶくり返しである。Python で書けばこうなる:

    while code[pc] != STOP:
        match code[pc]:
            case MUL: v[code[pc + 1]] = v[code[pc + 2]] * v[code[pc + 3]]; pc += 4
            case EXP: …

v の 1 つのスロットには L 個の標本の値（レーン）が並び、1 つの命令が L 個を 1 度に計算する。
逆伝播は、命令を逆に並べた別の列を、同じ形の核が実行する。

numba を通さずに LLVM を直接使うのは、宣言の規則がそのまま機械語になり、SIMD の幅を決められ、
コンパイルが 1 桁速いからである。
"""

from __future__ import annotations

import ctypes
import ctypes.util
import functools
import math
import sys
from collections.abc import Callable, Mapping, Set
from typing import Any

from micrograd_jp.compiler.table.codes import FIRST_OPERATION, KNOWN, PRIMITIVES, name_of
from micrograd_jp.compiler.tape import lists
from micrograd_jp.compiler.tape.branches import (
    Branch,
    Write,
    elementwise_backward,
    elementwise_forward,
    heavy_calls,
    saved,
)
from micrograd_jp.native import machine_code
from micrograd_jp.native.expressions import KINDS, Code
from micrograd_jp.native.math import LIBRARY
from micrograd_jp.ops.primitive import Elementwise, Primitive

STOP = 0
"""命令の列の終わり。"""


@functools.cache
def _elementwise(count: int) -> dict[str, Elementwise]:
    """The operations that can become machine code. `count`: new ones may be declared later."""
    found = {}
    for code in range(FIRST_OPERATION, count):
        op = PRIMITIVES[code]
        if isinstance(op, Elementwise):
            try:
                saved(op)
            except AttributeError:
                continue
            found[name_of(code)] = op
    return found


def forward_branches(count: int | None = None) -> dict[str, Write]:
    """順伝播の命令の名前から、枝を書く関数へ。順番が命令の番号になる。

    Args:
        count: 番号がこれより小さい演算だけの表にする。`None` なら、今までに記録されたすべて。
    """
    elementwise = _elementwise(count or len(PRIMITIVES))
    return _numbered(lists.FORWARD, {n: elementwise_forward(op) for n, op in elementwise.items()})


def backward_branches(count: int | None = None) -> dict[str, Write]:
    """逆伝播の命令の名前から、枝を書く関数へ。"""
    again = {n: op for n, op in _elementwise(count or len(PRIMITIVES)).items() if not saved(op)}
    return _numbered(lists.BACKWARD, {n: elementwise_backward(op) for n, op in again.items()})


def _numbered(first: dict[str, Write], then: dict[str, Write]) -> dict[str, Write]:
    """In the order of their numbers. New operations come last: a tape keeps the numbers it has."""
    return first | {name: write for name, write in then.items() if name not in first}


def saved_partials() -> dict[str, list[int]]:
    """要素ごとの演算の名前から、順伝播で局所微分を保存する引数の番号へ。"""
    return {name: saved(op) for name, op in _elementwise(len(PRIMITIVES)).items()}


def calls(op: Primitive) -> tuple[float, float]:
    """順伝播で呼ぶ、四則より重い関数の数: その場に展開されるものと、数学ライブラリのもの。

    機械語にできない演算では、どちらも無限大。
    """
    if not isinstance(op, Elementwise):
        return 0, 0
    try:
        return heavy_calls(op)
    except AttributeError:
        return math.inf, math.inf


def module(dtype: str, lanes: int, count: int = KNOWN) -> str:
    """LLVM の IR: 関数 `forward` と `backward`。"""
    declared: set[str] = set()
    both = (("forward", forward_branches(count)), ("backward", backward_branches(count)))
    functions = [
        _function(name, branches, KINDS[dtype], lanes, declared) for name, branches in both
    ]
    return "\n".join([*functions, *sorted(declared), _ATTRIBUTES])


_ATTRIBUTES = """
attributes #0 = { nounwind "min-legal-vector-width"="512" "prefer-vector-width"="512" }
"""

_FUNCTION = """
define i64 @{name}(ptr noalias %code, ptr noalias %v, ptr noalias %g, ptr noalias %library) #0 {{
entry:
  br label %next
next:
  %pc = phi i64 [ 0, %entry ]{arrivals}
  %where = getelementptr i32, ptr %code, i64 %pc
  %op = load i32, ptr %where
  switch i32 %op, label %unknown [
    i32 {stop}, label %stop{cases}
  ]
{branches}
stop:
  ret i64 0
unknown:
  %wrong = add i64 %pc, 1
  ret i64 %wrong
}}
"""


def _function(
    name: str, branches: Mapping[str, Write], kind: str, lanes: int, declared: set[str]
) -> str:
    code, arrivals, cases = Code(), [], []
    for number, (label, write) in enumerate(branches.items(), STOP + 1):
        code.start(f"op.{label}")
        write(Branch(code, kind, lanes))
        jump, _, following = code.lines[-1].partition(" ; ")
        code.lines[-1] = jump
        arrivals.append(f", [ {following}, %{code.label} ]")
        cases.append(f"\n    i32 {number}, label %op.{label}")
    declared |= code.declared
    return _FUNCTION.format(
        name=name, stop=STOP, arrivals="".join(arrivals), cases="".join(cases),
        branches="\n".join(code.lines),
    )  # fmt: skip


# ---- 機械語 ------------------------------------------------------------------------------------

Kernel = Callable[[int, int, int, int], int]
"""`(命令, 値, 勾配, ライブラリ関数の表)`、どれも番地。0 か、知らない命令の場所 + 1 を返す。"""

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
    loaded = ctypes.CDLL("ucrtbase" if sys.platform == "win32" else None)
    if not all(hasattr(loaded, f) for f in LIBRARY):  # looked for by another process: 40 ms
        loaded = ctypes.CDLL(ctypes.util.find_library("m"))
    addresses = [ctypes.cast(getattr(loaded, f), ctypes.c_void_p).value for f in LIBRARY]
    return (ctypes.c_void_p * len(addresses))(*addresses)


def enough(names: Set[str]) -> int:
    """この名前の命令を実行する核に要る演算の数。

    はじめからある演算だけのテープは、いつも同じ核が実行する: ほかの演算が記録されても、コンパイルし
    直さない。
    """
    return KNOWN if names <= forward_branches(KNOWN).keys() else len(PRIMITIVES)


@functools.cache
def kernels(dtype: str, lanes: int, count: int = KNOWN) -> tuple[Kernel, Kernel]:
    """順伝播と逆伝播の機械語。

    Args:
        dtype: `"float32"` か `"float64"`。
        lanes: レーンの数。
        count: 番号がこれより小さい演算を知っている核。
    """
    found = machine_code.addresses(module(dtype, lanes, count), ("forward", "backward"))
    forward, backward = map(_SIGNATURE, found)
    return forward, backward
