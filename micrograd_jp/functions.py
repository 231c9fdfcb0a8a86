"""パッケージの関数 `mg.exp(v)`, `mg.maximum(a, b)`, `mg.dot(ws, xs)`, …。

要素ごとの関数は宣言から作られる。引数は `Value` でも数でもよく、結果は `Value` になる。
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from micrograd_jp.engine import Value
from micrograd_jp.methods import function, reduce
from micrograd_jp.ops import reduce as reductions
from micrograd_jp.ops.primitive import elementwise_primitives

if TYPE_CHECKING:
    from micrograd_jp._surface import *  # noqa: F403
else:
    globals().update({op.name: function(op) for op in elementwise_primitives()})


def sum(xs: Iterable[Any]) -> Value:
    """総和 Σx。`Value` や数の並びを 1 つのノードにまとめる。空の和は 0。"""
    return reduce(reductions.sum, xs)


def prod(xs: Iterable[Any]) -> Value:
    """総乗 Πx。0 を含んでいても勾配は正しい。空の積は 1。"""
    return reduce(reductions.prod, xs)


def dot(ws: Iterable[Any], xs: Iterable[Any]) -> Value:
    """内積 Σ wᵢxᵢ を 1 つのノードとして計算する。

    Args:
        ws: `Value` や数の並び、長さ n。
        xs: `Value` や数の並び、長さ n。

    Raises:
        ValueError: 長さが違う。
    """
    return reduce(reductions.dot, ws, xs)


def logsumexp(xs: Iterable[Any]) -> Value:
    """指数の和の対数 log Σ eˣ。最大値をくくり出すので、±1000 でもあふれない。

    Raises:
        ValueError: 並びが空。
    """
    xs = list(xs)
    if not xs:
        raise ValueError(
            "logsumexp と softmax には 1 つ以上の値が必要です (empty list): "
            "空の並びが渡されました。"
        )
    return reduce(reductions.logsumexp, xs)


def log_softmax(xs: Iterable[Any]) -> list[Value]:
    """対数ソフトマックス xᵢ − log Σ eˣ。n 個の並びから n 個の `Value` を返す。"""
    xs = list(xs)
    total = logsumexp(xs)
    return [x - total for x in xs]


def softmax(xs: Iterable[Any]) -> list[Value]:
    """ソフトマックス関数 eˣⁱ / Σ eˣ。n 個の並びから、和が 1 の n 個の `Value` を返す。"""
    return [x.exp() for x in log_softmax(xs)]
