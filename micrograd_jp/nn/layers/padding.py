"""まわりを埋める層。計算は `nn.functional.pad`。"""

from __future__ import annotations

from typing import Any, ClassVar

from micrograd_jp.arguments import explain_all
from micrograd_jp.nn import functional as F
from micrograd_jp.nn.module.module import Module
from micrograd_jp.tensor.array import Tensor, as_tensor

__all__ = [
    "CircularPad1d", "CircularPad2d", "CircularPad3d", "ConstantPad1d", "ConstantPad2d",
    "ConstantPad3d", "ReflectionPad1d", "ReflectionPad2d", "ReflectionPad3d", "ReplicationPad1d",
    "ReplicationPad2d", "ReplicationPad3d", "ZeroPad1d", "ZeroPad2d", "ZeroPad3d",
]  # fmt: skip


class Padding(Module):
    """最後のいくつかの軸のまわりを埋める。派生クラスは、軸の数と埋め方だけを決める。

    Args:
        padding: どの側も同じ幅、または最後の軸から順に (前, 後, 前, 後, …)。

    Raises:
        ValueError: 幅の数が合わない。呼んだとき、次元が合わない、幅が長すぎる。
    """

    axes: ClassVar[int]
    mode: ClassVar[str]
    value: float | None = None

    def __init_subclass__(cls, axes: int = 0, mode: str = "") -> None:
        if axes:
            cls.axes, cls.mode = axes, mode

    def __init__(self, padding: Any) -> None:
        given = tuple(padding) if isinstance(padding, tuple | list) else (padding,) * 2 * self.axes
        if len(given) != 2 * self.axes:
            raise ValueError(
                f"{type(self).__name__} の幅は {2 * self.axes} 個です (invalid padding): "
                f"{padding!r} が渡されました。"
            )
        self.padding = given

    def forward(self, x: Any) -> Tensor:
        """`x`: (N, C, …) か (C, …)。"""
        t = as_tensor(x)
        if t.ndim not in (self.axes + 1, self.axes + 2):
            raise ValueError(
                f"{type(self).__name__} の入力は {self.axes + 1} 次元か {self.axes + 2} 次元です "
                f"(wrong dimensions): 形は {t.shape} です。"
            )
        return F.pad(t, self.padding, self.mode, self.value)

    def extra_repr(self) -> str:
        """埋める幅。"""
        return f"{self.padding}"


class ConstantPadding(Padding):
    """同じ数で埋める。

    Args:
        padding: `Padding` と同じ。
        value: 埋める数。
    """

    def __init__(self, padding: Any, value: float) -> None:
        super().__init__(padding)
        self.value = value

    def extra_repr(self) -> str:
        """埋める幅と数。"""
        return f"padding={self.padding}, value={self.value}"


# fmt: off
class ZeroPad1d(Padding, axes=1, mode="constant"):
    """(N, C, L) の前後を 0 で埋める。引数は `Padding` と同じ。"""


class ZeroPad2d(Padding, axes=2, mode="constant"):
    """(N, C, H, W) のまわりを 0 で埋める。引数は `Padding` と同じ。"""


class ZeroPad3d(Padding, axes=3, mode="constant"):
    """(N, C, D, H, W) のまわりを 0 で埋める。引数は `Padding` と同じ。"""


class ConstantPad1d(ConstantPadding, axes=1, mode="constant"):
    """(N, C, L) の前後を同じ数で埋める。引数は `ConstantPadding` と同じ。"""


class ConstantPad2d(ConstantPadding, axes=2, mode="constant"):
    """(N, C, H, W) のまわりを同じ数で埋める。引数は `ConstantPadding` と同じ。"""


class ConstantPad3d(ConstantPadding, axes=3, mode="constant"):
    """(N, C, D, H, W) のまわりを同じ数で埋める。引数は `ConstantPadding` と同じ。"""


class ReflectionPad1d(Padding, axes=1, mode="reflect"):
    """(N, C, L) を両端で折り返す。引数は `Padding` と同じ。"""


class ReflectionPad2d(Padding, axes=2, mode="reflect"):
    """(N, C, H, W) をふちで折り返す。引数は `Padding` と同じ。"""


class ReflectionPad3d(Padding, axes=3, mode="reflect"):
    """(N, C, D, H, W) をふちで折り返す。引数は `Padding` と同じ。"""


class ReplicationPad1d(Padding, axes=1, mode="replicate"):
    """(N, C, L) の前後を端の値で埋める。引数は `Padding` と同じ。"""


class ReplicationPad2d(Padding, axes=2, mode="replicate"):
    """(N, C, H, W) のまわりをふちの値で埋める。引数は `Padding` と同じ。"""


class ReplicationPad3d(Padding, axes=3, mode="replicate"):
    """(N, C, D, H, W) のまわりをふちの値で埋める。引数は `Padding` と同じ。"""


class CircularPad1d(Padding, axes=1, mode="circular"):
    """(N, C, L) の前後を反対の端の値で埋める。引数は `Padding` と同じ。"""


class CircularPad2d(Padding, axes=2, mode="circular"):
    """(N, C, H, W) のまわりを反対の端の値で埋める。引数は `Padding` と同じ。"""


class CircularPad3d(Padding, axes=3, mode="circular"):
    """(N, C, D, H, W) のまわりを反対の端の値で埋める。引数は `Padding` と同じ。"""
# fmt: on


explain_all(globals())
