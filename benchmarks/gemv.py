"""Matrix-vector products of 4096 × 4096 with few weight bits beside other runtimes.

    python benchmarks/gemv.py [--size 4096] [--threads 1] [--rounds 31] [--json OUT]

Ours, one low-bit layer that takes a float32 vector and gives floats: `WkAk` codes the vector and counts bits,
`WkA8` codes it to bytes, `Wk` is weight-only, floats times weights of k bits, and `affine Wk` that of an
affine grid. Peers multiply the same vector: ONNX Runtime's MatMulNBits with weights of 2, 4 and 8 bits (block
128; it codes the vector to int8), its fp32 MatMul, LiteRT with int8 weights and activations, and LiteRT with
int8 weights that codes the vector at run time. Random weights; all interleaved in one run, one vector per
call, Python call to Python call. Times are the least of all rounds: of one thread those of the processor,
which a busy machine does not stretch, of several those of the clock. `rows_256` is the same of 256 vectors in
a call, for W2A8 and the peers that code them to bytes. `weight_bytes` is what a call must read of weights and
scales. A layer that is called again reads its weights the other way, so that what the second cache kept of
them comes first. Between other layers it keeps nothing: the row `of two` is half the time of two such layers,
one after the other.

With more than one thread ours use them all, and every peer runs twice, with one thread and with all: some are
slower with more. The best peer is the fastest of both. Each contender then starts when the threads of the one
before no longer spin.
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
from lowbit.bench.litert_int8 import Dense, dynamic_range_tflite
from lowbit.bench.peers import litert, litert_int8, onnxruntime_fp32
from lowbit.bench.timing import SETTLE_SECONDS, Call, interleaved_rounds
from lowbit.ir import Graph, Node, Value, infer
from lowbit.planes import pack
from lowbit.provenance import provenance
from lowbit.schemes import Affine, Encoding, LearnedBasis

BARS = {
    "lowbit W1A1": 7.0,
    "lowbit W2A2": 3.0,
    "lowbit W2A8": 2.0,
    "lowbit W1": 2.0,
    "lowbit W2": 1.3,
    "lowbit W4": 1.0,
}
MANY_ROWS, MANY_ROWS_BAR = 256, 5.0
BLOCK = 128
OF_TWO = " of two"
ROUND_SECONDS = 0.01
BYTES = Affine(8, np.array([1 / 255], np.float32), np.array([0]))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", type=int, default=4096)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=31)
    parser.add_argument("--json", type=Path, help="write the figures here")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        latencies = measure(Path(folder), options.size, options.threads, options.rounds)
        many = many_rows(Path(folder), options.size, options.threads, options.rounds)
    moved = weight_bytes(options.size)
    best, over = best_over_ours(latencies)
    facts = {
        **provenance(f"python benchmarks/gemv.py --threads {options.threads} --json FILE"),
        "size": options.size,
        "engine_threads": options.threads,
        "peers": {package: version(package) for package in ("onnxruntime", "ai-edge-litert")},
        "latency_us": latencies,
        "weight_bytes": moved,
        "gigabytes_per_second": {
            name: moved[name.split(",")[0].removesuffix(OF_TWO)] / time / 1e3
            for name, time in latencies.items()
        },
        "best_peer": best,
        "best_peer_over_ours": over,
        "bars": {name: {"least": bar, "held": over[name] >= bar} for name, bar in BARS.items()},
        "rows_256": {
            "latency_us": many,
            "best_peer_over_ours": best_over_ours(many)[1],
            "bars": {"lowbit W2A8": {"least": MANY_ROWS_BAR}},
        },
    }
    if options.json:
        options.json.write_text(json.dumps(facts, indent=1) + "\n")
    show(latencies, latencies[best])
    show(many, many[best_over_ours(many)[0]])


def best_over_ours(latencies: dict[str, float]) -> tuple[str, dict[str, float]]:
    """Return the fastest peer, and its time over that of each of ours."""
    best = min((name for name in latencies if not name.startswith("lowbit")), key=latencies.__getitem__)
    return best, {
        name: latencies[best] / time for name, time in latencies.items() if name.startswith("lowbit")
    }


def measure(folder: Path, size: int, threads: int, rounds: int) -> dict[str, float]:
    """Return microseconds per call of every contender."""
    x = np.random.default_rng(1).random((1, size), np.float32)
    calls: dict[str, Call] = {}
    for bits in (1, 2):
        program = lowbit.load(lowbit_layer(size, bits), threads=threads, pin_workers=True)
        calls[f"lowbit W{bits}A{bits}"] = partial(program.run, x)
        two = lowbit.load(lowbit_layer(size, bits, layers=2), threads=threads, pin_workers=True)
        calls[f"lowbit W{bits}A{bits}{OF_TWO}"] = partial(two.run, x)
    for bits in (1, 2, 4):
        program = lowbit.load(lowbit_layer(size, bits, codes=BYTES), threads=threads, pin_workers=True)
        calls[f"lowbit W{bits}A8"] = partial(program.run, x)
    for bits in (1, 2, 3, 4):
        program = lowbit.load(weight_only_layer(size, bits), threads=threads, pin_workers=True)
        calls[f"lowbit W{bits}"] = partial(program.run, x)
    program = lowbit.load(affine_layer(size, 4), threads=threads, pin_workers=True)
    calls["lowbit affine W4"] = partial(program.run, x)
    for count in sorted({1, threads}):
        name = "" if threads == 1 else f", {count} thread{'s' * (count > 1)}"
        calls |= {peer + name: call for peer, call in peers(folder, size, count, x).items()}
    times = least(calls, rounds, threads)
    return {name: time / (2 if name.endswith(OF_TWO) else 1) for name, time in times.items()}


def least(calls: dict[str, Call], rounds: int, threads: int) -> dict[str, float]:
    """Return microseconds of each call in its best round."""
    found = interleaved_rounds(calls, rounds, ROUND_SECONDS, SETTLE_SECONDS if threads > 1 else 0)
    return {
        name: min(each.cpu if threads == 1 else each.wall for each in latencies)
        for name, latencies in found.items()
    }


def many_rows(folder: Path, size: int, threads: int, rounds: int) -> dict[str, float]:
    """Return microseconds per call with many vectors."""
    x = np.random.default_rng(1).random((MANY_ROWS, size), np.float32)
    program = lowbit.load(lowbit_layer(size, 2, codes=BYTES), threads=threads, pin_workers=True)
    calls: dict[str, Call] = {"lowbit W2A8": partial(program.run, x)}
    for bits in (2, 4, 8):
        path = folder / f"many{bits}.onnx"
        path.write_bytes(matmul_nbits(size, bits))
        calls[f"onnxruntime MatMulNBits W{bits}"] = onnxruntime_fp32(path, (x,), threads)
    return least(calls, max(rounds // 4, 3), threads)


def peers(folder: Path, size: int, threads: int, x: Any) -> dict[str, Call]:
    """Return the calls of the other runtimes."""
    source, graph = folder / "float.onnx", float_layer(size)
    lowbit.write(graph, source)
    calls = {"onnxruntime fp32": onnxruntime_fp32(source, (x,), threads)}
    for bits in (2, 4, 8):
        path = folder / f"nbits{bits}.onnx"
        path.write_bytes(matmul_nbits(size, bits))
        calls[f"onnxruntime MatMulNBits W{bits}"] = onnxruntime_fp32(path, (x,), threads)
    calls["litert int8"] = litert_int8(source, (x,), threads)
    dense = Dense(graph.constant("w").astype(np.float32), graph.constant("b").astype(np.float32))
    calls["litert int8 dynamic"] = litert(dynamic_range_tflite(dense), (x,), threads)
    return calls


def weight_bytes(size: int) -> dict[str, int]:
    """Return how many bytes of weights, scales and offsets each contender reads."""
    names = ("lowbit W{0}A{0}", "lowbit W{0}A8", "lowbit W{0}", "lowbit affine W{0}")
    ours = {name.format(bits): bits for bits in (1, 2, 3, 4) for name in names}
    moved = {name: bits * (size * size // 8 + 4 * size) for name, bits in ours.items()}
    for bits in (2, 4, 8):
        moved[f"onnxruntime MatMulNBits W{bits}"] = size * size * bits // 8 + 4 * size * (size // BLOCK)
    moved |= dict.fromkeys(("litert int8", "litert int8 dynamic"), size * size + 4 * size)
    return moved | {"onnxruntime fp32": 4 * size * size}


def float_layer(size: int) -> Graph:
    """Return one float layer with random weights."""
    random = np.random.default_rng(0)
    graph = Graph("layer", ("x",), ("y",), values={"x": Value("x", "float32", ("n", size))})
    graph.add_constant("w", random.normal(size=(size, size)) / size**0.5)
    graph.add_constant("b", np.zeros(size))
    graph.nodes = [Node("Gemm", ("x", "w", "b"), ("y",), {"transB": 1}, "fc")]
    infer(graph)
    return graph


def lowbit_layer(size: int, bits: int, layers: int = 1, codes: Encoding | None = None) -> Graph:
    """Return low-bit layers with random codes, an Encode before each, to as many bits or to `codes`."""
    graph = Graph("layer", ("x",), (f"y{layers - 1}",), values={"x": Value("x", "float32", ("n", size))})
    basis, top = grid(bits)
    source = "x"
    for n in range(layers):
        encoding = codes or LearnedBasis(basis, np.array([0.5]), top)
        graph.add(Value(f"codes{n}", "code", ("n", size), None, encoding))
        graph.nodes.append(Node("Encode", (source,), (f"codes{n}",), {}, f"encode{n}", "lowbit"))
        add_layer(graph, f"codes{n}", size, bits, n)
        source = f"y{n}"
    infer(graph)
    return graph


def weight_only_layer(size: int, bits: int) -> Graph:
    """Return one layer of floats times random codes."""
    graph = Graph("layer", ("x",), ("y0",), values={"x": Value("x", "float32", ("n", size))})
    add_layer(graph, "x", size, bits, 0)
    infer(graph)
    return graph


def affine_layer(size: int, bits: int) -> Graph:
    """Return one layer of floats times random codes of an affine grid for each channel."""
    random = np.random.default_rng(0)
    graph = Graph("layer", ("x",), ("y",), values={"x": Value("x", "float32", ("n", size))})
    zero = random.integers(0, 1 << bits, size)
    codes = random.integers(0, 1 << bits, (size, size)).astype(np.uint8)
    graph.add(Value("w", "code", (size, size), codes, Affine(bits, random.uniform(0.01, 0.02, size), zero)))
    graph.add_constant("b", np.zeros(size))
    graph.nodes.append(Node("Linear", ("x", "w", "b"), ("y",), {}, "fc", "lowbit"))
    infer(graph)
    return graph


def add_layer(graph: Graph, source: str, size: int, bits: int, number: int) -> None:
    """Put a layer of random codes at the end of the graph."""
    basis, top = grid(bits)
    planes = pack(np.random.default_rng(number).integers(0, 1 << bits, (size, size)), bits)
    weights = LearnedBasis(np.repeat(basis, size, axis=0), np.zeros(size), np.repeat(top, size))
    graph.add(Value(f"w{number}", "planes", (size, size), planes, weights))
    graph.add_constant(f"b{number}", np.zeros(size))
    inputs = (source, f"w{number}", f"b{number}")
    graph.nodes.append(Node("Linear", inputs, (f"y{number}",), {}, f"fc{number}", "lowbit"))


def grid(bits: int) -> tuple[Any, Any]:
    """Return basis and largest integer of a uniform grid."""
    return 0.25 * 2.0 ** np.arange(bits)[None], np.array([1 << (bits - 1)])


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
