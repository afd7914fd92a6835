"""Kernels against the machine's own limit: how much of the peak a matrix product reaches, level by level.

    python benchmarks/kernels.py [--json] [--level avx2] [--rows 256] [--features 1024] [--channels 1024]

The peak is measured in the same run, in registers alone: xor, popcount and add for planes, multiply and
add for bytes; words have none. The product is timed inside the program: the step alone, the best of many.
"""

import argparse
import json
from typing import Any

import numpy as np

from lowbit.engine import _core, kernel_levels, measure_peak
from lowbit.program import steps

PLANES = ((1, 1), (1, 2), (2, 1), (2, 2), (3, 3), (4, 4))
ROUNDS, REPEATS = 5, 20


def main() -> None:
    options = _options()
    levels = [options.level] if options.level else kernel_levels()
    results = [result for level in levels for result in measure(level, options)]
    if options.json:
        print(json.dumps(results, indent=2))
        return
    print(f"{'level':18} {'kernel':10} {'µs':>9} {'10^12 MAC/s':>12} {'of peak':>8}")
    for result in results:
        share = "–" if result["share"] is None else f"{result['share']:.1%}"
        print(
            f"{result['level']:18} {result['kernel']:10} {result['us']:9.1f}"
            f" {result['rate'] / 1e12:12.3f} {share:>8}"
        )


def measure(level: str, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Return a row per kernel; peaks and products alternate, so that both see the same machine."""
    shape = (options.rows, options.features, options.channels)
    programs: dict[str, tuple[str, int, Any]] = {
        f"planes {x}x{w}": ("popcount", x * w, _planes(level, shape, x, w)) for x, w in PLANES
    }
    programs["bytes"] = ("dot", 1, _bytes(level, shape))
    programs["words"] = ("", 1, _words(level, shape))
    x = np.random.default_rng(0).normal(size=shape[:2]).astype(np.float32)
    seconds, peaks = dict.fromkeys(programs, np.inf), dict[str, float]()
    for _ in range(ROUNDS):
        peaks = {name: max(peaks.get(name, 0.0), rate) for name, rate in measure_peak(level).items()}
        for name, (_, _, program) in programs.items():
            seconds[name] = min(seconds[name], program.profile((x,), repeats=REPEATS)[1])
    return [
        _row(level, name, seconds[name], pairs * float(np.prod(shape)), peaks.get(peak))
        for name, (peak, pairs, _) in programs.items()
    ]


def _row(level: str, kernel: str, seconds: float, work: float, peak: float | None) -> dict[str, Any]:
    rate = work / seconds
    return {
        "level": level,
        "kernel": kernel,
        "us": seconds * 1e6,
        "rate": rate,
        "share": rate / peak if peak else None,
    }


def _planes(level: str, shape: tuple[int, int, int], input_planes: int, weight_planes: int) -> Any:
    """Return a program of encode, the product with thresholds to as many planes as came in, decode."""
    _, features, channels = shape
    random = np.random.default_rng(1)
    order = np.arange(1 << input_planes, dtype=np.uint8)
    ends = np.sort(random.integers(-50, 50, (channels, len(order) - 1)), axis=1).astype(np.int32)
    words = random.integers(0, 1 << 32, (channels, weight_planes, features // 32), dtype=np.uint32)
    factors = 1 << np.arange(4, dtype=np.int32)
    weights = steps.PlaneWeights(
        words, np.tile(factors[:weight_planes], (channels, 1)), np.zeros(0, np.int32), factors[:input_planes]
    )
    thresholds = np.linspace(-1, 1, len(order) - 1, dtype=np.float32)
    return _program(
        level,
        shape,
        steps.EncodePlanes(thresholds, order, sources=(0,)),
        steps.PlaneFullyConnected(weights, steps.PlaneEnding(ends, order), sources=(1,)),
        steps.Decode(order.astype(np.float32), sources=(2,)),
    )


def _bytes(level: str, shape: tuple[int, int, int]) -> Any:
    _, features, channels = shape
    weights = np.random.default_rng(2).integers(-128, 128, (channels, features)).astype(np.int8)
    none = np.zeros(0, np.int32)
    product = steps.ByteWeights(weights, np.zeros(channels, np.int32), none)
    end = steps.AffineEnding(np.full(channels, 0.01), 1.0, 128.0, 255.0)
    return _program(
        level,
        shape,
        steps.EncodeAffine(0.02, 128.0, 255.0, sources=(0,)),
        steps.ByteFullyConnected(product, end, sources=(1,)),
        steps.Decode(np.arange(256, dtype=np.float32), sources=(2,)),
    )


def _words(level: str, shape: tuple[int, int, int]) -> Any:
    _, features, channels = shape
    weights = np.random.default_rng(3).integers(-4096, 4096, (channels, features)).astype(np.int16)
    product = steps.WordWeights(weights // 64, np.zeros(channels, np.int64))  # their sums fit 32 bits
    least, most = -(1 << 12), (1 << 12) - 1
    return _program(
        level,
        shape,
        steps.Round("words", "round_up", 2.0**-7, least, most, 0, sources=(0,)),
        steps.WordFullyConnected(
            1, product, steps.ShiftedEnding("words", "shift_up", 7, least, most, 0), sources=(1,)
        ),
        steps.DecodeWords(least, np.arange(2 * -least, dtype=np.float32), sources=(2,)),
    )


def _program(level: str, shape: tuple[int, int, int], *plan: steps.Step) -> Any:
    """Return the program of these steps, planes staying planes."""
    _, features, channels = shape
    loader = _core.Loader([features], level, path="popcount")
    for step in plan:
        loader.add(step)
    return loader.finish([len(plan)], [("input", [1, features]), ("output", [1, channels])])


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--level", default="", help="only this kernel level")
    parser.add_argument("--rows", type=int, default=256)
    parser.add_argument("--features", type=int, default=1024, help="a multiple of 32")
    parser.add_argument("--channels", type=int, default=1024)
    return parser.parse_args()


if __name__ == "__main__":
    main()
