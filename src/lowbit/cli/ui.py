"""``lowbit ui``: a page on which a network runs, in a browser."""

import os
import sys
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lowbit.cli.console import JsonFlag, kilobytes, print_json, say

if TYPE_CHECKING:
    from lowbit.ir import Graph


def ui(
    model: Annotated[Path, typer.Argument(help="The network, or the name of a pretrained one (lowbit zoo).")],
    against: Annotated[
        Path | None, typer.Option("--against", help="The float network, to set beside it.")
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="The .html to write.")] = Path("lowbit.html"),
    classes: Annotated[
        str | None,
        typer.Option("--classes", help="Their names: cifar10, fashion, …, or a text file, one per line."),
    ] = None,
    show: Annotated[bool, typer.Option("--open/--no-open", help="Open it in a browser.")] = True,
    as_json: JsonFlag = False,
) -> None:
    """Write a page that runs a network in a browser: draw a digit, take a picture, see what it says.

    The file needs no server and no network.

    Example: `lowbit ui mnist-mlp-1bit`, `lowbit ui lst1.circle --against lst1.onnx -o lst1.html`
    """
    from lowbit.prediction import class_names
    from lowbit.ui import write_page

    names = class_names(classes) if classes else ()
    made = write_page(
        output, _network(model), against=None if against is None else _network(against), classes=names
    )
    if as_json:
        print_json({"output": str(output), **made})
        return
    say(f"{output}: {kilobytes(made['bytes'])}")
    if not (show and _open(output)):
        say(f"Open it in a browser: {output.absolute().as_uri()}", "dim")


def _network(model: Path) -> "Graph":
    """Return the network of a file, or, where there is none of that name, one that is known by it."""
    from lowbit import api
    from lowbit.networks import pretrained, pretrained_networks
    from lowbit.zoo import TRAINED, trained

    name = str(model)
    if model.exists() or name not in {*pretrained_networks(), *TRAINED}:
        return api.read(model)
    return trained(name) if name in TRAINED else pretrained(name)


def _open(page: Path) -> bool:
    """Open a page where there is a screen; what opens it elsewhere may be a browser of text that waits."""
    screen = sys.platform in ("darwin", "win32") or any(map(os.environ.get, ("DISPLAY", "WAYLAND_DISPLAY")))
    return bool(screen) and webbrowser.open(page.absolute().as_uri())
