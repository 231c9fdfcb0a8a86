"""表: 登録された演算 1 つにつき 1 行以上の例。新しい演算は、行を足すまでテストが落ちる。"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import micrograd_jp as mg
from micrograd_jp.ops.primitive import Primitive, array_ops, elementwise_primitives, lookup
from micrograd_jp.ops.windows import Windows
from micrograd_jp.tensor import run

Interval = tuple[float, float]
ANY = (-2.0, 2.0)
POSITIVE = (0.3, 2.0)


@dataclass(frozen=True)
class Example:
    """One primitive, the shapes of its arrays and its parameters."""

    op: Primitive
    shapes: tuple[tuple[int, ...], ...]
    domains: tuple[Interval, ...]
    params: dict[str, Any] = field(default_factory=dict)
    make: Callable[[list[Any]], list[Any]] = list

    def __repr__(self) -> str:
        return f"{self.op.name}{list(self.shapes)}{self.params or ''}"

    def arrays(self, dtype: Any) -> list[Any]:
        """Distinct numbers inside the domains, the same in every run."""
        rng = np.random.default_rng(zlib.crc32(repr(self).encode()))
        xs = [
            rng.uniform(low, high, shape).astype(dtype)
            for shape, (low, high) in zip(self.shapes, self.domains)
        ]
        return self.make(xs)


def example(
    name: str, *shapes: Any, domain: Interval = ANY, make: Any = list, **params: Any
) -> Any:
    return Example(lookup(f"tensor.{name}"), shapes, (domain,) * len(shapes), params, make)


def _elementwise() -> list[Example]:
    layouts = {
        1: [((2, 3),), ((),)],
        2: [((2, 3), (3,)), ((2, 1), (0,))],
        3: [((2, 3), (3,), (2, 1))],
    }
    return [
        Example(op, shapes, op.domain, make=_condition_first if op.name == "where" else list)
        for op in elementwise_primitives()
        for shapes in layouts[op.arity]
    ]


def _condition_first(xs: list[Any]) -> list[Any]:
    return [xs[0] > 0.5, *xs[1:]]


def _complex(xs: list[Any]) -> list[Any]:
    return [x + x.dtype.type(1) * 1j * (1 + x[::-1]) for x in xs]


def _one_complex(xs: list[Any]) -> list[Any]:
    return [xs[0] + 1j * xs[1]]


def _well_conditioned(a: Any) -> Any:
    return a + 4 * np.eye(a.shape[-1], dtype=a.dtype)


def _positive_definite(a: Any) -> Any:
    return a @ a.swapaxes(-1, -2) + np.eye(a.shape[-1], dtype=a.dtype)


_PICKS = np.array([2, 0, 2])
_MANY = np.arange(150) % 2  # so many in one place that JAX adds them up in groups
_STEPS = Windows((2, 3), (2, 1), ((1, 0), (0, 1)), (1, 2))
_WIDE = Windows((2, 2), padding=((3, 0), (0, 2)))  # more windows than pixels, on one side
_PLACES = np.array([[[[0, 3], [2, 1]]]])

ROWS = [
    example("sum", (2, 3), axis=(1,)),
    example("sum", (2, 0), axis=(0, 1)),
    example("mean", (2, 3), axis=(1,)),
    example("amax", (2, 3), axis=(1,)),
    example("amin", (2, 3), axis=(0, 1)),
    example("logsumexp", (2, 3), axis=(0,)),
    example("norm", (2, 3), axis=(1,)),
    example("sum_of_squared_deviations", (2, 3), axis=(1,)),
    example("norm_of_deviations", (2, 3), axis=(0,)),
    example("standardized", (2, 3, 2), axis=(1, 2), eps=1e-5),
    example("layer_norm", (2, 3, 2), (3, 2), (3, 2), axis=(1, 2), eps=1e-5),
    example("cumsum", (2, 3), axis=1),
    example("log_softmax", (2, 3), axis=(1,)),
    example("softmax", (2, 3), axis=(0,)),
    example("remainder", (2, 3), (3,), domain=POSITIVE),
    example("floor_divide", (2, 3), (3,), domain=POSITIVE),
    example("atan2", (2, 3), (3,)),
    example("eigh", (2, 3, 3), make=lambda xs: [_positive_definite(xs[0])]),
    example("svd", (3, 2)),
    example("qr", (3, 2)),
    example("pinv", (3, 2), atol=0.0, rtol=1e-12),
    example("reshape", (2, 3), shape=(3, 2)),
    example("transpose", (2, 1, 3), axes=(2, 0, 1)),
    example("broadcast_to", (2, 1), shape=(3, 2, 2)),
    example("flip", (2, 3), axis=(0, 1)),
    example("roll", (3, 2), shift=(1, -1), axis=(0, 1)),
    example("concatenate", (2, 1), (2, 3), axis=1),
    example("stack", (2, 3), (2, 3), axis=1),
    example("pad", (2, 3), widths=((1, 0), (0, 2)), value=1.5),
    example("tril", (3, 3), k=0),
    example("triu", (2, 3, 3), k=1),
    example("getitem", (3, 2), key=(_PICKS,)),
    example("getitem", (3, 4), key=(..., None, slice(None, None, -2))),
    example("getitem", (2, 3), key=(np.array([[True, False, True], [False, True, True]]),)),
    example("scattered", (3,), key=(_PICKS,), shape=(4,)),
    example("scattered", (2, 2), key=(slice(1, 3),), shape=(4, 2)),
    example("scattered", (150,), key=(_MANY,), shape=(2,)),
    example("assigned", (3, 2), (2,), key=(slice(1, 3),)),
    example("assigned", (4,), (), key=(np.array([True, False, True, False]),)),
    example("diagonal", (3, 4), key=(..., np.arange(2), np.arange(2) + 1)),
    example("zeroed", (3, 2), key=(..., 1)),
    example("current", (2, 3)),
    example("matmul", (2, 3), (3, 2)),
    example("matmul", (2, 1, 2, 3), (3, 3, 1)),
    example("linear", (2, 3), (4, 3), (4,)),
    example("linear", (2, 3), (4, 3)),
    example("cross_entropy", (3, 4), key=(np.arange(3), _PICKS)),
    example("soft_cross_entropy", (3, 4), (3, 4)),
    example("conv2d", (2, 4, 3, 5), (2, 2, 2, 3), (2,), windows=_STEPS, groups=2),
    example("conv2d", (0, 1, 2, 2), (3, 1, 1, 1), windows=Windows((1, 1)), groups=1),
    example("conv2d_input", (2, 2, 2, 2), (2, 2, 2, 3), windows=_STEPS, groups=2, size=(3, 5)),
    example(
        "conv2d_input",
        (1, 1, 2, 2),
        (1, 2, 3, 3),
        windows=Windows((3, 3), padding=((1, 1), (1, 1))),
        groups=1,
        size=(2, 2),
    ),
    example("conv2d_weight", (2, 4, 3, 5), (2, 2, 2, 2), windows=_STEPS, groups=2),
    example("conv2d_weight", (1, 1, 2, 2), (1, 1, 4, 3), windows=_WIDE, groups=1),
    example("window_max", (2, 3, 3, 5), windows=_STEPS),
    example("window_pick", (1, 1, 3, 3), places=_PLACES, windows=Windows((2, 2))),
    example("window_drop", (1, 1, 2, 2), places=_PLACES, windows=Windows((2, 2)), size=(3, 3)),
    example("window_sum", (2, 1, 3, 5), windows=_STEPS),
    example("window_spread", (2, 1, 2, 2), windows=_STEPS, size=(3, 5)),
    example(
        "batch_norm",
        (3, 2, 2),
        (2,),
        (2,),
        mean=np.array([0.3, -0.2]),
        var=np.array([0.5, 1.5]),
        eps=0.3,
        batch=False,
    ),
    example("rnn", (3, 2), (2, 2), (2, 2), sizes=(2, 1), backwards=True, relu=False),
    example("rnn", (3, 2), (2, 2), (2, 2), sizes=(2, 1), backwards=False, relu=True),
    example("lstm", (3, 8), (8, 1), (2, 1), (2, 2), (1, 2), sizes=(2, 1), backwards=True),
    example("gru", (3, 6), (6, 2), (2, 2), (6,), sizes=(2, 1), backwards=False),
    example("einsum", (2, 3), (3, 2), (2,), labels=["ab", "bc", "c"], out="a"),
    example("solve", (2, 3, 3), (3, 2), make=lambda xs: [_well_conditioned(xs[0]), xs[1]]),
    example("inv", (2, 3, 3), make=lambda xs: [_well_conditioned(xs[0])]),
    example("signdet", (2, 3, 3), make=lambda xs: [_well_conditioned(xs[0])]),
    example("logabsdet", (2, 3, 3), make=lambda xs: [_well_conditioned(xs[0])]),
    example("det", (2, 3, 3)),
    example("cofactors", (2, 3, 3), make=lambda xs: [_well_conditioned(xs[0])]),
    # Of the lower triangle alone: what stands above it is not looked at.
    example(
        "cholesky",
        (2, 3, 3),
        make=lambda xs: [_positive_definite(np.tril(xs[0])) + np.triu(xs[0], 1)],
    ),
    example("real", (2, 3), (2, 3), make=_one_complex),
    example("imag", (2, 3), (2, 3), make=_one_complex),
    example("conj", (2, 3), (2, 3), make=_one_complex),
    example("modulus", (2, 3), (2, 3), make=_one_complex),
    example("complex", (2, 3), (2, 3)),
    example("complex_pow", (2, 2), (2, 2), domain=POSITIVE, make=_complex),
    example("fourier", (2, 3), (2, 3), make=_one_complex, axis=(0, 1), norm="ortho", inverse=True),
    example("rfft", (2, 5), axis=0, norm="forward"),
    example("irfft", (2, 3), (2, 3), make=_one_complex, n=5, axis=1, norm="backward"),
    example("astype", (2, 3), dtype=np.dtype(np.float32)),
]

# `item` leads to a Value, a Python number: there is none inside jax.jit.
LEFT_OUT = {"tensor.item"}


def missing() -> set[str]:
    """The operations without a row."""
    return {op.name for op in array_ops()} - {row.op.name for row in ROWS} - LEFT_OUT


EXAMPLES = [*_elementwise(), *ROWS]


def derivatives(one: Example, xs: list[Any]) -> dict[str, list[Any]]:
    """値と、重みを付けた和の 1 階・2 階微分。どれも配列のまま。"""
    nodes = [mg.tensor(x, requires_grad=x.dtype.kind in "fc") for x in xs]
    leaves = [node for node in nodes if node.requires_grad]
    z = run(one.op, *nodes, **one.params)
    found = {"value": [z._data], "first": [], "second": []}
    weights = np.cos(np.arange(z.size) + 1.0).reshape(z.shape).astype(z.dtype)
    z.backward(mg.tensor(weights), create_graph=True)
    slopes = [leaf.grad for leaf in leaves]
    found["first"] = [slope._data for slope in slopes]
    for leaf in leaves:
        leaf.grad = None
    total = mg.stack([(slope * slope).abs().sum() for slope in slopes]).sum()
    if total.requires_grad:
        total.backward()
    found["second"] = [leaf.grad._data for leaf in leaves if leaf.grad is not None]
    return found
