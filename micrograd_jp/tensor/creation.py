"""`Tensor` を作る関数: 0 や 1 の配列、等差数列、ほかのライブラリの配列から。

どれも `device=` を受け取る。指定がなければ NumPy の配列であり、JAX の配列を作るには
`mg.tensor(jax の配列)` と書くか、GPU などの装置を指定する。
"""

from __future__ import annotations

from typing import Any

import numpy as np

from micrograd_jp.arguments import explain_all
from micrograd_jp.engine.numbers import is_number, not_a_number
from micrograd_jp.namespace import dtype_of, is_array, is_numeric
from micrograd_jp.ops.complex import only_for_real
from micrograd_jp.tensor.array import Tensor, tensor
from micrograd_jp.tensor.array import as_tensor as _as_tensor
from micrograd_jp.tensor.checks import Shape, shape_of
from micrograd_jp.tensor.devices import placed
from micrograd_jp.tensor.dtypes import complex_of, get_default_dtype, held, require_held
from micrograd_jp.tensor.registry import torch_names

__all__ = [
    "arange", "as_tensor", "empty", "empty_like", "eye", "from_numpy", "full", "full_like",
    "is_tensor", "linspace", "logspace", "ones", "ones_like", "zeros", "zeros_like",
]  # fmt: skip


def zeros(
    *shape: Any, size: Any = None, dtype: Any = None, device: Any = None,
    requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """0 の配列。`zeros(2, 3)`、`zeros((2, 3))`、`zeros(size=(2, 3))` と書ける。"""
    return _filled(shape_of(shape, "zeros", size), 0.0, dtype, device, requires_grad)


def ones(
    *shape: Any, size: Any = None, dtype: Any = None, device: Any = None,
    requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """1 の配列。"""
    return _filled(shape_of(shape, "ones", size), 1.0, dtype, device, requires_grad)


def empty(
    *shape: Any, size: Any = None, dtype: Any = None, device: Any = None,
    requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """値を決めない配列 (PyTorch の名前)。ここでは 0 で満たし、同じプログラムは同じ結果になる。"""
    return _filled(shape_of(shape, "empty", size), 0.0, dtype, device, requires_grad)


@torch_names(fill_value="value")
def full(
    shape: Any, value: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """同じ数の配列。型は数の型（小数なら既定の型）。"""
    return _filled(shape_of((shape,), "full"), value, dtype, device, requires_grad)


def _filled(shape: Shape, value: Any, dtype: Any, device: Any, requires_grad: bool) -> Tensor:
    value = value.item() if isinstance(value, np.generic) else value  # NumPy's numbers are weak
    if dtype is not None and is_number(value):
        value = held(value, dtype)
    filled = tensor(value, dtype=dtype).broadcast_to(shape)
    return Tensor(placed(filled._data.copy(), device), requires_grad)


@torch_names(m="columns")
def eye(
    n: int, columns: int | None = None, *, dtype: Any = None, device: Any = None,
    requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """単位行列。形は (n, n)、または (n, columns)。"""
    shape = shape_of((n, n if columns is None else columns), "eye")
    return Tensor(
        placed(np.eye(*shape, dtype=dtype_of(dtype or get_default_dtype())), device), requires_grad
    )


@torch_names()
def arange(
    start: float, stop: float | None = None, step: float = 1, *, dtype: Any = None,
    device: Any = None, requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """等差数列 `start, start + step, …`。`stop` は含まない。整数だけなら int64。

    Raises:
        ValueError: `step` が 0。
    """
    start, stop = (0, start) if stop is None else (start, stop)
    if any(isinstance(x, complex) for x in (start, stop, step)):
        raise only_for_real("arange")
    if step == 0:
        raise ValueError("arange の step は 0 にできません (step must not be zero)。")
    numbers = np.arange(start, stop, step)
    wanted = get_default_dtype() if numbers.dtype.kind == "f" else numbers.dtype
    return Tensor(placed(numbers.astype(dtype_of(dtype or wanted)), device), requires_grad)


@torch_names()
def linspace(
    start: float, stop: float, num: int = 50, *, dtype: Any = None, device: Any = None,
    requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """両端を含む、等間隔の `num` 個の数。"""
    (n,) = shape_of((num,), "linspace")
    points = _typed(np.linspace(start, stop, n), dtype)
    return Tensor(placed(points, device), requires_grad)


@torch_names()
def logspace(
    start: float, stop: float, steps: int = 100, base: float = 10.0, *, dtype: Any = None,
    device: Any = None, requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """対数で等間隔の数: base の start 乗から stop 乗まで、両端を含む `steps` 個。"""
    (n,) = shape_of((steps,), "logspace")
    points = _typed(np.logspace(start, stop, n, base=base), dtype)
    return Tensor(placed(points, device), requires_grad)


def _typed(points: Any, dtype: Any) -> Any:
    """In the dtype that was asked for, towards 0; else in the default one."""
    default = get_default_dtype()
    wanted = dtype_of(dtype or (complex_of(default) if points.dtype.kind == "c" else default))
    require_held(points, wanted)
    return points.astype(wanted)


# ---- 形と型をまねる ----------------------------------------------------------------------------


@torch_names()
def zeros_like(
    x: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """x と同じ形と型の 0。"""
    return full_like(x, 0, dtype=dtype, device=device, requires_grad=requires_grad)


@torch_names()
def empty_like(
    x: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """x と同じ形と型の、値を決めない配列。`empty` と同じく 0 で満たす。"""
    return full_like(x, 0, dtype=dtype, device=device, requires_grad=requires_grad)


@torch_names()
def ones_like(
    x: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """x と同じ形と型の 1。"""
    return full_like(x, 1, dtype=dtype, device=device, requires_grad=requires_grad)


@torch_names(fill_value="value")
def full_like(
    x: Any, value: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """x と同じ形と型の、同じ数の配列。"""
    x = _as_tensor(x)
    return full(x.shape, value, dtype=dtype or x.dtype, device=device, requires_grad=requires_grad)


# ---- ほかのものから ----------------------------------------------------------------------------


def as_tensor(data: Any, dtype: Any = None, device: Any = None) -> Tensor:
    """`Tensor` にする。`Tensor` ならそのもの、配列なら値を写さずにメモリを共有する。

    `Value` は、同じ計算グラフの 0 次元の `Tensor` になる。ほかは `mg.tensor` と同じ。
    """
    made = Tensor(data) if is_array(data) else _as_tensor(data)
    return made.to(dtype=dtype, device=device)


def from_numpy(array: Any) -> Tensor:
    """ndarray とメモリを共有する `Tensor`。片方を書き換えると、もう片方も変わる。

    Raises:
        TypeError: ndarray でない、または数の配列でない。
    """
    if not isinstance(array, np.ndarray):
        raise TypeError(
            f"from_numpy は ndarray を受け取ります (expected np.ndarray): {type(array).__name__} が"
            "渡されました。リストや数には mg.tensor(…) と書いてください。"
        )
    if not is_numeric(array.dtype):
        raise not_a_number(array, "from_numpy")
    return Tensor(array)


def is_tensor(x: Any) -> bool:
    """`Tensor` か。"""
    return isinstance(x, Tensor)


explain_all(globals())
