"""データ拡張の見本帳。"""

import augmentation as demo
import numpy as np
import pytest


def test_the_sheet_is_drawn(run):
    pytest.importorskip("matplotlib", reason="extra の viz")
    pytest.importorskip("sklearn", reason="extra の data")
    assert run(demo)[0] == ["augmentation.png"]


def test_every_row_but_the_first_changes_the_digits():
    pytest.importorskip("sklearn", reason="extra の data")
    images = demo.originals(quick=True)
    assert images.shape == (len(demo.DIGITS), 1, 28, 28)
    for i, transform in enumerate(demo.ROWS.values()):
        out = transform(images, generator=demo.SEED)
        assert out.shape == images.shape
        assert np.array_equal(out, images) == (i == 0)
