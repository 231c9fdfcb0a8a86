"""関数の変換: 関数を受け取り、その導関数を返す。

>>> from micrograd_jp import functions as mg
>>> third = grad(grad(grad(mg.tanh)))
>>> third(0.0).data
-2.0
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from micrograd_jp import namespace
from micrograd_jp.arguments import explain_all, require_function
from micrograd_jp.engine.numbers import as_number
from micrograd_jp.engine.value import Value
from micrograd_jp.functions import concatenate
from micrograd_jp.functions import sum as sum_of
from micrograd_jp.graph.higher_order import pulled_back
from micrograd_jp.graph.modes import enable_grad
from micrograd_jp.graph.node import Node, topological_order
from micrograd_jp.graph.rows import Rows, shares_of_rows
from micrograd_jp.graph.shares import differentiable_partials, shares
from micrograd_jp.graph.spent import require_unspent
from micrograd_jp.graph.writes import latest
from micrograd_jp.namespace import quiet
from micrograd_jp.namespace.graph import on_graph
from micrograd_jp.ops.complex import is_complex
from micrograd_jp.tensor.array import Tensor


def map_structure(function: Callable[[Any], Any], tree: Any) -> Any:
    """入れ子のリスト・タプル・辞書の葉に関数を適用し、同じ形で返す。"""
    if isinstance(tree, list | tuple):
        mapped = [map_structure(function, x) for x in tree]
        return type(tree)(*mapped) if hasattr(tree, "_fields") else type(tree)(mapped)
    if isinstance(tree, dict):
        return {key: map_structure(function, x) for key, x in tree.items()}
    return function(tree)


def leaves_of(tree: Any) -> list[Any]:
    """入れ子の葉を順に並べる。"""
    found: list[Any] = []
    map_structure(found.append, tree)
    return found


def rebuild(tree: Any, leaves: Iterable[Any]) -> Any:
    """`leaves_of` の順に並んだ葉を、`tree` と同じ入れ子の形に戻す。"""
    following = iter(leaves)
    return map_structure(lambda _: next(following), tree)


def _variable(x: Any) -> Any:
    """A node of its own for one argument, still connected to the graph x came from.

    The same node may be an argument of an outer transformation too; were it used itself, the
    two derivatives would be confused (d/dx [x · d/dy (x + y)] at y = x).
    """
    if isinstance(x, Node):
        return x.clone() if x.requires_grad else x.detach().requires_grad_()  # type: ignore
    return Tensor(x, requires_grad=True) if namespace.is_array(x) else Value(as_number(x))


def _result(x: Any) -> Any:
    """One output of the user's function; numbers and arrays are constants."""
    if isinstance(x, Node):
        return x
    return Tensor(x) if namespace.is_array(x) else Value(as_number(x))


def _scalar(output: Any) -> Any:
    try:
        node = _result(output)
    except TypeError:
        raise TypeError(_not_scalar(type(output).__name__)) from None
    if isinstance(node, Tensor) and node.size != 1:
        raise TypeError(_not_scalar(f"形 {node.shape} の Tensor"))
    _require_real(node)
    return node


def _require_real(node: Any) -> None:
    if is_complex(node):
        raise TypeError(
            "実数を返す関数を微分します (expected a real output): 関数は複素数を返しました。"
            "abs や real で実数にするか、mg.view_as_real(…) で実部と虚部を並べてください。"
        )


def _not_scalar(what: str) -> str:
    return (
        "1 つの Value か要素 1 つの Tensor を返す関数を微分します (expected a scalar output): "
        f"関数は {what} を返しました。和などで 1 つの値にまとめるか、jacobian を使ってください。"
    )


def _filled(node: Any, number: float) -> Any:
    """A constant of the kind and shape of `node`."""
    if not isinstance(node, Tensor):
        return Value(number)
    return Tensor(namespace.of(node._data).full_like(node._data, number))


def _pulled_back(outputs: Iterable[Any], seeds: Iterable[Any], inputs: list[Any]) -> list[Any]:
    """Reverse mode: Σ seed·∂output/∂input for every input, differentiable again."""
    total = pulled_back([*zip(outputs, seeds, strict=True)])
    return [total[x] if x in total else _filled(x, 0.0) for x in inputs]


@quiet.silence()
def _pushed_forward(outputs: list[Any], tangents: dict[Any, Any]) -> list[Any]:
    """Forward mode: Σ ∂output/∂input·tangent along the recorded graph, by the same rules."""
    moved, order = dict(tangents), topological_order(*map(latest, outputs))
    require_unspent(order)
    for node in order:
        if node in moved or not any(parent in moved for parent in node.parents):
            continue
        if node.is_array_op:
            moved[node] = _moved_array(node, moved)
            continue
        partials = differentiable_partials(node)
        moved[node] = sum_of(
            on_graph.times(moved[parent], d)
            for parent, d in zip(node.parents, partials, strict=True)
            if parent in moved
        )
    return [moved[y] if y in moved else _filled(y, 0.0) for y in outputs]


def _moved_array(node: Any, moved: dict[Any, Any]) -> Any:
    """J·t from the reverse rule alone: u ↦ ⟨Jᵀu, t⟩ is linear, and its slope in u is J·t."""
    u = _variable(_filled(node, 0.0))
    pairs = zip(node.parents, shares(node, u), strict=True)
    inner = [(_inner(share, moved[parent]), parent) for parent, share in pairs if parent in moved]
    products = [p.sum() if isinstance(parent, Tensor) else p for p, parent in inner]
    return _pulled_back(products, [_filled(p, 1.0) for p in products], [u])[0]


def _inner(share: Any, tangent: Any) -> Any:
    """The terms of ⟨share, tangent⟩; of complex numbers, as of pairs of numbers."""
    if is_complex(share):
        return on_graph.real(on_graph.conj(share) * tangent)
    return share * tangent


def _chosen(args: tuple[Any, ...], argnums: int | tuple[int, ...]) -> tuple[int, ...]:
    numbers = (argnums,) if isinstance(argnums, int) else tuple(argnums)
    for n in numbers:
        if not -len(args) <= n < len(args):
            raise IndexError(
                f"argnums={n} の引数がありません (no such argument): "
                f"位置引数は {len(args)} 個です。"
            )
    return numbers


def _require_positions(name: str, function: Any, argnums: Any) -> None:
    """A function, and the numbers of its arguments: refused before anything is called."""
    require_function(name, function)
    for n in argnums if isinstance(argnums, tuple | list) else (argnums,):
        if not isinstance(n, int):
            raise TypeError(
                f"{name} の argnums は整数かその組です (expected int or ints): "
                f"{argnums!r} が渡されました。"
            )


def _substituted(args: tuple[Any, ...], numbers: tuple[int, ...]) -> list[Any]:
    """The arguments, the chosen ones replaced by variables."""
    variables = list(args)
    for n in numbers:
        variables[n] = map_structure(_variable, args[n])
    return variables


def value_and_grad(
    function: Callable[..., Any], argnums: int | tuple[int, ...] = 0
) -> Callable[..., Any]:
    """`function` の値と勾配の組を返す関数を作る。引数とエラーは `grad` と同じ。"""
    _require_positions("grad", function, argnums)

    @functools.wraps(function)
    def both(*args: Any, **kwargs: Any) -> tuple[Value, Any]:
        numbers = _chosen(args, argnums)
        with enable_grad():
            variables = _substituted(args, numbers)
            output = _scalar(function(*variables, **kwargs))
            trees = tuple(variables[n] for n in numbers)
            slopes = _pulled_back([output], [_filled(output, 1.0)], leaves_of(trees))
        results = rebuild(trees, slopes)
        return output, results[0] if isinstance(argnums, int) else results

    return both


def grad(function: Callable[..., Any], argnums: int | tuple[int, ...] = 0) -> Callable[..., Any]:
    """`function` の導関数を返す。結果も微分でき、何度でも重ねられる。

    Args:
        function: 数か `Value`（やその入れ子のリスト・タプル・辞書）を受け取り、
            1 つの `Value` を返す。
        argnums: どの引数で微分するか。番号の組を渡すと、結果も組になる。

    Returns:
        `function` と同じ引数を受け取り、勾配を引数と同じ形の `Value` で返す関数。

    Raises:
        TypeError: `function` が 1 つの `Value` か数を返さなかった、または引数が数でない。
        IndexError: `argnums` の引数がない。
    """
    both = value_and_grad(function, argnums)

    @functools.wraps(function)
    def derivative(*args: Any, **kwargs: Any) -> Any:
        return both(*args, **kwargs)[1]

    return derivative


def vjp(function: Callable[..., Any], *primals: Any) -> tuple[Any, Callable[[Any], Any]]:
    """ベクトル・ヤコビアン積 (vector-Jacobian product): 逆方向モードの 1 回分。

    Args:
        function: 入れ子の `Value` を返す関数。
        *primals: 微分する点。

    Returns:
        `(出力, pullback)`。`pullback(v)` は、出力と同じ形の v に対する vᵀJ を、引数の組の形で返す。

    Raises:
        ValueError: `v` の形が出力と違う。
    """
    require_function("vjp", function)
    with enable_grad():
        variables = map_structure(_variable, primals)
        outputs = map_structure(_result, function(*variables))

    def pullback(cotangent: Any) -> Any:
        _require_same_structure("cotangent", cotangent, outputs)
        with enable_grad():
            seeds = [_result(v) for v in leaves_of(cotangent)]
            return rebuild(variables, _pulled_back(leaves_of(outputs), seeds, leaves_of(variables)))

    return outputs, pullback


def jvp(function: Callable[..., Any], primals: Any, tangents: Any) -> tuple[Any, Any]:
    """ヤコビアン・ベクトル積 (Jacobian-vector product): 順方向モードの 1 回分。

    Args:
        function: 入れ子の `Value` を返す関数。
        primals: 微分する点（引数の組）。
        tangents: 動かす向き。`primals` と同じ形。

    Returns:
        `(出力, J·tangents)`。どちらも関数の出力の形。

    Raises:
        ValueError: `tangents` の形が `primals` と違う。
    """
    require_function("jvp", function)
    _require_same_structure("tangents", tangents, primals)
    with enable_grad():
        variables = map_structure(_variable, tuple(primals))
        outputs = map_structure(_result, function(*variables))
        directions = [_result(v) for v in leaves_of(tangents)]
        moving = dict(zip(leaves_of(variables), directions, strict=True))
        return outputs, rebuild(outputs, _pushed_forward(leaves_of(outputs), moving))


def jacobian(
    function: Callable[..., Any], argnums: int | tuple[int, ...] = 0
) -> Callable[..., Any]:
    """ヤコビ行列 (Jacobian) を返す関数を作る。

    出力の入れ子の 1 つ 1 つの葉が、引数の形をした勾配に置き換わる。長さ m の並びから長さ n の並びを
    引数で微分すれば、n 行 m 列の入れ子のリストになる。
    """
    _require_positions("jacobian", function, argnums)

    @functools.wraps(function)
    def matrix(*args: Any, **kwargs: Any) -> Any:
        numbers = _chosen(args, argnums)
        with enable_grad():
            variables = _substituted(args, numbers)
            outputs = map_structure(_result, function(*variables, **kwargs))
            trees = tuple(variables[n] for n in numbers)

            def rows(output: Any) -> Any:
                _require_real(output)
                results = rebuild(trees, _jacobians(output, leaves_of(trees)))
                return results[0] if isinstance(argnums, int) else results

            return map_structure(rows, outputs)

    return matrix


def _jacobians(output: Any, inputs: list[Any]) -> list[Any]:
    """∂output/∂input for every input: for a Tensor output, one row for each of its elements."""
    if not isinstance(output, Tensor):
        return _pulled_back([output], [Value(1.0)], inputs)
    order = topological_order(latest(output))
    largest = max((x.size for x in order if isinstance(x, Tensor)), default=1)
    at_once = max(1, _AT_ONCE // max(largest, 1))
    blocks = [
        _block(output, first, min(first + at_once, output.size), inputs)
        for first in range(0, output.size, at_once)
    ] or [_block(output, 0, 0, inputs)]
    return [
        (concatenate(rows) if len(rows) > 1 else rows[0]).reshape(
            (*output.shape, *getattr(x, "shape", ()))
        )
        for x, rows in zip(inputs, zip(*blocks, strict=True), strict=True)
    ]


_AT_ONCE = 1 << 22  # numbers in the largest array of a pass: 32 MiB of float64


def _block(output: Tensor, first: int, last: int, inputs: list[Any]) -> list[Any]:
    """The rows of the Jacobian from one element of the output up to another, in one pass."""
    m, rows = namespace.of(output._data), last - first
    seed = m.astype(m.asarray(np.eye(rows, output.size, first)), output.dtype)
    seeds = [(output, Rows(Tensor(seed).reshape((rows, *output.shape))))]
    total = pulled_back(seeds, shares=shares_of_rows) if rows else {}
    return [
        total[x].tensor
        if x in total
        else Tensor(m.zeros((rows, *getattr(x, "shape", ())), dtype=getattr(x, "dtype", None)))
        for x in inputs
    ]


def hessian(function: Callable[..., Any], argnums: int = 0) -> Callable[..., Any]:
    """ヘッセ行列 (Hessian) を返す関数を作る: 勾配のヤコビ行列。"""
    return jacobian(grad(function, argnums), argnums)


def hvp(function: Callable[..., Any], primals: Any, tangents: Any) -> Any:
    """ヘッセ行列とベクトルの積 H·v を、行列を作らずに求める。

    逆方向モードの勾配を順方向モードで動かす（Pearlmutter 1994）。

    Args:
        function: 1 つの `Value` を返す関数。
        primals: 点（引数の組）。
        tangents: v。`primals` と同じ形。

    Returns:
        `primals` と同じ形の H·v。
    """
    everything = tuple(range(len(primals)))
    return jvp(grad(function, everything), primals, tangents)[1]


def _require_same_structure(name: str, given: Any, expected: Any) -> None:
    if _outline(given) != _outline(expected):
        raise ValueError(
            f"{name} の形が合いません (structure mismatch): {_outline(given)} が渡されました。"
            f"{_outline(expected)} と同じ形にしてください。"
        )


def _outline(tree: Any) -> str:
    """The nesting as text, lists and tuples alike: [·, [·, ·]]."""
    if isinstance(tree, list | tuple):
        return f"[{', '.join(map(_outline, tree))}]"
    if isinstance(tree, dict):
        return f"{{{', '.join(f'{key!r}: {_outline(tree[key])}' for key in tree)}}}"
    return f"·{x_shape}" if (x_shape := getattr(tree, "shape", ())) else "·"


explain_all(globals())
