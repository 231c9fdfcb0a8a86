"""torchvision を使うプログラムが、import の行を替えるだけで、PyTorch と同じ数になる。"""

import contextlib
import tempfile
from pathlib import Path

import numpy as np
import pytest
from classic_programs import alike, plain, run, source
from vision import vision, write_digits, write_pictures

import micrograd_jp as mg
from tests.reference import pytorch_answers

RESULTS = {
    "vision_datasets": ["results", "names"],
    "transfer_learning": ["history", "first_picture", "guess", "scores", "class_names"],
}


def in_order(name):
    """The program without random numbers."""
    text = source(name).replace("RandomResizedCrop(16)", "Resize((16, 16))")
    text = text.replace("        transforms.RandomHorizontalFlip(),\n", "")
    return text.replace("shuffle=True, num_workers=1", "shuffle=False")


def outcome(library, name, patch):
    patch.setattr("classic_programs.source", in_order)
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder), vision(library):
        write_digits(Path("data"))
        write_pictures(Path())
        scope, printed = run(name, library, numbers=3, double=True)
        return {key: numbers(scope[key]) for key in RESULTS[name]}, printed


def numbers(x):
    return x.tolist() if isinstance(x, np.ndarray) else plain(x)


@pytorch_answers
def of_pytorch(torch, name):
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with pytest.MonkeyPatch.context() as patch:
            return outcome(torch, name, patch)
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize("name", RESULTS)
def test_the_numbers_are_pytorchs(name, monkeypatch):
    (ours, printed), (theirs, said) = outcome(mg, name, monkeypatch), of_pytorch(name)
    for key in RESULTS[name]:
        alike([ours[key]], [theirs[key]], key)
    assert printed.split() == said.split()


@pytest.mark.slow
def test_fine_tuning_with_random_pictures(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_pictures(tmp_path)
    mg.manual_seed(0)
    scope, printed = run("transfer_learning")
    assert "['ants', 'bees'] {'train': 32, 'val': 16}" in printed
    assert scope["history"][7][1] > 0.9 and scope["history"][15][1] > 0.8
    assert scope["guess"] == "ants"
