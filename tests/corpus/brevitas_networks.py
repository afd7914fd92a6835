"""Two small networks of Brevitas at four widths, trained for a few steps; and qonnx's executor.

Runs where Brevitas and qonnx are installed, beside torch and onnx; needs no lowbit.

usage: python brevitas_networks.py make FOLDER SAMPLES.npz     (x [n, 1, 28, 28] in [0, 1], classes [n])
       python brevitas_networks.py run SECONDS FILE=SAMPLES.npy …

`make` writes QONNX and QCDQ of each; `run` takes hundreds of samples and writes FILE.executed.npy, of those
that are done in time. What cannot be made or run is said in FILE.refused.
"""

import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnx

WIDTHS = ("1w1a", "2w2a", "4w4a", "8w8a")
STEPS, BATCH = 150, 64
AT_ONCE = 100  # samples of a call of the executor


def perceptron(bits: int) -> Any:
    """784-64-64-10."""
    from brevitas.nn import QuantIdentity, QuantLinear
    from brevitas_examples.bnn_pynq.models.common import CommonActQuant, CommonWeightQuant
    from brevitas_examples.bnn_pynq.models.tensor_norm import TensorNorm
    from torch import nn

    def activation() -> Any:
        return QuantIdentity(act_quant=CommonActQuant, bit_width=bits)

    def linear(rows: int, columns: int) -> Any:
        return QuantLinear(rows, columns, bias=False, weight_bit_width=bits, weight_quant=CommonWeightQuant)

    layers = [nn.Flatten(), activation()]
    for rows in (784, 64):
        layers += [linear(rows, 64), nn.BatchNorm1d(64), activation()]
    return nn.Sequential(*layers, linear(64, 10), TensorNorm())


def convolutions(bits: int) -> Any:
    """Three convolutions, one of them depthwise and one strided, pooling between them, and a linear layer."""
    from brevitas.nn import QuantConv2d, QuantIdentity, QuantLinear
    from brevitas_examples.bnn_pynq.models.common import CommonActQuant, CommonWeightQuant
    from torch import nn

    def activation() -> Any:
        return QuantIdentity(act_quant=CommonActQuant, bit_width=bits)

    def convolution(ins: int, outs: int, size: int, **more: int) -> list[Any]:
        options = {"bias": False, "weight_bit_width": bits, "weight_quant": CommonWeightQuant, **more}
        return [QuantConv2d(ins, outs, size, **options), nn.BatchNorm2d(outs), activation()]

    layers = [QuantIdentity(act_quant=CommonActQuant, bit_width=8), *convolution(1, 16, 3, padding=1)]
    layers += [nn.MaxPool2d(2), *convolution(16, 16, 3, groups=16), *convolution(16, 32, 3, stride=2)]
    head = QuantLinear(32 * 25, 10, bias=True, weight_bit_width=bits, weight_quant=CommonWeightQuant)
    return nn.Sequential(*layers, nn.Flatten(), head)


NETWORKS = {"perceptron": perceptron, "convolutions": convolutions}


def make(folder: Path, samples: Path) -> None:
    """Train and export; what a format cannot carry is said in ``NAME.refused``."""
    import torch
    from brevitas.export import export_onnx_qcdq, export_qonnx

    torch.set_num_threads(1)
    with np.load(samples) as kept:
        x, classes = torch.tensor(kept["x"]) * 2 - 1, torch.tensor(kept["classes"])
    for name, build in NETWORKS.items():
        for width in WIDTHS:
            torch.manual_seed(0)
            network = build(int(width[0]))
            _train(network, x, classes)
            for form, export in (("qonnx", export_qonnx), ("qcdq", export_onnx_qcdq)):
                path = folder / f"brevitas_{name}-{width}-{form}.onnx"
                try:
                    export(network, args=x[:1], export_path=str(path), dynamo=False)
                except Exception as error:  # whatever the exporter says is a result
                    path.unlink(missing_ok=True)
                    path.with_suffix(".refused").write_text(f"{type(error).__name__}: {error}"[:300])


def _train(network: Any, x: Any, classes: Any) -> None:
    import torch

    for weight in network.parameters():
        if weight.ndim > 1:
            weight.data.uniform_(-1, 1)  # as Brevitas' own examples begin: the range of codes is [-1, 1]
    network.train()
    steps = torch.optim.Adam(network.parameters(), 0.01)
    for _ in range(STEPS):
        chosen = torch.randint(len(x), (BATCH,))
        loss = torch.nn.functional.cross_entropy(network(x[chosen]), classes[chosen])
        steps.zero_grad()
        loss.backward()
        steps.step()
    network.eval()
    with torch.no_grad():
        right = (network(x[:1000]).argmax(1) == classes[:1000]).float().mean()
    sys.stderr.write(f"trained: {right:.3f} of training samples\n")


def run(seconds: float, pairs: list[str]) -> None:
    """Execute files node by node, as qonnx means them, until the time of each is over."""
    _old_models()
    import qonnx.core.onnx_exec as executor
    from qonnx.core.modelwrapper import ModelWrapper
    from qonnx.transformation.infer_shapes import InferShapes

    for pair in pairs:
        path, _, samples = pair.partition("=")
        x, started, made = np.load(samples), time.process_time(), []
        try:
            model = ModelWrapper(_of_batch(onnx.load(path), AT_ONCE)).transform(InferShapes())
            asked, given = model.graph.input[0].name, model.graph.output[0].name
            for start in range(0, len(x), AT_ONCE):
                found = executor.execute_onnx(model, {asked: x[start : start + AT_ONCE]})
                made.append(found[given])
                if time.process_time() - started > seconds:
                    break
        except Exception as error:  # whatever the executor says is a result
            Path(path).with_suffix(".refused").write_text(f"{type(error).__name__}: {error}"[:300])
            continue
        np.save(Path(path).with_suffix(".executed.npy"), np.concatenate(made))


def _of_batch(model: onnx.ModelProto, batch: int) -> onnx.ModelProto:
    """Return the model with its number of samples at once stated, as the executor needs it."""
    del model.graph.value_info[:]
    constants = {tensor.name for tensor in model.graph.initializer}
    asked = [value for value in model.graph.input if value.name not in constants]
    for value in (*asked, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = batch
    del model.graph.input[:]
    model.graph.input.extend(asked)
    return model


def _old_models() -> None:
    """Let onnx make models that the executor's ONNX Runtime takes: its newest version of models is newer."""
    newest = onnx.helper.make_model

    def older(*words: Any, **more: Any) -> onnx.ModelProto:
        model = newest(*words, **more)
        model.ir_version = 10
        return model

    onnx.helper.make_model = older


if __name__ == "__main__":
    if sys.argv[1] == "make":
        make(Path(sys.argv[2]), Path(sys.argv[3]))
    else:
        run(float(sys.argv[2]), sys.argv[3:])
