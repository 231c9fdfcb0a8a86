"""mnist(): 本物のファイル（`MICROGRAD_JP_DATA` にあるとき）と、探す順序。"""

import gzip
import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from idx_files import SMALL, idx_bytes, packed
from test_download import running

from micrograd_jp.data import DataLoader, datasets
from micrograd_jp.data.datasets.mnist import MNIST_FILES, STATISTICS
from micrograd_jp.environment import cache_folder

NAMES = ["t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"]


@pytest.fixture(scope="module")
def real():
    folder = Path(os.environ.get("MICROGRAD_JP_DATA", "nowhere")) / "mnist"
    if not (folder / f"{NAMES[0]}.gz").is_file():
        pytest.skip("MICROGRAD_JP_DATA に本物の MNIST がない")
    return folder


@pytest.fixture
def empty(tmp_path, monkeypatch):
    """No data and an empty cache."""
    monkeypatch.delenv("MICROGRAD_JP_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path


def test_the_real_digits(real):
    train, test = datasets.mnist()
    assert train.images.shape == (60_000, 28, 28) and test.images.shape == (10_000, 28, 28)
    assert train.images.dtype == np.float32 and train.labels.dtype == np.int64
    assert train.labels[:5].tolist() == [5, 0, 4, 1, 9]
    assert test.labels[:5].tolist() == [7, 2, 1, 0, 4]
    pixels = train.images.numpy()
    assert pixels.min() == 0 and pixels.max() == 1
    assert (pixels.mean(dtype=np.float64), pixels.std(dtype=np.float64)) == pytest.approx(
        STATISTICS, abs=5e-5
    )
    x, t = next(iter(DataLoader(train, 128, shuffle=True, seed=0)))
    assert x.shape == (128, 28, 28) and t.shape == (128,)


def test_flat_and_normalized(real):
    plain, flat = datasets.mnist(train=False), datasets.mnist(train=False, flatten=True)
    assert flat.images.shape == (10_000, 784)
    np.testing.assert_array_equal(flat.images.numpy(), plain.images.numpy().reshape(-1, 784))
    scaled = datasets.mnist(train=False, normalize=True).images.numpy()
    np.testing.assert_allclose(scaled, (plain.images.numpy() - 0.1307) / 0.3081, atol=1e-6)


@pytest.mark.parametrize("layout", ["mnist/*.gz", "*.gz", "mnist/*", "*"])
def test_where_the_files_may_lie(real, empty, monkeypatch, layout):
    folder = empty / Path(layout).parent
    folder.mkdir(exist_ok=True)
    for name in NAMES:
        if layout.endswith(".gz"):
            shutil.copyfile(real / f"{name}.gz", folder / f"{name}.gz")
        else:
            (folder / name).write_bytes(gzip.decompress((real / f"{name}.gz").read_bytes()))
    monkeypatch.setenv("MICROGRAD_JP_DATA", str(empty))
    assert len(datasets.mnist(train=False, download=False)) == 10_000


def test_downloaded_once(real, empty, monkeypatch):
    pytest.importorskip("tqdm", reason="ダウンロードは tqdm で進み具合を見せる")
    with running() as server:
        server.RequestHandlerClass.real = lambda self: self.answer(
            (real / self.path.rsplit("/", 1)[-1]).read_bytes()
        )
        mirrors = [f"http://127.0.0.1:{server.server_port}/{kind}/" for kind in ("missing", "real")]
        module = sys.modules["micrograd_jp.data.datasets.mnist"]  # the name is the function's
        monkeypatch.setattr(module, "MNIST_FILES", MNIST_FILES._replace(mirrors=mirrors))
        assert len(datasets.mnist(train=False)) == 10_000
        asked = len(server.asked)
        assert asked == 4  # two files, each of two mirrors
        assert len(datasets.mnist(train=False)) == 10_000
        assert len(server.asked) == asked
    cached = cache_folder() / "mnist"
    assert sorted(p.name for p in cached.iterdir()) == [f"{name}.gz" for name in NAMES]


def test_another_file_is_not_taken_for_mnist(empty, monkeypatch):
    path = empty / f"{NAMES[0]}.gz"
    path.write_bytes(packed(idx_bytes(SMALL)))
    monkeypatch.setenv("MICROGRAD_JP_DATA", str(empty))
    with pytest.raises(ValueError, match="wrong checksum"):
        datasets.mnist(train=False, download=False)
    assert path.read_bytes() == packed(idx_bytes(SMALL))


def test_what_is_not_there_and_may_not_be_downloaded(empty):
    with pytest.raises(FileNotFoundError, match="MICROGRAD_JP_DATA"):
        datasets.mnist(download=False)
    assert not list(empty.iterdir())


def test_the_data_folder_goes_before_the_cache(empty, monkeypatch):
    monkeypatch.setenv("MICROGRAD_JP_DATA", str(empty / "given"))
    parents = [path.parent for path in MNIST_FILES.places(MNIST_FILES.files[True][0])]
    assert list(dict.fromkeys(parents)) == [
        empty / "given" / "mnist", empty / "given", empty / "cache" / "micrograd_jp" / "mnist",
    ]  # fmt: skip
