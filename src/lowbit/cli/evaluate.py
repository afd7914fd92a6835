"""``lowbit eval``: accuracy of a network on labelled samples."""

from pathlib import Path
from typing import Annotated

import typer

from lowbit.cli.console import (
    DataOption,
    JsonFlag,
    NormalizeOption,
    SplitOption,
    ThreadsOption,
    parse_normalize,
    print_json,
    say,
)


def evaluate(
    model: Annotated[Path, typer.Argument(help="A network, float or low-bit.")],
    data: DataOption,
    split: SplitOption = None,
    backend: Annotated[str, typer.Option("--backend", help="engine or reference.")] = "engine",
    threads: ThreadsOption = 1,
    normalize: NormalizeOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Print top-1 and top-5 accuracy.

    Example: `lowbit eval mlp.circle --data digits`
    """
    from lowbit import api

    result = api.evaluate(
        model,
        data,
        split=split or "test",
        backend=backend,
        threads=threads,
        normalize=parse_normalize(normalize),
    )
    if as_json:
        print_json(result)
        return
    top5 = "" if result["top5"] is None else f", top-5 {result['top5']:.2%}"
    say(f"{model}: top-1 {result['top1']:.2%}{top5} of {result['samples']} samples")
