"""番号の列 (sampler): どの見本を、どの順に使うか。`DataLoader(sampler=…)` に渡す。

名前と引数は PyTorch のもの。乱数はこのパッケージの生成器か `generator` から引くので、引かれる番号は
PyTorch と同じではない。
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence, Sized
from typing import Any

import numpy as np

from micrograd_jp.arguments import explain_all, undefined
from micrograd_jp.data.dataset import integers
from micrograd_jp.data.seeds import generator_of


class Sampler:
    """番号の列の土台。派生クラスは `__iter__` を（長さがあれば `__len__` も）書く。"""

    def __init__(self, data_source: Any = None) -> None:
        pass

    def __iter__(self) -> Iterator[Any]:
        raise undefined(self, "__iter__(self)")


class SequentialSampler(Sampler):
    """0 から順に。"""

    def __init__(self, data_source: Sized) -> None:
        self.data_source = data_source

    def __iter__(self) -> Iterator[int]:
        return iter(range(len(self.data_source)))

    def __len__(self) -> int:
        return len(self.data_source)


class RandomSampler(Sampler):
    """でたらめな順に。

    Args:
        data_source: データセット（長さだけを使う）。
        replacement: 真なら、同じ見本を何度も選ぶことがある（復元抽出）。
        num_samples: 選ぶ数。省くと見本の数。復元抽出でなければ、並べ替えを繰り返す。
        generator: 乱数を引く `mg.Generator`。

    Raises:
        ValueError: `num_samples` が正の整数でない。
    """

    def __init__(
        self,
        data_source: Sized,
        replacement: bool = False,
        num_samples: int | None = None,
        generator: Any = None,
    ) -> None:
        self.data_source, self.replacement = data_source, bool(replacement)
        self.num_samples = _count(len(data_source) if num_samples is None else num_samples)
        self.generator = generator
        generator_of(None, generator)

    def __iter__(self) -> Iterator[int]:
        rng, n = generator_of(None, self.generator), len(self.data_source)
        if self.replacement:
            return iter(rng.integers(n, size=self.num_samples).tolist())
        rounds = -(-self.num_samples // n)
        order = np.concatenate([rng.permutation(n) for _ in range(rounds)])
        return iter(order[: self.num_samples].tolist())

    def __len__(self) -> int:
        return self.num_samples


class SubsetRandomSampler(Sampler):
    """渡された番号を、でたらめな順に 1 度ずつ。

    Raises:
        TypeError: 番号が整数の並びでない。
    """

    def __init__(self, indices: Sequence[int], generator: Any = None) -> None:
        self.indices, self.generator = (
            integers(indices, "SubsetRandomSampler の indices"),
            generator,
        )
        generator_of(None, generator)

    def __iter__(self) -> Iterator[int]:
        return iter(generator_of(None, self.generator).permutation(self.indices).tolist())

    def __len__(self) -> int:
        return len(self.indices)


class WeightedRandomSampler(Sampler):
    """重みに比例する確率で選ぶ（クラスの数が偏っているときなど）。

    Args:
        weights: 見本ごとの重み（合計は 1 でなくてよい）。
        num_samples: 選ぶ数。
        replacement: 偽なら、同じ見本は 1 度だけ。
        generator: 乱数を引く `mg.Generator`。

    Raises:
        ValueError: 重みに負か nan がある、合計が 0、`num_samples` が多すぎるか正の整数でない。
    """

    def __init__(
        self,
        weights: Sequence[float],
        num_samples: int,
        replacement: bool = True,
        generator: Any = None,
    ) -> None:
        self.weights = np.asarray(weights, dtype=np.float64)
        self.num_samples, self.replacement = _count(num_samples), bool(replacement)
        self.generator = generator
        generator_of(None, generator)
        w = self.weights
        if w.ndim != 1 or not (w >= 0).all() or not 0 < w.sum() < np.inf:
            raise ValueError(
                "weights は 0 以上の有限の数の並びで、合計は正です (expected non-negative "
                f"weights): 形 {w.shape}、合計 {w.sum():g} が渡されました。"
            )
        if not replacement and num_samples > np.count_nonzero(w):
            raise ValueError(
                f"num_samples={num_samples} は多すぎます (too many): replacement=False では、重みが"
                f"正の見本 {np.count_nonzero(w)} 個までです。"
            )

    def __iter__(self) -> Iterator[int]:
        rng = generator_of(None, self.generator)
        p = self.weights / self.weights.sum()
        return iter(rng.choice(len(p), self.num_samples, self.replacement, p).tolist())

    def __len__(self) -> int:
        return self.num_samples


class BatchSampler(Sampler):
    """番号の列を、`batch_size` 個ずつのリストに分ける。

    Args:
        sampler: 番号の列。
        batch_size: 1 つのリストの長さ。
        drop_last: 真なら、足りない最後のリストを捨てる。

    Raises:
        ValueError: `batch_size` が正の整数でない。
    """

    def __init__(self, sampler: Iterable[int], batch_size: int, drop_last: bool) -> None:
        self.sampler, self.drop_last = sampler, bool(drop_last)
        self.batch_size = _count(batch_size, "batch_size")

    def __iter__(self) -> Iterator[list[int]]:
        return in_batches(self.sampler, self.batch_size, self.drop_last)

    def __len__(self) -> int:
        whole, rest = divmod(len(self.sampler), self.batch_size)  # type: ignore[arg-type]
        return whole + (rest > 0 and not self.drop_last)


def in_batches(xs: Iterable[Any], size: int, drop_last: bool) -> Iterator[list[Any]]:
    """`size` 個ずつのリストにする。"""
    batch: list[Any] = []
    for x in xs:
        batch.append(x)
        if len(batch) == size:
            yield batch
            batch = []
    if batch and not drop_last:
        yield batch


def _count(n: Any, name: str = "num_samples") -> int:
    if isinstance(n, bool) or not hasattr(n, "__index__") or n < 1:
        raise ValueError(f"{name} は 1 以上の整数です (expected a positive int): {n!r}。")
    return int(n)


explain_all(globals())
