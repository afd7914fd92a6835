"""A .circle file gives back the graph that was written: integers, floats, names."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from lowbit.errors import UnsupportedError
from lowbit.formats import read_model, write_model
from lowbit.formats.circle.reader import read_content
from lowbit.formats.circle.writer import content_of
from lowbit.ir import Graph, Node, Value, evaluate, infer, to_text, verify
from lowbit.schemes import LearnedBasis
from tests.formats.networks import affine_mlp
from tests.ir.networks import float_mlp, lowbit_mlp

LENGTHS = (1, 31, 32, 33, 63, 65)


def _again(graph: Graph) -> Graph:
    again = read_content(bytes(content_of(graph)), "test")
    verify(again)
    return again


@pytest.mark.parametrize(("input_bits", "weight_bits"), list(product((1, 2, 3, 4), repeat=2)))
def test_low_bit_round_trip_is_exact(input_bits: int, weight_bits: int) -> None:
    graph = lowbit_mlp((65, 33, 10), input_bits, weight_bits)
    assert to_text(_again(graph)) == to_text(graph)


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("weight_offset", [False, True])
def test_odd_lengths_and_offsets_round_trip(length: int, weight_offset: bool) -> None:
    graph = lowbit_mlp((length, length, 3), 2, 3, weight_offset=weight_offset)
    assert to_text(_again(graph)) == to_text(graph)


@pytest.mark.parametrize("activation", ["none", "relu", "relu6", "hardtanh", "tanh", "sigmoid"])
def test_every_activation_round_trips(activation: str) -> None:
    graph = lowbit_mlp((7, 5, 4), activation=activation)
    assert to_text(_again(graph)) == to_text(graph)


def test_affine_round_trip_is_exact() -> None:
    graph = affine_mlp()
    again = _again(graph)
    assert to_text(again) == to_text(graph)
    x = np.random.default_rng(0).normal(size=(20, 9)).astype(np.float32)
    assert np.array_equal(evaluate(again, {"x": x})["y"], evaluate(graph, {"x": x})["y"])


def test_affine_layer_that_gives_floats_round_trips() -> None:
    """Ours alone: other runtimes want int8 out of an int8 layer."""
    graph = affine_mlp()
    last = graph.nodes[-3]
    graph.nodes[-3:-1] = [replace(last, outputs=("z",))]
    del graph.values[last.outputs[0]]
    verify(graph)
    assert to_text(_again(graph)) == to_text(graph)


def test_any_names_round_trip() -> None:
    """Names that nobody would make up, for values, nodes, constants and the batch."""
    graph = lowbit_mlp((9, 4, 3))
    new = {name: f"ä{i} {name[::-1]}" for i, name in enumerate(graph.values)}
    renamed = Graph(
        "a/b c", tuple(new[name] for name in graph.inputs), tuple(new[name] for name in graph.outputs)
    )
    for value in graph.values.values():
        shape = tuple("Ω" if length == "n" else length for length in value.shape)
        renamed.add(Value(new[value.name], value.dtype, shape, value.data, value.encoding))
    for node in graph.nodes:
        inputs, outputs = (tuple(new[name] for name in names) for names in (node.inputs, node.outputs))
        renamed.nodes.append(Node(node.op, inputs, outputs, node.attributes, f"«{node.name}»", node.domain))
    renamed.metadata = {"source": "mlp.onnx", "normalize": "0.5,0.25"}
    verify(renamed)
    assert to_text(_again(renamed)) == to_text(renamed)


def test_fixed_batch_stays_fixed() -> None:
    graph = lowbit_mlp((9, 4, 3))
    for name, value in graph.values.items():
        graph.update(name, shape=tuple(2 if length == "n" else length for length in value.shape))
    verify(graph)
    assert to_text(_again(graph)) == to_text(graph)
    for name, value in graph.values.items():
        if value.data is None:
            graph.update(name, shape=(1, *value.shape[1:]))
    assert to_text(_again(graph)) == to_text(graph)


@pytest.mark.parametrize("axis", [1, -1])
def test_spelling_of_attributes_is_kept(axis: int) -> None:
    graph = lowbit_mlp((9, 4, 3))
    graph.nodes[-1] = Node("Softmax", graph.nodes[-1].inputs, ("y",), {"axis": axis}, "last")
    assert to_text(_again(graph)) == to_text(graph)


@pytest.mark.parametrize("activation", ["Tanh", "Relu", "Sigmoid"])
def test_float_graph_computes_the_same(activation: str) -> None:
    """Products in other forms are rewritten to one, so the text differs and the function does not."""
    graph = float_mlp((33, 7, 5), activation=activation)
    again = _again(graph)
    assert [node.op for node in again.nodes] == ["Gemm", activation, "Gemm", "Softmax"]
    x = np.random.default_rng(0).normal(size=(6, 33)).astype(np.float32)
    np.testing.assert_allclose(evaluate(again, {"x": x})["y"], evaluate(graph, {"x": x})["y"], atol=1e-6)
    assert to_text(_again(again)) == to_text(again)


def test_reshapes_flattens_and_residual_sums() -> None:
    graph = Graph("shapes", ("x",), ("y",), values={"x": Value("x", "float32", ("n", 2, 3))})
    graph.add_constant("half", np.full((6,), 0.5))
    graph.add_constant("shape", [-1, 6], "int64")
    graph.add_constant("w", np.eye(6))
    graph.nodes = [
        Node("Flatten", ("x",), ("f",), {}, "flatten"),
        Node("Reshape", ("f", "shape"), ("r",), {}, "reshape"),
        Node("Mul", ("r", "half"), ("m",), {}, "mul"),
        Node("Gemm", ("m", "w"), ("g",), {"transB": 1}, "gemm"),
        Node("Add", ("g", "r"), ("a",), {}, "add"),
        Node("Sub", ("a", "m"), ("s",), {}, "sub"),
        Node("LogSoftmax", ("s",), ("y",), {}, "log"),
    ]
    infer(graph)
    verify(graph)
    x = np.random.default_rng(0).normal(size=(4, 2, 3)).astype(np.float32)
    again = _again(graph)
    assert again.value("y").shape == ("n", 6)
    assert np.array_equal(evaluate(again, {"x": x})["y"], evaluate(graph, {"x": x})["y"])
    assert [node.name for node in again.nodes] == [node.name for node in graph.nodes]


def test_one_encode_for_two_readers_and_two_for_two_encodings() -> None:
    graph = _two_readers(same=True)
    assert to_text(_again(graph)) == to_text(graph)
    graph = _two_readers(same=False)
    assert to_text(_again(graph)) == to_text(graph)


def test_thresholds_of_an_encode_round_trip() -> None:
    """They are kept when they are not those of the encoding, as when a monotone activation was folded."""
    graph = lowbit_mlp((9, 4, 3))
    steps = graph.value(graph.nodes[0].outputs[0]).encoding.thresholds()[0] + np.float32(0.25)
    graph.nodes[0] = replace(graph.nodes[0], inputs=("x", graph.add_constant("steps", steps)))
    assert to_text(_again(graph)) == to_text(graph)


def test_thresholds_that_only_repeat_the_encoding_round_trip() -> None:
    graph = lowbit_mlp((9, 4, 3))
    steps = graph.value(graph.nodes[0].outputs[0]).encoding.thresholds()[0]
    graph.nodes[0] = replace(graph.nodes[0], inputs=("x", graph.add_constant("x/codes/steps", steps)))
    assert to_text(_again(graph)) == to_text(graph)


def _loosened(seed: int) -> Graph:
    """Return low-bit layers that give reals, which are moved about and encoded behind that."""
    random, width = np.random.default_rng(seed), 12
    graph = lowbit_mlp((9, width, width, width, 3), 1 + seed % 3, 2, seed, softmax=False)
    for node in [node for node in graph.nodes if node.op == "Linear" and len(node.inputs) == 4]:
        codes, name = node.outputs[0], f"{node.name}/real"
        graph.add(Value(name, "float32", ("n", width)))
        position = graph.nodes.index(node)
        graph.nodes[position] = replace(node, inputs=node.inputs[:3], outputs=(name,))
        made: list[Node] = []

        def move(
            op: str, sources: tuple[str, ...], *numbers: list[int], made: list[Node] = made, **more: object
        ) -> str:
            output = f"v{len(graph.values)}"
            constants = [graph.add_constant(f"{output}/{i}", row, "int64") for i, row in enumerate(numbers)]
            made.append(Node(op, (*sources, *constants), (output,), more, output))
            graph.add(Value(output, "float32", ()))
            return output

        for kind in random.integers(4, size=random.integers(3)):
            if kind == 0:
                parts = move("Slice", (name,), [5], [12], [1]), move("Slice", (name,), [0], [5], [1])
                name = move("Concat", parts, axis=1)
            elif kind == 1:
                turned = move("Transpose", (move("Reshape", (name,), [-1, 3, 4]),), perm=(0, 2, 1))
                name = move("Reshape", (turned,), [-1, width])
            elif kind == 2:
                pooled = move("MaxPool", (move("Reshape", (name,), [-1, 1, 3, 4]),), kernel_shape=(1, 1))
                name = move("Reshape", (pooled,), [-1, width])
            else:
                name = move("Tanh", (name,))
        made.append(Node("Encode", (name, node.inputs[3]), (codes,), {}, f"{node.name}/encode", "lowbit"))
        graph.nodes[position + 1 : position + 1] = made
    infer(graph)
    verify(graph)
    return graph


@pytest.mark.parametrize("seed", range(16))
def test_reals_between_layers_that_agree_come_back_as_reals(seed: int) -> None:
    """Left to the layer that reads them, they would come back as codes of the layers before."""
    graph = _loosened(seed)
    again = _again(graph)
    x, wanted, found = np.random.default_rng(0).normal(size=(20, 9)).astype(np.float32), {}, {}
    evaluate(graph, {"x": x}, wanted.__setitem__)
    evaluate(again, {"x": x}, found.__setitem__)
    made = [name for node in graph.nodes if node.domain for name in node.outputs]
    assert len(made) == 8  # four layers, and what encodes before each
    for name in made:
        assert graph.value(name).encoding == again.value(name).encoding
        assert np.array_equal(found[name], wanted[name]), name


def test_codes_that_are_read_by_others_as_well_stand_as_codes() -> None:
    graph = lowbit_mlp((9, 4, 3))
    codes = next(name for name, value in graph.values.items() if value.dtype == "code")
    graph.outputs = (*graph.outputs, codes)
    again = read_content(bytes(content_of(graph)), "net.circle")
    assert to_text(again) == to_text(graph)
    assert again.value(codes).encoding == graph.value(codes).encoding


def test_lengths_that_are_open_beside_the_batch_are_named() -> None:
    graph = Graph("g", ("x",), ("y",), values={"x": Value("x", "float32", ("n", "frames"))})
    graph.nodes = [Node("Abs", ("x",), ("y",), {}, "size")]
    infer(graph)
    with pytest.raises(UnsupportedError, match=r"x: only the batch can be open.*\('n', 'frames'\)"):
        content_of(graph)


def test_bytes_are_the_same_every_time(tmp_path) -> None:
    for name in ("a", "b"):
        write_model(lowbit_mlp(), tmp_path / f"{name}.circle")
    assert (tmp_path / "a.circle").read_bytes() == (tmp_path / "b.circle").read_bytes()


def test_constants_are_aligned_views_of_the_file(tmp_path) -> None:
    write_model(lowbit_mlp((784, 680, 10)), tmp_path / "m.circle")
    graph, places = read_model(tmp_path / "m.circle"), set()
    for name in ("fc1/weights", "fc2/weights", "fc1/bias"):
        data = graph.constant(name)
        assert data.flags.aligned and not data.flags.writeable and not data.flags.owndata, name
        places.add(data.ctypes.data % 64)
    assert len(places) == 1  # in the file all lie at multiples of 64; where it is read to, Python chooses


@pytest.mark.parametrize(("bits", "limit"), [(3, 218), (2, 147), (1, 76)])
def test_file_sizes(bits: int, limit: int) -> None:
    assert len(content_of(lowbit_mlp((784, 680, 10), bits, bits))) <= limit * 1024


def test_tflite_suffix_gets_its_identifier(tmp_path) -> None:
    write_model(float_mlp(), tmp_path / "m.tflite")
    assert (tmp_path / "m.tflite").read_bytes()[4:8] == b"TFL3"
    assert read_model(tmp_path / "m.tflite").inputs == ("x",)


def _two_readers(*, same: bool) -> Graph:
    """Return x → tanh → two low-bit layers, reading it by one encoding or by two."""
    one, two = lowbit_mlp((9, 4), seed=1, softmax=False), lowbit_mlp((9, 4), seed=2, softmax=False)
    graph = Graph("two", ("x",), ("y",), values={"x": Value("x", "float32", ("n", 9))})
    graph.add(Value("t", "float32", ("n", 9)))
    graph.nodes.append(Node("Tanh", ("x",), ("t",), {}, "t"))
    for number, part in enumerate((one, two)):
        layer = part.nodes[-1]
        source = part.value(layer.inputs[0]).encoding
        assert isinstance(source, LearnedBasis)
        codes = "t/codes" if same else f"t{number}/codes"
        if codes not in graph.values:
            graph.add(Value(codes, "code", ("n", 9), None, source))
            graph.nodes.append(Node("Encode", ("t",), (codes,), {}, f"encode{number}", "lowbit"))
        weights, bias = (part.value(name) for name in layer.inputs[1:3])
        names = [
            graph.add(Value(f"{number}/{v.name}", v.dtype, v.shape, v.data, v.encoding))
            for v in (weights, bias)
        ]
        graph.add(Value(f"y{number}", "float32", ("n", 4)))
        graph.nodes.append(Node(layer.op, (codes, *names), (f"y{number}",), {}, f"layer{number}", "lowbit"))
    graph.add(Value("y", "float32", ("n", 4)))
    graph.nodes.append(Node("Add", ("y0", "y1"), ("y",), {}, "add"))
    verify(graph)
    return graph
