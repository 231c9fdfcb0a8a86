"""fit: 素朴なくり返しと同じ結果、記録、評価、早期終了、スケジューラ、Value のモデル、エラー。"""

import math

import numpy as np
import pytest
from problem import Task, network, points

import micrograd_jp as mg
from micrograd_jp import nn
from micrograd_jp.data import DataLoader
from micrograd_jp.training import EarlyStopping, accuracy, evaluate


def test_the_same_weights_as_a_bare_loop():
    task = Task()
    history = task.fit(3, clip_norm=0.5)
    fitted = {k: x.numpy() for k, x in task.model.state_dict().items()}
    plain = Task()
    losses, rates = [], []
    for _ in range(3):
        plain.model.train()
        for x, t in plain.data:
            loss = mg.cross_entropy(plain.model(x), t)
            plain.optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(plain.model.parameters(), 0.5)
            plain.optimizer.step()
            losses.append(loss.item())
        rates.append(plain.optimizer.param_groups[0]["lr"])
        plain.scheduler.step()
    for name, x in plain.model.state_dict().items():
        np.testing.assert_array_equal(fitted[name], x.numpy())
    assert history.losses == losses
    assert history.updates == len(losses) == 21
    assert history.column("lr") == rates
    assert history.column("loss") == [math.fsum(losses[i : i + 7]) / 7 for i in (0, 7, 14)]
    assert history.column("updates") == [7, 14, 21]
    assert history.stopped == "finished"
    assert history.seconds >= history.column("seconds")[-1] > 0


def test_development_results_are_those_of_evaluate():
    task = Task()
    history = task.fit(2)
    found = evaluate(task.model, task.development, mg.cross_entropy)
    assert history.epochs[-1]["development_loss"] == found.loss
    assert history.epochs[-1]["metric"] == found.metric
    assert history.best()["metric"] == max(history.column("metric"))
    assert history.best("loss", "min")["loss"] == min(history.column("loss"))
    with pytest.raises(ValueError, match="no such column"):
        Task().fit(1, development=None).best()


# ---- 評価 ----------------------------------------------------------------------------------


def test_evaluate_weighs_batches_by_size_and_restores_every_mode():
    model, data = network(), points(25, 3)
    model[3].eval()  # a frozen dropout within a training model stays as it is
    x, t = data[:]
    whole = evaluate(model, [(x, t)], mg.cross_entropy)
    parts = evaluate(model, DataLoader(data, 10), mg.cross_entropy)
    assert parts.loss == pytest.approx(whole.loss, rel=1e-5)
    assert parts.metric == whole.metric
    assert [m.training for m in model] == [True, True, True, False, True]
    assert model.training
    assert not any(p.has_grad for p in model.parameters())


def test_evaluate_restores_the_mode_after_an_error_and_records_no_graph():
    model = network()
    seen = []

    def loss(model, x, t):
        y = model(x)
        seen.append((model.training, y.requires_grad))
        raise KeyError("x")

    with pytest.raises(KeyError):
        evaluate(model, points(5, 0), loss, metric=None)
    assert seen == [(False, False)]
    assert model.training


def test_a_metric_sees_all_outputs_at_once():
    sizes = []

    def extreme(y, t):
        sizes.append((y.shape, t.shape))
        return y.max()

    found = evaluate(nn.Linear(2, 3), DataLoader(points(25, 0), 10), metric=extreme)
    assert sizes == [((25, 3), (25,))]
    assert found.loss is None and isinstance(found.metric, float)


@pytest.mark.parametrize(
    ("y", "t", "expected"),
    [
        ([[0.1, 0.9], [0.8, 0.2]], [1, 1], 0.5),
        ([[0.1, 0.9], [0.8, 0.2]], [[0, 1], [1, 0]], 1.0),
        ([0.5, -0.5, 2.0], [1, 0, 0], 2 / 3),
        ([[0.5], [-0.5]], [1, -1], 1.0),
        ([[0.5], [-0.5]], [[-1], [-1]], 0.5),
        ([mg.Value(1.0), mg.Value(-1.0)], [1, 1], 0.5),
        ([[mg.Value(1.0), mg.Value(2.0)]], [1], 1.0),
    ],
)
def test_accuracy(y, t, expected):
    assert accuracy(y, t) == pytest.approx(expected)


# ---- 早期終了、スケジューラ、コールバック ------------------------------------------------


@pytest.mark.parametrize("monitor", ["metric", "loss"])
def test_early_stopping_waits_and_restores_the_best_weights(monitor):
    values = iter([0.5, 0.6, 0.7, 0.65, 0.7, 0.69, *[0.9] * 50])
    weights = []
    task = Task()

    def metric(y, t):
        weights.append({k: x.numpy().copy() for k, x in task.model.state_dict().items()})
        return next(values)

    rule = EarlyStopping(3, monitor, "max" if monitor == "metric" else "min")
    history = task.fit(50, metric=metric, early_stopping=3 if monitor == "metric" else rule)
    if monitor == "metric":
        assert history.column("metric") == [0.5, 0.6, 0.7, 0.65, 0.7, 0.69]
        best = 2
    else:
        best = int(np.argmin(history.column("development_loss")))
        assert len(history.epochs) - 1 - best == 3
    assert history.stopped == "early"
    for name, x in task.model.state_dict().items():
        np.testing.assert_array_equal(x.data, weights[best][name])


def test_early_stopping_by_loss_at_last():
    """The loss of a model that learns nothing never improves."""
    task = Task()
    history = task.fit(9, metric=None, early_stopping=2, scheduler=None, development=points(9, 0))
    assert len(history.epochs) <= 9
    assert history.metric_name == ""


def test_schedulers_per_epoch_per_update_and_on_plateau():
    task = Task()
    task.scheduler = mg.optim.lr_scheduler.ExponentialLR(task.optimizer, 0.5)
    assert task.fit(3).column("lr") == [0.03, 0.015, 0.0075]
    task = Task()
    task.scheduler = mg.optim.lr_scheduler.LinearLR(task.optimizer, 0.5, total_iters=14)
    history = task.fit(2, schedule="update")
    assert history.column("lr") == pytest.approx([0.0225, 0.03])
    task = Task()
    task.scheduler = mg.optim.lr_scheduler.ReduceLROnPlateau(
        task.optimizer, "max", factor=0.5, patience=0
    )
    history = task.fit(4, metric=lambda y, t: 0.0)
    assert history.column("lr") == [0.03, 0.03, 0.015, 0.0075]


def test_callbacks_see_the_history_and_may_stop():
    seen = []

    def callback(history):
        seen.append(len(history.epochs))
        if len(seen) == 2:
            raise StopIteration

    assert Task().fit(5, callbacks=[callback]).stopped == "callback"
    assert seen == [1, 2]


# ---- モデルの種類 ----------------------------------------------------------------------------


def test_a_scalar_network_learns_from_the_same_loader():
    mg.manual_seed(0)
    model = nn.MLP(2, [8, 2])
    optimizer = mg.optim.Adam(model.parameters(), lr=0.05)
    data = DataLoader(points(40, 1), 10, shuffle=True, seed=0)
    history = mg.fit(
        model, data, mg.cross_entropy, optimizer, 15, development=points(40, 1), progress=False
    )
    assert history.epochs[-1]["metric"] > 0.85
    assert history.losses[-1] < history.losses[0]
    assert all(isinstance(x, float) for x in history.losses)


def test_a_loss_written_with_the_model():
    w = mg.Value(3.0)

    class Line(nn.Module):
        def __init__(self):
            self.w, self.b = w, mg.Value(-8.0)

        def forward(self, x):
            return self.w * x + self.b

    model = Line()
    optimizer = mg.optim.SGD(model.parameters(), lr=0.01)
    history = mg.fit(
        model, [(3.0, 7.0), (9.0, 13.0)], lambda model, x, t: 0.5 * (model(x) - t) ** 2,
        optimizer, 1000, metric=None, progress=False,
    )  # fmt: skip
    assert history.losses[0] == 18.0
    assert history.losses[-1] < 1e-3
    assert w.data == pytest.approx(1.0, abs=0.05)


def test_parameters_on_jax():
    jnp = pytest.importorskip("jax.numpy", reason="jax がありません")
    mg.manual_seed(0)
    model = nn.Linear(2, 2)
    for p in model.parameters():
        p.data = jnp.asarray(p.detach().numpy())
    data = [(mg.Tensor(jnp.asarray(x.numpy())), t) for x, t in DataLoader(points(40, 1), 10)]
    optimizer = mg.optim.SGD(model.parameters(), lr=0.1)
    history = mg.fit(model, data, mg.cross_entropy, optimizer, 3, development=data, progress=False)
    assert history.losses[-1] < history.losses[0]
    assert isinstance(model.weight._data, type(jnp.ones(1)))


# ---- 記録 ----------------------------------------------------------------------------------


def test_history_survives_a_file_and_shows_itself(tmp_path):
    history = Task().fit(2)
    mg.save(history.to_dict(), tmp_path / "history.npz")
    again = mg.History.from_dict(mg.load(tmp_path / "history.npz"))
    assert again == history
    assert "2 エポック、14 更新" in repr(history) and "正解率" in repr(history)
    table = history._repr_markdown_().splitlines()
    assert len(table) == 4
    assert len({line.count("|") for line in table}) == 1
    assert repr(mg.History()) == "<History: 0 エポック、0 更新、0.0 秒>"


def test_history_draws_itself_in_japanese():
    pytest.importorskip("matplotlib", reason="matplotlib がありません")
    figure = Task().fit(2).plot(log=True)
    left, right = figure.axes
    assert left.get_ylabel() == "損失" and left.get_yscale() == "log"
    assert right.get_ylabel() == "正解率 (accuracy)"
    assert len(left.lines) == 3
    figure.canvas.draw()  # a missing glyph would warn, and a warning is an error here
    assert len(Task().fit(1, development=None).plot().axes) == 1


def test_every_point_of_the_plot_stands_where_its_number_was_measured():
    pytest.importorskip("matplotlib", reason="matplotlib がない")
    history = Task().fit(3)
    batches, means, development = history.plot().axes[0].lines
    x, losses = batches.get_data()
    ends = [row["updates"] for row in history.epochs]
    for k, (middle, mean) in enumerate(means.get_xydata()):
        epoch = slice(ends[k - 1] if k else 0, ends[k])
        assert middle == np.mean(x[epoch])
        assert mean == pytest.approx(np.mean(losses[epoch]), rel=0.2)  # not weighted by rows
    assert development.get_xdata().tolist() == ends


# ---- エラー ---------------------------------------------------------------------------------


def _fit(**options):
    task = Task()
    epochs = options.pop("epochs", 1)
    task.data = options.pop("data", task.data)
    task.model = options.pop("model", task.model)
    return task.fit(epochs, **options)


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"epochs": -1}, ValueError, "expected an int"),
        ({"epochs": 1.5}, ValueError, "expected an int"),
        ({"data": points(9, 0)}, TypeError, "got a dataset"),
        ({"data": 3}, TypeError, "expected batches"),
        ({"data": iter([1])}, TypeError, "re-iterable"),
        ({"data": []}, ValueError, "no training data"),
        ({"data": [mg.ones(3)]}, ValueError, "expected a pair"),
        ({"development": []}, ValueError, "no data to evaluate"),
        ({"development": 3}, TypeError, "expected batches"),
        ({"metric": "f1"}, ValueError, "unknown metric"),
        ({"schedule": "day"}, ValueError, "unknown schedule"),
        ({"early_stopping": 3, "development": None}, ValueError, "needs development"),
        ({"early_stopping": 0}, ValueError, "positive int"),
        ({"clip_norm": -1.0}, ValueError, "clip_norm"),
        ({"checkpoint": "x.pt"}, ValueError, "unknown file format"),
    ],
)
def test_bad_arguments(options, error, match):
    with pytest.raises(error, match=match):
        _fit(**options)


def test_a_loss_that_is_no_loss():
    task = Task()
    for loss, error in ((lambda y, t: 3.0, TypeError), (lambda y, t: y, ValueError)):
        with pytest.raises(error, match="Tensor"):
            mg.fit(task.model, task.data, loss, task.optimizer, 1, progress=False)
    with pytest.raises(ValueError, match="unknown monitor"):
        EarlyStopping(3, "accuracy")
    with pytest.raises(ValueError, match="unknown mode"):
        EarlyStopping(3, mode="up")
    with pytest.raises(ValueError, match="positive number"):
        mg.training.Checkpoint("x.npz", seconds=0)
