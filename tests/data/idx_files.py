"""IDX files made by hand, for the tests of reading and downloading."""

import gzip
import struct

import numpy as np

CODES = {"u1": 0x08, "i1": 0x09, "i2": 0x0B, "i4": 0x0C, "f4": 0x0D, "f8": 0x0E}


def header(shape, code=0x08):
    return struct.pack(f">BBBB{len(shape)}I", 0, 0, code, len(shape), *shape)


def idx_bytes(array):
    """The bytes of an IDX file, written from the published description."""
    code = CODES[array.dtype.str[1:]]
    return header(array.shape, code) + array.astype(array.dtype.newbyteorder(">")).tobytes()


def packed(content):
    return gzip.compress(content, mtime=0)


SMALL = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4)
