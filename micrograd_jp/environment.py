"""任意の依存 (extras): 使うところで読み込み、なければ入れ方を伝える。"""

from __future__ import annotations

import importlib
from typing import Any


def require(module: str, extra: str) -> Any:
    """任意の依存を読み込む。

    Raises:
        ImportError: 入っていない。入れ方を 1 文で伝える。
    """
    try:
        return importlib.import_module(module)
    except ImportError:
        raise ImportError(
            f"{module} が必要です (missing dependency)。"
            f'pip install "micrograd_jp[{extra}]" で入ります。'
        ) from None
