"""The text form is exact, stable, and refuses what it cannot read with the line."""

import numpy as np
import pytest

from lowbit.errors import ModelFormatError, TooLargeError
from lowbit.ir import evaluate, from_text, to_text, verify
from lowbit.ir.text import MAX_LINES, MAX_NODES
from tests.ir.networks import float_mlp, lowbit_mlp


@pytest.mark.parametrize("graph", [float_mlp(), lowbit_mlp(), lowbit_mlp((33, 5), 3, 4, weight_offset=True)])
def test_round_trip_is_exact(graph) -> None:
    text = to_text(graph)
    again = from_text(text)
    verify(again)
    assert to_text(again) == text
    x = np.random.default_rng(1).normal(size=(4, graph.value("x").shape[1])).astype(np.float32)
    assert np.array_equal(evaluate(again, {"x": x})["y"], evaluate(graph, {"x": x})["y"])


def test_names_with_quotes_and_lines_survive() -> None:
    graph = float_mlp()
    graph.metadata['a "b"\n'] = "c\\\u2028"
    assert from_text(to_text(graph)).metadata == graph.metadata


def test_without_constants_it_is_short_and_refused() -> None:
    text = to_text(lowbit_mlp(), constants=False)
    assert "sha256:" in text and "base64:" not in text
    with pytest.raises(ModelFormatError, match="data was left out"):
        from_text(text)


GOOD = to_text(float_mlp((2, 1)))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('value "x" float32 ["n", 2]', "name is empty or taken"),
        ('value "z" float31 [2]', "unknown dtype 'float31'"),
        ('value "z" float32 [-2]', "bad shape"),
        ('constant "z" float32 [3] null [1, 2]', "reshape"),
        ('constant "z" float32 [1] null "base64:*"', "bad base64"),
        ('constant "z" code [1] {"scheme": "magic"} [1]', "unknown scheme"),
        ('node "z" Tanh ["x"] "y" {}', "fields that do not fit"),
        ("nonsense", "unknown kind of line"),
        ('constant "z" uint8 [1] null [300]', "out of the range of uint8"),
        ('constant "z" uint8 [1] null [-1]', "out of the range of uint8"),
        ('constant "z" int32 [1] null [1.5]', "float64 where int32"),
        ('constant "z" bool [1] null [5]', "int64 where bool"),
        ('constant "z" int64 [1] null [18446744073709551616]', "object where int64"),
        ('constant "z" float32 [1] null [1e300]', "overflow"),
        ('constant "z" float32 [1] null [NaN]', "NaN is no number"),
        ('constant "z" float32 [2] null [[1, 2], [3]]', "inhomogeneous"),
        ('constant "z" float32 [1] null ["1"]', "where float32"),
        ('constant "z" float32 [1] null ' + "[" * 100_000, "recursion"),
        ('constant "z" code [1] [1] [1]', "unknown scheme"),
        ('constant "z" code [1] {"scheme": ["affine"]} [1]', "unknown scheme"),
        (
            'constant "z" code [1] {"scheme": "affine", "bits": 2, "scale": 1, "zero_point": 2} [1]',
            "cannot be read",
        ),
        (
            'constant "z" code [1] {"scheme": "affine", "bits": 2, "scale": [1], "zero_point": [2]} [1]',
            "cannot be",
        ),
        ('value "z" float32 [true]', "bad shape"),
        ('value "z" float32 [1, 1, 1, 1, 1, 1, 1, 1, 1]', "bad shape"),
        ('node "z" Tanh ["x"] ["y"] {"a": {}}', "attribute 'a'"),
        ('node "z" Tanh ["x"] ["y"] {"a": [1, "b"]}', "attribute 'a'"),
        ('node "z" Tanh ["x"] ["y"] {"a": 1e999}', "attribute 'a'"),
        ('graph "unclosed', "Unterminated string"),
    ],
)
def test_a_bad_line_is_named(line: str, message: str) -> None:
    number = len(GOOD.splitlines()) + 1
    with pytest.raises(ModelFormatError, match=f"(?s)net.txt:{number}: .*{message}"):
        from_text(GOOD + line + "\n", "net.txt")


@pytest.mark.parametrize(
    ("line", "count", "what"),
    [('node "z" Tanh ["x"] ["y"] {}', MAX_NODES + 1, "too many nodes"), ("#", MAX_LINES, "too many lines")],
)
def test_a_network_has_an_end(line: str, count: int, what: str) -> None:
    with pytest.raises(TooLargeError, match=what):
        from_text("lowbit 1\n" + f"{line}\n" * count)


def test_a_foreign_file_is_refused() -> None:
    with pytest.raises(ModelFormatError, match="not a lowbit text file"):
        from_text("hello")
