"""配列の関数。最初の引数が `Tensor` のものは、同じ名前のメソッドにもなる。"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from micrograd_jp.array_functions import index, linalg, reduce, shape
from micrograd_jp.array_functions import loss as loss  # registers its primitives
from micrograd_jp.tensor import Tensor

METHODS: dict[str, Callable[..., Any]] = {
    name: getattr(module, name)
    for module, names in (
        (reduce, "sum mean var std prod amax amin max min argmax argmin norm logsumexp "
                 "log_softmax softmax cumsum all any"),
        (shape, "reshape view flatten squeeze unsqueeze transpose permute swapaxes movedim "
                "broadcast_to expand flip roll tile split"),
        (index, "take repeat gather scatter_add index_add tril triu diagonal trace "
                "argsort sort topk"),
        (linalg, "matmul dot outer inv det slogdet cholesky"),
    )
    for name in names.split()
}  # fmt: skip

for _name, _function in METHODS.items():
    setattr(Tensor, _name, _function)
