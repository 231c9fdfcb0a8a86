"""計算する場所 (device)。NumPy の配列は CPU に、JAX の配列は JAX の装置 (GPU, TPU) にある。

PyTorch のプログラムが `device=` を渡せるための薄い層で、CPU の外へは JAX が配列を運ぶ。
"""

from __future__ import annotations

from typing import Any

import numpy as np

from micrograd_jp import namespace

_KINDS = {"cpu": "cpu", "gpu": "gpu", "cuda": "gpu", "rocm": "gpu", "tpu": "tpu"}


class device:
    """計算する場所: `mg.device("cpu")`, `mg.device("cuda:1")`, `mg.device("tpu", 0)`。

    作るだけなら、その装置がなくてもよい。`"cuda"` は JAX の名前 `"gpu"` と同じ場所である。

    Args:
        type: `"cpu"`, `"cuda"` (`"gpu"`), `"tpu"`。`"cuda:1"` のように番号を付けてもよい。
        index: 装置の番号。

    Attributes:
        type: 装置の種類 (`"cpu"`, `"gpu"`, `"tpu"`)。
        index: 装置の番号。決めていなければ `None`。

    Raises:
        ValueError: 知らない種類、または番号が 0 以上の整数でない。
    """

    __slots__ = ("index", "type")

    type: str
    index: int | None

    def __init__(self, type: str | device, index: int | None = None) -> None:
        if isinstance(type, device):
            type = str(type)
        kind, colon, number = str(type).partition(":")
        if colon and index is None and number.isdecimal():
            index, colon = int(number), ""
        if kind not in _KINDS or colon or (index is not None and index < 0):
            raise ValueError(
                f"装置 {type!r} が読めません (invalid device): "
                '"cpu", "cuda", "cuda:1", "tpu" のように書いてください。'
            )
        self.type, self.index = _KINDS[kind], index

    def __repr__(self) -> str:
        index = "" if self.index is None else f", index={self.index}"
        return f"device(type={self.type!r}{index})"

    def __str__(self) -> str:
        return self.type if self.index is None else f"{self.type}:{self.index}"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, device):
            return NotImplemented
        return (self.type, self.index) == (other.type, other.index)

    def __hash__(self) -> int:
        return hash((self.type, self.index))


CPU = device("cpu")


def meant(given: Any) -> device | None:
    """`given` の言う装置。装置でなければ `None`（型の名前かもしれない）。"""
    if not isinstance(given, str | device):
        return None
    try:
        return device(given)
    except ValueError:
        return None


def device_of(data: Any) -> device:
    """配列のある場所。NumPy なら CPU、`jax.jit` の中では JAX の既定の装置。"""
    if isinstance(data, np.ndarray):
        return CPU
    import jax

    if namespace.is_traced(data):
        return device(jax.default_backend())
    place = min(data.devices(), key=lambda d: d.id)
    return CPU if place.platform == "cpu" else device(place.platform, place.id)


def placed(data: Any, wanted: Any) -> Any:
    """配列を装置 `wanted` に置いたもの。`None` かそこにあればそのまま、CPU の外なら JAX の配列。

    Raises:
        RuntimeError: その装置がない。
    """
    if wanted is None:
        return data
    place = device(wanted)
    here = device_of(data)
    if here.type == place.type and place.index in (None, here.index or 0):
        return data
    try:
        import jax

        return jax.device_put(data, jax.devices(place.type)[place.index or 0])
    except (ImportError, IndexError, RuntimeError):
        raise RuntimeError(
            f"装置 {place} はありません (no such device): この計算機では {here} で計算します。"
            'GPU や TPU を使うには、それに合った JAX (pip install "micrograd_jp[accel]" と '
            "jax の案内) を入れてください。"
        ) from None
