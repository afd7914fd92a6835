"""Training by recipe: a TOML file in, a folder with weights, networks, curve and result out.

    from lowbit.train import Recipe, Splits, train

    recipe = Recipe.read("recipes/lenet.toml")
    result = train(recipe, Splits.load("fashion"), out="runs/lenet")

Needs the extra ``train``.
"""

from lowbit.errors import MissingExtra

try:
    import lightning_fabric  # noqa: F401 - the imports below that could fail
    import safetensors  # noqa: F401
    import torch  # noqa: F401
except ImportError as error:
    raise MissingExtra(error.name or "torch", "train") from error

from lowbit.train.loop import train
from lowbit.train.recipe import Recipe
from lowbit.train.result import Result
from lowbit.train.samples import Splits

__all__ = ["Recipe", "Result", "Splits", "train"]
