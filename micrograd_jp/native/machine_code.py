"""LLVM の中間表現 (IR) を機械語にして、ディスクに覚えておく。

コンパイルには 1 つの核で 0.1〜1 秒かかるが、できた機械語はファイルに残り、次のプロセスは読むだけに
なる。ファイルの名前は、IR・CPU・LLVM の版から決まる。だから演算を加えても、機械が変わっても、
古い機械語が使われることはない。壊れたファイルは、中身の要約 (digest) が合わないので捨て、ほかの
利用者が書いたか、書けるファイルは読まない。

`pip install "micrograd_jp[fast]"` で入る llvmlite があるときだけ働く。`with native.disabled():` の
中と、環境変数 `MICROGRAD_JP_NATIVE=0` のもとでは、畳み込みなどを NumPy だけで計算する。
"""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from micrograd_jp.environment import cache_folder, expanded
from micrograd_jp.files import keep, kept
from micrograd_jp.locks import Outside

OLDEST_LLVM = 17
"""ここで書く IR を読める LLVM の版（llvmlite 0.45 以上）。"""

_OPTIMIZE = 3
_lock = Outside()
_engines: list[Any] = []  # machine code lives as long as its engine
_wanted: ContextVar[bool] = ContextVar(
    "native", default=os.environ.get("MICROGRAD_JP_NATIVE", "1") != "0"
)


@functools.cache
def available() -> bool:
    """llvmlite（extra `fast`）があるか。"""
    try:
        with _lock:
            from llvmlite.binding import llvm_version_info
    except (ImportError, OSError, AttributeError):
        return False
    return bool(llvm_version_info[0] >= OLDEST_LLVM)


def enabled() -> bool:
    """NumPy の代わりに機械語で計算するか: llvmlite があり、止められていない。"""
    return _wanted.get() and available()


def in_use() -> bool:
    """このプロセスに、もう機械語があるか: なければ、はじめの 1 つには LLVM を読む時間もかかる。"""
    return bool(_engines)


@contextlib.contextmanager
def disabled() -> Iterator[None]:
    """この中では、機械語のある計算も NumPy でする（速さや答えを比べるため）。"""
    token = _wanted.set(False)
    try:
        yield
    finally:
        _wanted.reset(token)


@functools.cache
def vector_bytes() -> int:
    """この CPU の、SIMD のレジスタの大きさ。"""
    with _lock:
        import llvmlite.binding as llvm

        features = f",{_features(llvm)},"
    if ",+avx512f," in features:
        return 64
    return 32 if ",+avx2," in features else 16


@functools.cache
def addresses(text: str, names: tuple[str, ...]) -> tuple[int, ...]:
    """IR の中の関数の、機械語の番地。

    Args:
        text: IR。
        names: 関数の名前。
    """
    with _lock:  # what LLVM made on the way is freed inside of it, too
        path = _path(name_of(text))
        machine_code = kept(path) if path else None
        if machine_code is None:
            machine_code = _compiled(text)
            if path is not None:
                keep(path, machine_code)
        return _linked(machine_code, names)


def known(name: str, names: tuple[str, ...]) -> tuple[int, ...] | None:
    """前に機械語にした関数の番地: IR を書かなくてよい。ファイルがないか、使えなければ `None`。

    Args:
        name: IR の `name_of`。
        names: 関数の名前。
    """
    path = _path(name)
    machine_code = kept(path) if path else None
    if machine_code is None:
        return None
    with _lock:
        return _linked(machine_code, names)


def name_of(text: str) -> str:
    """IR と、CPU と、LLVM の版から決まる名前。"""
    import hashlib

    return hashlib.sha256(f"{text}\n{processor()}".encode()).hexdigest()[:32]


@functools.cache
def processor() -> str:
    """機械語が何のためのものか: CPU、その機能、LLVM の版。"""
    with _lock:
        import llvmlite.binding as llvm

        cpu = f"{llvm.get_host_cpu_name()} {_features(llvm)}"
        return "\n".join([llvm.get_default_triple(), cpu, str(llvm.llvm_version_info)])


def _path(name: str) -> Path | None:
    place = folder()
    return place and place / f"{name}.o"


def _linked(machine_code: bytes, names: tuple[str, ...]) -> tuple[int, ...]:
    import llvmlite.binding as llvm

    target = _target()
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), target)
    engine.add_object_file(llvm.ObjectFileRef.from_data(machine_code))
    engine.finalize_object()
    _engines.append(engine)
    return tuple(engine.get_function_address(name) for name in names)


def folder() -> Path | None:
    """機械語を置くフォルダ。環境変数 `MICROGRAD_JP_KERNELS` で変えられる。なければ `None`。"""
    given = os.environ.get("MICROGRAD_JP_KERNELS")
    if given:
        return expanded(given)
    cache = cache_folder()
    return None if cache is None else cache / "kernels"


def _features(llvm: Any) -> str:
    try:
        return str(llvm.get_host_cpu_features().flatten())
    except RuntimeError:  # LLVM does not know this platform's
        return ""


def _target() -> Any:
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    return llvm.Target.from_default_triple().create_target_machine(
        cpu=llvm.get_host_cpu_name(),
        features=_features(llvm),
        opt=_OPTIMIZE,
        codemodel="jitdefault",
    )


def _compiled(text: str) -> bytes:
    import llvmlite.binding as llvm

    target = _target()
    ir = llvm.parse_assembly(text)
    ir.triple = target.triple
    ir.data_layout = str(target.target_data)
    ir.verify()
    options = llvm.create_pipeline_tuning_options(speed_level=_OPTIMIZE)
    passes = llvm.create_pass_builder(target, options)
    passes.getModulePassManager().run(ir, passes)
    emitted: bytes = target.emit_object(ir)
    return emitted
