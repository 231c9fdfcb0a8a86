"""DataLoader: 順序、途中からの再開、先読み、変換。"""

import gc
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import micrograd_jp as mg
from micrograd_jp.data import DataLoader, TensorDataset
from micrograd_jp.data import prefetch as ahead
from micrograd_jp.tensor.generator import generator


def numbers(n=10):
    return TensorDataset(np.arange(n), np.arange(n) * 10)


def seen(batches):
    return [x.tolist() for x, _ in batches]


class OneByOne:
    """Only `__getitem__(int)`: the samples of `numbers`, stacked by the loader."""

    def __init__(self, n):
        self.n = n

    def __len__(self):
        return self.n

    def __getitem__(self, i):
        if not isinstance(i, int):
            raise TypeError("one at a time")
        return i, i * 10


@given(
    st.integers(0, 20), st.integers(1, 7), st.booleans(), st.booleans(), st.sampled_from([0, 1, 3])
)
def test_an_epoch_shows_every_sample_once(n, size, shuffle, drop_last, prefetch):
    loader = DataLoader(numbers(n), size, shuffle, seed=0, drop_last=drop_last, prefetch=prefetch)
    batches = list(loader)
    assert len(batches) == len(loader)
    lengths = [len(x) for x, _ in batches]
    rest = [] if drop_last or n % size == 0 else [n % size]
    assert lengths == [size] * (n // size) + rest
    everything = [i for batch in seen(batches) for i in batch]
    assert len(set(everything)) == len(everything) == sum(lengths)
    for x, t in batches:
        assert t.tolist() == [10 * i for i in x.tolist()]
    if not shuffle:
        assert everything == list(range(len(everything)))


@given(st.integers(1, 20), st.integers(1, 7), st.integers(0, 3))
def test_a_dataset_of_single_samples_gives_the_same_batches(n, size, prefetch):
    whole = DataLoader(numbers(n), size, shuffle=True, seed=3)
    single = DataLoader(OneByOne(n), size, shuffle=True, seed=3, prefetch=prefetch)
    assert seen(whole) == seen(single)


def test_the_order_changes_every_epoch_and_comes_from_the_seed():
    first, second = (DataLoader(numbers(50), 8, shuffle=True, seed=1) for _ in range(2))
    epochs = [seen(first) for _ in range(3)]
    assert epochs[0] != epochs[1] != epochs[2] != epochs[0]
    assert [seen(second) for _ in range(3)] == epochs
    assert seen(DataLoader(numbers(50), 8, shuffle=True, seed=2)) != epochs[0]


def test_without_a_seed_the_order_comes_from_manual_seed():
    def epochs():
        mg.manual_seed(5)
        loader = DataLoader(numbers(50), 8, shuffle=True)
        return [seen(loader) for _ in range(2)]

    first = epochs()
    assert first == epochs() and first[0] != first[1]


def test_the_order_is_the_same_in_another_process():
    program = (
        "import numpy as np\n"
        "from micrograd_jp.data import DataLoader, TensorDataset\n"
        "loader = DataLoader(TensorDataset(np.arange(20)), 7, shuffle=True, seed=4)\n"
        "print([[x.tolist() for (x,) in loader] for _ in range(2)])"
    )
    elsewhere = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout
    loader = DataLoader(TensorDataset(np.arange(20)), 7, shuffle=True, seed=4)
    assert elsewhere.strip() == str([[x.tolist() for (x,) in loader] for _ in range(2)])


@pytest.mark.parametrize("shuffle", [False, True])
def test_a_batch_does_not_share_memory_with_the_data(shuffle):
    array = np.arange(10)
    for (x,) in DataLoader(TensorDataset(array), 4, shuffle, seed=0):
        x.data[...] = -1
    assert array.tolist() == list(range(10))


# ---- 途中からの再開 ---------------------------------------------------------------------------


@given(
    st.integers(1, 20),
    st.integers(1, 6),
    st.integers(0, 30),
    st.sampled_from([None, 7]),
    st.sampled_from([0, 2]),
)
def test_an_interrupted_epoch_goes_on_with_the_same_batch(n, size, stop, seed, prefetch):
    def loader():
        return DataLoader(numbers(n), size, shuffle=True, seed=seed, prefetch=prefetch)

    def endless(loader):
        while True:
            yield from loader

    mg.manual_seed(0)
    whole, reached = loader(), []
    running = endless(whole)
    for _ in range(stop):
        reached.append(next(running)[0].tolist())
    state = whole.state_dict()
    # What fit saves beside it. Without a seed the next epochs are drawn from it.
    random_state = generator().bit_generator.state
    rest = [next(running)[0].tolist() for _ in range(12)]

    mg.manual_seed(99)
    again = loader()
    again.load_state_dict(state)
    generator().bit_generator.state = random_state
    continued = endless(again)
    assert [next(continued)[0].tolist() for _ in range(12)] == rest


def test_after_the_last_batch_nothing_is_left_of_the_epoch():
    loader = DataLoader(numbers(6), 3, shuffle=True, seed=0)
    running = iter(loader)
    next(running), next(running)
    again = DataLoader(numbers(6), 3, shuffle=True, seed=0)
    again.load_state_dict(loader.state_dict())
    assert seen(again) == []
    assert list(running) == []
    assert seen(again) == seen(loader)  # both now begin the second epoch


def test_an_abandoned_epoch_is_not_resumed_by_itself():
    loader = DataLoader(numbers(6), 2)
    next(iter(loader))
    assert seen(loader) == [[0, 1], [2, 3], [4, 5]]


def test_an_iterator_that_is_never_asked_begins_no_epoch():
    loader, other = (DataLoader(numbers(), 2, shuffle=True, seed=0) for _ in range(2))
    iter(loader)
    assert seen(loader) == seen(other)


def test_two_loops_at_once_are_two_epochs():
    loader, other = (DataLoader(numbers(), 2, shuffle=True, seed=0) for _ in range(2))
    first, second = zip(*((x.tolist(), y.tolist()) for (x, _), (y, _) in zip(loader, loader)))
    assert [list(first), list(second)] == [seen(other), seen(other)]


def test_an_older_iterator_does_not_move_the_position():
    loader = DataLoader(numbers(6), 2, shuffle=True, seed=0)
    old = iter(loader)
    next(old)
    new = iter(loader)
    next(new)
    state = loader.state_dict()
    list(old)
    assert loader.state_dict() == state


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"batch_size": 4}, ValueError),
        ({"length": 7}, ValueError),
        ({"seed": 1}, ValueError),
        ({"shuffle": False}, ValueError),
        ({"batch": 4}, ValueError),
        ({"batch": -1}, ValueError),
        ({"epoch": "1"}, TypeError),
        ({"key": 1.5}, TypeError),
        ({"epoch": None}, TypeError),
    ],
)
def test_a_state_that_does_not_fit_changes_nothing(change, error):
    loader = DataLoader(numbers(6), 2, shuffle=True, seed=0)
    next(iter(loader))
    before = loader.state_dict()
    with pytest.raises(error):
        loader.load_state_dict({**before, **change})
    for name in before:
        with pytest.raises(KeyError, match=name):
            loader.load_state_dict({k: v for k, v in before.items() if k != name})
    assert loader.state_dict() == before


# ---- 先読み ----------------------------------------------------------------------------------


def workers():
    return [t for t in threading.enumerate() if t.name == "micrograd_jp-prefetch"]


@pytest.mark.parametrize(
    ("making", "using", "threads"),
    [(1e-5, 1.0, 0), (1.0, 1e-5, 0), (1e-5, 1e-5, 0), (1e-3, 1e-3, 1), (1.0, 1e-3, 1)],
)
def test_a_thread_is_used_only_where_it_hides_something(monkeypatch, making, using, threads):
    now = [0.0]

    def make(job):
        now[0] += making * (10 if job == 0 else 1)  # the first takes longer, as it does
        return job * job

    monkeypatch.setattr(ahead, "WORTH", 2e-4)  # the tests begin a thread at once (conftest.py)
    monkeypatch.setattr(ahead, "_clock", lambda: now[0])
    seen = []
    for x in ahead.prefetched(make, range(9), 2):
        now[0] += using
        seen.append((x, len(workers())))
    assert [x for x, _ in seen] == [i * i for i in range(9)]
    assert [n for _, n in seen[:3]] == [0, 0, 0]
    # What is left to make after the fourth: the thread, if there is one, may have ended later.
    assert seen[3][1] == threads and max(n for _, n in seen) == threads


def test_prefetching_stops_when_the_loop_is_left():
    loader = DataLoader(numbers(1000), 1, prefetch=4)
    for x, _ in loader:
        if x.item() == 3:
            assert workers()
            break
    gc.collect()
    assert not workers()


def test_prefetching_stops_when_the_loop_raises():
    with pytest.raises(ZeroDivisionError):
        for _ in DataLoader(numbers(1000), 1, prefetch=4):
            raise ZeroDivisionError
    gc.collect()
    assert not workers()


def test_prefetching_looks_ahead_and_no_farther():
    made = []

    def note(x, t):
        made.append(x.item())
        return x, t

    running = iter(DataLoader(numbers(100), 1, prefetch=3, transform=note))
    next(running)
    deadline = time.monotonic() + 10
    while len(made) < 4 and time.monotonic() < deadline:
        time.sleep(0.001)
    time.sleep(0.02)  # it has the time to run too far
    assert made == [0, 1, 2, 3]


@pytest.mark.parametrize("prefetch", [0, 2])
def test_an_error_in_the_data_arrives_where_the_batch_is_asked_for(prefetch):
    def refuse(x, t):
        if x.tolist() == [4, 5]:
            raise ZeroDivisionError("made up")
        return x, t

    got = []
    with pytest.raises(ZeroDivisionError, match="made up"):
        for x, _ in DataLoader(numbers(), 2, prefetch=prefetch, transform=refuse):
            got.append(x.tolist())
    assert got == [[0, 1], [2, 3]]
    assert not workers()


_LIVE = """
import numpy as np
from micrograd_jp.data import DataLoader, TensorDataset, prefetch
prefetch.WORTH = 0
loader = DataLoader(TensorDataset(np.arange(99)), 1, prefetch=2)
"""


@pytest.mark.parametrize(
    "keep", ["running = iter(loader)", "running = zip(loader, loader)", "running = [iter(loader)]"]
)
def test_a_process_ends_while_batches_are_being_made(keep):
    """From Python 3.13 on (.ci/run tests with it, too), a daemon thread that somebody waits for at
    exit never ends.
    """
    ask = "running[0]" if "[" in keep else "running"
    done = subprocess.run(
        [sys.executable, "-c", f"{_LIVE}{keep}\nnext({ask})\nprint('end')"],
        capture_output=True, text=True, timeout=60,
        env={**os.environ, "PYTHONPATH": str(Path(mg.__file__).parents[1])},
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "end\n", "")


@pytest.mark.parametrize("prefetch", [0, 2])
def test_stop_iteration_in_the_data_does_not_shorten_the_epoch(prefetch):
    noise = iter([1, 2])
    loader = DataLoader(
        numbers(), 2, prefetch=prefetch, transform=lambda x, t: (x + next(noise), t)
    )
    got = []
    with pytest.raises(RuntimeError, match="StopIteration in the dataset") as caught:
        for x, _ in loader:
            got.append(x.tolist())
    assert got == [[1, 2], [4, 5]] and isinstance(caught.value.__cause__, StopIteration)

    class Short(OneByOne):
        def __getitem__(self, i):
            return super().__getitem__(i) if i < 4 else next(iter(()))

    with pytest.raises(RuntimeError, match="StopIteration in the dataset"):
        list(DataLoader(Short(10), 2, prefetch=prefetch))


# ---- 変換 ------------------------------------------------------------------------------------


def test_a_transform_sees_and_makes_whole_batches():
    loader = DataLoader(numbers(4), 2, transform=lambda x, t: (x * 2.0, t))
    assert [x.tolist() for x, _ in loader] == [[0.0, 2.0], [4.0, 6.0]]


def test_random_transforms_are_the_same_with_prefetching_and_after_resuming():
    def noisy(x, t, generator):
        return x + generator.random(len(x)), t

    def loader(prefetch=0):
        return DataLoader(numbers(), 3, True, seed=0, transform=noisy, prefetch=prefetch)

    plain = loader()
    epochs = [seen(plain) for _ in range(2)]
    ahead = loader(prefetch=2)
    assert [seen(ahead) for _ in range(2)] == epochs
    noise = [x % 1 for epoch in epochs for batch in epoch for x in batch]
    assert len(set(np.round(noise, 6))) == len(noise)  # every batch and epoch has its own
    broken = loader()
    running = iter(broken)
    next(running)
    again = loader()
    again.load_state_dict(broken.state_dict())
    assert seen(again) == epochs[0][1:]


# ---- 引数 ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"batch_size": 0}, ValueError),
        ({"batch_size": 2.0}, TypeError),
        ({"batch_size": True}, TypeError),
        ({"prefetch": -1}, ValueError),
        ({"seed": -1}, ValueError),
        ({"seed": "a"}, TypeError),
    ],
)
def test_wrong_options(options, error):
    with pytest.raises(error):
        DataLoader(numbers(), **options)


def test_what_is_no_dataset():
    with pytest.raises(TypeError, match="TensorDataset"):
        DataLoader(iter([1, 2]))


def test_samples_that_are_not_tuples_give_single_tensors():
    batches = list(DataLoader([1.0, 2.0, 3.0], 2))
    assert [b.tolist() for b in batches] == [[1.0, 2.0], [3.0]]


def test_repr():
    assert repr(DataLoader(numbers(), 4, True, seed=1)) == (
        "DataLoader(TensorDataset(10 個: int64[], int64[]), batch_size=4, shuffle=True, seed=1)"
    )
