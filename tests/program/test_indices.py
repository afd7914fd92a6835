"""Elements by computed indices: taken and written in the engine as the definition says, for every sample."""

import numpy as np
import pytest

from lowbit.engine import Program
from lowbit.errors import DataError
from lowbit.ir import Graph, Node, Value, evaluate, verify
from lowbit.ir.infer import infer

RANDOM = np.random.default_rng(3)

# The operator, its attributes, shapes of data and indices, what indices count, and the shape of updates.
TAKES = [
    ("GatherElements", {"axis": 1}, (3, 4, 5), (3, 7, 5), [4]),
    ("GatherElements", {"axis": -1}, (3, 4, 5), (3, 4, 2), [5]),
    ("GatherElements", {"axis": 0}, (3, 4), (2, 4), [3]),
    ("GatherND", {}, (3, 4, 5), (2, 6, 2), [3, 4]),
    ("GatherND", {"batch_dims": 1}, (3, 4, 5), (3, 6, 1), [4]),
    ("GatherND", {"batch_dims": 1}, (3, 4, 5), (3, 2, 6, 2), [4, 5]),
    ("GatherND", {"batch_dims": 2}, (3, 2, 5, 2), (3, 2, 1), [5]),
]
PUTS = [
    ("ScatterElements", {"axis": 1}, (3, 4, 5), (3, 2, 5), [4], (3, 2, 5)),
    ("ScatterElements", {"axis": -2}, (2, 6, 5), (2, 3, 4), [6], (2, 3, 4)),
    ("ScatterND", {}, (4, 5, 2), (3, 2), [4, 5], (3, 2)),
    ("ScatterND", {}, (4, 5), (2, 2, 1), [4], (2, 2, 5)),
]
REDUCTIONS = ["none", "add", "mul", "min", "max"]


def graph_of(op: str, attributes: dict, shapes: list[tuple[int, ...]], batch: str | int) -> Graph:
    names = ("data", "indices", "updates")[: len(shapes)]
    values = {
        name: Value(name, "int64" if name == "indices" else "float32", (batch, *shape[1:]))
        for name, shape in zip(names, shapes, strict=True)
    }
    graph = Graph("indices", names, ("y",), [Node(op, names, ("y",), attributes, "node")], values)
    infer(graph)
    verify(graph)
    return graph


def indices(shape: tuple[int, ...], lengths: list[int], *, by_rows: bool) -> np.ndarray:
    if not by_rows:
        return RANDOM.integers(-lengths[0], lengths[0], shape)
    return np.stack([RANDOM.integers(-length, length, shape[:-1]) for length in lengths], axis=-1)


WRITTEN = [(op, {**more, "reduction": name}, *rest) for op, more, *rest in PUTS for name in REDUCTIONS]


@pytest.mark.parametrize("case", [*TAKES, *WRITTEN], ids=lambda case: f"{case[0]}-{case[1]}-{case[2]}")
def test_the_engine_gives_what_the_definition_says(case: tuple) -> None:
    op, attributes, data, index, lengths, *updates = case
    graph = graph_of(op, attributes, [data, index, *updates], data[0])
    for shape, name in ((index, "indices"), *((each, "updates") for each in updates)):
        graph.update(name, shape=shape)
    infer(graph)
    given = [RANDOM.normal(size=data).astype(np.float32), indices(index, lengths, by_rows=op.endswith("ND"))]
    given += [RANDOM.normal(size=shape).astype(np.float32) for shape in updates]
    wanted = evaluate(graph, dict(zip(graph.inputs, given, strict=True)))["y"]
    np.testing.assert_allclose(Program(graph).run(*given), wanted, rtol=1e-6)


@pytest.mark.parametrize(
    ("op", "attributes", "shapes"),
    [
        ("GatherElements", {"axis": 1}, [(9, 4), (9, 3)]),
        ("GatherND", {"batch_dims": 1}, [(9, 4, 3), (9, 2, 1)]),
        ("ScatterElements", {"axis": 1, "reduction": "add"}, [(9, 4), (9, 3), (9, 3)]),
    ],
)
def test_samples_are_each_others_neighbours_only(op: str, attributes: dict, shapes: list) -> None:
    graph = graph_of(op, attributes, shapes, "n")
    given = [RANDOM.normal(size=shapes[0]).astype(np.float32), RANDOM.integers(-4, 4, shapes[1])]
    given += [RANDOM.normal(size=shape).astype(np.float32) for shape in shapes[2:]]
    program = Program(graph, threads=2)
    assert program.by_rows
    whole = program.run(*given)
    np.testing.assert_allclose(
        whole, evaluate(graph, dict(zip(graph.inputs, given, strict=True)))["y"], rtol=1e-6
    )
    alone = [program.run(*(array[n : n + 1] for array in given)) for n in range(9)]
    np.testing.assert_array_equal(whole, np.concatenate(alone))
    for outside in (4, -5):
        given[1][3].flat[0] = outside
        with pytest.raises(DataError, match="index"):
            program.run(*given)
