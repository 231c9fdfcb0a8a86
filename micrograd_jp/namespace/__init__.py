"""名前空間 (namespace): 演算の規則が使う数学関数の集まり。

規則は `m.exp(x)` のように書かれ、`m` が何であるかで実行のされ方が決まる。

- `scalar`: Python の float。`Value` の順伝播が使う。速いが、0 除算などで例外を出す。
- `ieee`: NumPy。例外を出さず IEEE 754 の inf と nan を返す。`scalar` が例外を出したときの答え。
- JAX: `jax.numpy`。JAX の配列に出会ったとき、はじめて読み込まれる。
- `analytic`: 複素数。複素ステップ法による数値微分だけが使う。
- `graph.on_graph`: 計算グラフ自身の関数。高階微分が使う。
- `stacked.stacked`: はじめの軸に積んだ配列。コンパイルした並びの演算が使う。
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from micrograd_jp.namespace.complex import Analytic
from micrograd_jp.namespace.jax import automatic as automatic
from micrograd_jp.namespace.jax import is_jax, is_traced, jax_namespace
from micrograd_jp.namespace.numpy import NumPy
from micrograd_jp.namespace.scalar import scalar
from micrograd_jp.namespace.short import dtype_of, is_floating, is_numeric

__all__ = [
    "analytic", "concrete", "dtype_of", "ieee", "is_array", "is_floating", "is_numeric",
    "is_traced", "of", "scalar",
]  # fmt: skip

analytic = Analytic()
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
