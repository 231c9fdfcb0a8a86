"""平面上の小さな問題。どれも float32 の座標 (N, 2) と int64 のラベル (N,) の `TensorDataset`。

`x, t = moons(200, seed=0)[:]` で `Tensor` の組になる。`seed` を省略すると、乱数はパッケージの
生成器 (`mg.manual_seed`) から来る。
"""

from __future__ import annotations

from typing import Any

import numpy as np

from micrograd_jp.arguments import explain_all
from micrograd_jp.data.dataset import TensorDataset
from micrograd_jp.data.seeds import generator_of
from micrograd_jp.tensor.dtypes import float32


def moons(n: int = 200, *, noise: float = 0.1, seed: int | None = None) -> TensorDataset:
    """かみ合う 2 つの三日月。ラベルは 0（上）と 1（下）。

    上は (cos θ, sin θ)、下は (1 − cos θ, ½ − sin θ)、0 ≤ θ ≤ π。scikit-learn の make_moons と
    同じ形である。

    Args:
        n: 点の数。
        noise: 座標に加える正規乱数の標準偏差。
        seed: 乱数の種。

    Raises:
        ValueError: `n` が正の整数でない、`noise` が負。
    """
    _check(n, noise)
    upper, lower = (np.linspace(0, np.pi, k) for k in (n - n // 2, n // 2))
    above = np.stack([np.cos(upper), np.sin(upper)], 1)
    below = np.stack([1 - np.cos(lower), 0.5 - np.sin(lower)], 1)
    return _labelled([above, below], noise, seed)


def circles(
    n: int = 200, *, noise: float = 0.05, factor: float = 0.5, seed: int | None = None
) -> TensorDataset:
    """同心円。ラベルは 0（外側、半径 1）と 1（内側、半径 `factor`）。

    Args:
        n: 点の数。
        noise: 座標に加える正規乱数の標準偏差。
        factor: 内側の円の半径。
        seed: 乱数の種。

    Raises:
        ValueError: `n` が正の整数でない、`noise` が負。
    """
    _check(n, noise)
    parts = []
    for count, radius in ((n - n // 2, 1.0), (n // 2, factor)):
        angle = np.linspace(0, 2 * np.pi, count, endpoint=False)
        parts.append(radius * np.stack([np.cos(angle), np.sin(angle)], 1))
    return _labelled(parts, noise, seed)


def spiral(
    n: int = 300, *, classes: int = 3, noise: float = 0.2, seed: int | None = None
) -> TensorDataset:
    """渦巻き。クラス c の点は、半径 r (0 ≤ r < 1)、角 4c + 4r + 正規乱数。

    出典: Stanford CS231n の講義ノート。斎藤『ゼロから作る Deep Learning』2 巻 1 章も使う。

    Args:
        n: 点の数（全クラスの合計）。
        classes: クラスの数。
        noise: 角に加える正規乱数の標準偏差。
        seed: 乱数の種。

    Raises:
        ValueError: `n` か `classes` が正の整数でない、`noise` が負。
    """
    _check(n, noise)
    _check(classes, noise, "classes")
    rng = generator_of(seed)
    parts = []
    for c in range(classes):
        radius = np.arange(c, n, classes) // classes / -(-n // classes)
        angle = 4 * c + 4 * radius + noise * rng.standard_normal(len(radius))
        parts.append(np.stack([radius * np.sin(angle), radius * np.cos(angle)], 1))
    return _shuffled(np.concatenate(parts), _labels(parts), rng)


def xor(n: int = 4, *, noise: float = 0.0, seed: int | None = None) -> TensorDataset:
    """排他的論理和 (exclusive or)。(0,0)→0, (0,1)→1, (1,0)→1, (1,1)→0 を順に繰り返す。

    1 本の直線では分けられない、最も小さな問題 (Minsky & Papert, Perceptrons, 1969)。

    Args:
        n: 点の数。4 なら 4 つの角が 1 度ずつ。
        noise: 座標に加える正規乱数の標準偏差。
        seed: 乱数の種。

    Raises:
        ValueError: `n` が正の整数でない、`noise` が負。
    """
    _check(n, noise)
    corner = np.arange(n) % 4
    bits = np.stack([corner // 2, corner % 2], 1)
    x = bits + (noise * generator_of(seed).standard_normal(bits.shape) if noise else 0.0)
    return TensorDataset(x.astype(float32), bits[:, 0] ^ bits[:, 1])


def line(
    n: int = 100,
    *,
    slope: float = 1.0,
    intercept: float = 4.0,
    noise: float = 0.5,
    seed: int | None = None,
) -> TensorDataset:
    """直線 t = slope · x + intercept のまわりの点（回帰, regression）。x と t は float32 (N, 1)。

    Args:
        n: 点の数。x は 0 から 10 に等間隔に並ぶ。
        slope: 傾き。
        intercept: 切片。
        noise: t に加える正規乱数の標準偏差。
        seed: 乱数の種。

    Raises:
        ValueError: `n` が正の整数でない、`noise` が負。
    """
    _check(n, noise)
    x = np.linspace(0, 10, n)[:, None]
    t = slope * x + intercept + noise * generator_of(seed).standard_normal(x.shape)
    return TensorDataset(x.astype(float32), t.astype(float32))


def _labelled(parts: list[Any], noise: float, seed: int | None) -> TensorDataset:
    """The points of each class with noise, in random order."""
    rng = generator_of(seed)
    x = np.concatenate(parts)
    return _shuffled(x + noise * rng.standard_normal(x.shape), _labels(parts), rng)


def _labels(parts: list[Any]) -> Any:
    return np.repeat(np.arange(len(parts)), [len(part) for part in parts])


def _shuffled(x: Any, t: Any, rng: np.random.Generator) -> TensorDataset:
    order = rng.permutation(len(x))
    return TensorDataset(x[order].astype(float32), t[order])


def _check(n: Any, noise: float, name: str = "n") -> None:
    if isinstance(n, bool) or not hasattr(n, "__index__") or n < 1:
        raise ValueError(f"{name} は 1 以上の整数です (expected a positive int): {n!r}。")
    if not noise >= 0:
        raise ValueError(f"noise は 0 以上の数です (noise must not be negative): {noise!r}。")


explain_all(globals())
