"""その場で書き換える演算 (in-place): `w -= lr * w.grad`, `t.add_(1)`, `t.zero_()`, …。

どれも `write` を通り、約束は PyTorch のものである。

- 勾配を求める葉（パラメータ）は、`no_grad()` の中でだけ書き換えられる。同じ `Tensor` のまま
  値が変わる。
- 計算グラフの途中の `h` に対する `h += x` は `h = h + x` であり、新しいノードになる。計算グラフに
  ない `t` に、計算グラフの中の x を足すときも同じ。名前を付け替えられない `h.add_(x)` は断る。
- 計算グラフにない `Tensor` は、配列のメモリに直接書く。だから `t.numpy()` や、`t[0]` のように
  メモリを共有するものにも変化が見える。JAX の配列は書き換えられないので、`t.data` が
  新しい配列になる。

順伝播のあと、その逆伝播の前に、途中の計算が使った Tensor を書き換えると、`backward` が断る
（`graph/writes.py`）。
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from micrograd_jp import namespace
from micrograd_jp.graph.modes import is_grad_enabled
from micrograd_jp.graph.node import Node
from micrograd_jp.graph.writes import writes
from micrograd_jp.ops.primitive import OPERATOR_METHODS, Elementwise, elementwise_primitives
from micrograd_jp.tensor.array import Tensor, as_tensor
from micrograd_jp.tensor.functions import IN_PLACE as IN_PLACE  # with those of all functions
from micrograd_jp.tensor.operations import FUNCTIONS
from micrograd_jp.tensor.random import rand_like, randn_like
from micrograd_jp.tensor.registry import function
from micrograd_jp.tensor.run import elementwise


def write(t: Tensor, name: str, new: Callable[[Tensor], Any]) -> Tensor:
    """`t` の値を `new(値)` に変え、`t` を返す。

    Args:
        t: 書き換えるもの。
        name: エラーに書くメソッドの名前 (`"add_"`)。
        new: `t` と同じ値の、計算グラフにない `Tensor` から、新しい値の `Tensor` を作る関数。

    Raises:
        RuntimeError: 書き換えると勾配が正しくなくなる。
        ValueError: 新しい値の形が `t` と違う。
        TypeError: 新しい値の型が `t` の型に収まらない（整数に小数を入れるなど）。
    """
    _require_writable(t, name)
    value = new(Tensor.of_array(t.data))
    if not isinstance(value, Tensor):
        raise TypeError(f"{name} はこの引数を受け取れません (unsupported operand)。")
    if value.requires_grad:
        raise RuntimeError(
            f"{name} で、計算グラフの中の値を書き込むことはできません (tracked value): "
            "勾配が途切れます。t = t + x のように、新しい Tensor を作ってください。"
        )
    if value.shape != t.shape:
        raise ValueError(
            f"{name} の形が合いません (shape mismatch): 結果の形は {value.shape} ですが、"
            f"書き込む先は {t.shape} です。t = t + x のように、新しい Tensor を作ってください。"
        )
    if not _fits(value.dtype, t.dtype):
        raise TypeError(
            f"{name} の結果 {value.dtype} は、{t.dtype} の Tensor に入りません (cannot cast): "
            "t = t.float() のように型を変えてから計算してください。"
        )
    if value.data is not t.data:
        _store(t, value.data)
    return t


def _require_writable(t: Tensor, name: str) -> None:
    if t.op is not None:
        raise RuntimeError(
            f"計算グラフの途中の Tensor は {name} で書き換えられません (in-place on a tracked "
            "tensor): h = h + x や mg.where(mask, 新しい値, h) のように、新しい Tensor を"
            "作ってください。"
        )
    if t.requires_grad and is_grad_enabled():
        raise RuntimeError(
            f"勾配を求める葉 (leaf) の Tensor は、{name} で書き換えられません (in-place on a leaf "
            "that requires grad): 値を更新するなら with mg.no_grad(): の中に書き、微分したい計算"
            "なら y = x + 1 のように新しい名前を付けてください。"
        )


def _fits(given: Any, own: Any) -> bool:
    """Whether PyTorch would store it: floats into floats, whole numbers into whole numbers."""
    order = {"b": 0, "u": 1, "i": 1}
    return order.get(np.dtype(given).kind, 2) <= order.get(np.dtype(own).kind, 2)


def _store(t: Tensor, value: Any) -> None:
    """The one place where numbers change: in the array's own memory where that can be written."""
    m = namespace.of(t.data)
    if isinstance(t.data, np.ndarray) and t.data.flags.writeable:
        # `value` may be a view of the very memory that changes; NumPy looks out for that.
        np.copyto(t.data, value, casting="unsafe")
        writes.note(t.data)
    else:
        t.data = m.array(value, dtype=t.dtype)
    t.reach_owner()


# ---- 演算子 += など -----------------------------------------------------------------------------


def _augmented(op: Elementwise) -> Callable[[Tensor, Any], Any]:
    name = f"{op.operator}="

    def method(self: Tensor, other: Any) -> Any:
        joins = isinstance(other, Node) and other.requires_grad and is_grad_enabled()
        if self.op is not None or (joins and not self.requires_grad):
            return elementwise(op, self, other)
        return write(self, name, lambda x: elementwise(op, x, other))

    return method


for _op in elementwise_primitives():
    if _op.operator:
        setattr(Tensor, f"__i{OPERATOR_METHODS[_op.operator]}__", _augmented(_op))


def _augmented_without_gradient(name: str, sign: str) -> Callable[[Tensor, Any], Any]:
    function = getattr(Tensor, f"__{name}__")

    def method(self: Tensor, other: Any) -> Any:
        if self.requires_grad:
            return function(self, other)
        return write(self, f"{sign}=", lambda x: function(x, other))

    return method


for _name, _sign in {"floordiv": "//", "mod": "%", "and": "&", "or": "|", "xor": "^"}.items():
    setattr(Tensor, f"__i{_name}__", _augmented_without_gradient(_name, _sign))

# ---- 名前が _ で終わるメソッド -------------------------------------------------------------------

# Each makes the new numbers from a Tensor outside of any graph; `write` does the rest.
_only_in_place = function(package=False, method=False, in_place=True)


@_only_in_place
def add(x: Tensor, other: Any, *, alpha: float = 1) -> Any:
    """alpha·other を足す。"""
    return x + (other if alpha == 1 else other * alpha)


@_only_in_place
def sub(x: Tensor, other: Any, *, alpha: float = 1) -> Any:
    """alpha·other を引く。"""
    return x - (other if alpha == 1 else other * alpha)


@_only_in_place
def copy(x: Tensor, other: Any) -> Tensor:
    """値を other の値にする。形は x に広げられ、型は x のまま。"""
    source = as_tensor(other)
    same_type = source if source.requires_grad else source.astype(x.dtype)
    return same_type.broadcast_to(x.shape)


@_only_in_place
def fill(x: Tensor, value: Any) -> Tensor:
    """すべての要素を 1 つの数にする。"""
    number = as_tensor(value)
    if number.ndim:
        raise ValueError(
            f"fill_ の値は 1 つの数です (expected a 0-d value): 形 {number.shape} の配列で"
            "埋めるには t.copy_(配列) と書いてください。"
        )
    return copy(x, number)


@_only_in_place
def zero(x: Tensor) -> Tensor:
    """すべての要素を 0 にする。"""
    return copy(x, 0)


@_only_in_place
def normal(x: Tensor, mean: float = 0.0, std: float = 1.0) -> Tensor:
    """平均 mean、標準偏差 std の正規乱数にする。"""
    return randn_like(x) * std + mean


@_only_in_place
def uniform(x: Tensor, a: float = 0.0, b: float = 1.0) -> Tensor:
    """a 以上 b 未満の一様乱数にする。"""
    return rand_like(x) * (b - a) + a


def _in_place(name: str, new: Callable[..., Any]) -> Callable[..., Tensor]:
    def method(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        return write(self, name, lambda x: new(x, *args, **kwargs))

    method.__name__ = name
    method.__qualname__ = f"Tensor.{name}"
    method.__doc__ = f"その場で (in-place): {(new.__doc__ or '').partition('。')[0]}。"
    return method


for _op in elementwise_primitives():
    if _op.in_place:
        IN_PLACE.setdefault(f"{_op.name}_", FUNCTIONS[_op.name])
for _name, _new in IN_PLACE.items():
    setattr(Tensor, _name, _in_place(_name, _new))
