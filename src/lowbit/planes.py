"""Bit planes: the one packed layout, on disk and in memory.

A *plane* is one bit of every code. For codes of ``b`` bits and rows of ``n`` elements:

    planes[..., j, i >> 5]  has bit  i & 31  equal to  (codes[..., i] >> j) & 1

Words are uint32, little endian in files; padding bits are zero. A bit is read as a sign
``s = 2 * bit - 1``. The layout never depends on the machine: kernels re-lay it at load.
"""

import numpy as np
import numpy.typing as npt

from lowbit.errors import GraphError

WORD_BITS = 32

Codes = npt.NDArray[np.uint8]
Planes = npt.NDArray[np.uint32]


def word_count(elements: int) -> int:
    """Return how many 32-bit words one plane of ``elements`` bits takes."""
    return -(-elements // WORD_BITS)


def pack(codes: npt.ArrayLike, bits: int) -> Planes:
    """Return the planes of codes.

    Args:
        codes: integers ``[..., n]`` in ``[0, 2**bits)``.
        bits: planes per row, 1 to 8.

    Returns:
        uint32 ``[..., bits, ceil(n / 32)]``, padding bits zero.

    Raises:
        GraphError: a code does not fit.
    """
    array = np.asarray(codes, np.uint8)
    if array.size and int(array.max()) >> bits:
        raise GraphError(
            "a code does not fit its bits", expected=f"codes below {1 << bits}", found=f"{int(array.max())}"
        )
    elements = array.shape[-1]
    padded = np.zeros((*array.shape[:-1], bits, word_count(elements) * WORD_BITS), np.uint8)
    for bit in range(bits):
        padded[..., bit, :elements] = (array >> bit) & 1
    packed = np.packbits(padded, axis=-1, bitorder="little")
    return packed.view("<u4").astype(np.uint32, copy=False)


def unpack(planes: npt.ArrayLike, elements: int) -> Codes:
    """Return the codes of planes: uint8 ``[..., elements]`` from uint32 ``[..., bits, words]``.

    Raises:
        GraphError: the planes are not ``ceil(elements / 32)`` words long.
    """
    array = np.ascontiguousarray(planes, "<u4")
    if array.ndim < 2 or array.shape[-1] != word_count(elements):
        raise GraphError(
            "planes have the wrong length",
            expected=f"{word_count(elements)} words for {elements} elements",
            found=f"shape {array.shape}",
        )
    bits = np.unpackbits(array.view(np.uint8), axis=-1, count=elements, bitorder="little")
    weights = (1 << np.arange(array.shape[-2])).astype(np.uint8)
    return np.asarray((bits * weights[:, None]).sum(axis=-2, dtype=np.uint8))


def padding_is_zero(planes: Planes, elements: int) -> bool:
    """Return whether the bits past ``elements`` in the last word of every row are zero."""
    used = elements % WORD_BITS
    return used == 0 or not bool((planes[..., -1] >> np.uint32(used)).any())
