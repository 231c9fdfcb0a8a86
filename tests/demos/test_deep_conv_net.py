"""DeepConvNet のデモ: 設定、アンサンブルの計算、読み間違いの一覧。"""

from functools import partial

import deep_conv_net as demo
import digit_data
import numpy as np
import pytest

import micrograd_jp as mg
from micrograd_jp import nn
from micrograd_jp.data import TensorDataset

pytest.importorskip("matplotlib", reason="extra の viz")


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)

    def part(n):
        return TensorDataset(rng.random((n, 1, 28, 28), dtype=np.float32), rng.integers(0, 10, n))

    return digit_data.Digits("でたらめ", part(20), part(10), part(530))


@pytest.fixture(scope="module")
def recipes():
    thin = {"model": partial(nn.models.DeepConvNet, width=1), "batch_size": 5}
    all_recipes = [demo.PLAIN, *map(demo.member, range(3))]
    return [demo.quick(recipe)._replace(**thin) for recipe in all_recipes]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def results(data, folder, recipes):
    return demo.learn(data, folder, recipes, views=1)


def test_the_plain_network_has_no_tricks():
    assert demo.PLAIN.augmentation is None
    kinds = {type(module) for module in demo.PLAIN.model().modules()}
    assert nn.BatchNorm2d not in kinds
    # The book's network: 6 convolutions, 2 affine layers, 50 hidden units.
    assert (
        sum(p.size for p in demo.PLAIN.model().parameters())
        == sum(
            (9 * n + 1) * m for n, m in [(1, 16), (16, 16), (16, 32), (32, 32), (32, 64), (64, 64)]
        )
        + (64 * 4 * 4 + 1) * 50
        + (50 + 1) * 10
    )


def test_the_members_differ_in_their_seed_only():
    members = [demo.member(seed) for seed in range(demo.MEMBERS)]
    assert [recipe.seed for recipe in members] == list(range(demo.MEMBERS))
    assert len({recipe.name for recipe in members}) == demo.MEMBERS
    assert {recipe._replace(name="", seed=0) for recipe in members} == {
        demo.TRICKS._replace(name="", seed=0)
    }
    assert demo.TRICKS.augmentation is not None
    assert nn.BatchNorm2d in {type(module) for module in demo.TRICKS.model().modules()}


@pytest.mark.slow
def test_the_ensemble_is_the_mean_of_the_probabilities(results, data):
    x, t = data.test[:]
    mean = np.mean(
        [digit_data.scores(run.model, x).softmax(1).numpy() for run in results.members], axis=0
    )
    np.testing.assert_allclose(results.ensemble, mean, atol=1e-6)
    right = results.accuracies
    assert right["3 つのアンサンブル"] == (mean.argmax(1) == t.numpy()).mean()
    assert right["工夫なし"] == results.plain.test
    assert [right[f"工夫 種 {seed}"] for seed in range(3)] == [r.test for r in results.members]
    # Not the same network three times, and not the plain one among them.
    one = digit_data.probabilities(results.members[0].model, data.test)
    assert np.abs(one - mean).max() > 1e-3


def test_the_views_are_the_image_and_changed_images(results, data, folder, recipes):
    x, t = data.test[:8]
    probabilities = [
        digit_data.scores(run.model, view).softmax(1).numpy()
        for run in results.members
        for view in (x, demo.VIEW(x, generator=np.random.default_rng((demo.SEED, 1))))
    ]
    few = data._replace(test=TensorDataset(x, t))
    again = demo.learn(few, folder, recipes, views=2)  # trained already
    np.testing.assert_allclose(again.viewed, np.mean(probabilities, axis=0), atol=1e-6)
    assert np.abs(again.viewed - again.ensemble).max() > 1e-3
    np.testing.assert_allclose(results.viewed, results.ensemble, atol=1e-6)  # one view: as it is


def test_the_page_shows_the_misread_digits_and_no_others():
    rng = np.random.default_rng(1)
    images, labels = rng.random((40, 1, 28, 28), dtype=np.float32), rng.integers(0, 10, 40)
    answers = np.full((40, 10), 0.01)
    answers[np.arange(40), labels] = 0.91
    wrong = {3: 0.5, 17: 0.8, 39: 0.6}
    for i, p in wrong.items():
        answers[i] = (1 - p) / 9
        answers[i, (labels[i] + 1) % 10] = p
    by_confidence = [17, 39, 3]
    page = mg.viz.misread(answers, TensorDataset(images, labels))
    (axes,) = page.axes
    shown = [np.asarray(image.get_array()) for image in axes.images]
    np.testing.assert_array_equal(shown, images[by_confidence, 0])
    assert [text.get_text() for text in axes.texts] == [
        f"{labels[i]} → {(labels[i] + 1) % 10} ({wrong[i]:.1%})" for i in by_confidence
    ]
    assert "40 枚のうち 3 枚" in page._suptitle.get_text()
    few = mg.viz.misread(answers, TensorDataset(images, labels), most=2)
    assert len(few.axes[0].images) == 2


def test_a_page_without_misread_digits():
    labels = np.arange(4)
    page = mg.viz.misread(np.eye(4, 10), TensorDataset(np.zeros((4, 1, 28, 28)), labels))
    assert not page.axes[0].images


def test_it_runs_and_draws(run):
    pytest.importorskip("sklearn", reason="手元に MNIST がないときの数字")
    written, printed = run(demo)
    assert written == ["deep_conv_net.png", "deep_conv_net_misread.png"]
    assert f"{demo.PLAIN.name}\n" in printed and f"{demo.member(1).name}\n" in printed
    assert "2 つのアンサンブル" in printed
