"""Well-formed ONNX files with wrong content: an error of ours or a network, through all passes."""

import random
import warnings
from collections import Counter

import numpy as np
import pytest

from lowbit.errors import LowbitError
from lowbit.formats.onnx import from_proto, to_proto
from lowbit.ir import run_passes
from lowbit.ir.passes import NORMAL_FORM
from tests.ir.networks import float_convnet

onnx = pytest.importorskip("onnx")

MUTATIONS = 2000
INTEGERS = (0, 1, -1, 2, 3, 7, 100, 2**15 + 1, 2**31, 2**40, -(2**40), 2**62, -(2**63), 2**63 - 1)
_NAMES = """
    axis axes pads kernel_shape group perm auto_pad ceil_mode strides dilations to value mode broadcast size
    alpha count_include_pad epsilon training_mode
"""
NAMES = _NAMES.split()


def any_attribute(generator: random.Random) -> object:
    """Return an attribute of any kind."""
    return generator.choice(
        [
            generator.choice(INTEGERS),
            [generator.choice(INTEGERS) for _ in range(generator.randint(1, 5))],
            generator.choice([1.5, float("nan"), float("inf")]),
            [0.5, float("nan")],
            generator.choice(["SAME_UPPER", "SAME_LOWER", "VALID", "edge", "x"]),
        ]
    )


def mutate(model: "onnx.ModelProto", generator: random.Random) -> None:
    """Change an attribute, a constant, an edge, an operator, an input's shape or the opset."""
    node = generator.choice(model.graph.node)
    kind = generator.randrange(6)
    if kind == 0:
        name = generator.choice(NAMES)
        kept = [attribute for attribute in node.attribute if attribute.name != name]
        del node.attribute[:]
        node.attribute.extend([*kept, onnx.helper.make_attribute(name, any_attribute(generator))])
    elif kind == 1:
        tensor = generator.choice(model.graph.initializer)
        array = onnx.numpy_helper.to_array(tensor)
        forms = (array.reshape(-1), array[None], array.astype(np.int64), np.full_like(array, 9), array[:1])
        tensor.CopyFrom(
            onnx.numpy_helper.from_array(np.ascontiguousarray(generator.choice(forms)), tensor.name)
        )
    elif kind == 2:
        names = [name for other in model.graph.node for name in (*other.input, *other.output)]
        node.input[generator.randrange(len(node.input))] = generator.choice(names)
    elif kind == 3:
        node.op_type = generator.choice(model.graph.node).op_type
    elif kind == 4:
        dimension = generator.choice(model.graph.input[0].type.tensor_type.shape.dim)
        dimension.dim_value = abs(generator.choice(INTEGERS)) % 2**62
    else:
        model.opset_import[0].version = generator.choice([6, 7, 9, 11, 13, 22])


def test_wrong_content() -> None:
    good, generator = to_proto(float_convnet(2)), random.Random(20240608)  # noqa: S311
    outcomes: Counter[str] = Counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # overflow in a constant that a pass multiplies
        for _ in range(MUTATIONS):
            model = onnx.ModelProto()
            model.CopyFrom(good)
            mutate(model, generator)
            try:
                run_passes(from_proto(model), NORMAL_FORM)
                outcomes["network"] += 1
            except LowbitError as error:
                assert error.where, "an error says where"
                outcomes[error.code] += 1
    assert min(outcomes["network"], outcomes["GRAPH"], outcomes["UNSUPPORTED"]) > 20, outcomes
