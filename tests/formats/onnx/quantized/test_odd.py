"""Quantized files with something wrong: refused by errors of ours that say where, or read."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from lowbit.errors import LowbitError
from lowbit.formats.onnx import from_proto
from tests.formats.onnx.quantized.models import Model
from tests.formats.onnx.quantized.test_qdq import network
from tests.formats.onnx.quantized.test_qoperator import MICROSOFT, Chain

F = np.float32
ODD_SCALES = {
    "zero": F(0), "negative": F(-1), "nan": F(np.nan), "infinite": F(np.inf), "none": np.zeros(0, F),
    "a table": np.ones((2, 2), F), "whole": np.int32(1), "other length": np.ones(5, F),
    "tiny": np.float64(1e-300), "huge": F(3e38),
}  # fmt: skip
ODD_ZEROS = {
    "other length": np.zeros(2, np.int8), "a table": np.zeros((1, 1), np.int8), "floats": F(0.5),
    "int32": np.int32(7), "int64": np.int64(3),
}  # fmt: skip


def refused(model: Model, output: str, shape: tuple[int | str, ...] = ("n", 3, 4)) -> LowbitError:
    with pytest.raises(LowbitError) as caught:
        from_proto(model.proto(shape, output), "odd.onnx")
    assert caught.value.where.startswith("odd.onnx") and caught.value.found
    return caught.value


@pytest.mark.parametrize("op", ["QuantizeLinear", "DequantizeLinear"])
@pytest.mark.parametrize("what", list(ODD_SCALES))
def test_odd_scales(op: str, what: str) -> None:
    model = Model(np.random.default_rng(0))
    scale, zero = model.constant(ODD_SCALES[what]), model.constant(np.int8(0))
    source = "x" if op == "QuantizeLinear" else model.constant(np.ones((3, 4), np.int8))
    made = model.node(op, [source, scale, zero])
    output = made if op == "QuantizeLinear" else model.node("MatMul", ["x", model.node("Transpose", [made])])
    assert refused(model, output).expected


@pytest.mark.parametrize("what", list(ODD_ZEROS))
def test_odd_zero_points(what: str) -> None:
    model = Model(np.random.default_rng(0))
    inputs = ["x", model.constant(F(0.1)), model.constant(ODD_ZEROS[what])]
    codes = model.node("QuantizeLinear", inputs)
    assert refused(model, codes).expected


@pytest.mark.parametrize("axis", [-4, 3, 7])
def test_an_axis_that_is_not_there(axis: int) -> None:
    model = Model(np.random.default_rng(0))
    inputs = ["x", model.constant(np.ones(3, F)), model.constant(np.zeros(3, np.int8))]
    assert str(axis) in refused(model, model.node("QuantizeLinear", inputs, axis=axis)).found


@pytest.mark.parametrize(
    "attributes", [{"block_size": 3, "axis": 0}, {"block_size": -1}, {"block_size": 2, "axis": 5}]
)
def test_blocks_that_do_not_fit(attributes: dict[str, int]) -> None:
    model = Model(np.random.default_rng(0))
    held = [model.constant(np.ones((4, 6), np.int8)), model.constant(np.ones((3, 6), F))]
    real = model.node("DequantizeLinear", held, **attributes)
    refused(model, model.node("MatMul", ["x", real]), ("n", 4))


def test_an_input_of_integers_that_others_read_as_well_keeps_its_meaning() -> None:
    model = Model(np.random.default_rng(0))
    parameters = [model.constant(F(0.1)), model.constant(np.uint8(3))]
    real = model.node("DequantizeLinear", ["x", *parameters])
    output = model.node("Add", [real, model.node("Cast", ["x"], to=TensorProto.FLOAT)])
    with pytest.raises(LowbitError):
        from_proto(model.proto(("n", 3), output, TensorProto.UINT8))


Change = Callable[[Any, np.random.Generator], None]


def _drop_input(node: Any, random: np.random.Generator) -> None:
    if len(node.input):
        del node.input[int(random.integers(len(node.input)))]


def _swap_inputs(node: Any, random: np.random.Generator) -> None:
    if len(node.input) > 1:
        one, other = random.integers(len(node.input), size=2)
        node.input[one], node.input[other] = node.input[other], node.input[one]


def _rename_operator(node: Any, random: np.random.Generator) -> None:
    names = [
        "QuantizeLinear",
        "DequantizeLinear",
        "QLinearConv",
        "MatMulInteger",
        "Clip",
        "Relu",
        "ConvInteger",
    ]
    node.op_type = str(random.choice([*names, "DynamicQuantizeLinear", "QLinearMatMul"]))


def _set_axis(node: Any, random: np.random.Generator) -> None:
    node.attribute.append(helper.make_attribute("axis", int(random.integers(-9, 9))))


def _drop_outputs(node: Any, _: np.random.Generator) -> None:
    node.output.append("more")


NODE_CHANGES: list[Change] = [_drop_input, _swap_inputs, _rename_operator, _set_axis, _drop_outputs]


def _change_tensor(tensor: Any, random: np.random.Generator) -> None:
    """Give a constant another type, shape or content."""
    kinds = (1, 2, 3, 5, 6, 7, 9, 10, 11, 16, 17, 21, 22, 23, 25)
    match int(random.integers(5)):
        case 0:
            tensor.data_type = int(random.choice(kinds))
        case 1:
            tensor.dims[:] = [int(each) for each in random.integers(0, 4, random.integers(0, 4))]
        case 2 if len(tensor.raw_data):
            tensor.raw_data = tensor.raw_data[: int(random.integers(len(tensor.raw_data) + 1))]
        case 3 if len(tensor.raw_data):
            content = bytearray(tensor.raw_data)
            content[int(random.integers(len(content)))] ^= int(random.integers(1, 256))
            tensor.raw_data = bytes(content)
        case _:
            odd = np.asarray(random.choice([0.0, -1.0, np.nan, np.inf, 1e38]), F)
            tensor.CopyFrom(numpy_helper.from_array(odd, tensor.name))


def a_model(seed: int) -> Any:
    """Return QDQ, QCDQ or QOperator, with packed constants as raw bytes."""
    if seed % 3:
        model, shape, output = network(seed, clip=bool(seed % 2))
        return model.proto(("n", *shape), output)
    chain = Chain(seed)
    start: tuple[int, ...] = [(6,), (3, 6, 6)][seed % 2]
    x = chain.parameters(6.0)
    x, shape = chain.layer([chain.model.node("QuantizeLinear", ["x", *x]), *x], start)
    x = chain.between(x, shape)
    return chain.model.proto(("n", *start), chain.model.node("DequantizeLinear", x))


@pytest.mark.parametrize("seed", range(40))
def test_damaged_files_are_refused_or_read(seed: int) -> None:
    """Whatever is wrong, it is an error of ours or a graph; nothing else comes out."""
    random = np.random.default_rng(seed)
    for _ in range(8):
        proto = a_model(seed)
        for _ in range(int(random.integers(1, 3))):
            if random.integers(2):
                node = proto.graph.node[int(random.integers(len(proto.graph.node)))]
                NODE_CHANGES[int(random.integers(len(NODE_CHANGES)))](node, random)
            else:
                _change_tensor(
                    proto.graph.initializer[int(random.integers(len(proto.graph.initializer)))], random
                )
        try:
            from_proto(proto, "odd.onnx")
        except LowbitError as error:
            assert error.where.startswith("odd.onnx")


@pytest.mark.parametrize("change", [
    {"K": 0}, {"K": 33}, {"N": 7}, {"bits": 3}, {"block_size": 8}, {"block_size": 24},
    {"block_size": -32}, {"N": -1},
])  # fmt: skip
def test_blocks_of_other_sizes(change: dict[str, int]) -> None:
    model = Model(np.random.default_rng(0))
    inputs = ["x", model.constant(np.zeros((5, 1, 16), np.uint8)), model.constant(np.ones((5, 1), F))]
    sizes = {"K": 32, "N": 5, "bits": 4, "block_size": 32} | change
    refused(model, model.node("MatMulNBits", inputs, MICROSOFT, **sizes), ("n", 32))
