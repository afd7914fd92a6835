"""Samples as the bytes that an engine takes."""

import numpy as np
import numpy.typing as npt

from lowbit.data import Dataset, NetworkInput, Normalize, remembered_normalize
from lowbit.data.network_input import misfit
from lowbit.errors import UnsupportedError
from lowbit.ir import Graph

NORMALIZE = (0.5, 0.5)
"""Of LST networks that do not remember theirs: pixels from −1 to 1."""


def picture_normalize(graph: Graph, asked: Normalize, default: Normalize = NORMALIZE) -> Normalize:
    """Return mean and deviation that hardware builds in: asked for, remembered by the file, or the default.

    Raises:
        ModelFormatError: what the file remembers is no normalization.
        UnsupportedError: the network takes the bytes themselves, which hardware divides by 255.
    """
    if NetworkInput.of(graph).counts:
        raise UnsupportedError(
            "hardware of a network that takes integers",
            where=graph.name,
            expected="a network that takes pixels in [0, 1]",
            found=f"an input of {NetworkInput.of(graph).integers}",
            remedy="Export the network without its first cast.",
        )
    return remembered_normalize(graph, asked, default)


def to_bytes(dataset: Dataset, *shape: int) -> npt.NDArray[np.uint8]:
    """Return samples in [0, 1] as pictures ``[n, *shape]`` of bytes.

    Raises:
        DataError: another shape, or numbers that are no multiples of 1/255.
    """
    samples = dataset.fit_to(shape).samples
    pictures = np.rint(samples * 255)
    if not (pictures.min() >= 0 and pictures.max() <= 255 and np.abs(samples * 255 - pictures).max() < 1e-3):
        raise misfit(
            dataset.name,
            "bytes: pixels of 0 to 255, or multiples of 1/255 in [0, 1]",
            f"numbers from {samples.min():g} to {samples.max():g}",
            "Give the pictures as they are; the network's own normalization happens in hardware.",
        )
    return pictures.astype(np.uint8)
