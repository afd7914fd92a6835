"""From a recipe to modules: the one that learns, what it starts with, and its teacher."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from lowbit.errors import PlanError
from lowbit.nn import Network, Plan, prepare
from lowbit.nn.example import example_of
from lowbit.nn.ranges import ANYTHING, Interval
from lowbit.nn.trial import refuse_unexportable
from lowbit.train.checkpoint import read_tensors
from lowbit.train.fit import check_fit
from lowbit.train.own_network import OwnNetwork, is_own
from lowbit.train.recipe import Recipe
from lowbit.train.result import WEIGHTS, find_run
from lowbit.train.samples import Splits
from lowbit.zoo import network


@dataclass(frozen=True)
class Teacher:
    """Whose logits are learned.

    Attributes:
        module: in eval mode, without gradients.
        recipe: whose run it is.
        weights: their file.
    """

    module: nn.Module
    recipe: Recipe
    weights: Path


def input_shape(recipe: Recipe, data: Splits) -> tuple[int, ...]:
    """Return the lengths of one sample as the network takes it.

    A network of the zoo says it; one of somebody's own takes samples as they are, a grey picture with its
    channel, or what the recipe says.
    """
    if not is_own(recipe.network):
        return network(recipe.network).input_shape
    found = data.train.samples.shape[1:]
    grey = data.train.layout == "nchw" and len(found) == 2
    return recipe.input or ((1, *found) if grey else found)


def build(
    recipe: Recipe, folder: Path, inputs: Interval = ANYTHING, data: Splits | None = None
) -> tuple[nn.Module, list[str]]:
    """Return the module of a recipe with the weights it starts with, and what of them is new.

    Args:
        recipe: what to build; torch's generator draws weights that are not given.
        folder: of the run, beside which others are looked for.
        inputs: the least and the largest value of an input of the network.
        data: what the network is for; needed for one of somebody's own.

    Raises:
        PlanError: network, plan or parent do not exist or do not fit.
        DataError: a network of somebody's own does not take these samples, or has other classes.
        UnsupportedError: a layer cannot be what the plan says, as a sign of inputs that are never negative.
    """
    module = _drawn(recipe, inputs, data)
    if not recipe.initial:
        return module, []
    run = find_run(recipe.initial, folder, "initial")
    weights, _ = _weights(run)
    return module, _load(module, weights, str(run))


def class_count(name: str) -> int:
    """Return how many classes a network of the zoo has; torch's generator stays as it was."""
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        chosen = network(name)
        return int(Network(chosen).eval()(torch.zeros(1, *chosen.input_shape)).shape[1])


def teacher(recipe: Recipe, folder: Path, data: Splits | None = None) -> Teacher | None:
    """Return the teacher of a recipe, or None.

    Raises:
        PlanError: its run does not exist or is not finished, has other classes, or is of a module of
            somebody's own that the recipe does not name.
    """
    if not recipe.loss.teacher:
        return None
    run = find_run(recipe.loss.teacher, folder, "teacher")
    weights, found = _weights(run)
    if is_own(found.network):
        found = _named_by_the_user(recipe, found, run)
    module = _drawn(found, data=data, learns=False)
    _load(module, weights, str(run))
    return Teacher(module.eval().requires_grad_(False), found, run / WEIGHTS)


def check_teacher(found: Teacher, shape: tuple[int, ...], classes: int) -> None:
    """Refuse a teacher that does not take the student's samples, or has other classes.

    Raises:
        PlanError: it does not, or has.
    """
    where = str(found.weights.parent)
    try:
        with torch.no_grad():
            logits = found.module(torch.zeros(1, *shape))
    except Exception as error:  # whatever a forward raises
        raise PlanError(
            "the teacher does not take the samples",
            where=where,
            expected=f"samples {list(shape)}",
            found=" ".join(str(error).split())[:200],
            remedy="Train it on the same data, resized alike.",
        ) from error
    if logits.shape[-1] != classes:
        raise PlanError(
            "the teacher has other classes",
            where=where,
            expected=f"{classes} classes, as the student",
            found=str(logits.shape[-1]),
            remedy="Take a teacher of the same data.",
        )


def _named_by_the_user(recipe: Recipe, found: Recipe, run: Path) -> Recipe:
    """Return a run's recipe with the module that the user named: no run says which code is to be run."""
    for named in (recipe.loss.teacher_network, recipe.network):
        own = OwnNetwork.of(named) if is_own(named) else None
        theirs = OwnNetwork.of(found.network)
        if own is not None and (own.path.name, own.name) == (theirs.path.name, theirs.name):
            return Recipe.of({**found.to_dict(), "network": own.text}, str(run))
    raise PlanError(
        "the run's network is a module of its own, whose file has to be named",
        where=str(run),
        expected=f"loss.teacher_network = '{found.network}', as the file is called here",
        found=repr(recipe.loss.teacher_network) if recipe.loss.teacher_network else "none",
        remedy="A run's files never say which code is to be run.",
    )


def _load(module: nn.Module, weights: dict[str, Tensor], where: str) -> list[str]:
    """Load weights; return what of the module they do not have."""
    state = module.state_dict()
    for name, tensor in sorted(weights.items()):
        if name not in state or state[name].shape != tensor.shape:
            raise PlanError(
                "the weights are of another network",
                where=f"{where}: {name}",
                expected=str(tuple(state[name].shape)) if name in state else "no such weights",
                found=str(tuple(tensor.shape)),
            )
    module.load_state_dict(weights, strict=False)
    return [name for name in state if name not in weights]


def _drawn(
    recipe: Recipe, inputs: Interval = ANYTHING, data: Splits | None = None, *, learns: bool = True
) -> nn.Module:
    """Return the module with weights from torch's generator; one that learns has to fit its data."""
    if is_own(recipe.network):
        return _drawn_of_a_file(recipe, inputs, data, learns)
    module = Network(network(recipe.network))
    if recipe.initialization == "xavier":
        module.apply(_draw_as_xavier)
    prepare(module, Plan.of(recipe.plan), inputs=inputs)
    return module.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def _drawn_of_a_file(recipe: Recipe, inputs: Interval, data: Splits | None, learns: bool) -> nn.Module:
    """Return a module of somebody's own: one that takes the data, and that can be written in the end."""
    own = OwnNetwork.of(recipe.network, recipe.arguments)
    module = own.build()
    if recipe.initialization == "xavier":
        module.apply(_draw_as_xavier)
    assert data is not None
    shape = input_shape(recipe, data)
    if learns:
        check_fit(module, own, shape, data)
    prepared = prepare(module, Plan.of(recipe.plan), shape, inputs=inputs, exportable=learns)
    if learns and not prepared.changed:
        refuse_unexportable(module, example_of(module, shape))
    return module


def _draw_as_xavier(module: nn.Module) -> None:
    if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def _weights(run: Path) -> tuple[dict[str, Tensor], Recipe]:
    weights, facts = read_tensors(run / WEIGHTS)
    return weights, Recipe.of(facts["recipe"], str(run))
