"""What a training run is, as plain data, read from strict TOML: a wrong word is an error with near words."""

import difflib
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from math import isfinite
from pathlib import Path
from sys import float_info
from typing import Any, Self

from lowbit.errors import PlanError
from lowbit.plan import Plan
from lowbit.plan.layers import is_by_pattern
from lowbit.plan.plan import CALIBRATION
from lowbit.untrusted import read_file

_LARGEST_FILE = 1 << 20
_LARGEST_SEED = 1 << 40  # epochs have seeds of their own, of 64 bits
_LARGEST = float_info.max


class _Table:
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
class Optimizer(_Table):
    """How a step follows a gradient.

    Attributes:
        name: ``adamw``, ``adam`` or ``sgd``.
        rate: the top of the schedule.
        weight_decay: of matrices and kernels; biases and norms have none.
        momentum: of ``sgd``.
    """

    name: str = "adamw"
    rate: float = 1e-3
    weight_decay: float = 0.0
    momentum: float = 0.9

    def __post_init__(self) -> None:
        _choose(self.name, ("adamw", "adam", "sgd"), "optimizer.name")
        _within(self.rate, "optimizer.rate", above=0.0)
        _within(self.weight_decay, "optimizer.weight_decay")
        _within(self.momentum, "optimizer.momentum", most=1.0)


@dataclass(frozen=True)
class Schedule(_Table):
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
        _choose(self.name, ("cosine", "one-cycle", "constant", "halving"), "schedule.name")
        _within(self.warmup, "schedule.warmup", most=1.0)
        _within(self.halvings, "schedule.halvings")


@dataclass(frozen=True)
class Augmentation(_Table):
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
            _within(getattr(self, name), f"augmentation.{name}")
        _within(self.scale, "augmentation.scale", most=0.9)
        _within(self.until, "augmentation.until", most=1.0)


@dataclass(frozen=True)
class Loss(_Table):
    """What is made small; see `lowbit.train.loss`.

    Attributes:
        name: ``cross-entropy`` or ``squared-hinge``.
        smoothing: of the labels.
        teacher: a recipe whose run lies beside this one, or the folder of a run.
        distillation: the teacher's weight, 0 to 1; the labels have the rest.
        temperature: divides both networks' logits.
    """

    name: str = "cross-entropy"
    smoothing: float = 0.0
    teacher: str = ""
    distillation: float = 0.0
    temperature: float = 1.0

    def __post_init__(self) -> None:
        _choose(self.name, ("cross-entropy", "squared-hinge"), "loss.name")
        _within(self.smoothing, "loss.smoothing", most=1.0)
        _within(self.distillation, "loss.distillation", most=1.0)
        _within(self.temperature, "loss.temperature", above=0.0)
        if bool(self.teacher) != bool(self.distillation):
            raise PlanError(
                "a teacher and its weight go together",
                where="loss",
                expected="both teacher and distillation, or neither",
                found=f"teacher = {self.teacher!r}, distillation = {self.distillation}",
            )


@dataclass(frozen=True)
class Published(_Table):
    """The figure that the recipe is compared with.

    Attributes:
        top1, top5: fractions.
        source: who published it.
    """

    top1: float = 0.0
    top5: float = 0.0
    source: str = ""


@dataclass(frozen=True)
class Recipe(_Table):
    """A training run.

    Attributes:
        network: of the zoo.
        data: a name or path for `lowbit.data.load`.
        epochs: passes over the training samples.
        batch: samples per step, over all processes; the rest of an epoch is left out.
        seed: of weights, order and augmentation.
        name: of the recipe; its file's.
        precision: ``float32`` or ``bf16`` (products in bfloat16, sums and weights in float32).
        normalize: mean and deviation, applied to samples in [0, 1].
        initialization: how weights are drawn: ``torch``, its own rules; or ``xavier``, uniform (Glorot and
            Bengio 2010, equation 16), with biases of zero.
        initial: a run whose weights this one starts with, named as ``loss.teacher``.
        average: decay per step of the moving average of weights; 0 for none.
        reestimate: batches by which statistics of batch normalization are taken again at the end.
        evaluate_every: epochs between two points of the learning curve.
        validation: training samples kept out, a share of every class, by which the network is judged instead
            of by the test samples: to choose settings by.
        judge: ``test``, or ``training``: the samples that are learned judge too (`lowbit.train.judging`).
        optimizer, schedule, augmentation, loss: see there.
        plan: the settings of `lowbit.Plan`; or, by pattern of layer names, all settings of these layers, the
            others being float. Empty for a float network.
        published: see there.
    """

    network: str
    data: str
    epochs: int
    batch: int = 128
    seed: int = 0
    name: str = ""
    precision: str = "float32"
    normalize: tuple[float, ...] = ()
    initialization: str = "torch"
    initial: str = ""
    average: float = 0.0
    reestimate: int = 0
    evaluate_every: int = 1
    validation: int = 0
    judge: str = "test"
    optimizer: Optimizer = field(default_factory=Optimizer)
    schedule: Schedule = field(default_factory=Schedule)
    augmentation: Augmentation = field(default_factory=Augmentation)
    loss: Loss = field(default_factory=Loss)
    plan: Mapping[str, Any] = field(default_factory=dict)
    published: Published = field(default_factory=Published)

    def __post_init__(self) -> None:
        _choose(self.precision, ("float32", "bf16"), "precision")
        _choose(self.judge, ("test", "training"), "judge")
        _choose(self.initialization, ("torch", "xavier"), "initialization")
        _check_name(self.name)
        Plan.of(self.plan).require_unsaid(CALIBRATION, "calibration")
        if self.validation and self.judge == "training":
            found = f"validation = {self.validation}, judge = 'training'"
            raise PlanError("samples are kept out or they judge", where="recipe", found=found)
        for name in ("epochs", "batch", "evaluate_every"):
            _within(getattr(self, name), name, above=0)
        _within(self.seed, "seed", most=_LARGEST_SEED)
        _within(self.reestimate, "reestimate")
        _within(self.validation, "validation")
        _within(self.average, "average", most=1.0)
        finite = all(map(isfinite, self.normalize))
        if len(self.normalize) not in (0, 2) or not finite or (self.normalize and not self.normalize[1] > 0):
            found = str(list(self.normalize))
            raise PlanError("normalize", where="recipe", expected="[mean, deviation above 0]", found=found)

    @classmethod
    def read(cls, path: str | os.PathLike[str], **given: Any) -> "Recipe":
        """Return the recipe of a TOML file; `given` settings win.

        Raises:
            FileError: the file cannot be read.
            PlanError: it is not TOML, or a setting is missing, unknown or impossible.
        """
        where, content = str(path), read_file(path, limit=_LARGEST_FILE)
        try:
            table = tomllib.loads(content.decode())
        except (ValueError, RecursionError) as error:
            raise PlanError("the recipe is not TOML", where=where, found=str(error)) from error
        return cls.of({"name": Path(path).stem, **table, **given}, where)

    @classmethod
    def of(cls, table: Mapping[str, Any], where: str) -> "Recipe":
        """Return the recipe of a table; errors are those of `read`."""
        missing = [name for name in ("network", "data", "epochs") if name not in table]
        if missing:
            raise PlanError("the recipe does not say enough", where=where, expected=" and ".join(missing))
        return super().of(table, where)

    def with_forms(self, **forms: str) -> "Recipe":
        """Return the recipe with other weights or activations of all layers; those of a name or pattern stay.

        Args:
            forms: specifications of ``weights``, ``activations`` or both.

        Raises:
            PlanError: a specification does not parse, or the layer cannot have it.
        """
        if not forms:
            return self
        plan, old = dict(self.plan), {"weight": "weights", "activation": "activations"}
        if not is_by_pattern(plan):
            return replace(self, plan=plan | forms)
        every = {old.get(name, name): value for name, value in plan.pop("*", {}).items()}
        return replace(self, plan={"*": every | forms, **plan})

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON-ready values that `of` reads."""
        return {**asdict(self), "normalize": list(self.normalize)}

    @property
    def scheme(self) -> str:
        """What becomes of the numbers: ``float``, ``binary``, ``pow2:3``, ``lq:2/lq:1`` (weights/inputs)."""
        texts = []
        plan = Plan.of(self.plan).settled("float")
        for each in (plan, *(plan.for_layer(name) for name in plan.layers)):
            weight, activation = map(str, each.forms)
            texts.append(weight if activation in (weight, "float") else f"{weight}/{activation}")
        low = [text for text in dict.fromkeys(texts) if text != "float"]
        return "+".join(low) or "float"


def _value(kind: Any, value: Any, where: str) -> Any:
    """Return a TOML value as the type of a field."""
    if isinstance(kind, type) and issubclass(kind, _Table):
        if isinstance(value, Mapping):
            return kind.of(value, where)
    elif kind is float:
        if isinstance(value, float | int) and not isinstance(value, bool) and abs(value) <= _LARGEST:
            return float(value)
    elif kind == tuple[float, ...]:
        if isinstance(value, list):
            return tuple(_value(float, item, where) for item in value)
    elif kind in (int, str, bool):
        if type(value) is kind:
            return value
    elif isinstance(value, Mapping):
        return value
    name = kind.__name__ if isinstance(kind, type) else "a table of tables"
    raise PlanError("a setting has the wrong type", where=where, expected=name, found=repr(value))


def _check_name(name: str) -> None:
    """Refuse what is more than the name of a file: folders of runs and files of results are called by it."""
    if name and not re.fullmatch(_NAME, name):
        raise PlanError(
            "a recipe's name is a name of files",
            where="name",
            expected="at most 100 letters, digits, spaces and . _ - + =, the first a letter, digit or _",
            found=repr(name[:120]),
        )


_NAME = r"\w[\w .+=-]{0,99}"


def _choose(found: str, choices: tuple[str, ...], where: str) -> None:
    if found not in choices:
        raise PlanError("unknown choice", where=where, expected=" or ".join(choices), found=repr(found))


def _within(found: float, where: str, above: float | None = None, most: float = float("inf")) -> None:
    fits = found > above if above is not None else found >= 0
    if not (fits and found <= most and found < float("inf")):
        least = f"above {above}" if above is not None else "0 or more"
        raise PlanError(
            "a setting is out of range",
            where=where,
            expected=least + (f", at most {most}" if most < float("inf") else ""),
            found=str(found),
        )
