"""From a specification to the quantizer that trains it."""

from lowbit.errors import PlanError
from lowbit.nn.binary import BinaryInput, BinaryWeight
from lowbit.nn.quantizer import InputQuantizer, WeightQuantizer
from lowbit.nn.specification import Specification


def weight_quantizer(
    form: Specification, outputs: int, gradient: str | None, scale: str
) -> WeightQuantizer | None:
    """Return what quantizes weights, or None for float.

    Raises:
        PlanError: weights cannot have this scheme, or the rule is unknown.
    """
    match form.scheme:
        case "float":
            return None
        case "binary":
            return BinaryWeight(outputs, gradient or "recu", scale)
    raise PlanError("weights cannot have this scheme", expected="float or binary", found=str(form))


def input_quantizer(form: Specification, gradient: str | None) -> InputQuantizer | None:
    """Return what quantizes a layer's input, or None for float.

    Raises:
        PlanError: an input cannot have this scheme, or the rule is unknown.
    """
    match form.scheme:
        case "float":
            return None
        case "binary":
            return BinaryInput(gradient or "quadratic")
    raise PlanError("an input cannot have this scheme", expected="float or binary", found=str(form))
