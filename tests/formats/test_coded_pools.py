"""Sums, means and maxima of fixed-point codes in files: equal integers in ONNX Runtime and read back."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from lowbit.backends.onnxruntime import session
from lowbit.errors import ModelFormatError, UnsupportedError
from lowbit.formats import read_model, write_model
from lowbit.formats.circle.reader import graph_of
from lowbit.formats.circle.structure import check_structure
from lowbit.formats.circle.writer import _tables
from lowbit.formats.flexbuffer import read_options, write_options
from lowbit.formats.onnx.reader import from_proto
from lowbit.formats.onnx.writer import to_proto
from lowbit.ir import Graph, evaluate
from lowbit.ir.graph import Attribute
from lowbit.schemes import FixedPoint
from tests.engine.test_word_values import NETWORKS, Network, samples

FORMATS = [FixedPoint(6, 7), FixedPoint(3, 4), FixedPoint(9, 7, "floor"), FixedPoint(2, 14), FixedPoint(5, 2)]


def drawn(seed: int) -> Graph:
    """Return a chain of sums, means and maxima with formats, activations and windows by chance."""
    random = np.random.default_rng(seed)
    net = Network(int(random.integers(1, 6)), *(int(length) for length in random.integers(4, 10, 2)))
    current = FORMATS[random.integers(len(FORMATS))]
    source = net.node("Encode", "x", encoding=current)
    for _ in range(random.integers(2, 6)):
        before, current = current, FORMATS[random.integers(len(FORMATS))]
        shape = [int(length) for length in net.graph.value(source).shape[2:]]
        kernel = tuple(int(random.integers(1, min(length, 4) + 1)) for length in shape)
        pads = tuple(int(random.integers(0, extent)) for extent in (*kernel, *kernel))
        window: dict[str, Attribute] = {"kernel_shape": kernel, "pads": pads}
        if random.random() < 0.4:
            window["strides"] = tuple(int(step) for step in random.integers(1, 3, 2))
        kind = random.integers(3)
        if kind == 0:
            activation = ("none", "relu", "relu6", "hardtanh")[random.integers(4)]
            more: dict[str, Attribute] = {} if activation == "none" else {"activation": activation}
            source = net.node("FixedAdd", source, source, encoding=current, **more)
        elif kind == 1:
            window["count_include_pad"] = int(random.integers(2))
            source = net.node("AveragePool", source, encoding=current, **window)
        else:
            current = before
            source = net.node("MaxPool", source, encoding=current, **window)
    last = ("GlobalAveragePool", "GlobalMaxPool")[random.integers(2)]
    return net.finished(net.node(last, source, encoding=current if last == "GlobalMaxPool" else FORMATS[0]))


def equal_everywhere(graph: Graph, folder: Path) -> None:
    x = samples(graph)
    wanted = evaluate(graph, {"x": x})["y"]
    for suffix in (".onnx", ".circle", ".txt"):
        write_model(graph, folder / f"net{suffix}")
        again = read_model(folder / f"net{suffix}")
        np.testing.assert_array_equal(evaluate(again, {again.inputs[0]: x})[again.outputs[0]], wanted)
        assert [node.op for node in again.nodes if node.domain] == [
            node.op for node in graph.nodes if node.domain
        ]
    (found,) = session(to_proto(graph)).run(None, {"x": x})
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("seed", range(24))
def test_chains_by_chance(seed: int, tmp_path: Path) -> None:
    equal_everywhere(drawn(seed), tmp_path)


@pytest.mark.parametrize("name", ["sums_with_an_activation", "means_of_windows", "residual_blocks"])
def test_networks_of_the_engine(name: str, tmp_path: Path) -> None:
    equal_everywhere(NETWORKS[name](), tmp_path)


def test_lines_have_means_too() -> None:
    net = Network(3, 12)
    codes = net.node("Encode", "x", encoding=FORMATS[0])
    window: dict[str, Attribute] = {"kernel_shape": (3,), "pads": (1, 1), "strides": (2,), "dilations": (2,)}
    mean = net.node("AveragePool", codes, encoding=FORMATS[3], **window)
    graph = net.finished(net.node("MaxPool", mean, encoding=FORMATS[3], kernel_shape=(2,)))
    x = samples(graph)
    (found,) = session(to_proto(graph)).run(None, {"x": x})
    np.testing.assert_array_equal(found, evaluate(graph, {"x": x})["y"])


def test_means_that_float64_does_not_tell_apart_are_refused() -> None:
    net = Network(1, 2050, 2050)
    codes = net.node("Encode", "x", encoding=FixedPoint(1, 15))
    graph = net.finished(net.node("GlobalAveragePool", codes, encoding=FixedPoint(16, 0)))
    with pytest.raises(UnsupportedError, match="means of so many numbers"):
        to_proto(graph)


# Statements of files that are wrong


def of_onnx(op: str) -> Graph:
    net = Network(3, 6, 6)
    codes = net.node("Encode", "x", encoding=FORMATS[0])
    if op == "FixedAdd":
        return net.finished(net.node(op, codes, codes, encoding=FORMATS[0], activation="relu6"))
    return net.finished(net.node(op, codes, encoding=FORMATS[1], kernel_shape=(3, 3), pads=(1, 1, 1, 1)))


@pytest.mark.parametrize("change", ["ends", "activation", "unknown activation"])
def test_a_sum_that_saturates_otherwise_is_refused(change: str) -> None:
    model = to_proto(of_onnx("FixedAdd"))
    (node,) = (node for node in model.graph.node if node.op_type == "FixedAddClipped")
    for attribute in node.attribute:
        if change == "ends" and attribute.name == "output_ends":
            attribute.ints[1] += 1
        if change != "ends" and attribute.name == "activation":
            attribute.s = b"relu" if change == "activation" else b"no such one"
    with pytest.raises(ModelFormatError, match="output_ends"):
        from_proto(model)


@pytest.mark.parametrize("table", ["divisor", "half", "factor", "least", "most", "kernel"])
def test_a_mean_by_other_numbers_is_refused(table: str) -> None:
    from onnx import numpy_helper

    model = to_proto(of_onnx("AveragePool"))
    (tensor,) = (one for one in model.graph.initializer if one.name.endswith(f"value.{table}"))
    changed = numpy_helper.from_array(numpy_helper.to_array(tensor) + np.float32(1), tensor.name)
    tensor.CopyFrom(changed)
    with pytest.raises(ModelFormatError, match=f"the table {table}"):
        from_proto(model)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kernel_shape": np.array([3])}, "kernel_shape is wrong"),
        ({"strides": np.array([0, 1])}, "strides is wrong"),
        ({"pads": None}, "pads is wrong"),
        ({"input_encoding": json.dumps({**FORMATS[0].to_dict(), "integer_bits": 5})}, "two meanings"),
        ({"more": 1}, "unknown operator option"),
    ],
)
def test_a_window_that_is_none_is_named(options: dict[str, object], message: str) -> None:
    model = _tables(of_onnx("AveragePool"), 0)[1]
    (subgraph,) = model.subgraphs
    names = [model.operator_codes[operator.opcode_index].custom_code for operator in subgraph.operators]
    at, operators = names.index("AveragePool"), list(subgraph.operators)
    old = read_options(operators[at].custom_options.tobytes(), where="net")
    new = {key: item for key, item in {**old, **options}.items() if item is not None}
    content = np.frombuffer(write_options(new), np.uint8)  # type: ignore[arg-type]
    operators[at] = replace(operators[at], custom_options=content)
    broken = replace(model, subgraphs=(replace(subgraph, operators=tuple(operators)),))
    read: Callable[[object], Graph] = lambda tables: graph_of(check_structure(tables, b"", "net"))  # type: ignore[arg-type]
    with pytest.raises(ModelFormatError, match=message):
        read(broken)
