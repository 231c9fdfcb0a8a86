"""PyTorch と NumPy が違うところでは PyTorch と同じ: 添字の順、まとめた連立方程式、残す勾配、…。"""

from itertools import product

import numpy as np
import pytest
from array_cases import CASES, case, is_complex

import micrograd_jp as mg
import micrograd_jp.nn.functional as F
from tests.reference import pytorch_answers, torch

KEYS = (
    0,
    -1,
    slice(None),
    slice(0, 2),
    None,
    Ellipsis,
    [1, 0],
    [[0], [1]],
    np.array([True, False]),
)
TRIPLES = [k for k in product(KEYS, repeat=3) if sum(p is Ellipsis for p in k) < 2]


def spelled(key, make):
    return tuple(make(np.array(k)) if isinstance(k, list | np.ndarray) else k for k in key)


def of(read, x):
    try:
        return read(x)
    except (IndexError, ValueError):
        return None


POINT = np.arange(16.0).reshape(2, 2, 2, 2)


def chosen(m, keys, read=lambda t, key: t[key]):
    """What each key chooses, and the gradient of the sum of its squares; None where it cannot."""
    found = []
    for key in keys:
        x = m.tensor(POINT, requires_grad=True)
        y = of(lambda t, k=key: read(t, spelled(k, m.tensor)), x)
        if y is not None:
            (y * y).sum().backward()
        found.append(None if y is None else (y.detach().numpy(), x.grad.numpy()))
    return found


@pytorch_answers
def chosen_by_pytorch(torch, keys):
    """For all keys, in one question."""
    return chosen(torch, TRIPLES)


def disagreements(read=lambda t, key: t[key]):
    """The keys that choose other numbers than PyTorch, or send gradients elsewhere."""
    ours, theirs = chosen(mg, TRIPLES, read), chosen_by_pytorch(repr(TRIPLES))
    return [key for key, a, b in zip(TRIPLES, ours, theirs, strict=True) if not same(a, b)]


def same(a, b):
    if a is None or b is None:
        return a is b
    return all(map(np.array_equal, a, b))


def test_whole_numbers_are_taken_first():
    assert len(TRIPLES) > 600
    assert disagreements() == []


@pytest.mark.control
def test_numpys_order_would_be_noticed():
    from micrograd_jp.ops import arrays
    from micrograd_jp.tensor.keys import keys_of
    from micrograd_jp.tensor.run import indexed

    found = disagreements(lambda t, key: indexed(arrays.getitem, t, keys_of(key)))
    assert (0, slice(None), [1, 0]) in found


# ---- メモリを共有するか -------------------------------------------------------------------------

ALONE = [  # where there is nothing to compute
    case("prod", lambda x: mg.prod(x, 0), (1, 3), torch=lambda x: x.prod(0)),
    case("sum", lambda x: mg.sum(x, 0), (1, 3), torch=lambda x: x.sum(0)),
    case("mean", lambda x: mg.mean(x, 0), (1, 3), torch=lambda x: x.mean(0)),
    case("amax", lambda x: mg.amax(x, 0), (1, 3), torch=lambda x: x.amax(0)),
    case("max", lambda x: mg.max(x, 0).values, (1, 3), torch=lambda x: x.max(0).values),
    case("cumsum", lambda x: mg.cumsum(x, 0), (1, 3), torch=lambda x: x.cumsum(0)),
    case("tile", lambda x: mg.tile(x, (1, 1)), (2, 3), torch=lambda x: x.tile((1, 1))),
    case("roll", lambda x: mg.roll(x, 0, 0), (2, 3), torch=lambda x: x.roll(0, 0)),
    case("repeat", lambda x: mg.repeat(x, 1, axis=0), (2, 3),
         torch=lambda x: x.repeat_interleave(1, 0)),
    case("concatenate", lambda x: mg.cat([x]), (2, 3), torch=lambda x: torch.cat([x])),
    case("contiguous", lambda x: x.contiguous(), (2, 3), torch=lambda x: x.contiguous()),
    case("ravel", lambda x: x.ravel(), (3,), torch=lambda x: x.ravel()),
    case("pad", lambda x: mg.pad(x, 0), (3,), torch=lambda x: x.clone()),
    case("where", lambda x: mg.where(True, x, x), (3,), torch=lambda x: x.clone()),
    case("clip", lambda x: mg.clip(x, min=-9), (3,), torch=lambda x: x.clamp(min=-9)),
]  # fmt: skip
LAYOUTS = {
    "plain": lambda a: a,
    "strided": lambda a: np.repeat(a, 2, axis=0)[::2] if a.ndim else a,
    "transposed": lambda a: a.T.copy().T,
}
# PyTorch has no steps backwards (flip copies); a small Tensor is spread by a copy, which is faster.
OURS = ("getitem", "broadcast_to", "expand", "expand_as")


def odd_sharing():
    """The rows whose result shares memory where PyTorch copies, or the other way round."""
    found = set()
    for layout in LAYOUTS.values():
        for row in [*CASES, *ALONE]:
            arrays = [layout(x) for x in row.point()]
            if (
                row.torch is None
                or row.name in OURS
                or row.name.startswith("view")
                or is_complex(row)
            ):
                continue
            ours = row.f(*map(mg.from_numpy, arrays))
            theirs = row.torch(*(tensors := list(map(torch.from_numpy, arrays))))
            if not isinstance(ours, mg.Tensor) or not theirs.numel():
                continue
            storage = theirs.untyped_storage().data_ptr()
            for array, tensor in zip(arrays, tensors, strict=True):
                same = storage == tensor.untyped_storage().data_ptr()
                if np.shares_memory(ours._data, array) != same:
                    found.add(row.name)
    return found


def test_memory_is_shared_where_pytorch_shares_it():
    assert odd_sharing() == set()


@pytest.mark.control
def test_shared_memory_would_be_noticed(monkeypatch):
    from micrograd_jp.ops.arrays import flip

    monkeypatch.setitem(vars(flip), "value", lambda m, x, axis: m.flip(x, axis=axis))
    monkeypatch.setattr(mg.Tensor, "clone", lambda x: x)
    assert odd_sharing() >= {"flip", "prod", "tile", "ravel"}


# ---- 値 -----------------------------------------------------------------------------------------


def test_several_systems_with_a_vector_each():
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((3, 2, 2)), rng.standard_normal((3, 2))
    for right in (b, b[0], b[..., None], b[:, :, None].repeat(2, -1)):
        want = torch.linalg.solve(torch.tensor(a), torch.tensor(right)).numpy()
        np.testing.assert_allclose(mg.solve(a, right)._data, want)
    square = rng.standard_normal((2, 2, 2))
    np.testing.assert_allclose(mg.inv(square)._data, np.linalg.inv(square))


@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["adaptive_avg_pool2d", "adaptive_max_pool2d"])
def test_an_odd_pixel_stays_in_its_windows(name, odd):
    x = np.arange(25.0).reshape(1, 5, 5)
    x[0, 1, 3] = odd
    ours, theirs = mg.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    a, b = getattr(F, name)(ours, 3), getattr(torch.nn.functional, name)(theirs, 3)
    np.testing.assert_allclose(a._data, b.detach().numpy())
    a.sum().backward()
    b.sum().backward()
    np.testing.assert_allclose(ours.grad._data, theirs.grad.numpy())


def test_what_is_no_longer_a_float_has_no_gradient():
    x = mg.tensor([1.5], requires_grad=True)
    for dtype in (mg.int64, mg.uint8, mg.bool):
        for t in (x.astype(dtype), mg.astype(x, dtype), x.to(dtype), x.type(dtype)):
            assert not t.requires_grad
    assert x.astype(mg.float16).requires_grad


def test_only_axes_of_length_1_are_squeezed():
    x = mg.zeros(1, 2, 1)
    assert x.squeeze(1).shape == (1, 2, 1)
    assert x.squeeze((0, 1)).shape == (2, 1)
    assert x.squeeze().shape == (2,)


@pytest.mark.parametrize("new", [1, 2])
@pytest.mark.parametrize("own", [(), (3,), (1, 3)])
def test_a_length_is_kept_only_where_there_is_one(new, own):
    x, kept = mg.zeros(*own), (-1,) * len(own)
    assert x.expand(*(2,) * new, *kept).shape == (2,) * new + own
    with pytest.raises(ValueError, match="negative dimension"):
        x.expand(*(-1,) * new, *kept)


@pytest.mark.parametrize("m", [mg, torch])
def test_arguments_by_pytorchs_names(m):
    x, y = m.tensor([1.0, -2.0]), m.tensor([2.0, -3.0])
    assert m.clip(input=x, min=0).tolist() == [1.0, 0.0]
    assert m.add(input=x, other=y).tolist() == m.add(x, other=y).tolist() == [3.0, -5.0]
    assert m.maximum(x, other=y).tolist() == [2.0, -2.0]
    assert m.exp(input=m.zeros(1)).tolist() == [1.0]
    assert m.sum(input=x).item() == -1.0
    assert m.prod(input=x).item() == -2.0
    assert m.softmax(input=m.zeros(2), dim=0).tolist() == [0.5, 0.5]
    with pytest.raises((TypeError, RuntimeError)):
        m.exp(other=x)


@pytest.mark.parametrize("m", [mg, torch])
def test_a_retained_gradient_adds_up_like_a_leafs(m):
    x = m.tensor([1.0, 2.0], requires_grad=True)
    y = x * x
    y.retain_grad()
    for times in (1, 2, 3):
        y.sum().backward(retain_graph=True)
        assert y.grad.tolist() == [times, times]
        assert x.grad.tolist() == [2.0 * times, 4.0 * times]
    y.grad = None
    y.sum().backward(retain_graph=True)
    assert y.grad.tolist() == [1.0, 1.0]
    y.grad = m.tensor([5.0, 5.0])
    y.retain_grad()
    y.sum().backward()
    assert y.grad.tolist() == [6.0, 6.0]


@pytest.mark.parametrize(
    "write", [lambda h: h.add_(1), lambda h: h.__setitem__(0, 7.0), lambda h: h[:1].mul_(2)]
)
def test_a_retained_gradient_adds_up_over_writes(write):
    h = mg.tensor([1.0, 2.0], requires_grad=True) * 2
    h.retain_grad()
    for times in (1.0, 2.0, 3.0):
        h.sum().backward(retain_graph=True)
        assert h.grad.tolist() == [times, times]
        write(h)


def test_retains_grad_says_of_which_results_the_gradient_stays():
    x = mg.tensor([1.0, 2.0], requires_grad=True)
    written = x * 5
    written[0] = x[1]
    results = [x * 2, x[:1], x.sum(), written]
    for kept in results[::2]:
        kept.retain_grad()
    x.retain_grad()  # of a leaf it always stays
    sum(y.sum() for y in results).backward()
    assert [y.retains_grad for y in results] == [True, False, True, False]
    assert [y.grad is not None for y in results] == [True, False, True, False]
    assert not x.retains_grad and x.grad is not None


@pytest.mark.filterwarnings("ignore:Using backward")
@pytest.mark.parametrize("m", [mg, torch])
def test_a_gradient_that_can_be_differentiated_stays_so(m):
    x = m.tensor([2.0], requires_grad=True)
    for create in (True, False, True):
        (x * x * x).sum().backward(create_graph=create)
    assert x.grad.tolist() == [36.0]
    x.grad.sum().backward()
    assert x.grad.tolist() == [36.0 + 2 * 12.0]  # both of the first and of the third pass


@pytest.mark.filterwarnings("ignore:Using backward")
@pytest.mark.parametrize("name", ["elu", "selu"])
def test_the_second_derivative_at_the_kink(name):
    slopes = []
    for m, functional in ((mg, F), (torch, torch.nn.functional)):
        x = m.tensor([-1.0, 0.0, 1.0], dtype=m.float64, requires_grad=True)
        getattr(functional, name)(x).sum().backward(create_graph=True)
        first, x.grad = x.grad, None
        first.sum().backward()
        slopes.append([first.detach().numpy(), x.grad.detach().numpy()])
    np.testing.assert_allclose(*slopes)
    assert slopes[0][1][1] == 0


@pytest.mark.parametrize("m", [mg, torch])
def test_equal_steps_of_whole_numbers(m):
    assert m.linspace(1, -1, 4, dtype=m.int64).tolist() == [1, 0, 0, -1]
    assert m.linspace(-2.5, 2.5, 3, dtype=m.int8).tolist() == [-2, 0, 2]


@pytest.mark.parametrize("m", [mg, torch])
def test_only_a_leaf_can_be_told_to_need_no_gradient(m):
    x = m.tensor([1.0], requires_grad=True)
    with pytest.raises(RuntimeError):
        (x * x).requires_grad_(False)
    assert (x * x).requires_grad_(True).requires_grad
    assert not x.requires_grad_(False).requires_grad


@pytest.mark.parametrize("m", [mg, torch])
def test_nothing_to_flatten(m):
    x = m.zeros(2, 3)
    assert x.flatten(1) is x
    assert x.flatten(1, 1) is x


@pytest.mark.parametrize("m", [mg, torch])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_gradient_of_a_single_number_can_be_written(m, dtype):
    w = m.tensor(2.0, dtype=getattr(m, dtype), requires_grad=True)
    (w * w).backward()
    w.grad.zero_()
    assert w.grad.item() == 0.0
    w.grad.add_(3)
    (w * w).backward()
    assert w.grad.item() == 7.0


@pytest.mark.parametrize("m", [mg, torch])
@pytest.mark.parametrize("view", [lambda t: t[1:], lambda t: t.view(2, 2), lambda t: t[::2]])
def test_a_written_view_requires_its_gradient(m, view):
    w, t = m.tensor(2.0, requires_grad=True), view(m.tensor([1.0, 2.0, 3.0, 4.0]))
    t *= w
    assert t.requires_grad
    t.sum().backward()
    assert w.grad.item() == view(m.tensor([1.0, 2.0, 3.0, 4.0])).sum().item()
