"""ある `Tensor` と同じ型と場所の、新しい `Tensor` を作るメソッド: `t.new_zeros(2, 3)`、…。"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from micrograd_jp.tensor import creation
from micrograd_jp.tensor.array import Tensor, as_tensor, tensor
from micrograd_jp.tensor.dtypes import int8, uint8
from micrograd_jp.tensor.functions.to import place_of, to
from micrograd_jp.tensor.registry import function

_method = function(package=False)


def _like(x: Tensor, dtype: Any, device: Any) -> dict[str, Any]:
    here = device if device is not None else place_of(x)
    return {"dtype": dtype or x.dtype, "device": here}


def _filled(name: str, make: Callable[..., Tensor], with_what: str) -> None:
    @function(package=False, name=f"new_{name}", summary=f"同じ型と場所の、{with_what}の配列。")
    def new(
        x: Any, *shape: Any, size: Any = None, dtype: Any = None, device: Any = None,
        requires_grad: bool = False,
    ) -> Tensor:  # fmt: skip
        return make(*shape, size=size, requires_grad=requires_grad, **_like(x, dtype, device))


_filled("zeros", creation.zeros, " 0 ")
_filled("ones", creation.ones, " 1 ")
_filled("empty", creation.empty, "値を決めない（0 の）")


@_method
def new_full(
    x: Any, size: Any, fill_value: Any, *, dtype: Any = None, device: Any = None,
    requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """同じ型と場所の、1 つの数の配列。"""
    like = _like(x, dtype, device)
    return creation.full(size, fill_value, requires_grad=requires_grad, **like)


@_method
def new_tensor(
    x: Any, data: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """同じ型と場所の、`data` の写し。"""
    return tensor(data, requires_grad=requires_grad, **_like(x, dtype, device))


@_method
def type_as(x: Any, other: Any) -> Tensor:
    """`other` の型にする。"""
    return to(x, as_tensor(other).dtype)


@_method
def byte(x: Any) -> Tensor:
    """uint8 にする。"""
    return to(x, uint8)


@_method
def char(x: Any) -> Tensor:
    """int8 にする。"""
    return to(x, int8)
