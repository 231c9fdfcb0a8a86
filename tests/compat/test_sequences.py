"""系列を扱うプログラム: import を替えるだけで動き、PyTorch と同じ数を出す。"""

import pytest
from classic_programs import alike, shown

import micrograd_jp as mg
from tests.reference import pytorch_answers

SHOWN = {
    "names": ["losses", "confusion", "parameters"],
    "generation": ["losses", "written", "parameters"],
    "sine": ["losses", "pred", "parameters"],
    "packed": ["losses", "parameters"],
    "seq2seq": ["losses", "decoded", "attentions", "parameters"],
    "transformer": ["losses", "tokens", "predicted", "parameters"],
    "gpt": ["losses", "written", "fused", "parameters"],
}


def outcome(name, **options):
    return shown(f"sequence_{name}", SHOWN[name], **options)


@pytorch_answers
def of_pytorch(torch, name):
    return outcome(name, library=torch)


@pytest.mark.parametrize("name", SHOWN)
def test_the_numbers_are_pytorchs(name):
    (ours, printed), (theirs, wanted) = outcome(name), of_pytorch(name)
    assert printed == wanted
    for key in SHOWN[name]:
        alike(ours[key], theirs[key], key)


@pytest.mark.control
def test_another_order_of_the_gates_would_be_noticed(monkeypatch):
    begin = mg.nn.GRU._begin
    monkeypatch.setattr(mg.nn.GRU, "_begin", lambda *given: [-h for h in begin(*given)])
    (ours, _), (theirs, _) = outcome("seq2seq"), of_pytorch("seq2seq")
    with pytest.raises(AssertionError):
        alike(ours["losses"], theirs["losses"], "losses")
