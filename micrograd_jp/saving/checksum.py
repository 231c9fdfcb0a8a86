"""チェックサム (checksum): 保存した中身すべての CRC-32。1 ビットの違いも、読むときに分かる。

守るのは、壊れたファイルからで、わざと書き換える人からではない。どのスレッドも計算できるように、
2 MiB ごとの CRC-32 の CRC-32 である。前の版が書いた、続けての CRC-32 と SHA-256 も確かめる。
"""

from __future__ import annotations

import hashlib
import json
import zlib
from typing import Any

import numpy as np

from micrograd_jp.native import threads

KEY = "micrograd_jp"

# A mark at each end: damage in one place does not hide that there was a checksum.
_TAIL = f":{KEY}"
_DIGITS = {"crc32s": 8, "crc32": 8, "sha256": 64}
_HEADS = {kind: f"{KEY}:{kind}:" for kind in _DIGITS}
_PIECE = 1 << 21
"""Bytes that one thread sums up at a time."""


class _CRC32:
    """The interface of hashlib for what zlib computes."""

    def __init__(self) -> None:
        self._sum = 0

    def update(self, part: Any) -> None:
        self._sum = zlib.crc32(part, self._sum)

    def hexdigest(self) -> str:
        return f"{self._sum:08x}"


def checksum(arrays: dict[str, Any], tree: str | None, kind: str = "crc32s") -> str:
    """名前、型、形、数と、添える文字列のチェックサム。ファイルの形式にはよらない。"""
    names = sorted(arrays)
    heads = [[name, arrays[name].dtype.name, arrays[name].shape] for name in names]
    numbers = [memory(little_endian(arrays[name])) for name in names]
    if kind == "crc32s":
        digits = f"{zlib.crc32(json.dumps([tree, heads, _sums(numbers)]).encode()):08x}"
    else:
        found: Any = _CRC32() if kind == "crc32" else hashlib.sha256()
        found.update(json.dumps(tree).encode())
        for head, part in zip(heads, numbers, strict=True):
            found.update(json.dumps(head).encode())
            found.update(part)
        digits = found.hexdigest()
    return f"{_HEADS[kind]}{digits}{_TAIL}"


def _sums(numbers: list[memoryview]) -> list[int]:
    """The CRC-32 of every piece: several threads compute them."""
    pieces = [part[at : at + _PIECE] for part in numbers for at in range(0, len(part), _PIECE)]
    sums = [0] * len(pieces)

    def sum_up(i: int) -> None:
        sums[i] = zlib.crc32(pieces[i])

    if sum(map(len, pieces)) > _PIECE:
        threads.run(sum_up, len(pieces))
    else:
        for i in range(len(pieces)):
            sum_up(i)
    return sums


def little_endian(x: Any) -> Any:
    """ファイルの中での、バイトの並び。"""
    # bfloat16 has one order only.
    return x if x.dtype.kind == "V" else x.astype(x.dtype.newbyteorder("<"), copy=False)


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
