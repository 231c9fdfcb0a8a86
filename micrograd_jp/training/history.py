"""`History`: 学習の記録。1 更新ごとの損失と、1 エポックごとの結果。"""

from __future__ import annotations

import itertools
import operator
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from micrograd_jp.arguments import explain_all
from micrograd_jp.viz import figures
from micrograd_jp.viz.movie import Movie, movie

_OPTIONAL = {"development_loss", "metric"}
_COUNTS = {"epoch", "updates"}
_ROW = {"loss", "lr", "seconds", *_COUNTS, *_OPTIONAL}


@dataclass
class History:
    """学習の記録。`fit` が返す。`plot()` で図になる。

    Attributes:
        losses: 1 更新ごとの、そのミニバッチの損失。
        epochs: 1 エポックごとの dict。`epoch`（1 から）、`loss`（訓練の損失の平均）、
            `development_loss` と `metric`（開発データの損失と指標。なければ `None`）、
            `lr`（最初のグループの学習率）、`updates` と `seconds`（始めからの累計）。
        metric_name: 指標の名前。
        seconds: 学習にかかった秒数（再開した学習では、その前の分も含む）。
        stopped: 終わった理由。`"finished"`（予定のエポックを終えた）、`"early"`（早期終了）、
            `"callback"`（コールバックが止めた）、`"interrupted"`（Ctrl-C）。
        skipped: 勾配がオーバーフローして、とばした更新の数（`precision="16-mixed"`）。
        frames: `fit(…, record=…)` が撮った図。(更新の回数, PNG) を順に。
    """

    losses: list[float] = field(default_factory=list)
    epochs: list[dict[str, Any]] = field(default_factory=list)
    metric_name: str = ""
    seconds: float = 0.0
    stopped: str = ""
    skipped: int = 0
    frames: list[tuple[int, bytes]] = field(default_factory=list, repr=False)

    @property
    def updates(self) -> int:
        """更新の回数。"""
        return len(self.losses)

    def column(self, name: str) -> list[float]:
        """エポックごとの値の並び (`"loss"`, `"development_loss"`, `"metric"`, `"lr"`, …)。

        値のないエポックは飛ばす。
        """
        return [row[name] for row in self.epochs if row.get(name) is not None]

    def best(self, name: str = "metric", mode: str = "max") -> dict[str, Any]:
        """`name` が最もよいエポックの記録。

        Args:
            name: 列の名前。
            mode: 大きいほどよければ `"max"`、小さいほどよければ `"min"`。

        Raises:
            ValueError: その列に値がない、または `mode` が違う。
        """
        if mode not in ("min", "max"):
            raise ValueError(f'mode は "min" か "max" です (unknown mode): {mode!r}。')
        rows = [row for row in self.epochs if row.get(name) is not None]
        if not rows:
            raise ValueError(
                f"{name!r} の記録がありません (no such column): fit に development を渡すと、"
                "開発データの損失と指標が記録されます。"
            )
        return (max if mode == "max" else min)(rows, key=lambda row: row[name])

    def to_dict(self) -> dict[str, Any]:
        """`mg.save` で保存できる dict。損失は ndarray になる。"""
        losses, epochs = np.array(self.losses, dtype=np.float64), [dict(r) for r in self.epochs]
        state = {**vars(self), "losses": losses, "epochs": epochs}
        pictures = [[k, np.frombuffer(png, np.uint8)] for k, png in state.pop("frames")]
        return {**state, "frames": pictures} if pictures else state

    @staticmethod
    def from_dict(state: Mapping[str, Any]) -> History:
        """`to_dict` の逆。

        Raises:
            KeyError: 項目が足りない。
            ValueError: 項目の値が合わない。
        """
        losses, epochs = np.asarray(state["losses"]), [dict(row) for row in state["epochs"]]
        fits = losses.ndim == 1 and losses.dtype.kind == "f" and isinstance(state["stopped"], str)
        for number, row in enumerate(epochs, 1):
            fits = fits and set(row) == _ROW and row["epoch"] == number
            fits = fits and all(
                isinstance(x, int if name in _COUNTS else int | float)
                or (x is None and name in _OPTIONAL)
                for name, x in row.items()
            )
        ends = [0, *(row["updates"] for row in epochs), losses.size]
        if not fits or any(a > b for a, b in itertools.pairwise(ends)):
            raise ValueError("学習の記録ではありません (not a history of fit)。")
        return History(
            losses=losses.tolist(),
            epochs=epochs,
            metric_name=str(state["metric_name"]),
            seconds=float(state["seconds"]),
            stopped=state["stopped"],
            skipped=operator.index(state.get("skipped", 0)),
            frames=[
                (operator.index(k), np.asarray(png, np.uint8).tobytes())
                for k, png in state.get("frames", ())
            ],
        )

    def plot(self, *, log: bool = False) -> Any:
        """損失（と、あれば指標）の図。

        Args:
            log: 真なら損失の軸を対数にする。

        Returns:
            matplotlib の図。`savefig("curve.png")` で保存できる。

        Raises:
            ImportError: matplotlib がない。
        """
        metric = self.column("metric")
        figure, axes = figures.subplots(1, 2 if metric else 1, squeeze=False)
        loss_axes = axes[0, 0]
        updates = range(1, self.updates + 1)
        loss_axes.plot(updates, self.losses, color="0.75", linewidth=0.8, label="ミニバッチの損失")
        ends = [row["updates"] for row in self.epochs]
        # An epoch's mean belongs to its middle, the development data to the weights at its end.
        middles = [(a + 1 + b) / 2 for a, b in zip([0, *ends], ends, strict=False)]
        point = {"marker": "o", "markersize": 3}
        loss_axes.plot(middles, self.column("loss"), label="訓練データ（エポックの平均）", **point)
        if development := self.column("development_loss"):
            loss_axes.plot(ends[: len(development)], development, label="開発データ", **point)
        loss_axes.set(xlabel="更新の回数", ylabel="損失", title="損失 (loss)")
        if log:
            loss_axes.set_yscale("log")
        figures.finish_curves(loss_axes)
        loss_axes.legend()
        if metric:
            name = "正解率 (accuracy)" if self.metric_name == "accuracy" else self.metric_name
            figures.plot_curves(
                axes[0, 1], {"開発データ": metric}, x=range(1, len(metric) + 1), marker="o",
                xlabel="エポック", ylabel=name, title=f"開発データの{name}",
            )  # fmt: skip
            axes[0, 1].xaxis.get_major_locator().set_params(integer=True)
        return figure

    def movie(self, filename: str | os.PathLike[str] | None = None) -> Movie:
        """`fit(…, record=…)` が撮った図をつないだ動画。Jupyter ではそのまま再生できる。

        Args:
            filename: 保存するファイル。`.html`（スクラバーの付いたページ）か `.gif`。省略すると
                保存しない。

        Returns:
            `.save("out.html")` と `.save("out.gif")` のある動画。

        Raises:
            ValueError: 何も撮っていない、知らない拡張子。
            ImportError: .gif で、Pillow がない。
        """
        if not self.frames:
            raise ValueError(
                "撮った図がありません (nothing was recorded): fit(…, record=mg.viz.templates) か、"
                "record=lambda model: mg.viz.decision_boundary(model, data) と学習してください。"
            )
        found = movie(self.frames, self.losses, [row["updates"] for row in self.epochs])
        if filename is not None:
            found.save(filename)
        return found

    def _columns(self) -> list[tuple[str, str, str]]:
        """(title, column, format) of the columns that have values."""
        found = [("エポック", "epoch", "d"), ("損失", "loss", ".4f")]
        if self.column("development_loss"):
            found.append(("開発の損失", "development_loss", ".4f"))
        if self.column("metric"):
            accuracy = self.metric_name == "accuracy"
            found.append(
                ("正解率" if accuracy else self.metric_name, "metric", ".2%" if accuracy else ".4g")
            )
        return [*found, ("学習率", "lr", ".3g"), ("秒", "seconds", ".1f")]

    def _rows(self) -> list[list[str]]:
        return [
            [
                format(row[name], form) if row.get(name) is not None else "–"
                for _, name, form in self._columns()
            ]
            for row in self.epochs
        ]

    def __repr__(self) -> str:
        head = (
            f"<History: {len(self.epochs)} エポック、{self.updates:,} 更新、{self.seconds:.1f} 秒"
        )
        head += f"、とばした更新 {self.skipped}" if self.skipped else ""
        head += f"、stopped={self.stopped!r}" if self.stopped else ""
        if not self.epochs:
            return f"{head}>"
        titles = [title for title, _, _ in self._columns()]
        pairs = zip(titles, self._rows()[-1], strict=True)
        return f"{head}\n  最後: {'、'.join(f'{title} {x}' for title, x in pairs)}>"

    def _repr_markdown_(self) -> str:
        """A table for notebooks: one row an epoch."""
        titles = [title for title, _, _ in self._columns()]
        lines = [titles, ["---:"] * len(titles), *self._rows()]
        return "\n".join(f"| {' | '.join(line)} |" for line in lines)


explain_all(globals())
