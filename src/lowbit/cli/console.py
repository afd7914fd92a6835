"""What every command shares: options, their texts, and output for scripts."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from lowbit.backends import BACKENDS
from lowbit.cli.envelope import print_json
from lowbit.cli.terminal import cell, out, print_table, progress, say, tracked, working
from lowbit.data import Normalize
from lowbit.data.normalize import means_and_deviations

__all__ = [
    "NORMALIZE_HELP",
    "BackendOption",
    "DataOption",
    "JsonFlag",
    "NormalizeOption",
    "ScaleOption",
    "SplitOption",
    "ThreadsOption",
    "TrainSplitOption",
    "cell",
    "kilobytes",
    "model_names",
    "out",
    "parse_normalize",
    "parse_numbers",
    "parse_scale",
    "parse_words",
    "print_json",
    "print_notes",
    "print_table",
    "progress",
    "say",
    "tracked",
    "working",
]
"""Of what commands print with ``--json``."""

NORMALIZE_HELP = "MEAN,STD after scaling to [0, 1]; by channel M,M,M,S,S,S."
JsonFlag = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]
DataOption = Annotated[
    str, typer.Option("--data", help="A path, or the name of a data set (digits, mnist, fashion, cifar10).")
]
SplitOption = Annotated[str | None, typer.Option("--split", show_default="test", help="train or test.")]
TrainSplitOption = Annotated[str | None, typer.Option("--split", show_default="train", help="train or test.")]
"""Of what learns from samples, or keeps them to learn from."""
NormalizeOption = Annotated[
    str | None,
    typer.Option(
        "--normalize",
        show_default="what the network's file remembers",
        help=NORMALIZE_HELP,
    ),
]
ScaleOption = Annotated[
    str | None,
    typer.Option("--scale", help="What samples are multiplied by, such as 1/255: integers do not say it."),
]
BackendOption = Annotated[
    str,
    typer.Option("--backend", help=f"auto: the engine, else the reference; or {', '.join(BACKENDS)}."),
]
ThreadsOption = Annotated[int, typer.Option("--threads", min=1, help="Threads of the engine.")]


def parse_normalize(text: str | None) -> Normalize:
    """Return means and standard deviations of ``--normalize``."""
    if text is None:
        return None
    try:
        means, deviations = means_and_deviations(text)
    except ValueError:
        raise typer.BadParameter(
            f"expected MEAN,STD such as 0.5,0.5, or means and deviations of channels, found {text!r}"
        ) from None
    if not all(deviation > 0 for deviation in deviations):
        raise typer.BadParameter("the standard deviation must be above 0")
    return means, deviations


def parse_scale(text: str | None) -> float | None:
    """Return the number of ``--scale``: ``0.5`` or ``1/255``."""
    if text is None:
        return None
    above, _, below = text.partition("/")
    try:
        scale = float(above) / float(below or 1)
    except (ValueError, ZeroDivisionError):
        raise typer.BadParameter(f"expected a number such as 1/255, found {text!r}") from None
    if not 0 < scale < float("inf"):
        raise typer.BadParameter("the scale must be above 0")
    return scale


def print_notes(notes: Iterable[str], outside: int) -> None:
    """Print what was left out of a network and done to samples; in colour where values are out of range."""
    say("; ".join(notes), style="yellow" if outside else "dim")


def parse_words(text: str | None) -> list[str]:
    """Return the words of ``lq,affine``."""
    return [word.strip() for word in (text or "").split(",") if word.strip()]


def parse_numbers(text: str | None) -> list[int] | None:
    """Return the numbers of ``8-1`` or ``7,5,3``."""
    numbers: list[int] = []
    for word in parse_words(text):
        first, dash, last = word.partition("-")
        if not first.isdigit() or (dash and not last.isdigit()) or len(word) > 9:
            raise typer.BadParameter(f"expected numbers such as 8-1 or 7,5,3, found {word!r}")
        ends = int(first), int(last if dash else first)
        if abs(ends[0] - ends[1]) > 64:
            raise typer.BadParameter(f"a range of that many is not meant, found {word!r}")
        numbers += range(min(ends), max(ends) + 1)
    return numbers or None


def model_names(models: list[Path]) -> list[str]:
    """Return a name for every model: its file's, or its folder's where files are all called alike."""
    stems = Counter(path.stem for path in models)
    names = [path.stem if stems[path.stem] == 1 else path.parent.name for path in models]
    return names if len(set(names)) == len(names) else [str(path) for path in models]


def kilobytes(size: int) -> str:
    """Return bytes as KB of 1024 bytes."""
    return f"{size / 1024:.1f} KB"
