"""図にする見本とモデルの答え: 画像・点の並びと、その確率。"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from micrograd_jp.data import DataLoader
from micrograd_jp.graph.modes import no_grad
from micrograd_jp.nn.module.calling import array_of, callers, pair
from micrograd_jp.nn.module.evaluating import evaluating
from micrograd_jp.tensor.array import Tensor

BATCH = 1024
OUTPUTS = ("logits", "probabilities")


def samples_of(data: Any) -> tuple[np.ndarray, np.ndarray]:
    """データセットか (x, t) の組から、x と、クラスの番号 t の ndarray。

    Args:
        data: `TensorDataset` などのデータセット、`DataLoader`、または配列の組 (x, t)。

    Returns:
        x (N, …) と t (N,)。t は 0, 1, 2, … の整数。±1 は 0 と 1 になる。

    Raises:
        TypeError: 見本の集まりでない。
        ValueError: 空、長さが違う、クラスの番号でない。
    """
    if isinstance(data, tuple | list) and len(data) == 2:
        x, t = map(array_of, data)
    elif (
        not isinstance(data, str | bytes)
        and hasattr(data, "__len__")
        and (hasattr(data, "__getitem__") or hasattr(data, "__iter__"))
    ):
        loader = data if isinstance(data, DataLoader) else DataLoader(data, BATCH)
        parts = [tuple(map(array_of, pair(batch))) for batch in loader]
        if not parts:
            raise ValueError("見本がありません (no data)。")
        x, t = (np.concatenate(part) for part in zip(*parts, strict=True))
    else:
        raise TypeError(
            "data はデータセットか (x, t) の組です (expected a dataset or a pair): "
            f"{type(data).__name__} が渡されました。"
        )
    if x.ndim == 0 or len(x) != len(t) or len(x) == 0:
        raise ValueError(
            "x と t は同じ個数、1 個以上の見本です (length mismatch): "
            f"形は {x.shape} と {t.shape} です。"
        )
    return x, _classes(t)


def _classes(t: np.ndarray) -> np.ndarray:
    flat = t.reshape(len(t), -1)[:, 0] if t.size == len(t) else t
    if flat.ndim == 1 and flat.dtype.kind in "biuf" and np.array_equal(flat, np.floor(flat)):
        whole = flat.astype(np.int64)
        if set(np.unique(whole)) <= {-1, 1}:
            return (whole + 1) // 2
        if whole.min() >= 0:
            return whole
    raise ValueError(
        "t はクラスの番号 0, 1, 2, …（2 クラスなら ±1 も）の並びです (expected class numbers): "
        f"形 {t.shape}、型 {t.dtype} が渡されました。"
    )


def outputs_of(model: Any, x: np.ndarray) -> np.ndarray:
    """推論中の、計算グラフのない出力。`Value` でできたモデルには 1 つずつ渡す。

    Raises:
        TypeError: 呼べないモデル。
    """
    if not callable(model):
        raise TypeError(
            "model は x から出力を作る Module か関数です (expected a model): "
            f"{type(model).__name__} が渡されました。"
        )
    predict, _ = callers(model)
    with evaluating(model), no_grad():
        parts = [
            array_of(predict(Tensor(x[start : start + BATCH]))) for start in range(0, len(x), BATCH)
        ]
    return np.concatenate(parts)


def probabilities_of(model: Any, x: np.ndarray, output: str = "logits") -> np.ndarray:
    """クラスごとの確率 (N, K)。出力が 1 つのモデルなら K = 2 で、2 つめがその確率。

    Args:
        model: `Module` か関数、または既に求めた確率の ndarray (N, K)。
        x: 見本 (N, …)。
        output: モデルの出力が `"logits"` か `"probabilities"` か。

    Raises:
        TypeError: 呼べないモデル。
        ValueError: 知らない `output`、出力の形が (N,), (N, 1), (N, K) でない。
    """
    if output not in OUTPUTS:
        raise ValueError(
            f"output は {', '.join(map(repr, OUTPUTS))} のどれかです (unknown output): {output!r}。"
        )
    given = isinstance(model, np.ndarray | Tensor)
    y = array_of(model) if given else outputs_of(model, x)
    y = y.astype(np.float64)
    if y.ndim == 1:
        y = y[:, None]
    if y.ndim != 2 or len(y) != len(x) or y.shape[1] == 0:
        raise ValueError(
            f"出力の形は ({len(x)},)、({len(x)}, 1)、({len(x)}, クラスの数) のどれかです "
            f"(unexpected output): {y.shape} になりました。"
        )
    if y.shape[1] == 1:
        p = y if given or output == "probabilities" else 0.5 * (1 + np.tanh(y / 2))
        return np.concatenate([1 - p, p], axis=1)
    if given or output == "probabilities":
        return y
    e = np.exp(y - y.max(axis=1, keepdims=True))
    return np.asarray(e / e.sum(axis=1, keepdims=True))


def class_names(names: Sequence[str] | None, count: int) -> list[str]:
    """クラスの名前。省略すると、番号。

    Raises:
        ValueError: 名前の数が違う。
    """
    found = [str(k) for k in range(count)] if names is None else list(map(str, names))
    if len(found) < count:
        raise ValueError(
            f"names は {count} 個のクラスの名前です (expected {count} names): {len(found)} 個です。"
        )
    return found


def require_classes(p: np.ndarray, t: np.ndarray) -> None:
    """確率の列が、正解のクラスに足りることを確かめる。

    Raises:
        ValueError: 足りない。
    """
    if t.max() >= p.shape[1]:
        raise ValueError(
            f"正解にクラス {t.max()} がありますが、モデルの出力は {p.shape[1]} クラスです "
            "(class out of range)。"
        )
