"""``lowbit sweep``: many settings of a network, side by side."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lowbit.cli.console import (
    DataOption,
    JsonFlag,
    NormalizeOption,
    SplitOption,
    kilobytes,
    model_names,
    parse_normalize,
    parse_numbers,
    parse_words,
    print_json,
    print_table,
    say,
    tracked,
)
from lowbit.cli.plot import KindOption, PublishedOption, draw_sweep
from lowbit.cli.specifications import said
from lowbit.plan.words import ALIKE

if TYPE_CHECKING:
    from lowbit.sweep import Setting, Sweep

_CALIBRATION = "train"  # the split that calibrated schemes look at


def sweep(
    models: Annotated[
        list[Path], typer.Argument(help="Float networks; several are one experiment, repeated.")
    ],
    data: DataOption,
    weights: Annotated[
        str | None,
        typer.Option("--weights", callback=said, help="Such as lq:2,affine:8,fixed:6.7; commas between."),
    ] = None,
    activations: Annotated[
        str | None,
        typer.Option(
            "--activations",
            callback=said,
            show_default="as --weights",
            help="Each beside each of --weights.",
        ),
    ] = None,
    schemes: Annotated[
        str | None,
        typer.Option(
            "--schemes",
            callback=said,
            show_default=",".join(ALIKE),
            help="With --bits, of lq, affine, pow2, fixed:M.",
        ),
    ] = None,
    bits: Annotated[
        str | None,
        typer.Option(
            "--bits",
            callback=said,
            help="Bits to try: 8-1, or 7,5,3; of fixed point those behind the point.",
        ),
    ] = None,
    rounding: Annotated[
        str | None,
        typer.Option("--rounding", help="How: nearest, floor (fixed point); gptq, rtn (the others)."),
    ] = None,
    seeds: Annotated[str, typer.Option("--seeds", help="Seeds of the calibration: 0, or 0,1,2.")] = "0",
    samples: Annotated[int, typer.Option("--samples", min=1, help="How many samples calibrate.")] = 1024,
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, show_default="all", help="The most samples to measure on.")
    ] = None,
    latency: Annotated[bool, typer.Option("--latency", help="Measure latencies too, at the end.")] = False,
    jobs: Annotated[int, typer.Option("--jobs", min=1, help="How many settings at a time.")] = 1,
    backend: Annotated[str, typer.Option("--backend", help="loky, dask or ray.")] = "loky",
    address: Annotated[
        str | None,
        typer.Option("--address", help="A Dask or Ray scheduler; else workers start here."),
    ] = None,
    cache: Annotated[
        Path | None, typer.Option("--cache", help="Where results are kept; else in the user's cache folder.")
    ] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Where to write the JSON.")] = None,
    plot: Annotated[Path | None, typer.Option("--plot", help="Where to draw it: .png, .svg or .pdf.")] = None,
    kind: KindOption = None,
    published: PublishedOption = None,
    split: SplitOption = None,
    normalize: NormalizeOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Quantize a network in every setting and count what each gets right.

    What was measured is kept, so a sweep that was stopped goes on where it was.

    Example: `lowbit sweep lst1.onnx --data mnist --schemes fixed:6 --bits 7-1 --plot sweep.png`
    Example: `lowbit sweep mlp.onnx --data mnist --weights lq:1,lq:2 --activations lq:2,affine:8`
    """
    from lowbit import api
    from lowbit.data import load, remembered_normalize
    from lowbit.drawing import check_suffix
    from lowbit.sweep import Workers
    from lowbit.sweep import sweep as run
    from lowbit.untrusted import cache_folder

    if plot is not None:
        check_suffix(plot)
    if activations is not None and weights is None:
        raise typer.BadParameter("--activations go with --weights", param_hint="--weights")
    ways, chances = parse_words(rounding), parse_numbers(seeds) or [0]
    settings = _settings((weights, activations), schemes, parse_numbers(bits), ways, chances)
    graphs = dict(zip(model_names(models), map(api.read, models), strict=True))
    chosen, *others = {remembered_normalize(graph, parse_normalize(normalize)) for graph in graphs.values()}
    if others:
        raise typer.BadParameter("these networks remember different normalizations", param_hint="--normalize")
    dataset = load(data, split=split or "test", limit=limit, normalize=chosen)
    calibrated = any(setting.seed is not None for setting in settings)
    calibration = load(data, split=_CALIBRATION, normalize=chosen) if calibrated else None
    with tracked("", hidden=as_json) as advance:
        result = run(
            graphs,
            settings,
            dataset,
            calibration,
            samples=samples,
            workers=Workers(backend, jobs, address),
            cache=cache or cache_folder("sweep"),
            latency=latency,
            command=_command(
                len(models), data, weights, activations, schemes, bits, rounding, seeds, normalize
            ),
            progress=advance,
        )
    if output is not None:
        result.write(output)
    if plot is not None:
        draw_sweep(result, plot, kind, published)
    if as_json:
        written = str(output) if output else None
        print_json(
            {"data": result.data, "rows": result.table(), "output": written, "notes": list(result.notes)}
        )
        return
    _print(result, output)


def _settings(
    forms: tuple[str | None, str | None],
    schemes: str | None,
    bits: list[int] | None,
    roundings: list[str],
    seeds: list[int],
) -> "tuple[Setting, ...]":
    """Return the settings of specifications, and those of schemes and bits."""
    from lowbit.sweep import grid, pairs

    found: list[Setting] = []
    for scheme, count, rounding in pairs(parse_words(forms[0]), parse_words(forms[1])):
        found += grid([scheme], [count], [rounding] if rounding else roundings or None, seeds)
    if schemes or not found:
        found += grid(parse_words(schemes or ",".join(ALIKE)), bits, roundings or None, seeds)
    return tuple(dict.fromkeys(found))


def _print(result: "Sweep", output: Path | None) -> None:
    from lowbit.sweep import points

    found = points(result.rows)
    repeated, timed = len(result.rows) > len(found), any(point.latency_us is not None for point in found)
    rows = [
        (
            point.label,
            point.rounding,
            f"{point.top1:.2%}",
            *([f"{point.least:.2%}", f"{point.most:.2%}"] if repeated else []),
            f"{point.divergence:.3f}",
            kilobytes(round(point.bytes)),
            *(["" if point.latency_us is None else f"{point.latency_us:.2f}"] if timed else []),
        )
        for point in found
    ]
    floats = ", ".join(f"{model.name} {model.top1:.2%}, {kilobytes(model.bytes)}" for model in result.models)
    spread, times = (["least", "most"] if repeated else []), (["µs"] if timed else [])
    columns = ("setting", "rounding", "top-1", *spread, "KL of weights", "layers", *times)
    print_table(f"{result.data}; float: {floats}", columns, rows)
    for row in result.rows:
        if row.error:
            say(f"{row.model} {row.setting.label}: {row.error}", "yellow")
    for note in result.notes:
        say(note, "yellow")
    if output is not None:
        say(f"Next: lowbit plot sweep {output} -o sweep.png", "dim")


def _command(models: int, data: str, *options: str | None) -> str:
    """Return what remakes the result, paths of the reader's own written as names."""
    names = ("--weights", "--activations", "--schemes", "--bits", "--rounding", "--seeds", "--normalize")
    said = [f"{name} {value}" for name, value in zip(names, options, strict=True) if value]
    known = data if "/" not in data else "DATA"
    return " ".join(["lowbit sweep", " ".join(["MODEL"] * models), f"--data {known}", *said])
