"""What the array engine refuses: every operator at once, by node, each with what to do about it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lowbit.api import quantize
from lowbit.errors import UnsupportedError
from lowbit.ir import Graph, Node, Value, evaluate, infer
from lowbit.ir.graph import Attribute
from lowbit.quantization import Plan
from lowbit.rtl.array.ends import scored
from lowbit.rtl.array.from_graph import blockers, from_graph
from lowbit.zoo.architecture import (
    Activation,
    Architecture,
    Convolution,
    Flatten,
    GlobalAverage,
    Layer,
    Linear,
    Pool,
    Residual,
)
from lowbit.zoo.float_graph import float_graph
from tests.rtl.array.networks import small

CONV = Convolution(4, 3, 1, 1, bias=True)


def refused(*layers: Layer, plan: Plan | None = None) -> UnsupportedError:
    """Return what is said of a quantized network."""
    graph = float_graph(Architecture("refused", (2, 6, 6), layers, ""), seed=0)
    samples = np.random.default_rng(0).random((64, 2, 6, 6)).astype(np.float32)
    return _refusal(quantize(graph, samples, plan=plan or Plan(weight_bits=2, activation_bits=2))[0])


def _refusal(graph: Graph) -> UnsupportedError:
    with pytest.raises(UnsupportedError) as found:
        from_graph(graph, None)
    return found.value


@pytest.mark.parametrize(
    ("layers", "op", "cure"),
    [
        ((Pool("average"), Activation(), CONV, Flatten(), Linear(3)), "AveragePool", "--sums fixed"),
        ((Activation(), CONV, GlobalAverage(), Linear(3)), "GlobalAveragePool", "--sums fixed"),
        ((Residual((CONV, Activation(), CONV)), Activation(), Flatten(), Linear(3)), "Add", "--sums fixed"),
        ((Activation(), CONV, GlobalAverage()), "GlobalAveragePool", "quantized layer"),
    ],
    ids=["average", "global", "residual", "last"],
)
def test_real_operators_are_named_with_their_node_and_cure(
    layers: tuple[Layer, ...], op: str, cure: str
) -> None:
    error = refused(CONV, *layers, plan=Plan("lq:2", "lq:2", sums="real"))
    assert op in error.found and error.where in error.found and cure in error.remedy


def test_layers_that_read_floats_are_named() -> None:
    error = refused(Flatten(), Linear(4), Activation(), Linear(3), plan=Plan("lq", 2, 32))
    assert "fc1" in error.found and "fc2" in error.found and "activations" in error.remedy


@pytest.mark.parametrize("op", ["Softmax", "LeakyRelu", "Sigmoid", "ArgMax"])
def test_a_last_function_is_left_out_with_a_word(op: str) -> None:
    graph, pixels = _perceptron(), np.random.default_rng(0).integers(0, 256, (5, 12)) / np.float32(255)
    _append(graph, op, "scores", graph.value(graph.outputs[0]).shape)
    infer(graph)
    ends = scored(graph)
    assert ends.left_out == (f"{op} ({op.lower()})",) and not blockers(ends.scored)
    (wanted,), (scores,) = (evaluate(each, {"x": pixels}).values() for each in (graph, ends.scored))
    (made,) = ends.finish(np.asarray(scores, np.float32))
    assert np.array_equal(made, wanted) and made.dtype == wanted.dtype


def test_the_activation_of_the_last_layer_is_left_out_too() -> None:
    graph = _perceptron()
    node = graph.nodes[-1]
    graph.nodes[-1] = replace(node, attributes={**node.attributes, "activation": "sigmoid"})
    ends, pixels = scored(graph), np.random.default_rng(0).integers(0, 256, (5, 12)) / np.float32(255)
    assert ends.left_out == (f"sigmoid ({node.name})",)
    (wanted,), (scores,) = (evaluate(each, {"x": pixels}).values() for each in (graph, ends.scored))
    assert np.array_equal(ends.finish(np.asarray(scores, np.float32))[0], wanted)


def test_a_reshape_that_reorders_is_refused() -> None:
    graph = small()
    flatten = next(node for node in graph.nodes if node.op == "Flatten")
    source = graph.value(flatten.inputs[0])
    batch, channels, rows, columns = source.shape
    assert rows != columns
    graph.add(replace(source, name="turned", shape=(batch, channels, columns, rows)))
    shape = graph.add_constant("shape", np.array([-1, channels, columns, rows], np.int64))
    at = graph.nodes.index(flatten)
    graph.nodes[at] = replace(flatten, inputs=("turned",))
    graph.nodes.insert(at, Node("Reshape", (source.name, shape), ("turned",), {}, "turn"))
    assert _refusal(graph).where == "turn"


def test_a_second_output_is_not_dropped() -> None:
    graph = _perceptron()
    graph.outputs = (*graph.outputs, graph.nodes[0].outputs[0])
    assert "real output" in _refusal(graph).expected


@pytest.mark.parametrize("pooled", [False, True], ids=["alone", "beside another operator"])
@pytest.mark.parametrize(
    ("attributes", "needed"),
    [
        ({"pads": (4, 0, 0, 0)}, "padding alone"),
        ({"pads": (0, 0, 0, 5), "strides": (2, 1)}, "padding alone"),
    ],
    ids=lambda given: "-".join(given) if isinstance(given, dict) else "",
)
def test_a_convolution_is_refused_before_any_work(
    attributes: dict[str, Attribute], needed: str, pooled: bool
) -> None:
    """Blockers name what loading refuses; an operator that is missing hides no other reason."""
    random = np.random.default_rng(5)
    graph = Graph("odd", ("x",), ("y",), values={"x": Value("x", "float32", ("n", 2, 9, 8))})
    graph.add_constant("w", random.normal(size=(4, 2, 3, 3)))
    graph.add_constant("b", random.normal(size=4))
    graph.nodes = [
        Node("Conv", ("x", "w", "b"), ("a",), dict(attributes), "odd"),
        Node("Relu", ("a",), ("r",), {}, "relu"),
        *([Node("AveragePool", ("r",), ("p",), {"kernel_shape": (1, 1)}, "pool")] if pooled else []),
        Node("Flatten", ("p" if pooled else "r",), ("flat",), {}, "flat"),
    ]
    infer(graph)
    graph.add_constant("v", random.normal(size=(3, int(graph.value("flat").shape[1]))))
    graph.add_constant("c", random.normal(size=3))
    graph.nodes.append(Node("Gemm", ("flat", "v", "c"), ("y",), {"transB": 1}, "last"))
    infer(graph)
    plan = Plan("lq:2", "lq:2", layers={"first": {"activations": "pixels"}}, sums="real")
    low = quantize(graph, random.random((40, 2, 9, 8)).astype(np.float32), plan=plan, check=False)[0]
    found = blockers(low)
    assert any(needed in each.what and each.nodes == ("odd",) for each in found)
    assert ("AveragePool" in {each.operator for each in found}) == pooled
    assert "odd" in _refusal(low).found


def _perceptron() -> Graph:
    graph = float_graph(Architecture("mlp", (12,), (Linear(4), Activation(), Linear(3)), ""), seed=0)
    samples = np.random.default_rng(0).random((64, 12)).astype(np.float32)
    return quantize(graph, samples, bits=2)[0]


def _append(graph: Graph, op: str, name: str, shape: tuple[int | str, ...]) -> None:
    graph.add(Value(name, "float32", shape))
    graph.nodes.append(Node(op, graph.outputs, (name,), {}, op.lower()))
    graph.outputs = (name,)


def test_the_recipe_of_the_binarized_vgg16_runs_on_the_array_engine() -> None:
    """Hours of training shall end in a network that hardware runs too: the plan is tried before them."""
    torch = pytest.importorskip("torch")
    pytest.importorskip("lightning_fabric")
    from lowbit.nn import Network, prepare, to_graph
    from lowbit.train import Recipe
    from lowbit.zoo import network

    recipe = Recipe.read(Path(__file__).parents[3] / "recipes/vgg16-binary-short.toml")
    architecture = network("vgg-small-quarter")
    module = Network(architecture)
    prepare(module, Plan.of(recipe.plan), inputs=(0.0, 1.0))
    module(torch.rand(8, *architecture.input_shape))
    assert not blockers(to_graph(module.eval(), architecture.input_shape))
