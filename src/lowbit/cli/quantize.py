"""``lowbit quantize``: a float network and unlabelled samples in, a low-bit file out."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from lowbit.cli.console import (
    JsonFlag,
    NormalizeOption,
    ScaleOption,
    SplitOption,
    kilobytes,
    out,
    parse_normalize,
    parse_scale,
    print_json,
    print_notes,
    print_table,
    progress,
)

if TYPE_CHECKING:
    from lowbit.api import QuantizedFile


def quantize(
    model: Annotated[Path, typer.Argument(help="A float network: .onnx, .circle, .tflite or .txt.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Where to write: .circle, .onnx or .txt.")],
    data: Annotated[
        str | None, typer.Option("--data", help="Samples: a path, or the name of a data set; not for fixed.")
    ] = None,
    bits: Annotated[int | None, typer.Option("--bits", help="Bits of weights and activations.")] = None,
    weight_bits: Annotated[int | None, typer.Option("--weight-bits", help="Overrides --bits.")] = None,
    activation_bits: Annotated[
        int | None, typer.Option("--activation-bits", help="Overrides --bits.")
    ] = None,
    weight_only: Annotated[
        bool, typer.Option("--weight-only", help="Activations stay float: --activation-bits 32.")
    ] = False,
    scheme: Annotated[
        str | None,
        typer.Option("--scheme", help="lq, affine, pow2, fixed:M.N or fixed:M.N:floor."),
    ] = None,
    method: Annotated[
        str | None, typer.Option("--method", help="restore, or plain (the published method).")
    ] = None,
    samples: Annotated[
        int | None, typer.Option("--samples", min=1, help="How many samples to calibrate with.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option("--seed", help="For the choice of samples and restarts.")
    ] = None,
    plan: Annotated[Path | None, typer.Option("--plan", help="A TOML plan; options given here win.")] = None,
    split: SplitOption = None,
    normalize: NormalizeOption = None,
    scale: ScaleOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Quantize a network from unlabelled samples.

    Example: `lowbit quantize mlp.onnx -o mlp.circle --data digits --bits 2`

    A plan gives the same options by name, and others per layer:

    `bits = 2` then `[layers.fc1]` and `bits = 3`

    Fixed point is rounding alone: `lowbit quantize lst1.onnx -o low.onnx --scheme fixed:6.7`
    """
    from lowbit import api
    from lowbit.ir.layers import FLOAT_BITS
    from lowbit.quantization import Plan

    if scheme and scheme.startswith("fixed:"):
        _fixed_point(model, output, scheme.removeprefix("fixed:"), as_json)
        return
    if data is None:
        raise typer.BadParameter("quantization needs samples", param_hint="--data")
    if weight_only:
        activation_bits = FLOAT_BITS
    given = {
        "scheme": scheme,
        "method": method,
        "weight_bits": bits if weight_bits is None else weight_bits,
        "activation_bits": bits if activation_bits is None else activation_bits,
        "samples": samples,
        "seed": seed,
    }
    chosen = Plan.read(plan, **{name: value for name, value in given.items() if value is not None})
    with _bar(hidden=as_json) as bar:
        result = api.quantize_file(
            model,
            output,
            data,
            chosen,
            split=split or "train",
            normalize=parse_normalize(normalize),
            scale=parse_scale(scale),
            progress=_tracker(bar),
        )
    _print(result, output, as_json)


def _fixed_point(model: Path, output: Path, text: str, as_json: bool) -> None:
    """Round a network to fixed point and print what became of it."""
    from lowbit import api
    from lowbit.schemes import FixedPoint

    result = api.fixed_point_file(model, output, FixedPoint.from_text(text))
    if as_json:
        print_json(result)
        return
    columns = ("layer", "scheme", "weights", "activations")
    rows = [
        (row["name"], row["scheme"], f"{row['weight_bits']} bit", f"{row['activation_bits']} bit")
        for row in result["layers"]
    ]
    print_table(f"{output}", columns, rows)


def _bar(hidden: bool) -> Progress:
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TimeElapsedColumn())
    return Progress(*columns, console=progress, transient=True, disable=hidden)


def _tracker(bar: Progress) -> Any:
    task = bar.add_task("quantizing", total=None)

    def advance(done: int, total: int, what: str) -> None:
        bar.update(task, completed=done, total=total, description=what)

    return advance


def _print(result: "QuantizedFile", output: Path, as_json: bool) -> None:
    if as_json:
        print_json(result.to_dict())
        return
    from lowbit.ir.layers import FLOAT_BITS

    print_table(
        f"{output}",
        ("layer", "scheme", "weights", "activations", "weight error", "output error", "seconds"),
        [
            (
                layer.name,
                layer.scheme,
                f"{layer.weight_bits} bit",
                "float" if layer.activation_bits == FLOAT_BITS else f"{layer.activation_bits} bit",
                f"{layer.weight_error:.2%}",
                f"{layer.output_error:.2%}",
                f"{layer.seconds:.1f}",
            )
            for layer in result.report.layers
        ],
    )
    out.print(
        f"{result.report.samples} samples, {result.seconds:.1f} s; {kilobytes(result.bytes_before)} became "
        f"{kilobytes(result.bytes_after)}.",
        style="dim",
    )
    print_notes(result.notes, result.outside)
    out.print(f"Next: lowbit eval {output} --data … · lowbit bench {output}", style="dim")
