"""文字を端末に出す: 全角の文字は 2 桁と数え、端末にない文字は近い文字で出す。"""

from __future__ import annotations

import codecs
import sys
import unicodedata
from typing import Any


def left_aligned(text: str, width: int) -> str:
    """右に空白を足して、端末での幅を揃える。"""
    return text + " " * (width - display_width(text))


def display_width(text: str) -> int:
    """端末での幅 (display width): 全角の文字は 2。"""
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def make_printable() -> None:
    """標準出力の文字コード (cp932 など) にない文字を、エラーにせず、近い文字で出す。

    UTF-8 の標準出力と、どう扱うかが決められているもの（`PYTHONIOENCODING=cp932:replace` など）は、
    そのまま。標準エラー出力は、Python がはじめからエラーにしない。
    """
    out: Any = sys.stdout
    # The locale C has surrogateescape.
    unchosen = getattr(out, "errors", "") in ("strict", "surrogateescape")
    if unchosen and hasattr(out, "reconfigure") and codecs.lookup(out.encoding).name != "utf-8":
        out.reconfigure(errors=_HANDLER)


def plain(c: str) -> str:
    """近い ASCII の文字: h₁ の ₁ は 1、∂ は d、α は alpha。なければ、幅だけ "?"。"""
    if c in _PLAIN:
        return _PLAIN[c]
    name = unicodedata.name(c, "")
    if name.startswith("GREEK"):
        word = name.split()[3:4] or ["?"]
        return word[0] if "CAPITAL" in name else word[0].lower()
    letters = unicodedata.normalize("NFKD", c).replace("⁄", "/")  # as in ½
    return "".join(x for x in letters if x.isascii()) or "?" * display_width(c)


_HANDLER = "micrograd_jp.plain"
_PLAIN = {
    word[0]: word[1:]
    for word in """
        −- –- —- ⁻- ₋- ─- ·* ⊙* ⋆* ∗* ●* ⋮: ⋯... ×x ÷/ ±+- √sqrt ∞inf ∂d ∇grad ′' ‖| │| ├+ └+ ∘o
        ○o ◯o □# ■# →-> ←<- ↦-> ≤<= ≥>= ≈~ 〜~ ∈in ∉!in ⟨< ⟩> ⌊[ ⌋] ⌈[ ⌉] 「" 」" 『" 』" 、, 。.
        µu °deg §Sec. ⏎| ″'' ‴''' ❸3
    """.split()
}  # fmt: skip


def _plainly(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(plain, error.object[error.start : error.end])), error.end


codecs.register_error(_HANDLER, _plainly)
