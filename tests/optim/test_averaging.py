"""重みの平均 (swa_utils): SWA、EMA、学習率、バッチ正規化の統計が PyTorch と等しい。"""

import numpy as np
import pytest
from hypothesis import strategies as st

import micrograd_jp as mg
from micrograd_jp import nn
from micrograd_jp.optim import swa_utils as ours
from tests.reference import like_pytorch, torch

KINDS = ["default", "ema", "ema_multi", "swa", "swa_multi", "own"]


def averaged(module, kind, model, **options):
    functions = {
        "ema": {"avg_fn": module.get_ema_avg_fn(0.8)},
        "ema_multi": {"multi_avg_fn": module.get_ema_multi_avg_fn(0.8)},
        "swa": {"avg_fn": module.get_swa_avg_fn()},
        "swa_multi": {"multi_avg_fn": module.get_swa_multi_avg_fn()},
        "own": {"avg_fn": lambda averaged, current, n: averaged * 0.5 + current * 0.25 + n},
    }
    return module.AveragedModel(model, **functions.get(kind, {}), **options)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("use_buffers", [False, True])
def test_averages_are_pytorchs(kind, use_buffers):
    if use_buffers and kind == "swa_multi":
        pytest.skip("PyTorch cannot average whole numbers this way")
    rng = np.random.default_rng(0)
    a = nn.Sequential(nn.Linear(2, 3, dtype=mg.float64), nn.BatchNorm1d(3, dtype=mg.float64))
    b = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.BatchNorm1d(3)).double()
    A = averaged(ours, kind, a, use_buffers=use_buffers)
    B = averaged(torch.optim.swa_utils, kind, b, use_buffers=use_buffers)
    names = list(A.state_dict())
    assert names == list(B.state_dict().keys())
    for i in range(4):
        new = {n: rng.normal(size=x.shape) for n, x in a.state_dict().items()}
        new["1.num_batches_tracked"] = np.array(7 * i)
        a.load_state_dict({n: mg.tensor(x) for n, x in new.items()})
        b.load_state_dict({n: torch.tensor(x) for n, x in new.items()})
        A.update_parameters(a)
        B.update_parameters(b)
        state = B.state_dict()
        for name, x in A.state_dict().items():
            np.testing.assert_allclose(x.data, state[name].numpy(), rtol=1e-12, err_msg=name)
    x = rng.normal(size=(4, 2))
    y, z = A.eval()(mg.tensor(x)), B.eval()(torch.tensor(x))
    np.testing.assert_allclose(y.data, z.detach().numpy(), rtol=1e-9)


def test_a_saved_average_goes_on(tmp_path):
    model = nn.Linear(2, 1)
    A = averaged(ours, "default", model)
    for _ in range(3):
        A.update_parameters(model)
        model.weight.data = model.weight.data + 1
    mg.save(A.state_dict(), tmp_path / "average.npz")
    B = averaged(ours, "default", nn.Linear(2, 1))
    B.load_state_dict(mg.load(tmp_path / "average.npz"))
    A.update_parameters(model)
    B.update_parameters(model)
    assert A.module.weight.tolist() == B.module.weight.tolist() and B.n_averaged.item() == 4


def test_a_network_of_numbers_has_averages_too():
    model = nn.MLP(2, [2, 1])
    A = averaged(ours, "ema_multi", model)
    A.update_parameters(model)
    before = [p.data for p in model.parameters()]
    for p in model.parameters():
        p.data += 1.0
    A.update_parameters(model)
    np.testing.assert_allclose([p.data for p in A.module.parameters()], np.array(before) + 0.2)
    assert A([1.0, 2.0]).data != model([1.0, 2.0]).data


@pytest.mark.parametrize("form", ["tensors", "pairs"])
def test_statistics_of_batches_are_pytorchs(form):
    rng = np.random.default_rng(0)
    batches = [rng.normal(size=(5, 3)) for _ in range(4)]
    found = []
    theirs = torch.optim.swa_utils
    for lib, module, make in ((nn, ours, mg.tensor), (torch.nn, theirs, torch.tensor)):
        norm = lib.BatchNorm1d(3, momentum=0.3).double()
        model = lib.Sequential(norm).eval()
        xs = [make(x) if form == "tensors" else (make(x), 1) for x in batches]
        module.update_bn(xs, model)
        assert norm.momentum == 0.3 and not model.training
        found.append([np.asarray(norm.running_mean), np.asarray(norm.running_var)])
    np.testing.assert_allclose(*found, rtol=1e-12)


@pytest.mark.parametrize("kind", ["SGD", "Adam"])
@like_pytorch(
    st.sampled_from([0.05, [0.05, 0.02]]), st.sampled_from([0, 1, 5, 10]),
    st.sampled_from(["cos", "linear"]), st.sampled_from([0, 7]), max_examples=20,
)  # fmt: skip
def test_the_rates_are_pytorchs(kind, swa_lr, epochs, strategy, before):
    columns = []
    for lib, module, one in ((mg, ours, mg.ones), (torch, torch.optim.swa_utils, torch.ones)):
        ps = [one(1, requires_grad=True) for _ in range(2)]
        groups = [{"params": [p], "lr": lr} for p, lr in zip(ps, (0.5, 0.1))]
        optimizer = getattr(lib.optim, kind)(groups)
        first = lib.optim.lr_scheduler.ExponentialLR(optimizer, 0.9)
        swa = module.SWALR(optimizer, swa_lr, epochs, strategy)
        columns.append(column := [])
        for i in range(100):
            optimizer.step()
            (first if i < before else swa).step()
            column.append([g["lr"] for g in optimizer.param_groups])
    np.testing.assert_allclose(*columns, rtol=1e-9, atol=1e-15)


ONE = mg.ones(1)


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: ours.get_ema_avg_fn(1.5), ValueError, "invalid decay"),
        (lambda: ours.get_ema_multi_avg_fn(-1), ValueError, "invalid decay"),
        (lambda: ours.AveragedModel(nn.Linear(1, 1), None, max, max), ValueError, "only one of"),
        (
            lambda: ours.AveragedModel(nn.Linear(1, 1)).update_parameters(nn.ReLU()),
            ValueError, "different number",
        ),
        (lambda: ours.AveragedModel(nn.Linear(1, 1), "nowhere"), TypeError, "a device"),
        (lambda: ours.SWALR(mg.optim.SGD([ONE]), 0.1, -1), ValueError, "out of range"),
        (lambda: ours.SWALR(mg.optim.SGD([ONE]), 0.1, 3, "x"), ValueError, "unknown strategy"),
        (lambda: ours.SWALR(mg.optim.SGD([ONE]), [0.1, 0.2]), ValueError, "expected 1 swa_lrs"),
    ],
)  # fmt: skip
def test_bad_arguments(call, error, match):
    with pytest.raises(error, match=match):
        call()
