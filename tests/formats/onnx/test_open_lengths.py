"""Lengths that a file leaves open: arithmetic with them, what fixes them; branches and functions."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import lowbit
from lowbit.errors import LowbitError, ModelFormatError, TooLargeError, UnsupportedError, UsageError
from lowbit.formats.input_shapes import fixed_inputs
from lowbit.formats.onnx import from_proto, to_proto
from lowbit.ir import evaluate
from tests.command import Command
from tests.formats.onnx.test_operators_of_exporters import floats, node, runtime

RANDOM = np.random.default_rng(0)


def model(
    nodes: list[onnx.NodeProto],
    shape: list[int | str],
    constants: dict[str, np.ndarray] | None = None,
    functions: list[onnx.FunctionProto] | None = None,
    outputs: tuple[str, ...] = ("y",),
) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in (constants or {}).items()],
    )
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("mine", 1)]
    return helper.make_model(graph, opset_imports=opsets, functions=functions or [], ir_version=9)


def row(*numbers: int) -> np.ndarray:
    return np.array(numbers, np.int64)


LENGTH = [node("Shape", "x", outputs=("s",)), node("Gather", "s", "zero", outputs=("n",))]
CONSTANTS = {
    "zero": row(0),
    "token": floats(RANDOM, 1, 1, 4),
    "rest": row(1, 4),
    "all": row(-1, 4),
    "one": row(1),
}

# What exporters write with the batch: a class token, heads that become rows, a length used as a number.
FORMS: dict[str, list[onnx.NodeProto]] = {
    "token": [
        *LENGTH,
        node("Concat", "n", "rest", outputs=("to",), axis=0),
        node("Expand", "token", "to", outputs=("t",)),
        node("Concat", "t", "x", axis=1),
    ],
    "rows": [
        *LENGTH,
        node("Mul", "n", "three", outputs=("m",)),
        node("Concat", "m", "four", outputs=("to",), axis=0),
        node("Reshape", "x", "to", outputs=("r",)),
        node("Reshape", "r", "whole"),
    ],
    "zeros that copy nothing": [  # as torch's exporter writes every shape
        *LENGTH,
        node("Concat", "n", "four", "three", outputs=("to",), axis=0),
        node("Reshape", "x", "to", outputs=("r",), allowzero=1),
        node("Transpose", "r", perm=[0, 2, 1]),
    ],
    "upper": [node("Trilu", "x", "k")],
    "lower": [
        node("Transpose", "x", outputs=("r",), perm=[1, 2, 0]),
        node("Trilu", "r", upper=0, outputs=("l",)),
        node("Transpose", "l", perm=[2, 0, 1]),
    ],
    "fill": [
        *LENGTH,
        node("Concat", "n", "three", "four", outputs=("to",), axis=0),
        node("ConstantOfShape", "to", outputs=("f",), value=numpy_helper.from_array(np.float32([2.5]))),
        node("Add", "f", "x"),
    ],
    "number": [
        *LENGTH,
        node("Cast", "n", outputs=("m",), to=TensorProto.FLOAT),
        node("Div", "x", "m"),
    ],
    "half of the known": [  # `chunk` in torch's exports
        node("Shape", "x", outputs=("s",)),
        node("Gather", "s", "minus one", outputs=("c",)),
        node("Div", "c", "two", outputs=("half",)),
        node("Slice", "x", "half", "c", "minus one", outputs=("r",)),
        node("Slice", "x", "zero", "half", "minus one", outputs=("l",)),
        node("Concat", "r", "l", axis=-1),
    ],
    "expand": [
        node("Shape", "x", outputs=("s",)),
        node("Equal", "s", "minus", outputs=("e",)),
        node("Where", "e", "s", "s", outputs=("to",)),
        node("Expand", "token", "to", outputs=("t",)),
        node("Mul", "t", "x"),
    ],
}


@pytest.mark.parametrize("form", FORMS)
def test_shape_arithmetic_with_an_open_batch(form: str) -> None:
    constants = CONSTANTS | {
        "three": row(3),
        "k": np.int64(1),
        "four": row(4),
        "whole": row(-1, 3, 4),
        "minus": row(-1, -1, -1),
        "minus one": row(-1),
        "two": row(2),
    }
    proto = model(FORMS[form], ["batch", 3, 4], constants)
    graph = from_proto(proto)
    for count in (1, 3):
        x = {"x": floats(RANDOM, count, 3, 4)}
        wanted = runtime(proto, x)["y"]
        np.testing.assert_allclose(evaluate(graph, x)["y"], wanted, atol=1e-6)
        np.testing.assert_allclose(runtime(to_proto(graph), x)["y"], wanted, atol=1e-6)


def convolution() -> onnx.ModelProto:
    nodes = [node("Conv", "x", "w", outputs=("c",)), node("GlobalAveragePool", "c")]
    return model(nodes, ["n", 3, "height", "width"], {"w": floats(RANDOM, 2, 3, 3, 3)})


def test_an_open_map_is_fixed_by_name(tmp_path: Path) -> None:
    path, proto = tmp_path / "net.onnx", convolution()
    onnx.save(proto, path)
    with pytest.raises(LowbitError, match=r"--input-shape x=n,3,height,width"):
        lowbit.read(path)
    graph = lowbit.read(path, input_shapes={"x": ("n", 3, 8, 6)})
    assert graph.value("x").shape == ("n", 3, 8, 6)
    x = {"x": floats(RANDOM, 2, 3, 8, 6)}
    np.testing.assert_allclose(evaluate(graph, x)["y"], runtime(proto, x)["y"], atol=1e-5)


def test_the_command_line_fixes_it_too(command: Command, tmp_path: Path) -> None:
    source, target = tmp_path / "net.onnx", tmp_path / "net.txt"
    onnx.save(convolution(), source)
    code, _, errors = command("convert", str(source), str(target))
    assert code and "--input-shape" in errors
    assert command("convert", str(source), str(target), "--input-shape", "x=1,3,8,6")[0] == 0
    assert target.exists()


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ({"z": (1, 3, 8, 8)}, "no such input; expected x"),
        ({"x": (1, 3, 8)}, "cannot have this shape"),
        ({"x": (1, 4, 8, 8)}, "cannot have this shape; expected n,3,height,width; found 1,4,8,8"),
        ({"x": (1, 3, 0, 8)}, "cannot have this shape"),
    ],
)
def test_shapes_that_do_not_fit_name_the_input(shape: dict[str, tuple[int, ...]], message: str) -> None:
    with fixed_inputs(shape), pytest.raises(UsageError, match=message):
        from_proto(convolution())


def branch(name: str, *nodes: onnx.NodeProto) -> onnx.GraphProto:
    outputs = [helper.make_tensor_value_info(f"{name}_y", TensorProto.FLOAT, None)]
    inside = [numpy_helper.from_array(np.float32([2.0]), f"{name}_c")]
    return helper.make_graph(list(nodes), name, [], outputs, inside)


def conditional(condition: str) -> list[onnx.NodeProto]:
    return [
        node(
            "If",
            condition,
            then_branch=branch("a", node("Mul", "x", "a_c", outputs=("a_y",))),
            else_branch=branch("b", node("NonZero", "x", outputs=("b_y",))),
        )
    ]


def test_the_branch_that_is_always_taken_is_read() -> None:
    graph = from_proto(model(conditional("yes"), [2, 3], {"yes": np.asarray(True)}))
    x = {"x": floats(RANDOM, 2, 3)}
    assert np.array_equal(evaluate(graph, x)["y"], 2 * x["x"])


def test_a_condition_that_is_computed_is_refused() -> None:
    nodes = [
        node("ReduceMax", "x", outputs=("m",), keepdims=0),
        node("Greater", "m", "zero", outputs=("yes",)),
    ]
    with pytest.raises(UnsupportedError, match="only known when the network runs"):
        from_proto(model([*nodes, *conditional("yes")], [2, 3], {"zero": np.float32(0)}))


def function(name: str, *nodes: onnx.NodeProto) -> onnx.FunctionProto:
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("mine", 1)]
    return helper.make_function("mine", name, ["p"], ["q"], list(nodes), opsets, ["slope"])


def test_functions_of_a_file_are_what_they_are_made_of() -> None:
    leaky = helper.make_node("LeakyRelu", ["p"], ["r"])
    leaky.attribute.append(onnx.AttributeProto(name="alpha", type=1, ref_attr_name="slope"))
    inner = function("Inner", leaky, node("Neg", "r", outputs=("q",)))
    outer = function(
        "Outer",
        node("Inner", "p", outputs=("a",), domain="mine", slope=0.5),
        node("Inner", "a", outputs=("q",), domain="mine", slope=0.25),
    )
    nodes = [node("Outer", "x", outputs=("h",), domain="mine"), node("Outer", "h", domain="mine")]
    proto = model(nodes, [2, 3], functions=[inner, outer])
    x = {"x": floats(RANDOM, 2, 3)}
    np.testing.assert_allclose(evaluate(from_proto(proto), x)["y"], runtime(proto, x)["y"], rtol=1e-6)


def test_functions_without_an_end_are_refused() -> None:
    loop = function("Loop", node("Loop", "p", outputs=("q",), domain="mine"))
    with pytest.raises(ModelFormatError, match="calls itself"):
        from_proto(model([node("Loop", "x", domain="mine")], [2], functions=[loop]))
    many = [function("F0", node("Neg", "p", outputs=("q",)))]
    for depth in range(1, 40):
        twice = [node(f"F{depth - 1}", a, outputs=(b,), domain="mine") for a, b in (("p", "m"), ("m", "q"))]
        many.append(function(f"F{depth}", *twice))
    with pytest.raises(TooLargeError, match="too many nodes"):
        from_proto(model([node("F39", "x", domain="mine")], [2], functions=many))


MIXING = {
    "rows": [node("Softmax", "x", axis=0)],
    "sums": [node("ReduceMean", "x", "zero", keepdims=1)],
    "running": [node("CumSum", "x", "zero")],
    "products": [
        node("Transpose", "x", outputs=("t",), perm=[1, 0]),
        node("MatMul", "t", "x", outputs=("m",)),
        node("MatMul", "x", "m"),
    ],
    "pairs": [
        node("Unsqueeze", "x", "one", outputs=("u",)),
        node("Sub", "u", "x", outputs=("d",)),
        node("ReduceSum", "d", "one", keepdims=0),
    ],
    "turned": [
        node("Transpose", "x", outputs=("t",), perm=[1, 0]),
        node("Reshape", "t", "flat", outputs=("y",)),
    ],
}


@pytest.mark.parametrize("kind", MIXING)
def test_a_batch_of_one_stays_where_samples_would_meet(kind: str) -> None:
    graph = from_proto(model(MIXING[kind], [1, 4], {"zero": row(0), "one": row(1), "flat": row(1, -1)}))
    assert graph.value("x").shape == (1, 4)


def test_outputs_of_integers_are_given_as_they_are() -> None:
    nodes = [node("TopK", "x", "k", outputs=("y", "i")), node("ArgMax", "x", outputs=("a",), axis=1)]
    proto = model(nodes, ["n", 5], {"k": row(2)}, outputs=("y", "i"))
    proto.graph.output[1].type.tensor_type.elem_type = TensorProto.INT64
    graph, x = from_proto(proto), {"x": floats(RANDOM, 3, 5)}
    found, wanted = evaluate(graph, x), runtime(proto, x)
    assert graph.outputs == ("y", "i") and found["i"].dtype == np.int64
    assert np.array_equal(found["i"], wanted["i"]) and np.array_equal(found["y"], wanted["y"])
