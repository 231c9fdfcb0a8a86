"""関数の変換: 関数を受け取り、その導関数を返す。

>>> from micrograd_jp import functions as mg
>>> third = grad(grad(grad(mg.tanh)))
>>> third(0.0).data
-2.0
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from micrograd_jp.engine import Value
from micrograd_jp.graph import gradients
from micrograd_jp.modes import enable_grad
from micrograd_jp.operands import as_number


def map_structure(function: Callable[[Any], Any], tree: Any) -> Any:
    """入れ子のリスト・タプル・辞書の葉に関数を適用し、同じ形で返す。"""
    if isinstance(tree, list | tuple):
        return type(tree)(map_structure(function, x) for x in tree)
    if isinstance(tree, dict):
        return {key: map_structure(function, x) for key, x in tree.items()}
    return function(tree)


def _variable(x: Any) -> Value:
    """A node of its own for one argument, still connected to the graph x came from.

    The same `Value` may be an argument of an outer `grad` too; were it used itself, the two
    derivatives would be confused (d/dx [x · d/dy (x + y)] at y = x).
    """
    return x.clone() if isinstance(x, Value) else Value(as_number(x))


def grad(function: Callable[..., Any], argnums: int | tuple[int, ...] = 0) -> Callable[..., Any]:
    """`function` の導関数を返す。結果も微分でき、何度でも重ねられる。

    Args:
        function: 数か `Value`（やその入れ子のリスト・タプル・辞書）を受け取り、
            1 つの `Value` を返す。
        argnums: どの引数で微分するか。番号の組を渡すと、結果も組になる。

    Returns:
        `function` と同じ引数を受け取り、勾配を引数と同じ形の `Value` で返す関数。

    Raises:
        TypeError: `function` が `Value` でも数でもないものを返した、または引数が数でない。
        IndexError: `argnums` の引数がない。
    """
    numbers = (argnums,) if isinstance(argnums, int) else tuple(argnums)

    @functools.wraps(function)
    def derivative(*args: Any, **kwargs: Any) -> Any:
        for n in numbers:
            if not -len(args) <= n < len(args):
                raise IndexError(
                    f"argnums={n} の引数がありません (no such argument): "
                    f"位置引数は {len(args)} 個です。"
                )
        with enable_grad():
            variables = list(args)
            for n in numbers:
                variables[n] = map_structure(_variable, args[n])
            output = function(*variables, **kwargs)
            if not isinstance(output, Value):
                output = Value(_single_number(output))
            total = gradients(output, Value(1.0))
            results = tuple(
                map_structure(lambda x: total[x] if x in total else Value(0.0), variables[n])
                for n in numbers
            )
        return results[0] if isinstance(argnums, int) else results

    return derivative


def _single_number(output: Any) -> float:
    try:
        return as_number(output)
    except TypeError:
        raise TypeError(
            "grad は Value を 1 つ返す関数を微分します (expected a scalar output): "
            f"関数は {type(output).__name__} を返しました。和などで 1 つの値にまとめてください。"
        ) from None
