"""Post-training quantization of convolutional networks."""

import numpy as np
import pytest

from lowbit.backends.litert import interpreter as interpreter_of
from lowbit.budget import allowed
from lowbit.calibrate import engine_or_reference
from lowbit.formats.circle import write
from lowbit.formats.circle.reader import read_content
from lowbit.formats.circle.writer import content_of
from lowbit.ir import Graph, Node, Value, evaluate, infer, run_passes, to_text, verify
from lowbit.ir.passes import NORMAL_FORM
from lowbit.quantization import Plan, observe, pipeline, quantize
from lowbit.quantization.equalize import equalize
from lowbit.quantization.rows import Rows
from lowbit.quantization.stream import Stream
from lowbit.quantization.weights import CodedWeights


def network(*, pool_first: bool = False, group: int = 1, activation: str = "Relu") -> Graph:
    """Return conv1, norm, activation, pool, conv2, activation, pool, fc."""
    random = np.random.default_rng(0)
    graph = Graph("net", ("x",), ("y",), values={"x": Value("x", "float32", ("n", 2, 8, 8))})
    for name, shape in (("w1", (8, 2, 3, 3)), ("w2", (6, 8 // group, 3, 3)), ("w3", (4, 24))):
        graph.add_constant(name, random.normal(size=shape) / np.sqrt(np.prod(shape[1:])))
    for name, length in (("b2", 6), ("b3", 4), ("scale", 8), ("shift", 8), ("mean", 8)):
        graph.add_constant(name, random.normal(size=length) + (name == "scale"))
    graph.add_constant("variance", random.uniform(0.5, 2, 8))
    size = {"kernel_shape": (2, 2), "strides": (2, 2)}
    first, second = ("MaxPool", activation) if pool_first else (activation, "MaxPool")
    graph.nodes = [
        Node("Conv", ("x", "w1"), ("c1",), {"pads": (1, 1, 1, 1)}, "conv1"),
        Node("BatchNormalization", ("c1", "scale", "shift", "mean", "variance"), ("n1",), {}, "norm1"),
        Node(first, ("n1",), ("h1",), size if pool_first else {}, "first1"),
        Node(second, ("h1",), ("p1",), {} if pool_first else size, "second1"),
        Node("Conv", ("p1", "w2", "b2"), ("c2",), {"pads": (1, 1, 1, 1), "group": group}, "conv2"),
        Node(activation, ("c2",), ("h2",), {}, "act2"),
        Node("MaxPool", ("h2",), ("p2",), size, "pool2"),
        Node("Flatten", ("p2",), ("f",), {}, "flatten"),
        Node("Gemm", ("f", "w3", "b3"), ("y",), {"transB": 1}, "fc"),
    ]
    infer(graph)
    verify(graph)
    return graph


@pytest.fixture
def samples() -> np.ndarray:
    random = np.random.default_rng(1)
    smooth = random.normal(size=(300, 2, 8, 8)).cumsum(axis=2).cumsum(axis=3)
    return (smooth / 5).astype(np.float32)


def output_error(low: Graph, graph: Graph, samples: np.ndarray) -> float:
    exact, found = (evaluate(net, {"x": samples})["y"].astype(np.float64) for net in (graph, low))
    return float(((found - exact) ** 2).mean(0).sum() / exact.var(0).sum())


@pytest.mark.parametrize(("bits", "most"), [(2, 0.35), (3, 0.12), (4, 0.05)])
@pytest.mark.parametrize("activation", ["Relu", "Tanh"])
@pytest.mark.parametrize("pool_first", [False, True])
def test_layers_hand_on_codes(samples, bits, most, activation, pool_first):
    graph = network(activation=activation, pool_first=pool_first)
    low, report = quantize(graph, samples, Plan(weight_bits=bits, activation_bits=bits))
    verify(low)
    ops = ["Encode", "Convolution", "MaxPool", "Convolution", "MaxPool", "Flatten", "Linear"]
    assert [node.op for node in low.nodes] == ops
    convolutions = [node for node in low.nodes if node.op == "Convolution"]
    assert [node.attributes["activation"] for node in convolutions] == [activation.lower()] * 2
    assert output_error(low, graph, samples) < most
    assert [layer.name for layer in report.layers] == ["conv1", "conv2", "fc"]


@pytest.mark.parametrize("group", [2])
def test_groups_are_solved_apart(samples, group):
    graph = network(group=group)
    low, _ = quantize(graph, samples, Plan(weight_bits=3, activation_bits=3))
    assert low.value("conv2/weights").shape == (6, 3, 3, 4)
    assert output_error(low, graph, samples) < 0.12


def test_depthwise_layers(samples):
    graph = Graph("deep", ("x",), ("y",), values={"x": Value("x", "float32", ("n", 2, 8, 8))})
    random = np.random.default_rng(0)
    graph.add_constant("w", random.normal(size=(4, 1, 3, 3)))
    graph.nodes = [Node("Conv", ("x", "w"), ("y",), {"group": 2, "strides": (2, 1)}, "conv")]
    infer(graph)
    low, report = quantize(graph, samples, Plan(weight_bits=3, activation_bits=4))
    assert low.nodes[-1].attributes["group"] == 2
    exact, found = (evaluate(net, {"x": samples})["y"] for net in (graph, low))
    assert ((found - exact) ** 2).mean() < 0.03 * exact.var()
    assert report.layers[0].output_error < 0.03


def test_the_file_computes_the_same(samples):
    low, _ = quantize(network(), samples, Plan(weight_bits=2, activation_bits=2))
    found = read_content(bytes(content_of(low)), "net.circle")
    assert np.array_equal(evaluate(found, {"x": samples})["y"], evaluate(low, {"x": samples})["y"])


def test_the_ends_can_stay_float_or_get_more_bits(samples):
    ends = {"first": {"scheme": "float"}, "last": {"scheme": "float"}}
    low, report = quantize(network(), samples, Plan(weight_bits=2, activation_bits=2, layers=ends))
    assert [layer.name for layer in report.layers] == ["conv2"]
    ops = ["Conv", "Relu", "MaxPool", "Encode", "Convolution", "Relu", "MaxPool", "Flatten", "Gemm"]
    assert [node.op for node in low.nodes][:5] == ops[:5]
    wide = {"first": {"scheme": "affine", "weight_bits": 7, "activation_bits": 8}}
    low, report = quantize(network(), samples, Plan(weight_bits=2, activation_bits=2, layers=wide))
    assert low.value("x/codes").encoding.bits == 8
    assert report.layers[0].output_error < 1e-3


def test_float_layers_behind_quantized_ones_adapt(samples):
    errors = {}
    for method in ("restore", "plain"):
        last = {"scheme": "float", "method": method}
        plan = Plan(weight_bits=2, activation_bits=2, layers={"last": last, "conv2": {"scheme": "float"}})
        low, report = quantize(network(), samples, plan)
        assert [layer.name for layer in report.layers] == ["conv1"]
        errors[method] = output_error(low, network(), samples)
    assert errors["restore"] < 0.95 * errors["plain"]


def test_float_layers_before_quantized_ones_stay(samples):
    plan = Plan(weight_bits=2, activation_bits=2, equalize=False, layers={"first": {"scheme": "float"}})
    low, _ = quantize(network(), samples, plan)
    normal = run_passes(network(), NORMAL_FORM).graph
    assert np.array_equal(low.constant(low.nodes[0].inputs[1]), normal.constant(normal.nodes[0].inputs[1]))


def residual_network() -> Graph:
    """Return conv1, relu, conv2, its output plus its input, relu, flatten, fc."""
    random = np.random.default_rng(3)
    graph = Graph("residual", ("x",), ("y",), values={"x": Value("x", "float32", ("n", 2, 8, 8))})
    for name, shape in (("w1", (6, 2, 3, 3)), ("w2", (6, 6, 3, 3)), ("w3", (4, 384))):
        graph.add_constant(name, random.normal(size=shape) / np.sqrt(np.prod(shape[1:])))
    pads = {"pads": (1, 1, 1, 1)}
    graph.nodes = [
        Node("Conv", ("x", "w1"), ("c1",), pads, "conv1"),
        Node("Relu", ("c1",), ("h1",), {}, "act1"),
        Node("Conv", ("h1", "w2"), ("c2",), pads, "conv2"),
        Node("Add", ("c2", "h1"), ("sum",), {}, "sum"),
        Node("Relu", ("sum",), ("h2",), {}, "act2"),
        Node("Flatten", ("h2",), ("f",), {}, "flatten"),
        Node("Gemm", ("f", "w3"), ("y",), {"transB": 1}, "fc"),
    ]
    infer(graph)
    verify(graph)
    return graph


def test_a_residual_layer_makes_up_for_the_error_of_the_other_part(samples, monkeypatch):
    graph, errors = residual_network(), []
    last = {"scheme": "float", "method": "plain"}
    plan = Plan(weight_bits=2, activation_bits=2, sums="real", layers={"last": last})
    for settled in (observe.settled_sum, lambda graph, layer, pending: None):
        monkeypatch.setattr(observe, "settled_sum", settled)
        low, _ = quantize(graph, samples, plan)
        found, exact = {}, {}
        evaluate(low, {"x": samples}, found.__setitem__)
        evaluate(graph, {"x": samples}, exact.__setitem__)
        errors.append(float(((found["sum"] - exact["sum"]) ** 2).sum()))
    assert errors[0] < 0.98 * errors[1]


def test_equalizing_changes_nothing_in_float(samples):
    graph = run_passes(network(), NORMAL_FORM).graph
    equal = equalize(graph, {"x": samples}, engine_or_reference, lambda name: True)
    x = {"x": samples}
    np.testing.assert_allclose(evaluate(graph, x)["y"], evaluate(equal, x)["y"], rtol=1e-5, atol=1e-5)
    changed = [name for name, value in graph.values.items() if value.data is not equal.value(name).data]
    assert len(changed) == 5  # weights and bias of both convolutions, weights of the last layer
    same = equalize(graph, {"x": samples}, engine_or_reference, lambda name: False)
    assert all(value.data is same.value(name).data for name, value in graph.values.items())


def test_equalizing_lets_one_basis_serve_all_channels(samples):
    graph = run_passes(network(), NORMAL_FORM).graph
    size = np.float32(2.0) ** np.arange(-4, 4)
    for name, column in (
        (graph.nodes[0].inputs[1], size.reshape(-1, 1, 1, 1)),
        (graph.nodes[0].inputs[2], size),
    ):
        graph.update(name, data=graph.constant(name) * column)
    conv2 = next(node for node in graph.nodes if node.name == "conv2")
    graph.update(conv2.inputs[1], data=graph.constant(conv2.inputs[1]) / size.reshape(1, -1, 1, 1))
    errors = [
        output_error(
            quantize(graph, samples, Plan(weight_bits=3, activation_bits=2, equalize=on))[0], graph, samples
        )
        for on in (True, False)
    ]
    assert errors[0] < 0.8 * errors[1]


def test_a_network_of_8_bits_is_one_of_int8_operators(samples, tmp_path):
    """A stock runtime runs the file and gives the same codes, but for ties that it rounds its own way."""
    graph = network()
    low, report = quantize(graph, samples, Plan(scheme="affine", weight_bits=8, activation_bits=8))
    ops = [node.op for node in low.nodes]
    chain = ["Convolution", "MaxPool", "Convolution", "MaxPool", "Flatten", "Linear"]  # ReLUs saturate
    assert ops == ["Encode", *chain, "Decode"]
    assert low.value(low.nodes[-1].inputs[0]).encoding.bits == 8
    assert output_error(low, graph, samples) < 1e-3
    again = read_content(bytes(content_of(low)), "net.circle")
    assert np.array_equal(evaluate(again, {"x": samples})["y"], evaluate(low, {"x": samples})["y"])
    pytest.importorskip("ai_edge_litert.interpreter")
    write(low, tmp_path / "net.tflite")
    interpreter = interpreter_of((tmp_path / "net.tflite").read_bytes())
    interpreter.allocate_tensors()
    found = []
    for sample in samples[:50]:
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], sample[None])
        interpreter.invoke()
        found.append(interpreter.get_tensor(interpreter.get_output_details()[0]["index"])[0])
    step = low.value(low.nodes[-1].inputs[0]).encoding.scale[0]
    assert np.abs(np.array(found) - evaluate(low, {"x": samples[:50]})["y"]).max() <= 2.01 * step
    assert [layer.scheme for layer in report.layers] == ["affine"] * 3


@pytest.mark.parametrize(("bits", "most"), [(2, 0.3), (3, 0.08), (4, 0.06)])
@pytest.mark.parametrize("activation_bits", [4, 7])
def test_powers_of_two(samples, bits, most, activation_bits):
    plan = Plan(scheme="pow2", weight_bits=bits, activation_bits=activation_bits)
    low, report = quantize(network(), samples, plan)
    ops = ["Encode", "Convolution", "MaxPool", "Convolution", "MaxPool", "Flatten", "Linear"]
    assert [node.op for node in low.nodes] == ops
    assert low.value("conv2/weights").encoding.bits == bits
    assert low.value("x/codes").encoding.bits == activation_bits
    assert output_error(low, network(), samples) < most
    assert {layer.scheme for layer in report.layers} == {"pow2"}
    compared = 2 if activation_bits <= 4 else 0  # layers that round have no name of before
    assert to_text(read_content(bytes(content_of(low)), "net.circle")).count("Pow2Conv") == compared
    again = read_content(bytes(content_of(low)), "net.circle")
    assert again.value("conv2/weights").data.tolist() == low.value("conv2/weights").data.tolist()
    assert np.array_equal(evaluate(again, {"x": samples})["y"], evaluate(low, {"x": samples})["y"])


def test_ends_of_8_bits(samples):
    end = {"scheme": "affine", "weight_bits": 8, "activation_bits": 8}
    plan = Plan(weight_bits=2, activation_bits=2, layers={"first": end, "last": end})
    low, _ = quantize(network(), samples, plan)
    ops = [node.op for node in low.nodes]
    assert ops[:4] == ["Encode", "Convolution", "MaxPool", "Convolution"]
    assert ops[-2:] == ["Linear", "Decode"] and ops.count("Encode") == 1
    assert output_error(low, network(), samples) < 0.3
    again = read_content(bytes(content_of(low)), "net.circle")
    assert np.array_equal(evaluate(again, {"x": samples})["y"], evaluate(low, {"x": samples})["y"])


def test_windows_are_those_of_the_convolution(samples):
    graph = run_passes(network(group=2), NORMAL_FORM).graph
    layer = next(node for node in graph.nodes if node.name == "conv2")
    seen: dict[str, np.ndarray] = {}
    evaluate(graph, {"x": samples[:5]}, seen.__setitem__)
    rows, weights = Rows.of(graph, layer), graph.constant(layer.inputs[1])
    positions = rows.positions(*np.divmod(np.random.default_rng(0).permutation(80)[:40], 16))
    assert rows.windows() == 16
    inputs, outputs = rows.inputs(seen["p1"], positions), rows.outputs(seen["c2"], positions)
    bias = graph.constant(layer.inputs[2]).reshape(2, 1, 3)
    expected = inputs @ rows.matrix(weights).transpose(0, 2, 1) + bias
    np.testing.assert_allclose(outputs, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("allowance", [0, 40_000, 1 << 30])
def test_a_stream_gives_the_same_whatever_it_may_hold(samples, allowance):
    graph, runs = run_passes(network(), NORMAL_FORM).graph, []

    def run(part):
        def runner(inputs):
            runs.extend(node.name for node in part.nodes)
            return evaluate(part, inputs)

        return runner

    stream, exact = Stream(graph, {"x": samples}, run, allowance), {}
    evaluate(graph, {"x": samples}, exact.__setitem__)
    for name in ("p1", "p1", "n1", "h2", "p1", "y"):
        assert np.array_equal(np.concatenate(list(stream.values(name))), exact[name])
        held = sum(array.nbytes for kept in stream._kept for array in kept.values())
        assert held <= max(allowance, 4 * 10 * len(samples))


def test_a_stream_that_may_hold_all_runs_nothing_twice(samples):
    graph, runs = run_passes(network(), NORMAL_FORM).graph, []

    def run(part):
        def runner(inputs):
            runs.extend(node.name for node in part.nodes)
            return evaluate(part, inputs)

        return runner

    stream = Stream(graph, {"x": samples}, run, 1 << 30)
    for name in ("p1", "p1", "h2", "y"):
        for _ in stream.values(name):
            pass
    assert sorted(runs) == sorted(2 * [node.name for node in graph.nodes])


def test_the_memory_that_calibration_may_take_changes_nothing(samples):
    plan, found = Plan("lq:2", "lq:2"), []
    for memory in ("2M", "4G"):
        with allowed(memory):
            found.append(to_text(quantize(network(), samples, plan)[0]))
    assert found[0] == found[1]


def test_equal_seeds_give_equal_networks(samples):
    plan = Plan(weight_bits=2, activation_bits=2, patches=500)
    first, second = (quantize(network(), samples, plan)[0] for _ in range(2))
    data = [net.constant("conv2/weights") for net in (first, second)]
    assert np.array_equal(*data)


@pytest.mark.parametrize("weights", ["affine:4", "lq:2", "pow2:3", "codebook:3", "binary"])
def test_nearest_weights_of_groups_are_found_at_once(
    weights: str, samples: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A group of its own for every channel takes no call of its own, and no row looks at another."""
    calls: list[int] = []
    one_call = pipeline.nearest

    def counted(rows: np.ndarray, plan: Plan) -> CodedWeights:
        calls.append(len(rows))
        return one_call(rows, plan)

    monkeypatch.setattr(pipeline, "nearest", counted)
    graph = network(group=2)
    plan = Plan(weights, "affine:8", method="rtn", restarts=0, equalize=False)
    low, _ = quantize(graph, samples[:20], plan)
    assert calls == [8, 6, 4]
    node = next(node for node in low.nodes if node.name == "conv2")
    found = low.value(node.inputs[1]).encoding
    matrix = np.moveaxis(graph.constant("w2"), 1, -1).reshape(2, 3, -1).astype(np.float64)
    parts = [one_call(rows, plan.for_convolution()).encoding.levels() for rows in matrix]
    assert found is not None and np.array_equal(found.levels(), np.concatenate(parts))
