"""`.pt`・`.pth`: `torch.save` が書き、`torch.load(weights_only=True)` が読む zip のファイル。

`data.pkl`（入れ子）と `data/番号`（記憶域 storage、配列の数）からなる。配列は、記憶域の上の歩幅
(stride) つきのビューなので、重みを分け合う `Tensor` は、読んでも分け合う。形式は PyTorch の
torch/serialization.py による。
"""

from __future__ import annotations

import io
import math
import sys
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

from micrograd_jp.environment import require
from micrograd_jp.saving import pickled
from micrograd_jp.saving.npz import EXPANSION, LARGE, require_apart, require_honest
from micrograd_jp.tensor.array import Tensor

SUFFIXES = (".pt", ".pth")

_KINDS = {
    "Float": "f4", "Double": "f8", "Half": "f2", "Long": "i8", "Int": "i4", "Short": "i2",
    "Char": "i1", "Byte": "u1", "Bool": "?", "BFloat16": "bfloat16",
    "ComplexFloat": "c8", "ComplexDouble": "c16",
}  # fmt: skip
_DTYPES = {
    "float32": "f4", "float64": "f8", "float16": "f2", "int64": "i8", "int32": "i4",
    "int16": "i2", "int8": "i1", "uint8": "u1", "bool": "?",
    "complex64": "c8", "complex128": "c16",
}  # fmt: skip
_DEEPEST = 64  # axes and levels


def _dtype(code: str) -> Any:
    if code == "bfloat16":
        return np.dtype(require("ml_dtypes", "accel").bfloat16)
    return np.dtype(code)


def decoded(contents: bytes) -> Any:
    """ファイルの中身から、`torch.save` したもの。コードは動かさない。

    Args:
        contents: ファイルの中身。

    Raises:
        ValueError: その形式でない、壊れている、重みのほかのものがある。
    """
    if contents[:4] != b"PK\x03\x04":
        raise ValueError(
            "zip ではありません (not a zip file): PyTorch 1.5 までの形式なら、PyTorch で読み、"
            "torch.save(state_dict, path) で保存し直してください"
        )
    with zipfile.ZipFile(io.BytesIO(contents)) as archive:
        entries = {entry.filename: entry for entry in archive.infolist()}
        if len(entries) < len(archive.infolist()):
            raise ValueError("同じ名前が 2 度 (duplicate entry)")
        require_apart(list(entries.values()), archive.start_dir)
        size = sum(entry.file_size for entry in entries.values())
        if size > max(LARGE, EXPANSION * len(contents)):
            raise ValueError(f"展開すると {size:,} バイトになり、大きすぎます (expands too much)")
        roots = [name[: -len("data.pkl")] for name in entries if name.endswith("/data.pkl")]
        if len(roots) != 1:
            raise ValueError("data.pkl がありません (no data.pkl)")
        root = roots[0]

        def part(name: str) -> bytes:
            entry = entries.get(root + name)
            if entry is None:
                raise ValueError(f"{name} がありません (missing record)")
            require_honest(entry)
            return archive.read(entry)

        order = part("byteorder").strip() if f"{root}byteorder" in entries else b"little"
        if order not in (b"little", b"big"):
            raise ValueError(f"バイトの順が分かりません (unknown byteorder) {order!r}")
        reader = _Reader(part, "<" if order == b"little" else ">", max(LARGE, EXPANSION * size))
        try:
            found = pickled.read(part("data.pkl"), reader.names(), reader.storage)
        except pickled.Unknown as error:
            raise ValueError(
                f"重みのほかのもの {error.name!r} があります (weights only): モデルを丸ごとでなく、"
                "torch.save(model.state_dict(), path) で保存したものを読んでください"
            ) from None
    pickled.require_small(found, _DEEPEST)
    return found


class _Reader:
    """The storages of one file, each read once, and the Tensors on them."""

    def __init__(self, part: Callable[[str], bytes], order: str, most: int) -> None:
        self.part, self.order, self.left = part, order, most
        self.storages: dict[str, Any] = {}

    def names(self) -> dict[str, Any]:
        """What a file may name."""

        def rebuild(
            storage: Any, offset: Any, size: Any, stride: Any, requires_grad: Any = False, *_: Any
        ) -> Tensor:
            t = Tensor(self.view(storage, offset, size, stride))
            return t.requires_grad_() if requires_grad is True else t

        def parameter(data: Any, requires_grad: Any = True, *_: Any) -> Tensor:
            if not isinstance(data, Tensor):
                raise ValueError("パラメータが配列ではありません")
            return data.requires_grad_(requires_grad is True)

        tuple_of = lambda x=(): tuple(x)  # noqa: E731
        return {
            **{f"torch {kind}Storage": code for kind, code in _KINDS.items()},
            **{f"torch {name}": np.dtype(code) for name, code in _DTYPES.items()},
            "torch._utils _rebuild_tensor_v2": rebuild,
            "torch._utils _rebuild_parameter": parameter,
            "torch Size": tuple_of,
            "torch device": lambda kind, index=None: kind if index is None else f"{kind}:{index}",
            "collections OrderedDict": lambda pairs=(): pickled.Extra(pairs),
        }

    def storage(self, given: Any) -> Any:
        """The numbers of a storage."""
        kind, code, key, _, numel = given
        if kind != "storage" or not isinstance(key, str) or code not in _KINDS.values():
            raise ValueError("知らない記憶域 (unknown storage)")
        if key not in self.storages:
            dtype = _dtype(code)
            if dtype.kind != "V" and dtype.name != "bfloat16":
                dtype = dtype.newbyteorder(self.order)
            elif self.order == ">" and sys.byteorder == "little":
                raise ValueError("ビッグエンディアンの bfloat16 は読めません (big-endian bfloat16)")
            array = np.frombuffer(bytearray(self.part(f"data/{key}")), dtype=dtype)
            if len(array) < numel or numel < 0:
                raise ValueError(f"記憶域 {key} が足りません (truncated storage)")
            if dtype == "?" and (array.view(np.uint8) > 1).any():
                raise ValueError(f"記憶域 {key} に真偽値でないものがあります")
            native = array.dtype.isnative or dtype.kind == "V"
            self.storages[key] = array if native else array.astype(array.dtype.newbyteorder("="))
        if self.storages[key].dtype != _dtype(code):
            raise ValueError(f"記憶域 {key} の型が 2 通りあります (storage of two dtypes)")
        return self.storages[key]

    def view(self, storage: Any, offset: Any, size: Any, stride: Any) -> Any:
        """Part of a storage, in a shape: within it, and not much larger than the file."""
        if not isinstance(storage, np.ndarray) or not isinstance(size, tuple):
            raise ValueError("配列の記録が壊れています (bad tensor)")
        numbers = (offset, *size, *stride)
        if len(size) != len(stride) or len(size) > _DEEPEST // 2:
            raise ValueError("形と歩幅が合いません (shape and stride differ)")
        if any(type(n) is not int or n < 0 for n in numbers):
            raise ValueError("形か歩幅が 0 以上の整数ではありません (bad shape or stride)")
        if not math.prod(size):
            return np.empty(size, storage.dtype)
        last = offset + sum((n - 1) * step for n, step in zip(size, stride))
        if last >= len(storage):
            raise ValueError("配列が記憶域からはみ出しています (out of bounds)")
        self.left -= math.prod(size) * storage.itemsize
        if self.left < 0:
            raise ValueError("配列が大きすぎます (expands too much)")
        steps = [step * storage.itemsize for step in stride]
        return as_strided(storage[offset:], size, steps)


def encoded(state: Any, host: Callable[[Any, list[str]], Any]) -> bytes:
    """`torch.load(weights_only=True)` が読むファイルの中身。

    Args:
        state: 保存するもの。
        host: 配列を ndarray にする関数。

    Raises:
        TypeError: 保存できないもの。
    """
    arrays: list[Any] = []
    known: dict[Any, bytes] = {}

    def tensor(x: Any, code: Callable[[Any], bytes]) -> bytes | None:
        if not isinstance(x, Tensor | np.ndarray):
            return None
        array = host(x, [])
        where = (array.__array_interface__["data"][0], array.shape, array.strides, array.dtype.str)
        if where not in known:  # tied weights stay tied
            kind = _kind_of(array.dtype)
            known[where] = _storage(kind, len(arrays), array.size)
            arrays.append(np.ascontiguousarray(array))
        strides: list[int] = []
        step = 1
        for n in reversed(array.shape):
            strides.insert(0, step)
            step *= max(n, 1)
        hooks = pickled.reduce("collections OrderedDict", b")")
        args = b"(" + known[where] + b"".join(map(code, (0, array.shape, tuple(strides), False)))
        return pickled.reduce("torch._utils _rebuild_tensor_v2", args + hooks + b"t")

    contents = pickled.written(state, tensor)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        parts = [
            ("data.pkl", contents), ("byteorder", sys.byteorder.encode()),
            *((f"data/{i}", array.tobytes()) for i, array in enumerate(arrays)),
            ("version", b"3\n"),
        ]  # fmt: skip
        for name, part in parts:  # a fixed date: the same state gives the same bytes
            archive.writestr(zipfile.ZipInfo(f"archive/{name}"), part)
    return out.getvalue()


def _kind_of(dtype: Any) -> str:
    code = "bfloat16" if dtype.name == "bfloat16" else dtype.str.lstrip("<>|=")
    code = {"b1": "?"}.get(code, code)
    for kind, own in _KINDS.items():
        if own == code:
            return kind
    raise TypeError(
        f"{dtype} は .pt に保存できません (cannot save this dtype): int64 などに変えるか、"
        ".npz か .safetensors に保存してください。"
    )


def _storage(kind: str, number: int, numel: int) -> bytes:
    name = f"torch\n{kind}Storage\n".encode()

    def plain(x: Any) -> bytes:
        return pickled.written(x, lambda x, code: None)[2:-1]

    rest = b"".join(map(plain, (str(number), "cpu", numel)))
    return b"(" + plain("storage") + b"c" + name + rest + b"tQ"
