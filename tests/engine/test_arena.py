"""Values share their places over time: whatever lives how long, every level gives the reference's numbers."""

from collections.abc import Iterator

import numpy as np
import pytest

from lowbit.engine import Program, kernel_levels
from lowbit.errors import TooLargeError
from lowbit.ir import Graph, Node, Value, evaluate, verify
from lowbit.ir.activations import preimage_thresholds
from lowbit.ir.infer import infer_node
from lowbit.schemes import ACTIVATION_BOUND
from tests.ir.networks import Convolution, _constants, random_basis

SIZE = (5, 4)
CHANNELS = (1, 3, 10, 16, 20, 31, 32, 33, 40, 64, 70)
BATCH = 3


class Maker:
    """Makes a low-bit network of maps of one size, whose layers read any earlier value."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.graph = Graph("arena", ("x",), ("y",))
        self.floats = [self.graph.add(Value("x", "float32", ("n", self.channels(), *SIZE)))]
        self.codes: list[str] = []
        self.count = 0

    def make(self, nodes: int) -> Graph:
        kinds = (self.encode, self.layer, self.layer, self.layer, self.pool, self.relu, self.add, self.concat)
        self.encode()
        for _ in range(nodes):
            kinds[self.random.integers(len(kinds))]()
        self.node("Flatten", (self.floats[-1],), "y", "float32", axis=1)
        if self.random.random() < 0.7:
            self.graph.remove_unused()
        verify(self.graph)
        return self.graph

    def channels(self) -> int:
        return int(self.random.choice(CHANNELS))

    def any(self, names: list[str]) -> str:
        """Return any of them, mostly a late one."""
        return names[max(0, len(names) - 1 - int(self.random.geometric(0.4)))]

    def node(
        self, op: str, inputs: tuple[str, ...], output: str, dtype: str, encoding=None, **attributes
    ) -> str:
        self.graph.values[output] = Value(output, dtype, (), None, encoding)
        domain = "lowbit" if op in ("Encode", "Convolution") else ""
        self.count += 1
        node = Node(op, inputs, (output,), attributes, f"{op}{self.count}", domain)
        self.graph.nodes.append(node)
        infer_node(self.graph, node)
        return output

    def new(self) -> str:
        return f"v{self.count}"

    def basis(self):
        return random_basis(self.random, int(self.random.integers(1, 4)), 1, ACTIVATION_BOUND, True)

    def encode(self) -> None:
        self.codes.append(self.node("Encode", (self.any(self.floats),), self.new(), "code", self.basis()))

    def layer(self) -> None:
        source = self.any(self.codes)
        rows = (self.channels(), 3, 3, int(self.graph.value(source).shape[1]))
        name, bits = f"layer{self.count}", int(self.random.integers(1, 3))
        inputs = (
            source,
            *_constants(self.graph, self.random, name, rows, bits, bool(self.random.integers(2))),
        )
        coded = self.random.random() < 0.6
        attributes = Convolution(rows[0]).attributes("relu" if coded else "none")
        if not coded:
            self.floats.append(self.node("Convolution", inputs, self.new(), "float32", **attributes))
            return
        encoding = self.basis()
        steps = preimage_thresholds(encoding.thresholds()[0] * 20, "relu")
        inputs = (*inputs, self.graph.add_constant(f"{name}/thresholds", steps))
        self.codes.append(self.node("Convolution", inputs, self.new(), "code", encoding, **attributes))

    def pool(self) -> None:
        sizes = {"kernel_shape": (3, 3), "pads": (1, 1, 1, 1)}
        if self.random.random() < 0.5:
            self.floats.append(self.node("MaxPool", (self.any(self.floats),), self.new(), "float32", **sizes))
        else:
            source = self.any(self.codes)
            encoding = self.graph.value(source).encoding
            self.codes.append(self.node("MaxPool", (source,), self.new(), "code", encoding, **sizes))

    def relu(self) -> None:
        self.floats.append(self.node("Relu", (self.any(self.floats),), self.new(), "float32"))

    def add(self) -> None:
        first = self.any(self.floats)
        others = [
            name for name in self.floats if self.graph.value(name).shape == self.graph.value(first).shape
        ]
        self.floats.append(self.node("Add", (first, self.any(others)), self.new(), "float32"))

    def concat(self) -> None:
        source = self.any(self.codes if self.random.random() < 0.7 else self.floats)
        value = self.graph.value(source)
        names = self.floats if value.encoding is None else self.codes
        others = [name for name in names if self.graph.value(name).encoding == value.encoding]
        if int(value.shape[1]) > 100:
            return
        output = self.node(
            "Concat", (source, self.any(others)), self.new(), value.dtype, value.encoding, axis=1
        )
        names.append(output)


def networks() -> Iterator[tuple[int, Graph]]:
    for seed in range(40):
        yield seed, Maker(seed).make(int(6 + seed % 5 * 6))


@pytest.mark.parametrize("level", kernel_levels())
def test_any_lifetimes(level: str) -> None:
    for seed, graph in networks():
        random = np.random.default_rng(seed)
        x = random.normal(size=(BATCH, *graph.value("x").shape[1:])).astype(np.float32)
        expected: dict[str, np.ndarray] = {}
        evaluate(graph, {"x": x}, expected.__setitem__)
        for path in ("dot", "popcount"):
            program = Program(graph, kernels=level, path=path, threads=1 + seed % 2)
            for name, array in program.trace(x).items():
                encoding, pair = graph.value(name).encoding, (array, expected[name])
                if encoding is not None:  # codes of equal levels are one byte
                    pair = tuple(encoding.integer_levels()[0][codes] for codes in pair)
                np.testing.assert_array_equal(*pair, err_msg=f"{seed} {name}")
            for _ in range(2):
                np.testing.assert_array_equal(program.run(x), expected["y"], err_msg=str(seed))


def chain(layers: int, features: int) -> Graph:
    """Return so many Relus on so wide a value: a file of some kilobytes."""
    graph = Graph("chain", ("x",), (f"v{layers - 1}",), values={"x": Value("x", "float32", ("n", features))})
    for n in range(layers):
        graph.nodes.append(Node("Relu", (f"v{n - 1}" if n else "x",), (f"v{n}",), {}, f"relu{n}"))
        infer_node(graph, graph.nodes[-1])
    verify(graph)
    return graph


def test_a_chain_of_any_length_takes_two_places() -> None:
    few, many = (Program(chain(layers, 1 << 18)).memory.arena for layers in (4, 60))
    assert many == few < 3 * (1 << 20) + 4096


def test_what_is_larger_than_allowed_is_refused_before_it_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = chain(5, 1 << 20)
    needed = Program(graph).memory
    assert needed.arena > 8 << 20
    for memory, fits in (
        (needed.arena + needed.constants, True),
        (needed.arena + needed.constants - 1, False),
    ):
        if fits:
            Program(graph, memory=memory)
            continue
        with pytest.raises(TooLargeError) as caught:
            Program(graph, memory=memory)
        assert f"{memory} bytes" in caught.value.expected and "LOWBIT_MEMORY" in caught.value.remedy
        assert caught.value.found == f"{needed.arena + needed.constants} bytes"
    monkeypatch.setenv("LOWBIT_MEMORY", "4M")
    with pytest.raises(TooLargeError):
        Program(graph)


@pytest.mark.parametrize("kind", ["windows", "rows", "classes"])
def test_tables_of_small_files_are_counted_too(kind: str) -> None:
    """What a node makes of nothing: tables of windows, spread constants, thresholds of every border."""
    graph = Graph("wide", ("x",), ("y",), values={"x": Value("x", "float32", ("n", 1, 1000, 1000))})
    if kind == "rows":
        graph.add_constant("c", np.ones((1, 1000, 1)))
        nodes = [("Add", (f"v{n}" if n else "x", "c"), {}) for n in range(4)]
    elif kind == "windows":
        sizes = {"kernel_shape": (3, 3), "pads": (1, 1, 1, 1)}
        nodes = [("AveragePool", (f"v{n}" if n else "x",), sizes) for n in range(4)]
    else:
        sizes = {"kernel_shape": (1000, 1000), "pads": (999, 999, 999, 999)}
        nodes = [("AveragePool", ("x",), sizes)]
    for n, (op, inputs, attributes) in enumerate(nodes, 1):
        graph.nodes.append(Node(op, inputs, ("y" if n == len(nodes) else f"v{n}",), attributes, f"node{n}"))
        infer_node(graph, graph.nodes[-1])
    verify(graph)
    with pytest.raises(TooLargeError):
        Program(graph, memory="12M")


def test_thresholds_of_every_border_are_counted_before_they_are_made() -> None:
    """A window as large as its map has a class for every output: a thousand rows times a thousand columns."""
    random = np.random.default_rng(0)
    graph = Graph("borders", ("x",), ("y",), values={"x": Value("x", "float32", ("n", 1, 1000, 1000))})
    encoding = random_basis(random, 2, 1, ACTIVATION_BOUND, True)
    graph.values["codes"] = Value("codes", "code", (), None, encoding)
    inputs = ("codes", *_constants(graph, random, "layer", (4, 1000, 1000, 1), 1, True))
    wide = Convolution(4, (1000, 1000), pads=(999, 999, 999, 999)).attributes("none")
    graph.nodes = [
        Node("Encode", ("x",), ("codes",), {}, "encode", "lowbit"),
        Node("Convolution", inputs, ("y",), wide, "layer", "lowbit"),
    ]
    for node in graph.nodes:
        infer_node(graph, node)
    verify(graph)
    with pytest.raises(TooLargeError, match="layer") as caught:
        Program(graph, memory="256M")
    assert "LOWBIT_MEMORY" in caught.value.remedy
