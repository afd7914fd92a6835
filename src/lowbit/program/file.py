"""Program files, ``.lbp``: a planned network as `docs/formats/program.md` specifies it.

Steps are written field by field as their dataclasses declare them, and the file says itself what it declares,
so a new step needs nothing here. The one reader is in C++ (``cpp/core/program_file.cc``).
"""

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass, fields
from functools import cache
from hashlib import blake2b
from types import UnionType
from typing import Any, Literal, get_args, get_origin, get_type_hints

import numpy as np
import numpy.typing as npt

from lowbit.blockers import Blocker, listed, remedies
from lowbit.errors import TooLargeError, UnsupportedError
from lowbit.formats import PROGRAM
from lowbit.ir import Graph
from lowbit.ir.window import Axis
from lowbit.program import steps
from lowbit.program.open_lengths import lengths_to_fix
from lowbit.program.planner import blockers as engine_blockers
from lowbit.program.planner import plan
from lowbit.program.representation import PLANE_PAIRS
from lowbit.untrusted import require_writable, write_atomic

VERSION = 1
ALIGNMENT = 64

HEADER = struct.Struct("<8sIIQII")
"""Magic, version, zero, bytes of the file, number of arrays, bytes of the records; then 32 bytes of hash."""

SECTION = struct.Struct("<8s7Q")
"""Of an array: type, offset, bytes, number of axes, lengths of four axes."""

_HASHED = 32
_NUMBERS = {bool: struct.Struct("<?"), int: struct.Struct("<q"), float: struct.Struct("<d")}
_COUNT = struct.Struct("<I")
# Of a step its record has the sources; an axis's extent is its input's.
_LEFT_OUT = ((steps.Step, "sources"), (Axis, "extent"))


@dataclass(frozen=True)
class Port:
    """An input or an output: `lowbit.program.Port`, lengths as text."""

    name: str
    type: str
    shape: tuple[str, ...]
    lengths: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class PlannedStep:
    """A step, and for traces what it makes.

    Attributes:
        sources: numbers of the values it reads.
        operation: the step itself.
        value, type, shape: the network's value that it makes, of one row; no type where it is none.
        least, codes: the codes of bytes or words from `least` on, or none.
        why: why this step was chosen.
    """

    sources: tuple[int, ...]
    operation: steps.Step
    value: str
    type: str
    shape: tuple[int, ...]
    least: int
    codes: npt.NDArray[np.uint16]
    why: str


@dataclass(frozen=True)
class Note:
    """Something that the network's metadata says."""

    key: str
    text: str


@dataclass(frozen=True, eq=False)
class Network:
    """The record of a whole file; see `lowbit.program.ProgramPlan`."""

    name: str
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    steps: tuple[PlannedStep, ...]
    results: tuple[int, ...]
    batched: bool
    by_rows: bool
    notes: tuple[Note, ...]


def content_of(graph: Graph) -> bytes:
    """Return the content of the program file of a verified graph: the same on every machine.

    Raises:
        EngineError: what the engine does not run, all of it.
        UnsupportedError: lengths are open.
        TooLargeError: constants take more than the memory budget, or than a file holds.
    """
    return _Writer().content(network_of(graph))


def blockers(graph: Graph) -> list[Blocker]:
    """Return what keeps a verified graph from a program file: as the engine says it, and open lengths."""
    names = lengths_to_fix(graph)
    if not names:
        return engine_blockers(graph)
    fixed = Blocker(
        "a program file has known lengths",
        tuple(graph.inputs),
        expected="lengths of inputs as numbers, but for the number of samples",
        found=", ".join(names),
        remedy="Fix them: lowbit.read(…, input_shapes={'x': (1, 3, 224, 224)}), --input-shape x=1,3,224,224.",
    )
    return [fixed, *engine_blockers(graph)]


def write(graph: Graph, path: str | os.PathLike[str]) -> None:
    """Write the program file of a verified graph, whole or not at all.

    Raises:
        EngineError: what the engine does not run, all of it.
        UnsupportedError: lengths are open.
        TooLargeError: constants take more than the memory budget, or than a file holds.
        WriteError: the path cannot be written.
    """
    require_writable(path)
    write_atomic(path, content_of(graph))


def network_of(graph: Graph, *, plane_pairs: int = PLANE_PAIRS) -> Network:
    """Return the plan of a graph as a file has it; errors are those of `content_of`.

    Args:
        graph: the network.
        plane_pairs: as of `lowbit.program.plan`; a file has the value that it has by itself.
    """
    found = blockers(graph) if lengths_to_fix(graph) else []
    if found:
        raise UnsupportedError(
            f"{len(found)} things keep this network from a program file",
            where=graph.name,
            expected=found[0].expected,
            found=listed(found),
            remedy=remedies(found),
        )
    planned = plan(graph, plane_pairs=plane_pairs)
    none = steps.CodeTable(0, np.zeros(0, np.uint16))

    def step_of(step: steps.Step, result: steps.Result) -> PlannedStep:
        codes = planned.codes.get(result.value, none)
        dtype = graph.value(result.value).dtype if result.value in graph.values else ""
        table = codes.codes.astype(np.uint16)
        return PlannedStep(
            step.sources, step, result.value, dtype, result.shape, codes.least, table, result.why
        )

    return Network(
        graph.name,
        tuple(map(_port, planned.inputs)),
        tuple(map(_port, planned.outputs)),
        tuple(map(step_of, planned.steps, planned.results)),
        planned.numbers,
        planned.batched,
        planned.by_rows,
        tuple(Note(key, str(text)) for key, text in sorted(graph.metadata.items())),
    )


def _port(port: steps.Port) -> Port:
    return Port(port.name, port.dtype, tuple(map(str, port.shape)), port.lengths)


def word_of(hint: Any) -> str:
    """Return what a file calls the type of a field.

    ``bool``, ``int`` (64 bits), ``float`` (64 bits), ``text``, ``name`` (of an enumeration), a type of array,
    a struct's name, ``any`` struct, and with ``*`` a list.
    """
    if hint in _NUMBERS:
        return str(hint.__name__)
    if hint is str:
        return "text"
    if get_origin(hint) is Literal:
        return "name"
    if get_origin(hint) is np.ndarray:
        return str(np.dtype(get_args(get_args(hint)[1])[0]))
    if get_origin(hint) is tuple:
        return f"{word_of(get_args(hint)[0])}*"
    return "any" if isinstance(hint, UnionType) or hint is steps.Step else str(hint.__name__)


@cache
def fields_of(kind: type) -> dict[str, Any]:
    """Return the fields of a struct that a file holds, with their types, in order."""
    hints = get_type_hints(kind)
    out = {name for base, name in _LEFT_OUT if issubclass(kind, base)}
    return {field.name: hints[field.name] for field in fields(kind) if field.name not in out}


def line_of(kind: type) -> str:
    """Return how a file declares a struct: its name, and ``field:word`` for each field."""
    declared = [f"{name}:{word_of(hint)}" for name, hint in fields_of(kind).items()]
    return " ".join([kind.__name__, *declared])


class _Writer:
    """Records and arrays of one file."""

    def __init__(self) -> None:
        self.kinds: dict[type, int] = {}
        self.arrays: dict[tuple[str, tuple[int, ...], bytes], int] = {}
        self.records = bytearray()

    def content(self, network: Network) -> bytes:
        self.put(Network, network)
        lines = b"".join(_text(line_of(kind)) for kind in self.kinds)
        records = _COUNT.pack(len(self.kinds)) + lines + bytes(self.records)
        at = HEADER.size + _HASHED + SECTION.size * len(self.arrays) + len(records)
        table, parts = bytearray(), [records]
        for dtype, shape, data in self.arrays:
            gap = -at % ALIGNMENT
            lengths = (*shape, *(0,) * (4 - len(shape)))
            table += SECTION.pack(dtype.encode(), at + gap, len(data), len(shape), *lengths)
            parts += [bytes(gap), data]
            at += gap + len(data)
        if len(records) >= 1 << 32:
            raise TooLargeError("the records of a program file have less than 4 GiB", where=network.name)
        head = HEADER.pack(PROGRAM, VERSION, 0, at, len(self.arrays), len(records))
        body = b"".join([bytes(table), *parts])
        return b"".join([head, blake2b(head + body, digest_size=_HASHED).digest(), body])

    def put(self, hint: Any, value: Any) -> None:
        """Add a value of a declared type."""
        if hint in _NUMBERS:
            self.records += _NUMBERS[hint].pack(value)
        elif isinstance(value, str):
            self.records += _text(value)
        elif isinstance(value, np.ndarray):
            self.records += _COUNT.pack(self.array(value))
        elif isinstance(value, tuple):
            self.records += _COUNT.pack(len(value))
            for element in value:
                self.put(get_args(hint)[0], element)
        else:
            kind: type = type(value)
            self.records += _COUNT.pack(self.kinds.setdefault(kind, len(self.kinds)))
            for name, inner in fields_of(kind).items():
                self.put(inner, getattr(value, name))

    def array(self, array: npt.NDArray[Any]) -> int:
        """Return the number of an array; equal ones are one."""
        dense = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
        key = (array.dtype.name, array.shape, dense.tobytes())
        return self.arrays.setdefault(key, len(self.arrays))


def _text(text: str) -> bytes:
    encoded = text.encode()
    return _COUNT.pack(len(encoded)) + encoded


def declared() -> Iterator[type]:
    """Yield every struct that a file may hold: not the steps that a back end makes of them for itself."""
    yield from (Network, Port, PlannedStep, Note, Axis)
    waiting = [steps.Constants]
    while waiting:
        kind = waiting.pop()
        waiting += kind.__subclasses__()
        own = kind.__module__ == steps.__name__
        if own and kind not in (steps.Constants, steps.Step, steps.AlongAxis):
            yield kind
