"""勾配のクリッピング (gradient clipping): 勾配爆発を、勾配を縮めて防ぐ。"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from micrograd_jp import namespace
from micrograd_jp.arguments import explain_all
from micrograd_jp.engine.value import Value
from micrograd_jp.graph.leaves import gradients_of, set_gradients
from micrograd_jp.graph.node import Node, data_of
from micrograd_jp.namespace import quiet
from micrograd_jp.optim.checks import number, require_at_least
from micrograd_jp.tensor.array import Tensor


def clip_grad_norm_(
    parameters: Any,
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """すべての勾配を 1 本のベクトルとみたノルムが `max_norm` を超えたら、比を保って縮める。

    g ← g · min(1, max_norm / (‖g‖ + 1e-6))。勾配のないパラメータは飛ばす。

    Args:
        parameters: `Tensor` か `Value` の並び、またはその 1 つ。
        max_norm: ノルムの上限。
        norm_type: ノルムの種類 p（`math.inf` なら絶対値の最大）。
        error_if_nonfinite: 真なら、ノルムが nan か inf のとき例外を出す（偽なら、PyTorch と同じく
            縮めた結果も nan や 0 になる）。
        foreach: PyTorch での実行のしかた。ここでは何も変えない。

    Returns:
        縮める前のノルム（0 次元の `Tensor`。型は勾配のもの。16 ビットなら float32）。

    Raises:
        RuntimeError: `error_if_nonfinite` が真で、ノルムが有限でない。勾配は変わらない。
        ValueError: `max_norm` が負、`norm_type` が正でない。

    Source: Pascanu, Mikolov & Bengio, "On the difficulty of training recurrent neural
    networks" (ICML 2013)。
    """
    require_at_least(0, {"max_norm": max_norm}, "max_norm")
    p = float(norm_type)
    if not p > 0:
        raise ValueError(f"norm_type は正の数です (expected a positive number): {norm_type}。")
    tensors, values = _with_gradients(parameters)
    grads, numbers = _held(tensors), _held(values)
    total = _norm([*grads, np.array(numbers)] if values else grads, p)
    if error_if_nonfinite and not namespace.is_traced(total) and not math.isfinite(total):
        raise RuntimeError(
            f"勾配のノルムが {total} です (non-finite gradient norm): 学習率を下げるか、"
            "mg.detect_anomaly() で最初に nan・inf が生まれた場所を探してください。"
        )
    m = namespace.of(total)
    scale = m.minimum(number("max_norm", max_norm) / (total + 1e-6), 1.0)
    if namespace.is_traced(scale) or scale != 1:
        scale = scale if namespace.is_traced(scale) else float(scale)
        with quiet.silence():
            set_gradients(tensors, [_scaled(g, scale) for g in grads])
            set_gradients(values, [g * scale for g in numbers])
    if not namespace.is_traced(total):
        dtypes = [np.float64] if values else [g.dtype for g in grads]
        total = np.array(total, np.result_type(np.float32, *dtypes)).real
    return Tensor(total)


def clip_grad_value_(parameters: Any, clip_value: float, foreach: bool | None = None) -> None:
    """勾配のどの要素も [−clip_value, clip_value] に収める。勾配のないパラメータは飛ばす。

    Args:
        parameters: `Tensor` か `Value` の並び、またはその 1 つ。
        clip_value: 絶対値の上限。
        foreach: PyTorch での実行のしかた。ここでは何も変えない。

    Raises:
        ValueError: `clip_value` が負。
    """
    require_at_least(0, {"clip_value": clip_value}, "clip_value")
    limit = number("clip_value", clip_value)
    tensors, values = _with_gradients(parameters)
    set_gradients(tensors, [namespace.of(g).clip(g, -limit, limit) for g in _held(tensors)])
    set_gradients(values, np.clip(np.array(_held(values)), -limit, limit).tolist())


def _with_gradients(parameters: Any) -> tuple[list[Any], list[Value]]:
    """The Tensors and the Values that have gradients."""
    found = [parameters] if isinstance(parameters, Node) else parameters
    if not isinstance(found, Iterable):
        raise TypeError(
            "parameters はパラメータの並びです (expected an iterable of parameters): "
            f"{type(parameters).__name__} が渡されました。"
        )
    found = [p for p in found if p.has_grad]
    values = [p for p in found if isinstance(p, Value)]
    return [p for p in found if not isinstance(p, Value)], values


def _held(leaves: list[Any]) -> list[Any]:
    """Their gradients, as arrays and numbers."""
    return [data_of(g) for g in gradients_of(leaves)]


def _norm(grads: list[Any], p: float) -> Any:
    """The p-norm of all gradients together, in at least float32."""
    if not grads:
        return 0.0
    norms = []
    for g in grads:
        m = namespace.of(g)
        g = m.astype(g, np.float32) if g.dtype.itemsize == 2 else g
        with quiet.silence():
            flat = g.ravel("K") if g.__class__ is np.ndarray else m.reshape(g, -1)
            norms.append(m.linalg.norm(flat, p) if g.size else 0.0)
    if any(map(namespace.is_traced, norms)):
        m = namespace.of(*norms)
        return m.linalg.norm(m.stack(norms), p)
    return float(np.linalg.norm(np.array([float(x) for x in norms]), p))


def _scaled(g: Any, scale: Any) -> Any:
    if isinstance(g, np.ndarray) and g.flags.writeable and not namespace.is_traced(scale):
        return np.multiply(g, scale, out=g)
    return (g * scale).astype(g.dtype)


explain_all(globals())
