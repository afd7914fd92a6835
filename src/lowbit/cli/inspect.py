"""``lowbit inspect``: the graph, its encodings, and where every byte of the file is."""

from pathlib import Path
from typing import Annotated, Any

import typer

from lowbit.cli.console import JsonFlag, cell, kilobytes, out, print_json, print_table, say


def inspect(
    model: Annotated[Path, typer.Argument(help="A network, float or low-bit.")],
    verify: Annotated[
        bool, typer.Option("--verify", help="Check the file's hashes and every invariant.")
    ] = False,
    graph: Annotated[bool, typer.Option("--graph", help="Print the graph as text too.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Show layers, encodings and the table of bytes.

    Example: `lowbit inspect mlp.circle --verify`
    """
    from lowbit import api

    result = api.inspect(model, verify=verify)
    if as_json:
        print_json(result)
        return
    if graph:
        for line in str(api.read(model)).split("\n"):
            out.print(cell(line), soft_wrap=True)
    print_table(
        f"{model}: layers",
        ("layer", "scheme", "weights", "activations", "bytes"),
        [
            (layer["name"], layer["scheme"], layer["weight_bits"], layer["activation_bits"], layer["bytes"])
            for layer in result["layers"]
        ],
    )
    rows = [(row["name"], row["what"], row["bytes"]) for row in result["table"]]
    print_table("bytes", ("where", "what", "bytes"), [*rows, ("total", "", result["bytes"])])
    held = "hashes and invariants hold" if result["hashed"] else "invariants hold; it has no hash"
    say(_memory(result["memory"]), "dim")
    for note in result["notes"]:
        say(note, "yellow")
    say(kilobytes(result["bytes"]) + (f"; {held}" if verify else ""), "dim")


def _memory(memory: dict[str, Any]) -> str:
    if memory["why"]:
        return f"the engine does not run it: {memory['why']}"
    taken = f"{kilobytes(memory['constants'])} for constants, {kilobytes(memory['arena'])} for values"
    return f"the engine takes {taken}; {kilobytes(memory['allowed'])} are allowed"
