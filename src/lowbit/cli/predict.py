"""``lowbit predict``: what a network says of one picture."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from lowbit.cli.console import (
    JsonFlag,
    NormalizeOption,
    ScaleOption,
    SplitOption,
    cell,
    out,
    parse_normalize,
    parse_scale,
    print_json,
    print_notes,
    say,
)

if TYPE_CHECKING:
    from lowbit.prediction import Prediction

_WIDTH = 18  # of a bar, in characters
_EIGHTHS = " ▏▎▍▌▋▊▉"


def predict(
    model: Annotated[Path, typer.Argument(help="A network, float or low-bit.")],
    picture: Annotated[
        Path | None, typer.Argument(help="A photograph: PNG, JPEG, BMP or PPM of any size.")
    ] = None,
    data: Annotated[str | None, typer.Option("--data", help="A path, or the name of a data set.")] = None,
    index: Annotated[int, typer.Option("--index", min=0, help="Which sample of --data, from 0.")] = 0,
    against: Annotated[
        Path | None, typer.Option("--against", help="The float network, to set beside it.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Where to write the chart, a .png.")
    ] = None,
    classes: Annotated[
        str | None,
        typer.Option("--classes", help="Their names: cifar10, fashion, …, or a text file, one per line."),
    ] = None,
    most: Annotated[int, typer.Option("--top", min=1, help="How many classes to show.")] = 10,
    crop: Annotated[
        str | None,
        typer.Option(
            "--crop",
            help="X,Y,W,H: the part of the photograph that is meant, in pixels; 224 or HxW: the middle.",
        ),
    ] = None,
    invert: Annotated[
        bool,
        typer.Option("--invert", help="Black becomes white: for ink on paper, where a network knows MNIST."),
    ] = False,
    split: SplitOption = None,
    normalize: NormalizeOption = None,
    scale: ScaleOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Classify a photograph, cropped to its middle and made small, or a sample of a data set.

    Example: `lowbit predict vgg.circle cat.jpg --against vgg.onnx --classes cifar10 -o chart.png`
    """
    if (picture is None) == (data is None):
        raise typer.BadParameter("give either a picture or --data", param_hint="PICTURE")
    if output is not None and output.suffix.lower() != ".png":
        raise typer.BadParameter("the chart is a .png", param_hint="--output")
    if crop is not None and picture is None:
        raise typer.BadParameter("a part is cut of a picture alone", param_hint="--crop")
    from lowbit import api
    from lowbit.prediction import class_names, draw_prediction

    names = class_names(classes) if classes else ()
    found = api.predict(
        model,
        picture=picture,
        data=data,
        index=index,
        against=against,
        classes=names,
        crop=parse_crop(crop),
        invert=invert,
        split=split or "test",
        normalize=parse_normalize(normalize),
        scale=parse_scale(scale),
    )
    if output is not None:
        draw_prediction(found, output, most=most)
    if as_json:
        print_json(found.to_dict() | {"output": str(output) if output else None})
        return
    _print(found, most)
    if output is not None:
        say(f"{output}", "dim")


def parse_crop(text: str | None) -> tuple[int, int, int, int] | None:
    """Return the numbers of ``--crop``: ``10,20,200,200``."""
    if text is None:
        return None
    words = text.split(",")
    if len(words) != 4 or not all(re.fullmatch(r"\s*[0-9]{1,9}\s*", word) for word in words):
        raise typer.BadParameter(
            f"expected X,Y,W,H such as 10,20,200,200, found {text!r}", param_hint="--crop"
        )
    left, top, width, height = map(int, words)
    return left, top, width, height


def _print(found: "Prediction", most: int) -> None:
    floats = found.float_probabilities
    title = found.sample.about
    if found.sample.label is not None:
        title += f": {found.classes[found.sample.label]}"
    table = Table(title=cell(title), title_justify="left", header_style="bold", box=None, pad_edge=False)
    table.add_column("class", no_wrap=True)
    for heading in ("low-bit", "float") if floats is not None else ("probability",):
        table.add_column(heading, justify="right", no_wrap=True)
        table.add_column("", no_wrap=True)
    for index in found.ranked(most):
        cells = [cell(found.classes[index], "bold" if index == found.sample.label else "")]
        for values, style in ((found.probabilities, "blue"), (floats, "bright_black")):
            if values is not None:
                share = float(values[index])
                cells += [Text(f"{share:.1%}"), Text(_bar(share), style=style)]
        table.add_row(*cells)
    out.print(table)
    print_notes(found.sample.notes, found.sample.outside)
    if found.backend != "engine":
        say("run by the reference evaluator", "dim")


def _bar(share: float) -> str:
    """Return a bar in eighths of a character, where the output has such."""
    if out.options.ascii_only:
        return "#" * round(_WIDTH * share)
    whole, part = divmod(round(8 * _WIDTH * share), 8)
    return "█" * whole + _EIGHTHS[part].strip()
