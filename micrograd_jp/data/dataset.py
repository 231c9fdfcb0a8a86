"""データセット (dataset): 番号で取り出せる見本の集まり。

- `Dataset`: `len(d)` と `d[i]` があるもの。リストでも、自分で書いたクラスでもよい。
- `TensorDataset`: 同じ長さの配列の組。まとめて取り出すのが速い。
- `Subset`: 他のデータセットの一部。
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np

from micrograd_jp import namespace
from micrograd_jp.arguments import explain_all
from micrograd_jp.engine.numbers import is_number
from micrograd_jp.tensor.array import Tensor, tensor
from micrograd_jp.tensor.dtypes import get_default_dtype
from micrograd_jp.tensor.keys import bad_index, keys_of


@runtime_checkable
class Dataset(Protocol):
    """データセットの約束: `len(d)` と、0 から `len(d) − 1` までの整数による `d[i]`。

    見本 `d[i]` は、配列・数・`Tensor`、またはその組 (tuple)。`DataLoader` はそれらを積み重ねる。
    メソッド `__getitems__(indices)` もあれば（PyTorch と同じ名前）、整数の配列を 1 度に受け取り、
    見本のリストか、既に積み重ねた配列の組を返す。見本ごとの Python の処理がなくなり、速い。
    """

    def __len__(self) -> int: ...

    def __getitem__(self, index: Any, /) -> Any: ...


class TensorDataset:
    """同じ長さの配列の組。`d[i]`, `d[2:5]`, `d[[3, 1, 4]]` は `Tensor` の組になる。

    >>> x, t = TensorDataset([[0.0, 0.0], [0.0, 1.0]], [0, 1])[:]

    Args:
        arrays: 配列、`Tensor`、またはリスト。最初の軸が見本の番号。写さずに持つ。

    Attributes:
        tensors: 渡された配列を、順に `Tensor` にしたもの。

    Raises:
        TypeError: 数の配列でない。
        ValueError: 1 つもない、0 次元、または長さが違う。
    """

    def __init__(self, *arrays: Any) -> None:
        if not arrays:
            raise ValueError(
                "TensorDataset には 1 つ以上の配列が必要です (no arrays): "
                "TensorDataset(x, t) のように渡してください。"
            )
        held = tuple(x.detach() if isinstance(x, Tensor) else _held(x) for x in arrays)
        shapes = "、".join(str(x.shape) for x in held)
        if any(x.ndim == 0 for x in held):
            raise ValueError(
                f"TensorDataset の配列には見本の軸が必要です (0-d array): 形は {shapes} です。"
            )
        if len({x.shape[0] for x in held}) > 1:
            raise ValueError(
                f"TensorDataset の配列の長さが違います (length mismatch): 形は {shapes} です。"
                "最初の軸（見本の数）を揃えてください。"
            )
        self.tensors: tuple[Tensor, ...] = held

    def __len__(self) -> int:
        return self.tensors[0].shape[0]

    def __getitem__(self, key: Any) -> tuple[Tensor, ...]:
        """見本の組。スライスなら元の配列を見る (view)。

        Raises:
            IndexError: その番号の見本がない。
        """
        try:
            if isinstance(key, tuple):
                raise IndexError("only the axis of the samples can be indexed")
            (samples,) = keys_of(key)
            return tuple([Tensor(x._data[samples]) for x in self.tensors])
        except IndexError as error:
            raise bad_index((len(self),), error) from None

    def __iter__(self) -> Iterator[tuple[Tensor, ...]]:
        return (self[i] for i in range(len(self)))

    def __getitems__(self, indices: Any) -> tuple[Any, ...]:
        """番号の配列が指す見本の、積み重ねた配列の組（元の配列とは別のメモリ）。"""
        return tuple([_taken(x._data, indices) for x in self.tensors])

    def __repr__(self) -> str:
        columns = ", ".join(f"{x.dtype}{list(x.shape[1:])}" for x in self.tensors)
        return f"{type(self).__name__}({len(self):,} 個: {columns})"


def _held(x: Any) -> Tensor:
    return Tensor(x) if namespace.is_array(x) and namespace.is_numeric(x.dtype) else tensor(x)


def _taken(array: Any, indices: Any) -> Any:
    # ndarray.take is the fastest way to gather rows; JAX keeps its arrays where they are.
    return array.take(indices, 0) if isinstance(array, np.ndarray) else array[indices]


class Subset:
    """データセットの一部。番号は元のデータセットのもので、重なっていてもよい。

    Args:
        dataset: 元のデータセット。
        indices: 含める見本の番号 (0 から `len(dataset) − 1`)。

    Raises:
        TypeError: 番号が整数の並びでない。
        IndexError: 元のデータセットにない番号。
    """

    def __init__(self, dataset: Dataset, indices: Any) -> None:
        self.dataset = dataset
        self.indices = integers(indices, "Subset の indices")
        outside = self.indices[(self.indices < 0) | (self.indices >= len(dataset))]
        if outside.size:
            raise IndexError(
                f"Subset の番号 {outside[0]} がありません (index out of range): "
                f"番号は 0 から {len(dataset) - 1} までです。"
            )

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, key: Any) -> Any:
        """整数なら元のデータセットの見本、スライスや配列なら積み重ねた `Tensor` の組。

        Raises:
            IndexError: その番号の見本がない。
        """
        try:
            chosen = self.indices[key._data if isinstance(key, Tensor) else key]
        except IndexError as error:
            raise bad_index((len(self),), error) from None
        return batch_of(self.dataset, chosen) if chosen.ndim else self.dataset[int(chosen)]

    def __iter__(self) -> Iterator[Any]:
        return (self[i] for i in range(len(self)))

    def __getitems__(self, indices: Any) -> Any:
        """番号の配列が指す見本を、積み重ねたもの。"""
        return batch_of(self.dataset, self.indices[indices])

    def __repr__(self) -> str:
        return f"Subset({len(self):,} 個 / {self.dataset!r})"


def integers(given: Any, name: str) -> Any:
    """整数の並びを、1 次元の int64 の配列にする。

    Raises:
        TypeError: 整数の並びでない。
    """
    array = np.asarray(given._data if isinstance(given, Tensor) else given)
    if array.size == 0:
        array = array.astype(np.int64)
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise TypeError(
            f"{name} は整数の並びです (expected a sequence of integers): "
            f"形 {array.shape}、型 {array.dtype} が渡されました。"
        )
    return array.astype(np.int64)


def batch_of(dataset: Dataset, indices: Any) -> Any:
    """番号の配列が指す見本を 1 つのバッチにする: `Tensor` の組（組でない見本なら `Tensor`）。

    Raises:
        ValueError: 見本の形が揃わない。
        TypeError: 見本が数の配列でない。
    """
    many = _at_once(dataset)
    got = [dataset[i] for i in indices.tolist()] if many is None else many(indices)
    if isinstance(got, list):
        return stacked(got)
    if isinstance(got, dict):
        return got
    if isinstance(got, tuple):
        return tuple([x if isinstance(x, Tensor) else Tensor(x) for x in got])
    return got if isinstance(got, Tensor) else Tensor(got)


def _at_once(dataset: Any) -> Any:
    """`__getitems__`, unless a subclass has written a `__getitem__` of its own since."""
    for cls in type(dataset).__mro__:
        if "__getitems__" in vars(cls):
            break
        if "__getitem__" in vars(cls):
            return None
    return getattr(dataset, "__getitems__", None)


def stacked(samples: Sequence[Any]) -> Any:
    """見本を積み重ねる (collate)。組の見本は、要素ごとに積み重ねた組になる。

    PyTorch の `default_collate` と同じく、dict の見本は dict に、名前つきの組 (namedtuple) は
    同じ型に、文字列は文字列のリストになる。

    Raises:
        ValueError: 見本が 1 つもない、または形や要素の数が揃わない。
        TypeError: 見本が数の配列でない。
    """
    if not samples:
        raise ValueError("積み重ねる見本がありません (empty batch)。")
    first = samples[0]
    if isinstance(first, str | bytes):
        return list(samples)
    if isinstance(first, Mapping):
        return {key: _column([sample[key] for sample in samples]) for key in first}
    if not isinstance(first, tuple | list):
        return _stack(samples)
    if len({len(sample) for sample in samples}) > 1:
        lengths = sorted({len(sample) for sample in samples})
        raise ValueError(
            f"見本の要素の数が揃っていません (ragged samples): {lengths}。"
            "どの見本も (x, t) のように同じ数の要素の組にしてください。"
        )
    columns = [_column(column) for column in zip(*samples)]
    return type(first)(*columns) if hasattr(first, "_fields") else tuple(columns)


default_collate = stacked  # PyTorch's name


def _column(column: Sequence[Any]) -> Any:
    """One part of every sample. What is nested is a sample itself, but a list of numbers a row."""
    first = column[0]
    nested = isinstance(first, tuple | list) and not all(is_number(x) for x in first)
    if nested or hasattr(first, "_fields") or isinstance(first, str | bytes | Mapping):
        return stacked(column)
    return _stack(column)


def _stack(column: Sequence[Any]) -> Tensor:
    arrays = [x._data if isinstance(x, Tensor) else np.asarray(x) for x in column]
    shapes = {x.shape for x in arrays}
    if len(shapes) > 1:
        raise ValueError(
            f"見本の形が揃っていないので積み重ねられません (shape mismatch): {sorted(shapes)}。"
            "どの見本も同じ形になるようにしてください。"
        )
    if not namespace.is_numeric(arrays[0].dtype):
        raise TypeError(
            "見本は数・配列・Tensor か、その組です (expected numbers): "
            f"{type(column[0]).__name__} が渡されました。"
        )
    if isinstance(column[0], float) and not isinstance(column[0], np.generic):
        arrays = [x.astype(get_default_dtype()) for x in arrays]  # Python's numbers, as mg.tensor
    return Tensor(namespace.of(*arrays).stack(arrays))


explain_all(globals())
