"""ネットワークの中を見る: 途中の層の出力 (feature maps) と、答えの根拠 (Grad-CAM)。

>>> import micrograd_jp as mg
>>> model, x = mg.nn.models.LeNet(), mg.zeros(2, 1, 28, 28)
>>> mg.viz.feature_maps(model, x, "features.2")["features.2"].shape
(2, 6, 14, 14)
>>> mg.viz.grad_cam(model, x, "features.4", target=3).shape
(2, 28, 28)
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from difflib import get_close_matches
from typing import Any

import numpy as np

from micrograd_jp import namespace
from micrograd_jp.arguments import explain_all
from micrograd_jp.data.transforms.resample import Size, sampled
from micrograd_jp.graph.higher_order import gradients
from micrograd_jp.graph.modes import enable_grad, no_grad
from micrograd_jp.nn.losses.targets import class_numbers, whole_numbers
from micrograd_jp.nn.module import tree
from micrograd_jp.nn.module.evaluating import undisturbed, watching
from micrograd_jp.nn.module.module import Module
from micrograd_jp.tensor.array import Tensor, as_tensor

_NAMES_SHOWN = 8


def feature_maps(model: Module, x: Any, layers: str | Iterable[str]) -> dict[str, Tensor]:
    """名前を挙げた層の出力を、1 度の順伝播で集める。

    推論中の状態で計算し、モデルは何も変わらない（途中でエラーが出ても）。

    Args:
        model: 部品。
        x: モデルの入力。
        layers: 層の名前 (`model.named_modules()` の `"features.3"` など) か、その並び。

    Returns:
        名前から、計算グラフから切り離した出力へ。順に何度も呼ばれる層は、最後の出力。

    Raises:
        ValueError: その名前の層がない、順伝播で呼ばれない。
        TypeError: 名前が文字列でない、層の出力が `Tensor` でない。
    """
    one = isinstance(layers, str) or not isinstance(layers, Iterable)
    names: list[Any] = [layers] if one else list(layers)
    found: dict[str, Tensor] = {}
    with ExitStack() as stack:
        stack.enter_context(undisturbed(model))
        stack.enter_context(no_grad())
        for name in names:
            stack.enter_context(captured(model, name, found))
        model(as_tensor(x))
    return {name: output_of(name, found).detach() for name in names}


def grad_cam(
    model: Module, x: Any, layer: str, target: Any = None, *, normalize: bool = True
) -> Tensor:
    """Grad-CAM: 画像のどこが、そのクラスのロジットを大きくしているか。

    層の出力 A (C, h, w) の各チャネルを、そのクラスのロジット y の勾配の平均で重みづけて足し、
    正の部分だけを残して、画像の大きさに双線形補間 (bilinear interpolation) する。

        α_k = 1/(h w) Σ_ij ∂y/∂A_kij        L = relu(Σ_k α_k A_k)

    Selvaraju et al. (2017) "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based
    Localization" 式 (1)(2)。最後の畳み込み層（の活性化関数）を選ぶのがふつう。A のあとが画素の
    平均と全結合層 1 つだけなら、CAM (Zhou et al. 2016) の 1/(h w) 倍に等しい。

    推論中の状態で計算し、モデルは何も変わらない。パラメータの `grad` にも触れない。

    Args:
        model: ロジット (N, クラス) を返す部品。標本どうしは互いに影響しないものとする。
        x: 画像 (N, C, H, W)。
        layer: 層の名前。その出力は (N, チャネル, h, w)。
        target: クラスの番号。1 つの整数か、標本ごとの (N,)。省略すると最もロジットの大きいクラス。
        normalize: 真なら、画像ごとに最大を 1 にする（どこも 0 の画像は 0 のまま）。

    Returns:
        (N, H, W)。値は 0 以上。型は層の出力と同じ。

    Raises:
        ValueError: その名前の層がない、順伝播で呼ばれない、ロジットに影響しない、入力か層の出力か
            ロジットの形が違う、クラスの番号が範囲の外。
        TypeError: 名前が文字列でない、クラスの番号が整数でない、層の出力が `Tensor` でない。
    """
    x = as_tensor(x)
    require_dimensions("grad_cam の画像", x, ("N", "C", "H", "W"))
    found: dict[str, Tensor] = {}
    with undisturbed(model), captured(model, layer, found, as_leaf=True), enable_grad():
        logits = model(x)
        maps = output_of(layer, found)
        require_dimensions(f"層 {layer!r} の出力", maps, ("N", "C", "h", "w"))
        require_dimensions("grad_cam のモデルの出力", logits, ("N", "クラス"))
        classes = _classes(target, logits)
        score = logits[np.arange(len(classes)), classes].sum()
    with no_grad():
        slopes = gradients(score, as_tensor(1.0).astype(score.dtype)).get(maps)
        if slopes is None:
            raise ValueError(
                f"層 {layer!r} の出力はロジットに影響しません (no path to the output): "
                "ロジットの計算に使われる層を選んでください。"
            )
        weights = slopes.mean(axis=(2, 3), keepdims=True)
        cam = (weights * maps).sum(axis=1).relu().numpy()
    return Tensor(_normalized(_resized(cam, x.shape[2:]), normalize))


# ---- 層の出力 --------------------------------------------------------------------------------


@contextmanager
def captured(
    model: Module, name: str, found: dict[str, Tensor], as_leaf: bool = False
) -> Iterator[None]:
    """`with` の中の順伝播で、層の出力を `found[name]` に置く。

    Args:
        model: 部品。
        name: 層の名前。
        found: 置き場所。
        as_leaf: 真なら、出力を勾配を求める葉に替えて、続きをそこから計算する。

    Raises:
        ValueError: その名前の層がない。
        TypeError: 名前が文字列でない。呼ばれたとき、層の出力が `Tensor` でない。
    """

    def hook(module: Module, inputs: tuple[Any, ...], output: Any) -> Tensor:
        if not isinstance(output, Tensor):
            raise TypeError(
                f"層 {name!r} ({type(module).__name__}) の出力は Tensor ではありません "
                f"(expected a Tensor): {type(output).__name__} です。その中の層を選んでください。"
            )
        found[name] = output.detach().requires_grad_() if as_leaf else output
        return found[name]

    with watching(_layer(model, name), hook):
        yield


def _layer(model: Module, name: str) -> Module:
    if not isinstance(name, str):
        raise TypeError(
            '層は "features.3" のような名前で選びます (expected a name): '
            f"{type(name).__name__} が渡されました。"
        )
    modules: dict[str, Module] = dict(tree.modules(model))
    if name in modules:
        return modules[name]
    names = [known for known in modules if known]
    close = get_close_matches(name, names, _NAMES_SHOWN, 0.5) or names[:_NAMES_SHOWN]
    raise ValueError(
        f"{type(model).__name__} に {name!r} という層はありません (no such layer): "
        f"{'、'.join(close)} などです。すべての名前は model.named_modules() で分かります。"
    )


def output_of(name: str, found: dict[str, Tensor]) -> Tensor:
    """`captured` が置いた、層の出力。

    Raises:
        ValueError: 層が呼ばれなかった。
    """
    if name not in found:
        raise ValueError(
            f"層 {name!r} は順伝播で呼ばれませんでした (layer was not called): "
            "推論中 (eval) の forward で使われる層を選んでください。"
        )
    return found[name]


def require_dimensions(what: str, t: Any, wanted: tuple[str, ...]) -> None:
    """次元の数を確かめる。

    Raises:
        ValueError: 違う。
    """
    if getattr(t, "ndim", None) != len(wanted):
        shape = getattr(t, "shape", type(t).__name__)
        raise ValueError(
            f"{what}の形は ({', '.join(wanted)}) です (expected {len(wanted)} dimensions): "
            f"{shape} が渡されました。"
        )


# ---- Grad-CAM の部品 -------------------------------------------------------------------------


def _classes(target: Any, logits: Tensor) -> np.ndarray:
    """The class of every sample (N,)."""
    n, classes = logits.shape
    if target is None:
        return np.asarray(logits.detach().argmax(1).numpy())
    numbers = namespace.concrete(whole_numbers(target, "grad_cam の target"), "grad_cam")
    if numbers.shape not in ((), (n,)):
        raise ValueError(
            f"grad_cam の target は整数か (N,) = ({n},) です (shape mismatch): "
            f"{numbers.shape} が渡されました。"
        )
    class_numbers(numbers, classes, "grad_cam の target")
    return np.broadcast_to(numbers, (n,))


def _resized(maps: np.ndarray, size: Size) -> np.ndarray:
    """(N, h, w) → (N, H, W), as PyTorch's bilinear `interpolate` without aligned corners."""
    if not len(maps):
        return np.zeros((0, *size), dtype=maps.dtype)
    places = [
        np.clip((np.arange(n) + 0.5) * (length / n) - 0.5, 0, length - 1)
        for n, length in zip(size, maps.shape[1:])
    ]
    y, x = np.meshgrid(*places, indexing="ij")
    return sampled(maps[:, None], y[None], x[None], 0.0)[:, 0]


def _normalized(maps: np.ndarray, wanted: bool) -> np.ndarray:
    if not wanted:
        return maps
    largest = maps.max(axis=(1, 2), keepdims=True, initial=0)
    return maps / np.where(largest > 0, largest, 1)


explain_all(globals())
