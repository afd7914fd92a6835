"""Operators that the format has none for, in the graph's own words: every one of the registry."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from lowbit.errors import ModelFormatError
from lowbit.formats import read_model, write_model
from lowbit.formats.circle.reader import read_content
from lowbit.formats.circle.writer import content_of
from lowbit.ir import Graph, Node, Value, evaluate, infer
from lowbit.ir.operators import OPERATORS
from lowbit.plan import Plan
from lowbit.quantization import quantize
from tests.backends.support import examples


def forms() -> Iterator[tuple[str, Graph]]:
    """Yield the first example that there is of every operator."""
    for operator in OPERATORS.values():
        if not operator.domain:
            yield from ((operator.name, graph) for _, graph in islice(examples(operator), 1))


FORMS = dict(forms())


@pytest.mark.parametrize("name", FORMS)
def test_every_operator_is_read_back_and_computes_the_same(name: str) -> None:
    graph = FORMS[name]
    x = np.random.default_rng(0).uniform(0.1, 1, (1, *graph.value("x").shape[1:])).astype(np.float32)
    again = read_content(bytes(content_of(graph)), "forms")
    wanted, found = (evaluate(each, {each.inputs[0]: x}) for each in (graph, again))
    for ours, theirs in zip(graph.outputs, again.outputs, strict=True):
        assert wanted[ours].dtype == found[theirs].dtype
        np.testing.assert_allclose(found[theirs], wanted[ours], 1e-5, 1e-5)


def test_a_constant_of_two_readers_keeps_its_numbers() -> None:
    """A reshape stores the lengths that are worked out, which are not the constant's numbers."""
    graph = Graph("g", ("x",), ("y", "z"), values={"x": Value("x", "float32", (1, 2, 3))})
    graph.add_constant("lengths", np.array([0, -1]), "int64")
    graph.nodes = [
        Node("Reshape", ("x", "lengths"), ("y",), {}, "flat"),
        Node("GatherElements", ("x", "places"), ("z",), {"axis": 2}, "taken"),
    ]
    graph.add_constant("places", np.array([[[0], [-1]]]), "int64")
    graph.nodes.append(Node("CumSum", ("y", "axis"), ("s",), {}, "sums"))
    graph.add_constant("axis", np.array(1), "int64")
    graph.outputs = ("s", "z")
    infer(graph)
    again = read_content(bytes(content_of(graph)), "g")
    x = np.arange(6, dtype=np.float32).reshape(1, 2, 3)
    wanted, found = (evaluate(each, {"x": x}) for each in (graph, again))
    assert all(np.array_equal(wanted[name], found[name]) for name in graph.outputs)


def test_options_that_are_no_attributes_are_refused() -> None:
    graph = Graph("g", ("x",), ("y",), values={"x": Value("x", "float32", (1, 2, 3))})
    graph.add_constant("places", np.array([[[0], [1]]]), "int64")
    graph.nodes = [Node("GatherElements", ("x", "places"), ("y",), {"axis": 2}, "taken")]
    infer(graph)
    content = bytes(content_of(graph))
    assert b"axis" in content
    with pytest.raises(ModelFormatError, match="unknown operator option"):
        read_content(content.replace(b"axis", b"exit"), "damaged")


def test_weights_that_layers_share_stand_in_the_form_of_each(tmp_path: Path) -> None:
    random = np.random.default_rng(5)
    graph = Graph("net", inputs=("x",), outputs=("y",))
    graph.add(Value("x", "float32", ("n", 4, 6, 6)))
    for name in "vw":
        graph.add_constant(name, random.normal(size=(4, 4, 3, 3)).astype(np.float32) / 6)
    for output in ("z", "a", "b", "c", "d", "y"):
        graph.add(Value(output, "float32", ("n", 4, 6, 6)))
    pads = {"pads": (1, 1, 1, 1)}
    graph.nodes += [
        Node("Conv", ("x", "v"), ("z",), pads, "zero"),
        Node("Conv", ("z", "w"), ("a",), pads, "first"),
        Node("Relu", ("a",), ("b",), {}, "act"),
        Node("Conv", ("b", "w"), ("c",), pads, "second"),
        Node("Relu", ("c",), ("d",), {}, "act_2"),
        Node("Add", ("z", "d"), ("y",), {}, "sum"),
    ]
    x = random.normal(size=(16, 4, 6, 6)).astype(np.float32)
    for scheme in ("affine:8", "affine:6", "lq:3"):
        low, _ = quantize(graph, x, Plan(scheme, scheme, method="rtn"))
        write_model(low, tmp_path / "low.circle")
        again = read_model(tmp_path / "low.circle")
        expected, found = (next(iter(evaluate(each, {"x": x}).values())) for each in (low, again))
        np.testing.assert_array_equal(found, expected)
