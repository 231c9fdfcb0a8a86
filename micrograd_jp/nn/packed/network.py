"""`PackedNetwork`: 学習した 2 値化ネットワークを、1 ビットの重みと整数のしきい値だけにする。"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any

import numpy as np

from micrograd_jp.arguments import explain_all
from micrograd_jp.graph.modes import is_grad_enabled, no_grad
from micrograd_jp.nn.layers.binary import Binarize, BinaryConv2d, BinaryLinear
from micrograd_jp.nn.layers.containers import Sequential
from micrograd_jp.nn.layers.dropout import Dropout, Dropout2d
from micrograd_jp.nn.layers.norm import BatchNorm
from micrograd_jp.nn.layers.pool import MaxPool2d
from micrograd_jp.nn.layers.shape import Flatten, Identity
from micrograd_jp.nn.module.module import Module
from micrograd_jp.nn.packed import stages
from micrograd_jp.nn.packed.fold import array_of, least_float, least_integer, normalized, slopes
from micrograd_jp.nn.packed.stages import KINDS, Stage, real
from micrograd_jp.tensor.array import Tensor, as_tensor
from micrograd_jp.tensor.functions.windows import margins, pair

__all__ = ["PackedNetwork"]

_FORMAT = "micrograd_jp packed network 1"
_LAYERS = (
    "BinaryLinear, BinaryConv2d, BatchNorm1d, BatchNorm2d, Binarize, MaxPool2d, Flatten, Dropout, "
    "Identity"
)


class PackedNetwork(Module):
    """推論のために詰めた 2 値化ネットワーク (packed binarized network)。

    重みは 1 つ 1 ビットになり、隠れ層の積和は XNOR と popcount になる。バッチ正規化と符号は、整数の
    しきい値にまとめられる。しきい値はネットワーク自身の小数の計算で探すので、隠れ層の ±1 も出力も、
    もとのネットワークを `eval()` にして NumPy で計算したものと同じになる（`mg.jit` の中や、extra
    `fast` の大きな配列では、積と和の丸めが 1 度になるので、ちょうど 0 の隣で違うことがある）。

    最初の 2 値の層の入力が小数なら、その層だけは ±1 に戻した重みで小数の行列積をする。

    Args:
        model: 2 値の層を並べた `Sequential`（入れ子でもよい）。使える層は BinaryLinear,
            BinaryConv2d, BatchNorm1d, BatchNorm2d, Binarize, MaxPool2d, Flatten, Dropout,
            Identity。写しを取るので、後で `model` を変えても変わらない。

    Attributes:
        nbytes: 重み、しきい値、最後の正規化のバイト数。

    Raises:
        TypeError: 使えない層がある（名前を示す）。
        ValueError: 詰められない設定の層。呼んだとき、入力の形が合わない。
        RuntimeError: 学習しようとした。
    """

    def __init__(self, model: Module) -> None:
        self.training = False
        self._stages = tuple(_staged(list(_flat(model, ""))))

    @property
    def nbytes(self) -> int:
        """重み、しきい値、最後の正規化のバイト数。"""
        return sum(stage.nbytes for stage in self._stages)

    def forward(self, x: Any) -> Tensor:
        """`x`: もとのネットワークの入力 (N, …)。出力も、もとと同じ形。"""
        t = as_tensor(x)
        if t.requires_grad and is_grad_enabled():
            raise RuntimeError(
                "詰めたネットワークは微分できません (inference only): もとのモデルで学習してから、"
                "詰め直してください。"
            )
        out: Any = np.asarray(t._data)
        with no_grad():
            for stage in self._stages:
                out = stage(out)
        return Tensor(out) if isinstance(out, np.ndarray) else real(out, t.dtype)

    def train(self, mode: bool = True) -> PackedNetwork:
        """推論のほかには使えない。

        Raises:
            RuntimeError: `mode` が真。
        """
        if mode:
            raise RuntimeError(
                "詰めたネットワークは学習できません (inference only): もとのモデルを学習してから、"
                "nn.PackedNetwork(model) で詰め直してください。"
            )
        return self

    def state_dict(self) -> dict[str, Any]:  # type: ignore[override]  # stages, no names
        """段の項目と配列の入れ子。`mg.save` で保存でき、読むのにもとのモデルは要らない。"""
        parts = [
            {"kind": type(s).__name__, **{f.name: getattr(s, f.name) for f in fields(s)}}
            for s in self._stages
        ]
        return {"format": _FORMAT, "stages": parts}

    @classmethod
    def from_state_dict(cls, state_dict: Mapping[str, Any]) -> PackedNetwork:
        """`state_dict()` を `mg.save` して `mg.load` したものから、ネットワークを作る。

        Raises:
            TypeError: dict でない。
            ValueError: 詰めたネットワークのものでないか、壊れている。
        """
        if not isinstance(state_dict, Mapping):
            raise TypeError(
                "from_state_dict は、mg.load で読んだ dict を受け取ります (expected a dict): "
                f"{type(state_dict).__name__} が渡されました。"
            )
        if state_dict.get("format") != _FORMAT:
            raise ValueError(
                "詰めたネットワークの state_dict ではありません (not a packed network): "
                "PackedNetwork の state_dict() を mg.save したものを渡してください。"
            )
        network = cls.__new__(cls)
        network.training = False
        try:
            network._stages = tuple(
                KINDS[part["kind"]](**{k: x for k, x in part.items() if k != "kind"})
                for part in state_dict["stages"]
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ValueError(
                "詰めたネットワークの state_dict が壊れています (corrupt packed network): "
                f"{error!r}。"
            ) from error
        return network

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True) -> Any:
        """使えない: 形はモデルごとに違うので、`from_state_dict` で作る。

        Raises:
            RuntimeError: いつも。
        """
        raise RuntimeError(
            "詰めたネットワークには読み込めません (load_state_dict): "
            "nn.PackedNetwork.from_state_dict(state) で作ってください。"
        )

    def extra_repr(self) -> str:
        """段の名前と、バイト数。"""
        kinds = " → ".join(type(s).__name__ for s in self._stages)
        return f"{kinds}, {self.nbytes:,} バイト (bytes)"


# ---- モデルから段へ ------------------------------------------------------------------------------


def _flat(model: Any, name: str) -> Iterator[tuple[str, Module]]:
    """The layers in the order of computation, with the names of the modules."""
    if isinstance(model, Sequential):
        for key, layer in model.named_children():
            yield from _flat(layer, f"{name}.{key}" if name else key)
    elif not isinstance(model, Dropout | Dropout2d | Identity):
        yield name, model


def _staged(layers: list[tuple[str, Module]]) -> Iterator[Stage]:
    if not any(isinstance(layer, BinaryLinear | BinaryConv2d) for _, layer in layers):
        raise TypeError(
            "2 値の層がありません (no binary layers): nn.BinaryLinear か nn.BinaryConv2d を並べた "
            "nn.Sequential を渡してください。"
        )
    reals, i = True, 0
    while i < len(layers):
        name, layer = layers[i]
        i += 1
        if isinstance(layer, BinaryLinear | BinaryConv2d):
            end = i
            while end < len(layers) and isinstance(layers[end][1], BatchNorm | MaxPool2d):
                end += 1
            folded = end < len(layers) and isinstance(layers[end][1], Binarize)
            between = [x for _, x in layers[i:end]] if folded else []
            yield from _binary(name, layer, reals, between, folded)
            reals, i = not folded, end + 1 if folded else i
        elif isinstance(layer, Binarize):
            if reals:
                yield stages.Threshold(np.zeros(()))
            reals = False
        elif isinstance(layer, Flatten) and (layer.start_dim, layer.end_dim) == (1, -1):
            yield stages.Flatten()
        elif isinstance(layer, MaxPool2d) and not reals:
            yield _pool(layer, None)
        elif isinstance(layer, BatchNorm) and reals:
            _check_norm(name, layer)
            arrays = (layer.running_mean, layer.running_var, layer.weight, layer.bias)
            mean, var, weight, bias = map(array_of, arrays)
            yield stages.Normalize(mean, var, weight, bias, layer.eps, str(mean.dtype))
        else:
            raise TypeError(
                f"層 {name or '(全体)'} の {type(layer).__name__} は、ここでは詰められません "
                f"(cannot be packed): 使える層は {_LAYERS} です。2 値の層、プーリング、"
                "バッチ正規化、Binarize の順に並べてください。"
            )


def _binary(
    name: str, layer: Any, reals: bool, between: list[Any], folded: bool
) -> Iterator[Stage]:
    """The stages of a binary layer and of what follows it up to its Binarize."""
    signs = np.asarray(layer.signs()._data)
    dtype, outputs = signs.dtype, len(signs)
    most = signs[0].size
    if dtype not in (np.float32, np.float64) or most > 1 << 24:
        raise ValueError(
            f"層 {name} は詰められません (cannot be packed): 型 {dtype}、1 つの和の項 {most:,} 個。"
            "float32 か float64 で、項は 16,777,216 個までです。"
        )
    if not np.isfinite(signs).all():
        raise ValueError(f"層 {name} の重みに nan があります (not finite): 詰められません。")
    norms = [x for x in between if isinstance(x, BatchNorm)]
    for norm in norms:
        _check_norm(name, norm)
    slope = slopes(norms, outputs)
    bias = array_of(layer.bias)
    # Where the normalization decreases, −1 times the weights makes it increase.
    yield _weights(name, layer, signs * slope.reshape(-1, *(1,) * (signs.ndim - 1)), reals,
                   bias if bias is None else bias * slope)  # fmt: skip
    if not folded:
        return

    def test(sums: Any) -> Any:
        x = (sums * slope).astype(dtype)
        if bias is not None and not reals:
            x = x + bias
        for norm in norms:
            x = normalized(norm, x)
        return x >= 0

    yield stages.Threshold(
        least_float(test, outputs, dtype)
        if reals or bias is not None
        else least_integer(test, outputs, most)
    )
    for place, pool in enumerate(between):
        if isinstance(pool, MaxPool2d):
            after = [x for x in between[place:] if isinstance(x, BatchNorm)]
            down = slopes(after, outputs) < 0
            yield _pool(pool, np.packbits(down, bitorder="little") if down.any() else None)


def _weights(name: str, layer: Any, signs: Any, reals: bool, bias: Any) -> Stage:
    up = signs > 0
    if isinstance(layer, BinaryLinear):
        packed = np.packbits(up, axis=-1, bitorder="little")
        return stages.Linear(packed, layer.in_features, str(signs.dtype), reals, bias)
    if layer.groups != 1 or bias is not None:
        raise ValueError(
            f"層 {name} の BinaryConv2d は詰められません (cannot be packed): groups=1、bias=False "
            "だけです。ずらしは、後のバッチ正規化が持っています。"
        )
    taps = np.moveaxis(up, 1, -1).reshape(len(up), -1, layer.in_channels)
    packed = np.packbits(taps, axis=-1, bitorder="little")
    kernel, stride, dilation = layer.kernel_size, layer.stride, layer.dilation
    padding = margins(layer.padding, "BinaryConv2d", kernel, stride, dilation)
    return stages.Conv2d(
        packed, layer.in_channels, str(signs.dtype), reals, kernel, stride, padding, dilation
    )


def _pool(layer: MaxPool2d, flipped: Any) -> Stage:
    for name in ("ceil_mode", "return_indices"):
        if getattr(layer, name):
            raise ValueError(f"MaxPool2d({name}=True) は詰められません (cannot be packed)。")
    kernel, stride, dilation = (
        pair(getattr(layer, name), "MaxPool2d", name)
        for name in ("kernel_size", "stride", "dilation")
    )
    padding = margins(layer.padding, "MaxPool2d", kernel, stride, dilation)
    return stages.MaxPool2d(kernel, stride, padding, dilation, flipped)


def _check_norm(name: str, layer: BatchNorm) -> None:
    if layer.running_mean is None:
        raise ValueError(
            f"{name} のバッチ正規化には移動平均がありません (no running statistics): "
            "track_running_stats=True のものを使ってください。"
        )
    arrays = (layer.running_mean, layer.running_var, layer.weight, layer.bias)
    if not all(np.isfinite(array_of(x)).all() for x in arrays if x is not None):
        raise ValueError(f"{name} のバッチ正規化に nan か inf があります (not finite)。")


explain_all(globals())
