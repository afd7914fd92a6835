"""Float graph in, low-bit graph out: structure, accuracy, determinism and refusals."""

from collections import Counter
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from lowbit.errors import DataError, NumericError, PlanError, UnsupportedError
from lowbit.ir import Graph, Node, Value, evaluate, infer, to_text, verify
from lowbit.quantization import Plan, quantize
from lowbit.schemes import Affine, LearnedBasis

WIDTHS = (33, 48, 20, 5)


def network(batch="n", activation="Tanh", weights=None, check=True):
    """Return a float MLP 33-48-20-5 whose layers are called fc1, fc2, fc3."""
    random = np.random.default_rng(0)
    graph, source = Graph("mlp", ("x",), ("probabilities",)), "x"
    graph.add(Value("x", "float32", (batch, WIDTHS[0])))
    for index, (inputs, outputs) in enumerate(pairwise(WIDTHS), 1):
        matrix = (
            random.normal(0, 1.5 / np.sqrt(inputs), (outputs, inputs))
            if weights is None
            else weights[index - 1]
        )
        names = (
            graph.add_constant(f"w{index}", matrix),
            graph.add_constant(f"b{index}", random.normal(0, 0.1, outputs)),
        )
        graph.nodes.append(Node("Gemm", (source, *names), (f"y{index}",), {"transB": 1}, f"fc{index}"))
        last = index == len(WIDTHS) - 1
        source = "probabilities" if last else f"h{index}"
        graph.nodes.append(
            Node("Softmax" if last else activation, (f"y{index}",), (source,), {}, f"act{index}")
        )
    infer(graph)
    if check:
        verify(graph)
    return graph


@pytest.fixture
def samples():
    random = np.random.default_rng(1)
    return (random.normal(size=(400, 8)) @ random.normal(size=(8, WIDTHS[0]))).astype(np.float32)


def output_error(low, graph, samples, name="y3"):
    """Return the squared error of a value relative to its variance."""
    exact, found = {}, {}
    evaluate(graph, {"x": samples}, lambda key, array: exact.update({key: array}))
    evaluate(low, {"x": samples}, lambda key, array: found.update({key: array}))
    return ((found[name] - exact[name]) ** 2).mean(0).sum() / exact[name].var(0).sum()


def operators(graph):
    return [node.op for node in graph.nodes]


@pytest.mark.parametrize(("bits", "most"), [(1, 0.65), (2, 0.3), (3, 0.14), (4, 0.05)])
@pytest.mark.parametrize("activation", ["Tanh", "Relu", "Sigmoid"])
def test_learned_layers_hand_on_codes(samples, bits, most, activation):
    graph = network(activation=activation)
    low, report = quantize(graph, samples, Plan(weight_bits=bits, activation_bits=bits))
    verify(low)
    assert operators(low) == ["Encode", "Linear", "Linear", "Linear", "Softmax"]
    inner = [node for node in low.nodes if node.op == "Linear"]
    assert [node.attributes.get("activation") for node in inner] == [activation.lower()] * 2 + [None]
    assert [len(node.inputs) for node in inner] == [4, 4, 3]
    assert most / 5 < output_error(low, graph, samples) < most
    assert [layer.name for layer in report.layers] == ["fc1", "fc2", "fc3"]
    assert report.samples == 400


def test_folding_does_not_change_what_layers_give(samples):
    """The codes between folded layers are those that an encoder after a float layer would give."""
    graph = network()
    low, _ = quantize(graph, samples, Plan(weight_bits=2, activation_bits=2))
    seen = {}
    evaluate(low, {"x": samples}, lambda name, array: seen.update({name: array}))
    layer = next(node for node in low.nodes if node.name == "fc1")
    unfolded = low.copy()
    unfolded.add(Value("float", "float32", ("n", WIDTHS[1])))
    unfolded.nodes = [
        *unfolded.nodes[:1],
        Node(layer.op, layer.inputs[:3], ("float",), layer.attributes, "fc1", "lowbit"),
    ]
    unfolded.outputs = ("float",)
    unfolded.remove_unused()
    infer(unfolded)
    reals = evaluate(unfolded, {"x": samples})["float"]
    expected = low.value(layer.outputs[0]).encoding.encode(reals)
    assert np.mean(expected != seen[layer.outputs[0]]) < 1e-3


@pytest.mark.parametrize("method", ["restore", "plain"])
@pytest.mark.parametrize("bits", range(2, 9))
def test_affine_layers(samples, bits, method):
    graph = network()
    plan = Plan(scheme="affine", weight_bits=bits, activation_bits=bits, method=method)
    low, report = quantize(graph, samples, plan)
    verify(low)
    if bits == 8:
        chain = ["Linear", "Tanh"] * 2 + ["Linear", "Decode", "Softmax"]
        assert operators(low) == ["Encode", *chain]
        coded = low.value("h1/codes").encoding
        assert (float(coded.scale[0]), int(coded.zero_point[0])) == (1 / 128, 128)
        assert low.constant(low.nodes[1].inputs[2]).dtype == np.int32
    else:
        assert operators(low) == ["Encode", *["Linear"] * 3, "Softmax"]
        weights = [low.value(node.inputs[1]) for node in low.nodes if node.op == "Linear"]
        assert all(isinstance(value.encoding, LearnedBasis) for value in weights)
        codes = LearnedBasis if bits <= 4 else Affine  # in planes, or in bytes that are rounded to
        assert isinstance(low.value(low.nodes[0].outputs[0]).encoding, codes)
    assert output_error(low, graph, samples) < 50 / 4**bits
    assert report.layers[0].weight_bits == bits


def test_restoring_beats_the_nearest_weights(samples):
    for settings in ({}, {"scheme": "affine"}):
        errors = {}
        for method in ("restore", "plain"):
            plan = Plan(weight_bits=2, activation_bits=2, method=method, activation_offset=True, **settings)
            errors[method] = [layer.output_error for layer in quantize(network(), samples, plan)[1].layers]
        assert all(ours < plain for ours, plain in zip(errors["restore"], errors["plain"], strict=True))


def test_the_reported_error_is_the_measured_one(samples):
    graph = network()
    low, report = quantize(graph, samples, Plan(weight_bits=2, activation_bits=2))
    assert np.isclose(report.layers[2].output_error, output_error(low, graph, samples), rtol=1e-3)


def test_layers_may_differ(samples):
    overrides = {
        "fc2": {"scheme": "affine", "weight_bits": 8, "activation_bits": 8},
        "fc3": {"scheme": "float"},
    }
    low, report = quantize(network(), samples, Plan(weight_bits=3, activation_bits=3, layers=overrides))
    verify(low)
    names = {node.name: node.op for node in low.nodes}
    assert (names["fc1"], names["fc2"], names["fc3"]) == ("Linear", "Linear", "Gemm")
    assert [layer.scheme for layer in report.layers] == ["lq", "affine"]
    assert output_error(low, network(), samples) < 0.14


@pytest.mark.parametrize("plan", [Plan(weight_bits=b, activation_bits=b) for b in (1, 2, 3, 4)], ids=str)
@pytest.mark.parametrize("inputs", [1, 31, 32, 33, 63, 64, 65])
@pytest.mark.parametrize("outputs", [1, 3])
def test_odd_sizes(plan, inputs, outputs):
    random = np.random.default_rng(inputs)
    graph = Graph("one", ("x",), ("y",))
    graph.add(Value("x", "float32", ("n", inputs)))
    names = (
        graph.add_constant("w", random.normal(size=(outputs, inputs))),
        graph.add_constant("b", np.ones(outputs)),
    )
    graph.nodes.append(Node("Gemm", ("x", *names), ("y",), {"transB": 1}, "fc"))
    infer(graph)
    samples = random.normal(size=(300, inputs)).astype(np.float32)
    low, report = quantize(graph, samples, plan)
    verify(low)
    assert np.isclose(output_error(low, graph, samples, "y"), report.layers[0].output_error, rtol=1e-2)
    assert report.layers[0].output_error < (0.75, 0.35, 0.15, 0.05)[plan.weight_bits - 1]


@pytest.mark.parametrize(("weight_bits", "activation_bits"), [(4, 8), (8, 4), (2, 7)])
def test_affine_weights_and_activations_may_differ_in_bits(samples, weight_bits, activation_bits):
    plan = Plan(scheme="affine", weight_bits=weight_bits, activation_bits=activation_bits)
    low, _ = quantize(network(), samples, plan)
    verify(low)
    assert operators(low) == ["Encode", *["Linear"] * 3, "Softmax"]
    assert output_error(low, network(), samples) < 0.3


@pytest.mark.parametrize(
    "plan", [Plan(weight_bits=1), Plan(scheme="affine", weight_bits=8, activation_bits=8)]
)
def test_one_sample_is_enough_to_run(samples, plan):
    low, report = quantize(network(), samples[:1], plan)
    assert report.samples == 1
    assert np.isfinite(evaluate(low, {"x": samples})["probabilities"]).all()


@pytest.mark.parametrize("bits", [2, 8])
def test_outputs_of_zeros_have_affine_codes(samples, bits):
    weights = [np.random.default_rng(9).normal(size=(b, a)) for a, b in pairwise(WIDTHS)]
    weights[1][4] = 0
    graph = network(weights=weights)
    plan = Plan(scheme="affine", weight_bits=bits, activation_bits=bits)
    low, _ = quantize(graph, samples, plan)
    coded = low.value("fc2/weights")
    assert coded.encoding.channels == 20
    assert np.isfinite(evaluate(low, {"x": samples})["probabilities"]).all()


def test_weights_and_activations_may_differ_in_bits(samples):
    low, _ = quantize(network(), samples, Plan(weight_bits=1, activation_bits=4))
    layer = next(node for node in low.nodes if node.name == "fc2")
    assert (low.value(layer.inputs[0]).encoding.bits, low.value(layer.inputs[1]).encoding.bits) == (4, 1)


def test_layers_that_read_the_same_value_share_its_codes(samples):
    graph = network()
    graph.add_constant("w", np.random.default_rng(5).normal(size=(3, WIDTHS[0])))
    graph.add_constant("b", np.zeros(3))
    graph.nodes.append(Node("Gemm", ("x", "w", "b"), ("side",), {"transB": 1}, "side"))
    graph.outputs += ("side",)
    infer(graph)
    low, _ = quantize(graph, samples, Plan(weight_bits=2, activation_bits=2))
    assert operators(low).count("Encode") == 1


def test_a_value_with_a_second_reader_stays_real(samples):
    graph = network()
    graph.outputs += ("h1",)
    low, _ = quantize(graph, samples, Plan(weight_bits=2, activation_bits=2))
    verify(low)
    assert low.outputs == ("probabilities", "h1")
    assert output_error(low, graph, samples, "h1") < 0.3


def test_matmul_and_add_are_a_layer(samples):
    graph = network()
    gemm = graph.nodes[0]
    graph.add_constant("w1t", graph.constant("w1").T)
    graph.add(Value("product", "float32", ("n", WIDTHS[1])))
    graph.nodes[0:1] = [
        Node("MatMul", ("x", "w1t"), ("product",), {}, "product"),
        Node("Add", ("product", "b1"), gemm.outputs, {}, "sum"),
    ]
    low, report = quantize(graph, samples, Plan(weight_bits=3, activation_bits=3))
    assert len(report.layers) == 3
    assert "MatMul" not in operators(low)


def test_a_fixed_batch_is_respected(samples):
    plan = Plan(weight_bits=3, activation_bits=3)
    fixed, _ = quantize(network(batch=10), samples[:50], plan)
    free, _ = quantize(network(), samples[:50], plan)
    assert fixed.value("x").shape == (10, WIDTHS[0])
    errors = [
        output_error(fixed, network(batch=10), samples[:10]),
        output_error(free, network(), samples[:10]),
    ]
    assert max(errors) < 0.3
    assert quantize(network(batch=10), samples[:55], plan)[1].samples == 55


def test_equal_seeds_give_equal_networks_and_others_do_not(samples):
    plan = Plan(weight_bits=3, activation_bits=3, samples=100)
    first, second = (to_text(quantize(network(), samples, plan)[0]) for _ in range(2))
    assert first == second
    other = Plan(weight_bits=3, activation_bits=3, samples=100, seed=1)
    assert to_text(quantize(network(), samples, other)[0]) != first


def test_the_float_network_stays_as_it_is(samples):
    graph = network()
    before = to_text(graph)
    quantize(graph, samples, Plan(weight_bits=1, activation_bits=1))
    assert to_text(graph) == before


def test_progress_is_told(samples):
    told = []
    quantize(network(), samples, Plan(), lambda *args: told.append(args))
    assert told == [(0, 3, "fc1"), (1, 3, "fc2"), (2, 3, "fc3"), (3, 3, "done")]


def test_what_runs_the_network_is_an_argument_and_runs_every_node_once_per_batch(samples):
    runs = []

    def run(graph):
        def runner(inputs):
            assert all(len(array) <= 256 for array in inputs.values())
            runs.extend((graph.name, node.name) for node in graph.nodes)
            return evaluate(graph, inputs)

        return runner

    quantize(network(), samples, Plan(samples=300), run=run)
    counts = Counter(node for name, node in runs if name != "levels")
    assert counts.keys() >= {"fc1", "act1", "fc2", "act2", "fc3", "fc1/encode", "fc2/encode"}
    assert counts["fc1"] == counts["act1"] == 4  # two networks, two batches
    assert counts["fc3"] == 4  # the last layer too: what it gives is measured


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda s: s[:0], DataError, "there are no samples"),
        (lambda s: s[:, :-1], DataError, r"samples \[n, 33\].*\[n, 32\]"),
        (lambda s: s.reshape(-1), DataError, "do not fit"),
        (lambda s: s.astype(str), DataError, "no numbers"),
        (
            lambda s: np.where(np.arange(400)[:, None] == 7, np.nan, s),
            NumericError,
            r"sample 7 .*1 of 400 samples",
        ),
        (lambda s: np.where(np.arange(400)[:, None] == 9, np.inf, s), NumericError, "sample 9"),
        (lambda s: s * 0, DataError, "x: all calibration samples are zero"),
    ],
)
def test_bad_samples_are_refused(samples, change, error, message):
    with pytest.raises(error, match=message):
        quantize(network(), change(samples), Plan())


def test_a_float_network_that_overflows_is_refused(samples):
    weights = [np.full((b, a), 1e30) for a, b in pairwise(WIDTHS)]
    with pytest.raises(NumericError, match=r"y1: the float network gives values that are not finite"):
        quantize(network(weights=weights), samples * 1e20, Plan())


def test_bad_weights_are_refused(samples):
    weights = [np.ones((b, a)) for a, b in pairwise(WIDTHS)]
    weights[1][4, 2] = np.nan
    with pytest.raises(NumericError, match=r"mlp/fc2.*nan at \[4, 2\]"):
        quantize(network(weights=weights, check=False), samples, Plan())


def test_unknown_layers_and_empty_networks_are_refused(samples):
    with pytest.raises(PlanError, match="expected fc3 or fc2 or fc1 or first or last; found 'fc9'"):
        quantize(network(), samples, Plan(layers={"fc9": {"weight_bits": 2}}))
    empty = Graph("empty", ("x",), ("y",))
    empty.add(Value("x", "float32", ("n", 33)))
    empty.nodes.append(Node("Tanh", ("x",), ("y",), {}, "tanh"))
    infer(empty)
    with pytest.raises(UnsupportedError, match="no layer to quantize"):
        quantize(empty, samples, Plan())
    nothing = {name: {"scheme": "float"} for name in ("fc1", "fc2", "fc3")}
    with pytest.raises(UnsupportedError, match="no layer"):
        quantize(network(), samples, Plan(layers=nothing))


def test_8_bit_codes_stand_for_the_right_reals(samples):
    low, _ = quantize(network(), samples, Plan(scheme="affine", weight_bits=8, activation_bits=8))
    exact, found = {}, {}
    evaluate(network(), {"x": samples}, lambda name, array: exact.update({name: array}))
    evaluate(low, {"x": samples}, lambda name, array: found.update({name: array}))
    for codes, reals in (("y1", "y1"), ("h1/codes", "h1"), ("h2/codes", "h2")):
        encoding = low.value(codes).encoding
        assert isinstance(encoding, Affine)
        within = np.clip(exact[reals], encoding.levels().min(), encoding.levels().max())
        assert np.abs(encoding.decode(found[codes]) - within).mean() < 2 * encoding.scale[0]
    # Beyond atanh(126.5 / 128), all sums have the largest code of tanh: the range before it is little wider.
    last = np.arctanh(126.5 / 128)
    assert last < low.value("y1").encoding.levels().max() < last * 1.03
    assert found["h1/codes"].max() == 255


@pytest.mark.parametrize("bits", [2, 8])
def test_rows_that_are_no_samples(bits):
    """A fixed batch of one, laid out in rows of features: other rows than those of the layer before."""
    random = np.random.default_rng(0)
    graph = Graph("rows", ("x",), ("y",))
    graph.add(Value("x", "float32", (1, 6)))
    for name, shape in (("w", (4, 6)), ("v", (3, 1))):
        graph.add_constant(name, random.normal(size=shape))
        graph.add_constant(f"{name}/bias", random.normal(size=shape[0]))
    graph.nodes = [
        Node("Gemm", ("x", "w", "w/bias"), ("a",), {"transB": 1}, "first"),
        Node("Flatten", ("a",), ("b",), {"axis": 2}, "rows"),
        Node("Gemm", ("b", "v", "v/bias"), ("y",), {"transB": 1}, "second"),
    ]
    infer(graph)
    x = random.normal(size=(24, 6)).astype(np.float32)
    low, _ = quantize(graph, x, Plan(scheme="affine", weight_bits=bits, activation_bits=bits))
    assert evaluate(low, {"x": x[:1]})["y"].shape == (4, 3)


@pytest.mark.parametrize("scheme", ["lq", "affine"])
def test_a_batch_of_one_unusual_sample(scheme):
    graph = network(batch=1)
    x = np.random.default_rng(0).normal(size=(40, WIDTHS[0])).astype(np.float32)
    x[7] *= 1000
    low, _ = quantize(graph, x, Plan(scheme=scheme, weight_bits=4, activation_bits=4))
    assert np.isfinite(evaluate(low, {"x": x[:1]})["probabilities"]).all()


@pytest.mark.parametrize("bounds", [("", "high"), ("low",), ("low", ""), ("", "")])
def test_a_clip_without_a_bound_is_quantized(samples, bounds):
    graph = network()
    graph.add_constant("low", np.float32(-0.5))
    graph.add_constant("high", np.float32(0.7))
    for at, node in enumerate(graph.nodes):
        if node.op == "Tanh":
            graph.nodes[at] = replace(node, op="Clip", inputs=(*node.inputs, *bounds))
    low, _ = quantize(graph, samples, Plan(weight_bits=2, activation_bits=2))
    assert np.isfinite(evaluate(low, {"x": samples[:4]})["probabilities"]).all()
