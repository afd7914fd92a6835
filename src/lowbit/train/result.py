"""What a run leaves in its folder, and how others find it.

    weights.safetensors     by the names of `lowbit.zoo.parameters`, and the recipe
    model.onnx              the network; model.circle too where its schemes allow
    metrics.jsonl           a line per epoch
    result.json             the figures and what made them
    checkpoint.safetensors  what the run goes on from
    best.safetensors        weights of the epoch that validation judged best, where they are kept
    recipe.toml             what was asked for; `lowbit train` repeats it

Files of others have the same names in their folders.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lowbit.errors import PlanError
from lowbit.untrusted import write_atomic

WEIGHTS, CHECKPOINT, BEST = "weights.safetensors", "checkpoint.safetensors", "best.safetensors"
METRICS, RESULT = "metrics.jsonl", "result.json"


@dataclass(frozen=True)
class Result:
    """The figures of a finished run.

    Attributes:
        folder: where everything is.
        facts: the content of ``result.json``.
    """

    folder: Path
    facts: Mapping[str, Any]

    @property
    def top1(self) -> float:
        """Fraction of test samples whose class was right, after the last epoch."""
        return float(self.facts["top1"])

    def write(self) -> None:
        """Write ``result.json``."""
        self._write(self.folder / RESULT)

    def keep(self, folder: Path) -> Path:
        """Write the figures into a folder of results, ``lenet-float-seed0.json``; return that file.

        The folder is made where it is missing: a run that took hours does not end in an error.
        """
        folder.mkdir(parents=True, exist_ok=True)
        scheme = str(self.facts["scheme"]).replace(":", "-").replace("/", "-")
        path = folder / f"{self.facts['recipe']}-{scheme}-seed{self.facts['seed']}.json"
        self._write(path)
        return path

    def _write(self, path: Path) -> None:
        write_atomic(path, (json.dumps(self.facts, indent=1) + "\n").encode())


def find_run(name: str, beside: Path, what: str) -> Path:
    """Return the folder of another run: `name` itself, or what lies beside a run by that name.

    Raises:
        PlanError: there is none, or it has not finished.
    """
    places = (Path(name), beside.parent / name, beside.parent / f"{name}-seed0")
    for folder in places:
        if (folder / WEIGHTS).is_file():
            return folder
    raise PlanError(
        f"the {what} has not been trained",
        where=f"recipe, {what}",
        expected=f"{WEIGHTS} in {' or '.join(map(str, places))}",
        found="no such file",
        remedy=f"Train it first: lowbit train recipes/{Path(name).name}.toml --out {places[1]}",
    )
