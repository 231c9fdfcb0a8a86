"""計算する場所 (device)。NumPy の配列は `"cpu"` に、JAX の配列は JAX の装置にある。

PyTorch のプログラムが `device=` を渡せるための薄い層で、NumPy の外へは JAX が配列を運ぶ。`"cpu"` に
運べば NumPy の配列に、`"jax"` に運べば JAX の、CPU にある配列になる。
"""

from __future__ import annotations

from typing import Any

import numpy as np

from micrograd_jp import namespace
from micrograd_jp.environment import require
from micrograd_jp.namespace.jax import jax_namespace

_KINDS = {
    "cpu": "cpu", "numpy": "cpu", "jax": "jax", "gpu": "gpu", "cuda": "gpu", "rocm": "gpu",
    "tpu": "tpu",
}  # fmt: skip
_TYPES = {"cpu": "jax"}
"""What JAX calls the CPU is here the one that is not NumPy's."""
_PLATFORMS = {ours: platform for platform, ours in _TYPES.items()}


def _is_of_jax(x: Any) -> bool:
    return hasattr(x, "platform") and hasattr(x, "device_kind")


def _type_of(platform: str) -> str:
    return _TYPES.get(platform, platform)


def _of_sharding(sharding: Any) -> tuple[str, int | None, Any]:
    """(type, index, sharding) of an array."""
    (first, *others) = sorted(sharding.device_set, key=lambda d: d.id)
    kind = _type_of(first.platform)
    return (kind, None, sharding) if others else (kind, first.id, None)


class device:
    """計算する場所: `mg.device("cpu")`, `mg.device("cuda:1")`, `mg.device("tpu", 0)`。

    作るだけなら、その装置がなくてもよい。`"cuda"` は JAX の名前 `"gpu"` と同じ場所である。

    Args:
        type: `"cpu"`（`"numpy"` と書いてもよい: NumPy の配列）、`"jax"`（JAX の、CPU にある配列）、
            `"cuda"` (`"gpu"`)、`"tpu"`。`"cuda:1"` のように番号を付けてもよい。JAX の装置
            (`jax.devices()[0]`) や `jax.sharding.Sharding` も受け取る。
        index: 装置の番号。

    Attributes:
        type: 装置の種類 (`"cpu"`, `"jax"`, `"gpu"`, `"tpu"`)。
        index: 装置の番号。決めていないか、いくつもの装置にあれば `None`。
        sharding: いくつもの装置にあるとき、分け方を言う JAX の `Sharding`。1 つなら `None`。

    Raises:
        ValueError: 知らない種類、または番号が 0 以上の整数でない。
    """

    __slots__ = ("index", "sharding", "type")

    type: str
    index: int | None
    sharding: Any

    def __init__(self, type: Any, index: int | None = None) -> None:
        self.sharding = None
        if hasattr(type, "device_set"):
            self.type, self.index, self.sharding = _of_sharding(type)
            return
        if isinstance(type, device):
            self.type, self.sharding = type.type, type.sharding
            self.index = type.index if index is None else index
            return
        if _is_of_jax(type):
            self.type, self.index = _type_of(type.platform), type.id
            return
        kind, colon, number = str(type).partition(":")
        if colon and index is None and number.isdecimal():
            index, colon = int(number), ""
        if kind not in _KINDS or colon or (index is not None and index < 0):
            raise ValueError(
                f"装置 {type!r} が読めません (invalid device): "
                '"cpu", "jax", "cuda", "cuda:1", "tpu" のように書いてください。'
            )
        self.type, self.index = _KINDS[kind], index

    def __repr__(self) -> str:
        index = "" if self.index is None else f", index={self.index}"
        index += "" if self.sharding is None else f", sharding={self.sharding}"
        return f"device(type={self.type!r}{index})"

    def __str__(self) -> str:
        if self.sharding is not None:
            return f"{self.type}×{len(self.sharding.device_set)}"
        return self.type if self.index is None else f"{self.type}:{self.index}"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, device):
            return NotImplemented
        mine, theirs = self.sharding, other.sharding
        return (self.type, self.index, mine) == (other.type, other.index, theirs)

    def __hash__(self) -> int:
        return hash((self.type, self.index, self.sharding))


CPU = device("cpu")


def meant(given: Any) -> device | None:
    """`given` の言う装置。装置でなければ `None`（型の名前かもしれない）。"""
    known = isinstance(given, str | device) or hasattr(given, "device_set") or _is_of_jax(given)
    if not known:
        return None
    try:
        return device(given)
    except ValueError:
        return None


def device_of(data: Any) -> device:
    """配列のある場所。NumPy なら CPU、`jax.jit` の中では JAX の既定の装置。"""
    if isinstance(data, np.ndarray):
        return CPU
    if namespace.is_traced(data):
        import jax

        return device(_type_of(jax.default_backend()))
    return device(data.sharding)


def placed(data: Any, wanted: Any) -> Any:
    """配列を装置 `wanted` に置いたもの。`None` かそこにあればそのまま。

    `"cpu"` なら NumPy の配列、ほかは JAX の配列になる。`jax.jit` の中では、`"cpu"` は何もしない。

    Raises:
        RuntimeError: その装置がない。
    """
    if wanted is None:
        return data
    place = device(wanted)
    here = device_of(data)
    if place.sharding is not None:
        return data if place == here else _put(data, place.sharding)
    there = here.sharding is None and here.type == place.type
    if there and place.index in (None, here.index or 0):
        return data
    if place.type == CPU.type and place.index in (None, 0):
        return data if namespace.is_traced(data) else namespace.concrete(data, "to")
    try:
        jax = require("jax", "accel")
        platform = _PLATFORMS.get(place.type, place.type)
        near = {d.id: d for d in jax.local_devices(backend=platform)}
        return _put(data, near[min(near) if place.index is None else place.index])
    except (ImportError, LookupError, RuntimeError):
        raise RuntimeError(
            f"装置 {place} はありません (no such device): この計算機では {here} で計算します。"
            'GPU や TPU を使うには、それに合った JAX (pip install "micrograd_jp[accel]" と '
            "jax の案内) を入れてください。"
        ) from None


def _put(data: Any, where: Any) -> Any:
    """In memory of its own, with a word where 64 bits of a float do not fit."""
    import jax

    m = jax_namespace()
    if isinstance(data, np.ndarray):
        data = data.astype(m.dtype(data.dtype) if data.dtype.kind == "f" else data.dtype)
    return jax.device_put(data, where)
