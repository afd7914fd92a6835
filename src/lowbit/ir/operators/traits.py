"""What an operator is like, said once beside its declaration and asked by everybody else.

Passes, formats, back ends and analysis ask `lowbit.ir.operators.has` instead of keeping lists of names, so
that an operator is right everywhere by its one declaration. A trait is here because several places ask it.
"""

from enum import Flag, auto


class Trait(Flag):
    """Properties of an operator; of a node, where the operator's attributes and constants decide nothing."""

    NONE = 0

    MOVES = auto()
    """Gives the elements of its first input, each once and unchanged, in another place or shape."""

    KEEPS_ORDER = auto()
    """Moves, and no element changes its place in memory: another shape of the same row of elements."""

    REGROUPS = auto()
    """Moves, and may make one axis of several or several of one; other movers keep axes longer than one."""

    CARRIES = auto()
    """Every element of the output is one of the inputs' elements, so that codes keep their encoding."""

    ELEMENTWISE = auto()
    """A function of each element of its first input; others are parameters, the same for all elements."""

    BROADCASTS = auto()
    """Computes each element from those at the same place of all inputs, which broadcast to each other."""

    MONOTONE = auto()
    """A non-decreasing function of its first input, where an attribute alpha is not negative."""

    HOMOGENEOUS = auto()
    """Channel by channel f(a x) = a f(x) for every a > 0, x its first input."""

    WINDOW = auto()
    """Looks through windows on maps [n, c, ...], of the attributes strides, pads and dilations."""

    POOL = auto()
    """Makes one element of several of the same channel: those of a window, or of the whole map."""

    COMPARES = POOL | CARRIES
    """Takes the largest of several elements, so that it changes places with a non-decreasing function."""

    LAYER = auto()
    """Multiplies its first input by weights, which are its second input, and sums."""

    ENDS_CLASSIFIER = auto()
    """Turns scores into probabilities or their logarithms, and so changes neither order nor class."""
