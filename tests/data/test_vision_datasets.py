"""PyTorch の書き方のデータセット: 本物の形式の小さなファイル、置き場所、照合、壊れたファイル。"""

import hashlib
import io
import pickle
import struct
import sys
import tarfile
import zipfile
from typing import ClassVar

import numpy as np
import pytest
from idx_files import idx_bytes, packed
from test_download import running

import micrograd_jp as mg
from micrograd_jp.data import DataLoader, datasets
from micrograd_jp.data import transforms as T
from micrograd_jp.data.datasets import handwriting

RNG = np.random.default_rng(0)
COUNT = 6
PIXELS = RNG.integers(0, 256, (COUNT, 28, 28), np.uint8)
LABELS = np.array([1, 0, 9, 3, 2, 9], np.uint8)
CLASSES = {
    "MNIST": datasets.MNIST, "FashionMNIST": datasets.FashionMNIST, "KMNIST": datasets.KMNIST,
    "EMNIST": datasets.EMNIST,
}  # fmt: skip


def md5_of(content):
    return hashlib.md5(content).hexdigest()


def contents(file):
    return idx_bytes(PIXELS if "images" in file.name else LABELS)


@pytest.fixture(autouse=True)
def nowhere(tmp_path, monkeypatch):
    """No data and an empty cache; the families know the checksums of the small files."""
    monkeypatch.delenv("MICROGRAD_JP_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for cls in CLASSES.values():
        known = {
            part: tuple(
                file._replace(
                    md5=file.md5 and md5_of(contents(file)),
                    packed_md5=file.packed_md5 and md5_of(packed(contents(file))),
                )
                for file in files
            )
            for part, files in cls._files.files.items()
        }
        monkeypatch.setattr(cls, "_files", cls._files._replace(files=known))


def files_of(name, train=True):
    family = CLASSES[name]._files
    part = ("balanced", "train" if train else "test") if name == "EMNIST" else train
    return family.files[part]


def put(name, folder, plain=False, change=lambda content: content):
    folder.mkdir(parents=True, exist_ok=True)
    for file in files_of(name):
        content = contents(file) if plain else packed(contents(file))
        (folder / (file.name if plain else f"{file.name}.gz")).write_bytes(change(content))


def zipped(name="EMNIST", member="gzip/{}.gz"):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for file in files_of(name):
            archive.writestr(member.format(file.name), packed(contents(file)))
    return out.getvalue()


# ---- MNIST の仲間 --------------------------------------------------------------------------------


def test_every_published_file_has_a_checksum_of_its_own():
    families = (getattr(handwriting, f"_{name}_FILES") for name in ("FASHION", "KMNIST", "EMNIST"))
    for family in families:
        sums = [f.md5 or f.packed_md5 for files in family.files.values() for f in files]
        assert len({*sums}) == len(sums) == 2 * len(family.files)
        assert all(len(x) == 32 and int(x, 16) for x in sums)


@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.parametrize("plain", [False, True])
def test_the_folder_of_torchvision(name, plain, tmp_path):
    put(name, tmp_path / "data" / name / "raw", plain)
    data = CLASSES[name](tmp_path / "data", train=True)
    assert isinstance(data.data, mg.Tensor) and data.data.dtype == mg.uint8
    np.testing.assert_array_equal(data.data.numpy(), PIXELS)
    assert data.targets.dtype == mg.int64 and data.targets.tolist() == LABELS.tolist()
    assert len(data) == COUNT and data.class_to_idx[data.classes[3]] == 3
    image, label = data[2]
    np.testing.assert_array_equal(np.asarray(image), PIXELS[2])
    assert (image.mode, label, type(label)) == ("L", 9, int)
    assert f"Dataset {name}\n    Number of datapoints: 6\n    Root location: " in repr(data)
    assert "Split: Train" in repr(data)


@pytest.mark.parametrize("name", CLASSES)
def test_the_folder_of_the_environment(name, tmp_path, monkeypatch):
    put(name, tmp_path / "all" / name.lower())
    monkeypatch.setenv("MICROGRAD_JP_DATA", str(tmp_path / "all"))
    assert len(CLASSES[name](tmp_path / "elsewhere")) == len(CLASSES[name]()) == COUNT


@pytest.mark.parametrize("name", CLASSES)
def test_a_damaged_file_is_refused(name, tmp_path):
    folder = tmp_path / name / "raw"
    put(name, folder, change=lambda content: content[:-9] + b"\1" + content[-8:])
    with pytest.raises(ValueError, match=r"wrong checksum|corrupt gzip"):
        CLASSES[name](tmp_path)
    put(name, folder, change=lambda content: content[:40])
    with pytest.raises(ValueError, match=r"wrong checksum|corrupt gzip"):
        CLASSES[name](tmp_path)


@pytest.mark.parametrize(
    ("pixels", "labels", "words"),
    [
        (PIXELS[:5], LABELS, "wrong file"),
        (PIXELS[:, :27], LABELS, "wrong file"),
        (PIXELS.astype(np.int8), LABELS, "wrong file"),
        (PIXELS, LABELS + 60, "wrong labels"),
        (PIXELS, LABELS[:, None], "wrong file"),
    ],
)
@pytest.mark.parametrize("name", ["KMNIST", "EMNIST"])
def test_an_unpacked_file_has_the_right_shapes_and_labels(name, pixels, labels, words, tmp_path):
    folder = tmp_path / name / "raw"
    folder.mkdir(parents=True)
    for file, array in zip(files_of(name), (pixels, labels), strict=True):
        (folder / file.name).write_bytes(idx_bytes(array))
    with pytest.raises(ValueError, match=words):
        CLASSES[name](tmp_path)


def test_fashion_is_not_taken_for_mnist(tmp_path, monkeypatch):
    put("FashionMNIST", tmp_path / "all")  # the names of the files are the same
    monkeypatch.setenv("MICROGRAD_JP_DATA", str(tmp_path / "all"))
    with pytest.raises(FileNotFoundError, match=r"Fashion-MNIST .*not found"):
        datasets.FashionMNIST()


BODY = packed(idx_bytes(PIXELS))[20:60]


def test_emnist_comes_in_a_zip(tmp_path):
    folder = tmp_path / "EMNIST" / "raw"
    folder.mkdir(parents=True)
    (folder / "gzip.zip").write_bytes(zipped())
    data = datasets.EMNIST(tmp_path, split="balanced")
    np.testing.assert_array_equal(data.data.numpy(), PIXELS)
    assert len(data.classes) == 47
    for content, words in (
        (zipped()[:300], "corrupt zip"),
        (zipped(member="gzip/other-{}.gz"), "missing member"),
        (zipped().replace(BODY, b"x" * len(BODY)), "corrupt zip"),
    ):
        (folder / "gzip.zip").write_bytes(content)
        with pytest.raises(ValueError, match=words):
            datasets.EMNIST(tmp_path, split="balanced")


def test_the_parts_of_emnist():
    counts = {split: len(names) for split, names in datasets.EMNIST._CLASSES.items()}
    assert counts == {
        "byclass": 62, "bymerge": 47, "balanced": 47, "letters": 27, "digits": 10, "mnist": 10,
    }  # fmt: skip
    with pytest.raises(ValueError, match="unknown split"):
        datasets.EMNIST("data", split="letter")


@pytest.mark.parametrize("name", ["KMNIST", "EMNIST"])
def test_downloaded_once_into_the_given_folder(name, tmp_path, monkeypatch):
    pytest.importorskip("tqdm", reason="ダウンロードは tqdm で進み具合を見せる")
    sent = {f"{file.name}.gz": packed(contents(file)) for file in files_of(name)}
    sent["gzip.zip"] = zipped("EMNIST")
    with running() as server:
        server.RequestHandlerClass.real = lambda self: self.answer(
            sent[self.path.rsplit("/", 1)[-1]]
        )
        mirrors = [f"http://127.0.0.1:{server.server_port}/{kind}/" for kind in ("missing", "real")]
        cls = CLASSES[name]
        monkeypatch.setattr(cls, "_files", cls._files._replace(mirrors=mirrors))
        with pytest.raises(FileNotFoundError, match="download=True"):
            cls(tmp_path)
        assert len(cls(tmp_path, download=True)) == COUNT
        asked = len(server.asked)
        assert asked == (2 if name == "EMNIST" else 4)
        assert len(cls(tmp_path, download=True)) == len(cls(tmp_path)) == COUNT
        assert len(server.asked) == asked
    kept = sorted(p.name for p in (tmp_path / name / "raw").iterdir())
    assert kept == (["gzip.zip"] if name == "EMNIST" else sorted(set(sent) - {"gzip.zip"}))


# ---- CIFAR ---------------------------------------------------------------------------------------


class Old(pickle._Pickler):
    """Writes as Python 2 did: strings of bytes, and NumPy's old names."""

    dispatch: ClassVar = {
        **pickle._Pickler.dispatch,
        bytes: lambda self, x: self.write(b"T" + struct.pack("<i", len(x)) + x),
        str: lambda self, x: self.write(b"U" + bytes([len(x)]) + x.encode("ascii")),
    }


def batch_bytes(data, labels):
    out = io.BytesIO()
    Old(out, 2).dump({"batch_label": "testing batch", "labels": labels, "data": data})
    return out.getvalue().replace(b"numpy._core", b"numpy.core")


ROWS = RNG.integers(0, 256, (6, 3, 32, 32), np.uint8)
BATCHES = {
    name: batch_bytes(ROWS[i].reshape(1, -1), [i])
    for i, name in enumerate([f"data_batch_{k}" for k in range(1, 6)] + ["test_batch"])
}


def archive_of(batches):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for name, content in batches.items():
            member = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return out.getvalue()


def known(monkeypatch, batches, archive=b""):
    cls = datasets.CIFAR10
    sums = {
        train: {name: md5_of(batches.get(name, b"")) for name in names}
        for train, names in cls._batches.items()
    }
    monkeypatch.setattr(cls, "_batches", sums)
    monkeypatch.setattr(cls, "_archive_md5", md5_of(archive))


@pytest.mark.parametrize("unpacked", [False, True])
def test_cifar(unpacked, tmp_path, monkeypatch):
    archive = archive_of(BATCHES)
    known(monkeypatch, BATCHES, archive)
    if unpacked:
        (tmp_path / "cifar-10-batches-py").mkdir()
        for name, content in BATCHES.items():
            (tmp_path / "cifar-10-batches-py" / name).write_bytes(content)
    else:
        (tmp_path / "cifar-10-python.tar.gz").write_bytes(archive)
    train, test = datasets.CIFAR10(tmp_path), datasets.CIFAR10(tmp_path, train=False)
    np.testing.assert_array_equal(train.data, ROWS[:5].transpose(0, 2, 3, 1))
    assert train.targets == [0, 1, 2, 3, 4] and test.targets == [5]
    image, label = test[0]
    np.testing.assert_array_equal(np.asarray(image), ROWS[5].transpose(1, 2, 0))
    assert (label, image.mode, test.classes[label]) == (5, "RGB", "dog")


def test_cifar_is_refused_when_it_is_not_what_was_published(tmp_path, monkeypatch):
    path = tmp_path / "cifar-10-python.tar.gz"
    with pytest.raises(FileNotFoundError, match="download=True"):
        datasets.CIFAR10(tmp_path)
    ran = []
    monkeypatch.setattr(sys, "setrecursionlimit", ran.append)
    hostile = b"csys\nsetrecursionlimit\nK\x01\x85R."
    every = dict.fromkeys(BATCHES, hostile)
    for batches, archive, sums, words in (
        (BATCHES, archive_of(BATCHES), b"other", "wrong checksum"),
        (BATCHES, archive_of(BATCHES)[:-300], None, "corrupt archive"),
        (BATCHES, archive_of({"test_batch": b""}), None, "missing member"),
        (BATCHES, archive_of({**BATCHES, "data_batch_2": b"x"}), None, "wrong checksum"),
        (every, archive_of(every), None, "not a batch"),
    ):
        known(monkeypatch, batches, archive if sums is None else sums)
        path.write_bytes(archive)
        with pytest.raises(ValueError, match=words):
            datasets.CIFAR10(tmp_path)
    assert not ran


# ---- 変換と DataLoader ---------------------------------------------------------------------------

NORMAL = [T.ToTensor(), T.Normalize((0.5,), (0.25,))]


@pytest.fixture
def digits(tmp_path):
    put("KMNIST", tmp_path / "KMNIST" / "raw")
    return lambda **options: datasets.KMNIST(tmp_path, **options)


@pytest.mark.parametrize(
    "transform",
    [
        T.ToTensor(),
        T.Compose(NORMAL),
        T.Compose([T.Resize(12), T.CenterCrop(8), *NORMAL]),
        T.Compose([*NORMAL, T.Lambda(lambda x: x.flatten())]),
        T.Compose([T.PILToTensor(), lambda x: x.float() / 255]),
        lambda picture: np.asarray(picture, np.float32),
    ],
)
def test_batches_are_the_samples_stacked(transform, digits):
    data = digits(transform=transform, target_transform=lambda k: 9 - k)
    ((x, t),) = DataLoader(data, COUNT)
    samples = [data[i] for i in range(COUNT)]
    np.testing.assert_array_equal(x.data, np.stack([np.asarray(image) for image, _ in samples]))
    assert t.tolist() == [label for _, label in samples] == (9 - LABELS.astype(int)).tolist()
    assert t.dtype == mg.int64


def test_the_numbers_are_those_of_the_formula(digits):
    x, t = next(iter(DataLoader(digits(transform=T.Compose(NORMAL)), 4)))
    wanted = (PIXELS[:4, None].astype(np.float32) / np.float32(255) - np.float32(0.5)) / 0.25
    assert x.dtype == mg.float32
    np.testing.assert_array_equal(x.data, wanted)
    assert t.tolist() == LABELS[:4].tolist()


def test_a_subclass_that_changes_the_samples(digits):
    class Numbered(datasets.KMNIST):
        def __getitem__(self, index):
            image, target = super().__getitem__(index)
            return image, target, index

    data = Numbered(digits().root, transform=T.ToTensor())
    ((x, _, index),) = DataLoader(data, COUNT)
    assert x.shape == (COUNT, 1, 28, 28) and index.tolist() == [*range(COUNT)]


def test_evaluated_as_it_is(digits):
    data = digits(transform=T.Compose([*NORMAL, T.Lambda(lambda x: x.flatten())]))
    model = mg.nn.Sequential(mg.nn.Linear(784, 10))
    batch = next(iter(DataLoader(data, COUNT)))
    assert mg.training.evaluate(model, data) == mg.training.evaluate(model, [batch])
    with pytest.raises(TypeError, match="DataLoader"):
        mg.fit(model, data, mg.nn.CrossEntropyLoss(), mg.optim.SGD(model.parameters()), 1)


def test_without_pillow_tensors_are_still_made(digits, monkeypatch):
    for name in ("PIL", "PIL.Image"):
        monkeypatch.setitem(sys.modules, name, None)
    assert digits(transform=T.Compose(NORMAL))[0][0].shape == (1, 28, 28)
    with pytest.raises(ImportError, match=r"micrograd_jp\[data\]"):
        digits()[0]


def test_what_is_no_number_of_a_sample(digits):
    data = digits()
    assert data[-1][1] == data[np.int64(5)][1] == LABELS[5]
    for key in (COUNT, -COUNT - 1):
        with pytest.raises(IndexError, match="invalid index"):
            data[key]
    for key in (slice(2), [0, 1], "a", 1.0, True):
        with pytest.raises(TypeError, match="expected an int"):
            data[key]
    with pytest.raises(TypeError, match="transform"):
        digits(transform=3)
    with pytest.raises(NotImplementedError, match="__len__"):
        datasets.VisionDataset()[0]
    assert [label for _, label in data] == LABELS.tolist()
