"""文字を桁に揃える: 全角の文字は 2 桁と数える。"""

from __future__ import annotations

import unicodedata


def left_aligned(text: str, width: int) -> str:
    """右に空白を足して、端末での幅を揃える。"""
    return text + " " * (width - display_width(text))


def display_width(text: str) -> int:
    """端末での幅 (display width): 全角の文字は 2。"""
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)
