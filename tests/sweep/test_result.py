"""A file of a sweep is what a sweep wrote, or a named error: whatever is drawn of it can be drawn."""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from lowbit.drawing import draw_bits, draw_fraction_bits, draw_front, save
from lowbit.errors import FileError, PlanError
from lowbit.sweep import Sweep, points

pytest.importorskip("matplotlib")

ODD: list[Any] = [
    *(
        None,
        True,
        -1,
        0,
        1,
        1.5,
        2**70,
        1e308,
        float("nan"),
        float("inf"),
        "",
        "x",
        "lq",
        "fixed:99",
        "floor",
    ),
    *([], {}, [1], [None], {"a": 1}, [[]], *(UNUSUAL := ("\x1b[2J$\\frac$\u202e", "\u732b"))),
]


def good() -> dict[str, Any]:
    figures = {"model": "mlp", "top1": 0.9, "divergence": 0.1, "bytes": 900}
    failed = {"model": "mlp", "scheme": "pow2", "bits": 4, "rounding": "restore", "seed": 0, "error": "no"}
    return {
        "command": "lowbit sweep",
        "data": "digits",
        "models": [{"name": "mlp", "top1": 0.95, "bytes": 4000}],
        "rows": [
            {**figures, "scheme": "lq", "bits": 2, "rounding": "restore", "seed": 0, "latency_us": 2.5},
            {**figures, "scheme": "fixed:6", "bits": 7, "rounding": "floor", "seed": None},
            failed,
        ],
    }


def places(made: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the way to every value."""
    steps = made.items() if isinstance(made, dict) else enumerate(made) if isinstance(made, list) else ()
    return [path, *(found for key, value in steps for found in places(value, (*path, key)))]


def mutated(path: tuple[Any, ...], value: Any) -> Any:
    """Return the good sweep with another value in one place; without it where the value is `places`."""
    made: Any = {"whole": good()}
    inner = made
    *before, last = ("whole", *path)
    for key in before:
        inner = inner[key]
    if value is places:
        del inner[last]
    else:
        inner[last] = value
    return made.get("whole")


def test_a_good_one_can_be_drawn_in_every_way(tmp_path: Path) -> None:
    file = tmp_path / "sweep.json"
    file.write_text(json.dumps(good()))
    draw_all(Sweep.read(file), tmp_path)
    assert (tmp_path / "x.svg").exists()


def test_every_value_in_every_place_is_drawn_or_refused(tmp_path: Path) -> None:
    file, drawn, refused = tmp_path / "sweep.json", set[str](), 0
    for path in places(good()):
        for value in [*ODD, places]:
            file.write_text(json.dumps(mutated(path, value)))
            try:
                sweep = Sweep.read(file)
            except FileError as error:
                assert str(file) in error.where and error.expected
                refused += 1
                continue
            shown = repr((points(sweep.rows), [(own.name, own.top1) for own in sweep.models], sweep.data))
            if shown not in drawn:  # nothing else of it is drawn
                drawn.add(shown)
                draw_all(sweep, tmp_path if value in ("", *UNUSUAL) else None)
    assert refused > 400 and len(drawn) > 20


def draw_all(sweep: Sweep, folder: Path | None) -> None:
    """Draw in every way that fits, and write where there is a folder."""
    for draw in (draw_bits, draw_fraction_bits, draw_front):
        with suppress(PlanError):
            figure = draw(sweep)
            if folder is not None:
                save(figure, folder / "x.svg")


def test_what_was_published_is_read() -> None:
    for file in (Path(__file__).parents[2] / "results").glob("sweep-*.json"):
        assert Sweep.read(file).rows
