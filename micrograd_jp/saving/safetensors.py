"""`.safetensors`: 8 バイトの長さ、JSON の見出し、配列。読み書きと検査は safetensors に任せる。"""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from micrograd_jp.environment import require
from micrograd_jp.saving.checksum import KEY, LENGTH, has_checksum

_DTYPES = {
    "F64": "f8", "F32": "f4", "F16": "f2",
    "I64": "i8", "I32": "i4", "I16": "i2", "I8": "i1",
    "U64": "u8", "U32": "u4", "U16": "u2", "U8": "u1", "BOOL": "?",
}  # fmt: skip


def encoded(arrays: dict[str, Any], tree: str | None, checksum: str) -> bytes:
    """配列と、添える文字列と、チェックサムを、ファイルの中身にする。

    Raises:
        ValueError: 使えない名前。
        ImportError: safetensors がない。
    """
    if "__metadata__" in arrays:
        raise ValueError(
            'この形式では "__metadata__" という名前は使えません (reserved name): '
            "名前を変えるか、.npz で保存してください。"
        )
    save = require("safetensors.numpy", "data").save
    # The library writes the memory as it lies: a transposed array would come back scrambled.
    contiguous = {name: np.ascontiguousarray(x).reshape(x.shape) for name, x in arrays.items()}
    # One entry: the library writes several in an order that changes.
    contents: bytes = save(contiguous, metadata={KEY: (tree or "") + checksum})
    return contents


def decoded(contents: bytes) -> tuple[dict[str, Any], str | None, str | None]:
    """ファイルの中身から、配列と、添えられた文字列と、チェックサム。"""
    found = require("safetensors", "data").deserialize(contents)  # checks sizes and offsets
    arrays = {name: _array(part) for name, part in found}
    length = int.from_bytes(contents[:8], "little")
    header = json.loads(contents[8 : 8 + length])
    return arrays, *_note(header.get("__metadata__", {}))


def _note(metadata: dict[str, str]) -> tuple[str | None, str | None]:
    for key, text in metadata.items():
        if has_checksum(text):
            return text[:-LENGTH] or None, text[-LENGTH:] if key == KEY else "damaged"
    return metadata.get(KEY), None  # a tree without a checksum: older than those


def _array(part: dict[str, Any]) -> Any:
    name = part["dtype"]
    if name == "BF16":
        dtype = np.dtype(require("ml_dtypes", "accel").bfloat16)
    elif name in _DTYPES:
        dtype = np.dtype(_DTYPES[name]).newbyteorder("<")
    else:
        raise ValueError(f"知らない型 (unsupported dtype) {name}")
    array = np.frombuffer(part["data"], dtype=dtype).reshape(part["shape"])
    # A bytearray is memory of the array's own, which may be written to.
    own = array.flags.writeable and array.flags.aligned and dtype.isnative
    return array if own else array.astype(dtype.newbyteorder("="))
