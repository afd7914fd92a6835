"""``lowbit train``: a recipe, or a module of one's own and data, in; a folder with a trained network out."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lowbit.cli import experiment
from lowbit.cli.console import JsonFlag, print_json, print_table, progress, say, tracked
from lowbit.visible import visible

if TYPE_CHECKING:
    from lowbit.train import Recipe, Result
    from lowbit.train.seeds import Repeated


def train(
    what: experiment.What,
    data: experiment.Data = None,
    variant: Annotated[
        str | None, typer.Option("--variant", help="Variant in the recipe's file, such as pow2-4.")
    ] = None,
    plan: experiment.PlanFile = None,
    weights: experiment.Weights = None,
    activations: experiment.Activations = None,
    arguments: experiment.Arguments = None,
    output: experiment.Folder = None,
    epochs: experiment.Epochs = None,
    batch: experiment.Batch = None,
    rate: experiment.Rate = None,
    optimizer: experiment.OptimizerName = None,
    clip: experiment.Clip = None,
    precision: experiment.Precision = None,
    sample: experiment.Sample = None,
    normalize: experiment.NormalizeOrMeasured = None,
    validation: experiment.Validation = None,
    judge: Annotated[
        str | None,
        typer.Option(
            "--judge",
            show_default="test",
            help="test; both: validation every epoch, test the end; or training: what is learned.",
        ),
    ] = None,
    best: Annotated[
        bool | None, typer.Option("--best/--last", help="Which epoch is kept: the best by validation?")
    ] = None,
    seed: experiment.Seed = None,
    seeds: Annotated[
        int, typer.Option("--seeds", min=1, help="So many seeds, from --seed on: mean and deviation.")
    ] = 1,
    device: experiment.Device = "auto",
    compiled: experiment.Compile = False,
    resume: Annotated[
        bool, typer.Option("--resume/--fresh", help="Go on from the folder's checkpoint, or start again.")
    ] = True,
    force: Annotated[
        bool, typer.Option("--force", help="Go on though recipe, data or code differ; the result says so.")
    ] = False,
    keep: Annotated[
        Path | None, typer.Option("--keep", help="A folder of results to keep the figures in too.")
    ] = None,
    tensorboard: Annotated[
        bool, typer.Option("--tensorboard", help="Write the curve for TensorBoard too.")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Train your own network, or one by a recipe; the recipe that was run is written beside the result.

    Example: `lowbit train mynet.py:Net --data pictures --resize 32x32 --weights lq:2 --activations lq:2`
    Example: `lowbit train 'mynet.py:Net(width=16)' --data sensors.npz --seeds 3 --normalize measured`
    Example: `lowbit train recipes/lenet.toml --data /path/to/fashion-mnist`
    Example: `lowbit train recipes/resnet20.toml --variant fashion-pow2-4 --data /path/to/fashion-mnist`
    """
    from lowbit.train import load_data, measured, train_seeds
    from lowbit.train import train as run
    from lowbit.train.experiment import default_folder

    what = experiment.variant_of(what, variant)
    step = {"name": optimizer, "rate": rate, "clip": clip}
    named = experiment.settings(
        normalize,
        step,
        seed=seed,
        epochs=epochs,
        batch=batch,
        precision=precision,
        validation=validation,
        judge=judge,
        keep=None if best is None else "best" if best else "last",
        compile=compiled or None,
        input=sample,
        arguments=arguments,
        plan=plan,
    )
    forms = {name: text for name, text in (("weights", weights), ("activations", activations)) if text}
    chosen, place = experiment.asked(what, data, named, forms)
    first = os.environ.get("RANK", "0") == "0"  # of the processes that torchrun starts, one speaks
    folder = output or default_folder(chosen, seeds if seeds > 1 else 0)
    options: dict[str, Any] = {"device": device, "resume": resume, "force": force, "tensorboard": tensorboard}
    words = {**named, **step, "normalize": normalize, "set": arguments, **forms}
    options["command"] = experiment.command_of(
        "train", what, {**words, "seeds": seeds if seeds > 1 else None}
    )
    hidden = as_json or not first
    options["tell"] = None if hidden else lambda line: progress.print(visible(line), style="yellow")
    with tracked("reading data", hidden=hidden) as advance:
        splits = load_data(chosen, place)
        chosen = measured(chosen, splits) if normalize == experiment.MEASURED else chosen
        told = _told(chosen, hidden)
        if seeds > 1:
            lines = lambda number: (_part(advance, number, seeds), told)
            repeated = train_seeds(chosen, splits, seeds, out=folder, progress=lines, **options)
        else:
            result = run(chosen, splits, out=folder, progress=advance, epoch_done=told, **options)
    if not first:
        return
    if seeds > 1:
        _print_seeds(repeated, keep, as_json)
        return
    if keep is not None:
        result.keep(keep)
    _print(result, as_json)


def _part(advance: Any, number: int, seeds: int) -> Any:
    """Return what moves the bar of all seeds by the steps of one."""
    return lambda done, total, text: advance(
        number * total + done, seeds * total, f"{number + 1}/{seeds} {text}"
    )


def _told(recipe: "Recipe", hidden: bool) -> Any:
    """Return what prints a line for every epoch."""

    def told(row: Mapping[str, Any]) -> None:
        right = f", top-1 {row['top1']:.2%}" if "top1" in row else ""
        progress.print(
            visible(f"epoch {row['epoch']}/{recipe.epochs}: loss {row['loss']:.4f}{right}"), style="dim"
        )

    return None if hidden else told


def _print(result: "Result", as_json: bool) -> None:
    if as_json:
        print_json(dict(result.facts))
        return
    facts, low = result.facts, result.folder / "model.circle"
    top5 = f", top-5 {facts['top5']:.2%}" if facts["top5"] < 1 else ""  # of five classes it says nothing
    say(
        f"{result.folder}: top-1 {facts['top1']:.2%}{top5} of {facts['test_samples']} "
        f"samples ({facts['judged_by']}), {facts['cpu_s']:.0f} CPU s"
    )
    if "kept_epoch" in facts:
        own = facts.get("validation", facts)
        say(f"Kept: epoch {facts['kept_epoch']}, the best by validation ({own['top1']:.2%}).", "dim")
    found = facts["differences"].get("circle", {})
    if "classes" in found:
        say(
            f"{low.name} in the engine: top-1 {found['top1']:.2%}, {found['classes']} of "
            f"{facts['test_samples']} classes differ from torch.",
            "dim",
        )
    for name, why in facts["not_written"].items():
        say(f"model.{name} is not written: {why}", "yellow")
    if facts["scheme"] == "float":
        say(f"Next: lowbit quantize {result.folder}/model.onnx -o small.circle --data …", "dim")
    else:
        say(f"Next: lowbit compile {low} -o model.lbp", "dim")


def _print_seeds(repeated: "Repeated", keep: Path | None, as_json: bool) -> None:
    for result in repeated.results:
        if keep is not None:
            result.keep(keep)
    facts = repeated.facts
    if as_json:
        print_json(facts)
        return
    rows: list[list[object]] = [
        [run["seed"], f"{run['top1']:.2%}", f"{run['top5']:.2%}"] for run in facts["runs"]
    ]
    ends = [(facts[name]["mean"], facts[name]["deviation"]) for name in ("top1", "top5")]
    rows.append(["mean", *(f"{mean:.2%}" for mean, _ in ends)])
    rows.append(["deviation", *(f"{100 * deviation:.2f}" for _, deviation in ends)])
    print_table(f"{repeated.folder}", ["seed", "top-1", "top-5"], rows)
    say(f"{facts['judged_by']}, {facts['test_samples']} samples; {facts['cpu_s']:.0f} CPU s", "dim")
