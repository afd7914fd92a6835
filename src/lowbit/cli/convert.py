"""``lowbit convert``: the same network in another format."""

from pathlib import Path
from typing import Annotated

import typer

from lowbit.cli.console import JsonFlag, kilobytes, print_json, say
from lowbit.errors import UsageError


def convert(
    model: Annotated[Path, typer.Argument(help="The network to read.")],
    target: Annotated[
        Path | None, typer.Argument(help="Where to write; the suffix names the format, such as .circle.")
    ] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="The same as TARGET.")] = None,
    form: Annotated[
        str,
        typer.Option(help="The format, whatever the suffix: qdq or qonnx, ONNX as other tools have it."),
    ] = "",
    as_json: JsonFlag = False,
) -> None:
    """Convert a network from one format to another, such as .onnx, .circle, .tflite or text.

    Example: `lowbit convert mlp.circle mlp.onnx`, or `lowbit convert cnn.circle -o cnn.qdq.onnx` for QDQ
    """
    from lowbit import api
    from lowbit.formats import own_operators

    if (target is None) == (output is None):
        raise UsageError("say once where to write", expected="convert net.onnx net.circle, or -o net.circle")
    target = output if target is None else target
    assert target is not None
    graph = api.read(model)
    api.write(graph, target, form=form)
    size = target.stat().st_size
    notes = [*graph.notes, *filter(None, ["" if form else own_operators(graph, target)])]
    if as_json:
        print_json({"output": str(target), "bytes": size, "notes": notes})
        return
    for note in notes:
        say(note, "yellow")
    say(f"{target}: {kilobytes(size)}")
