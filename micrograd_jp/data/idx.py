"""IDX 形式 (MNIST の配布形式) を読む。

    00 00 | 型 (1 バイト) | 次元の数 d (1 バイト) | 各次元の長さ (4 バイト × d) | 要素

すべてビッグエンディアン。形式の説明: Y. LeCun, C. Cortes, C. Burges, "The MNIST database of
handwritten digits"。届いたファイルは信用しない: ヘッダの言う大きさを先に確かめ、実際に読めた分しか
メモリを取らないので、嘘のヘッダや gzip 爆弾 (gzip bomb) では何も起こらない。
"""

from __future__ import annotations

import gzip
import hashlib
import math
import os
import zlib
from pathlib import Path
from typing import IO, Any

import numpy as np

from micrograd_jp.arguments import explain_all

_DTYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_GZIP_MAGIC = b"\x1f\x8b"
_CHUNK = 1 << 20
MAX_BYTES = 1 << 30
"""`read_idx` が既定で受け入れる、展開後の要素のバイト数 (1 GiB)。"""


def read_idx(
    path: str | os.PathLike[str], *, max_bytes: int = MAX_BYTES, md5: str | None = None
) -> Any:
    """IDX ファイル（gzip のままでもよい）を ndarray にする。

    Args:
        path: ファイル。gzip かどうかは中身で見分ける。
        max_bytes: 展開後の要素の大きさの上限。これを超えるヘッダは、読む前に断る。
        md5: 展開後のバイト列全体の MD5（16 進）。渡すと照合する。

    Returns:
        ヘッダの形の ndarray。型は uint8, int8, int16, int32, float32, float64 のどれか。

    Raises:
        OSError: ファイルが開けない。
        ValueError: IDX でない、途中で切れている、余りがある、大きすぎる、gzip が壊れている、
            MD5 が違う。
    """
    path = Path(path)
    with path.open("rb") as raw:
        return parsed(raw, path, max_bytes, md5)


def parsed(raw: IO[bytes], path: Path, max_bytes: int, md5: str | None) -> Any:
    """`read_idx` の中身を、開いたファイル（か、届いたバイト列）から。`path` はエラーに書く名前。"""
    packed = raw.read(2) == _GZIP_MAGIC
    raw.seek(0)
    try:
        stream = _Hashed(gzip.GzipFile(fileobj=raw) if packed else raw)
        array = _read(stream, path, max_bytes)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise _bad(path, "gzip が壊れているか、途中で切れています", "corrupt gzip") from error
    found = stream.md5.hexdigest()
    if md5 is not None and found != md5:
        raise _bad(path, f"展開後の MD5 が {found} で、{md5} ではありません", "wrong checksum")
    return array


class _Hashed:
    """A stream that computes the MD5 of what was read from it."""

    def __init__(self, stream: IO[bytes] | gzip.GzipFile) -> None:
        self.stream = stream
        self.md5 = hashlib.md5(usedforsecurity=False)  # against accidents, as published

    def read(self, size: int) -> bytes:
        chunk = self.stream.read(size)
        self.md5.update(chunk)
        return chunk


def _read(stream: _Hashed, path: Path, max_bytes: int) -> Any:
    head = _exactly(stream, 4, path)
    if head[:2] != b"\0\0" or head[2] not in _DTYPES or head[3] == 0:
        raise _bad(path, f"先頭の 4 バイトが {head.hex(' ')} です", "not an IDX file")
    dtype = np.dtype(_DTYPES[head[2]])
    shape = np.frombuffer(_exactly(stream, 4 * head[3], path), ">u4").tolist()
    size = math.prod(shape) * dtype.itemsize
    # Lengths beside a zero count as well: NumPy refuses shapes that overflow without it.
    if math.prod(max(n, 1) for n in shape) * dtype.itemsize > max_bytes or head[3] > 32:
        shown = " × ".join(map(str, shape[:4])) + (" × …" if head[3] > 4 else "")
        raise _bad(
            path,
            f"ヘッダは {shown} 個の {dtype.name} を約束していますが、"
            f"読むのは {max_bytes:,} バイト、32 次元までです",
            "header too large",
        )
    body = _exactly(stream, size, path)
    if stream.read(1):
        raise _bad(path, f"ヘッダの言う {size:,} バイトのあとにも続きがあります", "trailing bytes")
    array = np.frombuffer(body, dtype).reshape(shape)
    return array.astype(dtype.newbyteorder("="), copy=False)


def _exactly(stream: _Hashed, size: int, path: Path) -> bytearray:
    """`size` bytes. Memory grows with what really arrives, not with what was promised."""
    got = bytearray()
    while len(got) < size:
        chunk = stream.read(min(_CHUNK, size - len(got)))
        if not chunk:
            raise _bad(
                path, f"{size:,} バイトあるはずが {len(got):,} バイトで終わります", "truncated"
            )
        got += chunk
    return got


def _bad(path: Path, what: str, term: str) -> ValueError:
    return ValueError(
        f"IDX ファイルとして読めません ({term}): {path}: {what}。"
        "ファイルを消して、もう一度ダウンロードしてください。"
    )


explain_all(globals())
