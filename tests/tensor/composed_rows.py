"""表: 組み立てた関数 1 つにつき 1 行以上。同じ 1 行が、`m` を替えるだけで PyTorch でも動く。

行の中の名前は、下の `OPERANDS` の配列である。新しい関数には行を 1 つ足す。
"""

import re
import zlib

import numpy as np

from micrograd_jp.tensor.functions import (
    arranging,
    complexes,
    creating,
    cutting,
    decompositions,
    elements,
    running,
    scattering,
    sets,
    statistics,
)
from micrograd_jp.tensor.functions.aliases import SAME


def _numbers(name, *shape, low=-2.0, high=2.0):
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    return rng.uniform(low, high, shape)


def _positive_definite(a):
    return a @ a.swapaxes(-1, -2) + np.eye(a.shape[-1])


X = _numbers("x", 2, 3)
OPERANDS = {
    "x": X, "y": _numbers("y", 3), "z": _numbers("z", 2, 3), "w": _numbers("w", 2, 1),
    "p": _numbers("p", 2, 3, low=0.3), "r": _numbers("r", 3, low=0.3),
    "u": _numbers("u", 2, 3, low=0.05, high=0.95), "v": _numbers("v", 4), "e": _numbers("e", 5),
    "s": _numbers("s", 3, 3), "c": _positive_definite(_numbers("c", 3, 3)),
    "b": _numbers("b", 2, 3, 3), "g": _numbers("g", 2, 3, 2), "t": _numbers("t", 4, 3),
    "h": _numbers("h", 3, 2), "d": _numbers("d", 4, 4, 3),
    # not differentiated
    "N": np.where(np.arange(6).reshape(2, 3) % 4 == 1, np.nan, X),
    "O": np.array([[np.inf, -np.inf, np.nan], [-0.0, 0.0, 1.5]]),
    "M": np.array([[True, False, True], [False, True, True]]),
    "I": np.array([2, 0, 2]), "J": np.array([[0, 2, 1], [1, 1, 0]]), "K": np.array([[1, 0]]),
    "L": np.array([1, 0]), "U": np.array([[3, 1, 3], [7, -2, 1]]), "V": np.array([2, 5, -3]),
    "A": np.array([3, 1, 1, 2, 3, 3]), "S": np.array([-1.5, -0.5, 0.5, 1.5]),
    "B": np.array([[True, False], [True, True]]),
    "Z": np.array([1.0, 0.0, -2.0]),
}  # fmt: skip
"""Lower case: floats with a gradient, no two alike."""

ROWS = """
m.real(m.complex(x, z)) | m.imag(m.complex(x, z)) | m.angle(m.complex(x, z)) | m.angle(x)
m.view_as_real(m.resolve_conj(m.conj(m.complex(x, z)))) | m.view_as_real(m.polar(p, z)) | m.sgn(Z)
m.view_as_real(m.conj_physical(m.complex(x, z))) | m.view_as_real(m.sgn(m.complex(x, z)))
m.view_as_complex(h).imag | m.isreal(m.complex(x, 0 * z))
m.view_as_real(m.sgn(m.complex(Z, Z)))
m.deg2rad(x) | m.rad2deg(x) | m.exp2(x) | m.frac(x) | m.atan2(x, y) | x.atan2(w) | m.arctan2(y, x)
m.hypot(x, y) | m.logaddexp(x, y) | m.logaddexp2(x, w) | m.xlogy(x, r) | m.xlogy(Z, r) | m.logit(u)
m.logit(x, eps=0.1) | m.sinc(x) | m.sinc(Z) | m.float_power(p, 2.5) | p.float_power(y)
m.ldexp(x, I) | m.lerp(x, y, 0.3) | m.lerp(x, z, u) | m.addcmul(x, y, z, value=0.5)
m.addcdiv(x, z, r, value=-2.0) | m.clamp_min(x, 0.1) | x.clamp_max(0.2) | m.fmax(x, y)
m.fmin(x, y) | m.fmax(N, 0.25 * x) | m.fmod(x, 0.7) | m.fmod(x, y) | m.fmod(U, V) | m.nan_to_num(O)
m.nan_to_num(O, 1.0, 2.0, -3.0) | m.nan_to_num(x) | m.nan_to_num(U) | m.copysign(x, y)
m.copysign(O, -1.0) | m.signbit(O) | m.signbit(U) | m.heaviside(O, Z)
m.heaviside(S, S / 0) | m.nextafter(S, -S)
m.gcd(U, V) | m.lcm(U, V) | m.bitwise_and(U, V) | m.bitwise_or(U, 6) | m.bitwise_xor(U, V)
m.bitwise_left_shift(U, 2) | m.bitwise_right_shift(U, 1) | m.bitwise_not(M)
m.isclose(x, x + 1e-9) | m.isclose(O, O, equal_nan=True) | m.isclose(O, O) | m.isposinf(O)
m.isneginf(O) | m.isreal(x) | m.isin(U, V + 1) | m.isin(U, V, invert=True) | m.round(x, decimals=1)
m.round(x * 100, decimals=-1) | m.add(x, y, alpha=3) | x.add(y, alpha=0.5) | m.sub(x, y, alpha=2)
m.div(x, y, rounding_mode="floor") | m.div(x, y, rounding_mode="trunc") | m.div(U, V)
m.div(U, V, rounding_mode="trunc") | m.div(U, V, rounding_mode="floor") | U.div(2)
m.multiply(x, y) | m.divide(x, r) | m.true_divide(x, r) | m.subtract(x, y) | m.negative(x)
m.absolute(x) | m.arcsin(x / 2) | m.arccos(x / 2) | m.arctan(x) | m.arcsinh(x) | m.arccosh(p + 1)
m.arctanh(x / 2.1) | m.fix(x) | m.sgn(x) | m.greater(x, y) | m.greater_equal(x, x) | m.less(x, y)
m.less_equal(x, y) | m.not_equal(x, y) | m.positive(x) | m.conj(x) | m.real(x) | m.conj_physical(x)
m.resolve_conj(x) | m.resolve_neg(x)

m.hstack((x, z)) | m.hstack((y, v)) | m.vstack((x, y)) | m.row_stack([x, z]) | m.dstack([x, z])
m.column_stack((y, y * 2)) | m.column_stack([x, w]) | m.concat([x, z], dim=1) | m.cat([x, z])
m.meshgrid(y, v, indexing="ij") | m.meshgrid([y, v], indexing="xy") | m.atleast_1d(y)
m.atleast_2d(y) | m.atleast_3d(x) | m.atleast_2d(x[0, 0], y) | m.block_diag(x, y, s)
m.cartesian_prod(y, v) | m.combinations(v) | m.combinations(y, 2, True)
m.broadcast_tensors(x, y, w) | m.diag(y) | m.diag(y, -1) | m.diag(x, 1) | x.diag()
m.diagflat(x, 1) | m.diag_embed(x) | m.diag_embed(x, 1, 0, 2) | m.tril_indices(3, 4, 1)
m.triu_indices(3, 3) | m.vander(y) | m.vander(r, 2, increasing=True) | m.fliplr(x) | m.flipud(x)
m.rot90(x) | m.rot90(x, 2) | m.rot90(b, -1, (1, 2)) | m.rot90(x, 4) | m.adjoint(b)
m.narrow(x, 1, 1, 2) | x.narrow(-1, -2, 1) | m.select(x, 1, -1) | m.tensor_split(e, 3)
m.tensor_split(x, (1, 2), dim=1) | m.hsplit(x, 3) | m.vsplit(x, [1]) | m.dsplit(g, 2)
m.hsplit(e, [2, 4]) | m.unflatten(v, 0, (2, -1)) | x.unflatten(1, (3, 1)) | x.unfold(1, 2, 1)
e.unfold(0, 2, 2) | m.argwhere(U - 3) | m.take_along_dim(x, J, 1) | m.take_along_dim(x, J)
m.take_along_dim(x, J[1:], 0) | m.select_scatter(x, y, 0, 1) | m.slice_scatter(x, w, 1, 1, 2)
m.slice_scatter(e, y, 0, 0, 5, 2) | m.kron(x, h) | m.kron(y, x) | m.moveaxis(b, 0, 2)
m.swapdims(b, 0, 2)

m.median(x) | m.median(x, 1).values | x.median(0, True).values | m.median(v) | m.median(N)
m.median(N, 1) | m.nanmedian(N) | m.nanmedian(N, 1, True) | m.quantile(x, 0.3) | m.median(U, 1)
m.quantile(x, 0.25, dim=1, keepdim=True) | m.quantile(x, y.detach().abs() / 3, dim=0)
m.quantile(x, 0.4, interpolation="lower") | m.quantile(x, 0.4, interpolation="higher")
m.quantile(x, 0.4, interpolation="nearest") | m.quantile(x, 0.45, interpolation="midpoint")
m.quantile(N, 0.5, dim=1) | m.nanquantile(N, 0.5, dim=1) | m.nanquantile(N, 0.3) | m.mode(A)
m.mode(U, 1) | m.mode(U, 0, True) | m.kthvalue(x, 2).values | m.kthvalue(e, 4)
m.kthvalue(x, 1, 0, True) | m.msort(x) | m.aminmax(x) | m.aminmax(x, dim=1, keepdim=True)
m.count_nonzero(O) | m.count_nonzero(M, dim=1) | m.nansum(N) | m.nansum(N, 1, True)
m.nanmean(N, 0) | m.nanmean(N + 0.5) | m.var_mean(x)
m.var_mean(x, dim=1, correction=0, keepdim=True) | m.std_mean(x, 1) | m.std_mean(x, unbiased=False)
m.cov(x) | m.cov(x, correction=0) | m.cov(y) | m.cov(x, fweights=I + 1)
m.cov(x, aweights=r.detach()) | m.corrcoef(t.T) | m.cdist(x, s) | m.cdist(x, s, p=1.0)
m.cdist(b, g.mT, p=3.0) | m.dist(x, z) | m.dist(x, z, 1) | m.cumprod(x, 1) | m.cumprod(e, 0)
m.cumprod(Z * y, 0) | m.cumprod(U, 1) | m.logcumsumexp(x, 1) | m.cummax(x, 1)
m.cummin(e, 0).values | m.cummax(A, 0) | m.cummin(N, 1) | m.diff(x) | m.diff(e, 2)
m.diff(x, dim=0, prepend=y[None]) | m.diff(M) | m.trapezoid(x) | m.trapz(x, y)
m.trapezoid(e, dx=0.5) | m.trapezoid(b, dim=1) | m.cumulative_trapezoid(x, y)
m.cumulative_trapezoid(x, dx=2.0)

m.unique(A) | m.unique(A, return_inverse=True, return_counts=True) | m.unique(U, dim=0)
m.unique(U, return_counts=True) | m.unique_consecutive(A, return_counts=True)
m.unique_consecutive(A, return_inverse=True) | m.searchsorted(S, x)
m.searchsorted(S, O[1], right=True) | m.searchsorted(S, 0.5)
m.searchsorted(m.sort(x, 1).values, x, side="right", out_int32=True) | m.bucketize(x, S)
m.bucketize(S, S, right=True) | m.histc(x, 4) | m.histc(x, bins=3, min=-1, max=1)
m.unravel_index(I, (2, 3))

m.scatter(x, 1, J, z) | m.scatter(s, 0, J, x) | x.scatter(1, K, 5.0)
m.scatter(x, 1, K, value=2.0) | m.scatter(x, 1, K, z, reduce="add")
m.scatter(x, 1, K, 3.0, reduce="multiply") | m.scatter_reduce(x, 1, J, z, "sum")
m.scatter_reduce(x, 1, J, z, "prod") | m.scatter_reduce(x, 1, J, z, "mean", include_self=False)
m.scatter_reduce(x, 1, J, z, "amax")
m.scatter_reduce(e, 0, I, y, reduce="amin", include_self=False)
x.scatter_reduce(0, J % 2, z, "mean") | m.scatter_add(x, 1, J, src=z)
m.index_add(x, 1, I, z, alpha=2) | m.index_fill(x, 1, I, 3.0) | m.index_copy(x, 0, L, z)
m.index_put(x, (L, L), m.ones(2, dtype=m.float64)) | m.index_put(x, (L[:1],), y, accumulate=True)
m.masked_scatter(x, M, z) | m.masked_scatter(x, M[0], t)

m.linalg.qr(b) | m.linalg.qr(t) | m.linalg.qr(x) | m.linalg.svd(b, full_matrices=False).S
m.linalg.svdvals(t) | m.linalg.eigh(c)[1] ** 2 | m.svd(t)[0] ** 2 | m.svd(t)[2] ** 2 | m.qr(b)
m.linalg.svd(t.detach())[0] ** 2 | m.linalg.svd(x.detach())[2] ** 2 | m.linalg.eigvalsh(c)
m.linalg.eigh(c).eigenvalues | m.linalg.pinv(t) | m.linalg.pinv(x) | m.linalg.pinv(b)
m.pinverse(h) | m.linalg.matrix_rank(b) | m.linalg.norm(x) | m.linalg.matrix_rank(m.ones(3, 3))
m.linalg.matrix_power(s, 3) | m.matrix_power(b, -2) | m.linalg.matrix_power(s, 0)
m.linalg.multi_dot([x, s, h]) | m.linalg.lstsq(t, d[0])[0] | m.linalg.norm(x, "nuc")
m.linalg.norm(x, 2) | m.linalg.norm(x, dim=1) | m.linalg.norm(y, 3) | m.linalg.norm(x, 1)
m.linalg.norm(b, float("inf"), dim=(1, 2)) | m.linalg.vector_norm(x, 1, dim=0)
m.linalg.matrix_norm(b, keepdim=True) | m.linalg.matrix_norm(b, -1) | m.linalg.matrix_norm(b, -2)
m.linalg.cond(b) | m.linalg.cond(s, 1) | m.linalg.solve_triangular(c, s, upper=True)
m.linalg.solve_triangular(c, x, upper=False, left=False)
m.linalg.solve_triangular(c / 9, s, upper=True, unitriangular=True) | m.logdet(c) | m.logdet(-c)
m.linalg.solve(s, h) | m.linalg.det(b) | m.linalg.slogdet(b) | m.linalg.inv(b) | m.inverse(s)
m.linalg.cholesky(c) | m.linalg.cross(x, z) | m.cross(x, z, dim=1) | m.linalg.cross(s, s.T, dim=0)
m.linalg.vecdot(x, y) | m.linalg.diagonal(b) | m.linalg.matmul(x, s) | m.linalg.vander(y)
m.inner(x, t) | m.inner(y, y) | m.vdot(y, r) | m.ger(y, v)
m.addmm(m.linalg.matmul(x, h), x, h, beta=0.5) | m.addmv(y[:2], x, r, alpha=2)
m.addr(x @ s, y[:2], r, beta=2, alpha=3) | m.baddbmm(g, b, g, beta=0)
m.addbmm(h, b, g, alpha=0.5)

x.sum(1, dtype=m.float32) | U.prod(dtype=m.float64) | U.mean(dtype=m.float64)
x.cumsum(1, dtype=m.float32) | U.softmax(1, dtype=m.float64)
m.log_softmax(U, dim=0, dtype=m.float32) | m.sort(x, stable=True, dim=1)
x.argsort(dim=1, descending=True, stable=True) | m.topk(x, 2, dim=1, largest=False, sorted=True)
x.type_as(U) | U.type_as(x) | x.new_zeros(2, 3) | U.new_ones((2,)) | x.new_full((2,), 3)
x.new_tensor([1, 2]) | U.new_tensor([1.5]) | x.new_empty(2).shape | U.byte() | U.char()
x.new_zeros(size=(2, 1), dtype=m.int32) | m.numel(x) | m.promote_types(m.int32, m.float16)
m.result_type(U, 2.5) | m.can_cast(m.float32, m.int64) | m.can_cast(m.int8, m.float32)
m.fft.fftfreq(5) | m.fft.rfftfreq(4, d=0.5) | m.fft.fftshift(x) | m.fft.ifftshift(e, 0)
m.finfo(m.float16).max | m.finfo(m.float32).eps | m.finfo(m.float64).tiny | m.iinfo(m.int8).min
m.pi + m.e | m.isinf(m.tensor([m.inf, m.nan])) | x[m.newaxis].shape | m.finfo(m.float32).resolution
m.broadcast_shapes((2, 1), (3,), 1) == (2, 3)

m.xlogy(x - x.detach(), r) | m.xlogy(p, 2.0) | m.xlogy(x, U * U) | m.logaddexp2(x, U)
m.copysign(U, x.detach()) | m.fmod(U, 2) | m.hypot(O, N) | m.fmax(x, x.detach())
m.fmin(x.detach(), x) | m.median(x - x.detach()) | m.nanmedian(x - x.detach())
m.isclose(U.byte(), U.byte() + 1, atol=1)
m.isclose(M, M) | m.linalg.matrix_power(O[:, :2], 0)
m.linalg.solve_triangular(N[:, 1:], h[:2], upper=True, unitriangular=True)
m.scatter_reduce(U.byte(), 1, J, U.byte(), "prod") | x[0, 0].unfold(0, 1, 1) | m.block_diag()
m.linalg.vander(x) | m.unique_consecutive(A[:1]) | m.unique_consecutive(A[:0])
m.searchsorted(m.sort(x, 1).values, N) | m.cov(x[:1]) | m.nanmean(N, dtype=m.float32)
m.quantile(x[0, 0], 0.5, dim=0, keepdim=True) | m.gather(x[0], 0, J[0, 1])
x[0].scatter(0, J[0, 1], 2.0) | x[0].scatter(0, J[0, 1], y[0]) | m.gather(x[0, 0], 0, J[0] * 0)
x[0].scatter_add(0, J[0, 1], y[0]) | x[0].scatter_reduce(0, J[0, 1], y[0], "prod")
"""

IN_PLACE_ROWS = """
(x + 0).lerp_(y, 0.3) | (x + 0).addcmul_(y, z, value=0.5) | (x + 0).addcdiv_(y, r)
(x + 0).atan2_(y) | (x + 0).arctan2_(y) | (x + 0).hypot_(y) | (x + 0).xlogy_(r) | (u + 0).logit_()
(x + 0).sinc_() | (x + 0).float_power_(2) | (x + 0).ldexp_(I) | (x + 0).clamp_min_(0.1)
(x + 0).clamp_max_(0.1) | (x + 0).fmod_(0.7) | (O + 0).nan_to_num_() | (x + 0).copysign_(y)
(O + 0).heaviside_(Z) | (S + 0).nextafter_(-S) | (U + 0).gcd_(V) | (U + 0).lcm_(V)
(U + 0).bitwise_and_(V) | (U + 0).bitwise_or_(V) | (U + 0).bitwise_xor_(V)
(U + 0).bitwise_left_shift_(1) | (U + 0).bitwise_right_shift_(1) | (U + 0).bitwise_not_()
(x + 0).deg2rad_() | (x + 0).rad2deg_() | (x + 0).exp2_() | (x + 0).frac_() | (x + 0).cumprod_(1)
(x + 0).cumsum_(1) | (x + 0).eq_(y) | (x + 0).ne_(y) | (x + 0).lt_(y) | (x + 0).le_(y)
(x + 0).gt_(y) | (x + 0).ge_(y) | (x + 0).greater_(y) | (x + 0).greater_equal_(y)
(x + 0).less_(y) | (x + 0).less_equal_(y) | (x + 0).not_equal_(y) | (O + 0).logical_and_(M)
(O + 0).logical_or_(M) | (O + 0).logical_xor_(M) | (O + 0).logical_not_()
(x + 0).floor_divide_(0.7) | (x + 0).scatter_(1, J, z) | (x + 0).scatter_reduce_(1, J, z, "sum")
(x + 0).index_fill_(1, I, 3.0) | (x + 0).index_copy_(0, L, z)
(x + 0).index_put_((L[:1],), y, accumulate=True) | (x + 0).masked_scatter_(M, z)
(s + 0).fill_diagonal_(2.0) | (t + 0).fill_diagonal_(2.0, wrap=True)
(x @ h).addmm_(x, h, beta=0.5) | (y[:2] + 0).addmv_(x, r) | (x @ s + 0).addr_(y[:2], r)
(g + 0).baddbmm_(b, g) | (h + 0).addbmm_(b, g) | (x + 0).absolute_() | (x + 0).arccos_()
(p + 1).arccosh_() | (u + 0).arcsin_() | (x + 0).arcsinh_() | (x + 0).arctan_()
(u + 0).arctanh_() | (x + 0).negative_() | (x + 0).fix_() | (x + 0).multiply_(y)
(x + 0).divide_(r) | (x + 0).true_divide_(r) | (x + 0).subtract_(y) | (x + 0).sgn_()
(x + 0).div_(0.3, rounding_mode="floor") | (x + 0).add_(y, alpha=2)
(x + 0).index_add_(1, I, z, alpha=2) | (x + 0).round_(decimals=1)
"""
TEXTS = [row for line in (ROWS + IN_PLACE_ROWS).split("\n") for row in line.split(" | ") if row]


def composed(*tables):
    """The names of the registry's tables that the rows above are for."""
    found = {n for table in tables for n, f in table.items() if f.__module__ in MODULES}
    return found | {*SAME} | OTHERS | (set(re.findall(r"\.(\w+_)\(", IN_PLACE_ROWS)) - USUAL)


FILES = (
    arranging, complexes, creating, cutting, decompositions, elements, running, scattering, sets,
    statistics,
)  # fmt: skip
MODULES = {file.__name__ for file in FILES}
OTHERS = {
    "addmv", "addr", "baddbmm", "addbmm", "broadcast_tensors", "bernoulli", "normal", "bernoulli_",
    "exponential_", "random_",
}  # fmt: skip
USUAL = {"div_", "add_", "index_add_", "round_"}


def names_in(text):
    return [n for n in OPERANDS if re.search(rf"(?<![\w.\"']){n}(?![\w\"'=(])", text)]


def evaluated(text, m, make=None, **given):
    """The row, with `m` for a library; `given`: operands in place of the table's."""
    make = make or m.tensor
    scope = {n: given[n] if n in given else make(OPERANDS[n]) for n in names_in(text)}
    return eval(text, {"m": m, **scope})
