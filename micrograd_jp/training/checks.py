"""`fit` の引数の検査: 何かが始まる前に断る。"""

from __future__ import annotations

from collections.abc import Iterable, Sized
from typing import Any

from micrograd_jp.arguments import require_function
from micrograd_jp.engine.numbers import require_count
from micrograd_jp.optim.checks import require_at_least
from micrograd_jp.optim.lr_scheduler import ReduceLROnPlateau
from micrograd_jp.training.evaluation import metric_of


def require_options(epochs: Any, accumulate: Any, jit: Any) -> None:
    """数と真偽値。

    Raises:
        TypeError, ValueError: 範囲の外。
    """
    if not isinstance(epochs, int) or isinstance(epochs, bool) or epochs < 0:
        raise ValueError(f"epochs は 0 以上の整数です (expected an int): {epochs!r}。")
    require_count("accumulate", accumulate)
    if jit is not None and not isinstance(jit, bool):
        raise TypeError(
            f"jit は True か False か None です (expected a bool): {jit!r} が渡されました。"
        )


def require_schedule(scheduler: Any, schedule: Any, development: Any, metric: Any) -> None:
    """スケジューラと、それが見るもの。

    Raises:
        TypeError, ValueError: 組み合わせられない。
    """
    if schedule not in ("epoch", "update"):
        raise ValueError(f'schedule は "epoch" か "update" です (unknown schedule): {schedule!r}。')
    if schedule == "update" and isinstance(scheduler, ReduceLROnPlateau):
        raise ValueError(
            'ReduceLROnPlateau は更新ごとには使えません (needs a metric): schedule="epoch" と'
            "してください。"
        )
    if getattr(scheduler, "mode", "") == "max" and (development is None or metric is None):
        raise ValueError(
            'ReduceLROnPlateau(mode="max") には、開発データの指標が要ります '
            "(no metric to watch): fit に development を渡してください。"
        )
    metric_of(metric)


def require_data(data: Any, development: Any) -> None:
    """何度でも回せる、空でないミニバッチの並び。

    Raises:
        TypeError, ValueError: そうでない。
    """
    for name, x in (("data", data), ("development", development)):
        if not isinstance(x, Iterable) and (x is not None or name == "data"):
            raise TypeError(
                f"{name} は (x, t) のミニバッチの並びです (expected batches): "
                f"{type(x).__name__} が渡されました。"
            )
        if hasattr(x, "__next__"):
            raise TypeError(
                f"{name} は何度でも回せる並びです (expected a re-iterable): "
                "ジェネレータは 1 度しか回せません。DataLoader かリストにしてください。"
            )
        if isinstance(x, Sized) and len(x) == 0:
            raise ValueError(
                f"{name} が空です (no training data or no data to evaluate on): "
                "ミニバッチが 1 つもありません。"
            )
    if hasattr(data, "__getitems__"):
        raise TypeError(
            "訓練データはミニバッチの並びです (expected batches, got a dataset): "
            "mg.data.DataLoader(dataset, batch_size=32, shuffle=True) としてください。"
        )


def require_parts(
    model: Any, loss: Any, optimizer: Any, scheduler: Any, clip_norm: Any, callbacks: Any
) -> None:
    """エポックの途中や終わりにならないと使われないもの。

    Raises:
        TypeError, ValueError: 使えない。
    """
    if not isinstance(callbacks, list | tuple):
        raise TypeError(
            "callbacks は関数のリストです (expected a list): "
            f"{type(callbacks).__name__} が渡されました。1 つでも callbacks=[f] としてください。"
        )
    require_function("model", model)
    require_function("loss", loss)
    for f in callbacks:
        require_function("callbacks", f, "history")
    for name, part, wanted in (
        ("optimizer", optimizer, ("zero_grad", "step", "param_groups")),
        ("scheduler", scheduler, ("step",)),
    ):
        wanting = part is not None or name == "optimizer"
        if wanting and (isinstance(part, type) or not all(hasattr(part, x) for x in wanted)):
            raise TypeError(
                f"{name} は mg.optim で作ったものです (expected an instance): "
                f"{getattr(part, '__name__', type(part).__name__)} が渡されました。"
            )
    if clip_norm is not None:
        require_at_least(0, {"clip_norm": clip_norm}, "clip_norm")
