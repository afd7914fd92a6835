"""What the doctor of training finds: kinds, each with what to do about it."""

from dataclasses import asdict, dataclass

REMEDIES = {
    "dead sign": (
        "Normalize before the layer (BatchNorm), give what comes before it a PReLU (before_sign), "
        "or let it read its input about the mean (lq:1:offset)."
    ),
    "dead channel": "Look at what makes it: weights and biases that began badly, or a rate too high.",
    "not finite": "Lower the rate, clip gradients, or lengthen the warm-up; look at the samples.",
    "unused codes": (
        "Take fewer bits, or another beginning (activation_gradient or weight_gradient lsq+); "
        "let no weight decay pull at steps (parameter_groups)."
    ),
    "clipped": "The grid is too small for its values: begin by lsq+, and look for outliers before it.",
    "at rest": "Give it to the optimizer (parameter_groups(model, rate) takes all), at a rate above zero.",
    "exploding": "Lower the rate of quantizers (parameter_groups(…, quantizer_rate=…)), or clip gradients.",
    "oscillating": "Lower the rate, let it fall to zero (cosine), or freeze (weight_gradient freeze).",
    "no progress": "Call set_progress(model, part) in every step, part from 0 to 1.",
    "train and eval": (
        "Statistics of normalization are not those of training: a larger batch or momentum, "
        "or reestimate_batchnorm(model, batches) at the end."
    ),
}
"""What to do about every kind of finding."""


@dataclass(frozen=True)
class Finding:
    """Something that is wrong with a layer.

    Attributes:
        kind: one of `REMEDIES`.
        layer: its name.
        found: what was seen, with figures.
    """

    kind: str
    layer: str
    found: str

    @property
    def remedy(self) -> str:
        """What to do."""
        return REMEDIES[self.kind]

    def __str__(self) -> str:
        """A line: the layer, what is wrong, what to do."""
        return f"{self.layer}: {self.kind}: {self.found}. {self.remedy}"

    def to_dict(self) -> dict[str, str]:
        """Return it as plain data."""
        return asdict(self)
