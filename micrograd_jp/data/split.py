"""データの分割 (split): 訓練データ／開発データ／評価データ (training / development / test)。"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from micrograd_jp.arguments import explain_all
from micrograd_jp.data.dataset import Dataset, Subset, integers
from micrograd_jp.data.seeds import generator_of


def random_split(
    dataset: Dataset,
    lengths: Sequence[float],
    generator: Any = None,
    *,
    seed: int | None = None,
    stratify: Any = None,
) -> tuple[Subset, ...]:
    """でたらめに選んで、重なりなく分ける。

    >>> import micrograd_jp as mg
    >>> digits = mg.data.datasets.xor(100, noise=0.1, seed=0)
    >>> [len(part) for part in random_split(digits, (0.8, 0.1, 0.1), seed=0)]
    [80, 10, 10]

    Args:
        dataset: 分けるデータセット。
        lengths: 合計 1 の割合、または合計 `len(dataset)` の整数。割合で割り切れない分は、
            前の部分から 1 つずつ配る（PyTorch と同じ）。
        generator: `mg.Generator`。そこから引く。`seed` の代わりに渡す。
        seed: 乱数の種。`None` ならパッケージの生成器 (`mg.manual_seed`) から。
        stratify: 見本ごとのラベル（整数、長さは `len(dataset)`）。渡すと、どの部分でも
            ラベルの割合がほぼ等しくなる（層化, stratified）。

    Raises:
        ValueError: 割合や整数の合計が合わない、負の数がある、`stratify` の長さが違う。
        TypeError: `stratify` が整数の並びでない、`seed` と `generator` の両方がある。
    """
    n = len(dataset)
    sizes = _sizes(lengths, n)
    rng = generator_of(seed, generator)
    if stratify is None:
        order = rng.permutation(n)
    else:
        labels = integers(stratify, "stratify")
        if len(labels) != n:
            raise ValueError(
                f"stratify の長さが違います (length mismatch): {len(labels)}。"
                f"見本の数 {n} だけのラベルを渡してください。"
            )
        order = _interleaved(labels, rng)
    ends = np.cumsum([0, *sizes]).tolist()
    parts = [order[start:end] for start, end in itertools.pairwise(ends)]
    return tuple(Subset(dataset, rng.permutation(part)) for part in parts)


def _sizes(lengths: Sequence[float], n: int) -> list[int]:
    given = list(lengths)
    if not given or any(not x >= 0 for x in given):
        raise ValueError(
            f"lengths は 0 以上の数の並びです (expected non-negative lengths): {given}。"
        )
    if all(hasattr(x, "__index__") for x in given) and sum(given) == n:
        return [int(x) for x in given]
    if abs(sum(given) - 1) > 1e-6:
        raise ValueError(
            f"lengths の合計が合いません (lengths must sum to 1 or {n}): {given} の合計は "
            f"{sum(given):g} です。割合なら合計を 1、個数なら合計を {n} にしてください。"
        )
    sizes = [int(n * x) for x in given]
    for i in range(n - sum(sizes)):
        sizes[i % len(sizes)] += 1
    return sizes


def _interleaved(labels: Any, rng: np.random.Generator) -> Any:
    """An order in which every stretch has nearly the proportions of labels of the whole."""
    order = rng.permutation(len(labels))
    order = order[np.argsort(labels[order], kind="stable")]
    _, starts, counts = np.unique(labels[order], return_index=True, return_counts=True)
    rank = np.arange(len(order)) - np.repeat(starts, counts)
    return order[np.argsort((rank + 0.5) / np.repeat(counts, counts), kind="stable")]


explain_all(globals())
