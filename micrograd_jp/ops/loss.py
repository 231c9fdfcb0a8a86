"""損失の演算の表: ソフトマックス関数と交差エントロピーを 1 つにしたもの。

2 つを続けて計算すると、確率が 0 に丸められたところで log 0 になる。1 つにすれば、ロジットが
±1000 でもあふれず、微分は「確率 − 正解」(Bishop, PRML §4.3.4) になる。どれもサンプルごとの
損失 (N,) を返すので、平均や重み付けはその後でできる。
"""

from __future__ import annotations

from typing import Any

from micrograd_jp.ops.arrays import array_op


def _from_the_top(m: Any, x: Any) -> Any:
    """Logits below the largest of their row: no exponential of these overflows."""
    return x - m.amax(x, axis=1, keepdims=True)


def _log_softmax(m: Any, x: Any) -> Any:
    below = _from_the_top(m, x)
    return below - m.log(m.sum(m.exp(below), axis=1, keepdims=True))


def _column(m: Any, x: Any) -> Any:
    return m.reshape(x, (*x.shape, 1))


def _class_losses(m: Any, x: Any, key: Any) -> Any:
    below = _from_the_top(m, x)
    return m.log(m.sum(m.exp(below), axis=1)) - m.getitem(below, key)


def _probability_minus_target(m: Any, g: Any, z: Any, x: Any, key: Any) -> tuple[Any, ...]:
    if m.surely_finite(z):
        # log p = x − x[class] − z: one exponential, and nothing else of the softmax, again.
        log_p = x - _column(m, m.getitem(x, key)) - _column(m, z)
        return (_column(m, g) * m.exp(log_p) - m.scattered(g, key, x.shape),)
    e = m.exp(_from_the_top(m, x))  # the logit of a class may be −∞
    share = _column(m, g) / m.sum(e, axis=1, keepdims=True)
    return (e * share - m.scattered(g, key, x.shape),)


def _probability_times_all_minus_own(m: Any, gq: Any, x: Any) -> Any:
    return m.exp(_log_softmax(m, x)) * m.sum(gq, axis=1, keepdims=True) - gq


# The columns of the table are set by hand.
# fmt: off

cross_entropy = array_op("cross_entropy", "交差エントロピー",
    "クラスの番号との交差エントロピー誤差 (cross entropy)",
    _class_losses, _probability_minus_target)
soft_cross_entropy = array_op("soft_cross_entropy", "交差エントロピー",
    "確率分布との交差エントロピー誤差 (cross entropy with probabilities)",
    lambda m, x, q: -m.sum(q * _log_softmax(m, x), axis=1),
    (lambda m, g, z, x, q: _probability_times_all_minus_own(m, _column(m, g) * q, x),
     lambda m, g, z, x, q: -_column(m, g) * _log_softmax(m, x)))
