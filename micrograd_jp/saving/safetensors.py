"""`.safetensors`: 8 バイトの長さ、JSON の見出し、配列。読み書きと検査は safetensors に任せる。"""

from __future__ import annotations

import io
import json
import math
from typing import Any, BinaryIO

import numpy as np

from micrograd_jp.environment import require
from micrograd_jp.saving.checksum import KEY, has_checksum, little_endian, memory, parted

METADATA = "__metadata__"
"""見出しの中の、配列でないものの名前。"""

_DTYPES = {
    "U64": "u8", "I64": "i8", "F64": "f8", "F32": "f4", "U32": "u4", "I32": "i4",
    "BF16": "bfloat16", "F16": "f2", "U16": "u2", "I16": "i2", "I8": "i1", "U8": "u1", "BOOL": "?",
}  # fmt: skip
_ORDER = list(_DTYPES)
"""The library's: what needs the widest alignment comes first."""
_NAMES = {
    "bfloat16" if code == "bfloat16" else np.dtype(code).name: name
    for name, code in _DTYPES.items()
}  # fmt: skip


def encoded(arrays: dict[str, Any], tree: str | None, checksum: str) -> bytes:
    """`parts` をつないだもの。"""
    return b"".join(parts(arrays, tree, checksum))


def parts(arrays: dict[str, Any], tree: str | None, checksum: str) -> list[Any]:
    """続けて書くとファイルになるもの: 見出しと、それぞれの配列のメモリ。

    ライブラリの `save` は中身を 2 度写すので、見出しをここで書く。中身はライブラリのものと、
    どのバイトも同じである。

    Raises:
        ValueError: 使えない名前。
        TypeError: この形式にない型。
        ImportError: safetensors がない。
    """
    if METADATA in arrays:
        raise ValueError(
            f'この形式では "{METADATA}" という名前は使えません (reserved name): '
            "名前を変えるか、.npz で保存してください。"
        )
    require("safetensors", "data")  # which reads what was saved
    for name, x in arrays.items():
        if x.dtype.name not in _NAMES:
            raise TypeError(
                f"{name!r} の型 {x.dtype} は .safetensors に保存できません (cannot save this "
                "dtype): 複素数なら mg.view_as_real(t) で実部と虚部に分けるか、.npz か .pt で保存"
                "してください。"
            )
    kinds = {name: _NAMES[x.dtype.name] for name, x in arrays.items()}
    header: dict[str, Any] = {METADATA: {KEY: (tree or "") + checksum}}
    start, data = 0, []
    for name in sorted(arrays, key=lambda name: (_ORDER.index(kinds[name]), name.encode())):
        x = little_endian(arrays[name])
        header[name] = {
            "dtype": kinds[name], "shape": x.shape, "data_offsets": [start, start + x.nbytes]
        }  # fmt: skip
        start += x.nbytes
        data.append(memory(x))
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return [len(text).to_bytes(8, "little") + text, *data]


def decoded(file: BinaryIO) -> tuple[dict[str, Any], str | None, str | None]:
    """ファイルから、配列と、添えられた文字列と、チェックサム。配列は 1 度だけ写される。"""
    library = require("safetensors", "data")  # checks the sizes and offsets in the header
    if isinstance(file, io.BytesIO):  # and copies the arrays, too: only checkpoints come this way
        library.deserialize(file.getvalue())
    else:
        library.safe_open(file.name, framework="np")
    length = int.from_bytes(file.read(8), "little")
    header = json.loads(file.read(length))
    note = _note(header.pop(METADATA, {}))
    arrays = {}
    for name in sorted(header):
        start, stop = header[name]["data_offsets"]
        file.seek(8 + length + start)
        arrays[name] = _array(file, header[name], stop - start)
    return arrays, *note


def _note(metadata: dict[str, str]) -> tuple[str | None, str | None]:
    for key, text in metadata.items():
        if has_checksum(text):
            tree, written = parted(text)
            return tree or None, written if key == KEY else "damaged"
    return metadata.get(KEY), None  # a tree without a checksum: older than those


def _array(file: BinaryIO, part: dict[str, Any], size: int) -> Any:
    name = part["dtype"]
    if name == "BF16":
        dtype = np.dtype(require("ml_dtypes", "accel").bfloat16)
    elif name in _DTYPES:
        dtype = np.dtype(_DTYPES[name]).newbyteorder("<")
    else:
        raise ValueError(f"知らない型 (unsupported dtype) {name}")
    if math.prod(part["shape"]) * dtype.itemsize != size:
        raise ValueError(f"形と大きさが合いません (size mismatch) {part['shape']}")
    array = np.empty(part["shape"], dtype)
    if file.readinto(memory(array)) != size:  # type: ignore[attr-defined]
        raise ValueError("途中で切れています (truncated)")
    return array.astype(dtype.newbyteorder("="), copy=False)
