"""The text form of a graph: one line per thing, stable, read and written.

    lowbit 1
    graph "mlp"
    metadata "source" "digits.onnx"
    input "x"
    output "y"
    value "x" float32 ["n", 64]
    value "x_codes" code ["n", 64] {"scheme": "lq", ...}
    constant "fc/bias" float32 [2] null [0.5, -1.0]
    constant "fc/weights" planes [2, 64] {"scheme": "lq", ...} "base64:..."
    node "fc" lowbit.LQFullyConnected ["x_codes", "fc/weights", "fc/bias"] ["y"] {"activation": "tanh"}

Layers are called as `lowbit.ir.operators.layer_names` says. Every field is JSON but for bare words, so
nothing needs quoting rules of its own. Small constants are lists, large ones base64 of their little-endian
bytes; both are exact. For reading by people constants can be left out; such text is refused when read back.
"""

import base64
import binascii
import hashlib
import json
import re
from math import isfinite, prod
from typing import Any, NoReturn

import numpy as np

from lowbit.errors import LowbitError, ModelFormatError, TooLargeError
from lowbit.ir.graph import DTYPES, Array, Attribute, Graph, Node, Value
from lowbit.ir.operators.layer_names import from_file, in_file
from lowbit.planes import word_count
from lowbit.schemes import Encoding, encoding_from_dict

VERSION = 1
MAX_NODES = 10_000
MAX_LINES = 10 * MAX_NODES
MAX_RANK = 8
_LISTED = 64  # constants up to this many elements are printed as lists
_FIELD = re.compile(r"\s*")
_WORD = re.compile(r"[A-Za-z_][\w.]*")
# What a line of a stranger can raise; recursion by brackets in brackets, arithmetic by numbers out of range.
_UNREADABLE = (ValueError, TypeError, KeyError, IndexError, ArithmeticError, RecursionError, LowbitError)


def to_text(graph: Graph, *, constants: bool = True) -> str:
    """Return the text form; equal graphs give equal text.

    Args:
        graph: any graph.
        constants: whether to print the data of large constants; without it, their hash.
    """
    lines = [f"lowbit {VERSION}", f"graph {_json(graph.name)}"]
    lines += [f"metadata {_json(key)} {_json(text)}" for key, text in sorted(graph.metadata.items())]
    lines += [f"input {_json(name)}" for name in graph.inputs]
    lines += [f"output {_json(name)}" for name in graph.outputs]
    lines += [_value_line(value, constants) for _, value in sorted(graph.values.items())]
    lines += [_node_line(in_file(graph, node)) for node in graph.nodes]
    return "\n".join(lines) + "\n"


def from_text(text: str, where: str = "text") -> Graph:
    """Return the graph of a text form; it is not verified yet.

    Raises:
        ModelFormatError: names the line that cannot be read and what it should look like.
        TooLargeError: there are more nodes, or other lines, than a network has.
    """
    lines = text.splitlines()
    if not lines or lines[0].split() != ["lowbit", str(VERSION)]:
        raise ModelFormatError(
            "not a lowbit text file", where=where, expected=f"'lowbit {VERSION}'", found=repr(lines[:1])
        )
    _check_count(lines, where)
    graph = Graph("")
    for number, line in enumerate(lines[1:], 2):
        if line.strip() and not line.startswith("#"):
            try:
                _read_line(graph, line)
            except _UNREADABLE as error:
                raise ModelFormatError(
                    f"cannot read the line: {error}", where=f"{where}:{number}", found=repr(line[:80])
                ) from error
    return graph


def _check_count(lines: list[str], where: str) -> None:
    nodes = sum(line.startswith("node") for line in lines)
    for what, found, most in (("nodes", nodes, MAX_NODES), ("lines", len(lines), MAX_LINES)):
        if found > most:
            raise TooLargeError(f"too many {what}", where=where, expected=f"at most {most}", found=str(found))


def _value_line(value: Value, constants: bool) -> str:
    head = f"{_json(value.name)} {value.dtype} {_json(list(value.shape))}"
    encoding = None if value.encoding is None else value.encoding.to_dict()
    if value.data is None:
        return f"value {head}" + (f" {_json(encoding)}" if encoding else "")
    return f"constant {head} {_json(encoding)} {_json(_data_field(value.data, constants))}"


def _data_field(data: Array, constants: bool) -> object:
    if data.size <= _LISTED:
        return data.tolist()
    raw = np.ascontiguousarray(data).astype(data.dtype.newbyteorder("<"), copy=False).tobytes()
    if not constants:
        return "sha256:" + hashlib.sha256(raw).hexdigest()[:16]
    return "base64:" + base64.b64encode(raw).decode("ascii")


def _node_line(node: Node) -> str:
    op = f"{node.domain}.{node.op}" if node.domain else node.op
    attributes = {name: _attribute_field(node.attributes[name]) for name in sorted(node.attributes)}
    fields = [_json(node.name), op, _json(list(node.inputs)), _json(list(node.outputs)), _json(attributes)]
    return "node " + " ".join(fields)


def _attribute_field(attribute: Attribute) -> object:
    return list(attribute) if isinstance(attribute, tuple) else attribute


def _json(thing: object) -> str:
    return json.dumps(thing, ensure_ascii=True)


def _read_line(graph: Graph, line: str) -> None:
    kind, *fields = _fields(line)
    match kind, fields:
        case "graph", [str(name)]:
            graph.name = name
        case "metadata", [str(key), str(value)]:
            graph.metadata[key] = value
        case "input", [str(name)]:
            graph.inputs += (name,)
        case "output", [str(name)]:
            graph.outputs += (name,)
        case "value", [str(name), str(dtype), list(shape), *encoding]:
            graph.add(_read_value(name, dtype, shape, encoding[0] if encoding else None, None))
        case "constant", [str(name), str(dtype), list(shape), encoding, data]:
            graph.add(_read_value(name, dtype, shape, encoding, data))
        case "node", [str(name), str(op), list(inputs), list(outputs), dict(attributes)]:
            graph.nodes.append(_read_node(name, op, inputs, outputs, attributes))
        case _:
            raise ValueError("unknown kind of line, or fields that do not fit it")


def _fields(line: str) -> list[Any]:
    """Return bare words and JSON values, separated by spaces."""
    decoder, fields, at = json.JSONDecoder(parse_constant=_no_number), [], 0
    while at < len(line.rstrip()):
        at = _FIELD.match(line, at).end()  # type: ignore[union-attr]
        word = _WORD.match(line, at)
        if word and word.group() not in ("null", "true", "false"):
            fields.append(word.group())
            at = word.end()
        else:
            field, at = decoder.raw_decode(line, at)
            fields.append(field)
    return fields


def _no_number(word: str) -> NoReturn:
    raise ValueError(f"{word} is no number of a network")


def _read_value(name: str, dtype: str, shape: list[Any], encoding: Any, data: Any) -> Value:
    if dtype not in DTYPES:
        raise ValueError(f"unknown dtype {dtype!r}")
    if len(shape) > MAX_RANK or not all(isinstance(length, str) or _is_length(length) for length in shape):
        raise ValueError(f"bad shape {shape!r}")
    meaning = None if encoding is None else encoding_from_dict(encoding)
    array = None if data is None else _read_data(dtype, shape, meaning, data)
    return Value(name, dtype, tuple(shape), array, meaning)


def _is_length(length: object) -> bool:
    return isinstance(length, int) and not isinstance(length, bool) and 0 <= length < 2**63


def _read_data(dtype: str, shape: list[Any], encoding: Encoding | None, data: Any) -> Array:
    kind = DTYPES[dtype]
    stored = tuple(int(length) for length in shape)
    if dtype == "planes" and encoding is not None:
        stored = (*stored[:1], encoding.bits, word_count(prod(stored[1:])))
    if isinstance(data, list | int | float):
        return _listed(data, kind).reshape(stored)
    if not isinstance(data, str) or not data.startswith("base64:"):
        raise ValueError("the constant's data was left out of this text")
    try:
        raw = base64.b64decode(data.removeprefix("base64:"), validate=True)
    except binascii.Error as error:
        raise ValueError(f"bad base64: {error}") from error
    return np.frombuffer(raw, kind.newbyteorder("<")).astype(kind, copy=False).reshape(stored)


def _listed(data: object, kind: np.dtype[Any]) -> Array:
    """Return a constant that is given as a list; integers are taken as they are or not at all."""
    given = np.array(data)
    if given.size and given.dtype.kind not in (
        "iufb" if kind.kind == "f" else "b" if kind.kind == "b" else "iu"
    ):
        raise ValueError(f"{given.dtype} where {kind} is declared")
    with np.errstate(over="raise"):
        array = given.astype(kind)
    if kind.kind != "f" and not np.array_equal(array, given):
        raise ValueError(f"an integer is out of the range of {kind}")
    return array


def _read_node(name: str, op: str, inputs: list[Any], outputs: list[Any], attributes: dict[str, Any]) -> Node:
    domain, _, short = op.rpartition(".")
    if not all(isinstance(item, str) for item in (*inputs, *outputs)):
        raise ValueError("inputs and outputs are names")
    known = {key: _read_attribute(key, item) for key, item in attributes.items()}
    return Node(from_file(short) if domain else short, tuple(inputs), tuple(outputs), known, name, domain)


def _read_attribute(name: str, item: Any) -> Attribute:
    numbers = item if isinstance(item, list) else [] if isinstance(item, str) else [item]
    plain = all(
        isinstance(each, int | float) and not isinstance(each, bool) and isfinite(each) for each in numbers
    )
    if not plain:
        raise ValueError(f"attribute {name!r} is no number, text or row of numbers")
    return tuple(item) if isinstance(item, list) else item
