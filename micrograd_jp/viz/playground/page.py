"""学習を見るページの HTML: データ、プログラム、部品（html、css、js）を 1 つにする。"""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from micrograd_jp.namespace import javascript
from micrograd_jp.viz.pages.page import SHARED, constant, framed, read
from micrograd_jp.viz.playground.program import CHOICES, Tables, update
from micrograd_jp.viz.playground.recording import Recorded

_HERE = Path(__file__).parent
_SHARED = "numbers elements curve".split()
_OWN = "machine training pictures controls".split()
_MARGIN = 0.15
_TITLES = {"clone": "なし (identity)"}


def written(
    found: Recorded, training: Any, development: Any, settings: dict[str, Any], rng: Any, title: str
) -> str:
    """ページ。

    Args:
        found: 記録したモデル。
        training: 訓練データの点とクラス。
        development: 開発データの点とクラス（空でもよい）。
        settings: 学習率 `rate`、正則化 `decay`、クラスの名前 `names`。
        rng: 雑音の乱数。
        title: 題。
    """
    tables = Tables(found.program, found.scores)
    every = np.concatenate([training[0], development[0]]).astype(float)
    low, high = every.min(axis=0), every.max(axis=0)
    size = (1 + 2 * _MARGIN) * (float((high - low).max()) or 1.0)
    data = {
        **settings,
        "program": tables.data, "weights": found.weights, "text": str(found.program),
        "train": _points(training, rng), "development": _points(development, rng),
        "plane": {"low": ((low + high - size) / 2).tolist(), "size": size},
        "mostNoise": float(every.std(axis=0).mean()) or 1.0,
        "choices": [{"name": op.name, "title": _TITLES.get(op.name, op.name)} for op in CHOICES],
    }  # fmt: skip
    script = "\n".join([
        javascript.with_rules(tables.rules), f"const updated = {update()};", constant("DATA", data),
        *(read(SHARED / f"{name}.js") for name in _SHARED),
        *(read(_HERE / f"{name}.js") for name in _OWN),
    ])  # fmt: skip
    parts = {"title": escape(title), "positive": "橙", "negative": "青"}
    return framed(_HERE / "page.html", parts, [_HERE / "page.css"], script)


def _points(points: Any, rng: Any) -> dict[str, Any]:
    x, t = points
    noise = rng.standard_normal(x.shape)
    return {"x": x.T.tolist(), "labels": t.tolist(), "noise": noise.astype(np.float32).T.tolist()}
