"""The loop: order, augmentation, forward, loss, backward, step; a checkpoint after every epoch.

An epoch depends on the seed, its number and the state before it, and on nothing else: so a killed run goes
on from its last whole epoch to the same numbers, and n processes, of which each takes every n-th sample of a
batch, do what one would do, but for rounding: gradients are averaged, and statistics of learned bases are
those of the whole batch. Batch normalization alone sees only its own process's part, as usual.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lowbit.errors import NumericError
from lowbit.nn import Doctor, clamp_latents, reestimate_batchnorm, set_progress
from lowbit.provenance import provenance
from lowbit.train.agreement import agreement, by_engine
from lowbit.train.augmentation import augment
from lowbit.train.checkpoint import write_tensors
from lowbit.train.compiled import as_written, translating
from lowbit.train.export import Remembered, write_networks
from lowbit.train.finite import first_not_finite
from lowbit.train.identity import file_hash
from lowbit.train.judging import judged_splits
from lowbit.train.loss import loss_of
from lowbit.train.metrics import Metrics, Row
from lowbit.train.precision import cost_of
from lowbit.train.recipe import Recipe
from lowbit.train.result import WEIGHTS, Result
from lowbit.train.run import Clock, Position, Run, prepare_run
from lowbit.train.samples import Samples, Splits
from lowbit.train.schedule import factor
from lowbit.train.views import view_number, view_of

Progress = Callable[[int, int, str], None]
"""Called with steps done, steps in all, and a line about the last of them."""

Tell = Callable[[str], None]
"""Called with what the doctor finds, a line each."""

EpochDone = Callable[[Row], None]
"""Called with the row of the learning curve of an epoch that is done."""

_EVALUATED = 500  # samples at a time
_CHECKED = 50  # steps between two looks at the losses


def train(
    recipe: Recipe,
    data: Splits,
    *,
    out: str | os.PathLike[str],
    device: str = "auto",
    resume: bool = True,
    force: bool = False,
    progress: Progress | None = None,
    tell: Tell | None = None,
    epoch_done: EpochDone | None = None,
    tensorboard: bool = False,
    command: str = "",
    export: bool = True,
) -> Result:
    """Train a network and write its folder.

    Args:
        recipe: what to do.
        data: samples in [0, 1] with labels; `Recipe.validation` and `Recipe.judge` say which of them judge.
        out: the folder; made where it is missing.
        device: ``auto``, ``cpu`` or ``cuda``; under ``torchrun`` every process takes part.
        resume: go on from the folder's checkpoint, where there is one.
        force: go on although recipe, data or code are not those it began with; the result says what differed.
        progress: called after every step.
        tell: called when the doctor (`lowbit.nn.Doctor`) finds something at the beginning of an epoch, and
            before the first where bfloat16 is slower here than float32 (`lowbit.train.precision`).
        epoch_done: called after every epoch, when its checkpoint is written; what it raises ends the run.
        tensorboard: write the learning curve for TensorBoard too.
        command: what the result says it was made by.
        export: write weights and networks in the end, and compare them with the module.

    Raises:
        PlanError: the recipe fits no network or samples, or a checkpoint has other data, code or recipe.
        DataError: samples do not fit the network, are fewer than a batch, or are to be judged by themselves.
        UnsupportedError: the network cannot be trained as the plan says, or not be written in the end.
        NumericError: a loss that is not finite; the last good checkpoint stays.
        MissingExtra: ``tensorboard`` is not installed.

    What stands in the way of the first step is said all at once, before anything is written.
    """
    data, judges = judged_splits(recipe, data)
    run = prepare_run(recipe, data, Path(out), device)
    if tell is not None and (cost := cost_of(recipe.precision, run.fabric.device)):
        tell(cost)
    start = run.restore(force) if resume else Position()
    metrics = Metrics(run.folder, start.curve, tensorboard and run.fabric.is_global_zero)
    clock, doctor, found = Clock(start), Doctor(run.module), list(start.findings)
    curve = list(start.curve)
    for epoch in range(start.epoch, recipe.epochs):
        try:
            losses = _epoch(run, epoch, progress, doctor)
        except NumericError as error:
            if run.fabric.world_size == 1:
                _say_where(error, prepare_run(recipe, data, run.folder, device), epoch)
            raise
        new = doctor.findings()
        found += [{"epoch": epoch + 1, **finding.to_dict()} for finding in new]
        for finding in new:
            if tell is not None:
                tell(f"epoch {epoch + 1}: {finding}")
        row = {"epoch": epoch + 1, "loss": round(float(losses.mean()), 6), "findings": float(len(new))}
        if (epoch + 1) % recipe.evaluate_every == 0 or epoch + 1 == recipe.epochs:
            row |= accuracy(run, run.judged, run.judging)
        row |= clock.seconds()
        curve.append(row)
        if run.fabric.is_global_zero:
            metrics.add(row)
        if recipe.keep == "best" and best_epoch(curve) == epoch + 1:
            run.keep_best(epoch + 1)
        notes = (start.changed, tuple(found))
        run.keep(Position(epoch + 1, row["cpu_s"], row["wall_s"], tuple(curve), *notes))
        if epoch_done is not None:
            epoch_done(row)
    metrics.close()
    if progress is not None:
        progress(total := run.steps * recipe.epochs, total, "writing files")
    facts = {"judged_by": judges, "data": data.name, "changed": list(start.changed), "findings": found}
    return _finish(run, curve, clock, facts, command, export)


def best_epoch(rows: Sequence[Row]) -> int:
    """Return the epoch of the highest top-1 of a learning curve, the first of equal ones."""
    judged = [row for row in rows if "top1" in row]
    return int(max(judged, key=lambda row: (row["top1"], -row["epoch"]))["epoch"]) if judged else 0


def _epoch(run: Run, epoch: int, progress: Progress | None, doctor: Doctor) -> Tensor:
    """Run every whole batch once, in a new order, and return the losses `[steps]`; a doctor sees some.

    What is compiled is not watched: its layers are no calls of their own.
    """
    recipe, total = run.recipe, run.steps * run.recipe.epochs
    losses = torch.zeros(run.steps, device=run.fabric.device)
    run.wrapped.train()
    steps = _steps(run, epoch) if recipe.compile else doctor.watch(_steps(run, epoch))
    for index, loss in enumerate(steps):
        losses[index] = loss
        if (index + 1) % _CHECKED == 0 or index + 1 == run.steps:
            _check_finite(losses[: index + 1], epoch, run)
        if progress is not None:
            progress(epoch * run.steps + index + 1, total, f"epoch {epoch + 1}/{recipe.epochs}")
    return run.fabric.all_reduce(losses, reduce_op="mean")  # type: ignore[return-value]


def _steps(run: Run, epoch: int) -> Iterator[Tensor]:
    """Take the steps of an epoch, and yield the loss of each."""
    recipe = run.recipe
    random = torch.Generator().manual_seed(recipe.seed * 1_000_003 + epoch)
    batches = _order(run, random)[: run.steps * recipe.batch].view(run.steps, recipe.batch)
    view = view_number(recipe.augmentation, epoch, recipe.epochs) if recipe.augmentation.views else None
    shown = run.train if view is None else view_of(run.train, recipe.augmentation, recipe.seed, view)
    total = run.steps * recipe.epochs
    for index, chosen in enumerate(batches):
        with translating(recipe.compile), as_written(recipe.compile and index == 0):
            loss = step(run, shown, view, chosen, (epoch * run.steps + index) / total, random)
        yield loss


def step(
    run: Run, shown: Samples, view: int | None, chosen: Tensor, part: float, random: torch.Generator
) -> Tensor:
    """Take one step and return its loss.

    Args:
        run: what learns.
        shown: the training samples, in a view where there are views.
        view: its number, or None where pictures are drawn anew.
        chosen: numbers of the samples of the whole batch.
        part: of training that is done, 0 to 1.
        random: draws pictures anew.
    """
    recipe, fabric = run.recipe, run.fabric
    mine = slice(fabric.global_rank, None, fabric.world_size)
    pictures = shown.pictures(chosen)
    if view is None and part < recipe.augmentation.until:
        # Of the whole batch in every process, so that their number changes no picture.
        pictures = augment(pictures, recipe.augmentation, random)
    inputs = shown.inputs(pictures[mine])
    taught = None
    if run.teacher is not None:
        with fabric.autocast():
            taught = run.teacher(inputs, view, chosen[mine])
    set_progress(run.module, part)
    rate = recipe.optimizer.rate * factor(recipe.schedule, part)
    for group in run.optimizer.param_groups:
        group["lr"] = rate
    loss = loss_of(recipe.loss, run.wrapped(inputs).float(), run.train.labels[chosen][mine], taught)
    run.optimizer.zero_grad()
    fabric.backward(loss)
    if recipe.optimizer.clip:
        fabric.clip_gradients(
            run.wrapped, run.optimizer, max_norm=recipe.optimizer.clip, error_if_nonfinite=False
        )
    run.optimizer.step()
    clamp_latents(run.module)
    if run.average is not None:
        run.average.update_parameters(run.module)
    return loss.detach()


def _check_finite(losses: Tensor, epoch: int, run: Run) -> None:
    bad = (~losses.isfinite()).nonzero()
    if len(bad):
        kept = f"The checkpoint after epoch {epoch} is kept" if epoch else "No epoch was finished"
        raise NumericError(
            "the loss is not finite",
            where=f"{run.recipe.name}, epoch {epoch + 1}, step {epoch * run.steps + int(bad[0]) + 1}",
            expected="a finite loss",
            found=str(losses[int(bad[0])].item()),
            remedy=f"{kept}; lower the rate, or lengthen the warm-up.",
        )


def _say_where(error: NumericError, again: Run, epoch: int) -> None:
    """Take the steps of an epoch again, from where it began, and say where numbers stopped being finite."""
    if epoch:
        again.restore(force=True)
    again.wrapped.train()
    if place := first_not_finite(again.module, again.optimizer, _steps(again, epoch), epoch * again.steps):
        error.found += f", first in {place}"


@torch.no_grad()
def accuracy(run: Run, module: nn.Module, samples: Samples) -> dict[str, float]:
    """Return top-1 and top-5 as fractions, in float32."""
    was, right = module.training, torch.zeros(2, device=run.fabric.device)
    module.eval()
    starts = range(0, len(samples), _EVALUATED)[run.fabric.global_rank :: run.fabric.world_size]
    for chosen in (slice(start, start + _EVALUATED) for start in starts):
        logits = module(samples.inputs(samples.pictures(chosen))).float()
        best = logits.topk(min(5, logits.shape[1]), 1).indices
        hits = best == samples.labels[chosen][:, None]
        right += torch.stack((hits[:, 0].sum(), hits.sum()))
    module.train(was)
    top1, top5 = run.fabric.all_reduce(right, reduce_op="sum").tolist()  # type: ignore[union-attr]
    return {"top1": top1 / len(samples), "top5": top5 / len(samples)}


def _finish(
    run: Run, curve: Sequence[Row], clock: Clock, known: dict[str, Any], command: str, export: bool
) -> Result:
    recipe = run.recipe
    kept = {"kept_epoch": best_epoch(curve)} if recipe.keep == "best" else {}
    if kept:
        run.take_best(kept["kept_epoch"])
    if recipe.reestimate:
        reestimate_batchnorm(run.judged, _plain_batches(run))
    figures = accuracy(run, run.judged, run.test)
    if run.test is not run.judging:
        by_validation = accuracy(run, run.judged, run.judging)
        known["validation"] = {**by_validation, "samples": len(run.judging)}
    facts = {
        "recipe": recipe.name,
        "seed": recipe.seed,
        "scheme": recipe.scheme,
        **figures,
        "test_samples": len(run.test),
        **kept,
        **clock.seconds(),
        **known,
        **({"classes": list(run.classes)} if run.classes else {}),
        "settings": recipe.to_dict(),
        "made_from": run.made_from,
        "new_weights": run.new,
        **provenance(command or f"lowbit train recipes/{recipe.name}.toml --seed {recipe.seed}"),
        "torch": torch.__version__,
        "device": str(run.fabric.device),
        "curve": list(curve),
    }
    if run.fabric.is_global_zero:
        facts |= _export(run) if export else {}
        Result(run.folder, facts).write()
    run.fabric.barrier()
    return Result(run.folder, facts)


def _export(run: Run) -> dict[str, Any]:
    """Write weights and networks; return what differs in them."""
    module, folder, recipe = run.judged.cpu().eval(), run.folder, run.recipe
    write_tensors(folder / WEIGHTS, module.state_dict(), {"recipe": recipe.to_dict()})
    remembered = Remembered(recipe.normalize, recipe.framing, run.classes)
    refused = write_networks(module, run.test.shape, folder, remembered)
    facts: dict[str, Any] = {"not_written": refused}
    model = folder / ("model.onnx" if "onnx" not in refused else "model.txt")
    facts["differences"] = agreement(module, model, run.test)
    written = [model]
    if "circle" not in refused:
        written.append(folder / "model.circle")
        facts["differences"]["circle"] = by_engine(module, written[1], run.test)
    facts["files"] = {path.name: file_hash(path) for path in written}
    return facts


def _plain_batches(run: Run) -> Iterator[Tensor]:
    """Yield batches of training samples as they are."""
    random = torch.Generator().manual_seed(run.recipe.seed)
    order, batch = _order(run, random), run.recipe.batch
    for start in range(0, min(run.recipe.reestimate, run.steps) * batch, batch):
        yield run.train.inputs(run.train.pictures(order[start : start + batch]))


def _order(run: Run, random: torch.Generator) -> Tensor:
    return torch.randperm(len(run.train), generator=random).to(run.fabric.device)
