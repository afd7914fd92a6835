"""``lowbit report``: one page that says what a low-bit network is, what it cost and what it lost."""

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from lowbit.cli.console import (
    DataOption,
    JsonFlag,
    NormalizeOption,
    SplitOption,
    kilobytes,
    parse_normalize,
    print_json,
    say,
    working,
)


def report(
    model: Annotated[Path, typer.Argument(help="The low-bit network.")],
    data: DataOption,
    against: Annotated[
        Path | None, typer.Option("--against", help="The float network that it came from.")
    ] = None,
    hardware: Annotated[
        Path | None, typer.Option("--hardware", help="A project of lowbit hdl, or its JSON.")
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="The .html to write.")] = Path("report.html"),
    unlabelled: Annotated[
        bool, typer.Option("--unlabelled", help="The data has no labels; leave accuracy out.")
    ] = False,
    split: SplitOption = None,
    normalize: NormalizeOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Write a report: accuracy, bytes, layers that hurt, kernels, levels, confusions; one file, no script.

    Example: `lowbit report mlp.circle --against mlp.onnx --data mnist -o report.html`
    """
    from lowbit.report import examine

    with working("measuring"):
        found = examine(
            model,
            data,
            against=against,
            hardware=hardware,
            split=split or "test",
            normalize=parse_normalize(normalize),
            labels=not unlabelled,
            command=shlex.join(["lowbit", *sys.argv[1:]]),
        )
        found.write(output)
    size = output.stat().st_size
    accuracy = found.accuracy
    if as_json:
        print_json({"output": str(output), "bytes": size, "top1": accuracy and accuracy.top1})
        return
    if accuracy is not None:
        before = "" if found.origin_accuracy is None else f", float {found.origin_accuracy.top1:.2%}"
        say(f"top-1 {accuracy.top1:.2%}{before}")
    say(f"{output}: {kilobytes(size)}")
