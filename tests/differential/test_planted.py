"""陰性対照: 植えた誤りを、ファザーが約束で説明してしまわずに、少ないプログラムで見つける。"""
# ruff: noqa: E402

import sys
import warnings

import pytest

torch = pytest.importorskip("torch", reason="PyTorch がないので比べない")
import fuzz
from fuzz_conventions import explained

import micrograd_jp as mg
from micrograd_jp.nn import functional as F
from micrograd_jp.ops import arrays, elementwise, gates, linalg

FAULTS = {}


def fault(focus):
    """A fault to be planted with a MonkeyPatch, and the calls in which it must be found."""

    def note(plant):
        FAULTS[plant.__name__] = (focus.split(), plant)
        return plant

    return note


def rule(patch, op, **parts):
    for name, new in parts.items():
        patch.setitem(vars(op), name, new)


def everywhere(patch, name, new):
    """A function by its name, as a method and in `nn.functional`, where there are such."""
    for place in (mg, mg.Tensor, F):
        if hasattr(place, name):
            old = getattr(place, name)
            patch.setattr(place, name, lambda *a, old=old, **k: new(old, *a, **k))


# ---- 勾配 ---------------------------------------------------------------------------------------


@fault("tanh")
def wrong_factor(patch):
    rule(patch, elementwise.tanh, partials=(lambda m, z, x: 1.01 * (1 - z * z),))


@fault("cos")
def wrong_sign(patch):
    rule(patch, elementwise.cos, partials=(lambda m, z, x: m.sin(x),))


@fault("relu")
def wrong_side_of_the_kink(patch):
    rule(patch, elementwise.relu, partials=(lambda m, z, x: m.gate(x < 0, 0, 1),))


@fault("relu")
def near_the_slope(patch):
    rule(patch, elementwise.relu, partials=(lambda m, z, x: m.where(x <= 0, 0, 1.01),))


@fault("abs")
def slope_at_zero(patch):
    rule(patch, elementwise.abs, partials=(lambda m, z, x: m.where(x >= 0, 1, -1),))


@fault("clip")
def shut_at_the_bound(patch):
    slope = (lambda m, z, x, y, w: m.gate(x > y, m.gate(x <= w, 1, 0), 0),)
    rule(patch, elementwise.clip, partials=slope + elementwise.clip.partials[1:])


@fault("mean")
def sum_for_a_mean(patch):
    rule(patch, arrays.mean, vjp=arrays.sum.vjp)


@fault("expand broadcast_to")
def lost_broadcast_sum(patch):
    def first(m, g, z, x, shape):
        while len(g.shape) > len(x.shape):
            g = m.getitem(g, (0,))
        return (arrays.summed_to(m, g, x.shape),)

    rule(patch, arrays.broadcast_to, vjp=first)


@fault("amax amin")
def ties_not_shared(patch):
    def vjp(m, g, z, x, axis):
        top = arrays.kept(m, z, x.shape, axis)
        share = m.broadcast_to(arrays.kept(m, g, x.shape, axis), x.shape)
        return (m.times(share, m.gate((x < top) | (x > top), 0, 1)),)

    rule(patch, arrays.amax, vjp=vjp)
    rule(patch, arrays.amin, vjp=vjp)


@fault("softmax")
def softmax_by_itself(patch):
    rule(patch, arrays.softmax, vjp=lambda m, g, z, x, axis: (g * z,))


@fault("cat")
def pieces_in_the_wrong_order(patch):
    own = arrays.concatenate.vjp

    def vjp(m, g, z, *xs, axis):
        pieces = own(m, g, z, *xs, axis=axis)
        return pieces[::-1] if len({x.shape for x in xs}) == 1 else pieces

    rule(patch, arrays.concatenate, vjp=vjp)


@fault("t transpose")
def gradient_upside_down(patch):
    own = arrays.transpose.vjp
    rule(patch, arrays.transpose, vjp=lambda m, g, z, x, axes: own(
        m, m.flip(g, axis=(0,)) if g.shape[:1] > (1,) else g, z, x, axes=axes))  # fmt: skip


@fault("take index_select")
def duplicates_lost(patch):
    def vjp(m, g, z, x, key):
        return (m.assigned(m.zeros_like(x), key, g),)

    rule(patch, arrays.getitem, vjp=vjp)


@fault("tril triu")
def diagonal_off_by_one(patch):
    rule(patch, arrays.tril, vjp=lambda m, g, z, x, k: (m.tril(g, k - 1),))


@fault("pow")
def nan_where_zero_is_right(patch):
    partials = (lambda m, z, x, y: y * x ** (y - 1), gates.slope_of_exponent)
    rule(patch, elementwise.pow, partials=partials)


@fault("prod")
def products_by_division(patch):
    def prod(old, x, *a, **k):
        tracked = mg.is_tensor(x) and x.requires_grad and x.numel()
        return old(x, *a, **k) * (x / x).mean() if tracked else old(x, *a, **k)

    everywhere(patch, "prod", prod)


@fault("clone")
def lost_gradient(patch):
    everywhere(patch, "clone", lambda old, x: old(x).detach())


@fault("hard_sigmoid")
def near_a_convention_slope(patch):
    rule(patch, elementwise.hard_sigmoid,
         partials=(lambda m, z, x: m.gate(x > -3, m.gate(x < 3, 0.16666667, 0), 0.1),))  # fmt: skip


# ---- 値と型 -------------------------------------------------------------------------------------


@fault("sign")
def near_a_convention_sign(patch):
    rule(patch, elementwise.sign, value=lambda m, x: m.sign(x) + (x == 0))


@fault("cumsum")
def axis_ignored(patch):
    rule(patch, arrays.cumsum, value=lambda m, x, axis: m.cumsum(x, axis=0))


@fault("log")
def number_where_nan_is_right(patch):
    rule(patch, elementwise.log, value=lambda m, x: m.log(m.abs(x)))


@fault("gelu")
def approximated(patch):
    def by_tanh(m, x):
        return 0.5 * x * (1 + m.tanh(0.7978845608 * (x + 0.044715 * x * x * x)))

    rule(patch, elementwise.gelu, value=by_tanh)


@fault("floor_divide")
def towards_zero(patch):
    rule(patch, arrays.floor_divide, value=lambda m, x, y: m.trunc(x / y))


@fault("remainder")
def sign_of_the_dividend(patch):
    rule(patch, arrays.remainder, value=lambda m, x, y: m.fmod(x, y))


@fault("mean")
def wrong_dtype(patch):
    rule(patch, arrays.mean, value=lambda m, x, axis: m.astype(m.mean(x, axis=axis), "float64"))


@fault("var std")
def correction_ignored(patch):
    everywhere(patch, "var", lambda old, x, *a, correction=1, **k: old(x, *a, **k))


@fault("norm")
def order_ignored(patch):
    everywhere(patch, "norm", lambda old, x, p=2, *a, **k: old(x, 2 if p == 3 else p, *a, **k))


@fault("sort")
def descending_ignored(patch):
    everywhere(patch, "sort", lambda old, x, *a, descending=False, **k: old(x, *a, **k))


@fault("add_")
def alpha_ignored(patch):
    everywhere(patch, "add_", lambda old, x, other, alpha=1: old(x, other))


@fault("det slogdet")
def absolute_determinant(patch):
    rule(patch, linalg.det, value=lambda m, x: m.abs(m.det(x)))


@fault("elu selu")
def whole_numbers_cut(patch):
    everywhere(patch, "elu", lambda old, x, *a: old(x, *a).floor()
               if mg.is_tensor(x) and not x.is_floating_point() else old(x, *a))  # fmt: skip


@fault("add mul infix")
def numpys_dtypes(patch):
    patch.setattr(sys.modules["micrograd_jp.tensor.run"], "_alike", lambda xs: True)


@fault("view")
def vanished_write(patch):
    read = mg.Tensor.__getitem__
    patch.setattr(mg.Tensor, "__getitem__", lambda t, key: read(t, key).clone())


# ---- 窓と損失 -----------------------------------------------------------------------------------


@fault("avg_pool2d")
def padding_counted(patch):
    everywhere(patch, "avg_pool2d", lambda old, *a, count_include_pad=True, **k: old(*a, **k))


@fault("conv2d")
def dilation_ignored(patch):
    everywhere(patch, "conv2d", lambda old, *a, padding=0, **k: old(
        *a, padding=(1, 0) if padding == 1 else padding, **k))  # fmt: skip


@fault("max_pool2d")
def stride_off_by_one(patch):
    everywhere(patch, "max_pool2d", lambda old, x, k, stride=None, *a, **b: old(
        x, k, 2 if stride == 1 else stride, *a, **b))  # fmt: skip


@fault("cross_entropy")
def weights_dropped(patch):
    everywhere(patch, "cross_entropy", lambda old, *a, weight=None, **k: old(*a, **k))


@fault("layer_norm")
def epsilon_too_large(patch):
    everywhere(patch, "layer_norm", lambda old, x, shape, *a: old(x, shape, *a, eps=2e-5))


# ---- 断り方 -------------------------------------------------------------------------------------


@fault("exp sum")
def refused_without_reason(patch):
    def backward(old, x, *a, **k):
        if x.ndim:
            raise RuntimeError("2 度目の逆伝播です (backward through the graph a second time)")
        return old(x, *a, **k)

    everywhere(patch, "backward", backward)


@fault("fill_ long")
def refused_to_fit(patch):
    everywhere(patch, "fill_", _refuses)
    everywhere(patch, "long", _refuses)


def _refuses(old, x, *a):
    if x.numel() and bool((x.data == 1).any()):
        raise OverflowError("整数に収まりません (integer out of range)")
    return old(x, *a)


@fault("exp")
def raw_error(patch):
    def broken(old, x):
        raise KeyError("x")

    everywhere(patch, "exp", broken)


@pytest.mark.slow
@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_is_found_and_not_explained(name):
    focus, plant = FAULTS[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for number in range(400):
            with pytest.MonkeyPatch.context() as patch:
                plant(patch)
                lines, finding = fuzz.drawn(5, number, focus=focus)
                found = finding is not None and explained(finding, lines) is None
            if found:
                lines, finding = fuzz.drawn(5, number, focus=focus)
                assert finding is None or explained(finding, lines)  # without it: nothing
                return
    pytest.fail(f"{name}: 400 個のプログラムでは見つからない")
