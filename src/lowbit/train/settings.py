"""The tables of a recipe: how a step is taken, what happens to pictures, what is made small.

Every key is known and has the type of its default: a wrong word is an error with near words.
"""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from sys import float_info
from types import UnionType
from typing import Any, Self, get_args

from lowbit.errors import PlanError

_LARGEST = float_info.max


class Table:
    """A table of a recipe: every key is known and has the type of its default."""

    @classmethod
    def of(cls, table: Mapping[str, Any], where: str) -> Self:
        """Return the settings of a TOML table.

        Raises:
            PlanError: a key is unknown, or a value impossible.
        """
        known = {entry.name: entry for entry in fields(cls)}  # type: ignore[arg-type]
        for name in table:
            if name not in known:
                near = difflib.get_close_matches(name, known, n=3) or list(known)
                raise PlanError("unknown setting", where=where, expected=" or ".join(near), found=repr(name))
        return cls(
            **{name: _value(known[name].type, value, f"{where}.{name}") for name, value in table.items()}
        )


@dataclass(frozen=True)
class Optimizer(Table):
    """How a step follows a gradient.

    Attributes:
        name: ``adamw``, ``adam`` or ``sgd``.
        rate: the top of the schedule.
        weight_decay: of matrices and kernels; biases and norms have none.
        momentum: of ``sgd``.
        clip: the most that the norm of all gradients together may be (Pascanu et al. 2013, algorithm 1);
            0 for no bound.
    """

    name: str = "adamw"
    rate: float = 1e-3
    weight_decay: float = 0.0
    momentum: float = 0.9
    clip: float = 0.0

    def __post_init__(self) -> None:
        within(self.clip, "optimizer.clip")
        choose(self.name, ("adamw", "adam", "sgd"), "optimizer.name")
        within(self.rate, "optimizer.rate", above=0.0)
        within(self.weight_decay, "optimizer.weight_decay")
        within(self.momentum, "optimizer.momentum", most=1.0)


@dataclass(frozen=True)
class Schedule(Table):
    """How the rate moves; see `lowbit.train.schedule`.

    Attributes:
        name: ``cosine``, ``one-cycle``, ``constant`` or ``halving``.
        warmup: part of all steps in which the rate rises.
        halvings: ``halving``: how often.
    """

    name: str = "cosine"
    warmup: float = 0.0
    halvings: int = 0

    def __post_init__(self) -> None:
        choose(self.name, ("cosine", "one-cycle", "constant", "halving"), "schedule.name")
        within(self.warmup, "schedule.warmup", most=1.0)
        within(self.halvings, "schedule.halvings")


@dataclass(frozen=True)
class Augmentation(Table):
    """What happens to training pictures; see `lowbit.train.augmentation`.

    Attributes:
        flip: left to right, every second picture.
        crop: pixels of zeros around, of which the picture's own size is cut out.
        shift: pixels, up to which a picture moves, fractions included.
        rotation: degrees, up to which it turns.
        scale: up to which part it grows or shrinks.
        shear: up to which it leans.
        cutout: side of a square that becomes zero.
        until: part of all epochs after which nothing of this happens.
        views: how many ways of each picture are drawn (`lowbit.train.views`); 0 for new ones every epoch.
    """

    flip: bool = False
    crop: int = 0
    shift: float = 0.0
    rotation: float = 0.0
    scale: float = 0.0
    shear: float = 0.0
    cutout: int = 0
    until: float = 1.0
    views: int = 0

    def __post_init__(self) -> None:
        for name in ("crop", "shift", "rotation", "shear", "cutout", "views"):
            within(getattr(self, name), f"augmentation.{name}")
        within(self.scale, "augmentation.scale", most=0.9)
        within(self.until, "augmentation.until", most=1.0)


@dataclass(frozen=True)
class Loss(Table):
    """What is made small; see `lowbit.train.loss`.

    Attributes:
        name: ``cross-entropy`` or ``squared-hinge``.
        smoothing: of the labels.
        teacher: a recipe whose run lies beside this one, or the folder of a run.
        teacher_network: of a teacher whose network is a module of one's own: the file and name of that, as in
            `lowbit.train.Recipe.network`. A run's own files never say which code is to be run.
        distillation: the teacher's weight, 0 to 1; the labels have the rest.
        temperature: divides both networks' logits.
    """

    name: str = "cross-entropy"
    smoothing: float = 0.0
    teacher: str = ""
    teacher_network: str = ""
    distillation: float = 0.0
    temperature: float = 1.0

    def __post_init__(self) -> None:
        choose(self.name, ("cross-entropy", "squared-hinge"), "loss.name")
        within(self.smoothing, "loss.smoothing", most=1.0)
        within(self.distillation, "loss.distillation", most=1.0)
        within(self.temperature, "loss.temperature", above=0.0)
        if bool(self.teacher) != bool(self.distillation):
            raise PlanError(
                "a teacher and its weight go together",
                where="loss",
                expected="both teacher and distillation, or neither",
                found=f"teacher = {self.teacher!r}, distillation = {self.distillation}",
            )


@dataclass(frozen=True)
class Published(Table):
    """The figure that the recipe is compared with.

    Attributes:
        top1, top5: fractions.
        source: who published it.
    """

    top1: float = 0.0
    top5: float = 0.0
    source: str = ""


def _value(kind: Any, value: Any, where: str) -> Any:
    """Return a TOML value as the type of a field."""
    if isinstance(kind, type) and issubclass(kind, Table):
        if isinstance(value, Mapping):
            return kind.of(value, where)
    elif kind is float:
        if isinstance(value, float | int) and not isinstance(value, bool) and abs(value) <= _LARGEST:
            return float(value)
    elif kind in (tuple[float, ...], tuple[int, ...]):
        if isinstance(value, list | tuple):
            return tuple(_value(get_args(kind)[0], item, where) for item in value)
    elif isinstance(kind, UnionType):
        if type(value) in get_args(kind):
            return value
    elif kind in (int, str, bool):
        if type(value) is kind:
            return value
    elif isinstance(value, Mapping):
        return value
    name = kind.__name__ if isinstance(kind, type) else _SAID.get(kind, "a table of tables")
    raise PlanError("a setting has the wrong type", where=where, expected=name, found=repr(value))


_SAID: dict[Any, str] = {
    tuple[int, ...]: "a list of whole numbers",
    tuple[float, ...]: "a list of numbers",
    int | float: "a number",
}


def choose(found: str, choices: tuple[str, ...], where: str) -> None:
    """Refuse what is none of the choices."""
    if found not in choices:
        raise PlanError("unknown choice", where=where, expected=" or ".join(choices), found=repr(found))


def within(found: float, where: str, above: float | None = None, most: float = float("inf")) -> None:
    """Refuse what is below zero, not above a bound, or larger than the most."""
    fits = found > above if above is not None else found >= 0
    if not (fits and found <= most and found < float("inf")):
        least = f"above {above}" if above is not None else "0 or more"
        raise PlanError(
            "a setting is out of range",
            where=where,
            expected=least + (f", at most {most}" if most < float("inf") else ""),
            found=str(found),
        )
