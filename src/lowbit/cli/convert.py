"""``lowbit convert``: the same network in another format."""

from pathlib import Path
from typing import Annotated

import typer

from lowbit.cli.console import JsonFlag, kilobytes, print_json, say


def convert(
    source: Annotated[Path, typer.Argument(help="The network to read.")],
    target: Annotated[
        Path, typer.Argument(help="Where to write; the suffix names the format, such as .circle.")
    ],
    as_json: JsonFlag = False,
) -> None:
    """Convert a network from one format to another, such as .onnx, .circle, .tflite or text.

    Example: `lowbit convert mlp.circle mlp.onnx`
    """
    from lowbit import api

    graph = api.read(source)
    api.write(graph, target)
    size = target.stat().st_size
    if as_json:
        print_json({"output": str(target), "bytes": size, "notes": list(graph.notes)})
        return
    for note in graph.notes:
        say(note, "yellow")
    say(f"{target}: {kilobytes(size)}")
