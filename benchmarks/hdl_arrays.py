"""Shift against multiply: the same vector array with both elements, on a real layer with real pictures.

    python benchmarks/hdl_arrays.py lenet.onnx --data fashion --json results/hdl-arrays.json

`lenet.onnx` is the float network that `lowbit train recipes/lenet.toml` makes. Its second convolution,
windows of 150 activations times 16 channels, runs in the array: activations rounded to fixed point, weights
to fixed point (multiply) or to powers of two (shift). Clocks are counted in the simulation of gates, whose
sums are compared with the integers; LUTs and DSPs by Yosys, memories included; toggles as `lowbit.rtl.gates`
says, over two windows per stream, words of the memories included. A table is written beside the JSON.
"""

import argparse
import json
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from freshness import MADE_OF, made_of

from lowbit import api
from lowbit.data import load
from lowbit.ir.reference import evaluate
from lowbit.provenance import provenance
from lowbit.rtl.elements import ELEMENTS
from lowbit.rtl.elements.hardware.vector import VectorArray, VectorCore
from lowbit.rtl.elements.vector import VectorPlan
from lowbit.rtl.gates import to_bits, to_gates
from lowbit.rtl.synthesize import synthesize
from lowbit.rtl.verilog import to_verilog
from lowbit.schemes.power_of_two.fit import power_of_two_encoding

PUBLISHED = {
    "source": "Chen et al. 2021, n-BQ-NN, ZCU102",
    "throughput_ratio": 2.9,
    "energy_ratio": 0.687,
    "what": "inference, the shift array against the array of 16-bit multipliers in DSP blocks, on a board",
}
COMPARABLE = """\
What is comparable with the published figures, and what is not. They ran networks on a ZCU102: an
array of shift elements against an array of 16-bit multipliers in DSP blocks, time and energy
measured on the board. Here nothing ran on a board. Comparable: the kind of element, 16-bit
activations, no DSP block, the same geometry and the same clocks for both arrays. Not comparable:
our other array has its multipliers in look-up tables, because open tools know neither the speed nor
the activity of a DSP block; so our first figure is one of area, at equal clock rates, and says
nothing of a device with DSP blocks to spare. Toggles are those of two-input gates with unit delay,
every wire weighing the same; memories count by their words, clock trees and block RAM not at all.
They are not joules: only a vendor's estimate (`lowbit hdl --activity` writes its input) or a board
can tell those. Against a multiplier that is as narrow as the weights, 16 × 4 bits, the gain is much
smaller.
"""
WINDOWS_PER_STREAM, STREAMS, PICTURES = 2, 64, 32


@dataclass(frozen=True)
class Row:
    """An array: kind of element, bits of both operands, geometry, whether synthesis may use DSP blocks."""

    kind: str
    activation_bits: int
    weight_bits: int
    elements: int = 4
    lanes: int = 4
    dsp_allowed: bool = False
    target: str = "xc7"
    toggles: bool = True


ROWS = (
    Row("shift", 16, 4),
    Row("multiply", 16, 16),
    Row("multiply", 16, 16, dsp_allowed=True, toggles=False),
    Row("multiply", 16, 8),
    Row("multiply", 16, 4),
    Row("shift", 8, 4),
    Row("multiply", 8, 8),
    Row("shift", 16, 4, 16, 8, toggles=False),
    Row("shift", 16, 4, target="xcup", toggles=False),
    Row("multiply", 16, 16, target="xcup", toggles=False),
    Row("multiply", 16, 16, dsp_allowed=True, target="xcup", toggles=False),
)

COMPARED = ((0, 1), (0, 3), (0, 4), (5, 6), (7, 1), (8, 9))
"""Rows of shift and of multiply."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path, help="LeNet in float")
    parser.add_argument("--data", default="fashion", help="pictures of Fashion-MNIST")
    parser.add_argument("--json", type=Path, required=True, help="where the rows go; those there are kept")
    parser.add_argument("--row", type=int, nargs="*", choices=range(len(ROWS)), help="only these")
    options = parser.parse_args()
    windows, weights = layer(options.model, options.data)
    made = {
        **provenance("python benchmarks/hdl_arrays.py lenet.onnx --data DIR --json FILE"),
        "data": "Fashion-MNIST (exact)",
        MADE_OF: [made_of(options.model)],
    }
    rows: list[dict[str, Any]] = json.loads(options.json.read_text())["rows"] if options.json.exists() else []
    for number in options.row or range(len(ROWS)):  # written after each: a row takes minutes
        rows = [row for row in rows if row["row"] != number]
        rows = sorted(
            [*rows, {"row": number, **measure(ROWS[number], windows, weights)}], key=lambda r: r["row"]
        )
        write(options.json, made, rows)


def write(path: Path, made: dict[str, Any], rows: list[dict[str, Any]]) -> None:
    """Write JSON, shift's ratios over each multiplier in its row, and a table beside it."""
    for found in compared(rows):
        rows_by(rows)[found["shift"]].setdefault("over", {})[str(found["multiply"])] = found
    path.write_text(json.dumps({**made, "published": PUBLISHED, "rows": rows}, indent=1) + "\n")
    path.with_suffix(".md").write_text(table(rows))


def layer(model: Path, data: str) -> tuple[np.ndarray, np.ndarray]:
    """Return windows ``[n, 150]`` of the second convolution's input, in random order, and its weights."""
    graph, seen = api.read(model), {}
    pictures = load(data, split="test", limit=PICTURES).fit_to((1, 28, 28)).samples
    evaluate(graph, {graph.inputs[0]: pictures}, lambda name, array: seen.__setitem__(name, array))
    node = [node for node in graph.nodes if node.op == "Conv"][1]
    maps, weights = seen[node.inputs[0]], np.asarray(graph.value(node.inputs[1]).data)
    size = weights.shape[-1]
    windows = np.lib.stride_tricks.sliding_window_view(maps, (size, size), axis=(2, 3))  # n, c, y, x, i, j
    rows = windows.transpose(0, 2, 3, 4, 5, 1).reshape(-1, size * size * maps.shape[1])
    flat = weights.transpose(0, 2, 3, 1).reshape(len(weights), -1)
    return np.random.default_rng(0).permutation(rows), flat


def measure(row: Row, windows: np.ndarray, weights: np.ndarray) -> dict[str, Any]:
    """Return the figures of one row."""
    plan, codes = planned(row, windows, weights)
    result: dict[str, Any] = {
        **asdict(row),
        "accumulator_bits": plan.element.accumulator_bits,
        "products_per_clock": row.elements * row.lanes,
        "clocks_per_window": plan.cycles,
        "weight_bits_read_per_product": row.weight_bits,
    }
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "array.v").write_text(to_verilog(VectorArray(plan), "array", []))
        found = synthesize(Path(folder), "array.v", "array", row.target, dsp=row.dsp_allowed, by_block=False)
        result |= asdict(found.total)
    if row.toggles:
        result |= toggled(plan, codes)
    return result


def planned(row: Row, windows: np.ndarray, weights: np.ndarray) -> tuple[VectorPlan, np.ndarray]:
    """Return the array, and the codes of all windows."""
    limit = 2 ** (row.activation_bits - 1)
    codes = np.clip(np.rint(windows / np.abs(windows).max() * (limit - 1)), -limit, limit - 1).astype(
        np.int64
    )
    if row.kind == "shift":
        operands = power_of_two_encoding(weights, row.weight_bits).encode(weights).astype(np.int64)
    else:
        most = 2 ** (row.weight_bits - 1) - 1
        operands = np.rint(weights / np.abs(weights).max() * most).astype(np.int64)
    make, beats = ELEMENTS[row.kind], -(-weights.shape[1] // row.lanes)
    element = make(row.lanes, beats, row.activation_bits, row.weight_bits, signed_activations=True)
    return VectorPlan(element.fitted(operands), row.elements, operands), codes


def toggled(plan: VectorPlan, codes: np.ndarray) -> dict[str, Any]:
    """Run windows through the gates, compare every sum, and return the toggles."""
    element, gates = plan.element, to_gates(to_verilog(VectorCore(plan), "core", []), "core")
    vectors = codes[: WINDOWS_PER_STREAM * STREAMS].reshape(STREAMS, WINDOWS_PER_STREAM, -1)
    lead = 1 + plan.element.latency  # reset, then the first words
    clocks = lead + WINDOWS_PER_STREAM * plan.cycles + element.latency
    at = (np.arange(clocks) - 2) % (
        WINDOWS_PER_STREAM * plan.cycles
    )  # a word comes a clock after its address
    words = np.array(
        [[plan.activation_words(vector) for vector in stream] for stream in vectors], dtype=object
    )
    activations = words[:, at // plan.cycles, at % element.beats].T
    one = np.ones((clocks, STREAMS, 1), np.uint8)
    weights = to_bits(np.array(plan.words, dtype=object)[at % plan.cycles], plan.elements * plan.word_bits)
    inputs = {
        "ap_rst_n": one * (np.arange(clocks) > 0)[:, None, None],
        "enable": one,
        "waiting": one,
        "activations": to_bits(activations, element.lanes * element.activation_bits),
        "weights": np.repeat(weights[:, None], STREAMS, axis=1),
    }
    toggles, seen = gates.run(inputs, ("sums", "valid"), warm_up=lead)
    check(plan, vectors, seen["sums"][seen["valid"][:, 0, 0] == 1])
    return {
        "gates": toggles.gates,
        "registers": toggles.registers,
        "toggles_per_clock": round(toggles.per_clock, 1),
        "settled_toggles_per_clock": round(toggles.settled_per_clock, 1),
        "windows": STREAMS * WINDOWS_PER_STREAM,
    }


def check(plan: VectorPlan, vectors: np.ndarray, sums: np.ndarray) -> None:
    """Compare sums ``[folds, streams, bits]`` with the integers."""
    bits = plan.element.accumulator_bits
    fields = sums.reshape(len(sums), STREAMS, plan.elements, bits).astype(np.int64)
    values = fields @ np.append(1 << np.arange(bits - 1), -(1 << bits - 1))
    got = values.transpose(1, 0, 2).reshape(STREAMS, -1, plan.folds * plan.elements)[..., : len(plan.weights)]
    table = plan.element.weight_values()[plan.weights]
    want = vectors[:, : got.shape[1]] @ table.T
    if not len(sums) or not np.array_equal(got, want):
        raise SystemExit("the gates do not compute the layer")


def compared(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return shift over multiply for the pairs whose rows are there, at the same clock rate."""
    by, found = rows_by(rows), []
    for pair in COMPARED:
        if set(pair) <= set(by):
            shift, multiply = (by[number] for number in pair)
            throughput = multiply["clocks_per_window"] / shift["clocks_per_window"]
            luts = shift["lut"] / multiply["lut"]
            ratios = {"throughput": throughput, "lut": luts, "throughput_at_equal_lut": throughput / luts}
            for what in ("toggles_per_clock", "settled_toggles_per_clock"):
                if what in shift and what in multiply:
                    ratios[what] = shift[what] / multiply[what]
            ratios = {name: round(value, 3) for name, value in ratios.items()}
            found.append({"shift": pair[0], "multiply": pair[1], "target": shift["target"], **ratios})
    return found


def table(rows: list[dict[str, Any]]) -> str:
    """Return the rows as Markdown, and what they mean."""
    keys = ("row", "target", "products_per_clock", "clocks_per_window", "lut", "ff", "dsp", "ramb18")
    keys = (*keys, "toggles_per_clock", "settled_toggles_per_clock")
    named = [{"array": name(row), **row} for row in rows]
    ratios = compared(rows)
    for found in ratios:
        found |= {
            kind: f"{found[kind]}, {name(rows_by(rows)[found[kind]])}" for kind in ("shift", "multiply")
        }
    columns = ("shift", "multiply", "target", "throughput", "lut", "throughput_at_equal_lut")
    columns = (*columns, "toggles_per_clock", "settled_toggles_per_clock")
    theirs = f"Published ({PUBLISHED['source']}): {PUBLISHED['throughput_ratio']} times as fast, "
    theirs += f"{100 * PUBLISHED['energy_ratio']:.1f} % of the energy."
    parts = (markdown(("array", *keys), named), "Shift over multiply:", markdown(columns, ratios))
    return "\n\n".join([*parts, theirs, COMPARABLE])


def name(row: dict[str, Any]) -> str:
    """Return what an array is called."""
    where = ", in DSP blocks" if row["dsp_allowed"] else ""
    return f"{row['kind']} {row['activation_bits']} × {row['weight_bits']} bits{where}"


def rows_by(rows: list[dict[str, Any]]) -> dict[int, dict[str, Any]]:
    """Return rows by their number."""
    return {row["row"]: row for row in rows}


def markdown(columns: tuple[str, ...], rows: list[dict[str, Any]]) -> str:
    """Return a table; what a row does not have stays empty."""
    lines = ["| " + " | ".join(column.replace("_", " ") for column in columns) + " |"]
    lines.append("|---" * len(columns) + "|")
    lines += ["| " + " | ".join(str(row.get(column, "")) for column in columns) + " |" for row in rows]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
