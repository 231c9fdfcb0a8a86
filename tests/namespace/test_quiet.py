"""NumPy の警告は演算の中でだけ止まり、利用者の設定は変わらない。"""

import contextvars

import numpy as np
import pytest

import micrograd_jp as mg
from micrograd_jp.namespace import quiet


def test_operations_are_silent_and_the_users_settings_stay():
    with np.errstate(all="raise"):
        before = np.geterr()
        x = mg.tensor([0.0, 1e38], requires_grad=True)
        (mg.log(x) * 1e38).sum().backward()
        assert np.geterr() == before
        with pytest.raises(FloatingPointError):
            np.log(np.zeros(1))
        with pytest.raises(ValueError, match="broadcast"):
            x + np.ones(3)
        assert np.geterr() == before


def test_the_settings_come_back_after_a_failed_backward():
    x = mg.tensor([1.0], requires_grad=True)
    y = x * 2.0
    y._xs = ()  # spoiled, so that the rule fails
    before = np.geterr()
    with pytest.raises(TypeError):
        y.backward()
    assert np.geterr() == before


def test_a_numpy_that_keeps_its_settings_elsewhere(monkeypatch):
    monkeypatch.setattr(quiet, "copy_context", contextvars.Context)  # nothing to be found
    silenced, restore = quiet._switches()
    before = np.geterr()
    old = silenced()
    assert set(np.geterr().values()) == {"ignore"}
    restore(old)
    assert np.geterr() == before
