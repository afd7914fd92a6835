"""What a calibration will take, before it starts: processor time and memory.

Time is the sum of what is done, times what one of each costs. What the networks are asked for is counted by a
rehearsal in which nothing runs (`lowbit.quantization.rehearsal`). What fits take is tried on few rows
(`lowbit.quantization.trial`), as are planning the float network and its pass over a batch. The rest are steps
of Python and NumPy around these, whose costs are constants (`COSTS`).

Memory is what is resident already, and the most of any layer: what the streams hold then, beside what looking
at values, summing moments or restoring takes, and the batch that runs.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from lowbit.budget import budget
from lowbit.calibrate import BLOCK, Run, moment_bytes, prefix, sample_bytes, widest_cut
from lowbit.ir import Graph, Node
from lowbit.quantization import equalize, smooth
from lowbit.quantization.learning import Learner
from lowbit.quantization.observe import MOST_VALUES, RANGED
from lowbit.quantization.plan import Plan
from lowbit.quantization.rehearsal import Counted, Rehearsal, work
from lowbit.quantization.rows import Rows
from lowbit.quantization.shared import teams
from lowbit.quantization.stream import batches_of, count_of
from lowbit.quantization.trial import (
    ActivationTime,
    FitTime,
    activation_time,
    looking_time,
    seconds_of,
    weights_time,
)

Samples = Mapping[str, npt.NDArray[np.generic]]

COSTS: Mapping[str, float] = {
    "layer": 5e-3,
    "node": 4e-4,
    "plan": 6e-4,
    "call": 1.5e-5,
    "visit": 6e-5,
    "group": 7e-4,
    "group visit": 4e-5,
    "value": 4e-8,
    "element": 2e-9,
    "window": 3e-8,
    "input": 8e-9,
    "trial": 5e-4,
    "moment": 0.6,
    "restored": 1.5,
}
"""Seconds of a layer; of a node in the end; of planning a part, and of running it, beside what its nodes
take; of looking at a batch of a layer; of a group of channels, and of a batch of it; of choosing a value; of
an element that passes; of an output and an input of a window that is looked at; of a factor of channels that
is tried. Then operations, in those of a product of matrices."""

_SIDE, _TIMES = 256, 3
"""Of the matrices that measure the machine, and how often."""

_ARRIVING, _LOOKED = 16, 56
"""Bytes that a value of an activation takes, with its target: while batches come, and when all are there."""

_CHOSEN, _COMPARED, _BLOCK, _FITTED = 4, 24, 16, 32
"""Bytes of an output of a window that is looked at, and when it is compared with its target; of an element of
windows that are summed at once; of a weight that is fitted."""

_TRIED = 2
"""Layers whose inputs are tried."""


@dataclass(frozen=True)
class Estimate:
    """What a calibration will take.

    Attributes:
        seconds: of one processor.
        bytes: the most that is resident.
        layers: seconds of every layer that is quantized, in order, and of the steps of what learns on.
    """

    seconds: float
    bytes: int
    layers: tuple[float, ...]

    def __str__(self) -> str:
        return f"about {_duration(self.seconds)} of one processor, {self.bytes / 2**30:.1f} GiB of memory"

    def and_learning(self, learner: Learner) -> "Estimate":
        """Return it with what letting layers learn on will take."""
        more = learner.seconds()
        steps = (more / len(learner.steps),) * len(learner.steps)
        return replace(self, seconds=self.seconds + more, layers=(*self.layers, *steps))

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
    allowance: int,
) -> Estimate:
    """Return what quantizing layers will take.

    Args:
        network: the float network, in the form that is quantized.
        layers: of it, that are quantized; of those that share weights the first.
        plans: of a layer, by its name.
        samples: that calibrate.
        run: what runs a network.
        windows: the most windows that are looked at, by plan and inputs of a window.
        allowance: bytes of samples' values that may be held.
    """
    chosen = {layer.name: plans(layer.name) for layer in layers}
    model = _Model(network, chosen, samples, run, windows, allowance)
    others = {name: plans(name) for name in teams(network) if name not in chosen}
    each = {
        name: model.layer(name, team, chosen.get(name) or others[name]) for name, team in model.teams.items()
    }
    rest = model.around() + sum(seconds for name, seconds in each.items() if name not in chosen)
    seconds = tuple(each[name] + rest / len(chosen) for name in chosen)
    return Estimate(sum(seconds), _resident() + model.bytes, seconds)


class _Model:
    """What is done for the layers of a network, in order, and what it costs."""

    def __init__(
        self,
        network: Graph,
        plans: Mapping[str, Plan],
        samples: Samples,
        run: Run,
        windows: Callable[[Plan, int], int],
        allowance: int,
    ) -> None:
        self.teams, self.bytes = teams(network), 0
        self._network, self._plans, self._samples, self._windows = network, plans, samples, windows
        self._count, members = count_of(samples), [node.name for name in plans for node in self.teams[name]]
        self._product = _seconds_of_product()
        self._measure(run)
        self._rehearsal = Rehearsal(network, samples, allowance, members)
        self._fits: dict[str, FitTime] = {}
        self._activations: dict[str, ActivationTime] = {}
        self._encoded: set[tuple[str, str]] = set()

    def _measure(self, run: Run) -> None:
        """Time the plan and a pass of the float network, and keep what arrives at a few of its layers."""
        network, batch = self._network, batches_of(self._network, self._count)[0]
        read = list(dict.fromkeys(self.teams[name][0].inputs[0] for name in self._plans))
        names = read[:: max(-(-len(read) // _TRIED), 1)]
        part = prefix(network, dict.fromkeys([*network.outputs, *names]))
        feeds, runners = {name: array[batch] for name, array in self._samples.items()}, []
        self._node = seconds_of(lambda: runners.append(run(part))) / max(len(part.nodes), 1)
        found: list[Mapping[str, npt.NDArray[np.generic]]] = []
        times = [seconds_of(lambda: found.append(runners[0](feeds))) for _ in range(2)]
        self._pass = min(times) / (len(range(batch.start, batch.stop)) * max(work(network), 1.0))
        self._arriving = [np.nan_to_num(found[0][name]) for name in names]  # what is refused is so later
        self._value = float(np.mean([looking_time(values) for values in self._arriving]))
        self._running = len(range(batch.start, batch.stop)) * widest_cut(network)

    def layer(self, name: str, team: Sequence[Node], plan: Plan) -> float:
        """Return the seconds of a layer; count its memory."""
        changes, seconds, values = name in self._plans, 0.0, 0.0
        if not (changes or (plan.restores and self._encoded)):
            return 0.0
        codes, reads = changes and not plan.is_weight_only, plan.restores or plan.corrects
        sources, asked = list(dict.fromkeys(node.inputs[0] for node in team)), time.process_time()
        new, held = self._rehearsal.unseen(sources), [self._rehearsal.held]
        if codes:
            self._rehearsal.look(sources)
        held.append(self._rehearsal.held)
        self._rehearsal.layer(team, reads=reads, decodes=reads and codes, changes=changes)
        held.append(self._rehearsal.held)
        asking = time.process_time() - asked
        for source in new:
            values = max(values, min(self._elements(source), MOST_VALUES))
            seconds += self._looking(source)
        if codes:
            seconds += self._encoding(sources[0], plan)
        self._count_bytes(held, values, team, plan)
        return asking + seconds + self._ran(self._rehearsal.taken()) + self._fitting(team, plan, changes)

    def around(self) -> float:
        """Return the seconds of what is done before the layers and after them."""
        nodes, whole = len(self._network.nodes), work(self._network)
        seconds = self._smoothing() + nodes * COSTS["node"]
        for most in (RANGED, *[equalize.SAMPLES] * any(plan.equalizes for plan in self._plans.values())):
            seconds += self._ran(Counted(1, nodes, 1, min(self._count, most) * whole))
        return seconds

    def _smoothing(self) -> float:
        """Return the seconds of looking for factors of channels, where layers read reals."""
        found, seconds = smooth.sources(self._network, self._plans), 0.0
        few = {name: array[: smooth.SAMPLES] for name, array in self._samples.items()}
        rehearsal = Rehearsal(self._network, few, budget(), ())
        for name, readers in found.items():
            plan, quickly = self._plans[readers[0].name], smooth.quickly(self._plans[readers[0].name])
            rehearsal.ask(name)
            channels = int(self._network.value(name).shape[1])
            size = min(count_of(few) * sample_bytes(self._network, name) // 4, smooth.ROWS * channels)
            tried = self._activation(plan, exact=True)
            shapes = [(len(weights), channels) for weights in self._weights(readers)]
            fits = sum(self._fit(replace(quickly, method="rtn")).of(shape) for shape in shapes)
            products = sum(4.0 * size * outputs for outputs, _ in shapes) * self._product
            once = size * (self._value + tried.coding) + tried.encoding + fits + products + COSTS["trial"]
            seconds += (1 + len(smooth.EXPONENTS)) * once
        return seconds + self._ran(rehearsal.taken())

    def _weights(self, nodes: Sequence[Node]) -> Iterator[npt.NDArray[np.generic]]:
        return (self._network.constant(node.inputs[1]) for node in nodes)

    def _elements(self, name: str) -> float:
        return self._count * sample_bytes(self._network, name) / 4

    def _looking(self, source: str) -> float:
        """Return the seconds of looking at a value in both networks."""
        elements, visits = self._elements(source), 2 * self._rehearsal.batches * COSTS["visit"]
        each = self._value + COSTS["value"]
        return visits + 2 * elements * COSTS["element"] + min(elements, MOST_VALUES) * each

    def _encoding(self, source: str, plan: Plan) -> float:
        """Return the seconds of fitting the encoding of a value; layers that want the same share it."""
        key = source, str(plan.input_form)
        if key in self._encoded:
            return 0.0
        self._encoded.add(key)
        return self._activation(plan, exact=source in self._network.inputs).encoding

    def _activation(self, plan: Plan, *, exact: bool) -> ActivationTime:
        """Return how long an activation takes by a plan, on average."""
        form = f"{plan} {exact}"
        if form not in self._activations:
            found = [astuple(activation_time(plan, values, exact=exact)) for values in self._arriving]
            self._activations[form] = ActivationTime(*np.mean(found, axis=0).tolist())
        return self._activations[form]

    def _fit(self, plan: Plan) -> FitTime:
        """Return how long weights take by a plan."""
        form = str(plan)
        if form not in self._fits:
            found = (_shape(self._network, self.teams[name][0]) for name in self._plans)
            shapes = [(outputs * _together(rows, plan), inputs) for rows, outputs, inputs in found]
            self._fits[form] = weights_time(plan, shapes)
        return self._fits[form]

    def _fitting(self, team: Sequence[Node], plan: Plan, changes: bool) -> float:
        """Return the seconds of the windows of a layer that are looked at, and of its weights."""
        rows, outputs, inputs = _shape(self._network, team[0])
        seen = min(len(team) * self._count * rows.windows(), self._windows(plan, inputs))
        visits, moments = self._rehearsal.batches * len(team), plan.restores or plan.corrects
        seconds = (
            COSTS["layer"] + 2 * visits * COSTS["visit"] + seen * rows.groups * outputs * COSTS["window"]
        )
        if moments:
            seconds += visits * COSTS["visit"] + rows.groups * (
                COSTS["group"] + visits * COSTS["group visit"]
            )
            seconds += seen * rows.groups * inputs * COSTS["input"]
        if plan.restores:
            sums = COSTS["moment"] * 2.0 * seen * inputs * (inputs / 2 + outputs)
            solved = COSTS["restored"] * (inputs**3 / 3 + 16.0 * inputs * inputs * outputs)
            seconds += rows.groups * (sums + solved) * self._product
        together = _together(rows, plan)
        fitted = rows.groups / together * self._fit(plan).of((outputs * together, inputs)) if changes else 0.0
        return seconds + fitted

    def _ran(self, counted: Counted) -> float:
        """Return the seconds of parts of a network that run."""
        fixed = counted.plans * COSTS["plan"] + counted.nodes * self._node
        return fixed + counted.calls * COSTS["call"] + counted.work * self._pass

    def _count_bytes(self, held: Sequence[int], values: float, team: Sequence[Node], plan: Plan) -> None:
        """Count what a layer takes beside what was resident, at the worst of its steps.

        Args:
            held: bytes that streams hold before the layer, when its input was looked at, and in the end.
            values: of its input that are looked at.
            team: the layer, and those that share its weights.
            plan: of the layer.
        """
        before, seen_input, after = held
        rows, outputs, inputs = _shape(self._network, team[0])
        seen = min(len(team) * self._count * rows.windows(), self._windows(plan, inputs))
        chosen, weights = seen * rows.groups * outputs, rows.groups * outputs * inputs
        moments = rows.groups * 8 * inputs * (inputs + outputs) if plan.restores else 0
        block = rows.groups * min(seen, BLOCK) * (inputs + outputs) if plan.restores or plan.corrects else 0
        restored = rows.groups * moment_bytes(inputs, outputs) if plan.restores else 0
        steps = (
            max(before, seen_input) + self._running + _ARRIVING * values,
            seen_input + _LOOKED * values,
            max(seen_input, after) + self._running + _CHOSEN * chosen + 1.5 * moments + _BLOCK * block,
            after + _CHOSEN * chosen + max(restored, _FITTED * weights),
            after + _COMPARED * chosen + moments,
        )
        self.bytes = max(self.bytes, int(max(steps)))


def _shape(network: Graph, layer: Node) -> tuple[Rows, int, int]:
    """Return how a layer reads, and the outputs and inputs of one of its groups."""
    rows, weights = Rows.of(network, layer), network.constant(layer.inputs[1])
    return rows, len(weights) // rows.groups, weights.size // len(weights)


def _together(rows: Rows, plan: Plan) -> int:
    """Return of how many groups weights are fitted at once: every group has moments of its own."""
    return 1 if plan.restores else rows.groups


def _seconds_of_product() -> float:
    """Return the seconds of one operation of a product of matrices."""
    square = np.random.default_rng(0).normal(size=(_SIDE, _SIDE))
    best: float = min(seconds_of(lambda: square @ square) for _ in range(_TIMES))
    return best / (2.0 * _SIDE * _SIDE * _SIDE)


def _resident() -> int:
    """Return the bytes that this process has in memory; 0 where the system does not say."""
    status = Path("/proc/self/statm")
    return int(status.read_text().split()[1]) * 4096 if status.exists() else 0


def _duration(seconds: float) -> str:
    """Return seconds as people say them: `4 s`, `3 min`, `2.5 h`."""
    if seconds < 90:
        return f"{max(round(seconds), 1)} s"
    return f"{round(seconds / 60)} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
