"""makemore の講義 1〜5 にならったものが、import を替えるだけで動き、PyTorch と同じ数を出す。"""

import warnings

import numpy as np
import pytest
from classic_programs import alike, plain, run

import micrograd_jp as mg
from tests.reference import pytorch_answers

SHOWN = {
    "bigrams": ["counted", "losses", "names", "W"],
    "mlp": ["lossi", "splits", "parameters"],
    "batchnorm": ["lossi", "ud", "curves", "splits", "parameters"],
    "backprop": ["report", "losses", "parameters"],
    "wavenet": ["lossi", "splits", "parameters"],
}


@pytest.fixture(autouse=True)
def names(tmp_path, monkeypatch):
    """300 invented names with every letter: the programs read names.txt where they are run."""
    rng = np.random.default_rng(0)
    syllables = [c + v for c in "bcdfghjklmnpqrstvwxyz" for v in "aeiou"]
    words = ["".join(rng.choice(syllables, n)) for n in rng.integers(1, 4, 300)]
    (tmp_path / "names.txt").write_text("\n".join(words))
    monkeypatch.chdir(tmp_path)


def outcome(name, **options):
    """The numbers it ends with; what it printed shows the last digits of a CPU, and signs of 0."""
    with warnings.catch_warnings():
        # `"%f" % t` of a t with a graph; a file that the lecture leaves open; matplotlib on PyTorch
        for kind in (UserWarning, ResourceWarning, DeprecationWarning):
            warnings.simplefilter("ignore", kind)
        scope, _ = run(f"makemore_{name}", numbers=1, double=True, **options)
    return {key: plain(scope[key]) for key in SHOWN[name]}


@pytorch_answers
def of_pytorch(torch, name):
    return outcome(name, library=torch)


@pytest.mark.parametrize("name", SHOWN)
def test_the_numbers_are_pytorchs(name):
    compared(name)


@pytest.mark.control
def test_a_variance_that_divides_by_n_would_be_noticed(monkeypatch):
    old = mg.Tensor.var
    wrong = lambda x, axis=None, keepdim=False, unbiased=True: old(x, axis, 0, keepdim)
    monkeypatch.setattr(mg.Tensor, "var", wrong)
    with pytest.raises(AssertionError):
        compared("wavenet")


def compared(name):
    pytest.importorskip("matplotlib", reason="matplotlib がない")
    ours, theirs = outcome(name), of_pytorch(name)
    for key in SHOWN[name]:
        alike(ours[key], theirs[key], key)
