"""Dilated convolutions, which TensorFlow's converter writes as plain ones between two exchanges.

SPACE_TO_BATCH_ND makes samples of every d-th element, a plain convolution works on them, and
BATCH_TO_SPACE_ND puts the results back: together a convolution of dilation d on the padded map. Here the
first becomes a PAD, the convolution gets the dilation, and the last is left out; what it would crop is not
padded. Operators on elements may stand between. What is not of this kind stays as it is.

Sequences [n, l, c] become maps in front of a convolution; what pads them pads the maps here.
"""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from lowbit.formats.circle.schema import (
    TENSOR_TYPES,
    VALID,
    Conv2DOptions,
    DepthwiseConv2DOptions,
    Operator,
    SqueezeOptions,
    Tensor,
)
from lowbit.formats.circle.structure import Structure

SPREAD, GATHERED = "SPACE_TO_BATCH_ND", "BATCH_TO_SPACE_ND"

_ELEMENTS = ("QUANTIZE", "DEQUANTIZE", "RELU", "RELU6", "RELU_N1_TO_1", "LEAKY_RELU", "ELU", "TANH")
_WITH_CONSTANTS = ("ADD", "MUL", "SUB", "DIV")
_SHAPES = ("RESHAPE", "EXPAND_DIMS", "SQUEEZE")

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class _Region:
    """What lies between two exchanges.

    Attributes:
        members: numbers of the operators, both exchanges included.
        convolution: the number of the only convolution.
        axes: the axes of its map that are dilated, each with its dilation.
        pads: of the first exchange, less what the last one crops, ``[axes, 2]``.
        reshapes: the axis that each RESHAPE adds or drops.
    """

    members: tuple[int, ...]
    convolution: int
    axes: dict[int, int]
    pads: Integers
    reshapes: dict[int, int]


def without_exchanges(structure: Structure) -> Structure:
    """Return a checked file with dilated convolutions in the place of those between exchanges."""
    if SPREAD in structure.operators:
        structure = _separated(structure)
    regions = [_region(structure, at) for at, name in enumerate(structure.operators) if name == SPREAD]
    for region in filter(None, regions):
        structure = _rewritten(structure, region)
    structure = _padded_as_maps(structure)
    kept = [at for at, name in enumerate(structure.operators) if name]
    subgraph = structure.subgraph
    operators = tuple(subgraph.operators[at] for at in kept)
    names = tuple(structure.operators[at] for at in kept)
    return replace(structure, subgraph=replace(subgraph, operators=operators), operators=names)


def _separated(structure: Structure) -> Structure:
    """Return a file in which every convolution behind an exchange has an exchange of its own.

    Convolutions of one dilation on one map share it; what stands between is copied, too.
    """
    subgraph, tensors = structure.subgraph, list(structure.subgraph.tensors)
    operators: list[Operator] = []
    spread = set[int]()
    for name, operator in zip(structure.operators, subgraph.operators, strict=True):
        if name == SPREAD or (name in (*_SHAPES, *_ELEMENTS) and operator.inputs[0] in spread):
            spread.update(operator.outputs)
    readers: dict[int, list[int]] = {index: [] for index in spread}
    names: list[str] = []
    for name, operator in zip(structure.operators[::-1], subgraph.operators[::-1], strict=True):
        copies = [operator]
        if operator.outputs and operator.outputs[0] in spread and operator.outputs[0] not in subgraph.outputs:
            for at in readers[operator.outputs[0]][1:]:
                tensors.append(tensors[operator.outputs[0]])
                copies.append(replace(operator, outputs=(len(tensors) - 1,)))
                own = {operator.outputs[0]: len(tensors) - 1}
                inputs = tuple(own.get(index, index) for index in operators[at].inputs)
                operators[at] = replace(operators[at], inputs=inputs)
        for copy in copies:
            operators.append(copy)
            names.append(name)
            for index in spread.intersection(copy.inputs):
                readers[index].append(len(operators) - 1)
    made = replace(subgraph, tensors=tuple(tensors), operators=tuple(operators[::-1]))
    return replace(structure, subgraph=made, operators=tuple(names[::-1]))


def _padded_as_maps(structure: Structure) -> Structure:
    """Return a file in which what adds an axis to a padded sequence stands before the padding."""
    subgraph, names = structure.subgraph, list(structure.operators)
    operators, tensors = list(subgraph.operators), list(subgraph.tensors)
    constants = dict(structure.constants)
    for first, name in enumerate(structure.operators):
        edges = (
            constants.get(operators[first].inputs[1])
            if name == "PAD" and len(operators[first].inputs) == 2
            else None
        )
        second = None if edges is None else _only_reader(structure, operators[first].outputs[0])
        if second is None or names[second] not in _SHAPES or edges is None or edges.shape != (3, 2):
            continue
        at = _changed_axis(structure, operators[second])
        if at is None or len(structure.tensor(operators[second].outputs[0]).shape) != 4:
            continue
        source = tensors[operators[first].inputs[0]]
        shape = (*source.shape[:at], 1, *source.shape[at:])
        signature = source.shape_signature
        signature = (*signature[:at], 1, *signature[at:]) if signature else ()
        wide, axis, around = len(tensors), len(tensors) + 1, len(tensors) + 2
        constants |= {axis: np.array(at, np.int32), around: np.insert(edges, at, 0, axis=0)}
        kind = TENSOR_TYPES["int32"]
        tensors += [
            replace(source, name=f"{source.name}_wide", shape=shape, shape_signature=signature),
            Tensor((), kind, 0, f"{source.name}_axis"),
            Tensor((4, 2), kind, 0, f"{source.name}_around"),
        ]
        grown = replace(operators[second], inputs=(operators[first].inputs[0], axis), outputs=(wide,))
        padded = replace(operators[first], inputs=(wide, around), outputs=operators[second].outputs)
        operators[first], names[first] = grown, "EXPAND_DIMS"
        operators[second], names[second] = padded, "PAD"
    changed = replace(subgraph, tensors=tuple(tensors), operators=tuple(operators))
    return replace(structure, subgraph=changed, operators=tuple(names), constants=constants)


def _region(structure: Structure, first: int) -> _Region | None:
    """Return the region that an exchange opens, where it is of the kind that can be rewritten."""
    start = _exchange(structure, first)
    if start is None:
        return None
    block, pads = start
    axes = list(range(1, 1 + len(block)))
    members, convolution, dilated, reshapes = [first], -1, list[int](), dict[int, int]()
    while True:
        index = structure.subgraph.operators[members[-1]].outputs[0]
        following = _only_reader(structure, index)
        if following is None or len(members) > 64:
            return None
        members.append(following)
        name, operator = structure.operators[following], structure.subgraph.operators[following]
        if name == GATHERED:
            break
        if name in _SHAPES:
            at = _changed_axis(structure, operator)
            grows = len(structure.tensor(operator.outputs[0]).shape) > len(structure.tensor(index).shape)
            if at is None or (at in axes and not grows):
                return None
            axes = [axis + (axis >= at) if grows else axis - (axis > at) for axis in axes]
            if name == "RESHAPE":
                reshapes[following] = at
        elif _is_plain(name, operator) and convolution < 0 and set(axes) <= {1, 2}:
            convolution, dilated = following, axes
        elif not _on_elements(structure, name, operator, index):
            return None
    end = _exchange(structure, members[-1])
    if convolution < 0 or end is None or not np.array_equal(end[0], block) or (end[1] > pads).any():
        return None
    by_axis = dict(zip(dilated, map(int, block), strict=True))
    return _Region(tuple(members), convolution, by_axis, pads - end[1], reshapes)


def _exchange(structure: Structure, number: int) -> tuple[Integers, Integers] | None:
    """Return lengths of the blocks and pads or crops ``[axes, 2]`` of an exchange, if they are constant."""
    inputs = structure.subgraph.operators[number].inputs
    found = [structure.constants.get(index) for index in inputs[1:]]
    if len(found) != 2 or found[0] is None or found[1] is None:
        return None
    block, edges = (np.asarray(each, np.int64) for each in found if each is not None)
    rank = len(structure.tensor(inputs[0]).shape)
    fits = block.ndim == 1 and edges.shape == (len(block), 2) and 1 <= len(block) <= min(2, rank - 1)
    return (block, edges) if fits and block.min() >= 1 and edges.min() >= 0 else None


def _only_reader(structure: Structure, index: int) -> int | None:
    subgraph = structure.subgraph
    readers = [at for at, operator in enumerate(subgraph.operators) if index in operator.inputs]
    return readers[0] if len(readers) == 1 and index not in subgraph.outputs else None


def _changed_axis(structure: Structure, operator: Operator) -> int | None:
    """Return the axis of length 1 that an operator adds or drops, None where it does anything else."""
    before, after = (structure.tensor(index).shape for index in (operator.inputs[0], operator.outputs[0]))
    shorter, longer = sorted((before, after), key=len)
    places = [
        at for at in range(1, len(longer)) if longer[at] == 1 and (*longer[:at], *longer[at + 1 :]) == shorter
    ]
    return places[0] if len(longer) == len(shorter) + 1 and places else None


def _is_plain(name: str, operator: Operator) -> bool:
    """Return whether an operator is a convolution without padding, strides and dilation."""
    options = operator.builtin_options
    if not isinstance(options, Conv2DOptions | DepthwiseConv2DOptions):
        return False
    steps = (options.stride_h, options.stride_w, options.dilation_h_factor, options.dilation_w_factor)
    return name in ("CONV_2D", "DEPTHWISE_CONV_2D") and options.padding == VALID and steps == (1, 1, 1, 1)


def _on_elements(structure: Structure, name: str, operator: Operator, index: int) -> bool:
    """Return whether an operator treats the elements of all places alike."""
    others = [structure.constants.get(other) for other in operator.inputs if other != index]
    alike = all(data is not None and data.size == max(data.shape[-1:], default=1) for data in others)
    return alike and ((name in _ELEMENTS and not others) or (name in _WITH_CONSTANTS and len(others) == 1))


def _rewritten(structure: Structure, region: _Region) -> Structure:
    subgraph, names = structure.subgraph, list(structure.operators)
    operators, first, last = list(subgraph.operators), region.members[0], region.members[-1]
    source, pads = operators[first].inputs[0], region.pads
    edges = np.zeros((len(structure.tensor(source).shape), 2), np.int32)
    edges[1 : 1 + len(pads)] = pads
    tensors, constants = list(subgraph.tensors), dict(structure.constants)

    def constant(data: npt.NDArray[np.int32], name: str) -> int:
        constants[len(tensors)] = data
        tensors.append(Tensor(data.shape, TENSOR_TYPES["int32"], 0, name))
        return len(tensors) - 1

    made = constant(edges, f"{structure.tensor(source).name}_edges")
    operators[first], names[first] = replace(operators[first], inputs=(source, made)), "PAD"
    options = operators[region.convolution].builtin_options
    dilated = replace(
        options, dilation_h_factor=region.axes.get(1, 1), dilation_w_factor=region.axes.get(2, 1)
    )
    operators[region.convolution] = replace(operators[region.convolution], builtin_options=dilated)
    for number, axis in region.reshapes.items():  # their targets name lengths that are others now
        operator = operators[number]
        grows = len(tensors[operator.outputs[0]].shape) > len(tensors[operator.inputs[0]].shape)
        if grows:
            at = constant(np.array(axis, np.int32), f"{tensors[operator.outputs[0]].name}_axis")
            names[number], changed = "EXPAND_DIMS", replace(operator, inputs=(operator.inputs[0], at))
        else:
            options = SqueezeOptions((axis,))
            names[number] = "SQUEEZE"
            changed = replace(operator, inputs=operator.inputs[:1], builtin_options=options)
        operators[number] = changed
    before = region.members[-2]
    operators[before] = replace(operators[before], outputs=operators[last].outputs)
    names[last] = ""
    again = replace(subgraph, tensors=tuple(tensors), operators=tuple(operators))
    return replace(structure, subgraph=again, operators=tuple(names), constants=constants)
