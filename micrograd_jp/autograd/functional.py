"""関数の微分 (autograd.functional): 名前と引数の順は PyTorch のもの。`mg.vjp` などの上に立つ。"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from micrograd_jp import transforms
from micrograd_jp.arguments import explain_all, require_function
from micrograd_jp.tensor.array import Tensor


def jacobian(
    func: Callable[..., Any], inputs: Any, create_graph: bool = False, strict: bool = False
) -> Any:
    """ヤコビ行列。形は (*出力の形, *入力の形)。

    Args:
        func: `Tensor`（の組）を受け取り、`Tensor`（の組）を返す関数。
        inputs: 入力の `Tensor` か、その組。
        create_graph: 真なら、結果をさらに微分できる。
        strict: 使えない。

    Returns:
        入力も出力も組なら、出力ごとの、入力ごとの組。1 つなら組にしない。

    Raises:
        TypeError: 関数でない。
    """
    args, single = _arguments("jacobian", func, inputs, strict)
    found = transforms.jacobian(func, tuple(range(len(args))))(*args)
    if single:  # a tuple with one gradient stands at the place of each output
        found = found[0] if isinstance(found[0], Tensor) else tuple(row[0] for row in found)
    return _kept(found, create_graph)


def hessian(
    func: Callable[..., Any], inputs: Any, create_graph: bool = False, strict: bool = False
) -> Any:
    """ヘッセ行列。要素が 1 つの出力を 2 度微分する。入力が組なら、組の組。

    Args と Raises は `jacobian` と同じ。
    """
    args, single = _arguments("hessian", func, inputs, strict)
    every = tuple(range(len(args)))
    found = transforms.jacobian(transforms.grad(func, every), every)(*args)
    return _kept(found[0][0] if single else found, create_graph)


def vjp(
    func: Callable[..., Any],
    inputs: Any,
    v: Any = None,
    create_graph: bool = False,
    strict: bool = False,
) -> tuple[Any, Any]:
    """ベクトル・ヤコビアン積 vᵀJ。

    Args:
        func: 関数。
        inputs: 入力の `Tensor` か、その組。
        v: 出力と同じ形。出力の要素が 1 つなら省略できる。
        create_graph: 真なら、結果をさらに微分できる。
        strict: 使えない。

    Returns:
        `(出力, 入力と同じ形の vᵀJ)`。

    Raises:
        ValueError: `v` の形が違う。
        RuntimeError: 要素が 1 つでない出力に `v` がない。
    """
    args, single = _arguments("vjp", func, inputs, strict)
    outputs, pullback = transforms.vjp(func, *args)
    if v is None:
        if not isinstance(outputs, Tensor) or outputs.size != 1:
            raise RuntimeError(
                "vjp の v がありません (v is required): 要素が 1 つでない出力には、同じ形の v を"
                "渡してください。"
            )
        v = outputs.detach() * 0 + 1
    found = pullback(v)
    return _kept(outputs, create_graph), _kept(found[0] if single else found, create_graph)


def jvp(
    func: Callable[..., Any],
    inputs: Any,
    v: Any = None,
    create_graph: bool = False,
    strict: bool = False,
) -> tuple[Any, Any]:
    """ヤコビアン・ベクトル積 J·v（順方向モード）。引数は `vjp` と同じ（`v` は入力と同じ形）。

    Raises:
        ValueError: `v` の形が違う。
        RuntimeError: 要素が 1 つでない入力に `v` がない。
    """
    args, single = _arguments("jvp", func, inputs, strict)
    found = transforms.jvp(func, args, _direction("jvp", args, v, single))
    return _kept(found[0], create_graph), _kept(found[1], create_graph)


def hvp(
    func: Callable[..., Any],
    inputs: Any,
    v: Any = None,
    create_graph: bool = False,
    strict: bool = False,
) -> tuple[Any, Any]:
    """ヘッセ行列とベクトルの積 H·v。引数は `jvp` と同じ。

    Returns:
        `(出力, 入力と同じ形の H·v)`。
    """
    args, single = _arguments("hvp", func, inputs, strict)
    direction = _direction("hvp", args, v, single)
    every = tuple(range(len(args)))
    both = transforms.value_and_grad(func, every)
    (output, _), (_, found) = transforms.jvp(both, args, direction)
    return _kept(output, create_graph), _kept(found[0] if single else found, create_graph)


def _arguments(name: str, func: Any, inputs: Any, strict: bool) -> tuple[tuple[Any, ...], bool]:
    require_function(name, func)
    if strict:
        raise ValueError(
            f"{name} の strict=True は使えません (not supported): つながっていない入力の勾配は "
            "0 になります。"
        )
    return (inputs, False) if isinstance(inputs, tuple) else ((inputs,), True)


def _direction(name: str, args: tuple[Any, ...], v: Any, single: bool) -> tuple[Any, ...]:
    if v is not None:
        return (v,) if single else tuple(v)
    if len(args) > 1 or args[0].size != 1:
        raise RuntimeError(
            f"{name} の v がありません (v is required): 要素が 1 つでない入力には、同じ形の v を"
            "渡してください。"
        )
    return (args[0].detach() * 0 + 1,)


def _kept(found: Any, create_graph: bool) -> Any:
    return found if create_graph else transforms.map_structure(lambda x: x.detach(), found)


explain_all(globals())
