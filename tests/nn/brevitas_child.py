"""Run by a Python that has Brevitas: codes and outputs of its layers for the weights and inputs of a file.

python brevitas_child.py IN.npz OUT.npz
"""

import sys

import numpy as np
import torch
from brevitas.nn import QuantConv2d, QuantIdentity, QuantLinear
from brevitas.quant import (
    Int8ActPerTensorFixedPoint,
    Int8WeightPerChannelFloat,
    Int8WeightPerTensorFixedPoint,
    SignedBinaryActPerTensorConst,
    SignedBinaryWeightPerTensorConst,
    Uint8ActPerTensorFloat,
)


def main() -> None:
    given = {name: torch.from_numpy(array) for name, array in np.load(sys.argv[1]).items()}
    weight, x = given["weight"], given["x"]
    rows = (weight.flatten(1), x[:, :, :3, :3].flatten(1))
    found: dict[str, np.ndarray] = {}
    kinds = {
        "binary": (SignedBinaryWeightPerTensorConst, {}, SignedBinaryActPerTensorConst, weight, x),
        "affine": (
            Int8WeightPerChannelFloat,
            {"weight_bit_width": 4},
            Uint8ActPerTensorFloat,
            weight,
            x.abs(),
        ),
        "fixed": (Int8WeightPerTensorFixedPoint, {}, Int8ActPerTensorFixedPoint, *rows),
    }
    for name, (weight_quant, settings, act_quant, constants, values) in kinds.items():
        outputs, inputs = constants.shape[:2]
        settings = {"bias": False, "weight_quant": weight_quant, **settings}
        if constants.dim() == 4:
            layer = QuantConv2d(inputs, outputs, 3, padding=1, **settings)
        else:
            layer = QuantLinear(inputs, outputs, **settings)
        layer.weight.data = constants.clone()
        identity = QuantIdentity(act_quant=act_quant, return_quant_tensor=True)
        identity.train()(values)
        identity.eval(), layer.eval()
        quantized_weight, quantized_input = layer.quant_weight(), identity(values)
        found |= {
            f"{name}_weight": quantized_weight.value.detach().numpy(),
            f"{name}_weight_scale": quantized_weight.scale.detach().numpy().reshape(-1),
            f"{name}_input": quantized_input.value.detach().numpy(),
            f"{name}_input_scale": quantized_input.scale.detach().numpy().reshape(-1),
            f"{name}_output": layer(quantized_input.value).detach().numpy(),
        }
    np.savez(sys.argv[2], **found)


if __name__ == "__main__":
    main()
