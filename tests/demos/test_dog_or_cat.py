"""犬か猫か: 描いた画像から、見たことのない画像の答えを当てること。"""

import dog_or_cat as demo
import numpy as np
import pytest

import micrograd_jp as mg
from micrograd_jp.testing import gradcheck


@pytest.fixture(scope="module")
def data():
    return demo.faces(300, seed=1), demo.faces(200, seed=2)


def test_the_pictures_are_of_both_kinds_and_all_different(data):
    training, test = data
    assert training.x.shape == (300, 1024)
    assert (training.t == demo.DOG).sum() == (training.t == demo.CAT).sum() == 150
    assert np.abs(training.x).max() <= 0.5
    everything = np.concatenate([training.x, test.x])
    assert len(np.unique(everything, axis=0)) == 500
    again = demo.faces(5, seed=1)
    assert np.array_equal(again.x, training.x[:5])


def test_ears_tell_the_kinds_apart():
    """A cat has dark pixels above its head, a dog beside it, on the average."""
    many = demo.faces(200, seed=3)
    cat, dog = (many.x[many.t == kind].mean(axis=0).reshape(32, 32) for kind in (-1, 1))
    above, beside = (slice(3, 7), slice(8, 24)), (slice(14, 20), slice(4, 9))
    assert cat[above].mean() < dog[above].mean() - 0.05
    assert dog[beside].mean() < cat[beside].mean() - 0.05


def test_the_loss_is_the_formula_and_its_gradient_is_right(data):
    few = demo.Data(data[0].x[:4, 500:520], data[0].t[:4])
    weights = np.random.default_rng(0).standard_normal(20)

    def loss(w, b):
        model = demo.Classifier()
        del model.w, model.b  # no parameters in this test
        model.w, model.b = w, b
        return demo.loss_of(model, few)

    start = mg.tensor(weights), mg.tensor(0.3, dtype=mg.float64)
    f = few.x @ weights + 0.3
    expected = np.mean([np.log(1 + np.exp(-t * y)) for t, y in zip(few.t, f, strict=True)])
    assert loss(*start).item() == pytest.approx(expected)
    assert gradcheck(loss, start)


def test_it_tells_dogs_from_cats_it_has_not_seen(data):
    model = demo.Classifier()
    history = demo.learn(model, *data, steps=150)
    assert history.training[0] == pytest.approx(np.log(2))
    assert history.training == sorted(history.training, reverse=True)
    assert history.test[-1] < 0.5 * history.test[0]
    assert demo.accuracy(model, data[1]) >= 0.95


def test_negative_control_with_shuffled_answers_it_cannot(data):
    training, test = data
    shuffled = demo.Data(training.x, np.random.default_rng(0).permutation(training.t))
    model = demo.Classifier()
    demo.learn(model, shuffled, test, steps=150)
    assert demo.accuracy(model, test) < 0.8


def test_the_demo_runs(run):
    figures, printed = run(demo)
    assert figures == ["dog_or_cat.png"]
    assert "n = 1024" in printed
