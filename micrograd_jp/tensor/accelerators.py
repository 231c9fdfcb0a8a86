"""GPU などがあるかを尋ねる、PyTorch の名前: `mg.cuda`, `mg.backends`, `mg.accelerator`。

PyTorch のプログラムの `device = "cuda" if mg.cuda.is_available() else "cpu"` のために。答えるのは
JAX で、JAX がなければ（`pip install "micrograd_jp[accel]"`）、どれも「ない」。
"""

from __future__ import annotations

import importlib.util
import sys
from importlib.metadata import entry_points

from micrograd_jp.environment import require
from micrograd_jp.tensor.devices import device
from micrograd_jp.tensor.generator import manual_seed


def _found(platform: str) -> int:
    """How many devices of this kind JAX finds."""
    if importlib.util.find_spec("jax") is None or (platform == "gpu" and not _has_plugins()):
        return 0
    try:
        return len(require("jax", "accel").local_devices(backend=platform))
    except RuntimeError:
        return 0


def _has_plugins() -> bool:
    """JAX finds GPUs through plugins alone: without one, nobody waits a second for it to load."""
    if "jax" in sys.modules or importlib.util.find_spec("jax_plugins") is not None:
        return True
    return len(entry_points(group="jax_plugins")) > 0


class cuda:
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


class backends:
    """計算のしかた。"""

    class mps:
        """Apple の GPU。JAX の、試験的なもので、ここでは使わない。"""

        @staticmethod
        def is_available() -> bool:
            """いつも偽。"""
            return False

        is_built = is_available


class accelerator:
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
