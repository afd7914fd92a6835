"""What quantization did, layer by layer."""

from dataclasses import asdict, dataclass
from typing import Any

from lowbit.ir.layers import FLOAT_BITS
from lowbit.page import Column, bar, element, fragment, name, table


@dataclass(frozen=True)
class LayerReport:
    """One layer.

    Attributes:
        name: the layer's node.
        scheme: of weights and input.
        weight_bits: bits of a weight.
        activation_bits: bits of an input.
        weight_error: squared error of the weights relative to the float weights' squares. Restoring the
            output makes it larger, not smaller.
        output_error: squared error of the layer's output before its activation, relative to its variance
            over the calibration samples; it includes what earlier layers lost.
        seconds: time taken.
    """

    name: str
    scheme: str
    weight_bits: int
    activation_bits: int
    weight_error: float
    output_error: float
    seconds: float


@dataclass(frozen=True)
class Report:
    """All layers in order, how many samples calibrated them, and the time in all."""

    layers: tuple[LayerReport, ...]
    samples: int
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON-ready values."""
        return {**asdict(self), "layers": [asdict(layer) for layer in self.layers]}

    def _repr_html_(self) -> str:
        columns = (
            Column("layer"),
            Column("output error"),
            Column("weight error", number=True),
            Column("scheme"),
            Column("weights", number=True),
            Column("inputs", number=True),
            Column("seconds", number=True),
        )
        largest = max((layer.output_error for layer in self.layers), default=0.0) or 1.0
        rows = [
            (
                name(layer.name),
                bar(layer.output_error / largest, f"{100 * layer.output_error:.2f} %"),
                f"{100 * layer.weight_error:.2f} %",
                layer.scheme,
                _bits(layer.weight_bits),
                _bits(layer.activation_bits),
                f"{layer.seconds:.1f}",
            )
            for layer in self.layers
        ]
        about = f"{len(self.layers)} layers quantized from {self.samples:,} samples in {self.seconds:.1f} s"
        return fragment(element("p", about), table(columns, rows))


def _bits(count: int) -> str:
    return "float" if count == FLOAT_BITS else f"{count} bit{'s' if count > 1 else ''}"
