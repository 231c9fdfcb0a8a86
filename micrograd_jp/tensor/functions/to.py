"""型と場所 (device) を変えるメソッド: `t.to(…)` と、短い書き方の `t.long()`, `t.cpu()`, …。"""

from __future__ import annotations

from typing import Any

from micrograd_jp.graph.node import data_of
from micrograd_jp.namespace import dtype_of, is_floating
from micrograd_jp.tensor import devices
from micrograd_jp.tensor.array import Tensor, as_tensor
from micrograd_jp.tensor.devices import device_of, placed
from micrograd_jp.tensor.dtypes import bool_, category, cdouble, cfloat, half, int_, long, short
from micrograd_jp.tensor.registry import function


@function(package=False)
def to(x: Any, *where: Any, dtype: Any = None, device: Any = None) -> Tensor:
    """型か場所を変える: `t.to(mg.float64)`, `t.to("cpu")`, `t.to(device, dtype)`, `t.to(other)`。

    どちらも変わらないなら自分を返す。

    Raises:
        TypeError: 型でも装置でもない。
        RuntimeError: その装置がない、または計算グラフの途中の Tensor を運ぼうとした。
    """
    for given in where:
        if isinstance(given, Tensor):
            dtype, device = given.dtype, device_of(given._data)
        elif (place := devices.meant(given)) is not None:
            device = place
        else:
            dtype = given
    return _on(_of(as_tensor(x), dtype), device)


def _of(t: Tensor, dtype: Any) -> Tensor:
    if dtype is None:
        return t
    try:
        wanted = dtype_of(dtype)
    except TypeError:
        raise TypeError(
            "to は型か装置か Tensor を受け取ります (expected a dtype or a device): "
            f"{dtype!r} が渡されました。t.to(mg.float32) や t.to('cpu') と書いてください。"
        ) from None
    return t.astype(wanted)


def _on(t: Tensor, place: Any) -> Tensor:
    data = placed(t._data, place)
    if data is t._data:
        return t
    if t.requires_grad:
        raise RuntimeError(
            "勾配を求める Tensor は、別の装置へは運べません (cannot move a tracked tensor): "
            "t.detach().to(…).requires_grad_() のように、運んでから勾配を求めてください。"
        )
    return Tensor(data, label=t.label)


def _cast(name: str, dtype: Any, summary: str) -> None:
    @function(package=False, name=name, summary=summary)
    def cast(x: Any) -> Tensor:
        return _of(x, dtype)


_cast("half", half, "float16 にする。")
_cast("bfloat16", "bfloat16", "bfloat16 にする（追加の依存 `accel` が要る）。")
_cast("cfloat", cfloat, "complex64 にする。")
_cast("cdouble", cdouble, "complex128 にする。")
_cast("long", long, "int64 にする。小数は 0 に向かって切り捨てる。勾配はない。")
_cast("int", int_, "int32 にする。小数は 0 に向かって切り捨てる。勾配はない。")
_cast("short", short, "int16 にする。小数は 0 に向かって切り捨てる。勾配はない。")
_cast("bool", bool_, "真偽値にする。0 でないものは真。勾配はない。")


@function(package=False)
def type(x: Any, dtype: Any) -> Tensor:
    """型を変える (PyTorch の名前)。"""
    return to(x, dtype)


@function()
def is_floating_point(x: Any) -> Any:
    """小数の型か。"""
    return is_floating(as_tensor(x).dtype)


@function()
def is_complex(x: Any) -> Any:
    """複素数の型か。"""
    return category(as_tensor(x).dtype) == 3


@function(package=False)
def cpu(x: Any) -> Tensor:
    """CPU に置く。そこにあれば自分を返す。"""
    return _on(x, "cpu")


@function(package=False)
def cuda(x: Any, index: Any = None) -> Tensor:
    """GPU に置く (JAX が使う)。

    Raises:
        RuntimeError: GPU がない。
    """
    return _on(x, devices.device("cuda", index))


def place_of(x: Any) -> devices.device:
    """値のある場所 (device)。NumPy の配列なら CPU。"""
    return device_of(data_of(x))
