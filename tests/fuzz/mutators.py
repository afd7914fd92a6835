"""Good model files of every format, and mutations of them: of bytes, of fields, of parts."""

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from lowbit.errors import LowbitError
from lowbit.formats import write_model
from lowbit.formats.circle.model_file import read_model as read_tables
from lowbit.formats.circle.schema import CIRCLE, TFLITE
from lowbit.formats.flatbuffer_writer import write_flatbuffer
from lowbit.ir import Graph
from tests.formats import networks
from tests.formats.onnx.networks import mixed_network
from tests.ir.networks import (
    Convolution,
    float_convnet,
    float_mlp,
    lowbit_convnet,
    lowbit_mlp,
    weight_only_convnet,
    weight_only_mlp,
    with_powers,
)

SUFFIXES = (".circle", ".onnx", ".tflite", ".txt")
INTEGERS = (0, 1, -1, 2, 3, 7, 255, 256, 65535, 1 << 20, (1 << 31) - 1, -(1 << 31), 1 << 40, (1 << 63) - 1)
REALS = (0.0, -1.0, 1e30, 1e-40, float("nan"), float("inf"))

NETWORKS: dict[str, Callable[[], Graph]] = {
    "float": lambda: float_mlp((9, 7, 4)),
    "float maps": lambda: float_convnet(2),
    "learned basis": lambda: lowbit_mlp((33, 9, 4), 2, 3, weight_offset=True),
    "learned basis, maps": lambda: lowbit_convnet((3, 6, 5), (Convolution(5), Convolution(4)), classes=3),
    "powers of two": lambda: with_powers(lowbit_mlp((33, 9, 4), 3, 3), 4),
    "affine": lambda: networks.affine_mlp((9, 5, 3)),
    "mixed": lambda: mixed_network("tanh"),
    "weights": lambda: weight_only_mlp((33, 9, 4)),
    "weights, maps": lambda: weight_only_convnet((3, 6, 5), (Convolution(4), Convolution(2))),
}


def good_files() -> dict[str, bytes]:
    """Return the files of all networks in all formats that can hold them, by network and suffix."""
    found = {}
    with TemporaryDirectory() as folder:
        for name, make in NETWORKS.items():
            graph = make()
            for suffix in SUFFIXES:
                path = Path(folder) / f"model{suffix}"
                try:
                    write_model(graph, path)
                except LowbitError:
                    continue  # not every format holds every network
                found[name + suffix] = path.read_bytes()
    return found


def mutate(content: bytes, suffix: str, generator: random.Random) -> bytes:
    """Return the file with a few bytes, a field or a part changed."""
    change = generator.choice((_cut, _flip, _word, _repeat, _remove, *[_FIELDS[suffix]] * 6))
    return change(content, generator)


def _cut(content: bytes, generator: random.Random) -> bytes:
    return content[: generator.randrange(len(content))]


def _flip(content: bytes, generator: random.Random) -> bytes:
    bad = bytearray(content)
    for _ in range(generator.randint(1, 8)):
        bad[_place(content, generator)] ^= 1 << generator.randrange(8)
    return bytes(bad)


def _word(content: bytes, generator: random.Random) -> bytes:
    bad, at = bytearray(content), _place(content, generator) & ~3
    bad[at : at + 4] = (generator.choice(INTEGERS) & 0xFFFFFFFF).to_bytes(4, "little")
    return bytes(bad)


def _repeat(content: bytes, generator: random.Random) -> bytes:
    at, length = _place(content, generator), generator.choice((1, 4, 16, 200, 5000))
    return content[:at] + content[at : at + length] * generator.randint(2, 3) + content[at:]


def _remove(content: bytes, generator: random.Random) -> bytes:
    at = _place(content, generator)
    return content[:at] + content[at + generator.choice((1, 4, 16, 200)) :]


def _place(content: bytes, generator: random.Random) -> int:
    """Return where to change: tables are small beside weights, and mostly meant."""
    return generator.randrange(len(content) if generator.random() < 0.3 else min(len(content), 1500))


def _circle_field(content: bytes, generator: random.Random) -> bytes:
    """Change one field of the tables, or repeat one table."""
    tables = read_tables(content, "good")
    identifier = TFLITE if content[4:8] == TFLITE else CIRCLE
    for _ in range(20):
        try:
            return bytes(write_flatbuffer(_changed(tables, generator), identifier))
        except Exception:  # noqa: S112 - what the format cannot even hold is drawn again
            continue
    return content


def _changed(thing: Any, generator: random.Random) -> Any:
    """Return a copy of nested tables with one leaf or one part changed."""
    if is_dataclass(thing) and not isinstance(thing, type):
        field = generator.choice([field.name for field in fields(thing)])
        return replace(thing, **{field: _changed(getattr(thing, field), generator)})
    if isinstance(thing, tuple) and thing:
        at, rest = generator.randrange(len(thing)), list(thing)
        kind = generator.random()
        if kind < 0.1:
            return (*rest, rest[at])
        if kind < 0.2:
            return tuple(rest[:at] + rest[at + 1 :])
        if kind < 0.3:
            rest[at] = generator.choice(rest)
            return tuple(rest)
        rest[at] = _changed(rest[at], generator)
        return tuple(rest)
    if isinstance(thing, np.ndarray) and thing.size:
        bad = thing.copy()
        bad.reshape(-1)[generator.randrange(bad.size)] = generator.choice((0, 1, 127, 255))
        return generator.choice((bad, bad[:-1], np.concatenate([bad, bad])))
    return _leaf(thing, generator)


def _leaf(thing: Any, generator: random.Random) -> Any:
    if isinstance(thing, bool):
        return not thing
    if isinstance(thing, int):
        return generator.choice((*INTEGERS, thing + 1, thing - 1))
    if isinstance(thing, float):
        return generator.choice(REALS)
    if isinstance(thing, str):
        return generator.choice(("", thing + "x", thing * 2, "\x1b]0;x\x07", "\u202e", "lowbit"))
    return generator.choice((thing, 0, (), None))


def _onnx_field(content: bytes, generator: random.Random) -> bytes:
    """Change one field of the messages, or repeat or remove one message."""
    from onnx import ModelProto

    model = ModelProto.FromString(content)
    messages = list(_messages(model))
    for _ in range(20):
        message = generator.choice(messages)
        present = message.ListFields()
        if not present:
            continue
        field, value = generator.choice(present)
        try:
            _change_field(message, field, value, generator)
            return bytes(model.SerializeToString())
        except (ValueError, TypeError, OverflowError):
            continue
    return content


def _messages(message: Any) -> Iterator[Any]:
    """Yield a message and all messages inside it."""
    yield message
    for field, value in message.ListFields():
        if field.message_type is not None:
            for inner in value if hasattr(value, "__len__") else [value]:
                yield from _messages(inner)


def _change_field(message: Any, field: Any, value: Any, generator: random.Random) -> None:
    if not hasattr(value, "append") and not hasattr(value, "add"):
        if field.message_type is not None:
            message.ClearField(field.name)
        elif isinstance(value, bytes):
            setattr(message, field.name, generator.choice((b"", value[:-1], value * 2, b"\xff" * len(value))))
        else:
            setattr(message, field.name, _leaf(value, generator))
        return
    kept = list(value)
    at = generator.randrange(len(kept))
    kind = generator.randrange(4)
    if kind == 0:
        kept.append(kept[at])
    elif kind == 1:
        del kept[at]
    elif kind == 2:
        kept[at] = generator.choice(kept)
    elif field.message_type is None:
        kept[at] = _leaf(kept[at], generator)
    copies = [
        type(item).FromString(item.SerializeToString()) if field.message_type else item for item in kept
    ]
    message.ClearField(field.name)
    getattr(message, field.name).extend(copies)


def _text_field(content: bytes, generator: random.Random) -> bytes:
    """Change one field of one line, or repeat, remove or move a line."""
    lines = content.decode().splitlines()
    at = generator.randrange(1, len(lines))
    kind = generator.randrange(6)
    if kind == 0:
        lines.insert(generator.randrange(1, len(lines)), lines[at])
    elif kind == 1:
        del lines[at]
    elif kind == 2:
        lines.append(lines.pop(at))
    else:
        words = lines[at].split(" ")
        word = generator.randrange(1, len(words)) if len(words) > 1 else 0
        words[word] = _text_word(words[word], generator)
        lines[at] = " ".join(words)
    return ("\n".join(lines) + "\n").encode()


def _text_word(word: str, generator: random.Random) -> str:
    """Return another word: of the same kind where it is JSON by itself, else anything."""
    stem = word.strip("[]{},:")
    try:
        other = json.dumps(_leaf(json.loads(stem), generator))
    except ValueError:
        other = generator.choice(("[[[[", "{}", "null", "true", "-1", '""', "1e999", "9" * 40, "[" * 3000))
    return word.replace(stem, other, 1) if stem else other


_FIELDS: dict[str, Callable[[bytes, random.Random], bytes]] = {
    ".circle": _circle_field,
    ".tflite": _circle_field,
    ".onnx": _onnx_field,
    ".txt": _text_field,
}
