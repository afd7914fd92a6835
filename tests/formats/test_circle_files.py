"""Files from elsewhere: builtin operators, shape chains, the published encoding. Manifests, byte tables."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from lowbit.errors import ModelFormatError, UnsupportedError
from lowbit.formats import read_model, write_model
from lowbit.formats.circle import byte_table, verify_manifest
from lowbit.formats.circle.reader import read_content
from lowbit.formats.circle.schema import (
    OPERATORS,
    TENSOR_TYPES,
    THESIS_OPERATOR,
    AddOptions,
    Buffer,
    FullyConnectedOptions,
    Model,
    Operator,
    OperatorCode,
    PackOptions,
    QuantizationParameters,
    SoftmaxOptions,
    StridedSliceOptions,
    SubGraph,
    Tensor,
    ThesisOptions,
)
from lowbit.formats.flexbuffer import read_options, write_options
from lowbit.ir import evaluate, verify
from lowbit.planes import unpack
from tests.formats.networks import file_of, tables_of, with_operator
from tests.ir.networks import float_mlp, lowbit_mlp

RANDOM = np.random.default_rng(0)


class Tables:
    """Builds the tables of a file operator by operator."""

    def __init__(self) -> None:
        self.tensors: list[Tensor] = []
        self.buffers = [Buffer()]
        self.operators: list[Operator] = []
        self.codes: list[OperatorCode] = []

    def tensor(self, name: str, shape: tuple[int, ...], signature: tuple[int, ...] = ()) -> int:
        self.tensors.append(Tensor(shape, 0, 0, name, None, signature))
        return len(self.tensors) - 1

    def constant(self, name: str, data: Any, quantization: QuantizationParameters | None = None) -> int:
        array = np.asarray(data)
        self.buffers.append(Buffer(np.frombuffer(array.tobytes(), np.uint8)))
        dtype = TENSOR_TYPES[array.dtype.name]
        self.tensors.append(Tensor(array.shape, dtype, len(self.buffers) - 1, name, quantization))
        return len(self.tensors) - 1

    def operator(self, name: str, inputs: tuple[int, ...], output: int, options: object = None) -> None:
        code = OPERATORS[name]
        self.codes.append(OperatorCode(code, "", 1, code))
        self.operators.append(Operator(len(self.codes) - 1, inputs, (output,), options))

    def graph(self, inputs: tuple[int, ...], outputs: tuple[int, ...]) -> Any:
        subgraph = SubGraph(tuple(self.tensors), inputs, outputs, tuple(self.operators), "g")
        graph = read_content(
            file_of(Model(3, tuple(self.codes), (subgraph,), "", tuple(self.buffers))), "test"
        )
        verify(graph)
        return graph


def _floats(*shape: int) -> np.ndarray:
    return RANDOM.normal(size=shape).astype(np.float32)


def test_fused_activations_and_an_absent_bias() -> None:
    tables, weights = Tables(), [_floats(4, 6), _floats(3, 4)]
    x, h, y = tables.tensor("x", (1, 6)), tables.tensor("h", (1, 4)), tables.tensor("y", (1, 3))
    first, second = (tables.constant(f"w{i}", w) for i, w in enumerate(weights))
    tables.operator("FULLY_CONNECTED", (x, first, -1), h, FullyConnectedOptions(4))
    tables.operator("FULLY_CONNECTED", (h, second), y, FullyConnectedOptions(1))
    graph = tables.graph((x,), (y,))
    data = _floats(5, 6)
    wanted = np.maximum(np.tanh(data @ weights[0].T) @ weights[1].T, 0)
    np.testing.assert_allclose(evaluate(graph, {"x": data})["y"], wanted, atol=1e-5)


def test_shape_chain_in_front_of_a_reshape() -> None:
    """SHAPE, STRIDED_SLICE, PACK, as Keras writes a Flatten; the batch stays open."""
    tables, weights = Tables(), _floats(3, 6)
    x, flat, y = (
        tables.tensor("x", (1, 2, 3), (-1, 2, 3)),
        tables.tensor("f", (1, 6), (-1, 6)),
        tables.tensor("y", (1, 3), (-1, 3)),
    )
    shape, batch, target = (
        tables.tensor(name, extent) for name, extent in (("s", (3,)), ("b", ()), ("t", (2,)))
    )
    begin, end, step = (tables.constant(f"c{i}", np.array([i], np.int32)) for i in (0, 1, 1))
    six, w = tables.constant("six", np.int32(6)), tables.constant("w", weights)
    tables.operator("SHAPE", (x,), shape)
    tables.operator(
        "STRIDED_SLICE", (shape, begin, end, step), batch, StridedSliceOptions(shrink_axis_mask=1)
    )
    tables.operator("PACK", (batch, six), target, PackOptions(2, 0))
    tables.operator("RESHAPE", (x, target), flat)
    tables.operator("FULLY_CONNECTED", (flat, w), y, FullyConnectedOptions())
    graph = tables.graph((x,), (y,))
    data = _floats(5, 2, 3)
    np.testing.assert_allclose(evaluate(graph, {"x": data})["y"], data.reshape(5, 6) @ weights.T, atol=1e-5)


def test_transposed_constant_sum_and_softmax_factor() -> None:
    tables, weights = Tables(), _floats(6, 3)
    x, turned, z, s, y = (
        tables.tensor(n, e)
        for n, e in (("x", (1, 6)), ("t", (3, 6)), ("z", (1, 3)), ("s", (1, 3)), ("y", (1, 3)))
    )
    w, order, bias = (
        tables.constant("w", weights),
        tables.constant("o", np.array([1, 0], np.int32)),
        tables.constant("b", _floats(3)),
    )
    tables.operator("TRANSPOSE", (w, order), turned)
    tables.operator("FULLY_CONNECTED", (x, turned), z, FullyConnectedOptions())
    tables.operator("ADD", (z, bias), s, AddOptions(1))
    tables.operator("SOFTMAX", (s,), y, SoftmaxOptions(0.5))
    graph = tables.graph((x,), (y,))
    data = _floats(4, 6)
    logits = 0.5 * np.maximum(data @ weights + graph.constant("b"), 0)
    wanted = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(evaluate(graph, {"x": data})["y"], wanted, atol=1e-6)


def test_rows_of_a_tensor_of_rank_three() -> None:
    tables, weights = Tables(), _floats(4, 3)
    x, y, w = tables.tensor("x", (2, 5, 3)), tables.tensor("y", (2, 5, 4)), tables.constant("w", weights)
    tables.operator("FULLY_CONNECTED", (x, w), y, FullyConnectedOptions(keep_num_dims=True))
    data = _floats(2, 5, 3)
    np.testing.assert_allclose(
        evaluate(tables.graph((x,), (y,)), {"x": data})["y"], data @ weights.T, atol=1e-5
    )


def test_int8_weights_of_a_float_layer_are_decoded() -> None:
    tables = Tables()
    codes, scale = RANDOM.integers(-127, 128, (4, 3)).astype(np.int8), np.array([0.5, 0.25, 1, 2], np.float32)
    x, y = tables.tensor("x", (1, 3)), tables.tensor("y", (1, 4))
    w = tables.constant("w", codes, QuantizationParameters(scale=scale, zero_point=np.zeros(4, np.int64)))
    tables.operator("FULLY_CONNECTED", (x, w), y, FullyConnectedOptions())
    data = _floats(2, 3)
    wanted = data @ (codes * scale[:, None]).T
    np.testing.assert_allclose(evaluate(tables.graph((x,), (y,)), {"x": data})["y"], wanted, rtol=1e-5)


@pytest.mark.parametrize("name", ["LSTM", "my_op"])
def test_unknown_operators_are_named(name: str) -> None:
    model = tables_of(float_mlp((3, 2)))
    code = OperatorCode(16, "", 1, 16) if name == "LSTM" else OperatorCode(32, name, 1, 32)
    model = replace(model, operator_codes=(code, *model.operator_codes[1:]))
    assert model.subgraphs[0].operators[0].opcode_index == 0
    with pytest.raises(UnsupportedError, match=r"operator 0") as error:
        read_content(file_of(model), "net.circle")
    assert name in error.value.found
    assert error.value.where.startswith("net.circle") and error.value.remedy


def test_repeated_and_empty_tensor_names() -> None:
    model = tables_of(float_mlp((3, 4, 2)))
    tensors = tuple(
        replace(tensor, name="" if i % 2 else "same") for i, tensor in enumerate(model.subgraphs[0].tensors)
    )
    graph = read_content(
        file_of(replace(model, subgraphs=(replace(model.subgraphs[0], tensors=tensors),))), "test"
    )
    verify(graph)


def test_layers_of_the_published_system() -> None:
    """One byte 200, option tag 200, five inputs, floats between layers, a free basis."""
    ours = lowbit_mlp((9, 4, 3), 2, 2, softmax=False)
    model = tables_of(ours)
    options = [ThesisOptions(9, 4), ThesisOptions(4, 0)]
    for index, old in enumerate(options):
        model = with_operator(model, index, builtin_options=old, custom_options=None)
    code = OperatorCode(THESIS_OPERATOR - 256, "", 1, 0)
    graph = read_content(file_of(replace(model, operator_codes=(code,))), "test")
    verify(graph)
    assert [node.op for node in graph.nodes] == ["Encode", "Linear", "Linear"]
    weights, mine = graph.value("fc1/weights"), ours.value("fc1/weights")
    assert np.array_equal(weights.data, mine.data) and np.array_equal(
        weights.encoding.basis, mine.encoding.basis
    )
    assert not weights.encoding.snapped and graph.value("x/codes").encoding.offset == 0
    # Codes by the published rule: levels of all signed sums, thresholds at their midpoints.
    scales = graph.value("x/codes").encoding.basis[0].astype(np.float64)
    levels = np.sort([a * scales[0] + b * scales[1] for a in (-1, 1) for b in (-1, 1)])
    x = _floats(50, 9)
    decoded = levels[np.searchsorted((levels[1:] + levels[:-1]) / 2, x, side="left")]
    encoding = graph.value("x/codes").encoding
    np.testing.assert_allclose(encoding.decode(encoding.encode(x)), decoded, rtol=1e-6)
    assert unpack(weights.data, 9).shape == (4, 9)


def test_published_layers_again_through_our_own_file() -> None:
    ours = lowbit_mlp((9, 4, 3), 2, 2, softmax=False)
    model = tables_of(ours)
    for index, old in enumerate([ThesisOptions(9, 4), ThesisOptions(4, 0)]):
        model = with_operator(model, index, builtin_options=old, custom_options=None)
    graph = read_content(file_of(replace(model, operator_codes=(OperatorCode(-56, "", 1, 0),))), "test")
    assert [node.attributes["activation"] for node in graph.nodes[1:]] == ["tanh", "none"]


def test_options_without_thresholds_mean_midpoints() -> None:
    ours = lowbit_mlp((9, 4, 3), 2, 2, softmax=False)
    model = tables_of(ours)
    for index in (0, 1):
        content = model.subgraphs[0].operators[index].custom_options.tobytes()
        options = read_options(content, where="test")
        del options["input_thresholds"]
        model = with_operator(model, index, custom_options=np.frombuffer(write_options(options), np.uint8))
    graph = read_content(file_of(model), "test")
    for name in ours.values:
        if name.endswith("thresholds"):
            assert np.array_equal(graph.constant(name), ours.constant(name))


@pytest.mark.parametrize("bits", [1, 2, 3])
def test_byte_table_adds_up(tmp_path, bits: int) -> None:
    path = tmp_path / "m.circle"
    write_model(lowbit_mlp((65, 33, 10), bits, bits), path)
    rows = byte_table(path)
    assert sum(row.bytes for row in rows) == path.stat().st_size
    sizes = {row.what: row.bytes for row in rows}
    assert sizes["fc1/weights_binary"] == 33 * bits * 3 * 4 and sizes["fc2/weights_scales"] == 10 * bits * 4
    assert "not read" not in sizes and sizes["padding"] < 64 * 13
    assert next(row.layer for row in rows if row.what == "fc1/bias") == "fc1/codes"


def test_byte_table_of_a_damaged_file_still_adds_up(tmp_path) -> None:
    path = tmp_path / "m.circle"
    write_model(lowbit_mlp((65, 33, 10)), path)
    path.write_bytes(path.read_bytes() + b"left over")
    rows = byte_table(path)
    assert sum(row.bytes for row in rows) == path.stat().st_size
    assert {row.what: row.bytes for row in rows}["not read"] >= 9


def test_manifest_names_schemes_and_notices_one_changed_bit(tmp_path) -> None:
    path = tmp_path / "m.circle"
    write_model(lowbit_mlp((65, 33, 10), 2, 3), path)
    manifest = verify_manifest(path)
    layers = [{"name": f"fc{i}", "scheme": "lq", "weight_bits": 3, "activation_bits": 2} for i in (1, 2)]
    assert manifest["layers"] == layers and manifest["tool"].startswith("lowbit ")
    good = path.read_bytes()
    for position in RANDOM.integers(8, len(good), 40):
        bad = bytearray(good)
        bad[position] ^= 1 << int(RANDOM.integers(8))
        path.write_bytes(bad)
        with pytest.raises(ModelFormatError) as error:
            verify_manifest(path)
        assert str(path) in error.value.where


@pytest.mark.parametrize(
    "written",
    ["\\u0061" * 10 + "aaaa", "g" * 64, "é" * 32, "", "0" * 63 + " ", "\\ud800" * 10, "F" * 64],
    ids=["escaped", "letters", "wide", "empty", "space", "surrogates", "capitals"],
)
def test_a_hash_that_is_none_is_refused(tmp_path, written: str) -> None:
    path = tmp_path / "m.circle"
    write_model(lowbit_mlp(), path)
    content = path.read_bytes()
    digest = verify_manifest(path)["sha256"].encode()
    other = written.encode()
    path.write_bytes(content.replace(b'"' + digest + b'"', b'"' + other + b'"' + b" " * (64 - len(other))))
    with pytest.raises(ModelFormatError) as error:
        verify_manifest(path)
    assert str(path) in error.value.where and "hash" in error.value.message


def test_a_file_without_manifest_cannot_be_verified(tmp_path) -> None:
    path = tmp_path / "m.circle"
    path.write_bytes(file_of(tables_of(lowbit_mlp())))
    with pytest.raises(ModelFormatError, match="no manifest"):
        verify_manifest(path)
    assert read_model(path).nodes
