"""The plan: which scheme, how many bits and which method, for the network and for single layers.

As a file it is TOML with the same names; `bits` sets both kinds, and a table per layer overrides:

    bits = 2
    samples = 1024

    [layers.fc2]
    scheme = "affine"
    bits = 8
"""

import difflib
import os
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

from lowbit.errors import PlanError
from lowbit.ir.layers import FLOAT_BITS
from lowbit.untrusted import read_file

BITS = {
    "lq": {"weight_bits": (1, 4), "activation_bits": (1, 4)},
    "affine": {"weight_bits": (2, 8), "activation_bits": (2, 8)},
    "pow2": {"weight_bits": (2, 4), "activation_bits": (1, 8)},
}
_CHOICES = {
    "scheme": ("lq", "affine", "pow2", "float"),
    "method": ("restore", "plain"),
    "update": ("least-squares", "gradient"),
    "clip": ("mse", "minmax"),
}
_LEAST = {"samples": 1, "patches": 1, "seed": 0, "restarts": 0, "rounds": 1}
_NETWORK_ONLY = ("samples", "seed", "layers")
_LARGEST_FILE = 1 << 20

WHOLE = 100.0
"""The percentile that leaves nothing out."""

WINDOW_DAMPING = 0.2
"""Of `Plan.damping`, for convolutions."""


@dataclass(frozen=True)
class Plan:
    """How to quantize a network, or, without `layers`, one layer.

    Attributes:
        scheme: `lq` (learned basis, 1-4 bits), `affine` (2-8 bits), `pow2` (weights are powers of two, 2-4
            bits; inputs of up to 4 bits have a learned basis, others are affine) or `float`: weights stay
            float; behind quantized layers they are fitted to what really arrives, unless the method is
            `plain`. When not said, `affine` where weights or inputs have 5 to 8 bits, else `lq`.
        weight_bits: bits of weights.
        activation_bits: bits of a layer's input; 32 leaves it float, and only the weights are quantized
            (`lq` and `affine`).
        method: `restore` (codes, basis and bias restore the layer's float output) or `plain` (weights as
            near as possible to the float weights: the published method for `lq`, rounding for `affine`).
        samples: the most calibration samples that are used.
        patches: how many windows of a convolution are looked at, over all samples.
        seed: for the choice of samples and windows, and for restarts.
        weight_offset: `lq`: a learned offset per output, which costs popcounts at run time; when None, only
            for weights of one bit of fully connected layers that are restored, which gain from it.
        activation_offset: `lq`: a learned offset, free at run time; when None, on unless the method is
            `plain`.
        update: how QEM updates a basis.
        restarts: random starts of QEM.
        rounds: how often basis and codes are refined in turn.
        damping: how strongly restoration keeps to the float weights, in mean variances of the input; less
            for convolutions, which are seen through many more windows than there are samples.
        equalize: `lq`: channels are made equally large where that costs nothing; when None, unless the
            method is `plain`.
        symmetric: `affine`: weights have their zero in the middle.
        per_channel: `affine`: weights have a scale per output.
        clip: `affine`: the range of values: all of it, or the one of least squared error.
        percentile: of a layer's input: values above this percentile, and as many below, are clipped before
            its encoding is fitted; 100 clips nothing. Samples unlike all others never count
            (`lowbit.calibrate.ordinary_samples`).
        layers: overrides by layer name; `first` and `last` name the ends of any network.
    """

    scheme: str = ""
    weight_bits: int = 3
    activation_bits: int = 3
    method: str = "restore"
    samples: int = 1024
    patches: int = 65536
    seed: int = 0
    weight_offset: bool | None = None
    activation_offset: bool | None = None
    update: str = "least-squares"
    restarts: int = 8
    rounds: int = 3
    damping: float = 0.5
    equalize: bool | None = None
    symmetric: bool = True
    per_channel: bool = True
    clip: str = "mse"
    percentile: float = WHOLE
    layers: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.scheme == "":
            object.__setattr__(self, "scheme", usual_scheme(self.weight_bits, self.activation_bits))
        _check(self)
        for name in self.layers:
            self.for_layer(name)

    @property
    def is_weight_only(self) -> bool:
        """Whether inputs stay float."""
        return self.activation_bits == FLOAT_BITS

    @property
    def uses_weight_offset(self) -> bool:
        """Whether learned weights have an offset."""
        automatic = self.method == "restore" and self.weight_bits == 1
        return automatic if self.weight_offset is None else self.weight_offset

    @property
    def uses_activation_offset(self) -> bool:
        """Whether learned activations have an offset."""
        return self.method == "restore" if self.activation_offset is None else self.activation_offset

    @property
    def equalizes(self) -> bool:
        """Whether a layer reads equalized channels."""
        wanted = self.method == "restore" if self.equalize is None else self.equalize
        return wanted and self.scheme in ("lq", "pow2") and not self.is_weight_only

    @property
    def has_affine_input(self) -> bool:
        """Whether a layer's input gets a uniform grid."""
        return self.scheme == "affine" or self.activation_bits > BITS["lq"]["activation_bits"][1]

    def blocker(self, groups: int) -> str:
        """Return why no engine runs a layer of so many groups with this plan; empty where one does.

        Bytes hold the factors of a product. An input of 8 bits has levels in steps of two, and powers of two
        up to 64 of both signs do not fit beside them; asymmetric codes of 8 bits, or of 7 beside such inputs,
        are moved into bytes row by row, which groups have no sums for.
        """
        beside_bytes = self.activation_bits == 8
        if self.scheme == "pow2" and self.weight_bits == 4 and beside_bytes:
            return "pow2 weights of 4 bits beside inputs of 8 bits (weight_bits = 3 or activation_bits = 7)"
        moved = self.scheme == "affine" and self.weight_bits + beside_bytes >= 8 and not self.symmetric
        if moved and groups > 1 and not self.is_weight_only:
            return f"asymmetric weights of {self.weight_bits} bits in groups (symmetric = true)"
        return ""

    def __str__(self) -> str:
        """What a person would have to ask for: scheme, bits, method, samples, and what is not as usual."""
        said = ("scheme", "weight_bits", "activation_bits", "method", "samples", "seed")
        given = [(entry.name, getattr(self, entry.name), entry.default) for entry in fields(self)]
        other = [(name, value) for name, value, usual in given if name != "layers" and value != usual]
        chosen = {**{name: getattr(self, name) for name in said}, **dict(other)}
        layers = [f"layers.{layer}={dict(settings)}" for layer, settings in self.layers.items()]
        return " ".join([*(f"{name}={value}" for name, value in chosen.items()), *layers])

    def for_convolution(self) -> "Plan":
        """Return the plan with what is automatic set as convolutions like it best."""
        offset = False if self.weight_offset is None else self.weight_offset
        return replace(self, damping=WINDOW_DAMPING * self.damping, weight_offset=offset, layers={})

    def for_layer(self, name: str) -> "Plan":
        """Return the plan of one layer, its overrides applied.

        Raises:
            PlanError: an override has an unknown name or an impossible value.
        """
        where = f"layers.{name}"
        given = self.layers.get(name, {})
        if not isinstance(given, Mapping):
            raise PlanError(
                "a layer's settings are no table", where=where, expected=f"[{where}]", found=repr(given)
            )
        settings = _settings(given, where)
        if self.scheme == "lq" and not settings.keys().isdisjoint(BITS["lq"]):
            settings.setdefault("scheme", "")  # 8 bits for one layer mean affine there
        forbidden = sorted(settings.keys() & set(_NETWORK_ONLY))
        if forbidden:
            raise PlanError("this is said once for the network", where=where, found=", ".join(forbidden))
        try:
            return replace(self, **settings, layers={})
        except PlanError as error:
            raise PlanError(error.message, where=where, expected=error.expected, found=error.found) from error

    def resolved(self, names: Sequence[str]) -> "Plan":
        """Return the plan with `first` and `last` replaced by the names of these layers.

        What is said of a layer by its own name wins over what is said of it as the first or last.

        Args:
            names: of all layers, in order.

        Raises:
            PlanError: a layer with overrides does not exist; near names are listed.
        """
        given, ends = dict(self.layers), {"first": names[:1], "last": names[-1:]}
        for end, found in ends.items():
            if end in given and end not in names and found:
                given[found[0]] = {**given.pop(end), **self.layers.get(found[0], {})}
        for name in given:
            if name not in names:
                near = difflib.get_close_matches(name, names, n=3, cutoff=0.4) or sorted(names)[:5]
                raise PlanError(
                    "the plan names a layer that the network does not have",
                    where=f"layers.{name}",
                    expected=" or ".join(near),
                    found=repr(name),
                    remedy="Layers are listed by: lowbit inspect MODEL",
                )
        return replace(self, layers=given)

    @classmethod
    def read(cls, path: str | os.PathLike[str] | None, **given: Any) -> "Plan":
        """Return the plan of a TOML file, or the default plan; `given` settings win.

        Raises:
            FileError: the file cannot be read.
            PlanError: it is not TOML, or a setting is unknown or impossible.
        """
        if path is None:
            return cls(**given)
        return cls.from_toml(read_file(path, limit=_LARGEST_FILE), where=str(path), **given)

    @classmethod
    def from_toml(cls, text: str | bytes, *, where: str = "plan", **given: Any) -> "Plan":
        """Return the plan that TOML text describes; `given` settings win.

        Raises:
            PlanError: it is not TOML, or a setting is unknown or impossible.
        """
        try:
            table = tomllib.loads(text if isinstance(text, str) else text.decode())
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise PlanError("the plan is not TOML", where=where, found=str(error)) from error
        return cls(**{**_settings(table, where), **given})


def usual_scheme(weight_bits: object, activation_bits: object) -> str:
    """Return the scheme that so many bits mean when none is said."""
    most = BITS["lq"]["weight_bits"][1]
    given = [bits for bits in (weight_bits, activation_bits) if isinstance(bits, int) and bits != FLOAT_BITS]
    return "affine" if any(bits > most for bits in given) else "lq"


def _settings(table: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Return settings by field name; `bits` becomes both kinds."""
    settings = dict(table)
    if "bits" in settings:
        bits = settings.pop("bits")
        settings = {"weight_bits": bits, "activation_bits": bits, **settings}
    known = [entry.name for entry in fields(Plan)]
    for name in settings:
        if name not in known:
            near = difflib.get_close_matches(name, [*known, "bits"], n=2) or known
            raise PlanError("unknown setting", where=where, expected=" or ".join(near), found=repr(name))
    return settings


def _check(plan: Plan) -> None:
    for entry in fields(Plan):
        _check_type(entry.name, getattr(plan, entry.name), entry.default)
    for name, choices in _CHOICES.items():
        if getattr(plan, name) not in choices:
            raise PlanError(
                f"unknown {name}", where=name, expected=" or ".join(choices), found=getattr(plan, name)
            )
    for name, least in _LEAST.items():
        if getattr(plan, name) < least:
            raise PlanError(
                f"{name} is too small", where=name, expected=f">= {least}", found=str(getattr(plan, name))
            )
    if not 50 < plan.percentile <= WHOLE:
        raise PlanError(
            "percentile is out of range",
            where="percentile",
            expected="above 50, at most 100",
            found=str(plan.percentile),
        )
    if not 0 < plan.damping < float("inf"):
        raise PlanError("damping is out of range", where="damping", expected="> 0", found=str(plan.damping))
    if plan.scheme in BITS:
        _check_bits(plan)


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


def _check_bits(plan: Plan) -> None:
    for name, (least, most) in BITS[plan.scheme].items():
        bits = getattr(plan, name)
        if name == "activation_bits" and plan.is_weight_only and plan.scheme != "pow2":
            continue
        if not least <= bits <= most:
            raise PlanError(
                "bits out of range",
                where=name,
                expected=f"{least} to {most} for {plan.scheme}",
                found=str(bits),
                remedy="Choose other bits or another scheme: lq has 1 to 4 bits, affine 2 to 8, pow2 2 to 4; "
                "activation_bits = 32 leaves activations float, with lq and affine.",
            )
