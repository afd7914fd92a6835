"""Circle, the native format, and TFLite, its subset.

A ``.circle`` file is a flatbuffer (`schema`). Float and 8-bit affine operators are the format's own. A
low-bit layer is the custom operator ``LQFullyConnected``:

    inputs   input            float32 (batch, n)
             input_scales     float32 (k_x)          basis of the input, ascending
             weights_scales   float32 (o, k_w)       basis of each row of weights, ascending
             weights_binary   int32   (o, k_w, ceil(n/32))   element i is bit i&31 of word i>>5, padding 0
             bias             float32 (o)            always there
             weights_offset   float32 (o), or uint8 (o): see `layers`; only where an offset is not zero
    options  weights_hidden_size, fused_activation_function, input_offset, input_top, weights_top,
             input_thresholds: see `options`

The tensors between layers are floats, so any runtime can run the operator by itself; codes exist only in
our graph, made again by `layers`. Operators that the format does not have are custom ones in the graph's own
words (`graph_operators`). Pairs of encodings that this operator and its kin have no words for are
operators on tensors of codes, which state what they mean (`any_codes`). An open batch is written as 1.
Metadata ``lowbit.manifest`` says versions, schemes and the file's hash (`manifest`), ``lowbit.names`` what
tables cannot hold (`names`). Constants of a kilobyte or more are aligned to 64 bytes and used where they are
read.
"""

from lowbit.formats.circle.byte_table import ByteRow, byte_table
from lowbit.formats.circle.file_operators import file_operators
from lowbit.formats.circle.manifest import verify_manifest
from lowbit.formats.circle.reader import read, read_content
from lowbit.formats.circle.writer import (
    Written,
    blockers,
    check,
    write,
    written,
)

__all__ = [
    "ByteRow",
    "Written",
    "blockers",
    "byte_table",
    "check",
    "file_operators",
    "read",
    "read_content",
    "verify_manifest",
    "write",
    "written",
]
