"""計算グラフの中の値を、どこにどう書き込んでも、勾配は PyTorch と同じように届く。"""

import copy
import gc
import pickle
import random
import weakref

import numpy as np
import pytest
import ways

import micrograd_jp as mg
from micrograd_jp.graph.node import topological_order
from micrograd_jp.tensor import inplace, versions
from micrograd_jp.tensor.inplace import IN_PLACE
from tests.reference import torch
from tests.tensor.composed_rows import composed

# ---- でたらめなプログラム: 写し、ビュー、書き込み、読み出しを続け、値と勾配を比べる --------------

VIEWS = [
    lambda t: t[0],
    lambda t: t[-1:],
    lambda t: t[..., 1],
    lambda t: t[:, None] if t.ndim else t.reshape(1),
    lambda t: t.T if t.ndim == 2 else t.reshape(-1),
    lambda t: t.reshape(-1),
    lambda t: t.reshape(1, *t.shape),
    lambda t: t.transpose(0, -1) if t.ndim else t[...],
    lambda t: t.diagonal(),
    lambda t: t.squeeze(),
    lambda t: t.flatten(),
    lambda t: t.unsqueeze(0),
    lambda t: t[1:, ::2],
]
WRITES = [
    lambda t, x: t.add_(x),
    lambda t, x: t.sub_(x, alpha=2),
    lambda t, x: t.mul_(x),
    lambda t, x: t.copy_(x),
    lambda t, x: t.__iadd__(x),
    lambda t, x: t.__imul__(x),
    lambda t, x: t.tanh_(),
    lambda t, x: t.sin_(),
    lambda t, x: t.zero_(),
    lambda t, x: t.fill_(0.5),
    lambda t, x: t.__setitem__(0, x),
    lambda t, x: t.__setitem__(..., x),
    lambda t, x: t.__setitem__((..., 0), x),
    lambda t, x: t.__setitem__(slice(1, None), x),
    lambda t, x: t.__setitem__(0, 0.25),
    lambda t, x: t.__setitem__(t > 0.3, x if not x.ndim else 0.125),
]
READS = [
    lambda a, b: a * b,
    lambda a, b: a + b,
    lambda a, b: (a * 1.5).sin(),
    lambda a, b: a.sum() * b,
    lambda a, b: a.tanh(),
    lambda a, b: a.clone(),
    lambda a, b: a.sum(0) if a.ndim else a * 2,
    lambda a, b: a.detach() * b,
]
STARTS = [((), True), ((), False), ((3,), False), ((3, 3), False), ((3, 3), True), ((3,), True)]


def storage(y):
    return y.untyped_storage().data_ptr()


def program(seed, steps=9):
    """Runs the same random program on both; the pairs (ours, PyTorch's) of all it made."""
    choose = random.Random(seed)
    pairs = []
    for shape, leaf in STARTS:
        data = np.array([choose.uniform(-1, 1) for _ in range(int(np.prod(shape)))]).reshape(shape)
        pairs.append((mg.tensor(data, requires_grad=leaf), torch.tensor(data, requires_grad=leaf)))
    pairs += [(x.clone(), y.clone()) for x, y in pairs[-2:]]
    log = []
    for _ in range(steps):
        kind = choose.choice(["view", "write", "write", "read"])
        i, j = choose.randrange(len(pairs)), choose.randrange(len(pairs))
        (ours, theirs), (x, y) = pairs[i], pairs[j]
        table = {"view": VIEWS, "write": WRITES, "read": READS}[kind]
        n = choose.randrange(len(table))
        log.append(f"{kind}{n}({i},{j})")
        if kind == "write" and y is not theirs and storage(y) == storage(theirs):
            x, y = x.clone(), y.clone()  # PyTorch reads what it has just written
        try:
            want = table[n](theirs) if kind == "view" else table[n](theirs, y)
        except (RuntimeError, IndexError, ValueError, TypeError):
            continue  # not a program
        got = table[n](ours) if kind == "view" else table[n](ours, x)
        if kind != "write":
            pairs.append((got, want))
        for a, b in pairs:
            np.testing.assert_allclose(
                np.asarray(a._data), b.detach().numpy(), rtol=1e-9, atol=1e-12, err_msg=str(log)
            )
    return pairs, log


def gradients(pairs, log):
    """None where PyTorch refuses: it counts the writes to memory, not the places."""
    total, wanted = 0, 0
    for k, (a, b) in enumerate(pairs):
        total, wanted = total + (a * (k + 0.5)).sum(), wanted + (b * (k + 0.5)).sum()
    if not wanted.requires_grad:
        return None
    try:
        wanted.backward()
    except RuntimeError as error:
        assert "modified by an inplace" in str(error)
        return None
    total.backward()
    for a, b in pairs:
        if b.is_leaf and b.requires_grad:
            got = np.zeros(a.shape) if a.grad is None else a.grad._data
            want = np.zeros(a.shape) if b.grad is None else b.grad.numpy()
            np.testing.assert_allclose(got, want, rtol=1e-9, atol=1e-12, err_msg=str(log))
    return True


@pytest.mark.parametrize("count", [30, pytest.param(300, marks=pytest.mark.slow)])
def test_random_programs(count):
    compared = sum(bool(gradients(*program(seed))) for seed in range(count))
    assert compared > count * 2 / 3


@pytest.mark.parametrize("kind", ["Value", "NumPy", "JAX"])
@pytest.mark.parametrize("how", ["g * 2", "g *= 2", "mul_", "itself"])
def test_a_gradient_that_is_changed_can_be_differentiated_again(kind, how):
    """x.grad = 3x² of x³, doubled: its square has the derivative 36·4·x³, or a quarter of it."""
    array = np.array if kind != "JAX" else pytest.importorskip("jax.numpy").asarray
    if (kind, how) in (("Value", "mul_"), ("JAX", "mul_")):
        return  # a Value has no such method; the gradient on JAX has no memory to be written
    x = mg.Value(2.0) if kind == "Value" else mg.tensor(array(2.0), requires_grad=True)
    (x * x * x).backward(create_graph=True)
    if how == "g *= 2":
        x.grad *= 2
    elif how == "mul_":
        x.grad.mul_(2)
    else:
        x.grad = x.grad * 2 if how == "g * 2" else x.grad
    again, x.grad = x.grad, None
    (again * again).backward()
    assert float(x.grad) == 36 * 8.0 * (1 if how == "itself" else 4)


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int64"])
def test_what_is_tracked_is_not_written_into_whole_numbers(dtype):
    ways = [
        lambda t, w: t.copy_(w), lambda t, w: t.fill_(w), lambda t, w: t.__setitem__(0, w),
        lambda t, w: t.masked_fill_(t == 0, w), lambda t, w: t.masked_fill(t == 0, w),
    ]  # fmt: skip
    for write in ways:
        t, w = mg.zeros(3, dtype=dtype), mg.tensor(1.0, requires_grad=True)
        with pytest.raises(TypeError, match="cannot cast"):
            write(t, w)
        assert t.tolist() == [0, 0, 0]
        with mg.no_grad():  # nothing gets lost
            write(t, w)


@pytest.mark.slow
def test_many_random_programs():
    for seed in range(1000, 2500):
        gradients(*program(seed, steps=14))


# ---- 書き込むメソッドのどれにも、どの引数にも ---------------------------------------------------

POINT = np.array([[0.3, 0.5], [0.7, 0.9]])
MASK = np.array([[True, False], [False, True]])
ARGUMENTS = {
    "add_": (2.0,), "sub_": (2.0,), "mul_": (2.0,), "div_": (2.0,), "pow_": (2.0,),
    "remainder_": (0.4,), "clamp_": (0.4, 0.6), "clip_": (0.4, 0.6), "copy_": (1.0,),
    "fill_": (3.0,), "masked_fill_": (MASK, 5.0), "index_add_": (0, [1, 0], POINT),
    "scatter_add_": (0, [[0, 1], [1, 1]], POINT),
}  # fmt: skip
RANDOM = {"normal_", "uniform_"}


def tracked(x, array=np.array):
    return mg.tensor(array(np.array(x, dtype=float)), requires_grad=True)


def both_ways(name, place, array=np.array):
    """The value and the gradient of an in-place method on `place` of a buffer, and the namesake's.

    Once for the buffer itself, and once for every argument that may have a gradient.
    """
    arguments = ARGUMENTS.get(name, ())
    start = POINT + (1 if name == "acosh_" else 0)
    for which in (None, *(i for i, x in enumerate(arguments) if np.asarray(x).dtype == float)):
        results = []
        for in_place in (True, False):
            leaf = tracked(start if which is None else arguments[which], array)
            given = [leaf * 1.0 if i == which else x for i, x in enumerate(arguments)]
            t = mg.tensor(array(np.zeros((3, 2, 2))))
            t = t + (leaf * 1.0 if which is None else mg.tensor(array(start)))
            if in_place:
                getattr(place(t), name)(*given)
            else:
                new = getattr(place(t), name.removesuffix("_"), None) or {
                    "copy_": lambda x: x + mg.zeros(2, 2), "fill_": lambda x: x + mg.zeros(2, 2),
                    "zero_": lambda: mg.zeros(2, 2),
                }[name]  # fmt: skip
                row = new(*given) if name not in ("add_", "sub_") else new(given[0])
                t = mg.stack([row if row is not None else None, t[1], t[2]])
            total = (t * array(np.arange(1.0, 13.0).reshape(3, 2, 2))).sum()
            if total.requires_grad:
                total.backward()
            results.append((t, mg.zeros_like(leaf) if leaf.grad is None else leaf.grad))
        yield results


def same_as_out_of_place(name, place, array=np.array, rtol=1e-12):
    for (value, got), (wanted_value, wanted) in both_ways(name, place, array):
        np.testing.assert_allclose(value._data, wanted_value._data, rtol=rtol, err_msg=name)
        np.testing.assert_allclose(
            got._data, wanted._data, rtol=rtol, atol=rtol / 100, err_msg=name
        )


METHODS = sorted(IN_PLACE.keys() - RANDOM - composed())


@pytest.mark.parametrize("name", METHODS)
def test_every_method_that_writes(name):
    same_as_out_of_place(name, lambda t: t[0])


def test_every_method_that_writes_with_machine_code():
    with ways.nothing_is_small():
        for name in METHODS:
            same_as_out_of_place(name, lambda t: t[0])


@pytest.mark.slow
def test_every_method_that_writes_on_jax():
    jnp = pytest.importorskip("jax.numpy", reason="JAX がない")
    for name in METHODS:
        same_as_out_of_place(name, lambda t: t[0], array=jnp.array, rtol=1e-5)


def differ_when_jitted(names):
    """All in one program; of a compiled function, `test_compiled.py` knows."""
    jnp = pytest.importorskip("jax.numpy", reason="JAX がない")

    def program(one):
        found = [pair for name in names for pair in both_ways(name, lambda t: t[0], jnp.array)]
        return [x for in_place, namesake in found for x in (*in_place, *namesake)]

    out = iter(ways.run_jitted(program, np.ones(())))
    return [
        (value, got) for value, got, wanted_value, wanted in zip(*[out] * 4, strict=True)
        if not np.allclose(value, wanted_value) or not np.allclose(got, wanted)
    ]  # fmt: skip


@pytest.mark.parametrize("names", [
    ("add_", "copy_", "tanh_"), pytest.param(METHODS, marks=pytest.mark.slow),
], ids=["few", "all"])  # fmt: skip
def test_every_method_that_writes_inside_a_jitted_function(names):
    assert differ_when_jitted(names) == []


def test_a_value_can_be_written():
    v = mg.Value(3.0)
    h = mg.zeros(3)
    h[0] = v * v
    h[1] = h[0] * v
    h[2].add_(v)
    total = h.sum().to_value() + v
    assert [x.item() for x in h] == [9.0, 27.0, 3.0]
    total.backward()
    assert v.grad == 6.0 + 27.0 + 1.0 + 1.0


# ---- 何階でも、前へも、描いても、写しても ------------------------------------------------------


def rollout(w, n=5):
    h = mg.zeros(n, dtype=mg.float64)
    h[0] = 1
    for i in range(1, n):
        h[i] = h[i - 1] * w
    h[-1:] *= w
    return h  # [1, w, w², w³, w⁵]


def test_derivatives_of_any_order():
    f = lambda w: rollout(w).sum()
    w = mg.tensor(2.0, dtype=mg.float64)
    want = [97, 174, 246]
    g = f
    for value in want:
        g = mg.grad(g)
        assert g(w).item() == value
    assert mg.jvp(f, (w,), (mg.tensor(1.0, dtype=mg.float64),))[1].item() == want[0]
    assert mg.testing.gradcheck(f, [w])
    np.testing.assert_array_equal(mg.jacobian(rollout)(w)._data, [0, 1, 4, 12, 80])


def test_writes_under_a_leaf_are_the_programs_business():
    x = tracked([1.0, 2.0])
    y = x.exp()
    y[0] = 5.0  # the rule of exp needs y: it was kept
    y.add_(1)
    y.sum().backward()
    np.testing.assert_allclose(x.grad._data, [0.0, np.exp(2.0)])
    x.grad = None
    y = x * 2
    z = y * y
    y.zero_()
    with pytest.raises(RuntimeError, match="mul が使った値が書き換えられて"):
        z.sum().backward()
    assert x.grad is None


def test_what_is_a_constant_later_becomes_tracked():
    """The shares go to what was tracked when it was recorded."""
    a, b = mg.tensor([2.0]), tracked([3.0])
    y = a * b
    z = mg.stack([a, b])
    a.requires_grad_()
    (y.sum() + z.sum()).backward()
    assert (a.grad, b.grad.tolist()) == (None, [3.0])


def test_without_recording_only_the_numbers_change():
    x = tracked([1.0, 2.0])
    h = x * 3
    with mg.no_grad():
        h[0] = 7.0
        h += 1
        h[1].mul_(2)
    assert h.tolist() == [8.0, 14.0]
    h.sum().backward()
    assert x.grad.tolist() == [3.0, 3.0]
    h = mg.zeros(2)
    with mg.no_grad():
        h[0] = x[0]
    assert not h.requires_grad


def test_copies_pictures_and_representations():
    w = tracked(2.0)
    h = rollout(w)
    assert "assigned" in repr(h)
    assert "[ ] =" in mg.draw(h.sum()).source
    for again in (copy.deepcopy([h, w]), pickle.loads(pickle.dumps([h, w]))):
        again[0].sum().backward()
        assert again[1].grad.item() == 97
    assert w.grad is None
    plain = h.detach()
    assert (plain.requires_grad, plain.tolist()) == (False, h.tolist())
    h.retain_grad()
    h.sum().backward()
    assert h.grad.tolist() == [1.0] * 5


WRITTEN_AFTER_RETAIN = {
    "the Tensor": lambda h: (h, h),
    "a view": lambda h: (h[0], None),
    "a view of a view": lambda h: (h.T[0], None),
    "the Tensor behind a view": lambda h: (h[0], h),
    "another view": lambda h: (h[0], h[:, 0]),
}


@pytest.mark.parametrize("name", WRITTEN_AFTER_RETAIN)
@pytest.mark.parametrize("times", [1, 2])
def test_a_retained_gradient_is_the_gradient_of_the_value_after_writing(name, times):
    found = []
    for m in (mg, torch):
        w = m.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
        kept, written = WRITTEN_AFTER_RETAIN[name](w * 1)
        kept.retain_grad()
        for _ in range(times):
            (kept if written is None else written).mul_(2)
        (kept * kept).sum().backward()
        found.append((kept.grad.tolist(), w.grad.tolist()))
    assert found[0] == found[1]


# ---- 輪はできない -----------------------------------------------------------------------------


def in_a_loop(h, w):
    for i in range(1, 4):
        h[i] = h[i - 1] * w


def by_way_of_a_view(h, w):
    row = h[1:3]
    row *= (row + w).sum()
    h.add_(row.sum())


def the_same_twice(h, w):
    h.add_(h)
    h.mul_(h.sigmoid())


def whole(h, w):
    h[2] = (h * w).sum()
    h[:2] = h[2:]


@pytest.mark.parametrize("write", [in_a_loop, by_way_of_a_view, the_same_twice, whole])
@pytest.mark.parametrize("start", ["plain", "tracked", "used before"])
def test_a_dropped_graph_is_freed_at_once(write, start):
    gc.disable()
    try:
        w = tracked(0.5)
        h = mg.tensor(POINT.reshape(-1))
        before = None
        if start != "plain":
            h = h * w
        if start == "used before":
            before = (h * h + h[1]).sum()
        write(h, w)
        seen = [weakref.ref(x) for x in (h, h.latest, *h.latest.parents[:1])]
        del h, before
        assert [ref() for ref in seen] == [None] * len(seen)
    finally:
        gc.enable()


def test_a_first_write_looks_at_what_is_new(monkeypatch):
    """The right side of an ODE makes a new buffer in every step."""
    looked = []
    twin = versions.isinstance = lambda x, kinds: looked.append(1) or isinstance(x, kinds)
    y, k = mg.tensor([1.0, 0.0], dtype=mg.float64), tracked(2.0)
    try:
        for _ in range(100):
            dy = mg.zeros(2, dtype=mg.float64)
            dy[0] = y[1]
            dy[1] = -k * y[0]
            y = y + 0.01 * dy
    finally:
        del versions.isinstance
    assert len(looked) < 100 * 40
    y.sum().backward()
    assert twin and k.grad.item() != 0


def test_a_long_loop_takes_memory_of_its_length():
    n, width = 300, 100
    w = tracked(np.full(width, 0.5))
    h = mg.zeros(n, width, dtype=mg.float64)
    for i in range(1, n):
        h[i] = h[i - 1] * w + 1
    owners = {}
    for node in topological_order(h.latest):
        for x in (node._data, *getattr(node, "_xs", ())):
            x = x if getattr(x, "base", None) is None else x.base
            owners[id(x)] = np.size(x)
    assert list(owners.values()).count(n * width) <= 2  # not one for every step
    h.sum().backward()
    assert w.grad._data.all()


# ---- 対照: 古い誤りに戻すと、見つかる ----------------------------------------------------------


@pytest.mark.control
def test_the_checks_find_the_old_faults(monkeypatch):
    with monkeypatch.context() as patch:  # the gradient is dropped without a word
        patch.setattr(inplace, "become", lambda t, keys, value: None)
        with pytest.raises(AssertionError):
            test_random_programs(60)
        with pytest.raises(AssertionError):
            same_as_out_of_place("add_", lambda t: t[0])
        assert differ_when_jitted(["add_"])
    with monkeypatch.context() as patch:  # a cycle is left
        patch.setattr(inplace, "forget", lambda t, old: None)
        with pytest.raises(AssertionError):
            test_a_dropped_graph_is_freed_at_once(whole, "tracked")
    with monkeypatch.context() as patch:  # views do not learn what happened to the whole
        patch.setattr(mg.Tensor, "latest", property(lambda t: getattr(t, "_now", None) or t))
        with pytest.raises((AssertionError, AttributeError, ValueError)):
            test_random_programs(60)
