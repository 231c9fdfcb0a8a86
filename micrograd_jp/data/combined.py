"""データセットを組み合わせる: つなぐ (`ConcatDataset`)、並べる (`StackDataset`)、流す。

名前と引数は PyTorch のもの。
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from micrograd_jp.arguments import explain_all, undefined
from micrograd_jp.data.dataset import Dataset


class IterableDataset:
    """番号でなく、順に取り出すデータセット（ファイルの行など）。派生クラスは `__iter__` を書く。"""

    def __iter__(self) -> Iterator[Any]:
        raise undefined(self, "__iter__(self)")

    def __add__(self, other: Any) -> ChainDataset:
        return ChainDataset([self, other])


class ChainDataset(IterableDataset):
    """`IterableDataset` を順に流す。

    Raises:
        TypeError: `IterableDataset` でないもの。
    """

    def __init__(self, datasets: Iterable[IterableDataset]) -> None:
        self.datasets = list(datasets)
        for x in self.datasets:
            if not isinstance(x, IterableDataset):
                raise TypeError(
                    "ChainDataset は IterableDataset をつなぎます (expected IterableDatasets): "
                    f"{type(x).__name__} が渡されました。番号のあるものは ConcatDataset を。"
                )

    def __iter__(self) -> Iterator[Any]:
        for dataset in self.datasets:
            yield from dataset

    def __len__(self) -> int:
        if any(not hasattr(x, "__len__") for x in self.datasets):
            raise TypeError(
                "この ChainDataset に長さはありません (no len): つないだものにありません。"
            )
        return sum(map(len, self.datasets))  # type: ignore[arg-type]


class ConcatDataset:
    """データセットを前から順につないだもの。

    Attributes:
        datasets: つないだデータセット。
        cumulative_sizes: それぞれの終わりの番号。

    Raises:
        ValueError: 1 つもない。
        TypeError: 長さと添字のないもの。
    """

    def __init__(self, datasets: Iterable[Dataset]) -> None:
        self.datasets = list(datasets)
        if not self.datasets:
            raise ValueError("ConcatDataset には 1 つ以上のデータセットが必要です (no datasets)。")
        for x in self.datasets:
            _require_dataset("ConcatDataset", x)
        self.cumulative_sizes = np.cumsum([len(x) for x in self.datasets]).tolist()

    def __len__(self) -> int:
        return int(self.cumulative_sizes[-1])

    def __getitem__(self, index: int) -> Any:
        """`index` 番目の見本。負の数は終わりから。

        Raises:
            IndexError: その番号の見本がない。
        """
        i = index + len(self) if index < 0 else index
        if not 0 <= i < len(self):
            raise IndexError(
                f"ConcatDataset の番号 {index} がありません (index out of range): "
                f"見本は {len(self)} 個です。"
            )
        which = int(np.searchsorted(self.cumulative_sizes, i, side="right"))
        start = self.cumulative_sizes[which - 1] if which else 0
        return self.datasets[which][i - start]


class StackDataset:
    """同じ長さのデータセットを並べる: 見本は組、名前を付けて渡せば dict になる。

    Raises:
        ValueError: 1 つもない、長さが違う、位置と名前の両方で渡された。
        TypeError: 長さと添字のないもの。
    """

    def __init__(self, *args: Dataset, **kwargs: Dataset) -> None:
        if bool(args) == bool(kwargs):
            raise ValueError(
                "StackDataset には 1 つ以上のデータセットを、位置か名前のどちらかで渡します "
                "(expected either positional or keyword datasets)。"
            )
        self.datasets: Any = kwargs or args
        held = [*kwargs.values(), *args]
        for x in held:
            _require_dataset("StackDataset", x)
        if len({len(x) for x in held}) > 1:
            raise ValueError(
                "StackDataset の長さが違います (length mismatch): "
                f"{[len(x) for x in held]}。同じ数の見本にしてください。"
            )
        self._length = len(held[0])

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> Any:
        """`index` 番目の見本の組か dict。"""
        if isinstance(self.datasets, dict):
            return {name: x[index] for name, x in self.datasets.items()}
        return tuple([x[index] for x in self.datasets])


def _require_dataset(name: str, x: Any) -> None:
    if not isinstance(x, Dataset):
        raise TypeError(
            f"{name} は len(d) と d[i] のあるデータセットを受け取ります (expected datasets): "
            f"{type(x).__name__} が渡されました。"
        )


explain_all(globals())
