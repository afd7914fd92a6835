"""Plans and recipes as TOML: what the standard library reads and does not write."""

import json
import re
from collections.abc import Mapping
from typing import Any

_BARE = re.compile(r"[A-Za-z0-9_-]+")


def as_toml(table: Mapping[str, Any]) -> str:
    """Return a table as TOML: values of its own first, then its tables; empty ones are left out."""
    values = [
        f"{_key(name)} = {_value(value)}" for name, value in table.items() if not isinstance(value, Mapping)
    ]
    lines = values
    for name, value in table.items():
        if isinstance(value, Mapping) and value:
            lines += [
                "",
                f"[{_key(name)}]",
                *(f"{_key(key)} = {_value(each)}" for key, each in value.items()),
            ]
    return "\n".join(lines) + "\n"


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else _text(name)


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_key(key)} = {_value(each)}" for key, each in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_value, value)) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    return _text(value) if isinstance(value, str) else repr(value)


def _text(value: str) -> str:
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
