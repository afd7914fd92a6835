"""The flexbuffer options of ``LQFullyConnected`` and ``LQConv``, as a map and as a dataclass."""

from dataclasses import asdict, dataclass, fields
from math import prod

import numpy as np
import numpy.typing as npt

from lowbit.errors import ModelFormatError
from lowbit.formats.flexbuffer import Option, read_options, write_options
from lowbit.ir.activations import ACTIVATIONS
from lowbit.schemes.power_of_two import LEAST_BITS, MOST_BITS

_OWN_NAMES = {"hardtanh": "RELU_N1_TO_1", "sigmoid": "LOGISTIC"}

MAX_HIDDEN_SIZE = 2**31 - 1
MAX_TOP = 255
MAX_LENGTH = 2**16


@dataclass(frozen=True)
class Geometry:
    """What a convolution's options say besides those of any layer; the names are those of ONNX."""

    kernel_shape: tuple[int, ...]
    strides: tuple[int, ...]
    pads: tuple[int, ...]
    dilations: tuple[int, ...]
    group: int


@dataclass(frozen=True, eq=False)
class LayerOptions:
    """What the tensors of a layer do not say.

    Attributes:
        hidden_size: length n of a row of weights.
        activation: a key of `lowbit.ir.activations.ACTIVATIONS`.
        input_offset: offset of the input's levels.
        input_top: largest integer of the input's basis; 0 for a free one.
        weights_top: the same of the weights, int32 ``[1]`` (equal in all channels) or ``[o]``.
        input_thresholds: float32 ``[2**k_x - 1]``, or None in files of the published system and where
            the layer reads floats. They are compared with the input's value; where the input is made by
            another layer of this kind, with that layer's value before its activation.
        geometry: of a convolution.
        weights_bits: of powers of two; 0 where planes say it.
    """

    hidden_size: int
    activation: str
    input_offset: float
    input_top: int
    weights_top: npt.NDArray[np.int32]
    input_thresholds: npt.NDArray[np.float32] | None
    geometry: Geometry | None = None
    weights_bits: int = 0

    @property
    def row_shape(self) -> tuple[int, ...]:
        """The shape of one output's weights: ``(n,)`` or ``(kh, kw, c / group)``."""
        if self.geometry is None:
            return (self.hidden_size,)
        kernel = self.geometry.kernel_shape
        return (*kernel, self.hidden_size // prod(kernel))

    def to_bytes(self) -> bytes:
        """Return the flexbuffer; without thresholds, of a layer that reads floats."""
        top = self.weights_top
        same = bool((top == top[0]).all())
        window = {} if self.geometry is None else geometry_options(self.geometry)
        weights: dict[str, Option] = {"weights_top": int(top[0]) if same else top.astype(np.uint8)}
        if self.weights_bits:
            weights = {"weights_bits": self.weights_bits}
        coded: dict[str, Option] = {"input_offset": self.input_offset, "input_top": self.input_top}
        steps = self.input_thresholds
        return write_options(
            {
                "weights_hidden_size": self.hidden_size,
                "fused_activation_function": activation_name(self.activation),
                **({} if steps is None else coded),
                **weights,
                **({} if steps is None else {"input_thresholds": steps}),
                **window,
            }
        )


def layer_options(content: bytes, where: str, *, convolution: bool, powers: bool) -> LayerOptions:
    """Return the options of a flexbuffer from a file.

    Raises:
        ModelFormatError: an unknown key, a missing one, a wrong type or a value out of range.
    """
    options = read_options(content, where=where)
    known = _KEYS - {"weights_top"} | {"weights_bits"} if powers else _KEYS
    known = known | {entry.name for entry in fields(Geometry)} if convolution else known
    unknown = sorted(options.keys() - known)
    if unknown:
        raise ModelFormatError(
            "unknown operator option",
            where=where,
            expected=", ".join(sorted(known)),
            found=unknown[0],
            remedy="The file may be from a later version of lowbit.",
        )
    return LayerOptions(
        _integer(options, "weights_hidden_size", 1, MAX_HIDDEN_SIZE, None, where),
        activation_of(options, where),
        _real(options, "input_offset", where),
        _integer(options, "input_top", 0, MAX_TOP, 0, where),
        _tops(options.get("weights_top", 0), where),
        _thresholds(options.get("input_thresholds"), where),
        _geometry(options, where) if convolution else None,
        _integer(options, "weights_bits", LEAST_BITS, MOST_BITS, None, where) if powers else 0,
    )


_KEYS = {
    "weights_hidden_size",
    "fused_activation_function",
    "input_offset",
    "input_top",
    "weights_top",
    "input_thresholds",
}


def geometry_options(geometry: Geometry) -> dict[str, Option]:
    """Return a geometry as options."""
    return {key: item if isinstance(item, int) else np.array(item) for key, item in asdict(geometry).items()}


def geometry_of(options: dict[str, Option], where: str) -> Geometry:
    """Return the geometry that options say.

    Raises:
        ModelFormatError: a number is missing or out of range.
    """
    group = _integer(options, "group", 1, MAX_HIDDEN_SIZE, 1, where)
    return Geometry(**window_of(options, where), group=group)


def window_of(options: dict[str, Option], where: str) -> dict[str, tuple[int, ...]]:
    """Return the window that options say: kernel_shape, strides, pads and dilations.

    Raises:
        ModelFormatError: a number is missing or out of range.
    """
    kernel, strides, dilations = (
        _lengths(options, key, 2, 1, where) for key in ("kernel_shape", "strides", "dilations")
    )
    pads = _lengths(options, "pads", 4, 0, where)
    return {"kernel_shape": kernel, "strides": strides, "pads": pads, "dilations": dilations}


def _geometry(options: dict[str, Option], where: str) -> Geometry:
    geometry = geometry_of(options, where)
    size = _integer(options, "weights_hidden_size", 1, MAX_HIDDEN_SIZE, None, where)
    if size % prod(geometry.kernel_shape):
        raise _bad("weights_hidden_size", f"a multiple of {prod(geometry.kernel_shape)}", size, where)
    return geometry


def _lengths(options: dict[str, Option], key: str, count: int, least: int, where: str) -> tuple[int, ...]:
    value = options.get(key)
    row = value if isinstance(value, np.ndarray) and value.dtype.kind in "iu" else np.array([])
    if len(row) != count or row.min() < least or row.max() > MAX_LENGTH:
        raise _bad(key, f"{count} integers from {least} to {MAX_LENGTH}", value, where)
    return tuple(int(length) for length in row)


def _integer(
    options: dict[str, Option], key: str, least: int, most: int, default: int | None, where: str
) -> int:
    value = options.get(key, default)
    if not isinstance(value, int) or not least <= value <= most:
        raise _bad(key, f"an integer from {least} to {most}", value, where)
    return value


def _real(options: dict[str, Option], key: str, where: str) -> float:
    value = options.get(key, 0.0)
    if not isinstance(value, int | float) or not np.isfinite(np.float32(value)):
        raise _bad(key, "a finite number", value, where)
    return float(value)


def activation_name(activation: str) -> str:
    """Return ``fused_activation_function`` of an activation: the format's own name where it has one."""
    return _OWN_NAMES.get(activation, activation.upper())


def activation_of(options: dict[str, Option], where: str) -> str:
    """Return the activation that options say.

    Raises:
        ModelFormatError: one that layers do not have.
    """
    value = options.get("fused_activation_function", "NONE")
    named = {activation_name(activation): activation for activation in ACTIVATIONS}
    if value in named:
        return named[str(value)]
    raise _bad("fused_activation_function", ", ".join(named), value, where)


def _tops(value: Option, where: str) -> npt.NDArray[np.int32]:
    tops = np.atleast_1d(np.asarray(value)) if not isinstance(value, str) else np.array([-1])
    if tops.dtype.kind not in "iu" or not len(tops) or tops.min() < 0 or tops.max() > MAX_TOP:
        raise _bad("weights_top", f"integers from 0 to {MAX_TOP}", value, where)
    return tops.astype(np.int32)


def _thresholds(value: Option | None, where: str) -> npt.NDArray[np.float32] | None:
    if value is None:
        return None
    ascending = isinstance(value, np.ndarray) and value.dtype == np.float32 and not np.isnan(value).any()
    if not ascending or bool((np.diff(np.asarray(value)) < 0).any()):
        raise _bad("input_thresholds", "ascending numbers", value, where)
    return np.asarray(value, np.float32)


def _bad(key: str, expected: str, found: object, where: str) -> ModelFormatError:
    return ModelFormatError(
        f"operator option {key} is wrong",
        where=where,
        expected=expected,
        found=repr(found)[:80],
        remedy="The file is damaged or was written by something else: write it again.",
    )
