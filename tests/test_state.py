"""State is read by one reader: what is damaged, of another kind or too deep is one error."""

import json

import pytest

from lowbit.errors import ModelFormatError
from lowbit.state import canonical, digest, entry, parsed

DAMAGED = (
    b"",
    b"{",
    b"\xff\xfe",
    b"[1]",
    b"3",
    b"null",
    b'"text"',
    b"{'a': 1}",
    b"[" * 100_000,
    b'{"a":' * 100_000,
    b'{"a":' * 101 + b"1" + b"}" * 101,
    b'{"a":' + b"9" * 5000 + b"}",
)


@pytest.mark.parametrize("content", DAMAGED, ids=lambda content: content[:12])
def test_what_is_no_state_is_one_error(content: bytes) -> None:
    with pytest.raises(ModelFormatError, match=r"BAD-FILE run/x\.json: this is no result.*Make it again\."):
        parsed(content, "run/x.json", "result", "Make it again.")


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        *(("text", int), ("true", int), ("real", int), ("less", int), ("huge", float), ("nan", float)),
        *(("infinite", float), ("list", dict), ("none", str), ("missing", float)),
    ],
)
def test_entries_have_their_kind(name: str, kind: type) -> None:
    values = {"text": "1", "true": True, "real": 1.5, "less": -1, "huge": 10**400, "list": [], "none": None}
    values |= {"nan": float("nan"), "infinite": float("inf")}
    with pytest.raises(ModelFormatError, match=f"the entry {name} does not fit"):
        entry(values, name, kind, "x.json")


def test_entries_that_fit() -> None:
    made = parsed(b'{"epoch": 3, "wall_s": 4, "name": "a"}', "x", "result")
    assert entry(made, "epoch", int, "x") == 3 and entry(made, "name", str, "x") == "a"
    assert type(entry(made, "wall_s", float, "x")) is float


def test_a_checksum_depends_on_content_not_on_spelling() -> None:
    one, other = {"a": 1, "b": [1.5]}, json.loads('{ "b":[1.50], "a":1 }')
    assert canonical(one) == canonical(other) and digest(one) == digest(other)
    assert len({digest(b"ab", b"c"), digest(b"a", b"bc"), digest(b"abc"), digest("abc")}) == 4
