"""What single settings of a plan may be."""

from collections.abc import Iterable, Mapping
from typing import Any

from lowbit.errors import PlanError

WHOLE = 100.0
"""The percentile that leaves nothing out."""

_CHOICES = {
    "method": ("auto", "gptq", "bias", "rtn", "reconstruct", "distill"),
    "update": ("least-squares", "gradient"),
    "clip": ("mse", "minmax"),
    "sums": ("auto", "fixed", "real"),
    "before_sign": ("identity", "hardtanh", "prelu", "rprelu"),
}
_ALSO = {"method": " (earlier plans: restore or plain)"}
_LEAST = {"samples": 1, "patches": 1, "seed": 0, "restarts": 0, "rounds": 1, "passes": 0}


def check_settings(settings: Iterable[tuple[str, Any, object]]) -> None:
    """Check settings that are not specifications.

    Args:
        settings: name, value and default of each.

    Raises:
        PlanError: one is of the wrong type, or out of range.
    """
    values = {}
    for name, value, default in settings:
        _check_type(name, value, default)
        values[name] = value
    for name, choices in _CHOICES.items():
        if values[name] not in choices:
            expected = " or ".join(choices) + _ALSO.get(name, "")
            raise PlanError(f"unknown {name}", where=name, expected=expected, found=values[name])
    for name, least in _LEAST.items():
        if values[name] < least:
            raise PlanError(
                f"{name} is too small", where=name, expected=f">= {least}", found=str(values[name])
            )
    _check_within(
        "percentile", values["percentile"], 50 < values["percentile"] <= WHOLE, "above 50, at most 100"
    )
    _check_within("damping", values["damping"], 0 < values["damping"] < float("inf"), "> 0")


def _check_within(name: str, value: float, fits: bool, expected: str) -> None:
    if not fits:
        raise PlanError(f"{name} is out of range", where=name, expected=expected, found=str(value))


def _check_type(name: str, value: object, default: object) -> None:
    kinds: dict[type, tuple[type, ...]] = {float: (float, int), bool: (bool,), int: (int,), str: (str,)}
    if isinstance(default, float | int | str):
        fits = isinstance(value, kinds[type(default)]) and (
            isinstance(default, bool) or not isinstance(value, bool)
        )
    elif default is None:
        fits = value is None or isinstance(value, bool)
    else:
        fits = isinstance(value, Mapping)
    if not fits:
        raise PlanError(
            "a setting has the wrong type", where=name, expected=f"like {default!r}", found=repr(value)
        )
