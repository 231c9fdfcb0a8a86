"""アンサンブルとテスト時のデータ拡張。"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import micrograd_jp as mg
from micrograd_jp import nn
from micrograd_jp.data import transforms


class Fixed(nn.Module):
    """入力によらず、決まったロジットを返す。"""

    def __init__(self, logits):
        self.logits = nn.Parameter(np.asarray(logits, dtype=np.float64))

    def forward(self, x):
        return self.logits


class Sums(nn.Module):
    """(N, 1, H, W) から、行ごとの和をロジットとする。"""

    def forward(self, x):
        return mg.as_tensor(x).sum((1, 3))


def softmax(z):
    e = np.exp(z - z.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


logits = hnp.arrays(np.float64, (3, 4, 5), elements=st.floats(-30, 30))


@given(logits)
def test_the_average_is_that_of_the_probabilities(z):
    ensemble = nn.Ensemble([Fixed(one) for one in z])
    wanted = softmax(z).mean(0)
    np.testing.assert_allclose(ensemble.probabilities(None).detach().numpy(), wanted, rtol=1e-10)
    np.testing.assert_allclose(mg.softmax(ensemble(None), -1).detach().numpy(), wanted, rtol=1e-10)


@given(logits)
def test_the_vote_counts_the_models(z):
    shares = nn.Ensemble([Fixed(one) for one in z], vote=True).probabilities(None).numpy()
    for row in range(4):
        counted = np.bincount(z[:, row].argmax(-1), minlength=5) / 3
        np.testing.assert_allclose(shares[row], counted, rtol=1e-12)


def test_average_and_vote_can_disagree():
    models = [Fixed([[0.1, 0.0]]), Fixed([[0.1, 0.0]]), Fixed([[0.0, 9.0]])]
    assert nn.Ensemble(models)(None).argmax(-1).item() == 1
    assert nn.Ensemble(models, vote=True)(None).argmax(-1).item() == 0


def test_hopeless_classes_do_not_underflow():
    out = nn.Ensemble([Fixed([[0.0, -2000.0]]), Fixed([[0.0, -2000.0]])])(None)
    assert out.detach().numpy()[0, 1] == pytest.approx(-2000)


def test_it_works_where_a_model_works():
    mg.manual_seed(0)
    parts = [nn.Sequential(nn.Dropout(0.5), nn.Linear(4, 3)) for _ in range(2)]
    ensemble = nn.Ensemble([nn.Ensemble(parts), nn.Linear(4, 3)]).eval()
    assert not parts[0].training
    x, t = mg.randn(6, 4), [0, 1, 2, 0, 1, 2]
    wanted = -np.log(ensemble.probabilities(x).detach().numpy()[range(6), t]).mean()
    loss = nn.functional.cross_entropy(ensemble(x), t)
    assert loss.item() == pytest.approx(wanted, rel=1e-5)
    loss.backward()
    assert all(p.grad is not None for p in ensemble.parameters())
    assert {key.split(".")[1] for key in ensemble.state_dict()} == {"0", "1"}


def test_augmentation_averages_the_views_of_the_model():
    x = np.random.default_rng(0).random((4, 1, 6, 5))
    flip = transforms.RandomVerticalFlip(1.0)
    out = nn.TestTimeAugmentation(Sums(), flip, views=3)
    z = x.sum((1, 3))
    wanted = (softmax(z) + 2 * softmax(z[:, ::-1])) / 3
    np.testing.assert_allclose(out.probabilities(x).numpy(), wanted, rtol=1e-10)


def test_augmentation_is_repeatable_and_depends_on_the_seed():
    x = mg.rand(3, 1, 8, 8)
    shift = transforms.RandomTranslate(3)
    first, again, other = (
        nn.TestTimeAugmentation(Sums(), shift, views=4, seed=s)(x).numpy() for s in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    one = nn.TestTimeAugmentation(Sums(), shift, views=1).probabilities(x).numpy()
    np.testing.assert_allclose(one, softmax(x.numpy().sum((1, 3))), rtol=1e-5)


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: nn.Ensemble([]), ValueError, "1 つ以上"),
        (lambda: nn.Ensemble([len]), TypeError, "Module"),
        (lambda: nn.Ensemble([Fixed([[1.0]]), Fixed([[1.0, 2.0]])])(None), ValueError, "1, 2"),
        (lambda: nn.TestTimeAugmentation(len, len), TypeError, "Module"),
        (lambda: nn.TestTimeAugmentation(Sums(), 3), TypeError, "transform"),
        (lambda: nn.TestTimeAugmentation(Sums(), len, views=0), ValueError, "views"),
    ],
)
def test_errors_say_what_to_pass(make, error, words):
    with pytest.raises(error, match=words):
        make()
