"""配列の演算の実行: 引数を揃え、名前空間を選び、値を計算し、計算グラフに記録する。"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, wraps
from typing import Any, TypeVar

import numpy as np

from micrograd_jp import namespace
from micrograd_jp.arguments import of_devices
from micrograd_jp.engine.numbers import as_number, is_number, not_a_number, refuses
from micrograd_jp.engine.value import Value
from micrograd_jp.graph.anomaly import observe_birth
from micrograd_jp.graph.modes import autocasting, is_grad_enabled, unusual
from micrograd_jp.graph.node import Node, data_of
from micrograd_jp.graph.shares import MANY_STEPS, widened
from micrograd_jp.graph.writes import Overwritten, latest, writes
from micrograd_jp.namespace import quiet
from micrograd_jp.native.allocator import MAPPED, keep
from micrograd_jp.ops.arrays import floor_divide
from micrograd_jp.ops.complex import on_complex
from micrograd_jp.ops.primitive import Elementwise, Primitive
from micrograd_jp.tensor.array import Tensor, as_tensor
from micrograd_jp.tensor.autocast import cast
from micrograd_jp.tensor.dtypes import (
    bool_,
    category,
    float32,
    float64,
    get_default_dtype,
    result_type,
)
from micrograd_jp.tensor.keys import bad_index

R = TypeVar("R")


def run(op: Primitive, *operands: Any, **params: Any) -> Tensor:
    """演算を配列で実行し、必要なら計算グラフに記録する。

    Args:
        op: 演算の宣言。
        *operands: `Tensor`、`Value`、配列、数。
        **params: 勾配のない引数（軸や形）。
    """
    given = operands
    if writes.tracked:
        operands = tuple(map(latest, operands))
    if unusual.contexts:
        operands = cast(op, operands)
    xs = tuple([x._data if isinstance(x, Node) else x for x in operands])
    x, y, wanted = xs[0], xs[-1], None
    if x.__class__ in _WEAK:
        x, y = y, x
    if (
        x.__class__ is np.ndarray
        and ((own := x.dtype) is float32 or own is float64)
        and (y.__class__ in _WEAK or (y.__class__ is np.ndarray and y.dtype is own))
        and len(xs) < 3
        and "key" not in params
    ):
        m, args = namespace.ieee, xs  # the usual case, in which there is nothing to find out
    else:
        if (op.__class__ is Elementwise or len(xs) > 1) and not _alike(xs):
            operands, wanted = _agreed(op, operands)
            xs = tuple(map(data_of, operands))
            x, y = xs[0], xs[-1]
            if wanted is not None and wanted.kind == "c":
                if op.name == "pow" and not hasattr(x, "dtype"):  # its logarithm, too, is complex
                    operands = (as_tensor(operands[0]).astype(wanted), operands[1])
                    xs = tuple(map(data_of, operands))
                    x = xs[0]
                op, wanted = on_complex(op), None
        elif getattr(x, "dtype", float64).kind == "c":
            op = on_complex(op)
        m = namespace.of(*xs, *params["key"]) if "key" in params else namespace.of(*xs)
        # As in PyTorch, a number that divides half precision is not rounded to it before.
        by_number = op is floor_divide and not hasattr(xs[1], "dtype")
        args = widened(m, xs) if op.__class__ is Elementwise or by_number else xs
    warnings = quiet.silenced()
    try:
        at_once = op.name in MANY_STEPS and m is namespace.ieee
        z = m.fused(op, *args) if at_once else op.value(m, *args, **params)
        if args is not xs:
            wanted = next(x.dtype for x in xs if hasattr(x, "dtype") and x.dtype.kind != "b")
        if wanted is not None:
            z = m.astype(m.asarray(z), wanted)
    except TypeError:
        if any(getattr(x, "dtype", None) == bool_ for x in xs):
            raise _refuses_booleans(op) from None
        raise
    finally:
        quiet.restore(warnings)
    if z.__class__ is not np.ndarray:
        if isinstance(z, np.generic) and op.views:  # one element, too, is a view
            z = m.getitem(x, (*params["key"], ...))
        z = m.asarray(z)
    elif z.nbytes > MAPPED:
        keep()
    if z is x or z is y:  # clone: the result has memory of its own
        z = m.array(z)
    out = Tensor.of_array(z)
    parents = tuple([x for x in operands if isinstance(x, Node) and x.requires_grad])
    if not parents:
        if params and op.views:  # else the record tells it
            out._base = (given[0], op, params)
        return out
    if unusual.contexts and not is_grad_enabled():
        if op.views and z.__class__ is not np.ndarray:  # where memory is shared, it tells
            out._base = (given[0], op, params)
        return out
    if y.__class__ is int or x.__class__ is int:
        operands, xs = _no_literals(operands), _no_literals(xs)
    out.record(op, operands, parents, xs, params)
    if operands is not given and op.views:
        out._base = (given[0], op, params)
    if unusual.contexts:
        observe_birth(out, operands)
    return out


_WEAK = frozenset({float, int})  # numbers that change no dtype of floats


def _alike(xs: tuple[Any, ...]) -> bool:
    """Whether there is but one dtype, of floats: the usual case, in which nothing is to be done."""
    one = None
    for x in xs:
        if x.__class__ not in _WEAK:
            own = getattr(x, "dtype", None)
            if own is None:
                return False
            if own is not one:
                if one is not None or own.kind != "f":
                    return False
                one = own
    return one is not None


def _no_literals(xs: tuple[Any, ...]) -> tuple[Any, ...]:
    """A factor that happens to be 0 is a number; a literal 0 of a rule is a shut gate."""
    return tuple([0.0 if x.__class__ is int and x == 0 else x for x in xs])


def _agreed(op: Primitive, operands: tuple[Any, ...]) -> tuple[tuple[Any, ...], Any]:
    """The operands cast to the one dtype that they are computed in, and it; numbers stay weak.

    A cast of what is tracked is a node of its own, so the rules see one dtype, too.
    """
    xs = [data_of(x) for x in operands]
    for x in xs:
        if namespace.is_array(x) and not namespace.is_numeric(x.dtype):
            raise not_a_number(x, op.name)
    given = list(range(len(xs)))
    if isinstance(op, Elementwise):
        # The condition of `where` has no say, nor has a limit of `clip` that was not given.
        given = [i for i in given if op.partials[i] is not None and not _is_no_limit(op, i, xs[i])]
    elif not any(hasattr(x, "dtype") for x in xs):
        return operands, None  # a list of Values: as exact as they are
    dtype = result_type([xs[i] for i in given])
    if category(dtype) < 2 and isinstance(op, Elementwise) and not _stays_whole(op):
        dtype = get_default_dtype()
    if op.name in _LAYERS:
        _require_no_wider(op, xs[0], xs[1])
    dtype = namespace.of(*xs).available(dtype)
    out = list(operands)
    for i in given:
        own = getattr(xs[i], "dtype", None)
        if own is not None and own != dtype:
            out[i] = as_tensor(operands[i]).astype(dtype)
    if not any(hasattr(xs[i], "dtype") for i in given):
        i = given[0]  # numbers alone would not know the dtype
        out[i] = as_tensor(operands[i]).astype(dtype)
    return tuple(out), dtype


_LAYERS = ("tensor.linear", "tensor.conv2d", "tensor.conv2d_input")


def _require_no_wider(op: Primitive, x: Any, w: Any) -> None:
    """As PyTorch: a layer of half precision would, unseen, compute in the dtype of wider data."""
    both = namespace.is_floating(x.dtype) and namespace.is_floating(w.dtype)
    if both and w.dtype.itemsize == 2 < x.dtype.itemsize:
        raise TypeError(
            f"{w.dtype} の層に {x.dtype} の入力が渡されました (dtype mismatch): {op.name} です。"
            f'x.to("{w.dtype}") と入力も揃えるか、重みを float32 のままにして、'
            f'with mg.autocast("{w.dtype}"): の中で計算してください。'
        )


def of_one_dtype(*xs: Any) -> list[Any]:
    """配列を、いっしょに計算する型に揃える（勾配のない演算のため）。"""
    if len({getattr(x, "dtype", None) for x in xs}) < 2:
        return list(xs)
    dtype = namespace.of(*xs).available(result_type(xs))
    # A whole number that the dtype cannot hold may still be compared.
    weak = [not hasattr(x, "dtype") and category(dtype) < 2 for x in xs]
    with quiet.silence():
        return [x if w else namespace.of(x).astype(x, dtype) for x, w in zip(xs, weak, strict=True)]


def _is_no_limit(op: Elementwise, i: int, x: Any) -> bool:
    return i > 0 and op.needs_one and x.__class__ is float and x == op.defaults[i - 1]


def _refuses_booleans(op: Primitive) -> TypeError:
    return TypeError(
        f"真偽値の {op.name.removeprefix('tensor.')} はできません (not for bool): "
        "反転は ~mask、数として計算するなら mask.long() や mask.float() と書いてください。"
    )


@cache
def _stays_whole(op: Elementwise) -> bool:
    """Whether whole numbers make whole numbers."""
    ones = [np.ones(1, int)] * op.arity
    with quiet.silence():
        return category(op.value(namespace.ieee, *ones).dtype) < 2


def floating(x: Any) -> Tensor:
    """小数か複素数の `Tensor`。整数や真偽値は既定の型になる。"""
    t = as_tensor(x)
    return t if namespace.is_differentiable(t.dtype) else t.astype(get_default_dtype())


def floats(x: Any) -> Any:
    """`floating` と同じだが、`Value`、数、並びはそのまま。"""
    return floating(x) if isinstance(x, Tensor) or namespace.is_array(x) else x


def single(x: Any) -> Tensor:
    """小数の `Tensor`。`autocast` の中では、半精度は単精度になる（損失などのため）。"""
    t = floating(x)
    return t.astype(float32) if t.dtype.itemsize == 2 and autocasting() is not None else t


def rounded(t: Tensor, dtype: Any) -> Tensor:
    """単精度で計算したものを、1 度だけ丸めて型 `dtype` に。`autocast` の中では丸めない。"""
    return t if autocasting() is not None else t.astype(dtype)


def vectorized(f: Callable[..., R]) -> Callable[..., R]:
    """軸を 1 つ取る関数を、0 次元の `Tensor` にも使えるようにするデコレータ: 長さ 1 とみなす。"""

    @wraps(f)
    def call(x: Any, *args: Any, **kwargs: Any) -> Any:
        t = as_tensor(x)
        if t.ndim:
            return f(t, *args, **kwargs)
        out: Any = f(t.reshape(1), *args, **kwargs)
        return (
            out.reshape(()) if isinstance(out, Tensor) else type(out)(*[y.reshape(()) for y in out])
        )

    return call


def elementwise(op: Primitive, *operands: Any) -> Any:
    """要素ごとの演算。形はブロードキャストされ、Python の数は型を変えない。"""
    usual = operands[0].__class__ in _USUAL and operands[-1].__class__ in _USUAL
    if not usual or len(operands) > 2:
        operands = tuple(map(operand, operands))
        if any(x is NotImplemented for x in operands):
            return NotImplemented
    try:
        return run(op, *operands)
    except OverflowError:
        raise too_large(op.name, operands) from None
    except ValueError as error:
        if better := of_devices(error):
            raise better from None
        try:
            np.broadcast_shapes(*[x.shape for x in operands if hasattr(x, "shape")])
        except ValueError:
            raise shapes_differ(op.name, *operands) from None
        if op.name == "pow":
            raise ValueError(
                "整数の負のべき乗は整数になりません (negative integer power): "
                "t.float() ** n のように、小数にしてから計算してください。"
            ) from None
        raise


_PLAIN = frozenset({Tensor, Value, float, int, bool})
_USUAL = _PLAIN | {np.ndarray}  # as they are, good operands, or `_agreed` says so


def too_large(name: str, operands: Sequence[Any]) -> OverflowError:
    """配列の型に入らない Python の整数のエラー。"""
    numbers = "、".join(str(x) for x in operands if isinstance(x, int))
    dtypes = "、".join(str(x.dtype) for x in operands if hasattr(x, "dtype"))
    return OverflowError(
        f"{name} の整数 {numbers} は {dtypes} に収まりません (integer out of range): "
        "t.long() や t.float() のように、収まる型に変えてから計算してください。"
    )


def shapes_differ(name: str, *xs: Any) -> ValueError:
    """ブロードキャストできない形のエラー。"""
    shapes = " と ".join(str(x.shape) for x in xs if hasattr(x, "shape"))
    return ValueError(
        f"{name} の形が合いません (shapes do not broadcast): {shapes}。"
        "右から揃えて、同じ長さか 1 になるようにしてください。"
    )


def operand(x: Any, name: str = "Tensor の演算", final: bool = False) -> Any:
    """要素ごとの演算の引数。他の型に任せるべきものは `NotImplemented`。

    Args:
        x: 引数。
        name: エラーに書く、演算の名前。
        final: 真なら、他の型に任せずに断る。

    Raises:
        TypeError: 数でも、数の配列でもない。
    """
    if x.__class__ in _PLAIN or isinstance(x, Node):
        return x
    if isinstance(x, complex | np.complexfloating):
        return complex(x)
    if isinstance(x, Overwritten):
        x.refuse()
    if namespace.is_array(x) and namespace.is_numeric(x.dtype):
        return x
    if is_number(x):  # NumPy's numbers are as weak as Python's
        return int(x) if isinstance(x, np.integer) else as_number(x)
    if final or namespace.is_array(x) or refuses(x):
        raise not_a_number(x, name)
    return NotImplemented


def indexed(op: Primitive, x: Tensor, keys: tuple[Any, ...], **params: Any) -> Tensor:
    """添字を使う演算。使えない添字のエラーを、使い方の分かるものにする。"""
    try:
        return run(op, x, key=keys, **params)
    except IndexError as error:
        raise bad_index(params.get("shape", x.shape), error) from None
