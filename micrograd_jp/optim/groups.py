"""最適化手法に渡されたものを読む: パラメータのグループ、その中のパラメータと名前、設定。"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from micrograd_jp import namespace
from micrograd_jp.engine.value import Value
from micrograd_jp.graph.node import Node
from micrograd_jp.ops.complex import is_complex
from micrograd_jp.optim.rule import HINTS
from micrograd_jp.optim.units import TensorUnit, ValuesUnit
from micrograd_jp.tensor.array import Tensor


def groups_of(params: Any) -> list[Any]:
    """渡されたものの中の、パラメータのグループ。

    Raises:
        TypeError: 並びでない、順序のない集合。
        ValueError: 空。
    """
    if isinstance(params, Node | Mapping) or not isinstance(params, Iterable):
        raise TypeError(
            "params はパラメータの並びです (expected an iterable of parameters or dicts): "
            f"{type(params).__name__} が渡されました。model.parameters() か [w, b] のように"
            "渡してください。"
        )
    _require_ordered(params)
    found = list(params)
    if not found:
        raise ValueError(
            "パラメータがありません (optimizer got an empty parameter list): "
            "model.parameters() が空でないか、requires_grad=True かを確かめてください。"
        )
    return found if isinstance(found[0], Mapping) else [{"params": found}]


def _require_ordered(params: Any) -> None:
    if isinstance(params, set | frozenset):
        raise TypeError(
            "パラメータは順序のある並びで渡します (expected an ordered collection): set の順序は"
            "実行のたびに変わります。リストにしてください。"
        )


def parameters_in(params: Any) -> tuple[tuple[Any, ...], list[str]]:
    """1 つのグループのパラメータと、あればその名前。

    Raises:
        TypeError: 順序のない集合、最適化できないもの。
        ValueError: 葉でない、名前つきと名前なしの混在。
    """
    _require_ordered(params)
    found = [params] if isinstance(params, Node) else list(params)
    named = [x for x in found if isinstance(x, tuple)]
    if named and len(named) != len(found):
        raise ValueError(
            "名前つきと名前なしのパラメータは混ぜられません (some parameter names are missing)。"
        )
    names = [name for name, _ in named]
    parameters = tuple([p for _, p in named] if named else found)
    for p in parameters:
        if not isinstance(p, Tensor | Value):
            raise TypeError(
                "最適化できるのは Tensor と Value です (can only optimize Tensors and Values): "
                f"{type(p).__name__} が渡されました。"
            )
        if p.op is not None:
            raise ValueError(
                "演算の結果は最適化できません (can't optimize a non-leaf node): "
                f"op={p.op.name}。mg.tensor(…, requires_grad=True) などの葉を渡してください。"
            )
        if is_complex(p) and not isinstance(p._data, np.ndarray):
            raise TypeError(
                "JAX の複素数の Tensor は最適化できません (complex parameters): 実部と虚部を 2 つの"
                "パラメータにして、mg.complex(実部, 虚部) と書いてください。"
            )
        if isinstance(p, Tensor) and not namespace.is_differentiable(p.dtype):
            raise TypeError(
                f"{p.dtype} の Tensor は最適化できません (expected a floating dtype): "
                "小数の Tensor を渡してください。"
            )
    return parameters, names


def units_of(params: tuple[Any, ...]) -> list[TensorUnit | ValuesUnit]:
    """`Tensor` 1 つに 1 単位、`Value` はまとめて 1 単位（はじめの `Value` の位置に）。"""
    values = [p for p in params if isinstance(p, Value)]
    units: list[TensorUnit | ValuesUnit] = []
    for p in params:
        if isinstance(p, Tensor):
            units.append(TensorUnit(p))
        elif p is values[0]:
            units.append(ValuesUnit(values))
    return units


def explain_hints(options: Mapping[str, Any], stacklevel: int) -> None:
    """PyTorch での実行のしかたを言う設定には、何も変えないと警告する。"""
    names = [name for name in HINTS if options.get(name)]
    if names:
        warnings.warn(
            f"{'、'.join(names)} は、ここでは何も変えません (ignored): 更新は、いつもパラメータ"
            "ごとに配列の演算で計算され、更新そのものの微分は記録されません。",
            UserWarning,
            stacklevel=stacklevel,
        )


def plain_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """NumPy の数を Python の数にした設定: Python の数は、配列の型を変えない。"""
    return {k: x.item() if isinstance(x, np.generic) else x for k, x in options.items()}
