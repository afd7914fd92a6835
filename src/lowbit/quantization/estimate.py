"""What a calibration will take, before it starts: processor time and memory.

Time is a sum of what is done, counted from the network and the plan, times what one of each costs:

    seconds = sum_k cost_k · work_k

Some costs are in units of this machine, which are measured in a few hundredths of a second: the float
network's own pass over a batch, and a product of matrices. The others are as long as steps of NumPy take.

Memory is what is resident already, the network's constants, the samples that streams hold, what is alive in a
batch, and what looking at a value and the largest layer take.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from lowbit.budget import budget
from lowbit.calibrate import Run, moment_bytes, sample_bytes, widest_cut
from lowbit.ir import Graph, Node
from lowbit.quantization.observe import MOST_VALUES
from lowbit.quantization.plan import Plan
from lowbit.quantization.rows import Rows
from lowbit.quantization.stream import batches_of, count_of

Samples = Mapping[str, npt.NDArray[np.generic]]

COSTS: Mapping[str, float] = {
    "layer": 4e-2,
    "part": 8e-3,
    "value": 1.1e-7,
    "element": 5e-10,
    "weight": 2e-8,
    "basis": 1e-6,
    "input basis": 0.22,
    "pass": 2.0,
    "moment": 0.6,
    "restored": 1.5,
}
"""Seconds of a layer, of a part of one that is fitted by itself, of a value that is looked at, of an element
that passes, of a uniform weight, of a weight with a basis, of an input's basis of four bits; then passes and
operations, in units."""

_SIDE, _TIMES = 256, 8
"""Of the matrices that measure the machine, and how often."""

_WIDE = 56
"""Bytes that a value takes while it is looked at: itself, its target and their sums, float64."""

_FEW = 1 << 17
"""Values that fill the bins of a histogram."""


@dataclass(frozen=True)
class Estimate:
    """What a calibration will take.

    Attributes:
        seconds: of one processor.
        bytes: the most that is resident.
        layers: seconds of every layer that is quantized, in order.
    """

    seconds: float
    bytes: int
    layers: tuple[float, ...]

    def __str__(self) -> str:
        return f"about {_duration(self.seconds)} of one processor, {self.bytes / 2**30:.1f} GiB of memory"

    def share(self, done: int) -> float:
        """Return which part of the time so many layers take, in [0, 1]."""
        return sum(self.layers[:done]) / max(sum(self.layers), 1e-9)


def estimate(
    network: Graph,
    layers: Sequence[Node],
    plans: Callable[[str], Plan],
    samples: Samples,
    run: Run,
    windows: Callable[[Plan, int], int],
) -> Estimate:
    """Return what quantizing layers will take.

    Args:
        network: the float network, in the form that is quantized.
        layers: of it, that are quantized.
        plans: of a layer, by its name.
        samples: that calibrate.
        run: what runs a network.
        windows: the most windows that are looked at, by plan and inputs of a window.
    """
    count = count_of(samples)
    product, forward = _seconds_of_product(), _seconds_of_pass(network, samples, run)
    units = {"moment": product, "restored": product}
    costs = {name: cost * units.get(name, 1.0) for name, cost in COSTS.items()}
    equalized = any(plans(layer.name).equalizes for layer in layers)
    rest = (costs.pop("pass") + equalized) * forward * count
    works = [_work(network, layer, plans(layer.name), count, windows) for layer in layers]
    each = [sum(costs[name] * amount for name, amount in work.items()) for work in works]
    looked = _WIDE * max(int(work["value"]) for work in works)
    restoring = max(_restoring_bytes(network, layer, plans(layer.name)) for layer in layers)
    total = sum(each) + rest
    seconds = tuple(one + rest / len(each) for one in each)
    return Estimate(total, _bytes(network, samples, looked, restoring), seconds)


def _work(
    network: Graph, layer: Node, plan: Plan, count: int, windows: Callable[[Plan, int], int]
) -> dict[str, float]:
    """Return what is done for a layer, by name of `COSTS`."""
    rows, outputs, inputs, size = _shape(network, layer)
    names = (layer.inputs[0], layer.outputs[0])
    arriving, leaving = (count * sample_bytes(network, name) / 4 for name in names)
    seen = min(count * rows.windows(), windows(plan, inputs))
    values = min(arriving, MOST_VALUES)
    uniform, learned = plan.weight_form.row.uniform, not plan.input_form.row.uniform
    work = {
        "layer": 1.0,
        "part": 0.0 if uniform else float(rows.groups),
        "value": values,
        "element": arriving + leaving,
        "weight" if uniform else "basis": float(size),
        "input basis": 3.0 ** (plan.activation_bits - 4) * min(values / _FEW, 1.0) if learned else 0.0,
    }
    if plan.restores:
        work["moment"] = rows.groups * 2.0 * seen * inputs * (inputs / 2 + outputs)
        work["restored"] = rows.groups * (inputs**3 / 3 + 16.0 * inputs * inputs * outputs)
    return work


def _shape(network: Graph, layer: Node) -> tuple[Rows, int, int, int]:
    """Return how a layer reads, outputs and inputs of one of its groups, and how many weights it has."""
    rows, weights = Rows.of(network, layer), network.constant(layer.inputs[1])
    return rows, len(weights) // rows.groups, weights.size // len(weights), weights.size


def _restoring_bytes(network: Graph, layer: Node, plan: Plan) -> int:
    rows, outputs, inputs, _ = _shape(network, layer)
    return rows.groups * moment_bytes(inputs, outputs) if plan.restores else 0


def _bytes(network: Graph, samples: Samples, looked: int, restoring: int) -> int:
    """Return the most that is resident: while values are looked at, or while a layer is restored."""
    constants = sum(int(value.data.nbytes) for value in network.values.values() if value.data is not None)
    held = min(2 * (budget() // 8), widest_cut(network) * count_of(samples))
    return int(_resident() + constants + max(held + looked, restoring))


def _seconds_of_product() -> float:
    """Return the seconds of one operation of a product of matrices."""
    square = np.random.default_rng(0).normal(size=(_SIDE, _SIDE))
    best: float = min(_seconds(lambda: square @ square) for _ in range(_TIMES))
    return best / (2.0 * _SIDE * _SIDE * _SIDE)


def _seconds_of_pass(network: Graph, samples: Samples, run: Run) -> float:
    """Return the seconds that the network takes for a sample."""
    batch = batches_of(network, count_of(samples))[0]
    part = {name: array[batch] for name, array in samples.items()}
    runner = run(network)
    return _seconds(lambda: runner(part)) / len(range(batch.start, batch.stop))


def _seconds(call: Callable[[], object]) -> float:
    started = time.process_time()
    call()
    return time.process_time() - started


def _resident() -> int:
    """Return the bytes that this process has in memory; 0 where the system does not say."""
    status = Path("/proc/self/statm")
    return int(status.read_text().split()[1]) * 4096 if status.exists() else 0


def _duration(seconds: float) -> str:
    """Return seconds as people say them: `4 s`, `3 min`, `2.5 h`."""
    if seconds < 90:
        return f"{max(round(seconds), 1)} s"
    return f"{round(seconds / 60)} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
