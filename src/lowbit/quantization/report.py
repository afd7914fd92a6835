"""What quantization did, layer by layer."""

from dataclasses import asdict, dataclass
from typing import Any


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
