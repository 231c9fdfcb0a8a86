"""配列の erf は math.erf と最後の桁まで合う。"""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from micrograd_jp.namespace.numpy_kernels.erf import erf

_BORDERS = [0.84375, np.nextafter(0.84375, 0), 6.0, np.nextafter(6.0, 0), 5e-324, 1e-310, 1e308]


def _ulps(x):
    exact = np.array([math.erf(float(v)) for v in x.ravel()]).reshape(x.shape)
    return np.abs(erf(x) - exact) / np.spacing(np.abs(exact.astype(x.dtype)))


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_within_two_units_in_the_last_place(dtype):
    grid = np.concatenate([np.linspace(-7, 7, 200_001), np.logspace(-40, 1, 5_001)])
    assert _ulps(grid.astype(dtype)).max() <= 2


@given(hnp.arrays(np.float64, hnp.array_shapes(min_dims=0, min_side=0), elements=st.floats()))
def test_any_floats_in_any_shape(x):
    found = erf(x)
    assert found.shape == x.shape
    exact = np.array([math.erf(v) for v in x.ravel()]).reshape(x.shape)
    # one smallest number more, because doubling a subnormal derivative is not exact
    np.testing.assert_allclose(found, exact, rtol=2.0**-51, atol=5e-324)
    assert (np.signbit(found) == np.signbit(x))[~np.isnan(x)].all()


def test_borders():
    x = np.array(_BORDERS + [-b for b in _BORDERS])
    assert _ulps(x).max() <= 2


def test_special_values_and_dtypes():
    special = np.array([np.inf, -np.inf, np.nan, 0.0, -0.0])
    np.testing.assert_array_equal(erf(special), [1.0, -1.0, np.nan, 0.0, -0.0])
    assert np.signbit(erf(special)[4])
    for dtype in (np.float16, np.float32, np.float64):
        assert erf(np.ones((2, 0), dtype)).dtype == dtype
        assert erf(dtype(0.5)).dtype == dtype
    assert erf(np.array([0, 1])).dtype == np.float64
    assert erf(np.float64(0.5)) == pytest.approx(math.erf(0.5), rel=1e-15)


def test_strided_input_and_chunks():
    x = np.linspace(-3, 3, 40_000)[::-1].reshape(200, 200).T
    np.testing.assert_array_equal(erf(x).ravel()[:100], erf(x.ravel()[:100]))
