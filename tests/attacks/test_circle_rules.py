"""One bad file per rule: the error names file, place, what was expected, what was found, and a remedy."""

import os
import struct
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from lowbit.errors import FileError, LowbitError, ModelFormatError, UnsupportedError
from lowbit.formats import read_model
from lowbit.formats.circle.names import NAMES
from lowbit.formats.circle.reader import read_content
from lowbit.formats.circle.schema import Buffer, Metadata, Model, Operator, QuantizationParameters
from lowbit.formats.circle.writer import content_of
from lowbit.formats.flatbuffer import MAX_TABLES
from lowbit.formats.flexbuffer import read_options, write_options
from tests.formats.networks import (
    affine_mlp,
    data_of,
    file_of,
    tables_of,
    with_data,
    with_operator,
    with_subgraph,
    with_tensor,
)
from tests.ir.networks import float_mlp, lowbit_mlp

Change = Callable[[Model], Model]
FLOAT = tables_of(float_mlp((5, 3, 4)))
BIAS = FLOAT.subgraphs[0].tensors[FLOAT.subgraphs[0].operators[0].inputs[2]].name


def _refused(content: bytes, rule: str) -> LowbitError:
    with pytest.raises((ModelFormatError, UnsupportedError), match=rule) as error:
        read_content(content, "net.circle")
    assert error.value.where.startswith("net.circle")
    assert error.value.expected and error.value.found and error.value.remedy
    return error.value


def _layer_option(**changes: object) -> Change:
    """Return a change of options of the first layer; None removes one."""

    def change(model: Model) -> Model:
        options = read_options(model.subgraphs[0].operators[0].custom_options.tobytes(), where="test")
        options = {key: value for key, value in (options | changes).items() if value is not None}
        return with_operator(model, 0, custom_options=np.frombuffer(write_options(options), np.uint8))

    return change


def _changed_data(name: str, dtype: str, edit: Callable[[np.ndarray], np.ndarray | None]) -> Change:
    def change(model: Model) -> Model:
        data = data_of(model, name, dtype)
        edited = edit(data)
        return with_data(model, name, data if edited is None else edited)

    return change


def _put(index: object, value: object) -> Callable[[np.ndarray], None]:
    def edit(data: np.ndarray) -> None:
        data[index] = value

    return edit


def _operator_inputs(edit: Callable[[tuple[int, ...]], tuple[int, ...]], index: int = 0) -> Change:
    return lambda model: with_operator(model, index, inputs=edit(model.subgraphs[0].operators[index].inputs))


def _first(model: Model) -> Operator:
    return model.subgraphs[0].operators[0]


def _layer_setting(**changes: int) -> Change:
    return lambda model: with_operator(
        model, 0, builtin_options=replace(_first(model).builtin_options, **changes)
    )


def _second_buffer(buffer: Buffer) -> Change:
    return lambda model: replace(model, buffers=(model.buffers[0], buffer, *model.buffers[2:]))


LAYER_RULES: dict[str, tuple[Change, str]] = {
    "unknown option": (_layer_option(evil=1), "unknown operator option"),
    "no hidden size": (_layer_option(weights_hidden_size=None), "weights_hidden_size is wrong"),
    "zero hidden size": (_layer_option(weights_hidden_size=0), "weights_hidden_size is wrong"),
    "hidden size of more words": (_layer_option(weights_hidden_size=97), "wrong shape"),
    "hidden size is text": (_layer_option(weights_hidden_size="65"), "weights_hidden_size is wrong"),
    "unknown activation": (
        _layer_option(fused_activation_function="EVIL"),
        "fused_activation_function is wrong",
    ),
    "activation is a number": (
        _layer_option(fused_activation_function=4),
        "fused_activation_function is wrong",
    ),
    "infinite offset": (_layer_option(input_offset=float("inf")), "input_offset is wrong"),
    "negative top": (_layer_option(input_top=-1), "input_top is wrong"),
    "large top": (_layer_option(weights_top=256), "weights_top is wrong"),
    "too few tops": (
        _layer_option(weights_top=np.array([3, 3], np.uint8)),
        "weights_top has the wrong length",
    ),
    "tops are text": (_layer_option(weights_top="3"), "weights_top is wrong"),
    "too few thresholds": (
        _layer_option(input_thresholds=np.zeros(2, np.float32)),
        "input_thresholds has the wrong length",
    ),
    "falling thresholds": (
        _layer_option(input_thresholds=np.float32([1, 0, 2])),
        "input_thresholds is wrong",
    ),
    "thresholds are integers": (
        _layer_option(input_thresholds=np.array([1, 2, 3])),
        "input_thresholds is wrong",
    ),
    "NaN threshold": (
        _layer_option(input_thresholds=np.float32([0, 1, np.nan])),
        "input_thresholds is wrong",
    ),
    "no options": (lambda m: with_operator(m, 0, custom_options=None), "impossible size"),
    "options are noise": (
        lambda m: with_operator(m, 0, custom_options=np.arange(64, dtype=np.uint8)),
        "options",
    ),
    "options are huge": (
        lambda m: with_operator(m, 0, custom_options=np.zeros(2**20, np.uint8)),
        "impossible size",
    ),
    "four inputs": (_operator_inputs(lambda i: i[:4]), "wrong number of inputs"),
    "seven inputs": (_operator_inputs(lambda i: (*i, i[4], i[4])), "wrong number of inputs"),
    "floats with thresholds": (
        _operator_inputs(lambda i: (i[0], -1, *i[2:])),
        "a layer that reads floats",
    ),
    "absent bias": (_operator_inputs(lambda i: (*i[:4], -1)), "wrong number of inputs"),
    "bias computed at run time": (_operator_inputs(lambda i: (*i[:4], i[0])), "bias is wrong"),
    "weights are the bias": (_operator_inputs(lambda i: (*i[:3], i[4], i[4])), "weights_binary is wrong"),
    "padding bits set": (
        _changed_data("fc1/weights_binary", "int32", _put((0, 0, -1), -1)),
        "padding bits are set",
    ),
    "negative scale": (_changed_data("fc1/weights_scales", "float32", _put((3, 0), -1)), "not a basis"),
    "zero scale": (_changed_data("fc1/weights_scales", "float32", _put((3, 0), 0)), "not a basis"),
    "NaN scale": (_changed_data("fc1/weights_scales", "float32", _put((3, 0), np.nan)), "not a basis"),
    "falling scales": (_changed_data("fc1/weights_scales", "float32", lambda d: d[:, ::-1]), "not a basis"),
    "infinite input scale": (_changed_data("x/codes_scales", "float32", _put(1, np.inf)), "not a basis"),
    "nine bits": (
        _changed_data("x/codes_scales", "float32", lambda d: np.arange(1, 10).astype(d.dtype)),
        "impossible number of bits",
    ),
    "a bias too short": (_changed_data("fc1/bias", "float32", lambda d: d[:-1]), "bias has the wrong shape"),
    "a row too few": (
        _changed_data("fc1/weights_binary", "int32", lambda d: d[:-1]),
        "packed weights have the wrong shape",
    ),
    "no outputs": (lambda m: with_operator(m, 0, outputs=()), "wrong number of outputs|read before"),
}


@pytest.mark.parametrize("name", LAYER_RULES)
def test_low_bit_layer(name: str) -> None:
    change, rule = LAYER_RULES[name]
    _refused(file_of(change(tables_of(lowbit_mlp((65, 33, 10), 2, 3)))), rule)


def test_row_length_that_fits_the_words_but_not_the_input(tmp_path) -> None:
    """The tables are right by themselves; the layer's contract in the graph is not."""
    path = tmp_path / "m.circle"
    path.write_bytes(
        file_of(_layer_option(weights_hidden_size=66)(tables_of(lowbit_mlp((65, 33, 10), 2, 3))))
    )
    with pytest.raises(LowbitError, match="input shape"):
        read_model(path)


TABLE_RULES: dict[str, tuple[Change, str]] = {
    "no graph": (lambda m: replace(m, subgraphs=()), "no graph"),
    "operator code": (lambda m: with_operator(m, 0, opcode_index=9), "operator code index"),
    "buffer index": (lambda m: with_tensor(m, "x", buffer=99), "buffer index"),
    "metadata buffer": (lambda m: replace(m, metadata=(Metadata("a", 99),)), "metadata buffer index"),
    "input index": (lambda m: with_subgraph(m, inputs=(99,)), "tensor index is out of range"),
    "negative input": (lambda m: with_subgraph(m, inputs=(-1,)), "tensor index is out of range"),
    "output index": (lambda m: with_subgraph(m, outputs=(99,)), "tensor index is out of range"),
    "no output": (lambda m: with_subgraph(m, outputs=()), "no output"),
    "input twice": (lambda m: with_subgraph(m, inputs=m.subgraphs[0].inputs * 2), "given twice"),
    "operand index": (_operator_inputs(lambda i: (99, *i[1:])), "tensor index is out of range"),
    "operand below -1": (_operator_inputs(lambda i: (-2, *i[1:])), "tensor index is out of range"),
    "required operand absent": (_operator_inputs(lambda i: (-1, *i[1:])), "required input is absent"),
    "result index": (lambda m: with_operator(m, 0, outputs=(99,)), "tensor index is out of range"),
    "result is a constant": (lambda m: with_operator(m, 0, outputs=_first(m).inputs[1:2]), "computed twice"),
    "cycle": (
        lambda m: with_operator(m, 0, inputs=(*m.subgraphs[0].outputs, *_first(m).inputs[1:])),
        "read before",
    ),
    "operators in another order": (
        lambda m: with_subgraph(m, operators=m.subgraphs[0].operators[::-1]),
        "read before",
    ),
    "never computed": (lambda m: with_subgraph(m, operators=m.subgraphs[0].operators[:-1]), "never computed"),
    "too few bytes": (lambda m: with_tensor(m, BIAS, shape=(99,)), "wrong number of bytes"),
    "shape overflow": (lambda m: with_tensor(m, BIAS, shape=(2**31 - 1,) * 4), "too large"),
    "negative dimension": (lambda m: with_tensor(m, BIAS, shape=(-3,)), "dimension is negative"),
    "output without dimensions": (lambda m: with_tensor(m, "a1", shape=()), "output has no dimensions"),
    "nine dimensions": (lambda m: with_tensor(m, BIAS, shape=(1,) * 9), "too many dimensions"),
    "signature": (lambda m: with_tensor(m, "x", shape_signature=(-1, 7)), "signature contradicts"),
    "unknown type": (lambda m: with_tensor(m, BIAS, type=-3), "type is not supported"),
    "input of an unknown type": (lambda m: with_tensor(m, "x", type=5), "type is not supported"),
    "float16 weights as input": (lambda m: with_tensor(m, "x", type=1), "type is not supported"),
    "fused activation": (_layer_setting(fused_activation_function=5), "fused activation"),
    "shuffled weights": (_layer_setting(weights_format=1), "shuffled weights"),
    "buffer behind the file": (_second_buffer(Buffer(None, 10**12, 8)), "outside the file"),
    "buffer behind the file by overflow": (
        _second_buffer(Buffer(None, 2**64 - 8, 2**64 - 1)),
        "outside the file",
    ),
}


@pytest.mark.parametrize("name", TABLE_RULES)
def test_tables(name: str) -> None:
    change, rule = TABLE_RULES[name]
    _refused(file_of(change(FLOAT)), rule)


def _scale(scale: list[float], zero_point: list[int], dimension: int = 0) -> QuantizationParameters:
    return QuantizationParameters(None, None, np.float32(scale), np.int64(zero_point), dimension)


AFFINE_RULES: dict[str, tuple[str, QuantizationParameters | None, str]] = {
    "negative scale": ("x/codes", _scale([-1], [0]), "scale|positive"),
    "NaN scale": ("x/codes", _scale([float("nan")], [0]), "scale|finite"),
    "zero point beyond 8 bits": ("x/codes", _scale([1], [300]), "zero point"),
    "zero point beyond 64 bits when moved": ("x/codes", _scale([1], [2**63 - 1]), "zero point"),
    "two scales for activations": ("x/codes", _scale([1, 1], [0, 0]), "do not match axis 0"),
    "scales of another axis": ("fc1/weights", _scale([1] * 5, [0] * 5, 1), "do not match axis 0"),
    "zero points of another length": ("fc1/weights", _scale([1] * 5, [0] * 4), "do not match the scales"),
    "weights without a scale": ("fc1/weights", None, "integers have no scale"),
}


@pytest.mark.parametrize("name", AFFINE_RULES)
def test_quantization_parameters(name: str) -> None:
    tensor, quantization, rule = AFFINE_RULES[name]
    _refused(file_of(with_tensor(tables_of(affine_mlp()), tensor, quantization=quantization)), rule)


NAMES_RULES = [
    b"{",
    b"[]",
    b"1",
    b"\xff",
    b"[" * 100_000,
    b'{"dimension": "n", "constants": {"absent": "b"}, "nodes": {}}',
    b'{"dimension": "n", "constants": {"x": "b"}, "nodes": {}}',
    b'{"dimension": "n", "constants": {"fc1/bias": "x"}, "nodes": {}}',
    b'{"dimension": "n", "constants": {"fc1/bias": ""}, "nodes": {}}',
    b'{"dimension": "n", "nodes": {"y": ""}}',
    b'{"dimension": "n", "nodes": {"y": ["a"]}}',
    b'{"dimension": "n", "nodes": {"y": ["a", {"axis": 0}]}}',
    b'{"dimension": "n", "nodes": {"y": ["a", {"evil": 1}]}}',
    b'{"dimension": "n", "nodes": {"z": ["a", {"activation": "tanh"}]}}',
    b'{"dimension": "n", "nodes": {"fc1/codes": ["a", {"activation": {}}]}}',
    b'{"dimension": "n", "thresholds": {"y": "t"}}',
    b'{"dimension": "n", "thresholds": {"absent": "t"}}',
    b'{"dimension": "n", "thresholds": {"x/codes": "fc1/bias"}}',
    b'{"dimension": "n", "thresholds": {"x/codes": ""}}',
]


@pytest.mark.parametrize("text", NAMES_RULES, ids=range(len(NAMES_RULES)))
def test_stored_names_cannot_change_the_network(text: bytes) -> None:
    model = tables_of(lowbit_mlp())
    buffers = (*model.buffers, Buffer(np.frombuffer(text, np.uint8)))
    metadata = (Metadata(NAMES, len(buffers) - 1),)
    _refused(file_of(replace(model, buffers=buffers, metadata=metadata)), "stored names")


def _at(content: bytes, position: int, format: str, value: int) -> bytes:
    changed = bytearray(content)
    struct.pack_into(format, changed, position, value)
    return bytes(changed)


def _root(content: bytes) -> int:
    return struct.unpack_from("<I", content)[0]


def _vtable(content: bytes) -> int:
    return _root(content) - struct.unpack_from("<i", content, _root(content))[0]


BYTE_RULES: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "only a header": (lambda c: c[:8], "leaves the file|outside the file"),
    "another identifier": (lambda c: c[:4] + b"EVIL" + c[8:], "no Circle or TFLite file"),
    "root behind the end": (lambda c: _at(c, 0, "<I", len(c)), "leaves the file"),
    "root far behind the end": (lambda c: _at(c, 0, "<I", 2**32 - 1), "leaves the file"),
    "root at itself": (lambda c: _at(c, 0, "<I", 0), "leaves the file"),
    "vtable before the file": (lambda c: _at(c, _root(c), "<i", 2**31 - 1), "outside the file"),
    "vtable behind the file": (lambda c: _at(c, _root(c), "<i", -(2**31)), "outside the file"),
    "odd vtable": (lambda c: _at(c, _vtable(c), "<H", 7), "vtable has an impossible size"),
    "tiny vtable": (lambda c: _at(c, _vtable(c), "<H", 2), "vtable has an impossible size"),
    "tiny table": (lambda c: _at(c, _vtable(c) + 2, "<H", 3), "table has an impossible size"),
    "huge table": (lambda c: _at(c[: _root(c) + 100], _vtable(c) + 2, "<H", 65535), "outside the file"),
    "field outside its table": (lambda c: _at(c, _vtable(c) + 6, "<H", 4000), "outside its table"),
}


@pytest.mark.parametrize("name", BYTE_RULES)
def test_bytes(name: str) -> None:
    change, rule = BYTE_RULES[name]
    _refused(change(bytes(content_of(lowbit_mlp()))), rule)


def test_strings_must_end_and_be_utf8() -> None:
    content = bytes(content_of(lowbit_mlp()))
    place = content.index(b"fc1/bias\0")
    _refused(_at(content, place + 8, "<B", 65), "zero byte")
    error = _refused(_at(content, place + 2, "<B", 0xFF), "not UTF-8")
    assert (
        f"at byte {place + 2}" in error.where
        and "subgraphs[0].tensors[" in error.where
        and ".name" in error.where
    )


def test_aliased_tables_cannot_eat_time_or_memory() -> None:
    """A vector of a million entries that all point at one table is refused by count, before it is read."""
    count = 10**6
    vector = struct.pack("<I", count) + b"".join(struct.pack("<I", 4 * (count - i)) for i in range(count))
    # vtable of the root: slot 1 (operator_codes) at offset 4; the shared table is an empty one.
    head = struct.pack("<I4s", 16, b"CIR0") + struct.pack("<HHHH", 8, 8, 0, 4)
    root = struct.pack("<iI", 8, 4)
    content = head + root + vector + struct.pack("<i", 4 * count + 20)
    error = _refused(content, "too many tables")
    assert str(MAX_TABLES) in error.expected


def test_aliased_strings_cannot_eat_memory() -> None:
    """A thousand names that are one string of a megabyte are counted each time."""
    model = FLOAT
    tensors = tuple(replace(model.subgraphs[0].tensors[0], name="n" * 2**16) for _ in range(600))
    _refused(file_of(with_subgraph(model, tensors=tensors, inputs=(0,))), "take too much")


def test_too_many_tensors_and_operators() -> None:
    model = FLOAT
    _refused(file_of(with_subgraph(model, tensors=model.subgraphs[0].tensors * 4000)), "too many tensors")
    _refused(
        file_of(with_subgraph(model, operators=model.subgraphs[0].operators * 2000)), "too many operators"
    )


@pytest.mark.parametrize("suffix", [".circle", ".tflite", ".txt", ".onnx", ".npz", ""])
def test_foreign_files_are_named(tmp_path, suffix: str) -> None:
    path = tmp_path / f"model{suffix}"
    path.write_bytes(b"PK\x03\x04" + os.urandom(64))
    with pytest.raises(FileError) as error:
        read_model(path)
    assert str(path) in error.value.where


def test_missing_file_and_folder(tmp_path) -> None:
    for path in (tmp_path / "absent.circle", tmp_path):
        with pytest.raises(FileError) as error:
            read_model(path)
        assert str(path) in error.value.where and error.value.remedy
