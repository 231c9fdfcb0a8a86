"""正規化の層: バッチ、層、グループ、インスタンスごとと、二乗平均平方根。"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from micrograd_jp.arguments import explain_all
from micrograd_jp.nn import functional as F
from micrograd_jp.nn import init
from micrograd_jp.nn.layers.parameters import empty_parameter, require_positive
from micrograd_jp.nn.module.module import Module
from micrograd_jp.tensor.array import Tensor, as_tensor
from micrograd_jp.tensor.dtypes import get_default_dtype, int64

__all__ = [
    "BatchNorm1d", "BatchNorm2d", "BatchNorm3d", "GroupNorm", "InstanceNorm1d", "InstanceNorm2d",
    "InstanceNorm3d", "LayerNorm", "RMSNorm",
]  # fmt: skip


class BatchNorm(Module):
    """バッチ正規化。派生クラスは、受け取る次元の数だけを決める。

    Ioffe & Szegedy (2015) "Batch Normalization: Accelerating Deep Network Training"。
    訓練中はバッチの平均と分散で、推論中は移動平均で正規化する。

    Args:
        num_features: チャネルの数 C。
        eps: 分散に足す小さな数。
        momentum: 移動平均に新しい値が占める割合。`None` なら、これまでの単純な平均。
        affine: 学習する倍率 `weight` とずらし `bias` を持つか。
        track_running_stats: 移動平均を持つか。偽なら、推論中もバッチの統計を使う。
        dtype: 型。

    Raises:
        ValueError: 数が 1 以上の整数でない。呼んだとき、形が合わない、または訓練中に
            1 チャネルに値が 1 つしかない。
    """

    shapes: Mapping[int, str]
    """受け取る次元の数と、その形の名前。"""

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        dtype: Any = None,
    ) -> None:
        require_positive(type(self).__name__, num_features=num_features)
        self.num_features, self.eps, self.momentum = num_features, eps, momentum
        self.affine, self.track_running_stats = affine, track_running_stats
        self.weight = empty_parameter(num_features, dtype=dtype) if affine else None
        self.bias = empty_parameter(num_features, dtype=dtype) if affine else None
        dtype = get_default_dtype() if dtype is None else dtype
        running = {
            "running_mean": np.zeros(num_features, dtype),
            "running_var": np.ones(num_features, dtype),
            "num_batches_tracked": np.zeros((), int64),
        }
        for name, start in running.items():
            self.register_buffer(name, Tensor(start) if track_running_stats else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """倍率を 1、ずらしを 0 にする（移動平均は `reset_running_stats`）。"""
        if self.weight is not None and self.bias is not None:
            init.ones_(self.weight)
            init.zeros_(self.bias)

    def reset_running_stats(self) -> None:
        """移動平均を、平均 0、分散 1 に戻す。"""
        if self.track_running_stats:
            init.zeros_(self.running_mean)
            init.ones_(self.running_var)
            self.num_batches_tracked.data = np.zeros((), dtype=int64)

    running_mean: Any
    running_var: Any
    num_batches_tracked: Any

    def forward(self, x: Any) -> Tensor:
        """`x` と同じ形。"""
        t = as_tensor(x)
        if t.ndim not in self.shapes or t.shape[1] != self.num_features:
            wanted = "、".join(self.shapes.values()).replace("C", str(self.num_features))
            raise ValueError(
                f"{type(self).__name__} の入力の形が合いません (shape mismatch): {t.shape}。"
                f"{wanted} にしてください。"
            )
        momentum = self.momentum
        training = self.training or self.running_mean is None
        update = self.training and self.track_running_stats
        if momentum is None:
            momentum = 1 / (int(self.num_batches_tracked.item()) + 1) if update else 0.0
        used = update or not training
        mean, var = (self.running_mean, self.running_var) if used else (None, None)
        out = F.batch_norm(t, mean, var, self.weight, self.bias, training, momentum, self.eps)
        if update:
            self.num_batches_tracked.data = self.num_batches_tracked._data + 1
        return out

    def extra_repr(self) -> str:
        """PyTorch と同じ並び。"""
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, "
            f"affine={self.affine}, track_running_stats={self.track_running_stats}"
        )


class BatchNorm1d(BatchNorm):
    """(N, C) か (N, C, L) のバッチ正規化。引数は `BatchNorm` と同じ。"""

    shapes = MappingProxyType({2: "(N, C)", 3: "(N, C, L)"})


class BatchNorm2d(BatchNorm):
    """(N, C, H, W) のバッチ正規化。引数は `BatchNorm1d` と同じ。"""

    shapes = MappingProxyType({4: "(N, C, H, W)"})


class LayerNorm(Module):
    """層正規化 (layer normalization): 標本ごとに、最後のいくつかの軸で正規化する。

    Ba, Kiros & Hinton (2016) arXiv:1607.06450。訓練中も推論中も同じ計算をする。

    Args:
        normalized_shape: 正規化する、最後の次元の形。
        eps: 分散に足す小さな数。
        elementwise_affine: 学習する倍率 `weight`（とずらし `bias`）を持つか。
        bias: ずらしを持つか。
        dtype: 型。

    Raises:
        ValueError: 数が 1 以上の整数でない。呼んだとき、入力の最後の次元が違う。
    """

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        dtype: Any = None,
    ) -> None:
        given = normalized_shape
        sizes = tuple(given) if isinstance(given, Sequence) else (given,)
        for n in sizes:
            require_positive("LayerNorm", normalized_shape=n)
        self.normalized_shape, self.eps = sizes, eps
        self.elementwise_affine = elementwise_affine
        self.weight = empty_parameter(*sizes, dtype=dtype) if elementwise_affine else None
        self.bias = empty_parameter(*sizes, dtype=dtype) if elementwise_affine and bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """倍率を 1、ずらしを 0 にする。"""
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)

    def forward(self, x: Any) -> Tensor:
        """`x` と同じ形。"""
        return F.layer_norm(x, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        """PyTorch と同じ並び。"""
        return (
            f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"
        )


class BatchNorm3d(BatchNorm):
    """(N, C, D, H, W) のバッチ正規化。引数は `BatchNorm1d` と同じ。"""

    shapes = MappingProxyType({5: "(N, C, D, H, W)"})


class InstanceNorm(BatchNorm):
    """インスタンス正規化。派生クラスは、受け取る次元の数だけを決める。

    標本とチャネルごとに正規化する。計算は `nn.functional.instance_norm`。

    Args:
        num_features: チャネルの数 C。
        eps: 分散に足す小さな数。
        momentum: 移動平均に新しい値が占める割合。
        affine: 学習する倍率 `weight` とずらし `bias` を持つか。
        track_running_stats: 移動平均を持ち、推論中に使うか。
        dtype: 型。

    Raises:
        ValueError: 数が 1 以上の整数でない。呼んだとき、形が合わない、値が 1 つしかない。
    """

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float = 0.1,
        affine: bool = False,
        track_running_stats: bool = False,
        dtype: Any = None,
    ) -> None:
        super().__init__(num_features, eps, momentum, affine, track_running_stats, dtype)

    def forward(self, x: Any) -> Tensor:
        """`x` と同じ形。"""
        t = as_tensor(x)
        axis = {ndim: i for i, ndim in enumerate(self.shapes)}.get(t.ndim)
        if axis is None or t.shape[axis] != self.num_features:
            wanted = "、".join(self.shapes.values()).replace("C", str(self.num_features))
            raise ValueError(
                f"{type(self).__name__} の入力の形が合いません (shape mismatch): {t.shape}。"
                f"{wanted} にしてください。"
            )
        out = F.instance_norm(
            t.unsqueeze(0) if axis == 0 else t, self.running_mean, self.running_var, self.weight,
            self.bias, self.training or not self.track_running_stats, self.momentum or 0.0,
            self.eps,
        )  # fmt: skip
        return out.squeeze(0) if axis == 0 else out


class InstanceNorm1d(InstanceNorm):
    """(N, C, L) か (C, L) のインスタンス正規化。引数は `InstanceNorm` と同じ。"""

    shapes = MappingProxyType({2: "(C, L)", 3: "(N, C, L)"})


class InstanceNorm2d(InstanceNorm):
    """(N, C, H, W) か (C, H, W) のインスタンス正規化。引数は `InstanceNorm` と同じ。"""

    shapes = MappingProxyType({3: "(C, H, W)", 4: "(N, C, H, W)"})


class InstanceNorm3d(InstanceNorm):
    """(N, C, D, H, W) か (C, D, H, W) のインスタンス正規化。引数は `InstanceNorm` と同じ。"""

    shapes = MappingProxyType({4: "(C, D, H, W)", 5: "(N, C, D, H, W)"})


class GroupNorm(Module):
    """グループ正規化 (group normalization)。計算は `nn.functional.group_norm`。

    Args:
        num_groups: 組の数。
        num_channels: チャネルの数 C。`num_groups` で割り切れること。
        eps: 分散に足す小さな数。
        affine: 学習する倍率 `weight` とずらし `bias` を持つか。
        dtype: 型。

    Raises:
        ValueError: 数が正しくない。呼んだとき、チャネルの数が違う。
    """

    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        eps: float = 1e-5,
        affine: bool = True,
        dtype: Any = None,
    ) -> None:
        require_positive("GroupNorm", num_groups=num_groups, num_channels=num_channels)
        if num_channels % num_groups:
            raise ValueError(
                "num_channels は num_groups で割り切れるようにします (channels not divisible by "
                f"groups): {num_channels} = {num_groups}·{num_channels // num_groups} + "
                f"{num_channels % num_groups}。"
            )
        self.num_groups, self.num_channels, self.eps = num_groups, num_channels, eps
        self.affine = affine
        self.weight = empty_parameter(num_channels, dtype=dtype) if affine else None
        self.bias = empty_parameter(num_channels, dtype=dtype) if affine else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """倍率を 1、ずらしを 0 にする。"""
        if self.weight is not None and self.bias is not None:
            init.ones_(self.weight)
            init.zeros_(self.bias)

    def forward(self, x: Any) -> Tensor:
        """`x`: (N, C, …)。同じ形を返す。"""
        t = as_tensor(x)
        if t.ndim < 2 or t.shape[1] != self.num_channels:
            raise ValueError(
                f"GroupNorm の入力の形が合いません (shape mismatch): {t.shape}。"
                f"(N, {self.num_channels}, …) にしてください。"
            )
        return F.group_norm(t, self.num_groups, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        """PyTorch と同じ並び。"""
        return f"{self.num_groups}, {self.num_channels}, eps={self.eps}, affine={self.affine}"


class RMSNorm(Module):
    """二乗平均平方根での正規化 (RMS normalization)。計算は `nn.functional.rms_norm`。

    Args:
        normalized_shape: 正規化する、最後の次元の形。
        eps: 足す小さな数。既定は、計算する型の 1 の次の数との差。
        elementwise_affine: 学習する倍率 `weight` を持つか。
        dtype: 型。

    Raises:
        ValueError: 数が 1 以上の整数でない。呼んだとき、入力の最後の次元が違う。
    """

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float | None = None,
        elementwise_affine: bool = True,
        dtype: Any = None,
    ) -> None:
        given = normalized_shape
        self.normalized_shape = tuple(given) if isinstance(given, Sequence) else (given,)
        for n in self.normalized_shape:
            require_positive("RMSNorm", normalized_shape=n)
        self.eps, self.elementwise_affine = eps, elementwise_affine
        shape = self.normalized_shape
        self.weight = empty_parameter(*shape, dtype=dtype) if elementwise_affine else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """倍率を 1 にする。"""
        if self.weight is not None:
            init.ones_(self.weight)

    def forward(self, x: Any) -> Tensor:
        """`x` と同じ形。"""
        return F.rms_norm(x, self.normalized_shape, self.weight, self.eps)

    def extra_repr(self) -> str:
        """PyTorch と同じ並び。"""
        return (
            f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"
        )


explain_all(globals())
