"""``lowbit plan``: what a network will be at few bits, before it is quantized, and a plan file."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lowbit.cli.console import (
    JsonFlag,
    NormalizeOption,
    ScaleOption,
    TrainSplitOption,
    kilobytes,
    parse_normalize,
    parse_scale,
    print_json,
    print_table,
    say,
    tracked,
)

if TYPE_CHECKING:
    from lowbit.forecast import Forecast, Outlook


def plan(
    model: Annotated[Path, typer.Argument(help="A float network: .onnx, .circle, .tflite or .txt.")],
    data: Annotated[
        str | None,
        typer.Option("--data", help="Unlabelled samples: a path or a name; random pixels without it."),
    ] = None,
    target: Annotated[
        list[str] | None,
        typer.Option(
            "--target",
            show_default="cpu",
            help="cpu (this machine), c99, or an FPGA: xc7z020; limits: c99:flash=8K. May be repeated.",
        ),
    ] = None,
    setting: Annotated[
        list[str] | None,
        typer.Option(
            "--try",
            show_default="8 to 1 bits",
            help="lq:2, or lq:2/affine:8: weights and inputs; may be repeated.",
        ),
    ] = None,
    budget: Annotated[
        str | None,
        typer.Option("--budget", help="Mix settings in a file of at most so much, such as 20K or 20000."),
    ] = None,
    front: Annotated[
        Path | None, typer.Option("--front", help="A folder for plan files of all mixtures, and a picture.")
    ] = None,
    keep: Annotated[
        list[str] | None,
        typer.Option(
            "--keep", help="Leave a layer float: its name, a pattern, first or last; may be repeated."
        ),
    ] = None,
    agreement: Annotated[
        float, typer.Option("--agreement", min=0, max=1, help="Classes that the recommended plan keeps.")
    ] = 0.99,
    samples: Annotated[int, typer.Option("--samples", min=2, help="How many samples to look at.")] = 256,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Where to write the recommended plan, as TOML.")
    ] = None,
    split: TrainSplitOption = None,
    normalize: NormalizeOption = None,
    scale: ScaleOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Say what a network will be at few bits, before it is quantized: bytes, time, memory, and risk.

    Example: `lowbit plan mlp.onnx --data digits --target c99:flash=8K,ram=1K -o plan.toml`

    Then: `lowbit quantize mlp.onnx -o mlp.circle --data digits --plan plan.toml`
    """
    from lowbit.budget import size_of
    from lowbit.forecast import forecast
    from lowbit.forecast.writing import write_plan

    limit = None if budget is None else size_of(budget, "--budget")
    with tracked("layers", hidden=as_json) as advance:
        found = forecast(
            model,
            data,
            targets=target or ["cpu"],
            settings=setting or (),
            keep=keep or (),
            kept=agreement,
            samples=samples,
            split=split or "train",
            normalize=parse_normalize(normalize),
            scale=parse_scale(scale),
            progress=advance,
        )
        chosen = found.recommended if limit is None else found.mixed(limit)
    written = _write_front(found, front) if front is not None else []
    if output is not None and chosen is not None:
        write_plan(chosen, output)
    if as_json:
        told = None if chosen is None else chosen.to_dict()
        print_json({**found.to_dict(), "chosen": told, "front": written})
        return
    _print(found, chosen)
    if output is not None and chosen is None:
        say(f"{output}: no plan was written", "yellow")
    if written:
        say(f"{front}: {len(written)} plans, the smallest first, and front.png")
    if chosen is not None:
        alike = {"--keep": keep or [], "--split": split, "--normalize": normalize, "--scale": scale}
        _print_next(model, data, chosen, output, alike)


def _write_front(found: "Forecast", folder: Path) -> list[str]:
    from lowbit.drawing import draw_mixtures, save
    from lowbit.forecast.writing import write_front

    mixtures = found.front()
    paths = write_front(found, mixtures, folder)
    save(
        draw_mixtures([row.to_dict() for row in found.uniform], [row.to_dict() for row in mixtures]),
        folder / "front.png",
    )
    return [str(path) for path in paths]


def _print(found: "Forecast", chosen: "Outlook | None") -> None:
    rows = list(found.uniform) + ([chosen] if chosen is not None and chosen.name == "mixed" else [])
    figures = [(each.name, name, unit) for each in found.purposes for name, unit in each.figures.items()]
    columns = ("setting", "file", "classes kept", *(f"{name}, {unit}" for _, name, unit in figures))
    cells = [
        (row.name, kilobytes(row.bytes), _kept(row), *(_figure(row, *at[:2]) for at in figures))
        for row in rows
    ]
    print_table(f"{found.graph.name}: before it is quantized", columns, cells)
    _print_risks(found)
    for row in rows:
        for target, cost in row.costs.items():
            if cost.why:
                say(f"{row.name}, {target}: {cost.why}", "yellow")
    _print_advice(found, chosen)


def _kept(row: "Outlook") -> str:
    return f"error {row.error:.1%}" if row.agreement is None else f"{row.agreement:.1%}"


def _figure(row: "Outlook", target: str, name: str) -> str:
    value = row.costs[target].figures.get(name)
    return "" if value is None else f"{value:,.1f}" if value < _PRECISE else f"{value:,.0f}"


_PRECISE = 100


def _print_risks(found: "Forecast") -> None:
    labels = [setting.label for setting in found.risks.settings]
    cells = [
        (layer, *(f"{found.risks.errors[layer, setting]:.2%}" for setting in found.risks.settings))
        for layer in found.risks.layers
    ]
    print_table("error of the output with this layer alone at so many bits", ("layer", *labels), cells)


def _print_advice(found: "Forecast", chosen: "Outlook | None") -> None:
    about = f"by {found.risks.samples} samples of {found.data}"
    classes = found.uniform[0].agreement is not None
    enough = f"{found.kept:.1%} of classes" if classes else "nearly all of the output"
    if chosen is None:
        nearest = max(found.uniform, key=lambda row: (row.works, -row.error))
        say(f"None of these works everywhere and keeps {enough}; nearest: {nearest.name}.", "yellow")
        say("Try others (--try), a mixture (--budget), or train at low bits (lowbit train).", "dim")
    elif chosen.name == "mixed":
        kept = f"{_kept(chosen)} of classes kept" if classes else f"{_kept(chosen)} of the output"
        say(f"Mixed: {chosen.bytes:,} bytes, {kept}, {about}.", "bold")
    else:
        say(f"Take {chosen.name}: the smallest that keeps {enough}, {about}.", "bold")
    say("Bytes are exact, times are of this machine, risk is right to first order.", "dim")


def _print_next(
    model: Path, data: str | None, chosen: "Outlook", output: Path | None, alike: dict[str, Any]
) -> None:
    """Say the command that makes what was chosen; `alike` are options that both commands have."""
    if output is None and chosen.name == "mixed":
        say("Next: the same with -o plan.toml, which lowbit quantize --plan takes", "dim")
        return
    words = ["lowbit", "quantize", str(model), "-o", f"{model.stem}.circle", *_says(chosen, output)]
    for name, value in alike.items():
        words += [
            word for each in (value if isinstance(value, list) else [value]) if each for word in (name, each)
        ]
    say(f"Next: {shlex.join(words)} --data {'…' if data is None else shlex.quote(data)}", "dim")


def _says(chosen: "Outlook", output: Path | None) -> list[str]:
    """Return the options that say a plan: its file, or what all layers become."""
    if output is not None:
        return ["--plan", str(output)]
    setting = next(iter(chosen.chosen.values()))
    return ["--weights", setting.weights, "--activations", setting.activations]
