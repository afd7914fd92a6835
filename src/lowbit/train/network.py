"""From a recipe to modules: the one that learns, what it starts with, and its teacher."""

from pathlib import Path

import torch
from torch import Tensor, nn

from lowbit.errors import PlanError
from lowbit.nn import Network, Plan, prepare
from lowbit.nn.ranges import ANYTHING, Interval
from lowbit.train.checkpoint import read_tensors
from lowbit.train.recipe import Recipe
from lowbit.train.result import WEIGHTS, find_run
from lowbit.zoo import network


def build(recipe: Recipe, folder: Path, inputs: Interval = ANYTHING) -> tuple[nn.Module, list[str]]:
    """Return the module of a recipe with the weights it starts with, and what of them is new.

    Args:
        recipe: what to build; torch's generator draws weights that are not given.
        folder: of the run, beside which others are looked for.
        inputs: the least and the largest value of an input of the network.

    Raises:
        PlanError: network, plan or parent do not exist or do not fit.
        UnsupportedError: a layer cannot be what the plan says, as a sign of inputs that are never negative.
    """
    module = _drawn(recipe, inputs)
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


def teacher(recipe: Recipe, folder: Path) -> tuple[nn.Module, Recipe] | None:
    """Return the module whose logits are learned, in eval mode, and its recipe, or None.

    Raises:
        PlanError: its run does not exist or is not finished.
    """
    if not recipe.loss.teacher:
        return None
    run = find_run(recipe.loss.teacher, folder, "teacher")
    weights, found = _weights(run)
    module = _drawn(found)
    _load(module, weights, str(run))
    return module.eval().requires_grad_(False), found


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


def _drawn(recipe: Recipe, inputs: Interval = ANYTHING) -> nn.Module:
    """Return the module with weights from torch's generator."""
    module = Network(network(recipe.network))
    if recipe.initialization == "xavier":
        module.apply(_draw_as_xavier)
    prepare(module, Plan.of(recipe.plan), inputs=inputs)
    return module.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def _draw_as_xavier(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d | nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def _weights(run: Path) -> tuple[dict[str, Tensor], Recipe]:
    weights, facts = read_tensors(run / WEIGHTS)
    return weights, Recipe.of(facts["recipe"], str(run))
