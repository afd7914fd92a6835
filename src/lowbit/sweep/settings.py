"""What a sweep tries: every scheme at every number of bits, with every rounding and seed that it has.

A scheme is one of weights and inputs together (`lq`, `affine`, `pow2`, `fixed:M`), or of weights alone with a
specification of the inputs: `lq/affine:8`, `fixed:6/lq:2`. `pairs` makes them of specifications.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from lowbit.errors import PlanError
from lowbit.ir import Graph
from lowbit.plan import BITS, Plan
from lowbit.plan.words import METHODS, one_scheme
from lowbit.quantization import quantize
from lowbit.schemes.fixed_point import MOST_BITS, ROUNDINGS
from lowbit.schemes.registry import REGISTRY
from lowbit.schemes.specification import Specification, specification

CALIBRATED = ("gptq", "rtn")
"""How codes of calibrated schemes are chosen; see `lowbit.Plan.method`."""

_FIXED = re.compile(r"fixed:(\d{1,2})")
_PAIR = re.compile(r"(\w+)(:\d{1,2})?((?::[\w=]+)*)/(.+)")
_FRACTION_BITS = (1, 7)


def in_fixed_point(scheme: str) -> bool:
    """Return whether a scheme is fixed point throughout, which is rounding alone."""
    return _FIXED.fullmatch(scheme) is not None


def _is_pair(scheme: str) -> bool:
    return "/" in scheme


@dataclass(frozen=True)
class Setting:
    """One network to make.

    Attributes:
        scheme: ``lq``, ``affine``, ``pow2``, ``fixed:M`` for Qm.n, or a pair such as ``lq/affine:8``.
        bits: of weights, and of activations where they have no specification of their own; for fixed point n,
            the bits behind the point.
        rounding: of fixed point throughout ``nearest`` or ``floor``; of other schemes ``gptq`` or ``rtn``,
            of which files of before have the names ``restore`` and ``plain``.
        seed: for what chance decides; None where nothing is left to it.
    """

    scheme: str
    bits: int
    rounding: str
    seed: int | None

    def __post_init__(self) -> None:
        object.__setattr__(self, "rounding", METHODS.get(self.rounding, self.rounding))

    @property
    def integer_bits(self) -> int | None:
        """M of fixed point, else None."""
        found = _FIXED.fullmatch(self.scheme)
        return int(found[1]) if found else None

    @property
    def label(self) -> str:
        """Name of scheme and bits for people."""
        whole = self.integer_bits
        if _is_pair(self.scheme):
            return "/".join(self._texts())
        return f"{self.scheme} {self.bits}" if whole is None else f"Q{whole}.{self.bits}"

    def _texts(self) -> tuple[str, str]:
        """Return the specifications of weights and activations of a pair."""
        name, whole, options, inputs = _parts(self.scheme)
        bits = {"bits": f":{self.bits}", "format": f"{whole}.{self.bits}", "": ""}[REGISTRY[name].parameter]
        return f"{name}{bits}{options}", inputs

    def plan(self, samples: int) -> Plan | None:
        """Return the plan of a calibrated scheme, None for fixed point throughout."""
        if in_fixed_point(self.scheme):
            return None
        plan = Plan(method=self.rounding, samples=samples, seed=self.seed or 0)
        if _is_pair(self.scheme):
            weights, activations = self._texts()
            return plan.adjusted(weights=weights, activations=activations)
        return plan.adjusted(scheme=self.scheme, bits=self.bits)

    def apply(self, graph: Graph, calibration: Any) -> Graph:
        """Return the low-bit network; the calibration samples are all used, and None for fixed point."""
        floor = ":floor" if self.rounding == "floor" else ""
        plan = self.plan(1 if calibration is None else len(calibration))
        if plan is None:
            plan = Plan(*[f"{self.scheme}.{self.bits}{floor}"] * 2)
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
        roundings: likewise; when None, both of fixed point and ``gptq`` of the others.
        seeds: for calibrated schemes.

    Raises:
        PlanError: an unknown scheme or rounding, or one that has none of the bits or roundings.
    """
    roundings = None if roundings is None else [METHODS.get(way, way) for way in roundings]
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


def pairs(weights: Sequence[str], activations: Sequence[str] = ()) -> tuple[tuple[str, int, str], ...]:
    """Return scheme, bits and rounding of every pair of specifications; the rounding is empty where any goes.

    Args:
        weights: specifications.
        activations: of inputs; when there are none, as the scheme of the weights has them.

    Raises:
        PlanError: a specification does not parse.
    """
    found = []
    for text in weights:
        form = specification(text, "weights")
        inputs = activations or [_usual_input(form)]
        found += [_pair(form, specification(other, "activations")) for other in inputs]
    return tuple(dict.fromkeys(found))


def _usual_input(form: Specification) -> str:
    """Return what inputs become beside these weights when nobody says it."""
    row = REGISTRY[form.scheme]
    return str(form) if row.activations else f"lq:{form.bits}"


def _pair(weights: Specification, inputs: Specification) -> tuple[str, int, str]:
    row, options = REGISTRY[weights.scheme], str(weights).split(":")[2:]
    whole = f"{weights.scheme}:{weights.bits - weights.fraction}"
    if weights == inputs and row.parameter == "format":
        return whole, weights.fraction, weights.fixed_point.rounding
    if not options and (scheme := one_scheme((weights, inputs))) and weights.bits == inputs.bits:
        return scheme, weights.bits, ""
    name = ":".join([whole if row.parameter == "format" else weights.scheme, *options])
    return f"{name}/{inputs}", weights.fraction if row.parameter == "format" else weights.bits, ""


def _parts(scheme: str) -> tuple[str, str, str, str]:
    """Return name, bits before the point (with a colon), options of weights, and what inputs become.

    Raises:
        PlanError: it is no pair.
    """
    found = _PAIR.fullmatch(scheme)
    if found is None or not (row := REGISTRY.get(found[1])) or bool(found[2]) != (row.parameter == "format"):
        raise PlanError("unknown scheme", where="sweep", expected="such as lq/affine:8", found=repr(scheme))
    return found[1], found[2] or "", found[3], str(specification(found[4], "activations"))


def _possible(scheme: str) -> tuple[int, int, tuple[str, ...], tuple[str, ...]]:
    """Return the least and most bits of a scheme, its roundings, and the usual ones."""
    fixed = _FIXED.fullmatch(scheme)
    if fixed:
        return 0, MOST_BITS - int(fixed[1]), ROUNDINGS, ROUNDINGS
    if _is_pair(scheme):
        name, whole, _, _ = _parts(scheme)
        least, most = REGISTRY[name].weights or (1, 0)
        if whole:
            least, most = 0, most - int(whole[1:])
        return least, most, CALIBRATED, CALIBRATED[:1]
    if scheme not in BITS:
        known = f"{', '.join(BITS)}, fixed:M or a pair such as lq/affine:8"
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
