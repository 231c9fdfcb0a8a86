"""乱数の `Tensor`。数は `generator.py` の生成器から来る。

どの関数も、`generator=` があればその列から引き、`device=` があれば NumPy が作ってから運ぶ。
"""

from __future__ import annotations

from typing import Any

import numpy as np

from micrograd_jp.arguments import explain_all
from micrograd_jp.namespace import dtype_of
from micrograd_jp.tensor.array import Tensor, as_tensor
from micrograd_jp.tensor.checks import Shape, shape_of
from micrograd_jp.tensor.devices import placed
from micrograd_jp.tensor.dtypes import complex128, float32, float64, get_default_dtype, int64
from micrograd_jp.tensor.functions.complexes import complex
from micrograd_jp.tensor.generator import draw, is_keyed, numbers_of
from micrograd_jp.tensor.registry import torch_names

__all__ = ["rand", "rand_like", "randint", "randint_like", "randn", "randn_like", "randperm"]


def rand(
    *shape: Any,
    size: Any = None,
    generator: Any = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """0 以上 1 未満の一様乱数。"""
    return _random("random", shape_of(shape, "rand", size), generator, dtype, device, requires_grad)


def randn(
    *shape: Any,
    size: Any = None,
    generator: Any = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """平均 0、分散 1 の正規乱数。"""
    return _random(
        "standard_normal", shape_of(shape, "randn", size), generator, dtype, device, requires_grad
    )


def _random(
    name: str, shape: Shape, source: Any, dtype: Any, device: Any, requires_grad: bool
) -> Tensor:
    wanted, rng = dtype_of(dtype or get_default_dtype()), numbers_of(source)
    if wanted.kind == "c":
        part = float64 if wanted == complex128 else float32
        scale = 0.5**0.5 if name == "standard_normal" else 1.0  # a variance of 1 in all
        x, y = (_random(name, shape, source, part, device, False) * scale for _ in range(2))
        return complex(x, y).requires_grad_(requires_grad)
    if is_keyed():
        there = {"random": "uniform", "standard_normal": "normal"}[name]
        return Tensor(draw(there, shape, dtype=wanted), requires_grad)
    drawn = float64 if wanted == float64 else float32  # the two that NumPy draws
    numbers = getattr(rng, name)(shape, dtype=drawn)
    numbers = np.asarray(numbers).astype(wanted, copy=False)
    return Tensor(placed(numbers, device), requires_grad)


@torch_names()
def randint(
    low: int,
    high: Any = None,
    shape: Any = None,
    *,
    generator: Any = None,
    dtype: Any = int64,
    device: Any = None,
) -> Tensor:
    """`low` 以上 `high` 未満の整数の乱数。`randint(high, shape)` なら 0 から。

    形は `size=` とも書ける (PyTorch)。

    Raises:
        TypeError: 形がない。
        ValueError: `high` が `low` より大きくない。
    """
    if shape is None:
        low, high, shape = 0, low, high
    elif high is None:
        low, high = 0, low
    if shape is None:
        raise TypeError(
            "randint には形も要ります (size required): mg.randint(0, 10, (3,)) と書いてください。"
        )
    size = shape_of((shape,), "randint")
    if low >= high:
        raise ValueError(f"randint の範囲が空です (low >= high): {low} 以上 {high} 未満。")
    rng = numbers_of(generator)
    if is_keyed():
        return Tensor(draw("randint", size, low, high, dtype=dtype))
    numbers = np.asarray(rng.integers(low, high, size)).astype(dtype)
    return Tensor(placed(numbers, device))


@torch_names()
def randint_like(
    x: Any,
    low: int,
    high: Any = None,
    *,
    generator: Any = None,
    dtype: Any = None,
    device: Any = None,
) -> Tensor:
    """x と同じ形と型の、`low` 以上 `high` 未満の整数の乱数。1 つだけなら、0 からそれ未満。

    Raises:
        ValueError: `high` が `low` より大きくない。
    """
    x = as_tensor(x)
    drawn = randint(low, high, x.shape, generator=generator, device=device)
    return drawn.astype(dtype or x.dtype)


def randperm(n: int, *, generator: Any = None, device: Any = None) -> Tensor:
    """0 から n − 1 までの整数を、でたらめな順に並べたもの。"""
    (n,) = shape_of((n,), "randperm")
    rng = numbers_of(generator)
    if is_keyed():
        return Tensor(draw("permutation", n))
    return Tensor(placed(rng.permutation(n), device))


@torch_names()
def rand_like(
    x: Any,
    *,
    generator: Any = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """x と同じ形と型の一様乱数。"""
    x = as_tensor(x)
    return rand(
        x.shape,
        generator=generator,
        dtype=dtype or x.dtype,
        device=device,
        requires_grad=requires_grad,
    )


@torch_names()
def randn_like(
    x: Any,
    *,
    generator: Any = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """x と同じ形と型の正規乱数。"""
    x = as_tensor(x)
    return randn(
        x.shape,
        generator=generator,
        dtype=dtype or x.dtype,
        device=device,
        requires_grad=requires_grad,
    )


explain_all(globals())
