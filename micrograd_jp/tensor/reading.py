"""`mg.tensor` と `mg.Tensor` に渡されたもの（数、リスト、配列）から、新しい配列を作る。"""

from __future__ import annotations

from functools import reduce
from typing import Any

import numpy as np

from micrograd_jp import namespace
from micrograd_jp.engine.numbers import not_a_number
from micrograd_jp.graph.node import Node
from micrograd_jp.namespace import quiet
from micrograd_jp.tensor.conversions import Conversions
from micrograd_jp.tensor.dtypes import all_held, complex_of, get_default_dtype, together


def array_of(data: Any, dtype: Any = None) -> Any:
    """`mg.tensor(data, dtype=dtype)` の配列（値は写される）。

    Raises:
        TypeError, ValueError: `mg.tensor` と同じ。
    """
    if isinstance(data, Conversions):
        data = data._data
    leaves = list(_leaves(data))
    if any(isinstance(x, Node) for x in leaves):
        raise TypeError(
            "Value や Tensor の並びは mg.stack([…]) で 1 つの Tensor にします "
            "(use stack): mg.tensor では勾配が途切れます。"
        )
    m = namespace.of(*leaves)
    try:
        array = m.array(data)
    except ValueError:
        raise ValueError(
            "入れ子の長さが揃っていません (ragged nested sequence)。各行を同じ長さにしてください。"
        ) from None
    floating = namespace.is_floating(array.dtype)
    if not floating and array.dtype.kind not in "ciub":
        raise not_a_number(data, "tensor")
    if (
        dtype is None
        and floating
        and not (namespace.is_array(data) or isinstance(data, np.generic))
    ):
        dtype = _dtype_of_floats(leaves)
    if dtype is None and any(x.__class__ is complex for x in leaves):
        dtype = complex_of(get_default_dtype())
    if dtype is not None:
        dtype = m.dtype(dtype)
        if not (namespace.is_array(data) or namespace.is_traced(array)):
            all_held(np.asarray(array), dtype)
        with quiet.silence():
            array = m.astype(array, dtype)
    return array


def floats_of(data: Any) -> Any:
    """`mg.Tensor(data)` の配列。PyTorch と同じく、リストの数は既定の小数になる。

    Raises:
        TypeError: 並びでも配列でもない。
    """
    if isinstance(data, np.generic):
        return np.asarray(data)
    if not isinstance(data, list | tuple | Conversions):
        raise TypeError(
            "mg.Tensor は並びか配列を受け取ります (expected a sequence or an array): "
            f"{type(data).__name__} が渡されました。数の Tensor は mg.tensor(3.0)、"
            "形からは mg.zeros(2, 3) と書いてください。"
        )
    return array_of(data, None if isinstance(data, Conversions) else get_default_dtype())


def _dtype_of_floats(leaves: list[Any]) -> Any:
    """The dtype of a list of numbers: NumPy's keep theirs, Python's have the default one."""
    own = {x.dtype for x in leaves if hasattr(x, "dtype") and namespace.is_floating(x.dtype)}
    if not own or any(x.__class__ is float for x in leaves):
        own.add(get_default_dtype())
    return reduce(together, own)


def _leaves(data: Any) -> Any:
    if isinstance(data, list | tuple):
        for x in data:
            yield from _leaves(x)
    else:
        yield data
