"""Model-local functions: what lets an unmodified ONNX runtime run a low-bit file.

A low-bit node of the graph becomes a node of domain ``lowbit`` in the file, and the file carries a
function of standard operators for each kind of node that occurs. A body repeats `lowbit.ir.deployed`
and the schemes, operation by operation and in float64, so its integers are those of the reference.
Everything that depends on constants alone is folded by the runtime when it loads the file; what is
left of a hidden layer is one look-up, one product, one comparison and one sum.

ONNX functions cannot ask whether an optional input is present, nor of what kind an encoding is, so
each combination is a function of its own, made of a few shared functions (`PARTS`) and named

    op [FromAffine | FromFloat] [ToAffine | ToFloat | ToTanh | …] [ByThresholds | ByOutput]

where learned-basis codes are what is not mentioned. An encoding of ``x`` is written as

    learned basis    inputs x_scales (the basis), x_offset     attribute x_top
    affine           inputs x_scale, x_zero_point              attribute x_bits
    powers of two    input  x_scale                            attribute x_bits
    fixed point      (`lowbit.formats.onnx.fixed_point`)       attribute x_format
"""

from dataclasses import dataclass
from functools import cache
from itertools import product
from typing import TYPE_CHECKING

from lowbit.formats.onnx import fixed_point
from lowbit.formats.onnx.bodies import (
    AFFINE_SUMS,
    DECODE,
    ENCODE_BY_MIDPOINTS,
    FUSED,
    INTEGER_THRESHOLDS,
    LQ_FLOAT_SUMS,
    LQ_FLOAT_WINDOW_SUMS,
    LQ_SUMS,
    LQ_WINDOW_SUMS,
    PARTS,
    PICK_CODE,
    POOL_RANKS,
    POW2_SUMS,
    POW2_WINDOW_SUMS,
    ROUND_TO_CODE,
    activated,
    affine,
    affine_window_sums,
    encoding,
    learned_basis,
    rank_to_code,
    sorted_levels,
)
from lowbit.formats.onnx.stated import PLANAR, STATED
from lowbit.ir.activations import own_operators
from lowbit.ir.operators.layer_names import FILE_NAMES

if TYPE_CHECKING:
    from onnx import FunctionProto

DOMAIN = "lowbit"
DOMAIN_VERSION = 1
OPSET = 18
CODED_ACTIVATIONS = own_operators()
"""Activations that have a function on codes, by operator."""

CLIPPED = "Clipped"
"""The end of names of functions that saturate to what an activation leaves."""

FLOAT, DOUBLE = 1, 11  # TensorProto.DataType, for the attribute accumulator_type


@dataclass(frozen=True)
class Function:
    """One kind of low-bit node.

    Attributes:
        name: the node's ``op_type``.
        op: the operator of the graph that it stands for.
        source, target: scheme of the codes in and out; "" where there are floats.
        tensors: inputs besides the encodings, in order; the first is the data.
        settings: attributes besides those of the encodings.
        steps: the body.
        activation: what a layer with float output applies.
    """

    name: str
    op: str
    source: str
    target: str
    tensors: tuple[str, ...]
    settings: tuple[str, ...]
    steps: str
    activation: str = "none"

    @property
    def encodings(self) -> dict[str, str]:
        """The scheme of every encoding that the node states, by prefix."""
        stated = {"input": self.source, "weights": _WEIGHT_SCHEMES.get(self.op, ""), "output": self.target}
        return {prefix: scheme for prefix, scheme in stated.items() if scheme}

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of all inputs in order: tensors, then encodings."""
        fields = (f"{p}_{field}" for p, scheme in self.encodings.items() for field in STATED[scheme].tensors)
        return (*self.tensors, *fields)

    @property
    def attributes(self) -> tuple[str, ...]:
        """Names of all attributes."""
        return (*self.settings, *(f"{p}_{STATED[scheme].setting}" for p, scheme in self.encodings.items()))

    def to_proto(self) -> "FunctionProto":
        """Return the function as it stands in a file."""
        remarks = _REMARKS.get(self.op, ()) or (_LAYER_REMARKS if self.name.endswith(CLIPPED) else ())
        attributes = ", ".join((*self.attributes, *remarks))
        return parse(f"{self.name} <{attributes}> ({', '.join(self.inputs)}) => (output) {{\n{self.steps}}}")

    @property
    def says_clip(self) -> bool:
        """Whether its name says whether an activation clips what it rounds."""
        return self.op == "FixedAdd"

    @property
    def parts(self) -> tuple[str, ...]:
        """Names of the functions that the body calls, directly or not."""
        return parts_of(self.steps)


# Attributes that only inform the reader of a file; the body does not depend on them.
_LAYER_REMARKS = ('activation: string = "none"',)
_REMARKS = dict.fromkeys(("LQFullyConnected", "LQConv", "Pow2FullyConnected", "Pow2Conv"), _LAYER_REMARKS)


def parts_of(steps: str) -> tuple[str, ...]:
    """Return names of the functions that steps call, directly or not."""
    called = _called(steps)
    return tuple(name for name in PARTS if name in called)


def _called(steps: str) -> set[str]:
    found = {name for name in PARTS if f" = {DOMAIN}.{name}" in steps}
    return found.union(*(_called(PARTS[name]) for name in found))


def function_name(
    op: str,
    source: str,
    target: str,
    *,
    by_thresholds: bool = False,
    by_output: bool = False,
    activation: str = "none",
) -> str:
    """Return the name of the function for a node; ``target`` is "" for floats."""
    if op == "MaxPool":
        return "MaxPoolOfCodes"
    origin = STATED[source].origin if source else "FromFloat"
    origin = origin if op in LAYERS or (op == "Decode" and source == "affine") else ""
    if "fixed" in (source, target):
        clipped = CLIPPED if op == "FixedAdd" and activation != "none" else ""
        return op + _OF_FIXED.get(op, "ToFloat" if not target else clipped)
    result = STATED[target].ending if target else f"To{activation.capitalize()}"
    if op in ("Decode", *AFFINE_LAYERS):
        result = "ToFloat" if op in AFFINE_LAYERS and not target else ""
    elif result == "ToNone":
        result = "ToFloat"
    stem = f"{op}OfCodes" if op in CODED_ACTIVATIONS else op
    ending = "ByThresholds" if by_thresholds and op == "Encode" else "ByOutput" if by_output else ""
    return stem + origin + result + ending


def part(name: str) -> "FunctionProto":
    """Return a function that bodies of others call."""
    return parse(PARTS[name])


def is_ours(name: str) -> bool:
    """Return whether a function of that name in our domain is one that we write."""
    from lowbit.formats.onnx.any_codes import layers
    from lowbit.formats.onnx.by_table import kinds

    return name in functions() or name in PARTS or name in layers() or name in kinds()


@cache
def functions() -> dict[str, Function]:
    """Return every function by name."""
    made = [_decode(source) for source in PLANAR]
    made += [_encode(target, by_thresholds) for target in PLANAR for by_thresholds in (False, True)]
    made += [_coded_activation(op, target) for op in CODED_ACTIVATIONS for target in PLANAR]
    made += [_affine_layer(op, target) for op in AFFINE_LAYERS for target in ("affine", "")]
    made += [_affine_layer("AffineConv", target, by_output=True) for target in ("affine", "")]
    made += [_max_pool()]
    for op, source in product(LAYERS, PLANAR):
        made += [_layer_to_codes(op, source, target) for target in PLANAR]
        made += [_layer_to_floats(op, source, activation) for activation in FUSED]
    made += [_fixed(*row) for row in _FIXED]
    made.append(_clipped_sum())
    made += [_weight_only_layer(op, activation) for op, activation in product(WEIGHT_ONLY, FUSED)]
    return {function.name: function for function in made}


_FIXED = (
    ("Encode", "", "fixed", ("input",), fixed_point.ENCODE),
    ("Decode", "fixed", "", ("input",), fixed_point.DECODE),
    ("FixedLinear", "fixed", "fixed", ("input", "weights", "bias"), fixed_point.LINEAR_TO_CODES),
    ("FixedLinear", "fixed", "", ("input", "weights", "bias"), fixed_point.LINEAR_TO_FLOATS),
    ("FixedAdd", "fixed", "fixed", ("input", "other"), fixed_point.ADD),
    ("FixedLookup", "fixed", "fixed", ("input", "table"), fixed_point.LOOKUP),
)
"""Operator, scheme in and out, tensors, steps."""


def _fixed(op: str, source: str, target: str, tensors: tuple[str, ...], steps: str) -> Function:
    settings = ("code_type",) if target else ()
    return Function(function_name(op, source, target), op, source, target, tensors, settings, steps)


def _clipped_sum() -> Function:
    """A sum with an activation, which is said besides what it leaves."""
    name, tensors = f"FixedAdd{CLIPPED}", ("input", "other")
    settings = ("code_type", "output_ends")
    return Function(name, "FixedAdd", "fixed", "fixed", tensors, settings, fixed_point.ADD_CLIPPED)


def _encode(target: str, by_thresholds: bool) -> Function:
    if by_thresholds:
        steps = "  rank = lowbit.CountSteps(input, thresholds)\n" + rank_to_code(target)
    elif target == "lq":
        steps = learned_basis("output") + sorted_levels("output") + ENCODE_BY_MIDPOINTS + PICK_CODE
    else:
        steps = "  real = Cast<to = 11>(input)\n" + affine("output") + ROUND_TO_CODE
    tensors = ("input", "thresholds") if by_thresholds else ("input",)
    name = function_name("Encode", "", target, by_thresholds=by_thresholds)
    return Function(name, "Encode", "", target, tensors, (), steps)


def _decode(source: str) -> Function:
    steps, name = encoding("input", source) + DECODE, function_name("Decode", source, "")
    return Function(name, "Decode", source, "", ("input",), (), steps)


def _coded_activation(op: str, target: str) -> Function:
    steps = "  index = Cast<to = 6>(input)\n  output = Gather(table, index)\n"
    return Function(function_name(op, "", target), op, "", target, ("input", "table"), (), steps)


def _affine_layer(op: str, target: str, by_output: bool = False) -> Function:
    sums = affine_window_sums(by_output=True) if by_output else AFFINE_LAYERS[op]
    steps = affine("input") + affine("weights") + sums
    steps += affine("output") + ROUND_TO_CODE if target else "  output = Cast<to = 1>(real)\n"
    name = function_name(op, "affine", target, by_output=by_output)
    tensors, settings = ("input", "weights", "bias"), _SETTINGS[op]
    return Function(name, op, "affine", target, tensors, settings, steps)


def _max_pool() -> Function:
    """A pool of learned-basis codes; its output's encoding is its input's."""
    steps = learned_basis("output") + sorted_levels("output") + POOL_RANKS + PICK_CODE
    return Function("MaxPoolOfCodes", "MaxPool", "", "lq", ("input",), POOL_SETTINGS, steps)


def _layer_to_codes(op: str, source: str, target: str) -> Function:
    steps = encoding("input", source) + LAYERS[op] + INTEGER_THRESHOLDS + rank_to_code(target)
    name = function_name(op, source, target)
    tensors = ("input", _weights_tensor(op), "bias", "thresholds")
    return Function(name, op, source, target, tensors, _SETTINGS[op], steps)


def _layer_to_floats(op: str, source: str, activation: str) -> Function:
    steps = encoding("input", source) + LAYERS[op] + activated(activation)
    name = function_name(op, source, "", activation=activation)
    tensors = ("input", _weights_tensor(op), "bias")
    return Function(name, op, source, "", tensors, _SETTINGS[op], steps, activation)


def _weights_tensor(op: str) -> str:
    return STATED[_WEIGHT_SCHEMES[op]].weights


def _weight_only_layer(op: str, activation: str) -> Function:
    steps, name = WEIGHT_ONLY[op] + activated(activation), function_name(op, "", "", activation=activation)
    settings = tuple(setting for setting in _SETTINGS[op] if setting != "accumulator_type")
    return Function(name, op, "", "", ("input", "weights_binary", "bias"), settings, steps, activation)


LAYERS = {
    "LQFullyConnected": LQ_SUMS,
    "LQConv": LQ_WINDOW_SUMS,
    "Pow2FullyConnected": POW2_SUMS,
    "Pow2Conv": POW2_WINDOW_SUMS,
}
"""The sums of every layer with planes or powers of two."""

WEIGHT_ONLY = {"LQFullyConnected": LQ_FLOAT_SUMS, "LQConv": LQ_FLOAT_WINDOW_SUMS}
"""The same where the input is floats; see `lowbit.ir.weight_only`."""

AFFINE_LAYERS = {"AffineFullyConnected": AFFINE_SUMS, "AffineConv": affine_window_sums(by_output=False)}
"""The sums of every layer of 8-bit codes."""

_WEIGHT_SCHEMES = {
    name: row.scheme for (stem, _), name in FILE_NAMES.items() for row in STATED.values() if row.stem == stem
}
_OF_FIXED = {"Encode": "ToFixed", "Decode": "FromFixed"}
WINDOW_SETTINGS = ("strides", "pads", "dilations", "group")
POOL_SETTINGS = ("kernel_shape", "strides", "pads", "dilations")
_SETTINGS = {
    "LQFullyConnected": ("weights_hidden_size", "accumulator_type"),
    "AffineFullyConnected": ("accumulator_type",),
    "AffineConv": ("kernel_shape", *WINDOW_SETTINGS),
    "LQConv": ("weights_hidden_size", "weights_shape", "kernel_shape", *WINDOW_SETTINGS),
    "Pow2FullyConnected": ("weights_hidden_size", "accumulator_type"),
    "Pow2Conv": ("weights_hidden_size", "weights_shape", "kernel_shape", *WINDOW_SETTINGS),
}


def parse(text: str) -> "FunctionProto":
    """Return a function of our domain, written in ONNX's own text form."""
    from onnx import parser

    imports = f'opset_import: ["" : {OPSET}, "{DOMAIN}" : {DOMAIN_VERSION}]'
    return parser.parse_function(f'<domain: "{DOMAIN}", {imports}>\n{text}')
