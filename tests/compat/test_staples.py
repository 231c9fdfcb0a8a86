"""よく書かれるプログラム: import を替えるだけで動き、PyTorch と同じ数を出す。"""

import pytest
from classic_programs import alike, shown

import micrograd_jp as mg
from tests.reference import pytorch_answers

SHOWN = {
    "staple_rosenbrock": ["found", "newton", "Z", "lowest"],
    "staple_pinn": ["losses", "mus", "history", "middle", "parameters"],
    "staple_neural_ode": ["losses", "average", "pred_y", "parameters"],
    "staple_factorization": ["losses", "scores", "recommended", "nearest", "parameters"],
    "staple_autoencoder": ["losses", "pictures", "codes", "lengths"],
    "staple_vae": ["losses", "comparison", "sample", "faded", "lengths"],
    "staple_dcgan": ["G_losses", "D_losses", "W_losses", "last", "lengths"],
    "staple_style": ["scores", "output"],
}


@pytorch_answers
def of_pytorch(torch, name):
    return shown(name, SHOWN[name], library=torch)


@pytest.mark.parametrize("name", SHOWN)
def test_the_numbers_are_pytorchs(name):
    (ours, printed), (theirs, wanted) = shown(name, SHOWN[name]), of_pytorch(name)
    assert printed == wanted
    for key in SHOWN[name]:
        alike(ours[key], theirs[key], key)


@pytest.mark.control
def test_a_derivative_that_is_a_constant_would_be_noticed(monkeypatch):
    """Of a loss of second derivatives."""
    grad = mg.autograd.grad

    def detached(*args, **options):
        return tuple(g.detach() * 0.1 + g * 0.9 for g in grad(*args, **options))

    monkeypatch.setattr(mg.autograd, "grad", detached)
    name = "staple_pinn"
    (ours, _), (theirs, _) = shown(name, SHOWN[name]), of_pytorch(name)
    with pytest.raises(AssertionError):
        alike(ours["losses"], theirs["losses"], "losses")
