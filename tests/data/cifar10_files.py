"""CIFAR-10's files, made on the fly: records, and batches with the opcodes that Python 2 wrote."""

import struct

import numpy as np
import numpy.typing as npt

PIXELS = np.random.default_rng(3).integers(0, 256, (7, 3, 32, 32)).astype(np.uint8)
CLASSES = np.array([9, 0, 4, 4, 1, 7, 2])


def records(pixels: npt.NDArray[np.uint8] = PIXELS, classes: npt.NDArray[np.int64] = CLASSES) -> bytes:
    return b"".join(
        bytes([label]) + picture.tobytes() for label, picture in zip(classes, pixels, strict=True)
    )


def short(text: bytes) -> bytes:
    return b"U" + bytes([len(text)]) + text


def array(pixels: npt.NDArray[np.uint8]) -> bytes:
    """Return an array of bytes as NumPy 1 pickled it."""
    rows, content = len(pixels), pixels.tobytes()
    make = b"cnumpy.core.multiarray\n_reconstruct\nq\x08cnumpy\nndarray\nq\x09K\x00\x85U\x01b\x87Rq\x0a"
    state = b"(K\x03U\x01|NNN" + 2 * b"J\xff\xff\xff\xff" + b"K\x00tb"
    kind = b"cnumpy\ndtype\nq\x0bU\x02u1K\x00K\x01\x87Rq\x0c" + state
    shape = b"M" + struct.pack("<H", rows) + b"M" + struct.pack("<H", 3072) + b"\x86"
    data = b"T" + struct.pack("<i", len(content)) + content
    return make + b"(K\x01" + shape + kind + b"\x89" + data + b"tb"


def batch(pixels: npt.NDArray[np.uint8] = PIXELS, classes: npt.NDArray[np.int64] = CLASSES) -> bytes:
    """Return a batch in the order of the published ones."""
    title = short(b"batch_label") + b"q\x02" + short(b"testing batch 1 of 1") + b"q\x03"
    labels = short(b"labels") + b"q\x04]q\x05(" + b"".join(b"K" + bytes([item]) for item in classes) + b"e"
    data = short(b"data") + b"q\x06" + array(pixels)
    names = short(b"filenames") + b"q\x0d]q\x0e(" + short(b"a.png") + short(b"b.png") + b"e"
    return b"\x80\x02}q\x01(" + title + labels + data + names + b"u."
