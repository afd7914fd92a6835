"""Matrix-vector products of 4096 × 4096 at 1 and 2 bits beside other runtimes.

    python benchmarks/gemv.py [--size 4096] [--threads 1] [--rounds 5] [--json OUT]

Ours codes the float32 vector, multiplies planes, and gives floats: one low-bit layer, weights and
activations of the same bits. Peers multiply the same float32 vector: ONNX Runtime's MatMulNBits with weights
of 2, 4 and 8 bits (block 128, int8 arithmetic), its fp32 MatMul, and LiteRT with int8 weights and
activations. Random weights; all interleaved in one run, one vector per call, Python call to Python call.
"""

import argparse
import json
import tempfile
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

import lowbit
from lowbit.bench import interleaved_medians
from lowbit.bench.peers import litert_int8, onnxruntime_fp32
from lowbit.bench.timing import Call
from lowbit.ir import Graph, Node, Value, infer
from lowbit.planes import pack
from lowbit.provenance import provenance
from lowbit.schemes import LearnedBasis

BLOCK = 128


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", type=int, default=4096)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, help="write the figures here")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        latencies = measure(Path(folder), options.size, options.threads, options.rounds)
    ours = {name: time for name, time in latencies.items() if name.startswith("lowbit")}
    best = min(time for name, time in latencies.items() if name not in ours)
    facts = {
        **provenance("python benchmarks/gemv.py --json FILE"),
        "size": options.size,
        "engine_threads": options.threads,
        "peers": {package: version(package) for package in ("onnxruntime", "ai-edge-litert")},
        "latency_us": latencies,
        "best_peer_over_ours": {
            name: best / time for name, time in latencies.items() if name.startswith("lowbit")
        },
    }
    if options.json:
        options.json.write_text(json.dumps(facts, indent=1) + "\n")
    show(latencies, best)


def measure(folder: Path, size: int, threads: int, rounds: int) -> dict[str, float]:
    """Return microseconds per call of every contender."""
    x = np.random.default_rng(1).random((1, size), np.float32)
    source = folder / "float.onnx"
    lowbit.write(float_layer(size), source)
    calls: dict[str, Call] = {}
    for bits in (1, 2):
        calls[f"lowbit W{bits}A{bits}"] = partial(
            lowbit.load(lowbit_layer(size, bits), threads=threads).run, x
        )
    calls["onnxruntime fp32"] = onnxruntime_fp32(source, x, threads)
    for bits in (2, 4, 8):
        path = folder / f"nbits{bits}.onnx"
        path.write_bytes(matmul_nbits(size, bits))
        calls[f"onnxruntime MatMulNBits W{bits}"] = onnxruntime_fp32(path, x, threads)
    calls["litert int8"] = litert_int8(source, x, threads)
    return interleaved_medians(calls, rounds)


def float_layer(size: int) -> Graph:
    """Return one float layer with random weights."""
    random = np.random.default_rng(0)
    graph = Graph("layer", ("x",), ("y",), values={"x": Value("x", "float32", ("n", size))})
    graph.add_constant("w", random.normal(size=(size, size)) / size**0.5)
    graph.add_constant("b", np.zeros(size))
    graph.nodes = [Node("Gemm", ("x", "w", "b"), ("y",), {"transB": 1}, "fc")]
    infer(graph)
    return graph


def lowbit_layer(size: int, bits: int) -> Graph:
    """Return Encode and one low-bit layer with random codes."""
    random = np.random.default_rng(0)
    basis = 0.25 * 2.0 ** np.arange(bits)[None]
    top = np.array([1 << (bits - 1)])
    graph = Graph("layer", ("x",), ("y",), values={"x": Value("x", "float32", ("n", size))})
    graph.add(Value("codes", "code", ("n", size), None, LearnedBasis(basis, np.array([0.5]), top)))
    planes = pack(random.integers(0, 1 << bits, (size, size)), bits)
    weights = LearnedBasis(np.repeat(basis, size, axis=0), np.zeros(size), np.repeat(top, size))
    graph.add(Value("w", "planes", (size, size), planes, weights))
    graph.add_constant("b", np.zeros(size))
    graph.nodes = [
        Node("Encode", ("x",), ("codes",), {}, "encode", "lowbit"),
        Node("LQFullyConnected", ("codes", "w", "b"), ("y",), {}, "fc", "lowbit"),
    ]
    infer(graph)
    return graph


def matmul_nbits(size: int, bits: int) -> bytes:
    """Return a model of one MatMulNBits with random weights."""
    from onnx import TensorProto, helper, numpy_helper

    random = np.random.default_rng(0)
    blocks = size // BLOCK
    packed = random.integers(0, 256, (size, blocks, BLOCK * bits // 8)).astype(np.uint8)
    scales = random.uniform(0.01, 0.02, size * blocks).astype(np.float32)
    attributes: dict[str, Any] = {
        "K": size,
        "N": size,
        "bits": bits,
        "block_size": BLOCK,
        "accuracy_level": 4,
    }
    node = helper.make_node("MatMulNBits", ["x", "B", "scales"], ["y"], domain="com.microsoft", **attributes)
    tensors = [numpy_helper.from_array(packed, "B"), numpy_helper.from_array(scales, "scales")]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", size]) for name in "xy"]
    graph = helper.make_graph([node], "gemv", ends[:1], ends[1:], tensors)
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("com.microsoft", 1)]
    return bytes(helper.make_model(graph, opset_imports=opsets, ir_version=9).SerializeToString())


def show(latencies: dict[str, float], best: float) -> None:
    """Print the figures."""
    table = Table(title="matrix × vector", title_justify="left")
    for column in ("contender", "µs", "best peer / this"):
        table.add_column(column, justify="left" if column == "contender" else "right")
    for name, time in latencies.items():
        table.add_row(name, f"{time:.1f}", f"{best / time:.2f} ×")
    Console().print(table)


if __name__ == "__main__":
    main()
