"""行列の関数: 積、縮約、連立方程式、行列式、コレスキー分解。"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from math import prod
from string import ascii_letters
from typing import Any

from micrograd_jp.ops import linalg as ops
from micrograd_jp.tensor.array import Tensor, as_tensor
from micrograd_jp.tensor.checks import broadcastable, normalized_axes
from micrograd_jp.tensor.registry import function
from micrograd_jp.tensor.run import floating, run


@function(torch={"other": "b"})
def matmul(a: Any, b: Any) -> Tensor:
    """行列積。1 次元は行か列とみなし、3 次元以上は最初の軸をまとめて (batched) 計算する。

    Raises:
        ValueError: 形が合わない。
    """
    a, b = as_tensor(a), as_tensor(b)
    if not a.ndim or not b.ndim or a.shape[-1] != b.shape[-2 if b.ndim > 1 else 0]:
        raise ValueError(_matmul_mismatch(a.shape, b.shape))
    left = a if a.ndim > 1 else a.reshape(1, -1)
    right = b if b.ndim > 1 else b.reshape(-1, 1)
    if (a.ndim > 2 or b.ndim > 2) and not broadcastable(left.shape[:-2], right.shape[:-2]):
        raise ValueError(_matmul_mismatch(a.shape, b.shape))
    out = run(ops.matmul, left, right)
    if a.ndim > 1 and b.ndim > 1:
        return out
    shape = out.shape[:-2] if a.ndim == 1 else out.shape[:-1]
    return out.reshape(shape if b.ndim == 1 else (*shape, out.shape[-1]))


def _matmul_mismatch(a: tuple[int, ...], b: tuple[int, ...]) -> str:
    text = f"行列積の形が合いません (matmul shape mismatch): {a} @ {b}。"
    if not a or not b:
        return text + "0 次元の Tensor には掛け算 * を使ってください。"
    inner = b[-2 if len(b) > 1 else 0]
    if a[-1] != inner:
        which = "最後から 2 番目の" if len(b) > 2 else "最初の"
        return f"{text}左の最後の次元 {a[-1]} と右の{which}次元 {inner} を揃えてください。"
    return text + f"行列の前の軸 (batch) {a[:-2]} と {b[:-2]} を揃えてください。"


def _product(
    name: str, left: int, right: int, second: str, summary: str
) -> Callable[[Any, Any], Tensor]:
    @function(name=name, summary=summary, torch={second: "b"})
    def product(a: Any, b: Any) -> Tensor:
        a, b = as_tensor(a), as_tensor(b)
        if (a.ndim, b.ndim) != (left, right) or (left == 3 and a.shape[0] != b.shape[0]):
            raise ValueError(
                f"{name} は {left} 次元と {right} 次元の Tensor の積です (wrong dimensions): "
                f"{a.shape} と {b.shape} が渡されました。ほかの形には a @ b を使ってください。"
            )
        return matmul(a, b)

    return product


_OF_TORCH = "(PyTorch の名前)。{}だけを受け取る `matmul`。"
mm = _product("mm", 2, 2, "mat2", "行列と行列の積 " + _OF_TORCH.format("2 次元どうし"))
mv = _product("mv", 2, 1, "vec", "行列とベクトルの積 " + _OF_TORCH.format("2 次元と 1 次元"))
bmm = _product(
    "bmm", 3, 3, "mat2", "最初の軸 (batch) ごとの行列積 " + _OF_TORCH.format("3 次元どうし")
)


def _adding(name: str, product: Callable[[Any, Any], Tensor], what: str) -> None:
    summary = f"積に足す: beta·x + alpha·({what})。x は広げられ、beta が 0 なら値は問わない。"

    @function(in_place=True, name=name, summary=summary, torch=_MATRICES)
    def adding(x: Any, a: Any, b: Any, *, beta: float = 1, alpha: float = 1) -> Tensor:
        result, added = product(a, b), as_tensor(x)
        if beta != 1:
            added = added * beta if beta else added.masked_fill(as_tensor(True), 0)
        return added + (result if alpha == 1 else result * alpha)


_MATRICES = {
    "mat1": "a", "mat2": "b", "mat": "a", "vec": "b", "vec1": "a", "vec2": "b", "batch1": "a",
    "batch2": "b",
}  # fmt: skip


_adding("addmm", mm, "行列 a @ 行列 b")
_adding("addmv", mv, "行列 a @ ベクトル b")
_adding("baddbmm", bmm, "まとめた行列積 a @ b")
_adding("addbmm", lambda a, b: bmm(a, b).sum(0), "まとめた行列積の和 Σ aᵢ @ bᵢ")


def linear(input: Any, weight: Any, bias: Any = None) -> Tensor:
    """全結合 x Wᵀ + b を 1 つのノードで (`torch.nn.functional.linear`)。

    Args:
        input: 形 (…, in)。
        weight: 形 (out, in)。
        bias: 形 (out,)。なくてもよい。

    Returns:
        形 (…, out)。

    Raises:
        ValueError: 形が合わない。
    """
    x, w = as_tensor(input), as_tensor(weight)
    b = () if bias is None else (as_tensor(bias),)
    if not x.ndim or w.ndim != 2 or x.shape[-1] != w.shape[1] or (b and b[0].shape != w.shape[:1]):
        raise ValueError(
            "linear の形が合いません (linear shape mismatch): "
            f"input {x.shape}、weight {w.shape}、bias {b[0].shape if b else None}。"
            "input は (…, in)、weight は (out, in)、bias は (out,) にしてください。"
        )
    if x.ndim == 2:
        return run(ops.linear, x, w, *b)
    rows = run(ops.linear, x.reshape(prod(x.shape[:-1]), x.shape[-1]), w, *b)
    return rows.reshape(*x.shape[:-1], w.shape[0])


@function(torch={"other": "b", "tensor": "b"})
def dot(a: Any, b: Any) -> Tensor:
    """内積 (NumPy の `dot`): a の最後の軸と、b の最後から 2 番目（1 次元なら唯一）の軸。"""
    a, b = as_tensor(a), as_tensor(b)
    if a.ndim and b.ndim > 2:
        return tensordot(a, b, ((-1,), (-2,)))
    return matmul(a, b)


@function(torch={"vec2": "b"})
def outer(a: Any, b: Any) -> Tensor:
    """外積 `out[i, j] = a[i]·b[j]`。"""
    return as_tensor(a).reshape(-1, 1) * as_tensor(b).reshape(1, -1)


_adding("addr", outer, "a と b の外積")


@function(method=False, torch={"dims": "axes"})
def tensordot(a: Any, b: Any, axes: Any = 2) -> Tensor:
    """指定した軸どうしをかけて足す。

    Args:
        a: 左。
        b: 右。
        axes: 整数 n なら a の最後の n 個と b の最初の n 個の軸。`(aの軸, bの軸)` の組でもよい。

    Raises:
        ValueError: 軸の数か長さが合わない。
    """
    a, b = as_tensor(a), as_tensor(b)
    if isinstance(axes, int):
        if not 0 <= axes <= min(a.ndim, b.ndim):
            raise ValueError(
                f"tensordot の axes={axes} は {a.ndim} 次元と {b.ndim} 次元に合いません "
                "(too many axes)。"
            )
        axes = (tuple(range(a.ndim - axes, a.ndim)), tuple(range(axes)))
    left = normalized_axes(axes[0], a.ndim, "tensordot")
    right = normalized_axes(axes[1], b.ndim, "tensordot")
    if [a.shape[i] for i in left] != [b.shape[i] for i in right]:
        raise ValueError(
            f"tensordot の形が合いません (shape mismatch): {a.shape} の軸 {left} と "
            f"{b.shape} の軸 {right} の長さを揃えてください。"
        )
    names = list(ascii_letters)
    first = [names.pop(0) for _ in range(a.ndim)]
    second = [names.pop(0) for _ in range(b.ndim)]
    for i, j in zip(left, right, strict=True):
        second[j] = first[i]
    out = [n for n in [*first, *second] if [*first, *second].count(n) == 1]
    return einsum(f"{''.join(first)},{''.join(second)}->{''.join(out)}", a, b)


# ---- 縮約 (einsum) ----------------------------------------------------------------------------


@function(method=False)
def einsum(spec: str, *operands: Any) -> Tensor:
    """アインシュタインの縮約: `einsum("ij,jk->ik", a, b)` は行列積。

    `->` を省くと、1 度だけ現れる文字がアルファベット順に並ぶ。省略記号 `...` は残りの軸を表す。
    長さ 1 の軸はブロードキャストされる。`->` の右に書かなければ、その軸は足し合わせる
    （PyTorch と同じ）。

    Raises:
        ValueError: 式が読めない、または軸の数や長さが式と合わない。
    """
    xs = [as_tensor(x) for x in operands]
    labels, out = _read(spec, xs)
    for i, own in enumerate(labels):
        others = set(out).union(*labels[:i], *labels[i + 1 :])
        xs[i], labels[i] = _tidied(xs[i], own, others)
    return run(ops.einsum, *xs, labels=tuple(labels), out=out)


def _read(spec: str, xs: list[Tensor]) -> tuple[list[str], str]:
    """The labels of the operands and of the result, once they fit.

    Where an operand broadcasts, it is replaced by one without the axis.
    """
    inputs, arrow, out = str(spec).replace(" ", "").replace("...", _REST).partition("->")
    labels = inputs.split(",")
    if not arrow:
        times = Counter(inputs.replace(",", ""))
        once = sorted(label for label, n in times.items() if n == 1 and label != _REST)
        out = _REST * (_REST in inputs) + "".join(once)
    if set("".join(labels) + out) - {*ascii_letters, _REST} or len(set(out)) < len(out):
        raise _einsum_error(spec, '"ij,jk->ik" のように、英字だけを使い、右辺では 1 度だけ書きます')
    if set(out) - set(inputs):
        raise _einsum_error(spec, "右辺の文字はどれも左辺に必要です")
    if len(labels) != len(xs):
        raise _einsum_error(spec, f"{len(labels)} 個の Tensor が必要です（{len(xs)} 個でした）")
    if _REST in inputs:
        labels, out = _rest_spelled_out(spec, labels, out, xs)
    sizes: dict[str, int] = {}
    for own, x in zip(labels, xs, strict=True):
        if len(own) != x.ndim:
            raise _einsum_error(spec, f"{own!r} は {len(own)} 次元ですが、形は {x.shape} です")
        mine: dict[str, int] = {}
        for label, n in zip(own, x.shape, strict=True):
            known = sizes if n != 1 and label not in mine else mine
            if known.setdefault(label, n) != n:
                raise _einsum_error(spec, f"文字 {label} の長さが {known[label]} と {n} です")
            mine[label] = n
    for k, own in enumerate(labels):  # an axis of length 1 broadcasts: the operand goes without
        repeated = {label for label, n in zip(own, xs[k].shape) if n == 1 and label in sizes}
        if repeated:
            xs[k] = xs[k].squeeze(tuple(i for i, label in enumerate(own) if label in repeated))
            labels[k] = "".join(label for label in own if label not in repeated)
    return labels, out


_REST = "…"
"""The ellipsis, as one character."""


def _rest_spelled_out(
    spec: str, labels: list[str], out: str, xs: list[Tensor]
) -> tuple[list[str], str]:
    """Letters for the axes of `...`, counted from the last."""
    rests = [x.ndim - len(own) + 1 if _REST in own else 0 for own, x in zip(labels, xs)]
    free = [letter for letter in ascii_letters if letter not in spec][: max(rests, default=0)]
    if min(rests) < 0 or max(own.count(_REST) for own in labels) > 1 or len(free) < max(rests):
        shapes = "、".join(str(x.shape) for x in xs)
        raise _einsum_error(spec, f"... は残りの軸を、1 つの Tensor に 1 度だけ表します: {shapes}")
    names = "".join(free)
    labels = [own.replace(_REST, names[len(names) - n :]) for own, n in zip(labels, rests)]
    return labels, out.replace(_REST, names)


def _einsum_error(spec: str, reason: str) -> ValueError:
    return ValueError(f"einsum の式 {spec!r} が使えません (invalid einsum): {reason}。")


def _tidied(x: Tensor, own: str, others: set[str]) -> tuple[Tensor, str]:
    """One operand with every label once, and only labels that stand elsewhere too."""
    for label in sorted(set(own)):
        while own.count(label) > 1:
            i = own.index(label)
            x = x.diagonal(0, i, own.index(label, i + 1))  # its axis comes last
            own = own.replace(label, "", 2) + label
    alone = tuple(i for i, label in enumerate(own) if label not in others)
    if alone:
        x, own = x.sum(alone), "".join(label for label in own if label in others)
    return x, own


# ---- 連立方程式、逆行列、行列式 -----------------------------------------------------------------


@function(method=False, torch={"A": "a", "B": "b"})
def solve(a: Any, b: Any) -> Tensor:
    """連立 1 次方程式 A X = B の解 X。

    Args:
        a: 正方行列、形 (…, n, n)。
        b: 形 (n,) のベクトルか (…, n, k) の行列。a が 3 次元以上なら、形 (…, n) の、同じ数だけの
            ベクトルでもよい（PyTorch と同じ）。

    Raises:
        ValueError: 形が合わない、または A が正則でない (`numpy.linalg.LinAlgError`)。
    """
    left, right = square_matrix(a, "solve"), floating(b)
    if right.ndim == 1 or right.shape == left.shape[:-1]:
        return solve(left, right.unsqueeze(-1)).squeeze(-1)
    fits = right.ndim and right.shape[-2] == left.shape[-1]
    if not fits or not broadcastable(left.shape[:-2], right.shape[:-2]):
        raise ValueError(
            f"solve の形が合いません (shape mismatch): A は {left.shape}、B は {right.shape} です。"
            f"B の行の数を {left.shape[-1]} にしてください。"
        )
    return run(ops.solve, left, right)


@function(torch={"A": "a"})
def inv(a: Any) -> Tensor:
    """逆行列。

    Raises:
        ValueError: 正方行列でない、または正則でない (`numpy.linalg.LinAlgError`)。
    """
    return run(ops.inv, square_matrix(a, "inv"))


@function(torch={"A": "a"})
def det(a: Any) -> Tensor:
    """行列式。正則でない行列でも、何階の導関数も正しい。"""
    return run(ops.det, square_matrix(a, "det"))


@function(method=False)
def cofactors(a: Any, *directions: Any) -> Tensor:
    """余因子行列: `det` の勾配。方向（a と同じ形）を渡すと、どの方向にも 1 度ずつ微分したもの。"""
    return run(ops.cofactors, square_matrix(a, "cofactors"), *map(as_tensor, directions))


@function(method=False)
def logabsdet(a: Any) -> Tensor:
    """行列式の絶対値の対数。"""
    return run(ops.logabsdet, square_matrix(a, "logabsdet"))


@function(torch={"A": "a"})
def slogdet(a: Any) -> tuple[Tensor, Tensor]:
    """行列式の符号（勾配は 0）と、絶対値の対数。"""
    a = square_matrix(a, "slogdet")
    return run(ops.signdet, a), logabsdet(a)


@function(torch={"A": "a"})
def cholesky(a: Any) -> Tensor:
    """コレスキー分解 A = LLᵀ の下三角行列 L。

    Raises:
        ValueError: 正方行列でない、または正定値でない (`numpy.linalg.LinAlgError`)。
    """
    return run(ops.cholesky, square_matrix(a, "cholesky"))


def square_matrix(a: Any, name: str, floats: bool = True) -> Tensor:
    """小数の正方行列（いくつまとめてもよい）。`floats` が偽なら、型はそのまま。"""
    t = floating(a) if floats else as_tensor(a)
    if t.ndim < 2 or t.shape[-1] != t.shape[-2]:
        raise ValueError(
            f"{name} には正方行列が必要です (expected a square matrix): 形は {t.shape} です。"
        )
    return t
