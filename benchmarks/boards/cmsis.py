"""CMSIS-NN's own C running an int8 ``.tflite``: https://github.com/ARM-software/CMSIS-NN.

Its functions are called one after the other, as TensorFlow Lite Micro does: that is all this writes. A mean
over the whole map is its average pool, whose result keeps the map's scale. Its RAM is not planned here: no
figure of it is meant.
"""

from dataclasses import dataclass, field
from math import frexp
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from ai_edge_litert import schema_py_generated as schema

from .programs import Program, buffers

_OPERATORS = {value: name for name, value in vars(schema.BuiltinOperator).items() if isinstance(value, int)}
_FOLDERS = (
    "ActivationFunctions",
    "BasicMathFunctions",
    "ConvolutionFunctions",
    "FullyConnectedFunctions",
    "NNSupportFunctions",
    "PoolingFunctions",
)


def program(repository: Path, network: Path, folder: Path) -> Program:
    """Return a network of convolutions, sums, means and layers; its calls are written into `folder`."""
    model = schema.ModelT.InitFromPackedBuf(network.read_bytes(), 0)
    calls = _Calls(model)
    source = folder / "calls.c"
    source.write_text(calls.text())
    sources = [
        path
        for name in _FOLDERS
        for path in sorted((repository / "Source" / name).glob("*.c"))
        if not any(word in path.stem for word in ("_f16", "_f32", "lstm", "svdf"))
    ]
    call = f"""{buffers("int8_t", str(calls.inputs), "int8_t", str(calls.outputs))}
void network(const int8_t *input, int8_t *output);
void program_run(void) {{ network((const int8_t *)program_input, (int8_t *)program_output); }}
"""
    include = (f"-I{repository / 'Include'}", "-Wno-attributes")
    return Program(f"CMSIS-NN {network.name}", (source, *sources), call, "i1", "i1", include)


def samples(network: Path, given: npt.NDArray[np.float32]) -> npt.NDArray[np.int8]:
    """Return what the network takes of maps `[n, h, w, c]`: quantized."""
    model = schema.ModelT.InitFromPackedBuf(network.read_bytes(), 0)
    graph = model.subgraphs[0]
    quantization = graph.tensors[graph.inputs[0]].quantization
    codes = np.round(given / quantization.scale[0]) + quantization.zeroPoint[0]
    made: npt.NDArray[np.int8] = np.clip(codes, -128, 127).astype(np.int8)
    return made


def reals(network: Path, codes: npt.NDArray[np.int8]) -> npt.NDArray[np.float32]:
    """Return what the codes of a network's input stand for."""
    model = schema.ModelT.InitFromPackedBuf(network.read_bytes(), 0)
    graph = model.subgraphs[0]
    quantization = graph.tensors[graph.inputs[0]].quantization
    levels = (codes.astype(np.float64) - quantization.zeroPoint[0]) * np.float64(quantization.scale[0])
    made: npt.NDArray[np.float32] = levels.astype(np.float32)
    return made


@dataclass
class _Calls:
    """The text of a network's calls while it grows."""

    model: Any
    constants: list[str] = field(default_factory=list)
    body: list[str] = field(default_factory=list)
    padded: dict[int, tuple[int, int, int]] = field(default_factory=dict)
    meant: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.graph = self.model.subgraphs[0]
        self.inputs, self.outputs = (
            int(np.prod(self.graph.tensors[number].shape))
            for number in (self.graph.inputs[0], self.graph.outputs[0])
        )
        for operator in self.graph.operators:
            code = self.model.operatorCodes[operator.opcodeIndex]
            name = _OPERATORS[max(code.builtinCode, code.deprecatedBuiltinCode)]
            getattr(self, f"_{name.lower()}")(operator)

    def text(self) -> str:
        """Return the file."""
        made = {int(number) for operator in self.graph.operators for number in operator.outputs}
        made -= {int(self.graph.outputs[0]), *self.padded}
        tensors = [f"static int8_t t{number}[{np.prod(self._shape(number))}];" for number in sorted(made)]
        lines = [
            '#include "arm_nnfunctions.h"',
            "static int32_t buffer[16384];",
            "static cmsis_nn_context context = {buffer, sizeof(buffer)};",
            *self.constants,
            *tensors,
            "void network(const int8_t *input, int8_t *output)\n{",
            *(f"  {line}" for line in self.body),
            "}\n",
        ]
        return "\n".join(lines)

    def _shape(self, number: int) -> list[int]:
        return [int(length) for length in self.graph.tensors[number].shape]

    def _scale(self, number: int) -> tuple[npt.NDArray[np.float64], int]:
        quantization = self.graph.tensors[self.meant.get(number, number)].quantization
        return np.asarray(quantization.scale, np.float64), int(quantization.zeroPoint[0])

    def _name(self, number: int) -> str:
        if number == self.graph.inputs[0]:
            return "input"
        return "output" if number == self.graph.outputs[0] else f"t{number}"

    def _data(self, number: int, kind: type, ctype: str) -> str:
        data = np.frombuffer(bytes(self.model.buffers[self.graph.tensors[number].buffer].data), kind)
        return self._array(ctype, data, f"c{number}")

    def _array(self, ctype: str, data: Any, name: str) -> str:
        numbers = ", ".join(map(str, np.asarray(data).reshape(-1).tolist()))
        self.constants.append(f"static const {ctype} {name}[] = {{{numbers}}};")
        return name

    def _dims(self, shape: list[int]) -> str:
        return f"&(const cmsis_nn_dims){{{', '.join(map(str, shape))}}}"

    def _ends(self, options: Any, out_zero: int) -> str:
        relu = options.fusedActivationFunction == schema.ActivationFunctionType.RELU
        return f"{{{out_zero if relu else -128}, 127}}"

    def _per_channel(self, operator: Any, name: str) -> str:
        source, weights, _ = (int(number) for number in operator.inputs)
        factors = (
            self._scale(source)[0][0] * self._scale(weights)[0] / self._scale(int(operator.outputs[0]))[0][0]
        )
        pairs = [quantized(float(factor)) for factor in factors]
        multipliers = self._array("int32_t", [pair[0] for pair in pairs], f"m{name}")
        shifts = self._array("int32_t", [pair[1] for pair in pairs], f"s{name}")
        return f"(int32_t *){multipliers}, (int32_t *){shifts}"

    def _pad(self, operator: Any) -> None:
        pads = np.frombuffer(
            bytes(self.model.buffers[self.graph.tensors[operator.inputs[1]].buffer].data), np.int32
        ).reshape(-1, 2)
        self.padded[int(operator.outputs[0])] = (int(operator.inputs[0]), int(pads[1, 0]), int(pads[2, 0]))

    def _window(self, operator: Any, depthwise: bool) -> None:
        options = operator.builtinOptions
        source, weights, bias = (int(number) for number in operator.inputs)
        target = int(operator.outputs[0])
        filters, to = self._shape(weights), self._shape(target)
        if source in self.padded:
            source, top, left = self.padded[source]
        elif options.padding == schema.Padding.SAME:
            lengths = self._shape(source)
            top, left = (
                max((to[axis] - 1) * stride + filters[axis] - lengths[axis], 0) // 2
                for axis, stride in ((1, options.strideH), (2, options.strideW))
            )
        else:
            top = left = 0
        zero, out_zero = self._scale(source)[1], self._scale(target)[1]
        kind = "dw_conv" if depthwise else "conv"
        function = "arm_depthwise_conv_wrapper_s8" if depthwise else "arm_convolve_wrapper_s8"
        settings = (
            f"{-zero}, {out_zero}, {'1, ' if depthwise else ''}{{{options.strideW}, {options.strideH}}}, "
            f"{{{left}, {top}}}, {{1, 1}}, {self._ends(options, out_zero)}"
        )
        call = (
            f"&context, &(const cmsis_nn_{kind}_params){{{settings}}}, "
            f"&(const cmsis_nn_per_channel_quant_params){{{self._per_channel(operator, str(target))}}}, "
            f"{self._dims(self._shape(source))}, {self._name(source)}, {self._dims(filters)}, "
            f"{self._data(weights, np.int8, 'int8_t')}, {self._dims([1, 1, 1, to[3]])}, "
            f"{self._data(bias, np.int32, 'int32_t')}, {self._dims(to)}, {self._name(target)}"
        )
        self.body.append(f"{function}({call});")

    def _conv_2d(self, operator: Any) -> None:
        self._window(operator, depthwise=False)

    def _depthwise_conv_2d(self, operator: Any) -> None:
        self._window(operator, depthwise=True)

    def _mean(self, operator: Any) -> None:
        source, target = int(operator.inputs[0]), int(operator.outputs[0])
        lengths = self._shape(source)
        self.meant[target] = source
        window = self._dims([1, lengths[1], lengths[2], 1])
        self.body.append(
            f"arm_avgpool_s8(&context, &(const cmsis_nn_pool_params){{{{1, 1}}, {{0, 0}}, {{-128, 127}}}}, "
            f"{self._dims(lengths)}, {self._name(source)}, {window}, {self._dims([1, 1, 1, lengths[3]])}, "
            f"{self._name(target)});"
        )

    def _fully_connected(self, operator: Any) -> None:
        source, weights, bias = (int(number) for number in operator.inputs)
        target = int(operator.outputs[0])
        features, outputs = self._shape(weights)[1], self._shape(weights)[0]
        zero, out_zero = self._scale(source)[1], self._scale(target)[1]
        ends = self._ends(operator.builtinOptions, out_zero)
        call = (
            f"&context, &(const cmsis_nn_fc_params){{{-zero}, 0, {out_zero}, {ends}}}, "
            f"&(const cmsis_nn_quant_params){{{self._per_channel(operator, str(target))}, 1}}, "
            f"{self._dims([1, 1, 1, features])}, {self._name(source)}, "
            f"{self._dims([features, 1, 1, outputs])}, {self._data(weights, np.int8, 'int8_t')}, "
            f"{self._dims([1, 1, 1, outputs])}, {self._data(bias, np.int32, 'int32_t')}, "
            f"{self._dims([1, 1, 1, outputs])}, {self._name(target)}"
        )
        self.body.append(f"arm_fully_connected_wrapper_s8({call});")

    def _add(self, operator: Any) -> None:
        first, second = (int(number) for number in operator.inputs)
        target = int(operator.outputs[0])
        scales = [float(self._scale(number)[0][0]) for number in (first, second, target)]
        twice, left = 2 * max(scales[:2]), 20
        factors = [quantized(scale / twice) for scale in scales[:2]]
        out, out_zero = quantized(twice / ((1 << left) * scales[2])), self._scale(target)[1]
        ends = self._ends(operator.builtinOptions, out_zero).strip("{}")
        parts = [
            f"{-self._scale(number)[1]}, {factor[0]}, {factor[1]}"
            for number, factor in zip((first, second), factors, strict=True)
        ]
        self.body.append(
            f"arm_elementwise_add_s8({self._name(first)}, {self._name(second)}, {', '.join(parts)}, {left}, "
            f"{self._name(target)}, {out_zero}, {out[0]}, {out[1]}, {ends}, {np.prod(self._shape(target))});"
        )


def quantized(factor: float) -> tuple[int, int]:
    """Return a factor as a multiplier of 31 bits and a shift to the left, as TensorFlow Lite does."""
    mantissa, exponent = frexp(factor)
    multiplier = round(mantissa * (1 << 31))
    if multiplier == 1 << 31:
        multiplier, exponent = multiplier // 2, exponent + 1
    return multiplier, exponent
