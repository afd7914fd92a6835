"""Passes keep the function, hold their contracts, and are stopped when they do not."""

from dataclasses import replace

import numpy as np
import pytest

from lowbit.errors import GraphError
from lowbit.ir import Graph, Node, Value, evaluate, infer, run_passes, verify
from lowbit.ir.passes import Pass, fold_constants, fuse_linear, is_linear, rows_to_convolution
from tests.ir.networks import float_mlp


def same_function(before: Graph, after: Graph) -> None:
    x = np.random.default_rng(1).normal(size=(6, before.value("x").shape[1])).astype(np.float32)
    np.testing.assert_allclose(
        evaluate(after, {"x": x})["y"], evaluate(before, {"x": x})["y"], rtol=1e-5, atol=1e-6
    )


def test_matmul_and_add_become_one_layer_named_after_the_product() -> None:
    graph = float_mlp()
    result = run_passes(graph, [fuse_linear])
    assert [node.op for node in result.graph.nodes] == ["Gemm", "Tanh", "Gemm", "Softmax"]
    assert [node.name for node in result.graph.nodes if is_linear(result.graph, node)] == ["fc1", "fc2"]
    assert result.modified == ("fuse-linear",)
    same_function(graph, result.graph)
    assert len(graph.nodes) == 6, "the original is untouched"


@pytest.mark.parametrize("trans", [0, 1])
@pytest.mark.parametrize(("alpha", "beta"), [(1.0, 1.0), (0.5, 2.0)])
@pytest.mark.parametrize("bias", [None, (), (1,), (3,), (1, 3)])
def test_gemm_in_every_form(trans: int, alpha: float, beta: float, bias: tuple[int, ...] | None) -> None:
    random = np.random.default_rng(0)
    graph = Graph("g", ("x",), ("y",), values={"x": Value("x", "float32", ("n", 5))})
    graph.add_constant("w", random.normal(size=(3, 5) if trans else (5, 3)))
    names = ["x", "w"] + ([] if bias is None else [graph.add_constant("b", random.normal(size=bias))])
    attributes = {"alpha": alpha, "beta": beta, "transB": trans}
    graph.nodes = [Node("Gemm", tuple(names), ("y",), attributes, "fc")]
    infer(graph)
    verify(graph)
    fused = run_passes(graph, [fuse_linear]).graph
    assert is_linear(fused, fused.nodes[0])
    same_function(graph, fused)


@pytest.mark.parametrize("computed", [False, True])
def test_a_gemm_whose_bias_is_no_row_stays(computed: bool) -> None:
    graph = Graph("g", ("x",), ("y",), values={"x": Value("x", "float32", (2, 3))})
    graph.add_constant("w", np.eye(3))
    bias = "x" if computed else graph.add_constant("b", np.arange(6).reshape(2, 3))
    graph.nodes = [Node("Gemm", ("x", "w", bias), ("y",), {}, "fc")]
    infer(graph)
    fused = run_passes(graph, [fuse_linear]).graph
    assert fused.nodes[0].attributes == {} and fused.nodes[0].inputs == ("x", "w", bias)


def test_an_add_of_something_else_stays() -> None:
    graph = float_mlp((5, 3))
    graph.nodes.insert(1, Node("Tanh", ("m1",), ("t",), {}, "tanh"))
    graph.nodes.insert(2, Node("Add", ("m1", "t"), ("s",), {}, "sum"))
    graph.nodes[3] = Node("Add", ("s", "fc1.bias"), ("a1",), {}, "bias")
    infer(graph)
    fused = run_passes(graph, [fuse_linear]).graph
    assert [node.op for node in fused.nodes] == ["Gemm", "Tanh", "Add", "Add", "Softmax"]
    same_function(graph, fused)


def test_constants_fold_and_identities_vanish() -> None:
    graph = float_mlp((5, 3))
    graph.nodes.insert(0, Node("Tanh", ("fc1.bias",), ("tb",), {}, "fold-me"))
    graph.nodes.insert(0, Node("Identity", ("x",), ("xi",), {}, "skip-me"))
    graph.nodes[2] = Node("MatMul", ("xi", "fc1.weight"), ("m1",), {}, "fc1")
    graph.nodes[3] = Node("Add", ("m1", "tb"), ("a1",), {}, "add")
    infer(graph)
    folded = run_passes(graph, [fold_constants]).graph
    assert [node.op for node in folded.nodes] == ["MatMul", "Add", "Softmax"]
    assert folded.value("tb").data is not None and "fc1.bias" not in folded.values
    same_function(graph, folded)


def test_an_identity_at_the_output_leaves_its_name() -> None:
    graph = float_mlp((5, 3))
    graph.nodes[-1] = Node("Softmax", ("a1",), ("s",), {}, "softmax")
    graph.nodes.append(Node("Identity", ("s",), ("y",), {}, "out"))
    infer(graph)
    folded = run_passes(graph, [fold_constants]).graph
    assert folded.nodes[-1].op == "Softmax" and folded.outputs == ("y",)
    same_function(graph, folded)


def test_an_identity_of_the_input_stays() -> None:
    graph = Graph("g", ("x",), ("y",), values={"x": Value("x", "float32", ("n", 5))})
    graph.nodes = [Node("Identity", ("x",), ("y",), {}, "out")]
    infer(graph)
    assert len(run_passes(graph, [fold_constants]).graph.nodes) == 1


def test_a_broken_contract_names_the_pass() -> None:
    def never(_: Graph) -> bool:
        return False

    with pytest.raises(GraphError, match="pass p: its precondition"):
        run_passes(float_mlp(), [Pass("p", never, requires=never)])
    with pytest.raises(GraphError, match="pass p: its postcondition"):
        run_passes(float_mlp(), [Pass("p", never, ensures=never)])


def test_a_pass_that_breaks_the_graph_is_stopped() -> None:
    def drop_the_first_node(graph: Graph) -> bool:
        del graph.nodes[0]
        return True

    with pytest.raises(GraphError):
        run_passes(float_mlp(), [Pass("vandal", drop_the_first_node)])


def rows(shape: tuple[int | str, ...] = ("n", 1, 5, 4), perm: tuple[int, ...] = (0, 1, 3, 2)) -> Graph:
    """Return a layer of rows with tanh and a transposition behind it."""
    random = np.random.default_rng(3)
    graph = Graph("g", ("x",), ("y",), values={"x": Value("x", "float32", shape)})
    graph.add_constant("w", random.normal(size=(4, 3)))
    graph.add_constant("b", random.normal(size=3))
    graph.nodes = [
        Node("MatMul", ("x", "w"), ("p",), {}, "fc"),
        Node("Add", ("b", "p"), ("s",), {}, "sum"),
        Node("Tanh", ("s",), ("t",), {}, "tanh"),
        Node("Transpose", ("t",), ("y",), {"perm": perm}, "swap"),
    ]
    infer(graph)
    return graph


@pytest.mark.parametrize("leave_out", [(), ("sum",), ("tanh",), ("sum", "tanh")])
def test_a_layer_of_rows_becomes_a_convolution(leave_out: tuple[str, ...]) -> None:
    graph = rows()
    for name in leave_out:
        (node,) = (node for node in graph.nodes if node.name == name)
        graph.nodes.remove(node)
        source = node.inputs[-1]
        graph.nodes = [
            replace(each, inputs=tuple(source if one == node.outputs[0] else one for one in each.inputs))
            for each in graph.nodes
        ]
    infer(graph)
    found = run_passes(graph, [rows_to_convolution]).graph
    wanted = ["Conv", "Tanh", "Reshape"] if "tanh" not in leave_out else ["Conv", "Reshape"]
    assert [node.op for node in found.nodes] == wanted and found.nodes[0].name == "fc"
    x = np.random.default_rng(1).normal(size=(2, 1, 5, 4)).astype(np.float32)
    np.testing.assert_allclose(evaluate(found, {"x": x})["y"], evaluate(graph, {"x": x})["y"], atol=1e-6)


@pytest.mark.parametrize(
    ("shape", "perm"),
    [(("n", 2, 5, 4), (0, 1, 3, 2)), (("n", 1, "h", 4), (0, 1, 3, 2)), (("n", 1, 5, 4), (0, 3, 1, 2))],
)
def test_other_products_of_maps_stay(shape: tuple[int | str, ...], perm: tuple[int, ...]) -> None:
    graph = rows(shape, perm)
    assert run_passes(graph, [rows_to_convolution]).modified == ()


def test_a_layer_of_rows_that_others_read_stays() -> None:
    graph = rows()
    graph.nodes.append(Node("Relu", ("t",), ("other",), {}, "relu"))
    graph.outputs = ("y", "other")
    infer(graph)
    assert run_passes(graph, [rows_to_convolution]).modified == ()


@pytest.mark.parametrize("bounds", [(), ("",), ("", "")])
def test_a_clip_between_no_bounds_is_nothing(bounds: tuple[str, ...]) -> None:
    graph = Graph("clip", ("x",), ("y",), values={"x": Value("x", "float32", ("n", 3))})
    graph.nodes = [
        Node("Tanh", ("x",), ("a",), {}, "before"),
        Node("Clip", ("a", *bounds), ("b",), {}, "clip"),
        Node("Relu", ("b",), ("y",), {}, "behind"),
    ]
    infer(graph)
    assert [node.op for node in run_passes(graph, [fold_constants]).graph.nodes] == ["Tanh", "Relu"]
