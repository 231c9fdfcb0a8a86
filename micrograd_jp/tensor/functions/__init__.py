"""配列の関数。最初の引数が `Tensor` のものは、同じ名前のメソッドにもなる。

どの関数も、NumPy の引数の名前でも PyTorch の引数の名前でも呼べる (`spelling.py`)。
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from micrograd_jp.namespace.graph import on_graph
from micrograd_jp.tensor import inplace
from micrograd_jp.tensor.array import Tensor
from micrograd_jp.tensor.functions import (
    conv,
    index,
    kinds,
    linalg,
    norm,
    pointwise,
    pool,
    reduce,
    select,
    shape,
)
from micrograd_jp.tensor.functions import loss as loss  # registers its primitives
from micrograd_jp.tensor.registry import with_torch_names

FUNCTIONS: dict[str, Callable[..., Any]] = {
    name: with_torch_names(getattr(module, name))
    for module in (reduce, shape, index, select, linalg, pointwise)
    for name in module.__all__
}
"""パッケージの関数になるもの。"""

RULES = {name: getattr(module, name) for module in (conv, norm, pool) for name in module.RULES}
"""規則だけが、計算グラフの上で使う関数。"""

_ALSO_METHODS = """
    sum mean var std prod amax amin max min argmax argmin norm logsumexp log_softmax softmax
    cumsum all any
    reshape reshape_as view view_as ravel flatten contiguous squeeze unsqueeze transpose permute
    swapaxes movedim broadcast_to expand expand_as flip roll tile split
    take repeat gather scatter_add index_add tril triu diagonal trace argsort sort topk
    index_select masked_fill masked_select nonzero unbind chunk bincount
    matmul mm mv bmm addmm dot outer inv det slogdet cholesky
    square reciprocal rsqrt clamp ceil trunc round floor_divide remainder
    eq ne lt le gt ge isnan isinf isfinite logical_not logical_and logical_or logical_xor
    allclose equal
"""
METHODS: dict[str, Callable[..., Any]] = {
    **{name: FUNCTIONS[name] for name in _ALSO_METHODS.split()},
    **{name: getattr(kinds, name) for name in kinds.__all__},
    "t": shape.t,
}
"""`Tensor` のメソッドになるもの。"""

for _name, _function in METHODS.items():
    setattr(Tensor, _name, _function)
for _dunder, _name in {"floordiv": "floor_divide", "mod": "remainder"}.items():
    setattr(Tensor, f"__{_dunder}__", METHODS[_name])
    setattr(Tensor, f"__r{_dunder}__", lambda x, y, _f=METHODS[_name]: _f(y, x))
Tensor.device = property(kinds.place_of)  # type: ignore[method-assign, assignment]
on_graph.fill(FUNCTIONS | RULES)
inplace.attach()
