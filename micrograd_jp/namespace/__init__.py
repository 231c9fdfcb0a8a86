"""名前空間 (namespace): 演算の規則が使う数学関数の集まり。

規則は `m.exp(x)` のように書かれ、`m` が何であるかで実行のされ方が決まる。

- `scalar`: Python の float。`Value` の順伝播が使う。速いが、0 除算などで例外を出す。
- `ieee`: NumPy。例外を出さず IEEE 754 の inf と nan を返す。`scalar` が例外を出したときの答え。
- JAX: `jax.numpy`。JAX の配列に出会ったとき、はじめて読み込まれる。
- `analytic`: 複素数。複素ステップ法による数値微分だけが使う。
- `graph.on_graph`: 計算グラフ自身の関数。高階微分が使う。
- `stacked.stacked`: はじめの軸に積んだ配列。コンパイルした並びの演算が使う。
"""

from typing import TYPE_CHECKING

from micrograd_jp.namespace.scalar import scalar
from micrograd_jp.on_demand import later

if TYPE_CHECKING:  # a program of numbers needs none of these, nor the machine code below them
    from micrograd_jp.namespace.arrays import concrete, ieee, is_array, of
    from micrograd_jp.namespace.complex import analytic
    from micrograd_jp.namespace.jax import automatic, is_traced
    from micrograd_jp.namespace.short import (
        dtype_of,
        is_differentiable,
        is_floating,
        is_numeric,
    )

__all__ = [
    "analytic", "automatic", "concrete", "dtype_of", "ieee", "is_array",
    "is_differentiable", "is_floating", "is_numeric", "is_traced", "of", "scalar",
]  # fmt: skip

_PLACES = {
    "arrays": "concrete ieee is_array of",
    "complex": "analytic",
    "jax": "automatic is_traced",
    "short": "dtype_of is_differentiable is_floating is_numeric",
}
later(__name__, {name: where for where, names in _PLACES.items() for name in names.split()})
