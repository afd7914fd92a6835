"""Samples as the bytes that an engine takes, and what the reference evaluator says of those."""

from dataclasses import dataclass
from typing import cast

import numpy as np
import numpy.typing as npt

from lowbit.data import Dataset, NetworkInput, Normalize, load, remembered_normalize
from lowbit.data.network_input import misfit
from lowbit.errors import UnsupportedError
from lowbit.ir import Graph, evaluate

NORMALIZE = (0.5, 0.5)
"""Of LST networks that do not remember theirs: pixels from −1 to 1."""

_BLOCK = 100

Bytes = npt.NDArray[np.uint8]


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


@dataclass(frozen=True)
class Byte:
    """What a byte of the stream stands for: a number times a step.

    Attributes:
        step: what the number is multiplied by; None is 1/255, by the conventions of pictures.
        signed: whether the number is the byte in two's complement, −128 to 127; else 0 to 255.
    """

    step: float | None = None
    signed: bool = False

    @classmethod
    def of(cls, byte: "AnyByte") -> "Byte":
        """Return what is meant: a step alone is that of unsigned bytes."""
        return byte if isinstance(byte, Byte) else cls(byte)

    @property
    def steps(self) -> float:
        """How many steps make 1."""
        return 255.0 if self.step is None else 1 / self.step

    @property
    def range(self) -> tuple[int, int]:
        """The least and the largest number."""
        return (-128, 127) if self.signed else (0, 255)

    def numbers(self, stream: Bytes) -> npt.NDArray[np.int8] | Bytes:
        """Return the numbers of bytes."""
        return stream.view(np.int8) if self.signed else stream

    def samples(self, stream: Bytes) -> npt.NDArray[np.float32]:
        """Return the numbers times their step, as a data set has them before normalization."""
        return np.asarray(self.numbers(stream) * np.float64(1 / self.steps)).astype(np.float32)

    def holds(self, numbers: npt.NDArray[np.float64]) -> bool:
        """Return whether all are, about, whole numbers that a byte has."""
        whole, (low, high) = np.rint(numbers), self.range
        return bool(whole.min() >= low and whole.max() <= high and np.abs(numbers - whole).max() < 1e-3)

    def __str__(self) -> str:
        """Return the word of the command line."""
        each = f"1/{self.steps:g}" if self.steps != 1 else "1"
        return f"signed:{each}" if self.signed else each


AnyByte = float | Byte | None
"""A step, all of it, or the conventions of pictures."""


def pixel_values(normalize: Normalize, byte: AnyByte = None) -> npt.NDArray[np.float32]:
    """Return the sample that every byte stands for, by the conventions of data, float32 ``[256]``.

    Args:
        normalize: mean and deviation, or None.
        byte: what a byte stands for before.
    """
    own = Byte.of(byte)
    every = own.numbers(np.arange(256, dtype=np.uint8)).reshape(-1, 1)
    scale = 1 / own.steps if own.signed else own.step
    return load(every, normalize=normalize, scale=scale).samples.reshape(256)


def sample_lengths(graph: Graph) -> tuple[int, ...]:
    """Return the shape of a sample, which hardware has to know.

    Raises:
        UnsupportedError: a length is open, or there are more than three.
    """
    lengths = graph.value(graph.inputs[0]).shape[1:]
    if not 1 <= len(lengths) <= 3 or not all(isinstance(length, int) for length in lengths):
        raise UnsupportedError(
            "hardware of a network whose samples are no pictures",
            where=graph.name,
            expected="one input [n, features], [n, rows, columns] or [n, channels, rows, columns]",
            found=str(lengths),
        )
    return cast(tuple[int, ...], lengths)


def to_pictures(
    dataset: Dataset, graph: Graph, byte: AnyByte = None, shape: tuple[int, int, int] | None = None
) -> Bytes:
    """Return samples as the stream has them, bytes ``[n, rows, columns, channels]``.

    Args:
        dataset: the samples.
        graph: whose they are.
        byte: what a byte stands for; see `pixel_values`.
        shape: channels, rows and columns of a picture; as the sample's axes say when None.

    Raises:
        DataError: another shape, or numbers that no byte stands for.
    """
    lengths = sample_lengths(graph)
    pictures = to_bytes(dataset, *lengths, byte=byte)
    return pictures.reshape(-1, *(shape or _picture(lengths))).transpose(0, 2, 3, 1)


def reference_scores(
    graph: Graph, pictures: Bytes, normalize: Normalize, byte: AnyByte = None
) -> npt.NDArray[np.float32]:
    """Return the reference evaluator's scores ``[n, classes]`` of pictures as `to_pictures` gives them.

    Of several outputs they stand side by side.

    A single channel may be left out: ``[n, rows, columns]``.
    """
    lengths, values = sample_lengths(graph), pixel_values(normalize, byte)
    name, scores = graph.inputs[0], []
    maps = pictures if pictures.ndim == 4 else pictures[..., None]
    for at in range(0, len(maps), _BLOCK):
        x = values[maps[at : at + _BLOCK]].transpose(0, 3, 1, 2).reshape(-1, *lengths)
        found = evaluate(graph, {name: np.ascontiguousarray(x)})
        scores.append(np.concatenate([found[each].reshape(len(x), -1) for each in graph.outputs], axis=1))
    return np.concatenate(scores).astype(np.float32)


def _picture(lengths: tuple[int, ...]) -> tuple[int, int, int]:
    """Return a sample's shape as (channels, rows, columns); features are channels of a single pixel."""
    return (lengths[0], 1, 1) if len(lengths) == 1 else (1, 1, *lengths)[-3:]  # type: ignore[return-value]


def to_bytes(dataset: Dataset, *shape: int, byte: AnyByte = None) -> Bytes:
    """Return samples as the bytes ``[n, *shape]`` that stand for them; see `pixel_values`.

    Raises:
        DataError: another shape, or numbers that no byte stands for.
    """
    samples = dataset.fit_to(shape).samples.astype(np.float64)
    own = Byte.of(byte)
    numbers, (low, high) = samples * own.steps, own.range
    if not own.holds(numbers):
        raise misfit(
            dataset.name,
            f"bytes: {'pixels of 0 to 255' if byte is None else f'{low} to {high}'}, or multiples of "
            f"{str(own).removeprefix('signed:')} from {low / own.steps:g} to {high / own.steps:g}",
            f"numbers from {samples.min():g} to {samples.max():g}",
            _cure(samples),
        )
    return (np.rint(numbers).astype(np.int64) & 255).astype(np.uint8)


def _cure(samples: npt.NDArray[np.float64]) -> str:
    """Return what to do: a step of which all samples are multiples, where there is one."""
    for signed in (False, True):
        for steps in range(1, 256):
            byte = Byte(1 / steps, signed)
            if byte.holds(samples * steps):
                return f"They are multiples of 1/{steps}: say so with --byte {byte}."
    return "Give the pictures as they are; the network's own normalization happens in hardware."
