"""Plan files of what was forecast: one, or a folder of all mixtures with their picture and figures."""

import json
from collections.abc import Sequence
from pathlib import Path

from lowbit.forecast.forecast import Forecast, Outlook
from lowbit.plan.toml import as_toml
from lowbit.untrusted import write_atomic

FIGURES = "front.json"


def write_plan(outlook: Outlook, path: Path) -> None:
    """Write a plan as TOML for ``lowbit quantize --plan``: the setting of most layers, and the others' own.

    Raises:
        WriteError: the path cannot be written.
    """
    weights, activations = map(str, outlook.plan.forms)
    layers = {name: dict(table) for name, table in outlook.plan.layers.items() if isinstance(table, dict)}
    kept = "" if outlook.agreement is None else f", about {outlook.agreement:.1%} of classes kept"
    about = f"# {outlook.bytes:,} bytes{kept}; by lowbit plan\n"
    text = as_toml({"weights": weights, "activations": activations, "layers": layers})
    write_atomic(path, (about + text).encode())


def write_front(found: Forecast, mixtures: Sequence[Outlook], folder: Path) -> list[Path]:
    """Write a plan for every mixture, ``01.toml`` the smallest, and ``front.json`` with what each will be.

    Raises:
        WriteError: the folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    digits = len(str(len(mixtures)))
    paths = [folder / f"{number:0{digits}}.toml" for number in range(1, len(mixtures) + 1)]
    for path, outlook in zip(paths, mixtures, strict=True):
        write_plan(outlook, path)
    rows = [{"plan": path.name, **row.to_dict()} for path, row in zip(paths, mixtures, strict=True)]
    facts = {**found.to_dict(), "front": rows}
    write_atomic(folder / FIGURES, (json.dumps(facts, indent=1) + "\n").encode())
    return paths
