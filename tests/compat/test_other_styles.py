"""強化学習、対照学習、2018 年の書き方: import を替えるだけで動き、PyTorch と同じ数を出す。"""

import pytest
from classic_programs import alike, shown

import micrograd_jp as mg
from tests.reference import pytorch_answers

SHOWN = {
    "rl_dqn": ["losses", "episode_durations", "parameters"],
    "rl_reinforce": ["losses", "lengths", "surrogates", "parameters"],
    "contrastive_simclr": ["losses", "top", "pairs", "parameters", "running"],
    "old_2018": ["first", "second", "losses", "class_correct", "after", "parameters"],
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
def test_a_baseline_that_keeps_its_graph_would_be_noticed(monkeypatch):
    monkeypatch.setattr(mg.distributions.Categorical, "entropy", lambda p: p.probs.sum(-1))
    (ours, _), (theirs, _) = (f("rl_reinforce") for f in (lambda n: shown(n, SHOWN[n]), of_pytorch))
    with pytest.raises(AssertionError):
        alike(ours["losses"], theirs["losses"], "losses")
