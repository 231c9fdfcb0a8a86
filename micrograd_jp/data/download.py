"""ファイルのダウンロード: 届いたものを確かめてから、その名前で置く。

メモリに受け取り、検査に通ったときだけ、全部か何もなしかで書く。だから途中で切れても、中身が違っても、
いくつのプロセスが同時に始めても、既にあるファイルは壊れない。書けなくても、届いたものは使える。

pooch 1.9 とも比べた（テストの、行儀の悪いサーバーを相手に）。正しいファイルも、壊れたもの、途中で
切れたもの、転送の輪も、どちらも同じように扱う。しかし pooch は、1 バイトずつ送り続ける相手を
いつまでも待ち、終わりのない応答をディスクがなくなるまで書き、取得先を 1 つしか知らない。
だから使わない。
"""

from __future__ import annotations

import http.client
import io
import socket
import time
import urllib.error
import urllib.request
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from micrograd_jp.environment import progress_bar
from micrograd_jp.files import write_atomically

TIMEOUT = 20.0
"""接続と、次のデータが届くまでに待つ秒数。"""

SLOWEST = 1024
"""待つ、最も遅い取得先。毎秒のバイト数。"""

ROUNDS = 2
"""すべての取得先を順に試すことを、何度まで繰り返すか。"""

_CHUNK = 1 << 16


def download(
    urls: Iterable[str],
    path: Path | None,
    check: Callable[[bytes], Any],
    *,
    max_bytes: int,
    timeout: float = TIMEOUT,
) -> Any:
    """`urls` を順に試し、検査に通った最初のものを `path` に置く。

    `timeout` 秒のあいだ何も届かないか、毎秒 `SLOWEST` バイトより遅い取得先は、あきらめて次に進む。

    Args:
        urls: 同じファイルの取得先 (mirrors)。
        path: 置く場所。フォルダは作る。`None` か、書けない場所なら、置かない。
        check: 届いた中身を調べる関数。正しくなければ `ValueError` を起こす。
        max_bytes: 受け取るバイト数の上限。
        timeout: 接続と、次のデータが届くまでに待つ秒数。

    Returns:
        `check` の返したもの。

    Raises:
        OSError: どこからも得られない。
        ImportError: tqdm がない。
    """
    progress = progress_bar()
    failures: dict[str, str] = {}
    urls = list(urls)
    for url in urls * ROUNDS:
        try:
            contents = _received(url, max_bytes, timeout, progress)
            checked = check(contents)
        except (OSError, http.client.HTTPException, ValueError) as error:
            failures[url] = str(error)
            if isinstance(error, urllib.error.HTTPError):  # which is the open response as well
                error.close()
        else:
            if path is not None:
                _keep(path, contents)
            return checked
    name = urls[0].rsplit("/", 1)[-1] if path is None else path.name
    place = "" if path is None else f"か、ファイルを {path} に置いて"
    reasons = "".join(f"\n  {url}: {error}" for url, error in failures.items())
    raise OSError(
        f"{name} をダウンロードできませんでした (download failed)。ネットワークを確かめる{place}"
        f"ください。{reasons}"
    )


def _keep(path: Path, contents: bytes) -> None:
    """A cache is a help, no more."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, contents)
    except OSError as error:
        # On Windows also while another process reads the file that it has just put there.
        if not path.exists():
            warnings.warn(
                f"{path} に置けませんでした (cannot write the cache): {error.strerror or error}。"
                "次に使うときも、ダウンロードします。",
                UserWarning,
                stacklevel=2,
            )


def _received(url: str, max_bytes: int, timeout: float, progress: Any) -> bytes:
    request = urllib.request.Request(url, headers={"User-Agent": "micrograd_jp"})
    contents = bytearray()
    opener = urllib.request.build_opener(_Plain, _Secure)
    with opener.open(request, timeout=timeout) as response:
        length = response.headers.get("Content-Length", "")
        total = int(length) if length.isdecimal() else None
        _require_room(max(total or 0, 0), max_bytes)
        name = url.rsplit("/", 1)[-1]
        with progress(total=total, desc=name, unit="B", unit_scale=True, mininterval=0.2) as bar:
            # read1 gives what has come: the bar moves, and a timeout counts from the last byte.
            while chunk := response.read1(_CHUNK):
                contents += chunk
                _require_room(len(contents), max_bytes)
                bar.update(len(chunk))
    if total is not None and len(contents) < total:
        raise OSError(f"途中で切れました (truncated): {total:,} バイト中 {len(contents):,} バイト")
    return bytes(contents)


def _require_room(size: int, max_bytes: int) -> None:
    if size > max_bytes:
        raise ValueError(f"大きすぎます (too large): {max_bytes:,} バイトまでのはずです")


# ---- 遅すぎる取得先 -------------------------------------------------------------------------
# A socket's timeout begins anew with every byte: one byte now and then would be waited for without
# end, in the body and in the header alike.


class _Paced(io.RawIOBase):
    """What comes from a socket, as long as it comes fast enough on the whole."""

    def __init__(self, raw: Any, patience: float) -> None:
        self._raw = raw
        self._end = time.monotonic() + patience

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        if time.monotonic() > self._end:
            raise TimeoutError(f"遅すぎます (too slow): 毎秒 {SLOWEST:,} バイトに届きません")
        count: int | None = self._raw.readinto(buffer)
        self._end += (count or 0) / SLOWEST
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Response(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp = io.BufferedReader(_Paced(self.fp.detach(), sock.gettimeout() or TIMEOUT))


class _PlainConnection(http.client.HTTPConnection):
    response_class = _Response


class _Plain(urllib.request.HTTPHandler):
    def http_open(self, request: Any) -> Any:
        return self.do_open(_PlainConnection, request)


class _SecureConnection(http.client.HTTPSConnection):
    response_class = _Response


class _Secure(urllib.request.HTTPSHandler):
    def https_open(self, request: Any) -> Any:
        return self.do_open(_SecureConnection, request)
