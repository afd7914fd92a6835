"""Operators that exporters write, with shapes and settings drawn by chance, beside ONNX Runtime."""

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from lowbit.backends import BACKENDS
from lowbit.backends.onnxruntime import session
from lowbit.errors import UnsupportedError
from lowbit.formats.onnx import from_proto, to_proto
from lowbit.ir import evaluate, verify
from lowbit.ir.passes import expand

Array = np.ndarray[Any, np.dtype[Any]]
Random = np.random.Generator


def floats(random: Random, *shape: int) -> Array:
    return random.normal(size=shape).astype(np.float32)


def model(
    nodes: list[onnx.NodeProto],
    inputs: dict[str, Array],
    constants: dict[str, Array] | None = None,
    outputs: tuple[str, ...] = ("y",),
    opset: int = 18,
    domains: tuple[str, ...] = (),
) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info(name, _type(array), array.shape) for name, array in inputs.items()],
        [helper.make_tensor_value_info(name, TensorProto.UNDEFINED, None) for name in outputs],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in (constants or {}).items()],
    )
    opsets = [helper.make_opsetid("", opset), *(helper.make_opsetid(domain, 1) for domain in domains)]
    made = helper.make_model(graph, opset_imports=opsets, ir_version=9)
    typed = onnx.shape_inference.infer_shapes(made)
    for info in typed.graph.output:
        if not info.type.tensor_type.elem_type:  # of operators that are not ONNX's own
            info.CopyFrom(helper.make_tensor_value_info(info.name, TensorProto.FLOAT, None))
    return typed


def _type(array: Array) -> int:
    return int(helper.np_dtype_to_tensor_dtype(array.dtype))


def runtime(proto: onnx.ModelProto, inputs: dict[str, Array]) -> dict[str, Array]:
    pytest.importorskip("onnxruntime")
    ready = session(proto, log_severity_level=4)
    names = [each.name for each in ready.get_outputs()]
    given = {each.name: inputs[each.name] for each in ready.get_inputs()}
    return dict(zip(names, ready.run(names, given), strict=True))


def check(proto: onnx.ModelProto, inputs: dict[str, Array], tolerance: float = 2e-5) -> None:
    """Compare reference, runtime, the file that we write, and the parts that operators are made of."""
    wanted, graph = runtime(proto, inputs), from_proto(proto)
    found = evaluate(graph, inputs)
    again = runtime(to_proto(graph), inputs)
    parts = expand(graph, lambda graph, node: False)
    verify(parts)
    apart = evaluate(parts, inputs)
    for name in graph.outputs:
        size = float(np.abs(wanted[name].astype(np.float64)).max(initial=1.0))
        assert found[name].dtype == wanted[name].dtype and found[name].shape == wanted[name].shape
        for other in (found, again, apart):
            np.testing.assert_allclose(other[name], wanted[name], rtol=0, atol=tolerance * size, err_msg=name)


def node(op: str, *inputs: str, outputs: tuple[str, ...] = ("y",), **attributes: object) -> onnx.NodeProto:
    return helper.make_node(op, list(inputs), list(outputs), **attributes)


def test_a_sum_of_several_is_a_residual_sum() -> None:
    """Passes, engine and `.circle` know Add; nothing knows a Sum."""
    inputs = {name: np.ones((2, 3), np.float32) for name in "xzu"}
    graph = from_proto(model([node("Sum", *inputs)], inputs))
    assert [(each.op, len(each.inputs)) for each in graph.nodes] == [("Add", 2), ("Add", 2)]
    assert not BACKENDS["engine"].blockers(graph)


def slices(random: Random) -> None:
    x = floats(random, *random.integers(2, 6, 3))
    axes = random.permutation(3)[: random.integers(1, 4)]
    bounds = random.integers(-7, 8, (2, len(axes)))
    steps = random.choice([-2, -1, 1, 3], len(axes))
    row = {"s": bounds[0], "e": bounds[1], "a": axes, "t": steps}
    proto = model(
        [node("Slice", "x", "s", "e", "a", "t")], {"x": x}, {k: v.astype(np.int64) for k, v in row.items()}
    )
    check(proto, {"x": x})


def splits(random: Random) -> None:
    x, parts = floats(random, 3, 9, 2), np.array([2, 3, 4], np.int64)
    proto = model(
        [node("Split", "x", "p", outputs=("a", "b", "c"), axis=1), node("Concat", "c", "a", axis=-2)],
        {"x": x},
        {"p": parts},
        ("y", "b"),
    )
    check(proto, {"x": x})


def gathers(random: Random) -> None:
    x, axis = floats(random, 4, 3, 5), int(random.integers(-3, 3))
    index = random.integers(-x.shape[axis], x.shape[axis], (2, 3))
    check(model([node("Gather", "x", "i", axis=axis)], {"x": x, "i": index}), {"x": x, "i": index})
    like = random.integers(-4, 4, (2, 3, 5))
    check(model([node("GatherElements", "x", "i", axis=0)], {"x": x, "i": like}), {"x": x, "i": like})


def reductions(random: Random) -> None:
    kinds = ["Sum", "Mean", "Max", "Min", "Prod", "L1", "L2", "LogSumExp", "SumSquare"]
    x, axes = floats(random, 2, 3, 4, 5), random.permutation(4)[: random.integers(1, 4)]
    for name in (f"Reduce{kind}" for kind in kinds):
        keep = int(random.integers(0, 2))
        proto = model([node(name, "x", "a", keepdims=keep)], {"x": x}, {"a": axes.astype(np.int64)})
        check(proto, {"x": x})


def comparisons(random: Random) -> None:
    x, z = (random.integers(-2, 3, (3, 1, 4)).astype(np.float32) for _ in range(2))
    for name in ("Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual"):
        chosen = [node(name, "x", "z", outputs=("c",)), node("Where", "c", "x", "z")]
        check(model(chosen, {"x": x, "z": z}, None, ("y", "c")), {"x": x, "z": z})


def functions(random: Random) -> None:
    names = "Sqrt Reciprocal Erf Floor Ceil Round Sin Cos Exp Log Abs Neg "
    names += "Selu Celu Softsign ThresholdedRelu Softplus"
    x = np.abs(floats(random, 3, 7)) + 0.25
    for name in names.split():
        check(model([node(name, "x")], {"x": x}), {"x": x})


def pairs(random: Random) -> None:
    x, z = np.abs(floats(random, 3, 7)), floats(random, 1, 7)
    for name in ("Pow", "Max", "Min", "Mean"):
        check(model([node(name, "x", "z")], {"x": x, "z": z}), {"x": x, "z": z})
    u = floats(random, 3, 7)
    for name in ("Max", "Min", "Mean", "Sum"):  # of one, two and three, each by what the engine has
        for inputs in ("x", "xx", "xzu"):
            check(model([node(name, *inputs)], {"x": x, "z": z, "u": u}), {"x": x, "z": z, "u": u})
    whole, other = random.integers(-9, 9, (2, 5)), random.integers(1, 4, 5)
    for name in ("Div", "Mul", "Sub"):
        check(model([node(name, "x", "z")], {"x": whole, "z": other}), {"x": whole, "z": other})


def places(random: Random) -> None:
    x = random.integers(0, 4, (3, 5, 2)).astype(np.float32)
    for name in ("ArgMax", "ArgMin"):
        for last in (0, 1):
            check(model([node(name, "x", axis=1, select_last_index=last)], {"x": x}), {"x": x})
    x = floats(random, 3, 5)
    proto = model([node("TopK", "x", "k", outputs=("y", "i"))], {"x": x}, {"k": np.array([3])}, ("y", "i"))
    check(proto, {"x": x})
    proto = model([node("CumSum", "x", "a", reverse=1)], {"x": x}, {"a": np.asarray(1)})
    check(proto, {"x": x})


def resizes(random: Random) -> None:
    x = floats(random, 1, 2, *random.integers(2, 7, 2))
    wanted = np.array([1, 2, *random.integers(1, 13, 2)], np.int64)
    for mode in ("nearest", "linear", "cubic"):
        for places in ("half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel"):
            for rounding in ("floor", "round_prefer_floor") if mode == "nearest" else ("floor",):
                settings = {"mode": mode, "coordinate_transformation_mode": places, "nearest_mode": rounding}
                proto = model([node("Resize", "x", "", "", "s", **settings)], {"x": x}, {"s": wanted})
                check(proto, {"x": x})
    old = model(
        [node("Upsample", "x", "s", mode="nearest")], {"x": x}, {"s": np.float32([1, 1, 2, 3])}, opset=9
    )
    check(old, {"x": x})


def transposed(random: Random) -> None:
    rank, group = int(random.integers(1, 3)), int(random.integers(1, 3))
    strides, dilations = (tuple(map(int, random.integers(1, 4, rank))) for _ in range(2))
    kernel = tuple(map(int, random.integers(1, 4, rank)))
    extra = tuple(int(random.integers(0, stride)) for stride in strides)
    pads = tuple(map(int, random.integers(0, 2, 2 * rank)))
    x = floats(random, 2, 2 * group, *random.integers(3, 6, rank))
    constants = {"w": floats(random, 2 * group, 3, *kernel), "b": floats(random, 3 * group)}
    settings = {
        "strides": strides,
        "dilations": dilations,
        "output_padding": extra,
        "pads": pads,
        "group": group,
    }
    check(model([node("ConvTranspose", "x", "w", "b", **settings)], {"x": x}, constants), {"x": x})


def normalizations(random: Random) -> None:
    x = floats(random, 2, 6, 3, 2)
    scale = {"s": floats(random, 3, 2), "b": floats(random, 3, 2)}
    check(model([node("LayerNormalization", "x", "s", "b", axis=2)], {"x": x}, scale), {"x": x})
    scale = {"s": floats(random, 6), "b": floats(random, 6)}
    check(model([node("InstanceNormalization", "x", "s", "b")], {"x": x}, scale), {"x": x})
    proto = model([node("GroupNormalization", "x", "s", "b", num_groups=3)], {"x": x}, scale, opset=21)
    check(proto, {"x": x})
    check(model([node("LpNormalization", "x", axis=1, p=2)], {"x": x}), {"x": x})


def recurrent(random: Random) -> None:
    steps, samples, inputs, hidden = (int(number) for number in random.integers(1, 6, 4))
    for op, gates in (("RNN", 1), ("GRU", 3), ("LSTM", 4)):
        for direction, ways in (("forward", 1), ("reverse", 1), ("bidirectional", 2)):
            x = floats(random, steps, samples, inputs)
            constants = {
                "w": floats(random, ways, gates * hidden, inputs),
                "r": floats(random, ways, gates * hidden, hidden),
                "b": floats(random, ways, 2 * gates * hidden),
                "n": random.integers(1, steps + 1, samples).astype(np.int32),
                "h": floats(random, ways, samples, hidden),
            }
            outputs = ("y", "last", "memory") if op == "LSTM" else ("y", "last")
            names = ["x", "w", "r", "b", "n", "h"]
            if op == "LSTM":
                constants |= {
                    "c": floats(random, ways, samples, hidden),
                    "p": floats(random, ways, 3 * hidden),
                }
                names += ["c", "p"]
            more = {"linear_before_reset": int(random.integers(0, 2))} if op == "GRU" else {}
            made = node(op, *names, outputs=outputs, hidden_size=hidden, direction=direction, **more)
            check(model([made], {"x": x}, constants, outputs), {"x": x})


def rearranged(random: Random) -> None:
    x = floats(random, 2, 8, 3, 2)
    for mode in ("DCR", "CRD"):
        check(model([node("DepthToSpace", "x", blocksize=2, mode=mode)], {"x": x}), {"x": x})
    x = floats(random, 1, 2, 4, 6)
    check(model([node("SpaceToDepth", "x", blocksize=2)], {"x": x}), {"x": x})
    check(model([node("Tile", "x", "t")], {"x": x}, {"t": np.array([2, 1, 3, 1])}), {"x": x})
    check(model([node("Trilu", "x", "k", upper=0)], {"x": x}, {"k": np.asarray(1)}), {"x": x})
    check(model([node("Hardmax", "x", axis=2)], {"x": x}), {"x": x})


def products(random: Random) -> None:
    x, z = floats(random, 2, 1, 3, 4), floats(random, 5, 4, 2)
    check(model([node("MatMul", "x", "z")], {"x": x, "z": z}), {"x": x, "z": z})
    x, z = floats(random, 4, 3), floats(random, 4, 5)
    check(model([node("Gemm", "x", "z", transA=1, alpha=0.5)], {"x": x, "z": z}), {"x": x, "z": z})
    x = floats(random, 2, 3, 4)
    for axis in (0, 1, 2):
        check(model([node("Softmax", "x", axis=axis)], {"x": x}), {"x": x})


def sums_of_products(random: Random) -> None:
    sizes = dict(zip("abcdef", map(int, random.integers(1, 5, 6)), strict=True))
    for equation in (
        "abc,cd->abd",
        "bhqd,bhkd->bhqk",
        "ab,ab->ab",
        "ab,b->a",
        "abc->ca",
        "ab,bc,cd",
        "ij,kl->il",
    ):
        terms = equation.partition("->")[0].split(",")
        used = dict(zip(dict.fromkeys("".join(terms)), sizes.values(), strict=False))
        arrays = {f"x{k}": floats(random, *(used[c] for c in term)) for k, term in enumerate(terms)}
        check(model([node("Einsum", *arrays, equation=equation)], arrays), arrays)


KINDS: tuple[Callable[[Random], None], ...] = (
    slices,
    splits,
    gathers,
    reductions,
    comparisons,
    functions,
    pairs,
    places,
    resizes,
    transposed,
    normalizations,
    recurrent,
    rearranged,
    products,
    sums_of_products,
)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_operators_agree_with_the_runtime(kind: Callable[[Random], None], seed: int) -> None:
    kind(np.random.default_rng(seed))


FUSED = {
    "Gelu": (("x",), {}),
    "FastGelu": (("x", "b"), {}),
    "BiasGelu": (("x", "b"), {}),
    "QuickGelu": (("x",), {"alpha": 1.3}),
    "FusedMatMul": (("x", "w"), {"transB": 1, "alpha": 0.5}),
    "SkipLayerNormalization": (("x", "z", "b", "b", "b"), {"epsilon": 1e-3}),
    "SkipSimplifiedLayerNormalization": (("x", "z", "b"), {"epsilon": 1e-3}),
}


@pytest.mark.parametrize("name", FUSED)
def test_what_optimizers_of_the_runtime_write(name: str) -> None:
    random = np.random.default_rng(5)
    names, settings = FUSED[name]
    x = {"x": floats(random, 2, 3, 6), "z": floats(random, 2, 3, 6)}
    x = {key: x[key] for key in x if key in names}
    made = node(name, *names, domain="com.microsoft", **settings)
    constants = {"b": floats(random, 6), "w": floats(random, 4, 6)}
    check(model([made], x, constants, domains=("com.microsoft",)), x)


@pytest.mark.parametrize("activation", ["Relu", "LeakyRelu", "Clip", "Tanh"])
def test_fused_convolutions(activation: str) -> None:
    random = np.random.default_rng(6)
    parameters = {"LeakyRelu": [0.3], "Clip": [0.0, 0.6]}.get(activation)
    settings = {} if parameters is None else {"activation_params": parameters}
    x, constants = (
        {"x": floats(random, 1, 3, 7, 5)},
        {"w": floats(random, 4, 3, 3, 3), "b": floats(random, 4)},
    )
    made = node("FusedConv", "x", "w", "b", domain="com.microsoft", activation=activation, **settings)
    check(model([made], x, constants, domains=("com.microsoft",)), x)


@pytest.mark.parametrize("op", ["Loop", "Scan", "SequenceEmpty", "NonZero"])
def test_what_nobody_runs_is_refused_with_a_count(op: str) -> None:
    nodes = [node(op, "x", outputs=(name,)) for name in ("a", "b")]
    graph = helper.make_graph(
        [*nodes, node("Add", "a", "b")],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [2])],
    )
    with pytest.raises(UnsupportedError, match=rf"{op} \(2\)"):
        from_proto(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)]))
