"""From a specification to the quantizer that trains it, as the scheme's row of the registry says."""

from collections.abc import Callable
from inspect import signature
from typing import Any

from lowbit.errors import PlanError
from lowbit.schemes.specification import Specification, forms
from lowbit.schemes.training.quantizer import InputQuantizer, WeightQuantizer


def weight_quantizer(
    form: Specification, outputs: int, gradient: str | None, scale: str | None
) -> WeightQuantizer | None:
    """Return what quantizes weights, or None for float.

    Raises:
        PlanError: weights cannot have this scheme, rule or scale.
    """
    if form.row.weights is None:
        raise PlanError(
            "weights cannot have this scheme", expected=" or ".join(forms("weights")), found=str(form)
        )
    make = None if form.is_float else form.row.train.weights
    settings = _chosen(form, make, gradient=gradient, scale=scale)
    return make(form, outputs, **settings) if make else None


def input_quantizer(form: Specification, gradient: str | None) -> InputQuantizer | None:
    """Return what quantizes a layer's input, or None for float.

    Raises:
        PlanError: an input cannot have this scheme or rule.
    """
    if form.row.activations is None:
        raise PlanError(
            "an input cannot have this scheme", expected=" or ".join(forms("activations")), found=str(form)
        )
    make = None if form.is_float else form.row.train.inputs
    settings = _chosen(form, make, gradient=gradient)
    return make(form, **settings) if make else None


def _chosen(form: Specification, make: Callable[..., Any] | None, **given: str | None) -> dict[str, str]:
    """Return the settings that were chosen, if the scheme has a choice of them."""
    chosen = {name: value for name, value in given.items() if value}
    for name, value in chosen.items():
        if make is None or name not in signature(make).parameters:
            raise PlanError(f"{form} has no choice of {name}", expected="nothing", found=repr(value))
    return chosen
