"""Products of matrices of few bits beside the peak of the unit that does them, measured in the same run.

    python benchmarks/gemm.py [--rows 256] [--features 1024] [--channels 1024] [--level LEVEL] [--json OUT]

WkAj: weights of k bits, inputs of j. `codes`: the layer alone, codes in and codes out. `floats`: the whole
program, floats in and out, which codes its inputs. The peak is that of tiles where the level has them, else
of dot products: then the bars, which are shares of the tiles' peak, do not apply, and a line says why. Layers
are timed by the clock and programs by the processor; all take turns, and the best of each counts.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np

from lowbit.engine import _core, kernel_levels, measure_peak
from lowbit.program import steps
from lowbit.provenance import provenance

PAIRS = ((2, 2), (3, 3), (2, 8), (4, 8), (8, 8))
BARS = {"codes": 0.36, "floats": 0.25}
TILES = "amx_int8"
NONE = np.zeros(0, np.int32)
Shape = tuple[int, int, int]


def main() -> None:
    options = _options()
    shape = (options.rows, options.features, options.channels)
    level = options.level or kernel_levels()[-1]
    facts = {
        **provenance("python benchmarks/gemm.py --json FILE"),
        "shape": shape,
        "level": level,
        **measure(level, shape, options.rounds),
    }
    if options.json:
        options.json.write_text(json.dumps(facts, indent=1) + "\n")
    peak = facts["peak"]
    print(f"{level}, {shape}: peak of {peak['unit']} {peak['rate'] / 1e9:.0f} * 10^9 multiply-adds a second")
    for name, row in facts["rows"].items():
        figures = (f"{end} {row[end]['rate'] / 1e9:7.0f} ({row[end]['share']:.1%})" for end in BARS)
        print(f"{name}  {'  '.join(figures)}")
    print(facts["bars"] if isinstance(facts["bars"], str) else f"bars: {facts['bars']}")


def measure(level: str, shape: Shape, rounds: int) -> dict[str, Any]:
    """Return the peak, and rates and shares of every pair and end."""
    programs = {(pair, end): program(level, shape, *pair, end) for pair in PAIRS for end in BARS}
    x = np.random.default_rng(0).normal(size=shape[:2]).astype(np.float32)
    seconds, peaks = dict.fromkeys(programs, np.inf), dict[str, float]()
    for _ in range(rounds):
        peaks = {name: max(peaks.get(name, 0.0), rate) for name, rate in measure_peak(level).items()}
        for (pair, end), made in programs.items():
            took = made.profile((x,), 3)[1] if end == "codes" else processor_seconds(made, x)
            seconds[pair, end] = min(seconds[pair, end], took)
    unit = "tiles" if "tiles" in peaks else "dot" if "dot" in peaks else "popcount"
    products = float(np.prod(shape))
    rows = {
        f"W{w}A{a}": {
            end: {"us": took * 1e6, "rate": products / took, "share": products / took / peaks[unit]}
            for end in BARS
            if (took := seconds[(w, a), end])
        }
        for w, a in PAIRS
    }
    return {"peak": {"unit": unit, "rate": peaks[unit]}, "rows": rows, "bars": held(unit, level, rows)}


def held(unit: str, level: str, rows: dict[str, Any]) -> Any:
    """Return which bars are held; where there are no tiles, why there are none."""
    if unit == "tiles":
        return {
            end: {name: row[end]["share"] >= bar for name, row in rows.items()} for end, bar in BARS.items()
        }
    missing = [name for name, here in _core.cpu_features().items() if name.startswith("amx") and not here]
    why = f"this machine lacks {', '.join(missing)}" if missing else f"the level {level} has none"
    return f"the bars are shares of the peak of tiles ({TILES}) and do not apply: {why}"


def processor_seconds(made: Any, x: Any) -> float:
    """Return what one run takes, of ten."""
    start = time.process_time()
    for _ in range(10):
        made.run(x)
    return (time.process_time() - start) / 10


def program(level: str, shape: Shape, weight_bits: int, input_bits: int, end: str) -> Any:
    """Return a program that codes floats, multiplies, and ends in floats, or in codes that it decodes."""
    _, features, channels = shape
    first, layer, last = (planes if input_bits <= 4 else coded)(
        features, channels, weight_bits, input_bits, end
    )
    plan = (first, layer) if end == "floats" else (first, layer, last)
    loader = _core.Loader([features], level)
    for step in plan:
        loader.add(step)
    ports = [("input", (0, features)), ("output", (0, channels))]
    return loader.finish([len(plan)], ports)


def planes(features: int, channels: int, weight_bits: int, input_bits: int, end: str) -> tuple[Any, ...]:
    """Return encoder, layer and decoder of values in planes."""
    random = np.random.default_rng(1)
    order = np.arange(1 << input_bits, dtype=np.uint8)
    words = random.integers(0, 1 << 32, (channels, weight_bits, features // 32), dtype=np.uint32)
    factors = 1 << np.arange(4, dtype=np.int32)
    basis = np.tile(factors[:weight_bits], (channels, 1))
    ends = np.sort(random.integers(-50, 50, (channels, len(order) - 1)), axis=1).astype(np.int32)
    ending = real(channels) if end == "floats" else steps.PlaneEnding(ends, order)
    weights = steps.PlaneWeights(words, basis, NONE, factors[:input_bits])
    encoder = steps.EncodePlanes(np.linspace(-1, 1, len(order) - 1, dtype=np.float32), order, sources=(0,))
    decoder = steps.Decode(order.astype(np.float32), sources=(2,))
    return encoder, steps.PlaneFullyConnected(weights, ending, sources=(1,)), decoder


def coded(features: int, channels: int, weight_bits: int, _: int, end: str) -> tuple[Any, ...]:
    """Return encoder, layer and decoder of values in bytes."""
    most = 1 << (weight_bits - 1)
    weights = np.random.default_rng(2).integers(-most, most, (channels, features)).astype(np.int8)
    ending = (
        real(channels) if end == "floats" else steps.AffineEnding(np.full(channels, 0.01), 1.0, 128.0, 255.0)
    )
    layer = steps.ByteWeights(weights, np.zeros(channels, np.int32), NONE)
    decoder = steps.Decode(np.arange(256, dtype=np.float32), sources=(2,))
    encoder = steps.EncodeAffine(0.02, 128.0, 255.0, sources=(0,))
    return encoder, steps.ByteFullyConnected(layer, ending, sources=(1,)), decoder


def real(channels: int) -> steps.RealEnding:
    """Return an ending in floats."""
    return steps.RealEnding(np.full(channels, 0.01), np.zeros(channels))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=256)
    parser.add_argument("--features", type=int, default=1024, help="a multiple of 64")
    parser.add_argument("--channels", type=int, default=1024)
    parser.add_argument("--level", default="", help="this kernel level instead of the best")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", type=Path, help="write the figures here")
    return parser.parse_args()


if __name__ == "__main__":
    main()
