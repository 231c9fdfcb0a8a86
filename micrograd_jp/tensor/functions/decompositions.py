"""行列の分解と、それからできる関数 (PyTorch の `torch.linalg`): qr、svd、eigh、pinv、cond、…。"""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from math import inf
from typing import Any, NamedTuple, TypeVar

import numpy as np

from micrograd_jp import namespace
from micrograd_jp.engine.numbers import is_number
from micrograd_jp.namespace.graph import on_graph
from micrograd_jp.ops import decompositions as ops
from micrograd_jp.tensor.array import Tensor, as_tensor
from micrograd_jp.tensor.checks import integer, normalized_axes, one_axis
from micrograd_jp.tensor.functions.complexes import conj
from micrograd_jp.tensor.functions.linalg import inv, matmul, slogdet, solve, square_matrix
from micrograd_jp.tensor.functions.reduce import amax, amin, norm, sum
from micrograd_jp.tensor.functions.shape import flatten, movedim
from micrograd_jp.tensor.registry import function, torch_names
from micrograd_jp.tensor.run import floating, run

F = TypeVar("F", bound=Callable[..., Any])
LINALG: dict[str, Callable[..., Any]] = {}
"""`mg.linalg` にだけある関数。"""


def _linalg(**own: str) -> Callable[[F], F]:
    def declare(f: F) -> F:
        LINALG[f.__name__] = torch_names(A="a", B="b", **own)(f)
        return f

    return declare


class SVD(NamedTuple):
    """特異値分解 A = U diag(S) Vᵀ。"""

    U: Tensor
    S: Tensor
    Vh: Tensor


class QR(NamedTuple):
    """QR 分解 A = QR。"""

    Q: Tensor
    R: Tensor


class Eigh(NamedTuple):
    """固有値（小さい順）と固有ベクトル（列）。"""

    eigenvalues: Tensor
    eigenvectors: Tensor


class LeastSquares(NamedTuple):
    """最小二乗法の解、残差の平方和、階数、特異値（gelsy と同じく空）。"""

    solution: Tensor
    residuals: Tensor
    rank: Tensor
    singular_values: Tensor


def _matrices(a: Any, name: str) -> Tensor:
    t = floating(a)
    if t.ndim < 2:
        raise ValueError(f"{name} には行列が必要です (expected a matrix): 形は {t.shape} です。")
    return t


# ---- 分解 --------------------------------------------------------------------------------------


@_linalg()
def qr(a: Any, mode: str = "reduced") -> QR:
    """QR 分解。形 (…, m, n) から Q (…, m, k) と R (…, k, n)、k は小さい方。

    Raises:
        ValueError: 行列でない、または `mode` が "reduced" でない。
    """
    t = _matrices(a, "qr")
    if mode != "reduced":
        raise ValueError(
            f"qr の mode は 'reduced' だけです (unsupported mode): {mode!r}。'complete' の Q は "
            "np.linalg.qr(t.detach().numpy(), 'complete') で求められます（勾配なし）。"
        )
    return QR(*ops.parts(on_graph, run(ops.qr, t), ops.qr_shapes(t)))


@_linalg()
def svd(a: Any, full_matrices: bool = True) -> SVD:
    """特異値分解。形 (…, m, n) から U、S (…, k)、Vᵀ。k は m と n の小さい方。

    U は (…, m, m)、Vᵀ は (…, n, n)。`full_matrices=False` なら (…, m, k) と (…, k, n)。
    U と V の符号は決まらない。等しい特異値があるとき、U と V の勾配はない（S の勾配はある）。

    Raises:
        ValueError: 行列でない、または勾配を求める、正方でない行列の `full_matrices=True`。
    """
    t = _matrices(a, "svd")
    u, s, vh = ops.parts(on_graph, run(ops.svd, t), ops.svd_shapes(t))
    if full_matrices and t.shape[-1] != t.shape[-2]:
        if t.requires_grad:
            raise ValueError(
                "svd の full_matrices=True の余りの列には勾配がありません (not differentiable): "
                "full_matrices=False と書いてください。"
            )
        u, _, vh = map(Tensor, namespace.of(t._data).svd(t._data))
    return SVD(u, s, vh)


@_linalg()
def eigh(a: Any, UPLO: str = "L") -> Eigh:
    """対称行列の固有値（小さい順）と固有ベクトル（列）。`UPLO` は、読む三角 ("L" か "U")。

    Raises:
        ValueError: 正方行列でない、または知らない `UPLO`。
    """
    t = square_matrix(a, "eigh")
    if UPLO not in ("L", "U"):
        raise ValueError(f"eigh の UPLO は 'L' か 'U' です (invalid UPLO): {UPLO!r}。")
    t = t if UPLO == "L" else t.mT
    return Eigh(*ops.parts(on_graph, run(ops.eigh, t), ops.eigh_shapes(t)))


@_linalg()
def pinv(a: Any, *, atol: float | None = None, rtol: float | None = None) -> Tensor:
    """一般逆行列。`atol` か、最大の特異値の `rtol` 倍より大きくない特異値は、0 とみなす。"""
    t = _matrices(a, "pinv")
    return run(ops.pinv, t, atol=0.0 if atol is None else atol, rtol=_relative(t, atol, rtol))


def _relative(t: Tensor, atol: Any, rtol: Any) -> float:
    if rtol is None:
        rtol = 0.0 if atol else max(t.shape[-2:]) * float(np.finfo(t.dtype).eps)
    return float(rtol)


# ---- それからできるもの ------------------------------------------------------------------------


@_linalg()
def svdvals(a: Any) -> Tensor:
    """特異値（大きい順）。"""
    return svd(a, False).S


@_linalg()
def eigvalsh(a: Any, UPLO: str = "L") -> Tensor:
    """対称行列の固有値（小さい順）。"""
    return eigh(a, UPLO).eigenvalues


@_linalg()
def matrix_rank(a: Any, *, atol: float | None = None, rtol: float | None = None) -> Tensor:
    """階数: `atol` と、最大の特異値の `rtol` 倍より大きい特異値の数。勾配はない。"""
    t = _matrices(a, "matrix_rank").detach()
    s = svdvals(t)
    least = s.amax(-1, keepdims=True) * _relative(t, atol, rtol)
    out: Tensor = (s > on_graph.maximum(least, atol or 0.0)).long().sum(-1)
    return out


@function(torch={"A": "a"})
def matrix_power(a: Any, n: int) -> Tensor:
    """行列の n 乗。負なら逆行列の |n| 乗、0 なら単位行列。

    Raises:
        ValueError: 正方行列でない。
        TypeError: n が整数でない。
    """
    times = integer(n, "matrix_power")
    t = square_matrix(a, "matrix_power", floats=times < 0)
    if times < 0:
        return matrix_power(inv(t), -times)
    if not times:
        nothing = t.masked_fill(as_tensor(True), 0)  # whatever stood there
        return nothing + as_tensor(np.eye(t.shape[-1], dtype=t.dtype))
    half = matrix_power(t, times // 2) if times > 1 else None
    if half is None:
        return t.clone()
    return half @ half @ t if times % 2 else half @ half


@_linalg()
def multi_dot(tensors: Any) -> Tensor:
    """いくつもの行列の積。"""
    out: Tensor = reduce(matmul, tensors)
    return out


@_linalg()
def lstsq(a: Any, b: Any, rcond: float | None = None, *, driver: str | None = None) -> Any:
    """最小二乗法: ‖A X − B‖ を最小にする X と、その残差、階数。

    Args:
        a: 形 (…, m, n)。
        b: 形 (…, m, k)。
        rcond: これ倍の最大の特異値より小さい特異値は 0 とみなす。
        driver: 受け取るだけで、解はいつも一般逆行列から求める。
    """
    left, right = _matrices(a, "lstsq"), floating(b)
    vector = right.ndim == 1 or right.shape == left.shape[:-1]
    columns = right.unsqueeze(-1) if vector else right
    if columns.shape[-2] != left.shape[-2]:
        raise ValueError(
            f"lstsq の形が合いません (shape mismatch): A は {left.shape}、B は {right.shape} です。"
            f"B の行の数を {left.shape[-2]} にしてください。"
        )
    solution = pinv(left, rtol=rcond) @ columns
    rank = matrix_rank(left, rtol=rcond)
    m, n = left.shape[-2:]
    residuals = as_tensor(np.zeros(0, left.dtype))
    if m > n and bool((rank == n).all()):
        residuals = ((left @ solution - columns) ** 2).sum(-2)
    solution = solution.squeeze(-1) if vector else solution
    return LeastSquares(solution, residuals, rank, as_tensor(np.zeros(0, left.dtype)))


@_linalg()
def vector_norm(
    x: Any, ord: float = 2, axis: Any = None, keepdims: bool = False, *, dtype: Any = None
) -> Tensor:  # fmt: skip
    """ベクトルのノルム (Σ|x|ᵖ)^(1/p)。`axis` がなければ、平らに並べたもの。"""
    t = floating(x) if dtype is None else as_tensor(x).to(dtype)
    if not is_number(ord):
        raise ValueError(f"vector_norm の ord は数です (unknown norm): {ord!r}。")
    return norm(t, ord, axis, keepdims)


@_linalg()
def matrix_norm(
    a: Any, ord: Any = "fro", axis: Any = (-2, -1), keepdims: bool = False, *, dtype: Any = None
) -> Tensor:  # fmt: skip
    """行列のノルム: "fro"、"nuc"、±inf、±1、±2。

    Raises:
        ValueError: 知らない `ord`、または軸が 2 つでない。
    """
    t = floating(a) if dtype is None else as_tensor(a).to(dtype)
    axes = normalized_axes(axis, t.ndim, "matrix_norm")
    known = is_number(ord) and abs(ord) in (1, 2, inf)
    if len(axes) != 2 or not (ord in ("fro", "nuc") or known):
        raise ValueError(
            f"matrix_norm の ord は 'fro'、'nuc'、±1、±2、±inf、軸は 2 つです (unknown norm): "
            f"ord={ord!r}、axis={axis!r}。"
        )
    if ord == "fro":
        return norm(t, 2, axes, keepdims)
    rows = movedim(t, axes, (-2, -1))
    if ord in ("nuc", 2, -2):
        s = svdvals(rows)
        out = sum(s, -1) if ord == "nuc" else (amax if ord == 2 else amin)(s, -1)
    else:
        sizes = sum(on_graph.abs(rows), -2 if abs(ord) == 1 else -1)
        out = (amax if ord > 0 else amin)(sizes, -1)
    for place in sorted(axes) if keepdims else ():
        out = out.unsqueeze(place)
    return out


@_linalg()
def cond(a: Any, p: Any = None) -> Tensor:
    """条件数 ‖A‖·‖A⁻¹‖。p がなければ、最大と最小の特異値の比。"""
    if p in (None, 2, -2):
        s = svdvals(a)
        return s[..., -1] / s[..., 0] if p == -2 else s[..., 0] / s[..., -1]
    return matrix_norm(a, p) * matrix_norm(inv(a), p)


@_linalg()
def solve_triangular(
    a: Any, b: Any, *, upper: bool, left: bool = True, unitriangular: bool = False
) -> Tensor:
    """三角行列の連立方程式 A X = B（`left=False` なら X A = B）。もう片方の三角は見ない。"""
    t = square_matrix(a, "solve_triangular")
    beside = int(unitriangular)
    t = t.triu(beside) if upper else t.tril(-beside)
    if unitriangular:
        t = t + as_tensor(np.eye(t.shape[-1], dtype=t.dtype))
    return solve(t, b) if left else solve(t.mT, floating(b).mT).mT


@function()
def logdet(a: Any) -> Tensor:
    """行列式の対数。負なら nan。"""
    sign, log = slogdet(a)
    out: Tensor = on_graph.where(sign == 0, -inf, on_graph.where(sign < 0, float("nan"), log))
    return out


# ---- ベクトル ----------------------------------------------------------------------------------


@function()
def cross(x: Any, other: Any, axis: int | None = None) -> Tensor:
    """3 次元のベクトルの外積 (cross product)。`axis` がなければ、長さ 3 の最初の軸。

    Raises:
        ValueError: その軸の長さが 3 でない。
    """
    a, b = on_graph.broadcast_tensors(x, other)
    threes = [i for i, n in enumerate(a.shape) if n == 3]
    along = one_axis(axis, a.ndim, "cross") if axis is not None else (threes or [0])[0]
    if not a.ndim or a.shape[along] != 3:
        raise ValueError(f"cross の軸の長さは 3 です (expected length 3): 形は {a.shape} です。")
    x1, x2 = (on_graph.roll(a, s, along) for s in (-1, -2))
    y1, y2 = (on_graph.roll(b, s, along) for s in (-1, -2))
    out: Tensor = x1 * y2 - x2 * y1
    return out


@_linalg()
def vecdot(x: Any, other: Any, *, axis: int = -1) -> Tensor:
    """ある軸に沿った内積 Σ xᵢyᵢ。複素数なら、x の共役との内積。"""
    return sum(conj(x) * as_tensor(other), axis)


@function()
def inner(x: Any, other: Any) -> Tensor:
    """最後の軸どうしの内積。どちらかが 0 次元なら積。"""
    a, b = as_tensor(x), as_tensor(other)
    return a * b if not a.ndim or not b.ndim else on_graph.tensordot(a, b, ((-1,), (-1,)))


@function()
def vdot(x: Any, other: Any) -> Tensor:
    """1 次元どうしの内積。複素数なら、x の共役との内積。"""
    return matmul(conj(flatten(x)), flatten(other))


# ---- 古い名前 -----------------------------------------------------------------------------------


class OldSVD(NamedTuple):
    """特異値分解 A = U diag(S) Vᵀ の、U、S、V。"""

    U: Tensor
    S: Tensor
    V: Tensor


def _svd(a: Any, some: bool = True) -> OldSVD:
    u, s, vh = svd(a, not some)
    return OldSVD(u, s, vh.mT)


def _qr(a: Any, some: bool = True) -> QR:
    return qr(a, "reduced" if some else "complete")


def _pinverse(a: Any, rcond: float = 1e-15) -> Tensor:
    return pinv(a, rtol=rcond)


function(name="svd", summary="`linalg.svd` の古い名前。Vᵀ でなく V を返す。")(_svd)
function(name="qr", summary="`linalg.qr` の古い名前。")(_qr)
function(name="pinverse", summary="`linalg.pinv` の古い名前。")(_pinverse)
