"""The normalization that a network's file remembers, because its samples must have it."""

from lowbit.data.dataset import Normalize, checked_normalize
from lowbit.errors import DataError, ModelFormatError
from lowbit.ir import Graph

KEY = "normalize"


def remembered_normalize(graph: Graph, asked: Normalize = None, default: Normalize = None) -> Normalize:
    """Return mean and deviation: those asked for, else those that the file remembers, else the default.

    Raises:
        ModelFormatError: what the file remembers is no normalization.
    """
    if asked is not None or KEY not in graph.metadata:
        return asked or default
    text = graph.metadata[KEY]
    try:
        mean, deviation = (float(part) for part in text.split(","))
        return checked_normalize((mean, deviation), graph.name)
    except (ValueError, DataError) as error:
        raise ModelFormatError(
            f"the note {KEY} is no normalization",
            where=graph.name,
            expected="MEAN,DEVIATION, finite, the deviation above 0",
            found=repr(text[:80]),
            remedy="Say what holds with --normalize (normalize= in Python).",
        ) from error


def remember_normalize(graph: Graph, normalize: Normalize) -> None:
    """Write a normalization into a graph's metadata, where there is one."""
    if normalize is not None:
        graph.metadata[KEY] = f"{normalize[0]!r},{normalize[1]!r}"
