"""画像 1 枚の変換とフォルダ: Pillow と等しい値、`Tensor` になるまでの道、壊れた画像。"""

import colorsys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import micrograd_jp as mg
from micrograd_jp.data import DataLoader, datasets
from micrograd_jp.data import transforms as T
from tests.reference import torch

Image = pytest.importorskip("PIL.Image", reason="Pillow")
MODES = {"L": 1, "RGB": 3, "RGBA": 4}
FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


def picture(h, w, mode="RGB", seed=0):
    shape = (h, w) if mode == "L" else (h, w, MODES[mode])
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, shape, np.uint8))


def pixels(x):
    return np.asarray(x)


SIDES = st.integers(1, 40)


# ---- 大きさ --------------------------------------------------------------------------------------


@settings(max_examples=80)
@given(SIDES, SIDES, SIDES, SIDES, st.sampled_from([*FILTERS]), st.sampled_from(["L", "RGB"]))
def test_resized_pixels_are_exactly_pillows(h, w, high, wide, how, mode):
    given = picture(h, w, mode, seed=h * 41 + w)
    wanted = given.resize((wide, high), FILTERS[how])
    resize = T.Resize((high, wide), T.InterpolationMode(how))
    got = resize(given)
    assert (got.mode, got.size) == (mode, (wide, high))
    np.testing.assert_array_equal(pixels(got), pixels(wanted))
    np.testing.assert_array_equal(
        T.Compose([resize, T.PILToTensor()])(given).numpy(),
        T.PILToTensor()(wanted).numpy(),
    )


@pytest.mark.parametrize("size", [(5, 4), (9, 14), (1, 1), (13, 8), (30, 3)])
@pytest.mark.parametrize("how", ["bilinear", "bicubic"])
def test_resized_floats_are_pytorchs(size, how):
    x = np.random.default_rng(1).random((2, 3, 13, 8))
    wanted = torch.nn.functional.interpolate(
        torch.from_numpy(x), size, mode=how, align_corners=False, antialias=True
    ).numpy()
    resize = T.Resize(size, T.InterpolationMode(how))
    np.testing.assert_allclose(resize(mg.tensor(x)).numpy(), wanted, atol=1e-12)
    np.testing.assert_allclose(resize(x.astype(np.float32)), wanted, atol=1e-6)


def test_the_short_side():
    for (h, w), size, most, wanted in (
        ((40, 60), 20, None, (20, 30)),
        ((60, 40), 20, None, (30, 20)),
        ((7, 10), 5, None, (5, 7)),
        ((40, 60), 20, 25, (16, 25)),
        ((8, 8), 8, None, (8, 8)),
    ):
        got = T.Resize(size, max_size=most)(picture(h, w))
        assert got.size == wanted[::-1]


def test_a_random_part_is_resized():
    given = picture(20, 30)
    whole = T.RandomResizedCrop((9, 12), scale=(1, 1), ratio=(1.5, 1.5))
    wanted = given.resize((12, 9), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(pixels(whole(given)), pixels(wanted))
    plain = np.full((40, 1, 20, 30), 7, np.uint8)
    assert (T.RandomResizedCrop(6)(plain, generator=0) == 7).all()
    x = np.broadcast_to(np.arange(30, dtype=np.float32), (200, 1, 20, 30))
    quarter = T.RandomResizedCrop(12, scale=(0.24, 0.24), ratio=(1, 1))  # a square: 12 × 12
    parts = quarter(x, generator=0)
    np.testing.assert_array_equal(np.diff(parts), np.ones((200, 1, 12, 11)))
    assert {*parts[:, 0, 0, 0].astype(int)} == {*range(19)}
    tall = T.RandomResizedCrop(4, scale=(1, 1), ratio=(1, 1))(picture(20, 5))  # none fits
    assert tall.size == (4, 4)


# ---- Tensor になるまで ---------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
def test_to_tensor_by_the_formula(mode):
    given = picture(5, 7, mode)
    x = T.ToTensor()(given)
    channels = pixels(given).reshape(5, 7, -1).transpose(2, 0, 1)
    assert (x.shape, x.dtype) == ((MODES[mode], 5, 7), mg.float32)
    np.testing.assert_array_equal(x.numpy(), channels.astype(np.float32) / np.float32(255))
    np.testing.assert_array_equal(T.PILToTensor()(given).numpy(), channels)
    np.testing.assert_array_equal(T.ToTensor()(pixels(given)).numpy(), x.numpy())  # (H, W, C)
    np.testing.assert_array_equal(pixels(T.ToPILImage()(x)), pixels(given))
    np.testing.assert_array_equal(pixels(T.ToPILImage()(pixels(given))), pixels(given))


def test_the_default_dtype_and_floats():
    mg.set_default_dtype(mg.float64)
    try:
        assert T.ToTensor()(picture(2, 2)).dtype == mg.float64
    finally:
        mg.set_default_dtype(mg.float32)
    x = np.full((4, 3, 1), 7.5, np.float32)
    np.testing.assert_array_equal(T.ToTensor()(x).numpy(), np.full((1, 4, 3), 7.5, np.float32))
    black = Image.fromarray(np.eye(3, dtype=bool))
    assert black.mode == "1"
    np.testing.assert_array_equal(T.ToTensor()(black).numpy()[0], np.eye(3))


def test_normalized_by_the_formula():
    x = np.random.default_rng(0).random((2, 3, 4, 5))
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    wanted = (x - np.reshape(mean, (3, 1, 1))) / np.reshape(std, (3, 1, 1))
    normal = T.Normalize(mean, std)
    np.testing.assert_array_equal(normal(mg.tensor(x)).numpy(), wanted)
    np.testing.assert_array_equal(normal(mg.tensor(x[0])).numpy(), wanted[0])
    np.testing.assert_array_equal(T.Normalize(0.5, [0.5])(x), (x - 0.5) / 0.5)
    assert normal(x.astype(np.float16)).dtype == np.float16


def test_a_whole_chain_is_its_steps_one_after_the_other():
    steps = [
        T.Resize(12), T.CenterCrop((10, 8)), T.RandomHorizontalFlip(1), T.RandomVerticalFlip(1),
        T.ToTensor(), T.Normalize((0.5,), (0.25,)), lambda x: x[:, :4], T.Lambda(lambda x: x + 1),
        T.RandomHorizontalFlip(1),
    ]  # fmt: skip
    given = picture(20, 17)
    x = given.resize((12, 14), Image.Resampling.BILINEAR).crop((2, 2, 10, 12))
    x = x.transpose(Image.Transpose.ROTATE_180)
    wanted = (pixels(x).transpose(2, 0, 1)[:, :4].astype(np.float32) / 255 - 0.5) / 0.25 + 1
    got = T.Compose(steps)(given)
    np.testing.assert_allclose(got.numpy(), wanted[:, :, ::-1], atol=1e-6)
    nested = T.Compose([T.Compose(steps[:3]), T.Compose(steps[3:])])
    np.testing.assert_array_equal(nested(given).numpy(), got.numpy())
    assert T.Compose(steps[:4])(given).size == (8, 10)  # still a picture
    assert repr(T.Compose(steps[4:6])) == "Compose(ToTensor(), Normalize(mean=(0.5,), std=(0.25,)))"


def test_a_batch_is_not_taken_for_a_picture_or_otherwise():
    batch = np.random.default_rng(0).random((5, 6, 6)).astype(np.float32)
    flipped = T.RandomHorizontalFlip(1)(batch)
    np.testing.assert_array_equal(flipped, batch[:, :, ::-1])
    once = T.Compose([T.RandomHorizontalFlip(0.5), T.Normalize((0,), (1,))])
    x = mg.tensor(batch)  # one picture of five channels: they are flipped together
    both = [once(x, generator=k).numpy() for k in range(8)]
    assert all((y == batch).all() or (y == batch[:, :, ::-1]).all() for y in both)
    with pytest.raises(TypeError, match="one image at a time"):
        T.Compose([lambda x: x])(mg.tensor(batch)[None].numpy().repeat(2, 0), generator=0)


# ---- 余白、色、ぼかし ----------------------------------------------------------------------------


@pytest.mark.parametrize("padding", [2, (1, 3), (0, 1, 2, 4)])
def test_padding_is_numpys(padding):
    x = np.random.default_rng(0).integers(0, 256, (2, 3, 4, 5), np.uint8)
    edges = (padding,) * 4 if padding == 2 else padding * (4 // len(padding))
    left, top, right, bottom = edges
    wanted = np.pad(x, [(0, 0), (0, 0), (top, bottom), (left, right)], constant_values=9)
    np.testing.assert_array_equal(T.Pad(padding, fill=9)(x), wanted)
    many = np.broadcast_to(x[:1], (300, 3, 4, 5))
    crops = T.RandomCrop((4, 5), padding, fill=9)(many, generator=0)
    windows = np.lib.stride_tricks.sliding_window_view(wanted[0], (4, 5), (1, 2))
    places = {tuple(w.ravel()) for w in windows.transpose(1, 2, 0, 3, 4).reshape(-1, 60)}
    assert {tuple(c.ravel()) for c in crops} == places


def test_grey_is_pillows():
    given = picture(9, 7)
    got = T.Grayscale()(given)
    assert got.mode == "L"
    np.testing.assert_array_equal(pixels(got), pixels(given.convert("L")))
    assert repr(T.RandomGrayscale()).startswith("RandomGrayscale(transforms=(Grayscale(num_output")
    assert "one_by_one" not in repr(T.RandomGrayscale())
    three = T.Compose([T.RandomGrayscale(1), T.ToTensor()])(given)
    np.testing.assert_array_equal(three.numpy(), np.repeat(T.ToTensor()(got).numpy(), 3, 0))
    x = np.random.default_rng(0).random((3, 4, 4))
    wanted = 0.2989 * x[0] + 0.587 * x[1] + 0.114 * x[2]
    np.testing.assert_allclose(T.Grayscale(3)(mg.tensor(x)).data, [wanted] * 3, rtol=1e-12)
    assert T.Grayscale(3)(picture(2, 2, "L")).mode == "RGB"


@given(st.integers(0, 99), st.sampled_from([-0.5, -0.2, 0.0, 0.1, 1 / 3, 0.5]))
def test_hues_turn_as_in_colorsys(seed, shift):
    x = np.random.default_rng(seed).integers(0, 5, (1, 3, 2, 3)) / 4  # with ties
    turned = T.ColorJitter(hue=(shift, shift))(x)
    for rgb, new in zip(x[0].reshape(3, -1).T, turned[0].reshape(3, -1).T, strict=True):
        h, s, v = colorsys.rgb_to_hsv(*rgb)
        np.testing.assert_allclose(new, colorsys.hsv_to_rgb((h + shift) % 1, s, v), atol=1e-12)


def test_jitter_by_the_formula():
    x = np.random.default_rng(0).random((4, 3, 5, 6))
    grey = T.Grayscale()(x)
    for options, wanted in (
        ({"brightness": (1.5, 1.5)}, x * 1.5),
        ({"contrast": (0.5, 0.5)}, (x + grey.mean((1, 2, 3), keepdims=True)) / 2),
        ({"saturation": (0, 0)}, grey + 0 * x),
        ({"saturation": (2, 2)}, 2 * x - grey),
        ({}, x),
    ):
        np.testing.assert_allclose(T.ColorJitter(**options)(x), wanted.clip(0, 1), atol=1e-12)
    jitter = T.ColorJitter(0.4, 0.4, 0.4, 0.1)
    given = picture(6, 5)
    seen = {T.Compose([jitter])(given, generator=k).tobytes() for k in range(4)}
    assert len(seen) == 4 and jitter(given).mode == "RGB"


@pytest.mark.parametrize(("size", "sigma"), [(3, 0.7), ((5, 3), 1.3)])
def test_blurred_by_the_formula(size, sigma):
    ndimage = pytest.importorskip("scipy.ndimage", reason="scipy")
    x = np.random.default_rng(0).random((2, 3, 8, 9))
    wanted = x
    for axis, n in zip((3, 2), (size, size) if size == 3 else size):
        weights = np.exp(-0.5 * ((np.arange(n) - n // 2) / sigma) ** 2)
        wanted = ndimage.correlate1d(wanted, weights / weights.sum(), axis, mode="mirror")
    np.testing.assert_allclose(T.GaussianBlur(size, sigma)(x), wanted, atol=1e-12)


# ---- フォルダ ------------------------------------------------------------------------------------


@pytest.fixture
def root(tmp_path):
    modes = {"ants/b.png": "RGB", "ants/a.PNG": "L", "bees/deep/c.bmp": "RGBA", "bees/d.jpg": "L"}
    for k, (name, mode) in enumerate(modes.items()):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        picture(6, 8, mode, seed=k).save(path)
    (tmp_path / "ants" / "notes.txt").write_text("no picture")
    (tmp_path / "readme.png").write_text("in no class")
    return tmp_path


def test_a_folder_of_pictures(root):
    data = datasets.ImageFolder(root, transform=T.ToTensor(), target_transform=lambda k: k * 10)
    assert data.classes == ["ants", "bees"] and data.class_to_idx == {"ants": 0, "bees": 1}
    names = [Path(path).relative_to(root).as_posix() for path, _ in data.imgs]
    assert names == ["ants/a.PNG", "ants/b.png", "bees/d.jpg", "bees/deep/c.bmp"]
    assert data.targets == [0, 0, 1, 1] and len(data) == 4
    ((x, t),) = DataLoader(data, 4)
    assert (x.shape, x.dtype, t.tolist()) == ((4, 3, 6, 8), mg.float32, [0, 0, 10, 10])
    np.testing.assert_array_equal(x.numpy()[1], T.ToTensor()(picture(6, 8, seed=0)).numpy())
    plain, label = datasets.ImageFolder(root)[-1]
    assert (plain.mode, plain.size, label) == ("RGB", (8, 6), 1)
    own = datasets.ImageFolder(root, loader=lambda p: p, is_valid_file=lambda p: p.endswith("g"))
    assert [path[-5:] for path, _ in own] == ["b.png", "d.jpg"]
    assert f"Dataset ImageFolder\n    Number of datapoints: 4\n    Root location: {root}" in repr(
        data
    )


def test_damaged_pictures_are_named(root):
    data = datasets.ImageFolder(root)
    path = root / "ants" / "b.png"
    for content in (b"", b"no picture", path.read_bytes()[:60]):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"cannot read the image.*b\.png"):
            data[1]
    path.unlink()
    with pytest.raises(OSError, match=r"b\.png"):
        data[1]


def test_folders_that_are_none(root):
    for folder, words in ((root / "no", "no such folder"), (root / "ants", "no class folders")):
        with pytest.raises(FileNotFoundError, match=words):
            datasets.ImageFolder(folder)
    (root / "wasps").mkdir()
    with pytest.raises(FileNotFoundError, match=r"no images.*wasps"):
        datasets.ImageFolder(root)


# ---- エラー --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: T.Resize(0), ValueError, "size"),
        (lambda: T.Resize((3, 4), max_size=9), ValueError, "max_size"),
        (lambda: T.Resize(9, max_size=9), ValueError, "max_size"),
        (lambda: T.Resize(9, "nearest"), ValueError, "unknown interpolation"),
        (lambda: T.Resize(9, antialias=False), ValueError, "antialias"),
        (lambda: T.RandomResizedCrop(9, scale=(0, 1)), ValueError, "scale"),
        (lambda: T.Normalize((0, 0), (1, 1, 1)), ValueError, "length mismatch"),
        (lambda: T.Normalize((0,), (0,)), ValueError, "division by zero"),
        (lambda: T.Normalize([[0.5]], 1), ValueError, "one number a channel"),
        (lambda: T.Normalize((0,), (1,))(picture(2, 2)), TypeError, "ToTensor"),
        (lambda: T.Normalize((0, 0), (1, 1))(np.zeros((3, 2, 2))), ValueError, "channel mismatch"),
        (lambda: T.Pad(-1), ValueError, "padding"),
        (lambda: T.Pad((1, 2, 3)), ValueError, "padding"),
        (lambda: T.Grayscale(2), ValueError, "1 or 3"),
        (lambda: T.Grayscale()(np.zeros((1, 2, 2, 2))), ValueError, "RGB"),
        (lambda: T.ColorJitter(hue=0.6), ValueError, "hue"),
        (lambda: T.ColorJitter(saturation=-1), ValueError, "saturation"),
        (lambda: T.ColorJitter(hue=0.1)(picture(2, 2, "L")), ValueError, "RGB"),
        (lambda: T.GaussianBlur(2), ValueError, "odd"),
        (lambda: T.GaussianBlur(3, 0), ValueError, "sigma"),
        (lambda: T.GaussianBlur(9)(picture(4, 20)), ValueError, "kernel too large"),
        (lambda: T.ToTensor()("a.png"), TypeError, "uint8"),
        (lambda: T.ToTensor()(np.zeros((1, 2, 2, 2, 2), np.uint8)), ValueError, "images"),
        (lambda: T.ToPILImage()(np.zeros(3)), ValueError, "one image"),
        (lambda: T.ToPILImage()(mg.zeros(5, 2, 2)), ValueError, "channels"),
        (lambda: T.ToPILImage()(np.zeros((2, 2), int)), TypeError, "uint8"),
        (lambda: T.Lambda(3), TypeError, "lambd"),
        (lambda: T.Compose([T.ToTensor]), TypeError, "ToTensor"),
    ],
)
def test_errors_say_what_was_wrong(make, error, words):
    with pytest.raises(error, match=words):
        make()
