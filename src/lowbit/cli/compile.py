"""``lowbit compile``: a network for where there is no Python."""

from pathlib import Path
from typing import Annotated

import typer

from lowbit.cli.console import JsonFlag, kilobytes, print_json, say


def compile_network(
    model: Annotated[Path, typer.Argument(help="The network to read.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Where to write, such as net.lbp.")],
    purpose: Annotated[
        str,
        typer.Option("--target", help="What for, where the suffix does not say it: program, c99."),
    ] = "",
    integer_output: Annotated[
        bool,
        typer.Option(
            "--integer-output", help="c99: integers throughout; scores are int32, of the same order as reals."
        ),
    ] = False,
    given: Annotated[
        str,
        typer.Option(
            "--input", help="c99: what goes in: float, or pixels, bytes that stand for pixel / 255."
        ),
    ] = "",
    flash: Annotated[
        int, typer.Option("--flash", metavar="<bytes>", help="c99: the most bytes of flash.")
    ] = 0,
    ram: Annotated[int, typer.Option("--ram", metavar="<bytes>", help="c99: the most bytes of RAM.")] = 0,
    as_json: JsonFlag = False,
) -> None:
    """Compile a network for where there is no Python: a program file, or C for microcontrollers.

    Example: `lowbit compile mlp.circle -o mlp.lbp`, `lowbit compile mlp.circle -o mlp.c`
    """
    from lowbit import api
    from lowbit.targets import target_of

    row = target_of(purpose, output)
    options = {"input": given, "integer_output": integer_output, "flash": flash, "ram": ram}
    sizes = row.write(api.read(model), output, None if as_json else say, **options)
    size = output.stat().st_size
    if as_json:
        print_json({"output": str(output), "bytes": size, "target": row.name, **sizes})
        return
    say(f"{output}: {kilobytes(size)}, {row.about}")
