"""The page `docs/support.md`: which back end runs which operator and which pair of encodings.

No row is written by hand: for every operator that is declared a small graph is found that it accepts, for
every pair of encodings one is taken from `tests.conformance.pairs`, and each back end says what keeps it from
them.
"""

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import product

import numpy as np

from lowbit.backends import BACKENDS
from lowbit.blockers import Blocker
from lowbit.errors import LowbitError
from lowbit.formats import circle
from lowbit.ir import Graph, Node, Value, evaluate, infer, verify
from lowbit.ir.graph import Array, Attribute
from lowbit.ir.operators import OPERATORS
from lowbit.ir.operators.registry import Operator
from tests.conformance import pairs

Ask = Callable[[Graph], list[Blocker]]

_FILES: dict[str, Ask] = {".circle": circle.blockers}
COLUMNS: dict[str, Ask] = {**{name: backend.blockers for name, backend in BACKENDS.items()}, **_FILES}
CHAINS = ("c99", "hardware")
"""Back ends of whole networks only: one operator alone says nothing of them."""

NOT_OF_SAMPLES = ("GatherElements", "GatherND", "Range", "ScatterElements", "Shape")
"""What gives lengths, or has an index for every sample: there is no example of one constant for all."""

FORMS = {"features": (4,), "rows": (5, 4), "maps": (4, 6, 6)}
"""What a sample may be."""

_PADS = [0, 0, 1, 1, 0, 0, 1, 1]
_CONSTANTS = (
    np.full((4, 1, 1), 0.5, np.float32),
    np.full((4, 4), 0.1, np.float32),
    np.full((6, 6), 0.1, np.float32),
    np.full(4, 0.5, np.float32),
    np.full((3, 4, 2, 2), 0.1, np.float32),
    np.float32(0.5),
    np.float32(0.75),
    np.array([0, -1], np.int64),
    np.array([1], np.int64),
    np.array([0], np.int64),
    np.array(_PADS, np.int64),
    np.array(_PADS[1:3] * 2, np.int64),
    np.array([0, 0, 1, 0, 0, 1], np.int64),
    np.array([1, 2], np.int64),
    np.full((4, 3, 2, 2), 0.1, np.float32),
    np.array([1, 1, 2, 2], np.float32),
    np.int64(3),
    np.array(True),
    np.array([0.25, 0.5], np.float32),
    *(np.full((1, gates, count), 0.1, np.float32) for gates in (2, 6, 8) for count in (4, 2)),
    None,
)
"""What stands for further inputs, tried in turn; None is an input that is left out."""

_NUMBER_OF_TYPE = {"float32": 1, "bool": 9, "int64": 7}
"""What an operator may be given, and ONNX' numbers of these types."""

_ATTRIBUTES = (
    {"hidden_size": 2},  # others need it where ONNX leaves it out
    {},
    {"kernel_shape": (2, 2)},
    {"axis": 1},
    {"size": 3},
    {"transB": 1},
    {"fmod": 1},
    {"to": 7},
    {"axis": -1},
    *({"perm": perm} for perm in ((0, 1), (0, 2, 1), (0, 2, 3, 1))),
)


_MORE_OUTPUTS = {"TopK": ("places",)}
"""Outputs behind the first that no node may leave out."""


def examples(operator: Operator) -> Iterator[tuple[str, Graph]]:
    """Yield a graph of one operator for each form of a sample that it accepts."""
    for form, lengths in FORMS.items():
        found = next(filter(None, map(_valid, _candidates(operator, lengths))), None)
        if found is not None:
            yield form, found


def _candidates(operator: Operator, lengths: tuple[int, ...]) -> Iterator[Graph]:
    """Yield graphs that the operator may accept, with all optional inputs first."""
    required = [name for name in operator.inputs[1:] if not name.endswith("?")]
    most = len(operator.inputs) - 1
    for further in sorted({most, len(required), max(min(2, most), len(required))}, reverse=True):
        for constants, dtype in product(product(_CONSTANTS, repeat=min(further, 2)), _NUMBER_OF_TYPE):
            chosen = (*constants, *constants[-1:] * (further - len(constants)))
            for attributes in _ATTRIBUTES:
                if attributes.keys() <= operator.attributes.keys():
                    with contextlib.suppress(LowbitError):
                        yield _between(operator, lengths, chosen, attributes, dtype)


def _between(
    operator: Operator,
    lengths: tuple[int, ...],
    constants: Sequence[Array | None],
    attributes: dict[str, Attribute],
    dtype: str,
) -> Graph:
    """Return a graph of an operator between two others, as networks have it; casts stand between types."""
    graph = Graph(operator.name, ("x",), ("y",))
    graph.add(Value("x", "float32", ("n", *lengths)))
    names = [
        "" if array is None else graph.add_constant(f"c{index}", array, array.dtype.name)
        for index, array in enumerate(constants)
    ]
    graph.nodes = [Node("Relu", ("x",), ("before",), {}, "first")]
    given = "before"
    if dtype != "float32":
        given = "cast"
        graph.nodes.append(Node("Cast", ("before",), ("cast",), {"to": _NUMBER_OF_TYPE[dtype]}, "cast"))
    inputs = (given, given) if operator.inputs[0].endswith("*") else (given, *names)
    outputs = ("behind", *_MORE_OUTPUTS.get(operator.name, ()))
    graph.nodes.append(Node(operator.name, inputs, outputs, dict(attributes), "node", operator.domain))
    infer(graph)
    last = "behind"
    if graph.value("behind").dtype != "float32":
        last = "real"
        graph.nodes.append(Node("Cast", ("behind",), ("real",), {"to": _NUMBER_OF_TYPE["float32"]}, "real"))
    graph.nodes.append(Node("Relu", (last,), ("y",), {}, "last"))
    return graph


def _valid(graph: Graph) -> Graph | None:
    """Return a graph if its operator takes what it is given, sample by sample."""
    try:
        infer(graph)
        verify(graph)
        lengths = [length for length in graph.value("x").shape if isinstance(length, int)]
        found = evaluate(graph, {"x": np.full((3, *lengths), 0.5, np.float32)})["y"]
    except LowbitError:
        return None
    return graph if found.ndim > 1 and len(found) == 3 and found.size else None


def table() -> str:
    """Return the page."""
    return "\n".join([*_HEAD, *_operators(), *_BETWEEN, *_pairs(), ""])


def _operators() -> Iterator[str]:
    names = [name for name in COLUMNS if name not in CHAINS]
    yield from _heading("operator", *names)
    for operator in sorted(OPERATORS.values(), key=lambda each: each.name):
        if operator.domain:
            continue
        graphs = [graph for _, graph in examples(operator)]
        if not graphs and operator.name in NOT_OF_SAMPLES:
            continue
        assert graphs, f"no example of {operator.name}: add what it needs to _CONSTANTS or _ATTRIBUTES"
        cells = [_cell([not COLUMNS[name](graph) for graph in graphs]) for name in names]
        yield f"| {operator.name} | {' | '.join(cells)} |"


def _pairs() -> Iterator[str]:
    yield from _heading("weights", "activations", *COLUMNS)
    asked: dict[tuple[str, str], dict[str, list[bool]]] = {}
    for weights, activations in product(pairs.WEIGHTS, (*pairs.ACTIVATIONS, pairs.FLOAT)):
        row = asked.setdefault((_scheme(weights), _scheme(activations)), {name: [] for name in COLUMNS})
        for shape in ("linear", "convolution"):
            end = "none" if activations == pairs.FLOAT else activations
            graph = pairs.network(pairs.Case(weights, activations, shape, end))
            for name, blockers in COLUMNS.items():
                row[name].append(not blockers(graph))
    for (weights, activations), row in asked.items():
        yield f"| {weights} | {activations} | {' | '.join(_cell(row[name]) for name in COLUMNS)} |"


def _scheme(specification: str) -> str:
    """Return a specification's scheme, which stands for all of its bits."""
    return specification.partition(":")[0]


def _cell(runs: Sequence[bool]) -> str:
    """Return yes, nothing, or how many of all."""
    counts = Counter(runs)
    return "yes" if all(runs) else f"{counts[True]} of {len(runs)}" if counts[True] else "–"


def _heading(*cells: str) -> list[str]:
    return [f"| {' | '.join(cells)} |", f"|{'---|' * len(cells)}"]


_HEAD = (
    "# What runs where",
    "",
    "Made by `scripts/support-matrix`; a test compares it with what the back ends say. Of a network of yours",
    "`lowbit.backends.BACKENDS[name].blockers(graph)` says everything in the way, with counts and remedies.",
    "",
    *(f"* `{name}`: {backend.about}" for name, backend in BACKENDS.items()),
    "* `.circle`: the file, read again by lowbit; operators of lowbit's own are in it",
    "",
    "## Operators on floats",
    "",
    "Each between two ReLUs, on samples `[n, features]`, `[n, rows, features]` and",
    "`[n, channels, height, width]`, as far as it takes them: *yes* for all of these, or for how many.",
    "C99 and hardware run low-bit layers. Left out is what gives lengths, or takes an index for every",
    f"sample: {', '.join(NOT_OF_SAMPLES)}.",
    "",
)
_BETWEEN = (
    "",
    "## Encodings of weights and activations",
    "",
    "Two layers, fully connected and convolutional, with codes of the activations between them, at all bits",
    "that the schemes have: *yes* for all of these, or for how many. Hardware may still refuse numbers:",
    "classes that integers cannot tell apart, or an engine that is too large for its device.",
    "",
)


if __name__ == "__main__":
    print(table(), end="")  # noqa: T201
