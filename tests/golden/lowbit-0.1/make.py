# ruff: noqa
"""Golden files of lowbit 0.1: written once, by the code of fdb13dd; kept for the record, never run again.

Every scheme in a network of fully connected layers, one of convolutions and one with a residual sum, with offsets,
weight-only and in fixed point: `.circle`, `.onnx` and `.txt`, and beside them `.npz` with the samples and every
value of codes and the outputs that the reference evaluator gave.
"""

import sys
from pathlib import Path

import numpy as np

import lowbit
from lowbit.ir import evaluate
from lowbit.errors import LowbitError
from lowbit.quantization import Plan
from lowbit.quantization.fixed_point import to_fixed_point
from lowbit.zoo import Architecture, binary_graph, float_graph
from lowbit.zoo.architecture import (
    Activation,
    BatchNormalization,
    Convolution,
    Flatten,
    GlobalAverage,
    Linear,
    Pool,
    Residual,
    SeparableTransform,
    Dense,
)

HERE = Path(sys.argv[1])
RELU = Activation()
BLOCK = (Convolution(6, padding=1), BatchNormalization(), RELU)
NETWORKS = {
    "linear": Architecture("linear", (21,), (Linear(18), RELU, Linear(11), RELU, Linear(5)), ""),
    "convolution": Architecture(
        "convolution",
        (2, 7, 7),
        (*BLOCK, Pool(), Convolution(8, stride=2, padding=1), RELU, Flatten(), Linear(4)),
        "",
    ),
    "residual": Architecture(
        "residual",
        (2, 6, 6),
        (
            *BLOCK,
            Residual((Convolution(6, padding=1), BatchNormalization())),
            RELU,
            GlobalAverage(),
            Linear(3),
        ),
        "",
    ),
}
FEW = {
    "dense": Architecture(
        "dense",
        (2, 6, 6),
        (*BLOCK, Dense(BLOCK), Pool("average"), Convolution(5), RELU, GlobalAverage(), Linear(3)),
        "",
    ),
    "separable": Architecture("separable", (7, 5), (SeparableTransform(4), Flatten(), Linear(3)), ""),
}
TANH = {
    "linear": Architecture(
        "linear", (21,), (Linear(18), Activation("tanh"), Linear(11), Activation("tanh"), Linear(5)), ""
    ),
}
PLANS = {
    **{f"lq{b}": dict(scheme="lq", weight_bits=b, activation_bits=b) for b in (1, 2, 3, 4)},
    "lq2-offset": dict(
        scheme="lq", weight_bits=2, activation_bits=2, weight_offset=True, activation_offset=True
    ),
    "lq1-lq4": dict(scheme="lq", weight_bits=1, activation_bits=4),
    "affine8": dict(scheme="affine", weight_bits=8, activation_bits=8),
    "affine8-asymmetric": dict(
        scheme="affine", weight_bits=8, activation_bits=8, symmetric=False, per_channel=False
    ),
    "affine5": dict(scheme="affine", weight_bits=5, activation_bits=5),
    "affine3": dict(scheme="affine", weight_bits=3, activation_bits=3),
    **{f"pow2-{b}": dict(scheme="pow2", weight_bits=b, activation_bits=4) for b in (2, 3, 4)},
    "weight-only-lq2": dict(scheme="lq", weight_bits=2, activation_bits=32),
    "weight-only-affine4": dict(scheme="affine", weight_bits=4, activation_bits=32),
}


def keep(name, graph, x):
    values = trace(graph, x)
    arrays = {"x": x}
    for value, array in values.items():
        if graph.value(value).encoding is not None or value in graph.outputs:
            arrays[value] = np.asarray(array)
    np.savez_compressed(HERE / f"{name}.npz", **arrays)
    for suffix in ("circle", "onnx", "txt"):
        try:
            lowbit.write(graph, HERE / f"{name}.{suffix}")
        except LowbitError as error:
            print(name, suffix, "refused:", str(error)[:110])


def trace(graph, x):
    found = {}
    evaluate(graph, {graph.inputs[0]: x}, lambda name, value: found.__setitem__(name, np.array(value)))
    return found


def main():
    random = np.random.default_rng(20261129)
    for kind, architecture in {**NETWORKS, **FEW}.items():
        graph = float_graph(architecture, seed=5)
        samples = random.uniform(-1, 1, (64, *architecture.input_shape)).astype(np.float32)
        for name, settings in PLANS.items():
            if kind == "separable" or kind in FEW and name not in ("lq2", "affine8", "pow2-3"):
                continue
            try:
                low, _ = lowbit.quantize(graph, samples, plan=Plan(**settings))
            except LowbitError as error:
                print(kind, name, "refused:", str(error)[:110])
                continue
            keep(f"{kind}-{name}", low, samples[:12])
        if kind != "separable":
            keep(
                f"{kind}-binary",
                binary_graph(architecture, seed=6),
                random.uniform(0, 1, (12, *architecture.input_shape)).astype(np.float32),
            )
    for text in ("fixed:6.7", "fixed:6.2", "fixed:4.5:floor"):
        for kind, architecture in {"separable": FEW["separable"], "linear": TANH["linear"]}.items():
            graph = float_graph(architecture, seed=7)
            x = random.uniform(-1, 1, (12, *architecture.input_shape)).astype(np.float32)
            try:
                low = fixed(graph, text)
            except LowbitError as error:
                print(kind, text, "refused:", str(error)[:110])
                continue
            keep(f"{kind}-{text.replace(':', '-')}", low, x)


def fixed(graph, text):
    form, _, rounding = text.removeprefix("fixed:").partition(":")
    integer, fraction = map(int, form.split("."))
    return to_fixed_point(graph, integer, fraction, rounding or "nearest")


main()
