"""Networks that leave more than the number of samples open: each shape of inputs is a network of its own.

A plan has fixed lengths. So such a network is planned when it is run, for the lengths that it is given; the
number of samples stays open where no other length has its name.
"""

from lowbit.errors import LowbitError
from lowbit.ir import Graph
from lowbit.ir.binding import bound, open_names
from lowbit.program.refusals import read_inputs

_EXAMPLES = (32, 64, 100, 224, 1000, 16000, 1, 2, 3, 5)
"""Lengths that are tried to say whether a network runs at all."""


def lengths_to_fix(graph: Graph) -> list[str]:
    """Return the names of open lengths that a plan needs as numbers: all but that of the samples."""
    shapes = [graph.value(name).shape for name in read_inputs(graph)]
    behind = open_names(shape[1:] for shape in shapes)
    first = open_names(shape[:1] for shape in shapes)
    return behind if not behind or len(first) == 1 else list(dict.fromkeys((*behind, *first)))


def example_of(graph: Graph) -> Graph | None:
    """Return a network with some lengths that it takes, or None where none of those tried fits."""
    names = lengths_to_fix(graph)
    for length in _EXAMPLES:
        try:
            return bound(graph, dict.fromkeys(names, length))
        except LowbitError:
            continue
    return None
