"""``lowbit tune``: settings of a recipe searched by samples for validation, the best recipe written."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lowbit.cli import experiment
from lowbit.cli.console import JsonFlag, print_json, print_table, progress, say, tracked
from lowbit.errors import MissingExtra
from lowbit.visible import visible

if TYPE_CHECKING:
    from lowbit.train.tuning import Tuned

_SHOWN = 10


def tune(
    what: experiment.What,
    data: experiment.Data = None,
    search: Annotated[
        list[str] | None,
        typer.Option("--search", help="A setting and what to try, as in the examples. May be repeated."),
    ] = None,
    trials: Annotated[int, typer.Option("--trials", min=1, help="How many, those of before counted.")] = 20,
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
    seed: experiment.Seed = None,
    device: experiment.Device = "auto",
    early: Annotated[
        bool, typer.Option("--early/--whole", help="Whether trials that are behind the others end early.")
    ] = True,
    as_json: JsonFlag = False,
) -> None:
    """Search for the best settings by samples for validation; the test samples are not opened.

    The same command goes on with a search that was stopped, or, with more --trials, with one that was not.

    Example: `lowbit tune mynet.py:Net --data pictures --resize 32x32 --search optimizer.rate=1e-4..1e-2,log`
    Example: `lowbit tune recipes/lenet.toml --validation 0.2 --search plan.weights=lq:1,lq:2 --trials 30`
    """
    from dataclasses import replace

    from lowbit.train import load_data, measured
    from lowbit.train import tune as run
    from lowbit.train.search import said_of

    step = {"name": optimizer, "rate": rate, "clip": clip}
    named = experiment.settings(
        normalize,
        step,
        seed=seed,
        epochs=epochs,
        batch=batch,
        precision=precision,
        validation=validation,
        input=sample,
        arguments=arguments,
        plan=plan,
    )
    forms = {name: text for name, text in (("weights", weights), ("activations", activations)) if text}
    chosen, place = experiment.asked(what, data, named, forms)
    chosen = replace(chosen, search={**chosen.search, **dict(map(said_of, search or ()))})
    words = {**named, **step, "normalize": normalize, "set": arguments, **forms}
    command = experiment.command_of("tune", what, {**words, "search": search, "trials": trials})
    with tracked("reading data", hidden=as_json) as advance:
        splits = load_data(chosen, place, test=False)
        chosen = measured(chosen, splits) if normalize == experiment.MEASURED else chosen

        def bar(number: int) -> Any:
            return lambda done, total, text: advance(
                number * total + done, max(trials, number + 1) * total, f"trial {number + 1}/{trials} {text}"
            )

        found = run(
            chosen,
            splits,
            out=output or Path("runs") / f"{chosen.name}-tune",
            trials=trials,
            device=device,
            early=early,
            progress=bar,
            ended=None if as_json else _ended,
            command=command,
        )
    picture = _drawn(found)
    if as_json:
        print_json(found.facts)
        return
    _print(found, picture)


def _ended(done: int, total: int, row: dict[str, Any]) -> None:
    said = ", ".join(f"{name.rpartition('.')[2]} {_short(value)}" for name, value in row["settings"].items())
    top1 = "" if row["top1"] is None else f" {row['top1']:.2%}"
    ends = {"complete": "", "early": " (ended early)", "failed": f" failed: {row['why']}"}[row["state"]]
    progress.print(visible(f"trial {row['trial']}, {done}/{total}:{top1}{ends}; {said}"), style="dim")


def _drawn(found: "Tuned") -> Path | None:
    """Draw the search beside its result, where there is matplotlib."""
    try:
        from lowbit.drawing import draw_search, save
    except MissingExtra:
        return None
    picture = found.folder / "search.png"
    save(draw_search(found.facts), picture)
    return picture


def _print(found: "Tuned", picture: Path | None) -> None:
    facts = found.facts
    names = list(facts["best"]["settings"])
    short = [name.rpartition(".")[2] for name in names]
    heads = short if len(set(short)) == len(short) else names
    rows = sorted(facts["trials"], key=lambda row: (row["top1"] is None, -(row["top1"] or 0.0)))
    lines: list[list[object]] = [
        [
            f"{row['trial']}" + (" early" if row["state"] == "early" else ""),
            "failed" if row["top1"] is None else f"{row['top1']:.2%}",
            *(_short(row["settings"].get(name, "")) for name in names),
        ]
        for row in rows[:_SHOWN]
    ]
    print_table(f"{found.folder}, {len(rows)} trials", ["trial", "top-1", *heads], lines)
    if facts["importance"]:
        shares = ", ".join(f"{name} {share:.0%}" for name, share in facts["importance"].items())
        say(f"What differences come from: {shares}", "dim")
    if picture is not None:
        say(f"{picture}", "dim")
    say(f"Best by {facts['judged_by']}: {facts['best']['top1']:.2%}.")
    say(f"Next: lowbit train {found.folder}/recipe.toml", "dim")


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
