"""GPU などがあるかを尋ねる、PyTorch の名前: `mg.cuda`, `mg.backends`, `mg.accelerator`。

PyTorch のプログラムの `device = "cuda" if mg.cuda.is_available() else "cpu"` のために。答えるのは
JAX で、JAX がなければ（`pip install "micrograd_jp[accel]"`）、どれも「ない」。
"""

from __future__ import annotations

import importlib.util
import sys
from importlib.metadata import entry_points
from typing import Any, NoReturn

from micrograd_jp.environment import require
from micrograd_jp.on_demand import what_to_write
from micrograd_jp.tensor.checks import integer
from micrograd_jp.tensor.devices import device
from micrograd_jp.tensor.generator import manual_seed


def _devices(platform: str) -> list[Any]:
    """The devices of this kind that JAX finds."""
    if importlib.util.find_spec("jax") is None or (platform == "gpu" and not _has_plugins()):
        return []
    try:
        return list(require("jax", "accel").local_devices(backend=platform))
    except RuntimeError:
        return []


def _found(platform: str) -> int:
    return len(_devices(platform))


def _has_plugins() -> bool:
    """JAX finds GPUs through plugins alone: without one, nobody waits a second for it to load."""
    if "jax" in sys.modules or importlib.util.find_spec("jax_plugins") is not None:
        return True
    return len(entry_points(group="jax_plugins")) > 0


class _Asked(type):
    """A name that is not there says what to write instead."""

    def __getattr__(cls, name: str) -> NoReturn:
        text = what_to_write(name, cls.__name__) or f"{cls.__name__!r} has no attribute {name!r}"
        raise AttributeError(text, name=name, obj=cls)


class cuda(metaclass=_Asked):
    """GPU (JAX が使う)。"""

    @staticmethod
    def is_available() -> bool:
        """GPU があるか。"""
        return _found("gpu") > 0

    @staticmethod
    def device_count() -> int:
        """GPU の数。"""
        return _found("gpu")

    @staticmethod
    def manual_seed(seed: int) -> None:
        """`mg.manual_seed` と同じ: 乱数の列は、装置によらず 1 つ。"""
        manual_seed(seed)

    manual_seed_all = manual_seed

    @staticmethod
    def get_device_name(index: int = 0) -> str:
        """GPU の名前。

        Raises:
            TypeError: 番号が整数でない。
            RuntimeError: その GPU がない。
        """
        index, found = integer(index, "get_device_name の index"), _devices("gpu")
        if not 0 <= index < len(found):
            raise RuntimeError(
                f"GPU {index} はありません (no such device): JAX が見つけた GPU は {len(found)} 個"
                "です。mg.cuda.is_available() と device_count() で確かめてください。"
            )
        return str(found[index].device_kind)

    @staticmethod
    def synchronize(device: Any = None) -> None:
        """JAX が計算し終えるのを待つ（時間を測る前に）。NumPy の計算はいつも終わっている。"""
        if "jax" in sys.modules:
            for array in sys.modules["jax"].live_arrays():
                array.block_until_ready()

    @staticmethod
    def empty_cache() -> None:
        """何もしない: 使われない配列の記憶域は、いつもすぐに返される。"""


class backends(metaclass=_Asked):
    """計算のしかた。"""

    class cudnn:
        """cuDNN の設定。読み書きはできるが、ここの計算は変わらない（CPU では、いつも決定的）。"""

        deterministic = True
        benchmark = False
        enabled = False

        @staticmethod
        def is_available() -> bool:
            """いつも偽: JAX が自分で使う。"""
            return False

    class cuda:
        """CUDA の設定。`cudnn` と同じく、読み書きはできるが、ここの計算は変わらない。"""

        class matmul:
            """行列積。GPU での精度は `jax.config` の `jax_default_matmul_precision` で決める。"""

            allow_tf32 = False

    class mps:
        """Apple の GPU。JAX の、試験的なもので、ここでは使わない。"""

        @staticmethod
        def is_available() -> bool:
            """いつも偽。"""
            return False

        is_built = is_available


class accelerator(metaclass=_Asked):
    """CPU でない装置: GPU、なければ TPU。"""

    @staticmethod
    def current_accelerator() -> device | None:
        """その装置。なければ `None`。"""
        return next((device(kind) for kind in ("gpu", "tpu") if _found(kind)), None)

    @staticmethod
    def is_available() -> bool:
        """あるか。"""
        return accelerator.current_accelerator() is not None

    @staticmethod
    def device_count() -> int:
        """その装置の数。"""
        found = accelerator.current_accelerator()
        return 0 if found is None else _found(found.type)
