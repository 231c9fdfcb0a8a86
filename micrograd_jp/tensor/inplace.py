"""書き込み: `w -= lr * w.grad`, `t.add_(1)`, `t[0] = x`, …。

どれも `write` か `__setitem__` を通り、約束は PyTorch のものである。

- 勾配を求める葉（パラメータ）とそのビューは、`no_grad()` の中でだけ書き換えられる。
- 計算グラフの中の値を書き込むと、書き込まれた `Tensor` も計算グラフの中に入り、勾配は書き込んだ値に
  流れる。前の値から計算したものの勾配は変わらない（`Tensor.latest`）。
- ビュー (view) に書くと、もとの `Tensor` も変わる。NumPy の配列はメモリを共有するから、`t.numpy()`
  にも見える。JAX の配列は書き換えられないので、もとの `Tensor` が新しい配列を持つ（もとに書いても、
  先に作ってあったビューは変わらない）。
- `no_grad()` の中では、値だけが変わり、計算グラフは変わらない。

順伝播のあと、その逆伝播の前に、勾配の計算に要る値を書き換えると、`backward` が断る
（`graph/writes.py`）。
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from micrograd_jp import namespace
from micrograd_jp.arguments import explained
from micrograd_jp.engine.numbers import is_number
from micrograd_jp.graph.modes import is_grad_enabled
from micrograd_jp.graph.node import Node, data_of
from micrograd_jp.graph.writes import latest, writes
from micrograd_jp.namespace import quiet
from micrograd_jp.ops import arrays as ops
from micrograd_jp.ops.primitive import OPERATOR_METHODS, elementwise_primitives
from micrograd_jp.tensor.array import Tensor, as_tensor, tensor
from micrograd_jp.tensor.dtypes import held, require_connected, require_held
from micrograd_jp.tensor.functions import IN_PLACE as IN_PLACE  # with those of all functions
from micrograd_jp.tensor.functions.aliases import SAME
from micrograd_jp.tensor.keys import bad_index, keys_of, numbers_first
from micrograd_jp.tensor.operations import FUNCTIONS
from micrograd_jp.tensor.random import rand_like, randn_like
from micrograd_jp.tensor.registry import function
from micrograd_jp.tensor.versions import become, forget, keep_versions, root_of, show

WHOLE = (...,)


def write(t: Tensor, name: str, new: Callable[[Tensor], Any]) -> Tensor:
    """`t` の値を `new(値)` に変え、`t` を返す。

    Args:
        t: 書き換えるもの。
        name: エラーに書くメソッドの名前 (`"add_"`)。
        new: `t` と同じ値の `Tensor` から、新しい値の `Tensor` を作る関数。

    Raises:
        RuntimeError: 勾配を求める葉か、重なったメモリのビュー。
        ValueError: 新しい値の形が `t` と違う。
        TypeError: 新しい値の型が `t` の型に収まらない（整数に小数を入れるなど）。
    """
    _require_writable(t, name)
    if _spread(t):
        if name not in ("fill_", "zero_"):
            raise _overlaps(t, name)
        whole, op, params = t.base
        if t.numel():
            write(whole, name, new)
        m, x = namespace.of(whole._data), whole._data
        t.data, t._base = x if op is None else op.value(m, x, **params), t.base
        return t
    if _spread_below(t):
        raise _overlaps(t, name)
    # The memory of t is about to change: what is recorded must have numbers of its own.
    tracked = is_grad_enabled() and latest(t).requires_grad
    old = keep_versions(t) if tracked else None
    value = new(t.clone() if tracked else Tensor.of_array(t._data))
    if not tracked and isinstance(value, Tensor) and value.requires_grad:
        value = new(t.detach().clone())
    if not isinstance(value, Tensor):
        raise TypeError(f"{name} はこの引数を受け取れません (unsupported operand)。")
    value = latest(value)
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
    if value._data is not t._data:
        _put(t, WHOLE, value, old)
    return t


def _assign(t: Tensor, key: Any, value: Any) -> None:
    if t.requires_grad or getattr(t, "_base", None):
        _require_writable(t, "[ ] =")
        if _spread(t) or _spread_below(t):
            raise _overlaps(t, "[ ] =")
    keys = keys_of(key)
    if len(keys) > 2 and (parts := numbers_first(keys)):
        _assign(t[parts[0]], parts[1], value)
        return
    if is_number(value):
        value = held(value, t.dtype)
    elif isinstance(value, Node):
        value = latest(as_tensor(value))
        require_connected(value, t.dtype)
    elif not namespace.is_array(value):
        value = tensor(value, dtype=t.dtype)  # which refuses what is no number
    require_held(data_of(value), t.dtype)
    _put(t, keys, value)


def _put(t: Tensor, keys: tuple[Any, ...], value: Any, old: Any = None) -> None:
    """Write the value, and record it where there is something to record."""
    if getattr(value, "shape", ())[:1] == (
        1,
    ):  # as in PyTorch, there may be more axes of length 1 in front
        try:
            extra = len(value.shape) - namespace.of(t._data).getitem(t._data, keys).ndim
        except IndexError as error:
            raise bad_index(t.shape, error) from None
        if extra > 0 and set(value.shape[:extra]) == {1}:
            value = value.reshape(value.shape[extra:])
    tracked = latest(t).requires_grad or (isinstance(value, Node) and value.requires_grad)
    if not tracked or not is_grad_enabled():
        _store(t, keys, data_of(value))
        return
    if not isinstance(value, Tensor):
        value = Tensor(namespace.of(t._data).asarray(value))
    value = value.astype(t.dtype)
    first = keep_versions(t)
    _store(t, keys, value._data)
    become(t, None if keys is WHOLE and value.requires_grad else keys, value)
    if first is not None or old is not None:
        forget(t, old if first is None else first)


def _store(t: Tensor, keys: tuple[Any, ...], value: Any) -> None:
    """The one place where numbers change: in the array's own memory where that can be written."""
    m = namespace.of(t._data)
    data = t._data
    if isinstance(data, np.ndarray) and not data.flags.writeable:
        data = data.copy()
    warnings = quiet.silenced()
    try:
        # `value` may be a view of the very memory that changes; NumPy looks out for that.
        new = m.assigned(data, keys, value)
    except IndexError as error:
        raise bad_index(t.shape, error) from None
    except ValueError:
        raise ValueError(
            f"代入する形が合いません (shape mismatch): 形 {np.shape(value)} は "
            f"{m.getitem(data, keys).shape} に広げられません。"
        ) from None
    finally:
        quiet.restore(warnings)
    if isinstance(new, np.ndarray):
        writes.note(new, None if keys is WHOLE else keys)
    if new is not t._data:
        show(t, new)
        t.reach_owner()


def _require_writable(t: Tensor, name: str) -> None:
    if not is_grad_enabled():
        return
    t = root_of(t)
    if t.is_leaf and t.requires_grad:
        raise RuntimeError(
            f"勾配を求める葉 (leaf) の Tensor とそのビューは、{name} で書き換えられません "
            "(in-place on a leaf that requires grad): 値を更新するなら with mg.no_grad(): の中に"
            "書き、微分したい計算なら y = x.clone() と写してからにしてください。"
        )


def _spread(t: Tensor) -> bool:
    while (base := t.base) is not None and base[1] is None:  # detached
        t = base[0]
    return base is not None and base[1] is ops.broadcast_to and t.shape != base[0].shape


def _spread_below(t: Tensor) -> bool:
    """Whether it is a view of a Tensor that was spread."""
    while (base := t.base) is not None:
        t = base[0]
        if _spread(t):
            return True
    return False


def _overlaps(t: Tensor, name: str) -> RuntimeError:
    return RuntimeError(
        f"広げた (expand) Tensor は {name} で書き換えられません (more than one element refers to a "
        f"single memory location): 形 {t.shape} のいくつもの要素が、もとの 1 つの要素です。"
        "t.clone() と写してから書き換えてください。"
    )


def _fits(given: Any, own: Any) -> bool:
    """Whether PyTorch would store it: floats into floats, whole numbers into whole numbers."""
    order = {"b": 0, "u": 1, "i": 1, "c": 3}
    return order.get(np.dtype(given).kind, 2) <= order.get(np.dtype(own).kind, 2)


# ---- 演算子 += など -----------------------------------------------------------------------------

_assign.__qualname__ = "Tensor.__setitem__"
setattr(Tensor, "__setitem__", explained(_assign))  # noqa: B010


def _augmented(name: str, sign: str) -> Callable[[Tensor, Any], Any]:
    function = getattr(Tensor, f"__{name}__")
    return lambda self, other: write(self, f"{sign}=", lambda x: function(x, other))


_WITHOUT_GRADIENT = {"//": "floordiv", "%": "mod", "&": "and", "|": "or", "^": "xor"}
for _sign, _name in (OPERATOR_METHODS | _WITHOUT_GRADIENT).items():
    setattr(Tensor, f"__i{_name}__", _augmented(_name, _sign))

# ---- 名前が _ で終わるメソッド -------------------------------------------------------------------

# Each makes the new numbers from a Tensor outside of any graph; `write` does the rest.
_only_in_place = function(package=False, method=False, in_place=True)


@_only_in_place
def copy(x: Tensor, other: Any) -> Tensor:
    """値を other の値にする。形は x に広げられ、型は x のまま。"""
    if is_number(other):
        other = np.asarray(held(other, x.dtype), x.dtype)
    source = as_tensor(other)
    require_held(source._data, x.dtype)
    require_connected(source, x.dtype)
    return source.astype(x.dtype).broadcast_to(x.shape)


@_only_in_place
def fill(x: Tensor, value: Any) -> Tensor:
    """すべての要素を 1 つの数にする。"""
    if not is_number(value):
        value = as_tensor(value)
        if value.ndim:
            raise ValueError(
                f"fill_ の値は 1 つの数です (expected a 0-d value): 形 {value.shape} の配列で"
                "埋めるには t.copy_(配列) と書いてください。"
            )
    return copy(x, value)


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
for _name, _same in SAME.items():
    if f"{_same}_" in IN_PLACE:
        IN_PLACE.setdefault(f"{_name}_", IN_PLACE[f"{_same}_"])
for _name, _new in IN_PLACE.items():
    setattr(Tensor, _name, _in_place(_name, _new))
