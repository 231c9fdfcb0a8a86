"""関数の `inplace=True` の形: 結果を、渡された `Tensor` に書き込む。"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from micrograd_jp.tensor.array import Tensor
from micrograd_jp.tensor.inplace import write


def written(name: str, function: Callable[[Any], Any], x: Any, inplace: bool) -> Any:
    """function(x)。`inplace` なら、それを `Tensor` x に書き込み、x を返す。

    Args:
        name: エラーに書く名前。
        function: 1 つの引数の関数。
        x: 入力。
        inplace: 書き込むか（`Tensor` でなければ、いつも書き込まない）。

    Raises:
        RuntimeError: 勾配を求める葉。
        TypeError: 結果の型が x の型に収まらない。
    """
    return write(x, f"{name}_", function) if inplace and isinstance(x, Tensor) else function(x)


def in_place(function: Callable[..., Any]) -> Callable[..., Any]:
    """`inplace` のある関数から、名前が `_` で終わる、書き換える関数を作る。"""

    @functools.wraps(function)
    def call(input: Any, *args: Any, **kwargs: Any) -> Any:
        return function(input, *args, **kwargs, inplace=True)

    call.__name__ = call.__qualname__ = f"{function.__name__}_"
    call.__doc__ = f"`{function.__name__}(…, inplace=True)`: `input` を書き換える。"
    return call
