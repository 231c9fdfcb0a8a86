"""評価: 推論中の状態で、計算グラフを作らずに、損失と指標を求める。"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from micrograd_jp.arguments import explain_all, require_function
from micrograd_jp.data import DataLoader
from micrograd_jp.distributed.collectives import gathered, gathered_bytes
from micrograd_jp.environment import processes
from micrograd_jp.graph.modes import no_grad
from micrograd_jp.nn.module.calling import array_of, callers, number_of, pair, stepper, takes_model
from micrograd_jp.nn.module.evaluating import evaluating

_BATCH = 1024


class Evaluation(NamedTuple):
    """評価の結果。

    Attributes:
        loss: 損失の、見本の数で重みをつけた平均（求めなければ `None`）。
        metric: 指標（求めなければ `None`）。
    """

    loss: float | None
    metric: float | None


def evaluate(
    model: Any, data: Any, loss: Any = None, metric: str | Callable[..., Any] | None = "accuracy"
) -> Evaluation:
    """モデルを評価する。終わると、訓練中かどうかは元に戻る。

    Args:
        model: `Module`。
        data: (x, t) のミニバッチの並び（`DataLoader` など）、または `TensorDataset` など。
            `DataLoader(…, distributed=True)` なら、どのプロセスでも呼び、全員の見本の結果になる。
        loss: 損失 `loss(y, t)` か `loss(model, x, t)`。`None` なら求めない。
        metric: `"accuracy"`（正解率）か、全部の出力と正解の配列から数を作る関数 `metric(y, t)`。
            `None` なら求めない。

    Raises:
        TypeError: 呼べないモデルや損失。
        ValueError: データが空、または知らない指標。
    """
    measured = metric_of(metric)
    require_function("model", model)
    if loss is not None:
        require_function("loss", loss)
    predict, wanted = callers(model)
    reuse = loss is not None and not takes_model(loss)
    step = None if loss is None or reuse else stepper(model, loss)
    total, samples = 0.0, 0
    outputs: list[Any] = []
    answers: list[Any] = []
    with evaluating(model), no_grad():
        for batch in batches(data):
            n = size_of(batch)
            if step is not None:
                total += n * number_of(step(batch))
            if reuse or measured is not None:
                x, t = pair(batch)
                y = predict(x)
                if reuse:
                    total += n * number_of(loss(y, wanted(t)))
                if measured is not None:
                    outputs.append(array_of(y))
                    answers.append(array_of(t))
            samples += n
    if shared(data):
        total, samples = gathered(np.array([total, samples])).sum(axis=0).tolist()
        outputs, answers = _everyone(outputs), _everyone(answers)
    if samples == 0:
        raise ValueError("評価するデータがありません (no data to evaluate on)。")
    result = None
    if measured is not None:
        result = float(array_of(measured(_joined(outputs), _joined(answers))))
    return Evaluation(None if loss is None else total / samples, result)


def accuracy(y: Any, t: Any) -> float:
    """正解率 (accuracy): 当たった見本の割合。

    Args:
        y: 出力。形 (N, C) なら最大のものを答えとし、(N,) か (N, 1) なら正か負かを答えとする。
        t: 正解。形 (N,) のクラスの番号、y と同じ形の確率、または 0・1 や ±1。

    Raises:
        ValueError: 見本の数が違う。
    """
    y, t = array_of(y), array_of(t)
    if len(y) != len(t):
        raise ValueError(
            f"出力と正解の数が違います (length mismatch): 出力 {len(y)}、正解 {len(t)}。"
        )
    if y.ndim > 1 and y.shape[1] > 1:
        wanted = t.argmax(axis=1) if t.shape == y.shape else t.reshape(len(t), -1)[:, 0]
        return float((y.argmax(axis=1) == wanted).mean())
    return float(((y.reshape(-1) > 0) == (t.reshape(-1) > 0)).mean())


def metric_of(metric: str | Callable[..., Any] | None) -> Callable[..., Any] | None:
    """指標の関数。

    Raises:
        ValueError: 知らない名前。
    """
    if metric is None or callable(metric):
        return metric
    if metric == "accuracy":
        return accuracy
    raise ValueError(
        f'metric は "accuracy" か関数 metric(y, t) です (unknown metric): {metric!r}。'
    )


def metric_name(metric: Any) -> str:
    """記録と表示に使う、指標の名前。"""
    return "" if metric is None else str(getattr(metric, "__name__", metric))


def batches(data: Any) -> Any:
    """評価のためのミニバッチ: データセットなら、順に、まとめて。"""
    if hasattr(data, "__getitems__") and not isinstance(data, DataLoader):
        return DataLoader(data, _BATCH)
    return data.every_row() if shared(data) else data


def shared(data: Any) -> bool:
    """いくつものプロセスで分け合う見本か。"""
    return isinstance(data, DataLoader) and data.distributed and processes.count > 1


def _everyone(parts: list[Any]) -> list[Any]:
    """The outputs of all processes."""
    if not parts:
        return parts
    own = _joined(parts)
    found = gathered_bytes(np.ascontiguousarray(own).tobytes())
    return [np.frombuffer(b, own.dtype).reshape(-1, *own.shape[1:]) for b in found]


def size_of(batch: Any) -> int:
    """ミニバッチの見本の数。"""
    return len(batch[-1] if isinstance(batch, tuple | list) else batch)


def _joined(parts: list[Any]) -> Any:
    return np.concatenate(parts) if parts[0].ndim else np.array(parts)


explain_all(globals())
