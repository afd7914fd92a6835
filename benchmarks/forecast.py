"""How near `lowbit plan` comes: bytes, time, risk and classes kept, beside what quantization then gives.

    python benchmarks/forecast.py NET.onnx=DATA … --json results/forecast.json

A float network and the data set that it was trained on; rows of other networks that the file has stay. Every
setting is forecast from 256 samples of the training set, then made by its own method from 1,024 others, and
measured on 1,000 of the test set (for large networks fewer are said): bytes of the file, time of a call (in
one interleaved run with the forecast's own network, so that the machine's mood falls on both; by the clock,
and of the processor), share of classes that agree with the float network. Sensitivity is measured likewise:
each layer alone at each setting. Between the files of neighbouring settings, at the geometric mean of their
bytes, a mixture is made and stands beside the smaller one: the best uniform one of its size. ``--luts lq:2``
plans an array engine of that setting for a device, and has Yosys count the look-up tables of what was made.
The rank correlation is Spearman's, over layers and settings, of the expected error with the measured one,
and with the share of classes that change.
"""

import argparse
import json
import sys
import time
from dataclasses import asdict, dataclass
from functools import partial
from itertools import pairwise
from math import isqrt
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

import lowbit
from lowbit.api import load_samples
from lowbit.bench import random_inputs
from lowbit.bench.timing import interleaved_rounds
from lowbit.engine import Program
from lowbit.fidelity import fidelity
from lowbit.forecast import Forecast, forecast, purpose
from lowbit.forecast.forecast import file_bytes
from lowbit.forecast.outline import outline
from lowbit.forecast.risk import alone
from lowbit.provenance import provenance
from lowbit.quantization import quantize
from lowbit.rtl.array.budget import OF_FAMILY
from lowbit.sampling import samples_of, scattered
from lowbit.scores import score


@dataclass(frozen=True)
class Counts:
    """How many samples forecast, calibrate and measure."""

    samples: int
    calibrate: int
    measure: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("networks", nargs="+", metavar="NET=DATA")
    parser.add_argument("--try", dest="settings", default="", help="settings, commas between; the usual ones")
    parser.add_argument("--samples", type=int, default=256, help="that forecast")
    parser.add_argument("--calibrate", type=int, default=1024, help="that calibrate what is made")
    parser.add_argument("--measure", type=int, default=1000, help="of the test set, that measure")
    parser.add_argument("--luts", metavar="SETTING", help="count look-up tables of this setting")
    parser.add_argument("--device", default="xc7z020", help="for which hardware is planned")
    parser.add_argument("--about", default="", help="what is to be known of these networks")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    counts = Counts(options.samples, options.calibrate, options.measure)
    made = provenance("python benchmarks/forecast.py NET=DATA … --json FILE")
    kept = options.json is not None and options.json.exists()
    rows = {each["file"]: each for each in (json.loads(options.json.read_text())["rows"] if kept else [])}
    for each in options.networks:
        path, data = each.rsplit("=", 1)
        found, facts = row(path, data, [*filter(None, options.settings.split(","))], counts)
        if options.luts:
            facts["luts"] = luts(found, options.luts, data, counts, options.device)
        rows[Path(path).name] = {**facts, "about": options.about, **made}
        print(json.dumps({key: value for key, value in facts.items() if key != "layers"}), file=sys.stderr)
        if options.json:
            options.json.write_text(json.dumps({**made, "rows": list(rows.values())}, indent=1) + "\n")


def row(path: str, data: str, settings: list[str], counts: Counts) -> tuple[Forecast, dict[str, Any]]:
    """Return a forecast of a network, and what was forecast beside what came."""
    started = time.process_time()
    found = forecast(path, data, targets=(), settings=settings, samples=counts.samples)
    seconds = time.process_time() - started
    graph = found.graph
    calibrate = _calibration(found, data, counts)
    check = samples_of(graph, data, counts.measure, "test", choose=scattered(counts.measure, seed=2))
    made = [_setting(found, number, calibrate, check) for number in range(len(found.uniform))]
    layers = _sensitivity(found, calibrate, check)
    return found, {
        "file": Path(path).name,
        "network": graph.name,
        "data": Path(data).name,
        "counts": asdict(counts),
        "layer_count": len(found.risks.layers),
        "forecast_seconds": seconds,
        "settings": made,
        "mixtures": mixtures(found, calibrate, check, labels(graph, data, counts.measure)),
        "rank_of_error": _spearman([(each["expected"], each["error"]) for each in layers]),
        "rank_of_classes": _spearman([(each["expected"], each["changed"]) for each in layers]),
        "layers": layers,
    }


def _calibration(found: Forecast, data: str, counts: Counts) -> Any:
    chosen = scattered(counts.calibrate, seed=1)
    return samples_of(found.graph, data, counts.calibrate, "train", choose=chosen)


def luts(found: Forecast, setting: str, data: str, counts: Counts, device: str) -> dict[str, Any]:
    """Return look-up tables of the array engine at a setting: as forecast, and by Yosys of what is made."""
    outlook = next(each for each in found.uniform if each.name == setting)
    (expected,) = purpose(device).measure([outline(found.graph, outlook.plan, found.samples)])
    facts = {"setting": setting, "device": device}
    if expected.why:
        return {**facts, "why": expected.why}
    low, _ = lowbit.quantize(found.graph, _calibration(found, data, counts), plan=outlook.plan, check=False)
    family = next(family for family, devices in OF_FAMILY.items() if device in devices)
    counted = lowbit.hardware(low, engine="array", budget=device, target=family).synthesize()
    return {**facts, "lut": [expected.figures["lut"], counted.lut]}


def _setting(found: Forecast, number: int, calibrate: Any, check: Any) -> dict[str, Any]:
    outlook = found.uniform[number]
    low, _ = lowbit.quantize(found.graph, calibrate, plan=outlook.plan, check=False)
    programs = {"forecast": Program(outline(found.graph, outlook.plan, found.samples)), "made": Program(low)}
    calls = {name: partial(program.run, *random_inputs(program, 1)) for name, program in programs.items()}
    rounds = interleaved_rounds(calls, 15)
    near = fidelity(found.graph, low, check)
    return {
        "setting": outlook.name,
        "bytes": [outlook.bytes, file_bytes(low)],
        "us": [median(each.wall for each in rounds[name]) for name in programs],
        "cpu_us": [median(each.cpu for each in rounds[name]) for name in programs],
        "agreement": [outlook.agreement, near.agreement],
    }


def mixtures(found: Forecast, calibrate: Any, check: Any, right: Any) -> list[dict[str, Any]]:
    """Return what uniform settings keep, each beside a mixture of a size between it and the next larger."""
    rows = []
    for row, larger in pairwise(sorted(found.uniform, key=lambda row: row.bytes)):
        beside = found.mixed(isqrt(row.bytes * larger.bytes))
        both = {}
        for name, each in {"uniform": row, "mixed": beside}.items():
            low, _ = lowbit.quantize(found.graph, calibrate, plan=each.plan, check=False)
            near, top1 = fidelity(found.graph, low, check), None
            if right is not None:
                top1 = float((score(low, check).values.argmax(axis=1) == right).mean())
            layers = {layer: setting.label for layer, setting in each.chosen.items()}
            figures = {"agreement": near.agreement, "snr_db": near.output_snr_db, "top1": top1}
            both[name] = {"bytes": file_bytes(low), "expected_error": each.error, **figures, "layers": layers}
        rows.append({"setting": row.name, **both})
    return rows


def labels(graph: Any, data: str, count: int) -> Any:
    """Return the labels of the samples that measure, or None."""
    found = load_samples(graph, data, "test", choose=scattered(count, seed=2)).labels
    return None if found is None else found[:count]


def _sensitivity(found: Forecast, calibrate: Any, check: Any) -> list[dict[str, Any]]:
    layers = []
    for (layer, setting), expected in found.risks.errors.items():
        low, _ = quantize(found.graph, calibrate, alone(found.base, layer, setting, found.risks.layers))
        near = fidelity(found.graph, low, check)
        changed = None if near.agreement is None else 1 - near.agreement
        error = 10 ** (-near.output_snr_db / 10)
        layers.append(
            {
                "layer": layer,
                "setting": setting.label,
                "expected": expected,
                "error": error,
                "changed": changed,
            }
        )
    return layers


def _spearman(pairs: list[tuple[float, float | None]]) -> float | None:
    """Return the correlation of ranks, ties in the middle; None where nothing was measured."""
    if any(second is None for _, second in pairs):
        return None
    first, second = (_ranks(np.array(each, np.float64)) for each in zip(*pairs, strict=True))
    return float(np.corrcoef(first, second)[0, 1])


def _ranks(values: Any) -> Any:
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[inverse]


if __name__ == "__main__":
    main()
