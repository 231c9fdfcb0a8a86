"""全部か、何もなしかで書く: 一時ファイルに書き終えてから、名前を替える。"""

from __future__ import annotations

import contextlib
import glob
import os
import secrets
from pathlib import Path

from micrograd_jp.arguments import explain_all


def write_atomically(path: Path, contents: bytes) -> None:
    """同じフォルダの一時ファイルに書き、ディスクに届いてから名前を替える。

    電源が切れても、`path` には前の中身か新しい中身のどちらかの全部がある。

    Raises:
        OSError: 書けない場所、容量の不足。`path` は前のまま。
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with open(temporary, "xb") as file:
            file.write(contents)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    if os.name == "posix":  # the new name must reach the disk too
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def remove_leftovers(path: str | os.PathLike[str]) -> None:
    """`path` への保存が、書いている途中で強制終了されて残した一時ファイルを消す。"""
    path = Path(os.path.realpath(path))
    for leftover in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):
        with contextlib.suppress(OSError):
            leftover.unlink()


explain_all(globals())
