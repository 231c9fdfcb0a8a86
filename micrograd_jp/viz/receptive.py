"""受容野 (receptive field): 出力の 1 画素が、入力のどの画素を見ているか。

`receptive_field` は層の設定から算術で、`effective_receptive_field` は勾配から求める。

>>> import micrograd_jp as mg
>>> conv = mg.nn.Conv2d
>>> field = mg.viz.receptive_field(mg.nn.Sequential(conv(1, 8, 3), conv(8, 8, 3)))
>>> field.size
(5, 5)
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from micrograd_jp.arguments import explain_all
from micrograd_jp.graph.higher_order import gradients
from micrograd_jp.graph.modes import enable_grad, no_grad
from micrograd_jp.nn.layers.activations import Activation
from micrograd_jp.nn.layers.containers import Residual, Sequential
from micrograd_jp.nn.layers.conv import Conv2d
from micrograd_jp.nn.layers.dropout import Dropout
from micrograd_jp.nn.layers.norm import BatchNorm
from micrograd_jp.nn.layers.pool import AvgPool2d, LocalResponseNorm, MaxPool2d
from micrograd_jp.nn.layers.shape import Identity
from micrograd_jp.nn.module import tree
from micrograd_jp.nn.module.evaluating import undisturbed
from micrograd_jp.nn.module.module import Module
from micrograd_jp.ops.windows import Pair, Windows
from micrograd_jp.tensor.array import Tensor, as_tensor
from micrograd_jp.tensor.functions.windows import margins, pair
from micrograd_jp.viz.features import captured, output_of, require_dimensions

_POINTWISE = (Activation, BatchNorm, Dropout, Identity, LocalResponseNorm)


class ReceptiveField(NamedTuple):
    """受容野。どれも (縦, 横) の画素の数。

    Attributes:
        size: 大きさ。
        stride: 出力が隣に移ったとき、受容野が入力の上を動く距離。
        start: 出力の (0, 0) の受容野の、左上の画素の位置。余白があれば負になる。
    """

    size: Pair = (1, 1)
    stride: Pair = (1, 1)
    start: Pair = (0, 0)

    def window(self, row: int, column: int) -> tuple[Pair, Pair]:
        """出力の (row, column) の受容野 `((上, 下), (左, 右))`。下と右の画素は含まない。

        余白の分は画像の外（0 より小さい、または画像より大きい位置）になる。
        """
        top, left = (a + i * s for a, i, s in zip(self.start, (row, column), self.stride))
        return (top, top + self.size[0]), (left, left + self.size[1])


def receptive_field(model: Module) -> ReceptiveField:
    """順につながれた層の、最後の出力の受容野。引数とエラーは `receptive_fields` と同じ。"""
    return [ReceptiveField(), *receptive_fields(model).values()][-1]


def receptive_fields(model: Module) -> dict[str, ReceptiveField]:
    """順につながれた層それぞれの出力の受容野。

    窓の大きさ k、間隔 d (dilation)、ストライド s の層を通ると、それまでの受容野（大きさ r、
    距離 j）は次のように広がる。だから 3 × 3 を 2 つ重ねれば 5 × 5、3 つなら 7 × 7 になる。

        r ← r + d (k − 1) j        j ← s j

    Araujo et al. (2019) "Computing Receptive Fields of Convolutional Neural Networks", Distill。

    Args:
        model: `Conv2d`、`MaxPool2d`、`AvgPool2d` と、画素ごとの層（活性化関数、推論中のバッチ正規化
            など）を、`Sequential` か `Residual` で（入れ子にしても）つないだもの。層 1 つでもよい。

    Returns:
        層の名前から受容野へ、順に。

    Raises:
        TypeError: それ以外の層がある（`Linear` は画像のすべてを見る）。
    """
    return dict(_after(model, "", ReceptiveField()))


def effective_receptive_field(
    model: Module, x: Any, layer: str = "", position: Pair | None = None
) -> Tensor:
    """有効受容野 (effective receptive field): 入力の各画素が、出力の 1 画素をどれだけ動かすか。

    |Σ_k ∂A_kij / ∂x| を、入力のチャネルについて足し、標本について平均する。受容野の外では 0。
    中でも一様ではなく、ふつう中心ほど大きい。Luo et al. (2016) "Understanding the Effective
    Receptive Field in Deep Convolutional Neural Networks"。推論中の状態で計算し、モデルは何も
    変わらない。

    Args:
        model: どんな部品でもよい。
        x: 画像 (N, C, H, W)。
        layer: 層の名前。空なら `model` の出力。その出力 A は (N, チャネル, h, w)。
        position: 出力の画素 (i, j)。省略すると中央 (h // 2, w // 2)。

    Returns:
        (H, W)。値は 0 以上。

    Raises:
        ValueError: 名前の層がない、順伝播で呼ばれない、入力か出力の形が違う。
        IndexError: その画素がない。
        TypeError: 名前が文字列でない、層の出力が `Tensor` でない。
    """
    x = as_tensor(x).detach().requires_grad_()
    require_dimensions("effective_receptive_field の画像", x, ("N", "C", "H", "W"))
    found: dict[str, Tensor] = {}
    with undisturbed(model), captured(model, layer, found), enable_grad():
        model(x)
        out = output_of(layer, found)
        require_dimensions(f"層 {layer!r} の出力", out, ("N", "C", "h", "w"))
        h, w = out.shape[2:]
        i, j = (h // 2, w // 2) if position is None else position
        pixel = out[:, :, i, j].sum()
    with no_grad():
        slopes = gradients(pixel, as_tensor(1.0).astype(pixel.dtype)).get(x)
        if slopes is None:  # the output does not depend on the image at all
            return Tensor(x._data[0, 0] * 0)
        return slopes.abs().sum(axis=1).mean(axis=0)


# ---- 層を順にたどる --------------------------------------------------------------------------


def _after(
    module: Module, name: str, field: ReceptiveField
) -> Iterator[tuple[str, ReceptiveField]]:
    """(name, field) of every layer, in order; that of a skip connection after its layers."""
    if not isinstance(module, Sequential):
        yield name, _widened(field, _windows(module, name))
        return
    last = field
    for key, child in tree.children(module):  # a layer that is there twice is passed twice
        inside = list(_after(child, tree.joined(name, key), last))
        yield from inside
        last = inside[-1][1] if inside else last
    if isinstance(module, Residual):
        yield name, _both(field, last)


def _windows(module: Module, name: str) -> Windows:
    if isinstance(module, _POINTWISE):
        return Windows((1, 1))
    owner = type(module).__name__
    if isinstance(module, Conv2d):
        kernel, stride, dilation = module.kernel_size, module.stride, module.dilation
        padding = margins(module.padding, owner, kernel, stride, dilation)
        return Windows(kernel, stride, padding, dilation)
    if isinstance(module, MaxPool2d | AvgPool2d):
        kernel = pair(module.kernel_size, owner, "kernel_size")
        stride = pair(module.stride, owner, "stride")
        dilation = pair(getattr(module, "dilation", 1), owner, "dilation")
        padding = margins(module.padding, owner, kernel, stride, dilation)
        return Windows(kernel, stride, padding, dilation)
    raise TypeError(
        f"層 {name!r} ({owner}) の受容野は、設定だけからは決まりません (not a chain of windows): "
        "Conv2d、MaxPool2d、AvgPool2d と画素ごとの層を Sequential でつないだ部分 "
        "(model.features など) を渡すか、effective_receptive_field で勾配から求めてください。"
    )


def _widened(field: ReceptiveField, windows: Windows) -> ReceptiveField:
    """The field after one more layer: its windows, measured in pixels of the first input."""

    def along(axis: int) -> tuple[int, int, int]:
        size, stride, start = (pairs[axis] for pairs in field)
        return (
            size + (windows.span[axis] - 1) * stride,
            stride * windows.stride[axis],
            start - windows.padding[axis][0] * stride,
        )

    return ReceptiveField(*zip(along(0), along(1), strict=True))


def _both(x: ReceptiveField, fx: ReceptiveField) -> ReceptiveField:
    """The field of x + F(x): the smallest window that holds both."""

    def along(axis: int) -> tuple[int, int, int]:
        start = min(x.start[axis], fx.start[axis])
        end = max(field.start[axis] + field.size[axis] for field in (x, fx))
        return end - start, fx.stride[axis], start

    return ReceptiveField(*zip(along(0), along(1), strict=True))


explain_all(globals())
