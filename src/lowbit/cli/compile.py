"""``lowbit compile``: a network for where there is no Python."""

from pathlib import Path
from typing import Annotated

import typer

from lowbit.cli.console import JsonFlag, kilobytes, print_json, say


def compile_network(
    model: Annotated[Path, typer.Argument(help="The network to read.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Where to write, such as net.lbp.")],
    purpose: Annotated[
        str, typer.Option("--target", help="What to compile for, where the suffix does not say it: program.")
    ] = "",
    as_json: JsonFlag = False,
) -> None:
    """Compile a network to a program file, which the C library and the engine run without planning.

    Example: `lowbit compile mlp.circle -o mlp.lbp`
    """
    from lowbit import api
    from lowbit.targets import target_of

    row = target_of(purpose, output)
    row.write(api.read(model), output)
    size = output.stat().st_size
    if as_json:
        print_json({"output": str(output), "bytes": size, "target": row.name})
        return
    say(f"{output}: {kilobytes(size)}, {row.about}")
