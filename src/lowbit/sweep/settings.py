"""What a sweep tries: every scheme at every number of bits, with every rounding and seed that it has."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from lowbit.errors import PlanError
from lowbit.ir import Graph
from lowbit.quantization import Plan, quantize, to_fixed_point
from lowbit.quantization.plan import BITS
from lowbit.schemes.fixed_point import MOST_BITS, ROUNDINGS

CALIBRATED = ("restore", "plain")
"""How codes of calibrated schemes are chosen; see `lowbit.quantization.Plan`."""

_FIXED = re.compile(r"fixed:(\d{1,2})")
_FRACTION_BITS = (1, 7)


@dataclass(frozen=True)
class Setting:
    """One network to make.

    Attributes:
        scheme: ``lq``, ``affine``, ``pow2``, or ``fixed:M`` for Qm.n.
        bits: of weights and activations; for fixed point n, the bits behind the point.
        rounding: of fixed point ``nearest`` or ``floor``; of other schemes ``restore`` or ``plain``.
        seed: for what chance decides; None where nothing is left to it.
    """

    scheme: str
    bits: int
    rounding: str
    seed: int | None

    @property
    def integer_bits(self) -> int | None:
        """M of fixed point, else None."""
        found = _FIXED.fullmatch(self.scheme)
        return int(found[1]) if found else None

    @property
    def label(self) -> str:
        """Name of scheme and bits for people."""
        whole = self.integer_bits
        return f"{self.scheme} {self.bits}" if whole is None else f"Q{whole}.{self.bits}"

    def plan(self, samples: int) -> Plan | None:
        """Return the plan of a calibrated scheme, None for fixed point."""
        if self.integer_bits is not None:
            return None
        plan = Plan(method=self.rounding, samples=samples, seed=self.seed or 0)
        return plan.adjusted(scheme=self.scheme, bits=self.bits)

    def apply(self, graph: Graph, calibration: Any) -> Graph:
        """Return the low-bit network; the calibration samples are all used, and None for fixed point."""
        if self.integer_bits is not None:
            return to_fixed_point(graph, self.integer_bits, self.bits, self.rounding)
        plan = self.plan(len(calibration))
        assert plan is not None
        return quantize(graph, calibration, plan)[0]

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON-ready values."""
        return asdict(self)


def grid(
    schemes: Sequence[str],
    bits: Sequence[int] | None = None,
    roundings: Sequence[str] | None = None,
    seeds: Sequence[int] = (0,),
) -> tuple[Setting, ...]:
    """Return every combination that exists, schemes first, many bits before few.

    Args:
        schemes: as `Setting.scheme`.
        bits: those that a scheme does not have are left out; all that it has when None.
        roundings: likewise; when None, both of fixed point and ``restore`` of the others.
        seeds: for calibrated schemes.

    Raises:
        PlanError: an unknown scheme or rounding, or one that has none of the bits or roundings.
    """
    _check_roundings(roundings)
    settings: dict[Setting, None] = {}
    for scheme in schemes:
        least, most, known, usual = _possible(scheme)
        chosen = [n for n in sorted(set(bits), reverse=True) if least <= n <= most] if bits else None
        ways = usual if roundings is None else [way for way in dict.fromkeys(roundings) if way in known]
        counts = _usual(scheme, least, most) if chosen is None else chosen
        _require(counts, scheme, "bits", f"{least} to {most}", bits)
        _require(ways, scheme, "rounding", " or ".join(known), roundings)
        fixed = _FIXED.fullmatch(scheme)
        for count in counts:
            for way in ways:
                own: Sequence[int | None] = (None,) if fixed else seeds
                settings.update({Setting(scheme, count, way, seed): None for seed in own})
    return tuple(settings)


def _possible(scheme: str) -> tuple[int, int, tuple[str, ...], tuple[str, ...]]:
    """Return the least and most bits of a scheme, its roundings, and the usual ones."""
    fixed = _FIXED.fullmatch(scheme)
    if fixed:
        return 0, MOST_BITS - int(fixed[1]), ROUNDINGS, ROUNDINGS
    if scheme not in BITS:
        known = f"{', '.join(BITS)} or fixed:M"
        raise PlanError("unknown scheme", where="sweep", expected=known, found=repr(scheme))
    ranges = BITS[scheme].values()
    return max(low for low, _ in ranges), min(high for _, high in ranges), CALIBRATED, CALIBRATED[:1]


def _usual(scheme: str, least: int, most: int) -> range:
    """Return the bits that are tried when none are said, many before few."""
    if _FIXED.fullmatch(scheme):
        least, most = _FRACTION_BITS[0], min(_FRACTION_BITS[1], most)
    return range(most, least - 1, -1)


def _check_roundings(roundings: Sequence[str] | None) -> None:
    known = (*ROUNDINGS, *CALIBRATED)
    unknown = [way for way in roundings or () if way not in known]
    if unknown:
        choices = " or ".join(known)
        raise PlanError("unknown rounding", where="sweep", expected=choices, found=", ".join(unknown))


def _require(chosen: Iterable[object], scheme: str, what: str, expected: str, found: object) -> None:
    if not list(chosen):
        raise PlanError(f"nothing to try: {what}", where=scheme, expected=expected, found=str(found))
