"""チェックサムは中身だけのもの: 配列の置き方によらず、中身の違いはすべて分かる。"""

import importlib
import io
import json

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import micrograd_jp as mg
from micrograd_jp.saving import safetensors
from micrograd_jp.saving.checksum import checksum, require_checksum

sums = importlib.import_module("micrograd_jp.saving.checksum")  # a function has the same name
DTYPES = ["f2", "f4", "f8", "i1", "i2", "i8", "u2", "u4"]
ARRAYS = st.sampled_from(DTYPES).flatmap(lambda t: hnp.arrays(t, hnp.array_shapes(min_side=2)))


@settings(max_examples=40)
@given(ARRAYS, st.sampled_from("CF"), st.sampled_from("<>"))
def test_the_same_numbers_laid_out_otherwise(x, order, byte_order):
    other = x.astype(x.dtype.newbyteorder(byte_order), order=order)
    assert checksum({"x": other}, None) == checksum({"x": x}, None)


@pytest.fixture(params=[1 << 21, 3], ids=["whole", "pieces"])
def piece(request, monkeypatch):
    monkeypatch.setattr(sums, "_PIECE", request.param)


@settings(max_examples=40)
@given(x=ARRAYS, data=st.data())
def test_every_difference_shows(piece, x, data):
    found = {checksum({"x": x}, None), checksum({"y": x}, None), checksum({"x": x}, "[]")}
    found |= {checksum({"x": x[None]}, None), checksum({"x": x.view("u1")}, None)}
    changed = x.copy().reshape(-1)
    i = data.draw(st.integers(0, x.size - 1))
    changed.view("u1")[i * x.itemsize] ^= 1
    found.add(checksum({"x": changed.reshape(x.shape)}, None))
    found.add(checksum({"x": x[::-1], "y": x}, None))
    found.add(checksum({"x": x, "y": x[::-1]}, None))
    assert len(found) == 8 - (x.tobytes() == x[::-1].tobytes())  # 0.0 == -0.0


@settings(max_examples=40)
@given(st.dictionaries(st.text(max_size=5), ARRAYS, max_size=4), st.text(max_size=9))
def test_our_safetensors_are_the_library_s_byte_for_byte(arrays, tree):
    library = pytest.importorskip("safetensors.numpy")
    arrays.pop("__metadata__", None)
    theirs = library.save(arrays, metadata={"micrograd_jp": f"{tree}sum"})
    assert safetensors.encoded(arrays, tree, "sum") == theirs


@pytest.mark.parametrize("tree", [None, "[]"])
@pytest.mark.parametrize("kind", ["sha256", "crc32"])
def test_files_with_an_older_checksum_are_read_and_checked(kind, tree, tmp_path):
    """Those that we wrote before there was a faster one."""
    arrays = {"x": np.arange(3.0)}
    good = checksum(arrays, tree, kind)
    read, note, written = safetensors.decoded(io.BytesIO(safetensors.encoded(arrays, tree, good)))
    assert (note, written) == (tree, good)
    require_checksum(read, note, written)
    for bad in (good.replace(kind, "crc32s"), good[:-20] + "0" + good[-19:], "damaged"):
        with pytest.raises(ValueError, match="checksum mismatch"):
            require_checksum(read, note, bad)


def test_bfloat16(tmp_path):
    bfloat16 = pytest.importorskip("ml_dtypes", reason="ml_dtypes がありません").bfloat16
    x = np.array([[1.5, -2.0], [0.25, 3.0]], bfloat16)
    assert checksum({"x": x}, None) == checksum({"x": np.asfortranarray(x)}, None)
    assert checksum({"x": x}, None) != checksum({"x": x * bfloat16(2)}, None)
    assert checksum({"x": x}, None) != checksum({"x": x.view(np.uint16)}, None)
    for suffix in (".npz", ".safetensors"):
        mg.save({"x": x, "n": np.arange(3)}, tmp_path / f"x{suffix}")
        loaded = mg.load(tmp_path / f"x{suffix}")
        assert loaded["x"].dtype == bfloat16 and loaded["x"].numpy().tobytes() == x.tobytes()
        assert loaded["n"].dtype == np.arange(3).dtype


@pytest.mark.parametrize("key", ["licrograd_jp", "nicrograd_jp"])
def test_a_changed_key_of_the_checksum_is_damage(key, tmp_path):
    arrays = {"x": np.arange(3.0)}
    contents = safetensors.encoded(arrays, None, checksum(arrays, None))
    path = tmp_path / "x.safetensors"
    path.write_bytes(contents)
    np.testing.assert_array_equal(mg.load(path)["x"].numpy(), arrays["x"])
    path.write_bytes(contents.replace(b'"micrograd_jp"', json.dumps(key).encode(), 1))
    with pytest.raises(ValueError, match="checksum"):
        mg.load(path)


def test_arrays_in_fortrans_order_are_read_in_cs(tmp_path):
    x = np.asfortranarray(np.arange(6.0).reshape(2, 3))
    file = io.BytesIO()
    np.savez(file, x=x)
    (tmp_path / "x.npz").write_bytes(file.getvalue())
    read = mg.load(tmp_path / "x.npz")["x"].numpy()
    np.testing.assert_array_equal(read, x)
    assert read.flags.c_contiguous and read.flags.writeable
