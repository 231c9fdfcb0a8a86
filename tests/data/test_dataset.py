"""TensorDataset, Subset と、見本を積み重ねること。"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import micrograd_jp as mg
from micrograd_jp.data import Dataset, Subset, TensorDataset
from micrograd_jp.data.dataset import batch_of, stacked


class Squares:
    """A dataset as a learner writes it: numbers, one sample at a time."""

    def __init__(self, n):
        self.n = n

    def __len__(self):
        return self.n

    def __getitem__(self, i):
        return float(i), i * i


def arrays_of_equal_length():
    lengths = st.integers(1, 8)
    return lengths.flatmap(
        lambda n: st.lists(
            hnp.arrays(
                st.sampled_from([np.float32, np.float64, np.int64, np.uint8, np.bool_]),
                hnp.array_shapes(min_dims=0, max_dims=2).map(lambda s: (n, *s)),
            ),
            min_size=1,
            max_size=3,
        )
    )


@given(arrays_of_equal_length(), st.data())
def test_a_tensor_dataset_is_indexed_as_its_arrays_are(arrays, data):
    dataset = TensorDataset(*arrays)
    n = len(arrays[0])
    assert len(dataset) == n
    key = data.draw(
        st.one_of(
            st.integers(-n, n - 1),
            st.slices(n),
            st.lists(st.integers(-n, n - 1), min_size=1).map(np.array),
            hnp.arrays(np.bool_, n),
        )
    )
    for got, array in zip(dataset[key], arrays, strict=True):
        assert isinstance(got, mg.Tensor)
        np.testing.assert_array_equal(got.numpy(), array[key])
        assert got.dtype == array.dtype


def test_lists_tensors_and_labels_become_tensors():
    x = mg.tensor([[1.0], [2.0]], requires_grad=True)
    dataset = TensorDataset(x, [0, 1])
    got_x, got_t = dataset[mg.tensor([1, 0])]
    assert got_x.tolist() == [[2.0], [1.0]] and not got_x.requires_grad
    assert got_t.tolist() == [1, 0] and got_t.dtype == np.int64
    assert dataset[[1, 1]][1].tolist() == [1, 1] and len(dataset[[]][0]) == 0
    assert [t.item() for _, t in dataset] == [0, 1]
    assert repr(dataset) == "TensorDataset(2 個: float32[1], int64[])"


@pytest.mark.parametrize(
    ("arrays", "error", "term"),
    [
        ((), ValueError, "no arrays"),
        (([1.0, 2.0], [1.0]), ValueError, "length mismatch"),
        ((3.0,), ValueError, "0-d"),
        ((["a"],), TypeError, "real number"),
        ((np.array([None]),), TypeError, "real number"),
    ],
)
def test_what_is_no_dataset_is_refused(arrays, error, term):
    with pytest.raises(error, match=term):
        TensorDataset(*arrays)


@pytest.mark.parametrize("key", [5, -6, [0, 5], "a", (0, 0)])
def test_a_sample_that_is_not_there(key):
    dataset = TensorDataset(np.arange(5))
    for d in (dataset, Subset(dataset, range(5))):
        with pytest.raises(IndexError, match="invalid index"):
            d[key]


@given(st.lists(st.integers(0, 9), max_size=12), st.data())
def test_a_subset_shows_the_chosen_samples(indices, data):
    array = np.arange(30).reshape(10, 3)
    subset = Subset(TensorDataset(array), indices)
    assert len(subset) == len(indices)
    (everything,) = subset[:]
    np.testing.assert_array_equal(everything.numpy(), array[indices])
    for (row,), i in zip(subset, indices, strict=True):
        np.testing.assert_array_equal(row.numpy(), array[i])
    if indices:
        inner = data.draw(st.lists(st.integers(0, len(indices) - 1), min_size=1))
        (rows,) = Subset(subset, inner)[:]  # a subset of a subset
        np.testing.assert_array_equal(rows.numpy(), array[np.array(indices)[inner]])


@pytest.mark.parametrize(
    ("indices", "error"),
    [([10], IndexError), ([-1], IndexError), ([0.5], TypeError), (3, TypeError)],
)
def test_a_subset_of_what_is_not_there(indices, error):
    with pytest.raises(error):
        Subset(TensorDataset(np.arange(10)), indices)


def test_a_subset_of_a_written_dataset():
    subset = Subset(Squares(10), [3, 1, 4])
    assert subset[0] == (3.0, 9)
    x, t = subset[1:]
    assert x.tolist() == [1.0, 4.0] and t.tolist() == [1, 16]
    assert isinstance(subset, Dataset) and isinstance([1, 2], Dataset)
    assert not isinstance(iter([1]), Dataset)


def test_samples_are_stacked():
    x, t = stacked([(0.5, 1), (1.5, 2)])
    assert x.tolist() == [0.5, 1.5] and x.dtype == np.float32  # Python's floats, as mg.tensor
    assert t.tolist() == [1, 2] and t.dtype == np.int64
    single = stacked([np.zeros(3), mg.ones(3, dtype=mg.float64)])
    assert single.shape == (2, 3) and single.dtype == np.float64


@pytest.mark.parametrize(
    ("samples", "error", "term"),
    [
        ([], ValueError, "empty"),
        ([np.zeros(2), np.zeros(3)], ValueError, "shape mismatch"),
        ([(1, 2), (1,)], ValueError, "ragged"),
        ([object(), object()], TypeError, "numbers"),
    ],
)
def test_samples_that_cannot_be_stacked(samples, error, term):
    with pytest.raises(error, match=term):
        stacked(samples)


def test_many_at_once_as_in_pytorch():
    class Listed(Squares):
        def __getitems__(self, indices):  # PyTorch's form: a list of samples
            return [self[int(i)] for i in indices]

    x, t = batch_of(Listed(5), np.array([2, 0]))
    assert x.tolist() == [2.0, 0.0] and t.tolist() == [4, 0]


def test_a_subclass_that_changes_single_samples_changes_batches():
    class Doubled(TensorDataset):
        def __getitem__(self, key):
            return tuple(x * 2 for x in super().__getitem__(key))

    for data in (Doubled(np.arange(4.0)), Subset(Doubled(np.arange(4.0)), range(4))):
        (x,) = batch_of(data, np.array([3, 1]))
        assert x.tolist() == [6.0, 2.0]


def test_arrays_of_jax_stay_there():
    jax = pytest.importorskip("jax", reason="JAX の配列のテスト")
    import jax.numpy as jnp

    dataset = TensorDataset(jnp.arange(6.0))
    (batch,) = batch_of(dataset, np.array([4, 2]))
    assert isinstance(batch._data, jax.Array) and batch.tolist() == [4.0, 2.0]
    assert dataset[[1, 3]][0].tolist() == [1.0, 3.0]
