"""`mg.viz.playground(model, data)`: 平面の点を分ける学習を、ページの中で動かして見る。

>>> import micrograd_jp as mg
>>> from micrograd_jp.viz.playground import playground
>>> page = playground(mg.nn.MLP(2, [8, 1]), mg.data.datasets.moons(100, seed=0))
>>> page.save("moons.html")  # doctest: +SKIP
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from micrograd_jp.arguments import explain_all
from micrograd_jp.engine.numbers import as_number
from micrograd_jp.viz.pages.page import Page
from micrograd_jp.viz.playground import page
from micrograd_jp.viz.playground.recording import recorded
from micrograd_jp.viz.samples import class_names, samples_of

MOST_POINTS = 5000
"""ページに入れる点の、最大の数。"""

Points = tuple[np.ndarray, np.ndarray]


class Playground(Page):
    """学習がその中で動くページ。"""

    _what, _example = "学習を見るページ (playground)", "playground.html"


def playground(
    model: Callable[..., Any],
    data: Any,
    *,
    development: Any = 0.2,
    learning_rate: float = 0.1,
    weight_decay: float = 0.0,
    loss: Callable[[Any, Any], Any] | None = None,
    names: Sequence[str] | None = None,
    seed: int = 0,
) -> Playground:
    """平面の点のクラスを学習するようすを、その場で動かして見るページを作る。

    ページの中で、決定境界、ユニット 1 つ 1 つの出力、損失の曲線が、学習とともに変わる。学習率、
    活性化関数、雑音、正則化を、動かしながら変えられる。

    学習は、全部の訓練データを 1 度に使う勾配降下法で、`mg.compile` が見つける配列のプログラムを
    JavaScript で動かす。計算は float32 で、Python で `mg.optim.SGD` を使うのと、丸めの分しか
    違わない。`model` の重みから始まり、`model` は何も変わらない。

    Args:
        model: `Value` でできた `mg.nn.MLP`、`Linear` と活性化関数の `Sequential`、または、2 つの
            数の並び x から、スコア（数 1 つか、クラスの数の並び）を作る関数。スコア 1 つは
            クラス 1 のロジット、並びはクラスごとのロジット。
        data: 点と正解。`mg.data.datasets.moons(100)` などのデータセットか、組 (x (N, 2), t (N,))。
            t は 0, 1, … か ±1。
        development: 開発データ。データか、`data` から取り分ける割合（0.2 なら、5 個に 1 個）。
            0 か `None` なら、すべてを訓練に使う。
        learning_rate: 学習率 η のはじめの値。
        weight_decay: 正則化 (L2) の係数 λ のはじめの値。`mg.optim.SGD(weight_decay=λ)` と同じ。
        loss: 1 つの点の損失 `loss(y, t)`。y はスコア、t は、スコアが 1 つなら 0 か 1、並びなら
            one-hot。省略すると交差エントロピー誤差。
        names: クラスの名前。
        seed: 雑音の乱数の種。

    Raises:
        TypeError: 使えないモデル、データ、引数。
        ValueError: 点が 2 次元でない、点が多すぎる、出力の数がクラスの数に合わない、学習する
            パラメータがない、範囲の外の引数。
    """
    x, t = _points(data, "data")
    rate, decay = as_number(learning_rate), as_number(weight_decay)
    if not 0 < rate < float("inf"):
        raise ValueError(
            f"learning_rate は正の数です (expected a positive number): {learning_rate!r} が"
            "渡されました。"
        )
    if not 0 <= decay < float("inf"):
        raise ValueError(
            f"weight_decay は 0 以上の数です (must not be negative): {weight_decay!r} が"
            "渡されました。"
        )
    if loss is not None and not callable(loss):
        raise TypeError(
            f"loss は loss(y, t) と呼べる関数です (expected a function): {type(loss).__name__} が"
            "渡されました。"
        )
    training, held = _split(x, t, development)
    classes = max(2, 1 + max(int(labels.max(initial=0)) for _, labels in (training, held)))
    found = recorded(model, loss, classes)
    titles = class_names(names or [f"クラス {k}" for k in range(classes)], classes)[:classes]
    rng = np.random.default_rng(seed)
    settings = {"rate": rate, "decay": decay, "names": titles}
    title = f"学習を見る: 平面の点を {classes} つのクラスに分ける"
    return Playground(page.written(found, training, held, settings, rng, title), title)


def _points(data: Any, name: str) -> Points:
    x, t = samples_of(data)
    if x.ndim != 2 or x.shape[1] != 2:
        raise ValueError(
            f"{name} の点は 2 つの数の並び、形 (N, 2) です (expected 2-D points): 形 {x.shape} が"
            "渡されました。"
        )
    if x.dtype.kind not in "biuf" or not np.isfinite(x).all():
        raise ValueError(
            f"{name} の点は有限の数です (expected finite numbers): 型 {x.dtype} の、"
            "有限でない数を含む配列が渡されました。"
        )
    if len(x) > MOST_POINTS:
        raise ValueError(
            f"{name} の点は {MOST_POINTS} 個までです (too many points): {len(x)} 個が渡されました。"
            "1 歩ごとにすべての点を使うので、(x[:1000], t[:1000]) のように減らしてください。"
        )
    return x.astype(np.float32), t


def _split(x: np.ndarray, t: np.ndarray, development: Any) -> tuple[Points, Points]:
    """The training points and the development points."""
    if development is None or isinstance(development, int | float):
        share = as_number(development or 0)
        if not 0 <= share < 1:
            raise ValueError(
                "development はデータか、0 以上 1 未満の割合です (out of range): "
                f"{development!r} が渡されました。"
            )
        # One of five: every fifth. Points that are sorted by their class are shared fairly.
        due = np.floor(share * (np.arange(len(x)) + 1) + 1e-9)
        held = np.diff(due, prepend=0) > 0
        return (x[~held], t[~held]), (x[held], t[held])
    return (x, t), _points(development, "development")


explain_all(globals())
