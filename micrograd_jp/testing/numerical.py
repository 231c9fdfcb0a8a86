"""数値微分 (numerical differentiation): 関数を何度か計算するだけで勾配を求める。

遅くて近似だが、連鎖律を使わない。だから誤差逆伝播法の答え合わせになる。

>>> numerical_gradient(lambda x, y: x * x * y, 3.0, 2.0, method="complex")
(12.0, 9.0)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeGuard

import numpy as np

from micrograd_jp.arguments import explain_all
from micrograd_jp.engine.numbers import as_number, not_a_number
from micrograd_jp.engine.value import Value
from micrograd_jp.graph.modes import is_grad_enabled, no_grad
from micrograd_jp.tensor.array import Tensor
from micrograd_jp.testing.complex_step import complex_steps
from micrograd_jp.testing.estimate import EPS, Search, answered, searching
from micrograd_jp.testing.recorded import recorded
from micrograd_jp.transforms import leaves_of, map_structure


def numerical_gradient(f: Callable[..., Any], *xs: Any, method: str = "central") -> Any:
    """`f(*xs)` の各入力についての偏微分を、数値微分で求める。

    渡した `Value` の `data` と `grad` は変わらない（`f` は新しい葉の `Value` で呼ばれる）。
    配列は、要素の 1 つ 1 つを動かせる float64 の `Tensor` として渡される。

    Args:
        f: `Value` か数、または要素が 1 つの `Tensor` を返す関数。
        *xs: 数・`Value`・`Tensor`・小数の ndarray、またはその入れ子のリスト・タプル・辞書。
        method: 方法。

            - `"central"`: 中心差分 (f(x+h) − f(x−h)) / 2h、h = ε^(1/3)·max(1, |x|)。
              誤差は相対 1e-10 程度。
            - `"richardson"`: 中心差分のリチャードソン補外。刻みを自動で選び、より正確。
            - `"complex"`: 複素ステップ法 Im f(x + ih) / h (Squire & Trapp, 1998)。
              引き算がないので桁落ちせず、ほぼ倍精度。erf と gelu、配列、計算グラフの外に
              取り出した数（`x.data` など）では使えない。

    Returns:
        `xs` と同じ形の float（配列は float64 の ndarray）。入力が 1 つならその形、
        2 つ以上ならタプル。

    Raises:
        TypeError: `f` が関数でない、入力が数でない、`f` が値を 1 つ返さない。
        ValueError: 入力がない、入力か `f` の値が nan・inf、知らない `method`。
    """
    check_callable(f, "numerical_gradient")
    if method not in (*_METHODS, "complex"):
        raise ValueError(
            f"method={method!r} はありません (unknown method): "
            f"{'、'.join(map(repr, (*_METHODS, 'complex')))} のどれかを指定してください。"
        )
    point = flat(xs, checked_inputs(xs))
    if method == "complex" and any(map(is_array, leaves_of(xs))):
        raise TypeError(
            "複素ステップ法 (complex step) は配列の入力には使えません。"
            'method="central" か "richardson" を使ってください。'
        )

    def value(at: Sequence[Any]) -> Any:
        return _single_number(call(f, xs, at)[1])

    def output(at: Sequence[Any]) -> Any:
        return np.array([value(at)])

    with no_grad():
        y = value(point)
        check_finite_output(y)
        if method == "complex":
            slopes = complex_steps(lambda at: call(f, xs, at), point)
        elif (recording := recorded(f, xs, point, output)) is not None:
            y = recording.outputs[0]
            slopes = recording.answers(lambda x: _METHODS[method](x, y), lambda z: z[0])
        else:
            slopes = [
                answered(_METHODS[method](float(x), y), along(value, point, i))
                for i, x in enumerate(point)
            ]
    gradient = filled(xs, slopes, lambda numbers, shape: np.reshape(np.array(numbers), shape))
    return gradient[0] if len(xs) == 1 else gradient


def _central(x: float, y: float) -> Search[float]:
    h: float = EPS ** (1 / 3) * max(1.0, abs(x))
    above, below = x + h, x - h
    up, down = yield above, below
    return (up - down) / (above - below)


def _richardson(x: float, y: float) -> Search[float]:
    return (yield from searching(x, y)).derivative


_METHODS: dict[str, Callable[[float, float], Search[float]]] = {
    "central": _central,
    "richardson": _richardson,
}


# ---- gradcheck と共に使う部品 -----------------------------------------------------------------


def check_callable(f: Any, caller: str) -> None:
    """関数でないものを断る。"""
    if not callable(f):
        raise TypeError(
            f"{caller} の最初の引数は関数です (expected a function): "
            f"{type(f).__name__} が渡されました。{caller}(f, …) のように、呼び出す前の "
            "関数そのものを渡してください。"
        )


def is_array(x: Any) -> TypeGuard[Tensor | np.ndarray[Any, Any]]:
    """要素を 1 つずつ動かす入力か。`Value` の入った object 配列は違う。"""
    return isinstance(x, Tensor) or (isinstance(x, np.ndarray) and x.dtype != object)


_is_array = is_array  # asked for every input at every evaluation


def paths(tree: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """入れ子の葉を、`"[0]['w']"` のような添字とともに、`map_structure` と同じ順に返す。

    配列の葉は、その要素である。
    """
    if is_array(tree):
        data = tree._data if isinstance(tree, Tensor) else tree
        if data.dtype.kind not in "iubf":
            raise not_a_number(data, f"入力{prefix}")
        if data.dtype.kind != "f":
            raise TypeError(
                f"入力{prefix} は {data.dtype} の配列です (integer array): 整数は微分できません。"
                "mg.tensor(…, dtype=float) のように小数にするか、f の中に書いてください。"
            )
        for place in np.ndindex(*data.shape):
            yield prefix + "".join(f"[{i}]" for i in place), data[place]
        return
    if isinstance(tree, list | tuple):
        for i, x in enumerate(tree):
            yield from paths(x, f"{prefix}[{i}]")
    elif isinstance(tree, dict):
        for key, x in tree.items():
            yield from paths(x, f"{prefix}[{key!r}]")
    else:
        yield prefix, tree


def filled(
    tree: Any, leaves: Iterable[Any], array: Callable[[list[Any], tuple[int, ...]], Any]
) -> Any:
    """`paths` の順に並んだ葉を `tree` の形に戻す。配列は `array(要素, 形)` になる。"""
    following = iter(leaves)

    def leaf(x: Any) -> Any:
        if not is_array(x):
            return next(following)
        return array([next(following) for _ in range(x.size)], x.shape)

    return map_structure(leaf, tree)


def along(
    value: Callable[[Sequence[float]], float], point: Sequence[float], i: int
) -> Callable[[float], float]:
    """`point` の `i` 番目だけを動かす、1 変数の関数。`value` は渡されたものを持ち続けない。"""
    at: Any = point.copy()  # type: ignore[attr-defined]  # a list or an array

    def moved(x: float) -> float:
        at[i] = x
        return value(at)

    return moved


def checked_inputs(inputs: Any) -> list[float]:
    """入れ子の入力を float の並びにする。

    Raises:
        TypeError: 実数でない。
        ValueError: 入力がない、または nan・inf。
    """
    point = []
    for path, x in paths(inputs):
        data = x._data if isinstance(x, Value) else x
        try:
            number = as_number(data)
        except TypeError:
            raise not_a_number(data, f"入力{path}") from None
        if not math.isfinite(number):
            raise ValueError(
                f"入力{path} が {number} です (non-finite input)。"
                "勾配は有限の数でしか確かめられません。"
            )
        point.append(number)
    if not point:
        raise ValueError(
            "入力がありません (empty inputs): 微分する数か Value を 1 つ以上渡してください。"
        )
    return point


def flat(args: Any, point: list[float]) -> Any:
    """`checked_inputs` の点を、`call` が速く読める形に: 配列があれば 1 本の ndarray。"""
    return np.array(point) if any(map(is_array, leaves_of(args))) else point


def call(f: Callable[..., Any], args: Any, at: Any) -> tuple[list[Any], Any]:
    """`f` を新しい葉で呼び、葉と出力を返す。数の葉は `Value`、配列の葉は `Tensor` になる。

    Args:
        f: 関数。配列の引数は、書き換えてもよい写しで受け取る。
        args: 引数の形。
        at: `paths` の順の数 (`flat`)。

    Raises:
        RuntimeError: `f` が入力の `Value` を書き換えた。
    """
    leaves: list[Any] = []
    values: list[tuple[int, Value]] = []
    recording, place = is_grad_enabled(), 0

    def leaf(x: Any) -> Any:
        nonlocal place
        start = place
        if not _is_array(x):
            place += 1
            leaves.append(Value(at[start]))
            values.append((start, leaves[-1]))
            return leaves[-1]
        place += x.size
        data = np.array(at[start:place], np.float64).reshape(x.shape)
        leaves.append(Tensor(data, requires_grad=recording))
        return leaves[-1].clone() if recording else leaves[-1]

    output = f(*map_structure(leaf, args))
    for i, v in values:
        if v._data != at[i]:
            raise RuntimeError(
                f"f が {i} 番目の入力の data を {at[i]} から {v._data} に書き換えました "
                "(f modifies its input)。代入 x.data = … の代わりに、新しい Value を "
                "計算して返してください。"
            )
    return leaves, output


def check_finite_output(y: float) -> None:
    """nan・inf を出した関数を断る。"""
    if not math.isfinite(y):
        raise ValueError(
            f"f の値が {y} です (non-finite output)。この入力では微分を確かめられません。"
            "入力が f の定義域に入っているか確かめてください。"
        )


def _single_number(output: Any) -> Any:
    data = output._data if isinstance(output, Value) else output
    if isinstance(output, Tensor) and output.size == 1:
        data = output.item()
    try:
        return as_number(data)
    except TypeError:
        shape = f" (形 {output.shape})" if isinstance(output, Tensor) else ""
        raise TypeError(
            "f は Value か数を 1 つ返す関数です (expected a scalar output): "
            f"{type(output).__name__}{shape} を返しました。return を忘れていないか、"
            "いくつもの値なら和などで 1 つにまとめたか確かめてください。"
        ) from None


explain_all(globals())
