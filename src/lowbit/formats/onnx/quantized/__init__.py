"""Networks that come quantized: QDQ and QCDQ, QOperator, dynamic scales, QONNX.

Every form becomes encoders, decoders and float operators between them, which mean what the file says; the
passes of `lowbit.ir.passes.RECOGNISED_FORM` then find the layers between codes.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from lowbit.formats.onnx.importer import Importer
from lowbit.formats.onnx.quantized.ends import decode_outputs
from lowbit.formats.onnx.quantized.grid import Grid
from lowbit.formats.onnx.quantized.linear import dequantize_linear, quantize_linear
from lowbit.ir.graph import Attribute

if TYPE_CHECKING:
    from onnx import NodeProto

Read = Callable[[Importer, "NodeProto", dict[str, Attribute]], None]

FOREIGN: dict[tuple[str, str], Read] = {
    **{(domain, "QuantizeLinear"): quantize_linear for domain in ("", "com.microsoft")},
    **{(domain, "DequantizeLinear"): dequantize_linear for domain in ("", "com.microsoft")},
}
"""What reads each operator, by domain and name."""

__all__ = ["FOREIGN", "Grid", "decode_outputs"]
