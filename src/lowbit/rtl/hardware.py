"""A network as hardware in one call: planned, then simulated, counted and written as a project.

made = hardware(network, engine="array", cycles=32768)
made.report.cycles_per_image          # clocks from picture to picture
made.simulate("cifar10", limit=100)   # every picture against the reference, clock by clock
made.synthesize().lut                 # look-up tables
made.write("cnv")                     # Verilog, what scores mean, and the report so far
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from lowbit.data import Dataset, Normalize, load
from lowbit.errors import PlanError, UsageError
from lowbit.formats import read_model
from lowbit.ir import Graph
from lowbit.ir.graph import Array
from lowbit.ir.layers import is_low_bit
from lowbit.rtl.array.budget import (
    MIDDLING,
    device,
    fold_for_budget,
    fold_for_cycles,
    folding_of,
    is_without_multipliers,
)
from lowbit.rtl.array.design import ArrayDesign
from lowbit.rtl.array.ends import Ends, scored
from lowbit.rtl.array.from_graph import from_graph as array_network
from lowbit.rtl.array.plan import plan_array
from lowbit.rtl.array.units.unit import Budget
from lowbit.rtl.design import Design
from lowbit.rtl.elements import ELEMENTS
from lowbit.rtl.handoff import GOLDEN
from lowbit.rtl.lst.design import lst_design
from lowbit.rtl.lst.from_graph import from_graph as lst_network
from lowbit.rtl.lst.from_graph import in_fixed_point, is_fixed_point
from lowbit.rtl.lst.plan import Variant
from lowbit.rtl.pictures import (
    AnyByte,
    Byte,
    picture_normalize,
    reference_scores,
    sample_lengths,
    to_pictures,
)
from lowbit.rtl.primitives.target import Target
from lowbit.rtl.project import Compiled, Progress, count, make_project, simulate
from lowbit.rtl.report import Bench, HardwareReport, Options, planned, require_equal
from lowbit.rtl.simulate import SimulatedRun
from lowbit.rtl.unroll.design import UnrollDesign
from lowbit.rtl.unroll.forecast import LARGEST, unrolls
from lowbit.rtl.unroll.plan import plan_unroll
from lowbit.schemes import FixedPoint
from lowbit.schemes.specification import specification

Engine = Literal["auto", "lst", "array", "unroll"]
Stream = Literal["picture", "bytes"]
Pictures = str | PathLike[str] | npt.ArrayLike | Dataset

__all__ = ["Byte", "Engine", "Hardware", "HardwareReport", "Options", "Stream", "hardware"]


@dataclass(eq=False)
class Hardware:
    """Planned hardware of a network, with what has been found out about it.

    Attributes:
        graph: what it computes: the network, in fixed point where it was rounded for the hardware.
        design: the plan: widths in bits, schedule in clocks, contents of memories.
        normalize: mean and deviation that the table of pixels has built in, or None.
        byte: what a byte of the stream stands for; a number is its step, None is 1/255.
        why: why it has this engine, where that was chosen for it.
        ends: what of the network is not in hardware: functions behind its scores, which `graph` ends in.
        report: see `lowbit.rtl.report.HardwareReport`; `simulate`, `synthesize` and `write` fill it in.
    """

    graph: Graph
    design: Design
    normalize: Normalize
    byte: AnyByte = None
    ends: Ends | None = None
    why: str | None = None
    report: HardwareReport = field(init=False)

    def __post_init__(self) -> None:
        left_out = () if self.ends is None else self.ends.left_out
        self.report = replace(planned(self.design, left_out), why=self.why)

    def simulate(
        self, pictures: Pictures, *, split: str = "test", limit: int | None = None
    ) -> HardwareReport:
        """Run pictures through the hardware clock by clock, and return the report.

        All run undisturbed, the first ones again with gaps, stalls, a reset and cut packets.

        Args:
            pictures: a data set, its name or path, or an array ``[n, ...]`` of bytes or of pixels in [0, 1],
                before normalization.
            split: train or test, of a data set by name.
            limit: at most so many.

        Raises:
            DataError: another shape, or numbers that no byte stands for.
            MissingExtra: a tool of ``lowbit[hdl]`` is not installed.
            MismatchError: a score or a class differs from the reference evaluator's; `report` counts them.
        """
        self.report = simulate(self.report, self._compiled, self._bench(pictures, split, limit))
        require_equal(self.report, self.graph.name)
        return self.report

    def estimate(self) -> Budget:
        """Return what the engine ``array`` takes, estimated from counts of synthesized units.

        Raises:
            PlanError: of another engine, which `synthesize` counts.
        """
        if isinstance(self.design, ArrayDesign):
            return self.design.plan.cost
        raise PlanError("only the engine array estimates", where=self.graph.name, remedy="Synthesize it.")

    def run(self, stream: npt.NDArray[np.uint8]) -> SimulatedRun:
        """Return what comes out for bytes of the stream; `design.real_scores` makes the scores of it.

        Args:
            stream: uint8 ``[n, rows, columns, channels]``, see `stream`.

        Raises:
            MissingExtra: a tool of ``lowbit[hdl]`` is not installed.
        """
        return self._compiled.run(stream)

    def stream(
        self, pictures: Pictures, *, split: str = "test", limit: int | None = None
    ) -> npt.NDArray[np.uint8]:
        """Return pictures as the stream has them: uint8 ``[n, rows, columns, channels]``.

        Raises:
            DataError: another shape, or numbers that no byte stands for.
        """
        dataset = pictures if isinstance(pictures, Dataset) else load(pictures, split=split, limit=limit)
        return to_pictures(dataset, self.graph, self.byte, self.design.picture)

    def finish(self, scores: npt.NDArray[np.float32]) -> tuple[Array, ...]:
        """Return the outputs of the network of scores ``[n, classes]``, with what is not in hardware."""
        return (scores,) if self.ends is None else self.ends.finish(scores)

    def synthesize(self) -> HardwareReport:
        """Count LUTs, flip-flops, DSP blocks and RAMB18 with Yosys, and return the report.

        Raises:
            MissingExtra: a tool of ``lowbit[hdl]`` is not installed.
        """
        self.report = count(self.report, self.design)
        return self.report

    def write(
        self,
        folder: str | PathLike[str],
        options: Options | None = None,
        *,
        pictures: Pictures | None = None,
        split: str = "test",
        limit: int | None = None,
        progress: Progress = lambda step: None,
    ) -> HardwareReport:
        """Write a project and return the report, which is in the folder as well.

        Args:
            folder: where to; an older project of that name is replaced.
            options: what else is wanted, see `lowbit.rtl.report.Options`.
            pictures, split, limit: to simulate while it is made, as of `simulate`; then waveforms and
                activity can be written too.
            progress: called with the name of each step.

        Raises:
            PlanError: a bitstream is wanted for a family without open tools.
            MissingExtra: a tool is missing; nothing has been done.
            WriteError: the folder is there and is no project, or cannot be written.
            MismatchError: in simulation it computes something else; the project is there all the same.
        """
        bench = None if pictures is None else self._bench(pictures, split, limit)
        chosen = options or Options()
        golden = self.golden() if bench is None else bench
        self.report = make_project(self.report, self.design, Path(folder), chosen, bench, progress, golden)
        require_equal(self.report, str(folder))
        return self.report

    @cached_property
    def _compiled(self) -> Compiled:
        return Compiled(self.design)

    def golden(self) -> Bench:
        """Return pictures of noise, and what the reference makes of them, for the project's test bench."""
        lengths = sample_lengths(self.graph)
        noise = np.random.default_rng(0).integers(0, 256, (GOLDEN, *lengths), np.uint8)
        return self._bench(Byte.of(self.byte).samples(noise), "test", None)

    def _bench(self, pictures: Pictures, split: str, limit: int | None) -> Bench:
        stream = self.stream(pictures, split=split, limit=limit)
        return Bench(stream, reference_scores(self.graph, stream, self.normalize, self.byte))


def hardware(
    network: Graph | str | PathLike[str],
    *,
    engine: Engine = "auto",
    variant: Variant = "shared",
    pe: str | None = None,
    budget: str | None = None,
    cycles: int | None = None,
    fold: Sequence[str] = (),
    pipeline: int | None = None,
    stream: Stream | None = None,
    target: Target = "xc7",
    scheme: str | None = None,
    normalize: Normalize = None,
    byte: AnyByte = None,
) -> Hardware:
    """Return planned hardware of a network: byte pixels in, scores and the class out, by AXI-Streams.

    Args:
        network: a graph, or its file.
        engine: ``lst`` for one learned separable transform in fixed point, ``array`` for a graph of low-bit
            layers, a unit each, ``unroll`` for a small one as adders, a picture per clock; ``auto`` takes
            what fits, and the report says why.
        variant: of ``lst``: ``shared``, one chain of multipliers, or ``pipelined``, two.
        pe: of ``array``: the processing element of layers that it can run; the cheapest when None.
        budget: of ``array``: a device, such as ``xc7z020``, or ``lut=N,dsp=N,ramb18=N``; the fastest engine
            within it is taken.
        cycles: of ``array``: clocks per picture; the cheapest engine that reaches them is taken, by what
            is scarcest in a budget where one is given.
        fold: of ``array``: foldings of single layers, ``LAYER=ELEMENTSxLANES``.
        pipeline: of ``unroll``: operations in a row between registers; by default results alone have some.
        stream: of ``unroll``: ``picture``, a beat is a picture, and all its results; or ``bytes``, as of
            the others.
        target: the family: ``xc7``, ``xcup``, ``ecp5``, ``ice40``, ``gowin`` or ``generic`` (names no block).
        scheme: of ``lst``: the format that a float network is rounded to, such as ``fixed:6.7``.
        normalize: mean and deviation of pixels; else what the network's file remembers.
        byte: what a byte of the stream is multiplied by, 1/255 when None; or a `Byte`, which may be signed.

    Raises:
        UsageError: settings that do not go together.
        UnsupportedError: the engine does not run the network: everything that is in the way.
        PlanError: it cannot be planned as wished; names the layer.
    """
    graph = _graph(network)
    _check(
        engine=(engine, get_args(Engine)),
        variant=(variant, get_args(Variant)),
        pe=(pe, ELEMENTS),
        target=(target, get_args(Target)),
        stream=(stream, get_args(Stream)),
    )
    folded: dict[str, object] = {"pe": pe, "cycles": cycles, "fold": fold}
    unrolled: dict[str, object] = {"pipeline": pipeline, "stream": stream}
    if pipeline is not None and pipeline < 1:
        raise UsageError("no such pipeline", where="hardware", expected="1 or more", found=str(pipeline))
    chosen = engine if engine != "auto" else engine_of(graph)
    if engine == "auto" and chosen == "array" and any(unrolled.values()):
        chosen = "unroll"
    if chosen == "lst":
        _refuse("array", chosen, {**folded, "budget": budget})
        _refuse("unroll", chosen, unrolled)
        return _lst(graph, variant, target, scheme, normalize, byte)
    _refuse("lst", chosen, {"scheme": scheme, "variant": None if variant == "shared" else variant})
    if chosen == "unroll":
        _refuse("array", chosen, folded)
        return _unroll(graph, pipeline, stream or "picture", budget, target, normalize, byte)
    _refuse("unroll", chosen, unrolled)
    return _array(graph, pe, budget, cycles, fold, target, normalize, byte, auto=engine == "auto")


def _graph(network: Graph | str | PathLike[str]) -> Graph:
    if isinstance(network, Graph):
        return network
    if not isinstance(network, str | PathLike):
        raise UsageError(
            "this is no network",
            where="hardware",
            expected="lowbit.Graph, or the path of a file",
            found=type(network).__qualname__,
            remedy="quantize returns a network and a report: small, report = lowbit.quantize(…).",
        )
    return read_model(network)


def engine_of(graph: Graph) -> Engine:
    """Return the engine that a network is for: floats and fixed point are LST's."""
    low_bit = any(is_low_bit(node) for node in graph.nodes)
    return "array" if low_bit and not is_fixed_point(graph) else "lst"


def _lst(
    graph: Graph,
    variant: Variant,
    target: Target,
    scheme: str | None,
    normalize: Normalize,
    byte: AnyByte,
) -> Hardware:
    fixed = in_fixed_point(graph, None if scheme is None else _format(scheme))
    chosen = picture_normalize(fixed, normalize)
    return Hardware(fixed, lst_design(lst_network(fixed, chosen, byte), variant, target), chosen, byte)


def _format(scheme: str) -> FixedPoint:
    """Return the format that a specification means; `M.N` alone is read as well, as ever."""
    form = specification(f"fixed:{scheme}" if scheme[:1].isdigit() else scheme, "weights")
    if form.has_format:
        return form.fixed_point
    raise PlanError("the engine lst takes a format of fixed point", expected="fixed:M.N", found=str(form))


def _array(
    graph: Graph,
    pe: str | None,
    budget: str | None,
    cycles: int | None,
    fold: Sequence[str],
    target: Target,
    normalize: Normalize,
    byte: AnyByte,
    *,
    auto: bool,
) -> Hardware:
    ends, chosen = scored(graph), picture_normalize(graph, normalize, None)
    network = array_network(ends.scored, chosen, byte)
    most = device(budget or LARGEST[target]).lut
    instead, why = unrolls(network, cycles, most) if auto and not (pe or fold) else (False, None)
    if instead:
        unrolled = plan_unroll(network, target, most=most)
        return Hardware(ends.scored, UnrollDesign(unrolled), chosen, byte, ends, why)
    own = None if cycles and budget is None else device(budget or MIDDLING[target])
    if cycles:
        found = fold_for_cycles(network, cycles, target, pe, own)
    else:
        assert own is not None
        found = fold_for_budget(network, own, target, pe)
    found |= folding_of(network, fold)
    plan = plan_array(network, found, target, pe, shifts=is_without_multipliers(own))
    return Hardware(ends.scored, ArrayDesign(plan), chosen, byte, ends, why)


def _unroll(
    graph: Graph,
    pipeline: int | None,
    stream: Stream,
    budget: str | None,
    target: Target,
    normalize: Normalize,
    byte: AnyByte,
) -> Hardware:
    ends, chosen = scored(graph), picture_normalize(graph, normalize, None)
    network = array_network(ends.scored, chosen, byte)
    most = device(budget or LARGEST[target]).lut
    plan = plan_unroll(network, target, whole=stream == "picture", pipeline=pipeline, most=most)
    return Hardware(ends.scored, UnrollDesign(plan), chosen, byte, ends)


def _check(**choices: tuple[str | None, Iterable[str]]) -> None:
    """Refuse words that a setting does not have."""
    for name, (word, known) in choices.items():
        if word is not None and word not in known:
            expected = ", ".join(known)
            raise UsageError(f"no such {name}", where="hardware", expected=expected, found=repr(word))


def _refuse(engine: str, chosen: str, settings: dict[str, object]) -> None:
    """Refuse settings of the other engine."""
    given = [name for name, value in settings.items() if value]
    if given:
        raise UsageError(
            f"{', '.join(given)}: only the engine {engine} knows that",
            where="hardware",
            expected=f"engine {engine}",
            found=chosen,
            remedy=f"Say engine {engine}, or leave it out.",
        )
