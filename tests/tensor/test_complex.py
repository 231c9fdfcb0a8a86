"""複素数の Tensor: 勾配の約束、型、大小のないこと、実数との行き来、フーリエ変換の法則。"""

import copy
import inspect
import pickle
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import micrograd_jp as mg
from micrograd_jp.ops import complex as rules
from micrograd_jp.ops.primitive import lookup
from micrograd_jp.tensor.functions import FUNCTIONS, METHODS
from micrograd_jp.testing import gradcheck
from tests.reference import torch

RNG = np.random.default_rng(0)


def numbers(*shape):
    return RNG.normal(size=shape) + 1j * RNG.normal(size=shape)


Z, W = numbers(2, 3), numbers(2, 3)


# ---- 勾配 ------------------------------------------------------------------------------------


def test_the_gradient_is_the_direction_of_steepest_ascent():
    z = mg.tensor([3 + 4j], requires_grad=True)
    z.abs().backward()
    np.testing.assert_allclose(z.grad.numpy(), [0.6 + 0.8j], rtol=1e-6)


@given(st.complex_numbers(max_magnitude=3), st.complex_numbers(max_magnitude=3))
def test_a_real_loss_changes_by_the_inner_product(at, towards):
    """dL = Re(conj(∂L)·dz), of anything that meets both parts."""

    def loss(z):
        return (mg.exp(0.3 * z) * mg.conj(z) + 1j * z * z).imag.sum() + (z + 5).abs().sum()

    z = mg.tensor([at], dtype=mg.complex128, requires_grad=True)
    loss(z).backward()
    h = 1e-6 * towards
    beside = [loss(mg.tensor([at + s * h], dtype=mg.complex128)).item() for s in (1, -1)]
    wanted = (np.conj(z.grad.numpy()[0]) * h).real
    assert abs((beside[0] - beside[1]) / 2 - wanted) < 1e-10 * (1 + abs(towards)) ** 2 * 100


def test_a_hook_gives_a_real_tensor_a_real_gradient():
    x = mg.tensor([1.0], requires_grad=True)
    x.register_hook(lambda g: g * 1j)
    with pytest.raises(TypeError, match="complex gradient of a real"):
        (x * 2).sum().backward()


def test_gradcheck_moves_both_parts():
    assert gradcheck(lambda z, w: (z @ w.mH).abs().sum() + mg.angle(z).sum(), (Z, W), order=2)

    def wrong(z):  # a gradient that forgets to conjugate
        return mg.complex(z.real, mg.imag(z).detach() * 2 - mg.imag(z)).abs().sum() * 2

    assert not gradcheck(wrong, (Z,), raise_exception=False)
    with pytest.raises(TypeError, match="precision too low"):
        gradcheck(lambda z: z.to(mg.complex64), (Z,))


def test_a_real_operand_gets_a_real_gradient():
    x = mg.tensor([1.0, 2.0], requires_grad=True)
    v = mg.Value(2.0)
    ((1j * x + x * (2 - 3j)) * v).abs().sum().backward()
    assert x.grad.dtype == mg.float32 and isinstance(v.grad, float)
    np.testing.assert_allclose(x.grad.numpy(), 2 * abs(2 - 2j) * np.ones(2), rtol=1e-6)
    assert v.grad == pytest.approx(3 * abs(2 - 2j), rel=1e-6)


def test_forward_and_reverse_mode_agree():
    def f(z):
        return mg.fft.fft(z * z) * mg.conj(z) / (z + 4)

    t = numbers(2, 3)
    slope = mg.jvp(f, (mg.tensor(Z),), (mg.tensor(t),))[1].detach().numpy()
    u = numbers(2, 3)
    z = mg.tensor(Z, requires_grad=True)
    f(z).backward(mg.tensor(u))
    left, right = (np.conj(u) * slope).real.sum(), (np.conj(z.grad.numpy()) * t).real.sum()
    assert left == pytest.approx(right, rel=1e-12)


def test_a_complex_output_needs_its_gradient():
    z = mg.tensor([1j], requires_grad=True)
    with pytest.raises(RuntimeError, match="grad can be created only for real outputs"):
        (z * z).backward()
    (z * z).backward(mg.tensor([1.0]))
    np.testing.assert_allclose(z.grad.numpy(), [-2j])


def test_optimizers_move_both_parts_as_pytorchs():
    for name in ("SGD", "Adam", "RMSprop", "Adagrad", "AdamW"):
        ours, theirs = mg.tensor(Z, requires_grad=True), torch.tensor(Z, requires_grad=True)
        a = getattr(mg.optim, name)([ours], lr=0.1)
        b = getattr(torch.optim, name)([theirs], lr=0.1)
        for _ in range(3):
            for z, optimizer in ((ours, a), (theirs, b)):
                optimizer.zero_grad()
                ((z - 1j).abs() ** 2 + z.real).sum().backward()
                optimizer.step()
        np.testing.assert_allclose(
            ours.detach().numpy(), theirs.detach().numpy(force=True), rtol=1e-10, err_msg=name
        )
        state = a.state_dict()
        for slot, x in state["state"].get(0, {}).items():
            if slot != "step":
                assert x.dtype == mg.complex128 and x.shape == (2, 3)
        again = getattr(mg.optim, name)([ours], lr=0.1)
        again.load_state_dict(state)
        for slot, x in again.state_dict()["state"].get(0, {}).items():
            assert slot == "step" or (x == state["state"][0][slot]).all()


def written(m, kind, write):
    """What comes of a write to a part, and the gradients of what was written and of the rest."""
    z, x = m.tensor(Z, requires_grad=True), m.tensor(Z.real * 2, requires_grad=True)
    y = m.zeros(2, 3, dtype=m.complex128) if kind == "alone" else z * (1 + 1j) + 0
    write(y, x)
    (y * m.tensor(W)).abs().sum().backward()
    grads = [t.grad if t.grad is not None else m.zeros_like(t) for t in (z, x)]
    return [t.detach().resolve_conj().numpy() for t in (y, *grads)]


WRITES = {
    "real": lambda y, x: y.real.copy_(x), "imag": lambda y, x: y.imag.copy_(x),
    "part": lambda y, x: y.imag[:, 1:].mul_(x[:, 1:]), "row": lambda y, x: y[0].real.copy_(x[1]),
    "both": lambda y, x: (y.real.add_(x), y.imag.mul_(x), y.real.mul_(2)),
    "set": lambda y, x: setattr(y, "imag", x),
}  # fmt: skip


@pytest.mark.parametrize("kind", ["alone", "in a graph"])
@pytest.mark.parametrize("name", WRITES)
def test_a_write_to_a_part_reaches_the_whole(name, kind):
    for a, b in zip(written(mg, kind, WRITES[name]), written(torch, kind, WRITES[name])):
        np.testing.assert_allclose(a, np.asarray(b), rtol=1e-12)


def test_a_write_to_a_part_on_jax_and_of_a_leaf():
    jnp = pytest.importorskip("jax.numpy", reason="JAX がない")
    z = mg.tensor(jnp.asarray(Z.astype(np.complex64)))
    z.real.mul_(2)
    z[0].imag.fill_(1.0)
    want = Z.astype(np.complex64)
    want.real *= 2
    want[0].imag = 1
    np.testing.assert_allclose(z.numpy(), want, rtol=1e-6)
    leaf = mg.tensor(Z, requires_grad=True)
    with pytest.raises(RuntimeError, match="in-place on a leaf"):
        leaf.real.mul_(2)
    with mg.no_grad():
        leaf.imag.zero_()
    assert not leaf.detach().numpy().imag.any()


class Square(mg.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return 2 * x.conj() * g


def test_where_numbers_and_rules_of_ones_own_meet_complex_ones():
    a, b = (mg.tensor(Z, requires_grad=True) for _ in range(2))
    (Square.apply(a) + a).abs().sum().backward()
    (b * b + b).abs().sum().backward()
    np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy())
    for base in (-2, -2.5, 1j, np.complex64(2j)):
        c, d = (mg.tensor(Z, requires_grad=True) for _ in range(2))
        (base**c).abs().sum().backward()
        (mg.tensor(complex(base), dtype=mg.complex128) ** d).abs().sum().backward()
        np.testing.assert_allclose(c.grad.numpy(), d.grad.numpy())
        (slope,) = mg.autograd.grad((base**c).abs().sum(), c, create_graph=True)
        np.testing.assert_allclose(slope.detach().numpy(), d.grad.numpy())
    v, t = mg.Value(-2.0), mg.tensor([-2.0], dtype=mg.float64, requires_grad=True)
    ((v ** mg.tensor(Z)).abs().sum() + (t ** mg.tensor(Z)).abs().sum()).backward()
    assert v.grad == pytest.approx(t.grad.item())
    assert (mg.tensor([1.0]) + np.complex64(1j)).dtype == mg.complex64
    np.testing.assert_allclose(mg.linalg.vecdot([1j], [1j]).numpy(), [1])
    spread = mg.tensor([1j, 1j], requires_grad=True)
    spread.std().backward()
    assert spread.grad.tolist() == [0, 0]
    assert mg.linspace(0, 1j, 3).tolist() == [0, 0.5j, 1j]
    assert mg.nan_to_num(mg.tensor([complex(np.nan, 1)])).tolist() == [1j]


def test_modules_with_complex_parameters_are_loaded(tmp_path):
    model = mg.nn.Module()
    model.w = mg.nn.Parameter(mg.tensor(Z))
    mg.save(model.state_dict(), tmp_path / "m.npz")
    with mg.no_grad():
        model.w.zero_()
    model.load_state_dict(mg.load(tmp_path / "m.npz"))
    np.testing.assert_array_equal(model.w.detach().numpy(), Z)
    real = mg.nn.Module()
    real.w = mg.nn.Parameter(mg.tensor(Z.real))
    with pytest.raises(ValueError, match="複素数"):
        real.load_state_dict(model.state_dict())
    optimizer = mg.optim.LBFGS([model.w], line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        loss = ((model.w - (1 + 2j)).abs() ** 2).sum()
        loss.backward()
        return loss

    for _ in range(3):
        optimizer.step(closure)
    np.testing.assert_allclose(model.w.detach().numpy(), np.full((2, 3), 1 + 2j), rtol=1e-6)


def test_a_real_gradient_moves_the_real_part():
    z = mg.tensor(Z, requires_grad=True)
    z.grad = mg.ones(2, 3, dtype=mg.float64)
    mg.optim.SGD([z], lr=0.5).step()
    np.testing.assert_allclose(z.detach().numpy(), Z - 0.5)


# ---- 型と、断るもの ------------------------------------------------------------------------------

KINDS = [mg.float32, mg.float64, mg.int64, mg.bool, mg.complex64, mg.complex128]


def test_types_are_pytorchs():
    def of(dtype):
        return {"bool": torch.bool}.get(str(dtype)) or getattr(torch, str(dtype))

    for a in KINDS:
        for b in KINDS[-2:]:
            for shape in ((2,), ()):
                ours = (mg.ones(shape, dtype=a) * mg.ones(2, dtype=b)).dtype
                theirs = (torch.ones(shape, dtype=of(a)) * torch.ones(2, dtype=of(b))).dtype
                assert f"torch.{ours}" == str(theirs), (a, b, shape)
        ours = (mg.ones(2, dtype=a) + 1j).dtype
        assert f"torch.{ours}" == str((torch.ones(2, dtype=of(a)) + 1j).dtype), a


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda z: z < z, TypeError, "not for complex"),
        (lambda z: z.sort(), TypeError, "not for complex"),
        (lambda z: mg.signbit(z), TypeError, "not for complex"),
        (lambda z: mg.nextafter(mg.ones(1), z), TypeError, "not for complex"),
        (lambda z: z.max(), TypeError, "not for complex"),
        (lambda z: mg.relu(z), TypeError, "not for complex"),
        (lambda z: mg.softmax(z, 0), TypeError, "not for complex"),
        (lambda z: mg.nn.functional.mse_loss(z, z), TypeError, "not for complex"),
        (lambda z: z // 2, TypeError, "not for complex"),
        (lambda z: float(z[0, 0]), TypeError, "not a real number"),
        (lambda z: mg.zeros(2).fill_(1j), ValueError, "complex into real"),
        (lambda z: mg.zeros(2, 3).copy_(z), ValueError, "complex into real"),
        (lambda z: mg.zeros(2).add_(1j), TypeError, "cannot cast"),
        (lambda z: z.real.imag, TypeError, "expected a complex dtype"),
        (lambda z: mg.complex(z.real, z.real.float()), TypeError, "floats of one dtype"),
        (lambda z: mg.view_as_complex(z.real), ValueError, "last dimension must be 2"),
        (lambda z: z[0, 0].to_value(), TypeError, "expected a real number"),
        (lambda z: mg.Value(1.0) * 1j, TypeError, "expected a real number"),
        (lambda z: mg.compile(lambda x: x[0])(z), TypeError, "numeric"),
        (lambda z: mg.grad(lambda x: (x * 1j).sum())(z.real), TypeError, "expected a real output"),
        (lambda z: mg.jacobian(lambda x: x * 1j)(z.real), TypeError, "expected a real output"),
        (lambda z: mg.ones(1, requires_grad=True).backward(mg.tensor([1j])), ValueError, "real"),
        (lambda z: setattr(mg.ones(1), "grad", mg.tensor([1j])), ValueError, "complex into real"),
        (lambda z: mg.arange(1j), TypeError, "not for complex"),
        (lambda z: mg.fft.fft(z, -1), ValueError, "invalid number of data points"),
        (lambda z: mg.fft.fftfreq(0), ValueError, "expected n > 0"),
        (lambda z: mg.fft.fftfreq(4, 0), ValueError, "d != 0"),
        (lambda z: mg.fft.rfft(z), TypeError, "expected a real dtype"),
        (lambda z: mg.fft.fft(z, norm="none"), ValueError, "invalid normalization"),
        (lambda z: mg.fft.fft(z, 0), ValueError, "invalid number of data points"),
        (lambda z: mg.fft.fftn(z, (2, 2, 2)), ValueError, "more sizes than axes"),
        (lambda z: mg.fft.fftn(z, (2,), (0, 1)), ValueError, "different numbers"),
        (lambda z: mg.fft.fftn(z, dim=(0, 0)), ValueError, "unique"),
        (lambda z: mg.fft.rfftn(mg.tensor(1.0)), ValueError, "at least one dimension"),
    ],
)
def test_what_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call(mg.tensor(Z))


def test_casting_to_real_says_what_is_lost():
    with pytest.warns(UserWarning, match="discards the imaginary part"):
        assert mg.tensor([1 + 2j]).float().tolist() == [1.0]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        z = mg.tensor([1 + 2j], requires_grad=True)
        (z.abs() + z.real * z.bool()).sum().backward()


@pytest.mark.parametrize("name", sorted({**FUNCTIONS, **METHODS}))
def test_no_function_takes_complex_numbers_for_something_else(name):
    """It answers as NumPy's arithmetic does, or refuses in our words: no raw error, no order."""
    f = {**FUNCTIONS, **METHODS}[name]
    first = [p for p in inspect.signature(f).parameters.values() if p.default is p.empty]
    for more in ((), (mg.tensor(W),), (0,), (0, 1), (mg.tensor(W), mg.tensor(Z))):
        if len(more) > 2 * len(first) + 2:
            continue
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                f(mg.tensor(Z), *more)
        except (TypeError, ValueError, IndexError, RuntimeError, ZeroDivisionError) as error:
            assert any("ぁ" <= c <= "ん" for c in str(error)), (more, error)


def test_pictures_show_both_parts():
    z = mg.tensor([1 / 3 + 2j, -1j], requires_grad=True)
    (z * z).abs().sum().backward(retain_graph=True)
    picture = mg.draw((z * z).abs().sum()).source
    assert "0.3333+2j" in picture and "勾配 [(" not in picture
    assert "絶対値の最小 1" in mg.draw(mg.ones(9, dtype=mg.complex64) * z[1]).source
    with pytest.raises(ValueError, match="cannot be played"):
        mg.play(z.abs().sum())


# ---- 運ぶ ------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["npz", "pt"])
def test_saved_and_loaded(tmp_path, suffix):
    path = tmp_path / f"z.{suffix}"
    mg.save({"z": mg.tensor(Z), "w": mg.tensor(Z).cfloat()}, path)
    found = mg.load(path)
    np.testing.assert_array_equal(found["z"].numpy(), Z)
    assert found["w"].dtype == mg.complex64


def test_a_graph_is_copied_and_pickled():
    z = mg.tensor(Z, requires_grad=True)
    y = (mg.exp(z) @ z.mH).abs().sum()
    for again in (copy.deepcopy(y), pickle.loads(pickle.dumps(y))):
        (leaf,) = [n for n in mg.graph.topological_order(again) if n.is_leaf and n.requires_grad]
        again.backward()
        z.grad = None
        y.backward(retain_graph=True)
        np.testing.assert_array_equal(leaf.grad.numpy(), z.grad.numpy())


def test_inside_jit():
    pytest.importorskip("jax", reason="JAX がない")

    def loss(x):
        return (mg.fft.rfft(x) * (1 + 2j)).abs().sum() + mg.fft.irfft(mg.complex(x, x)).sum()

    x = mg.tensor(np.array(Z.real, np.float32))
    np.testing.assert_allclose(
        mg.jit(mg.grad(loss))(x).detach().numpy(), mg.grad(loss)(x).detach().numpy(), rtol=1e-4
    )


# ---- フーリエ変換 -------------------------------------------------------------------------------

sizes = st.integers(1, 9)


@given(sizes, sizes, st.sampled_from(["backward", "ortho", "forward"]), st.integers(0, 99))
def test_transforms_and_their_inverses(n, m, norm, seed):
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(2, 3, n)), rng.normal(size=(2, 3, n))
    z = mg.tensor(x + 1j * y)
    fft, close = mg.fft, np.testing.assert_allclose
    close(fft.ifft(fft.fft(z, norm=norm), norm=norm).numpy(), z.numpy(), atol=1e-12)
    close(fft.fft(z, m, norm=norm).numpy(), np.fft.fft(z.numpy(), m, norm=norm), atol=1e-12)
    close(fft.irfft(fft.rfft(x, norm=norm), n, norm=norm).numpy(), x, atol=1e-12)
    close(fft.hfft(fft.ihfft(x, norm=norm), n, norm=norm).numpy(), x, atol=1e-12)
    close(fft.irfftn(fft.rfftn(x), x.shape).numpy(), x, atol=1e-12)
    close(fft.ifftn(fft.fftn(z)).numpy(), z.numpy(), atol=1e-12)
    close(fft.irfft(z, m, norm=norm).numpy(), np.fft.irfft(z.numpy(), m, norm=norm), atol=1e-12)
    close(fft.ifftshift(fft.fftshift(z)).numpy(), z.numpy())


@given(st.integers(1, 8), st.integers(0, 99))
def test_a_product_of_spectra_is_a_circular_convolution(n, seed):
    a, b = np.random.default_rng(seed).normal(size=(2, n))
    found = mg.fft.irfft(mg.fft.rfft(a) * mg.fft.rfft(b), n).numpy()
    wanted = [sum(a[j] * b[(i - j) % n] for j in range(n)) for i in range(n)]
    np.testing.assert_allclose(found, wanted, atol=1e-12)


CALLS = {
    "fft": "m.fft.fft(z, 4, 0)", "ifft": "m.fft.ifft(z, dim=0, norm='ortho')",
    "fft2": "m.fft.fft2(z)", "ifft2": "m.fft.ifft2(z, (3, 2))", "fftn": "m.fft.fftn(z, dim=(1, 0))",
    "ifftn": "m.fft.ifftn(z, s=(4,))", "rfft": "m.fft.rfft(x, 5)", "irfft": "m.fft.irfft(z, 7)",
    "rfft2": "m.fft.rfft2(x, (2, 6))", "irfft2": "m.fft.irfft2(z, (2, -1))",
    "rfftn": "m.fft.rfftn(x, norm='forward')", "irfftn": "m.fft.irfftn(z)",
    "hfft": "m.fft.hfft(z)", "ihfft": "m.fft.ihfft(x, 6)", "hfft2": "m.fft.hfft2(z, (3, 4))",
    "ihfft2": "m.fft.ihfft2(x)", "hfftn": "m.fft.hfftn(z, dim=(0, 1), norm='forward')",
    "ihfftn": "m.fft.ihfftn(x, (3, 3))", "fftfreq": "m.fft.fftfreq(5, 0.1)",
    "rfftfreq": "m.fft.rfftfreq(5)", "fftshift": "m.fft.fftshift(z)",
    "ifftshift": "m.fft.ifftshift(z, dim=1)",
}  # fmt: skip


@pytest.mark.parametrize("name", mg.fft.__all__)
def test_transforms_are_pytorchs(name):
    ours, theirs = (
        eval(CALLS[name], {"m": m, "z": m.tensor(Z), "x": m.tensor(Z.real)}) for m in (mg, torch)
    )
    want = theirs.resolve_conj().numpy()
    assert ours.dtype == want.dtype and ours.shape == want.shape
    np.testing.assert_allclose(ours.numpy(), want, atol=1e-12)


@pytest.mark.control
def test_a_rule_that_is_not_conjugated_would_be_noticed(monkeypatch):
    monkeypatch.setattr(rules, "_conjugate", lambda m, x: x)
    assert not gradcheck(lambda z: (z * z).abs().sum(), (Z,), raise_exception=False)


def test_what_is_said_of_operations_is_said_of_those_that_there_are():
    for name in rules._LINEAR | rules._HOLOMORPHIC | rules._INSTEAD.keys() | rules._SLOPES.keys():
        assert lookup(name).name == name


def test_frequencies_of_a_negative_spacing_and_which_numbers_are_real():
    np.testing.assert_allclose(mg.fft.fftfreq(4, -0.5).numpy(), np.fft.fftfreq(4, -0.5))
    assert mg.isreal(mg.complex(mg.ones(4), mg.tensor([0.0, -0.0, 1.0, -1.0]))).tolist() == [
        True, True, False, False,
    ]  # fmt: skip
