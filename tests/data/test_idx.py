"""read_idx: 正しいファイルと、壊れたファイル・悪意のあるファイル。"""

import gzip
import hashlib
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from idx_files import CODES, SMALL, header, idx_bytes, packed

from micrograd_jp.data import read_idx


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("idx") / "file"


def read(place, content, **options):
    place.write_bytes(content)
    return read_idx(place, **options)


ARRAYS = st.sampled_from(sorted(CODES)).flatmap(
    lambda code: hnp.arrays(
        np.dtype(code), hnp.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=4)
    )
)


@given(array=ARRAYS, gz=st.booleans())
def test_what_was_written_is_read(place, array, gz):
    content = idx_bytes(array)
    got = read(place, packed(content) if gz else content, md5=hashlib.md5(content).hexdigest())
    np.testing.assert_array_equal(got, array)
    assert got.dtype == array.dtype and got.dtype.isnative and got.flags.writeable


@given(array=ARRAYS, data=st.data(), gz=st.booleans())
def test_every_shortened_file_is_refused(place, array, data, gz):
    content = idx_bytes(array)
    content = packed(content) if gz else content
    end = data.draw(st.integers(0, len(content) - 1))
    with pytest.raises(ValueError, match=r"truncated|corrupt gzip"):
        read(place, content[:end])


@given(content=st.binary(max_size=60), gz=st.booleans())
def test_random_bytes_are_refused_or_are_an_array(place, content, gz):
    try:
        got = read(place, packed(content) if gz else content)
    except ValueError as error:
        assert "IDX" in str(error)
    else:
        assert idx_bytes(got) == content


@given(
    shape=st.lists(
        st.one_of(st.integers(0, 3), st.integers(0, 2**32 - 1)), min_size=1, max_size=255
    ),
    code=st.sampled_from(sorted(CODES.values())),
    body=st.binary(max_size=30),
)
def test_headers_that_promise_anything(place, shape, code, body):
    content = header(shape, code) + body
    try:
        got = read(place, content)
    except ValueError as error:
        assert "IDX" in str(error)
    else:
        assert list(got.shape) == shape and got.nbytes == len(body)


@given(data=st.data())
def test_every_flipped_bit_is_noticed_by_the_checksum(place, data):
    content = idx_bytes(SMALL)
    md5 = hashlib.md5(content).hexdigest()
    damaged = bytearray(content)
    damaged[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(ValueError, match="IDX"):
        read(place, bytes(damaged), md5=md5)


@pytest.mark.parametrize(
    ("content", "term"),
    [
        (b"", "truncated"),
        (b"\x08\x03\0\0" + bytes(12), "not an IDX"),  # little endian
        (header([2], 0x0A) + bytes(2), "not an IDX"),  # a code that was never given out
        (b"\0\0\x08\0", "not an IDX"),  # no dimension
        (b"<html>404</html>", "not an IDX"),
        (header([2**32 - 1, 28, 28]), "header too large"),
        (header([2**32 - 1] * 4, 0x0E), "header too large"),
        (header([0, 2**32 - 1, 2**32 - 1, 2**32 - 1]), "header too large"),
        (header([1] * 40) + bytes(1), "header too large"),
        (idx_bytes(SMALL) + b"\0", "trailing"),
        (packed(idx_bytes(SMALL))[:-9] + bytes(9), "corrupt gzip"),
        (packed(idx_bytes(SMALL)) + packed(b"more"), "trailing"),
        (b"\x1f\x8b" + bytes(50), "corrupt gzip"),
    ],
)
def test_broken_files(place, content, term):
    with pytest.raises(ValueError, match=term) as caught:
        read(place, content)
    assert str(place) in str(caught.value)


def test_a_wrong_checksum(place):
    with pytest.raises(ValueError, match="wrong checksum"):
        read(place, idx_bytes(SMALL), md5="0" * 32)


@pytest.mark.parametrize("promised", [24, 900_000_000])
def test_neither_a_gzip_bomb_nor_a_lying_header_takes_memory(place, promised):
    bomb = header([promised]) + (bytes(200_000_000) if promised == 24 else bytes(100))
    bomb = gzip.compress(bomb, 1)
    assert len(bomb) < 1_000_000
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=r"trailing|truncated"):
            read(place, bomb)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 20_000_000


def test_the_limit_is_the_callers(place):
    content = idx_bytes(SMALL)
    assert read(place, content, max_bytes=SMALL.size).shape == SMALL.shape
    with pytest.raises(ValueError, match="header too large"):
        read(place, content, max_bytes=SMALL.size - 1)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_idx(tmp_path / "nowhere")
