"""めったに使わない引数と場所: 変異 (tests/mutation) が、ほかのテストの見ないと言ったところ。"""

import numpy as np
import pytest

import micrograd_jp as mg

X = np.random.default_rng(0).normal(size=(4, 3))


def test_places_from_the_end_and_what_has_no_corner():
    x = mg.tensor(X)
    for start in (-1, -2, -4):
        assert np.array_equal(x.narrow(0, start, 1).numpy(), X[start : start + 1 or None])
    filled = mg.zeros(7, 3).fill_diagonal_(1.0).numpy()
    assert filled.sum() == 3  # without wrap=True it does not begin again
    assert mg.zeros(7, 3).fill_diagonal_(1.0, wrap=True).numpy().sum() == 6


@pytest.mark.parametrize("name", ["new_zeros", "new_ones", "new_empty"])
def test_new_tensors_may_want_a_gradient(name):
    make = getattr(mg.tensor(X), name)
    assert make(2, requires_grad=True).requires_grad and not make(2).requires_grad


def test_condition_numbers_and_least_squares():
    a = mg.tensor(X)
    np.testing.assert_allclose(mg.linalg.cond(a, -2).item(), 1 / np.linalg.cond(X))
    np.testing.assert_allclose(mg.linalg.cond(a, 2).item(), np.linalg.cond(X))
    b = np.arange(4.0)
    for right in (b, np.outer(b, [1, -2]) + X[:, :2] ** 2):
        found = mg.linalg.lstsq(a, mg.tensor(right)).solution.numpy()
        np.testing.assert_allclose(found, np.linalg.lstsq(X, right)[0])


def test_every_matrix_of_a_batch_has_its_own_rank():
    batch = np.stack([X, 1e-20 * X, X * [1, 1, 1e-20]])
    found = mg.linalg.pinv(mg.tensor(batch)).numpy()
    for one, own in zip(found, batch, strict=True):
        np.testing.assert_allclose(one, mg.linalg.pinv(mg.tensor(own)).numpy(), rtol=1e-9)
        assert np.isfinite(one).all()


def test_scattering_refuses_what_does_not_fit():
    x, places = mg.zeros(3, 2), mg.tensor([[0, 0], [1, 1], [2, 2]])
    for source in (mg.ones(2, 2), mg.ones(3, 1)):
        with pytest.raises(ValueError, match="source"):
            x.scatter(0, places, source)
    for wide in (mg.zeros(4, 3), mg.zeros(2, 3)):
        with pytest.raises(ValueError, match="scatter_reduce"):
            x.scatter_reduce(0, wide.long(), mg.ones(4, 3), "sum")


def test_the_slope_of_the_modulus_at_zero_and_of_acosh():
    z = mg.tensor([0j, 3 + 4j], requires_grad=True)
    z.abs().sum().backward()
    np.testing.assert_allclose(z.grad.numpy(), [0, 0.6 + 0.8j])
    points = np.array([0.5 + 1j, -2 - 0.5j, 3 + 0.1j])
    z = mg.tensor(points, requires_grad=True)
    z.acosh().real.sum().backward()  # the conjugate of the derivative
    wanted = np.conj(1 / (np.sqrt(points - 1) * np.sqrt(points + 1)))
    np.testing.assert_allclose(z.grad.numpy(), wanted)


def test_optimizers_update_both_complex_dtypes_alike():
    found = []
    for kind in ("complex64", "complex128"):
        w = mg.tensor(np.array([1 + 2j, -3j], kind), requires_grad=True)
        optimizer = mg.optim.Adam([w], lr=0.1)
        for _ in range(3):
            w.grad = None
            (w * w.conj()).real.sum().backward()
            optimizer.step()
        assert w.dtype == kind
        found.append(w.detach().numpy())
    np.testing.assert_allclose(found[0], found[1], rtol=1e-5)


def test_what_is_told_about_dtypes_and_of_which_kind_results_are():
    for name in ("float16", "float32", "float64"):
        told = mg.finfo(getattr(mg, name))
        assert (told.bits, str(told.dtype)) == (np.finfo(name).bits, name)
    assert type(mg.unique(mg.tensor([1, 1, 2]), return_counts=True)) is tuple
    losses = mg.cross_entropy(
        [[mg.Value(1.0), mg.Value(2.0)]] * 2, [0, -100], reduction="none", ignore_index=-100
    )
    assert [type(loss) for loss in losses] == [mg.Value] * 2 and losses[1].data == 0
    assert (
        mg.hypot(mg.tensor([np.nan, 1.0]), mg.tensor([-np.inf, -np.inf])).tolist() == [np.inf] * 2
    )
    np.testing.assert_allclose(
        mg.nn.functional.pairwise_distance(mg.tensor([[1.0, 2.0]]), [[1, 4]]).numpy(), [2], 1e-5
    )


def test_chances_by_name():
    assert mg.zeros(50).bernoulli_(p=1.0).sum().item() == 50
    assert mg.ones(50).bernoulli_(p=0.0).sum().item() == 0


def test_a_mode_that_was_set_may_be_entered_twice():
    with mg.enable_grad():
        mode = mg.set_grad_enabled(False)
        for _ in range(2):
            with mode:
                assert not mg.is_grad_enabled()
        assert mg.is_grad_enabled()


def test_whole_numbers_are_compared_in_the_dtype_of_both():
    """As in PyTorch: float32 does not tell these two apart, the float64 of NumPy would."""
    whole, single = mg.tensor([16777217]), mg.tensor([16777216.0])
    for one, other in ((whole, single), (single, whole)):
        assert (one == other).tolist() == (one <= other).tolist() == [True]
        assert (one != other).tolist() == (one < other).tolist() == [False]


def test_a_mode_that_has_decorated_a_function_may_be_entered():
    mode = mg.set_grad_enabled(False)
    inside = mode(mg.is_grad_enabled)
    assert mg.is_grad_enabled() and not inside()
    with mode:
        assert not mg.is_grad_enabled()
    assert mg.is_grad_enabled()


def test_a_scale_of_ones_own_is_asked_as_it_wants_to_be():
    for scale_mode, third in (("iterations", 3), ("cycle", 1)):
        optimizer = mg.optim.SGD([mg.ones(1, requires_grad=True)], lr=0.1)
        schedule = mg.optim.lr_scheduler.CyclicLR(
            optimizer, 0.1, 1.1, 2, cycle_momentum=False,
            scale_fn=lambda i: 1 / (1 + i), scale_mode=scale_mode,
        )  # fmt: skip
        for _ in range(3):
            optimizer.step()
            schedule.step()
        np.testing.assert_allclose(schedule.get_last_lr(), [0.1 + 0.5 / (1 + third)])
