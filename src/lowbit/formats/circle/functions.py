"""Builtin operators on elements, as nodes in the layout of what they read.

8-bit tensors are codes. What has no operator on codes is computed on what they stand for, between a
``Decode`` and an ``Encode``; a fused activation that the encoding of the result implies is left out.
"""

from collections.abc import Callable

import numpy as np

from lowbit.errors import UnsupportedError
from lowbit.formats.circle.importer import Importer, options_of
from lowbit.formats.circle.schema import LeakyReluOptions, Operator
from lowbit.ir.graph import Attribute

Import = Callable[[Importer, Operator, str], None]

CLIPS = {"RELU_N1_TO_1": (-1.0, 1.0), "RELU6": (0.0, 6.0)}
"""Activations that are clips."""


def on_codes(op: str) -> Import:
    """Return what imports an activation that maps codes to codes."""

    def run(importer: Importer, operator: Operator, place: str) -> None:
        index, as_map = operator.inputs[0], importer.is_map(operator.inputs[0])
        source = importer.map(index) if as_map else importer.value(index)
        output = importer.output(operator.outputs[0], as_map)
        if importer.is_coded(source) != importer.is_coded(output):
            importer.compute(op, (importer.real(index, as_map),), operator.outputs[0], as_map=as_map)
        else:
            importer.node(op, (source,), output)

    return run


def function(op: str, read: Callable[[Operator], dict[str, Attribute]] = lambda _: {}) -> Import:
    """Return what imports a function of one float tensor; ``read`` gives its attributes."""

    def run(importer: Importer, operator: Operator, place: str) -> None:
        as_map = importer.is_map(operator.inputs[0])
        source = importer.real(operator.inputs[0], as_map)
        importer.compute(op, (source,), operator.outputs[0], as_map=as_map, attributes=read(operator))

    return run


def slope(operator: Operator) -> dict[str, Attribute]:
    """Return the attribute of LEAKY_RELU."""
    return {"alpha": float(options_of(operator, LeakyReluOptions()).alpha)}


def clip(low: float, high: float) -> Import:
    """Return what imports a clip between fixed bounds."""

    def run(importer: Importer, operator: Operator, place: str) -> None:
        index, as_map = operator.outputs[0], importer.is_map(operator.inputs[0])
        operands = importer.real(operator.inputs[0], as_map), *importer.bounds(index, (low, high))
        importer.compute("Clip", operands, index, as_map=as_map)

    return run


def binary(op: str, default: object = None) -> Import:
    """Return what imports arithmetic, or a PRelu, of two tensors."""

    def run(importer: Importer, operator: Operator, place: str) -> None:
        code = 0 if default is None else options_of(operator, default).fused_activation_function
        as_map = any(importer.is_map(index) for index in operator.inputs)
        operands = tuple(operand(importer, index, as_map, place) for index in operator.inputs)
        importer.compute(op, operands, operator.outputs[0], code=code, as_map=as_map, place=place)

    return run


def bound(op: str) -> Import:
    """Return what imports MAXIMUM or MINIMUM with a constant, which is a clip; two in a row are one."""

    def run(importer: Importer, operator: Operator, place: str) -> None:
        constants = [importer.constant(index) for index in operator.inputs]
        known = [index for index, data in enumerate(constants) if data is not None and data.size == 1]
        if len(known) != 1:
            raise UnsupportedError(
                f"a {op} of two tensors is not supported",
                where=place,
                expected="a tensor and one number",
                found=str([importer.tensor(index).shape for index in operator.inputs]),
                remedy="Export the network without it.",
            )
        index = operator.inputs[1 - known[0]]
        as_map = importer.is_map(index)
        number = importer.scalar(operator.inputs[known[0]])
        source = importer.real(index, as_map)
        low: tuple[str, ...] = (number,) if op == "MAXIMUM" else ("", number)
        if op == "MINIMUM" and (before := importer.only_reader_of_clip(index, source)) is not None:
            source, low = before[0], (before[1], number)
        importer.compute("Clip", (source, *low), operator.outputs[0], as_map=as_map)

    return run


def negative(importer: Importer, operator: Operator, place: str) -> None:
    """NEG, as a product with -1."""
    as_map, output = importer.is_map(operator.inputs[0]), operator.outputs[0]
    minus = importer.add_constant(f"{importer.name(output)}_minus", np.float32(-1))
    importer.compute("Mul", (importer.real(operator.inputs[0], as_map), minus), output, as_map=as_map)


def operand(importer: Importer, index: int, as_map: bool, place: str) -> str:
    """Return a tensor as floats, in the layout of maps where asked."""
    if importer.constant(index) is None:
        return importer.real(index, as_map)
    return importer.map_operand(index, place) if as_map else importer.float_constant(index)
