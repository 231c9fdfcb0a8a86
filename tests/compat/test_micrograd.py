"""micrograd のノートブックと、EurekaLabs の micrograd の書き方: import を替えるだけで同じ数。"""

import math

import micrograd
import micrograd.engine as original
import pytest
from classic_programs import alike, plain, run

import micrograd_jp as mg

SHOWN = {
    "micrograd_moons": ["operations", "history", "Z", "weights"],
    "micrograd_optimizers": ["histories", "predicted", "state"],
}
# What EurekaLabs' engine has besides: value and slope.
BESIDES = {
    "exp": (math.exp, lambda x, y: y),
    "log": (math.log, lambda x, y: 1 / x),
    "tanh": (math.tanh, lambda x, y: 1 - y * y),
}


def operation(name):
    forward, slope = BESIDES[name]

    def method(self):
        out = original.Value(forward(self.data), (self,), name)

        def _backward():
            self.grad += slope(self.data, out.data) * out.grad

        out._backward = _backward
        return out

    return method


@pytest.fixture
def more_of_micrograd(monkeypatch):
    for name in BESIDES:
        monkeypatch.setattr(original.Value, name, operation(name), raising=False)


@pytest.mark.parametrize("name", SHOWN)
def test_the_numbers_are_those_of_micrograd(name, more_of_micrograd):
    ours, printed = run(name)
    theirs, wanted = run(name, library=micrograd)
    assert printed == wanted
    for key in SHOWN[name]:
        alike(plain(ours[key]), plain(theirs[key]), key)


@pytest.mark.control
def test_a_moment_that_is_lost_would_be_noticed(more_of_micrograd, monkeypatch):
    monkeypatch.setattr(mg.Value, "__setattr__", lambda p, name, x: (
        object.__setattr__(p, name, 0.0 if name == "m" else x)))  # fmt: skip
    ours, theirs = run("micrograd_optimizers")[0], run("micrograd_optimizers", micrograd)[0]
    with pytest.raises(AssertionError):
        alike(plain(ours["state"]), plain(theirs["state"]), "state")
