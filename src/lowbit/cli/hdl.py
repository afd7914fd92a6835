"""``lowbit hdl``: a network becomes Verilog, simulated, synthesized, placed."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lowbit.cli.console import (
    JsonFlag,
    NormalizeOption,
    SplitOption,
    cell,
    out,
    parse_normalize,
    parse_scale,
    print_json,
    print_table,
    progress,
)

if TYPE_CHECKING:
    from lowbit.data import Dataset, Normalize
    from lowbit.ir import Graph
    from lowbit.rtl.array.operands import Kind
    from lowbit.rtl.design import Design
    from lowbit.rtl.project import Bench, HardwareReport


class Engine(StrEnum):
    """What `--engine` may say."""

    LST = "lst"
    ARRAY = "array"


class Element(StrEnum):
    """What `--pe` may say."""

    XNOR = "xnor"
    SHIFT = "shift"
    PLANES = "planes"
    MULTIPLY = "multiply"


class Variant(StrEnum):
    """What `--variant` may say."""

    SHARED = "shared"
    PIPELINED = "pipelined"


class Family(StrEnum):
    """What `--target` may say."""

    XC7 = "xc7"
    XCUP = "xcup"
    ECP5 = "ecp5"


class Package(StrEnum):
    """What `--package` may say."""

    PYNQ = "pynq"


PUBLISHED = {"cycles_per_image": 4934, "lut": 914, "ff": 302, "dsp": 57, "ramb18": 67, "fmax_mhz": 48.8}
"""LST-1 in 13 bits on XC7Z010, by the vendor's tool (Vashkevich and Krivalcevich 2025)."""

CLOCK = 100_000_000

_ROWS = (
    ("cycles per image", "cycles_per_image"),
    ("latency, cycles", "latency_cycles"),
    ("LUT", "lut"),
    ("FF", "ff"),
    ("DSP", "dsp"),
    ("RAMB18", "ramb18"),
    ("clock, MHz", "fmax_mhz"),
    ("signal changes per image", "toggles_per_image"),
    ("images simulated", "images"),
    ("mismatches", "mismatches"),
)


def hdl(
    model: Annotated[
        Path, typer.Argument(help="A network of one learned separable transform, or a low-bit one.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the project.")],
    engine: Annotated[
        Engine, typer.Option("--engine", help="lst: separable transforms; array: a unit per layer.")
    ] = Engine.LST,
    variant: Annotated[
        Variant, typer.Option("--variant", help="lst: shared, one chain of multipliers; pipelined, two.")
    ] = Variant.SHARED,
    pe: Annotated[
        Element | None,
        typer.Option("--pe", help="array: xnor, shift, planes or multiply, for layers that it can run."),
    ] = None,
    budget: Annotated[
        str | None,
        typer.Option("--budget", help="array: a device, such as xc7z020, or lut=N,dsp=N,ramb18=N."),
    ] = None,
    cycles: Annotated[
        int | None,
        typer.Option("--cycles", min=1, help="array: clocks per picture, for the cheapest engine."),
    ] = None,
    fold: Annotated[
        list[str] | None, typer.Option("--fold", help="array: LAYER=ELEMENTSxLANES; may be repeated.")
    ] = None,
    target: Annotated[Family, typer.Option("--target", help="xc7, xcup or ecp5.")] = Family.XC7,
    scheme: Annotated[
        str | None, typer.Option("--scheme", help="lst: fixed:M.N or fixed:M.N:floor, of a float network.")
    ] = None,
    simulate: Annotated[bool, typer.Option("--simulate", help="Compare every picture of --data.")] = False,
    data: Annotated[str | None, typer.Option("--data", help="A path, or the name of a data set.")] = None,
    split: SplitOption = None,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="At most so many pictures.")] = None,
    waveform: Annotated[bool, typer.Option("--waveform", help="VCD of the first differing picture.")] = False,
    activity: Annotated[
        bool, typer.Option("--activity", help="SAIF of the first pictures, for a vendor's power report.")
    ] = False,
    lint: Annotated[bool, typer.Option("--lint", help="Verilator's warnings of the Verilog.")] = False,
    synthesize: Annotated[bool, typer.Option("--synthesize", help="Count resources.")] = False,
    bitstream: Annotated[bool, typer.Option("--bitstream", help="Place and route (ecp5).")] = False,
    package: Annotated[
        Package | None, typer.Option("--package", help="pynq: scripts for the vendor's tool, and a driver.")
    ] = None,
    counters: Annotated[bool, typer.Option("--counters", help="lst: counters behind AXI-Lite.")] = False,
    normalize: NormalizeOption = None,
    byte: Annotated[
        str | None, typer.Option("--byte", help="What bytes are multiplied by, such as 1/16; else 1/255.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Make hardware of a network: Verilog, and what simulation and synthesis find.

    Example: `lowbit hdl lst1.onnx -o lst1 --simulate --data mnist --synthesize`
    Example: `lowbit hdl cnv.onnx -o cnv --engine array --simulate --data cifar10 --limit 100`
    """
    from lowbit import api
    from lowbit.rtl.project import Options, generate

    if (waveform or activity) and not simulate:
        raise typer.BadParameter("--waveform and --activity go with --simulate")
    if simulate != (data is not None):
        raise typer.BadParameter("--simulate and --data go together")
    if engine is Engine.LST and (pe or budget or cycles or fold):
        raise typer.BadParameter("--pe, --budget, --cycles and --fold go with --engine array")
    if engine is Engine.ARRAY and (scheme or counters):
        raise typer.BadParameter("--scheme and --counters go with --engine lst")
    if budget and cycles:
        raise typer.BadParameter("--budget and --cycles exclude each other")
    graph, wanted = api.read(model), parse_normalize(normalize)
    bytes_are = _Bytes(wanted, parse_scale(byte))
    pictures = None if data is None else _Pictures(data, split, limit)
    if engine is Engine.LST:
        design, bench = _lst(graph, scheme, variant, target, bytes_are, pictures)
    else:
        folding = _Folding(pe.value if pe else None, budget, cycles, tuple(fold or ()))
        design, bench = _array(graph, folding, target, bytes_are, pictures)
    options = Options(
        lint=lint,
        synthesize=synthesize or bitstream,
        bitstream=bitstream,
        waveform=waveform,
        activity=activity,
        pynq=package is not None,
        counters=counters,
    )
    with progress.status("plan") as status:
        report = generate(design, output, options, bench, lambda step: status.update(cell(step)))
    if as_json:
        print_json({"output": str(output), **_json(report)})
        return
    _print(report, output)


@dataclass(frozen=True)
class _Pictures:
    """What `--data`, `--split` and `--limit` say."""

    data: str
    split: str | None
    limit: int | None

    def load(self) -> "Dataset":
        """Return the data set."""
        from lowbit.data import load

        return load(self.data, split=self.split or "test", limit=self.limit)


@dataclass(frozen=True)
class _Bytes:
    """What `--normalize` and `--byte` say."""

    normalize: "Normalize"
    byte: float | None


@dataclass(frozen=True)
class _Folding:
    """What `--pe`, `--budget`, `--cycles` and `--fold` say."""

    pe: "Kind | None"
    budget: str | None
    cycles: int | None
    fold: tuple[str, ...]


def _lst(
    graph: "Graph",
    scheme: str | None,
    variant: Variant,
    target: Family,
    bytes_are: "_Bytes",
    pictures: _Pictures | None,
) -> "tuple[Design, Bench | None]":
    """Return a planned LST engine, and what to simulate."""
    from lowbit.rtl.lst.design import lst_design
    from lowbit.rtl.lst.from_graph import from_graph, in_fixed_point
    from lowbit.rtl.pictures import picture_normalize, to_bytes
    from lowbit.rtl.project import Bench
    from lowbit.schemes import FixedPoint

    encoding = FixedPoint.from_text(scheme.removeprefix("fixed:")) if scheme else None
    fixed = in_fixed_point(graph, encoding)
    chosen = picture_normalize(fixed, bytes_are.normalize)
    network, byte = from_graph(fixed, chosen, bytes_are.byte), bytes_are.byte
    design = lst_design(network, variant.value, target.value)
    if pictures is None:
        return design, None
    samples = to_bytes(pictures.load(), network.rows, network.columns, byte=byte)
    return design, Bench(samples, reference_scores(fixed, samples, chosen, byte))


def _array(
    graph: "Graph", folding: _Folding, target: Family, bytes_are: "_Bytes", pictures: _Pictures | None
) -> "tuple[Design, Bench | None]":
    """Return a planned array engine, and what to simulate."""
    from lowbit.rtl.array.budget import MIDDLING, device, fold_for_budget, fold_for_cycles, folding_of
    from lowbit.rtl.array.design import ArrayDesign
    from lowbit.rtl.array.from_graph import from_graph
    from lowbit.rtl.array.plan import plan_array
    from lowbit.rtl.pictures import picture_normalize
    from lowbit.rtl.project import Bench

    chosen = picture_normalize(graph, bytes_are.normalize, None)
    network, kind, byte = from_graph(graph, chosen, bytes_are.byte), folding.pe, bytes_are.byte
    if folding.cycles:
        found = fold_for_cycles(network, folding.cycles, target.value, kind)
    else:
        limit = device(folding.budget or MIDDLING[target.value])
        found = fold_for_budget(network, limit, target.value, kind)
    plan = plan_array(network, {**found, **folding_of(network, folding.fold)}, target.value, kind)
    if pictures is None:
        return ArrayDesign(plan), None
    samples = to_pictures(pictures.load(), graph, byte)
    return ArrayDesign(plan), Bench(samples, reference_scores(graph, samples, chosen, byte))


def _json(report: "HardwareReport") -> dict[str, Any]:
    from dataclasses import asdict

    return asdict(report)


def _print(report: "HardwareReport", output: Path) -> None:
    proof = [(name, found, taken, bits) for name, found, taken, bits in report.proof]
    print_table("what is stored and summed", ("", "range", "bits", "of"), proof)
    if report.units:
        keys = ("name", "element", "folding", "cycles", "products")
        rows = [tuple(unit[key] for key in keys) for unit in report.units]
        print_table("units, side by side", ("", "element", "elements x lanes", "cycles", "products"), rows)
    if report.blocks:
        rows = [
            (name, *(found[key] for key in ("lut", "ff", "dsp", "ramb18")))
            for name, found in report.blocks.items()
        ]
        print_table("blocks, each for itself", ("module", "LUT", "FF", "DSP", "RAMB18"), rows)
    published = {} if report.units else PUBLISHED
    for warning in report.warnings or ():
        out.print(warning, markup=False)
    values = [(label, getattr(report, key), published.get(key)) for label, key in _ROWS]
    values.insert(1, ("pictures per second at 100 MHz", CLOCK // report.cycles_per_image, None))
    shown = [(label, value, row) for label, value, row in values if value is not None or row]
    title = f"{report.variant}, {report.number_format}, {report.target}"
    if published:
        print_table(title, ("", "this", "published LST-1"), shown)
        out.print(_CAVEAT, style="dim")
    else:
        print_table(title, ("", "this"), [row[:2] for row in shown])
    out.print(f"{output}", markup=False)


_CAVEAT = (
    "The published row is Q6.7 on XC7Z010 by the vendor's tool; this is Yosys, out of context. "
    "RAMs and DSPs compare, LUTs and clocks only roughly."
)
