"""ファイルのダウンロード: 届いたものを確かめてから、その名前にする。

一時的な名前で保存先のフォルダに受け取り、検査に通ったときだけ `os.replace` で本来の名前に移す。
だから途中で切れても、中身が違っても、いくつのプロセスが同時に始めても、既にあるファイルは壊れない。
"""

from __future__ import annotations

import contextlib
import http.client
import os
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from micrograd_jp.environment import require

TIMEOUT = 20.0
"""接続と、次のデータが届くまでに待つ秒数。"""

ROUNDS = 2
"""すべての取得先を順に試すことを、何度まで繰り返すか。"""

_CHUNK = 1 << 16


def download(
    urls: Iterable[str],
    path: Path,
    check: Callable[[Path], Any],
    *,
    max_bytes: int,
    timeout: float = TIMEOUT,
) -> Any:
    """`urls` を順に試し、検査に通った最初のものを `path` に置く。

    Args:
        urls: 同じファイルの取得先 (mirrors)。
        path: 置く場所。フォルダは作る。
        check: 届いたファイルを調べる関数。正しくなければ `ValueError` を起こす。
        max_bytes: 受け取るバイト数の上限。
        timeout: 接続と、次のデータが届くまでに待つ秒数。

    Returns:
        `check` の返したもの。

    Raises:
        OSError: どこからも得られない。保存先には何も残らない。
        ImportError: tqdm がない。
    """
    progress = require("tqdm", "data").tqdm
    path.parent.mkdir(parents=True, exist_ok=True)
    failures: dict[str, str] = {}
    urls = list(urls)
    for url in urls * ROUNDS:
        try:
            with _temporary(path) as part:
                _receive(url, part, max_bytes, timeout, progress)
                checked = check(part)
                _move(part, path)
                return checked
        except (OSError, http.client.HTTPException, ValueError) as error:
            failures[url] = str(error)
            if isinstance(error, urllib.error.HTTPError):  # which is the open response as well
                error.close()
    reasons = "".join(f"\n  {url}: {error}" for url, error in failures.items())
    raise OSError(
        f"{path.name} をダウンロードできませんでした (download failed)。ネットワークを確かめるか、"
        f"ファイルを {path} に置いてください。{reasons}"
    )


@contextlib.contextmanager
def _temporary(path: Path) -> Iterator[Path]:
    """A new file beside `path`, with a name of its own in every process; gone at the end."""
    handle, name = tempfile.mkstemp(prefix=f"{path.name}.", suffix=".part", dir=path.parent)
    os.close(handle)
    try:
        yield Path(name)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)


def _receive(url: str, part: Path, max_bytes: int, timeout: float, progress: Any) -> None:
    request = urllib.request.Request(url, headers={"User-Agent": "micrograd_jp"})
    opened = urllib.request.urlopen(request, timeout=timeout)
    with opened as response, part.open("wb") as stream:
        length = response.headers.get("Content-Length", "")
        total = int(length) if length.isdecimal() else None
        _require_room(max(total or 0, 0), max_bytes)
        name = url.rsplit("/", 1)[-1]
        received = 0
        bar = progress(total=total, desc=name, unit="B", unit_scale=True, mininterval=0.2)
        with bar:
            # read1 gives what has come: the bar moves, and a timeout counts from the last byte.
            while chunk := response.read1(_CHUNK):
                received += len(chunk)
                _require_room(received, max_bytes)
                stream.write(chunk)
                bar.update(len(chunk))
        stream.flush()
        os.fsync(stream.fileno())
    if total is not None and received < total:
        raise OSError(f"途中で切れました (truncated): {total:,} バイト中 {received:,} バイト")


def _require_room(size: int, max_bytes: int) -> None:
    if size > max_bytes:
        raise ValueError(f"大きすぎます (too large): {max_bytes:,} バイトまでのはずです")


def _move(part: Path, path: Path) -> None:
    os.chmod(part, 0o644)  # mkstemp's files are private; a cache may be shared
    try:
        os.replace(part, path)
    except PermissionError:  # Windows, while another process reads the file it has just put there
        if not path.exists():
            raise
