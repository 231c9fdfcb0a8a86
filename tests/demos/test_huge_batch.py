"""巨大ミニバッチのデモ: 学習率の決め方、同じ始まり、表と図。"""

import digit_data
import huge_batch as demo
import numpy as np
import pytest

import micrograd_jp as mg
from micrograd_jp import optim

pytest.importorskip("sklearn", reason="手元に MNIST がないときの数字")


@pytest.fixture(scope="module")
def data():
    return digit_data.load(quick=True).first(512, 0)


def test_the_rules_are_those_of_the_text():
    rates = {name: [rule.rate(k) for k in (1, 4)] for name, rule in demo.RULES.items()}
    assert rates == {
        "same": [demo.RATE] * 2,
        "linear": [demo.RATE, 4 * demo.RATE],
        "linear_warm": [demo.RATE, 4 * demo.RATE],
        "sqrt_warm": [demo.RATE, 2 * demo.RATE],
        "lars": [demo.LARS_RATE, 2 * demo.LARS_RATE],
    }


def test_the_rate_rises_in_the_first_fifth_and_falls_to_nothing():
    p = mg.nn.Parameter([1.0])
    optimizer = optim.SGD([p], lr=1.0)
    schedule = demo.warm_cosine(optimizer, 50)
    rates = []
    for _ in range(50):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    assert rates[0] == pytest.approx(0.01) and np.argmax(rates) == 10
    assert (np.diff(rates[:11]) > 0).all() and (np.diff(rates[10:]) < 0).all()
    assert rates[10] == pytest.approx(1) and optimizer.param_groups[0]["lr"] < 1e-9


def test_every_rule_learns_and_rules_that_are_the_same_are_trained_once(data, monkeypatch):
    fits = []
    fit = mg.fit
    monkeypatch.setattr(
        demo.mg, "fit", lambda *args, **options: fits.append(1) or fit(*args, **options)
    )
    results = demo.compare(data, (64, 256), (0,), 4)
    assert len(fits) == 3 + 5, "with one another: same and linear, and both with warm-up"
    assert [r.updates for r in results] == [32] * 5 + [8] * 5
    first = {r.rule: r.test for r in results[:5]}
    assert first["same"] == first["linear"] and first["linear_warm"] == first["sqrt_warm"]
    assert min(r.mean for r in results[:5]) > 0.5
    assert demo.table(results).count("%") == 10


def test_a_training_that_diverges_counts_as_none_right(data):
    wild = demo.RULES["same"]._replace(rate=lambda k: 1e30)
    assert demo._accuracy(wild, 1e30, 64, 0, data, 1) == 0


def test_it_runs_and_draws(run):
    written, printed = run(demo)
    assert written == ["huge_batch.png"]
    assert all(rule.name in printed for rule in demo.RULES.values())
