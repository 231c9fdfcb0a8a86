"""`Tensor` と `Value` の混ざった計算グラフを描く。"""

import numpy as np
from drawn import groups, svg, texts

import micrograd_jp as mg


def rows(root, **options):
    """The texts of every node, and the number of edges."""
    picture = svg(root, **options)
    cells = [texts(g) for kind in ("leaf", "intermediate", "output") for g in groups(picture, kind)]
    return cells, len(groups(picture, "edge"))


def test_small_arrays_show_their_numbers_and_large_ones_their_shape():
    small = mg.tensor([[1.0, 2.0]], requires_grad=True, label="小")
    large = mg.tensor(np.ones((4, 5), np.float32), requires_grad=True, label="大")
    total = small.sum() + large.sum()
    total.backward()
    cells, _ = rows(total)
    assert ["小", "(1, 2) float32", "値 [[1, 2]]", "勾配 [[1, 1]]"] in cells
    assert ["大", "(4, 5) float32", "値 (4, 5) の配列", "勾配 (4, 5) の配列"] in cells


def test_one_drawing_shows_values_and_tensors():
    v = mg.Value(2.0, label="v")
    t = mg.stack([v, v * 3])
    total = (t * t).sum()
    total.backward()
    cells, edges = rows(total)
    assert ["v", "値 2", "勾配 40"] in cells
    assert ["(2,) float64", "値 [2, 6]"] in cells
    assert edges == 3 + 3 + 3 + 2  # v × 3, stack, t × t, Σ: each with its result


def test_gradients_that_are_not_kept_are_not_called_missing():
    x = mg.tensor([1.0, 2.0], requires_grad=True, label="x")
    constant = mg.tensor([3.0, 4.0], label="定数")
    y = (x * constant).sum()
    cells, _ = rows(y)
    assert ["x", "(2,) float32", "値 [1, 2]", "勾配 未計算"] in cells
    assert ["定数", "(2,) float32", "値 [3, 4]"] in cells  # a constant is drawn, and has no row
    assert sum("未計算" in text for cell in cells for text in cell) == 1


def test_textbook_style_draws_arrays():
    x = mg.tensor([1.0, 2.0], requires_grad=True, label="x")
    y = (x * x).sum()
    y.backward()
    shown = texts(svg(y, style="textbook"))
    assert "[1, 2]" in shown
    assert "[2, 4]" in shown
