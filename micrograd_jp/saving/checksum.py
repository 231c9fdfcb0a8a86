"""チェックサム (checksum): 保存した中身すべての CRC-32。1 ビットの違いも、読むときに分かる。

守るのは、壊れたファイルからで、わざと書き換える人からではない。前の版が書いた SHA-256 も確かめる。
"""

from __future__ import annotations

import hashlib
import json
import zlib
from typing import Any

import numpy as np

KEY = "micrograd_jp"

# A mark at each end: damage in one place does not hide that there was a checksum.
_TAIL = f":{KEY}"
_DIGITS = {"crc32": 8, "sha256": 64}
_HEADS = {kind: f"{KEY}:{kind}:" for kind in _DIGITS}


class _CRC32:
    """The interface of hashlib for what zlib computes, twice as fast as a SHA-256."""

    def __init__(self) -> None:
        self._sum = 0

    def update(self, part: Any) -> None:
        self._sum = zlib.crc32(part, self._sum)

    def hexdigest(self) -> str:
        return f"{self._sum:08x}"


_KINDS: dict[str, Any] = {"crc32": _CRC32, "sha256": hashlib.sha256}


def checksum(arrays: dict[str, Any], tree: str | None, kind: str = "crc32") -> str:
    """名前、型、形、数と、添える文字列のチェックサム。ファイルの形式にはよらない。"""
    found = _KINDS[kind]()
    found.update(json.dumps(tree).encode())
    for name in sorted(arrays):
        x = arrays[name]
        found.update(json.dumps([name, x.dtype.name, x.shape]).encode())
        if x.dtype.kind != "V":  # bfloat16 has one order only
            x = x.astype(x.dtype.newbyteorder("<"), copy=False)
        found.update(memory(x))
    return f"{_HEADS[kind]}{found.hexdigest()}{_TAIL}"


def memory(x: Any) -> memoryview:
    """配列のバイト列。続けて並んでいれば、写さない。"""
    data: memoryview = np.ascontiguousarray(x).reshape(-1).view(np.uint8).data
    return data


def has_checksum(text: str) -> bool:
    """`checksum` で終わる（か、終わっていた）文字列か。"""
    return text.endswith(_TAIL) or any(head in text for head in _HEADS.values())


def parted(text: str) -> tuple[str, str]:
    """`checksum` で終わる文字列を、その前とチェックサム（壊れていれば、合わないもの）に分ける。"""
    for kind, head in _HEADS.items():
        length = len(head) + _DIGITS[kind] + len(_TAIL)
        if text[-length:].startswith(head):
            return text[:-length], text[-length:]
    return text, "damaged"


def require_checksum(arrays: dict[str, Any], tree: str | None, written: str | None) -> None:
    """書いてあるチェックサムと合うことを確かめる。`None`（ほかのプログラムのファイル）なら何もしない。

    Raises:
        ValueError: 合わない。
    """
    if written is None:
        return
    kinds = [kind for kind, head in _HEADS.items() if written.startswith(head)]
    if not any(written == checksum(arrays, tree, kind) for kind in kinds):
        raise ValueError("チェックサムが合いません (checksum mismatch)")
