"""Operators that call other graphs of a file, and variables: read in the place of the call.

    STABLEHLO_COMPOSITE   the graph that it stands for
    IF                    the branch of a condition that is known, else both, and a choice of their results
    WHILE                 as many rounds as its condition, worked out, asks for
    CALL_ONCE             what it gives variables, which are constants where nothing else writes to them

A loop whose condition depends on an input has no form in a graph, and neither has a variable that a run
leaves behind for the next one.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from lowbit.formats.circle.file_tensors import unsupported
from lowbit.formats.circle.foreign_options import (
    CallOnceOptions,
    CompositeOptions,
    IfOptions,
    VarHandleOptions,
    WhileOptions,
)
from lowbit.formats.circle.functions import operand
from lowbit.formats.circle.importer import Importer
from lowbit.formats.circle.schema import Operator
from lowbit.formats.circle.structure import Structure, require
from lowbit.ir.graph import Array

MAX_CALLED = 5_000
"""Operators that calls may add in all."""

MAX_DEPTH = 32

Run = Callable[[Structure, tuple[Operator, ...]], None]


class Calls:
    """Reads operators that call graphs.

    Attributes:
        importer: of the main graph.
        run: appends operators of a graph whose tensors have become the importer's.
    """

    def __init__(self, importer: Importer, run: Run) -> None:
        self.importer, self.run = importer, run
        self._depth = self._count = 0
        self._handles: dict[int, str] = {}
        self._variables: dict[str, Array] = {}

    def append(self, name: str, operator: Operator, structure: Structure, place: str) -> None:
        """Append what an operator stands for."""
        match operator.builtin_options or operator.builtin_options_2:
            case CompositeOptions(decomposition_subgraph_index=number):
                self._give(operator, self._inlined(structure, number, operator.inputs, place), place)
            case IfOptions():
                self._if(operator, operator.builtin_options, structure, place)
            case WhileOptions():
                self._while(operator, operator.builtin_options, structure, place)
            case CallOnceOptions(init_subgraph_index=number):
                self._initialize(structure.called[number])
            case VarHandleOptions(shared_name=text):
                self._handles[operator.outputs[0]] = text
            case _:
                self._read(name, operator, place)

    def _if(self, operator: Operator, options: IfOptions, structure: Structure, place: str) -> None:
        known = self.importer.constant(operator.inputs[0])
        branches = (options.then_subgraph_index, options.else_subgraph_index)
        if known is not None and known.size == 1:
            chosen = branches[0] if bool(known.reshape(-1)[0]) else branches[1]
            self._give(operator, self._inlined(structure, chosen, operator.inputs[1:], place), place)
            return
        results = [self._inlined(structure, number, operator.inputs[1:], place) for number in branches]
        condition = self.importer.value(operator.inputs[0])
        for at, output in enumerate(operator.outputs):
            require(all(at < len(found) for found in results), "a result is missing", place, at + 1, "less")
            first, second = (operand(self.importer, found[at], False, place) for found in results)
            self.importer.compute("Where", (condition, first, second), output)

    def _while(self, operator: Operator, options: WhileOptions, structure: Structure, place: str) -> None:
        state = operator.inputs
        while True:
            found = self._inlined(structure, options.cond_subgraph_index, state, place)
            require(len(found) == 1, "a condition has the wrong number of results", place, 1, len(found))
            known = self.importer.constant(found[0])
            if known is None or known.dtype == object or known.size != 1:
                what = "a loop whose rounds depend on an input"
                raise unsupported(what, place, "a number of rounds that follows from the file", "WHILE")
            if not bool(known.reshape(-1)[0]):
                break
            state = self._inlined(structure, options.body_subgraph_index, state, place)
        self._give(operator, state, place)

    def _give(self, operator: Operator, found: tuple[int, ...], place: str) -> None:
        wanted = len(operator.outputs)
        require(len(found) == wanted, "a graph has the wrong number of results", place, wanted, len(found))
        for index, other in zip(operator.outputs, found, strict=True):
            self.importer.stand_for(index, other)

    def _inlined(
        self, structure: Structure, number: int, operands: tuple[int, ...], place: str
    ) -> tuple[int, ...]:
        """Append a graph that is called, and return the numbers of its results among all tensors."""
        called = structure.called[number]
        subgraph = called.subgraph
        count = len(subgraph.inputs)
        require(count == len(operands), "a call has the wrong number of inputs", place, count, len(operands))
        self._count += 1 + len(subgraph.operators)
        if self._count > MAX_CALLED or self._depth >= MAX_DEPTH:
            found = f"{self._count} operators, {self._depth} deep"
            raise unsupported("calls are too many", place, f"at most {MAX_CALLED}, {MAX_DEPTH} deep", found)
        first = self.importer.include(subgraph.tensors, called.constants)
        named = dict(zip(subgraph.inputs, operands, strict=True))

        def among(indices: tuple[int, ...]) -> tuple[int, ...]:
            return tuple(named.get(index, first + index if index >= 0 else -1) for index in indices)

        self._depth += 1
        operators = tuple(
            replace(each, inputs=among(each.inputs), outputs=among(each.outputs))
            for each in subgraph.operators
        )
        self.run(called, operators)
        self._depth -= 1
        return among(subgraph.outputs)

    def _initialize(self, structure: Structure) -> None:
        """Note what a graph that runs once gives to variables."""
        handles: dict[int, str] = {}
        for name, operator in zip(structure.operators, structure.subgraph.operators, strict=True):
            if isinstance(operator.builtin_options, VarHandleOptions):
                handles[operator.outputs[0]] = operator.builtin_options.shared_name
            elif name == "ASSIGN_VARIABLE" and operator.inputs[0] in handles:
                data = structure.constants.get(operator.inputs[1])
                if data is not None:
                    self._variables[handles[operator.inputs[0]]] = data

    def _read(self, name: str, operator: Operator, place: str) -> None:
        variable = self._handles.get(operator.inputs[0]) if operator.inputs else None
        data = self._variables.get(variable) if variable is not None else None
        if name != "READ_VARIABLE" or data is None:
            raise unsupported("a variable", place, "one that is set once, to a constant", variable)
        self.importer.folded[operator.outputs[0]] = np.asarray(data)


CALLING = (
    "STABLEHLO_COMPOSITE",
    "IF",
    "WHILE",
    "CALL_ONCE",
    "VAR_HANDLE",
    "READ_VARIABLE",
)
"""Operators that `Calls` reads."""
