"""`fit(precision=…)`: 割り戻し、クリッピング、更新の順。オーバーフローは数え、再開しても同じ。"""

import numpy as np
import pytest

import micrograd_jp as mg
from micrograd_jp import nn
from tests.training.problem import Task

MIXED = ["bf16-mixed", "16-mixed"]


@pytest.mark.parametrize("precision", MIXED)
def test_it_trains_as_float32_does(precision):
    mixed = Task()
    a = mixed.fit(precision=precision)
    b = Task().fit()
    assert a.losses != b.losses and np.allclose(a.losses, b.losses, atol=0.1)
    for p in mixed.model.parameters():
        assert p.dtype == mg.float32
    assert a.skipped == 0 and "とばした" not in repr(a)


def by_hand(task, epochs, clip_norm):
    """The same with autocast and a scaler, in PyTorch's order."""
    scaler = mg.amp.GradScaler()
    for _ in range(epochs):
        task.model.train()
        for x, t in task.data:
            task.optimizer.zero_grad()
            with mg.autocast(mg.float16):
                loss = mg.cross_entropy(task.model(x), t)
            scaler.scale(loss).backward()
            scaler.unscale_(task.optimizer)
            nn.utils.clip_grad_norm_(task.model.parameters(), clip_norm)
            scaler.step(task.optimizer)
            scaler.update()
        task.scheduler.step()
    return {name: x._data.tobytes() for name, x in task.model.state_dict().items()}


def test_unscale_then_clip_then_step():
    task = Task()
    task.fit(2, precision="16-mixed", clip_norm=0.1, development=None)
    found = {name: x.numpy().tobytes() for name, x in task.model.state_dict().items()}
    assert found == by_hand(Task(), 2, 0.1)


class Steep(nn.Module):
    """Its gradient is the input: a large one overflows float16 once it is scaled."""

    def __init__(self):
        self.w = nn.Parameter(np.zeros((1, 1), np.float32))

    def forward(self, x):
        return x @ self.w


def steep(numbers, **options):
    model = Steep()
    optimizer = mg.optim.SGD(model.parameters(), lr=1e-3)
    data = [(mg.tensor([[float(x)]]), mg.zeros(1, 1)) for x in numbers]
    loss = lambda y, t: (y - t).sum() * 0.01
    history = mg.fit(model, data, loss, optimizer, 1, metric=None, progress=False, **options)
    return history, model


def test_an_overflow_is_skipped_and_counted():
    history, model = steep([1, 60000, 1, 1], precision="16-mixed")
    assert history.skipped == 1 and history.updates == 4 and history.stopped == "finished"
    assert "とばした更新 1" in repr(history)
    np.testing.assert_allclose(
        model.w.detach().numpy(), [[-3e-5]], rtol=1e-3
    )  # of the three others
    again = mg.History.from_dict(history.to_dict())
    assert again == history


def test_a_loss_that_overflows_is_skipped_too():
    history, model = steep([1, np.inf, 1], precision="16-mixed")
    assert history.skipped == 1 and np.isfinite(model.w.detach().numpy()).all()
    assert np.isfinite(history.column("loss")).all()


def test_what_no_scale_can_help_ends_with_the_reason():
    said = r"損失の倍率が .* でも、勾配がオーバーフローします"
    with pytest.raises(mg.training.NonFiniteError, match=said):
        steep([np.inf] * 40, precision="16-mixed")


@pytest.mark.parametrize("precision", MIXED)
def test_resumed_training_is_the_same_to_the_bit(precision, tmp_path):
    whole = Task()
    wanted = whole.outcome(whole.fit(precision=precision))
    first = Task()
    first.fit(2, precision=precision, checkpoint=tmp_path / "run.npz")
    second = Task(seed=5)
    found = second.outcome(second.fit(precision=precision, checkpoint=tmp_path / "run.npz"))
    assert found == wanted


def test_the_scale_and_the_count_are_in_the_checkpoint(tmp_path):
    path = tmp_path / "run.npz"
    steep([60000, 1], precision="16-mixed", checkpoint=path)
    saved = mg.load(path)
    assert saved["scaler"]["scale"] < 65536 and saved["scaler"]["_growth_tracker"] == 1
    assert saved["history"]["skipped"] == 1
    with pytest.raises(
        ValueError, match=r'precision="16-mixed" の有無が、チェックポイントと違います'
    ):
        steep([60000, 1], checkpoint=path)


def test_without_precision_an_overflow_still_ends_training():
    with pytest.raises(mg.training.NonFiniteError):
        steep([1, np.inf])


@pytest.mark.parametrize("precision", ["fp16", 16, "bf16", True])
def test_unknown_precisions_are_refused(precision):
    with pytest.raises(ValueError, match="unknown precision"):
        steep([1], precision=precision)


def test_a_model_of_values_is_refused():
    model = nn.MLP(1, [2, 1])
    optimizer = mg.optim.SGD(model.parameters(), lr=0.1)
    with pytest.raises(TypeError, match="parameters must be tensors"):
        mg.fit(model, [([1.0], 1.0)], lambda y, t: y, optimizer, 1, precision="16-mixed")
