"""GPU などがあるかを尋ねる PyTorch の名前: JAX の見つけたとおりに答える。"""

import sys
from types import SimpleNamespace

import pytest

import micrograd_jp as mg
from micrograd_jp.tensor import accelerators


def jax_with(**devices):
    def local_devices(backend):
        if backend not in devices:
            raise RuntimeError(f"Unknown backend {backend}")
        return [SimpleNamespace(device_kind=f"{backend} {i}") for i in range(devices[backend])]

    return SimpleNamespace(local_devices=local_devices)


@pytest.mark.parametrize(
    ("there", "gpus", "current"),
    [({}, 0, None), ({"cpu": 1}, 0, None), ({"gpu": 2}, 2, "gpu"), ({"tpu": 4}, 0, "tpu"),
     ({"gpu": 1, "tpu": 1}, 1, "gpu")],
)  # fmt: skip
def test_what_jax_finds_is_available(there, gpus, current, monkeypatch):
    monkeypatch.setitem(sys.modules, "jax", jax_with(**there))
    monkeypatch.setattr(accelerators.importlib.util, "find_spec", lambda name: name)
    assert (mg.cuda.is_available(), mg.cuda.device_count()) == (gpus > 0, gpus)
    found = mg.accelerator.current_accelerator()
    assert found == (None if current is None else mg.device(current))
    assert mg.accelerator.is_available() == (current is not None)
    assert mg.accelerator.device_count() == there.get(current, 0)
    assert not mg.backends.mps.is_available() and not mg.backends.mps.is_built()


def test_without_jax_there_is_none(monkeypatch):
    monkeypatch.setattr(accelerators.importlib.util, "find_spec", lambda name: None)
    assert not mg.cuda.is_available() and mg.accelerator.current_accelerator() is None
    device = mg.device("cuda" if mg.cuda.is_available() else "cpu")
    assert mg.ones(2).to(device).device == mg.device("cpu")


def test_nobody_waits_for_jax_where_it_has_no_plugin(monkeypatch):
    monkeypatch.delitem(sys.modules, "jax", raising=False)
    installed = {"jax": "jax", "jax_plugins": None}
    monkeypatch.setattr(accelerators.importlib.util, "find_spec", installed.get)
    monkeypatch.setattr(accelerators, "entry_points", lambda group: ())
    assert not mg.cuda.is_available() and "jax" not in sys.modules
    loaded = []
    monkeypatch.setattr(accelerators, "require", lambda *name: loaded.append(name) or jax_with())
    monkeypatch.setattr(accelerators, "entry_points", lambda group: ["xla_cuda"])
    assert not mg.cuda.is_available() and len(loaded) == 1


def test_there_is_one_stream_of_random_numbers():
    for seeded in (mg.cuda.manual_seed, mg.cuda.manual_seed_all, mg.manual_seed):
        seeded(3)
        drawn = mg.rand(2).tolist()
        mg.manual_seed(3)
        assert mg.rand(2).tolist() == drawn


def test_a_gpu_has_a_name(monkeypatch):
    monkeypatch.setitem(sys.modules, "jax", jax_with(gpu=2))
    monkeypatch.setattr(accelerators.importlib.util, "find_spec", lambda name: name)
    assert mg.cuda.get_device_name(1) == "gpu 1"
    with pytest.raises(RuntimeError, match=r"GPU 2 はありません.*2 個"):
        mg.cuda.get_device_name(2)


def test_waiting_is_for_every_array_of_jax(monkeypatch):
    waited = []
    array = SimpleNamespace(block_until_ready=lambda: waited.append(1))
    monkeypatch.setitem(sys.modules, "jax", SimpleNamespace(live_arrays=lambda: [array] * 3))
    mg.cuda.synchronize()
    mg.cuda.empty_cache()
    assert len(waited) == 3


def test_the_lines_that_fix_every_seed_run(monkeypatch):
    """A function seed_everything stands in many programs."""
    monkeypatch.setattr(mg.backends.cudnn, "deterministic", False)
    monkeypatch.setattr(mg.backends.cudnn, "benchmark", True)
    monkeypatch.setattr(mg.backends.cuda.matmul, "allow_tf32", True)
    assert mg.backends.cudnn.benchmark and not mg.backends.cudnn.is_available()
    with pytest.raises(AttributeError, match="JAX が装置を動かします"):
        mg.backends.mkldnn
