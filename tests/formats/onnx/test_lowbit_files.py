"""Low-bit networks as ONNX: any runtime gives the reference's codes, and the file reads back equal."""

from itertools import product
from pathlib import Path

import numpy as np
import pytest

from lowbit.backends.onnxruntime import session
from lowbit.errors import LowbitError, ModelFormatError, UnsafeFileError, UnsupportedError
from lowbit.formats.onnx import from_proto, read, to_proto, write
from lowbit.formats.onnx.bodies import FUSED
from lowbit.ir import Graph, Node, Value, evaluate, infer, to_text
from lowbit.ir.graph import Array
from lowbit.schemes import Affine, LearnedBasis
from tests.formats.onnx.networks import affine_mlp, mixed_network
from tests.ir.networks import lowbit_mlp

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

SIZES = (1, 31, 32, 33, 63, 65)


def exposed(graph: Graph) -> "onnx.ModelProto":
    """Return the file's model with every computed value as an output."""
    model = to_proto(graph)
    model.graph.output.extend(model.graph.value_info)
    return model


def samples(graph: Graph, count: int = 7) -> dict[str, Array]:
    shape = graph.value("x").shape[1:]
    return {"x": np.random.default_rng(5).normal(size=(count, *shape)).astype(np.float32)}


def assert_equal_to_reference(graph: Graph, results: dict[str, Array], x: dict[str, Array]) -> None:
    expected: dict[str, Array] = {}
    evaluate(graph, x, lambda name, array: expected.update({name: array}))
    computed = [name for node in graph.nodes for name in node.outputs]
    assert set(computed) == set(results)
    for name in computed:
        if expected[name].dtype == np.uint8:
            np.testing.assert_array_equal(results[name], expected[name], err_msg=name)
        else:
            np.testing.assert_allclose(results[name], expected[name], rtol=1e-5, atol=1e-5, err_msg=name)


def run_onnxruntime(model: "onnx.ModelProto", x: dict[str, Array]) -> dict[str, Array]:
    ready = session(model)
    names = [output.name for output in ready.get_outputs()]
    return dict(zip(names, ready.run(names, x), strict=True))


def run_onnx_reference(model: "onnx.ModelProto", x: dict[str, Array]) -> dict[str, Array]:
    from onnx.reference import ReferenceEvaluator

    names = [output.name for output in model.graph.output]
    return dict(zip(names, ReferenceEvaluator(model).run(names, x), strict=True))


def assert_runs_and_reads_back(graph: Graph, *, also_onnx: bool = False) -> None:
    model, x = exposed(graph), samples(graph)
    onnx.checker.check_model(model, full_check=True)
    assert_equal_to_reference(graph, run_onnxruntime(model, x), x)
    if also_onnx:
        assert_equal_to_reference(graph, run_onnx_reference(model, x), x)
    assert to_text(from_proto(to_proto(graph))) == to_text(graph)


@pytest.mark.parametrize("input_bits,weight_bits", list(product(range(1, 5), repeat=2)))
@pytest.mark.parametrize("weight_offset", [False, True])
def test_every_width(input_bits: int, weight_bits: int, weight_offset: bool) -> None:
    inputs = SIZES[(3 * input_bits + weight_bits) % len(SIZES)]
    graph = lowbit_mlp((inputs, inputs + 2, 10), input_bits, weight_bits, weight_offset=weight_offset)
    assert_runs_and_reads_back(graph, also_onnx=input_bits == weight_bits)


@pytest.mark.parametrize("inputs", SIZES)
def test_every_row_length(inputs: int) -> None:
    assert_runs_and_reads_back(lowbit_mlp((inputs, 4, 1), 2, 3, seed=inputs, softmax=False))


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("sizes", [(1, 1, 1), (33, 20, 10), (700, 5, 2)])
def test_affine(per_channel: bool, symmetric: bool, sizes: tuple[int, ...]) -> None:
    graph = affine_mlp(sizes, per_channel=per_channel, symmetric=symmetric)
    assert_runs_and_reads_back(graph, also_onnx=True)


@pytest.mark.parametrize("activation", sorted(FUSED))  # others are written as layer and operator
def test_every_other_kind_of_node(activation: str) -> None:
    assert_runs_and_reads_back(mixed_network(activation), also_onnx=True)


@pytest.mark.parametrize("outputs", [1, 3])
def test_sums_beyond_float32_are_exact(outputs: int) -> None:
    """700 products of 255 by 255 leave float32; one output invites a runtime to fold the scale."""
    graph = affine_mlp((700, outputs), symmetric=True)
    weights = graph.value("fc1/weights")
    graph.update("fc1/weights", data=np.full(weights.shape, 255, np.uint8))
    graph.update("x/codes", encoding=Affine(8, [1e-3], [0]))
    x = {"x": np.random.default_rng(0).uniform(0.2, 0.3, (50, 700)).astype(np.float32)}
    assert {a.i for a in to_proto(graph).graph.node[1].attribute if a.name == "accumulator_type"} == {11}
    np.testing.assert_array_equal(run_onnxruntime(to_proto(graph), x)["y"], evaluate(graph, x)["y"])


def test_optimizations_of_the_runtime_change_nothing() -> None:
    for graph in (
        mixed_network("tanh"),
        lowbit_mlp((65, 33, 1), 3, 3, softmax=False),
        affine_mlp((700, 5, 1)),
    ):
        model, x = exposed(graph), samples(graph)
        disabled = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        unoptimized = session(model, graph_optimization_level=disabled)
        names = [output.name for output in unoptimized.get_outputs()]
        plain = dict(zip(names, unoptimized.run(names, x), strict=True))
        optimized = run_onnxruntime(model, x)
        assert_equal_to_reference(graph, plain, x)
        for name in names:
            np.testing.assert_array_equal(plain[name], optimized[name])


def test_a_tie_takes_the_lower_level() -> None:
    encoding = LearnedBasis([[1.0, 2.0]], [0.0], [2])
    graph = Graph("ties", ("x",), ("c",))
    graph.add(Value("x", "float32", ("n", 7)))
    graph.add(Value("c", "code", ("n", 7), None, encoding))
    graph.nodes = [Node("Encode", ("x",), ("c",), {}, "encode", "lowbit")]
    infer(graph)
    x = np.array([[-2, -1.9999999, 0, 1e-30, 2, 2.0000002, -1e-30]], np.float32)
    codes = run_onnxruntime(to_proto(graph), {"x": x})["c"]
    assert codes.tolist() == [[0, 1, 1, 2, 2, 3, 1]]


def test_levels_out_of_code_order_are_sorted() -> None:
    encoding = LearnedBasis([[10.0, 15.0, 18.0]], [0.5], [18])
    assert encoding.code_of_rank()[0].tolist() != list(range(8))
    graph = Graph("order", ("x",), ("c",))
    graph.add(Value("x", "float32", ("n", 90)))
    graph.add(Value("c", "code", ("n", 90), None, encoding))
    graph.nodes = [Node("Encode", ("x",), ("c",), {}, "encode", "lowbit")]
    infer(graph)
    x = np.linspace(-50, 50, 90, dtype=np.float32)[None]
    np.testing.assert_array_equal(run_onnxruntime(to_proto(graph), {"x": x})["c"], encoding.encode(x))


def test_weights_stay_packed_and_bytes_are_the_same_each_time(tmp_path: Path) -> None:
    graph = lowbit_mlp((784, 680, 10), 1, 1)
    write(graph, tmp_path / "a.onnx")
    write(graph.copy(), tmp_path / "b.onnx")
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()
    # Per output and input bit planes, a scale, a bias; tops, names and functions are the rest.
    packed = sum(outputs * (4 * -(-inputs // 32) + 8) for inputs, outputs in ((784, 680), (680, 10)))
    assert packed < (tmp_path / "a.onnx").stat().st_size < packed + 12_000
    assert to_text(read(tmp_path / "a.onnx")) == to_text(graph)
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["a.onnx", "b.onnx"]


def test_model_is_of_an_age_that_runtimes_have() -> None:
    model = to_proto(lowbit_mlp())
    assert model.ir_version <= 10
    assert {(item.domain, item.version) for item in model.opset_import} == {("", 18), ("lowbit", 1)}


def test_inputs_of_a_layer_are_named() -> None:
    model = to_proto(lowbit_mlp())
    function = next(item for item in model.functions if item.name == "LQFullyConnected")
    assert list(function.input)[:4] == ["input", "weights_binary", "bias", "thresholds"]
    assert {"input_scales", "weights_scales"} <= set(function.input)


def test_coded_input_keeps_its_encoding() -> None:
    graph = lowbit_mlp()
    graph.nodes.pop(0)
    graph.inputs = ("x/codes",)
    del graph.values["x"]
    assert to_text(from_proto(to_proto(graph))) == to_text(graph)


def test_a_free_basis_is_refused() -> None:
    graph = Graph("free", ("x",), ("c",))
    graph.add(Value("x", "float32", ("n", 2)))
    graph.add(Value("c", "code", ("n", 2), None, LearnedBasis([[0.3, 1.0]], [0.0], [0])))
    graph.nodes = [Node("Encode", ("x",), ("c",), {}, "encode", "lowbit")]
    infer(graph)
    with pytest.raises(UnsupportedError, match="free basis"):
        to_proto(graph)
    layers = lowbit_mlp()
    basis = layers.value("fc1/weights").encoding
    assert isinstance(basis, LearnedBasis)
    layers.update("fc1/weights", encoding=LearnedBasis(basis.basis, basis.offset, 0 * basis.top))
    with pytest.raises(UnsupportedError, match="fc1/weights"):
        to_proto(layers)


def test_the_body_of_a_function_in_a_file_is_not_believed() -> None:
    model = to_proto(lowbit_mlp())
    expected = to_text(from_proto(model))
    for function in model.functions:
        del function.node[:]
    assert to_text(from_proto(model)) == expected


def test_a_foreign_function_is_refused() -> None:
    for domain, name in (("", "Relu"), ("ai.onnx", "Relu"), ("lowbit", "Surprise")):
        model = to_proto(lowbit_mlp())
        model.functions[0].domain, model.functions[0].name = domain, name
        with pytest.raises(UnsupportedError, match="has the name of an operator"):
            from_proto(model)


def _set_bit(model: "onnx.ModelProto") -> None:
    tensor = next(item for item in model.graph.initializer if item.name == "fc1/weights")
    raw = bytearray(tensor.raw_data)
    raw[11] |= 0x80  # element 95 of a row of 65
    tensor.raw_data = bytes(raw)


def _change(name: str, value: int) -> "object":
    def change(model: "onnx.ModelProto") -> None:
        node = next(item for item in model.graph.node if item.op_type == "LQFullyConnected")
        next(item for item in node.attribute if item.name == name).i = value

    return change


def _no_tops(model: "onnx.ModelProto") -> None:
    for attribute in (
        item for node in model.graph.node for item in node.attribute if item.name.endswith("_top")
    ):
        attribute.i, attribute.ints[:] = 0, [0] * len(attribute.ints)


def _external(model: "onnx.ModelProto") -> None:
    tensor = model.graph.initializer[0]
    tensor.data_location = 1
    tensor.external_data.add(key="location", value="/etc/passwd")


def _twice(model: "onnx.ModelProto") -> None:
    model.graph.node[1].output[0] = model.graph.node[0].output[0]


def _negative_scale(model: "onnx.ModelProto") -> None:
    tensor = next(item for item in model.graph.initializer if item.name == "x/codes.scales")
    tensor.raw_data = (-np.frombuffer(tensor.raw_data, np.float32)).tobytes()


@pytest.mark.parametrize(
    "damage,error",
    [
        (_set_bit, ModelFormatError),
        (_change("weights_hidden_size", 64), LowbitError),
        (_change("weights_hidden_size", 2**40), ModelFormatError),
        (_change("input_top", 0), LowbitError),
        (_no_tops, ModelFormatError),
        (_external, UnsafeFileError),
        (_twice, ModelFormatError),
        (_negative_scale, LowbitError),
        (lambda model: model.graph.node[1].input.pop(), ModelFormatError),
        (lambda model: setattr(model.graph.node[1], "op_type", "LearnedBasis"), UnsupportedError),
        (lambda model: setattr(model.opset_import[1], "version", 2), UnsupportedError),
    ],
)
def test_damage_is_named(damage: object, error: type[LowbitError]) -> None:
    model = to_proto(lowbit_mlp())
    damage(model)  # type: ignore[operator]
    with pytest.raises(error) as caught:
        from_proto(model, "net.onnx")
    assert "net.onnx" in str(caught.value)
