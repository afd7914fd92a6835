"""Builtin operators on elements, as nodes in the layout of what they read.

8-bit tensors are codes. What has no operator on codes is computed on what they stand for, between a
``Decode`` and an ``Encode``; a fused activation that the encoding of the result implies is left out.
"""

from collections.abc import Callable

import numpy as np

from lowbit.formats.circle.foreign_options import GeluOptions
from lowbit.formats.circle.importer import Importer, options_of
from lowbit.formats.circle.schema import LeakyReluOptions, Operator
from lowbit.ir.graph import Attribute

Import = Callable[[Importer, Operator, str], None]

CLIPS = {"RELU_N1_TO_1": (-1.0, 1.0), "RELU6": (0.0, 6.0), "RELU_0_TO_1": (0.0, 1.0)}
"""Activations that are clips."""

FUNCTIONS = {
    "ABS": "Abs",
    "CEIL": "Ceil",
    "COS": "Cos",
    "ELU": "Elu",
    "EXP": "Exp",
    "FLOOR": "Floor",
    "HARD_SWISH": "HardSwish",
    "LOG": "Log",
    "LOGICAL_NOT": "Not",
    "ROUND": "Round",
    "SIGN": "Sign",
    "SIN": "Sin",
    "SQRT": "Sqrt",
}
"""Operators of one tensor that the graph has as they are."""

PAIRS = {
    "EQUAL": "Equal",
    "GREATER": "Greater",
    "GREATER_EQUAL": "GreaterOrEqual",
    "LESS": "Less",
    "LESS_EQUAL": "LessOrEqual",
    "LOGICAL_AND": "And",
    "LOGICAL_OR": "Or",
    "POW": "Pow",
    "PRELU": "PRelu",
}
"""Operators of two tensors that the graph has as they are."""


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


def function(
    op: str, read: Callable[[Operator], dict[str, Attribute]] = lambda _: {}, *, domain: str = ""
) -> Import:
    """Return what imports a function of one tensor; ``read`` gives its attributes."""

    def run(importer: Importer, operator: Operator, place: str) -> None:
        source, as_map = only_operand(importer, operator)
        attributes = read(operator)
        importer.compute(
            op, (source,), operator.outputs[0], as_map=as_map, attributes=attributes, domain=domain
        )

    return run


def composed(build: Callable[[Importer, str, str], tuple[str, tuple[str, ...]]]) -> Import:
    """Return what imports a function of one tensor in steps.

    Args:
        build: adds all steps but the last to what it is given, its value and a stem for names, and returns
            the last one: operator and operands.
    """

    def run(importer: Importer, operator: Operator, place: str) -> None:
        source, as_map = only_operand(importer, operator)
        op, operands = build(importer, source, importer.name(operator.outputs[0]))
        importer.compute(op, operands, operator.outputs[0], as_map=as_map)

    return run


def only_operand(importer: Importer, operator: Operator) -> tuple[str, bool]:
    """Return the only tensor that an operator reads, as numbers, and whether it is a map."""
    index = operator.inputs[0]
    as_map = importer.is_map(index)
    return operand(importer, index, as_map, ""), as_map


def reciprocal_root(importer: Importer, source: str, stem: str) -> tuple[str, tuple[str, ...]]:
    """RSQRT."""
    return "Reciprocal", (importer.insert("Sqrt", (source,), stem),)


def square(importer: Importer, source: str, stem: str) -> tuple[str, tuple[str, ...]]:
    """SQUARE."""
    return "Mul", (source, source)


def zeros(importer: Importer, source: str, stem: str) -> tuple[str, tuple[str, ...]]:
    """ZEROS_LIKE."""
    value = importer.graph.value(source)
    return "Mul", (source, importer.add_constant(f"{stem}_zero", 0, value.dtype))


def normalized(importer: Importer, operator: Operator, place: str) -> None:
    """L2_NORMALIZATION along the channels: x / sqrt(max(sum x^2, 1e-6))."""
    source, as_map = only_operand(importer, operator)
    stem, axis = importer.name(operator.outputs[0]), 1 if as_map else -1
    squares = importer.insert("Mul", (source, source), stem)
    total = importer.insert("ReduceSum", (squares, importer.integers([axis], f"{stem}_axis")), stem)
    bounded = importer.insert("Max", (total, importer.add_constant(f"{stem}_least", np.float32(1e-6))), stem)
    length = importer.insert("Sqrt", (bounded,), stem)
    importer.compute("Div", (source, length), operator.outputs[0], as_map=as_map)


def gelu(importer: Importer, operator: Operator, place: str) -> None:
    """GELU, or its approximation by a hyperbolic tangent."""
    source, as_map = only_operand(importer, operator)
    near = options_of(operator, GeluOptions()).approximate
    op, domain = ("GeluTanh", "lowbit") if near else ("Gelu", "")
    importer.compute(op, (source,), operator.outputs[0], as_map=as_map, domain=domain)


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
        as_map = together_as_maps(importer, operator.inputs)
        operands = tuple(operand(importer, index, as_map, place) for index in operator.inputs)
        importer.compute(op, operands, operator.outputs[0], code=code, as_map=as_map, place=place)

    return run


def paired(build: Callable[[Importer, str, str, str], tuple[str, tuple[str, ...]]]) -> Import:
    """Return what imports a function of two tensors in steps, as `composed` does."""

    def run(importer: Importer, operator: Operator, place: str) -> None:
        as_map = together_as_maps(importer, operator.inputs)
        left, right = (operand(importer, index, as_map, place) for index in operator.inputs)
        op, operands = build(importer, left, right, importer.name(operator.outputs[0]))
        importer.compute(op, operands, operator.outputs[0], as_map=as_map)

    return run


def together_as_maps(importer: Importer, indices: tuple[int, ...]) -> bool:
    """Return whether tensors meet as maps: one is a map already, and all that are computed have four axes."""
    computed = [index for index in indices if importer.constant(index) is None]
    fit = all(len(importer.shape(index)) == 4 for index in computed)
    return fit and any(importer.is_map(index) for index in computed)


def squared_difference(importer: Importer, left: str, right: str, stem: str) -> tuple[str, tuple[str, ...]]:
    """SQUARED_DIFFERENCE."""
    difference = importer.insert("Sub", (left, right), stem)
    return "Mul", (difference, difference)


def floor_quotient(importer: Importer, left: str, right: str, stem: str) -> tuple[str, tuple[str, ...]]:
    """FLOOR_DIV: of integers by what is left over, since their division cuts off towards zero."""
    if importer.dtype(left) == "float32":
        return "Floor", (importer.insert("Div", (left, right), stem),)
    rest = importer.insert("Mod", (left, right), stem)
    return "Div", (importer.insert("Sub", (left, rest), stem), right)


def floor_rest(importer: Importer, left: str, right: str, stem: str) -> tuple[str, tuple[str, ...]]:
    """FLOOR_MOD: its sign is that of the second operand."""
    if importer.dtype(left) != "float32":
        return "Mod", (left, right)
    whole = importer.insert("Floor", (importer.insert("Div", (left, right), stem),), stem)
    return "Sub", (left, importer.insert("Mul", (whole, right), stem))


def unequal(importer: Importer, left: str, right: str, stem: str) -> tuple[str, tuple[str, ...]]:
    """NOT_EQUAL."""
    return "Not", (importer.insert("Equal", (left, right), stem),)


def select(*, rows: bool) -> Import:
    """Return what imports SELECT_V2, or SELECT, where a condition of one axis chooses whole rows."""

    def run(importer: Importer, operator: Operator, place: str) -> None:
        as_map = together_as_maps(importer, operator.inputs)
        stem, ranks = importer.name(operator.outputs[0]), [len(importer.shape(i)) for i in operator.inputs]
        operands = [operand(importer, index, as_map, place) for index in operator.inputs]
        if rows and ranks[0] == 1 < ranks[1]:
            behind = importer.integers(range(1, ranks[1]), f"{stem}_axes")
            operands[0] = importer.insert("Unsqueeze", (operands[0], behind), stem)
        importer.compute("Where", tuple(operands), operator.outputs[0], as_map=as_map)

    return run


def total(importer: Importer, operator: Operator, place: str) -> None:
    """ADD_N."""
    as_map = together_as_maps(importer, operator.inputs)
    operands = tuple(operand(importer, index, as_map, place) for index in operator.inputs)
    importer.compute("Sum", operands, operator.outputs[0], as_map=as_map)


def bound(name: str) -> Import:
    """Return what imports MAXIMUM or MINIMUM; with one number it is a clip, and two in a row are one."""

    def run(importer: Importer, operator: Operator, place: str) -> None:
        constants = [importer.constant(index) for index in operator.inputs]
        known = [index for index, data in enumerate(constants) if data is not None and data.size == 1]
        computed = operator.inputs[1 - known[0]] if len(known) == 1 else -1
        if computed < 0 or not importer.is_real(computed):
            binary("Max" if name == "MAXIMUM" else "Min")(importer, operator, place)
            return
        as_map = importer.is_map(computed)
        number = importer.scalar(operator.inputs[known[0]])
        source = importer.real(computed, as_map)
        low: tuple[str, ...] = (number,) if name == "MAXIMUM" else ("", number)
        if name == "MINIMUM" and (before := importer.only_reader_of_clip(computed, source)) is not None:
            source, low = before[0], (before[1], number)
        importer.compute("Clip", (source, *low), operator.outputs[0], as_map=as_map)

    return run


def negative(importer: Importer, operator: Operator, place: str) -> None:
    """NEG, as a product with -1."""
    source, as_map = only_operand(importer, operator)
    stem = importer.name(operator.outputs[0])
    minus = importer.add_constant(f"{stem}_minus", -1, importer.dtype(source))
    importer.compute("Mul", (source, minus), operator.outputs[0], as_map=as_map)


def operand(importer: Importer, index: int, as_map: bool, place: str) -> str:
    """Return a tensor as numbers, in the layout of maps where asked: codes as what they stand for."""
    data = importer.constant(index)
    if data is None:
        return importer.real(index, as_map)
    if as_map and data.ndim:
        return importer.map_operand(index, place)
    return importer.plain_constant(index)
