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
        str | None,
        typer.Option("--flash", metavar="<bytes>", help="c99: the most flash it may take, such as 16K."),
    ] = None,
    ram: Annotated[
        str | None,
        typer.Option("--ram", metavar="<bytes>", help="c99: the most RAM it may take, such as 4K."),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Compile a network for where there is no Python: a program file, or C for microcontrollers.

    Example: `lowbit compile mlp.circle -o mlp.lbp`, `lowbit compile mlp.circle -o mlp.c`
    """
    from lowbit import api
    from lowbit.budget import size_of
    from lowbit.targets import target_of

    row = target_of(purpose, output)
    limits = {
        name: size_of(text, f"--{name}") if text else 0 for name, text in (("flash", flash), ("ram", ram))
    }
    options = {"input": given, "integer_output": integer_output, **limits}
    sizes = row.write(api.read(model), output, None if as_json else say, **options)
    size = output.stat().st_size
    if as_json:
        print_json({"output": str(output), "bytes": size, "target": row.name, **sizes})
        return
    say(f"{output}: {kilobytes(size)}, {row.about}")
