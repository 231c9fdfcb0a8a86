"""PyTorch (と DeZero) にあって、ここにない名前の表: 代わりに何と書くか。

1 行は、名前の正規表現と文である。`mg.名前`、`t.名前`、`mg.nn.名前` などのエラーが使う。
PyTorch の公開する名前は、どれもあるか、この表にある（`tests/compat/test_missing.py` が歩く）。
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from micrograd_jp.missing.dezero import DEZERO
from micrograd_jp.missing.everywhere import EVERYWHERE
from micrograd_jp.missing.layers import LAYERS
from micrograd_jp.missing.machines import MACHINES
from micrograd_jp.missing.modules import MODULES
from micrograd_jp.missing.packages import PACKAGES
from micrograd_jp.missing.tensors import TENSORS

_TABLES = (MODULES, TENSORS, LAYERS, MACHINES, PACKAGES)

PLACES: dict[str, dict[str, str]] = {
    place: {name: text for table in _TABLES for name, text in table.get(place, {}).items()}
    for place in {place: None for table in _TABLES for place in table}
}
"""場所 (`"mg"`, `"Tensor"`, `"nn.functional"`, …) から、そこだけの行へ。"""

ROWS = {**EVERYWHERE, **DEZERO}
"""どこでも使う行。`{0}` は、最後の `_` を除いた名前になる。"""

_ARGUMENTS = {
    "out": "結果は y = f(…) と受け取るか、y.copy_(f(…)) と書き込んでください。",
    "pin_memory": "CUDA のための記憶域はありません: 消してください。",
    "layout": "配列の並べ方は 1 つです: 消してください。",
    "memory_format": "配列の並べ方は 1 つです: 消してください。",
    "names": "軸に名前は付けられません: 番号で指してください。",
}


def sentence(name: str, place: str = "mg") -> str | None:
    """その名前の代わりに何と書くか。表になければ `None`。

    Args:
        name: 名前。
        place: それを尋ねた場所 (`PLACES`)。
    """
    for pattern, text in {**PLACES.get(place, {}), **ROWS}.items():
        if re.fullmatch(pattern, name):
            return f"{name} はここにはありません (not in micrograd_jp)。{text}".replace(
                "{0}", name.rstrip("_")
            )
    return None


def about_arguments(names: Iterable[str]) -> str:
    """ここにない PyTorch の引数の代わりに何と書くか。表になければ空。"""
    told = [f"{n}= はここにはありません。{_ARGUMENTS[n]}" for n in names if n in _ARGUMENTS]
    return "".join(told)
