"""`.npz`: NumPy の配列の zip。pickle を許さず、見出しの大きさを、場所を取る前に確かめて読む。"""

from __future__ import annotations

import io
import json
import math
import zipfile
from typing import Any, BinaryIO

import numpy as np
from numpy.lib import format as npy

from micrograd_jp.environment import require
from micrograd_jp.saving.checksum import has_checksum

TREE = "__micrograd_jp__"
"""入れ子の状態の JSON を、バイト列の配列として入れておく名前。"""

# The most that deflate can expand (zlib's documentation): more is a forged size.
_MOST = 1032
_SLACK = 1 << 12
_HEADER = 30  # bytes before an entry, at least
# What one may read of others: ours are not compressed, and weights hardly shrink.
EXPANSION, LARGE = 64, 64 << 20


def parts(arrays: dict[str, Any], tree: str | None, checksum: str) -> list[Any]:
    """`encoded` だけ。"""
    return [encoded(arrays, tree, checksum)]


def encoded(arrays: dict[str, Any], tree: str | None, checksum: str) -> bytes:
    """配列と、添える文字列と、チェックサムを、ファイルの中身にする。

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
        archive.comment = checksum.encode()
        for name, x in parts.items():
            # A fixed date: the same state gives the same bytes.
            entry = zipfile.ZipInfo(f"{name}.npy")
            with archive.open(entry, "w", force_zip64=True) as file:
                npy.write_array(file, x, allow_pickle=False)
    return out.getvalue()


def decoded(file: BinaryIO) -> tuple[dict[str, Any], str | None, str | None]:
    """ファイルから、配列と、添えられた文字列と、チェックサム。"""
    arrays, contents = {}, file.read()
    with zipfile.ZipFile(io.BytesIO(contents)) as archive:
        entries = archive.infolist()
        require_apart(entries, archive.start_dir)
        size = sum(e.file_size for e in entries)
        if size > max(LARGE, EXPANSION * len(contents)):
            raise ValueError(
                f"展開すると {size:,} バイトになり、大きすぎます (expands too much)。書いた人を信用"
                "できるなら、np.load で読み、mg.save で保存し直してください"
            )
        said = contents[: len(contents) - len(archive.comment)][-2:]
        if int.from_bytes(said, "little") != len(archive.comment):
            raise ValueError("途中で切れています (truncated)")
        comment = archive.comment.decode(errors="replace")
        for entry in entries:
            name = entry.filename.removesuffix(".npy")
            if name in arrays:
                raise ValueError(f"同じ名前が 2 度 (duplicate entry) {name!r}")
            arrays[name] = _array(archive, entry)
    note = arrays.pop(TREE, None)
    written = comment if has_checksum(comment) else None
    if note is None:
        return arrays, None, written
    read = json.loads(note.tobytes())
    for name in read["bfloat16"]:
        arrays[name] = arrays[name].view(require("ml_dtypes", "accel").bfloat16)
    return arrays, read["tree"], written


def require_apart(entries: list[zipfile.ZipInfo], end: int) -> None:
    """要素が重なっていないことを確かめる: 小さなファイルから展開する、もう 1 つの道。

    Raises:
        ValueError: 重なっている。
    """
    for entry in sorted(entries, key=lambda e: e.header_offset, reverse=True):
        if entry.header_offset + _HEADER + entry.compress_size > end:
            raise ValueError(f"重なった要素 (overlapping entries) {entry.filename!r}")
        end = entry.header_offset


def require_honest(entry: zipfile.ZipInfo) -> None:
    """展開後の大きさが、ありうるものであることを確かめる。

    Raises:
        ValueError: 偽られている。
    """
    if entry.file_size > _MOST * entry.compress_size + _SLACK:
        raise ValueError(f"大きさが偽られています (forged size) {entry.filename!r}")


def _array(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> Any:
    require_honest(entry)
    with archive.open(entry) as file:
        version = npy.read_magic(file)
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, fortran, dtype = read(file)
        if dtype.hasobject or dtype.kind not in "fciub":
            raise ValueError(f"知らない型 (unsupported dtype) {dtype}")
        wanted = math.prod(shape) * dtype.itemsize
        if min(shape, default=0) < 0 or wanted > entry.file_size:
            raise ValueError(f"見出しと大きさが合いません (size mismatch) {entry.filename!r}")
        data = file.read()  # to the end, which also checks the sum of the whole entry
    if len(data) != wanted:
        raise ValueError(f"見出しと大きさが合いません (size mismatch) {entry.filename!r}")
    array = np.frombuffer(data, dtype=dtype).reshape(shape, order="F" if fortran else "C")
    return array.astype(dtype.newbyteorder("="), order="C")
