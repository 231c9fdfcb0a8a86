"""学習の途中の図: 撮っても学習は 1 ビットも変わらず、コマは決めた数までで、はじめと最後がある。"""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import micrograd_jp as mg
from micrograd_jp import nn
from micrograd_jp.training import History, Record
from micrograd_jp.training.recording import Recorder


class Shot:
    """A picture that is quick to draw."""

    def __init__(self, content):
        self.content = content

    def pipe(self, format):
        assert format == "png"
        return self.content


def train(record=None, epochs=4, **options):
    """With dropout, a batch norm and shuffled data: all that a look could disturb."""
    mg.manual_seed(0)
    loader = mg.data.DataLoader(mg.data.datasets.moons(60, seed=0), 20, shuffle=True, seed=0)
    model = nn.Sequential(
        nn.Linear(2, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Dropout(0.3), nn.Linear(8, 2)
    )
    optimizer = mg.optim.Adam(model.parameters(), lr=0.05)
    history = mg.fit(
        model, loader, mg.cross_entropy, optimizer, epochs, progress=False, record=record, **options
    )
    return history, [p.detach().numpy().copy() for p in [*model.parameters(), *model.buffers()]]


def seen(model):
    """A draw function that disturbs what it can: randomness, and a batch in the wrong mode."""
    mg.rand(7)
    out = model(mg.randn(5, 2))
    return Shot(out.detach().numpy().tobytes() + bytes([model.training]))


def test_training_is_bit_for_bit_the_same():
    (plain, weights), (watched, same) = train(), train(Record(seen, updates=1))
    assert plain.losses == watched.losses
    assert all(np.array_equal(a, b) for a, b in zip(weights, same, strict=True))
    assert [k for k, _ in watched.frames] == list(range(13)) and plain.frames == []
    assert all(png[-1] == 0 for _, png in watched.frames)  # drawn in evaluation mode


def test_a_function_records_the_start_and_the_end_of_every_epoch():
    history, _ = train(lambda model: Shot(model[0].weight.detach().numpy().tobytes()))
    assert [k for k, _ in history.frames] == [0, 3, 6, 9, 12]
    assert len({png for _, png in history.frames}) == 5
    accumulated, _ = train(Record(seen, updates=2), accumulate=2)
    assert [k for k, _ in accumulated.frames] == [0, 2, 4, 6, 8]


@given(st.integers(0, 200), st.integers(3, 12), st.integers(1, 7), st.booleans())
def test_there_are_never_too_many_and_they_are_evenly_spaced(updates, most, every, by_epochs):
    history = History()
    when = None if by_epochs else every
    recorder = Recorder(Record(lambda _: Shot(b"png"), updates=when, frames=most), None, history)
    for k in range(updates + 1):
        ended = k == updates or (by_epochs and k % every == 0)
        if k == 0 or recorder.wants(k) or ended:
            recorder.take(k)
    taken = [k for k, _ in history.frames]
    assert len(taken) <= most and taken[0] == 0 and taken[-1] == updates
    gaps = np.diff(taken)
    assert (gaps > 0).all()
    if len(gaps) > 2:
        assert gaps[:-1].max() <= 2 * gaps[:-1].min()


def test_what_was_recorded_outlives_an_interruption(tmp_path):
    path = tmp_path / "run.npz"
    record = Record(seen, updates=1)
    whole, _ = train(record)

    def stop(history):
        raise StopIteration

    first, _ = train(record, epochs=2, checkpoint=path)
    rest, _ = train(record, checkpoint=path)
    assert first.frames == whole.frames[:7] and rest.frames == whole.frames
    assert History.from_dict(rest.to_dict()) == rest
    assert "frames" not in train()[0].to_dict()


@pytest.mark.slow
def test_a_compiled_training_is_recorded_too():
    pytest.importorskip("jax")
    draw = lambda model: Shot(np.asarray(model[0].weight._data).tobytes())
    history, _ = train(Record(draw, updates=1), 2, jit=True)
    assert len({png for _, png in history.frames}) == 7


@pytest.mark.parametrize("jit", [False, True])
def test_an_update_that_broke_is_not_recorded(jit):
    pytest.importorskip("jax")
    model, seen_at = nn.Linear(2, 1), []
    data = [(mg.full((3, 2), x), mg.zeros(3, 1)) for x in (1.0, 2.0, float("nan"), 3.0)]
    with pytest.raises(mg.training.NonFiniteError):
        mg.fit(
            model, data, mg.mse_loss, mg.optim.SGD(model.parameters(), lr=0.1), 1, metric=None,
            progress=False, jit=jit,
            record=Record(lambda m: seen_at.append(1) or Shot(b"png"), updates=1),
        )  # fmt: skip
    assert len(seen_at) == 3  # before the training, and after its two updates


@pytest.mark.slow
def test_figures_become_pictures():
    image = pytest.importorskip("PIL.Image")
    pytest.importorskip("matplotlib_fontja")
    data = mg.data.datasets.moons(60, seed=0)
    history, _ = train(lambda model: mg.viz.decision_boundary(model, data, n=11), epochs=1)
    drawn, _ = train(lambda model: mg.viz.network(model[0], [0.5, -1.0]), epochs=1)
    for frames in (history.frames, drawn.frames):
        assert len(frames) == 2 and frames[0][1] != frames[1][1]
        assert min(image.open(io.BytesIO(frames[0][1])).size) > 100


@pytest.mark.parametrize(("record", "error", "words"), [
    (3, TypeError, "expected a function"), (lambda model: "x", TypeError, "expected a figure"),
    (lambda model: None, TypeError, "expected a figure"),
])  # fmt: skip
def test_what_cannot_be_recorded_is_refused(record, error, words):
    with pytest.raises(error, match=rf"(?s)[ぁ-ん].*{words}"):
        train(record, epochs=1)


@pytest.mark.parametrize("options", [{"updates": 0}, {"updates": 1.5}, {"frames": 2}])
def test_numbers_that_cannot_be(options):
    with pytest.raises(ValueError, match=r"[ぁ-ん]"):
        Record(seen, **options)


def test_without_a_record_there_is_no_movie():
    with pytest.raises(ValueError, match="nothing was recorded"):
        train(epochs=1)[0].movie("out.html")
