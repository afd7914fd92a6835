"""A file that is refused says everything at once: operators, attributes, types, each with its nodes."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import lowbit
from lowbit.blockers import Blocker
from lowbit.errors import LowbitError, ModelFormatError, UnsupportedError
from lowbit.formats.circle.reader import read_content
from lowbit.formats.circle.schema import Conv2DOptions, FullyConnectedOptions
from tests.formats.test_tflite_int8 import Author

FAULTS = ["operator", "attribute", "condition", "function"]


def faulty(fault: str, number: int, source: str) -> tuple[list[onnx.NodeProto], str, str]:
    """Return nodes of which one is refused, what they give, and the name of the refused one."""
    name, output = f"{fault}_{number}", f"{fault}_{number}_out"
    if fault == "operator":
        return [helper.make_node("Unheard", [source], [output], name)], output, name
    if fault == "attribute":
        return [helper.make_node("Pad", [source, "pads"], [output], name, mode="unheard")], output, name
    if fault == "function":
        return [helper.make_node("Own", [source], [output], name, domain="of.mine")], output, name
    branch = helper.make_graph([], "branch", [], [helper.make_tensor_value_info(source, 1, [1, 4])])
    nodes = [
        helper.make_node("ReduceSum", [source], [f"{name}_sum"], keepdims=0),
        helper.make_node("Cast", [f"{name}_sum"], [f"{name}_is"], to=TensorProto.BOOL),
        helper.make_node("If", [f"{name}_is"], [output], name, then_branch=branch, else_branch=branch),
    ]
    return nodes, output, name


def model(faults: list[str]) -> tuple[onnx.ModelProto, dict[str, list[str]]]:
    """Return a chain of faults with good nodes between them, and the names of the bad ones by fault."""
    nodes: list[onnx.NodeProto] = []
    names: dict[str, list[str]] = {}
    stated, at = [], "x"
    for number, fault in enumerate(faults):
        made, output, name = faulty(fault, number, at)
        at = f"good_{number}"
        nodes += [*made, helper.make_node("Relu", [output], [at], at)]
        stated.append(helper.make_tensor_value_info(output, TensorProto.FLOAT, [1, 4]))
        names.setdefault(fault, []).append(name)
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 4]) for name in ("x", at)]
    pads = numpy_helper.from_array(np.array([0, 1, 0, 1]), "pads")
    graph = helper.make_graph(nodes, "net", ends[:1], ends[1:], [pads], value_info=stated)
    inner = helper.make_node("Unheard", ["a"], ["b"], "inside")
    imports = [helper.make_opsetid("", 18), helper.make_opsetid("of.mine", 1)]
    function = helper.make_function("of.mine", "Own", ["a"], ["b"], [inner], imports)
    return helper.make_model(graph, opset_imports=imports, functions=[function]), names


def refused(proto: onnx.ModelProto) -> LowbitError:
    with pytest.raises(LowbitError) as caught:
        lowbit.read(proto)
    return caught.value


@pytest.mark.parametrize("seed", range(12))
def test_every_refused_node_is_named(seed: int) -> None:
    random = np.random.default_rng(seed)
    proto, names = model([str(each) for each in random.choice(FAULTS, random.integers(1, 7))])
    error = refused(proto)
    found: dict[str, set[str]] = {}
    blocker: Blocker
    for blocker in error.blockers:
        found.setdefault(blocker.what, set()).update(blocker.nodes)
    said = set().union(*found.values())
    wanted = {name for fault, some in names.items() if fault != "function" for name in some}
    assert wanted == said - {"inside"}
    assert ("inside" in said) == ("function" in names)
    assert all(blocker.remedy for blocker in error.blockers)
    assert sum(blocker.count for blocker in error.blockers) == len(said)
    assert len(str(error)) < 1500


def test_inputs_are_parts_as_well() -> None:
    proto, _ = model(["operator"])
    for name in ("words", "waves"):
        kind = TensorProto.STRING if name == "words" else TensorProto.COMPLEX64
        proto.graph.input.append(helper.make_tensor_value_info(name, kind, [1]))
    assert [blocker.nodes for blocker in refused(proto).blockers] == [("words", "waves"), ("operator_0",)]


def test_what_is_behind_a_shape_that_nobody_knows_is_not_guessed() -> None:
    proto, _ = model(["operator", "attribute"])
    del proto.graph.value_info[:]
    assert [blocker.operator for blocker in refused(proto).blockers] == ["Unheard"]


def test_one_refusal_is_what_it_was() -> None:
    error = refused(model(["condition"])[0])
    assert isinstance(error, UnsupportedError)
    assert error.message == "a condition that is only known when the network runs"
    assert "condition_0" in error.where


def test_damage_is_said_at_once(tmp_path: Path) -> None:
    proto, _ = model(["operator"])
    proto.graph.node.append(helper.make_node("Relu", ["nowhere"], ["y"], "bad"))
    proto.graph.output[0].name = "y"
    with pytest.raises(ModelFormatError):
        lowbit.read(proto)


def test_every_refused_operator_of_a_tflite_file_is_named() -> None:
    author = Author(np.random.default_rng(0))
    x = author.tensor((1, 4, 4, 3), "float32")
    at, shape = x, (1, 4, 4, 3)
    for bad in (True, False):  # what reads nothing of an unknown operator is looked at
        name = "HASHTABLE_LOOKUP" if bad else "RELU"
        at = author.operator(name, (at,), author.tensor(shape, "float32"))
    weights = author.tensor((2, 3, 3, 3), "float32", None, np.zeros((2, 3, 3, 3), np.float32))
    at = author.operator(
        "CONV_2D", (at, weights), author.tensor((1, 2, 2, 2), "float32"), Conv2DOptions(1, 1, 1, 99)
    )
    at = author.operator("HASHTABLE_LOOKUP", (at,), author.tensor((1, 8), "float32"))
    at = author.operator("RELU", (at,), author.tensor((1, 8), "float32"))
    weights = author.tensor((2, 8), "float32", None, np.zeros((2, 8), np.float32))
    y = author.operator(
        "FULLY_CONNECTED", (at, weights), author.tensor((1, 2), "float32"), FullyConnectedOptions(99)
    )
    with pytest.raises(UnsupportedError) as caught:
        read_content(author.content(x, y), "net.tflite")
    assert {blocker.operator: blocker.count for blocker in caught.value.blockers} == {
        "HASHTABLE_LOOKUP": 2,
        "CONV_2D": 1,
        "FULLY_CONNECTED": 1,
    }
    assert all(blocker.remedy for blocker in caught.value.blockers)
