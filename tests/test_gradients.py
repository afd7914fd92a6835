"""The sentence on the two gradients follows from the numbers, and says what is missing."""

import importlib.util
import sys
from itertools import product
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).parent.parent


def module() -> ModuleType:
    found = importlib.util.spec_from_file_location("gradients", ROOT / "benchmarks/gradients.py")
    assert found is not None and found.loader is not None
    made = importlib.util.module_from_spec(found)
    sys.modules["gradients"] = made  # dataclasses look there
    found.loader.exec_module(made)
    return made


GRADIENTS = module()


def cells(lead: float, noise: float, seeds: int = 3, seed: int = 0) -> list[Any]:
    """Return runs in which the reconstructed gradient leads by so many points, with noise of each run."""
    random, found = np.random.default_rng(seed), {}
    for bits, start, blend in product((4, 3), ("", "-scratch"), ("", "-blend")):
        top1 = 90 + lead * bool(blend) + noise * random.normal(size=seeds)
        runs = [{"seed": at, "top1": value / 100} for at, value in enumerate(top1)]
        found[f"net-pow2-{bits}{blend}{start}"] = runs
    return GRADIENTS.cells(found, ["net"])  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("lead", "noise", "begins"),
    [
        (0.5, 0.1, "The reconstructed gradient is better: over 12 of 12 pairs of runs it is 0."),
        (-0.5, 0.1, "The straight-through gradient is better: over 12 of 12 pairs of runs it is 0."),
        (0.0, 0.2, "Neither gradient is better as far as these runs tell: the "),
    ],
)
def test_the_sentence_says_what_the_numbers_say(lead: float, noise: float, begins: str) -> None:
    assert GRADIENTS.sentence(cells(lead, noise)).startswith(begins)


def test_figures_of_the_sentence_are_those_of_the_runs() -> None:
    known = cells(0.3, 0.2, seed=3)
    differences = [each for cell in known for each in cell.differences]
    said = GRADIENTS.sentence(known)
    assert f"{abs(np.mean(differences)):.2f} points" in said and f"{np.std(differences, ddof=1):.2f})" in said
    assert f"in {100 * GRADIENTS.by_chance(differences):.1f} % of cases" in said


def test_what_is_missing_is_said() -> None:
    assert GRADIENTS.sentence(cells(1, 0.1, seeds=1)) == (
        "Which gradient is better cannot be said yet: 4 of 12 pairs of runs are trained."
    )
    some = GRADIENTS.cells({"net-pow2-4": [{"seed": 0, "top1": 0.5}, {"seed": 1, "top1": 0.6}]}, ["net"])
    lines = GRADIENTS.table(some, {"net": "Net"}).splitlines()
    assert lines[2] == "| Net | from float | 4 | 55.00 ± 7.07 | missing | missing | 0 of 3 |"
    assert lines[5] == "| Net | from scratch | 3 | missing | missing | missing | 0 of 3 |"


def test_chance_is_the_share_of_signs() -> None:
    assert GRADIENTS.by_chance([1.0, 1.0, 1.0]) == 2 / 8
    assert GRADIENTS.by_chance([1.0, -1.0]) == 1
    many = GRADIENTS.by_chance([0.1] * 5 + [-0.1] * 15)  # two-sided binomial: 0.0414
    assert abs(many - 0.0414) < 0.005
