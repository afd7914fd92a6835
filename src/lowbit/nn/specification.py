"""What a tensor is to become, in a word: `binary`, `lq:2:offset`, `pow2:4`, `affine:8`, `fixed:6.7`.

float           stays as it is
binary          the sign, with a scale per output channel for weights
lq:K[:offset]   a learned basis of K bits (1 to 4), with a learned offset
pow2:K          0 and powers of two in K bits (2 to 4); `ternary` is `pow2:2`
affine:K        a uniform grid of K bits (2 to 8) with a learned step; weights are symmetric
pixels          codes of 8 bits as they are: level = code / 255
fixed:M.N[:floor]   fixed point, M bits before the point with the sign among them, N behind it;
rounded half up, or truncated
"""

import re
from dataclasses import dataclass

from lowbit.errors import PlanError, SchemeError
from lowbit.schemes import FixedPoint

BITS = {"lq": (1, 4), "pow2": (2, 4), "affine": (2, 8)}

_FORMS = "float, binary, ternary, lq:K, lq:K:offset, pow2:K, affine:K, pixels, fixed:M.N, fixed:M.N:floor"


@dataclass(frozen=True)
class Specification:
    """A scheme with its bits.

    Attributes:
        scheme: `float`, `binary`, `lq`, `pow2`, `affine`, `pixels` or `fixed`.
        bits: per code; 32 for float.
        offset: `lq`: whether levels have a learned offset.
        fraction: `fixed`: bits behind the point.
        rounding: `fixed`: `nearest` (half up) or `floor`.
    """

    scheme: str
    bits: int
    offset: bool = False
    fraction: int = 0
    rounding: str = "nearest"

    @property
    def is_float(self) -> bool:
        """Whether nothing is to change."""
        return self.scheme == "float"

    @property
    def fixed_point(self) -> FixedPoint:
        """The format of a fixed-point specification."""
        return FixedPoint(self.bits - self.fraction, self.fraction, self.rounding)

    @property
    def is_int8(self) -> bool:
        """Whether codes are those of the 8-bit layers that every runtime has."""
        return self.scheme == "pixels" or (self.scheme, self.bits) == ("affine", 8)

    def __str__(self) -> str:
        match self.scheme:
            case "fixed":
                return str(self.fixed_point)
            case "lq" | "pow2" | "affine":
                return f"{self.scheme}:{self.bits}" + (":offset" if self.offset else "")
        return self.scheme


FLOAT = Specification("float", 32)
_PLAIN = {
    "float": FLOAT,
    "binary": Specification("binary", 1),
    "ternary": Specification("pow2", 2),
    "pixels": Specification("pixels", 8),
}


def specification(text: "str | Specification") -> Specification:
    """Return the specification that a text means.

    Raises:
        PlanError: it means none, or has bits that its scheme has not.
    """
    if isinstance(text, Specification):
        return text
    if text in _PLAIN:
        return _PLAIN[text]
    if found := re.fullmatch(r"(lq|pow2|affine):(\d{1,2})(:offset)?", text):
        scheme, bits, offset = found[1], int(found[2]), bool(found[3])
        least, most = BITS[scheme]
        if least <= bits <= most and (scheme == "lq" or not offset):
            return Specification(scheme, bits, offset)
        raise PlanError(
            "a scheme cannot have this",
            where=text,
            expected=f"{scheme} of {least} to {most} bits",
            found=text,
        )
    if text.startswith("fixed:"):
        try:
            form = FixedPoint.from_text(text.removeprefix("fixed:"))
        except SchemeError as error:
            raise PlanError(error.message, expected=error.expected, found=text) from error
        return Specification("fixed", form.bits, False, form.fraction_bits, form.rounding)
    raise PlanError("unknown specification", expected=_FORMS, found=repr(text))
