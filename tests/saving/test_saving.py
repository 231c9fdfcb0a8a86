"""mg.save と mg.load: 往復、他のライブラリとの行き来、壊れたファイル、途中で失敗した保存。"""

import json
import os
import random
import struct
import tracemalloc
import zipfile

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
import safetensors.numpy
from hypothesis import example, given, settings
from hypothesis import strategies as st

import micrograd_jp as mg
from micrograd_jp import saving
from micrograd_jp.saving import npz
from micrograd_jp.saving.checksum import checksum
from tests.reference import pytorch_answers

FORMATS = [".safetensors", ".npz"]
DTYPES = [
    np.dtype(c) for c in ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "?")
]


def same(a, b):
    """Equal in structure, type, dtype, shape and bits."""
    if isinstance(a, mg.Tensor):
        return isinstance(b, mg.Tensor) and same(a.numpy(), b.numpy()) and not b.requires_grad
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    if isinstance(a, dict):
        return (
            a.__class__ is b.__class__ and list(a) == list(b) and all(same(a[k], b[k]) for k in a)
        )
    if isinstance(a, list | tuple):
        return a.__class__ is b.__class__ and len(a) == len(b) and all(map(same, a, b))
    return a.__class__ is b.__class__ and repr(a) == repr(b)


ARRAYS = st.sampled_from(DTYPES).flatmap(
    lambda dtype: hnp.arrays(
        dtype, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)
    )
)
LAYOUTS = st.sampled_from([lambda x: x, lambda x: x.T, lambda x: x[::-1] if x.ndim else x])
LAID_OUT = st.builds(lambda f, x: f(x), LAYOUTS, ARRAYS)
LEAVES = st.one_of(
    LAID_OUT,
    LAID_OUT.map(mg.Tensor),
    st.integers(),
    st.floats(),
    st.booleans(),
    st.none(),
    st.text(),
)
STATES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.tuples(inner, inner),
        st.dictionaries(st.one_of(st.text(max_size=5), st.integers()), inner, max_size=3),
    ),
    max_leaves=6,
)  # fmt: skip


@pytest.mark.parametrize("suffix", FORMATS)
def test_round_trip_of_any_state(suffix, tmp_path):
    path = tmp_path / f"state{suffix}"

    @settings(max_examples=60)
    @given(STATES)
    @example({"a.b": np.ones(1), "a": {"b": np.zeros(2)}, 1: "x", "n": float("nan")})
    @example(mg.tensor([1.0]))
    @example({"/": np.ones(1), "\0": np.zeros(2), "_": np.ones(3), "n": 1})
    def check(state):
        mg.save({"state": state}, path)
        loaded = mg.load(path)
        expected = {"state": mg.Tensor(state) if isinstance(state, np.ndarray) else state}
        assert same(expected, loaded)

    check()


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_flat_dict_of_arrays_keeps_its_keys(suffix, tmp_path):
    state = {
        "0.weight": mg.tensor([[1.0, 2.0]]),
        "0.bias": np.float16([[3], [4]]).T,
        "n": mg.tensor(5),
    }
    path = tmp_path / f"model{suffix}"
    mg.save(state, path)
    other = dict(np.load(path)) if suffix == ".npz" else safetensors.numpy.load_file(path)
    assert sorted(other) == sorted(state)
    for name, x in state.items():
        x = x.numpy() if isinstance(x, mg.Tensor) else x
        assert other[name].dtype == x.dtype
        np.testing.assert_array_equal(other[name], x)
    assert all(isinstance(x, mg.Tensor) for x in mg.load(path).values())


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_transposed_weight_is_saved_as_it_reads(suffix, tmp_path):
    W = np.arange(6.0).reshape(2, 3)
    mg.save({"w": mg.Tensor(W.T)}, tmp_path / f"w{suffix}")
    np.testing.assert_array_equal(mg.load(tmp_path / f"w{suffix}")["w"].numpy(), W.T)


WEIGHT = [[0.5, -1.25, 3.0], [1e3, 0.0, -0.0625]]


@pytorch_answers
def written_by_pytorch(torch):
    import safetensors.torch

    weight = torch.tensor(WEIGHT).to(torch.bfloat16)
    return safetensors.torch.save({"weight": weight, "bias": torch.zeros(2)})


@pytorch_answers
def read_by_pytorch(torch, data):
    import safetensors.torch

    return safetensors.torch.load(data)["weight"].float().tolist()


def test_torch_reads_our_weights_and_we_read_torchs(tmp_path):
    (tmp_path / "theirs.safetensors").write_bytes(written_by_pytorch())
    loaded = mg.load(tmp_path / "theirs.safetensors")
    assert loaded["weight"].shape == (2, 3)
    assert loaded["weight"].dtype.name == "bfloat16"
    for suffix in FORMATS:
        mg.save(loaded, tmp_path / f"ours{suffix}")
        again = mg.load(tmp_path / f"ours{suffix}")
        assert again["weight"].numpy().tobytes() == loaded["weight"]._data.tobytes()
    assert read_by_pytorch((tmp_path / "ours.safetensors").read_bytes()) == WEIGHT


def test_arrays_of_jax(tmp_path):
    jnp = pytest.importorskip("jax.numpy", reason="jax がありません")
    for suffix in FORMATS:
        path = tmp_path / f"jax{suffix}"
        mg.save({"x": mg.Tensor(jnp.ones((2, 2), jnp.bfloat16)), "n": 1}, path)
        loaded = mg.load(path)
        assert loaded["x"].dtype == jnp.bfloat16
        assert loaded["x"].numpy().tolist() == [[1, 1], [1, 1]]


def test_the_same_state_gives_the_same_bytes(tmp_path):
    for suffix in FORMATS:
        contents = []
        for name in "ab":
            mg.save({"x": np.arange(3), "n": [1]}, tmp_path / f"{name}{suffix}")
            contents.append((tmp_path / f"{name}{suffix}").read_bytes())
        assert contents[0] == contents[1]


@pytest.mark.parametrize(
    ("state", "error", "match"),
    [
        ({"a": [1, {2, 3}]}, TypeError, r"状態\['a'\]\['1'\] の set"),
        ({"v": mg.Value(1.0)}, TypeError, "cannot save a Value"),
        ({1.5: 1}, TypeError, "expected str or int"),
        ({True: 1}, TypeError, "expected str or int"),
        ({"c": np.ones(2, "M8[s]")}, TypeError, "dtype"),
        ({"o": np.array([object()])}, TypeError, "dtype"),
        (lambda x: x, TypeError, "function"),
    ],
)
def test_what_cannot_be_saved_is_refused_by_place(state, error, match, tmp_path):
    for suffix in FORMATS:
        path = tmp_path / f"state{suffix}"
        path.write_bytes(b"before")
        with pytest.raises(error, match=match):
            mg.save(state, path)
        assert path.read_bytes() == b"before"


def test_a_state_within_itself_is_refused(tmp_path):
    state = []
    state.append(state)
    with pytest.raises(TypeError, match="nested too deeply"):
        mg.save(state, tmp_path / "s.npz")


def test_unknown_suffix_and_missing_file(tmp_path):
    with pytest.raises(ValueError, match="unknown file format"):
        mg.save({}, tmp_path / "x.pkl")
    with pytest.raises(ValueError, match="unknown file format"):
        mg.load(tmp_path / "x.pkl")
    with pytest.raises(FileNotFoundError, match="no such file"):
        mg.load(tmp_path / "x.npz")
    nested = {npz.TREE: np.ones(1), "__metadata__": np.zeros(1), "n": 3}  # these names are ours
    for suffix in FORMATS:
        mg.save(nested, tmp_path / f"x{suffix}")
        assert same(mg.load(tmp_path / f"x{suffix}"), nested)
        (tmp_path / f"x{suffix}").unlink()
    with pytest.raises(ValueError, match="reserved name"):
        mg.save({npz.TREE: np.ones(1)}, tmp_path / "x.npz")
    with pytest.raises(ValueError, match="reserved name"):
        mg.save({"__metadata__": np.ones(1)}, tmp_path / "x.safetensors")


def test_without_safetensors_one_sentence_says_what_to_install(tmp_path, monkeypatch):
    mg.save({"x": np.ones(1)}, tmp_path / "x.safetensors")
    for module in ("safetensors", "safetensors.numpy"):
        monkeypatch.setitem(__import__("sys").modules, module, None)
    for call in (lambda p: mg.save({}, p), mg.load):
        with pytest.raises(ImportError, match=r'pip install "micrograd_jp\[data\]"'):
            call(tmp_path / "x.safetensors")


# ---- 書きかけを見せない -----------------------------------------------------------------------


@pytest.mark.parametrize("failing", ["fsync", "replace"])
@pytest.mark.parametrize("suffix", FORMATS)
def test_a_failed_save_leaves_the_old_file_and_nothing_else(failing, suffix, tmp_path, monkeypatch):
    path = tmp_path / f"state{suffix}"
    mg.save({"x": 1}, path)

    def fails(*_):
        raise OSError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(saving.os, failing, fails)
        with pytest.raises(OSError, match="disk full"):
            mg.save({"x": 2}, path)
    assert mg.load(path) == {"x": 1}
    assert os.listdir(tmp_path) == [path.name]


def test_a_link_is_followed_not_replaced(tmp_path):
    (tmp_path / "real").mkdir()
    link = tmp_path / "link.npz"
    link.symlink_to(tmp_path / "real" / "state.npz")
    mg.save({"x": 1}, link)
    assert link.is_symlink()
    assert mg.load(tmp_path / "real" / "state.npz") == {"x": 1}


# ---- 壊れたファイル、悪意のあるファイル ---------------------------------------------------------


def _saved(suffix, folder):
    rng = np.random.default_rng(0)
    state = {
        "w": mg.Tensor(rng.normal(size=(3, 4))),
        "b": rng.integers(0, 9, 5),
        "n": [1, {"k": "v"}],
    }
    mg.save(state, folder / f"good{suffix}")
    return (folder / f"good{suffix}").read_bytes()


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("nested", [True, False])
def test_no_changed_bit_is_taken_for_what_was_saved(suffix, nested, tmp_path):
    """Each byte in turn. What does not matter (a date in the zip) may change nothing."""
    state = {"w": mg.tensor([1.0, -2.0]), "n": 3} if nested else {"w": mg.tensor([1.0, -2.0])}
    path = tmp_path / f"state{suffix}"
    mg.save(state, path)
    good, noticed = path.read_bytes(), 0
    for at in range(len(good)):
        damaged = bytearray(good)
        damaged[at] ^= 1 << at % 8
        path.write_bytes(damaged)
        try:
            assert same(mg.load(path), state), at
        except mg.LoadError:
            noticed += 1
    assert noticed > len(good) / 2


@pytest.mark.parametrize("suffix", FORMATS)
def test_numbers_that_changed_are_noticed_by_the_checksum_alone(suffix, tmp_path, monkeypatch):
    """What no form notices: other numbers, written as carefully. Then without the check."""
    path = tmp_path / f"state{suffix}"
    monkeypatch.setattr(saving, "checksum", lambda arrays, tree: checksum({}, tree))
    mg.save({"w": mg.ones(2)}, path)
    with pytest.raises(mg.LoadError, match="checksum mismatch"):
        mg.load(path)
    monkeypatch.setattr(saving, "require_checksum", lambda *_: None)
    assert mg.load(path)["w"].tolist() == [1, 1]


def test_files_without_a_checksum_are_read(tmp_path):
    """Those of other programs, and those that we wrote before there was one."""
    tree = '{"dict": [["n", 3], ["w", {"tensor": "w"}]]}'
    w = np.array([1.0, 2.0], "f4")
    for name, metadata in (("ours", {"micrograd_jp": tree}), ("theirs", {"format": "pt"})):
        safetensors.numpy.save_file({"w": w}, tmp_path / f"{name}.safetensors", metadata=metadata)
    note = np.frombuffer(json.dumps({"tree": tree, "bfloat16": []}).encode(), "u1")
    np.savez(tmp_path / "ours.npz", w=w, **{npz.TREE: note})
    np.savez(tmp_path / "theirs.npz", w=w)
    with zipfile.ZipFile(tmp_path / "theirs.npz", "a") as archive:
        archive.comment = b"made by somebody"
    for suffix in FORMATS:
        assert same(mg.load(tmp_path / f"ours{suffix}"), {"n": 3, "w": mg.Tensor(w)})
        assert same(mg.load(tmp_path / f"theirs{suffix}"), {"w": mg.Tensor(w)})


def damaged(good, rng):
    """A file like `good`, but in one or two places bytes are flipped, overwritten, moved, cut out,
    added or cut off. (That there was a checksum is marked at three places.)
    """
    content = bytearray(good)
    for _ in range(rng.choice([1, 2])):
        a, b = sorted((rng.randrange(len(content) + 1), rng.randrange(len(content) + 1)))
        few = slice(a, min(b, a + rng.choice([1, 2, 8, 64])))
        kind = rng.randrange(6)
        if kind == 0 and a < len(content):
            content[a] ^= 1 << rng.randrange(8)
        elif kind == 1:
            content[few] = rng.randbytes(len(content[few]))
        elif kind == 2:
            content[few] = content[b : b + len(content[few])]
        elif kind == 3:
            del content[few]
        elif kind == 4:
            content[a:a] = rng.choice([bytes(8), b"9", b"[", content[few]])
        else:
            del content[b:]
    return bytes(content)


def fuzz(suffix, folder, count):
    good, path = _saved(suffix, folder), folder / f"bad{suffix}"
    state = mg.load(folder / f"good{suffix}")
    refused = 0
    for seed in range(count):
        path.write_bytes(damaged(good, random.Random(seed)))
        try:
            loaded = mg.load(path)
        except mg.LoadError as error:
            assert str(path) in str(error), seed
            refused += 1
        else:
            assert same(loaded, state), seed
    assert refused > count * 0.8


@pytest.mark.parametrize("suffix", FORMATS)
def test_fuzzed_files_are_refused_or_are_what_was_saved(suffix, tmp_path):
    fuzz(suffix, tmp_path, 2_000)


@pytest.mark.slow
@pytest.mark.parametrize("suffix", FORMATS)
def test_50_000_fuzzed_files(suffix, tmp_path):
    fuzz(suffix, tmp_path, 50_000)


@pytest.mark.parametrize("suffix", FORMATS)
def test_damage_raises_one_error_and_takes_no_memory(suffix, tmp_path):
    good, path = _saved(suffix, tmp_path), tmp_path / f"bad{suffix}"
    positions = st.integers(0, len(good) - 1)

    @settings(max_examples=100)
    @given(st.lists(st.tuples(positions, st.integers(1, 255)), max_size=4), st.none() | positions)
    def check(flips, cut):
        damaged = bytearray(good)
        for at, bits in flips:
            damaged[at] ^= bits
        path.write_bytes(damaged[:cut])
        tracemalloc.start()
        try:
            mg.load(path)
        except mg.LoadError as error:
            assert str(path) in str(error)
        finally:
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        assert peak < 4_000_000

    check()


@pytest.mark.parametrize("suffix", FORMATS)
def test_every_truncation_is_noticed(suffix, tmp_path):
    good, path = _saved(suffix, tmp_path), tmp_path / f"cut{suffix}"
    for length in range(0, len(good), 7):
        path.write_bytes(good[:length])
        with pytest.raises(mg.LoadError, match="corrupt"):
            mg.load(path)


def _npy(shape, descr="<f8", data=b""):
    header = f"{{'descr': {descr!r}, 'fortran_order': False, 'shape': {shape}, }}".encode()
    header += b" " * (-(len(header) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + data


def _bomb():
    return _npy((1 << 27,)) + bytes(8 << 20)  # says 1 GiB, holds 8 MiB of zeros


HOSTILE_NPY = {
    "terabytes": _npy((1 << 40,)),
    "negative": _npy((-1, 2)),
    "overflowing": _npy((1 << 62, 1 << 62)),
    "objects": _npy((1,), "|O", b"\x80\x04N."),
    "records": _npy((1,), [("a", "<f8")], bytes(8)),
    "code": _npy("(__import__('os').abort(),)"),
    "long header": _npy("(" + "1," * 20000 + ")"),
    "deep": _npy("(" * 500 + ")" * 500),
    "bomb": _bomb(),
}


@pytest.mark.parametrize("name", HOSTILE_NPY)
def test_hostile_npz(name, tmp_path):
    path = tmp_path / "hostile.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", HOSTILE_NPY[name])
    tracemalloc.start()
    try:
        with pytest.raises(mg.LoadError, match="corrupt"):
            mg.load(path)
        assert tracemalloc.get_traced_memory()[1] < 64 << 20
    finally:
        tracemalloc.stop()


def _tensors(header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def _entry(dtype, shape, start, stop):
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, stop]}


HOSTILE_SAFETENSORS = {
    "huge header": struct.pack("<Q", 1 << 62),
    "huge shape": _tensors({"x": _entry("F32", [1 << 40], 0, 4)}, bytes(4)),
    "overlap": _tensors({n: _entry("U8", [4], 0, 4) for n in "ab"}, bytes(4)),
    "outside": _tensors({"x": _entry("U8", [4], 4, 8)}, bytes(4)),
    "not json": _tensors(b"{" * 100),
    "deep": _tensors(b"[" * 100_000),
    "unknown dtype": _tensors({"x": _entry("F8_E5M2", [4], 0, 4)}, bytes(4)),
    "names a missing array": _tensors({"__metadata__": {"micrograd_jp": '{"tensor": "y"}'}}),
    "unknown tree": _tensors({"__metadata__": {"micrograd_jp": '{"pickle": "y"}'}}),
    "no tree": _tensors({"__metadata__": {"micrograd_jp": "[1]"}}),
    "deep tree": _tensors(
        {"__metadata__": {"micrograd_jp": '{"list": [' * 900 + "1" + "]}" * 900}}
    ),
    "a little too deep": _tensors(
        {"__metadata__": {"micrograd_jp": '{"list": [' * 66 + "1" + "]}" * 66}}
    ),
    "deeper tree": _tensors({"__metadata__": {"micrograd_jp": "[" * 200_000}}),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE_SAFETENSORS)
def test_hostile_safetensors(name, tmp_path):
    path = tmp_path / "hostile.safetensors"
    path.write_bytes(HOSTILE_SAFETENSORS[name])
    with pytest.raises(mg.LoadError, match="corrupt"):
        mg.load(path)


@pytest.mark.slow
def test_an_npz_that_expands_without_measure_is_refused_before_it_does(tmp_path, monkeypatch):
    path = tmp_path / "bomb.npz"
    np.savez_compressed(path, x=np.zeros(1 << 27, "u1"))  # 128 KiB say 128 MiB, and it is true
    assert path.stat().st_size < 1 << 19
    tracemalloc.start()
    try:
        with pytest.raises(mg.LoadError, match="expands too much"):
            mg.load(path)
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()
    monkeypatch.setattr(npz, "LARGE", 1 << 29)
    assert mg.load(path)["x"].shape == (1 << 27,)


def test_overlapping_entries_are_refused(tmp_path):
    """Two names over one entry's bytes, beside an entry that makes room in every sum."""
    path = tmp_path / "x.npz"
    np.savez(path, a=np.arange(9.0), b=np.arange(9.0), room=np.zeros(1000))
    good = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        first, second = (archive.getinfo(f"{n}.npy").header_offset for n in "ab")
    end = good.rindex(b"b.npy")  # of the name in the directory; the offset stands before it
    assert good[end - 4 : end] == struct.pack("<L", second)
    for offset in (first, first + 40):
        path.write_bytes(good[: end - 4] + struct.pack("<L", offset) + good[end:])
        with pytest.raises(mg.LoadError, match="overlapping entries"):
            mg.load(path)


def test_how_deep_a_state_may_be(tmp_path):
    def nested(depth):
        return [nested(depth - 1)] if depth else 1

    for suffix in FORMATS:
        path = tmp_path / f"deep{suffix}"
        mg.save(nested(64), path)
        assert mg.load(path) == nested(64)
        with pytest.raises(TypeError, match="nested too deeply"):
            mg.save(nested(65), path)
        assert mg.load(path) == nested(64)


def test_compressed_npz_of_others_is_read(tmp_path):
    np.savez_compressed(tmp_path / "x.npz", zeros=np.zeros(100_000), big=np.arange(3, dtype=">i4"))
    loaded = mg.load(tmp_path / "x.npz")
    assert loaded["zeros"].numpy().shape == (100_000,)
    assert loaded["big"].dtype == np.int32
    assert loaded["big"].tolist() == [0, 1, 2]
    assert loaded["big"].numpy().flags.writeable


@pytest.mark.parametrize("depth", [64, 65, 66, 67, 10_000])
def test_a_deeper_state_in_a_file_is_refused(depth, tmp_path):
    """Well formed, with its checksum: only the depth is wrong."""
    tree = '{"list": [' * depth + "1" + "]}" * depth
    path = tmp_path / "deep.npz"
    path.write_bytes(npz.encoded({}, tree, checksum({}, tree)))
    if depth <= 65:
        assert str(mg.load(path)) == "[" * depth + "1" + "]" * depth
        return
    with pytest.raises(mg.LoadError):
        mg.load(path)
