"""Layers of any encodings as ONNX: what is stated twice must agree, and what is damaged is named."""

import json

import numpy as np
import pytest

from lowbit.errors import ModelFormatError, SchemeError
from lowbit.formats.onnx import from_proto, to_proto
from tests.conformance.pairs import Case, network

onnx = pytest.importorskip("onnx")

LINEAR = Case("lq:2", "fixed:6.7", "linear", "fixed:6.2")
MAPS = Case("fixed:6.7", "lq:3", "convolution", "affine:3")


def layer_of(model: "onnx.ModelProto") -> "onnx.NodeProto":
    return next(node for node in model.graph.node if node.name == "a/layer")


def tables_of(model: "onnx.ModelProto") -> list[str]:
    return sorted(item.name for item in model.graph.initializer if item.name.startswith("a.layer."))


@pytest.mark.parametrize("case", [LINEAR, MAPS], ids=str)
def test_a_table_that_is_another_is_refused(case: Case) -> None:
    names = tables_of(to_proto(network(case)))
    assert len(names) == 9 + 9 * (case is MAPS)
    for name in names:
        model = to_proto(network(case))
        tensor = next(item for item in model.graph.initializer if item.name == name)
        data = onnx.numpy_helper.to_array(tensor).copy()
        data.reshape(-1)[-1] += 1
        tensor.CopyFrom(onnx.numpy_helper.from_array(data, name))
        with pytest.raises(ModelFormatError, match=f"the table {name.removeprefix('a.layer.')}"):
            from_proto(model)


@pytest.mark.parametrize(
    ("attribute", "value", "message"),
    [
        ("weights_encoding", "{", "an encoding cannot be read"),
        (
            "weights_encoding",
            '{"scheme": "fixed", "integer_bits": 1, "fraction_bits": 1, "rounding": "floor"}',
            "weights",
        ),
        (
            "input_encoding",
            '{"scheme": "fixed", "integer_bits": 5, "fraction_bits": 8, "rounding": "nearest"}',
            "input",
        ),
        ("weights_shape", [5, 70], "stored codes"),
        ("weights_shape", [5], "weights are not"),
        ("weights_shape", [-5, 37], "weights are not"),
    ],
)
def test_a_damaged_statement_is_refused(attribute: str, value: object, message: str) -> None:
    model = to_proto(network(LINEAR))
    node = layer_of(model)
    (old,) = (item for item in node.attribute if item.name == attribute)
    old.CopyFrom(onnx.helper.make_attribute(attribute, value))
    with pytest.raises((ModelFormatError, SchemeError), match=message):
        from_proto(model)


def test_a_node_says_its_encodings() -> None:
    graph = network(MAPS)
    stated = {item.name: item for item in layer_of(to_proto(graph)).attribute}
    for name, value in (("input", "codes"), ("weights", "a/weights"), ("output", "a")):
        found = json.loads(onnx.helper.get_attribute_value(stated[f"{name}_encoding"]))
        assert found == graph.value(value).encoding.to_dict()
    again = from_proto(to_proto(graph))
    assert again.value("a/weights").encoding == graph.value("a/weights").encoding
    np.testing.assert_array_equal(again.value("a/weights").data, graph.value("a/weights").data)
