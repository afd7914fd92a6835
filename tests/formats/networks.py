"""Networks and files for the tests of formats."""

from dataclasses import replace
from typing import Any

import numpy as np

from lowbit.formats.circle.model_file import read_model
from lowbit.formats.circle.schema import CIRCLE, Buffer, Model, Operator, SubGraph, Tensor
from lowbit.formats.circle.writer import content_of
from lowbit.formats.flatbuffer_writer import write_flatbuffer
from lowbit.ir import Graph, Node, Value, verify
from lowbit.schemes import Affine


def affine_mlp(sizes: tuple[int, int, int] = (9, 5, 3), seed: int = 0) -> Graph:
    """Return QUANTIZE, int8 layer, tanh on codes, int8 layer, DEQUANTIZE, softmax."""
    random = np.random.default_rng(seed)
    graph = Graph("affine", ("x",), ("y",))
    graph.add(Value("x", "float32", ("n", sizes[0])))
    shape = ("n", sizes[1])
    current = _coded(graph, "x/codes", ("n", sizes[0]), Affine(8, np.float32(0.01), 7))
    graph.nodes.append(Node("Encode", ("x",), (current,), {}, "x", "lowbit"))
    current = _affine_layer(graph, random, "fc1", current, sizes[1], Affine(8, np.float32(0.02), 130))
    graph.nodes.append(
        Node("Tanh", (current,), (_coded(graph, "h", shape, Affine(8, np.float32(1 / 128), 128)),), {}, "h")
    )
    current = _affine_layer(graph, random, "fc2", "h", sizes[2], Affine(8, np.float32(0.05), 100))
    graph.add(Value("z", "float32", ("n", sizes[2])))
    graph.add(Value("y", "float32", ("n", sizes[2])))
    graph.nodes.append(Node("Decode", (current,), ("z",), {}, "z", "lowbit"))
    graph.nodes.append(Node("Softmax", ("z",), ("y",), {}, "y"))
    verify(graph)
    return graph


def _coded(graph: Graph, name: str, shape: tuple[Any, ...], encoding: Affine) -> str:
    return graph.add(Value(name, "code", shape, None, encoding))


def _affine_layer(
    graph: Graph, random: np.random.Generator, name: str, source: str, outputs: int, encoding: Affine
) -> str:
    inputs = graph.value(source).shape[1]
    codes = random.integers(0, 256, (outputs, inputs)).astype(np.uint8)
    scale = random.uniform(0.001, 0.01, outputs).astype(np.float32)
    weights = Affine(8, scale, np.full(outputs, 128))
    graph.add(Value(f"{name}/weights", "code", codes.shape, codes, weights))
    graph.add_constant(f"{name}/bias", random.integers(-500, 500, outputs), "int32")
    output = _coded(graph, f"{name}/codes", ("n", outputs), encoding)
    operands = (source, f"{name}/weights", f"{name}/bias")
    graph.nodes.append(Node("Linear", operands, (output,), {}, name, "lowbit"))
    return output


def tables_of(graph: Graph) -> Model:
    """Return the tables of the graph's file, without metadata, to be changed and written again."""
    model = read_model(bytes(content_of(graph)), "test")
    return replace(model, metadata=())


def file_of(model: Model) -> bytes:
    """Return the tables as a file."""
    return bytes(write_flatbuffer(model, CIRCLE))


def with_subgraph(model: Model, **changes: Any) -> Model:
    """Return the tables with fields of the graph replaced."""
    return replace(model, subgraphs=(replace(model.subgraphs[0], **changes),))


def with_operator(model: Model, index: int, **changes: Any) -> Model:
    """Return the tables with fields of one operator replaced."""
    operators: list[Operator] = list(model.subgraphs[0].operators)
    operators[index] = replace(operators[index], **changes)
    return with_subgraph(model, operators=tuple(operators))


def with_tensor(model: Model, name: str, **changes: Any) -> Model:
    """Return the tables with fields of the tensor of that name replaced."""
    tensors: list[Tensor] = list(model.subgraphs[0].tensors)
    index = index_of(model.subgraphs[0], name)
    tensors[index] = replace(tensors[index], **changes)
    return with_subgraph(model, tensors=tuple(tensors))


def with_data(model: Model, name: str, data: np.ndarray) -> Model:
    """Return the tables with the constant of that name replaced, its shape too."""
    buffers = list(model.buffers)
    buffers[model.subgraphs[0].tensors[index_of(model.subgraphs[0], name)].buffer] = Buffer(
        np.frombuffer(data.tobytes(), np.uint8)
    )
    return with_tensor(replace(model, buffers=tuple(buffers)), name, shape=data.shape)


def data_of(model: Model, name: str, dtype: str) -> np.ndarray:
    """Return a copy of a constant's data."""
    tensor = model.subgraphs[0].tensors[index_of(model.subgraphs[0], name)]
    data = model.buffers[tensor.buffer].data
    assert data is not None
    return data.view(dtype).reshape(tensor.shape).copy()


def index_of(subgraph: SubGraph, name: str) -> int:
    """Return the index of the tensor of that name."""
    return [tensor.name for tensor in subgraph.tensors].index(name)
