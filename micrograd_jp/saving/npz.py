"""`.npz`: NumPy の配列の zip。pickle を許さず、見出しの大きさを、場所を取る前に確かめて読む。"""

from __future__ import annotations

import io
import json
import math
import zipfile
from typing import Any

import numpy as np
from numpy.lib import format as npy

from micrograd_jp.environment import require

TREE = "__micrograd_jp__"
"""入れ子の状態の JSON を、バイト列の配列として入れておく名前。"""

# The most that deflate can expand (zlib's documentation): more is a forged size.
_EXPANSION = 1032
_SLACK = 1 << 12


def encoded(arrays: dict[str, Any], tree: str | None) -> bytes:
    """配列と、添える文字列を、ファイルの中身にする。

    Raises:
        ValueError: 使えない名前。
    """
    parts, short = {}, []
    for name, x in arrays.items():
        if name == TREE or "\0" in name or name.endswith("/"):
            raise ValueError(f"この形式では使えない名前です (reserved name): {name!r}。")
        if x.dtype.kind == "V":  # bfloat16, which .npy does not know, as its bits
            short.append(name)
            x = x.view(np.uint16)
        parts[name] = np.asarray(x)
    if tree is not None or short:
        note = json.dumps({"tree": tree, "bfloat16": short})
        parts[TREE] = np.frombuffer(note.encode("utf-8"), dtype=np.uint8)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for name, x in parts.items():
            # A fixed date: the same state gives the same bytes.
            entry = zipfile.ZipInfo(f"{name}.npy")
            with archive.open(entry, "w", force_zip64=True) as file:
                npy.write_array(file, x, allow_pickle=False)
    return out.getvalue()


def decoded(contents: bytes) -> tuple[dict[str, Any], str | None]:
    """ファイルの中身から、配列と、添えられた文字列。"""
    arrays = {}
    with zipfile.ZipFile(io.BytesIO(contents)) as archive:
        entries = archive.infolist()
        if sum(e.compress_size for e in entries) > len(contents):
            raise ValueError("重なった要素 (overlapping entries)")
        for entry in entries:
            name = entry.filename.removesuffix(".npy")
            if name in arrays:
                raise ValueError(f"同じ名前が 2 度 (duplicate entry) {name!r}")
            arrays[name] = _array(archive, entry)
    note = arrays.pop(TREE, None)
    if note is None:
        return arrays, None
    read = json.loads(note.tobytes())
    for name in read["bfloat16"]:
        arrays[name] = arrays[name].view(require("ml_dtypes", "accel").bfloat16)
    return arrays, read["tree"]


def _array(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> Any:
    if entry.file_size > _EXPANSION * entry.compress_size + _SLACK:
        raise ValueError(f"大きさが偽られています (forged size) {entry.filename!r}")
    with archive.open(entry) as file:
        version = npy.read_magic(file)
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, fortran, dtype = read(file)
        if dtype.hasobject or dtype.kind not in "fiub":
            raise ValueError(f"知らない型 (unsupported dtype) {dtype}")
        wanted = math.prod(shape) * dtype.itemsize
        if min(shape, default=0) < 0 or wanted > entry.file_size:
            raise ValueError(f"見出しと大きさが合いません (size mismatch) {entry.filename!r}")
        data = file.read()  # to the end, which also checks the sum of the whole entry
    if len(data) != wanted:
        raise ValueError(f"見出しと大きさが合いません (size mismatch) {entry.filename!r}")
    array = np.frombuffer(data, dtype=dtype).reshape(shape, order="F" if fortran else "C")
    return array.astype(dtype.newbyteorder("="), order="C")
