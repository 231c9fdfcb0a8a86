"""クラスを当てる損失: 交差エントロピー誤差、負の対数尤度、多クラスのヒンジ損失。

クラスの軸は、1 次元のロジット (C,) では軸 0、それ以上 (N, C, …) では軸 1 (PyTorch と同じ)。
"""

from __future__ import annotations

from functools import reduce
from typing import Any

from micrograd_jp import functions as mg
from micrograd_jp.arguments import explain_all
from micrograd_jp.engine.numbers import is_number
from micrograd_jp.engine.value import Value
from micrograd_jp.nn.losses import targets
from micrograd_jp.nn.losses.class_axis import (
    chosen,
    class_places,
    class_weights,
    counted_places,
    indicator,
    with_classes,
)
from micrograd_jp.nn.losses.reduction import mean_or_sum, reduction_of
from micrograd_jp.tensor.array import Tensor, as_tensor
from micrograd_jp.tensor.functions.loss import softmax_cross_entropy


def cross_entropy(
    input: Any,
    target: Any,
    weight: Any = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Any:
    """交差エントロピー誤差 −Σ tₖ log softmax(x)ₖ (cross entropy)。

    Args:
        input: ロジット（ソフトマックスの前の値）。`Tensor` (N, C)、(C,)、(N, C, d, …)、または
            長さ C の `Value` の並び、そのリスト。
        target: クラスの番号（整数。形はロジットからクラスの軸を除いたもの）か、確率（ロジットと
            同じ形。負でなく、和が 1）。`Value` の確率は、和が 1 とみなす。
        weight: クラスの重み (C,)。番号の正解の平均は、重みの合計で割る (PyTorch と同じ)。
        size_average: 古い引数（`reduction` に直される）。
        ignore_index: 数えない番号（損失も勾配も 0 で、平均の標本の数にも入らない）。
        reduce: 古い引数。
        reduction: `"mean"`（標本についての平均）、`"sum"`、`"none"`。
        label_smoothing: ラベル平滑化 (label smoothing) ε: 正解を (1 − ε)t + ε/C にする。
            Szegedy et al. (2016) "Rethinking the Inception Architecture" §7。

    Raises:
        ValueError: 形が合わない、番号が範囲の外、確率でない、ε が 0 以上 1 以下でない。
        TypeError: 番号が整数でない。
    """
    reduction = reduction_of(reduction, size_average, reduce)
    if not 0 <= label_smoothing <= 1:
        raise ValueError(
            f"label_smoothing は 0 以上 1 以下です (out of range): {label_smoothing!r}。"
        )
    given = (input, target, weight, ignore_index, reduction)
    if not (label_smoothing and weight is not None and reduction == "mean"):
        return _cross_entropy(*given, label_smoothing)
    # In two parts, as in PyTorch: where the weights of the targets add up to 0, the first is 0/0.
    sharp, even = (_cross_entropy(*given, e) for e in (0.0, 1.0))
    return sharp * (1 - label_smoothing) + even * label_smoothing


def _cross_entropy(
    logits: Any, target: Any, weight: Any, ignore_index: int, reduction: str, label_smoothing: float
) -> Any:
    name = "cross_entropy"
    if targets.has_values(logits):
        return _of_rows(
            lambda row, t, weights: _of_row(row, t, weights, label_smoothing),
            logits, target, weight, ignore_index, reduction, name,
        )  # fmt: skip
    x, axis = with_classes(logits, name)
    n, weights = x.shape[axis], class_weights(weight, x, axis, name)
    t = as_tensor(target)
    if t.shape == x.shape:
        targets.distributions(t, axis, name)
        wanted = _smoothed(t.astype(x.dtype), label_smoothing, n)
        wanted = wanted if weights is None else wanted * weights
        return mean_or_sum(_softmax_cross_entropy(x, wanted, axis), reduction)
    places, kept = counted_places(x, axis, t, name, ignore_index)
    if not label_smoothing:
        losses = _softmax_cross_entropy(x, places, axis)
        losses = losses if weights is None else losses * weights.reshape(-1)[places]
    else:
        wanted = _smoothed(Tensor(indicator(x, places, axis)), label_smoothing, n)
        wanted = wanted if weights is None else wanted * weights
        losses = _softmax_cross_entropy(x, wanted, axis)
    return _mean_of_kept(losses, kept, weights, places, reduction)


def _smoothed(wanted: Tensor, label_smoothing: float, n: int) -> Tensor:
    return wanted * (1 - label_smoothing) + label_smoothing / n if label_smoothing else wanted


def _mean_of_kept(
    losses: Tensor, kept: Tensor | None, weights: Tensor | None, places: Any, reduction: str
) -> Any:
    total = None if weights is None else weights.reshape(-1)[places]
    if kept is not None:
        losses = mg.where(mg.ne(kept, 0), losses, 0.0)  # chosen, not multiplied: 0 · ∞ would be nan
        total = kept if total is None else total * kept
    return mean_or_sum(losses, reduction, None if total is None else total.sum())


def nll_loss(
    input: Any,
    target: Any,
    weight: Any = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Any:
    """負の対数尤度 −log p(正解) (negative log likelihood)。`log_softmax` の出力に使う。

    Args:
        input: 対数確率。`Tensor` (N, C)、(C,)、(N, C, d, …)、または `Value` の並び。
        target: クラスの番号（整数）。
        weight: クラスの重み (C,)。平均は重みの合計で割る。
        size_average: 古い引数（`reduction` に直される）。
        ignore_index: 数えない番号。
        reduce: 古い引数。
        reduction: `"mean"`、`"sum"`、`"none"`。

    Raises:
        ValueError: 形が合わない、または番号が範囲の外。
        TypeError: 番号が整数でない。
    """
    name = "nll_loss"
    reduction = reduction_of(reduction, size_average, reduce)
    if targets.has_values(input):

        def of_row(row: list[Any], t: Any, weights: Any) -> tuple[Any, float]:
            k = targets.one_class(t, len(row), name)
            w = 1.0 if weights is None else weights[k]
            return -row[k] * w if w != 1 else -row[k], w

        return _of_rows(of_row, input, target, weight, ignore_index, reduction, name)
    x, axis = with_classes(input, name)
    weights = class_weights(weight, x, axis, name)
    places, kept = counted_places(x, axis, as_tensor(target), name, ignore_index)
    losses = -chosen(x, places, axis)
    losses = losses if weights is None else losses * weights.reshape(-1)[places]
    return _mean_of_kept(losses, kept, weights, places, reduction)


def hinge_of_classes(scores: Any, target: Any, margin: float, reduction: str) -> Any:
    """多クラスのヒンジ損失（`hinge_loss` が検査してから呼ぶ）。"""
    name = "hinge_loss"
    if targets.has_values(scores):

        def of_row(row: list[Any], t: Any, _: Any) -> tuple[Any, float]:
            k = targets.one_class(t, len(row), name)
            _require_two_classes(len(row))
            best = reduce(mg.maximum, row[:k] + row[k + 1 :])
            return mg.relu(best - row[k] + margin), 1.0

        return _of_rows(of_row, scores, target, None, None, reduction, name)
    x, axis = with_classes(scores, name)
    places = class_places(x, axis, as_tensor(target), name)
    _require_two_classes(x.shape[axis])
    # The correct class cannot be the best wrong one.
    right = indicator(x, places, axis) != 0
    best = mg.amax(mg.where(right, -float("inf"), x), axis)
    return mean_or_sum(mg.relu(best - chosen(x, places, axis) + margin), reduction)


def _require_two_classes(n: int) -> None:
    if n < 2:
        raise ValueError(
            "多クラスのヒンジ損失には 2 つ以上のクラスが必要です (expected 2 or more classes): "
            f"{n} 個です。2 値なら、正解を −1 か 1 にして y と同じ形で渡してください。"
        )


# ---- Tensor ----------------------------------------------------------------------------------


def _softmax_cross_entropy(x: Tensor, target: Any, axis: int) -> Tensor:
    """One loss per sample, by class numbers or by probabilities (maybe weighted)."""
    if x.ndim == 2:
        return softmax_cross_entropy(x, target)
    # The classes last, everything else in rows.
    n, last = x.shape[axis], x.movedim(axis, -1)
    if target.shape == x.shape:
        target = target.movedim(axis, -1).reshape(-1, n)
    else:
        target = target.reshape(-1)
    return softmax_cross_entropy(last.reshape(-1, n), target).reshape(last.shape[:-1])


# ---- Value の並び -----------------------------------------------------------------------------


def _of_rows(
    of_row: Any,
    rows: Any,
    target: Any,
    weight: Any,
    ignore_index: int | None,
    reduction: str,
    name: str,
) -> Any:
    """The loss of one row of Values, or of a list of rows.

    `of_row(row, target, weights)` gives the loss and what it counts for in the mean.
    """
    batch = targets.is_row(rows) and len(rows) > 0 and targets.is_row(rows[0])
    pairs = targets.batch_of(rows, target, name) if batch else [(rows, target)]
    found = []
    for row, t in pairs:
        if not targets.is_row(row) or not len(row):
            raise ValueError(
                f"{name} の入力は、Value か数の空でない並びです (expected a list of Values): "
                f"{row!r} が渡されました。"
            )
        values = [Value(x) if is_number(x) else x for x in row]
        weights = None if weight is None else _row_weights(weight, len(values), name)
        ignored = ignore_index is not None and targets.is_number_of(t, ignore_index)
        found.append((Value(0.0), 0.0) if ignored else of_row(values, t, weights))
    losses = [loss for loss, _ in found]
    if reduction == "none" and not batch:
        return losses[0]
    total = sum(count for _, count in found)
    return mean_or_sum(losses, reduction, None if total == len(found) else total)


def _row_weights(weight: Any, n: int, name: str) -> list[float]:
    weights: list[float] = as_tensor(weight).tolist()
    if not isinstance(weights, list) or len(weights) != n:
        raise ValueError(
            f"{name} の weight はクラスごとに 1 つです (weight shape mismatch): 長さ {n} の並びに"
            "してください。"
        )
    return weights


def _of_row(row: list[Any], t: Any, weights: Any, smoothing: float) -> tuple[Any, float]:
    """Σ cₖ (log Σ eˣ − xₖ) with as few nodes as possible."""
    n, count = len(row), 1.0
    if hasattr(t, "chosen"):  # an input of a function that is being compiled
        return _of_input(row, t, weights, smoothing), count
    if targets.is_distribution(t):
        wanted = targets.one_distribution(t, n, "cross_entropy")
    else:
        k = targets.one_class(t, n, "cross_entropy")
        wanted = [0.0] * n
        wanted[k] = 1.0
        count = 1.0 if weights is None else weights[k]
    if smoothing:
        wanted = [c * (1 - smoothing) + smoothing / n for c in wanted]
    if weights is not None:
        wanted = [c * w for c, w in zip(wanted, weights)]
    # Of Values nobody has looked whether they add up to 1 (`mg.compile` has no numbers yet).
    total = sum(wanted) if all(map(is_number, wanted)) else mg.sum(wanted)
    log_total = mg.logsumexp(row)
    if not (is_number(total) and total == 1):
        log_total = log_total * total
    terms = [(c, x) for c, x in zip(wanted, row) if not (is_number(c) and c == 0)]
    if len(terms) == 1 and is_number(terms[0][0]):
        c, x = terms[0]
        return log_total - (x if c == 1 else x * c), count
    if not terms:
        return log_total, count
    cs, xs = zip(*terms)
    return log_total - mg.dot(list(cs), list(xs)), count


def _of_input(row: list[Any], t: Any, weights: Any, smoothing: float) -> Any:
    """The loss of a row whose class is known only when the compiled function is called."""
    if weights is not None:
        raise TypeError(
            "コンパイルする関数の中で weight を使う正解は、番号でなく one-hot の並びです "
            "(weighted classes of an input)。"
        )
    loss = mg.logsumexp(row) - mg.take(row, t) * (1 - smoothing)
    return loss - mg.sum(row) * (smoothing / len(row)) if smoothing else loss


explain_all(globals())
