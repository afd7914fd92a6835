"""Samples as the bytes that an engine takes."""

import numpy as np
import numpy.typing as npt

from lowbit.data import Dataset, Normalize
from lowbit.errors import DataError
from lowbit.ir import Graph

NORMALIZE = (0.5, 0.5)
"""Of LST networks that do not remember theirs: pixels from −1 to 1."""


def remembered_normalize(graph: Graph, default: Normalize = NORMALIZE) -> Normalize:
    """Return mean and deviation that a network was trained with, where its file says so."""
    if "normalize" not in graph.metadata:
        return default
    mean, deviation = (float(part) for part in graph.metadata["normalize"].split(","))
    return mean, deviation


def to_bytes(dataset: Dataset, *shape: int) -> npt.NDArray[np.uint8]:
    """Return samples in [0, 1] as pictures ``[n, *shape]`` of bytes.

    Raises:
        DataError: another shape, or numbers that are no multiples of 1/255.
    """
    samples = dataset.fit_to(shape).samples
    pictures = np.rint(samples * 255)
    if not (pictures.min() >= 0 and pictures.max() <= 255 and np.abs(samples * 255 - pictures).max() < 1e-3):
        raise DataError(
            "the engine takes bytes",
            where=dataset.name,
            expected="pixels of 0 to 255, or multiples of 1/255 in [0, 1]",
            found=f"numbers from {samples.min():g} to {samples.max():g}",
            remedy="Give the pictures as they are; the network's own normalization happens in hardware.",
        )
    return pictures.astype(np.uint8)
