"""ファイルを書く: 全部か、何もなしか。書くのは 1 つのプロセスだけ。

`write_atomically` は一時ファイルに書き終えてから名前を替える。一時ファイルの名前には書いている
プロセスの番号が入り、そのプロセスがもういないときだけ片づけられる。`only_writer` は、1 つの
ファイルに書き続けるプロセスを 1 つに限る。`keep` と `kept` は、作り直せる機械語をしまう。
"""

from __future__ import annotations

import contextlib
import os
import stat
import sys
import time
import zlib
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import Any

from micrograd_jp.locks import in_child

if sys.platform == "win32":
    import ctypes
    import msvcrt

    _kernel = ctypes.WinDLL("kernel32", use_last_error=True)
    _SYNCHRONIZE, _TIMEOUT, _ACCESS_DENIED = 0x0010_0000, 0x102, 5
else:
    import fcntl

_numbers = count()
_FAR = 1 << 20
_PATIENCE = (0.01, 0.05, 0.2, 1.0)  # seconds
_held: set[int] = set()  # the descriptors of this process's locks


def write_atomically(path: Path, contents: bytes | Sequence[Any], mode: int = 0o666) -> None:
    """同じフォルダの一時ファイルに書き、ディスクに届いてから名前を替える。

    電源が切れても、`path` には前の中身か新しい中身のどちらかの全部がある。

    Args:
        path: ファイル。
        contents: 中身。続けて書くバイト列のリストでもよい。
        mode: 新しいファイルの権限（umask が引かれる）。

    Raises:
        OSError: 書けない場所、容量の不足。`path` は前のまま。
    """
    _remove_leftovers(path)
    # Short whatever the name: a file system may allow no longer one than `path` has already.
    temporary = path.with_name(f"{_beside(path)}-{os.getpid()}-{next(_numbers)}.tmp")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    try:
        try:
            with os.fdopen(os.open(temporary, flags, mode), "wb") as file:
                parts: Sequence[Any] = [contents] if isinstance(contents, bytes) else contents
                for part in parts:
                    file.write(part)
                file.flush()
                os.fsync(file.fileno())
            _replace(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise
    except OSError as error:  # which names no file, or one that nobody knows
        if error.errno is None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error
    if sys.platform != "win32":  # the new name must reach the disk too
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _replace(source: Path, target: Path) -> None:
    if sys.platform == "win32":  # where no open file can be replaced: a reader is soon done
        for seconds in _PATIENCE:
            try:
                return os.replace(source, target)
            except PermissionError:
                time.sleep(seconds)
    return os.replace(source, target)


def _beside(path: Path) -> str:
    """How the names of the files begin that belong to `path`."""
    return f".{zlib.crc32(os.fsencode(path.name)):08x}"


def _remove_leftovers(path: Path) -> None:
    """What a writer of `path` left that was killed in the midst of it."""
    with contextlib.suppress(OSError):
        for leftover in path.parent.glob(f"{_beside(path)}-*.tmp"):
            pid = leftover.name.split("-")[1]
            if pid.isdecimal() and not _is_alive(int(pid)):
                leftover.unlink(missing_ok=True)


def _is_alive(pid: int) -> bool:
    if sys.platform == "win32":  # where os.kill(pid, 0) would be a Ctrl-C
        process = _kernel.OpenProcess(_SYNCHRONIZE, False, pid)
        if not process:
            return bool(ctypes.get_last_error() == _ACCESS_DENIED)
        waited = _kernel.WaitForSingleObject(process, 0)
        _kernel.CloseHandle(process)
        return bool(waited == _TIMEOUT)
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # somebody else's
        return True
    return True


@contextlib.contextmanager
def only_writer(path: Path) -> Iterator[None]:
    """この中では、ほかの誰も `path` の `only_writer` になれない。

    オペレーティングシステムのロックなので、プロセスが `kill -9` で終わっても残らない。ロックのない
    ファイルシステム（ネットワークのドライブの一部）では、何も確かめない。

    Raises:
        BlockingIOError: ほかのプロセスが `path` に書いている。
        OSError: 書けない場所。
    """
    lock = path.with_name(f"{_beside(path)}.lock")
    try:
        file = _locked(lock, path)
    except OSError as error:
        if error.errno is None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error
    _held.add(file)
    try:
        yield
    finally:
        if file in _held:  # not in a child that was forked in between
            _held.discard(file)
            if sys.platform == "win32":  # where nothing open can be unlinked
                os.close(file)
            with contextlib.suppress(OSError):
                lock.unlink()
            if sys.platform != "win32":  # ours until it has lost its name
                os.close(file)


def _locked(lock: Path, path: Path) -> int:
    """The descriptor of the locked file, in which the number of this process stands."""
    while True:
        file = os.open(lock, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            if not _lock(file):
                owner = os.read(file, 20).decode(errors="replace")
                raise BlockingIOError(
                    f"プロセス {owner or '?'} が {path} に書いています "
                    "(in use by another process)。終わるのを待つか、別のパスにしてください。"
                )
            # Its last owner may have unlinked it between our opening and our locking.
            if lock.exists() and os.path.samestat(os.fstat(file), os.stat(lock)):
                os.ftruncate(file, 0)
                os.write(file, str(os.getpid()).encode())
                return file
        except FileNotFoundError:
            pass
        except BaseException:
            os.close(file)
            raise
        os.close(file)


def _lock(file: int) -> bool:
    """Lock it for this process. False if another has."""
    try:
        if sys.platform == "win32":
            os.lseek(file, _FAR, os.SEEK_SET)  # nobody can read a byte that is locked
            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    except OSError:  # this file system has no locks
        return True
    finally:
        os.lseek(file, 0, os.SEEK_SET)
    return True


@in_child
def _leave_to_the_parent() -> None:
    """In a forked child: the lock is the parent's, and must end with it."""
    for file in _held:
        os.close(file)
    _held.clear()


# ---- 機械語をしまう -----------------------------------------------------------------------------


def keep(path: Path, machine_code: bytes) -> None:
    """作り直せるものを、ハッシュとともにしまう。書けないフォルダ、一杯のディスクなら何もしない。"""
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, _digest(machine_code) + machine_code, mode=0o600)


def kept(path: Path) -> bytes | None:
    """しまったもの。ないか、壊れているか、ほかの利用者が書けたかもしれないなら `None`。"""
    try:
        # A pipe in a shared folder must not keep us waiting.
        flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        with os.fdopen(os.open(path, flags), "rb") as file:
            if not _is_trusted(os.fstat(file.fileno())):
                return None
            content = file.read()
    except OSError:
        return None
    digest, machine_code = content[:32], content[32:]
    return machine_code if digest == _digest(machine_code) else None


def _digest(machine_code: bytes) -> bytes:
    import hashlib

    return hashlib.sha256(machine_code).digest()


def _is_trusted(found: os.stat_result) -> bool:
    """Whether only this user (or root) can have written it: what it says will be executed."""
    if not stat.S_ISREG(found.st_mode):
        return False
    if not hasattr(os, "geteuid"):  # Windows, where the folder is the user's
        return True
    others = stat.S_IWGRP | stat.S_IWOTH
    return found.st_uid in (0, os.geteuid()) and not found.st_mode & others
