"""Functions for codes of any encoding: integer levels come from tables, so no scheme is known here.

A node states its encodings as JSON in attributes (`x_encoding`, the fields of `lowbit.schemes`), and gives
the function the tables that follow from them; what a table holds is checked when a file is read. A layer is

    factors = levels of the input's codes, or the input itself where it is floats
    sums    = factors times levels of the weights + addend, exact: in float32 below 2^24, else in float64
    end     = thresholds counted, as in `bodies`; or one rounding of scale * sums + bias64; or floats

and a convolution is the same on patches, which two look-ups of positions cut out of the padded map: runtimes
convolve in float32 and int8 alone, but multiply matrices of float64. Names are

    Linear | Convolution  [FromFloats]  Planes | Halves | Bytes | Words  ToCodes | RoundedEven | ToRelu | …

by how weights are stored and what the end is. The bound of sums is that of the graph, 2^52.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import product
from typing import TYPE_CHECKING, cast

import numpy as np

from lowbit.errors import ModelFormatError
from lowbit.formats.onnx.bodies import FUSED, activated
from lowbit.formats.onnx.functions import DOMAIN, DOUBLE, FLOAT, parse, parts_of
from lowbit.formats.packed import unpacked
from lowbit.ir import Graph, Node, Value
from lowbit.ir.activations import saturation
from lowbit.ir.deployed import deployed_layer, row_length
from lowbit.ir.deployed_convolution import deployed_convolution
from lowbit.ir.graph import Array, Attribute
from lowbit.ir.infer import call_of
from lowbit.ir.operators.windows import windows_of
from lowbit.ir.window import Window
from lowbit.schemes import Encoding, encoding_from_dict, encoding_from_fields

if TYPE_CHECKING:
    from onnx import FunctionProto

STORAGES = ("planes", "halves", "bytes", "words")
ROUNDINGS = ("even", "nearest", "floor")
_EXACT_IN_FLOAT32 = 2**24
_WINDOW = ("kernel_shape", "strides", "pads", "dilations", "group")
_REMARKS = {
    "input_encoding": 'input_encoding: string = ""',
    "weights_encoding": 'weights_encoding: string = ""',
    "bias_encoding": 'bias_encoding: string = ""',
    "output_encoding": 'output_encoding: string = ""',
    "activation": 'activation: string = "none"',
}


@dataclass(frozen=True)
class AnyLayer:
    """One kind of layer.

    Attributes:
        op: `Linear` or `Convolution`.
        source: whether it reads codes.
        storage: of the weights.
        end: "codes", a rounding, or an activation of floats.
        clips: whether rounded codes stay within an activation's ends.
        group: whether weights have groups: scales and zero points are tensors, one of each for every group.
    """

    op: str
    source: bool
    storage: str
    end: str
    clips: bool = False
    group: bool = False

    @property
    def name(self) -> str:
        """The node's ``op_type``."""
        end = ("Rounded" if self.end in ROUNDINGS else "To") + self.end.replace("none", "floats").capitalize()
        end += "Clipped" if self.clips else ""
        source = "" if self.source else "FromFloats"
        return f"{self.op}{source}{'Groups' if self.group else ''}{self.storage.capitalize()}{end}"

    @property
    def tensors(self) -> tuple[str, ...]:
        """Inputs that are values of the graph."""
        return ("input", "weights", "bias", *(("thresholds",) if self.end == "codes" else ()))

    @property
    def tables(self) -> tuple[str, ...]:
        """Inputs that follow from the encodings."""
        weights = [*_GROUP_FIELDS, *_GROUP_SHAPES] if self.group else ["weights_table", "weights_rows"]
        names = [*weights, "scale", "bias_table", "addend"]
        names += ["input_table"] if self.source else []
        if self.op == "Convolution":
            names += ["edges", "rows", "columns", "split", "patch_shape", "group_shape", "map_shape"]
            names += ["row_class", "column_class"]
        if self.end == "codes":
            names += ["output_codes"]
        if self.end in ROUNDINGS:
            names += ["output_unit", "output_lowest", "output_most"]
        if self.clips:
            names += ["output_least"]
        return tuple(names)

    @property
    def settings(self) -> tuple[str, ...]:
        """Attributes that the body uses."""
        packed = ("weights_hidden_size",) if self.storage in STORAGES[:2] else ()
        return (*packed, "accumulator_type", *(("code_type",) if self.end in ROUNDINGS else ()))

    @property
    def steps(self) -> str:
        """The body."""
        codes = _codes(self.storage) + (_GROUP_LEVELS if self.group else _LEVELS)
        return codes + _FACTORS[self.source] + _SUMS[self.op] + _end(self.end, self.clips)

    @property
    def parts(self) -> tuple[str, ...]:
        """Names of the functions that the body calls."""
        return parts_of(self.steps)

    def to_proto(self) -> "FunctionProto":
        """Return the function as it stands in a file."""
        window = _WINDOW if self.op == "Convolution" else ()
        remarks = [*(f"{name}: ints = [1]" for name in window[:-1]), *_REMARKS.values()]
        remarks += (
            ["group: int = 1", "weights_shape: ints = [1]"] if window else ["weights_shape: ints = [1]"]
        )
        attributes = ", ".join((*self.settings, *remarks))
        inputs = ", ".join((*self.tensors, *self.tables))
        return parse(f"{self.name} <{attributes}> ({inputs}) => (output) {{\n{self.steps}}}")


@cache
def layers() -> dict[str, AnyLayer]:
    """Return every kind of layer by name."""
    ends = ("codes", *ROUNDINGS, *FUSED)
    made = [AnyLayer(op, True, form, end) for op, form, end in product(_SUMS, STORAGES, ends)]
    made += [AnyLayer(op, True, form, end, True) for op, form, end in product(_SUMS, STORAGES, ROUNDINGS)]
    made += [AnyLayer(op, False, form, end) for op, form, end in product(_SUMS, STORAGES, FUSED)]
    made += [AnyLayer(op, False, "planes", end, group=True) for op, end in product(_SUMS, FUSED)]
    return {layer.name: layer for layer in made}


def layer_of(graph: Graph, node: Node) -> AnyLayer:
    """Return what kind a layer of the graph is."""
    source, weights, target = (
        graph.value(name).encoding for name in (node.inputs[0], node.inputs[1], node.outputs[0])
    )
    assert weights is not None
    activation, coded = str(node.attributes.get("activation", "none")), any(node.inputs[3:])
    end = activation if target is None else "codes" if coded else target.rounding
    clips = end in ROUNDINGS and activation != "none"
    return AnyLayer(node.op, source is not None, weights.storage, end, clips, bool(weights.group))


def tables_of(graph: Graph, node: Node) -> dict[str, Array]:
    """Return the tables of a layer: what its function computes with, from its encodings and constants."""
    source, weights, bias = (graph.value(name) for name in node.inputs[:3])
    assert weights.encoding is not None
    outputs, channels = int(weights.shape[0]), weights.encoding.channels
    rows = (np.arange(channels) << weights.encoding.bits)[:, None]
    tables: dict[str, Array] = {"weights_rows": rows.astype(np.int64)}
    if weights.encoding.group:
        tables |= _groups(weights)
    if source.encoding is None:
        real = np.asarray(graph.constant(bias.name), np.float64)
        tables |= {"weights_table": weights.encoding.levels().astype(np.float32).reshape(-1)}
        tables |= {"scale": np.ones(outputs), "bias_table": real, "addend": np.zeros(outputs)}
    else:
        layer = deployed_layer(source.encoding, weights, bias)
        tables |= {"weights_table": weights.encoding.whole_levels().reshape(-1), "scale": layer.scale}
        tables |= {"input_table": layer.input_levels, "bias_table": layer.bias}
        tables |= {"addend": layer.addend.astype(np.float64)}
    if node.op == "Convolution":
        tables |= _geometry(graph, node, tables)
    target = graph.value(node.outputs[0]).encoding
    if target is not None:
        lowest, activation = float(target.integer_levels()[0].min()), str(node.attributes.get("activation"))
        ends = saturation(target, activation if layer_of(graph, node).clips else "none")
        least, most = (end - lowest for end in ends)
        tables |= {"output_codes": target.code_of_rank()[0], "output_unit": target.integer_scale()[:1]}
        tables |= {"output_lowest": np.array([lowest]), "output_most": np.array([most])}
        tables |= {"output_least": np.array([least])}
    return {name: tables[name] for name in layer_of(graph, node).tables}


def _groups(weights: Value) -> dict[str, Array]:
    """Return scale and zero point of every group, and the shapes that codes take on the way to levels."""
    assert weights.encoding is not None
    outputs, length, group = int(weights.shape[0]), row_length(weights), weights.encoding.group
    groups = -(-length // group)
    shapes = {
        "group_edges": (0, 0, 0, groups * group - length),
        "group_parts": (outputs, groups, group),
        "group_ends": (outputs, groups, 1),
        "group_whole": (outputs, groups * group),
        "group_length": (length,),
    }
    fields = {
        f"weights_{name}": np.asarray(weights.encoding.fields()[name]) for name in ("scale", "zero_point")
    }
    return {**fields, **{name: np.array(shape, np.int64) for name, shape in shapes.items()}}


def _geometry(graph: Graph, node: Node, tables: Mapping[str, Array]) -> dict[str, Array]:
    """Return where windows read, and scale, bias and addend in the shape of maps."""
    call, source, weights = call_of(graph, node), graph.value(node.inputs[0]), graph.value(node.inputs[1])
    outputs, height, width, depth = (int(extent) for extent in weights.shape)
    window = cast(Window, windows_of(call, (height, width)))
    (lines, pillars), group = window, call.integer("group")
    bias64, classes = tables["bias_table"][None, None], [np.zeros(axis.outputs, np.int32) for axis in window]
    if source.encoding is not None:
        constants = deployed_convolution(source.encoding, weights, graph.value(node.inputs[2]), window)
        bias64, classes = constants.bias, [constants.row_class, constants.column_class]
    before, after = ([axis.before for axis in window], [axis.after for axis in window])
    places = [(axis.positions() + axis.before).astype(np.int64) for axis in window]
    count = lines.outputs * pillars.outputs
    shapes = {
        "edges": (0, 0, *before, 0, 0, *after),
        "split": (0, group, depth, lines.outputs, height, pillars.outputs, width),
        "patch_shape": (0, 0, count, height * width * depth),
        "group_shape": (group, outputs // group, height * width * depth),
        "map_shape": (0, outputs, lines.outputs, pillars.outputs),
    }
    return {
        **{name: np.array(shape, np.int64) for name, shape in shapes.items()},
        "rows": places[0],
        "columns": places[1],
        "row_class": classes[0].astype(np.int64),
        "column_class": classes[1].astype(np.int64),
        "bias_table": bias64,
        "scale": tables["scale"].reshape(-1, 1, 1),
        "addend": tables["addend"].reshape(-1, 1, 1),
    }


def attributes_of(graph: Graph, node: Node) -> dict[str, Attribute]:
    """Return the attributes of a layer's node: its own, its encodings, and what the body needs."""
    source, weights, bias = (graph.value(name) for name in node.inputs[:3])
    owners = {"input": source, "weights": weights, "bias": bias, "output": graph.value(node.outputs[0])}
    stated: dict[str, Attribute] = {
        f"{prefix}_encoding": json.dumps(value.encoding.to_dict())
        for prefix, value in owners.items()
        if value.encoding is not None
    }
    if weights.encoding is not None and weights.encoding.group:
        fields = {
            name: each for name, each in weights.encoding.fields().items() if not isinstance(each, np.ndarray)
        }
        stated["weights_encoding"] = json.dumps({"scheme": weights.encoding.scheme, **fields})
    layer, target = layer_of(graph, node), owners["output"].encoding
    settings: dict[str, Attribute] = {"weights_shape": tuple(int(extent) for extent in weights.shape)}
    settings["accumulator_type"] = FLOAT if _is_narrow(graph, node) else DOUBLE
    if "weights_hidden_size" in layer.settings:
        settings["weights_hidden_size"] = row_length(weights)
    if "code_type" in layer.settings and target is not None:
        settings["code_type"] = _UINT8 if target.bits <= 8 else _UINT16
    return {**node.attributes, **stated, **settings}


def _is_narrow(graph: Graph, node: Node) -> bool:
    """Return whether float32 holds every sum; sums of floats are float32."""
    source = graph.value(node.inputs[0]).encoding
    if source is None:
        return True
    weights = graph.value(node.inputs[1])
    return deployed_layer(source, weights, np.zeros(weights.shape[0])).largest < _EXACT_IN_FLOAT32


def encodings_in(
    attributes: Mapping[str, object], without: tuple[str, ...] = ()
) -> Iterator[tuple[str, Encoding]]:
    """Yield the encodings that a node states, by prefix, but for some attributes.

    Raises:
        ModelFormatError: one of them is none.
    """
    for name, text in attributes.items():
        if not name.endswith("_encoding") or name in without:
            continue
        try:
            yield name.removesuffix("_encoding"), encoding_from_dict(json.loads(str(text)))
        except (ValueError, TypeError, RecursionError) as error:
            raise ModelFormatError("an encoding cannot be read", where=name, found=str(error)[:80]) from error


def with_groups(text: object, arrays: Mapping[str, Array | None]) -> Encoding:
    """Return the encoding of weights with groups, whose scales and zero points are tensors of the file.

    Raises:
        ModelFormatError: it cannot be read.
    """
    try:
        stated = json.loads(str(text))
        given = {name: arrays[f"weights_{name}"] for name in ("scale", "zero_point")}
        fields = {name: each for name, each in {**stated, **given}.items() if name != "scheme"}
        return encoding_from_fields(str(stated["scheme"]), fields)
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise ModelFormatError(
            "an encoding cannot be read", where="weights_encoding", found=str(error)[:80]
        ) from error


def own_attributes(attributes: Mapping[str, object]) -> dict[str, object]:
    """Return the attributes that are the graph's operator's."""
    return {name: item for name, item in attributes.items() if name in (*_WINDOW, "activation")}


def weights_value(layer: AnyLayer, name: str, data: Array, encoding: Encoding, shape: object) -> Value:
    """Return the constant weights of a layer in a file.

    Raises:
        ModelFormatError: they are not of the shape or type that the encoding stores.
    """
    lengths = shape if isinstance(shape, tuple) else ()
    fits = len(lengths) == (2 if layer.op == "Linear" else 4) and all(
        isinstance(length, int) and 0 < length < 1 << 31 for length in lengths
    )
    if not fits or encoding.storage != layer.storage:
        raise ModelFormatError("weights are not as their node says", where=name, found=str(shape))
    return unpacked(encoding, data, lengths, name)


_UINT8, _UINT16 = 2, 4  # TensorProto.DataType


def _codes(storage: str) -> str:
    """Return steps that give ``codes``, int64 ``[o, n]``."""
    if storage in STORAGES[:2]:
        kind = "PlaneCodes" if storage == "planes" else "HalfCodes"
        steps = f"""
  codes = {DOMAIN}.{kind}<weights_hidden_size: int = @weights_hidden_size>(weights)
"""
    else:
        steps = """
  weights_wide = Cast<to = 7>(weights)
  row_shape = Constant<value_ints = [0, -1]>()
  codes = Reshape(weights_wide, row_shape)
"""
    return steps


_LEVELS = """
  weights_index = Add(codes, weights_rows)
  levels = Gather(weights_table, weights_index)
  weights_typed = Cast<to: int = @accumulator_type>(levels)
"""
_GROUP_FIELDS = ("weights_scale", "weights_zero_point")
_GROUP_SHAPES = ("group_edges", "group_parts", "group_ends", "group_whole", "group_length")
_GROUP_LEVELS = """
  codes_padded = Pad(codes, group_edges)
  codes_apart = Reshape(codes_padded, group_parts)
  codes_real = Cast<to = 1>(codes_apart)
  zero_real = Cast<to = 1>(weights_zero_point)
  zero_apart = Reshape(zero_real, group_ends)
  scale_apart = Reshape(weights_scale, group_ends)
  from_zero_point = Sub(codes_real, zero_apart)
  levels_apart = Mul(from_zero_point, scale_apart)
  levels_whole = Reshape(levels_apart, group_whole)
  first_axis = Constant<value_ints = [1]>()
  from_first = Constant<value_ints = [0]>()
  levels = Slice(levels_whole, from_first, group_length, first_axis)
  weights_typed = Cast<to: int = @accumulator_type>(levels)
"""


_FACTORS = {
    True: """
  typed_table = Cast<to: int = @accumulator_type>(input_table)
  input_index = Cast<to = 6>(input)
  factors = Gather(typed_table, input_index)
""",
    False: "  factors = Identity(input)\n",
}
_SUMS = {
    "Linear": """
  weights_transposed = Transpose<perm = [1, 0]>(weights_typed)
  products = MatMul(factors, weights_transposed)
  products64 = Cast<to = 11>(products)
  sums = Add(products64, addend)
  bias64 = Identity(bias_table)
""",
    "Convolution": """
  padded = Pad(factors, edges)
  lines = Gather<axis = 2>(padded, rows)
  taps = Gather<axis = 4>(lines, columns)
  parts = Reshape(taps, split)
  arranged = Transpose<perm = [0, 1, 3, 5, 4, 6, 2]>(parts)
  patches = Reshape(arranged, patch_shape)
  groups = Reshape(weights_typed, group_shape)
  weights_transposed = Transpose<perm = [0, 2, 1]>(groups)
  products = MatMul(patches, weights_transposed)
  outputs_first = Transpose<perm = [0, 1, 3, 2]>(products)
  maps = Reshape(outputs_first, map_shape)
  products64 = Cast<to = 11>(maps)
  sums = Add(products64, addend)
  bias_by_row = Gather<axis = 0>(bias_table, row_class)
  bias_by_pixel = Gather<axis = 1>(bias_by_row, column_class)
  bias64 = Transpose<perm = [2, 0, 1]>(bias_by_pixel)
""",
}


def _end(end: str, clips: bool) -> str:
    if end in FUSED:
        return activated(end)
    return _COUNTED if end == "codes" else _REAL + _ROUNDED[end] + (_CLIPPED if clips else _SATURATED)


# Steps beyond what sums reach change nothing, so any limit above 2^52 does.
_COUNTED = """
  steps_axis = Constant<value_ints = [-1]>()
  thresholds_double = Cast<to = 11>(thresholds)
  bias_column = Unsqueeze(bias64, steps_axis)
  scale_column = Unsqueeze(scale, steps_axis)
  distance = Sub(thresholds_double, bias_column)
  quotient = Div(distance, scale_column)
  steps = Floor(quotient)
  rank = lowbit.CountSteps(sums, steps)
  output = Gather(output_codes, rank)
"""
_REAL = """
  scaled_sums = Mul(scale, sums)
  exact = Add(scaled_sums, bias64)
  units = Div(exact, output_unit)
"""
_ROUNDED = {
    "even": "  whole = Round(units)\n",
    "nearest": """
  half = Constant<value = double {0.5}>()
  raised = Add(units, half)
  whole = Floor(raised)
""",
    "floor": "  whole = Floor(units)\n",
}
_SATURATED = """
  from_zero = Sub(whole, output_lowest)
  none = Constant<value = double {0.0}>()
  most = Squeeze(output_most)
  saturated = Clip(from_zero, none, most)
  output = Cast<to: int = @code_type>(saturated)
"""
_CLIPPED = """
  from_zero = Sub(whole, output_lowest)
  least = Squeeze(output_least)
  most = Squeeze(output_most)
  saturated = Clip(from_zero, least, most)
  output = Cast<to: int = @code_type>(saturated)
"""
