"""進み具合の表示: tqdm の棒 1 本。tqdm がなければ、1 エポック 1 行。"""

from __future__ import annotations

import sys
import time
from typing import Any

from micrograd_jp.environment import progress_bar

# A bar that is drawn more often freezes the browser's tab in Colab.
_SECONDS_BETWEEN = 0.2


class Progress:
    """表示のしかた。このクラスは、何も表示しない。"""

    due = float("inf")
    """The time from which on it wants to be told of the latest loss."""

    def show(self, updates: int, loss: float) -> None:
        """最近の損失を見せる。"""

    def epoch_ended(self, updates: int, text: str) -> None:
        """エポックの結果を見せる。"""

    def close(self) -> None:
        """表示を終える。"""


class Lines(Progress):
    """1 エポックに 1 行。"""

    def __init__(self) -> None:
        print(
            '進み具合の棒を出すには pip install "micrograd_jp[data]" で tqdm を入れてください。',
            file=sys.stderr,
        )

    def epoch_ended(self, updates: int, text: str) -> None:
        """Print the line."""
        print(text, file=sys.stderr, flush=True)


class Bar(Progress):
    """tqdm の棒。毎秒 5 回まで描き直す。"""

    def __init__(self, tqdm: Any, total: int | None, done: int) -> None:
        self._bar = tqdm(
            total=total, initial=done, desc="学習中", unit="回", mininterval=_SECONDS_BETWEEN,
            dynamic_ncols=True,
        )  # fmt: skip
        self._text = ""
        self.due = 0.0

    def show(self, updates: int, loss: float) -> None:
        """Draw the bar again."""
        self._bar.set_postfix_str(f"損失 {loss:.4f}{self._text}", refresh=False)
        self._bar.update(updates - self._bar.n)
        self.due = time.perf_counter() + _SECONDS_BETWEEN

    def epoch_ended(self, updates: int, text: str) -> None:
        """Show the results of the epoch beside the bar."""
        self._text = f"、{text}"
        self._bar.set_postfix_str(text, refresh=False)
        self._bar.update(updates - self._bar.n)

    def close(self) -> None:
        """Draw it a last time."""
        self._bar.refresh()
        self._bar.close()


def shown(progress: bool, total: int | None, done: int) -> Progress:
    """表示を始める。

    Args:
        progress: 偽なら何も表示しない。
        total: 更新の総数。分からなければ `None`。
        done: 既に終えた更新の数（再開したとき）。
    """
    if not progress:
        return Progress()
    try:
        return Bar(progress_bar(), total, done)
    except ImportError:
        return Lines()


def summary(history: Any, epochs: int) -> str:
    """最後のエポックを 1 行で。"""
    row = history.epochs[-1]
    text = f"エポック {row['epoch']}/{epochs} 損失 {row['loss']:.4f}"
    if row["development_loss"] is not None:
        text += f" 開発 {row['development_loss']:.4f}"
    if row["metric"] is not None:
        accuracy = history.metric_name == "accuracy"
        text += f" 正解率 {row['metric']:.2%}" if accuracy else f" 指標 {row['metric']:.4g}"
    return text
