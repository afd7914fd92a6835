"""Whether a figure of `results/` is still that of what the repository says makes it.

A run's result is as old as its recipe: the settings that it was made with are those of the recipe today. A
figure that was taken from trained networks (a circuit, fixed point by rounding, …) names each by the hash of
its file, and the result of that run names the same hash. Nothing else makes a figure old: neither the code,
which tests hold to its numbers, nor the date.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

from lowbit.errors import LowbitError
from lowbit.reproduce import Kept, Row, entry_of

MADE_OF = "made_of"
RUNS = "{runs}"
_OF_NO_NUMBER = ("name", "seed", "published")


def made_of(model: Path) -> dict[str, Any]:
    """Return how a result names the trained network that it was made from: recipe, seed, file and hash."""
    run = model.parent / "result.json"
    facts = json.loads(run.read_text()) if run.exists() else {}
    named = {key: facts[key] for key in ("recipe", "seed") if key in facts}
    return {**named, "file": model.name, "sha256": hashlib.sha256(model.read_bytes()).hexdigest()}


def why_stale(row: Row, ours: Kept, recipes: Path, results: Path) -> list[str]:
    """Return, a line each, what made the figures of a row and is another today; nothing for a fresh row."""
    found = []
    for path in ours.files:
        made = json.loads(path.read_text())
        found += [f"{path.name}: {line}" for line in _run(made, recipes) + _networks(row, made, results)]
    return found


def _run(made: dict[str, Any], recipes: Path) -> list[str]:
    """Return the settings of a run that its recipe has otherwise."""
    if "settings" not in made:
        return []
    from lowbit.train import Recipe

    try:
        then = Recipe.of(made["settings"], "settings").to_dict()
        now = Recipe.read(recipes / f"{made['recipe']}.toml").to_dict()
    except LowbitError as error:
        return [str(error)]
    names = [name for name in now if now[name] != then[name] and name not in _OF_NO_NUMBER]
    return [f"{name} was {then[name]!r}, is {now[name]!r}" for name in names]


def _networks(row: Row, made: dict[str, Any], results: Path) -> list[str]:
    """Return what is wrong with the networks that a figure was taken from."""
    entry = entry_of(row, made) or made
    named = [*made.get(MADE_OF, []), *(entry.get(MADE_OF, []) if entry is not made else [])]
    if not named:
        return ["does not say from which network"] if RUNS in row.command else []
    return [line for each in named if (line := _differs(each, results))]


def _differs(named: dict[str, Any], results: Path) -> str:
    """Return in what a named network is not the one of its run's result, or nothing."""
    runs = [json.loads(path.read_text()) for path in results.glob(f"{named.get('recipe')}-*.json")]
    same = [
        run
        for run in runs
        if all(run.get(key) == named.get(key) and key in run for key in ("recipe", "seed"))
    ]
    hashes = [run.get("files", {}).get(named["file"]) for run in same]
    if named["sha256"] in hashes:
        return ""
    kept = hashes[0] if hashes else None
    return f"made from {named['file']} {named['sha256'][:12]}, the run's result has {str(kept)[:12]}"
