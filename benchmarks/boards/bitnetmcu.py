"""BitNetMCU's own C and its shipped models as programs of boards: https://github.com/cpldcpu/BitNetMCU."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from .machines import Board
from .programs import BoardError, Program, buffers

MODELS = ("12k", "12k_FP130", "1k", "cnn_16small", "cnn_16", "cnn_32", "cnn_48", "cnn_64")
"""Of its folder `mcu`."""


def program(repository: Path, model: str, board: Board, folder: Path) -> Program:
    """Return a model as its demonstration for microcontrollers calls it; its C is written into `folder`.

    What is its own: model, layers, the function that calls them. Cores that cannot multiply get the layers
    that its authors wrote for such a one (CH32V003).
    """
    demonstration = (repository / "mcu" / "BitNetMCUdemo.c").read_text()
    found = re.search(r"#ifdef MODEL_CNNMNIST.*?\n#endif\n\nvoid TestSample", demonstration, re.DOTALL)
    if found is None:
        raise BoardError(f"{repository} has no demonstration that is known here")
    network = folder / f"bitnetmcu_{model}.c"
    network.write_text(
        f'#include "mcu/BitNetMCU_model_{model}.h"\n#include "BitNetMCU_inference.c"\n'
        + found.group().removesuffix("void TestSample")
    )
    call = f"""{buffers("int8_t", "256", "uint32_t", "1")}
uint32_t BitMnistInference(const int8_t *input);
void program_run(void) {{ program_output[0] = BitMnistInference((const int8_t *)program_input); }}
"""
    flags = (f"-I{repository}", *(("-DCH32V003",) if board.name == "rv32e" else ()))
    return Program(f"BitNetMCU {model}", (network,), call, "i1", "<u4", flags)


def samples(pictures: npt.NDArray[np.uint8]) -> npt.NDArray[np.int8]:
    """Return what its programs take of MNIST `[n, 28, 28]`: 16×16, normalized, 127 the largest of each."""
    small = [
        np.asarray(Image.fromarray(each).resize((16, 16), Image.Resampling.BILINEAR)) for each in pictures
    ]
    normal = (np.stack(small).reshape(len(small), -1).astype(np.float32) / 255 - 0.1307) / np.float32(0.3081)
    scale = 127 / np.maximum(np.abs(normal).max(axis=1, keepdims=True), 1e-5)
    scaled: npt.NDArray[Any] = np.round(normal * scale).clip(-128, 127)
    return scaled.astype(np.int8)
