"""ONNX in and out: float networks from any exporter, low-bit networks that any runtime runs."""

from lowbit.formats.onnx.file_operators import file_operators
from lowbit.formats.onnx.reader import from_proto, read, read_content
from lowbit.formats.onnx.writer import blockers, check, to_proto, write

__all__ = ["blockers", "check", "file_operators", "from_proto", "read", "read_content", "to_proto", "write"]
