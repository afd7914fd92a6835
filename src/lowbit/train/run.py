"""A run: everything that a step needs, put together once, and its checkpoint."""

import logging
import os
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from lowbit.errors import PlanError
from lowbit.state import entry
from lowbit.train.checkpoint import FRESH, read_tensors, restore_training, training_state, write_tensors
from lowbit.train.identity import changes, identity
from lowbit.train.metrics import Row, curve_of, read_curve
from lowbit.train.network import build, class_count, teacher
from lowbit.train.popcount import count_signs
from lowbit.train.recipe import Optimizer, Recipe
from lowbit.train.result import CHECKPOINT, WEIGHTS, find_run
from lowbit.train.samples import Samples, Splits, check_classes, input_range, samples_of
from lowbit.train.views import Taught
from lowbit.zoo import network


@dataclass(frozen=True)
class Position:
    """Where a run is.

    Attributes:
        epoch: epochs done.
        cpu_s, wall_s: seconds that they took over all starts.
        curve: the learning curve so far.
        changed: what was another at an earlier start, where the run went on by force.
        findings: of the doctor, with their epochs.
    """

    epoch: int = 0
    cpu_s: float = 0.0
    wall_s: float = 0.0
    curve: tuple[Row, ...] = ()
    changed: tuple[str, ...] = ()
    findings: tuple[Row, ...] = ()

    @classmethod
    def of(cls, facts: Row, folder: Path) -> "Position":
        """Return the position of a checkpoint; one of an earlier lowbit has its curve beside it.

        Raises:
            ModelFormatError: an entry is missing or of another kind.
        """
        where = str(folder / CHECKPOINT)
        epoch = entry(facts, "epoch", int, where, FRESH)
        cpu_s, wall_s = (entry(facts, name, float, where, FRESH) for name in ("cpu_s", "wall_s"))
        curve = curve_of(facts["curve"], where) if "curve" in facts else read_curve(folder, epoch)
        kept = {"changed": [], "findings": [], **facts}
        changed, found = (entry(kept, name, list, where, FRESH) for name in ("changed", "findings"))
        return cls(epoch, cpu_s, wall_s, curve, tuple(map(str, changed)), tuple(found))


class Clock:
    """Seconds of a run, over all its starts."""

    def __init__(self, start: Position) -> None:
        self._cpu = time.process_time() - start.cpu_s
        self._wall = time.monotonic() - start.wall_s

    def seconds(self) -> dict[str, float]:
        """Return processor and wall seconds until now."""
        cpu, wall = time.process_time() - self._cpu, time.monotonic() - self._wall
        return {"cpu_s": round(cpu, 1), "wall_s": round(wall, 1)}


@dataclass(frozen=True, eq=False)
class Run:
    """All that a step needs.

    `module` has the weights, `wrapped` is what Fabric makes of it, `new` names weights that a parent had not,
    `made_from` is what the numbers come from besides the recipe (`lowbit.train.identity`).
    """

    recipe: Recipe
    folder: Path
    fabric: Fabric
    module: nn.Module
    wrapped: nn.Module
    optimizer: torch.optim.Optimizer
    average: AveragedModel | None
    teacher: Taught | None
    train: Samples
    test: Samples
    new: list[str]
    made_from: dict[str, str]

    @property
    def judged(self) -> nn.Module:
        """The module whose accuracy counts: the average of weights where there is one."""
        return self.module if self.average is None else self.average.module

    @property
    def steps(self) -> int:
        """Whole batches in an epoch."""
        return len(self.train) // self.recipe.batch

    def restore(self, force: bool = False) -> Position:
        """Go to where the checkpoint is, or to the start.

        Args:
            force: go on although recipe, data or code differ; the position says what did.

        Raises:
            PlanError: they differ, and nothing was forced.
            FileError: the checkpoint is damaged, or does not fit the network.
        """
        path = self.folder / CHECKPOINT
        if not path.exists():
            return Position()
        tensors, facts = read_tensors(path, ("recipe", "position"))
        position = Position.of(facts["position"], self.folder)
        changed = self._changes(facts, str(path))
        if changed and not force:
            raise PlanError(
                "the folder holds a run of another recipe, data or code",
                where=str(path),
                expected="what it began with",
                found=", ".join(changed),
                remedy="Give another --out, or start anew by --fresh; --force goes on, and results say so.",
            )
        restore_training(tensors, self.module, self.optimizer, self.average)
        noted = tuple(f"after epoch {position.epoch}: {each}" for each in changed)
        return replace(position, changed=position.changed + noted)

    def _changes(self, facts: Row, where: str) -> list[str]:
        """Return what of this run a checkpoint has otherwise; one of an earlier lowbit says less."""
        old, new = Recipe.of(facts["recipe"], where).to_dict(), self.recipe.to_dict()
        settings = [f"{name} was {old[name]!r}, is {new[name]!r}" for name in new if old[name] != new[name]]
        made_from = entry({"made_from": {}, **facts}, "made_from", dict, where, FRESH)
        return settings + changes(made_from, self.made_from)

    def keep(self, position: Position) -> None:
        """Write the checkpoint."""
        if self.fabric.is_global_zero:
            state = training_state(self.module, self.optimizer, self.average)
            facts = {
                "recipe": self.recipe.to_dict(),
                "position": vars(position),
                "made_from": self.made_from,
            }
            write_tensors(self.folder / CHECKPOINT, state, facts)
            if self.teacher is not None:
                self.teacher.keep()
        self.fabric.barrier()


def prepare_run(recipe: Recipe, data: Splits, folder: Path, device: str) -> Run:
    """Return a run at its start; errors are those of `lowbit.train.train`."""
    fabric = _fabric(device, recipe.precision)
    fabric.launch()
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(recipe.seed)
    shape = network(recipe.network).input_shape
    module, new = build(recipe, folder, input_range(data.train.samples, recipe.normalize))
    teaching = teacher(recipe, folder)
    train_samples = samples_of(data.train, shape, recipe.normalize, fabric.device)
    test_samples = samples_of(data.test, shape, recipe.normalize, fabric.device)
    _check_batch(recipe.batch, len(train_samples), fabric.world_size)
    for dataset in (data.train, data.test):
        check_classes(dataset, class_count(recipe.network))
    module.to(fabric.device)
    optimizer = _optimizer(recipe.optimizer, module)
    wrapped, optimizer = fabric.setup(module, optimizer)
    averaging = get_ema_multi_avg_fn(recipe.average)  # type: ignore[no-untyped-call]
    average = AveragedModel(module, multi_avg_fn=averaging, use_buffers=True) if recipe.average else None
    teacher_weights = find_run(recipe.loss.teacher, folder, "teacher") / WEIGHTS if teaching else None
    made_from = identity(train_samples, test_samples, teacher_weights)
    taught = None
    if teaching is not None:
        asked, of_answers = (
            teaching[0].to(fabric.device),
            {name: made_from[name] for name in ("data", "teacher")},
        )
        taught = Taught(asked, teaching[1], len(train_samples), folder, of_answers)
    count_signs(module)
    parts = (module, wrapped, optimizer, average, taught, train_samples, test_samples)
    return Run(recipe, folder, fabric, *parts, new, made_from)


def _taught(
    teaching: tuple[nn.Module, Recipe],
    fabric: Fabric,
    samples: Samples,
    folder: Path,
    made_from: dict[str, str],
) -> Taught:
    of_answers = {name: made_from[name] for name in ("data", "teacher")}
    return Taught(teaching[0].to(fabric.device), teaching[1], len(samples), folder, of_answers)


def _check_batch(batch: int, samples: int, processes: int) -> None:
    if batch > samples:
        raise PlanError("a batch has more samples than there are", where="batch", found=f"{samples} samples")
    if batch % processes:
        raise PlanError(
            "a batch cannot be shared by the processes",
            where="batch",
            expected=f"a multiple of {processes}",
            found=str(batch),
        )


def _fabric(device: str, precision: str) -> Fabric:
    """Return one device, or, under ``torchrun``, this process's part."""
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # it tells of every precision it sets up
    torch.backends.cudnn.allow_tf32 = False  # float32 is float32: its ten bits would move thresholds
    devices = ("auto", "cpu", "cuda") if torch.cuda.is_available() else ("auto", "cpu")
    if device not in devices:
        expected = " or ".join(devices)
        raise PlanError("there is no such device", where="device", expected=expected, found=repr(device))
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
