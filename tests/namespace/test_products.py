"""行列の積: どう切っても NumPy の積になる。"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from micrograd_jp.namespace import ieee
from micrograd_jp.namespace.numpy_kernels import products


@settings(max_examples=100)
@given(data=st.data())
def test_products_in_pieces_are_numpys(monkeypatch, data):
    limit = data.draw(st.sampled_from([1, 50, 1000]))
    monkeypatch.setattr(products, "ALONE", limit)
    monkeypatch.setattr(products, "WORTH_CUTTING", limit + 1)
    n, k, o = (data.draw(st.integers(1, 40)) for _ in range(3))
    dtype = data.draw(st.sampled_from([np.float32, np.float64]))
    rng = np.random.default_rng(0)
    x, y, b = (rng.standard_normal(s).astype(dtype) for s in ((n, k), (k, o), o))
    x, y = (np.asfortranarray(a) if data.draw(st.booleans()) else a for a in (x, y))
    x = np.repeat(x, 2, axis=1)[:, ::2] if data.draw(st.booleans()) else x
    bound = {"rtol": 1e-4, "atol": 1e-5} if dtype == np.float32 else {"rtol": 1e-12, "atol": 1e-12}
    for got, want in ((ieee.matmul(x, y), x @ y), (products.matmul(x, y, b), x @ y + b)):
        assert got.dtype == dtype
        np.testing.assert_allclose(got, want, **bound)


def test_only_middling_products_are_cut(monkeypatch):
    cut = []
    pieces = products._pieces
    monkeypatch.setattr(products, "_pieces", lambda x, y: cut.append(1) or pieces(x, y))
    square = lambda n: np.ones((n, n), np.float32)
    for n, expected in ((127, 0), (128, 1), (203, 1), (204, 0)):
        cut.clear()
        assert (ieee.matmul(square(n), square(n)) == n).all()
        assert len(cut) == expected, n
    assert (ieee.matmul(square(100).astype(int), square(100)) == 100).all() and not cut
    with pytest.raises(ValueError, match="matmul"):
        ieee.matmul(square(100), square(101))
