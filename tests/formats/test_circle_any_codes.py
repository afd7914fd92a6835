"""Codes of any encoding in .circle: fixed-point networks, what stands as what, and files that are damaged."""

import json
from dataclasses import replace

import numpy as np
import pytest

from lowbit.errors import ModelFormatError
from lowbit.formats.circle.any_codes import OPERATORS
from lowbit.formats.circle.coded_values import coded_values
from lowbit.formats.circle.reader import graph_of, read_content
from lowbit.formats.circle.structure import check_structure
from lowbit.formats.circle.writer import _tables, content_of
from lowbit.formats.flexbuffer import read_options, write_options
from lowbit.ir import Graph, Node, Value, evaluate, infer, to_text
from lowbit.quantization.fixed_point import to_fixed_point
from lowbit.zoo import NETWORKS, float_graph
from tests.conformance.pairs import Case, network
from tests.ir.networks import lowbit_mlp

LINEAR = Case("lq:2", "fixed:6.7", "linear", "fixed:6.2")
MAPS = Case("affine:7", "lq:3", "convolution", "affine:3")


def again(graph: Graph) -> Graph:
    return read_content(bytes(content_of(graph)), "net.circle")


@pytest.mark.parametrize("form", ["6.7", "6.2", "4.5:floor"])
def test_lst1_in_fixed_point_reads_back_equal(form: str) -> None:
    bits, _, rounding = form.partition(":")
    before, behind = (int(part) for part in bits.split("."))
    graph = to_fixed_point(float_graph(NETWORKS["lst1"]), before, behind, rounding or "nearest")
    found, x = again(graph), np.random.default_rng(0).random((4, 1, 28, 28), np.float32)
    (source,) = graph.inputs
    x = x.reshape(4, *(int(length) for length in graph.value(source).shape[1:]))
    wanted: dict[str, object] = {}
    seen: dict[str, object] = {}
    evaluate(graph, {source: x}, wanted.__setitem__)
    evaluate(found, {source: x}, seen.__setitem__)
    common = wanted.keys() & seen.keys()
    assert {
        node.outputs[0] for node in graph.nodes if node.domain
    } <= common  # but a turn of axes, which fc3 took
    for name in common:
        np.testing.assert_array_equal(seen[name], wanted[name], err_msg=name)


def test_a_sum_of_fixed_point_codes_reads_back_equal() -> None:
    graph = Graph("sum", ("x",), ("y",), values={"x": Value("x", "float32", ("n", 7))})
    graph.add_constant("w", np.random.default_rng(0).normal(size=(7, 7)))
    graph.add_constant("b", np.zeros(7))
    graph.nodes = [
        Node("Gemm", ("x", "w", "b"), ("h",), {"transB": 1}, "fc"),
        Node("Relu", ("h",), ("r",), {}, "relu"),
        Node("Add", ("r", "h"), ("y",), {}, "add"),
    ]
    infer(graph)
    low = to_fixed_point(graph, 6, 7)
    assert {"FixedAdd", "FixedLookup"} <= {node.op for node in low.nodes}
    assert to_text(again(low)) == to_text(low)


def test_what_had_a_name_stands_as_it_did() -> None:
    graph = lowbit_mlp((9, 4, 3))
    standing = coded_values(graph)
    assert not standing.explicit and not standing.layers


def test_what_is_explicit_spreads_to_its_ends() -> None:
    graph = lowbit_mlp((9, 7, 5, 3), softmax=False)
    middle = graph.nodes[1].outputs[0]
    graph.outputs = (*graph.outputs, middle)
    coded = {name for name, value in graph.values.items() if value.encoding and value.data is None}
    standing = coded_values(graph)
    assert standing.explicit == coded and len(standing.layers) == 3


def tables(case: Case) -> "object":
    return _tables(network(case), 0)[1]


def read(model: object) -> Graph:
    return graph_of(check_structure(model, b"", "net"))


def changed(case: Case, name: str, **options: object) -> "object":
    """Return the tables of a case with options of the first operator of that name changed, or left out."""
    model = tables(case)
    (subgraph,) = model.subgraphs
    names = [model.operator_codes[operator.opcode_index].custom_code for operator in subgraph.operators]
    at = names.index(name)
    old = read_options(subgraph.operators[at].custom_options.tobytes(), where="net")
    new = {key: item for key, item in {**old, **options}.items() if item is not None}
    content = np.frombuffer(write_options(new), np.uint8)
    operators = list(subgraph.operators)
    operators[at] = replace(operators[at], custom_options=content)
    return replace(model, subgraphs=(replace(subgraph, operators=tuple(operators)),))


FIXED = {"scheme": "fixed", "integer_bits": 6, "fraction_bits": 7, "rounding": "nearest"}


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("Encode", {"output_encoding": "{"}, "output_encoding cannot be read"),
        ("Encode", {"output_encoding": "[]"}, "output_encoding cannot be read"),
        (
            "Encode",
            {"output_encoding": json.dumps({**FIXED, "scheme": "none"})},
            "output_encoding cannot be read",
        ),
        ("Encode", {"output_encoding": json.dumps({**FIXED, "integer_bits": 99})}, "cannot be read"),
        ("Encode", {"output_encoding": json.dumps({**FIXED, "integer_bits": 5})}, "two meanings"),
        ("Encode", {"output_encoding": json.dumps({**FIXED, "fraction_bits": 1})}, "wrong type"),
        ("Encode", {"more": 1}, "unknown operator option"),
        ("Linear", {"weights_shape": np.array([5, 70])}, "stored codes"),
        ("Linear", {"weights_shape": np.array([5])}, "weights are not"),
        ("Linear", {"weights_shape": np.array([-5, 37])}, "weights_shape is impossible"),
        ("Linear", {"weights_shape": None}, "weights are not"),
        ("Linear", {"weights_fields": "basis"}, "weights are not"),
        ("Linear", {"weights_fields": "basis,offset,tip"}, "an encoding cannot be read"),
        ("Linear", {"weights_encoding": None}, "weights_encoding cannot be read"),
        ("Linear", {"weights_encoding": '{"scheme": "affine", "bits": 2}'}, "an encoding cannot be read"),
        ("Linear", {"fused_activation_function": "SOFTMAX"}, "fused_activation_function is wrong"),
    ],
)
def test_a_damaged_statement_is_named(name: str, options: dict[str, object], message: str) -> None:
    assert read(tables(LINEAR)).nodes
    with pytest.raises(ModelFormatError, match=message):
        read(changed(LINEAR, name, **options))


@pytest.mark.parametrize("name", OPERATORS)
@pytest.mark.parametrize("count", [0, 17])
def test_a_wrong_number_of_inputs_is_refused(name: str, count: int) -> None:
    model = tables(MAPS if name == "Convolution" else LINEAR)
    (subgraph,) = model.subgraphs
    codes = tuple(
        replace(code, custom_code=name) if code.custom_code else code for code in model.operator_codes
    )
    first = replace(subgraph.operators[0], inputs=(0,) * count)
    broken = replace(subgraph, operators=(first, *subgraph.operators[1:]))
    with pytest.raises(ModelFormatError):
        read(replace(model, operator_codes=codes, subgraphs=(broken,)))
