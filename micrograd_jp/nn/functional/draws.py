"""層の中で引く乱数。"""

from __future__ import annotations

from typing import Any

import numpy as np

from micrograd_jp import namespace
from micrograd_jp.tensor.array import Tensor
from micrograd_jp.tensor.generator import draw, generator, is_keyed


def uniform(t: Tensor, shape: tuple[int, ...], what: str) -> Any:
    """Numbers from 0 to 1 for a computation on t."""
    if is_keyed():
        return draw("uniform", shape)
    if namespace.is_traced(t._data):
        raise TypeError(
            f"jax.jit の中では乱数を引けません ({what} inside jax.jit): いつも同じ乱数になって"
            "しまいます。jax.jit の代わりに mg.jit(関数, model) を使うか、model.eval() として"
            "ください。"
        )
    return generator().random(shape, dtype=np.float32)
