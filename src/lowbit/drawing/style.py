"""What all drawings share: colours that colour-blind readers tell apart, thin axes, how files are written.

Figures belong to nobody's global state: no pyplot, no window. Equal figures give equal files.
"""

import io
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lowbit.errors import MissingExtra, PlanError
from lowbit.untrusted import write_atomic
from lowbit.visible import visible_lines

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

INK, SOFT, PALE = "#1b1d21", "#585f68", "#d9dde2"
BLUE, ORANGE, GREEN, RED = "#23609f", "#d07020", "#2f8f5b", "#b3343a"
SERIES = (BLUE, ORANGE, GREEN, "#7b4fa3", RED, "#5d6b2f")
CLASSES = (
    *("#23609f", "#d07020", "#2f8f5b", "#b3343a", "#7b4fa3"),
    *("#8a5a36", "#cf5fa6", "#6d747c", "#9a9a1f", "#1d9bb0"),
)

_WIDEST = 90  # letters of a line: names may be of any length, and leave no room for what is drawn

SUFFIXES = (".png", ".svg", ".pdf")

_STYLE: Any = {
    "font.family": "sans-serif",
    "font.size": 9,
    "text.color": INK,
    "text.parse_math": False,
    "axes.labelcolor": SOFT,
    "axes.edgecolor": SOFT,
    "axes.titlecolor": INK,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": False,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "grid.color": PALE,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "lines.linewidth": 1.6,
    "lines.markersize": 4.5,
    "svg.hashsalt": "lowbit",
    "svg.fonttype": "path",
}


def styled() -> Any:
    """Return a context in which figures get the style; every drawing is made inside."""
    try:
        from matplotlib import rc_context
    except ImportError as error:
        raise MissingExtra("matplotlib", "report") from error
    return rc_context(_STYLE)


def new_figure(width: float, height: float) -> "Figure":
    """Return an empty figure of that many inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained", dpi=150)


def save(figure: "Figure", path: Path) -> None:
    """Write a figure as PNG, SVG or PDF, whole or not at all.

    Raises:
        PlanError: another suffix.
        WriteError: the file cannot be written.
    """
    check_suffix(path)
    kind, buffer = path.suffix.lower().removeprefix("."), io.BytesIO()
    # Dates would make equal figures unequal files.
    dated = {"svg": {"Date": None}, "pdf": {"CreationDate": None}, "png": {}}[kind]
    with styled(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")  # of a name in letters that the font does not have
        _make_visible(figure)
        figure.savefig(buffer, format=kind, metadata=dated)
    write_atomic(path, buffer.getvalue())


def _make_visible(figure: "Figure") -> None:
    from matplotlib.text import Text

    for text in figure.findobj(Text):
        lines = visible_lines(text.get_text()).split("\n")
        text.set_text("\n".join(line if len(line) <= _WIDEST else line[:_WIDEST] + "…" for line in lines))


def check_suffix(path: Path) -> None:
    """Refuse what `save` cannot write, before anything long is done.

    Raises:
        PlanError: the suffix is unknown.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise PlanError(
            "a drawing has another kind of file",
            where=str(path),
            expected=" or ".join(SUFFIXES),
            found=path.suffix or "no suffix",
        )


def grid_lines(axes: "Axes", axis: str = "y") -> None:
    """Draw pale lines behind everything."""
    axes.grid(visible=True, axis=axis)  # type: ignore[arg-type]
    axes.set_axisbelow(True)


def percent(value: float) -> str:
    """Return a fraction as per cent."""
    return f"{100 * value:.2f} %"


def plain_numbers(axis: "Axis", text: Callable[[float], str] = "{:g}".format) -> None:
    """Let a logarithmic axis have plain numbers, at 1, 2 and 5 of each decade."""
    for formatted in (axis.set_major_formatter, axis.set_minor_formatter):
        formatted(lambda value, _: text(value) if f"{value:e}"[0] in "125" else "")
