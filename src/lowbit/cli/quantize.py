"""``lowbit quantize``: a float network and unlabelled samples in, a low-bit file out."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from lowbit.cli.console import (
    JsonFlag,
    NormalizeOption,
    ScaleOption,
    TrainSplitOption,
    kilobytes,
    parse_normalize,
    parse_scale,
    print_json,
    print_notes,
    print_table,
    progress,
    say,
    tracked,
)
from lowbit.cli.specifications import ActivationsOption, OldSchemeOption, WeightsOption
from lowbit.errors import ExitCode

if TYPE_CHECKING:
    from lowbit.api import QuantizedFile
    from lowbit.cli.terminal import Advance
    from lowbit.quantization import Estimate, Report
    from lowbit.schemes import FixedPoint


def quantize(
    model: Annotated[Path, typer.Argument(help="A float network: .onnx, .circle, .tflite or .txt.")],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", help="Where to write; the suffix names the format, such as .circle."),
    ],
    data: Annotated[
        str | None, typer.Option("--data", help="Samples: a path, or the name of a data set; not for fixed.")
    ] = None,
    bits: Annotated[
        int | None,
        typer.Option("--bits", show_default="3", help="Short for both: 1-4 mean lq:BITS, 5-8 affine:BITS."),
    ] = None,
    weights: WeightsOption = None,
    activations: ActivationsOption = None,
    weight_only: Annotated[
        bool, typer.Option("--weight-only", help="Short for --activations float.")
    ] = False,
    method: Annotated[
        str | None,
        typer.Option(
            "--method",
            show_default="auto",
            help="gptq (restores outputs), rtn (nearest: the published method), bias (rtn, and means), "
            "reconstruct or distill (gptq, then learns on without labels, in minutes; needs extra train), "
            "or auto: bias for 8 bits, else gptq.",
        ),
    ] = None,
    scheme: OldSchemeOption = None,
    weight_bits: Annotated[int | None, typer.Option("--weight-bits", hidden=True)] = None,
    activation_bits: Annotated[int | None, typer.Option("--activation-bits", hidden=True)] = None,
    samples: Annotated[
        int | None,
        typer.Option("--samples", min=1, show_default="1024", help="How many samples to calibrate with."),
    ] = None,
    seed: Annotated[
        int | None, typer.Option("--seed", show_default="0", help="For the choice of samples and restarts.")
    ] = None,
    percentile: Annotated[
        float | None,
        typer.Option(
            "--percentile",
            show_default="100, nothing",
            help="Clip layers' inputs beyond it, such as 99.9, before ranges are set.",
        ),
    ] = None,
    sums: Annotated[
        str | None,
        typer.Option(
            "--sums",
            show_default="auto",
            help="Sums and means between low-bit layers: fixed (fixed point, 16 bits), real, or auto: "
            "real in .tflite.",
        ),
    ] = None,
    keep: Annotated[
        list[str] | None,
        typer.Option(
            "--keep",
            help="Leave a layer float: its name, a pattern such as 'head*', first or last; may be repeated.",
        ),
    ] = None,
    check: Annotated[
        str | None,
        typer.Option(
            "--check",
            help="Test samples that measure the result: a path or a name, or none. "
            "Without it, samples that can be spared.",
        ),
    ] = None,
    strict: Annotated[
        bool,
        typer.Option("--strict", help="End with exit code 10 where less than half of the classes agree."),
    ] = False,
    plan: Annotated[Path | None, typer.Option("--plan", help="A TOML plan; options given here win.")] = None,
    split: TrainSplitOption = None,
    normalize: NormalizeOption = None,
    scale: ScaleOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Quantize a network from unlabelled samples.

    Example: `lowbit quantize mlp.onnx -o mlp.circle --data digits --bits 2`

    A plan gives the same options by name, and others per layer:

    `bits = 2` then `[layers.fc1]` and `bits = 3`

    `lowbit quantize net.onnx -o net.circle --data digits --weights lq:2 --activations affine:8`

    Fixed point throughout is rounding alone, and needs no samples:
    `lowbit quantize lst1.onnx -o low.onnx --weights fixed:6.7 --activations fixed:6.7`
    """
    from lowbit import api
    from lowbit.plan import Plan
    from lowbit.schemes.registry import FLOAT_BITS

    measures: dict[str, Any] = {
        "check": False if check == "none" else check,
        "normalize": parse_normalize(normalize),
        "scale": parse_scale(scale),
    }
    given = {
        "weights": weights,
        "activations": activations,
        "scheme": scheme,
        "method": method,
        "weight_bits": bits if weight_bits is None else weight_bits,
        "activation_bits": bits if activation_bits is None else activation_bits,
        "samples": samples,
        "seed": seed,
        "percentile": percentile,
        "sums": sums,
    }
    if weight_only:
        given["activation_bits"] = FLOAT_BITS
    said = {name: value for name, value in given.items() if value is not None}
    chosen = Plan.read(plan, **said).keeping(keep or ())
    if chosen.fixed_point:
        if strict and not measures["check"]:
            raise typer.BadParameter("fixed point has no samples to measure with", param_hint="--check")
        _end(_fixed_point(model, output, chosen.fixed_point, as_json, measures), strict)
        return
    if data is None:
        raise typer.BadParameter("quantization needs samples", param_hint="--data")
    with tracked("quantizing", hidden=as_json, share=True) as advance:
        bar = _Bar(advance, hidden=as_json)
        result = api.quantize_file(
            model,
            output,
            data,
            chosen,
            split=split or "train",
            strict=strict,
            progress=bar.layer,
            announce=bar.announce,
            **measures,
        )
    _print(result, output, as_json)
    _end(result.report, strict)


class _Bar:
    """A bar that moves by the time that layers take, as it was estimated."""

    def __init__(self, advance: "Advance", hidden: bool) -> None:
        self._advance, self._hidden = advance, hidden
        self._estimate: Estimate | None = None

    def announce(self, found: "Estimate") -> None:
        """Say what it will take."""
        self._estimate = found
        if not self._hidden:
            progress.print(Text(f"{found}", "dim"))

    def layer(self, done: int, total: int, name: str) -> None:
        """Move the bar to the next layer."""
        share = done / total if self._estimate is None else self._estimate.share(done)
        self._advance(round(1000 * share), 1000, name if done < total else "writing")


def _end(report: "Report", strict: bool) -> None:
    """Say where the network is not what it was made of; end with an exit code if that was asked for."""
    if report.verdict == "low":
        classes = f"{report.agreement:.1%} of classes" if report.agreement is not None else ""
        few = classes or f"{report.output_snr_db:.1f} dB of its output"
        progress.print(f"Not all is well: only {few} agree with the float network.", style="yellow")
    if report.verdict != "broken":
        return
    what = (
        "it seldom agrees with the float network" if report.agreement is not None else "its output is noise"
    )
    progress.rule("WARNING", style="bold red", characters="!")
    progress.print(f"This network does not work: {what}.", style="bold red")
    progress.print(report.measured, style="bold red")
    progress.print("Try more bits, such as --bits 8, or other samples.", style="bold red")
    progress.rule(style="bold red", characters="!")
    if strict:
        raise typer.Exit(ExitCode.AGREEMENT)


def _fixed_point(
    model: Path, output: Path, form: "FixedPoint", as_json: bool, measures: dict[str, Any]
) -> "Report":
    """Round a network to fixed point and print what became of it."""
    from lowbit import api
    from lowbit.quantization import Report

    result = api.fixed_point_file(model, output, form, **measures)
    report = Report((), 0, 0.0, 0, *(result[name] for name in ("agreement", "output_snr_db", "checked")))
    if as_json:
        print_json(result)
        return report
    columns = ("layer", "scheme", "weights", "activations")
    rows = [
        (row["name"], row["scheme"], f"{row['weight_bits']} bit", f"{row['activation_bits']} bit")
        for row in result["layers"]
    ]
    print_table(f"{output}", columns, rows)
    say(report.measured, style="dim")
    return report


def _bits(count: int) -> str:
    from lowbit.ir.layers import FLOAT_BITS

    return "float" if count == FLOAT_BITS else str(count)


def _print(result: "QuantizedFile", output: Path, as_json: bool) -> None:
    if as_json:
        print_json(result.to_dict())
        return
    print_table(
        f"{output}",
        ("layer", "scheme", "bits", "weight error", "output error", "s"),
        [
            (
                layer.name if layer.uses == 1 else f"{layer.name} ({layer.uses} times)",
                layer.scheme,
                f"{layer.weight_bits} × {_bits(layer.activation_bits)}",
                f"{layer.weight_error:.2%}",
                f"{layer.output_error:.2%}",
                f"{layer.seconds:.1f}",
            )
            for layer in result.report.layers
        ],
    )
    sizes = f"{kilobytes(result.bytes_before)} became {kilobytes(result.bytes_after)}"
    say(f"{result.report.samples} samples, {result.seconds:.1f} s; {sizes}.", style="dim")
    if result.bytes_after >= result.bytes_before:
        say("The file did not become smaller: what is not weights outweighs them.", style="yellow")
    if result.report.outliers:
        say(f"{result.report.outliers} samples are unlike all others and did not calibrate.", style="yellow")
    for found in (*result.report.sums, *result.report.kept):
        say(str(found), style="dim")
    say(result.report.measured, style="dim" if result.report.verdict == "not measured" else "")
    print_notes(result.notes, result.outside)
    say(f"Next: lowbit eval {output} --data … · lowbit bench {output}", style="dim")
