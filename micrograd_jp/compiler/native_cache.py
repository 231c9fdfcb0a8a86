"""機械語のコンパイルと、そのディスク上の覚え書き (cache)。

コンパイルには 1 つの核で 0.3〜1 秒かかるが、できた機械語はファイルに残り、次のプロセスは読むだけに
なる。ファイルの名前は、IR・CPU・LLVM の版から決まる。だから演算を加えても、機械が変わっても、
古い機械語が使われることはない。壊れたファイルは、中身の要約 (digest) が合わないので捨てる。
"""

from __future__ import annotations

import contextlib
import ctypes
import ctypes.util
import functools
import hashlib
import os
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from micrograd_jp.compiler.codes import PRIMITIVES
from micrograd_jp.compiler.kernels import module
from micrograd_jp.compiler.kernels_math import LIBRARY

Kernel = Callable[[int, int, int, int], int]
"""`(命令, 値, 勾配, ライブラリ関数の表)`、どれも番地。0 か、知らない命令の場所 + 1 を返す。"""

FUNCTIONS = ("forward", "backward")

OLDEST_LLVM = 17
"""ここで書く IR を読める LLVM の版（llvmlite 0.45 以上）。"""

_SIGNATURE = ctypes.CFUNCTYPE(ctypes.c_int64, *[ctypes.c_void_p] * 4)
_OPTIMIZE = 3
_lock = threading.Lock()
_engines: list[Any] = []  # machine code lives as long as its engine


@functools.cache
def available() -> bool:
    """llvmlite（extra `fast` の numba に付いてくる）と、数学ライブラリがあるか。"""
    try:
        from llvmlite.binding import llvm_version_info

        library()
    except (ImportError, OSError, AttributeError):
        return False
    return bool(llvm_version_info[0] >= OLDEST_LLVM)


@functools.cache
def library() -> Any:
    """数学ライブラリの関数の番地の表。

    Raises:
        OSError: 数学ライブラリがない。
        AttributeError: 関数が足りない。
    """
    name = "ucrtbase" if sys.platform == "win32" else ctypes.util.find_library("m")
    loaded = ctypes.CDLL(name)
    addresses = [ctypes.cast(getattr(loaded, f), ctypes.c_void_p).value for f in LIBRARY]
    return (ctypes.c_void_p * len(addresses))(*addresses)


def kernels(dtype: str, lanes: int) -> tuple[Kernel, Kernel]:
    """順伝播と逆伝播の機械語。

    Args:
        dtype: `"float32"` か `"float64"`。
        lanes: レーンの数。
    """
    return _kernels(dtype, lanes, len(PRIMITIVES))


@functools.cache
def _kernels(dtype: str, lanes: int, count: int) -> tuple[Kernel, Kernel]:
    import llvmlite.binding as llvm

    text = module(dtype, lanes)
    with _lock:
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        target = _target(llvm)
        cpu = f"{llvm.get_host_cpu_name()} {_features(llvm)}"
        key = "\n".join([text, target.triple, cpu, str(llvm.llvm_version_info)])
        path = folder() / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.o"
        machine_code = _read(path)
        if machine_code is None:
            machine_code = _compiled(llvm, text, target)
            _write(path, machine_code)
        engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), target)
        engine.add_object_file(llvm.ObjectFileRef.from_data(machine_code))
        engine.finalize_object()
        _engines.append(engine)
    forward, backward = [_SIGNATURE(engine.get_function_address(name)) for name in FUNCTIONS]
    return forward, backward


def folder() -> Path:
    """機械語を置くフォルダ。環境変数 `MICROGRAD_JP_KERNELS` で変えられる。"""
    given = os.environ.get("MICROGRAD_JP_KERNELS")
    if given:
        return Path(given).expanduser()
    from micrograd_jp.data.download import cache_folder

    return cache_folder() / "kernels"


def _features(llvm: Any) -> str:
    try:
        return str(llvm.get_host_cpu_features().flatten())
    except RuntimeError:  # LLVM does not know this platform's
        return ""


def _target(llvm: Any) -> Any:
    return llvm.Target.from_default_triple().create_target_machine(
        cpu=llvm.get_host_cpu_name(),
        features=_features(llvm),
        opt=_OPTIMIZE,
        codemodel="jitdefault",
    )


def _compiled(llvm: Any, text: str, target: Any) -> bytes:
    ir = llvm.parse_assembly(text)
    ir.triple = target.triple
    ir.data_layout = str(target.target_data)
    ir.verify()
    options = llvm.create_pipeline_tuning_options(speed_level=_OPTIMIZE)
    passes = llvm.create_pass_builder(target, options)
    passes.getModulePassManager().run(ir, passes)
    emitted: bytes = target.emit_object(ir)
    return emitted


# ---- ファイル ----------------------------------------------------------------------------------


def _digest(machine_code: bytes) -> bytes:
    return hashlib.sha256(machine_code).digest()


def _read(path: Path) -> bytes | None:
    """The machine code, or None if there is none that is whole."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    digest, machine_code = content[:32], content[32:]
    return machine_code if digest == _digest(machine_code) else None


def _write(path: Path, machine_code: bytes) -> None:
    """Under the final name only when complete. Without a writable folder nothing is kept."""
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, suffix=".part")
        with os.fdopen(handle, "wb") as file:
            file.write(_digest(machine_code) + machine_code)
        os.replace(name, path)
