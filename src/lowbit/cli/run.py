"""``lowbit run``: the outputs of a network for samples, as a file."""

from pathlib import Path
from typing import Annotated

import typer

from lowbit.cli.console import (
    BackendOption,
    DataOption,
    JsonFlag,
    NormalizeOption,
    ScaleOption,
    SplitOption,
    ThreadsOption,
    parse_normalize,
    parse_scale,
    print_json,
    print_notes,
    say,
)


def run(
    model: Annotated[Path, typer.Argument(help="A network, float or low-bit.")],
    data: DataOption,
    output: Annotated[Path, typer.Option("--output", "-o", help="The .npz to write, one array per output.")],
    split: SplitOption = None,
    backend: BackendOption = "auto",
    threads: ThreadsOption = 1,
    normalize: NormalizeOption = None,
    scale: ScaleOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Run a network over samples and keep what it says.

    Example: `lowbit run mlp.circle --data digits -o out.npz`
    """
    from lowbit import api

    result = api.run_file(
        model,
        data,
        output,
        split=split or "test",
        backend=backend,
        threads=threads,
        normalize=parse_normalize(normalize),
        scale=parse_scale(scale),
    )
    if as_json:
        print_json({"output": str(output), **result})
        return
    for name, shape in result["arrays"].items():
        say(f"{output}: {name} {shape}")
    print_notes(result["notes"], result["outside"])
