"""Program files: one declaration on both sides, the results of the planned network, and no byte trusted."""

import pickle  # noqa: TID251 - its own
import struct
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lowbit
from lowbit.engine import Program, _core
from lowbit.engine.by_shape import ProgramByShape
from lowbit.errors import (
    EngineError,
    FileError,
    LowbitError,
    ModelFormatError,
    TooLargeError,
    UnsupportedError,
    UsageError,
    WriteError,
)
from lowbit.formats import PROGRAM, read_model
from lowbit.ir import Graph
from lowbit.program import file, lengths_to_fix, planner, steps
from lowbit.targets import TARGETS, target_of
from tests.backends.test_backends import drawn
from tests.conformance.odd_graphs.families import FAMILIES
from tests.fuzz.mutators import NETWORKS
from tests.fuzz.program_mutations import mutated, rehashed
from tests.ir.networks import Convolution, float_mlp, lowbit_convnet, lowbit_mlp


def test_python_and_the_core_declare_the_same_records() -> None:
    assert {file.line_of(kind) for kind in file.declared()} == set(_core.file_lines())
    assert len(_core.file_lines()) == len(set(_core.file_lines()))


def _rows(graph: Graph) -> int | None:
    """Return how many samples a run may have; None for any number."""
    program = Program(graph)
    first = program.inputs[0].shape[:1]
    return None if program.by_rows else first[0] if first and isinstance(first[0], int) else 1


def same(graph: Graph, inputs: list[np.ndarray]) -> None:
    """Check that a file runs and traces as the planned network does."""
    planned, opened = Program(graph), Program.open(file.content_of(graph))
    if isinstance(planned, ProgramByShape):  # where samples are not each other's, a file has one of them
        planned = planned.at(*inputs)
    else:
        assert opened.by_rows == planned.by_rows
    ends = [
        [(port.name, port.dtype, port.lengths) for port in one.inputs + one.outputs]
        for one in (planned, opened)
    ]
    assert ends[0] == ends[1]
    assert opened.kernels == planned.kernels and opened.metadata == graph.metadata
    given = [inputs[graph.inputs.index(port.name)] for port in opened.inputs]
    for found, wanted in zip(_listed(opened.run(*given)), _listed(planned.run(*inputs)), strict=True):
        np.testing.assert_array_equal(found, wanted)
        assert found.dtype == wanted.dtype
    traced, wanted_trace = opened.trace(*given), planned.trace(*inputs)
    assert traced.keys() == wanted_trace.keys()
    for name, array in wanted_trace.items():
        np.testing.assert_array_equal(traced[name], array, err_msg=name)
        assert traced[name].dtype == array.dtype and traced[name].shape == array.shape


def _listed(made: object) -> list[np.ndarray]:
    return list(made) if isinstance(made, tuple) else [made]


@pytest.mark.parametrize("name", NETWORKS)
def test_a_file_is_the_network(name: str) -> None:
    graph = NETWORKS[name]()
    shape = graph.value(graph.inputs[0]).shape[1:]
    same(graph, [np.random.default_rng(0).normal(size=(3, *shape)).astype(np.float32)])


@pytest.mark.parametrize("family", FAMILIES)
def test_so_is_one_of_every_family(family: str) -> None:
    for graph, samples in drawn(family, 5):
        try:
            content = file.content_of(graph)
        except EngineError:
            if not lengths_to_fix(graph):  # the engine plans such networks when it meets samples
                with pytest.raises(EngineError):
                    Program(graph)
            continue
        program = Program.open(content)
        pairs = zip(samples, program.inputs, strict=False)
        typed = [np.asarray(array[: _rows(graph)], port.dtype) for array, port in pairs]
        if len(typed) == len(graph.inputs):
            same(graph, typed)


def test_what_files_hold_is_the_same_everywhere_and_equal_arrays_are_one() -> None:
    graph = lowbit_mlp((65, 33, 10), 2, 2)
    content = file.content_of(graph)
    assert content == file.content_of(graph.copy())
    magic, version, zero, size, sections, records = file.HEADER.unpack_from(content)
    assert (magic, version, zero, size) == (PROGRAM, 1, 0, len(content)) and records and sections
    assert content[32:64] == blake2b(content[:32] + content[64:], digest_size=32).digest()
    entries = [file.SECTION.unpack_from(content, 64 + 64 * n) for n in range(sections)]
    assert all(offset % 64 == 0 for _, offset, *_ in entries)
    assert (
        len({(kind, content[at : at + count], *lengths) for kind, at, count, *lengths in entries}) == sections
    )


def test_loading_it_needs_no_planner_and_pickles_as_a_file(tmp_path: Path) -> None:
    graph = lowbit_mlp((65, 33, 10), 2, 2)
    path = tmp_path / "net.lbp"
    TARGETS["program"].write(graph, path)
    x = np.random.default_rng(0).normal(size=(3, 65)).astype(np.float32)
    wanted = Program(graph).run(x)
    program = lowbit.load(path)
    for again in (program, pickle.loads(pickle.dumps(program)), lowbit.load(path.read_bytes())):  # noqa: S301
        np.testing.assert_array_equal(again.run(x), wanted)
    with pytest.raises(UnsupportedError, match=r"lowbit\.load"):
        read_model(path)


def test_other_targets_and_places_are_refused_before_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, path in (("", "net.bin"), ("wasm", "net.lbp"), ("program", "net.c"), ("", "net")):
        with pytest.raises(UsageError, match="program"):
            target_of(name, path)
    with pytest.raises(WriteError):
        file.write(lowbit_mlp(), tmp_path / "missing" / "net.lbp")
    known = planner.lowering_of
    monkeypatch.setattr(
        planner, "lowering_of", lambda graph, node: known(graph, node) if node.op != "Tanh" else None
    )
    with pytest.raises(EngineError, match="2 × Tanh"):
        TARGETS["program"].write(float_mlp((9, 7, 5, 4)), tmp_path / "net.lbp")
    assert list(tmp_path.iterdir()) == []


def test_the_command_writes_one(tmp_path: Path) -> None:
    lowbit.write(lowbit_mlp((65, 33, 10), 2, 2), tmp_path / "net.circle")
    command = [sys.executable, "-m", "lowbit", "compile", "net.circle", "-o", "net.lbp", "--json"]
    done = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True)
    assert '"target": "program"' in done.stdout and lowbit.load(tmp_path / "net.lbp").run


# Bad input.

GOOD = file.content_of(lowbit_mlp((33, 9, 4), 2, 3, weight_offset=True))


def refused(content: bytes, kind: type[LowbitError], what: str) -> None:
    with pytest.raises(kind, match=what) as caught:
        Program.open(content)
    assert "bytes" in caught.value.where


def test_every_cut_is_refused() -> None:
    for length in range(0, len(GOOD), 7):
        refused(GOOD[:length], ModelFormatError, "program file")
    refused(GOOD + b"\0", ModelFormatError, "damaged")


def test_every_changed_byte_is_refused() -> None:
    for at in range(0, len(GOOD), 11):
        changed = bytearray(GOOD)
        changed[at] ^= 0x10
        with pytest.raises((ModelFormatError, UnsupportedError)):
            Program.open(bytes(changed))


def test_another_version_is_unsupported_and_not_damaged() -> None:
    changed = bytearray(GOOD)
    struct.pack_into("<I", changed, 8, 2)
    refused(bytes(changed), UnsupportedError, "another version")


@dataclass(frozen=True)
class Clip:
    """A step of another version."""

    low: float
    high: float
    soft: bool


@dataclass(frozen=True)
class Bend:
    """One that there is not."""


@pytest.mark.parametrize(
    ("step", "what"),
    [
        (Clip(0.0, 1.0, True), "other fields"),
        (Bend(), "does not know"),
        (steps.Activate("cubic", sources=(0,)), "does not know"),  # type: ignore[arg-type]
    ],
)
def test_steps_of_another_version_are_unsupported_by_name(step: Any, what: str) -> None:
    none = np.zeros(0, np.uint16)
    planned = file.PlannedStep((0,), step, "y", "float32", (3,), 0, none, "")
    x, y = (file.Port(name, "float32", ("n", "3"), (3,)) for name in "xy")
    network = file.Network("net", (x,), (y,), (planned,), (1,), True, True, ())
    with pytest.raises(UnsupportedError, match=what) as caught:
        Program.open(file._Writer().content(network))
    assert "steps" in caught.value.where


def test_memory_is_counted() -> None:
    with pytest.raises(TooLargeError):
        Program.open(GOOD, memory=1000)
    with pytest.raises(EngineError, match="threads"):
        Program.open(GOOD, threads=0)
    with pytest.raises(EngineError, match="no such kernel level"):
        Program.open(GOOD, kernels="avx9000")
    with pytest.raises(FileError):
        Program.open("/nowhere/net.lbp")


MAKERS: list[Callable[[], Graph]] = [
    lambda: float_mlp((9, 7, 4)),
    lambda: lowbit_mlp((33, 9, 4), 2, 3, weight_offset=True),
    lambda: lowbit_convnet((3, 6, 5), (Convolution(5), Convolution(4)), classes=3),
]


@pytest.mark.parametrize("make", MAKERS)
def test_what_is_hashed_again_is_still_checked(make: Callable[[], Graph]) -> None:
    """An attacker can hash as well: everything behind the hash is checked by itself."""
    good = file.content_of(make())
    assert rehashed(good) == good
    outcomes = {True: 0, False: 0}
    for seed in range(300):
        try:
            program = Program.open(mutated(good, seed), memory=1 << 26)
            shapes = [(1, *port.lengths) for port in program.inputs]
            if program.memory.arena < 1 << 20 and all(port.dtype == "float32" for port in program.inputs):
                program.run(*(np.ones(shape, np.float32) for shape in shapes))
            outcomes[True] += 1
        except LowbitError:
            outcomes[False] += 1
    assert all(count > 20 for count in outcomes.values()), outcomes
