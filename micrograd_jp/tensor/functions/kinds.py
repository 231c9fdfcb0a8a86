"""型と場所を変えるメソッド: `t.long()`, `t.to(dtype や device)`, `t.cpu()`, …。PyTorch の名前。"""

from __future__ import annotations

from typing import Any

import numpy as np

from micrograd_jp.graph.node import data_of
from micrograd_jp.namespace import is_floating
from micrograd_jp.tensor import dtypes
from micrograd_jp.tensor.array import Tensor, as_tensor
from micrograd_jp.tensor.devices import device, device_of, placed

__all__ = ["bool", "cpu", "cuda", "half", "int", "is_floating_point", "long", "short", "to", "type"]


def half(x: Any) -> Tensor:
    """float16 にする。"""
    return as_tensor(x).astype(dtypes.float16)


def long(x: Any) -> Tensor:
    """int64 にする。小数は 0 に向かって切り捨てる。勾配はない。"""
    return _without_gradient(x, dtypes.int64)


def int(x: Any) -> Tensor:
    """int32 にする。小数は 0 に向かって切り捨てる。勾配はない。"""
    return _without_gradient(x, dtypes.int32)


def short(x: Any) -> Tensor:
    """int16 にする。小数は 0 に向かって切り捨てる。勾配はない。"""
    return _without_gradient(x, dtypes.int16)


def bool(x: Any) -> Tensor:
    """真偽値にする。0 でないものは真。勾配はない。"""
    return _without_gradient(x, dtypes.bool_)


def _without_gradient(x: Any, dtype: Any) -> Tensor:
    t = as_tensor(x)
    return (t.detach() if t.requires_grad else t).astype(dtype)


def type(x: Any, dtype: Any) -> Tensor:
    """型を変える (PyTorch の名前)。"""
    return to(x, dtype)


def is_floating_point(x: Any) -> Any:
    """小数の型か。"""
    return is_floating(as_tensor(x).dtype)


def to(x: Any, *where: Any, dtype: Any = None, device: Any = None) -> Tensor:
    """型か場所を変える: `t.to(mg.float64)`, `t.to("cpu")`, `t.to(device, dtype)`, `t.to(other)`。

    どちらも変わらないなら自分を返す。

    Raises:
        TypeError: 型でも装置でもない。
        RuntimeError: その装置がない、または計算グラフの途中の Tensor を運ぼうとした。
    """
    for given in where:
        if isinstance(given, Tensor):
            dtype, device = given.dtype, device_of(given.data)
        elif isinstance(given, str | _Device):
            device = given
        else:
            dtype = given
    return _on(_of(as_tensor(x), dtype), device)


_Device = device


def _of(t: Tensor, dtype: Any) -> Tensor:
    if dtype is None:
        return t
    try:
        wanted = np.dtype(dtype)
    except TypeError:
        raise TypeError(
            "to は型か装置か Tensor を受け取ります (expected a dtype or a device): "
            f"{dtype!r} が渡されました。t.to(mg.float32) や t.to('cpu') と書いてください。"
        ) from None
    return t.astype(wanted) if is_floating(wanted) else _without_gradient(t, wanted)


def _on(t: Tensor, place: Any) -> Tensor:
    data = t.data if place is None else placed(t.data, place)
    if data is t.data:
        return t
    if t.requires_grad:
        raise RuntimeError(
            "勾配を求める Tensor は、別の装置へは運べません (cannot move a tracked tensor): "
            "t.detach().to(…).requires_grad_() のように、運んでから勾配を求めてください。"
        )
    return Tensor(data, label=t.label)


def cpu(x: Any) -> Tensor:
    """CPU に置く。そこにあれば自分を返す。"""
    return _on(as_tensor(x), "cpu")


def cuda(x: Any, index: Any = None) -> Tensor:
    """GPU に置く (JAX が使う)。

    Raises:
        RuntimeError: GPU がない。
    """
    return _on(as_tensor(x), _Device("cuda", index))


def place_of(x: Any) -> device:
    """値のある場所 (device)。NumPy の配列なら CPU。"""
    return device_of(data_of(x))
