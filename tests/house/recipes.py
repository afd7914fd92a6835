"""Recipes of ARCHITECTURE.md, followed: a toy is new files, and rows in files that there are.

The files of a toy lie in `toys`, as they would lie in the repository. `followed` makes a package `lowbit` of
them, of the rows, and of links to everything else, so that nothing but what a recipe touches can be touched.
"""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import lowbit
from lowbit.engine import _core

ROOT = Path(__file__).parents[2]
TOYS = Path(__file__).parent / "toys"

_BEGIN = """
import sys
from importlib.machinery import PathFinder

class Overlay:
    def find_spec(self, name, path=None, target=None):
        return PathFinder.find_spec(name, path or [{overlay!r}]) if name.split(".")[0] == "lowbit" else None

sys.meta_path.insert(0, Overlay())
sys.path.insert(0, {root!r})
sys.argv = sys.argv[1:]
import runpy
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@dataclass(frozen=True)
class Recipe:
    """What following a line of the page comes to.

    Attributes:
        line: what the table says that one wants to do.
        toy: folder of new files in `toys`; "" where there are none.
        rows: file of the repository, what stands there once, or "" for the end, what is put before it.
    """

    line: str
    toy: str = ""
    rows: tuple[tuple[str, str, str], ...] = ()

    def files(self) -> dict[str, Path]:
        """Return the new files by their place in the repository."""
        folder = TOYS / self.toy
        found = (path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
        return {str(path.relative_to(folder)): path for path in found} if self.toy else {}

    def touched(self) -> set[str]:
        """Return all files that are new or changed."""
        return {*self.files(), *(place for place, _, _ in self.rows)}


def followed(recipe: Recipe, folder: Path) -> Path:
    """Return a folder with a package `lowbit` that has the toy."""
    source, files = Path(lowbit.__file__).parent, recipe.files()
    for path in source.rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts:
            _link(path, folder / "lowbit" / path.relative_to(source))
    compiled = Path(_core.__file__)
    _link(compiled, folder / "lowbit/engine" / compiled.name)
    for place, path in files.items():
        _link(path, folder / place.removeprefix("src/"))
    for place, where, row in recipe.rows:
        target = folder / place.removeprefix("src/")
        text = target.read_text()
        assert not where or text.count(where) == 1, f"{place} has no longer one {where!r}"
        before, _, after = text.partition(where) if where else (text, "", "")
        target.unlink()
        target.write_text(before + row + where + after)
    return folder


def run_in(folder: Path, script: str, *arguments: str) -> str:
    """Run a script of `toys` with that package, and return what it says; warnings are errors."""
    begin = _BEGIN.format(overlay=str(folder), root=str(ROOT))
    done = subprocess.run(
        [sys.executable, "-W", "error", "-B", "-c", begin, str(TOYS / script), *arguments],
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, "NO_COLOR": "1", "COLUMNS": "100"},
    )
    assert not done.returncode, done.stdout[-2000:] + done.stderr[-4000:]
    return done.stdout


def _link(path: Path, place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    if not place.exists():
        place.symlink_to(path)


OPERATOR = Recipe(
    "add an operator that is made of others",
    rows=(
        (
            "src/lowbit/ir/operators/composites.py",
            "",
            '\n\ncomposite("ToySquashed", "X", "X / (1 + Abs(X)) * gain", gain=2.0)\n',
        ),
    ),
)
ACTIVATION = Recipe(
    "add an activation of layers",
    rows=(
        (
            "src/lowbit/ir/activations.py",
            '    "tanh": Activation(',
            '    "toy_softplus": Activation(lambda a: np.logaddexp(0, a), "Softplus"),\n',
        ),
    ),
)
_REGISTRY = "src/lowbit/schemes/registry.py"
SCHEME = Recipe(
    "add a scheme",
    "scheme",
    (
        (_REGISTRY, "\nif TYPE_CHECKING:", "from lowbit.schemes.toy_squares import Squares\n"),
        (
            _REGISTRY,
            '    Scheme("pixels",',
            '    Scheme("toy_squares", "squares", "bits", (2, 3), (2, 3), "toy_squares", Squares),\n',
        ),
    ),
)
FORMAT = Recipe(
    "add a file format",
    "format",
    (
        (
            "src/lowbit/formats/__init__.py",
            '    Format("text",',
            '    Format("toy", (".toy",), "toy_json", lambda start: start.startswith(b\'{"toy": \')),\n',
        ),
    ),
)
_ELEMENTS = "src/lowbit/rtl/elements/__init__.py"
ELEMENT = Recipe(
    "add a processing element",
    "element",
    (
        (
            _ELEMENTS,
            "from lowbit.rtl.elements.xnor",
            "from lowbit.rtl.elements.toy_ternary import TernaryElement\n",
        ),
        (_ELEMENTS, "XnorElement, ShiftElement, PlanesElement, MultiplyElement)", "TernaryElement, "),
    ),
)
KERNEL = Recipe(
    "add a kernel level",
    "kernel",
    (
        (
            "cpp/kernels/kernels.inc",
            "#if defined(__x86_64__)",
            "LOWBIT_LEVEL(toy, LOWBIT_HAS(sse3))\nLOWBIT_KERNEL(look_up, toy)\n",
        ),
    ),
)
"""Followed by `tests.engine.test_kernel_levels`, with a compiler."""

RECIPES = (OPERATOR, ACTIVATION, SCHEME, KERNEL, FORMAT, ELEMENT)
