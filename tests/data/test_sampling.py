"""PyTorch の名前のデータの道具: 番号の列、組み合わせ、DataLoader の引数。"""

from collections import Counter, namedtuple

import numpy as np
import pytest

import micrograd_jp as mg
from micrograd_jp.utils import data as D
from tests.reference import pytorch_answers

DATA = D.TensorDataset(np.arange(10.0), np.arange(10) % 3)
Pair = namedtuple("Pair", "x name")


class Words(D.Dataset):
    def __init__(self, make):
        self.make = make

    def __len__(self):
        return 5

    def __getitem__(self, i):
        return self.make(i)


class Lines(D.IterableDataset):
    def __init__(self, n):
        self.n = n

    def __iter__(self):
        return iter(range(self.n))


SAMPLES = {
    "dict": lambda i: {"x": float(i), "name": f"n{i}", "in": {"y": [i, i + 1]}},
    "named": lambda i: Pair(float(i), "ab"[i % 2]),
    "nested": lambda i: ((i, "w"), float(i)),
    "words": lambda i: f"w{i}",
    "array": lambda i: (np.full(2, i), i),
}


def plain(x):
    if hasattr(x, "tolist"):
        return x.tolist()
    if isinstance(x, dict):
        return {k: plain(v) for k, v in x.items()}
    return [plain(y) for y in x] if isinstance(x, list | tuple) else x


def batches(L, name):
    data = L.utils.data
    methods = {"__len__": lambda self: 5, "__getitem__": lambda self, i: SAMPLES[name](i)}
    words = type("Data", (data.Dataset,), methods)()
    return [plain(b) for b in data.DataLoader(words, batch_size=2)]


@pytorch_answers
def batches_of_pytorch(torch, name):
    return batches(torch, name)


def transposed(x):
    """PyTorch makes columns of a list of numbers; a list of numbers is a row here."""
    if isinstance(x, dict) and "in" in x:
        return {**x, "in": {"y": np.transpose(x["in"]["y"]).tolist()}}
    return x


@pytest.mark.parametrize("name", SAMPLES)
def test_batches_of_any_samples_are_pytorchs(name):
    assert batches(mg, name) == [transposed(b) for b in batches_of_pytorch(name)]


def test_named_samples_keep_their_type():
    (batch, *_) = D.DataLoader(Words(SAMPLES["named"]), batch_size=5)
    assert type(batch) is Pair and batch.name == ["a", "b", "a", "b", "a"]


@pytest.mark.parametrize("workers", [0, 2])
def test_every_order_is_the_samplers(workers):
    def rows(**options):
        loader = D.DataLoader(DATA, num_workers=workers, **options)
        out = [b[0].tolist() for b in loader]
        assert len(out) == len(loader)
        return out

    assert rows(batch_size=4, sampler=[3, 1, 4, 1, 5]) == [[3, 1, 4, 1], [5]]
    assert rows(batch_size=4, sampler=[3, 1, 4, 1, 5], drop_last=True) == [[3, 1, 4, 1]]
    assert rows(batch_sampler=[[1, 2], [0]]) == [[1, 2], [0]]
    own = D.BatchSampler(D.SequentialSampler(DATA), 4, drop_last=False)
    assert rows(batch_sampler=own) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert [len(x) for x in rows(batch_size=4, shuffle=None)] == [4, 4, 2]


def test_random_samplers_keep_their_laws():
    g = lambda: mg.Generator().manual_seed(3)
    once = list(D.RandomSampler(DATA, generator=g()))
    assert sorted(once) == list(range(10)) and once == list(D.RandomSampler(DATA, generator=g()))
    assert len(list(D.RandomSampler(DATA, replacement=True, num_samples=25))) == 25
    assert set(Counter(D.RandomSampler(DATA, num_samples=20)).values()) == {2}
    assert sorted(D.SubsetRandomSampler([7, 2, 5])) == [2, 5, 7]
    drawn = Counter(D.WeightedRandomSampler([0, 1, 3], 4000, generator=g()))
    assert drawn[0] == 0 and 2.6 < drawn[2] / drawn[1] < 3.4
    assert sorted(D.WeightedRandomSampler([0, 1, 3, 1], 3, replacement=False)) == [1, 2, 3]


def test_datasets_are_joined():
    both = D.ConcatDataset([DATA, D.Subset(DATA, [5, 6])])
    assert len(both) == 12 and both.cumulative_sizes == [10, 12]
    assert [both[i][0].item() for i in (0, 9, 10, -1)] == [0, 9, 5, 6]
    assert [len(x) for x in D.random_split(both, [0.5, 0.5])] == [6, 6]
    side = D.StackDataset(a=DATA, b=list(range(10)))
    (batch, *_) = D.DataLoader(side, batch_size=3)
    assert batch["b"].tolist() == [0, 1, 2] and batch["a"][0].tolist() == [0, 1, 2]
    assert D.StackDataset([1, 2], "ab")[1] == (2, "b")


@pytest.mark.parametrize("workers", [0, 1])
def test_a_stream_comes_in_batches(workers):
    chain = Lines(3) + Lines(2)
    loader = D.DataLoader(chain, batch_size=2, num_workers=workers)
    assert [b.tolist() for b in loader] == [[0, 1], [2, 0], [1]]
    assert [b.tolist() for b in loader] == [[0, 1], [2, 0], [1]]
    with pytest.raises(TypeError, match="長さ"):
        len(loader)
    assert [b.tolist() for b in D.DataLoader(Lines(3), 2, drop_last=True)] == [[0, 1]]


def test_collate_fn_and_worker_init_fn():
    seen = []
    loader = D.DataLoader(
        Words(lambda i: [i] * (i + 1)), batch_size=2, collate_fn=lambda xs: [len(x) for x in xs],
        num_workers=1, worker_init_fn=seen.append, pin_memory=True, persistent_workers=True,
        timeout=3,
    )  # fmt: skip
    assert list(loader) == [[1, 2], [3, 4], [5]] and seen == [0]


@pytest.mark.parametrize(
    ("make", "kind", "words"),
    [
        (lambda: D.DataLoader(DATA, shuffle=True, sampler=[1]), ValueError, "shuffle"),
        (lambda: D.DataLoader(DATA, 4, batch_sampler=[[1]]), ValueError, "batch_size"),
        (lambda: D.DataLoader(Lines(2), shuffle=True), ValueError, "shuffle"),
        (lambda: list(D.DataLoader(DATA, sampler=[0.5])), TypeError, "sampler"),
        (lambda: D.DataLoader(DATA, collate_fn=1), TypeError, "collate_fn"),
        (lambda: D.DataLoader(DATA, num_workers=-1), ValueError, "num_workers"),
        (lambda: D.RandomSampler(DATA, num_samples=0), ValueError, "num_samples"),
        (lambda: D.WeightedRandomSampler([-1.0], 1), ValueError, "weights"),
        (lambda: D.WeightedRandomSampler([1.0], 2, replacement=False), ValueError, "多すぎ"),
        (lambda: D.BatchSampler([1], 0, False), ValueError, "batch_size"),
        (lambda: D.SubsetRandomSampler([0.5]), TypeError, "indices"),
        (lambda: D.ConcatDataset([]), ValueError, "no datasets"),
        (lambda: D.ConcatDataset([DATA, 3]), TypeError, "int"),
        (lambda: D.ConcatDataset([DATA])[10], IndexError, "10"),
        (lambda: D.ChainDataset([DATA]), TypeError, "ConcatDataset"),
        (lambda: D.StackDataset(DATA, [1]), ValueError, "長さ"),
        (lambda: D.StackDataset(), ValueError, "StackDataset"),
        (lambda: iter(D.Sampler()), NotImplementedError, "__iter__"),
        (lambda: iter(D.IterableDataset()), NotImplementedError, "__iter__"),
    ],
)  # fmt: skip
def test_refused(make, kind, words):
    with pytest.raises(kind, match=words):
        make()
