"""The normalization that a network's file remembers, because its samples must have it."""

from lowbit.data.dataset import Normalize, checked_normalize
from lowbit.errors import DataError, ModelFormatError
from lowbit.ir import Graph

KEY = "normalize"


def remembered_normalize(graph: Graph, asked: Normalize = None, default: Normalize = None) -> Normalize:
    """Return mean and deviation, or those of channels: as asked for, else as the file remembers.

    Raises:
        ModelFormatError: what the file remembers is no normalization.
    """
    if asked is not None or KEY not in graph.metadata:
        return asked or default
    text = graph.metadata[KEY]
    try:
        return checked_normalize(means_and_deviations(text), graph.name)
    except (ValueError, DataError) as error:
        raise ModelFormatError(
            f"the note {KEY} is no normalization",
            where=graph.name,
            expected="MEAN,DEVIATION, or means and deviations of channels, finite, deviations above 0",
            found=repr(text[:80]),
            remedy="Say what holds with --normalize (normalize= in Python).",
        ) from error


def means_and_deviations(text: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the means and deviations of ``MEAN,DEVIATION``, or of ``M1,M2,M3,D1,D2,D3`` by channel.

    Raises:
        ValueError: it is no even number of numbers.
    """
    numbers = tuple(float(part) for part in text.split(","))
    if len(numbers) % 2:
        raise ValueError("as many means as deviations")
    half = len(numbers) // 2
    return numbers[:half], numbers[half:]


def remember_normalize(graph: Graph, normalize: Normalize) -> None:
    """Write a normalization into a graph's metadata, where there is one."""
    if normalize is not None:
        means, deviations = (each if isinstance(each, tuple) else (each,) for each in normalize)
        graph.metadata[KEY] = ",".join(repr(number) for number in (*means, *deviations))
