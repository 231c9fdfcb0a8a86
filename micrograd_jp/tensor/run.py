"""配列の演算の実行: 引数を揃え、名前空間を選び、値を計算し、計算グラフに記録する。"""

from __future__ import annotations

from typing import Any

import numpy as np

from micrograd_jp import namespace
from micrograd_jp.engine.numbers import as_number, is_number, not_a_number
from micrograd_jp.engine.value import Value
from micrograd_jp.graph.anomaly import observe_birth
from micrograd_jp.graph.modes import is_grad_enabled, unusual
from micrograd_jp.graph.node import Node
from micrograd_jp.namespace import quiet
from micrograd_jp.ops.primitive import Elementwise, Primitive
from micrograd_jp.tensor.array import Tensor, as_tensor
from micrograd_jp.tensor.dtypes import float64, get_default_dtype
from micrograd_jp.tensor.keys import bad_index


def run(op: Primitive, *operands: Any, **params: Any) -> Tensor:
    """演算を配列で実行し、必要なら計算グラフに記録する。

    Args:
        op: 演算の宣言。
        *operands: `Tensor`、`Value`、配列、数。
        **params: 勾配のない引数（軸や形）。
    """
    xs = tuple([x._data if isinstance(x, Node) else x for x in operands])
    m = namespace.of(*xs, *params["key"]) if "key" in params else namespace.of(*xs)
    warnings = quiet.silenced()
    try:
        z = op.value(m, *xs, **params)
    finally:
        quiet.restore(warnings)
    if z.__class__ is not np.ndarray:
        z = m.asarray(z)
    for x in xs:
        if z is x:  # clone: the result has memory of its own
            z = m.array(z)
    if z.dtype == float64 and op.__class__ is Elementwise and not any(map(_is_float64, xs)):
        z = z.astype(get_default_dtype())  # a function of integers, as in PyTorch
    out = Tensor.of_array(z)
    parents = tuple([x for x in operands if isinstance(x, Node) and x.requires_grad])
    if not parents or (unusual.contexts and not is_grad_enabled()):
        return out
    out.record(op, operands, parents, xs, params)
    if unusual.contexts:
        observe_birth(out, operands)
    return out


def _is_float64(x: Any) -> bool:
    return getattr(x, "dtype", None) == float64


def floating(x: Any) -> Tensor:
    """小数の `Tensor`。整数や真偽値は既定の型になる。"""
    t = as_tensor(x)
    return t if namespace.is_floating(t.dtype) else t.astype(get_default_dtype())


def elementwise(op: Elementwise, *operands: Any) -> Any:
    """要素ごとの演算。形はブロードキャストされ、Python の数は型を変えない。"""
    if not _USUAL.issuperset(map(type, operands)):
        operands = tuple(map(operand, operands))
        if any(x is NotImplemented for x in operands):
            return NotImplemented
    try:
        return run(op, *operands)
    except ValueError:
        try:
            np.broadcast_shapes(*[x.shape for x in operands if hasattr(x, "shape")])
        except ValueError:
            raise shapes_differ(op.name, *operands) from None
        raise


_USUAL = frozenset({Tensor, Value, np.ndarray, float, int, bool})  # as they are, good operands


def shapes_differ(name: str, *xs: Any) -> ValueError:
    """ブロードキャストできない形のエラー。"""
    shapes = " と ".join(str(x.shape) for x in xs if hasattr(x, "shape"))
    return ValueError(
        f"{name} の形が合いません (shapes do not broadcast): {shapes}。"
        "右から揃えて、同じ長さか 1 になるようにしてください。"
    )


def operand(x: Any) -> Any:
    """要素ごとの演算の引数。他の型に任せるべきものは `NotImplemented`。"""
    if x.__class__ in _USUAL or isinstance(x, Node) or namespace.is_array(x):
        return x
    if is_number(x):  # NumPy's numbers are as weak as Python's
        return int(x) if isinstance(x, np.integer) else as_number(x)
    if isinstance(x, str | bytes | complex | list | tuple | dict | set | type(None)):
        raise not_a_number(x, "Tensor の演算")
    return NotImplemented


def indexed(op: Primitive, x: Tensor, keys: tuple[Any, ...], **params: Any) -> Tensor:
    """添字を使う演算。使えない添字のエラーを、使い方の分かるものにする。"""
    try:
        return run(op, x, key=keys, **params)
    except IndexError as error:
        raise bad_index(params.get("shape", x.shape), error) from None
