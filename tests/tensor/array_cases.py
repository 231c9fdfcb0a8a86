"""表: 配列の関数 1 つにつき 1 行以上。どの性質のテストも、この表のすべての行で行われる。

新しい関数には行を 1 つ足すだけでよい。`test_array_table.py` が、載っていない演算を見つける。
"""

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import micrograd_jp as mg
import micrograd_jp.nn.functional as nnF
from micrograd_jp import functions
from micrograd_jp.namespace.graph import on_graph
from micrograd_jp.ops import recurrent
from micrograd_jp.ops.primitive import elementwise_primitives
from micrograd_jp.ops.windows import Windows
from micrograd_jp.tensor.functions.linalg import linear
from micrograd_jp.tensor.functions.loss import softmax_cross_entropy
from micrograd_jp.tensor.run import run
from tests.reference import torch

T = mg.Tensor
REAL = (-2.0, 2.0)

F = torch.nn.functional


@dataclass(frozen=True)
class Case:
    """一つの関数と、それを試す入力の形。

    `torch` は同じ計算をする PyTorch の関数（なければ `None`）。`smooth` が偽の行は、
    2 階微分が恒等的に 0 など、勾配確認が一部を判定できない。
    """

    name: str
    f: Callable[..., Any]
    shapes: tuple[tuple[int, ...], ...]
    torch: Callable[..., Any] | None = None
    domain: Any = REAL

    def __repr__(self) -> str:
        return f"{self.name}{list(self.shapes)}"

    @property
    def empty(self) -> bool:
        return any(0 in shape for shape in self.shapes)

    def point(self) -> list[np.ndarray]:
        """Distinct numbers in the domain, the same in every run."""
        rng = np.random.default_rng(zlib.crc32(repr(self).encode()))
        domains = self.domain if isinstance(self.domain[0], tuple) else [self.domain] * 9
        sizes = [int(np.prod(shape, dtype=int)) for shape in self.shapes]
        places = np.split(
            (rng.permutation(sum(sizes)) + 0.37) / max(sum(sizes), 1), np.cumsum(sizes)
        )
        return [
            (low + (high - low) * share).reshape(shape)
            for share, shape, (low, high) in zip(places, self.shapes, domains)
        ]


def case(name: str, f: Any, *shapes: Any, torch: Any = None, domain: Any = REAL) -> Case:
    return Case(name, f, shapes, torch, domain)


def is_complex(case: Case) -> bool:
    """Whether the row computes with complex numbers, between pairs of real ones."""
    return case.name.startswith("complex") or case.name in (
        "real", "imag", "modulus", "fourier", "rfft", "irfft",
    )  # fmt: skip


def _complex(f: Any, m: Any) -> Any:
    """Of pairs of numbers: f of complex ones, and the pairs of what it gives."""
    return lambda *xs: m.view_as_real(m.resolve_conj(f(m, *map(m.view_as_complex, xs))))


def complex_case(name: str, f: Any, *shapes: Any, domain: Any = REAL) -> Case:
    return Case(name, _complex(f, mg), shapes, _complex(f, torch), domain)


def _written(x: Any, v: Any, write: Any) -> Any:
    t = x.clone()
    write(t, v)
    return t.clone()


# ---- 要素ごと: 宣言から作られる ------------------------------------------------------------------

_NAMES = {
    "add": torch.add, "sub": torch.sub, "mul": torch.mul, "div": torch.div, "pow": torch.pow,
    "neg": torch.neg, "clone": torch.clone, "relu": F.relu,
    "leaky_relu": lambda x, y: torch.where(x <= 0, y * x, x),
    "hard_sigmoid": lambda x: torch.clamp(x / 6 + 0.5, 0, 1), "softplus": F.softplus,
    "elu": lambda x, y: torch.where(x <= 0, y * torch.expm1(x), x),
    "gelu": F.gelu, "silu": F.silu, "mish": F.mish, "hardswish": F.hardswish, "abs": torch.abs,
    "clip": lambda x, y, w: torch.minimum(torch.maximum(x, y), w),
}  # fmt: skip


def _elementwise() -> list[Case]:
    rows = []
    layouts = {
        1: [((),), ((2, 3),), ((0, 2),)],
        2: [((2, 3), (3,)), ((2, 1), (1, 3)), ((), (2,)), ((2, 1), (0,))],
        3: [((2, 2), (2,), ()), ((1,), (0, 1), (1,))],
    }
    for op in elementwise_primitives():
        if op.name == "where":
            continue
        f = getattr(mg, op.name)
        oracle = _NAMES.get(op.name, getattr(torch, op.name, None))
        for shapes in layouts[op.arity]:
            rows.append(Case(op.name, f, shapes, oracle, op.domain))
    return rows


# ---- 配列の関数 ------------------------------------------------------------------------------

_MASK = np.array([[True, False, True], [False, True, True]])
_PICKS = np.array([2, 0, 2])
_CLASSES = np.array([2, 0, 3])
_STEPS = Windows((2, 2), (2, 1), ((1, 0), (0, 1)))
_RUNNING = np.array([[0.3, -0.2], [0.5, 1.5]])
_PLACES = np.array([[[[0, 3], [2, 1]]]])

ROWS = [
    case("where", lambda x, y: mg.where(_MASK, x, y), (2, 3), (3,),
         torch=lambda x, y: torch.where(torch.tensor(_MASK), x, y)),
    case("where", lambda x, y: mg.where(mg.tensor(_MASK), x, y), (), (2, 1),
         torch=lambda x, y: torch.where(torch.tensor(_MASK), x, y)),
    # put together from others
    case("square", lambda x: mg.square(x), (2, 3), torch=torch.square),
    case("reciprocal", lambda x: x.reciprocal(), (2, 3), torch=torch.reciprocal, domain=(0.5, 2.0)),
    case("rsqrt", lambda x: mg.rsqrt(x), (2, 0), torch=torch.rsqrt),
    case("rsqrt", lambda x: x.rsqrt(), (3,), torch=torch.rsqrt, domain=(0.5, 2.0)),
    case("clamp", lambda x: mg.clamp(x, -0.8, max=0.9), (2, 3), torch=lambda x: x.clamp(-0.8, 0.9)),
    case("clamp", lambda x: x.clamp(min=0.1), (3,), torch=lambda x: x.clamp(min=0.1)),
    case("ceil", lambda x: mg.ceil(x), (2, 3), torch=torch.ceil),
    case("trunc", lambda x: mg.trunc(x), (2, 3), torch=torch.trunc),
    case("round", lambda x: x.round(), (2, 3), torch=torch.round),
    case("remainder", lambda x, y: mg.remainder(x, y), (2, 3), (3,), torch=torch.remainder,
         domain=((-2.0, 2.0), (0.61, 0.93))),
    case("remainder", lambda x: x % -0.7, (4,), torch=lambda x: x % -0.7),
    case("floor_divide", lambda x, y: mg.floor_divide(x, y), (2, 3), (3,),
         torch=lambda x, y: (
             torch.floor(x / y) if x.is_floating_point() else torch.floor_divide(x, y)),
         domain=((-2.0, 2.0), (0.61, 0.93))),
    case("atan2", lambda x, y: mg.atan2(x, y), (2, 3), (3,), torch=torch.atan2),
    case("atan2", lambda x: x.atan2(0.7), (2,), torch=lambda x: x.atan2(torch.full_like(x, 0.7))),
    # decompositions
    case("eigh", lambda x: mg.linalg.eigh(x + x.T).eigenvectors ** 2, (2, 2),
         torch=lambda x: torch.linalg.eigh(x + x.T).eigenvectors ** 2),
    case("svd", lambda x: mg.linalg.svd(x, False).U ** 2, (3, 2),
         torch=lambda x: torch.linalg.svd(x, False).U ** 2),
    case("svd", lambda x: mg.linalg.svdvals(x), (1, 2), torch=torch.linalg.svdvals),
    case("qr", lambda x: mg.linalg.qr(x).R, (2, 3), torch=lambda x: torch.linalg.qr(x).R),
    case("qr", lambda x: mg.linalg.qr(x).Q, (3, 2), torch=lambda x: torch.linalg.qr(x).Q),
    case("pinv", lambda x: mg.linalg.pinv(x), (3, 2), torch=torch.linalg.pinv),
    case("pinv", lambda x: mg.linalg.pinv(x), (1, 2), torch=torch.linalg.pinv),
    # reduce
    case("sum", lambda x: x.sum(), (2, 3), torch=torch.sum),
    case("sum", lambda x: mg.sum(x, axis=1), (2, 3), torch=lambda x: x.sum(1)),
    case("sum", lambda x: x.sum((0, -1), keepdims=True), (2, 2, 3),
         torch=lambda x: x.sum((0, -1), keepdim=True)),
    case("sum", lambda x: x.sum(), (), torch=torch.sum),
    case("sum", lambda x: x.sum(0), (0, 2), torch=lambda x: x.sum(0)),
    case("sum", lambda x: x.sum(1), (0, 2), torch=lambda x: x.sum(1)),
    case("mean", lambda x: x.mean(), (2, 3), torch=torch.mean),
    case("mean", lambda x: mg.mean(x, 0), (2, 3), torch=lambda x: x.mean(0)),
    case("var", lambda x: x.var(), (2, 3), torch=torch.var),
    case("var", lambda x: x.var(1, 0, True), (2, 3),
         torch=lambda x: x.var(1, correction=0, keepdim=True)),
    case("std", lambda x: x.std(0), (3, 2), torch=lambda x: x.std(0)),
    case("amax", lambda x: x.amax(), (2, 3), torch=torch.amax),
    case("amax", lambda x: x.amax(1), (2, 3), torch=lambda x: x.amax(1)),
    case("amin", lambda x: x.amin(0, True), (2, 3), torch=lambda x: x.amin(0, keepdim=True)),
    case("norm", lambda x: x.norm(), (2, 3), torch=torch.linalg.vector_norm),
    case("norm", lambda x: x.norm(axis=1), (2, 3),
         torch=lambda x: torch.linalg.vector_norm(x, dim=1)),
    case("norm", lambda x: x.norm(2, 0, True), (2, 3), torch=lambda x: x.norm(2, 0, True)),
    case("norm", lambda x: mg.norm(x, 1), (2, 3), torch=lambda x: torch.norm(x, 1)),
    case("norm", lambda x: x.norm(np.inf, 1), (2, 3), torch=lambda x: x.norm(np.inf, 1)),
    case("norm", lambda x: x.norm(-np.inf), (2, 3), torch=lambda x: x.norm(-np.inf)),
    case("norm", lambda x: x.norm(0) * x.sum(), (2, 3), torch=lambda x: x.norm(0) * x.sum()),
    case("logsumexp", lambda x: mg.logsumexp(x), (2, 3), torch=lambda x: x.logsumexp((0, 1))),
    case("logsumexp", lambda x: x.logsumexp(0, True), (2, 3),
         torch=lambda x: x.logsumexp(0, keepdim=True)),
    case("softmax", lambda x: mg.softmax(x), (2, 3), torch=lambda x: x.softmax(-1)),
    case("softmax", lambda x: x.softmax(0), (2, 3), torch=lambda x: x.softmax(0)),
    case("log_softmax", lambda x: mg.log_softmax(x, 0), (2, 3), torch=lambda x: x.log_softmax(0)),
    case("cumsum", lambda x: mg.cumsum(x, 1), (2, 3), torch=lambda x: x.cumsum(1)),
    case("cumsum", lambda x: x.cumsum(-2), (3, 1), torch=lambda x: x.cumsum(-2)),
    case("cumsum", lambda x: x.cumsum(0), (0, 2), torch=lambda x: x.cumsum(0)),
    case("prod", lambda x: x.prod(), (2, 3), torch=torch.prod),
    case("prod", lambda x: mg.prod(x, 1), (2, 3), torch=lambda x: x.prod(1)),
    case("prod", lambda x: (x * _MASK).prod(0, True), (2, 3),  # with zeros
         torch=lambda x: (x * torch.tensor(_MASK)).prod(0, keepdim=True)),
    case("prod", lambda x: x.prod(0), (0, 2), torch=lambda x: x.prod(0)),
    case("max", lambda x: x.max(), (2, 3), torch=torch.amax),
    case("max", lambda x, y: mg.max(x, y), (2, 3), (3,), torch=torch.max),
    case("min", lambda x, y: x.min(y), (2, 3), (), torch=torch.min),
    case("max", lambda x: mg.max(x, 1).values, (2, 3), torch=lambda x: x.max(1).values),
    case("min", lambda x: x.min(0, True).values, (2, 3), torch=lambda x: x.min(0, True).values),
    case("min", lambda x: mg.min(x), (2, 3), torch=torch.amin),
    case("mean", lambda x: x.mean(dim=1, keepdim=True), (2, 3),
         torch=lambda x: x.mean(dim=1, keepdim=True)),
    # shape
    case("reshape_as", lambda x, y: x.reshape_as(y) * y, (2, 3), (3, 2),
         torch=lambda x, y: x.reshape_as(y) * y),
    case("view_as", lambda x, y: x.view_as(y) * y, (2, 3), (6,),
         torch=lambda x, y: x.view_as(y) * y),
    case("expand_as", lambda x, y: mg.expand_as(x, y) * y, (3,), (2, 3),
         torch=lambda x, y: x.expand_as(y) * y),
    case("ravel", lambda x: mg.ravel(x) * 2.0, (2, 3), torch=lambda x: x.ravel() * 2.0),
    case("contiguous", lambda x: mg.contiguous(x.T) * 2.0, (2, 3),
         torch=lambda x: x.T.contiguous() * 2.0),
    case("transpose", lambda x: x.transpose(0, 1), (2, 3), torch=lambda x: x.transpose(0, 1)),
    case("transpose", lambda x: mg.transpose(x, -1, 0), (2, 1, 3),
         torch=lambda x: x.transpose(-1, 0)),
    case("transpose", lambda x: x.transpose((0, 1)) * 2.0, (2, 3), torch=lambda x: x * 2.0),
    case("t", lambda x: x.t(), (2, 3), torch=lambda x: x.t()),
    case("reshape", lambda x: mg.reshape(x, (3, -1)), (2, 3), torch=lambda x: x.reshape(3, -1)),
    case("reshape", lambda x: x.reshape(1, 1), (), torch=lambda x: x.reshape(1, 1)),
    case("reshape", lambda x: x.reshape(0, 7), (2, 0), torch=lambda x: x.reshape(0, 7)),
    case("transpose", lambda x: x.T, (2, 3), torch=lambda x: x.T),
    case("transpose", lambda x: x.transpose(2, 0, 1), (2, 1, 3),
         torch=lambda x: x.permute(2, 0, 1)),
    case("transpose", lambda x: mg.transpose(x), (3, 2), torch=lambda x: x.T),
    case("swapaxes", lambda x: x.swapaxes(0, -1), (2, 1, 3), torch=lambda x: x.swapaxes(0, -1)),
    case("mT", lambda x: x.mT, (2, 1, 3), torch=lambda x: x.mT),
    case("broadcast_to", lambda x: mg.broadcast_to(x, (2, 2, 3)), (2, 1),
         torch=lambda x: x.broadcast_to(2, 2, 3)),
    case("broadcast_to", lambda x: x.broadcast_to(2, 0), (1,),
         torch=lambda x: x.broadcast_to(2, 0)),
    case("flip", lambda x: x.flip(), (2, 3), torch=lambda x: x.flip(0, 1)),
    case("flip", lambda x: mg.flip(x, 1), (2, 3), torch=lambda x: x.flip(1)),
    case("roll", lambda x: mg.roll(x, 1, 0), (3, 2), torch=lambda x: x.roll(1, 0)),
    case("roll", lambda x: mg.roll(x, (1, -1), (0, 1)), (3, 2),
         torch=lambda x: x.roll((1, -1), (0, 1))),
    case("concatenate", lambda *xs: mg.concatenate(xs, 1), (2, 1), (2, 3), (2, 0),
         torch=lambda *xs: torch.cat(xs, 1)),
    case("cat", lambda x, y: mg.cat([x, y], 0), (1, 2), (2, 2),
         torch=lambda x, y: torch.cat([x, y])),
    case("concatenate", lambda x: mg.concatenate([x, x]), (2, 3),
         torch=lambda x: torch.cat([x, x])),
    case("concatenate", lambda *xs: mg.concatenate(xs, -1), (2,), (3,),
         torch=lambda *xs: torch.cat(xs)),
    case("stack", lambda *xs: mg.stack(xs, 1), (2, 3), (2, 3),
         torch=lambda *xs: torch.stack(xs, 1)),
    case("stack", lambda x, y: mg.stack([x, y, x], -1), (2,), (2,),
         torch=lambda x, y: torch.stack([x, y, x], -1)),
    case("stack", lambda *xs: mg.stack(xs), (), (), torch=lambda *xs: torch.stack(xs)),
    case("pad", lambda x: mg.pad(x, [(1, 0), (0, 2)], 1.5), (2, 3),
         torch=lambda x: F.pad(x, (0, 2, 1, 0), value=1.5)),
    case("view", lambda x: x.view(3, 2), (2, 3), torch=lambda x: x.view(3, 2)),
    case("flatten", lambda x: mg.flatten(x), (2, 1, 3), torch=torch.flatten),
    case("flatten", lambda x: x.flatten(1), (2, 1, 3), torch=lambda x: x.flatten(1)),
    case("squeeze", lambda x: mg.squeeze(x), (1, 2, 1), torch=torch.squeeze),
    case("squeeze", lambda x: x.squeeze(-1), (1, 2, 1), torch=lambda x: x.squeeze(-1)),
    case("unsqueeze", lambda x: mg.unsqueeze(x, -1), (2,), torch=lambda x: x.unsqueeze(-1)),
    case("permute", lambda x: x.permute(1, 2, 0), (2, 1, 3), torch=lambda x: x.permute(1, 2, 0)),
    case("movedim", lambda x: mg.movedim(x, 0, -1), (2, 1, 3), torch=lambda x: x.movedim(0, -1)),
    case("expand", lambda x: x.expand(2, 3), (2, 1), torch=lambda x: x.expand(2, 3)),
    case("roll", lambda x: mg.roll(x, 2), (2, 3), torch=lambda x: x.roll(2)),
    case("tile", lambda x: mg.tile(x, 2, 3), (2, 1), torch=lambda x: x.tile(2, 3)),
    case("split", lambda x: mg.split(x, 2, 1)[1] * 2.0, (2, 3),
         torch=lambda x: x.split(2, 1)[1] * 2.0),
    case("split", lambda x: mg.matmul(*mg.split(x, [1, 2])[::-1]), (3, 2, 2),
         torch=lambda x: torch.matmul(*x.split([1, 2])[::-1])),
    case("tril", lambda x: mg.tril(x), (3, 3), torch=torch.tril),
    case("tril", lambda x: mg.tril(x, 1), (2, 2, 3), torch=lambda x: x.tril(1)),
    case("triu", lambda x: mg.triu(x, -1), (3, 3), torch=lambda x: x.triu(-1)),
    # index
    case("getitem", lambda x: x[1], (2, 3), torch=lambda x: x[1]),
    case("getitem", lambda x: x[-1, ..., None], (2, 3), torch=lambda x: x[-1, ..., None]),
    case("getitem", lambda x: x[:, ::-2], (2, 3), torch=lambda x: x.flip(1)[:, ::2]),
    case("getitem", lambda x: x[..., 1:], (2, 3), torch=lambda x: x[..., 1:]),
    case("getitem", lambda x: x[_PICKS], (3, 2), torch=lambda x: x[torch.tensor(_PICKS)]),
    case("getitem", lambda x: x[[0, 1, 0], [2, 2, 2]], (2, 3),
         torch=lambda x: x[[0, 1, 0], [2, 2, 2]]),
    case("getitem", lambda x: x[mg.tensor(_MASK)], (2, 3), torch=lambda x: x[torch.tensor(_MASK)]),
    case("getitem", lambda x: x[x.detach() > 0], (2, 3), torch=lambda x: x[x > 0]),
    case("getitem", lambda x: x[1:1], (2, 3), torch=lambda x: x[1:1]),
    case("getitem", lambda x: x[()], (), torch=lambda x: x[()]),
    case("getitem", lambda x: mg.getitem(x, (slice(None), 0)), (2, 3), torch=lambda x: x[:, 0]),
    case("scattered", lambda g: mg.scattered(g, (_PICKS,), (4,)), (3,),
         torch=lambda g: torch.zeros(4, dtype=g.dtype).index_add(0, torch.tensor(_PICKS), g)),
    case("scattered", lambda g: mg.scattered(g, (slice(1, 3),), (4, 2)), (2, 2),
         torch=lambda g: F.pad(g, (0, 0, 1, 1))),
    *[
        case(name, lambda x, v, w=w: _written(x, v, w), (3, 4), shape,
             torch=lambda x, v, w=w: _written(x, v, w))
        for name, w, shape in [
            ("assigned", lambda t, v: t.__setitem__(1, v), (4,)),
            ("assigned", lambda t, v: t.__setitem__((..., 0), v), ()),
            ("assigned", lambda t, v: t[:, 1].copy_(v), (3,)),
            ("zeroed", lambda t, v: t.T.__setitem__(slice(1, 3), v), (1, 1, 3)),
            ("current", lambda t, v: t.mul_(v), (4,)),
            ("current", lambda t, v: t[2].reshape(2, 2)[:, 1].add_(v), (2,)),
        ]
    ],
    # PyTorch refuses to go back through t[i - 1] itself: it counts the writes to all of t.
    case("assigned", lambda x, v: _written(
            x, v, lambda t, v: [t.__setitem__(i, t[i - 1] * v) for i in (1, 2)]), (3, 4), (4,),
         torch=lambda x, v: _written(
            x, v, lambda t, v: [t.__setitem__(i, t[i - 1].clone() * v) for i in (1, 2)])),
    case("zeroed", lambda x: on_graph.zeroed(x, (slice(1, None),)), (3, 2),
         torch=lambda x: F.pad(x[:1], (0, 0, 0, 2))),
    case("take", lambda x: mg.take(x, _PICKS, 1), (2, 3), torch=lambda x: x[:, _PICKS]),
    case("take", lambda x: mg.take(x, [[0, 5], [5, 2]]), (2, 3),
         torch=lambda x: x.take(torch.tensor([[0, 5], [5, 2]]))),
    case("repeat", lambda x: mg.repeat(x, 2, axis=0), (2, 2),
         torch=lambda x: x.repeat_interleave(2, 0)),
    case("repeat", lambda x: x.repeat(2, 1, 2), (2, 3), torch=lambda x: x.repeat(2, 1, 2)),
    case("repeat_interleave", lambda x: x.repeat_interleave([2, 0, 1], 1), (2, 3),
         torch=lambda x: x.repeat_interleave(torch.tensor([2, 0, 1]), 1)),
    case("gather", lambda x: mg.gather(x, 1, [[2, 2], [0, 1]]), (2, 3),
         torch=lambda x: x.gather(1, torch.tensor([[2, 2], [0, 1]]))),
    case("scatter_add", lambda x, y: mg.scatter_add(x, 0, [[1, 1, 0], [1, 0, 0]], y),
         (2, 3), (2, 3),
         torch=lambda x, y: x.scatter_add(0, torch.tensor([[1, 1, 0], [1, 0, 0]]), y)),
    case("index_add", lambda x, y: mg.index_add(x, 1, _PICKS, y), (2, 3), (2, 3),
         torch=lambda x, y: x.index_add(1, torch.tensor(_PICKS), y)),
    case("index_select", lambda x: mg.index_select(x, dim=1, index=_PICKS), (2, 3),
         torch=lambda x: x.index_select(1, torch.tensor(_PICKS))),
    case("masked_fill", lambda x: x.masked_fill(mg.tensor(_MASK), -1.5), (2, 3),
         torch=lambda x: x.masked_fill(torch.tensor(_MASK), -1.5)),
    case("masked_fill", lambda x, y: mg.masked_fill(x, _MASK[0], y), (2, 3), (),
         torch=lambda x, y: x.masked_fill(torch.tensor(_MASK[0]), y)),
    case("masked_select", lambda x: mg.masked_select(x, _MASK[0]) * 2.0, (2, 3),
         torch=lambda x: x.masked_select(torch.tensor(_MASK[0])) * 2.0),
    case("unbind", lambda x: mg.unbind(x, 1)[2] * 2.0, (2, 3),
         torch=lambda x: x.unbind(1)[2] * 2.0),
    case("chunk", lambda x: x.chunk(2, dim=1)[0] * 2.0, (2, 3),
         torch=lambda x: x.chunk(2, dim=1)[0] * 2.0),
    case("diagonal", lambda x: mg.diagonal(x, 1), (3, 3), torch=lambda x: x.diagonal(1)),
    case("diagonal", lambda x: x.diagonal(-1, 1, 2), (2, 3, 2),
         torch=lambda x: x.diagonal(-1, 1, 2)),
    case("trace", lambda x: mg.trace(x), (3, 3), torch=torch.trace),
    case("sort", lambda x: mg.sort(x).values, (2, 3), torch=lambda x: x.sort().values),
    case("sort", lambda x: x.sort(0, True).values, (3, 2), torch=lambda x: x.sort(0, True).values),
    case("topk", lambda x: mg.topk(x, 2).values, (2, 3), torch=lambda x: x.topk(2).values),
    # linear algebra
    case("matmul", lambda a, b: a @ b, (2, 3), (3, 2), torch=torch.matmul),
    case("matmul", lambda a, b: a @ b, (3,), (3,), torch=torch.matmul),
    case("matmul", lambda a, b: a @ b, (2, 3), (3,), torch=torch.matmul),
    case("matmul", lambda a, b: mg.matmul(a, b), (3,), (2, 3, 2), torch=torch.matmul),
    case("matmul", lambda a, b: a @ b, (2, 1, 1, 2), (3, 2, 1), torch=torch.matmul),
    case("matmul", lambda a: a @ a, (2, 2), torch=lambda a: a @ a),
    case("matmul", lambda a, b: a @ b, (2, 0), (0, 3), torch=torch.matmul),
    case("matmul", lambda a, b: a @ b, (0, 2), (2, 3), torch=torch.matmul),
    case("mm", lambda a, b: mg.mm(a, b), (2, 3), (3, 2), torch=torch.mm),
    case("mv", lambda a, b: a.mv(b), (2, 3), (3,), torch=torch.mv),
    case("bmm", lambda a, b: mg.bmm(a, b), (2, 1, 3), (2, 3, 2), torch=torch.bmm),
    case("addmm", lambda x, a, b: mg.addmm(x, a, b), (2,), (3, 2), (2, 2), torch=torch.addmm),
    case("addmm", lambda x, a, b: x.addmm(a, b, beta=0.5, alpha=2), (3, 2), (3, 2), (2, 2),
         torch=lambda x, a, b: torch.addmm(x, a, b, beta=0.5, alpha=2)),
    case("linear", linear, (2, 3), (4, 3), (4,), torch=F.linear),
    case("linear", linear, (2, 3), (2, 3), torch=F.linear),
    case("linear", linear, (3,), (2, 3), (2,), torch=F.linear),
    case("linear", linear, (2, 1, 2), (3, 2), (3,), torch=F.linear),
    case("linear", linear, (2, 0), (3, 0), (3,), torch=F.linear),
    case("linear", linear, (0, 2), (3, 2), (3,), torch=F.linear),
    case("dot", lambda a, b: a.dot(b), (3,), (3,), torch=torch.dot),
    case("dot", lambda a, b: mg.dot(a, b), (2, 3), (2, 3, 2),
         torch=lambda a, b: torch.tensordot(a, b, ([1], [1]))),
    case("outer", lambda a, b: mg.outer(a, b), (2,), (3,), torch=torch.outer),
    case("tensordot", lambda a, b: mg.tensordot(a, b, 2), (2, 3, 2), (3, 2, 2),
         torch=lambda a, b: torch.tensordot(a, b, 2)),
    case("tensordot", lambda a, b: mg.tensordot(a, b, ((0,), (-1,))), (3, 2), (2, 3),
         torch=lambda a, b: torch.tensordot(a, b, ([0], [-1]))),
    *[
        case("einsum", lambda *xs, spec=spec: mg.einsum(spec, *xs), *shapes,
             torch=lambda *xs, spec=spec: torch.einsum(spec, *xs))
        for spec, *shapes in [
            ("ij,jk->ik", (2, 3), (3, 2)), ("bij,bjk->bki", (2, 2, 3), (2, 3, 1)),
            ("i,i", (3,), (3,)),
            ("ij->", (2, 3)), ("ii->i", (3, 3)), ("ii", (2, 2)), ("ij->ji", (2, 3)),
            ("i,j,k->kij", (2,), (2,), (3,)), ("ij,ij,kl->k", (2, 3), (2, 3), (2, 2)),
            ("ij,jk->ik", (2, 0), (0, 2)),
            ("...ij,...jk", (1, 2, 3), (2, 3, 2)), ("i...,i...->...i", (2, 3, 1), (2, 2)),
            ("...ii->i", (2, 2, 2)), ("b...,...->b", (2, 3), (3,)),
        ]
    ],
    case("solve", lambda a, b: mg.solve(a + 4 * mg.eye(3, dtype=a.dtype), b), (3, 3), (3,),
         torch=lambda a, b: torch.linalg.solve(a + 4 * torch.eye(3, dtype=a.dtype), b)),
    case("solve", lambda a, b: mg.solve(a + 4 * mg.eye(2, dtype=a.dtype), b), (2, 2), (3, 2, 1),
         torch=lambda a, b: torch.linalg.solve(a + 4 * torch.eye(2, dtype=a.dtype), b)),
    case("inv", lambda a: mg.inv(a + 4 * mg.eye(2, dtype=a.dtype)), (2, 2, 2),
         torch=lambda a: torch.linalg.inv(a + 4 * torch.eye(2, dtype=a.dtype))),
    case("det", lambda a: mg.det(a), (3, 3), torch=torch.linalg.det),
    case("det", lambda a: a.det(), (2, 2, 2), torch=torch.linalg.det),
    case("cofactors", lambda a: mg.cofactors(a), (2, 2),
         torch=lambda a: torch.linalg.det(a) * torch.linalg.inv(a).T),
    case("logabsdet", lambda a: mg.logabsdet(a), (3, 3),
         torch=lambda a: torch.linalg.slogdet(a)[1]),
    case("slogdet", lambda a: mg.slogdet(a)[0], (3, 3),
         torch=lambda a: torch.sign(torch.linalg.det(a))),
    case("slogdet", lambda a: mg.slogdet(a)[1], (2, 2, 2),
         torch=lambda a: torch.linalg.slogdet(a)[1]),
    case("cholesky", lambda a: mg.cholesky(a @ a.mT + mg.eye(3, dtype=a.dtype)), (3, 3),
         torch=lambda a: torch.linalg.cholesky(a @ a.mT + torch.eye(3, dtype=a.dtype))),
    case("cholesky", lambda a: (a @ a.mT + mg.eye(2, dtype=a.dtype)).cholesky(), (2, 2, 2),
         torch=lambda a: torch.linalg.cholesky(a @ a.mT + torch.eye(2, dtype=a.dtype))),
    # losses
    case("cross_entropy", lambda x: softmax_cross_entropy(x, _CLASSES), (3, 4),
         torch=lambda x: F.cross_entropy(x, torch.tensor(_CLASSES), reduction="none")),
    case("cross_entropy", lambda x: softmax_cross_entropy(x, _CLASSES[:0]), (0, 4),
         torch=lambda x: F.cross_entropy(x, torch.tensor(_CLASSES[:0]), reduction="none")),
    case("soft_cross_entropy", softmax_cross_entropy, (2, 3), (2, 3),
         torch=lambda x, q: F.cross_entropy(x, q, reduction="none")),
    case("soft_cross_entropy", softmax_cross_entropy, (0, 3), (0, 3),
         torch=lambda x, q: F.cross_entropy(x, q, reduction="none")),
    # recurrent layers, packed: (2, 1) rows at the two times
    *[
        case("rnn", lambda x, w, h, how=how: run(recurrent.rnn, x, w, h, sizes=(2, 1), **how),
             (3, 1), (1, 1), (2, 1))
        for how in ({"relu": False, "backwards": False}, {"relu": True, "backwards": True})
    ],
    *[
        case("lstm", lambda *xs, back=back: run(
            recurrent.lstm, *xs, sizes=(2, 1), backwards=back), (3, 4 * n), (4 * n, 1), (2, 1),
            (2, n), *more)
        for back, n, more in ((False, 1, ()), (True, 2, ((1, 2),)))
    ],
    *[
        case("gru", lambda *xs, back=back: run(
            recurrent.gru, *xs, sizes=(2, 1), backwards=back), (3, 3), (3, 1), (2, 1), *more)
        for back, more in ((False, ((3,),)), (True, ()))
    ],
    # sliding windows
    case("convolved", lambda x, w, b: nnF.conv2d(x, w, b, padding=1), (2, 1, 3, 2), (2, 1, 3, 3),
         (2,), torch=lambda x, w, b: F.conv2d(x, w, b, padding=1)),
    case("convolved", lambda x, w: nnF.conv2d(x, w, stride=(2, 1), dilation=(1, 2), groups=2),
         (1, 2, 3, 3), (2, 1, 2, 2),
         torch=lambda x, w: F.conv2d(x, w, stride=(2, 1), dilation=(1, 2), groups=2)),
    case("convolved", lambda x, w: nnF.conv2d(x, w), (0, 1, 2, 2), (3, 1, 1, 1), torch=F.conv2d),
    case("convolved_back", lambda x, w, b: nnF.conv_transpose2d(x, w, b, 2, 1, 1, 1),
         (2, 1, 2, 2), (1, 2, 3, 2), (2,),
         torch=lambda x, w, b: F.conv_transpose2d(x, w, b, 2, 1, 1, 1)),
    case("convolved_back", lambda x, w: nnF.conv_transpose2d(x, w), (1, 2, 1, 1), (2, 1, 2, 2),
         torch=F.conv_transpose2d),
    case("correlated", lambda x, g: functions.correlated(x, g, windows=_STEPS, groups=1),
         (1, 2, 3, 2), (1, 1, 2, 2),
         torch=lambda x, g: torch.nn.grad.conv2d_weight(
             F.pad(x, (0, 1, 1, 0)), (1, 2, 2, 2), g, (2, 1))),
    case("window_max", lambda x: nnF.max_pool2d(x, 2), (2, 1, 4, 5),
         torch=lambda x: F.max_pool2d(x, 2)),
    case("window_max", lambda x: nnF.max_pool2d(x, 3, 1, 1, ceil_mode=True), (1, 2, 2, 3),
         torch=lambda x: F.max_pool2d(x, 3, 1, 1, ceil_mode=True)),
    case("window_pick", lambda x: functions.window_pick(
        x, places=_PLACES, windows=Windows((2, 2))), (1, 1, 3, 3),
         torch=lambda x: x[..., [[0, 1], [2, 1]], [[0, 2], [0, 2]]]),
    case("window_drop", lambda g: functions.window_drop(
        g, places=_PLACES, windows=Windows((2, 2)), size=(3, 3)),
         (1, 1, 2, 2)),
    case("window_sum", lambda x: nnF.avg_pool2d(x, 2, 1, 1, count_include_pad=False), (2, 1, 2, 3),
         torch=lambda x: F.avg_pool2d(x, 2, 1, 1, count_include_pad=False)),
    case("window_sum", lambda x: nnF.adaptive_avg_pool2d(x, (2, 1)), (2, 1, 3, 2),
         torch=lambda x: F.adaptive_avg_pool2d(x, (2, 1))),
    case("window_spread", lambda g: functions.window_spread(
        g, windows=_STEPS, size=(3, 2)), (1, 2, 2, 2)),
    case("local_response_norm", lambda x: nnF.local_response_norm(x, 2, 0.5, 0.6, 1.2),
         (2, 3, 1, 2), torch=lambda x: F.local_response_norm(x, 2, 0.5, 0.6, 1.2)),
    # normalization
    case("batch_norm",
         lambda x, w, b: nnF.batch_norm(x, None, None, w, b, training=True, eps=0.3),
         (3, 2, 2), (2,), (2,),
         torch=lambda x, w, b: F.batch_norm(x, None, None, w, b, training=True, eps=0.3)),
    case("batch_norm", lambda x, w, b: nnF.batch_norm(x, *_RUNNING, w, b, eps=0.3),
         (2, 2, 1, 2), (2,), (2,),
         torch=lambda x, w, b: F.batch_norm(x, *map(torch.tensor, _RUNNING), w, b, eps=0.3)),
    case("batch_normalized_back",
         lambda g, x, w: functions.batch_normalized_back(
             g, x, w, mean=_RUNNING[0], var=_RUNNING[1], eps=0.3, batch=True)[0],
         (3, 2), (3, 2), (2,)),
    case("layer_norm", lambda x: nnF.layer_norm(x, 3, eps=0.3), (2, 3),
         torch=lambda x: F.layer_norm(x, (3,), eps=0.3)),
    case("layer_norm", lambda x, w, b: nnF.layer_norm(x, (2, 3), w, b, eps=0.3),
         (2, 2, 3), (2, 3), (2, 3), torch=lambda x, w, b: F.layer_norm(x, (2, 3), w, b, eps=0.3)),
    # kinds
    case("astype", lambda x: mg.astype(x, np.float32).astype(np.float64) * 1.0, (0,)),
    case("item", lambda x: x.to_value() * 2.0, ()),
    case("item", lambda x: mg.stack([x[0].to_value(), x[1, ].to_value().exp()]), (2,),
         torch=lambda x: torch.stack([x[0], x[1].exp()])),
    # complex numbers, as pairs of real ones
    case("real", lambda x: mg.view_as_complex(x).real ** 2, (3, 2),
         torch=lambda x: torch.view_as_complex(x).real ** 2),
    case("imag", lambda x: mg.view_as_complex(x).imag ** 2, (3, 2),
         torch=lambda x: torch.view_as_complex(x).imag ** 2),
    case("modulus", lambda x: mg.view_as_complex(x).abs(), (3, 2),
         torch=lambda x: torch.view_as_complex(x).abs()),
    case("complex", lambda x, y: mg.view_as_real(mg.complex(x, y) ** 2), (2, 1), (3,),
         torch=lambda x, y: torch.view_as_real(torch.complex(*torch.broadcast_tensors(x, y)) ** 2)),
    complex_case("complex conj", lambda m, x: m.conj(x) * x, (2, 2)),
    complex_case("complex pow", lambda m, x, y: x**y, (2, 2), (2, 2), domain=(0.3, 2.0)),
    complex_case("complex pow", lambda m, x: x**2 - x**3 + x**0, (2, 2)),
    complex_case("complex det", lambda m, x: m.linalg.det(x), (2, 2, 2)),
    complex_case("fourier", lambda m, x: m.fft.fft(x, 4, norm="ortho"), (2, 3, 2)),
    complex_case("fourier", lambda m, x: m.fft.ifft2(x, (2, -1), norm="forward"), (3, 2, 2)),
    case("rfft", lambda x: mg.view_as_real(mg.fft.rfft(x, norm="forward")), (2, 5),
         torch=lambda x: torch.view_as_real(torch.fft.rfft(x, norm="forward"))),
    case("rfft", lambda x: mg.view_as_real(mg.fft.ihfft(x, 4, dim=0)), (3, 2),
         torch=lambda x: torch.view_as_real(
             torch.resolve_conj(torch.fft.ihfft(x, 4, dim=0)))),
    case("irfft", lambda x: mg.fft.irfft(mg.view_as_complex(x), 5), (3, 2),
         torch=lambda x: torch.fft.irfft(torch.view_as_complex(x), 5)),
    case("irfft", lambda x: mg.fft.hfft2(mg.view_as_complex(x), norm="ortho"), (2, 3, 2),
         torch=lambda x: torch.fft.hfft2(torch.view_as_complex(x), norm="ortho")),
    complex_case("complex mul", lambda m, x, y: x * y.T / (y.T - 3j), (2, 3, 2), (3, 2, 2)),
    complex_case("complex exp", lambda m, x: m.exp(x) * m.log(m.sqrt(x * x + 9) + 3), (3, 2)),
    complex_case("complex matmul", lambda m, x, y: x @ y.mH + m.real(x).sum(),
                 (2, 3, 2), (2, 3, 2)),
    complex_case("complex linear", lambda m, x, w: m.nn.functional.linear(x, w),
                 (2, 2, 2), (1, 2, 2)),
    complex_case("complex einsum", lambda m, x, y: m.einsum("ij,kj->ki", x, y),
                 (2, 3, 2), (1, 3, 2)),
    complex_case("complex inv", lambda m, x: m.linalg.inv(x + 4j * m.eye(2)), (2, 2, 2)),
    complex_case("complex solve", lambda m, x, y: m.linalg.solve(x + 4 * m.eye(2), y),
                 (2, 2, 2), (2, 1, 2)),
    # one node used twice, mixed kinds
    case("shared", lambda x: x * x + x.T @ x.sum(0), (2, 2),
         torch=lambda x: x * x + x.T @ x.sum(0)),
    case("shared", lambda x: mg.softmax(x @ x.T).reshape(-1)[1:] * x.mean(), (2, 3),
         torch=lambda x: (x @ x.T).softmax(-1).reshape(-1)[1:] * x.mean()),
]  # fmt: skip

CASES = [*_elementwise(), *ROWS]
