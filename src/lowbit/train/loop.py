"""The loop: order, augmentation, forward, loss, backward, step; a checkpoint after every epoch.

An epoch depends on the seed, its number and the state before it, and on nothing else: so a killed run goes
on from its last whole epoch to the same numbers, and several processes, of which each takes every so
manieth sample of every batch, do what one would do.
"""

import logging
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from lowbit.errors import NumericError, PlanError
from lowbit.nn import clamp_latents, reestimate_batchnorm, set_progress
from lowbit.provenance import provenance
from lowbit.train.agreement import agreement
from lowbit.train.augmentation import augment
from lowbit.train.checkpoint import read_tensors, restore_training, training_state, write_tensors
from lowbit.train.export import write_networks
from lowbit.train.loss import loss_of
from lowbit.train.network import build, teacher
from lowbit.train.recipe import Optimizer, Recipe
from lowbit.train.result import CHECKPOINT, WEIGHTS, Metrics, Result
from lowbit.train.samples import Samples, Splits, samples_of
from lowbit.train.schedule import factor
from lowbit.zoo import network

Progress = Callable[[int, int, str], None]
"""Called with steps done, steps in all, and a line about the last of them."""

_EVALUATED = 500  # samples at a time
_CHECKED = 50  # steps between two looks at the losses


def train(
    recipe: Recipe,
    data: Splits,
    *,
    out: str | os.PathLike[str],
    device: str = "auto",
    resume: bool = True,
    progress: Progress | None = None,
    command: str = "",
) -> Result:
    """Train a network and write its folder.

    Args:
        recipe: what to do.
        data: samples in [0, 1] with labels.
        out: the folder; made where it is missing.
        device: ``auto``, ``cpu`` or ``cuda``; under ``torchrun`` every process takes part.
        resume: go on from the folder's checkpoint, where there is one.
        progress: called after every step.
        command: what the result says it was made by.

    Raises:
        PlanError: the recipe does not fit the network, or a checkpoint not the recipe.
        DataError: samples do not fit the network, or are fewer than a batch.
        NumericError: a loss that is not finite; the last good checkpoint stays.
    """
    run = _prepare(recipe, data, Path(out), device)
    start = run.restore() if resume else _Position()
    metrics = Metrics(run.folder, start.epoch)
    clock = _Clock(start)
    for epoch in range(start.epoch, recipe.epochs):
        losses = _epoch(run, epoch, progress)
        row = {"epoch": epoch + 1, "loss": round(float(losses.mean()), 6)}
        if (epoch + 1) % recipe.evaluate_every == 0 or epoch + 1 == recipe.epochs:
            row |= accuracy(run, run.judged, run.test)
        row |= clock.seconds()
        if run.fabric.is_global_zero:
            metrics.add(row)
        run.keep(_Position(epoch + 1, row["cpu_s"], row["wall_s"]))
    return _finish(run, metrics, clock, data, command)


@dataclass(frozen=True)
class _Position:
    """Where a run is: epochs done, and the seconds they took over all starts."""

    epoch: int = 0
    cpu_s: float = 0.0
    wall_s: float = 0.0


class _Clock:
    def __init__(self, start: _Position) -> None:
        self._cpu = time.process_time() - start.cpu_s
        self._wall = time.monotonic() - start.wall_s

    def seconds(self) -> dict[str, float]:
        cpu, wall = time.process_time() - self._cpu, time.monotonic() - self._wall
        return {"cpu_s": round(cpu, 1), "wall_s": round(wall, 1)}


@dataclass(frozen=True, eq=False)
class _Run:
    """All that a step needs.

    `module` has the weights, `wrapped` is what Fabric makes of it, `new` names weights that a parent had not.
    """

    recipe: Recipe
    folder: Path
    fabric: Fabric
    module: nn.Module
    wrapped: nn.Module
    optimizer: torch.optim.Optimizer
    average: AveragedModel | None
    teacher: nn.Module | None
    train: Samples
    test: Samples
    new: list[str]

    @property
    def judged(self) -> nn.Module:
        """The module whose accuracy counts: the average of weights where there is one."""
        return self.module if self.average is None else self.average.module

    @property
    def steps(self) -> int:
        """Whole batches in an epoch."""
        return len(self.train) // self.recipe.batch

    def restore(self) -> _Position:
        """Go to where the checkpoint is, or to the start."""
        path = self.folder / CHECKPOINT
        if not path.exists():
            return _Position()
        tensors, facts = read_tensors(path)
        if facts["recipe"] != self.recipe.to_dict():
            raise PlanError(
                "the folder holds a run of another recipe",
                where=str(path),
                expected="the settings that it began with",
                found=_differences(facts["recipe"], self.recipe.to_dict()),
                remedy="Give another --out, or start again with --fresh.",
            )
        restore_training(tensors, self.module, self.optimizer, self.average)
        return _Position(**facts["position"])

    def keep(self, position: _Position) -> None:
        """Write the checkpoint."""
        if self.fabric.is_global_zero:
            state = training_state(self.module, self.optimizer, self.average)
            facts = {"recipe": self.recipe.to_dict(), "position": vars(position)}
            write_tensors(self.folder / CHECKPOINT, state, facts)
        self.fabric.barrier()


def _prepare(recipe: Recipe, data: Splits, folder: Path, device: str) -> _Run:
    fabric = _fabric(device, recipe.precision)
    fabric.launch()
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(recipe.seed)
    shape = network(recipe.network).input_shape
    module, new = build(recipe, folder)
    teaching = teacher(recipe, folder)
    train_samples = samples_of(data.train, shape, recipe.normalize, fabric.device)
    test_samples = samples_of(data.test, shape, recipe.normalize, fabric.device)
    if len(train_samples) < recipe.batch:
        raise PlanError("a batch has more samples than there are", found=f"{len(train_samples)} samples")
    module.to(fabric.device)
    optimizer = _optimizer(recipe.optimizer, module)
    wrapped, optimizer = fabric.setup(module, optimizer)
    averaging = get_ema_multi_avg_fn(recipe.average)  # type: ignore[no-untyped-call]
    average = AveragedModel(module, multi_avg_fn=averaging, use_buffers=True) if recipe.average else None
    teaching = None if teaching is None else teaching.to(fabric.device)
    return _Run(
        recipe,
        folder,
        fabric,
        module,
        wrapped,
        optimizer,
        average,
        teaching,
        train_samples,
        test_samples,
        new,
    )


def _fabric(device: str, precision: str) -> Fabric:
    """Return one device, or, under ``torchrun``, this process's part."""
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # it tells of every precision it sets up
    world, local = (int(os.environ.get(name, "1")) for name in ("WORLD_SIZE", "LOCAL_WORLD_SIZE"))
    return Fabric(
        accelerator=device,
        devices=local,
        num_nodes=world // local,
        strategy="ddp" if world > 1 else "auto",
        precision="bf16-mixed" if precision == "bf16" else "32-true",
    )


def _optimizer(settings: Optimizer, module: nn.Module) -> torch.optim.Optimizer:
    weights = [weight for weight in module.parameters() if weight.requires_grad]
    groups: list[dict[str, Any]] = [
        {"params": [weight for weight in weights if weight.ndim > 1], "weight_decay": settings.weight_decay},
        {"params": [weight for weight in weights if weight.ndim < 2], "weight_decay": 0.0},
    ]
    match settings.name:
        case "sgd":
            return torch.optim.SGD(groups, settings.rate, momentum=settings.momentum, nesterov=True)
        case "adam":
            return torch.optim.Adam(groups, settings.rate)
    return torch.optim.AdamW(groups, settings.rate)


def _epoch(run: _Run, epoch: int, progress: Progress | None) -> Tensor:
    """Run every whole batch once, in a new order, and return the losses `[steps]`."""
    random = torch.Generator().manual_seed(run.recipe.seed * 1_000_003 + epoch)
    batches = _order(run, random)[: run.steps * run.recipe.batch].view(run.steps, run.recipe.batch)
    losses = torch.zeros(run.steps, device=run.fabric.device)
    total = run.steps * run.recipe.epochs
    run.wrapped.train()
    for index, chosen in enumerate(batches):
        done = epoch * run.steps + index
        losses[index] = _step(run, chosen, done / total, random)
        if (index + 1) % _CHECKED == 0 or index + 1 == run.steps:
            _check_finite(losses[: index + 1], epoch, run)
        if progress is not None:
            progress(done + 1, total, f"epoch {epoch + 1}/{run.recipe.epochs}")
    return run.fabric.all_reduce(losses, reduce_op="mean")  # type: ignore[return-value]


def _step(run: _Run, chosen: Tensor, part: float, random: torch.Generator) -> Tensor:
    """Take one step and return its loss; `part` of training is done."""
    recipe, fabric = run.recipe, run.fabric
    mine = slice(fabric.global_rank, None, fabric.world_size)
    pictures = run.train.pictures(chosen)
    if part < recipe.augmentation.until:
        # Of the whole batch in every process, so that their number changes no picture.
        pictures = augment(pictures, recipe.augmentation, random)
    inputs = run.train.inputs(pictures[mine])
    taught = None
    if run.teacher is not None:
        with torch.no_grad(), fabric.autocast():
            taught = run.teacher(inputs).float()
    set_progress(run.module, part)
    rate = recipe.optimizer.rate * factor(recipe.schedule, part)
    for group in run.optimizer.param_groups:
        group["lr"] = rate
    loss = loss_of(recipe.loss, run.wrapped(inputs).float(), run.train.labels[chosen][mine], taught)
    run.optimizer.zero_grad()
    fabric.backward(loss)
    run.optimizer.step()
    clamp_latents(run.module)
    if run.average is not None:
        run.average.update_parameters(run.module)
    return loss.detach()


def _check_finite(losses: Tensor, epoch: int, run: _Run) -> None:
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


@torch.no_grad()
def accuracy(run: _Run, module: nn.Module, samples: Samples) -> dict[str, float]:
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


def _finish(run: _Run, metrics: Metrics, clock: _Clock, data: Splits, command: str) -> Result:
    recipe = run.recipe
    if recipe.reestimate:
        reestimate_batchnorm(run.judged, _plain_batches(run))
    figures = accuracy(run, run.judged, run.test)
    facts = {
        "recipe": recipe.name,
        "seed": recipe.seed,
        "scheme": recipe.scheme,
        **figures,
        "test_samples": len(run.test),
        **clock.seconds(),
        "data": data.name,
        "settings": recipe.to_dict(),
        "new_weights": run.new,
        **provenance(command or f"lowbit train recipes/{recipe.name}.toml --seed {recipe.seed}"),
        "torch": torch.__version__,
        "device": str(run.fabric.device),
        "curve": metrics.rows,
    }
    if run.fabric.is_global_zero:
        facts |= _export(run)
        Result(run.folder, facts).write()
    run.fabric.barrier()
    return Result(run.folder, facts)


def _export(run: _Run) -> dict[str, Any]:
    """Write weights and networks; return what differs in them."""
    module, folder = run.judged.cpu().eval(), run.folder
    write_tensors(folder / WEIGHTS, module.state_dict(), {"recipe": run.recipe.to_dict()})
    facts: dict[str, Any] = {"not_written": write_networks(module, run.test.shape, folder)}
    if (folder / "model.onnx").exists():
        facts["differences"] = agreement(module, folder / "model.onnx", run.test)
    return facts


def _plain_batches(run: _Run) -> Iterator[Tensor]:
    """Yield batches of training samples as they are."""
    random = torch.Generator().manual_seed(run.recipe.seed)
    order, batch = _order(run, random), run.recipe.batch
    for start in range(0, min(run.recipe.reestimate, run.steps) * batch, batch):
        yield run.train.inputs(run.train.pictures(order[start : start + batch]))


def _order(run: _Run, random: torch.Generator) -> Tensor:
    return torch.randperm(len(run.train), generator=random).to(run.fabric.device)


def _differences(old: dict[str, Any], new: dict[str, Any]) -> str:
    names = [name for name in {**old, **new} if old.get(name) != new.get(name)]
    return ", ".join(f"{name} was {old.get(name)!r}, is {new.get(name)!r}" for name in names)
