"""配列の名前空間: ある配列が NumPy のものか、JAX のものか。"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from micrograd_jp.namespace.jax import is_jax, is_traced, jax_namespace
from micrograd_jp.namespace.numpy import NumPy

ieee = NumPy(np)


def is_array(x: Any) -> bool:
    """どれかの名前空間の配列か。"""
    return isinstance(x, np.ndarray) or is_jax(x)


def of(*xs: Any) -> Any:
    """引数の配列が属する名前空間: 1 つでも JAX の配列があれば JAX、なければ NumPy。"""
    if "jax" in sys.modules:
        for x in xs:
            if x.__class__ is not np.ndarray and is_jax(x):
                return jax_namespace()
    return ieee


def concrete(x: Any, operation: str) -> Any:
    """配列の値を ndarray で返す。

    Raises:
        TypeError: `jax.jit` の中の、値のない配列。
    """
    if isinstance(x, np.ndarray):
        return x
    if is_traced(x):
        raise TypeError(
            f"jax.jit などの中では {operation} は使えません (traced array has no value): "
            f"ここでは形 {x.shape} と型 {x.dtype} だけが決まっています。"
            "値は、変換された関数から返した後で使ってください。"
        )
    return np.array(x)  # a copy: memory of JAX must not be written to
