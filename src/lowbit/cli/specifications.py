"""Options that say what becomes of weights and inputs, the same in every command."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from lowbit.schemes import FixedPoint

__all__ = [
    "ActivationsOption",
    "FixedActivationsOption",
    "FixedWeightsOption",
    "OldSchemeOption",
    "WeightsOption",
    "all_said",
    "fixed_point",
    "said",
]


def said(text: str | None, param: typer.CallbackParam) -> str | None:
    """Return what an option says; nobody means the empty text of a variable that is not set.

    Raises:
        PlanError: it is empty.
    """
    from lowbit.errors import PlanError

    if text is None or text.strip():
        return text
    raise PlanError("an option says nothing", where=param.opts[0], expected=_FORMS, found="an empty text")


def all_said(texts: list[str] | None, param: typer.CallbackParam) -> list[str] | None:
    """Return what an option that may be repeated says; see `said`."""
    for text in texts or ():
        said(text, param)
    return texts


_FORMS = "lq:2, affine:8, pow2:3, binary, fixed:6.7, …"

WeightsOption = Annotated[
    str | None, typer.Option("--weights", callback=said, help=f"What weights become: {_FORMS}")
]
ActivationsOption = Annotated[
    str | None,
    typer.Option(
        "--activations", callback=said, help="What the inputs of layers become, likewise; or float."
    ),
]
FixedWeightsOption = Annotated[
    str | None,
    typer.Option(
        "--weights", callback=said, help="What weights become: fixed:M.N, rounded; with :floor, truncated."
    ),
]
FixedActivationsOption = Annotated[
    str | None,
    typer.Option("--activations", callback=said, show_default="as --weights", help="Likewise, and the same."),
]
OldSchemeOption = Annotated[str | None, typer.Option("--scheme", hidden=True, callback=said)]
"""Of before: a specification of weights and inputs together."""


def fixed_point(weights: str | None, activations: str | None, scheme: str | None) -> "FixedPoint | None":
    """Return the format of fixed point that a network gets throughout; None where nothing is said.

    Args:
        weights, activations: of `--weights` and `--activations`; the second is as the first when not said.
        scheme: of `--scheme`, which says both.

    Raises:
        PlanError: a specification does not parse, or they are not one format.
    """
    from lowbit.errors import PlanError
    from lowbit.plan import Plan

    if scheme is not None and scheme[:1].isdigit():
        scheme = f"fixed:{scheme}"  # M.N alone was read too
    given = {"weights": weights, "activations": activations or weights, "scheme": scheme}
    said: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    if not said:
        return None
    plan = Plan(**said)
    if plan.fixed_point is None:
        found = f"weights {plan.weight_form}, activations {plan.input_form}"
        raise PlanError(
            "this takes one format of fixed point",
            expected="fixed:M.N of both",
            found=found,
            remedy="For other low-bit networks, quantize the network first and give its file.",
        )
    return plan.fixed_point
