"""``lowbit eval``: accuracy of a network on labelled samples."""

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


def evaluate(
    model: Annotated[Path, typer.Argument(help="A network, float or low-bit.")],
    data: DataOption,
    split: SplitOption = None,
    backend: BackendOption = "auto",
    threads: ThreadsOption = 1,
    normalize: NormalizeOption = None,
    scale: ScaleOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Print top-1 and top-5 accuracy.

    Example: `lowbit eval mlp.circle --data digits`
    """
    from lowbit import api

    split = split or "test"
    result = api.evaluate(
        model,
        data,
        split=split,
        backend=backend,
        threads=threads,
        normalize=parse_normalize(normalize),
        scale=parse_scale(scale),
    )
    if as_json:
        print_json({"model": str(model), "data": data, "split": split, "backend": backend, **result})
        return
    top5 = "" if result["top5"] is None else f", top-5 {result['top5']:.2%}"
    say(f"{model}: top-1 {result['top1']:.2%}{top5} of {result['samples']} samples")
    print_notes(result["notes"], result["outside"])
