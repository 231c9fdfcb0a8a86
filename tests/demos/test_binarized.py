"""2 値化ネットワークのデモ: 図と、詰めたものが同じであること、設定。"""

import binarized as demo
import numpy as np
import pytest

from micrograd_jp import nn


def test_it_runs_and_the_packed_networks_are_the_same(run):
    pytest.importorskip("matplotlib", reason="extra の viz")
    pytest.importorskip("sklearn", reason="extra の data")
    written, printed = run(demo)
    assert written == ["binarized.png"]
    assert printed.count("出力は1 ビットも違わない") == 2


def test_the_networks_are_those_of_the_text():
    kinds = {recipe.name: recipe.model() for recipe in demo.RECIPES.values()}
    assert list(kinds) == list(demo.SMALL)
    signs = {
        name: {m.stochastic for m in kind.modules() if isinstance(m, nn.Binarize)}
        for name, kind in kinds.items()
    }
    assert signs == {
        "binarized_deterministic": {False},
        "binarized_stochastic": {True},
        "binarized_floats": set(),
        "binarized_convolutional": {False},
    }
    binary, floats = (
        kinds[f"binarized_{name}"].summary((1, 1, 28, 28)) for name in ("deterministic", "floats")
    )
    assert binary.multiply_adds == floats.multiply_adds == 784 * 1024 + 1024 * 1024 + 1024 * 10
    assert binary.binary == binary.multiply_adds
    assert floats.binary == 0


def test_a_shift_keeps_the_numbers_between_minus_one_and_one():
    x = np.linspace(-1, 1, 2 * 28 * 28, dtype=np.float32).reshape(2, 1, 28, 28)
    moved = demo.SHIFT(x, generator=0)
    assert moved.min() >= -1
    assert moved.max() <= 1
    assert not np.array_equal(moved, x)
