"""分散のデモ: 当てはめ、環の試算、図。"""

import distributed as demo
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st


@given(st.floats(1e-6, 1e-2), st.floats(1e-12, 1e-7))
def test_the_fit_finds_the_line(alpha, beta):
    sizes = [4.0 * n for n in demo.SIZES]
    found = demo.fitted(sizes, [alpha + beta * x for x in sizes])
    np.testing.assert_allclose(found, (alpha, beta), rtol=1e-6)


@given(st.integers(1, 40), st.floats(1, 1e9), st.sampled_from(demo.LINKS))
def test_the_simulated_ring_is_the_formula_where_all_start_together(p, size, link):
    found = demo.simulated(np.zeros(p), size, link)
    np.testing.assert_allclose(found, demo.ring(p, size, link), rtol=1e-9, atol=1e-12)


@given(st.lists(st.floats(0, 1), min_size=2, max_size=20))
def test_the_slowest_decides(ready):
    link = demo.LINKS[1]
    found = demo.simulated(np.array(ready), 1e6, link)
    together = demo.ring(len(ready), 1e6, link)
    assert max(ready) + together / 2 <= found * (1 + 1e-9)
    assert found <= (max(ready) + together) * (1 + 1e-9)


def test_more_images_pay_for_the_waiting():
    for link in demo.LINKS:
        for p in (2, 64, 1024):
            computing = demo.images_needed(p, link) * demo.SECONDS_AN_IMAGE
            waiting = demo.ring(p, demo.PARAMETERS * demo.BYTES, link)
            assert computing / (computing + waiting) >= demo.WANTED * (1 - 1e-9)


def test_slow_links_are_worse_and_so_are_many_workers():
    found = [[demo.efficiency(p, link) for link in demo.LINKS] for p in (2, 8, 32)]
    assert (np.diff(found, axis=1) > 0).all()
    assert (np.diff(found, axis=0)[:, :3] < 0).all()
    assert found[1][0] == pytest.approx(0.055, abs=0.01)  # 1 GbE, 8 workers


def test_it_runs_and_draws(run):
    pytest.importorskip("jax", reason="extra の accel")
    pytest.importorskip("matplotlib", reason="extra の viz")
    written, printed = run(demo)
    assert written == ["distributed.png"]
    assert "α = " in printed and "NVLink" in printed
