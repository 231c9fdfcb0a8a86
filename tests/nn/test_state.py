"""`state_dict` と `load_state_dict`: 往復、PyTorch との互換、合わないものの報告。"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import micrograd_jp as mg
from micrograd_jp import nn
from tests.reference import torch


def make():
    return nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Residual(nn.MLP(3, [2])))


def snapshot(model):
    return {k: np.array(getattr(v, "_data", v)) for k, v in model.state_dict().items()}


def test_round_trip():
    a, b = make(), make()
    a[0:2](mg.randn(5, 2))
    result = b.load_state_dict(a.state_dict())
    assert result == ([], [])
    for key, x in snapshot(a).items():
        np.testing.assert_array_equal(snapshot(b)[key], x)
    assert b[1].num_batches_tracked.item() == 1


def test_the_state_is_a_copy_and_loading_copies():
    model = make()
    state = model.state_dict()
    assert not any(v.requires_grad for v in state.values() if isinstance(v, mg.Tensor))
    held = model[0].weight
    state["0.weight"].numpy()[:] = 7
    assert (held.detach().numpy() != 7).all()
    model.load_state_dict(state)
    state["0.weight"].numpy()[:] = 8
    assert model[0].weight is held
    assert (held.detach().numpy() == 7).all()


def test_values_are_floats_under_dotted_names():
    state = nn.MLP(2, [2, 1]).state_dict()
    assert "layers.0.neurons.1.w.1" in state
    assert all(type(v) is float for v in state.values())
    assert len(state) == 9


@pytest.mark.parametrize("form", [np.asarray, lambda x: x.tolist(), mg.tensor])
def test_numbers_for_values_come_as_arrays_tensors_or_floats(form):
    model = nn.Neuron(2)
    state = {k: form(np.float64(i)) for i, k in enumerate(model.state_dict())}
    model.load_state_dict(state)
    assert [p.data for p in model.parameters()] == [0.0, 1.0, 2.0]


def test_every_mismatch_is_listed_at_once_and_nothing_changes():
    model = make()
    before = snapshot(model)
    state = {k: mg.zeros(*getattr(v, "shape", ())) for k, v in model.state_dict().items()}
    del state["0.bias"], state["1.running_mean"]
    state |= {"extra": 1.0, "0.weight": mg.zeros(3, 3), "1.weight": "three", "more.b": 2.0}
    state["1.num_batches_tracked"] = 0.5
    with pytest.raises(ValueError, match="Sequential に") as caught:
        model.load_state_dict(state)
    text = str(caught.value)
    for part in (
        "missing keys): 0.bias, 1.running_mean\n", "unexpected keys): extra, more.b\n",
        "0.weight: 渡された形 (3, 3)、必要な形 (3, 2)", "1.weight: 数の配列ではなく str",
        "1.num_batches_tracked: 整数 (int64)", "何も変更していません",
    ):  # fmt: skip
        assert part in text
    for key, x in snapshot(model).items():
        np.testing.assert_array_equal(before[key], x)


def test_not_strict_ignores_names_but_not_shapes():
    model = nn.Linear(2, 1)
    result = model.load_state_dict({"weight": [[1.0, 2.0]] and np.ones((1, 2)), "x": 1}, False)
    assert result.missing_keys == ["bias"]
    assert result.unexpected_keys == ["x"]
    assert (model.weight.detach().numpy() == 1).all()
    with pytest.raises(ValueError, match=r"\(2,\)、必要な形 \(1, 2\)") as caught:
        model.load_state_dict({"weight": np.ones(2), "x": 1}, strict=False)
    assert "unexpected" not in str(caught.value)


def test_long_lists_of_names_are_cut():
    with pytest.raises(ValueError, match=r"…ほか 80 個"):
        nn.Neuron(99).load_state_dict({})
    with pytest.raises(TypeError, match="expected a dict"):
        nn.Neuron(1).load_state_dict([1, 2])


def test_shared_parameters_must_agree():
    linear = nn.Linear(1, 1)
    model = nn.Sequential(linear, linear)
    state = model.state_dict()
    state["1.bias"] = state["1.bias"] + 1
    with pytest.raises(ValueError, match=r"1.bias: 0.bias と共有"):
        model.load_state_dict(state)
    assert model.load_state_dict(model.state_dict()) == ([], [])


def test_two_parameters_under_one_name_are_refused():
    model = nn.Module()
    model.table = {"a.b": nn.Parameter([1.0]), "a": {"b": nn.Parameter([2.0])}}
    with pytest.raises(ValueError, match=r"同じ名前 .*duplicate key"):
        model.state_dict()


def test_loading_casts_to_the_models_dtype_and_fits_strides():
    model = nn.Linear(2, 3)
    weight = np.arange(6, dtype=np.float64).reshape(2, 3).T
    model.load_state_dict({"weight": weight, "bias": np.arange(3)})
    assert model.weight.dtype == mg.float32
    np.testing.assert_array_equal(model.weight.detach().numpy(), weight)


def test_read_only_memory_is_replaced():
    model = nn.Linear(1, 1)
    model.weight.detach().numpy().flags.writeable = False
    model.load_state_dict({"weight": np.ones((1, 1)), "bias": np.ones(1)})
    assert model.weight.item() == 1.0


def test_pytorchs_keys_shapes_and_order():

    def build(nn):
        return nn.Sequential(
            nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Sequential(nn.LayerNorm([4]), nn.Dropout()),
            nn.ModuleDict({"e": nn.Embedding(3, 2)}), nn.BatchNorm1d(2, affine=False),
            nn.BatchNorm1d(2, track_running_stats=False), nn.Linear(4, 1, bias=False),
        )  # fmt: skip

    theirs, ours = build(torch.nn), build(nn)
    state = theirs.state_dict()
    mine = ours.state_dict()
    assert list(mine) == list(state)
    for name, x in state.items():
        assert (mine[name].shape, f"torch.{mine[name].dtype}") == (x.shape, str(x.dtype))
    ours.load_state_dict({name: np.ones_like(x.numpy()) for name, x in mine.items()})
    back = {k: torch.tensor(v.numpy()) for k, v in ours.state_dict().items()}
    theirs.load_state_dict(back)


class Line(nn.Module):
    def __init__(self):
        self.w, self.b = [mg.Value(2.0)], mg.Value(1.0)


modules = st.recursive(
    st.builds(lambda i, o: nn.Linear(i, o), st.integers(1, 3), st.integers(1, 3))
    | st.builds(nn.BatchNorm1d, st.integers(1, 3))
    | st.builds(Line)
    | st.builds(nn.ReLU),
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda ms: nn.Sequential(*ms))
        | st.lists(inner, max_size=3).map(nn.ModuleList)
        | st.dictionaries(st.sampled_from("abc"), inner, max_size=2).map(nn.ModuleDict)
    ),
    max_leaves=8,
)


@given(modules, st.data())
def test_any_tree_round_trips_and_any_missing_key_is_found(model, data):
    state = model.state_dict()
    moved = {k: v + 1 for k, v in state.items()}
    model.load_state_dict(moved)
    for key, x in snapshot(model).items():
        np.testing.assert_array_equal(x, np.asarray(getattr(moved[key], "_data", moved[key])))
    if state:
        gone = data.draw(st.sampled_from(sorted(state)))
        del moved[gone]
        with pytest.raises(ValueError, match="missing keys") as caught:
            model.load_state_dict(moved)
        assert gone in str(caught.value)
        assert "unexpected" not in str(caught.value)
