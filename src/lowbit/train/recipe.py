"""What a training run is, as plain data, read from strict TOML: a wrong word is an error with near words."""

import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from math import isfinite
from pathlib import Path
from typing import Any

from lowbit.data import NAMES, Framing
from lowbit.errors import DataError, PlanError
from lowbit.plan import Plan
from lowbit.plan.layers import is_by_pattern
from lowbit.plan.plan import CALIBRATION
from lowbit.recipes import read_recipe
from lowbit.train.settings import Augmentation, Loss, Optimizer, Published, Schedule, Table, choose, within

_LARGEST_SEED = 1 << 40  # epochs have seeds of their own, of 64 bits


@dataclass(frozen=True)
class Recipe(Table):
    """A training run.

    Attributes:
        network: of the zoo; or a module of one's own, ``mynet.py:Net``: a class or function of a file.
        data: a name or path for `lowbit.data.load`.
        epochs: passes over the training samples.
        arguments: what the class or function is called with, by name.
        input: lengths of one sample as the network takes it, where they are not those of the data.
        resize, crop, colours: how pictures become what the network takes (`lowbit.data.Framing`).
        batch: samples per step, over all processes; the rest of an epoch is left out.
        seed: of weights, order and augmentation.
        name: of the recipe; its file's.
        precision: ``float32`` or ``bf16`` (products in bfloat16, sums and weights in float32).
        normalize: mean and deviation, applied to samples in [0, 1]; or means and then deviations of channels.
        initialization: how weights are drawn: ``torch``, its own rules; or ``xavier``, uniform (Glorot and
            Bengio 2010, equation 16), with biases of zero.
        initial: a run whose weights this one starts with, named as ``loss.teacher``.
        average: decay per step of the moving average of weights; 0 for none.
        reestimate: batches by which statistics of batch normalization are taken again at the end.
        evaluate_every: epochs between two points of the learning curve.
        validation: training samples kept out, a share of every class, by which the network is judged instead
            of by the test samples: to choose settings by. Below 1 it is their share.
        split_seed: draws these samples.
        judge: ``test``; ``both``: samples for validation judge every epoch, the test samples what is kept;
            or ``training``: the samples that are learned judge too (`lowbit.train.judging`).
        keep: ``last``: the weights of the last epoch; or ``best``: of the one that validation judged best.
        compile: let ``torch.compile`` translate the module.
        search: what `lowbit tune` tries, by setting (``optimizer.rate``): a list of choices, or a table of
            ``low`` and ``high``, and ``log = true`` for orders of magnitude (`lowbit.train.search`).
        optimizer, schedule, augmentation, loss: see there.
        plan: the settings of `lowbit.Plan`; or, by pattern of layer names, all settings of these layers, the
            others being float. Empty for a float network.
        published: see there.
    """

    network: str
    data: str
    epochs: int
    arguments: Mapping[str, Any] = field(default_factory=dict)
    batch: int = 128
    seed: int = 0
    name: str = ""
    precision: str = "float32"
    input: tuple[int, ...] = ()
    resize: str = ""
    crop: str = ""
    colours: str = ""
    normalize: tuple[float, ...] = ()
    initialization: str = "torch"
    initial: str = ""
    average: float = 0.0
    reestimate: int = 0
    evaluate_every: int = 1
    validation: int | float = 0
    split_seed: int = 0
    judge: str = "test"
    keep: str = "last"
    compile: bool = False
    optimizer: Optimizer = field(default_factory=Optimizer)
    schedule: Schedule = field(default_factory=Schedule)
    augmentation: Augmentation = field(default_factory=Augmentation)
    loss: Loss = field(default_factory=Loss)
    plan: Mapping[str, Any] = field(default_factory=dict)
    search: Mapping[str, Any] = field(default_factory=dict)
    published: Published = field(default_factory=Published)

    def __post_init__(self) -> None:
        choose(self.precision, ("float32", "bf16"), "precision")
        choose(self.judge, ("test", "both", "training"), "judge")
        choose(self.keep, ("last", "best"), "keep")
        choose(self.initialization, ("torch", "xavier"), "initialization")
        _check_name(self.name)
        Plan.of(self.plan).require_unsaid(CALIBRATION, "calibration")
        if self.validation and self.judge == "training":
            found = f"validation = {self.validation}, judge = 'training'"
            raise PlanError("samples are kept out or they judge", where="recipe", found=found)
        for name in ("epochs", "batch", "evaluate_every"):
            within(getattr(self, name), name, above=0)
        within(self.seed, "seed", most=_LARGEST_SEED)
        within(self.split_seed, "split_seed", most=_LARGEST_SEED)
        within(self.reestimate, "reestimate")
        within(self.validation, "validation")
        within(self.average, "average", most=1.0)
        _check_sizes(self)
        half = len(self.normalize) // 2
        deviations = self.normalize[half:]
        if (
            len(self.normalize) % 2
            or not all(map(isfinite, self.normalize))
            or min(deviations, default=1) <= 0
        ):
            expected = "[mean, deviation above 0], or means and then deviations of channels"
            found = str(list(self.normalize))
            raise PlanError("normalize", where="recipe", expected=expected, found=found)

    @classmethod
    def read(cls, path: str | os.PathLike[str], **given: Any) -> "Recipe":
        """Return the recipe of a TOML file or a variant (`lowbit.recipes`); `given` settings win.

        Paths of a module's file and of data are those beside the recipe, where there are such.

        Raises:
            FileError: the file cannot be read.
            PlanError: it is not TOML, or a setting is missing, unknown or impossible.
        """
        table, beside = read_recipe(path), Path(path).parent
        near: dict[str, Any] = {
            name: _beside(table[name], beside) for name in ("network", "data") if name in table
        }
        return cls.of({**table, **near, **given}, str(path))

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
        return {**asdict(self), "normalize": list(self.normalize), "input": list(self.input)}

    @property
    def framing(self) -> Framing | None:
        """How pictures become what the network takes; None where nothing is said."""
        return Framing.of(self.resize, self.crop, self.colours)

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


def _check_sizes(recipe: Recipe) -> None:
    """Refuse sizes of pictures and samples that are none."""
    for length in recipe.input:
        within(length, "input", above=0)
    try:
        _ = recipe.framing
    except DataError as error:
        raise PlanError(error.message, where="recipe", expected=error.expected, found=error.found) from error


def _beside(path: Any, folder: Path) -> Any:
    """Return a path beside a recipe where there is such a file, else the path or name as it is."""
    name, mark, rest = path.partition(".py:") if isinstance(path, str) else ("", "", "")
    file = name + mark.removesuffix(":")
    beside = folder / file
    if file in NAMES or not _exists(beside, file):
        return path
    return f"{relative(beside, Path())}{mark[3:]}{rest}"


def relative(path: str | os.PathLike[str], folder: Path) -> str:
    """Return a path as it is called from a folder; with a dot where it would be the name of a data set."""
    found = os.path.relpath(path, folder)
    return f"./{found}" if found in NAMES else found


def _exists(path: Path, name: str) -> bool:
    try:
        return bool(name) and path.exists()
    except (OSError, ValueError):  # a name too long, or with a zero byte: none of a file
        return False


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
