"""Windows のふり: このプロセスの、パッケージがこれから見る `sys`・`os`・`msvcrt`・`kernel32` を、
文書に書かれた Windows のふるまいに替える。本物の Windows ではない。

- `fcntl`、`fork`、利用者の番号、SIGKILL、`setitimer` がない。
- `msvcrt.locking` は、ファイルの中の区間を、開いたもの (handle) ごとにロックする。
  ロックされた区間は、ほかから読むこともできない。
- 開いているファイルは、消すことも、名前を替えることも、上書きすることもできない。
- フォルダは `os.open` できない。`os.kill(pid, 0)` は相手を止める。
- 文字コードを言わずに開いたファイルは cp932 (だから、言わなければエラーにする)。

Source: Microsoft, "_locking" (C runtime), "CreateFile" (sharing), "OpenProcess" (Win32);
Python, "os.kill", "msvcrt"。
"""

import ctypes
import errno
import fcntl
import os
import signal
import sys
import types
import warnings
from pathlib import Path

locked = {}  # (file, handle): the range that the handle has locked
blocked = []  # what was refused because a file was open


def denied(*names):
    return PermissionError(errno.EACCES, "Permission denied", *names)


def identity(x):
    found = os.stat(x)
    return found.st_dev, found.st_ino


def locking(handle, mode, count):
    """LK_NBLCK, from where the handle stands."""
    assert mode == msvcrt.LK_NBLCK and count > 0
    try:  # this lock, too, belongs to what was opened, not to the process
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise denied() from None
    start = os.lseek(handle, 0, os.SEEK_CUR)
    locked[identity(handle), handle] = range(start, start + count)


msvcrt = types.ModuleType("msvcrt")
msvcrt.LK_NBLCK, msvcrt.locking = 2, locking


def is_open(path):
    """Whether this process has it open."""
    try:
        wanted = identity(path)
    except FileNotFoundError:
        return False
    for handle in real["listdir"]("/proc/self/fd"):
        try:
            if identity(f"/proc/self/fd/{handle}") == wanted:
                return True
        except FileNotFoundError:
            continue
    return False


def unless_open(name):
    def call(*paths, **options):
        for path in paths:
            if is_open(path):
                blocked.append(Path(path).name)
                raise denied(str(path))
        return real[name](*paths, **options)

    return call


def open_file(path, flags, mode=0o777, **options):
    if os.path.isdir(path):
        raise denied(str(path))
    return real["open"](path, flags & ~os.O_BINARY, mode, **options)


def read(handle, count):
    here = os.lseek(handle, 0, os.SEEK_CUR)
    for (file, owner), region in locked.items():
        meets = here < region.stop and here + count > region.start
        if file == identity(handle) and owner != handle and meets:
            raise denied()
    return real["read"](handle, count)


def close(handle):
    for key in [key for key in locked if key[1] == handle]:
        del locked[key]
    return real["close"](handle)


class Kernel32:
    """Handles are process ids here."""

    def OpenProcess(self, access, inherits, pid):
        assert access == 0x0010_0000 and not inherits  # SYNCHRONIZE
        try:
            real["kill"](pid, 0)
        except (ProcessLookupError, OverflowError):
            last_error[0] = 87  # ERROR_INVALID_PARAMETER
            return 0
        except PermissionError:
            last_error[0] = 5  # ERROR_ACCESS_DENIED
            return 0
        return pid

    def WaitForSingleObject(self, process, milliseconds):
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
        return 0 if state in "ZX" else 0x102  # WAIT_OBJECT_0, WAIT_TIMEOUT

    def CloseHandle(self, process):
        return 1


last_error = [0]
real = {name: getattr(os, name) for name in "open read close replace unlink listdir kill".split()}


def terminated(pid, number):
    raise AssertionError(f"os.kill({pid}, {number}) would end the process")


def pretend():
    """From here on, as on Windows."""
    cdll = ctypes.CDLL
    ctypes.CDLL = lambda name, *a, **k: cdll("libm.so.6" if name == "ucrtbase" else name, *a, **k)
    ctypes.WinDLL = lambda name, use_last_error: Kernel32()
    ctypes.get_last_error = lambda: last_error[0]
    sys.modules["msvcrt"] = msvcrt
    for name in ("fcntl", "resource", "pwd", "grp", "termios"):
        sys.modules[name] = None
    for name in "fork register_at_fork getuid geteuid sched_getaffinity O_NONBLOCK".split():
        delattr(os, name)
    for name in "SIGKILL SIGHUP SIGALRM setitimer".split():
        delattr(signal, name)
    os.O_BINARY = 1 << 30
    os.open, os.read, os.close, os.kill = open_file, read, close, terminated
    os.replace, os.unlink, os.remove = map(unless_open, ("replace", "unlink", "unlink"))
    warnings.filterwarnings("error", category=EncodingWarning, module="micrograd_jp")
    sys.platform = "win32"
