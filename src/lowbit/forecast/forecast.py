"""Every setting of a network side by side, before it is quantized, and one that is recommended."""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import Any

from lowbit import api
from lowbit.analysis import layer_bytes
from lowbit.data import Normalize
from lowbit.errors import PlanError, UsageError
from lowbit.forecast.allocation import Allocation, front, within
from lowbit.forecast.outline import SAMPLES, Samples, outline
from lowbit.forecast.purposes import Cost, Purpose, purpose
from lowbit.forecast.risk import Risks, risks
from lowbit.forecast.settings import Setting, mixed_plan, settings_of
from lowbit.formats import write_model
from lowbit.ir import Graph
from lowbit.plan import Plan
from lowbit.quantization.choice import layers_to_quantize
from lowbit.quantization.shared import layer_form, layer_names, teams
from lowbit.sampling import RANDOM, Data, samples_of, scattered

Progress = Callable[[int, int, str], None]

KEPT = 0.99
"""Share of samples whose class a recommended plan is expected to keep."""

_QUIET = 0.01
"""The same where there are no classes: the most error of the output, relative to its variance."""


@dataclass(frozen=True)
class Outlook:
    """What a network will be with a plan.

    Attributes:
        name: of the plan: a setting, or ``mixed``.
        plan: for `lowbit.quantize`.
        chosen: the setting of each layer.
        bytes: of its ``.circle`` file, exactly.
        error: expected of its output, relative to the float output's variance.
        agreement: expected share of samples that keep their class; None where there are no classes.
        costs: by target.
        layer_bytes: that each layer holds.
    """

    name: str
    plan: Plan
    chosen: Mapping[str, Setting]
    bytes: int
    error: float
    agreement: float | None
    costs: Mapping[str, Cost]
    layer_bytes: Mapping[str, int]

    @property
    def works(self) -> bool:
        """Whether nothing is in the way at any target."""
        return not any(cost.why for cost in self.costs.values())

    def keeps(self, least: float = KEPT) -> bool:
        """Return whether it is expected to keep so many classes, or nearly all of its output."""
        return self.error <= _QUIET if self.agreement is None else self.agreement >= least

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON-ready values."""
        return {
            "name": self.name,
            "bytes": self.bytes,
            "error": self.error,
            "agreement": self.agreement,
            "layers": {name: setting.table for name, setting in self.chosen.items()},
            "costs": {name: {**cost.figures, "why": cost.why} for name, cost in self.costs.items()},
        }


@dataclass(frozen=True)
class Forecast:
    """All settings of a network.

    Attributes:
        graph: the float network.
        base: the plan that says everything but bits.
        purposes: what it is for.
        risks: of layers and settings.
        uniform: a row for each setting, in all layers alike.
        samples: that outlines are fitted to.
        data: what they are of.
        kept: share of samples whose class a recommended plan is expected to keep.
    """

    graph: Graph
    base: Plan
    purposes: tuple[Purpose, ...]
    risks: Risks
    uniform: tuple[Outlook, ...]
    samples: Samples
    data: str = RANDOM
    kept: float = KEPT

    @property
    def recommended(self) -> Outlook | None:
        """The smallest of the rows that work everywhere and keep enough classes; None where none does."""
        fitting = [row for row in self.uniform if row.works and row.keeps(self.kept)]
        return min(fitting, key=lambda row: row.bytes, default=None)

    def mixed(self, budget: int) -> Outlook:
        """Return the plan of least risk whose file takes at most so many bytes.

        Raises:
            PlanError: the smallest file takes more; says how much.
        """
        allowed, seen = float(budget), list[Outlook]()
        for _ in range(_TRIES):
            allocation = within(self._bytes, self.risks.errors, *self._grid, allowed)
            if any(allocation.chosen == row.chosen for row in seen):
                break
            seen.append(self.outlook(allocation))
            allowed += budget - seen[-1].bytes
        seen += self.uniform
        if fitting := [row for row in seen if row.bytes <= budget]:
            return min(fitting, key=lambda row: row.error)
        least = min(row.bytes for row in seen)
        raise PlanError(
            "no mixture of these settings is so small",
            where=self.graph.name,
            expected=f"at most {budget:,} bytes",
            found=f"{least:,} bytes at least",
            remedy=f"Allow {least} bytes, or try settings of fewer bits (--try).",
        )

    def front(self) -> list[Outlook]:
        """Return mixtures from the smallest file to the largest, each with less risk than those before."""
        allocations = front(self._bytes, self.risks.errors, *self._grid)
        kept: list[Outlook] = []
        for row in sorted(map(self.outlook, allocations), key=lambda row: (row.bytes, row.error)):
            if not kept or row.error < kept[-1].error:
                kept.append(row)
        return kept

    def outlook(self, allocation: Allocation[Setting]) -> Outlook:
        """Return what a mixture will be."""
        (made,) = _outlooks(self, [("mixed", allocation.chosen)])
        return made

    @property
    def _bytes(self) -> dict[tuple[str, Setting], float]:
        """Bytes of each layer at each setting, with its part of what the file holds besides."""
        found = {}
        for row in self.uniform:
            besides = (row.bytes - sum(row.layer_bytes.values())) / len(row.layer_bytes)
            found.update({(name, row.chosen[name]): row.layer_bytes[name] + besides for name in row.chosen})
        return found

    @property
    def _grid(self) -> tuple[tuple[str, ...], tuple[Setting, ...]]:
        return self.risks.layers, self.risks.settings

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON-ready values."""
        best = self.recommended
        return {
            "network": self.graph.name,
            "data": self.data,
            "samples": self.risks.samples,
            "rows": [row.to_dict() for row in self.uniform],
            "risks": [
                {"layer": layer, "setting": setting.label, "error": error}
                for (layer, setting), error in self.risks.errors.items()
            ],
            "recommended": None if best is None else best.name,
        }


_TRIES = 8


def forecast(
    network: Graph | str | PathLike[str],
    data: Data = None,
    *,
    targets: Sequence[str] = ("cpu",),
    settings: Sequence[str] = (),
    keep: Sequence[str] = (),
    kept: float = KEPT,
    samples: int = 4 * SAMPLES,
    split: str = "train",
    normalize: Normalize = None,
    scale: float | None = None,
    progress: Progress | None = None,
) -> Forecast:
    """Return what a network will be at several settings.

    Args:
        network: the float network, or its file.
        data, split, normalize, scale: unlabelled samples, as of `lowbit.api.load_inputs`; without them random
            pixels, which say little of risk.
        targets: what it is for, see `lowbit.forecast.purposes`.
        settings: ``lq:2`` or ``lq:2/affine:8``; the usual ones when empty.
        keep: layers that stay float, by name, pattern or end.
        kept: share of samples whose class a recommended plan is expected to keep.
        samples: how many are looked at; `SAMPLES` of them are fitted to, the others measure.
        progress: called with what is done, what there is, and what comes next.

    Raises:
        DataError: samples do not fit.
        PlanError: a setting is impossible.
        UnsupportedError: there is no layer to quantize.
        UsageError: there is no such target, or it is said twice.
    """
    purposes = _purposes(targets)
    chosen, plan = settings_of(settings), Plan().keeping(keep)
    graph = network if isinstance(network, Graph) else api.read(network)
    layers = _layers(graph, plan, chosen[0])
    given = samples_of(graph, data, samples, split, normalize, scale, scattered(samples))
    found = risks(graph, layers, chosen, plan, given, progress)
    few = {name: array[:SAMPLES] for name, array in given.items()}
    about = data if isinstance(data, str) else "given samples" if data is not None else RANDOM
    made = Forecast(graph, plan, purposes, found, (), few, about, kept)
    uniform = [(setting.label, dict.fromkeys(layers, setting)) for setting in chosen]
    return replace(made, uniform=tuple(_outlooks(made, uniform)))


def _purposes(targets: Sequence[str]) -> tuple[Purpose, ...]:
    """Return what a network is for, each once: of two limits of one target one would be lost."""
    found = tuple(purpose(text) for text in targets)
    names = [each.name for each in found]
    if twice := [text for text, name in zip(targets, names, strict=True) if names.count(name) > 1]:
        raise UsageError(
            "a target is said twice",
            where="--target",
            expected="each once, with all its limits, as in c99:flash=64K,ram=16K",
            found=" and ".join(twice),
        )
    return found


def _layers(graph: Graph, plan: Plan, setting: Setting) -> list[str]:
    """Return the names of the layers that are quantized, in order; of those that share weights the first."""
    network = layer_form(graph)
    whole = plan.adjusted(**setting.table).resolved(layer_names(network))
    first = [team[0] for team in teams(network).values()]
    return [layer.name for layer in layers_to_quantize(network, first, whole)]


def _outlooks(made: Forecast, plans: Sequence[tuple[str, Mapping[str, Setting]]]) -> list[Outlook]:
    """Return rows of plans, measured side by side."""
    full = [mixed_plan(chosen, made.base) for _, chosen in plans]
    graphs = [outline(made.graph, plan, made.samples) for plan in full]
    costs = {each.name: each.measure(graphs) for each in made.purposes}
    return [
        Outlook(
            name,
            plan,
            dict(chosen),
            file_bytes(low),
            made.risks.error(chosen),
            made.risks.agreement(chosen),
            {target: rows[number] for target, rows in costs.items()},
            {row.layer: row.bytes for row in layer_bytes(low) if row.layer in chosen},
        )
        for number, ((name, chosen), plan, low) in enumerate(zip(plans, full, graphs, strict=True))
    ]


def file_bytes(graph: Graph) -> int:
    """Return the bytes of a network as ``.circle``."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.circle"
        write_model(graph, path)
        return path.stat().st_size
