"""torchvision の代わりに立つものと、プログラムの読む小さなデータ。

`standing_in(torch)` は、torchvision の公開されている約束を PyTorch、NumPy と Pillow で書いたもの。
プログラムをそのまま PyTorch で動かすときに使う（torchvision はテストの依存でない）。
"""

import contextlib
import os
import string
import struct
import sys
import types
from pathlib import Path
from unittest import mock

import numpy as np
import pytest

from micrograd_jp.data import datasets

LABELS = {"MNIST": 10, "FashionMNIST": 10, "KMNIST": 10, "EMNIST": 27}
FASHION = [
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag",
    "Ankle boot",
]  # fmt: skip


# ---- データ --------------------------------------------------------------------------------------


def write_idx(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    head = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
    path.write_bytes(head + array.tobytes())


def noisy(labels, shape, seed):
    """Prototypes of the classes with noise, as bytes."""
    rng = np.random.default_rng(seed)
    prototypes = rng.random((27, *shape)) * 200
    return (prototypes[labels] + rng.random((len(labels), *shape)) * 55).astype(np.uint8)


def write_digits(folder, counts=(120, 30)):
    """The files of MNIST and its relatives, small, where torchvision keeps them."""
    for seed, (name, classes) in enumerate(LABELS.items()):
        for part, count in zip(("train", "t10k"), counts):
            start = part
            if name == "EMNIST":
                start = f"emnist-letters-{part.replace('t10k', 'test')}"
            labels = (np.arange(count) * 7 % (classes - (name == "EMNIST"))).astype(np.uint8)
            labels += name == "EMNIST"
            raw = folder / name / "raw"
            write_idx(raw / f"{start}-images-idx3-ubyte", noisy(labels, (28, 28), seed))
            write_idx(raw / f"{start}-labels-idx1-ubyte", labels)


def write_pictures(folder):
    """Stripes in four directions; and of two colours, with some noise."""
    image = pytest.importorskip("PIL.Image", reason="Pillow")
    rng = np.random.default_rng(0)
    y, x = np.indices((20, 24))
    kinds = {
        "shapes/down": (x, 0), "shapes/across": (y, 0), "shapes/slope": (x + y, 0),
        "shapes/rise": (x - y, 0), "insects/{}/ants": (x, 1), "insects/{}/bees": (x, 2),
    }  # fmt: skip
    for kind, (along, strong) in kinds.items():
        for part, count in (("train", 16), ("val", 8)):
            place = folder / kind.format(part)
            place.mkdir(parents=True, exist_ok=True)
            for k in range(count):
                wave = 0.5 + 0.4 * np.sin(along * 1.5 + k)[..., None] * np.ones(3)
                wave[..., strong] += 0.3 * (strong > 0)
                pixels = (wave + rng.normal(0, 0.1, wave.shape)).clip(0, 1) * 255
                image.fromarray(pixels.astype(np.uint8)).save(place / f"{part}{k:02}.png")


# ---- torchvision ---------------------------------------------------------------------------------


class Chain:
    def __init__(self, transforms):
        self.transforms = transforms

    def __call__(self, x):
        for f in self.transforms:
            x = f(x)
        return x

    def __repr__(self):
        return f"Compose({self.transforms})"


def named(name, f, shown=None):
    """A transform of the given name that is the function f."""
    return type(
        name, (), {"__call__": lambda self, x: f(x), "__repr__": lambda self: shown or f"{name}()"}
    )()


def standing_in(torch):
    def to_tensor(picture):
        pixels = np.asarray(picture)
        pixels = pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)
        return torch.tensor(pixels).to(torch.get_default_dtype()) / 255

    def normalize(mean, std):
        def f(x):
            m, s = (torch.tensor(v, dtype=x.dtype).reshape(-1, 1, 1) for v in (mean, std))
            return (x - m) / s

        return f

    def resize(size):
        def f(picture):
            w, h = picture.size
            if not isinstance(size, int):
                return picture.resize(size[::-1], 2)  # bilinear
            return picture.resize(
                (size, int(size * h / w)) if w <= h else (int(size * w / h), size), 2
            )

        return f

    def center_crop(size):
        def f(picture):
            left, top = (round((side - size) / 2) for side in picture.size)
            return picture.crop((left, top, left + size, top + size))

        return f

    class Dataset:
        def __init__(self, root, transform=None, target_transform=None):
            self.root, self.transform, self.target_transform = root, transform, target_transform

        def __len__(self):
            return len(self.targets)

        def __getitem__(self, i):
            x, t = self.picture(i), int(self.targets[i])
            x = x if self.transform is None else self.transform(x)
            return x, t if self.target_transform is None else self.target_transform(t)

    class MNIST(Dataset):
        classes = None

        def __init__(self, root, train=True, transform=None, target_transform=None, download=False,
                     split=None):  # fmt: skip
            super().__init__(root, transform, target_transform)
            self.train = train
            part = "train" if train else "t10k"
            if split is not None:
                part = f"emnist-{split}-{'train' if train else 'test'}"
            raw = Path(root) / type(self).__name__ / "raw"
            images = np.fromfile(raw / f"{part}-images-idx3-ubyte", np.uint8)[16:]
            self.data = torch.tensor(images.reshape(-1, 28, 28))
            labels = np.fromfile(raw / f"{part}-labels-idx1-ubyte", np.uint8)[8:]
            self.targets = torch.tensor(labels.astype(np.int64))

        def picture(self, i):
            return self.data[i].numpy()

        def __repr__(self):
            lines = [
                f"Dataset {type(self).__name__}",
                f"    Number of datapoints: {len(self)}",
                f"    Root location: {self.root}",
                f"    Split: {'Train' if self.train else 'Test'}",
                f"    Transform: {self.transform!r}",
            ]
            return "\n".join(lines)

    class ImageFolder(Dataset):
        def __init__(self, root, transform=None):
            super().__init__(root, transform)
            self.classes = sorted(entry.name for entry in os.scandir(root) if entry.is_dir())
            self.imgs = [
                (os.path.join(root, name, file), k)
                for k, name in enumerate(self.classes)
                for file in sorted(os.listdir(os.path.join(root, name)))
            ]
            self.targets = [k for _, k in self.imgs]

        def picture(self, i):
            from PIL import Image

            return Image.open(self.imgs[i][0]).convert("RGB")

    relatives = {
        name: type(name, (MNIST,), {"classes": classes})
        for name, classes in (
            ("FashionMNIST", FASHION), ("KMNIST", None),
            ("EMNIST", ["N/A", *string.ascii_lowercase]),
        )
    }  # fmt: skip
    transforms = types.SimpleNamespace(
        Compose=Chain,
        ToTensor=lambda: named("ToTensor", to_tensor),
        Normalize=lambda mean, std: named(
            "Normalize", normalize(mean, std), f"Normalize(mean={mean}, std={std})"
        ),
        Lambda=lambda f: named("Lambda", f),
        Resize=lambda size: named("Resize", resize(size)),
        CenterCrop=lambda size: named("CenterCrop", center_crop(size)),
    )
    found = {"torchvision": types.ModuleType("torchvision")}
    kinds = {
        "datasets": {"MNIST": MNIST, "ImageFolder": ImageFolder, **relatives},
        "transforms": vars(transforms),
    }
    for name, content in kinds.items():
        module = types.ModuleType(f"torchvision.{name}")
        vars(module).update(content)
        setattr(found["torchvision"], name, module)
        found[module.__name__] = module
    return found


@contextlib.contextmanager
def vision(library):
    """PyTorch finds a torchvision; ours takes the small files, whose checksums nobody published."""
    with contextlib.ExitStack() as stack:
        if library.__name__ == "torch":
            for name, module in standing_in(library).items():  # and what else is loaded stays
                sys.modules[name] = module
                stack.callback(sys.modules.pop, name)
        else:
            for name in LABELS:
                cls = getattr(datasets, name)
                files = {
                    part: tuple(file._replace(md5=None, packed_md5=None) for file in both)
                    for part, both in cls._files.files.items()
                }
                stack.enter_context(
                    mock.patch.object(cls, "_files", cls._files._replace(files=files))
                )
        yield
