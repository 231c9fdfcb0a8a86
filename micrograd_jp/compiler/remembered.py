"""コンパイルの途中でできたものを、次のプロセスのために覚えておく (remembered)。

行列を見つけるのも、機械語を書くのも、記録した計算だけから決まる。だから、できたものを、そこから
決まる名前のファイルにしまう: 次のプロセスは、同じ計算を記録したら、読むだけになる。名前には、
このパッケージのソース、NumPy と Python の版、演算の番号も入るので、古いものが使われることはない。
壊れたファイルと、ほかの利用者が書けたファイルは読まずに、作り直す (`files.kept`)。

環境変数 `MICROGRAD_JP_REMEMBER=0` のもとでは、何も覚えない（コンパイラを書き換えながら試すとき）。
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import io
import os
import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from micrograd_jp.compiler.table.codes import KNOWN, PRIMITIVES, code_of, name_of
from micrograd_jp.files import keep, kept
from micrograd_jp.native import machine_code
from micrograd_jp.ops.primitive import Elementwise, Primitive, Reduction

T = TypeVar("T")

LARGEST = 1 << 24
"""覚えるものの大きさの上限（バイト）。"""

_ROOMS = ("compiler", "native", "namespace", "ops")
_PLAIN = (str, int, float, bool, dict, np.dtype, type(None))
_PACKAGE = Path(__file__).parents[1]


class _Pickler(pickle.Pickler):
    """An operation is its name; one that is not of this package has no name in another process."""

    def persistent_id(self, obj: Any) -> Any:
        return _name(obj) if isinstance(obj, Elementwise | Reduction) else None


class _Unpickler(pickle.Unpickler):
    def persistent_load(self, pid: Any) -> Primitive:
        return _by_name()[pid]


@functools.cache
def _by_name() -> dict[str, Primitive]:
    return {name_of(code): PRIMITIVES[code] for code in range(KNOWN)}


def _pickled(x: Any) -> bytes:
    out = io.BytesIO()
    _Pickler(out, pickle.HIGHEST_PROTOCOL).dump(x)
    return out.getvalue()


@functools.cache
def _sources() -> str:
    """What everything depends on beside the program. Empty where the sources are no files."""
    found: list[Any] = [sys.version, np.__version__, [op.name for op in PRIMITIVES[:KNOWN]]]
    try:
        for room in _ROOMS:
            for folder, _, names in sorted(os.walk(_PACKAGE / room)):
                for name in sorted(names):
                    if name.endswith(".py"):
                        state = os.stat(os.path.join(folder, name))
                        found.append((folder, name, state.st_mtime_ns, state.st_size))
    except OSError:
        return ""
    return repr(found) if len(found) > len(_ROOMS) else ""


def named(kind: str, *parts: Any) -> str:
    """`parts` から決まる名前。覚えられないもの（利用者の演算を使う計算）なら、空。

    Args:
        kind: 何の名前か。
        *parts: 表、プログラム、数、文字列など。
    """
    if os.environ.get("MICROGRAD_JP_REMEMBER", "1") == "0" or not _sources():
        return ""
    digest = hashlib.sha256()
    try:
        for part in (kind, _sources(), *parts):
            _add(digest.update, part)
    except _Nameless:
        return ""
    return digest.hexdigest()[:32]


class _Nameless(Exception):
    """Something that another process would not know by its name."""


def _add(update: Callable[[Any], None], x: Any) -> None:
    """What a digest is of: what is equal gives the same, however it came to be."""
    if isinstance(x, np.ndarray):
        update(f"{x.dtype.str}{x.shape}".encode())
        update(np.ascontiguousarray(x))
    elif isinstance(x, Primitive):
        update(f"<{_name(x)}>".encode())
    elif isinstance(x, tuple | list):
        update(f"{type(x).__name__}{len(x)}".encode())
        for y in x:
            _add(update, y)
    elif dataclasses.is_dataclass(x):
        update(type(x).__name__.encode())
        for field in dataclasses.fields(x):
            _add(update, getattr(x, field.name))
    elif isinstance(x, _PLAIN):
        update(f"{x!r}\n".encode())
    else:
        raise _Nameless


def _name(op: Primitive) -> str:
    if not isinstance(op, Elementwise | Reduction):
        return op.name
    code = code_of(op)
    if code >= KNOWN:
        raise _Nameless
    return name_of(code)


def recall(name: str) -> Any:
    """覚えているもの。なければ `None`。"""
    folder = machine_code.folder()
    content = kept(folder / f"{name}.pickle") if folder and name else None
    if content is None:
        return None
    try:
        return _Unpickler(io.BytesIO(content)).load()
    except Exception:  # whole, but of another world: it is made again
        return None


def remember(name: str, x: Any) -> None:
    """覚える。大きすぎるものと、名前のないものは覚えない。"""
    folder = machine_code.folder()
    if folder is None or not name:
        return
    try:
        content = _pickled(x)
    except _Nameless:
        return
    if len(content) <= LARGEST:
        keep(folder / f"{name}.pickle", content)


def remembered(name: str, make: Callable[[], T]) -> T:
    """覚えているものか、作って覚えたもの。"""
    found: T | None = recall(name)
    if found is None:
        found = make()
        remember(name, found)
    return found
