"""入門の講座にならったプログラムが、import の行を替えるだけで動き、PyTorch と同じ数になる。"""

import contextlib
import re
import sys
import tempfile
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from classic_programs import run
from vision import vision, write_digits

import micrograd_jp as mg
from tests.reference import pytorch_answers

SHOWN = {
    "polynomial_function": [],
    "classic_mnist": ["losses"],
    "learn_the_basics": ["history", "sizes", "first_guess", "epoch", "last"],
    "blitz": ["losses", "bias_grad", "correct_pred", "total_pred"],
}


def pictures(n, *shape):
    """Noisy prototypes of ten classes, and their numbers."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 10, n)
    prototypes = rng.random((10, *shape))
    return prototypes[labels] + rng.normal(0, 0.1, (n, *shape)), labels


def given(name):
    if name == "classic_mnist":
        return {}
    if name == "blitz":
        return dict(zip(["pictures", "labels"], pictures(40, 3, 12, 12)))
    x, t = pictures(150, 12, 12)
    return {"train_images": x[:120], "train_labels": t[:120],
            "test_images": x[120:], "test_labels": t[120:]}  # fmt: skip


def plain(x):
    return x.tolist() if hasattr(x, "tolist") else x


def outcome(L, name, folder):
    options = ["program", "--epochs", "2", "--batch-size", "40", "--log-interval", "1"]
    saving = mock.patch.object(sys, "argv", [*options, "--save-model"])
    with saving, contextlib.chdir(folder), vision(L):
        if name == "classic_mnist":
            write_digits(Path("data"))
        scope, printed = run(name, L, numbers=8, double=True, **given(name))
    return {key: plain(scope[key]) for key in SHOWN[name]}, printed


@pytorch_answers
def of_pytorch(torch, name):
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with tempfile.TemporaryDirectory() as folder:
            return outcome(torch, name, folder)
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize("name", SHOWN)
def test_the_numbers_are_pytorchs(name, tmp_path):
    ours, printed = outcome(mg, name, tmp_path)
    theirs, said = of_pytorch(name)
    for key in SHOWN[name]:
        if key in ("losses", "history", "last", "bias_grad"):
            np.testing.assert_allclose(ours[key], theirs[key], rtol=1e-9, err_msg=key)
        else:
            assert ours[key] == theirs[key]
    number = re.compile(r"-?\d+\.\d+(?:e-?\d+)?")
    assert number.sub("", printed).split() == number.sub("", said).split()
    ends = [[float(x) for x in number.findall(text)] for text in (printed, said)]
    np.testing.assert_allclose(*ends, rtol=1e-5, atol=1e-7)  # one program computes in float32


def test_what_the_classic_example_saves_is_read(tmp_path):
    outcome(mg, "classic_mnist", tmp_path)
    state = mg.load(tmp_path / "mnist_cnn.pt")
    assert list(state)[:2] == ["conv1.weight", "conv1.bias"]
