"""チェックサム (checksum): 保存した中身すべての SHA-256。1 ビットの違いも、読むときに分かる。"""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np

KEY = "micrograd_jp"
"""このパッケージの印。"""

# A mark at each end: damage in one place does not hide that there was a checksum.
_HEAD, _TAIL = f"{KEY}:sha256:", f":{KEY}"
LENGTH = len(_HEAD) + 64 + len(_TAIL)
"""チェックサムの文字数。"""


def checksum(arrays: dict[str, Any], tree: str | None) -> str:
    """名前、型、形、数と、添える文字列のチェックサム。ファイルの形式にはよらない。"""
    found = hashlib.sha256(json.dumps(tree).encode())
    for name in sorted(arrays):
        x = arrays[name]
        found.update(json.dumps([name, x.dtype.name, x.shape]).encode())
        if x.dtype.kind != "V":  # bfloat16 has one order only
            x = x.astype(x.dtype.newbyteorder("<"), copy=False)
        found.update(np.ascontiguousarray(x).reshape(-1).view(np.uint8).data)
    return _HEAD + found.hexdigest() + _TAIL


def has_checksum(text: str) -> bool:
    """`checksum` で終わる（か、終わっていた）文字列か。"""
    return _HEAD in text or text.endswith(_TAIL)


def require_checksum(arrays: dict[str, Any], tree: str | None, written: str | None) -> None:
    """書いてあるチェックサムと合うことを確かめる。`None`（ほかのプログラムのファイル）なら何もしない。

    Raises:
        ValueError: 合わない。
    """
    if written is not None and written != checksum(arrays, tree):
        raise ValueError("チェックサムが合いません (checksum mismatch)")
