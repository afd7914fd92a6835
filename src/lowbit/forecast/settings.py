"""Settings of layers that a forecast compares: a specification for weights and one for inputs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lowbit.errors import PlanError
from lowbit.plan import Plan

USUAL = ("affine:8", "lq:4", "lq:3", "lq:2", "lq:1")
"""What is compared when nothing is said, many bits before few."""


@dataclass(frozen=True)
class Setting:
    """What the weights and the input of a layer become.

    Attributes:
        weights, activations: specifications, as a plan has them.
    """

    weights: str
    activations: str

    @property
    def label(self) -> str:
        """As it is written: one specification, or two with a slash."""
        return self.weights if self.weights == self.activations else f"{self.weights}/{self.activations}"

    @property
    def table(self) -> dict[str, str]:
        """As a plan's table of a layer."""
        return {"weights": self.weights, "activations": self.activations}

    @classmethod
    def of(cls, text: str) -> "Setting":
        """Return the setting of ``lq:2``, or of ``lq:2/affine:8``.

        Raises:
            PlanError: a specification does not parse, or nothing makes it.
        """
        weights, slash, activations = text.partition("/")
        plan = Plan(weights=weights, activations=activations if slash else weights)
        if plan.is_float:
            raise PlanError("a float network needs no forecast", where="setting", found=repr(text))
        return cls(*(str(form) for form in plan.forms))


def settings_of(texts: Sequence[str]) -> tuple[Setting, ...]:
    """Return settings, each once, in order; the usual ones where none are said."""
    return tuple(dict.fromkeys(Setting.of(text) for text in texts or USUAL))


def mixed_plan(chosen: Mapping[str, Setting], base: Plan) -> Plan:
    """Return a plan with a setting for each layer; the one of most layers is the network's.

    Args:
        chosen: setting of every layer that is quantized, by name.
        base: everything else, such as the method.
    """
    each = list(chosen.values())
    most = max(dict.fromkeys(each), key=each.count)
    layers = {name: setting.table for name, setting in chosen.items() if setting != most}
    return base.adjusted(**most.table, layers={**base.layers, **layers})
