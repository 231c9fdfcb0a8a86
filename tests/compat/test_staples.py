"""よく書かれるプログラム、強化学習、2018 年の書き方: import を替えるだけで同じ数になる。"""

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
    "staple_fourier": [
        "peaks", "power", "smooth", "amplitude", "again", "mixed", "mixed_grad", "losses",
        "weights", "norms",
    ],
    "staple_style": ["scores", "output"],
    "rl_dqn": ["losses", "episode_durations", "parameters"],
    "rl_reinforce": ["losses", "lengths", "surrogates", "parameters"],
    "contrastive_simclr": ["losses", "top", "pairs", "parameters", "running"],
    "old_2018": [
        "first", "second", "losses", "class_correct", "after", "parameters", "written",
        "statistics", "requires",
    ],
}  # fmt: skip


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


@pytest.mark.control
def test_a_baseline_that_keeps_its_graph_would_be_noticed(monkeypatch):
    monkeypatch.setattr(mg.distributions.Categorical, "entropy", lambda p: p.probs.sum(-1))
    (ours, _), (theirs, _) = (f("rl_reinforce") for f in (lambda n: shown(n, SHOWN[n]), of_pytorch))
    with pytest.raises(AssertionError):
        alike(ours["losses"], theirs["losses"], "losses")
