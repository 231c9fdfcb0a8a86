"""Compiled functions against the same functions run by eager `Value`, sample by sample."""

import numpy as np

import micrograd_jp as mg
from micrograd_jp.compiler.pipeline import EXECUTORS as WAYS
from micrograd_jp.transforms import leaves_of, map_structure

EXECUTORS = sorted(WAYS)


def as_values(x):
    """One sample's numbers as leaves, nested as the compiled function sees them."""
    return map_structure(mg.Value, x.tolist() if isinstance(x, np.ndarray) else x)


def eager(function, arrays, parameters):
    """Values (N,), the gradients of their mean, and each input's gradient for its own sample."""
    n = len(arrays[0])
    values, of_inputs = [], [[] for _ in arrays]
    for p in parameters:
        p.grad = None
    for i in range(n):
        sample = [as_values(np.asarray(a)[i]) for a in arrays]
        out = mg.Value(0.0) + function(*sample)
        values.append(out.data)
        out.backward(1 / n)
        for collected, x in zip(of_inputs, sample, strict=True):
            collected.append([leaf.grad * n for leaf in leaves_of(x)])
    of_parameters = [p.grad for p in parameters]
    return np.array(values), np.array(of_parameters), of_inputs


def agree(function, arrays, parameters=(), executor=None, dtype=np.float64, rtol=1e-9):
    """Assert that compiled values and all gradients are eager ones, to rounding."""
    arrays = [np.asarray(a, dtype=np.float64) for a in arrays]
    with np.errstate(all="ignore"):
        values, of_parameters, of_inputs = eager(function, arrays, parameters)
    for p in parameters:
        p.grad = None
    compiled = mg.compile(function, dtype=dtype, executor=executor)
    close = {"rtol": rtol, "atol": rtol, "equal_nan": True}
    got = compiled(*arrays)
    assert got.shape == (len(arrays[0]),)
    np.testing.assert_allclose(got._data, values, **close)
    compiled.backward()
    np.testing.assert_allclose([p.grad for p in parameters], of_parameters, **close)
    again, gradients = compiled.value_and_grad(*arrays)
    np.testing.assert_array_equal(again._data, got._data)
    for given, wanted, array in zip(gradients.inputs, of_inputs, arrays, strict=True):
        np.testing.assert_allclose(given, np.reshape(wanted, array.shape), **close)
    return compiled
