"""QOperator at random: the reference and the engine compute what ONNX Runtime does."""

import numpy as np
import pytest
from onnx import TensorProto

from lowbit.formats.onnx import from_proto
from lowbit.ir.layers import is_low_bit
from tests.formats.onnx.quantized.models import Model, onnxruntime_output
from tests.formats.onnx.quantized.test_qdq import check

MICROSOFT = "com.microsoft"


class Chain:
    """Operators on uint8 or int8, one behind another."""

    def __init__(self, seed: int) -> None:
        self.model = Model(np.random.default_rng(seed))
        signed = bool(self.model.random.integers(2))
        self.kind = TensorProto.INT8 if signed else TensorProto.UINT8
        self.low, self.high = (-128, 127) if signed else (0, 255)

    def parameters(self, span: float) -> list[str]:
        """Return a scale for values of about that span, and a zero point."""
        random = self.model.random
        scale = np.float32(span * random.uniform(0.7, 1.2) / 255)
        zero = int(random.integers(self.low + 100, self.high - 100))
        return [self.model.constant(scale), self.model.constant(zero, self.kind)]

    def weights(self, shape: tuple[int, ...], axis: int | None) -> list[str]:
        random, channels = self.model.random, 1 if axis is None else shape[axis]
        many = axis is not None and bool(random.integers(2))
        scale = random.uniform(0.5, 2, channels if many else ()).astype(np.float32) / np.float32(127)
        zero = np.zeros(scale.shape, np.int8)
        array = random.integers(-127, 128, shape).astype(np.int8)
        return [self.model.constant(each) for each in (array, scale, zero)]

    def bias(self, outputs: int) -> str:
        return self.model.constant(self.model.random.integers(-3000, 3000, outputs).astype(np.int32))

    def layer(self, x: list[str], shape: tuple[int, ...]) -> tuple[list[str], tuple[int, ...]]:
        end, random = self.parameters(10.0), self.model.random
        if len(shape) == 1:
            w = self.weights((5, shape[0]), 0)
            inputs = [*x, *w, self.bias(5), *end]
            return [self.model.node("QGemm", inputs, MICROSOFT, transB=1), *end], (5,)
        group = int(random.choice([1, shape[0]]))
        outputs = shape[0] if group > 1 else 4
        inputs = [*x, *self.weights((outputs, shape[0] // group, 3, 3), 0), *end]
        inputs += [self.bias(outputs)] if random.integers(2) else []
        made = self.model.node("QLinearConv", inputs, kernel_shape=[3, 3], pads=[1] * 4, group=group)
        return [made, *end], (outputs, *shape[1:])

    def between(self, x: list[str], shape: tuple[int, ...]) -> list[str]:
        """Add what stays real between codes, or moves them."""
        end, random, node = self.parameters(8.0), self.model.random, self.model.node
        match random.choice(["add", "mul", "unary", "concat", "pool", "move"]):
            case "add":
                return [node("QLinearAdd", [*x, *x, *end], MICROSOFT), *end]
            case "mul":
                return [node("QLinearMul", [*x, *x, *end], MICROSOFT), *end]
            case "unary":
                name = str(random.choice(["QLinearSigmoid", "QLinearLeakyRelu"]))
                return [node(name, [*x, *end], MICROSOFT), *end]
            case "concat":
                return [node("QLinearConcat", [*end, *x, *x], MICROSOFT, axis=1), *end]
            case "pool" if len(shape) == 3:
                pads = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}
                return [node("QLinearAveragePool", [*x, *end], MICROSOFT, **pads), *end]
            case "move" if len(shape) == 3:
                return [node("MaxPool", [x[0]], kernel_shape=[3, 3], pads=[1] * 4), *x[1:]]
        return x


@pytest.mark.parametrize("seed", range(24))
def test_networks_at_random(seed: int) -> None:
    chain = Chain(seed)
    shape: tuple[int, ...] = [(6,), (3, 6, 6)][seed % 2]
    start, x = shape, chain.parameters(6.0)
    x = [chain.model.node("QuantizeLinear", ["x", *x]), *x]
    x, shape = chain.layer(x, shape)
    x = chain.between(x, shape)
    output = chain.model.node("DequantizeLinear", x)
    proto = chain.model.proto(("n", *start), output)
    graph = from_proto(proto)
    assert sum(is_low_bit(node) for node in graph.nodes) == 1
    samples = np.random.default_rng(seed).standard_normal((30, *start)).astype(np.float32)
    check(graph, onnxruntime_output(proto, samples), samples)


@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize(("inner", "block"), [(32, 32), (48, 16), (40, 32)])
@pytest.mark.parametrize("zeros", [False, True])
@pytest.mark.parametrize("least", [0.01, -0.1])
def test_weights_in_blocks(bits: int, inner: int, block: int, zeros: bool, least: float) -> None:
    """Scales may be negative, as ONNX Runtime's own quantizer makes them, or zero."""
    model = Model(np.random.default_rng(bits + inner))
    count, outputs, random = -(-inner // block), 5, model.random
    inputs = [
        "x",
        model.constant(random.integers(0, 256, (outputs, count, block * bits // 8)).astype(np.uint8)),
    ]
    scale = random.uniform(least, 0.1, (outputs, count)).astype(np.float32)
    scale[0, 0] = max(least, 0)
    inputs.append(model.constant(scale))
    if zeros:
        inputs.append(
            model.constant(random.integers(0, 256, (outputs, -(-count * bits // 8))).astype(np.uint8))
        )
    sizes = {"K": inner, "N": outputs, "bits": bits, "block_size": block}
    proto = model.proto(("n", inner), model.node("MatMulNBits", inputs, MICROSOFT, **sizes))
    graph = from_proto(proto)
    assert any(is_low_bit(node) for node in graph.nodes) and not graph.notes
    weights = next(graph.value(node.inputs[1]) for node in graph.nodes if node.op == "Linear")
    assert weights.encoding is not None and weights.encoding.group == (block if count > 1 else 0)
    samples = random.standard_normal((6, inner)).astype(np.float32)
    expected = onnxruntime_output(proto, samples)
    from lowbit.ir.reference import evaluate

    np.testing.assert_allclose(evaluate(graph, {"x": samples})[graph.outputs[0]], expected, atol=2e-5)
