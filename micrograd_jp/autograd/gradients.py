"""計算し終えた値から、計算グラフをたどって勾配を求める: `autograd.grad` と `autograd.backward`。"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

from micrograd_jp.arguments import explain_all
from micrograd_jp.engine.value import Value
from micrograd_jp.graph.node import Node
from micrograd_jp.tensor.array import Tensor, as_tensor
from micrograd_jp.tensor.wanted import gradients_of


def grad(
    outputs: Any,
    inputs: Any,
    grad_outputs: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    only_inputs: bool = True,
    allow_unused: bool | None = None,
    is_grads_batched: bool = False,
    materialize_grads: bool = False,
) -> tuple[Any, ...]:
    """`outputs` の和を `inputs` で微分した勾配 (PyTorch)。`grad` 属性には触れない。

    Args:
        outputs: 微分される `Tensor` か `Value`、またはその並び。
        inputs: 何で微分するか。途中の値でもよい。
        grad_outputs: 出力ごとの上流の勾配。要素が 1 つの出力では省略でき、1 とする。
        retain_graph: 真なら、同じグラフをもう一度使える。省くと `create_graph` と同じ。
        create_graph: 真なら、勾配も計算グラフの一部になり、さらに微分できる。
        only_inputs: 古い引数。いつも真とみなす（偽なら警告する）。
        allow_unused: 真なら、出力につながっていない入力の勾配を `None` にする。偽なら断る。
        is_grads_batched: 使えない（`mg.jacobian` が、行を 1 度に計算する）。
        materialize_grads: 真なら、つながっていない入力の勾配を 0 にする。

    Returns:
        入力ごとの勾配の組。

    Raises:
        RuntimeError: 計算グラフがない、要素が 1 つでない出力に `grad_outputs` がない、出力に
            つながっていない入力がある、既に逆伝播したグラフ。
        TypeError: `Tensor` でも `Value` でもない、または勾配を求めない入力。
        ValueError: `grad_outputs` の数か形が違う。
    """
    if is_grads_batched:
        raise ValueError(
            "is_grads_batched=True は使えません (not supported): いくつもの上流の勾配を 1 度に"
            "計算するには mg.jacobian(f) を使ってください。"
        )
    if not only_inputs:
        warnings.warn(
            "only_inputs は古い引数です (deprecated): 勾配は inputs のものだけを求めます。"
            "葉の grad に足し込むには backward() を使ってください。",
            FutureWarning,
            stacklevel=3,  # past `explained`
        )
    roots, wanted = _nodes("outputs", outputs), _nodes("inputs", inputs)
    if not wanted:
        raise ValueError("grad の inputs がありません (no inputs): 微分する入力を渡してください。")
    for i, x in enumerate(wanted):
        if not x.requires_grad:
            raise RuntimeError(
                f"inputs の {i} 番目は勾配を求めない Tensor です (does not require grad): "
                "作るときに requires_grad=True としてください。"
            )
    keep = create_graph if retain_graph is None else bool(retain_graph)
    found = gradients_of(_seeds(roots, grad_outputs), wanted, keep, create_graph)
    if materialize_grads:
        return tuple([_zero(x) if g is None else g for g, x in zip(found, wanted)])
    if not allow_unused and (missing := [i for i, g in enumerate(found) if g is None]):
        raise RuntimeError(
            f"inputs の {missing[0]} 番目は、出力の計算に使われていません (appears to not have "
            "been used in the graph): allow_unused=True とすると、勾配が None になります。"
        )
    return tuple(found)


def backward(
    tensors: Any,
    grad_tensors: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    grad_variables: Any = None,
    inputs: Any = None,
) -> None:
    """いくつもの出力からの逆伝播: 葉の `grad` に、勾配の和を足し込む (PyTorch)。

    Args:
        tensors: 微分される `Tensor` か `Value`、またはその並び。
        grad_tensors: 出力ごとの上流の勾配。要素が 1 つの出力では省略できる。
        retain_graph: `Tensor.backward` と同じ。
        create_graph: `Tensor.backward` と同じ。
        grad_variables: `grad_tensors` の古い名前。
        inputs: あれば、これらの `grad` にだけ足し込む。

    Raises:
        RuntimeError, TypeError, ValueError: `grad` と同じ。
    """
    roots = _nodes("tensors", tensors)
    given = grad_variables if grad_tensors is None else grad_tensors
    seeds = _seeds(roots, given)
    keep = create_graph if retain_graph is None else bool(retain_graph)
    # One root whose derivative is the sum of all: each seed times its output.
    total: Any = sum(((y * seed).sum() if isinstance(y, Tensor) else y * seed) for y, seed in seeds)
    if isinstance(total, Value):
        total.backward(create_graph=create_graph)
        return
    total.backward(None, keep, create_graph, inputs)


def Variable(data: Any, requires_grad: bool = False, volatile: bool = False) -> Tensor:
    """2018 年より前の PyTorch の書き方: `Tensor` をそのまま返す（`requires_grad` だけを変える）。

    Args:
        data: `Tensor`、配列、数。
        requires_grad: 勾配を求めるか。
        volatile: 昔の `no_grad`。真なら、勾配を求めない。

    Raises:
        TypeError: 数の配列でない、または勾配を求める整数。
    """
    t = as_tensor(data).detach()
    return t.requires_grad_(bool(requires_grad) and not volatile)


def _nodes(name: str, given: Any) -> list[Any]:
    several = isinstance(given, Sequence) and not isinstance(given, str)
    found = list(given) if several else [given]
    for x in found:
        if not isinstance(x, Node):
            raise TypeError(
                f"{name} は Tensor か Value、またはその並びです (expected Tensors): "
                f"{type(x).__name__} が渡されました。"
            )
    return found


def _seeds(roots: list[Any], given: Any) -> list[tuple[Any, Any]]:
    """Each output with its upstream gradient, as nodes."""
    several = isinstance(given, Sequence)
    grads = list(given) if several else [given] * (len(roots) if given is None else 1)
    if len(grads) != len(roots):
        raise ValueError(
            f"上流の勾配の数が合いません (number of gradients): 出力 {len(roots)} 個に "
            f"{len(grads)} 個が渡されました。"
        )
    for y in roots:
        if not y.requires_grad or (isinstance(y, Value) and y.op is None):
            raise RuntimeError(
                "計算グラフのない出力です (no graph): requires_grad=True の Tensor から"
                "計算した結果を渡してください。"
            )
    return [
        (y, y._seed(g) if isinstance(y, Tensor) else g if isinstance(g, Value) else _one(g))
        for y, g in zip(roots, grads, strict=True)
    ]


def _one(gradient: Any) -> Value:
    return Value(1.0 if gradient is None else gradient)


def _zero(x: Any) -> Any:
    return Value(0.0) if isinstance(x, Value) else x.detach() * 0


explain_all(globals())
