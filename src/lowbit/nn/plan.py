"""The training plan: which layers become what, by the names of modules.

    Plan({"*": LayerPlan(weight="binary", activation="binary"), "first": LayerPlan(), "last": LayerPlan()})

Patterns are those of file names; the last one that fits a layer decides. `first` and `last` are the ends of
any network, unless it has layers of these names.
"""

import difflib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from fnmatch import fnmatchcase
from typing import Any

from lowbit.errors import PlanError
from lowbit.nn.specification import specification

BEFORE_SIGN = ("identity", "hardtanh", "prelu")


@dataclass(frozen=True)
class LayerPlan:
    """How one layer is to be trained.

    Attributes:
        weight: specification of the weights (`lowbit.nn.specification`).
        activation: specification of the layer's input.
        weight_gradient: rule of the weights; the scheme's own when empty.
        activation_gradient: rule of the input; the scheme's own when empty.
        scale: of binary weights `mean`, `one` or `learned`, of powers of two `learned` or `power`.
        before_sign: what stands in the place of a ReLU before a binary input, whose sign would always be +1:
            `identity`, `hardtanh`, or `prelu` (a learned slope per channel).
    """

    weight: str = "float"
    activation: str = "float"
    weight_gradient: str = ""
    activation_gradient: str = ""
    scale: str = ""
    before_sign: str = "identity"

    def __post_init__(self) -> None:
        specification(self.weight)
        specification(self.activation)
        if self.before_sign not in BEFORE_SIGN:
            expected = " or ".join(BEFORE_SIGN)
            raise PlanError("unknown function before the sign", expected=expected, found=self.before_sign)

    @property
    def is_float(self) -> bool:
        """Whether the layer stays as it is."""
        return self.weight == self.activation == "float"

    @classmethod
    def of(cls, settings: "Mapping[str, Any] | LayerPlan", where: str) -> "LayerPlan":
        """Return the plan of a table of settings.

        Raises:
            PlanError: a setting is unknown (near names are listed) or impossible.
        """
        if isinstance(settings, LayerPlan):
            return settings
        known = [entry.name for entry in fields(cls)]
        for name, value in settings.items():
            if name not in known:
                expected = " or ".join(difflib.get_close_matches(name, known, n=2) or known)
                raise PlanError("unknown setting", where=where, expected=expected, found=repr(name))
            if not isinstance(value, str):
                raise PlanError("a setting is no text", where=f"{where}.{name}", found=repr(value))
        try:
            return cls(**settings)
        except PlanError as error:
            raise PlanError(error.message, where=where, expected=error.expected, found=error.found) from error


@dataclass(frozen=True)
class Plan:
    """Plans by pattern of layer names, in order.

    Attributes:
        layers: what a layer is to be; one that no pattern fits stays float.
    """

    layers: Mapping[str, LayerPlan] = field(default_factory=dict)

    @classmethod
    def of(cls, tables: "Mapping[str, Mapping[str, Any] | LayerPlan] | Plan") -> "Plan":
        """Return the plan of tables of settings, as a recipe has them.

        Raises:
            PlanError: a setting is unknown or impossible.
        """
        if isinstance(tables, Plan):
            return tables
        return cls({pattern: LayerPlan.of(table, f"plan.{pattern}") for pattern, table in tables.items()})

    def resolved(self, names: Iterable[str]) -> dict[str, LayerPlan]:
        """Return the plan of every layer.

        Args:
            names: of all layers, in order.

        Raises:
            PlanError: a pattern fits no layer; near names are listed.
        """
        names = list(names)
        result = dict.fromkeys(names, LayerPlan())
        for pattern, plan in self.layers.items():
            found = list(_matching(pattern, names))
            if not found:
                near = difflib.get_close_matches(pattern, names, n=3, cutoff=0.4) or names[:5]
                raise PlanError(
                    "the plan names a layer that the network does not have",
                    where=f"plan.{pattern}",
                    expected=" or ".join([*near, "first", "last"]),
                    found=repr(pattern),
                )
            result.update(dict.fromkeys(found, plan))
        return result


def _matching(pattern: str, names: list[str]) -> Iterator[str]:
    ends = {"first": names[:1], "last": names[-1:]}
    if pattern in ends and pattern not in names:
        yield from ends[pattern]
    else:
        yield from (name for name in names if fnmatchcase(name, pattern))
