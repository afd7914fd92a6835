"""Lengths that the caller gives to inputs whose lengths a file leaves open.

``with fixed_inputs({"x": (1, 3, 224, 224)})`` holds for every network that is read inside, in this thread. A
name or None in the place of a length leaves it as it is.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

from lowbit.errors import FileError, LowbitError, UsageError
from lowbit.ir.graph import Dimension, Graph
from lowbit.ir.lengths import dimension_of, length_of, with_known

Shapes = Mapping[str, Sequence[int | str | None]]

_LARGEST = 1 << 31

_given: ContextVar[Shapes] = ContextVar("lowbit_input_shapes", default={})  # noqa: B039 (never changed)


@contextmanager
def fixed_inputs(shapes: Shapes | None) -> Iterator[None]:
    """Let networks that are read have inputs of these shapes; None and nothing change nothing.

    Args:
        shapes: by the name of an input; a length each.
    """
    before = _given.set(shapes or _given.get())
    try:
        yield
    finally:
        _given.reset(before)


def parse_shape(text: str) -> tuple[str, tuple[int | str, ...]]:
    """Return name and lengths of ``x=1,3,224,224``.

    Raises:
        UsageError: it is none.
    """
    name, equals, row = text.rpartition("=")
    lengths = [part.strip() for part in row.split(",")]
    if not equals or not name or not all(lengths):
        raise UsageError(
            "an input shape cannot be read",
            where="--input-shape",
            expected="NAME=LENGTHS, such as x=1,3,224,224",
            found=repr(text),
        )
    return name, tuple(int(part) if part.isascii() and part.isdigit() else part for part in lengths)


def fix_inputs(graph: Graph) -> None:
    """Give inputs the lengths that `fixed_inputs` says, in place; lengths of one name are equal.

    Raises:
        UsageError: no such input, another rank, or a length that the file fixes otherwise.
    """
    known: dict[str, int] = {}
    for name, lengths in _given.get().items():
        if name not in graph.inputs:
            raise UsageError(
                "there is no such input",
                where=f"input shape {name}",
                expected=", ".join(graph.inputs),
                found=name,
            )
        shape = graph.value(name).shape
        fits = len(shape) == len(lengths) and all(
            _fits(have, want) for have, want in zip(shape, lengths, strict=True)
        )
        if not fits:
            _refuse(name, shape, lengths)
        for have, want in zip(shape, lengths, strict=True):
            if isinstance(have, str) and isinstance(want, int) and known.setdefault(have, want) != want:
                _refuse(name, shape, lengths)
    for name in graph.inputs if known else ():
        shape = tuple(dimension_of(with_known(length_of(d), known)) for d in graph.value(name).shape)
        graph.update(name, shape=shape)


def open_lengths(graph: Graph) -> list[str]:
    """Return the inputs that have open lengths behind their first axis, each as ``NAME=LENGTHS``."""
    rows = {name: graph.value(name).shape for name in graph.inputs}
    return [
        f"{name}={','.join(map(str, shape))}"
        for name, shape in rows.items()
        if any(isinstance(length, str) for length in shape[1:])
    ]


def say_how_to_fix(error: LowbitError, graph: Graph) -> None:
    """Name the option that fixes lengths in an error, where some are open and nothing else is said.

    Args:
        error: raised while the graph was read; changed in place.
        graph: as far as it was read.
    """
    rows = open_lengths(graph)
    if rows and not isinstance(error, FileError | UsageError):
        options = " ".join(f"--input-shape {row}" for row in rows)
        how = f"Lengths are open: fix them with {options}, numbers for names (in Python: input_shapes)."
        error.remedy = f"{how} {error.remedy or ''}".strip()


def _fits(have: Dimension, want: int | str | None) -> bool:
    if not isinstance(want, int):
        return True
    return 0 < want < _LARGEST and (isinstance(have, str) or have == want)


def _refuse(name: str, shape: Sequence[Dimension], lengths: Sequence[object]) -> None:
    raise UsageError(
        "an input cannot have this shape",
        where=f"input shape {name}",
        expected=",".join(map(str, shape)),
        found=",".join(map(str, lengths)),
        remedy="Give a length for each axis; those that are numbers in the file stay as they are.",
    )
