"""表: 公開された関数 1 つにつき 1 行。どんな引数を選び、PyTorch ではどう書くか。

新しい関数には行を 1 つ足す。`test_fuzz.py` が、載っていない名前を見つける。`WITHOUT` にあるのは、
PyTorch に同じものがない関数だけである。
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from fuzz_draw import DTYPES, FLOATS, Draw, Pair, Stop
from fuzz_program import Leaf, Line

import micrograd_jp as mg
from micrograd_jp.tensor.functions import IN_PLACE, METHODS

Drawn = str | Pair
CALLS: dict[str, Callable[[Draw], None]] = {}
"""名前から、その呼び出しを 1 つ書くもの。"""

WITHOUT = {
    "scattered": "規則のための関数 (PyTorch では index_put)",
    "cofactors": "規則のための関数 (det の勾配)",
    "logabsdet": "規則のための関数 (slogdet の 2 つ目)",
    "hinge_loss": "PyTorch にない損失",
    "sum_squared_error": "PyTorch にない損失",
    "rand": "乱数", "randn": "乱数", "randint": "乱数", "randperm": "乱数", "rand_like": "乱数",
    "randint_like": "乱数",
    "randn_like": "乱数", "multinomial": "乱数",
    "normal_": "乱数", "uniform_": "乱数", "dropout": "乱数",
    "dropout1d": "乱数", "dropout2d": "乱数", "dropout3d": "乱数", "alpha_dropout": "乱数",
    "feature_alpha_dropout": "乱数", "rrelu": "乱数", "rrelu_": "乱数", "gumbel_softmax": "乱数",
    "manual_seed": "乱数", "get_rng_state": "乱数", "set_rng_state": "乱数",
    **dict.fromkeys(
        """scaled_dot_product_attention conv1d conv3d conv_transpose1d max_pool1d max_pool3d
        avg_pool1d avg_pool3d adaptive_avg_pool1d adaptive_max_pool1d unfold fold interpolate
        upsample pixel_shuffle pixel_unshuffle channel_shuffle pdist embedding_bag
        adaptive_avg_pool3d adaptive_max_pool3d max_unpool1d max_unpool2d max_unpool3d group_norm
        instance_norm rms_norm
        bilinear celu celu_ elu_ glu hardshrink hardtanh hardtanh_ leaky_relu_ prelu relu6 relu_
        selu_ softmin softshrink softsign tanhshrink threshold threshold_
        binary_cross_entropy cosine_embedding_loss cosine_similarity gaussian_nll_loss
        hinge_embedding_loss huber_loss kl_div margin_ranking_loss multi_margin_loss
        multilabel_margin_loss multilabel_soft_margin_loss normalize pairwise_distance
        poisson_nll_loss smooth_l1_loss soft_margin_loss triplet_margin_loss
        triplet_margin_with_distance_loss""".split(), "tests/nn が比べる"),
    "cfloat": "複素数", "cdouble": "複素数", "is_complex": "複素数",
    "conj_physical_": "複素数",
    "cuda": "装置", "cpu": "装置", "bfloat16": "NumPy にない型（PyTorch も配列にできない）",
}  # fmt: skip


def ours(text: Drawn) -> str:
    return text.ours if isinstance(text, Pair) else text


def theirs(text: Drawn) -> str:
    return text.theirs if isinstance(text, Pair) else text


def give(d: Draw, text: Drawn, writes: bool = False, named: bool = True) -> None:
    """Write `t7 = text`; of several results, sometimes go on with one."""
    name = d.name() if named else ""
    start = f"{name} = " if named else ""
    if not d.write(Line(start + ours(text), start + theirs(text), name, writes)):
        return
    got = d.of(name) if named else None
    if isinstance(got, tuple) and got and d.chance(0.7):
        part = f"{name}[{d.rng.randrange(len(got))}]"
        if hasattr(got, "values") and d.chance(0.5):
            part = f"{name}.{d.one(('values', 'indices'))}"
        give(d, part)


def calls(
    names: str, args: Callable[[Draw, str], Drawn] = lambda d, x: "", *, torch_: str = "m.{}",
    ours_: str = "m.{}", x: Callable[[Draw], str] = Draw.tensor, method: bool = True,
    spelled: str = "",
) -> None:  # fmt: skip
    """Rows: as a function, as a method, in place, as far as both libraries have them."""
    for name in names.split():

        def draw(d: Draw, name: str = name) -> None:
            there = torch_.format(name)
            known = torch_ != "m.{}" or (
                hasattr(torch, name) and not isinstance(getattr(torch, name), torch.dtype)
            )
            forms = ["function"] * (2 * (known and (ours_ != "m.{}" or hasattr(mg, name))))
            if method:
                has = name in METHODS or hasattr(mg.Tensor, name)
                forms += ["method"] * (2 * (has and hasattr(torch.Tensor, spelled or name)))
                in_place = f"{name}_" in IN_PLACE and hasattr(torch.Tensor, f"{name}_")
                forms += ["in place"] * in_place
            form = d.one(forms)
            first = x(d)
            rest = args(d, first)
            if form == "function":
                start = f"input={first}" if d.chance(0.03) and "=" in ours(rest) else first
                comma = ", " if ours(rest) else ""
                return give(d, Pair(f"{ours_.format(name)}({start}{comma}{ours(rest)})",
                                    f"{there}({start}{comma}{theirs(rest)})"))  # fmt: skip
            if form == "method":
                return give(d, Pair(f"{first}.{name}({ours(rest)})",
                                    f"{first}.{spelled or name}({theirs(rest)})"))  # fmt: skip
            call = Pair(f"{first}.{name}_({ours(rest)})", f"{first}.{name}_({theirs(rest)})")
            return give(d, call, writes=True, named=d.chance(0.3))

        CALLS[name] = draw


def floats(d: Draw) -> str:
    return d.tensor(FLOATS)


def ndim(low: int, high: int = 3, dtypes: Any = ()) -> Callable[[Draw], str]:
    return lambda d: d.tensor(dtypes, low=low, high=high)


# ---- 要素ごと -----------------------------------------------------------------------------------

calls(
    "neg exp log log2 log10 log1p expm1 sqrt"
    " sin cos tan asin acos atan sinh cosh tanh asinh acosh atanh"
    " relu sigmoid erf abs sign floor square reciprocal rsqrt ceil trunc round"
    " isnan isinf isfinite logical_not clone"
)
calls("softplus elu gelu silu mish hardswish leaky_relu", torch_="F.{}", method=False)
calls("hard_sigmoid", torch_="F.hardsigmoid", method=False)
calls("hardsigmoid logsigmoid selu", torch_="F.{}", ours_="F.{}", method=False)


def operand(d: Draw, x: str) -> str:
    return d.operand(x)


calls(
    "add sub mul div pow maximum minimum floor_divide remainder"
    " eq ne lt le gt ge logical_and logical_or logical_xor",
    operand,
)


def scaled(d: Draw, x: str) -> str:
    alpha = f", alpha={d.number()}" if d.chance(0.3) else ""
    return d.operand(x) + alpha


def scaled_in_place(name: str) -> None:
    def draw(d: Draw) -> None:
        give(d, f"{d.tensor()}.{name}({scaled(d, d.names()[-1])})", True, named=False)

    CALLS[name] = draw


scaled_in_place("add_")
scaled_in_place("sub_")


def bounds(d: Draw, x: str) -> str:
    def bound() -> str:
        return d.number() if numbers else d.operand(x)

    numbers = d.chance(0.8)

    return d.one((lambda: f"{bound()}, {bound()}", lambda: f"min={bound()}",
                  lambda: f"max={bound()}", lambda: f"None, {bound()}"))()  # fmt: skip


calls("clip clamp", bounds)


def chosen(d: Draw) -> None:
    condition = d.tensor(("bool",), fresh=0.4)
    x = d.one((lambda: d.operand(condition), d.number))()
    y = d.one((lambda: d.operand(condition), d.number))()
    if d.chance(0.3) and x in d.names():
        return give(d, f"{x}.where({condition}, {y})")
    return give(d, f"m.where({condition}, {x}, {y})")


CALLS["where"] = chosen

# ---- まとめる -----------------------------------------------------------------------------------


def along(several: bool = True, none: bool = True) -> Callable[[Draw, str], str]:
    return lambda d, x: d.reduction(x, several, none)


calls("sum mean amax amin any all", along())
calls("prod argmax argmin", along(several=False))
calls("max min", lambda d, x: d.operand(x) if d.chance(0.2) else d.reduction(x, several=False))
calls("logsumexp", along(none=False), x=lambda d: d.tensor(FLOATS))
calls("cumsum", lambda d, x: d.axis_argument(d.axis(x)))
calls("softmax log_softmax", lambda d, x: d.axis_argument(d.axis(x)), x=floats)


def finite(d: Draw) -> str:
    x = d.tensor()
    if not d.of(x).isfinite().all():
        raise Stop
    return x


def variance(d: Draw, x: str) -> str:
    if d.chance(0.3):
        return d.reduction(x)
    axis = d.one(("", f"{d.axis_argument(d.axis(x))}, ", f"dim={d.axes_of(x)!r}, "))
    kept = d.one(("", ", keepdim=True"))
    freedom = d.one(("correction=0", "correction=1", "correction=1", "unbiased=False"))
    if freedom == "unbiased=False" and not axis:  # PyTorch's old form keeps no axes
        kept = ""
    return f"{axis}{freedom}{kept}"


calls("var std", variance, x=finite)


def of_norm(d: Draw, x: str) -> str:
    p = d.one(("1", "2", "3", "0.5", "inf", "-inf", "0", "p=1"))
    return d.one(("", f"dim={d.axis(x)}", f"dim={d.axes_of(x)!r}, keepdim=True",
                  f"axis={d.axis(x)}", p, f"{p}, dim={d.axis(x)}", "2"))  # fmt: skip


calls("norm", of_norm, x=floats)


def like(d: Draw, x: str) -> str:
    return d.one(d.names()) if d.chance(0.4) else d.leaf(tuple(d.of(x).shape), d.one(DTYPES))


calls("equal", like)
calls("allclose", lambda d, x: like(d, x) + d.one(("", ", equal_nan=True", ", rtol=0.5, atol=1.0")))

# ---- 形 -----------------------------------------------------------------------------------------


def new_shape(d: Draw, x: str) -> str:
    n = d.of(x).numel()
    ways = [(n,), (-1,), (1, n), (n, 1, 1), (-1, 1), (n + 1,)]
    ways += [(k, n // k) for k in (2, 3) if n and n % k == 0]
    ways += [(-1, k) for k in (2, 3) if n and n % k == 0] + [()] * (n == 1)
    shape = d.one(ways)
    return repr(shape) if d.chance(0.5) or not shape else ", ".join(map(str, shape))


calls("reshape view", new_shape)


def same_size(d: Draw, x: str) -> str:
    n = d.of(x).numel()
    return d.leaf(d.one([(n,), (1, n)]), "float64") if d.chance(0.7) else d.one(d.names())


calls("reshape_as view_as", same_size)
calls("ravel contiguous")
calls(
    "flatten",
    lambda d, x: d.one(
        ("", str(d.axis(x)), f"{d.axis(x)}, {d.axis(x)}", f"start_dim={d.axis(x)}",
         f"end_dim={d.axis(x)}")
    ),
)  # fmt: skip
calls(
    "squeeze", lambda d, x: d.one(("", d.axis_argument(d.axis(x)), d.axis_argument(d.axes_of(x))))
)
calls("unsqueeze", lambda d, x: d.axis_argument(d.axis(d.of(x).ndim + 1)))
calls("swapaxes transpose", lambda d, x: f"{d.axis(x)}, {d.axis(x)}", x=ndim(1))
calls("t", x=ndim(0))


def order(d: Draw, x: str) -> Drawn:
    n = d.of(x).ndim
    axes = [a - n if d.chance(0.3) else a for a in d.rng.sample(range(n), n)]
    return repr(tuple(axes)) if n < 1 or d.chance(0.5) else ", ".join(map(str, axes))


calls("permute", order, x=ndim(1))


def moved(d: Draw, x: str) -> str:
    if d.chance(0.6):
        return f"{d.axis(x)}, {d.axis(x)}"
    axes = d.axes_of(x)
    return f"{axes!r}, {tuple(d.rng.sample(axes, len(axes)))!r}"


calls("movedim", moved, x=ndim(1))


def wider(d: Draw, x: str) -> tuple[int, ...]:
    own = [3 if n == 1 and d.chance(0.6) else n for n in d.of(x).shape]
    return (*d.one(((), (), (2,), (1, 2))), *own)


def widened(d: Draw, x: str) -> str:
    return repr(wider(d, x)) if not d.of(x).ndim or d.chance(0.5) else ", ".join(
        map(str, wider(d, x))
    )  # fmt: skip


calls("broadcast_to", lambda d, x: repr(wider(d, x)))
calls("expand", lambda d, x: widened(d, x) if d.chance(0.8) else repr((-1,) * d.of(x).ndim))
calls("expand_as", lambda d, x: d.leaf(wider(d, x), "float64"))
calls("flip", lambda d, x: d.one((f"dims={d.axes_of(x)!r}", repr(d.axes_of(x)))), x=ndim(1))
calls(
    "roll",
    lambda d, x: d.one(
        (f"{d.rng.randint(-4, 4)}", f"{d.rng.randint(-4, 4)}, {d.axis(x, 0)}",
         f"shifts={d.rng.randint(-4, 4)}, dims={d.axis(x, 0)}")
    ), x=ndim(1),
)  # fmt: skip
calls("tile", lambda d, x: repr(tuple(d.rng.randint(0, 2) for _ in range(d.rng.randint(1, 3)))))


def padded(d: Draw) -> None:
    x = d.tensor(FLOATS, low=1)
    pairs = [(d.rng.randint(0, 2), d.rng.randint(0, 2)) for _ in range(d.of(x).ndim)]
    value = d.one(("", f", value={d.number(0)}"))
    flat = [n for pair in reversed(pairs) for n in pair]
    give(d, Pair(f"m.pad({x}, {pairs!r}{value})", f"F.pad({x}, {flat!r}{value})"))


CALLS["pad"] = padded


def several(d: Draw) -> tuple[str, list[str]]:
    x = d.tensor()
    shape = tuple(d.of(x).shape)
    return x, [
        d.tensor(shape=shape) if d.chance(0.95) else d.tensor() for _ in range(d.rng.randint(0, 2))
    ]


def joined(name: str) -> None:
    def draw(d: Draw) -> None:
        x, rest = several(d)
        xs = ", ".join([x, *rest]) + ","
        listed = f"[{xs[:-1]}]" if d.chance(0.7) else f"({xs})"
        n = d.of(x).ndim + (name == "stack")
        axis = f", {d.axis_argument(d.axis(n))}" if d.chance(0.6) else ""
        give(d, f"m.{name}({listed}{axis})")

    CALLS[name] = draw


for _name in ("cat", "concatenate", "stack"):
    joined(_name)


def sizes(d: Draw, x: str) -> str:
    axis = d.axis(x, 0.02)
    n = d.of(x).shape[axis] if -d.of(x).ndim <= axis < d.of(x).ndim else 3
    first = d.rng.randint(0, n)
    size = d.one((1, 2, [first, n - first], n, n + 1, 0))
    return f"{size}, {d.axis_argument(axis)}" if d.chance(0.8) else f"{size}"


calls("split", sizes, x=ndim(1))
calls("chunk", lambda d, x: f"{d.rng.randint(1, 4)}, {d.axis_argument(d.axis(x))}", x=ndim(1))
calls("unbind", lambda d, x: d.one(("", d.axis_argument(d.axis(x)))))

# ---- 添字 ---------------------------------------------------------------------------------------


def length(d: Draw, x: str, axis: int) -> int:
    n = d.of(x).ndim
    return d.of(x).shape[axis] if -n <= axis < n else 1


def taken(d: Draw) -> None:
    x = d.tensor()
    shape = d.one(((2,), (3,), (2, 2), ()))
    if d.chance(0.5) or not d.of(x).ndim:
        return give(d, f"m.take({x}, {d.indices(d.of(x).numel(), shape)})")
    axis = d.axis(x, 0)
    places = d.indices(length(d, x, axis), (3,))
    return give(
        d, Pair(f"{x}.take({places}, axis={axis})", f"m.index_select({x}, {axis}, {places})")
    )


CALLS["take"] = taken


def repeated(d: Draw) -> None:
    x = d.tensor()
    times = d.rng.randint(0, 3)
    axis = f", {d.one(('axis', 'dim'))}={d.axis(x)}" if d.chance(0.6) else ""
    if d.chance(0.3):
        reps = ", ".join(str(d.rng.randint(0, 2)) for _ in range(max(d.of(x).ndim, 1)))
        return give(d, f"{x}.repeat({reps})")
    give(d, Pair(f"m.repeat({x}, {times}{axis})", f"m.repeat_interleave({x}, {times}{axis})"))
    return None


CALLS["repeat"] = repeated
calls(
    "repeat_interleave",
    lambda d, x: d.one(("2", f"2, {d.axis(x)}", f"1, dim={d.axis(x)}")),
)


def gathered(d: Draw, x: str) -> str:
    axis = d.axis(x)
    shape = tuple(d.rng.randint(1, n) if n else 0 for n in d.of(x).shape)
    return f"{axis}, {d.indices(length(d, x, axis), shape)}"


calls("gather", gathered)


def scattered(d: Draw, x: str) -> str:
    axis = d.axis(x)
    shape = tuple(d.rng.randint(1, n) if n else 0 for n in d.of(x).shape)
    places = d.indices(length(d, x, axis), shape)
    source = d.leaf(tuple(d.of(x).shape), str(d.of(x).dtype)[6:])
    return f"{axis}, {places}, {source}"


calls("scatter_add", scattered)


def index_added(d: Draw, x: str) -> str:
    axis, count = d.axis(x, 0), d.rng.randint(1, 3)
    shape = list(d.of(x).shape)
    places = d.indices(shape[axis], (count,))
    shape[axis] = count
    return f"{axis}, {places}, {d.leaf(tuple(shape), str(d.of(x).dtype)[6:])}"


calls("index_add", index_added, x=ndim(1))


def selected(d: Draw, x: str) -> str:
    axis = d.axis(x, 0)
    return f"{d.axis_argument(axis)}, index={d.indices(d.of(x).shape[axis], (d.one((0, 1, 3)),))}"


calls("index_select", selected, x=ndim(1))


def mask(d: Draw, x: str) -> str:
    shape = d.of(x).shape
    return d.leaf(tuple(shape[d.rng.randint(0, len(shape)) :]), "bool")


calls("masked_select", mask)
calls(
    "masked_fill",
    lambda d, x: (
        f"{mask(d, x)}, "
        + (d.number() if d.chance(0.8) else d.one(d.names(lambda t: t.ndim == 0) or ["0.5"]))
    ),
)
calls("nonzero", lambda d, x: d.one(("", "as_tuple=True")))
calls("tril triu", lambda d, x: d.one(("", "1", "diagonal=-1")), x=ndim(2))
calls(
    "diagonal",
    lambda d, x: d.one(("", "1", "offset=-1", f"0, {d.axis(x)}, {d.axis(x)}",
                        "0, dim1=-1, dim2=0")),
    x=ndim(2),
)  # fmt: skip
calls("trace", x=ndim(2))


def sorting(d: Draw, x: str) -> str:
    axis = d.axis(x)
    return d.one(("", f"{axis}", f"dim={axis}, descending=True", f"{axis}, True",
                  "descending=True"))  # fmt: skip


def distinct(d: Draw) -> str:
    """No two numbers alike: PyTorch's own order of ties is not a promise."""
    x = d.tensor()
    t = d.of(x)
    if t.dtype == torch.bool or len(set(t.detach().flatten().tolist())) < t.numel():
        raise Stop
    return x


calls("sort argsort", sorting, x=distinct)


def best(d: Draw, x: str) -> str:
    axis = d.axis(x)
    k = d.rng.randint(1 - bool(d.of(x).ndim), length(d, x, axis))
    return d.one((f"{k}", f"{k}, {axis}", f"{k}, dim={axis}, largest=False", f"k={k}"))


calls("topk", best, x=distinct)


def classes(d: Draw) -> None:
    n = d.rng.randint(1, 4)
    x = d.indices(n, d.one(((3,), (2, 2), ())))
    give(d, Pair(f"m.one_hot({x}, {n})", f"F.one_hot({x}, {n})"))


CALLS["one_hot"] = classes


def counts(d: Draw) -> str:
    return d.leaf((d.rng.randint(0, 4),), "uint8")


def classes_of_numbers(d: Draw, x: str) -> str:
    if not d.of(x).numel():
        raise Stop  # PyTorch counts what is empty from 0 to 1, or stops
    edges = d.one(("3", "bins=2", "4, range=(-1.0, 2.0)"))
    return edges + d.one(("", ", density=True"))


calls("histogram", classes_of_numbers, x=lambda d: finite_floats(d))


def finite_floats(d: Draw) -> str:
    x = d.tensor(("float32", "float64"))
    if not d.of(x).isfinite().all() or d.of(x).requires_grad or d.of(x).abs().max() > 1e6:
        raise Stop
    return x


calls("bincount", lambda d, x: d.one(("", "minlength=5")), x=counts)

# ---- 行列 ---------------------------------------------------------------------------------------


def matrix_for(d: Draw, x: str, low: int = 1, high: int = 3) -> str:
    t = d.of(x)
    inner = t.shape[-1] if t.ndim else 1
    shape = d.one([s for s in ((inner,), (inner, 2), (inner, 3), (2, inner, 2), (1, inner, 1))
                   if low <= len(s) <= high])  # fmt: skip
    if len(shape) == 3 and t.ndim == 3:
        shape = (t.shape[0], *shape[1:])
    dtype = str(t.dtype)[6:] if d.chance(0.92) or not t.numel() else d.one(DTYPES)
    return d.tensor((dtype,), shape=shape)


calls("matmul", matrix_for, x=ndim(1))
calls("mm", lambda d, x: matrix_for(d, x, 2, 2), x=ndim(2, 2))
calls("mv", lambda d, x: matrix_for(d, x, 1, 1), x=ndim(2, 2))
calls("bmm", lambda d, x: matrix_for(d, x, 3, 3), x=ndim(3))
calls("dot", lambda d, x: matrix_for(d, x, 1, 1), x=ndim(1, 1))
calls("outer", lambda d, x: d.tensor((str(d.of(x).dtype)[6:],), low=1, high=1), x=ndim(1, 1))


def added_product(d: Draw, x: str) -> str:
    n, k, p = (d.rng.randint(1, 3) for _ in range(3))
    rows, columns = d.of(x).shape[-2:] if d.of(x).ndim == 2 else (n, d.of(x).shape[-1])
    n, p = (n if rows == 1 else rows), (p if columns == 1 else columns)
    dtype = str(d.of(x).dtype)[6:]
    scale = d.one(("", ", beta=2", ", alpha=0.5", ", beta=0.5, alpha=2", ", beta=0"))
    return f"{d.tensor((dtype,), shape=(n, k))}, {d.tensor((dtype,), shape=(k, p))}{scale}"


calls("addmm", added_product, x=ndim(1, 2, FLOATS))


def contracted(d: Draw, x: str) -> str:
    t = d.of(x)
    dtype = (str(t.dtype)[6:],)
    if d.chance(0.5):
        n = d.rng.randint(0, t.ndim)
        return f"{d.tensor(dtype, shape=(*t.shape[t.ndim - n :], 2))}, dims={n}"
    return f"{d.tensor(dtype, shape=(2, t.shape[0]))}, dims=([0], [1])"


calls("tensordot", contracted, x=ndim(1, 3, FLOATS), method=False)


def summed(d: Draw) -> None:
    letters = {a: d.rng.randint(1, 3) for a in "ijk"}
    inputs = ["".join(d.rng.sample("ijk", d.rng.randint(1, 3))) for _ in range(d.rng.randint(1, 3))]
    used = sorted(set("".join(inputs)))
    out = "".join(d.rng.sample(used, d.rng.randint(0, len(used))))
    spec = ",".join(inputs) + d.one((f"->{out}", f"->{out}", ""))
    xs = [
        d.tensor(("float64",), shape=tuple(1 if d.chance(0.1) else letters[a] for a in own))
        for own in inputs
    ]
    give(d, f"m.einsum({spec!r}, {', '.join(xs)})")


CALLS["einsum"] = summed


def square(d: Draw) -> str:
    n, batch = d.rng.randint(1, 3), d.one(((), (), (2,)))
    return d.tensor(("float64", "float64", "float32"), shape=(*batch, n, n), fresh=0.6)


def finite_square(d: Draw) -> str:
    x = square(d)
    if not d.of(x).isfinite().all():  # the sign of nothing: LAPACK's own affair
        raise Stop
    return x


def definite(d: Draw) -> str:
    x = finite_square(d)
    t = d.of(x)
    give(d, f"{x} @ {x}.mT + m.eye({t.shape[-1]}, dtype={x}.dtype)")
    return d.run.given[-1]


calls("det inv", x=finite_square, torch_="m.linalg.{}")
calls("slogdet", x=finite_square, torch_="m.linalg.{}")
calls("cholesky", x=definite, torch_="m.linalg.cholesky")
calls(
    "solve", lambda d, x: d.tensor((str(d.of(x).dtype)[6:],), shape=(d.of(x).shape[-1], 2)),
    x=finite_square, torch_="m.linalg.solve", method=False,
)  # fmt: skip

# ---- 型 -----------------------------------------------------------------------------------------

calls("half long int short bool float double is_floating_point detach numel dim retain_grad")
calls("type to", lambda d, x: f"m.{d.one(DTYPES)}")


def cast(d: Draw) -> None:
    x, dtype = d.tensor(), d.one(DTYPES)
    give(d, Pair(f"{x}.astype(m.{dtype})", f"{x}.to(m.{dtype})"))


CALLS["astype"] = cast


def copied(d: Draw, x: str) -> str:
    return d.operand(x) if d.chance(0.3) else d.leaf(tuple(d.of(x).shape), d.one(DTYPES))


def in_place_only(name: str, args: Callable[[Draw, str], str]) -> None:
    def draw(d: Draw) -> None:
        x = d.tensor()
        give(d, f"{x}.{name}({args(d, x)})", writes=True, named=d.chance(0.3))

    CALLS[name] = draw


def zero_d(d: Draw, x: str) -> str:
    there = d.names(lambda t: t.ndim == 0)
    return d.one(there) if there and d.chance(0.3) else d.number(0.3)


in_place_only("copy_", lambda d, x: d.tensor() if d.chance(0.3) else copied(d, x))
in_place_only("fill_", zero_d)
in_place_only("zero_", lambda d, x: "")
in_place_only("requires_grad_", lambda d, x: d.one(("", "False", "True")))

# ---- 作る ---------------------------------------------------------------------------------------


def maker(names: str, args: Callable[[Draw], str]) -> None:
    for name in names.split():

        def draw(d: Draw, name: str = name) -> None:
            dtype = f", dtype=m.{d.one(DTYPES)}" if d.chance(0.4) else ""
            grad = ", requires_grad=True" if d.chance(0.15) else ""
            give(d, f"m.{name}({args(d)}{dtype}{grad})")

        CALLS[name] = draw


maker("zeros ones", lambda d: repr(d.shape()) if d.chance(0.5) else "2, 3")
maker("full", lambda d: f"{d.shape()!r}, {d.number()}")
maker("eye", lambda d: d.one(("3", "2, 3", "1", "0")))
maker("arange", lambda d: d.one(("4", "1, 4", "5, 1, -2", "0", "1, end=3")))
maker("linspace", lambda d: d.one(("0, 1, 5", "2, 1, steps=4", "0, 1, 1", "0.5, 2.5, steps=3")))
maker("logspace", lambda d: d.one(("0, 1, 5", "2, 1, steps=4, base=2.0", "-1, 1, 3")))
maker("zeros_like ones_like", lambda d: d.tensor())
maker("full_like", lambda d: f"{d.tensor()}, {d.number()}")
maker("tensor", lambda d: d.one((d.number(), f"[{d.number()}, {d.number(0)}]", "[]", "[[], []]",
                                 "[[1, 2], [3.5, 4]]", "[True, 2]", "np.arange(3)",
                                 "np.ones((2, 2), np.float32)", "(1.0, 2.0)")))  # fmt: skip


def plain(name: str, text: Callable[[Draw], str]) -> None:
    CALLS[name] = lambda d: give(d, text(d))


plain("as_tensor", lambda d: f"m.as_tensor({d.one((d.tensor(), d.number(), '[1, 2.5]'))})")
plain(
    "from_numpy",
    lambda d: f"m.from_numpy(np.arange(6.0).reshape(2, 3){d.one(('', '.T', '[0]'))})",
)
plain("empty", lambda d: f"m.empty({d.shape()!r}).fill_(2)")
plain("empty_like", lambda d: f"m.empty_like({d.tensor()}).fill_(2)")
plain("is_tensor", lambda d: f"m.is_tensor({d.one((d.tensor(), '1.0', '[1]'))})")

# ---- nn.functional ------------------------------------------------------------------------------


def functional(names: str, draw: Callable[[Draw], str]) -> None:
    for name in names.split():
        CALLS[name] = lambda d, name=name: give(d, f"F.{name}({draw(d)})")


def activated(d: Draw) -> str:
    return floats(d)


def reduction_argument(d: Draw) -> str:
    return d.one(("", "", ", reduction='sum'", ", reduction='none'", ", reduction='mean'"))


def regression(d: Draw) -> str:
    y = floats(d)
    t = d.tensor((str(d.of(y).dtype)[6:],), shape=tuple(d.of(y).shape))
    return f"{y}, {t}{reduction_argument(d)}"


functional("mse_loss l1_loss", regression)


def binary(d: Draw) -> str:
    y = floats(d)
    dtype, shape = (str(d.of(y).dtype)[6:],), tuple(d.of(y).shape)
    t = d.tensor(dtype, shape=shape)
    extra = d.one(("", "", f", pos_weight={d.tensor(dtype, shape=shape[-1:])}"))
    return f"{y}, {t}{extra}{reduction_argument(d)}"


functional("binary_cross_entropy_with_logits", binary)


def classified(smoothing: bool) -> Callable[[Draw], str]:
    def draw(d: Draw) -> str:
        n, c = d.rng.randint(1, 3), d.rng.randint(1, 4)
        y = d.tensor(("float64", "float64", "float32"), shape=(n, c))
        extra = d.one(("", f", weight={d.tensor((str(d.of(y).dtype)[6:],), shape=(c,))}"))
        if smoothing and d.chance(0.3):
            extra += ", label_smoothing=0.1"
        return f"{y}, {d.indices(c, (n,))}{extra}{reduction_argument(d)}"

    return draw


functional("cross_entropy", classified(True))
functional("nll_loss", classified(False))


def image(d: Draw, channels: int, dtype: str = "") -> str:
    size = (d.rng.randint(2, 5), d.rng.randint(2, 5))
    batch = d.one(((), (1,), (2,)))
    dtype = dtype or d.one(("float64", "float64", "float32"))
    return d.leaf((*batch, channels, *size), dtype, tracked=d.chance(0.8))


def window(d: Draw) -> str:
    return d.one(("2", "(2, 1)", "1", "(1, 2), 1", "2, stride=1", "2, stride=(1, 2), padding=1",
                  "2, 2, 1", "2, ceil_mode=True"))  # fmt: skip


def convolution(back: bool) -> Callable[[Draw], str]:
    def draw(d: Draw) -> str:
        groups = d.one((1, 1, 2))
        c, o = groups * d.rng.randint(1, 2), groups * d.rng.randint(1, 2)
        x = image(d, c)
        dtype = str(d.of(x).dtype)[6:]
        kernel = (d.rng.randint(1, 3), d.rng.randint(1, 2))
        odd, d.odd = d.odd, 0.0  # 0·inf at the border, or none: each algorithm's own affair
        w = d.leaf((c, o // groups, *kernel) if back else (o, c // groups, *kernel), dtype)
        d.odd = odd
        bias = d.one(("", f", {d.leaf((o,), dtype)}"))
        options = d.one(("", ", stride=2", ", padding=1", ", stride=(1, 2), padding=(0, 1)",
                         ", dilation=2", *(() if back else (", padding='same'",))))  # fmt: skip
        return f"{x}, {w}{bias}{options}{f', groups={groups}' * (groups > 1)}"

    return draw


functional("conv2d", convolution(False))
functional("conv_transpose2d", convolution(True))
functional("max_pool2d", lambda d: f"{image(d, 2)}, {window(d)}")
functional("avg_pool2d", lambda d: f"{image(d, 2)}, {window(d)}"
           + d.one(("", ", count_include_pad=False")))  # fmt: skip
functional("adaptive_avg_pool2d adaptive_max_pool2d",
           lambda d: f"{image(d, 2)}, {d.one(('1', '2', '(1, 2)'))}")  # fmt: skip
functional("local_response_norm", lambda d: f"{image(d, 3, 'float64')}, {d.rng.randint(1, 3)}, 0.1")


def dense(d: Draw) -> str:
    x = d.tensor(FLOATS, low=1)
    dtype, n = (str(d.of(x).dtype)[6:],), d.rng.randint(1, 3)
    bias = d.one(("", f", {d.tensor(dtype, shape=(n,))}"))
    return f"{x}, {d.tensor(dtype, shape=(n, d.of(x).shape[-1]))}{bias}"


functional("linear", dense)
functional("embedding", lambda d: f"{d.indices(3, d.one(((2,), (2, 2), ())))}, "
           f"{d.tensor(('float64',), shape=(3, 2))}{d.one(('', ', padding_idx=1'))}")  # fmt: skip


def normalized(d: Draw) -> str:
    x = d.tensor(("float64", "float64", "float32"), low=1)
    dtype, shape = (str(d.of(x).dtype)[6:],), tuple(d.of(x).shape)
    own = shape[d.rng.randint(0, len(shape) - 1) :]
    scale = d.one(("", f", {d.tensor(dtype, shape=own)}, {d.tensor(dtype, shape=own)}"))
    return f"{x}, {own!r}{scale}"


functional("layer_norm", normalized)


def batch_normalized(d: Draw) -> str:
    x = d.leaf((d.rng.randint(2, 3), 2, *d.one(((), (2, 2)))), "float64")
    d.odd = 0.0  # the order of the products is each library's own affair
    # PyTorch reads the wrong numbers where these are strided.
    mean, var = (f"m.tensor({[round(d.rng.uniform(0.5, 2), 3) for _ in '12']!r}, dtype=m.float64)"
                 for _ in "12")  # fmt: skip
    w, b = (d.leaf((2,), "float64", plain=True) for _ in "12")
    weight = d.one(("", f", {w}, {b}"))
    return f"{x}, {mean}, {var}{weight}, training={d.one(('True', 'False'))}"


functional("batch_norm", batch_normalized)

# ---- Tensor の演算子と属性 -----------------------------------------------------------------------

BINARY = ("+", "-", "*", "/", "**", "//", "%", "==", "!=", "<", "<=", ">", ">=")


def infix(d: Draw) -> None:
    x = d.tensor()
    other, sign = d.operand(x), d.one((*BINARY, "+", "-", "*", "/", "**"))
    if d.chance(0.06):
        x, sign = d.tensor(("bool", "int64", "uint8")), d.one(("&", "|", "^"))
        other = d.operand(x)
    if sign in "&|^" and other in d.names() and d.of(other).is_floating_point():
        raise Stop
    give(d, f"{x} {sign} {other}" if d.chance(0.5) else f"{other} {sign} {x}")


def prefix(d: Draw) -> None:
    x = d.tensor()
    give(d, d.one((f"-{x}", f"abs({x})", f"{x}.T" if d.of(x).ndim == 2 else f"-{x}",
                   f"{x}.mT" if d.of(x).ndim > 1 else f"-{x}",
                   f"~{x}" if d.of(x).dtype == torch.bool else f"-{x}")))  # fmt: skip


def augmented(d: Draw) -> None:
    x = d.tensor(fresh=0.15)
    text = f"{x} {d.one(('+', '-', '*', '/', '**'))}= {d.operand(x)}"
    guarded = d.of(x).is_leaf and d.of(x).requires_grad and d.chance(0.8)
    give(d, f"with m.no_grad(): {text}" if guarded else text, writes=True, named=False)


def product(d: Draw) -> None:
    x = d.tensor(low=1)
    give(d, f"{x} @ {matrix_for(d, x)}")


def item(d: Draw) -> None:
    x = d.tensor()
    give(d, f"{x}[{d.key(x)}]")


def get_item(d: Draw) -> None:
    x = d.tensor()
    key = d.key(x)
    give(d, Pair(f"m.getitem({x}, np.s_[{key}])", f"{x}[{key}]"))


CALLS["getitem"] = get_item


def set_item(d: Draw) -> None:
    x = d.tensor(fresh=0.4, tracked=False if d.chance(0.6) else None)
    key = d.key(x)
    try:
        part = d.of(x)[eval(key, d.run.theirs.names)] if ":" not in key else None
    except Exception:
        part = None
    value = d.number(0.2)
    if d.chance(0.5):
        shape = tuple(part.shape) if part is not None else ()
        value = d.tensor(shape=shape) if d.chance(0.5) else d.operand(x)
    text = f"{x}[{key}] {d.one(('=', '=', '=', '+=', '*='))} {value}"
    guarded = d.of(x).is_leaf and d.of(x).requires_grad and d.chance(0.7)
    give(d, f"with m.no_grad(): {text}" if guarded else text, writes=True, named=False)


VIEWS = (
    "{x}[0]", "{x}[..., 1:]", "{x}[:, 0]", "{x}.T", "{x}.transpose(0, 1)", "{x}.reshape(-1)",
    "{x}.diagonal()", "{x}.squeeze(0)", "{x}.unsqueeze(0)", "{x}.unbind()[0]", "{x}.chunk(2)[0]",
    "{x}.split(1)[0]", "{x}.permute(1, 0)", "{x}.flatten()", "{x}.detach()", "{x}.view(-1)",
    "{x}.movedim(0, 1)", "{x}.swapaxes(0, 1)", "{x}.view_as({x})", "{x}.contiguous()",
    "{x}.expand_as({x})", "{x}[None]", "{x}[()]", "{x}.ravel()", "{x}.to({x}.dtype)",
    "{x}.clone()", "{x}[[0]]", "{x}.flip(0)",
)  # fmt: skip
WRITES = (
    ".fill_(7)", ".add_(1)", ".mul_(2)", ".zero_()", "[...] = 5", "[0] = 3", ".neg_()",
    ".copy_(m.tensor(2))",
)  # fmt: skip


def written_view(d: Draw) -> None:
    x = d.tensor(low=1, tracked=False, fresh=0.4)
    way = d.rng.random()
    if way < 0.15:
        return give(d, f"for v in {x}: v{d.one(WRITES[:3])}", writes=True, named=False)
    view = d.one(VIEWS).format(x=x)
    flat = any(n in view for n in ("reshape", "view", "flatten", "ravel", "contiguous"))
    if flat and not any(line.leaf and line.gives == x for line in d.run.lines):
        raise Stop  # in which order a result lies in memory is each library's own affair
    if d.chance(0.5):
        return give(d, f"{view}{d.one(WRITES)}", writes=True, named=False)
    name = d.name()
    if d.write(Line(f"{name} = {view}", f"{name} = {view}", name)):
        which = d.one((name, x))
        give(d, f"{which}{d.one(WRITES)}", writes=True, named=False)
    return None


def looked_at(d: Draw) -> None:
    x = d.tensor()
    n = d.of(x).numel()
    free = not d.of(x).requires_grad
    looks = ["tuple({x}.shape)", "{x}.ndim", "len({x})", "{x}.tolist()", "{x}.dtype",
             "tuple({x}.size())", "{x}.is_leaf", "{x} is None", "{x} == None", "{x} in [None, 1]",
             "[v for v in {x}]", "{x}.requires_grad", "{x}.numel()"]  # fmt: skip
    looks += ["{x}.item()", "bool({x})", "1 if {x} else 0"]
    looks += ["float({x})", "int({x})", "{x}.numpy().tolist()"] * free
    if n > 12:
        raise Stop
    give(d, d.one(looks).format(x=x))


# ---- 勾配 ---------------------------------------------------------------------------------------


def backward(d: Draw) -> None:
    """Go back through what there is; sometimes twice, or to the second derivative."""
    there = d.names(lambda t: t.requires_grad and t.is_floating_point() and t.grad_fn is not None)
    if not there:
        raise Stop
    y = there[-1] if d.chance(0.75) else d.one(there)
    middle = d.names(lambda t: t.requires_grad and t.grad_fn is not None)
    loss = d.one(("{y}.sum()", "{y}.sum()", "({y} * {y}).sum()", "{y}.mean()", "(2 * {y}).sum()"))
    ways = [loss.format(y=y) + ".backward({})", f"{y}.backward(m.ones_like({y}){{}})"]
    if d.of(y).numel() == 1:
        ways.append(f"{y}.backward({{}})")
    text = d.one(ways)
    comma = ", " if "ones_like" in text else ""
    option = d.one(("", "", "create_graph=True", "create_graph=True", "retain_graph=True"))
    text = text.format(comma + option if option else "")
    # Whether a second derivative passes through a middle node is each library's own affair.
    kept = f"{d.one(middle)}.retain_grad()"
    if d.chance(0.3) and "create" not in text and not d.write(Line(kept, kept)):
        return
    if not d.write(Line(text, text, "", True)):
        return
    if option == "retain_graph=True":
        d.write(Line(text, text, "", True))
    elif option == "create_graph=True":
        leaves = d.names(lambda t: t.is_leaf and t.grad is not None and t.grad.requires_grad)
        for _ in range(d.one((1, 1, 2))):
            if not leaves:
                return
            x = d.one(leaves)
            text = d.one((f"{x}.grad.sum().backward(create_graph=True)",
                          f"({x}.grad * {x}.grad).sum().backward(create_graph=True)"))  # fmt: skip
            if not d.write(Line(text, text, "", True)):
                return


def updated(d: Draw) -> None:
    """What a program written by hand does with a gradient."""
    there = d.names(lambda t: t.is_leaf and t.grad is not None)
    if not there:
        raise Stop
    x = d.one(there)
    give(
        d,
        d.one((f"with m.no_grad(): {x} -= 0.1 * {x}.grad", f"{x}.data -= 0.1 * {x}.grad.detach()",
               f"{x}.data = {x}.data - 0.1 * {x}.grad", f"{x}.grad = None", f"{x}.grad.zero_()",
               f"with m.no_grad(): {x}[0] = 5", f"with m.no_grad(): {x}.add_({x}.grad, alpha=-0.1)",
               f"{x}.grad *= 2", f"{x}.grad = m.ones_like({x})")),
        writes=True, named=False,
    )  # fmt: skip


OPTIMIZERS = (
    "SGD([{xs}], lr=0.1)", "SGD([{xs}], lr=0.1, momentum=0.9, nesterov=True)",
    "SGD([{xs}], lr=0.1, momentum=0.5, dampening=0.25, weight_decay=0.1)",
    "Adam([{xs}], lr=0.1)", "Adam([{xs}], lr=0.1, amsgrad=True, weight_decay=0.1)",
    "AdamW([{xs}], lr=0.1)", "Adagrad([{xs}], lr=0.1, lr_decay=0.1)",
    "RMSprop([{xs}], lr=0.1, centered=True, momentum=0.5)", "RMSprop([{xs}], lr=0.1)",
    "Adam([{xs}], lr=0.1, maximize=True)",
)  # fmt: skip


def optimized(d: Draw) -> None:
    """A few steps of an optimizer on the leaves, with a loss of what was drawn."""
    xs = d.names(lambda t: t.is_leaf and t.requires_grad)[-3:]
    if not xs:
        raise Stop
    optimizer = f"m.optim.{d.one(OPTIMIZERS).format(xs=', '.join(xs))}"
    if not d.write(Line(f"o = {optimizer}", f"o = {optimizer}")):
        return
    for _ in range(d.rng.randint(1, 3)):
        loss = " + ".join(f"({x} * {x} - {x}).sum()" for x in xs)
        for text in ("o.zero_grad()", f"({loss}).backward()", "o.step()"):
            if not d.write(Line(text, text, "", text == "o.step()")):
                return


OTHERS = {
    "infix": infix, "prefix": prefix, "augmented": augmented, "@": product, "[ ]": item,
    "[ ] =": set_item, "view": written_view, "look": looked_at, "backward": backward,
    "update": updated, "optim": optimized,
}  # fmt: skip
"""関数でないもの: 演算子、添字、ビューへの書き込み、逆伝播、最適化手法。"""


# ---- Value --------------------------------------------------------------------------------------

ONE_VALUE = (
    "neg exp log log2 log10 log1p expm1 sqrt"
    " sin cos tan asin acos atan sinh cosh tanh asinh acosh atanh"
    " relu sigmoid erf abs sign floor softplus elu gelu silu mish hardswish leaky_relu"
    " hard_sigmoid clone"
).split()
TWO_VALUES = "add sub mul div pow maximum minimum".split()


def value(d: Draw) -> str:
    """A Value that is there, or a new one."""
    there = d.names()
    if there and not d.chance(0.3):
        return there[-1] if d.chance(0.6) else d.one(there)
    name = d.name()
    d.write(Leaf(name, d.element("float64"), "Value").line)
    return name


VALUE_NUMBERS = ("2", "3", "-1", "0", "1", "0.5", "1.5", "-2.0", "0.0", "0.1", "True", "False")


def values(d: Draw) -> None:
    """One operation on Values, as the method, the function or the operator."""
    x = value(d)

    def other() -> str:
        return value(d) if d.chance(0.5) else d.one(VALUE_NUMBERS)

    way = d.rng.random()
    if way < 0.4:
        name = d.one(ONE_VALUE)
        functional = {
            "softplus",
            "elu",
            "gelu",
            "silu",
            "mish",
            "hardswish",
            "leaky_relu",
            "hard_sigmoid",
        }
        there = f"F.{name.replace('_s', 's')}({x})" if name in functional else f"m.{name}({x})"
        give(d, Pair(d.one((f"m.{name}({x})", f"{x}.{name}()")), there))
    elif way < 0.75:
        y, sign = other(), d.one(("+", "-", "*", "/", "**"))
        give(d, f"{x} {sign} {y}" if d.chance(0.6) else f"{y} {sign} {x}")
    elif way < 0.85:
        name, y = d.one(TWO_VALUES), value(d)
        give(d, d.one((f"m.{name}({x}, {y})", f"{x}.{name}({y})")))
    elif way < 0.9:
        low, high = sorted((d.rng.randint(-3, 3), d.rng.randint(-3, 3)))
        give(d, d.one((f"{x}.clip({low}, {high})", f"m.clip({x}, min={low})")))
    else:
        xs, ys = ([value(d) for _ in range(2)] for _ in range(2))
        a, b = ", ".join(xs), ", ".join(ys)
        give(d, d.one((
            Pair(f"m.sum([{a}, {b}])", f"m.stack([{a}, {b}]).sum()"),
            Pair(f"m.prod([{a}, {b}])", f"m.stack([{a}, {b}]).prod()"),
            Pair(f"m.dot([{a}], [{b}])",
                 " + ".join(f"{x} * {y}" for x, y in zip(xs, ys))),
            Pair(f"m.logsumexp([{a}, {b}])", f"m.logsumexp(m.stack([{a}, {b}]), 0)"),
            Pair(f"m.softmax([{a}, {b}])[0]", f"m.softmax(m.stack([{a}, {b}]), 0)[0]"),
            Pair(f"m.where({a[:2]}.data > 0, {a})", f"m.where({a[:2]}.detach() > 0, {a})"),
        )))  # fmt: skip


def values_backward(d: Draw) -> None:
    there = d.names(lambda t: t.grad_fn is not None)
    if not there:
        raise Stop
    y = there[-1]
    text = f"{y}.backward({d.one(('', 'create_graph=True'))})"
    if not d.write(Line(text, text, "", True)) or "create" not in text:
        return
    leaves = d.names(lambda t: t.is_leaf and t.grad is not None and t.grad.requires_grad)
    if leaves:
        text = f"{d.one(leaves)}.grad.backward()"
        d.write(Line(text, text, "", True))
