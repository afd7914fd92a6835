"""What lies in 16-bit words between layers is moved, pooled, added, looked up as the reference does it."""

from collections.abc import Callable

import numpy as np
import pytest

from lowbit.engine import Program, kernel_levels
from lowbit.errors import DataError, EngineError
from lowbit.ir import Graph, Node, Value, evaluate, infer, verify
from lowbit.ir.graph import Array, Attribute
from lowbit.schemes import Affine, Encoding, FixedPoint, PowerOfTwo

WIDE, NARROW, COARSE = FixedPoint(6, 7), FixedPoint(3, 4), FixedPoint(9, 7, "floor")
Attributes = dict[str, Attribute]


class Network:
    """A graph whose values are called after their operators: x, then n1, n2, …"""

    def __init__(self, *shape: int) -> None:
        self.graph = Graph("words", ("x",), ("y",), values={"x": Value("x", "float32", ("n", *shape))})
        self.random = np.random.default_rng(sum(shape))

    def node(
        self,
        op: str,
        *inputs: str,
        encoding: Encoding | None = None,
        output: str = "",
        **attributes: Attribute,
    ) -> str:
        name = output or f"n{len(self.graph.nodes) + 1}"
        domain = (
            "lowbit" if op in ("Encode", "Decode", "FixedAdd", "FixedLookup", "Linear", "Convolution") else ""
        )
        if encoding is not None:
            self.graph.add(Value(name, "code16" if encoding.bits > 8 else "code", (), None, encoding))
        self.graph.nodes.append(Node(op, inputs, (name,), attributes, name, domain))
        infer(self.graph)
        return name

    def layer(
        self, source: str, outputs: int, weights: Encoding, encoding: Encoding | None, output: str = ""
    ) -> str:
        shape = self.graph.value(source).shape
        window = {"kernel_shape": (3, 3), "pads": (1, 1, 1, 1)} if len(shape) == 4 else {}
        rows = (outputs, *((3, 3, int(shape[1])) if window else (int(shape[-1]),)))
        codes = self.random.integers(0, 1 << weights.bits, rows)
        dtype = "code16" if weights.bits > 8 else "code"
        stored = weights.code_of_rank().dtype
        number = len(self.graph.nodes)
        name = self.graph.add(Value(f"w{number}", dtype, codes.shape, codes.astype(stored), weights))
        bias = self.graph.add_constant(f"b{number}", self.random.normal(size=outputs))
        op = "Convolution" if window else "Linear"
        return self.node(op, source, name, bias, encoding=encoding, output=output, **window)

    def finished(self, source: str) -> Graph:
        encoding = self.graph.value(source).encoding
        self.node("Identity" if encoding is None else "Decode", source, output="y")
        verify(self.graph)
        return self.graph


def pools_and_joins() -> Graph:
    net = Network(3, 6, 8)
    codes = net.node("Encode", "x", encoding=WIDE)
    one = net.node("MaxPool", codes, encoding=WIDE, kernel_shape=(2, 2), strides=(2, 2))
    two = net.node("MaxPool", codes, encoding=WIDE, kernel_shape=(3, 3), strides=(2, 2), pads=(1, 1, 1, 1))
    joined = net.node("Concat", one, two, encoding=WIDE, axis=1)
    maps = net.layer(joined, 5, WIDE, WIDE)
    flat = net.node("Flatten", maps, encoding=WIDE, axis=1)
    return net.finished(net.layer(flat, 4, WIDE, None))


def transposed_rows() -> Graph:
    net = Network(5, 7)
    codes = net.node("Encode", "x", encoding=WIDE)
    rows = net.layer(codes, 9, NARROW, WIDE)
    columns = net.node("Transpose", rows, encoding=WIDE, perm=(0, 2, 1))
    return net.finished(net.layer(columns, 3, PowerOfTwo(4, np.ones(3)), NARROW))


def sums_that_saturate() -> Graph:
    net = Network(4, 5)
    codes = net.node("Encode", "x", encoding=WIDE)
    rows = net.layer(codes, 5, NARROW, WIDE)
    total = net.node("FixedAdd", codes, rows, encoding=NARROW)
    return net.finished(net.node("FixedAdd", total, total, encoding=COARSE))


def sums_that_repeat() -> Graph:
    net = Network(1, 3, 4)
    codes = net.node("Encode", "x", encoding=WIDE)
    pooled = net.node("MaxPool", codes, encoding=WIDE, kernel_shape=(3, 1))
    return net.finished(net.node("FixedAdd", codes, pooled, encoding=WIDE))


def sums_with_an_activation() -> Graph:
    net = Network(5, 4, 3)
    source = net.node("Encode", "x", encoding=WIDE)
    for encoding in (WIDE, NARROW, COARSE, FixedPoint(2, 7), WIDE):
        for activation in ("relu", "relu6", "hardtanh"):
            total = net.node("FixedAdd", source, source, encoding=encoding, activation=activation)
            source = net.node("FixedAdd", total, total, encoding=WIDE)
    return net.finished(source)


def means_of_windows() -> Graph:
    net = Network(5, 9, 11)
    source = net.node("Encode", "x", encoding=WIDE)
    windows: list[Attributes] = [
        {"kernel_shape": (3, 3), "pads": (1, 0, 1, 2), "strides": (1, 2)},
        {"kernel_shape": (3, 2), "pads": (1, 0, 1, 1), "count_include_pad": 1},
        {"kernel_shape": (2, 2), "dilations": (2, 1), "pads": (1, 1, 1, 0)},
        {"kernel_shape": (1, 3), "pads": (0, 2, 0, 0), "count_include_pad": 1},
    ]
    for encoding, window in zip((NARROW, WIDE, COARSE, FixedPoint(2, 14)), windows, strict=True):
        source = net.node("AveragePool", source, encoding=encoding, **window)
    return net.finished(net.node("GlobalAveragePool", source, encoding=WIDE))


def means_that_need_64_bits() -> Graph:
    net = Network(2, 40, 50)
    source = net.node("Encode", "x", encoding=FixedPoint(16, 0))
    return net.finished(net.node("GlobalAveragePool", source, encoding=FixedPoint(8, 8)))


def residual_blocks() -> Graph:
    net, low = Network(3, 8, 8), Affine(4, [0.5], [8])
    source = net.node("Encode", "x", encoding=low)
    total = net.layer(source, 6, low, WIDE)
    for _ in range(2):
        codes = net.node("Encode", net.node("Decode", total), encoding=low)
        branch = net.layer(net.layer(codes, 6, low, low), 6, low, WIDE)
        total = net.node("FixedAdd", total, branch, encoding=WIDE, activation="relu")
    mean = net.node("Decode", net.node("GlobalAveragePool", total, encoding=WIDE))
    flat = net.node("Flatten", mean)
    return net.finished(net.layer(net.node("Encode", flat, encoding=low), 4, low, None))


def tables() -> Graph:
    net = Network(33)
    source = "x"
    for before, after in ((WIDE, NARROW), (NARROW, COARSE), (COARSE, WIDE)):
        codes = net.node("Encode", source, encoding=before) if source == "x" else source
        table = net.random.integers(0, 1 << after.bits, 1 << before.bits).astype(after.code_of_rank().dtype)
        dtype = "code16" if after.bits > 8 else "code"
        name = net.graph.add(Value(f"t{len(net.graph.nodes)}", dtype, table.shape, table, after))
        source = net.node("FixedLookup", codes, name, encoding=after)
    return net.finished(source)


def grouped_bytes_of_far_zero_points() -> Graph:
    net = Network(4, 5, 5)
    codes = net.node("Encode", "x", encoding=Affine(8, [0.02], [3]))
    weights = Affine(8, [0.1], [250])
    name = net.graph.add(
        Value("w", "code", (6, 3, 3, 2), net.random.integers(0, 256, (6, 3, 3, 2)).astype(np.uint8), weights)
    )
    bias = net.graph.add_constant("b", net.random.integers(-999, 999, 6), "int32")
    attributes: Attributes = {"kernel_shape": (3, 3), "pads": (1, 1, 0, 0), "group": 2}
    target = Affine(8, [3.0], [100])
    return net.finished(net.node("Convolution", codes, name, bias, encoding=target, **attributes))


NETWORKS: dict[str, Callable[[], Graph]] = {
    each.__name__: each
    for each in (
        pools_and_joins,
        transposed_rows,
        sums_that_saturate,
        sums_that_repeat,
        sums_with_an_activation,
        means_of_windows,
        means_that_need_64_bits,
        residual_blocks,
        tables,
        grouped_bytes_of_far_zero_points,
    )
}


def samples(graph: Graph) -> Array:
    shape = tuple(int(length) for length in graph.value("x").shape[1:])
    return (np.random.default_rng(5).normal(size=(7, *shape)) * 20).astype(np.float32)


@pytest.mark.parametrize("level", kernel_levels())
@pytest.mark.parametrize("name", NETWORKS)
def test_every_value_is_that_of_the_reference(name: str, level: str) -> None:
    graph = NETWORKS[name]()
    x, wanted = samples(graph), {}
    y = evaluate(graph, {"x": x}, lambda name, value: wanted.update({name: value}))["y"]
    program = Program(graph, kernels=level, threads=2)
    np.testing.assert_array_equal(program.run(x), y)
    for name, value in program.trace(x).items():
        np.testing.assert_array_equal(value, wanted[name], err_msg=name)


def test_rounding_is_exact_where_steps_meet() -> None:
    for encoding in (WIDE, NARROW, COARSE, FixedPoint(1, 15), FixedPoint(16, 0), Affine(5, [0.25], [7])):
        net = Network(1)
        codes = net.node("Encode", "x", encoding=encoding)
        words = net.node("FixedAdd", codes, codes, encoding=COARSE) if encoding == COARSE else codes
        graph = net.finished(words)
        steps = encoding.thresholds()[0][:: max(len(encoding.thresholds()[0]) // 500, 1)]
        x = np.concatenate([np.nextafter(steps, side) for side in (-np.inf, np.inf)] + [steps])
        x = np.concatenate([x, np.float32([np.inf, -np.inf, 3e38, -3e38, 1e-45, -1e-45, -0.0])])[:, None]
        for level in kernel_levels():
            found = Program(graph, kernels=level).run(x)
            np.testing.assert_array_equal(found, evaluate(graph, {"x": x})["y"], err_msg=str(encoding))


def test_nan_is_refused() -> None:
    graph = tables()
    x = samples(graph)
    x[3, 2] = np.nan
    with pytest.raises(DataError, match="NaN"):
        Program(graph).run(x)


def test_weights_beyond_16_bits_are_refused() -> None:
    net = Network(3)
    codes = net.node("Encode", "x", encoding=Affine(8, [1.0], [0]))
    graph = net.finished(net.layer(codes, 2, FarLevels(2, np.ones(2, np.float32)), None))
    with pytest.raises(EngineError, match="whole levels of weights do not fit 16 bits"):
        Program(graph)


class FarLevels(PowerOfTwo):
    """Levels that no word holds."""

    def integer_levels(self) -> Array:
        return super().integer_levels() * 40000

    def whole_levels(self) -> Array:
        return self.integer_levels()
