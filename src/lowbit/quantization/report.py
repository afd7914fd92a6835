"""What quantization did, layer by layer."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Literal

from lowbit.ir.layers import FLOAT_BITS
from lowbit.page import Column, bar, element, fragment, name, table
from lowbit.quantization.kept import KeptReport

Verdict = Literal["good", "low", "broken", "not measured"]

LEAST_AGREEMENT, LEAST_SNR_DB = (0.9, 0.5), (10.0, 0.0)
"""What is good, and what is not broken."""

_SHOWN = 4  # names of a region


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
        output_error: squared error of what the deployed integers give before the activation, relative to
            the float output's variance over the calibration samples (to its power, where it never changes);
            it includes what earlier layers lost.
        seconds: time taken.
        uses: how many layers of the network share these weights, as the steps of a recurrent layer do.
    """

    name: str
    scheme: str
    weight_bits: int
    activation_bits: int
    weight_error: float
    output_error: float
    seconds: float
    uses: int = 1


@dataclass(frozen=True)
class SumsReport:
    """A region of sums and means between layers, or several that stay real for one reason.

    Attributes:
        names: of the sums and means in it.
        form: their fixed-point format, such as `fixed:5.11`; "" where they stay real.
        why: why they stay real; "" where they do not.
    """

    names: tuple[str, ...]
    form: str
    why: str

    def __str__(self) -> str:
        shown = ", ".join(self.names[:_SHOWN])
        more = f" and {len(self.names) - _SHOWN} more" if len(self.names) > _SHOWN else ""
        return f"Sums {shown}{more}: {self.form or f'real, since {self.why}'}."


def sums_reports(found: Iterable[tuple[tuple[str, ...], str, str]]) -> tuple[SumsReport, ...]:
    """Return the reports of regions: names, format, and why they stay real; alike ones that stay are one."""
    real: dict[str, tuple[str, ...]] = {}
    made = []
    for names, form, why in found:
        if form:
            made.append(SumsReport(names, form, why))
        else:
            real[why] = (*real.get(why, ()), *names)
    return (*made, *(SumsReport(names, "", why) for why, names in real.items()))


@dataclass(frozen=True)
class Report:
    """What was made, and how near to the float network it is.

    Attributes:
        layers: in order.
        samples: how many calibrated.
        seconds: in all.
        outliers: how many of the samples are unlike all others, and were left out of calibrating a layer.
        agreement: share of samples for which the low-bit network has the class of the float one; None where
            it was not measured, or the output is no scores of classes.
        output_snr_db: of the low-bit network's output, 10 log10(sum x^2 / sum (x - y)^2), within 300 dB;
            None where it was not measured.
        checked: how many samples measured both; they did not calibrate what they measured.
        sums: what became of sums and means between layers; empty where there are none, or the plan leaves
            them real.
        kept: what multiplies by weights and stays float, and why.
    """

    layers: tuple[LayerReport, ...]
    samples: int
    seconds: float
    outliers: int = 0
    agreement: float | None = None
    output_snr_db: float | None = None
    checked: int = 0
    sums: tuple[SumsReport, ...] = ()
    kept: tuple[KeptReport, ...] = ()

    @property
    def verdict(self) -> Verdict:
        """Whether the low-bit network does what the float one does, as far as was measured.

        `low` below 90 % of equal classes, `broken` below 50 %; below 10 and 0 dB where there are no classes.
        """
        measured, limits = (
            (self.output_snr_db, LEAST_SNR_DB)
            if self.agreement is None
            else (self.agreement, LEAST_AGREEMENT)
        )
        if measured is None:
            return "not measured"
        return "broken" if measured < limits[1] else "low" if measured < limits[0] else "good"

    @property
    def measured(self) -> str:
        """What was measured of the network, in a sentence."""
        if self.output_snr_db is None:
            return "Agreement with the float network: not measured (no samples that did not calibrate)."
        classes = "" if self.agreement is None else f"{self.agreement:.1%} of classes, "
        return (
            f"Agreement with the float network: {classes}output at {self.output_snr_db:.1f} dB, over "
            f"{self.checked:,} samples that did not calibrate."
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON-ready values."""
        found = asdict(self)
        return {name: list(value) if isinstance(value, tuple) else value for name, value in found.items()}

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
        said = [element("p", str(found)) for found in (*self.sums, *self.kept)]
        about = f"{len(self.layers)} layers quantized from {self.samples:,} samples in {self.seconds:.1f} s"
        return fragment(element("p", about), element("p", self.measured), table(columns, rows), *said)


def _bits(count: int) -> str:
    return "float" if count == FLOAT_BITS else f"{count} bit{'s' if count > 1 else ''}"
