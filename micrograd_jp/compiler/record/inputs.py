"""引数の読み方: どれが標本 (batch) の軸で、どれが 1 つの標本の構造か。

- 配列 (ndarray, Tensor, JAX の配列) の**先頭の軸は標本**。残りの軸は、関数の中では入れ子のリスト。
  標本ごとに長さが違うときは、並びを要素とする配列 (dtype object) にする (`ragged.py`)。
- Python のリスト・タプル・辞書は**構造**で、標本の軸にはならない。
- Python の数は、すべての標本に共通の入力。
- 真偽値、文字列、`None`、`Value`、モデルなどは、そのまま関数に渡る（変わると記録し直す）。

配列が 1 つもなければ、標本は 1 つで、結果も 1 つの数になる。
"""

from __future__ import annotations

import itertools
import math
import operator
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from micrograd_jp import namespace
from micrograd_jp.compiler.record.outputs import each
from micrograd_jp.compiler.record.recorder import Recorder
from micrograd_jp.compiler.record.traced import Traced
from micrograd_jp.engine.numbers import is_number
from micrograd_jp.tensor.array import Tensor

_RULE = (
    "配列の先頭の軸が標本 (batch) で、リスト・タプル・辞書は 1 つの標本の構造です。"
    "1 つの標本だけを配列で渡すときは、x[None] とするか x.tolist() としてください。"
)


_LOOK = operator.attrgetter("__class__", "shape", "dtype")
_LISTS = {list: "list", tuple: "tuple"}
_NUMBERS = {float, int}


@dataclass(frozen=True)
class Group:
    """入力 1 つ（配列か数）。

    Attributes:
        name: 引数の名前と、構造の中の場所 (`"x"`, `"x['a'][0]"`)。
        shape: 1 つの標本の形。数なら `()`。
    """

    name: str
    shape: tuple[int, ...]

    @cached_property
    def size(self) -> int:
        """1 つの標本の要素の数。"""
        return math.prod(self.shape)


@dataclass(slots=True)
class Arguments:
    """1 回の呼び出しの引数を読んだもの。

    Attributes:
        key: 記録が使い回せるかを決める鍵（構造と形）。
        arrays: 入力を順に。先頭の軸が標本の配列か、数。
        batch: 標本の数。配列がなければ `None`。
        tensors: 入力が `Tensor` で渡されたとき、その `Tensor`。`arrays` と同じ順で、ほかは `None`。
        kept: 鍵の中の `id` が指すもの。記録と一緒に生かしておく。
        has_tensors: `Tensor` で渡された入力があるか。
        in_memory: どの入力も NumPy の配列だと分かっているか。
    """

    key: tuple[Any, ...]
    arrays: list[Any]
    tensors: list[Any]
    batch: int | None
    kept: list[Any]
    has_tensors: bool = False
    in_memory: bool = False

    @property
    def asking(self) -> list[int]:
        """勾配を求める入力の番号。"""
        if not self.has_tensors:
            return []
        return wanting(self.tensors)

    @property
    def samples(self) -> int:
        """標本の数。配列がなければ 1。"""
        return 1 if self.batch is None else self.batch


def only_numbers(x: Sequence[Any]) -> bool:
    """Python の数だけの並びか: 1 つずつ見るより速い。"""
    return _NUMBERS.issuperset(map(type, x))


def wanting(tensors: Sequence[Tensor | None]) -> list[int]:
    """勾配を求める `Tensor` の番号。"""
    return [i for i, x in enumerate(tensors) if x is not None and x.requires_grad]


def read(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Arguments:
    """引数を読む。

    Raises:
        ValueError: 標本の数が配列ごとに違う。
        TypeError: 数の配列でない。
    """
    alone = arrays_alone(args, kwargs)
    if alone is not None:
        return alone
    found = Arguments((), [], [], None, [])
    key = tuple([_key(x, found) for x in args])
    if kwargs:
        key += tuple([(name, _key(kwargs[name], found)) for name in sorted(kwargs)])
    shapes = [x.shape for x in found.arrays if x.__class__ is not float]
    require_one_batch(shapes)
    found.key, found.batch = key, shapes[0][0] if shapes else None
    found.in_memory = {*map(type, found.arrays)} <= {float, np.ndarray}
    return found


def require_one_batch(shapes: Sequence[tuple[int, ...]]) -> None:
    """標本の数が、どの配列でも同じことを確かめる。

    Raises:
        ValueError: 違う。
    """
    if len({shape[0] for shape in shapes}) > 1:
        raise ValueError(
            f"配列の先頭の軸の長さが揃っていません (batch size mismatch): 形 {[*shapes]}。{_RULE}"
        )


class Again:
    """`arrays_alone` と同じもの。前と同じ形と型の配列なら、鍵などを作り直さない。"""

    def __init__(self) -> None:
        self._seen: Any = (), None  # replaced as one: several threads may call

    def __call__(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Arguments | None:
        """引数を読む。"""
        try:
            looks = [*map(_LOOK, args)]
        except AttributeError:  # no arrays at all
            return arrays_alone(args, kwargs)
        before, same = self._seen
        if looks == before and not kwargs:
            key, tensors, batch, kept = same
            return Arguments(key, [*args], tensors, batch, kept, False, True)
        found = arrays_alone(args, kwargs)
        if found is not None and not found.has_tensors:
            self._seen = looks, (found.key, found.tensors, found.batch, found.kept)
        return found


def arrays_alone(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Arguments | None:
    """`read` が読むもののうち、いちばん多いもの: 同じ数の標本の、NumPy の数の配列だけ。"""
    if kwargs:
        return None
    key, arrays, tensors, batch, has_tensors = [], [], [], -1, False
    for x in args:
        tensor = None
        if x.__class__ is Tensor:
            tensor, has_tensors = x, True
            x = x._data
        if x.__class__ is not np.ndarray or not x.ndim or x.dtype.kind not in "fiu":
            return None
        samples, *shape = x.shape
        if samples != batch and batch >= 0:
            return None
        batch = samples
        key.append(tuple(shape))
        arrays.append(x)
        tensors.append(tensor)
    if batch < 0:
        return None
    return Arguments(tuple(key), arrays, tensors, batch, [], has_tensors, True)


def _key(x: Any, found: Arguments) -> Any:
    """What must agree for a recording to be used again; the inputs themselves go into `found`."""
    if x.__class__ in _LISTS and only_numbers(x):  # the usual list
        found.arrays += map(float, x)
        found.tensors += [None] * len(x)
        return (_LISTS[x.__class__], *["number"] * len(x))
    tensor = x if isinstance(x, Tensor) else None
    if tensor is not None:
        x = tensor._data
    if x.__class__ is np.ndarray or namespace.is_array(x):
        if x.ndim:
            if not namespace.is_numeric(x.dtype) or x.dtype.kind == "c":
                ragged = "長さの違う標本は、loss(…) と minimize に渡せます。"
                raise TypeError(
                    f"入力は実数の配列です (expected a numeric array): dtype {x.dtype} の配列が"
                    f"渡されました。{ragged if x.dtype == object else ''}"
                )
            found.arrays.append(x)
            found.tensors.append(tensor)
            found.has_tensors |= tensor is not None
            return x.shape[1:]
        x = x.item()
    if isinstance(x, list | tuple):
        kind = _LISTS.get(x.__class__) or f"{type(x).__module__}.{type(x).__qualname__}"
        return (kind, *[_key(y, found) for y in x])
    if isinstance(x, dict):
        return ("dict", *[(k, _key(y, found)) for k, y in x.items()])
    if is_number(x) and not isinstance(x, bool | np.bool_):
        found.arrays.append(float(x))
        found.tensors.append(None)
        return "number"
    if x is None or isinstance(x, bool | str):
        return ("static", x)
    found.kept.append(x)
    return ("object", id(x))


def symbols(
    args: tuple[Any, ...], kwargs: dict[str, Any], names: Sequence[str], recorder: Recorder
) -> tuple[list[Any], dict[str, Any], list[Group]]:
    """引数の配列と数を `Traced` に置き換え、関数に渡すものを作る。"""
    groups: list[Group] = []

    def stand_in(x: Any, name: str) -> Any:
        if isinstance(x, Tensor):
            x = x._data
        if namespace.is_array(x):
            return _nested(tuple(x.shape[1:]), name, groups, recorder)
        if isinstance(x, list | tuple):
            place = itertools.count()
            return each(lambda y: stand_in(y, f"{name}[{next(place)}]"), x)
        if isinstance(x, dict):
            return {k: stand_in(y, f"{name}[{k!r}]") for k, y in x.items()}
        if is_number(x) and not isinstance(x, bool | np.bool_):
            return _nested((), name, groups, recorder)
        return x

    names = [*names, *[f"args[{i}]" for i in range(len(names), len(args))]]
    new = [stand_in(x, name) for name, x in zip(names, args)]
    return new, {k: stand_in(kwargs[k], k) for k in sorted(kwargs)}, groups


def _nested(shape: tuple[int, ...], name: str, groups: list[Group], recorder: Recorder) -> Any:
    groups.append(Group(name, shape))
    first = [recorder.new_input() for _ in range(groups[-1].size)]
    following = iter(first)

    def build(shape: tuple[int, ...]) -> Any:
        if not shape:
            return Traced.at(recorder, next(following))
        return [build(shape[1:]) for _ in range(shape[0])]

    return build(shape)


def contains_traced(args: Sequence[Any], kwargs: dict[str, Any]) -> bool:
    """記録の最中に、コンパイルされた関数が呼ばれたか。"""
    stack: list[Any] = [*args, *kwargs.values()]
    while stack:
        x = stack.pop()
        if x.__class__ is Traced:
            return True
        if isinstance(x, list | tuple):
            if not only_numbers(x):
                stack.extend(x)
        elif isinstance(x, dict):
            stack.extend(x.values())
    return False


def described(groups: Sequence[Group], batch: int | None) -> str:
    """引数をどう読んだかの説明。エラーに添える。"""
    lines = [
        f"{g.name}: {'数 1 つ' if not g.shape else f'形 {g.shape} の入れ子のリスト'}"
        for g in groups
    ]
    count = "配列がないので標本は 1 つ" if batch is None else f"標本は {batch} 個"
    return f"引数の読み方 ({count}; 1 つの標本では): {'、'.join(lines) or 'なし'}。{_RULE}"
