"""One plan for both ways to a low-bit network: calibration after training, and training at low bits.

    Plan(weights="lq:2", activations="affine:8")
    Plan(weights="binary", activations="binary", layers={"first": {"weights": "affine:8"}, "conv*": {…}})

As a file it is TOML with the same names, a table per layer or pattern of layers:

    weights = "lq:2"
    activations = "lq:2"

    [layers.fc2]
    weights = "affine:8"

The words of earlier plans (`scheme`, `bits`, `weight_bits`, `weight`, …) are read: `lowbit.plan.words`.
"""

import os
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field, fields, replace
from functools import wraps
from typing import Any, NoReturn, TypeAlias, TypeVar

from lowbit.errors import PlanError
from lowbit.plan.check import WHOLE, check_settings
from lowbit.plan.layers import by_rank, is_by_pattern, matching, require_settings
from lowbit.plan.words import (
    SIDES,
    USUAL_BITS,
    Forms,
    combined,
    new_words,
    positional,
    require_known,
    require_said,
)
from lowbit.schemes.fixed_point import FixedPoint
from lowbit.schemes.specification import Specification, Use, specification
from lowbit.untrusted import read_file

PLENTY = 8
"""So many bits of weights and of inputs need no restoring: what rounding loses is below what ranges lose."""

WINDOW_DAMPING = 0.2
"""Of `Plan.damping`, for convolutions."""

LEARNING = ("reconstruct", "distill")
"""Methods by which what was calibrated learns on, without labels."""

USUAL = f"lq:{USUAL_BITS}"
"""What calibration makes of weights and inputs where a plan says nothing of them."""

NETWORK_ONLY = ("samples", "seed", "sums", "layers")
TRAINING = ("weight_gradient", "activation_gradient", "scale", "before_sign")
"""Settings that calibration does not read."""
CALIBRATION = (
    *("method", "samples", "patches", "seed", "weight_offset", "activation_offset", "update", "restarts"),
    *("passes", "rounds", "damping", "equalize", "symmetric", "per_channel", "clip", "percentile", "sums"),
)
"""Settings that training does not read."""

Settings: TypeAlias = "Mapping[str, Any] | Plan"

_LARGEST_FILE = 1 << 20
_Class = TypeVar("_Class", bound=type)


def _reads_earlier_words(kind: _Class) -> _Class:
    """Let a class be made with the words, and in the order, of earlier plans."""
    plain: Callable[..., None] = kind.__init__  # type: ignore[misc]

    @wraps(plain)
    def make(self: Any, *given: Any, **settings: Any) -> None:
        words = {**positional(given), **settings}
        require_known(words, _KNOWN, "")
        plain(self, **new_words(words))

    kind.__init__ = make  # type: ignore[misc]
    return kind


@_reads_earlier_words
@dataclass(frozen=True)
class Plan:
    """How to make a network of low bits, or, without `layers`, one layer.

    Attributes:
        weights: specification of weights (`lowbit.schemes.specification`); what is not said stays float, but
            calibration takes `lq:3` for both where a network's plan says nothing at all.
        activations: specification of a layer's input; `float` quantizes weights only.
        method: of calibration: `gptq` (codes, basis and bias restore the layer's float output, by error
            feedback as in GPTQ and coordinate descent), `rtn` (round to nearest: weights as near as
            possible to the float weights, the published method for `lq`), `bias` (the same, with biases that
            restore the mean of every output: Nagel et al., ICCV 2019), `reconstruct` and `distill` (`gptq`,
            after which codes, encodings and biases learn, without labels, to give the float network's values
            behind every block, or its scores: `lowbit.reconstruction`), or `auto`: `gptq`, but `bias` where
            neither weights nor inputs have less than `PLENTY` bits, which leaves little to restore; layers
            that stay float are restored.
        samples: the most calibration samples that are used.
        patches: how many windows of a convolution are looked at, over all samples.
        seed: for the choice of samples and windows, and for restarts.
        weight_offset: `lq`: a learned offset per output, which costs popcounts at run time; when None, where
            the specification says so, and in calibration for weights of one bit of fully connected layers
            whose output is restored, which gain from it.
        activation_offset: `lq`: a learned offset, free at run time; when None, where the specification says
            so, and in calibration unless the method is `rtn`.
        update: how QEM updates a basis.
        restarts: random starts of QEM.
        rounds: how often basis and codes are refined in turn.
        passes: how often `reconstruct` and `distill` see every sample; 0 leaves it to them.
        damping: how strongly restoration keeps to the float weights, in mean variances of the input; less
            for convolutions, which are seen through many more windows than there are samples.
        equalize: `lq`: channels are made equally large where that costs nothing; when None, unless the
            method is `rtn`.
        symmetric: `affine`: weights have their zero in the middle.
        per_channel: `affine`: weights have a scale per output.
        clip: `affine`: the range of values: all of it, or the one of least squared error.
        percentile: of a layer's input: values above this percentile, and as many below, are clipped before
            its encoding is fitted; 100 clips nothing. Samples unlike all others never count
            (`lowbit.calibrate.ordinary_samples`).
        sums: of the network: `fixed` gives sums and means between coded layers a fixed-point format of 16
            bits, so that no floats are left there; `real` leaves them float32, as files before have them;
            `auto` is `real` for a file whose format belongs to other runtimes (``.tflite``), else `fixed`.
        weight_gradient: training: rule of the weights (docs/training-rules.md); the scheme's own when empty.
        activation_gradient: training: rule of the input; the scheme's own when empty.
        scale: training: of binary weights `mean`, `one` or `learned`, of powers of two `learned` or `power`.
        before_sign: training: what stands in the place of a ReLU before a binary input, whose sign would
            always be +1: `identity`, `hardtanh`, `prelu` (a learned slope per channel), or
            `rprelu` (slope and shifts: `lowbit.nn.RPReLU`).
        layers: by name or pattern (as of files, or all below a name), `first` and `last` being the ends:
            a table changes what it says, patterns before ends before names; a plan is all of that layer's,
            and of several the last that fits decides.
    """

    weights: str | Specification = ""
    activations: str | Specification = ""
    _: KW_ONLY
    method: str = "auto"
    samples: int = 1024
    patches: int = 65536
    seed: int = 0
    weight_offset: bool | None = None
    activation_offset: bool | None = None
    update: str = "least-squares"
    restarts: int = 8
    rounds: int = 3
    passes: int = 0
    damping: float = 0.5
    equalize: bool | None = None
    symmetric: bool = True
    per_channel: bool = True
    clip: str = "mse"
    percentile: float = WHOLE
    sums: str = "auto"
    weight_gradient: str = ""
    activation_gradient: str = ""
    scale: str = ""
    before_sign: str = "identity"
    layers: "Mapping[str, Mapping[str, Any] | Plan]" = field(default_factory=dict)

    def __post_init__(self) -> None:
        for side, offset in zip(SIDES, (self.weight_offset, self.activation_offset), strict=True):
            self._settle_text(side, offset)
        names = [entry for entry in fields(Plan) if entry.name not in SIDES]
        check_settings((entry.name, getattr(self, entry.name), entry.default) for entry in names)
        for name in self.layers:
            self.for_layer(name)

    def _settle_text(self, side: Use, offset: bool | None) -> None:
        """Write a specification as it is written; refuse one whose offset is denied."""
        text = getattr(self, side)
        if text == "":
            return
        try:
            form = specification(text, side)
        except PlanError as error:
            raise _placed(error, side) from error
        object.__setattr__(self, side, str(form))
        if form.offset and offset is False:
            denied = f"{side.removesuffix('s')}_offset"
            raise PlanError(
                "two settings contradict each other", where=side, found=f"{form} and {denied} = False"
            )

    @property
    def weight_form(self) -> Specification:
        """What weights become."""
        return self.forms[0]

    @property
    def input_form(self) -> Specification:
        """What the input of a layer becomes."""
        return self.forms[1]

    @property
    def forms(self) -> Forms:
        """What weights and the input become."""
        return _form(self.weights, self.activations), _form(self.activations, self.weights)

    @property
    def scheme(self) -> str:
        """The scheme of weights."""
        return self.weight_form.scheme

    @property
    def weight_bits(self) -> int:
        """Bits of weights; 32 for float."""
        return self.weight_form.bits

    @property
    def activation_bits(self) -> int:
        """Bits of a layer's input; 32 for float."""
        return self.input_form.bits

    @property
    def is_float(self) -> bool:
        """Whether nothing is to change."""
        return all(form.is_float for form in self.forms)

    @property
    def is_weight_only(self) -> bool:
        """Whether inputs stay float."""
        return self.input_form.is_float

    @property
    def fixed_point(self) -> FixedPoint | None:
        """The format of a network in fixed point throughout, which needs no calibration; else None."""
        weights, inputs = self.forms
        throughout = weights.has_format and weights == inputs and not self.layers
        return weights.fixed_point if throughout else None

    @property
    def restores(self) -> bool:
        """Whether layers are to give their float output, and not weights that are nearest."""
        return self.chosen_method == "gptq" or self.learns

    @property
    def learns(self) -> bool:
        """Whether what was calibrated learns on."""
        return self.method in LEARNING

    @property
    def chosen_method(self) -> str:
        """The method, `auto` resolved."""
        if self.method != "auto":
            return self.method
        plenty = min(self.weight_bits, self.activation_bits) >= PLENTY
        return "bias" if plenty and not self.is_float else "gptq"  # what stays float makes up for the others

    @property
    def corrects(self) -> bool:
        """Whether biases are to restore the mean of every output, weights being nearest."""
        return self.chosen_method == "bias"

    @property
    def uses_weight_offset(self) -> bool:
        """Whether learned weights have an offset."""
        automatic = self.weight_form.offset or (self.restores and self.weight_bits == 1)
        return automatic if self.weight_offset is None else self.weight_offset

    @property
    def uses_activation_offset(self) -> bool:
        """Whether learned activations have an offset."""
        automatic = self.input_form.offset or self.restores
        return automatic if self.activation_offset is None else self.activation_offset

    @property
    def equalizes(self) -> bool:
        """Whether a layer reads equalized channels."""
        wanted = self.restores if self.equalize is None else self.equalize
        return wanted and not self.weight_form.row.uniform and not self.is_weight_only

    def said(self, names: Iterable[str]) -> list[str]:
        """Return which of these settings are not as usual."""
        usual = Plan()
        return [name for name in names if getattr(self, name) != getattr(usual, name)]

    def require_unsaid(self, names: Sequence[str], whose: str) -> None:
        """Refuse settings that nobody would read.

        Args:
            names: of the settings.
            whose: they are: of `calibration`, or of `training`.

        Raises:
            PlanError: some are said, of the network or of layers; all of them are named.
        """
        said = self.said(names)
        for layer in self.layers:
            found = self.for_layer(layer).said(names)
            said += [f"layers.{layer}.{name}" for name in found if name not in said]
        if said:
            message = f"these are settings of {whose}, which nothing reads here"
            raise PlanError(message, found=", ".join(said))

    def __str__(self) -> str:
        """What a person would have to ask for: specifications, method, samples, and what is not as usual."""
        said = ("method", "samples", "seed")
        given = [(entry.name, getattr(self, entry.name), entry.default) for entry in fields(self)]
        other = [(n, value) for n, value, default in given if n != "layers" and value != default]
        forms = zip(SIDES, self.forms, strict=True)
        usual = {name: getattr(self, name) for name in said} | {"method": self.chosen_method}
        chosen: dict[str, object] = dict(forms) | usual | dict(other)
        layers = [f"layers.{layer}={_shown(settings)}" for layer, settings in self.layers.items()]
        return " ".join([*(f"{name}={value}" for name, value in chosen.items()), *layers])

    def settled(self, usual: str = USUAL) -> "Plan":
        """Return the plan with what is not said: `usual` where neither side is, else float."""
        sides = self.weights, self.activations
        texts = [str(side) or (usual if not any(sides) else "float") for side in sides]
        return replace(self, weights=texts[0], activations=texts[1])

    def adjusted(self, **settings: Any) -> "Plan":
        """Return the plan with other settings, in any words; bits alone keep the scheme where it has them.

        Raises:
            PlanError: a setting is unknown or impossible.
        """
        require_known(settings, _KNOWN, "")
        require_said(settings)
        weights, inputs = map(str, self.forms)
        before: dict[str, Any] = {"weights": weights, "activations": inputs}
        return replace(self, **before | new_words(settings, self.forms))

    def keeping(self, patterns: Iterable[str]) -> "Plan":
        """Return the plan that leaves some layers float, by name, pattern or end."""
        kept: dict[str, Settings] = {pattern: dict.fromkeys(SIDES, "float") for pattern in patterns}
        return replace(self, layers={**self.layers, **kept})

    def for_convolution(self) -> "Plan":
        """Return the plan with what is automatic set as convolutions like it best."""
        offset = self.weight_form.offset if self.weight_offset is None else self.weight_offset
        return replace(self, damping=WINDOW_DAMPING * self.damping, weight_offset=offset, layers={})

    def for_layer(self, name: str) -> "Plan":
        """Return the plan of one layer, what is said by this name applied.

        Raises:
            PlanError: it has an unknown name or an impossible value.
        """
        return self._changed([self.layers[name]] if name in self.layers else [], f"layers.{name}")

    def by_layer(self, names: Iterable[str]) -> "dict[str, Plan]":
        """Return the plan of every layer.

        Args:
            names: of all layers, in order.

        Raises:
            PlanError: a name or pattern fits no layer; near names are listed.
        """
        names = list(names)
        found: dict[str, list[tuple[int, Settings]]] = {name: [] for name in names}
        for pattern, settings in self.layers.items():
            rank, fitting = matching(pattern, names)
            for name in fitting:
                found[name].append((rank, settings))
        return {name: self._changed(by_rank(entries), f"layers.{name}") for name, entries in found.items()}

    def resolved(self, names: Iterable[str]) -> "Plan":
        """Return the plan with a plan of its own for every layer.

        What is said of a layer by its own name wins over what is said of it as the first or last.

        Args:
            names: of all layers, in order.

        Raises:
            PlanError: a name or pattern fits no layer; near names are listed.
        """
        return replace(self, layers=self.by_layer(names))

    def _changed(self, entries: Sequence[Settings], where: str) -> "Plan":
        """Return the plan of a layer that has these plans and tables, in this order."""
        plan = replace(self, layers={}).settled()
        tables: list[Mapping[str, Any]] = []
        for settings in entries:
            if isinstance(settings, Plan):
                said = settings.said(NETWORK_ONLY)
                _refuse_network_only([n for n in said if getattr(settings, n) != getattr(self, n)], where)
                own = {name: getattr(self, name) for name in NETWORK_ONLY if name != "layers"}
                plan = replace(settings.settled("float"), **own)
            elif isinstance(settings, Mapping):
                tables.append(settings)
                _refuse_network_only(sorted(settings.keys() & set(NETWORK_ONLY)), where)
            else:
                _refuse_no_table(settings, where)
        try:
            for table in combined(tables):
                plan = plan.adjusted(**table)
        except PlanError as error:
            raise _placed(error, where) from error
        return plan

    @classmethod
    def of(cls, tables: "Mapping[str, Any] | Plan") -> "Plan":
        """Return the plan of a recipe's table `plan`: settings, or plans by pattern of layers.

        Where all settings are tables, each is all of its layers' plan, and other layers stay float; the last
        that fits a layer decides.

        Raises:
            PlanError: a setting is unknown or impossible.
        """
        if isinstance(tables, Plan):
            return tables
        if not is_by_pattern(tables):
            require_settings(tables, _KNOWN)
            return cls(**tables)
        found = {}
        for pattern, table in tables.items():
            try:
                found[pattern] = table if isinstance(table, Plan) else cls(**table)
            except PlanError as error:
                raise _placed(error, f"plan.{pattern}") from error
        return cls(layers=found)

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
        require_known(table, _KNOWN, where)
        require_said(table)
        base, *changes = combined([table, given])
        plan = cls(**base)
        for change in changes:
            plan = plan.adjusted(**change)
        return plan


_KNOWN = tuple(entry.name for entry in fields(Plan))


def _form(text: str | Specification, other: str | Specification) -> Specification:
    return specification(text or ("float" if other else USUAL))


def _shown(settings: Settings) -> str:
    return f"({settings})" if isinstance(settings, Plan) else str(dict(settings))


def _refuse_no_table(settings: object, where: str) -> NoReturn:
    raise PlanError(
        "a layer's settings are no table", where=where, expected=f"[{where}]", found=repr(settings)
    )


def _refuse_network_only(names: Sequence[str], where: str) -> None:
    if names:
        raise PlanError("this is said once for the network", where=where, found=", ".join(names))


def _placed(error: PlanError, where: str) -> PlanError:
    """Return an error in the place where it is, before what it says of the place itself."""
    place = f"{where}.{error.where}" if error.where else where
    return PlanError(
        error.message, where=place, expected=error.expected, found=error.found, remedy=error.remedy
    )
