"""What ``lowbit train`` and ``lowbit tune`` both take: a recipe, or a module and its data, and settings."""

import ast
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lowbit.cli.console import parse_normalize, progress
from lowbit.cli.specifications import said
from lowbit.data.framing import framing_or_asked

if TYPE_CHECKING:
    from lowbit.train import Recipe

MEASURED = "measured"
"""As a normalization: mean and deviation of the training samples."""


def _own(default: str) -> str:
    """Return how help says a default that a recipe may have set."""
    return f"{default}, or the recipe's"


What = Annotated[
    str,
    typer.Argument(
        metavar="RECIPE|FILE.py:NAME",
        help="A TOML recipe; or your own module, such as mynet.py:Net; or a network of the zoo.",
    ),
]
Data = Annotated[
    str | None,
    typer.Option(
        "--data",
        help="A folder of folders of pictures, an .npz of x and y, another file of data, or a name. "
        "Of a recipe: the folder of its data; else it is looked for.",
    ),
]
PlanFile = Annotated[Path | None, typer.Option("--plan", help="A TOML plan of low bits; float without.")]
Weights = Annotated[
    str | None,
    typer.Option(
        "--weights", callback=said, help="What all weights become, such as lq:2; the plan's own layers stay."
    ),
]
Activations = Annotated[
    str | None, typer.Option("--activations", callback=said, help="What inputs of layers become, likewise.")
]
Arguments = Annotated[
    list[str] | None,
    typer.Option("--set", help="What your module is called with: --set width=16. May be repeated."),
]
Folder = Annotated[
    Path | None,
    typer.Option("--out", "-o", show_default="in runs, by name and seed", help="Folder of the run."),
]
Epochs = Annotated[
    int | None,
    typer.Option("--epochs", min=1, show_default=_own("10"), help="How often every sample is learned."),
]
Batch = Annotated[
    int | None, typer.Option("--batch", min=1, show_default=_own("32"), help="Samples of a step.")
]
Rate = Annotated[float | None, typer.Option("--rate", show_default=_own("0.001"), help="Learning rate.")]
OptimizerName = Annotated[
    str | None, typer.Option("--optimizer", show_default=_own("adamw"), help="adamw, adam or sgd.")
]
Clip = Annotated[
    float | None,
    typer.Option(
        "--clip",
        show_default=_own("no bound"),
        help="The most that the norm of all gradients may be.",
    ),
]
Precision = Annotated[
    str | None, typer.Option("--precision", show_default=_own("float32"), help="float32 or bf16.")
]
Sample = Annotated[
    str | None, typer.Option("--input", help="Lengths of a sample as your module takes it: 1,28,28.")
]
NormalizeOrMeasured = Annotated[
    str | None,
    typer.Option(
        "--normalize",
        help="MEAN,STD after scaling to [0, 1]; by channel M,M,S,S; or measured: of what is learned.",
    ),
]
Validation = Annotated[
    str | None,
    typer.Option(
        "--validation", show_default="none", help="Training samples that judge every epoch: 500, 0.2 or 20%."
    ),
]
Seed = Annotated[
    int | None, typer.Option("--seed", min=0, show_default=_own("0"), help="Of weights and order.")
]
Device = Annotated[str, typer.Option("--device", help="auto, cpu or cuda.")]
Compile = Annotated[
    bool, typer.Option("--compile", help="Compile the module by torch; an error where that cannot be.")
]


def settings(normalize: str | None, step: Mapping[str, Any], **named: Any) -> dict[str, Any]:
    """Return what was said as settings of a recipe, None where nothing was.

    Args:
        normalize: of ``--normalize``.
        step: of the optimizer, by name.
        named: settings, of which validation, input and arguments are texts.
    """
    means, deviations = parse_normalize(None if normalize == MEASURED else normalize) or ((), ())
    return {
        **named,
        "validation": parse_share(named.get("validation")),
        "input": parse_lengths(named.get("input")),
        "arguments": parse_arguments(named.get("arguments")) or None,
        "normalize": [*_many(means), *_many(deviations)] or None,
        "optimizer": dict(step),
    }


def variant_of(what: str, variant: str | None) -> str:
    """Return the path of a recipe's variant; what was said where none was."""
    if variant is None:
        return what
    from lowbit.recipes import variant_path

    if not what.endswith(".toml"):
        raise typer.BadParameter("only recipes have variants", param_hint="--variant")
    return str(variant_path(what, variant))


def asked(
    what: str, data: str | None, named: Mapping[str, Any], forms: Mapping[str, str]
) -> tuple["Recipe", str | None]:
    """Return the recipe of what was said, and the folder of its data, where that is a name."""
    from lowbit.data import NAMES
    from lowbit.recipes import read_toml
    from lowbit.train import Recipe, recipe_of

    if data in NAMES and Path(data).is_dir():
        progress.print(f"{data} is the data set of that name; the folder is ./{data}", style="yellow")
    framing = framing_or_asked(None)
    given = {
        name: value
        for name, value in named.items()
        if value is not None and name not in ("optimizer", "plan")
    }
    if framing is not None:
        sizes = {"resize": framing.resize, "crop": framing.crop}
        given |= {name: "x".join(map(str, size)) for name, size in sizes.items() if size}
        given |= {"colours": framing.colours} if framing.colours else {}
    if named.get("plan") is not None:
        given["plan"] = read_toml(named["plan"], "the plan")
    if what.endswith(".toml"):
        chosen, place = Recipe.read(what, **given), data
        if data is not None and chosen.data not in NAMES and not Path(chosen.data).is_file():
            chosen, place = replace(chosen, data=data), None
    else:
        if data is None:
            raise typer.BadParameter("of a module or network, say which data it learns", param_hint="--data")
        chosen, place = recipe_of(what, data, given), None
    step = {name: value for name, value in named["optimizer"].items() if value is not None}
    return replace(chosen, optimizer=replace(chosen.optimizer, **step)).with_forms(**forms), place


def parse_share(text: str | None) -> int | float | None:
    """Return the number of ``500``, ``0.2`` or ``20%``."""
    if text is None:
        return None
    try:
        if text.endswith("%"):
            share = float(text[:-1]) / 100
            return share if 0 < share < 1 else _no_share(text)
        number = float(text)
        return int(text) if text.isdigit() and number >= 1 else number if 0 < number < 1 else _no_share(text)
    except ValueError:
        return _no_share(text)


def _no_share(text: str) -> float:
    raise typer.BadParameter(f"expected a count such as 500, or a share such as 0.2 or 20%, found {text!r}")


def parse_lengths(text: str | None) -> list[int] | None:
    """Return the lengths of ``1,28,28``."""
    if text is None:
        return None
    words = text.split(",")
    if not all(word.strip().isdigit() for word in words):
        raise typer.BadParameter(f"expected lengths such as 1,28,28, found {text!r}", param_hint="--input")
    return [int(word) for word in words]


def parse_arguments(texts: Sequence[str] | None) -> dict[str, Any]:
    """Return the values of ``width=16`` by name: literals of Python, and text where they are none."""
    found: dict[str, Any] = {}
    for text in texts or ():
        name, mark, value = text.partition("=")
        if not mark or not name.strip().isidentifier():
            raise typer.BadParameter(
                f"expected NAME=VALUE such as width=16, found {text!r}", param_hint="--set"
            )
        try:
            found[name.strip()] = ast.literal_eval(value)
        except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
            found[name.strip()] = value
    return found


def command_of(name: str, what: str, said: Mapping[str, Any]) -> str:
    """Return the command that remakes a result: paths of the reader's own are written as names."""
    framing = framing_or_asked(None)
    sizes = {"resize": framing.resize, "crop": framing.crop} if framing else {}
    said = {
        **said,
        **sizes,
        "colours": framing.colours if framing else "",
    }
    file, mark, own = what.rpartition("/")[2].partition(".py:")
    words = [f"recipes/{file}" if what.endswith(".toml") else f"{file}{mark}{own}", "--data", "DIR"]
    for key, value in said.items():
        words += _said_as(key, value)
    return f"lowbit {name} {shlex.join(words)}"


def _said_as(key: str, value: Any) -> list[str]:
    """Return the words of an option of the command line."""
    match key, value:
        case (_, None | "" | ()) | (("arguments" | "optimizer"), _):
            return []
        case "compile", _:
            return ["--compile"]
        case "keep", _:
            return [f"--{value}"]
        case (("set" | "search"), _):
            return [word for each in value for word in (f"--{key}", each)]
        case "plan", _:
            return ["--plan", Path(value).name]
        case "name", _:
            return ["--optimizer", str(value)]
        case (("resize" | "crop"), _):
            return [f"--{key}", "x".join(map(str, value))]
    return [f"--{key}", ",".join(map(str, value)) if isinstance(value, list) else str(value)]


def _many(value: float | tuple[float, ...]) -> tuple[float, ...]:
    return value if isinstance(value, tuple) else (value,)
