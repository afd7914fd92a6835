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

from lowbit.data import NAMES
from lowbit.errors import ModelFormatError, PlanError
from lowbit.state import entry
from lowbit.train.blocked import Blocked
from lowbit.train.checkpoint import FRESH, read_tensors, restore_training, training_state, write_tensors
from lowbit.train.compiled import compiled
from lowbit.train.fit import check_classes, check_learnable
from lowbit.train.identity import changes, identity
from lowbit.train.metrics import Row, curve_of, read_curve
from lowbit.train.network import Teacher, build, check_teacher, class_count, input_shape, teacher
from lowbit.train.own_network import OwnNetwork, is_own
from lowbit.train.popcount import count_signs
from lowbit.train.recipe import Recipe
from lowbit.train.recipe_file import RECIPE, write_recipe
from lowbit.train.result import BEST, CHECKPOINT
from lowbit.train.samples import Samples, Splits, input_range, samples_of
from lowbit.train.settings import Augmentation, Optimizer
from lowbit.train.views import Taught


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
    `made_from` is what the numbers come from besides the recipe (`lowbit.train.identity`). `judging` samples
    judge every epoch, `test` samples what is kept in the end; they may be the same.
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
    judging: Samples
    test: Samples
    classes: tuple[str, ...]
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
        old, new = (_settings(each) for each in (Recipe.of(facts["recipe"], where), self.recipe))
        settings = [f"{name} was {old[name]!r}, is {new[name]!r}" for name in new if old[name] != new[name]]
        made_from = entry({"made_from": {}, **facts}, "made_from", dict, where, FRESH)
        return settings + changes(made_from, self.made_from)

    def keep_best(self, epoch: int) -> None:
        """Write the weights that are judged, as those of the best epoch so far."""
        if self.fabric.is_global_zero:
            facts = {"recipe": self.recipe.to_dict(), "epoch": epoch}
            write_tensors(self.folder / BEST, self.judged.state_dict(), facts)
        self.fabric.barrier()

    def take_best(self, epoch: int) -> None:
        """Put the weights of the best epoch back.

        Raises:
            FileError: they are missing or damaged, or of another epoch.
        """
        path = self.folder / BEST
        tensors, facts = read_tensors(path)
        if facts.get("epoch") != epoch:
            found = repr(facts.get("epoch"))[:40]
            raise ModelFormatError(
                "the best weights are of another epoch",
                where=str(path),
                expected=str(epoch),
                found=found,
                remedy=FRESH,
            )
        try:
            self.judged.load_state_dict(tensors)
        except RuntimeError as error:
            found = str(error).splitlines()[0]
            raise ModelFormatError(
                "the best weights do not fit the network", where=str(path), found=found, remedy=FRESH
            ) from error

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
    """Return a run at its start; errors are those of `lowbit.train.train`, all that there are at once."""
    fabric = _fabric(device, recipe.precision)
    fabric.launch()
    torch.manual_seed(recipe.seed)
    module, new, teaching, samples = _checked(recipe, data, folder, fabric)
    folder.mkdir(parents=True, exist_ok=True)
    if fabric.is_global_zero:
        write_recipe(recipe, folder / RECIPE)
    module.to(fabric.device)
    optimizer = _optimizer(recipe.optimizer, module)
    wrapped, optimizer = fabric.setup(compiled(module) if recipe.compile else module, optimizer)
    averaging = get_ema_multi_avg_fn(recipe.average)  # type: ignore[no-untyped-call]
    average = AveragedModel(module, multi_avg_fn=averaging, use_buffers=True) if recipe.average else None
    judging = samples.get("validation", samples.get("test"))
    assert judging is not None
    own = OwnNetwork.of(recipe.network).code() if is_own(recipe.network) else ""
    made_from = identity(samples["train"], judging, teaching.weights if teaching else None, own)
    taught = _taught(teaching, fabric, len(samples["train"]), folder, made_from) if teaching else None
    count_signs(module)
    sets = (samples["train"], judging, samples.get("test", judging))
    parts = (module, wrapped, optimizer, average, taught, *sets, data.train.classes)
    return Run(recipe, folder, fabric, *parts, new, made_from)


def _checked(
    recipe: Recipe, data: Splits, folder: Path, fabric: Fabric
) -> tuple[nn.Module, list[str], Teacher | None, dict[str, Samples]]:
    """Return the modules and samples of a run, or raise everything that stands in its way."""
    blocked, own = Blocked(), is_own(recipe.network)
    shape, classes = input_shape(recipe, data), data.classes if own else class_count(recipe.network)
    module, teaching = None, None
    new: list[str] = []
    samples: dict[str, Samples] = {}
    with blocked.trying():
        inputs = input_range(data.train.samples, recipe.normalize)
        module, new = build(recipe, folder, inputs, data)
    with blocked.trying():
        if teaching := teacher(recipe, folder, data):
            check_teacher(teaching, shape, classes)
    with blocked.trying():
        check_learnable(data.train)
    for name, dataset in data.all.items():
        with blocked.trying():
            samples[name] = samples_of(dataset, shape, recipe.normalize, fabric.device, channels_last=not own)
            check_classes(dataset, classes)
    with blocked.trying():
        _check_augmentation(recipe, samples)
    with blocked.trying():
        _check_batch(recipe.batch, len(data.train), fabric.world_size)
    blocked.refuse("training cannot begin")
    assert module is not None
    return module, new, teaching, samples


def _taught(
    teaching: Teacher, fabric: Fabric, samples: int, folder: Path, made_from: dict[str, str]
) -> Taught:
    of_answers = {name: made_from[name] for name in ("data", "teacher")}
    return Taught(teaching.module.to(fabric.device), teaching.recipe, samples, folder, of_answers)


def _settings(recipe: Recipe) -> dict[str, Any]:
    """Return what a run is compared by: not where its files lie, since hashes say what they are."""
    found = recipe.to_dict()
    if is_own(recipe.network):
        own = OwnNetwork.of(recipe.network, recipe.arguments)
        found |= {"network": f"{own.path.name}:{own.name}", "arguments": dict(own.arguments)}
    return found | {"data": recipe.data if recipe.data in NAMES else Path(recipe.data).name}


def _check_augmentation(recipe: Recipe, samples: dict[str, Samples]) -> None:
    """Refuse to turn and move what are no pictures."""
    settings = replace(recipe.augmentation, until=1.0, views=0)
    found = samples["train"].numbers.shape[1:] if "train" in samples else ()
    if settings != Augmentation() and found and len(found) != 3:
        raise PlanError(
            "pictures alone are augmented",
            where="augmentation",
            expected="samples [channels, height, width]",
            found=str(list(found)),
            remedy="Leave the table augmentation away.",
        )


def _check_batch(batch: int, samples: int, processes: int) -> None:
    if batch > samples:
        raise PlanError(
            "a batch has more samples than there are",
            where="batch",
            expected=f"at most {samples}",
            found=str(batch),
            remedy=f"Say --batch {samples} or less.",
        )
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
