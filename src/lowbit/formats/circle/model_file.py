"""The tables of a Circle or TFLite file."""

from lowbit.errors import ModelFormatError
from lowbit.formats.circle.schema import CIRCLE, TFLITE, Model
from lowbit.formats.flatbuffer import Span, read_flatbuffer


def read_model(content: bytes, where: str, spans: list[Span] | None = None) -> Model:
    """Return the tables of a file; ``spans`` as in `read_flatbuffer`.

    Raises:
        ModelFormatError: it is no Circle or TFLite file, or a rule of flatbuffers is broken.
    """
    identifier = bytes(content[4:8])
    if identifier not in (CIRCLE, TFLITE):
        raise ModelFormatError(
            "this is no Circle or TFLite file",
            where=where,
            expected=f"the identifier {CIRCLE!r} or {TFLITE!r} at byte 4",
            found=repr(identifier),
            remedy="Check the path; the suffix must tell the format.",
        )
    if spans is not None:
        spans.append((0, 8, "header"))
    return read_flatbuffer(content, Model, where=where, spans=spans)
