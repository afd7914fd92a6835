"""``lowbit hdl``: a network becomes Verilog, simulated, synthesized, placed."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lowbit.cli.console import (
    JsonFlag,
    NormalizeOption,
    SplitOption,
    out,
    parse_normalize,
    print_json,
    print_table,
    progress,
)

if TYPE_CHECKING:
    from lowbit.rtl.project import HardwareReport


class Engine(StrEnum):
    """What `--engine` may say."""

    LST = "lst"


class Variant(StrEnum):
    """What `--variant` may say."""

    SHARED = "shared"
    PIPELINED = "pipelined"


class Family(StrEnum):
    """What `--target` may say."""

    XC7 = "xc7"
    ECP5 = "ecp5"


class Package(StrEnum):
    """What `--package` may say."""

    PYNQ = "pynq"


PUBLISHED = {"cycles_per_image": 4934, "lut": 914, "ff": 302, "dsp": 57, "ramb18": 67, "fmax_mhz": 48.8}
"""LST-1 in 13 bits on XC7Z010, by the vendor's tool (Vashkevich and Krivalcevich 2025)."""

_ROWS = (
    ("cycles per image", "cycles_per_image"),
    ("latency, cycles", "latency_cycles"),
    ("LUT", "lut"),
    ("FF", "ff"),
    ("DSP", "dsp"),
    ("RAMB18", "ramb18"),
    ("clock, MHz", "fmax_mhz"),
    ("images simulated", "images"),
    ("mismatches", "mismatches"),
)


def hdl(
    model: Annotated[Path, typer.Argument(help="A network of one learned separable transform.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the project.")],
    engine: Annotated[Engine, typer.Option("--engine", help="lst.")] = Engine.LST,
    variant: Annotated[
        Variant, typer.Option("--variant", help="shared: one chain of multipliers; pipelined: two.")
    ] = Variant.SHARED,
    target: Annotated[Family, typer.Option("--target", help="xc7 or ecp5.")] = Family.XC7,
    scheme: Annotated[
        str | None, typer.Option("--scheme", help="fixed:M.N or fixed:M.N:floor, of a float network.")
    ] = None,
    simulate: Annotated[bool, typer.Option("--simulate", help="Compare every picture of --data.")] = False,
    data: Annotated[str | None, typer.Option("--data", help="A path, or the name of a data set.")] = None,
    split: SplitOption = None,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="At most so many pictures.")] = None,
    waveform: Annotated[bool, typer.Option("--waveform", help="VCD of the first differing picture.")] = False,
    synthesize: Annotated[bool, typer.Option("--synthesize", help="Count resources.")] = False,
    bitstream: Annotated[bool, typer.Option("--bitstream", help="Place and route (ecp5).")] = False,
    package: Annotated[
        Package | None, typer.Option("--package", help="pynq: scripts for the vendor's tool, and a driver.")
    ] = None,
    counters: Annotated[bool, typer.Option("--counters", help="Counters behind AXI-Lite.")] = False,
    normalize: NormalizeOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Make hardware of a network: Verilog, and what simulation and synthesis find.

    Example: `lowbit hdl lst1.onnx -o lst1 --simulate --data mnist --synthesize`
    """
    from lowbit import api
    from lowbit.rtl.lst.from_graph import from_graph, in_fixed_point, reference_scores
    from lowbit.rtl.pictures import remembered_normalize, to_bytes
    from lowbit.rtl.project import Bench, Options, generate
    from lowbit.schemes import FixedPoint

    if simulate != (data is not None):
        raise typer.BadParameter("--simulate and --data go together")
    encoding = FixedPoint.from_text(scheme.removeprefix("fixed:")) if scheme else None
    graph = in_fixed_point(api.read(model), encoding)
    chosen = parse_normalize(normalize) or remembered_normalize(graph)
    network, bench = from_graph(graph, chosen), None
    if data is not None:
        from lowbit.data import load

        pictures = to_bytes(load(data, split=split or "test", limit=limit), network.rows, network.columns)
        bench = Bench(pictures, reference_scores(graph, pictures, chosen))
    options = Options(
        variant.value,
        target.value,
        synthesize=synthesize or bitstream,
        bitstream=bitstream,
        waveform=waveform,
        pynq=package is not None,
        counters=counters,
    )
    with progress.status("plan") as status:
        report = generate(network, output, options, bench, lambda step: status.update(step))
    if as_json:
        print_json({"output": str(output), **_json(report)})
        return
    _print(report, output)


def _json(report: "HardwareReport") -> dict[str, Any]:
    from dataclasses import asdict

    return asdict(report)


def _print(report: "HardwareReport", output: Path) -> None:
    proof = [(name, found, taken, bits) for name, found, taken, bits in report.proof]
    print_table("what is stored and summed", ("", "range", "bits", "of"), proof)
    if report.blocks:
        rows = [
            (name, *(found[key] for key in ("lut", "ff", "dsp", "ramb18")))
            for name, found in report.blocks.items()
        ]
        print_table("blocks, each for itself", ("module", "LUT", "FF", "DSP", "RAMB18"), rows)
    values = [(label, getattr(report, key), PUBLISHED.get(key)) for label, key in _ROWS]
    title = f"{report.variant}, {report.number_format}, {report.target}"
    shown = [
        (label, value, published) for label, value, published in values if value is not None or published
    ]
    print_table(title, ("", "this", "published LST-1"), shown)
    out.print(
        "The published row is Q6.7 on XC7Z010 by the vendor's tool; this is Yosys, out of context. "
        "RAMs and DSPs compare, LUTs and clocks only roughly.",
        style="dim",
    )
    out.print(f"{output}", markup=False)
