"""データ拡張の法則: 恒等、対合、NumPy と PyTorch との一致、乱数、範囲、エラー。"""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import micrograd_jp as mg
from micrograd_jp.data import transforms as T
from tests.reference import torch

DTYPES = (np.uint8, np.float16, np.float32, np.float64)
EVERY = {
    "rotation": T.RandomRotation(30),
    "translate": T.RandomTranslate(2.5),
    "whole": T.RandomTranslate(2, whole=True),
    "scale": T.RandomScale((0.7, 1.3)),
    "affine": T.RandomAffine(20, (0.1, 0.2), (0.8, 1.2), 10),
    "crop": T.RandomCrop((5, 4), padding=2),
    "centre": T.CenterCrop(4),
    "horizontal": T.RandomHorizontalFlip(),
    "vertical": T.RandomVerticalFlip(),
    "elastic": T.ElasticTransform(10, 2),
    "brightness": T.RandomBrightness(0.5),
    "contrast": T.RandomContrast(0.5),
    "noise": T.GaussianNoise(0.2),
    "erasing": T.RandomErasing(),
    "some": T.RandomApply([T.RandomRotation(30), T.GaussianNoise(0.1)], p=0.5),
    "all": T.Compose(
        [T.RandomRotation(9), T.RandomTranslate(1), T.ElasticTransform(9, 2), T.GaussianNoise(0.1)]
    ),
}
IDENTITIES = {
    "rotation": T.RandomRotation(0),
    "turn": T.RandomRotation((360, 360)),
    "translate": T.RandomTranslate(0),
    "whole": T.RandomTranslate(0, whole=True),
    "scale": T.RandomScale((1, 1)),
    "affine": T.RandomAffine(),
    "horizontal": T.RandomHorizontalFlip(0),
    "vertical": T.RandomVerticalFlip(0),
    "elastic": T.ElasticTransform(0),
    "brightness": T.RandomBrightness(0),
    "contrast": T.RandomContrast(0),
    "noise": T.GaussianNoise(0),
    "erasing": T.RandomErasing(0),
    "never": T.RandomApply(T.RandomBrightness((0, 0)), p=0),
    "nothing": T.Compose([]),
    "there and back": T.Compose([T.RandomHorizontalFlip(1), T.RandomHorizontalFlip(1)]),
}
SEEDS = st.integers(0, 2**32)


def elements(dtype):
    if dtype == np.uint8:
        return st.integers(0, 255)
    return st.floats(0, 1, width=np.dtype(dtype).itemsize * 8)


@st.composite
def images(draw, dtypes=DTYPES, square=False):
    dtype = draw(st.sampled_from(dtypes))
    h = draw(st.integers(1, 7))
    w = h if square else draw(st.integers(1, 7))
    shape = draw(st.sampled_from([(3, h, w), (2, 1, h, w), (2, 3, h, w), (0, 2, h, w)]))
    return draw(hnp.arrays(dtype, shape, elements=elements(dtype)))


def noisy(dtype=np.float32, shape=(6, 1, 9, 8)):
    x = np.random.default_rng(0).random(shape)
    return (x * 255).astype(dtype) if dtype == np.uint8 else x.astype(dtype)


# ---- どの変換にも成り立つこと ----------------------------------------------------------------


@pytest.mark.parametrize("name", EVERY)
@settings(max_examples=25)
@given(images(), SEEDS)
def test_dtype_range_labels_and_the_input_itself(name, x, seed):
    before = x.copy()
    x.flags.writeable = False
    labels = np.arange(len(x))
    out, same = EVERY[name](x, labels, generator=seed)
    assert same is labels
    assert (out.dtype, out.ndim, len(out)) == (x.dtype, x.ndim, len(x))
    assert not np.may_share_memory(out, x)
    np.testing.assert_array_equal(x, before)
    if out.size:
        assert out.min() >= 0
        assert out.max() <= (255 if x.dtype == np.uint8 else 1)
    again = EVERY[name](x, generator=np.random.default_rng(seed))
    np.testing.assert_array_equal(again, out)


@pytest.mark.parametrize("name", EVERY)
def test_samples_differ_and_the_seed_decides(name):
    x = np.repeat(noisy(shape=(1, 1, 9, 8)), 40, axis=0)
    out = EVERY[name](x, generator=0)
    if name != "centre":
        assert len(np.unique(out.reshape(40, -1), axis=0)) > 1
        assert not np.array_equal(out, EVERY[name](x, generator=1))


@pytest.mark.parametrize("name", IDENTITIES)
@settings(max_examples=25)
@given(images(), SEEDS)
def test_identity_parameters_give_the_input_back_exactly(name, x, seed):
    np.testing.assert_array_equal(IDENTITIES[name](x, generator=seed), x)


@pytest.mark.parametrize("name", EVERY)
def test_tensors_give_tensors_with_the_values_of_arrays(name):
    x = noisy()
    out, t = EVERY[name](mg.tensor(x), mg.tensor([1, 2]), generator=3)
    assert isinstance(out, mg.Tensor) and t.tolist() == [1, 2]
    np.testing.assert_array_equal(out.data, EVERY[name](x, generator=3))


def test_without_a_generator_manual_seed_decides():
    x = noisy()
    runs = []
    for _ in range(2):
        mg.manual_seed(5)
        runs.append(EVERY["all"](x))
    np.testing.assert_array_equal(*runs)


@pytest.mark.parametrize("prefetch", [0, 3])
def test_the_loader_gives_the_same_batches_with_and_without_prefetch(prefetch):
    data = mg.data.TensorDataset(noisy(shape=(20, 9, 8)), np.arange(20))
    options = {"batch_size": 6, "shuffle": True, "seed": 1, "transform": EVERY["all"]}
    plain = list(mg.data.DataLoader(data, **options))
    other = list(mg.data.DataLoader(data, prefetch=prefetch, **options))
    for (x, t), (y, u) in zip(plain, other, strict=True):
        np.testing.assert_array_equal(x.data, y.data)
        np.testing.assert_array_equal(t.data, u.data)
    assert not np.array_equal(plain[0][0].data, data.tensors[0].data[plain[0][1].data])


# ---- 幾何 --------------------------------------------------------------------------------------


@given(images())
def test_flips_are_numpys_and_involutions(x):
    for flip, axis in ((T.RandomHorizontalFlip(1), -1), (T.RandomVerticalFlip(1), -2)):
        once = flip(x)
        np.testing.assert_array_equal(once, np.flip(x, axis))
        np.testing.assert_array_equal(flip(once), x)


@given(images(square=True), st.integers(-5, 5))
def test_quarter_turns_are_rot90(x, k):
    out = T.RandomRotation((90 * k, 90 * k))(x)
    np.testing.assert_array_equal(out, np.rot90(x, k, axes=(-2, -1)))


class Shift(T.RandomTranslate):
    """どの見本も同じだけ動かす。"""

    def placement(self, n, size, generator):
        placed = super().placement(n, size, generator)
        placed.matrices[:, :, 2] = -np.asarray(self.by)
        return placed


@given(images(), st.integers(-8, 8), st.integers(-8, 8))
def test_whole_translations_are_a_padded_roll(x, down, right):
    shift = Shift(0, fill=1)
    shift.by = (down, right)
    widths = [(0, 0)] * (x.ndim - 2) + [(8, 8), (8, 8)]
    padded = np.pad(x, widths, constant_values=1)
    wanted = np.roll(padded, (down, right), axis=(-2, -1))[..., 8:-8, 8:-8]
    np.testing.assert_array_equal(shift(x), wanted)


@given(images(), SEEDS)
def test_random_crops_are_parts_of_the_padded_image(x, seed):
    assume(len(x))
    h, w = x.shape[-2:]
    size = (min(h + 2, 5), min(w + 2, 4))
    out = T.RandomCrop(size, padding=1)(x, generator=seed)
    padded = np.pad(x, [(0, 0)] * (x.ndim - 2) + [(1, 1), (1, 1)])
    windows = np.lib.stride_tricks.sliding_window_view(padded, size, axis=(-2, -1))
    for one, places in zip(out, windows, strict=True):
        same = (places == one[..., None, None, :, :]).all(axis=(-2, -1))
        assert same.any() if x.ndim == 3 else same.all(axis=0).any()


def test_random_crops_reach_every_place():
    x = np.arange(9, dtype=np.uint8).reshape(1, 3, 3).repeat(200, axis=0)
    corners = set(T.RandomCrop(2)(x, generator=0)[:, 0, 0].tolist())
    assert corners == {0, 1, 3, 4}


def test_centre_crops():
    x = np.arange(1, 26, dtype=np.uint8).reshape(1, 5, 5)
    np.testing.assert_array_equal(T.CenterCrop(3)(x), x[:, 1:4, 1:4])
    np.testing.assert_array_equal(T.CenterCrop(7)(x), np.pad(x, [(0, 0), (1, 1), (1, 1)]))
    assert T.CenterCrop((2, 5))(x).shape == (1, 2, 5)


def test_scale_two_shows_the_middle_twice_as_large():
    x = np.zeros((1, 9, 9), np.float32)
    x[0, 4, 6] = 1.0
    out = T.RandomScale((2, 2))(x)
    assert np.unravel_index(out.argmax(), out.shape) == (0, 4, 8)


def test_positive_angles_turn_counterclockwise():
    x = np.zeros((1, 21, 21), np.float32)
    x[0, 10, 20] = 1.0  # right of the centre: goes up
    out = T.RandomRotation((30, 30))(x)
    row, column = np.unravel_index(out[0].argmax(), (21, 21))
    assert (row, column) == (5, 19)  # 10 − 10·sin 30°, 10 + 10·cos 30°


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_resampling_is_pytorchs_grid_sample(dtype):
    x = noisy(dtype, (5, 3, 9, 8))
    affine = T.RandomAffine(40, (0.2, 0.1), (0.7, 1.3), 15)
    m = affine.placement(5, (9, 8), np.random.default_rng(2)).matrices
    # From pixels (y, x) around the centre to torch's (x, y), where the corners are ±1.
    unit = np.array([(9 - 1) / 2, (8 - 1) / 2])
    linear = (m[:, :, :2] * unit[None, None, :] / unit[None, :, None])[:, ::-1, ::-1]
    theta = np.concatenate([linear, (m[:, :, 2] / unit)[:, ::-1, None]], axis=2)
    grid = torch.nn.functional.affine_grid(
        torch.from_numpy(theta.astype(np.float64)), x.shape, align_corners=True
    )
    wanted = torch.nn.functional.grid_sample(
        torch.from_numpy(x).double(), grid, align_corners=True, padding_mode="zeros"
    )
    out = affine(x, generator=2)
    np.testing.assert_allclose(out, wanted.numpy(), atol=1e-5)


def test_neighbouring_maps_are_resampled_once():
    x = noisy(shape=(4, 1, 12, 12))
    turn, back = T.RandomRotation((17, 17)), T.RandomRotation((-17, -17))
    together = T.Compose([turn, T.Compose([back])])(x)
    np.testing.assert_allclose(together, x, atol=1e-5)
    assert np.abs(back(turn(x)) - x).max() > 0.05  # two resamplings blur, and cut the corners


def test_composed_maps_are_applied_in_order():
    x = noisy(shape=(3, 1, 7, 7))
    turn, flip, crop = T.RandomRotation((90, 90)), T.RandomVerticalFlip(1), T.CenterCrop(5)
    shift = Shift(0)
    shift.by = (1, 0)
    steps = [turn, crop, flip, shift]
    wanted = x
    for step in steps:
        wanted = step(wanted)
    fused = T.Compose(steps)(x)
    np.testing.assert_array_equal(fused[..., 1:, :], wanted[..., 1:, :])
    assert not np.array_equal(T.Compose([flip, turn])(x), T.Compose([turn, flip])(x))
    # 植えた誤り: 順序が逆なら気づく
    assert not np.array_equal(T.Compose(steps[::-1])(x)[..., 1:, :], wanted[..., 1:, :])


def test_different_fills_are_not_merged():
    x = np.full((1, 3, 3), 5, np.uint8)
    left, right = Shift(0, fill=1), Shift(0, fill=2)
    left.by, right.by = (0, -3), (0, 2)
    np.testing.assert_array_equal(T.Compose([left, right])(x)[0], [[2, 2, 1]] * 3)


def test_elastic_displacements_are_smoothed_uniform_noise():
    gaussian_filter = pytest.importorskip("scipy.ndimage", reason="scipy").gaussian_filter
    elastic = T.ElasticTransform(34, 2)
    found = np.stack(elastic.displacement(3, (12, 9), np.random.default_rng(0)), axis=1)
    noise = np.random.default_rng(0).random((3, 2, 12, 9), dtype=np.float32) * 2 - 1
    wanted = 34 * gaussian_filter(
        noise.astype(np.float64), (0, 0, 2, 2), mode="constant", truncate=8
    )
    np.testing.assert_allclose(found, wanted, atol=1e-4)


def test_the_usual_elastic_moves_a_digit_by_a_pixel_or_two():
    elastic = T.ElasticTransform()
    dy, _ = elastic.displacement(200, (28, 28), np.random.default_rng(0))
    # α/√3 of uniform noise, times the norm of the kernel 1/(2σ√π), far from the border.
    assert dy[:, 10:18, 10:18].std() == pytest.approx(34 / 3**0.5 / (8 * np.pi**0.5), rel=0.1)


# ---- 画素の値 ----------------------------------------------------------------------------------


def test_brightness_and_contrast_by_hand():
    x = np.array([[[0, 100], [200, 100]]], np.uint8)
    np.testing.assert_array_equal(
        T.RandomBrightness((1.5, 1.5))(x), np.array([[[0, 150], [255, 150]]])
    )
    np.testing.assert_array_equal(
        T.RandomContrast((0.5, 0.5))(x), np.array([[[50, 100], [150, 100]]])
    )


def test_noise_has_the_deviation_that_was_asked_for():
    x = np.full((50, 1, 20, 20), 0.5, np.float32)
    assert (T.GaussianNoise(0.1)(x, generator=0) - x).std() == pytest.approx(0.1, rel=0.02)
    grey = np.full((50, 1, 20, 20), 128, np.uint8)
    noise = T.GaussianNoise(0.1)(grey, generator=0).astype(float) - 128
    assert noise.std() == pytest.approx(25.5, rel=0.02)


@given(SEEDS)
def test_erasing_paints_one_rectangle_of_the_asked_size(seed):
    x = np.ones((8, 2, 20, 20), np.float32)
    out = T.RandomErasing(1.0, scale=(0.1, 0.2), ratio=(0.5, 2), value=0.25)(x, generator=seed)
    for image in out:
        hole = image[0] != 1
        assert (image[0] == image[1]).all() and (image[0][hole] == np.float32(0.25)).all()
        rows, columns = np.flatnonzero(hole.any(1)), np.flatnonzero(hole.any(0))
        assert hole.sum() == len(rows) * len(columns)
        assert np.ptp(rows) + 1 == len(rows) and np.ptp(columns) + 1 == len(columns)
        assert 0.08 * 400 < hole.sum() < 0.24 * 400


def test_apply_changes_about_a_part_and_leaves_the_rest_exactly():
    x = noisy(shape=(400, 1, 4, 4))
    out = T.RandomApply(T.RandomVerticalFlip(1), p=0.25)(x, generator=0)
    changed = (out != x).any(axis=(1, 2, 3))
    assert 60 < changed.sum() < 140
    np.testing.assert_array_equal(out[changed], x[changed][:, :, ::-1])


def test_normalized_images_are_refused_until_their_range_is_named():
    x = noisy() * 3 - 1
    for make in (T.RandomBrightness, T.RandomContrast, T.GaussianNoise):
        with pytest.raises(ValueError, match="value_range"):
            make(0.1)(x)
        assert make(0.1, value_range=(-1, 2))(x).max() <= 2
        assert make(0.1, value_range=None)(x).shape == x.shape


# ---- エラー ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: T.RandomRotation("a"), TypeError, "degrees"),
        (lambda: T.RandomRotation(-1), ValueError, "degrees"),
        (lambda: T.RandomRotation((3, 1)), ValueError, "下限"),
        (lambda: T.RandomRotation(float("nan")), ValueError, "degrees"),
        (lambda: T.RandomAffine(shear=90), ValueError, "shear"),
        (lambda: T.RandomScale(2), TypeError, "scale"),
        (lambda: T.RandomScale((0, 1)), ValueError, "正"),
        (lambda: T.RandomTranslate(-1), ValueError, "pixels"),
        (lambda: T.RandomTranslate((1, 2, 3)), TypeError, "pixels"),
        (lambda: T.RandomHorizontalFlip(1.5), ValueError, "p は"),
        (lambda: T.RandomCrop(0), ValueError, "size"),
        (lambda: T.RandomCrop(2, padding=-1), ValueError, "padding"),
        (lambda: T.RandomCrop(9, padding=1)(noisy(shape=(1, 4, 4))), ValueError, r"\(6, 6\)"),
        (lambda: T.ElasticTransform(sigma=0), ValueError, "sigma"),
        (lambda: T.RandomBrightness((-1, 1)), ValueError, "brightness"),
        (lambda: T.GaussianNoise(-0.1), ValueError, "sigma"),
        (lambda: T.GaussianNoise(value_range=(1, 1)), ValueError, "value_range"),
        (lambda: T.RandomErasing(scale=(0.5, 1.5)), ValueError, "scale"),
        (lambda: T.Compose([3]), TypeError, "Transform"),
        (lambda: T.Compose([T.RandomErasing]), TypeError, "RandomErasing"),
        (lambda: T.RandomApply(T.CenterCrop(2), p=1)(noisy()), ValueError, r"\(2, 2\)"),
        (lambda: T.RandomErasing()(np.zeros((2, 784))), ValueError, "784"),
        (lambda: T.RandomErasing()(np.zeros((2, 3, 3), int)), TypeError, "int64"),
        (lambda: T.Transform()(noisy()), NotImplementedError, "apply"),
        (lambda: T.RandomErasing()(noisy(), generator=-1), ValueError, "seed"),
    ],
)
def test_errors_say_what_was_wrong(make, error, words):
    with pytest.raises(error, match=words):
        make()


def test_the_settings_are_shown():
    assert repr(T.RandomCrop(28, 2)) == "RandomCrop(size=(28, 28), padding=2, fill=0.0)"
    assert "RandomErasing" in repr(T.Compose([T.RandomErasing()]))
