"""Networks that come quantized: QDQ and QCDQ, QOperator, dynamic scales, QONNX.

Every form becomes encoders, decoders and float operators between them, which mean what the file says; the
passes of `lowbit.ir.passes.RECOGNISED_FORM` then find the layers between codes.
"""

from lowbit.formats.onnx.quantized import dynamic, operators
from lowbit.formats.onnx.quantized.blocks import matmul_nbits
from lowbit.formats.onnx.quantized.chosen import choose
from lowbit.formats.onnx.quantized.ends import decode_outputs
from lowbit.formats.onnx.quantized.grid import Grid
from lowbit.formats.onnx.quantized.linear import dequantize_linear, quantize_linear
from lowbit.formats.onnx.quantized.qonnx import DOMAINS, bipolar_quant, quant, trunc

FOREIGN: dict[tuple[str, str], operators.Read] = {
    **{(domain, "QuantizeLinear"): quantize_linear for domain in ("", "com.microsoft")},
    **{(domain, "DequantizeLinear"): dequantize_linear for domain in ("", "com.microsoft")},
    **{(domain, name): quant for domain in DOMAINS for name in ("Quant", "IntQuant")},
    **{(domain, "BipolarQuant"): bipolar_quant for domain in DOMAINS},
    **{(domain, "Trunc"): trunc for domain in DOMAINS},
    **operators.OPERATORS,
    **dynamic.OPERATORS,
    (operators.MICROSOFT, "MatMulNBits"): matmul_nbits,
}
"""What reads each operator, by domain and name."""

__all__ = ["FOREIGN", "Grid", "choose", "decode_outputs"]
