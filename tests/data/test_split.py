"""random_split: 重なりなく、割合どおりに分ける。"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import micrograd_jp as mg
from micrograd_jp.data import TensorDataset, random_split


@given(
    st.integers(0, 200),
    st.lists(st.floats(0.01, 1), min_size=1, max_size=5),
    st.integers(0, 10),
    st.booleans(),
)
def test_the_parts_are_disjoint_and_complete(n, weights, seed, stratify):
    fractions = [w / sum(weights) for w in weights]
    labels = np.arange(n) % 3 if stratify else None
    dataset = TensorDataset(np.arange(n))
    parts = random_split(dataset, fractions, seed=seed, stratify=labels)
    together = np.concatenate([part.indices for part in parts])
    assert sorted(together) == list(range(n))
    for part, fraction in zip(parts, fractions, strict=True):
        assert abs(len(part) - n * fraction) <= len(fractions)
    again = random_split(dataset, fractions, seed=seed, stratify=labels)
    assert [p.indices.tolist() for p in again] == [p.indices.tolist() for p in parts]


@given(st.lists(st.integers(0, 4), min_size=1, max_size=200), st.integers(0, 5))
def test_stratified_parts_have_the_proportions_of_the_whole(labels, seed):
    labels = np.array(labels)
    parts = random_split(TensorDataset(labels), (0.5, 0.3, 0.2), seed=seed, stratify=labels)
    for part in parts:
        for label in set(labels.tolist()):
            expected = len(part) * np.mean(labels == label)
            # Each stretch of the interleaved order is off by less than one per class at each end.
            assert abs(np.sum(labels[part.indices] == label) - expected) < 1 + len(set(labels))


def test_a_plain_split_is_not_stratified():  # the negative control of the test above
    labels = np.repeat([0, 1], 500)
    counts = {
        int(labels[random_split(labels, (0.5, 0.5), seed=s)[0].indices].sum()) for s in range(9)
    }
    assert len(counts) > 1
    stratified = {
        int(labels[random_split(labels, (0.5, 0.5), seed=s, stratify=labels)[0].indices].sum())
        for s in range(9)
    }
    assert stratified == {250}


def test_lengths_as_integers_and_the_package_generator():
    dataset = TensorDataset(np.arange(10))
    assert [len(p) for p in random_split(dataset, (7, 2, 1))] == [7, 2, 1]
    mg.manual_seed(1)
    first = random_split(dataset, (0.5, 0.5))[0].indices.tolist()
    second = random_split(dataset, (0.5, 0.5))[0].indices.tolist()
    mg.manual_seed(1)
    assert random_split(dataset, (0.5, 0.5))[0].indices.tolist() == first != second
    assert [len(p) for p in random_split(TensorDataset([1]), (1,))] == [1]


@pytest.mark.parametrize(
    ("lengths", "term"),
    [
        ((0.8, 0.3), "sum"),
        ((5, 4), "sum"),
        ((1.5, -0.5), "non-negative"),
        ((float("nan"),), "non-negative"),
        ((), "non-negative"),
    ],
)
def test_wrong_lengths(lengths, term):
    with pytest.raises(ValueError, match=term):
        random_split(TensorDataset(np.arange(10)), lengths)


def test_wrong_labels():
    dataset = TensorDataset(np.arange(10))
    with pytest.raises(ValueError, match="length mismatch"):
        random_split(dataset, (0.5, 0.5), stratify=[0, 1])
    with pytest.raises(TypeError, match="integers"):
        random_split(dataset, (0.5, 0.5), stratify=np.zeros(10))
