"""Hardware reports: what ``lowbit hdl`` leaves in a project's folder, or a JSON of several."""

from pathlib import Path
from typing import Any

from lowbit.errors import DataError, ModelFormatError
from lowbit.state import parsed
from lowbit.untrusted import read_file

REPORT = "report.json"
"""Of a project's folder."""

_NEEDED = ("variant", "target", "cycles_per_image")
_MOST_BYTES = 1 << 22
_MOST_ROWS = 100


def read_hardware(path: Path) -> tuple[dict[str, Any], ...]:
    """Return the reports of a project's folder, of its ``report.json``, or of a JSON with ``rows``.

    Raises:
        FileError: there is no such file.
        DataError: it is no hardware report.
    """
    file = path / REPORT if path.is_dir() else path
    try:
        made = parsed(read_file(file, limit=_MOST_BYTES), str(file), "hardware report")
    except ModelFormatError as error:
        raise _no_report(file, error.found) from error
    rows = made.get("rows", [made])
    if not isinstance(rows, list) or not all(_is_report(row) for row in rows):
        raise _no_report(file, "something else")
    return tuple(rows[:_MOST_ROWS])


def _is_report(row: object) -> bool:
    return isinstance(row, dict) and all(isinstance(row.get(name), str | int) for name in _NEEDED)


def _no_report(file: Path, found: str) -> DataError:
    return DataError(
        "this is no hardware report",
        where=str(file),
        expected=f"JSON with {', '.join(_NEEDED)}",
        found=found,
        remedy="Make one with: lowbit hdl MODEL -o FOLDER",
    )
