"""Recipes as files have them: one file for a family, a recipe for each of its variants.

    network = "alexnet-fashion"             # alexnet-fashion.toml, the recipe of that name
    …
    [variants.pow2-3]                       # the recipe alexnet-fashion-pow2-3: what differs
    epochs = 3
    plan = { "*" = { weight = "pow2:3" } }
    [variants.pow2-3-blend]
    base = "pow2-3"                         # differs from that one; or from a recipe of another file

Tables are merged setting by setting, all else is replaced; ``published`` is of one recipe and never taken
over. A path that names no file, ``recipes/alexnet-fashion-pow2-3.toml``, names such a variant.
"""

import difflib
import os
import tomllib
from collections.abc import Iterator, Mapping
from copy import deepcopy
from functools import lru_cache
from pathlib import Path
from typing import Any

from lowbit.errors import FileError, PlanError
from lowbit.untrusted import read_file

ROWS = "rows.toml"
SUFFIX = ".toml"
_LARGEST = 1 << 20
_DEEPEST = 8
_OWN = "published"


def carried(name: str) -> Path:
    """Return the folder ``recipes``, ``results`` or ``benchmarks``.

    The one below here, else that of the clone which the package lies in, else the package's own: a wheel
    carries them.
    """
    package = Path(__file__).parent
    places = (Path(name), package.parent.parent / name, package / name)
    return next((place for place in places if place.is_dir()), Path(name))


def read_toml(path: str | os.PathLike[str], what: str = "the recipe") -> dict[str, Any]:
    """Return the table of a TOML file.

    Raises:
        FileError: the file cannot be read.
        PlanError: it is not TOML.
    """
    content = read_file(path, limit=_LARGEST)
    try:
        return deepcopy(_parsed(content))
    except (ValueError, RecursionError) as error:
        raise PlanError(f"{what} is not TOML", where=str(path), found=str(error)) from error


@lru_cache(maxsize=32)
def _parsed(content: bytes) -> dict[str, Any]:
    """Return a table: all variants of a family, and what is based on them, ask for the same file."""
    return tomllib.loads(content.decode())


def read_recipe(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return the settings of a recipe, by the path of its file or of a variant; `name` is among them.

    Raises:
        FileError: there is no such file, and no file with such a variant.
        PlanError: it is not TOML, or a base or variant is missing; names those that there are.
    """
    asked = Path(path)
    here = carried(str(asked.parent)) / asked.name if asked.parent == Path("recipes") else asked
    return _settings(here, 0)


def variant_path(path: str | os.PathLike[str], variant: str) -> Path:
    """Return the path by which a variant of a file is read."""
    return Path(path).with_name(f"{Path(path).stem}-{variant}{SUFFIX}")


def recipe_names(folder: Path) -> Iterator[str]:
    """Yield the name of every recipe of a folder."""
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        if path.name == ROWS:
            continue
        table = read_toml(path)
        variants = table.pop("variants", {})
        if "network" in table or "base" in table:
            yield path.stem
        yield from (f"{path.stem}-{name}" for name in variants)


def _settings(path: Path, depth: int) -> dict[str, Any]:
    if depth > _DEEPEST:
        raise PlanError("a recipe is based on itself", where=str(path), expected="a base of its own")
    if path.exists():
        table = read_toml(path)
        variants, own = table.pop("variants", {}), table
        if variants and not own:
            raise PlanError(
                "the file has variants alone",
                where=str(path),
                expected=f"--variant {' or '.join(variants)}",
                remedy=f"Name one, such as {variant_path(path, next(iter(variants)))}.",
            )
        return _based(path, own, path, depth)
    file, variant, variants = _family(path)
    if variant not in variants:
        near = difflib.get_close_matches(variant, variants, n=3) or list(variants)
        raise PlanError(
            "no such variant", where=str(file), expected=" or ".join(near) or "none", found=repr(variant)
        )
    return _based(file, variants[variant], path, depth)


def _family(path: Path) -> tuple[Path, str, dict[str, Any]]:
    """Return the file that may have a variant of a name, the variant's name, and its variants.

    Raises:
        FileError: there is none.
    """
    parts = path.stem.split("-")
    for length in range(len(parts) - 1, 0, -1):
        file = path.with_name("-".join(parts[:length]) + path.suffix)
        if file.exists() and (variants := read_toml(file).get("variants")):
            return file, "-".join(parts[length:]), variants
    read_file(path, limit=_LARGEST)  # says what is wrong with it
    raise FileError("there is no such recipe", where=str(path))


def _based(file: Path, own: Mapping[str, Any], path: Path, depth: int) -> dict[str, Any]:
    """Return settings on top of those of their base: what they name, or for a variant its file's."""
    settings = dict(own)
    base = settings.pop("base", "" if path == file else None)
    if base == "":
        below = {}
    elif base is None:
        below = {key: value for key, value in read_toml(file).items() if key != "variants"}
        below = _based(file, below, file, depth + 1)
    else:
        beside = variant_path(file, base)
        variants = read_toml(file).get("variants", {})
        below = _settings(beside if base in variants else file.with_name(f"{base}{SUFFIX}"), depth + 1)
    kept = {key: value for key, value in below.items() if key not in (_OWN, "name")}
    return {"name": path.stem, **merged(kept, settings)}


def merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings with others on top: tables setting by setting."""
    found = dict(below)
    for key, value in above.items():
        both = isinstance(value, Mapping) and isinstance(found.get(key), Mapping)
        found[key] = merged(found[key], value) if both else value
    return found
