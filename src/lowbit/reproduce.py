"""Rows of the published systems: what they published, what we kept, and how to make it again.

``recipes/rows.toml`` declares them. A row either names a recipe, which holds the published figure, or a file
of ``results/`` and the place in it. A figure of several seeds is their median. What a row needs is trained
first, its parents before it (`steps` says what, and how long it took here).
"""

import difflib
import re
import shlex
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lowbit.errors import DataError, FileError, PlanError
from lowbit.recipes import ROWS, SUFFIX, carried, read_recipe, read_toml
from lowbit.state import parsed
from lowbit.untrusted import read_file
from lowbit.zoo.published import FIGURES

if TYPE_CHECKING:
    from lowbit.train.loop import Progress

_RUN = "result.json"  # of a run's folder
_MOST_BYTES = 1 << 22
_MEASURED = ("KB", "×")  # other units are counted
_YOURS = {"data": "--data DIR"}
_TRAINED = re.compile(r"\{runs\}/([\w.-]+)-seed(\d+)/")
_TOLERANCE = {"%": 0.005, "KB": 0.0, "×": 0.25}
_COUNTED = 0.05


@dataclass(frozen=True)
class Row:
    """A row.

    Attributes:
        name: of the row.
        what: one line.
        recipe: which makes it; then the following come from there.
        result: name, or pattern, of files in ``results/``.
        select: values of the file, or of the one of its ``rows`` that is meant.
        figure: where it is, dots between names.
        unit: ``%`` of a fraction, ``KB`` of bytes, ``×``, or what is counted.
        published: their figure; None where there is none.
        source: who published it.
        goal: what ours shall reach at least, where we set ourselves more than they have.
        command: what makes it.
        needs: recipes whose networks the command takes from the folder of runs, besides those it names.
        headline: whether `docs/results.md` shows it.
    """

    name: str
    what: str
    recipe: str = ""
    result: str = ""
    select: Mapping[str, Any] = field(default_factory=dict)
    figure: str = "top1"
    unit: str = "%"
    published: float | None = None
    source: str = ""
    goal: float | None = None
    command: str = ""
    needs: Sequence[str] = ()
    headline: bool = False

    def text(self, value: float | None) -> str:
        """Return a figure for people; fractions become percents."""
        if value is None:
            return ""
        if self.unit == "%":
            return f"{100 * value:.2f} %"
        return f"{value:,.1f} {self.unit}" if self.unit in _MEASURED else f"{value:,.0f} {self.unit}"

    def agrees(self, made: float, kept: float) -> bool:
        """Return whether a figure made again is the one that was kept, within what its unit is repeated to.

        Half a point of a share (another machine sums floats in another order), the same bytes, a quarter of
        a ratio of times, and a twentieth of what tools count, which are of other versions elsewhere.
        """
        allowed = _TOLERANCE.get(self.unit, _COUNTED) * (1 if self.unit == "%" else abs(kept))
        return abs(made - kept) <= allowed


@dataclass(frozen=True)
class Step:
    """A network that is trained before a row can be made.

    Attributes:
        recipe: its name.
        seed: of the run.
        cpu_s: seconds of processor time that it took where its result was kept; None where none was.
    """

    recipe: str
    seed: int
    cpu_s: float | None


@dataclass(frozen=True)
class Kept:
    """Our figure.

    Attributes:
        value: the median.
        files: what it was taken from.
        data: what the results say of the data.
        cpu_s: the median of the seconds that it took, where results say it.
    """

    value: float
    files: tuple[Path, ...]
    data: str
    cpu_s: float | None


def read_rows(recipes: Path) -> dict[str, Row]:
    """Return every row of a folder of recipes, by name.

    Raises:
        FileError: the folder has no rows.
        PlanError: a row or a recipe is not as it should be.
    """
    known = {entry.name for entry in fields(Row)} - {"name"}
    rows = {}
    for name, table in read_toml(recipes / ROWS, "the list of rows").items():
        unknown = set(table) - known
        if unknown or "what" not in table:
            raise PlanError(
                "a row is not as it should be",
                where=f"{recipes / ROWS}, {name}",
                expected=", ".join(sorted(known)),
                found=", ".join(sorted(unknown)) or "no what",
            )
        facts = (_of_recipe(recipes, table["recipe"]) if "recipe" in table else {}) | table
        theirs = _published(facts.get("published"), f"{recipes / ROWS}, {name}")
        rows[name] = Row(name, **facts | {"published": theirs})
    return rows


def _published(published: float | str | None, where: str) -> float | None:
    """Return a published figure: a number, or one that has a name."""
    if not isinstance(published, str):
        return published
    if published not in FIGURES:
        near = difflib.get_close_matches(published, FIGURES, n=3)
        raise PlanError(
            "no published figure has this name",
            where=where,
            expected=" or ".join(near or FIGURES),
            found=repr(published),
        )
    return FIGURES[published]


def find_rows(rows: Mapping[str, Row], name: str) -> list[Row]:
    """Return the row of a name, or all that begin with it: ``L10`` is ``L10-784-10`` and its siblings.

    Raises:
        PlanError: there is none; near names are listed.
    """
    found = [rows[name]] if name in rows else [row for key, row in rows.items() if key.startswith(f"{name}-")]
    if not found:
        near = difflib.get_close_matches(name, rows, n=3, cutoff=0.4) or list(rows)
        raise PlanError("no such row", expected=" or ".join(near), found=repr(name))
    return found


def kept(row: Row, results: Path) -> Kept | None:
    """Return our figure, or None where nothing was kept.

    Raises:
        FileError: a result is damaged, or has no such place.
    """
    made = {path: _json(path) for path in sorted(results.glob(f"{row.result}.json"))}
    found = {path: entry for path, content in made.items() if (entry := entry_of(row, content)) is not None}
    if not found:
        return None
    data = sorted({str(made[path].get("data", "")) for path in found})
    values = [_figure(row, entry, path) for path, entry in found.items()]
    seconds = [float(entry["cpu_s"]) for entry in found.values() if "cpu_s" in entry]
    cpu_s = statistics.median(seconds) if seconds else None
    return Kept(statistics.median(values), tuple(found), ", ".join(data), cpu_s)


def steps(row: Row, recipes: Path, runs: Path, results: Path | None = None) -> list[Step]:
    """Return what is trained for a row, in order: what it needs and is not there yet, then itself.

    Args:
        row, recipes, runs: as of `remake`.
        results: says how long trainings took.

    Raises:
        FileError, PlanError: a recipe is missing or wrong.
    """
    wanted = [(name, 0) for name in row.needs]
    wanted += [(name, int(seed)) for name, seed in _TRAINED.findall(row.command)]
    found: dict[tuple[str, int], None] = {}
    for name, seed in [(row.recipe, _seed(recipes, row.recipe))] if row.recipe else wanted:
        for each in _with_parents(recipes, name, seed):
            itself = bool(row.recipe) and each[0] == row.recipe
            if itself or not (runs / f"{each[0]}-seed{each[1]}" / _RUN).exists():
                found[each] = None
    return [Step(name, seed, None if results is None else _seconds(name, results)) for name, seed in found]


def _with_parents(recipes: Path, name: str, seed: int) -> Iterator[tuple[str, int]]:
    """Yield the networks that a recipe starts with or learns from, and then itself."""
    table = read_recipe(recipes / f"{name}{SUFFIX}")
    for parent in sorted({table.get("initial", ""), table.get("loss", {}).get("teacher", "")} - {""}):
        yield from _with_parents(recipes, parent, 0)
    yield name, seed


def _seed(recipes: Path, name: str) -> int:
    return int(read_recipe(recipes / f"{name}{SUFFIX}").get("seed", 0))


def _seconds(recipe: str, results: Path) -> float | None:
    made = (_json(path) for path in sorted(results.glob(f"{recipe}-*-seed[0-9]*.json")))
    found = [float(each["cpu_s"]) for each in made if each.get("recipe") == recipe and "cpu_s" in each]
    return statistics.median(found) if found else None


def remake(
    row: Row,
    recipes: Path,
    runs: Path,
    data: Path | None = None,
    progress: "Progress | None" = None,
    made: MutableMapping[str, dict[str, Any]] | None = None,
    precision: str | None = None,
) -> float:
    """Make a row again and return its figure.

    Args:
        row: which.
        recipes: the folder of recipes.
        runs: where trained networks go; those that are there are not trained again, the row's own is.
        data: where data sets are; else the usual places are searched.
        progress: called after every training step.
        made: results of commands that were run already, which are not run again; this one's is added. Many
            rows are figures of one run.
        precision: of training, in place of the recipes': ``float32`` where a processor has no bfloat16.

    Raises:
        PlanError: the command needs something that nobody gave.
        DataError: data is missing, or the command fails: with the last line that it said.
        MissingExtra: a network must be trained and torch is not installed.
    """
    made = {} if made is None else made
    if row.command not in made:
        for step in steps(row, recipes, runs):
            folder = _train(recipes, step, runs, data, progress, precision)
        made[row.command] = _json(folder / _RUN) if row.recipe else _run(row, runs, data)
    return _figure(row, entry_of(row, made[row.command]) or {}, row.command)


def _of_recipe(recipes: Path, name: str) -> dict[str, Any]:
    """Return what a recipe says of its row."""
    recipe = read_recipe(recipes / f"{name}{SUFFIX}")
    published = recipe.get("published", {})
    return {
        "result": f"{name}-*-seed[0-9]*",
        "select": {"recipe": name} | ({} if "plan" in recipe else {"scheme": "float"}),
        "published": published.get("top1") or None,
        "source": published.get("source", ""),
        "command": f"lowbit train recipes/{name}.toml",
    }


def _json(path: Path) -> dict[str, Any]:
    return parsed(read_file(path, limit=_MOST_BYTES), str(path), "result", "Make it again.")


def entry_of(row: Row, made: dict[str, Any]) -> dict[str, Any] | None:
    """Return a result, or the one of its rows, that has the row's values; None where none has."""
    rows = made.get("rows", [made])
    return next((each for each in rows if all(each.get(k) == v for k, v in row.select.items())), None)


def _figure(row: Row, entry: dict[str, Any], where: Path | str) -> float:
    value: Any = entry
    for name in row.figure.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    if not isinstance(value, int | float):
        raise FileError(
            "the result has no such figure",
            where=f"{where}, row {row.name}",
            expected=row.figure,
        )
    return value / 1024 if row.unit == "KB" else float(value)


def _train(
    recipes: Path,
    step: Step,
    runs: Path,
    data: Path | None,
    progress: "Progress | None",
    precision: str | None,
) -> Path:
    """Train a recipe and return the run's folder."""
    from lowbit.train import Recipe, Splits, train

    own: dict[str, Any] = {} if precision is None else {"precision": precision}
    recipe = Recipe.read(recipes / f"{step.recipe}{SUFFIX}", seed=step.seed, **own)
    splits = Splits.load(recipe.data, folder=data)
    return train(recipe, splits, out=runs / f"{recipe.name}-seed{recipe.seed}", progress=progress).folder


def _run(row: Row, runs: Path, data: Path | None) -> dict[str, Any]:
    """Run a benchmark of the repository and return what it writes."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "result.json"
        words = _words(row, {"json": str(file), "runs": str(runs)}, data)
        script = Path(words[1])
        script = script if script.exists() else carried(script.parent.name) / script.name
        done = subprocess.run(  # noqa: S603 - of our own table
            [sys.executable, str(script), *words[2:]], check=False, capture_output=True, text=True
        )
        if done.returncode or not file.exists():
            said = [line for line in done.stderr.splitlines() if line.strip()]
            raise DataError(
                "the command failed",
                where=row.command,
                found=f"exit code {done.returncode}{f', {said[-1].strip()}' if said else ''}",
                remedy="Run it by hand to see all that it says.",
            )
        return _json(file)


def _words(row: Row, places: dict[str, str], data: Path | None) -> list[str]:
    """Return a row's command with the places of runs, results and data in it."""
    from lowbit.data.published import PUBLISHED, find_published

    if data is not None:
        places["data"] = str(data)
    for name in PUBLISHED:
        if f"{{{name}}}" in row.command:
            places[name] = str(find_published(name, data))
    try:
        return [word.format_map(places) for word in shlex.split(row.command)]
    except KeyError as error:
        raise PlanError(
            "the row needs something that only you have",
            where=row.name,
            expected=_YOURS.get(error.args[0], error.args[0]),
            remedy=f"Run it by hand: {row.command}",
        ) from error
