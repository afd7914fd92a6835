"""The declared tables match the format's own, and reading undoes writing."""

# ruff: noqa: RUF009 (the defaults are declarations)
from dataclasses import dataclass
from importlib import import_module

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lowbit.formats.circle import schema
from lowbit.formats.flatbuffer import read_flatbuffer
from lowbit.formats.flatbuffer_writer import SHORT_BYTES, write_flatbuffer
from lowbit.formats.tables import array, integers, layout, scalar, string, table, tables, union

TABLES = (
    schema.Model,
    schema.SubGraph,
    schema.Tensor,
    schema.Operator,
    schema.OperatorCode,
    schema.Buffer,
    schema.Metadata,
    schema.QuantizationParameters,
)


@dataclass(frozen=True)
class Leaf:
    number: int = scalar("q", 5)
    text: str = string()


@dataclass(frozen=True)
class Root:
    small: int = scalar("b")
    flag: bool = scalar("?", False)
    real: float = scalar("d", 0.5)
    words: tuple[int, ...] = integers("i")
    wide: tuple[int, ...] = integers("Q", slot=6)
    leaf: Leaf | None = table(Leaf)
    leaves: tuple[Leaf, ...] = tables(Leaf)
    either: object = union({3: Leaf})
    data: np.ndarray | None = array("f", alignment=64)


leaves = st.builds(Leaf, st.integers(-(2**63), 2**63 - 1), st.text(max_size=9))
roots = st.builds(
    Root,
    st.integers(-128, 127),
    st.booleans(),
    st.floats(allow_nan=False),
    st.lists(st.integers(-(2**31), 2**31 - 1), max_size=5).map(tuple),
    st.lists(st.integers(0, 2**64 - 1), max_size=5).map(tuple),
    st.none() | leaves,
    st.lists(leaves, max_size=4).map(tuple),
    st.none() | leaves,
    st.none(),
)


@given(roots)
def test_reading_undoes_writing(root: Root) -> None:
    assert read_flatbuffer(bytes(write_flatbuffer(root, b"TEST")), Root, where="test") == root


@given(roots, st.integers(1, 600))
def test_vectors_are_aligned_views(root: Root, count: int) -> None:
    data = np.arange(count, dtype=np.float32) + 0.5
    content = np.frombuffer(bytes(write_flatbuffer(Root(shift_of(root), data=data), b"TEST")), np.uint8)
    found = read_flatbuffer(content.tobytes(), Root, where="test").data
    assert np.array_equal(found, data, equal_nan=True) and not found.flags.writeable
    wanted = 64 if data.nbytes >= SHORT_BYTES else 16  # short ones are not worth more padding
    assert any(at % wanted == 0 for at in _places(content.tobytes(), data.tobytes()))


@given(roots)
def test_every_byte_is_accounted_for(root: Root) -> None:
    """What is not in a span is zero: padding."""
    content = bytes(write_flatbuffer(root, b"TEST"))
    spans: list[tuple[int, int, str]] = []
    read_flatbuffer(content, Root, where="test", spans=spans)
    covered = np.zeros(len(content), bool)
    covered[:8] = True
    for start, stop, _ in spans:
        covered[start:stop] = True
    assert not np.frombuffer(content, np.uint8)[~covered].any()


OPTIONS = tuple(of for of in schema.OPTIONS.values() if of is not schema.ThesisOptions)


@pytest.mark.parametrize("of", [*TABLES, *OPTIONS])
def test_declared_slots_are_those_of_circle_schema(of: type) -> None:
    """Slots and defaults, against code that was generated from the format's schema."""
    pytest.importorskip("circle_schema", reason="pip install circle-schema")
    generated = import_module(f"circle_schema.v0_10.circle.{of.__name__}")
    for field in layout(of):
        title = "".join(part.capitalize() for part in field.name.split("_"))
        recorder = _Recorder()
        getattr(generated, f"{of.__name__}Add{title}")(recorder, 0)
        slot = field.slot + (field.stored.shape == "union")
        assert recorder.slots == [(slot, field.default if field.stored.shape == "scalar" else 0)], field.name


@pytest.mark.parametrize(
    ("ours", "theirs"), [("TENSOR_TYPES", "TensorType"), ("OPERATORS", "BuiltinOperator")]
)
def test_codes_are_those_of_circle_schema(ours: str, theirs: str) -> None:
    pytest.importorskip("circle_schema", reason="pip install circle-schema")
    codes = vars(getattr(import_module(f"circle_schema.v0_10.circle.{theirs}"), theirs))
    assert {name: codes[name.upper()] for name in getattr(schema, ours)} == getattr(schema, ours)


def test_option_tags_are_those_of_circle_schema() -> None:
    pytest.importorskip("circle_schema", reason="pip install circle-schema")
    from circle_schema.v0_10.circle.BuiltinOptions import BuiltinOptions

    tags = {tag: of.__name__ for tag, of in schema.OPTIONS.items() if tag != schema.THESIS_OPERATOR}
    assert tags == {getattr(BuiltinOptions, name): name for name in tags.values()}


class _Recorder:
    """Stands for a builder: notes the slot and default of every field that is added."""

    def __init__(self) -> None:
        self.slots: list[tuple[int, float]] = []

    def __getattr__(self, name: str) -> object:
        return lambda slot, _, default: self.slots.append((slot, default))


def shift_of(root: Root) -> int:
    """Return something that shifts what follows, so that alignment is not luck."""
    return root.small


def _places(content: bytes, part: bytes) -> list[int]:
    return [at for at in range(len(content) - len(part) + 1) if content[at : at + len(part)] == part]
