"""ONNX to graph: float networks of any exporter, and the low-bit networks that we write.

A file is parsed, checked for structure, and translated node by node; types are inferred on the way,
so an error names the node where the network stops making sense. What is read besides the operators
of the graph:

* shape arithmetic and transposed or cast constants are worked out (`shape_arithmetic`);
* Constant and ConstantOfShape become constants; Dropout and casts between floats become Identity, and floats
  of 16 and 64 bits are computed as float32;
* functions of the file, standard operators that ONNX says the functions of, and the branch of an If whose
  condition is known are read in the place of the node (`inlining`);
* lengths that are open may be fixed by the caller (`lowbit.formats.input_shapes`);
* ``auto_pad`` and ``ceil_mode`` become pads (`windows`), a mean over the map global average pooling;
* a float cast of an input makes that input float32;
* transpositions around operators of networks that keep channels last are absorbed (`settle_layout`);
* a batch that the exporter fixed to 1 is opened where type inference agrees;
* outputs that are class labels (places of largest scores, text) are left out when there are scores beside
  them, with the nodes that only they need; scikit-learn's ZipMap gives way to what it names;
* nodes of domain ``lowbit`` become low-bit nodes. Their functions are known by name: the bodies in a
  file are never run.

Nothing in a file is executed. Weights may lie in files beside it (torch writes ``NAME.onnx.data``), in its
own folder only.
"""

import os
from typing import TYPE_CHECKING

from lowbit.budget import check_budget
from lowbit.errors import LowbitError, ModelFormatError
from lowbit.formats.batch import open_batch
from lowbit.formats.input_shapes import say_how_to_fix
from lowbit.formats.onnx.model_reader import ModelReader, Own
from lowbit.formats.onnx.quantized import decode_outputs
from lowbit.formats.onnx.tensors import Beside
from lowbit.formats.onnx.wire import check_fields
from lowbit.formats.onnx.writer import PRODUCER
from lowbit.ir import Graph, run_passes, verify
from lowbit.ir.passes import RECOGNISED_FORM, settle_layout
from lowbit.untrusted import MAX_BYTES, read_beside, read_file

if TYPE_CHECKING:
    from onnx import ModelProto


def read(path: str | os.PathLike[str], *, limit: int = MAX_BYTES) -> Graph:
    """Return the graph of an ``.onnx`` file, verified.

    Args:
        path: the file.
        limit: the most bytes that are accepted.

    Raises:
        FileError: it cannot be read, is damaged, too large, or asks for another file.
        UnsupportedError: an operator, attribute, rank or data type that lowbit does not have.
        GraphError: types or shapes that do not fit.
        NumericError: NaN or infinity in a constant.
    """
    where, taken = os.fspath(path), 0

    def beside(name: str, offset: int, count: int, who: str) -> bytes:
        nonlocal taken
        taken += count
        check_budget(taken, where, "the weights in other files")
        return read_beside(where, name, offset, count, who)

    return from_proto(_parsed(read_file(path, limit=limit), where), where, beside)


def from_proto(
    model: "ModelProto", where: str = "model", beside: Beside | None = None, own: Own | None = None
) -> Graph:
    """Return the graph of a parsed model; errors are those of `read` and call it ``where``.

    Args:
        model: parsed.
        where: how messages call it.
        beside: reads weights that lie in other files, if there may be some.
        own: reads operators of the caller's by domain, where the graph is to be what the file says.
    """
    reader: ModelReader | None = None
    try:
        reader = ModelReader(model, beside, own)
        graph = reader.graph()
        if own is None and model.producer_name != PRODUCER:  # what we write means what it says
            verify(graph)
            if any(value.encoding is not None for value in graph.values.values()):
                graph = run_passes(decode_outputs(graph), RECOGNISED_FORM).graph
            graph = run_passes(open_batch(graph), [settle_layout]).graph
        verify(graph)
    except LowbitError as error:
        error.where = f"{where}: {error.where}" if error.where else where
        if reader is not None:
            say_how_to_fix(error, reader.result)
        raise
    return graph


def read_content(content: bytes, where: str) -> Graph:
    """Return the graph of the bytes of a file called ``where``, all of it; errors are those of `read`."""
    return from_proto(_parsed(content, where), where)


def _parsed(raw: bytes, where: str) -> "ModelProto":
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
    from onnx import ModelProto

    check_fields(raw, ModelProto.DESCRIPTOR, where)
    try:
        return ModelProto.FromString(raw)  # type: ignore[no-any-return]
    except DecodeError as error:
        raise ModelFormatError(
            "this is not an ONNX file, or it is damaged",
            where=where,
            expected="an ONNX model",
            found=f"{len(raw)} bytes that cannot be parsed",
            remedy="Export the network again.",
        ) from error
