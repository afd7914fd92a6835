"""What networks really hold: channels of any size, dead ones, constants, lone outliers, huge layers.

Every scheme, on fully connected layers, convolutions and depthwise ones: the integers of the engine are those
of the reference, and the output is as near to the float one as channels of usual size are.
"""

from itertools import product
from pathlib import Path

import numpy as np
import pytest

from lowbit.engine import Program
from lowbit.errors import NumericError, PlanError, TooLargeError, UnsupportedError
from lowbit.formats import read_model, write_model
from lowbit.ir import Graph, Node, Value, evaluate, infer, to_text, verify
from lowbit.quantization import Plan, quantize
from lowbit.quantization.node import with_integer_bias
from lowbit.quantization.weights import CodedWeights
from lowbit.schemes import Affine


def quick(**settings: object) -> Plan:
    """Return a plan that takes little time: what is tested here does not need the last percent."""
    return Plan(restarts=1, rounds=1, **settings)  # type: ignore[arg-type]


PLANS = {
    "lq 1": quick(weight_bits=1, activation_bits=4),
    "lq 2 plain": quick(weight_bits=2, activation_bits=2, method="plain"),
    "lq 4": quick(weight_bits=4, activation_bits=4),
    "affine 8": quick(weight_bits=8, activation_bits=8),
    "affine 8 one scale": quick(weight_bits=8, activation_bits=8, per_channel=False),
    "affine 8 plain": quick(weight_bits=8, activation_bits=8, method="plain"),
    "affine 4": quick(scheme="affine", weight_bits=4, activation_bits=4),
    "pow2 4": quick(scheme="pow2", weight_bits=4, activation_bits=4),
    "weights of 4 bits": quick(weight_bits=4, activation_bits=32),
}
KINDS = ("linear", "convolution", "depthwise")
SIZES = 10.0 ** np.arange(-12, 7, 3)  # of the channels 0 to 6; 7 is zero, 8 constant, 9 has no bias either


def two_layers(kind: str, seed: int = 0) -> Graph:
    """Return a layer with channels of every size, and one that reads what its ReLU leaves of them."""
    random, outputs = np.random.default_rng(seed), len(SIZES) + 3
    inputs = {"linear": (12,), "convolution": (3, 5, 5), "depthwise": (outputs, 5, 5)}[kind]
    graph = Graph(kind, ("x",), ("y", "z"))
    graph.add(Value("x", "float32", ("n", *inputs)))
    shape = {"linear": (outputs, 12), "convolution": (outputs, 3, 3, 3), "depthwise": (outputs, 1, 3, 3)}[
        kind
    ]
    weights, bias = random.normal(size=shape), random.normal(size=outputs)
    weights[: len(SIZES)] *= SIZES.reshape(-1, *[1] * (len(shape) - 1))
    weights[len(SIZES) :] = 0
    bias[-1] = 0
    names = graph.add_constant("w", weights), graph.add_constant("b", bias)
    attributes = {"transB": 1} if kind == "linear" else {"kernel_shape": (3, 3), "group": outputs // shape[1]}
    if kind != "linear":
        attributes["group"] = inputs[0] // shape[1]
    graph.nodes = [
        Node("Gemm" if kind == "linear" else "Conv", ("x", *names), ("y",), attributes, "first"),
        Node("Relu", ("y",), ("h",), {}, "relu"),
        Node("Flatten", ("h",), ("f",), {}, "flatten"),
    ]
    infer(graph)
    features = int(graph.value("f").shape[1])
    names = graph.add_constant("v", random.normal(size=(4, features))), graph.add_constant("c", np.ones(4))
    graph.nodes.append(Node("Gemm", ("f", *names), ("z",), {"transB": 1}, "second"))
    infer(graph)
    verify(graph)
    return graph


def samples_of(graph: Graph, count: int = 100) -> np.ndarray:
    shape = graph.value("x").shape[1:]
    return np.random.default_rng(7).normal(0.3, 1, (count, *shape)).astype(np.float32)


@pytest.mark.parametrize(("name", "kind"), [*product(PLANS, KINDS)])
def test_channels_of_any_size_and_dead_ones(name: str, kind: str) -> None:
    plan, graph = PLANS[name], two_layers(kind)
    x = samples_of(graph)
    low, report = quantize(graph, x, plan)
    verify(low)
    exact, found = evaluate(graph, {"x": x}), evaluate(low, {"x": x})
    rows = [np.moveaxis(each["y"], 1, 0).reshape(len(SIZES) + 3, -1) for each in (exact, found)]
    dead, error = rows[0][len(SIZES) :, :1], np.abs(rows[1] - rows[0])
    if plan.scheme == "affine" and plan.weight_bits == 8:  # ends in 8-bit codes, one scale for all
        step = np.ptp(rows[0]) / 254
        assert error.max() < 6 * step
    else:
        assert np.allclose(rows[1][len(SIZES) :], dead, rtol=1e-6, atol=1e-20)
        power = rows[0].std(axis=1) + 1e-6 * np.abs(rows[0]).max(axis=1)
        assert (error.mean(axis=1)[: len(SIZES)] < 0.7 * power[: len(SIZES)]).all()
    assert np.isfinite([layer.output_error for layer in report.layers]).all()
    for output in graph.outputs:
        one = low.copy()
        one.outputs = (output,)
        one.remove_unused()
        engine = Program(one).run(x)
        assert np.allclose(engine, found[output], rtol=1e-5, atol=1e-5 * np.abs(found[output]).max())
        if not plan.is_weight_only:
            assert np.array_equal(engine, found[output])


@pytest.mark.parametrize("size", [1e-12, 1e-7, 1e-3, 1.0, 1e6])
@pytest.mark.parametrize("bias", [0.0, 1e-20, 0.3, -1.0, 12345.678, 1e20])
@pytest.mark.parametrize("scale", [1e-9, 0.02, 1e6])
def test_an_integer_bias_always_fits(size: float, bias: float, scale: float) -> None:
    """Beside weights of any size; and exactly where there are none."""
    source = Affine(8, np.array([scale], np.float32), np.array([3], np.int32))
    codes = np.array([[0, 255, 128, 200], [128, 128, 128, 128]], np.uint8)
    coded = CodedWeights(Affine(8, np.full(2, size, np.float32), np.full(2, 128, np.int32)), codes)
    wider, integers = with_integer_bias(coded, np.array([bias, bias]), source, "layer")
    assert (wider.encoding.scale[:1] >= coded.encoding.scale[:1]).all()
    unit = np.float64(np.float32(scale)) * wider.encoding.integer_scale()
    assert np.abs(integers * unit - bias)[0] <= 0.5000001 * unit[0]
    assert np.float32((integers * unit)[1]) == np.float32(bias)
    step = np.abs(wider.values()[0] - coded.values()[0]).max()
    assert step <= 0.5000001 * wider.encoding.integer_scale()[0]
    if abs(bias) < 1e9 * unit[0] and wider.encoding.scale[0] == coded.encoding.scale[0]:
        assert np.array_equal(wider.codes[0], coded.codes[0])


def test_a_bias_beyond_floats_is_refused() -> None:
    graph = two_layers("linear")
    graph.update("b", data=np.full(len(SIZES) + 3, 3e38, np.float32))
    graph.update("w", data=graph.constant("w") * np.float32(1e32))
    with pytest.raises(NumericError, match=r"not finite|leaves the range"):
        quantize(graph, samples_of(graph), Plan(weight_bits=2, activation_bits=2))


def test_one_scale_for_all_is_widened_for_all() -> None:
    source = Affine(8, np.array([1e-3], np.float32), np.array([0], np.int32))
    codes = np.array([[0, 255], [100, 130]], np.uint8)
    coded = CodedWeights(Affine(8, np.array([1e-9], np.float32), np.array([128], np.int32)), codes)
    wider, integers = with_integer_bias(coded, np.array([0.1, 5.0]), source, "layer")
    unit = np.float64(np.float32(1e-3)) * wider.encoding.integer_scale()
    assert wider.encoding.channels == 1
    assert np.allclose(integers * unit, [0.1, 5.0], rtol=1e-8)


def digits_like(count: int) -> tuple[Graph, np.ndarray]:
    """Return a network with two layers and samples in [0, 1]."""
    random = np.random.default_rng(3)
    graph = Graph("net", ("x",), ("z",))
    graph.add(Value("x", "float32", ("n", 30)))
    for index, (inputs, outputs) in enumerate(((30, 24), (24, 6))):
        names = (
            graph.add_constant(f"w{index}", random.normal(0, inputs**-0.5, (outputs, inputs))),
            graph.add_constant(f"b{index}", random.normal(0, 0.1, outputs)),
        )
        source, output = (("x", "y"), ("h", "z"))[index]
        graph.nodes.append(Node("Gemm", (source, *names), (output,), {"transB": 1}, f"fc{index}"))
        if not index:
            graph.nodes.append(Node("Relu", ("y",), ("h",), {}, "relu"))
    infer(graph)
    return graph, np.random.default_rng(4).uniform(0, 1, (count, 30)).astype(np.float32)


@pytest.mark.parametrize(("place", "size"), [((7, 3), 30.0), ((300, 29), -1000.0)])
@pytest.mark.parametrize(
    ("scheme", "bits", "clip"),
    [
        ("lq", 2, "mse"),
        ("pow2", 4, "mse"),
        ("affine", 8, "mse"),
        ("affine", 8, "minmax"),
        ("affine", 4, "mse"),
    ],
)
def test_a_lone_outlier_does_not_decide(
    scheme: str, bits: int, clip: str, place: tuple[int, int], size: float
) -> None:
    graph, x = digits_like(320)
    plan = quick(scheme=scheme, weight_bits=bits, activation_bits=bits, clip=clip)
    spoilt = x.copy()
    spoilt[place] = size
    exact, (usual, _), (other, report) = (
        evaluate(graph, {"x": x})["z"],
        quantize(graph, x, plan),
        quantize(graph, spoilt, plan),
    )
    errors = [((evaluate(low, {"x": x})["z"] - exact) ** 2).mean() / exact.var() for low in (usual, other)]
    assert errors[1] < 1.3 * errors[0] + 1e-6
    assert report.outliers == 1


def test_restoring_too_many_inputs_is_refused_before_memory_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    graph, x = digits_like(20)
    monkeypatch.setenv("LOWBIT_MEMORY", "20K")
    with pytest.raises(TooLargeError, match=r"net: restoring layers.*fc0.*rtn.*LOWBIT_MEMORY"):
        quantize(graph, x, Plan(weight_bits=2, activation_bits=2))
    plain = {"method": "plain"}
    quantize(graph, x, Plan(weight_bits=2, activation_bits=2, **plain))
    with pytest.raises(TooLargeError, match="fc1"):  # float layers are restored too
        quantize(
            graph,
            x,
            Plan(weight_bits=2, activation_bits=2, layers={"fc0": plain, "fc1": {"scheme": "float"}}),
        )


def test_activations_beyond_the_budget_are_run_again(monkeypatch: pytest.MonkeyPatch) -> None:
    graph, plan = two_layers("convolution"), Plan(weight_bits=2, activation_bits=2, method="plain")
    samples, found = samples_of(graph, 2000), []
    for memory in ("1M", "1G"):
        monkeypatch.setenv("LOWBIT_MEMORY", memory)
        low, report = quantize(graph, samples, plan)
        assert report.samples == 1024
        found.append(to_text(low))
    assert found[0] == found[1]


@pytest.mark.parametrize("activation_bits", [2, 32])
def test_the_plain_method_takes_no_moments(monkeypatch: pytest.MonkeyPatch, activation_bits: int) -> None:
    def refuse(*arguments: object) -> None:
        raise AssertionError("moments of a layer that does not need them")

    monkeypatch.setattr("lowbit.quantization.observe.LinearMoments", refuse)
    graph, x = digits_like(20)
    quantize(graph, x, Plan(weight_bits=2, activation_bits=activation_bits, method="plain"))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"activations": "lq:2"}, "fc0, fc1: inputs of lq:2 go with no float weights"),
        (
            {"weights": "affine:4:group=2", "activations": "lq:2"},
            "fc0, fc1: affine:4:group=2 beside inputs of lq:2: groups go with floats",
        ),
        ({"weights": "affine:4:group=2", "per_channel": False}, "groups have scales"),
        ({"weights": "affine:4:group=2", "method": "distill"}, "groups do not learn"),
        ({"weights": "lq:2", "activations": "affine:4:group=2"}, "fc0, fc1: affine:4:group=2 of the input"),
        ({"weights": "lq:2", "scale": "mean"}, "settings of training.*found scale"),
        ({"layers": {"fc0": {"scale": "one"}, "fc1": {"scale": "one"}}}, r"fc0\.scale, layers\.fc1\.scale"),
        (
            {"activations": "affine:4:group=2", "layers": {"fc1": {"weights": "affine:4:group=2"}}},
            "fc0: inputs of affine:4:group=2 go.*; fc0, fc1: affine.*; fc1: affine:4:group=2 beside inputs",
        ),
    ],
)
def test_what_cannot_be_made_is_refused_with_all_layers_and_reasons(settings, message) -> None:
    graph, x = digits_like(20)
    with pytest.raises(PlanError, match=message):
        quantize(graph, x, Plan(**settings))


@pytest.mark.parametrize("weights", ["pow2:4", "affine:4", "fixed:4.9"])
def test_weights_of_any_scheme_alone_run(weights: str) -> None:
    graph, x = digits_like(20)
    low = quantize(graph, x, Plan(weights=weights, activations="float"))[0]
    exact = evaluate(low, {"x": x})["z"]
    np.testing.assert_allclose(Program(low).run(x), exact, atol=1e-5 * np.abs(exact).max())


@pytest.mark.parametrize("kind", ["fully connected", "depthwise"])
@pytest.mark.parametrize("weights", ["pow2:4", "affine:7", "affine:8"])
@pytest.mark.parametrize("inputs", ["lq:2", "affine:7", "affine:8"])
def test_factors_that_do_not_fit_bytes_run_as_words(kind: str, weights: str, inputs: str) -> None:
    graph = digits_like(20)[0] if kind == "fully connected" else two_layers("depthwise")
    x = samples_of(graph, 20)
    plan = Plan(weights=weights, activations=inputs, symmetric=False, method="rtn")
    low = quantize(graph, x, plan)[0]
    low.outputs = ("z",)
    low.remove_unused()
    assert np.array_equal(Program(low).run(x), evaluate(low, {"x": x})["z"])


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("activation_bits", [3, 8])
@pytest.mark.parametrize("weight_bits", [2, 7, 8])
def test_depthwise_layers_of_any_bits_run(weight_bits: int, activation_bits: int, symmetric: bool) -> None:
    graph = two_layers("depthwise")
    settings = {"weight_bits": weight_bits, "activation_bits": activation_bits, "symmetric": symmetric}
    x = samples_of(graph, 20)
    low, _ = quantize(graph, x, Plan(scheme="affine", method="plain", **settings))
    low.outputs = ("z",)
    assert np.array_equal(Program(low).run(x), evaluate(low, {"x": x})["z"])


@pytest.mark.parametrize("what", ["first layer", "first layer and bias", "second layer", "input", "samples"])
@pytest.mark.parametrize("kind", ["linear", "depthwise"])
@pytest.mark.parametrize("name", PLANS)
def test_whole_layers_that_are_dead(name: str, kind: str, what: str) -> None:
    """Engine and reference agree, and what never changes is right, but where a method has no bias for it."""
    plan, graph = PLANS[name], two_layers(kind)
    x = samples_of(graph, 20)
    if what == "input":
        x[:] = 0.7
    elif what == "samples":
        x[:] = x[:1]
    else:
        weights = "v" if what == "second layer" else "w"
        graph.update(weights, data=np.zeros_like(graph.constant(weights)))
    if what == "first layer and bias":
        graph.update("b", data=np.zeros_like(graph.constant("b")))
    low, report = quantize(graph, x, plan)
    assert np.isfinite([layer.output_error for layer in report.layers]).all()
    low.outputs = ("z",)
    low.remove_unused()
    exact, found = (evaluate(net, {"x": x})["z"] for net in (graph, low))
    if plan.restores or what in ("second layer", "first layer and bias"):
        assert np.abs(found - exact).max() <= 0.02 * np.abs(exact).max()
    assert np.allclose(Program(low).run(x), found, rtol=1e-5, atol=1e-5 * np.abs(found).max())


@pytest.mark.parametrize("weight_bits", [2, 6, 7, 8])
@pytest.mark.parametrize("activation_bits", [2, 4, 7, 8])
def test_affine_weights_and_inputs_of_any_bits_run(weight_bits: int, activation_bits: int) -> None:
    graph, x = digits_like(60)
    low, _ = quantize(
        graph,
        x,
        Plan(scheme="affine", weight_bits=weight_bits, activation_bits=activation_bits, method="plain"),
    )
    assert np.array_equal(Program(low).run(x), evaluate(low, {"x": x})["z"])


def test_one_sample_has_an_error_that_means_something() -> None:
    graph, x = digits_like(20)
    for plan in PLANS.values():
        errors = [layer.output_error for layer in quantize(graph, x[:1], plan)[1].layers]
        assert all(0 <= error < 2 for error in errors)


@pytest.mark.parametrize("count", [20, 2000])
def test_samples_that_are_not_finite_are_named_even_where_they_are_not_chosen(count: int) -> None:
    graph, x = digits_like(count)
    x[[3, count - 1], 5] = np.nan, np.inf
    with pytest.raises(NumericError, match=rf"sample 3 holds NaN or infinity.*2 of {count} samples"):
        quantize(graph, x, Plan(weight_bits=2, activation_bits=2, samples=16))


FLATTENS = {
    "flatten": Node("Flatten", ("c",), ("f",), {"axis": 1}, "flat"),
    "flatten from the end": Node("Flatten", ("c",), ("f",), {"axis": -3}, "flat"),
    "reshape": Node("Reshape", ("c", "shape"), ("f",), {}, "flat"),
    "reshape with a zero": Node("Reshape", ("c", "open"), ("f",), {}, "flat"),
}


@pytest.mark.parametrize("form", FLATTENS)
@pytest.mark.parametrize("between", ["", "norm", "relu"])
@pytest.mark.parametrize("scheme", ["lq", "pow2", "affine"])
def test_a_convolution_flattened_at_once(form: str, between: str, scheme: str) -> None:
    random = np.random.default_rng(0)
    graph = Graph("net", ("x",), ("y",))
    graph.add(Value("x", "float32", ("n", 3, 6, 6)))
    graph.add_constant("w", random.normal(size=(5, 3, 3, 3)) * 10.0 ** np.arange(-2, 3).reshape(5, 1, 1, 1))
    graph.add_constant("v", random.normal(size=(4, 80)))
    graph.add_constant("shape", np.array([-1, 80]), "int64")
    graph.add_constant("open", np.array([0, -1]), "int64")
    for name in ("scale", "shift", "mean", "variance"):
        graph.add_constant(name, random.uniform(0.5, 2, 5))
    middle = {
        "": Node("Identity", ("a",), ("c",), {}, "middle"),
        "norm": Node("BatchNormalization", ("a", "scale", "shift", "mean", "variance"), ("c",), {}, "middle"),
        "relu": Node("Relu", ("a",), ("c",), {}, "middle"),
    }[between]
    graph.nodes = [
        Node("Conv", ("x", "w"), ("a",), {}, "conv"),
        middle,
        FLATTENS[form],
        Node("Gemm", ("f", "v"), ("y",), {"transB": 1}, "fc"),
    ]
    graph.remove_unused()
    infer(graph)
    x = random.normal(size=(60, 3, 6, 6)).astype(np.float32)
    low, _ = quantize(graph, x, quick(scheme=scheme, weight_bits=4, activation_bits=4))
    exact, found = (evaluate(net, {"x": x})["y"] for net in (graph, low))
    assert ((found - exact) ** 2).mean() < 0.1 * exact.var()
    assert np.array_equal(Program(low).run(x), found)


@pytest.mark.parametrize("parts", [("r", "r"), ("r", "r", "r"), ("r", "q", "r"), ("q", "r", "q")])
@pytest.mark.parametrize("scheme", ["lq", "pow2", "affine"])
def test_a_value_joined_with_itself(parts: tuple[str, ...], scheme: str) -> None:
    random = np.random.default_rng(0)
    graph = Graph("net", ("x",), ("y",))
    graph.add(Value("x", "float32", ("n", 3, 6, 6)))
    for name, shape in (("w", (4, 3, 3, 3)), ("u", (4, 3, 3, 3)), ("v", (2, 4 * len(parts), 3, 3))):
        graph.add_constant(name, random.normal(size=shape))
    graph.nodes = [
        Node("Conv", ("x", "w"), ("a",), {}, "one"),
        Node("Relu", ("a",), ("r",), {}, "relu"),
        Node("Conv", ("x", "u"), ("b",), {}, "two"),
        Node("Relu", ("b",), ("q",), {}, "relu2"),
        Node("Concat", parts, ("k",), {"axis": 1}, "join"),
        Node("Conv", ("k", "v"), ("y",), {}, "three"),
    ]
    graph.remove_unused()
    infer(graph)
    x = random.normal(size=(60, 3, 6, 6)).astype(np.float32)
    bits = 8 if scheme == "affine" else 4
    low, _ = quantize(graph, x, quick(scheme=scheme, weight_bits=bits, activation_bits=bits))
    verify(low)
    exact, found = (evaluate(net, {"x": x})["y"] for net in (graph, low))
    assert ((found - exact) ** 2).mean() < 0.05 * exact.var()


def test_an_input_of_float64_is_refused_before_any_work() -> None:
    graph = Graph("double", ("x",), ("y",), values={"x": Value("x", "float64", ("n", 6))})
    graph.add_constant("w", np.random.default_rng(0).standard_normal((6, 5)), "float32")
    graph.nodes = [Node("Gemm", ("x", "w"), ("y",), {}, "one")]
    infer(graph)
    for bits in (2, 8):
        with pytest.raises(UnsupportedError, match="expected float32; found one: float64"):
            quantize(graph, np.ones((9, 6), np.float32), quick(weight_bits=bits, activation_bits=bits))


@pytest.mark.parametrize("between", ["Flatten", "MaxPool", "Concat"])
@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_an_encoder_stays_before_its_layer_where_nothing_absorbs_it(
    between: str, bits: int, tmp_path: Path
) -> None:
    """A map that others read too stays float; what moves it moves floats, which every file can say."""
    random, graph = np.random.default_rng(bits), Graph("heads", ("x",), ("y", "m"))
    graph.add(Value("x", "float32", ("n", 2, 4, 4)))
    for name, shape in {"w": (5, 2, 3, 3), "v": (4, 5, 2, 2), "u": (4, 10, 2, 2), "g": (20, 3)}.items():
        graph.add_constant(name, random.standard_normal(shape, np.float32))
    movers = {
        "Flatten": [
            Node("Flatten", ("r",), ("f",), {}, "flat"),
            Node("Gemm", ("f", "g"), ("y",), {}, "head"),
        ],
        "MaxPool": [
            Node("MaxPool", ("r",), ("f",), {"kernel_shape": (1, 1)}, "pool"),
            Node("Conv", ("f", "v"), ("y",), {}, "head"),
        ],
        "Concat": [
            Node("Concat", ("r", "r"), ("f",), {"axis": 1}, "join"),
            Node("Conv", ("f", "u"), ("y",), {}, "head"),
        ],
    }
    body = [Node("Conv", ("x", "w"), ("c",), {}, "conv"), Node("Relu", ("c",), ("r",), {}, "relu")]
    graph.nodes = [*body, *movers[between], Node("GlobalAveragePool", ("r",), ("m",), {}, "mean")]
    infer(graph)
    x = random.standard_normal((40, 2, 4, 4), np.float32)
    low, _ = quantize(graph, x, quick(weight_bits=bits, activation_bits=bits))
    write_model(low, tmp_path / "low.circle")
    again = read_model(tmp_path / "low.circle")
    for name, other in zip(low.outputs, again.outputs, strict=True):
        expected = evaluate(low, {"x": x})[name]
        np.testing.assert_array_equal(evaluate(again, {again.inputs[0]: x})[other], expected)
