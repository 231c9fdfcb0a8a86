"""`Tensor` を作る関数: 0 や 1 の配列、等差数列、乱数、ほかのライブラリの配列から。

乱数はこのパッケージの 1 つの生成器 (`numpy.random.Generator`) から来る。`manual_seed` で
同じ列を繰り返せる。生成器はプロセスごとに 1 つで、NumPy の `np.random.seed` とは独立である。
`get_rng_state` と `set_rng_state` は、Python の `random` も合わせて、状態を取り出し、戻す。

どれも `device=` を受け取る。指定がなければ NumPy の配列であり、JAX の配列を作るには
`mg.tensor(jax の配列)` と書くか、GPU などの装置を指定する（乱数も NumPy が作ってから運ぶ）。
"""

from __future__ import annotations

import operator
import random
from collections.abc import Mapping
from typing import Any

import numpy as np

from micrograd_jp.engine.numbers import not_a_number
from micrograd_jp.namespace import is_array
from micrograd_jp.tensor import random as traced_random
from micrograd_jp.tensor.array import Tensor, tensor
from micrograd_jp.tensor.array import as_tensor as _as_tensor
from micrograd_jp.tensor.checks import Shape, shape_of
from micrograd_jp.tensor.devices import placed
from micrograd_jp.tensor.dtypes import float32, float64, get_default_dtype, int64
from micrograd_jp.tensor.registry import with_torch_names

__all__ = [
    "arange", "as_tensor", "empty", "empty_like", "eye", "from_numpy", "full", "full_like",
    "get_rng_state", "is_tensor", "linspace", "manual_seed", "ones", "ones_like", "rand",
    "rand_like", "randint", "randn", "randn_like", "randperm", "set_rng_state", "zeros",
    "zeros_like",
]  # fmt: skip


def _made(data: Any, device: Any, requires_grad: bool) -> Tensor:
    return Tensor(data if device is None else placed(data, device), requires_grad)


def zeros(
    *shape: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """0 の配列。`zeros(2, 3)` とも `zeros((2, 3))` とも書ける。"""
    return full(
        shape_of(shape, "zeros"), 0.0, dtype=dtype, device=device, requires_grad=requires_grad
    )


def ones(*shape: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """1 の配列。"""
    return full(
        shape_of(shape, "ones"), 1.0, dtype=dtype, device=device, requires_grad=requires_grad
    )


def empty(
    *shape: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """値を決めない配列 (PyTorch の名前)。ここでは 0 で満たし、同じプログラムは同じ結果になる。"""
    return full(
        shape_of(shape, "empty"), 0.0, dtype=dtype, device=device, requires_grad=requires_grad
    )


@with_torch_names
def full(
    shape: Any, value: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """同じ数の配列。型は数の型（小数なら既定の型）。"""
    filled = tensor(value, dtype=dtype).broadcast_to(shape_of((shape,), "full"))
    return _made(filled.data.copy(), device, requires_grad)


def eye(
    n: int,
    columns: int | None = None,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """単位行列。形は (n, n)、または (n, columns)。"""
    shape = shape_of((n, n if columns is None else columns), "eye")
    return _made(np.eye(*shape, dtype=dtype or get_default_dtype()), device, requires_grad)


@with_torch_names
def arange(
    start: float,
    stop: float | None = None,
    step: float = 1,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """等差数列 `start, start + step, …`。`stop` は含まない。整数だけなら int64。

    Raises:
        ValueError: `step` が 0。
    """
    if step == 0:
        raise ValueError("arange の step は 0 にできません (step must not be zero)。")
    start, stop = (0, start) if stop is None else (start, stop)
    numbers = np.arange(start, stop, step)
    wanted = get_default_dtype() if numbers.dtype.kind == "f" else numbers.dtype
    return _made(numbers.astype(dtype or wanted), device, requires_grad)


@with_torch_names
def linspace(
    start: float,
    stop: float,
    num: int = 50,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """両端を含む、等間隔の `num` 個の数。"""
    (n,) = shape_of((num,), "linspace")
    points = np.linspace(start, stop, n, dtype=dtype or get_default_dtype())
    return _made(points, device, requires_grad)


# ---- 乱数 ------------------------------------------------------------------------------------

_generator = np.random.default_rng()


def manual_seed(seed: int) -> None:
    """乱数の種 (seed) を決める。同じ種からは、どのプロセスでも同じ乱数の列が得られる。

    このパッケージの生成器と、Python の `random` の両方の種になる（`Value` でできた `nn.Neuron` の
    重みは、micrograd と同じく `random` から来る）。NumPy の `np.random.seed` には触れない。

    Raises:
        TypeError: 整数でない。
        ValueError: 負の整数。
    """
    global _generator
    try:
        seed = operator.index(seed)
    except TypeError:
        raise TypeError(
            f"種は整数です (expected an int seed): {type(seed).__name__} が渡されました。"
        ) from None
    if seed < 0:
        raise ValueError(f"種は 0 以上の整数です (expected a non-negative seed): {seed}。")
    _generator = np.random.default_rng(seed)
    random.seed(seed)


def get_rng_state() -> dict[str, Any]:
    """乱数のいまの状態: このパッケージの生成器と、Python の `random`。

    Returns:
        `set_rng_state` に渡すと、同じ乱数の列が続く dict。`mg.save` で保存できる。
    """
    return {"numpy": _generator.bit_generator.state, "python": random.getstate()}


def set_rng_state(state: Mapping[str, Any]) -> None:
    """`get_rng_state()` の状態に戻す。

    Raises:
        ValueError: その状態ではない。このとき何も変わらない。
    """
    global _generator
    try:
        restored = np.random.default_rng(0)  # every state that we hand out is of this kind
        restored.bit_generator.state = state["numpy"]
        before = random.getstate()
        version, numbers, gauss = state["python"]
        try:
            random.setstate((version, tuple(numbers), gauss))
        except BaseException:
            random.setstate(before)
            raise
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise ValueError(
            f"乱数の状態ではありません (not a random state): {error}。"
            "mg.get_rng_state() の結果を渡してください。"
        ) from None
    _generator = restored


def generator() -> np.random.Generator:
    """このパッケージの乱数生成器。"""
    return _generator


def rand(*shape: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """0 以上 1 未満の一様乱数。"""
    return _random("random", shape_of(shape, "rand"), dtype, device, requires_grad)


def randn(
    *shape: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """平均 0、分散 1 の正規乱数。"""
    return _random("standard_normal", shape_of(shape, "randn"), dtype, device, requires_grad)


def _random(name: str, shape: Shape, dtype: Any, device: Any, requires_grad: bool) -> Tensor:
    wanted = np.dtype(dtype or get_default_dtype())
    if traced_random.is_active():
        there = {"random": "uniform", "standard_normal": "normal"}[name]
        return Tensor(traced_random.draw(there, shape, dtype=wanted), requires_grad)
    drawn = float64 if wanted == float64 else float32  # the two that NumPy draws
    numbers = getattr(_generator, name)(shape, dtype=drawn)
    return _made(np.asarray(numbers).astype(wanted, copy=False), device, requires_grad)


def randint(
    low: int, high: Any, shape: Any = None, *, dtype: Any = int64, device: Any = None
) -> Tensor:
    """`low` 以上 `high` 未満の整数の乱数。`randint(high, shape)` なら 0 から。

    Raises:
        ValueError: `high` が `low` より大きくない。
    """
    if shape is None:
        low, high, shape = 0, low, high
    size = shape_of((shape,) if isinstance(shape, int) else tuple(shape), "randint")
    if low >= high:
        raise ValueError(f"randint の範囲が空です (low >= high): {low} 以上 {high} 未満。")
    if traced_random.is_active():
        return Tensor(traced_random.draw("randint", size, low, high, dtype=dtype))
    return _made(np.asarray(_generator.integers(low, high, size)).astype(dtype), device, False)


def randperm(n: int, *, device: Any = None) -> Tensor:
    """0 から n − 1 までの整数を、でたらめな順に並べたもの。"""
    if traced_random.is_active():
        return Tensor(traced_random.draw("permutation", *shape_of((n,), "randperm")))
    return _made(_generator.permutation(*shape_of((n,), "randperm")), device, False)


# ---- 形と型をまねる ----------------------------------------------------------------------------


def zeros_like(
    x: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """x と同じ形と型の 0。"""
    return full_like(x, 0, dtype=dtype, device=device, requires_grad=requires_grad)


def empty_like(
    x: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """x と同じ形と型の、値を決めない配列。`empty` と同じく 0 で満たす。"""
    return full_like(x, 0, dtype=dtype, device=device, requires_grad=requires_grad)


def ones_like(
    x: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """x と同じ形と型の 1。"""
    return full_like(x, 1, dtype=dtype, device=device, requires_grad=requires_grad)


@with_torch_names
def full_like(
    x: Any, value: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """x と同じ形と型の、同じ数の配列。"""
    x = _as_tensor(x)
    return full(x.shape, value, dtype=dtype or x.dtype, device=device, requires_grad=requires_grad)


def rand_like(
    x: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """x と同じ形と型の一様乱数。"""
    x = _as_tensor(x)
    return rand(x.shape, dtype=dtype or x.dtype, device=device, requires_grad=requires_grad)


def randn_like(
    x: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """x と同じ形と型の正規乱数。"""
    x = _as_tensor(x)
    return randn(x.shape, dtype=dtype or x.dtype, device=device, requires_grad=requires_grad)


# ---- ほかのものから ----------------------------------------------------------------------------


def as_tensor(data: Any, dtype: Any = None, device: Any = None) -> Tensor:
    """`Tensor` にする。`Tensor` ならそのもの、配列なら値を写さずにメモリを共有する。

    `Value` は、同じ計算グラフの 0 次元の `Tensor` になる。ほかは `mg.tensor` と同じ。
    """
    made = Tensor(data) if is_array(data) else _as_tensor(data)
    return made.to(dtype=dtype, device=device)


def from_numpy(array: Any) -> Tensor:
    """ndarray とメモリを共有する `Tensor`。片方を書き換えると、もう片方も変わる。

    Raises:
        TypeError: ndarray でない、または数の配列でない。
    """
    if not isinstance(array, np.ndarray):
        raise TypeError(
            f"from_numpy は ndarray を受け取ります (expected np.ndarray): {type(array).__name__} が"
            "渡されました。リストや数には mg.tensor(…) と書いてください。"
        )
    if array.dtype.kind not in "fiub":
        raise not_a_number(array, "from_numpy")
    return Tensor(array)


def is_tensor(x: Any) -> bool:
    """`Tensor` か。"""
    return isinstance(x, Tensor)
