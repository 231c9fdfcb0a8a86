"""乱数の種と状態: プロセスが違っても同じ列、取り出した状態から同じ続き。"""

import random
import subprocess
import sys

import numpy as np
import pytest

import micrograd_jp as mg
from micrograd_jp import nn
from micrograd_jp.tensor.generator import own_generator

DRAW = """
import micrograd_jp as mg
from micrograd_jp import nn
mg.manual_seed(7)
print(mg.randn(3).tolist(), [p.data for p in nn.Neuron(2).parameters()], mg.randperm(5).tolist())
"""


def draws():
    return (
        mg.randn(3).tolist(), mg.rand(2, dtype=mg.float64).tolist(), mg.randperm(5).tolist(),
        random.random(), random.gauss(0, 1), [p.data for p in nn.Neuron(2).parameters()],
    )  # fmt: skip


def test_two_processes_draw_the_same():
    run = [subprocess.run([sys.executable, "-c", DRAW], capture_output=True, text=True, check=True)
           for _ in range(2)]  # fmt: skip
    mg.manual_seed(7)
    here = f"{mg.randn(3).tolist()} {[p.data for p in nn.Neuron(2).parameters()]} "
    assert run[0].stdout == run[1].stdout == f"{here}{mg.randperm(5).tolist()}\n"


def test_different_seeds_differ():
    mg.manual_seed(1)
    first = draws()
    mg.manual_seed(2)
    assert all(a != b for a, b in zip(first, draws()))
    mg.manual_seed(np.int64(1))
    assert draws() == first


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_the_state_goes_on_also_through_a_file(suffix, tmp_path):
    mg.manual_seed(3)
    draws()
    random.gauss(0, 1)  # leaves one number in reserve
    mg.rand(1)  # leaves half a number in reserve
    mg.save(mg.get_rng_state(), tmp_path / f"rng{suffix}")
    expected = draws()
    mg.manual_seed(4)
    mg.set_rng_state(mg.load(tmp_path / f"rng{suffix}"))
    assert draws() == expected


@pytest.mark.parametrize(
    "change",
    [
        lambda s: s.pop("numpy"),
        lambda s: s.pop("python"),
        lambda s: s.update(python=(3, (1, 2), None)),
        lambda s: s.update(python="x"),
        lambda s: s.update(numpy={"bit_generator": "MT19937"}),
        lambda s: s.update(numpy=3),
    ],
)
def test_what_is_no_state_changes_nothing(change):
    state = mg.get_rng_state()
    broken = dict(state)
    change(broken)
    with pytest.raises(ValueError, match="not a random state"):
        mg.set_rng_state(broken)
    assert mg.get_rng_state() == state


@pytest.mark.parametrize(("seed", "error"), [(-1, ValueError), (1.5, TypeError), ("1", TypeError)])
def test_bad_seeds(seed, error):
    before = mg.get_rng_state()
    with pytest.raises(error, match="seed"):
        mg.manual_seed(seed)
    assert mg.get_rng_state() == before


def test_a_copy_of_the_generator_draws_the_same_and_leaves_the_stream_alone():
    mg.manual_seed(7)
    with own_generator():
        copied = mg.rand(3).tolist() + mg.randperm(5).tolist()
    assert mg.rand(3).tolist() + mg.randperm(5).tolist() == copied
