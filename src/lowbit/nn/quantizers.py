"""From a specification to the quantizer that trains it."""

from lowbit.errors import PlanError
from lowbit.nn.affine import AffineInput, AffineWeight, PixelInput
from lowbit.nn.binary import BinaryInput, BinaryWeight
from lowbit.nn.fixed_point import FixedPointInput, FixedPointWeight
from lowbit.nn.learned_basis import LearnedBasisInput, LearnedBasisWeight
from lowbit.nn.power_of_two import PowerOfTwoWeight
from lowbit.nn.quantizer import InputQuantizer, WeightQuantizer
from lowbit.nn.specification import Specification


def weight_quantizer(
    form: Specification, outputs: int, gradient: str | None, scale: str | None
) -> WeightQuantizer | None:
    """Return what quantizes weights, or None for float.

    Raises:
        PlanError: weights cannot have this scheme, rule or scale.
    """
    settings = {name: value for name, value in (("gradient", gradient), ("scale", scale)) if value}
    match form.scheme:
        case "float":
            _refuse(form, settings)
            return None
        case "binary":
            return BinaryWeight(outputs, **settings)
        case "lq":
            update = settings.pop("gradient", "qem")
            _refuse(form, settings)
            return LearnedBasisWeight(outputs, form.bits, form.offset, update)
        case "pow2":
            return PowerOfTwoWeight(outputs, form.bits, **settings)
        case "affine":
            _refuse(form, settings)
            return AffineWeight(outputs, form.bits)
        case "fixed":
            _refuse(form, settings)
            return FixedPointWeight(form.fixed_point)
    raise PlanError("weights cannot have this scheme", expected=_WEIGHTS, found=str(form))


def input_quantizer(form: Specification, gradient: str | None) -> InputQuantizer | None:
    """Return what quantizes a layer's input, or None for float.

    Raises:
        PlanError: an input cannot have this scheme or rule.
    """
    settings = {"gradient": gradient} if gradient else {}
    match form.scheme:
        case "binary":
            return BinaryInput(**settings)
        case "lq":
            return LearnedBasisInput(form.bits, form.offset, gradient or "qem")
    _refuse(form, settings)
    match form.scheme:
        case "float":
            return None
        case "affine":
            return AffineInput(form.bits)
        case "pixels":
            return PixelInput()
        case "fixed":
            return FixedPointInput(form.fixed_point)
    raise PlanError("an input cannot have this scheme", expected=_INPUTS, found=str(form))


_WEIGHTS = "float, binary, ternary, lq:K, pow2:K, affine:K or fixed:M.N"
_INPUTS = "float, binary, lq:K, affine:K, pixels or fixed:M.N"


def _refuse(form: Specification, settings: dict[str, str]) -> None:
    for name, value in settings.items():
        raise PlanError(f"{form} has no choice of {name}", expected="nothing", found=repr(value))
