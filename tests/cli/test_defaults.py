"""Help says what an option is when nobody gives it, and says what the code does."""

from typing import Any

import pytest
import typer

from lowbit.cli import app
from lowbit.plan import Plan
from lowbit.train.recipe import Recipe

SAID = {
    ("quantize", "bits"): str(Plan().weight_form).partition(":")[2],
    ("quantize", "method"): Plan().method,
    ("quantize", "samples"): str(Plan().samples),
    ("quantize", "seed"): str(Plan().seed),
    ("quantize", "percentile"): f"{Plan().percentile:g}, nothing",
    ("quantize", "sums"): Plan().sums,
    ("sweep", "samples"): str(Plan().samples),
    ("train", "precision"): f"{Recipe.precision}, or the recipe's",
    ("train", "judge"): Recipe.judge,
    ("verify", "split"): "test",
    ("eval", "split"): "test",
    ("quantize", "split"): "train",
}
"""Defaults of the code, by command and option."""


COMMANDS: Any = typer.main.get_command(app)


@pytest.mark.parametrize("where", SAID, ids=" ".join)
def test_help_says_the_defaults_of_the_code(where: tuple[str, str]) -> None:
    (option,) = (each for each in COMMANDS.commands[where[0]].params if each.name == where[1])
    assert (option.show_default if isinstance(option.show_default, str) else str(option.default)) == SAID[
        where
    ]
