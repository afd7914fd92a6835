"""``lowbit hdl``: a network becomes Verilog, simulated, synthesized, placed."""

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
from lowbit.cli.specifications import (
    FixedActivationsOption,
    FixedWeightsOption,
    OldSchemeOption,
    fixed_point,
)

if TYPE_CHECKING:
    from lowbit.rtl.pictures import Byte
    from lowbit.rtl.report import HardwareReport


class Engine(StrEnum):
    """What `--engine` may say."""

    AUTO = "auto"
    LST = "lst"
    ARRAY = "array"
    UNROLL = "unroll"


class Stream(StrEnum):
    """What `--stream` may say."""

    PICTURE = "picture"
    BYTES = "bytes"


class Variant(StrEnum):
    """What `--variant` may say."""

    SHARED = "shared"
    PIPELINED = "pipelined"


class Family(StrEnum):
    """What `--target` may say."""

    XC7 = "xc7"
    XCUP = "xcup"
    ECP5 = "ecp5"
    ICE40 = "ice40"
    GOWIN = "gowin"
    GENERIC = "generic"


class Package(StrEnum):
    """What `--package` may say."""

    PYNQ = "pynq"


_ROWS = (
    ("cycles per image", "cycles_per_image"),
    ("latency, cycles", "latency_cycles"),
    ("LUT", "lut"),
    ("FF", "ff"),
    ("DSP", "dsp"),
    ("RAMB18", "ramb18"),
    ("counted by", "counted_by"),
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
        Engine,
        typer.Option(
            "--engine",
            help="lst: separable transforms; array: a unit per layer; unroll: weights as adders, "
            "a picture per clock; auto: what fits.",
        ),
    ] = Engine.AUTO,
    variant: Annotated[
        Variant, typer.Option("--variant", help="lst: shared, one chain of multipliers; pipelined, two.")
    ] = Variant.SHARED,
    pe: Annotated[
        str | None,
        typer.Option(
            "--pe",
            show_default="the cheapest",
            help="array: the element of layers that it can run, such as shift.",
        ),
    ] = None,
    budget: Annotated[
        str | None,
        typer.Option(
            "--budget", help="array: a device, such as xc7z020, or lut=N, dsp=N, ramb18=N without spaces."
        ),
    ] = None,
    cycles: Annotated[
        int | None,
        typer.Option("--cycles", min=1, help="array: clocks per picture, for the cheapest engine."),
    ] = None,
    fold: Annotated[
        list[str] | None, typer.Option("--fold", help="array: LAYER=4x2, elements x lanes; may be repeated.")
    ] = None,
    pipeline: Annotated[
        int | None, typer.Option("--pipeline", min=1, help="unroll: operations in a row between registers.")
    ] = None,
    stream: Annotated[
        Stream | None, typer.Option("--stream", help="unroll: a beat is a whole picture, or a byte.")
    ] = None,
    target: Annotated[
        Family, typer.Option("--target", help="The family; generic names no block.")
    ] = Family.XC7,
    weights: FixedWeightsOption = None,
    activations: FixedActivationsOption = None,
    scheme: OldSchemeOption = None,
    simulate: Annotated[bool, typer.Option("--simulate", help="Compare every picture of --data.")] = False,
    data: Annotated[str | None, typer.Option("--data", help="A path, or the name of a data set.")] = None,
    split: SplitOption = None,
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, show_default="all", help="The most pictures to use.")
    ] = None,
    waveform: Annotated[bool, typer.Option("--waveform", help="VCD of the first differing picture.")] = False,
    activity: Annotated[
        bool, typer.Option("--activity", help="SAIF of the first pictures, for a vendor's power report.")
    ] = False,
    lint: Annotated[bool, typer.Option("--lint", help="Verilator's warnings of the Verilog.")] = False,
    synthesize: Annotated[bool, typer.Option("--synthesize", help="Count resources.")] = False,
    bitstream: Annotated[bool, typer.Option("--bitstream", help="Place and route (ecp5, ice40).")] = False,
    package: Annotated[
        Package | None, typer.Option("--package", help="pynq: scripts for the vendor's tool, and a driver.")
    ] = None,
    counters: Annotated[
        bool, typer.Option("--counters", help="Start, status, errors and counters, by AXI-Lite.")
    ] = False,
    normalize: NormalizeOption = None,
    byte: Annotated[
        str | None,
        typer.Option("--byte", show_default="1/255", help="What bytes are times: 1/16, signed:1/64."),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Make hardware of a network: Verilog, and what simulation and synthesis find.

    Example: `lowbit hdl lst1.onnx -o lst1 --weights fixed:6.7 --simulate --data mnist --synthesize`
    Example: `lowbit hdl cnv.onnx -o cnv --engine array --simulate --data cifar10 --limit 100`
    """
    from lowbit.rtl.hardware import Options, hardware

    if (waveform or activity) and not simulate:
        raise typer.BadParameter("--waveform and --activity go with --simulate")
    if simulate != (data is not None):
        raise typer.BadParameter("--simulate and --data go together")
    form = fixed_point(weights, activations, scheme)
    made = hardware(
        model,
        engine=engine.value,
        variant=variant.value,
        pe=pe,
        budget=budget,
        cycles=cycles,
        fold=fold or (),
        pipeline=pipeline,
        stream=None if stream is None else stream.value,
        target=target.value,
        scheme=None if form is None else str(form),
        normalize=parse_normalize(normalize),
        byte=_byte(byte),
    )
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
        report = made.write(
            output,
            options,
            pictures=data,
            split=split or "test",
            limit=limit,
            progress=lambda step: status.update(cell(step)),
        )
    if as_json:
        print_json({"output": str(output), **_json(report)})
        return
    _print(report, output)


def _byte(text: str | None) -> "Byte | None":
    """Return what ``1/16`` or ``signed:1/64`` says that a byte stands for."""
    from lowbit.rtl.pictures import Byte

    if text is None:
        return None
    signed, _, step = text.rpartition(":")
    if signed not in ("", "signed"):
        raise typer.BadParameter(f"expected a step such as 1/16 or signed:1/64, found {text!r}")
    return Byte(parse_scale(step), bool(signed))


def _json(report: "HardwareReport") -> dict[str, Any]:
    from dataclasses import asdict

    return asdict(report)


def _print(report: "HardwareReport", output: Path) -> None:
    from lowbit.zoo.published import LST1_ENGINE

    proof = [(name, found, taken, bits) for name, found, taken, bits in report.proof]
    print_table("what is stored and summed", ("", "range", "bits", "of"), proof)
    if report.why:
        out.print(report.why, markup=False)
    for name in report.left_out or ():
        out.print(
            f"not in hardware: {name}, behind the scores; the class is the same without it", markup=False
        )
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
    published = {} if report.units else LST1_ENGINE
    for warning in report.warnings or ():
        out.print(warning, markup=False)
    values = [(label, getattr(report, key), published.get(key)) for label, key in _ROWS]
    values.insert(1, ("pictures per second at 100 MHz", report.pictures_per_second(), None))
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
