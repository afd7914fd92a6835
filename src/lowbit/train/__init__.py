"""Training by recipe: a TOML file in, a folder with weights, networks, curve and result out.

    from lowbit.train import Recipe, Splits, train

    recipe = Recipe.read("recipes/lenet.toml")
    result = train(recipe, Splits.load("fashion"), out="runs/lenet")

or of a module of one's own:

    recipe = recipe_of("mynet.py:Net", "pictures", {"resize": "32x32", "plan": {"weights": "lq:2"}})
    result = train(recipe, load_data(recipe), out="runs/net")

Needs the extra ``train``.
"""

from lowbit.errors import MissingExtra

try:
    import lightning_fabric  # noqa: F401 - the imports below that could fail
    import safetensors  # noqa: F401
    import torch  # noqa: F401
except ImportError as error:
    raise MissingExtra(error.name or "torch", "train") from error

from lowbit.train.experiment import load_data, measured, recipe_of
from lowbit.train.loop import train
from lowbit.train.recipe import Recipe
from lowbit.train.result import Result
from lowbit.train.samples import Splits
from lowbit.train.seeds import train_seeds
from lowbit.train.tuning import tune

__all__ = [
    "Recipe",
    "Result",
    "Splits",
    "load_data",
    "measured",
    "recipe_of",
    "train",
    "train_seeds",
    "tune",
]
