"""Elementwise steps on values of codes: encoders, decoders, tables, sums; in whatever form they lie."""

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from lowbit.ir import Node
from lowbit.ir.activations import saturation
from lowbit.ir.graph import Array
from lowbit.ir.operators import Trait, has
from lowbit.ir.window import Window
from lowbit.program.endings import ROUNDING_RULES, SHIFT_RULES, level_range, shift_between
from lowbit.program.layout import Form, entries_of_code
from lowbit.program.steps import (
    AddWords,
    AverageWords,
    Decode,
    DecodeWords,
    EncodeAffine,
    EncodeBytes,
    EncodePlanes,
    LookUp,
    LookUpEntries,
    Rank,
    Round,
    Step,
)

if TYPE_CHECKING:
    from lowbit.program.planner import Planner


def encode(planner: "Planner", node: Node) -> None:
    """Add the step of an ``Encode``."""
    name = node.outputs[0]
    encoding, form = planner.encoding(name), planner.layout.form(name)
    if name in planner.recoded.steps:
        source, step = planner.recoded.steps[name]
        _in_place(planner, replace(node, inputs=(source,)), step, form)
        return
    given = [planner.graph.constant(name) for name in node.inputs[1:] if name]
    if encoding.rounds and not given:
        planner.add_elementwise(node, _rounding(planner, name))
        return
    thresholds = np.asarray(given[0] if given else encoding.thresholds()[0], np.float32)
    entries = entries_of_code(encoding, form, name)[encoding.code_of_rank()[0]]
    if form == "words":
        planner.add_elementwise(node, Rank(thresholds, entries.astype(np.int16)))
        return
    kind = EncodePlanes if form == "planes" else EncodeBytes
    _in_place(planner, node, kind(thresholds, entries.astype(np.uint8)), form)


def _in_place(planner: "Planner", node: Node, step: Step, form: Form) -> None:
    """Add the step of an encoder; planes are never rearranged: they are made as the map that is read."""
    read = _read_as_map(planner, node.outputs[0]) if form == "planes" else ""
    if read:
        planner.map(node.inputs[0], planner.map_lengths(read))
    planner.add_elementwise(node, step)


def _read_as_map(planner: "Planner", name: str) -> str:
    """Return the map that a value is, or that windows read of it in another shape; or none."""
    if len(planner.shape(name)) == 4:
        return name
    shaped = [
        reader.outputs[0]
        for reader in planner.graph.consumers(name)
        if has(reader, Trait.KEEPS_ORDER) and planner.map_lengths(reader.outputs[0])
    ]
    windows = [
        each for each in shaped if any(has(reader, Trait.WINDOW) for reader in planner.graph.consumers(each))
    ]
    return windows[0] if windows else ""


def _rounding(planner: "Planner", name: str) -> Step:
    encoding, form = planner.encoding(name), planner.layout.form(name)
    step, (low, high, base) = float(encoding.integer_scale()[0]), level_range(encoding, form)
    if form == "bytes" and encoding.rounding == "even":
        return EncodeAffine(step, float(-low), float(high - low))
    return Round(form, ROUNDING_RULES[encoding.rounding], step, low, high, base)


def decode(planner: "Planner", node: Node) -> None:
    """Add the step of a ``Decode``."""
    name = node.inputs[0]
    encoding, form = planner.encoding(name), planner.layout.form(name)
    entries, levels = entries_of_code(encoding, form, name), encoding.decode(np.arange(1 << encoding.bits))
    least = int(entries.min()) if form == "words" else 0
    table = np.zeros(256 if form == "bytes" else int(entries.max()) - least + 1, np.float32)
    table[entries - least] = levels
    planner.add_elementwise(node, DecodeWords(least, table) if form == "words" else Decode(table))


def look_up(planner: "Planner", node: Node) -> None:
    """Add the step of a ``FixedLookup``: its table, in the forms of its input and output."""
    map_codes(planner, node, planner.graph.constant(node.inputs[1]))


def map_codes(planner: "Planner", node: Node, result: Array) -> None:
    """Add the step of an operator that makes a code of each code of its first input.

    Args:
        planner: of the node's graph.
        node: elementwise.
        result: the output's code by the input's.
    """
    form, target = (planner.layout.form(name) for name in (node.inputs[0], node.outputs[0]))
    entries, made = (_entries(planner, name) for name in (node.inputs[0], node.outputs[0]))
    least = int(entries.min()) if form == "words" else 0
    table = np.zeros(int(entries.max()) - least + 1 if form == "words" else 256, np.uint16)
    table[entries - least] = made[result.astype(np.intp)].astype(np.int16).view(np.uint16)
    if form == target == "bytes":
        planner.add_elementwise(node, LookUp(table.astype(np.uint8)))
    else:
        planner.add_elementwise(node, LookUpEntries(target, least, table))


def _entries(planner: "Planner", name: str) -> npt.NDArray[np.int64]:
    return entries_of_code(planner.encoding(name), planner.layout.form(name), name)


def add(planner: "Planner", node: Node) -> None:
    """Add the step of a ``FixedAdd``: a sum of levels, rounded and saturated once."""
    if not all(planner.computed(name) for name in node.inputs):
        planner.refuse(node, "a sum of codes and a constant")
    target = planner.encoding(node.outputs[0])
    low, high = saturation(target, str(node.attributes.get("activation", "none")))
    planner.add_codes(node, AddWords(SHIFT_RULES[target.rounding], _shift(planner, node), low, high))


def average(planner: "Planner", node: Node, window: Window, *, count_all: bool) -> None:
    """Add the step of a mean of fixed-point codes over windows: exact, rounded and saturated once."""
    target = planner.encoding(node.outputs[0])
    low, high = saturation(target, "none")
    rule, shift = SHIFT_RULES[target.rounding], _shift(planner, node)
    planner.add_map(node, AverageWords(*window, count_all, rule, shift, low, high))


def _shift(planner: "Planner", node: Node) -> int:
    """Return how many bits a node's output has less behind the point than what it reads."""
    source, target = (planner.encoding(name) for name in (node.inputs[0], node.outputs[0]))
    shift = shift_between(source.integer_scale(), float(target.integer_scale()[0]))
    assert shift is not None  # both are of fixed point
    return shift
