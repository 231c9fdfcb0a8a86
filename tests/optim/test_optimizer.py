"""最適化手法: どの種類のパラメータでも同じ式、グループ、状態の保存と復元、エラー。"""

import copy
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import give, give_values, gradients, tensors, values

import micrograd_jp as mg
from micrograd_jp import optim
from micrograd_jp.engine import Value
from tests.reference import pytorch_answers

EVERY = [
    (optim.SGD, {"lr": 0.1}),
    (optim.SGD, {"lr": 0.1, "momentum": 0.9, "dampening": 0.2, "weight_decay": 0.1}),
    (optim.SGD, {"lr": 0.1, "momentum": 0.9, "nesterov": True, "maximize": True}),
    (optim.Adagrad, {"lr": 0.1, "lr_decay": 0.1, "initial_accumulator_value": 0.3}),
    (optim.RMSprop, {"lr": 0.1, "centered": True, "momentum": 0.5}),
    (optim.Adam, {"lr": 0.1, "amsgrad": True, "weight_decay": 0.1}),
    (optim.AdamW, {"lr": 0.1, "maximize": True}),
    (optim.Adadelta, {"rho": 0.8, "weight_decay": 0.1}),
    (optim.Adamax, {"lr": 0.1, "weight_decay": 0.1}),
    (optim.NAdam, {"lr": 0.1, "decoupled_weight_decay": True, "weight_decay": 0.1}),
    (optim.RAdam, {"lr": 0.1, "betas": (0.9, 0.9)}),
    (optim.Rprop, {"lr": 0.1}),
    (optim.ASGD, {"lr": 0.1, "lambd": 0.1, "t0": 2, "weight_decay": 0.1}),
]
every = pytest.mark.parametrize(("kind", "options"), EVERY)


# ---- Value でも、JAX でも、同じ ---------------------------------------------------------------


@every
def test_values_move_exactly_as_a_tensor_each(kind, options):
    """Also with gradients missing here and there: each Value counts its own steps."""

    @settings(max_examples=10)
    @given(st.integers(0, 10_000), st.sampled_from([0.0, 0.3]))
    def check(seed, missing):
        rng = np.random.default_rng(seed)
        start = rng.normal(size=6)
        vs, ts = values(start), tensors(list(start.reshape(6, 1)))
        A, B = kind(vs, **options), kind(ts, **options)
        for _ in range(8):
            g = rng.normal(size=6)
            g[rng.random(6) < missing] = np.nan
            give_values(vs, g)
            give(ts, [None if np.isnan(x) else np.array([x]) for x in g])
            A.step()
            B.step()
        assert all(v.data.__class__ is float for v in vs)
        np.testing.assert_allclose([v.data for v in vs], [t.item() for t in ts], rtol=1e-12)

    check()


@pytest.mark.parametrize(("kind", "options"), [EVERY[1], EVERY[5]])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("parts", [[range(6)], [range(3, 6), range(3)], [range(5)]])
def test_values_in_flat_vectors_move_as_plain_ones(kind, options, dtype, parts):
    """Before and after `mg.compile` has gathered all, or some, of them: the same optimizer."""
    rng = np.random.default_rng(0)
    start = rng.normal(size=6).astype(dtype)
    plain, vs = values(start), values(start)
    A, B = kind(plain, **options), kind([vs[i] for i in (2, 0, 1, 4, 3, 5)], **options)
    for turn in range(5):
        if turn == 1:
            for part in parts:
                own = [vs[i] for i in part]
                mg.compile(lambda x, own=own: mg.dot(own, own) * x[0], dtype=dtype).trace(
                    np.ones((1, 1))
                )
        g = rng.normal(size=6).astype(dtype)
        give_values(plain, g)
        give_values(vs, g)
        A.step()
        B.step()
        if dtype == "float32":  # which is what the vectors hold
            for p in plain:
                p.data = float(np.float32(p.data))
            for v in vs:
                v.data = float(np.float32(v.data))
        assert [v.data for v in vs] == [p.data for p in plain]
        B.zero_grad()
        assert not any(v.grad for v in vs)
    before, other = [v.data for v in vs], copy.deepcopy(B)
    give_values(other.param_groups[0]["params"], np.ones(6))
    other.step()
    assert [v.data for v in vs] == before != [v.data for v in other.param_groups[0]["params"]]
    vs[0].grad = Value(1.0) * 2  # as after create_graph=True
    give_values(vs[1:], np.full(5, 2.0))
    give_values(plain, np.full(6, 2.0))
    A.step()
    B.step()
    assert np.allclose([v.data for v in vs], [p.data for p in plain], rtol=1e-6)


@every
def test_to_maximize_is_to_minimize_the_negative(kind, options):
    rng = np.random.default_rng(0)
    arrays = gradients(rng, [(3, 2), (2,)], "f8")
    pulls = {"weight_decay", "lambd"} & options.keys()  # to 0 either way
    options = {**options, **dict.fromkeys(pulls, 0.0)}
    up, down, still = tensors(arrays), tensors(arrays), tensors(arrays)
    A, B = kind(up, **{**options, "maximize": True}), kind(down, **{**options, "maximize": False})
    for _ in range(4):
        g = gradients(rng, [(3, 2), (2,)], "f8")
        give(up, g)
        give(down, [-x for x in g])
        A.step()
        B.step()
    for a, b, c in zip(up, down, still):
        np.testing.assert_array_equal(a.detach().numpy(), b.detach().numpy())
        assert (a.detach().numpy() != c.detach().numpy()).all()


@every
def test_jax_parameters_are_rebound_and_move_alike(kind, options):
    jnp = pytest.importorskip("jax.numpy", reason="jax がありません")
    rng = np.random.default_rng(0)
    arrays = gradients(rng, [(3, 2), (2,)], "f4")
    on_jax = [mg.tensor(jnp.asarray(a), requires_grad=True) for a in arrays]
    ours = tensors(arrays)
    first = [p._data for p in on_jax]
    A, B = kind(on_jax, **options), kind(ours, **options)
    for _ in range(10):
        grads = gradients(rng, [(3, 2), (2,)], "f4")
        give(ours, grads)
        give(on_jax, [jnp.asarray(g) for g in grads])
        A.step()
        B.step()
    for p, q, before, a in zip(on_jax, ours, first, arrays):
        assert isinstance(p._data, type(before)) and p.dtype == "f4"
        np.testing.assert_array_equal(before, a)
        np.testing.assert_allclose(p._data, q.detach().numpy(), rtol=2e-5, atol=1e-6)


@every
def test_a_step_inside_jax_jit(kind, options):
    """The state travels through the jitted function; traced twice (with and without state)."""
    jax = pytest.importorskip("jax", reason="jax がありません")
    rng = np.random.default_rng(0)
    arrays = gradients(rng, [(3, 2), (2,)], "f4")
    settings_only = kind(tensors(arrays), **options).state_dict()["param_groups"]
    traces = []

    @jax.jit
    def step(params, state, grads, lr):
        traces.append(1)
        leaves = [mg.Tensor(p, requires_grad=True) for p in params]
        optimizer = kind(leaves, **options)
        optimizer.load_state_dict({"state": state, "param_groups": settings_only})
        optimizer.param_groups[0]["lr"] = lr
        for leaf, g in zip(leaves, grads):
            leaf.grad = mg.Tensor(g)
        optimizer.step()
        state = optimizer.state_dict()["state"]
        return [p._data for p in leaves], {
            i: {k: x._data if isinstance(x, mg.Tensor) else x for k, x in s.items()}
            for i, s in state.items()
        }

    params, state = [jax.numpy.asarray(a) for a in arrays], {}
    ours = tensors(arrays)
    eager = kind(ours, **options)
    for i in range(6):
        lr = 0.1 / (i + 1)
        grads = gradients(rng, [(3, 2), (2,)], "f4")
        params, state = step(params, state, grads, lr)
        give(ours, grads)
        eager.param_groups[0]["lr"] = lr
        eager.step()
    assert len(traces) <= 3
    for p, q in zip(params, ours):
        assert p.dtype == "f4"
        np.testing.assert_allclose(p, q.data, rtol=1e-4, atol=1e-6)


@every
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_keeps_its_dtype_and_stays_finite(kind, options, dtype):
    if dtype == "bfloat16":  # known to NumPy, and as floating, with JAX only
        dtype = pytest.importorskip("jax", reason="jax がありません").numpy.bfloat16
    dtype = np.dtype(dtype)
    p = mg.Tensor(np.ones(5, dtype=dtype))
    exact = mg.tensor(np.ones(5), requires_grad=True)
    A, B = kind([p], **options), kind([exact], **options)
    data = p.numpy()
    for i in range(3):
        g = np.linspace(-1, 1, 5) * (i + 1) * 1e-3  # squared, less than float16 can hold
        p.grad, exact.grad = mg.Tensor(g.astype(dtype)), mg.tensor(g)
        A.step()
        B.step()
    assert p.numpy() is data and p.dtype == dtype
    np.testing.assert_allclose(p.data.astype("f8"), exact.data, atol=0.02)
    assert all(x.dtype == "f4" for x in A.state[p].values() if hasattr(x, "dtype")) or not A.state


# ---- その場で、余分な場所を取らずに -------------------------------------------------------------


@every
def test_arrays_are_updated_in_place_and_gradients_left_alone(kind, options):
    rng = np.random.default_rng(0)
    draw = rng.normal
    layouts = [draw(size=(2, 3)), draw(size=(3, 4)).T, draw(size=(4, 6))[::-1, ::2], np.array(1.5)]
    ours = [mg.Tensor(a, requires_grad=True) for a in layouts]
    plain = tensors([a.copy(order="C") for a in layouts])
    A, B = kind(ours, **options), kind(plain, **options)
    for _ in range(3):
        grads = gradients(rng, [a.shape for a in layouts], "f8")
        for optimizer, ps in ((A, ours), (B, plain)):
            give(ps, grads)
            optimizer.step()
            for p, g in zip(ps, grads):
                np.testing.assert_array_equal(p.grad.numpy(), g)
    for p, q, a in zip(ours, plain, layouts):
        assert p.detach().numpy() is a
        np.testing.assert_array_equal(p.data, q.data)


def test_read_only_data_is_replaced():
    a = np.ones(3)
    a.flags.writeable = False
    p = mg.Tensor(a, requires_grad=True)
    p.grad = mg.tensor([1.0, 2.0, 3.0])
    optim.SGD([p], lr=0.5).step()
    assert p.detach().numpy().tolist() == [0.5, 0.0, -0.5]
    assert a.tolist() == [1, 1, 1]


def test_a_parameter_without_gradient_stands_still():
    """No decay, no momentum, no count, as in PyTorch."""
    p, q = tensors([np.ones(2), np.ones(2)])
    optimizer = optim.AdamW([p, q], lr=0.1, weight_decay=0.5)
    p.grad = mg.tensor([1.0, 1.0])
    optimizer.step()
    assert q.detach().numpy().tolist() == [1, 1]
    assert list(optimizer.state_dict()["state"]) == [0]


def test_learning_rates_of_numpy_do_not_widen_float32():
    p = mg.tensor(np.ones(3, "f4"), requires_grad=True)
    optimizer = optim.Adam([p], lr=np.float64(0.1), eps=np.float64(1e-8))
    p.grad = mg.tensor(np.ones(3, "f4"))
    optimizer.param_groups[0]["lr"] = mg.tensor(0.25)
    optimizer.step()
    assert p.dtype == "f4"
    np.testing.assert_allclose(p.detach().numpy(), 0.75, rtol=1e-6)


@every
def test_half_precision_is_computed_in_single_on_jax_too(kind, options):
    """Rounded once a step: no eps becomes 0, and a gradient of 0 stays finite."""
    jnp = pytest.importorskip("jax.numpy", reason="jax がありません")
    rng = np.random.default_rng(0)
    arrays = gradients(rng, [(5, 2)], "f2")
    on_jax, ours = [mg.tensor(jnp.asarray(a), requires_grad=True) for a in arrays], tensors(arrays)
    A, B = kind(on_jax, **options), kind(ours, **options)
    for _ in range(5):
        (g,) = gradients(rng, [(5, 2)], "f2")
        g[:2] = 0
        give(ours, [g])
        on_jax[0].grad = mg.tensor(jnp.asarray(g))
        A.step()
        B.step()
    assert on_jax[0].dtype == ours[0].dtype == np.float16
    np.testing.assert_allclose(
        np.asarray(on_jax[0]._data), ours[0].detach().numpy(), rtol=2**-10, atol=1e-7
    )


KINDS = [np.float64, np.float32, np.array, mg.tensor, lambda x: mg.tensor([x]), mg.Value]


@every
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_a_learning_rate_is_a_number_whatever_holds_it(kind, options, dtype):
    """To the bit: a float64 beside a float32 weight must not widen what is computed."""

    def moved(rate):
        rng = np.random.default_rng(0)
        ps = tensors(gradients(rng, [(3, 4), (5,)], dtype))
        optimizer = kind(ps, **options)
        for _ in range(3):
            optimizer.param_groups[0]["lr"] = rate
            give(ps, gradients(rng, [(3, 4), (5,)], dtype))
            optimizer.step()
        return [(p.detach().numpy().dtype, p.detach().numpy().tolist()) for p in ps]

    for of in KINDS:
        rate = of(0.123)
        assert moved(rate) == moved(float(rate.item() if hasattr(rate, "item") else rate.data))


@every
def test_options_are_numbers_whatever_holds_them(kind, options):
    def moved(options):
        rng = np.random.default_rng(0)
        ps = tensors(gradients(rng, [(3, 4)], "f4"))
        optimizer = kind(ps, **options)
        for _ in range(3):
            give(ps, gradients(rng, [(3, 4)], "f4"))
            optimizer.step()
        return ps[0].detach().numpy().tolist()

    options = {"lr": 0.123, **options}
    held = {k: np.float64(x) if isinstance(x, float) else x for k, x in options.items()}
    assert moved(held) == moved(options)


# ---- 使い方 ------------------------------------------------------------------------------------


def test_one_loop_for_a_scalar_network_and_for_tensors():
    from micrograd_jp import nn

    mg.manual_seed(0)
    model = nn.MLP(2, [4, 1])
    scale = mg.tensor([1.0], requires_grad=True)
    optimizer = optim.Adam([*model.parameters(), scale], lr=0.05)
    losses = []
    for _ in range(40):
        loss = sum((model([x, y]) * scale[0] - (x - y)) ** 2 for x, y in [(1.0, 0.5), (-1.0, 2.0)])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.05 * losses[0]


def test_zero_grad():
    p, v = mg.tensor([1.0, np.nan], requires_grad=True), Value(2.0)
    optimizer = optim.SGD([p, v])
    p.grad, v.grad = mg.tensor([1.0, 2.0]), 3.0
    optimizer.zero_grad(set_to_none=False)
    assert (p.grad.tolist(), v.grad, v.has_grad) == ([0.0, 0.0], 0.0, True)
    optimizer.zero_grad()
    assert p.grad is None and not v.has_grad


def test_closure_runs_with_gradients_on_and_its_loss_is_returned():
    p = mg.tensor([1.0], requires_grad=True)
    optimizer = optim.SGD([p], lr=0.5)

    def closure():
        optimizer.zero_grad()
        loss = (p * p).sum()
        loss.backward()
        return loss

    with mg.no_grad():
        assert optimizer.step(closure).item() == 1.0
    assert p.detach().numpy().tolist() == [0.0]
    assert optimizer.step() is None


def test_gradients_that_are_nodes():
    p, v = mg.tensor([3.0], requires_grad=True), Value(2.0)
    (p.sum() ** 2).backward(create_graph=True)
    (v**2).backward(create_graph=True)
    optim.SGD([p, v], lr=0.25).step()
    assert (p.detach().numpy().tolist(), v.data) == ([1.5], 1.0)


def test_groups_have_their_own_options():
    p, q, r = tensors([np.ones(1)] * 3)
    optimizer = optim.SGD([{"params": p, "lr": 1.0}, {"params": iter([q])}], lr=0.5)
    optimizer.add_param_group({"params": r, "lr": 0.25})
    for x in (p, q, r):
        x.grad = mg.tensor([1.0])
    optimizer.step()
    assert [x.item() for x in (p.detach(), q.detach(), r.detach())] == [0.0, 0.5, 0.75]
    assert [g["lr"] for g in optimizer.param_groups] == [1.0, 0.5, 0.25]
    assert "lr: 0.25" in repr(optimizer)


def test_iterators_and_names_are_accepted():
    p, q = tensors([np.ones(1)] * 2)
    optimizer = optim.SGD(x for x in [("a.weight", p), ("a.bias", q)])
    assert optimizer.param_groups[0]["params"] == (p, q)
    assert optimizer.state_dict()["param_groups"][0]["param_names"] == ["a.weight", "a.bias"]


T = mg.tensor([1.0], requires_grad=True)


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: optim.SGD([]), ValueError, "empty parameter list"),
        (lambda: optim.SGD(x for x in ()), ValueError, "empty parameter list"),
        (lambda: optim.SGD(T), TypeError, "expected an iterable"),
        (lambda: optim.SGD({"w": T}), TypeError, "expected an iterable"),
        (lambda: optim.SGD(None), TypeError, "expected an iterable"),
        (lambda: optim.SGD({T}), TypeError, "ordered"),
        (lambda: optim.SGD([T, 1.0]), TypeError, "can only optimize"),
        (lambda: optim.SGD([T, T]), ValueError, "more than once"),
        (lambda: optim.SGD([{"params": [T]}, {"params": T}]), ValueError, "more than once"),
        (lambda: optim.SGD([T * 2]), ValueError, "non-leaf"),
        (lambda: optim.SGD([Value(1.0) * 2]), ValueError, "non-leaf"),
        (lambda: optim.SGD([mg.tensor([1])]), TypeError, "floating"),
        (lambda: optim.SGD([("a", T), mg.tensor([1.0])]), ValueError, "names are missing"),
        (lambda: optim.SGD([{"lr": 1}]), TypeError, '"params"'),
        (lambda: optim.SGD([T], lr=-1), ValueError, "lr は 0 以上"),
        (lambda: optim.SGD([T], lr=float("nan")), ValueError, "lr は 0 以上"),
        (lambda: optim.SGD([T], lr="0.1"), TypeError, "expected a number"),
        (lambda: optim.SGD([T], momentum=-1), ValueError, "momentum"),
        (lambda: optim.SGD([T], weight_decay=-1), ValueError, "weight_decay"),
        (lambda: optim.SGD([T], nesterov=True), ValueError, "Nesterov"),
        (lambda: optim.SGD([T], momentum=1, dampening=1, nesterov=True), ValueError, "Nesterov"),
        (lambda: optim.SGD([{"params": T, "lr": -1}]), ValueError, "lr は 0 以上"),
        (lambda: optim.Adagrad([T], lr_decay=-1), ValueError, "lr_decay"),
        (lambda: optim.Adagrad([T], initial_accumulator_value=-1), ValueError, "accumulator"),
        (lambda: optim.RMSprop([T], alpha=-1), ValueError, "alpha"),
        (lambda: optim.Adam([T], eps=-1), ValueError, "eps"),
        (lambda: optim.Adam([T], betas=(1.0, 0.9)), ValueError, r"betas\[0\]"),
        (lambda: optim.Adam([T], betas=(0.9, -0.1)), ValueError, r"betas\[1\]"),
        (lambda: optim.AdamW([T], betas=0.9), ValueError, "pair"),
        (lambda: optim.Adadelta([T], rho=1.5), ValueError, "invalid rho"),
        (lambda: optim.NAdam([T], momentum_decay=-1), ValueError, "momentum_decay"),
        (lambda: optim.Rprop([T], etas=(1.2, 0.5)), ValueError, "invalid etas"),
        (lambda: optim.Rprop([T], step_sizes=3), ValueError, "step_sizes .*pair"),
    ],
)
def test_bad_arguments(call, error, match):
    with pytest.raises(error, match=match):
        call()


@pytest.mark.parametrize("hint", ["foreach", "fused", "differentiable"])
def test_hints_of_pytorch_are_taken_with_a_word(hint):
    p, q = tensors([np.ones(1)] * 2)
    with pytest.warns(UserWarning, match=f"{hint} は、ここでは何も変えません"):
        hinted = optim.Adam([p], lr=0.1, **{hint: True})
    plain = optim.Adam([q], lr=0.1)
    for x, optimizer in ((p, hinted), (q, plain)):
        x.grad = mg.tensor([2.0])
        optimizer.step()
    assert p.tolist() == q.tolist()
    assert hinted.state_dict()["param_groups"][0][hint] is True
    with pytest.warns(UserWarning, match=hint):
        plain.add_param_group({"params": [mg.ones(1)], hint: True})


def test_a_state_written_before_there_were_hints_is_understood():
    optimizer = optim.AdamW([mg.tensor([1.0, 2.0], requires_grad=True)])
    saved = optimizer.state_dict()
    new = ("foreach", "fused", "capturable", "differentiable", "decoupled_weight_decay")
    old = {k: x for k, x in saved["param_groups"][0].items() if k not in new}
    optimizer.load_state_dict({**saved, "param_groups": [old]})
    assert optimizer.state_dict()["param_groups"] == saved["param_groups"]


def test_an_array_of_another_shape_is_refused():
    p = mg.tensor([1.0, 2.0], requires_grad=True)
    optimizer = optim.Adam([p])
    p.grad = mg.tensor([1.0, 1.0])
    optimizer.step()
    p.data = np.ones(3)
    with pytest.raises(ValueError, match="shape mismatch"):
        optimizer.step()
    p.grad = mg.tensor([1.0, 1.0, 1.0])
    with pytest.raises(ValueError, match="shape mismatch"):
        optimizer.step()
    assert p.detach().numpy().tolist() == [1, 1, 1]


# ---- 状態の保存と復元 ---------------------------------------------------------------------------


@every
@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_a_restored_optimizer_goes_on_bit_for_bit(kind, options, suffix, tmp_path):
    rng = np.random.default_rng(0)
    arrays, numbers = gradients(rng, [(3, 2), ()], "f4"), rng.normal(size=3)

    def made():
        ts, vs = tensors(arrays), values(numbers)
        return ts, vs, kind([{"params": ts, "lr": 0.01}, {"params": vs}], **options)

    def run(ts, vs, optimizer, seed):
        rng = np.random.default_rng(seed)
        for _ in range(4):
            give(ts, gradients(rng, [(3, 2), ()], "f4", missing=0.3))
            give_values(vs, np.where(rng.random(3) < 0.3, np.nan, rng.normal(size=3)))
            optimizer.step()

    ts, vs, A = made()
    run(ts, vs, A, 1)
    mg.save(A.state_dict(), tmp_path / f"state{suffix}")
    us, ws, B = made()
    for u, t in zip(us, ts):
        u.data = t.detach().numpy().copy()
    for w, v in zip(ws, vs):
        w.data = v.data
    B.load_state_dict(mg.load(tmp_path / f"state{suffix}"))
    run(ts, vs, A, 2)
    run(us, ws, B, 2)
    for u, t in zip(us, ts):
        np.testing.assert_array_equal(u.data, t.data)
    assert [w.data for w in ws] == [v.data for v in vs]


@pytest.mark.parametrize("steps", range(1, 6))
def test_any_number_of_steps_is_restored(steps):
    def moved(optimizer, p, n):
        for _ in range(n):
            p.grad = mg.tensor([0.5, -2.0])
            optimizer.step()
        return optimizer, p

    def fresh():
        p = mg.tensor([1.0, 2.0], requires_grad=True)
        return optim.Adam([p], lr=0.1), p

    A, p = moved(*fresh(), steps)
    B, q = fresh()
    q.data = p.detach().numpy().copy()
    B.load_state_dict(A.state_dict())
    assert moved(A, p, 1)[1].tolist() == moved(B, q, 1)[1].tolist()


def test_the_state_is_a_copy():
    p = mg.tensor([1.0], requires_grad=True)
    optimizer = optim.SGD([p], momentum=0.9)
    p.grad = mg.tensor([1.0])
    optimizer.step()
    saved = optimizer.state_dict()
    other = optim.SGD([mg.tensor([1.0], requires_grad=True)], momentum=0.9)
    other.load_state_dict(saved)
    optimizer.step()
    saved["param_groups"][0]["lr"] = 9.0
    assert saved["state"][0]["momentum_buffer"].tolist() == [1.0]
    assert optimizer.param_groups[0]["lr"] == 1e-3
    saved["state"][0]["momentum_buffer"].numpy()[:] = 7
    assert other.state_dict()["state"][0]["momentum_buffer"].tolist() == [1.0]


def test_the_groups_become_those_of_the_state_and_nothing_is_left_over():
    optimizer = _good()
    kept = optimizer.state_dict()
    optim.lr_scheduler.StepLR(optimizer, 3)  # which adds initial_lr
    optimizer.param_groups[0]["lr"] = 0.5
    optimizer.load_state_dict(kept)
    assert repr(optimizer.state_dict()) == repr(kept)


def test_arrays_of_another_number_of_parameters_are_refused():
    optimizer = _good()
    states = optimizer.state_arrays()
    for wrong in ([], states * 2):
        with pytest.raises(ValueError, match="states="):
            optimizer.set_state_arrays(wrong)


def _good():
    p = mg.tensor([1.0, 2.0], requires_grad=True)
    p.grad = mg.tensor([1.0, 1.0])
    optimizer = optim.Adam([p])
    optimizer.step()
    return optimizer


def _state(change):
    state = _good().state_dict()
    change(state)
    return state


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        (lambda s: s.pop("state"), TypeError, "expected"),
        (lambda s: s["param_groups"][0].pop("params"), TypeError, "expected"),
        (
            lambda s: s["param_groups"].append({"params": []}),
            ValueError,
            "number of parameter groups",
        ),
        (lambda s: s["param_groups"][0].update(params=[0, 1]), ValueError, "group size mismatch"),
        (lambda s: s["param_groups"][0].pop("betas"), ValueError, r"missing options.*betas"),
        (lambda s: s["param_groups"][0].update(lr=-1.0), ValueError, "lr は 0 以上"),
        (lambda s: s["state"].update({7: {}}), ValueError, "unknown parameters"),
        (lambda s: s["state"][0].update(sum=np.ones(2)), ValueError, "unexpected state.*sum"),
        (lambda s: s["state"][0].update(exp_avg=np.ones(3)), ValueError, "exp_avg の形"),
        (lambda s: s["state"][0].update(step=np.ones(2)), ValueError, "step の形"),
        (lambda s: s["state"][0].update(step=-1), ValueError, "count"),
        (lambda s: s["state"][0].update(step=0.5), ValueError, "count"),
        (lambda s: s["state"].update({0: 3}), TypeError, "expected a dict"),
    ],
)
def test_a_state_that_does_not_fit_changes_nothing(change, error, match):
    optimizer = _good()
    before = repr(optimizer.state_dict())
    with pytest.raises(error, match=match):
        optimizer.load_state_dict(_state(change))
    assert repr(optimizer.state_dict()) == before


class SignMomentum(optim.Optimizer):
    """A formula of the reader's own, written with the open contract alone."""

    state_names = {"mean": "", "largest": "keeps_largest"}  # noqa: RUF012
    nonnegative = ("lr", "weight_decay", "beta")

    def __init__(self, params, lr=0.1, beta=0.5, keeps_largest=False):
        options = {"lr": lr, "beta": beta, "keeps_largest": keeps_largest}
        super().__init__(params, {**options, "weight_decay": 0, "maximize": False})

    def first(self, slot, options):
        return {"mean": 1.0, "largest": 0.0}[slot]

    def update(self, k, p, g, state, turn):
        beta = turn.options["beta"]
        m = state["mean"] = k.mix(state["mean"], beta, g, 1 - beta)
        if turn.options["keeps_largest"]:
            state["largest"] = k.maximum(state["largest"], m)
        return k.mix(p, 1, m, -turn.options["lr"] / turn.number)


def test_an_optimizer_of_ones_own():
    with pytest.raises(ValueError, match="beta は 0 以上"):
        SignMomentum([mg.Value(1.0)], beta=-1)
    t, v = mg.tensor([1.0, 2.0], requires_grad=True, dtype=mg.float64), mg.Value(1.0)
    ours = SignMomentum([{"params": [t], "keeps_largest": True}, {"params": [v]}])
    p, m = 1.0, 1.0
    for step in (1, 2, 3):
        t.grad, v.grad = mg.tensor([3.0, 0.0], dtype=mg.float64), 3.0
        ours.step()
        m = 0.5 * m + 0.5 * 3.0
        p -= 0.1 / step * m
        assert v.data == pytest.approx(p) and t.detach().numpy()[0] == pytest.approx(p)
    assert set(ours.state[t]) == {"step", "mean", "largest"} and set(ours.state[(v,)]) == {
        "step", "mean"
    }  # fmt: skip
    other = SignMomentum([{"params": [mg.zeros(2, dtype=mg.float64)]}, {"params": [mg.Value(0.0)]}])
    other.load_state_dict(ours.state_dict())
    for (step, arrays), (same, copies) in zip(ours.state_arrays(), other.state_arrays()):
        assert np.array_equal(step, same) and arrays.keys() == copies.keys()
        assert all(np.array_equal(arrays[name], copies[name]) for name in arrays)


def test_an_optimizer_without_a_formula_says_what_to_write():
    class Nothing(optim.Optimizer):
        def __init__(self, params):
            super().__init__(params, {"lr": 0.1, "weight_decay": 0, "maximize": False})

    p = mg.tensor([1.0], requires_grad=True)
    p.grad = mg.tensor([1.0])
    with pytest.raises(NotImplementedError, match=r"Nothing .*def update\(self, k, p, g"):
        Nothing([p]).step()
    assert p.tolist() == [1.0]


def test_an_optimizer_of_ones_own_has_only_the_options_it_names():
    class Descent(optim.Optimizer):
        def __init__(self, params, lr):
            super().__init__(params, {"lr": lr})

    assert Descent([mg.tensor([1.0], requires_grad=True)], lr=-0.1).param_groups[0]["lr"] == -0.1


def test_hooks_after_a_step_hear_in_order_what_the_step_was_given():
    w = mg.ones(2, requires_grad=True)
    optimizer, heard = optim.SGD([w], lr=0.5), []

    def closure():
        optimizer.zero_grad()
        loss = (w * w).sum()
        loss.backward()
        return loss

    def hear(name):
        hook = lambda *given: heard.append((name, *given, w.tolist()))
        return optimizer.register_step_post_hook(hook)

    first, second = map(hear, "ab")
    assert optimizer.step(closure).item() == 2.0
    # The weights are those after the step.
    assert heard == [(name, optimizer, (closure,), {}, [0.0, 0.0]) for name in "ab"]
    first.remove()
    optimizer.step()
    assert heard[2:] == [("b", optimizer, (), {}, [-1.0, -1.0])]
    second.remove()
    optimizer.step()
    assert len(heard) == 3
    with pytest.raises(TypeError, match="register_step_post_hook"):
        optimizer.register_step_post_hook(3)
    with pytest.raises(TypeError, match="called with 3 arguments"):
        optimizer.register_step_post_hook(lambda: None)


# ---- 自分で書いた step -------------------------------------------------------------------------


def handwritten(L):
    """An optimizer as courses write it, and what is left of it after some steps."""

    class Heavy(L.optim.Optimizer):
        def __init__(self, params, lr=0.1, momentum=0.9):
            super().__init__(params, {"lr": lr, "momentum": momentum})

        def step(self, closure=None):
            loss = None
            if closure is not None:
                with L.enable_grad():
                    loss = closure()
            with L.no_grad():
                for group in self.param_groups:
                    for p in group["params"]:
                        if p.grad is None:
                            continue
                        state = self.state[p]
                        if len(state) == 0:
                            state["step"], state["buffer"] = 0, L.zeros_like(p.data)
                        state["step"] += 1
                        state["buffer"].mul_(group["momentum"]).add_(p.grad)
                        p.add_(state["buffer"], alpha=-group["lr"])
            return loss

    w, b, unused = (L.nn.Parameter(L.tensor(x)) for x in ([1.0, 2.0], [3.0], [4.0]))
    optimizer = Heavy([{"params": [w]}, {"params": [b, unused], "lr": 0.01}])
    scheduler = L.optim.lr_scheduler.StepLR(optimizer, 2)
    calls = []
    optimizer.register_step_post_hook(lambda *given: calls.append(given[0] is optimizer))

    def go(optimizer, n):
        for _ in range(n):
            optimizer.zero_grad()
            ((w * w).sum() * b).sum().backward()
            optimizer.step()

    for _ in range(4):
        go(optimizer, 1)
        scheduler.step()
    saved = copy.deepcopy(optimizer.state_dict())  # that of PyTorch lives on
    numbers = {i: [s["step"], s["buffer"].tolist()] for i, s in saved["state"].items()}
    go(optimizer, 2)
    after = [w.data.tolist(), b.data.tolist()]
    other = Heavy([{"params": [w]}, {"params": [b, unused]}])
    other.load_state_dict(saved)
    go(other, 1)
    rates = [group["lr"] for group in other.param_groups]
    steps = [s["step"] for s in other.state.values() if s]
    return Heavy, optimizer, [numbers, after, w.data.tolist(), rates, steps, calls]


@pytorch_answers
def handwritten_by_pytorch(torch):
    return handwritten(torch)[2]


def same(a, b):
    """All of the same kind, the numbers to nine digits."""
    if isinstance(a, float):
        return a == pytest.approx(b, rel=1e-6)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    return len(a) == len(b) and all(map(same, a, b)) if isinstance(a, list) else a == b


def test_a_step_of_ones_own_keeps_its_state_as_in_pytorch(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # the scheduler sees that there was a step
        kind, optimizer, ours = handwritten(mg)
    assert same(ours, handwritten_by_pytorch())
    mg.save(optimizer.state_dict(), tmp_path / "state.npz")
    again = copy.deepcopy(optimizer)
    again.load_state_dict(mg.load(tmp_path / "state.npz"))
    assert [s["step"] for s in again.state.values() if s] == [6, 6]
    again.state["of all"] = {}  # a state is replaced, as a whole
    again.load_state_dict(mg.load(tmp_path / "state.npz"))
    assert "of all" not in again.state
    bad = optimizer.state_dict()
    bad["state"][7] = {"step": 1}
    with pytest.raises(ValueError, match="unknown parameters"):
        optimizer.load_state_dict(bad)
    assert [s["step"] for s in optimizer.state.values() if s] == [6, 6]
    p = mg.nn.Parameter(mg.ones(2))
    with pytest.raises(TypeError, match="handwritten step"):
        mg.jit(lambda: optimizer.step(), optimizer)()
    with pytest.raises(TypeError, match="handwritten step"):
        model = mg.nn.Linear(2, 1)
        mg.fit(model, [(mg.ones(1, 2), mg.ones(1, 1))], mg.mse_loss, kind(model.parameters()), 1,
               jit=True, progress=False)  # fmt: skip
    assert len(kind([p]).state) == 0


def test_what_is_written_to_a_computed_state_is_not_lost_silently():
    p = mg.tensor([1.0], requires_grad=True)
    optimizer = optim.Adam([p])
    (p * p).sum().backward()
    optimizer.step()
    assert optimizer.state[p]["step"] == 1
    for write in (
        lambda s: s.__setitem__("step", 3),
        lambda s: s.update(step=3),
        lambda s: s.setdefault("more", 1),
        lambda s: s.pop("step"),
        lambda s: s.clear(),
    ):
        with pytest.raises(TypeError, match="read-only state"):
            write(optimizer.state[p])
    assert optimizer.state[p]["step"] == 1


def test_a_subclass_of_one_of_the_optimizers_is_still_that_one():
    class Same(optim.SGD):
        pass

    class Bounded(optim.Adam):
        def step(self, closure=None):
            loss = super().step(closure)
            with mg.no_grad():
                for p in (p for group in self.param_groups for p in group["params"]):
                    p.clamp_(-0.5, 0.5)
            return loss

    class Sparing(optim.LBFGS):
        def step(self, closure):
            return super().step(closure)

    for kind, options, slots in (
        (Same, {"momentum": 0.9}, {"momentum_buffer"}),
        (Bounded, {}, {"step", "exp_avg", "exp_avg_sq"}),
        (Sparing, {}, set()),
    ):
        p = mg.tensor([1.0, -2.0], requires_grad=True)
        optimizer = kind([p], lr=0.1, **options)

        def closure(p=p, optimizer=optimizer):
            optimizer.zero_grad()
            loss = (p * p).sum()
            loss.backward()
            return loss

        optimizer.step(closure)
        assert slots <= set(optimizer.state[p])
        assert optimizer.state_dict()["state"]
        assert kind is not Bounded or abs(p).max().item() == 0.5
