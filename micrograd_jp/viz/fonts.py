"""日本語のフォント。利用者の図の設定 (rcParams) を変えずに、matplotlib で使えるようにする。"""

from __future__ import annotations

import importlib.util
import logging  # noqa: F401  # matplotlib uses its lock inside of ours: see locks.py
from collections.abc import Callable
from pathlib import Path

from micrograd_jp.locks import Outside

JAPANESE = "IPAexGothic"
FAMILIES = (JAPANESE, "DejaVu Sans")
"""文字ごとに、この順で、その文字を持つ最初のフォントが使われる。"""

NO_MATPLOTLIB = (
    "図 (figure) や PNG・PDF には matplotlib と matplotlib-fontja が必要です (missing package): "
    'pip install "micrograd_jp[viz]" を実行してください。'
    "計算グラフは、なくても .svg か .html で保存できます。"
)

lock = Outside()
"""matplotlib のフォントの表はスレッドから同時に使えない。描く間はこれを持つ。"""


def register() -> Callable[[str], bool]:
    """日本語のフォントを matplotlib に知らせ、描ける文字かどうかを答える関数を返す。

    Raises:
        ImportError: matplotlib か matplotlib_fontja がない。
    """
    # Importing matplotlib_fontja would change the default font of all the user's figures.
    package = importlib.util.find_spec("matplotlib_fontja")
    if package is None or package.origin is None:
        raise ImportError(NO_MATPLOTLIB)
    path = str(Path(package.origin).parent / "fonts" / "ipaexg.ttf")
    with lock:
        try:
            from matplotlib import font_manager
        except ImportError:
            raise ImportError(NO_MATPLOTLIB) from None
        if not any(entry.fname == path for entry in font_manager.fontManager.ttflist):
            font_manager.fontManager.addfont(path)
        fallback = font_manager.findfont(FAMILIES[1])
        fonts = [font_manager.get_font(path), font_manager.get_font(fallback)]
    return lambda c: any(font.get_char_index(ord(c)) for font in fonts)
