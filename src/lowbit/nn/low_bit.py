"""What every low-bit layer is: a layer of torch whose weights and inputs have specifications.

While training, a layer multiplies levels; padding is true zero. In eval mode it computes what is deployed
(`lowbit.nn.deployed`). A layer that is called in several places has a quantizer of its input for each of
them, in the order of the calls.
"""

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from lowbit.errors import PlanError, UnsupportedError
from lowbit.nn.quantizers import input_quantizer, weight_quantizer
from lowbit.nn.specification import Specification, specification
from lowbit.nn.unchanged import Unchanged
from lowbit.schemes import Encoding, pair
from lowbit.schemes.coded import CodedWeights
from lowbit.schemes.training.quantizer import InputQuantizer, WeightQuantizer

Made = TypeVar("Made")
Text = str | Specification
Product = Callable[..., Tensor]

BOUND_BESIDE_BYTES = 63
"""What learned weights keep to beside inputs of 5 to 8 bits, so that their products are of bytes."""
_BYTES = range(5, 9)


class LowBit(nn.Module):
    """A low-bit layer; it stands before a layer of torch among the bases of a class.

    Attributes:
        weight_specification: of the weights.
        activation: of the input.
        weight_quantizer: None where weights are float.
        input_quantizer: of the first place; None where the input is float.
        other_inputs: those of other places.
    """

    weight: nn.Parameter
    bias: nn.Parameter | None
    weight_specification: Specification
    activation: Specification
    weight_quantizer: WeightQuantizer | None
    input_quantizer: InputQuantizer | None
    other_inputs: nn.ModuleList | None
    has_grid = True  # whether there is a fixed-point form of such a layer
    kept: dict[object, Any] | None = None  # what weights and encodings are, while they stay the same
    _deployed: Unchanged | None = None  # the same in eval mode, as long as nothing of the layer changes
    _place = 0

    def quantize(
        self,
        weight: Text,
        activation: Text,
        weight_gradient: str | None = None,
        activation_gradient: str | None = None,
        scale: str | None = None,
        places: int = 1,
    ) -> None:
        """Say what the layer is to be; it has no quantizers before.

        Raises:
            PlanError: what does not exist, or does not go together.
            UnsupportedError: a convolution in fixed point.
        """
        forms = _checked(specification(weight), specification(activation))
        if not self.has_grid and all(form.has_format for form in forms):
            raise UnsupportedError("convolutions have no fixed-point form yet", expected="another scheme")
        shape = self.outputs_first(self.weight).shape
        weights = weight_quantizer(forms[0], shape[0], weight_gradient, scale)
        inputs = [input_quantizer(forms[1], activation_gradient) for _ in range(places)]
        for quantizer in inputs:
            if quantizer is not None:
                quantizer.shaped(shape[1] * getattr(self, "groups", 1), len(shape) - 2)
        if weights is not None:
            weights.shaped(shape)
            if forms[1].bits in _BYTES:
                weights.bound = BOUND_BESIDE_BYTES
        self.weight_specification, self.activation = forms
        self.weight_quantizer, self.input_quantizer = weights, inputs[0]
        self.other_inputs = None
        if places > 1 and inputs[0] is not None:
            self.other_inputs = nn.ModuleList(each for each in inputs[1:] if each is not None)

    def quantizers(self) -> Iterator[WeightQuantizer | InputQuantizer]:
        """Yield those that the layer has."""
        yield from (each for each in (self.weight_quantizer, *self.inputs()) if each is not None)

    def inputs(self) -> list[InputQuantizer]:
        """Return what quantizes the input, place by place."""
        first = [] if self.input_quantizer is None else [self.input_quantizer]
        return [*first, *(self.other_inputs or [])]

    def next_input(self) -> InputQuantizer | None:
        """Return the quantizer of the place of this call."""
        if self.other_inputs is None:
            return self.input_quantizer
        inputs = self.inputs()
        self._place = (self._place + 1) % len(inputs)
        return inputs[self._place - 1]

    def begin(self) -> None:
        """Say that the next call is the first one of the network."""
        self._place = 0

    def outputs_first(self, weight: Tensor) -> Tensor:
        """Return weights with the outputs along their first axis."""
        return weight

    def as_stored(self, weight: Tensor) -> Tensor:
        """Return weights with outputs first as the layer stores them."""
        return weight

    def product(self, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        """Return what the layer of torch computes, of weights with outputs first."""
        raise NotImplementedError

    def low_bit(self, x: Tensor, product: Product, reads: InputQuantizer | None = None) -> Tensor:
        """Return what the layer gives, by a product of levels; `reads` is the quantizer of a chosen place."""
        from lowbit.nn.deployed import deployed

        own = self._parameters.get("weight")
        if own is not None and own.dtype != torch.float32:
            raise UnsupportedError(
                "low-bit layers have weights in float32",
                expected="float32",
                found=str(own.dtype).removeprefix("torch."),
                remedy="Keep the model in float32, and train under torch.autocast(device, torch.bfloat16).",
            )
        reads, has = reads or self.next_input(), self.weight_quantizer
        x = x if reads is None else reads.before(x)
        if self.training and self._deployed is not None:
            self._deployed = None
        if not self.training:
            return deployed(self, reads, x, product)
        x = x if reads is None else reads(x)
        weight = self.outputs_first(self.weight)
        if has is None:
            return product(x, weight, self.bias)
        return product(x, has(weight), None if self.bias is None else has.bias(self.bias))

    def input_encoding(self, reads: InputQuantizer) -> Encoding:
        """Return what the codes of an input mean; affine codes meet others as planes and a basis."""
        forms = self.weight_specification, self.activation
        return self._once(id(reads), lambda: pair.input_encoding(reads.encoding(), *forms))

    def coded(self, weight: Tensor) -> CodedWeights:
        """Return codes of weights; some are quantized."""
        assert self.weight_quantizer is not None
        quantizer = self.weight_quantizer
        return self._once("coded", lambda: quantizer.coded(weight))

    def integers(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Return small integers of weights, and their scale; some are quantized."""
        assert self.weight_quantizer is not None
        quantizer = self.weight_quantizer
        return self._once("integers", lambda: quantizer.deployed(weight))

    def _once(self, key: object, make: Callable[[], Made]) -> Made:
        kept = self.kept
        if kept is None:
            if self.training:
                return make()
            self._deployed = self._deployed or Unchanged()
            state = (each for quantizer in self.quantizers() for each in quantizer.state_dict().values())
            kept = self._deployed.facts([self.weight, *state])
        if key not in kept:
            kept[key] = make()
        return kept[key]  # type: ignore[no-any-return]

    def extra_repr(self) -> str:
        """Return the arguments."""
        forms = f"weight={self.weight_specification}, activation={self.activation}"
        return f"{super().extra_repr()}, {forms}"

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *others: Any) -> None:
        """Load a state; quantizers begin again where weights come without theirs, as from a float model."""
        if f"{prefix}weight" in state_dict:
            for name, module in self.named_children():
                if not any(key.startswith(f"{prefix}{name}.") for key in state_dict):
                    for quantizer in (module, *module.children()):
                        if isinstance(quantizer, WeightQuantizer | InputQuantizer):
                            quantizer.forget()
        super()._load_from_state_dict(state_dict, prefix, *others)


def _checked(weight: Specification, activation: Specification) -> tuple[Specification, Specification]:
    """Return the two if they go together: a format has no range to learn, so only with the same one."""
    formats = weight.has_format or activation.has_format
    if formats and weight != activation and not (weight.is_float or activation.is_float):
        raise PlanError(
            "fixed point goes with fixed point of the same format", found=f"{weight} with {activation}"
        )
    return weight, activation
