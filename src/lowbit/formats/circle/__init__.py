"""Circle, the native format, and TFLite, its subset."""

from lowbit.formats.circle.byte_table import ByteRow, byte_table
from lowbit.formats.circle.manifest import verify_manifest
from lowbit.formats.circle.reader import read
from lowbit.formats.circle.writer import write

__all__ = ["ByteRow", "byte_table", "read", "verify_manifest", "write"]
