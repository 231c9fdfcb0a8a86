"""moons, circles, spiral, xor, line と digits。"""

import subprocess
import sys

import numpy as np
import pytest

import micrograd_jp as mg
from micrograd_jp.data import datasets

PLANES = {
    "moons": datasets.moons,
    "circles": datasets.circles,
    "spiral": datasets.spiral,
    "xor": datasets.xor,
}


@pytest.mark.parametrize("name", PLANES)
@pytest.mark.parametrize("n", [1, 2, 7, 100])
def test_points_and_labels(name, n):
    x, t = PLANES[name](n, noise=0.1, seed=0)[:]
    assert x.shape == (n, 2) and x.dtype == np.float32
    assert t.shape == (n,) and t.dtype == np.int64
    counts = np.bincount(t.numpy())
    if name == "xor":  # corners 0, 1, 1, 0 in turn
        assert abs(np.mean(t.numpy()) - 0.5) <= 2 / n
    else:
        assert counts.max() - counts.min() <= 1


@pytest.mark.parametrize("make", [*PLANES.values(), datasets.line])
def test_the_seed_decides(make):
    def rows(**options):
        return [column.tolist() for column in make(40, noise=0.1, **options)[:]]

    assert rows(seed=1) == rows(seed=1) != rows(seed=2)
    mg.manual_seed(3)
    first, second = rows(), rows()
    mg.manual_seed(3)
    assert rows() == first != second


@pytest.mark.parametrize(("make", "theirs"), [("moons", "make_moons"), ("circles", "make_circles")])
@pytest.mark.parametrize("n", [10, 11])
def test_without_noise_the_shapes_are_scikit_learns(make, theirs, n):
    sklearn = pytest.importorskip("sklearn.datasets", reason="scikit-learn と比べる")
    options = {"factor": 0.5} if make == "circles" else {}
    # Of an odd number of points scikit-learn gives the second class one more.
    counts = (n - n // 2, n // 2)
    expected, labels = getattr(sklearn, theirs)(counts, shuffle=False, **options)
    x, t = getattr(datasets, make)(n, noise=0, seed=0)[:]

    def rows(points, labels):
        return sorted(map(tuple, np.round(np.column_stack([points, labels]), 5) + 0.0))

    np.testing.assert_allclose(rows(x.numpy(), t.numpy()), rows(expected, labels), atol=1e-5)


def test_the_spiral_turns():
    x, t = datasets.spiral(300, classes=3, noise=0, seed=0)[:]
    x, t = x.numpy().astype(float), t.numpy()
    radius = np.hypot(*x.T)
    assert radius.max() == pytest.approx(0.99, abs=1e-6) and radius.min() == 0
    angle = 4 * t + 4 * radius  # CS231n's formula
    np.testing.assert_allclose(
        x, np.column_stack([radius * np.sin(angle), radius * np.cos(angle)]), atol=1e-6
    )


def test_xor_is_its_truth_table():
    x, t = datasets.xor()[:]
    assert dict(zip(map(tuple, x.tolist()), t.tolist(), strict=True)) == {
        (0, 0): 0, (0, 1): 1, (1, 0): 1, (1, 1): 0,
    }  # fmt: skip


def test_line():
    x, t = datasets.line(5, noise=0)[:]
    assert x.shape == t.shape == (5, 1)
    np.testing.assert_allclose(t.numpy(), x.numpy() + 4)


@pytest.mark.parametrize("make", [*PLANES.values(), datasets.line])
def test_wrong_arguments(make):
    for n in (0, -1, 1.5, True):
        with pytest.raises(ValueError, match="positive int"):
            make(n)
    for noise in (-0.1, float("nan")):
        with pytest.raises(ValueError, match="noise"):
            make(10, noise=noise)
    with pytest.raises(ValueError, match="seed"):
        make(10, noise=0.1, seed=-1)


def test_digits():
    pytest.importorskip("sklearn", reason="scikit-learn に同梱の画像")
    data = datasets.digits()
    assert data.images.shape == (1797, 8, 8) and data.images.dtype == np.float32
    assert data.labels.shape == (1797,) and data.labels.dtype == np.int64
    assert data.images.numpy().min() == 0 and data.images.numpy().max() == 1
    assert data.labels[:10].tolist() == list(range(10))
    flat = datasets.digits(flatten=True)
    assert flat.images.shape == (1797, 64)
    np.testing.assert_array_equal(flat.images.numpy(), data.images.numpy().reshape(1797, 64))


def test_scikit_learn_and_tqdm_are_asked_for_only_where_they_are_used():
    program = (
        "import sys\n"
        "sys.modules.update(dict.fromkeys(['sklearn', 'tqdm', 'matplotlib']))\n"
        "import micrograd_jp as mg\n"
        "mg.data.datasets.moons(10, seed=0)\n"
        "mg.data.datasets.digits()"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-1].startswith("ImportError")
    assert 'pip install "micrograd_jp[data]"' in ended.stderr
