"""複素数の関数を、実部と虚部の組の関数に: 勾配確認 (gradcheck) は、実数を 1 つずつ動かす。"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from micrograd_jp.ops.complex import is_complex
from micrograd_jp.tensor.functions.complexes import view_as_complex, view_as_real
from micrograd_jp.transforms import leaves_of, map_structure, rebuild


def of_pairs(
    f: Callable[..., Any], args: tuple[Any, ...]
) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    """`f` と引数のうち、複素数の配列を、最後の軸に実部と虚部をもつ実数の配列に置き換える。"""
    marks = [is_complex(x) for x in leaves_of(args)]
    if not any(marks):
        return f, args

    @functools.wraps(f)
    def of_reals(*pairs: Any) -> Any:
        leaves = zip(leaves_of(pairs), marks, strict=True)
        return f(*rebuild(pairs, [view_as_complex(x) if m else x for x, m in leaves]))

    return of_reals, map_structure(_pairs, args)


def _pairs(x: Any) -> Any:
    return view_as_real(x).detach() if is_complex(x) else x
