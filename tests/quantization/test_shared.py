"""Layers that share weights are one; recurrent and transposed layers are layers; what stays says why."""

import itertools

import numpy as np
import pytest

from lowbit.engine import Program
from lowbit.errors import PlanError, UnsupportedError
from lowbit.formats import read_model, write_model
from lowbit.ir import Graph, Node, Value, evaluate, infer, verify
from lowbit.ir.layers import is_low_bit
from lowbit.quantization import Plan, quantize
from lowbit.quantization.kept import candidates

PLANS = [
    (Plan("affine:8", "affine:8"), 20),
    (Plan("lq:4", "affine:8"), 14),
    (Plan("lq:2", "lq:4"), 5),
    (Plan("affine:8", "float"), 30),
]
GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}


def recurrent(op: str, way: str, steps: int = 5, inputs: int = 5, hidden: int = 8) -> Graph:
    """Return what exporters write of a recurrent layer whose samples come first, and a layer of its end."""
    random, ways = np.random.default_rng(0), 2 if way == "bidirectional" else 1
    graph = Graph("recurrent", ("x",), ("y",), values={"x": Value("x", "float32", ("n", steps, inputs))})
    rows = GATES[op] * hidden
    for name, shape in (("W", (rows, inputs)), ("R", (rows, hidden)), ("B", (2 * rows,))):
        graph.add_constant(
            name, random.normal(size=(ways, *shape)) / np.sqrt(shape[-1] if name != "B" else 1)
        )
    graph.add_constant("head", random.normal(size=(ways * hidden, 3)) / np.sqrt(hidden))
    graph.add_constant("shape", [0, 0, ways * hidden], "int64")
    graph.add_constant("last", -1, "int64")
    graph.nodes = [
        Node("Transpose", ("x",), ("turned",), {"perm": (1, 0, 2)}, "turn"),
        Node(op, ("turned", "W", "R", "B"), ("all",), {"direction": way, "hidden_size": hidden}, "rows"),
        Node("Transpose", ("all",), ("back",), {"perm": (2, 0, 1, 3)}, "back"),
        Node("Reshape", ("back", "flat"), ("states",), {}, "flatten"),
        Node("Gather", ("states", "last"), ("state",), {"axis": 1}, "take"),
        Node("MatMul", ("state", "head"), ("y",), {}, "fc"),
    ]
    graph.add_constant("flat", [0, 0, ways * hidden], "int64")
    graph.remove_unused()
    infer(graph)
    verify(graph)
    return graph


def siamese() -> Graph:
    """Return one encoder of two layers for two inputs, written out twice with copies of the constants."""
    random = np.random.default_rng(0)
    graph = Graph("siamese", ("left", "right"), ("y",))
    constants = [random.normal(size=shape) / 3 for shape in ((9, 12), (12,), (12, 7))]
    ends = []
    for side in graph.inputs:
        graph.add(Value(side, "float32", ("n", 4, 9)))
        names = [graph.add_constant(f"{side}{at}", data) for at, data in enumerate(constants)]
        graph.nodes += [
            Node("MatMul", (side, names[0]), (f"{side}m",), {}, f"{side}/fc1"),
            Node("Add", (f"{side}m", names[1]), (f"{side}a",), {}, f"{side}/bias"),
            Node("Relu", (f"{side}a",), (f"{side}r",), {}, f"{side}/relu"),
            Node("MatMul", (f"{side}r", names[2]), (f"{side}e",), {}, f"{side}/fc2"),
        ]
        ends.append(f"{side}e")
    graph.nodes.append(Node("Mul", tuple(ends), ("y",), {}, "similar"))
    infer(graph)
    verify(graph)
    return graph


def transposed(kernel: int, stride: int, group: int, axes: int) -> Graph:
    """Return a convolution, a transposed one to larger maps, and a convolution."""
    random = np.random.default_rng(0)
    graph = Graph("net", ("x",), ("y",), values={"x": Value("x", "float32", ("n", 2, *[5] * axes))})
    shapes = {"w1": (4, 2, *[1] * axes), "w2": (4, 6 // group, *[kernel] * axes), "w3": (3, 6, *[1] * axes)}
    for name, shape in shapes.items():
        graph.add_constant(name, random.normal(size=shape) / np.sqrt(np.prod(shape[1:])))
    graph.add_constant("b2", random.normal(size=6))
    strides = {"strides": (stride,) * axes, "group": group}
    graph.nodes = [
        Node("Conv", ("x", "w1"), ("a",), {}, "down"),
        Node("Relu", ("a",), ("r",), {}, "relu"),
        Node("ConvTranspose", ("r", "w2", "b2"), ("u",), {**strides, "pads": (1,) * 2 * axes}, "up"),
        Node("Relu", ("u",), ("v",), {}, "relu2"),
        Node("Conv", ("v", "w3"), ("y",), {}, "out"),
    ]
    infer(graph)
    verify(graph)
    return graph


def samples(graph: Graph, count: int, seed: int = 1) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    shapes = {name: tuple(map(int, graph.value(name).shape[1:])) for name in graph.inputs}
    return {name: random.normal(size=(count, *shape)).astype(np.float32) for name, shape in shapes.items()}


def require_near(graph: Graph, low: Graph, least: float, tmp_path) -> None:
    """Check a low-bit network against the float one, and that engine and files give what it means."""
    feeds = samples(graph, 60, seed=2)
    exact, found = evaluate(graph, feeds)["y"], evaluate(low, feeds)["y"]
    assert 10 * np.log10((exact**2).sum() / ((exact - found) ** 2).sum()) > least
    ran = Program(low).run(*feeds.values())
    assert (np.abs(ran - found) > 1e-4 * np.abs(found).max()).mean() < 0.01
    for suffix in ("onnx", "circle"):
        write_model(low, tmp_path / f"net.{suffix}")
        again = read_model(tmp_path / f"net.{suffix}")
        given = dict(zip(again.inputs, feeds.values(), strict=True))
        np.testing.assert_array_equal(next(iter(evaluate(again, given).values())), found)


@pytest.mark.parametrize(
    ("op", "way", "plan", "least"),
    [
        *(("LSTM", "forward", *case) for case in PLANS),
        ("GRU", "forward", *PLANS[0]),
        ("GRU", "reverse", *PLANS[1]),
        ("LSTM", "bidirectional", *PLANS[1]),
        ("RNN", "bidirectional", *PLANS[2]),
    ],
    ids=str,
)
def test_matrices_of_recurrent_layers_get_low_bits(tmp_path, op, way, plan, least):
    graph = recurrent(op, way)
    low, report = quantize(graph, samples(graph, 150)["x"], plan)
    parts = ["input", "recurrent"] + (["candidate"] if op == "GRU" else [])
    ways = ["rows/", "rows/reverse/"] if way == "bidirectional" else ["rows/"]
    wanted = {f"{stem}{part}" for stem, part in itertools.product(ways, parts)} | {"fc"}
    assert {layer.name for layer in report.layers} == wanted
    uses = {layer.name: layer.uses for layer in report.layers}
    assert uses["rows/input"] == uses["fc"] == 1 and uses["rows/recurrent"] == 4
    layers = [node for node in low.nodes if is_low_bit(node)]
    assert len({node.inputs[1] for node in layers}) == len(report.layers)
    require_near(graph, low, least, tmp_path)


@pytest.mark.parametrize(("plan", "least"), PLANS, ids=str)
def test_encoders_of_two_inputs_stay_one(tmp_path, plan, least):
    graph = siamese()
    low, report = quantize(graph, samples(graph, 300), plan)
    assert [(layer.name, layer.uses) for layer in report.layers] == [("left/fc1", 2), ("left/fc2", 2)]
    layers = [node for node in low.nodes if is_low_bit(node)]
    assert len(layers) == 4 and len({node.inputs[1:3] for node in layers}) == 2
    require_near(graph, low, least - 3, tmp_path)


@pytest.mark.parametrize(("plan", "least"), PLANS[:3], ids=str)
@pytest.mark.parametrize(("kernel", "stride", "group", "axes"), [(2, 2, 1, 2), (3, 2, 2, 2), (4, 2, 1, 1)])
def test_transposed_convolutions_get_low_bits(tmp_path, kernel, stride, group, axes, plan, least):
    graph = transposed(kernel, stride, group, axes)
    low, report = quantize(graph, samples(graph, 200)["x"], plan)
    assert not report.kept and not any(node.op == "ConvTranspose" for node in low.nodes)
    assert {layer.name.split("/")[0] for layer in report.layers} == {"down", "up", "out"}
    require_near(graph, low, least, tmp_path)


def test_a_name_means_all_below_it_and_what_stays_float_says_why():
    graph = recurrent("GRU", "forward")
    x = samples(graph, 100)["x"]
    _, report = quantize(graph, x, Plan("lq:2", "lq:4").keeping(["rows"]))
    assert [layer.name for layer in report.layers] == ["fc"]
    assert {(each.name, each.why) for each in report.kept} >= {("rows/input", "the plan says so")}
    assert str(report.kept[0]) == "rows/input (Conv) stays float, since the plan says so."
    assert report.to_dict()["kept"][0]["name"] == "rows/input"
    with pytest.raises(PlanError, match="rows/input or rows/recurrent"):
        quantize(graph, x, Plan("lq:2", "lq:4").keeping(["row/input"]))
    with pytest.raises(UnsupportedError, match="4 layers that the plan leaves float"):
        quantize(graph, x, Plan("lq:2", "lq:4").keeping(["*"]))


def test_what_is_no_layer_says_why():
    """A table, a constant on the left, a matrix for each head, three axes, an open number of steps."""
    random = np.random.default_rng(0)
    graph = Graph("odd", ("at", "x", "v"), ("y1", "y2", "y3", "y4"))
    inputs = {"at": ("int64", ("n",)), "x": ("float32", ("n", 2, 6)), "v": ("float32", ("n", 2, 3, 3, 3))}
    for name, (dtype, shape) in inputs.items():
        graph.add(Value(name, dtype, shape))
    shapes = {"table": (9, 6), "left": (2, 2), "heads": (2, 6, 6), "kernel": (4, 2, 1, 1, 1), "w": (6, 5)}
    for name, shape in shapes.items():
        graph.add_constant(name, random.normal(size=shape))
    for name, shape in {"W": (1, 8, 6), "R": (1, 8, 8)}.items():
        graph.add_constant(name, random.normal(size=shape))
    graph.nodes = [
        Node("Gather", ("table", "at"), ("rows",), {}, "embedding"),
        Node("MatMul", ("rows", "w"), ("y1",), {}, "fc"),
        Node("MatMul", ("left", "x"), ("mixed",), {}, "mix"),
        Node("Unsqueeze", ("mixed", "axis"), ("four",), {}, "up"),
        Node("MatMul", ("four", "heads"), ("y2",), {}, "each"),
        Node("Conv", ("v", "kernel"), ("y3",), {}, "volume"),
        Node("RNN", ("x", "W", "R"), ("y4",), {"hidden_size": 8}, "rnn"),
    ]
    graph.add_constant("axis", [1], "int64")
    infer(graph)
    verify(graph)
    found = {each.name: each.why for each in candidates(graph)}
    assert found == {
        "embedding": "rows are taken of its table, not multiplied",
        "fc": "",
        "mix": "its constant stands on the left",
        "each": "it has a matrix for every sample or head",
        "volume": "its maps have 3 axes",
        "rnn": "its steps, n, are not a fixed number",
    }


def test_a_low_bit_network_says_that_it_has_low_bits_already():
    graph = siamese()
    low, _ = quantize(graph, samples(graph, 100), Plan("lq:2", "lq:4"))
    with pytest.raises(UnsupportedError, match="4 of 4 layers have low bits already, such as left/"):
        quantize(low, samples(graph, 100), Plan("lq:2", "lq:4"))
