from collections.abc import Callable, Sequence
from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import NDArray

class Epilogue:
    @staticmethod
    def planes(thresholds: NDArray[np.int32], table: NDArray[np.uint8]) -> Epilogue: ...
    @staticmethod
    def bytes(thresholds: NDArray[np.int32], table: NDArray[np.uint8]) -> Epilogue: ...
    @staticmethod
    def affine(
        scale: NDArray[np.float64], out_scale: float, out_zero: float, out_top: float = 255.0
    ) -> Epilogue: ...
    @staticmethod
    def real(scale: NDArray[np.float64], bias: NDArray[np.float64]) -> Epilogue: ...

class Function(Enum):
    identity = 0
    tanh = 1
    sigmoid = 2
    elu = 3
    exponential = 4
    logarithm = 5
    absolute = 6

class Arithmetic(Enum):
    add = 0
    subtract = 1
    multiply = 2
    divide = 3
    subtract_from = 4
    divide_into = 5

class Builder:
    def __init__(self, features: int, level: str = "", allowed: int = ...) -> None: ...
    def take(self, bytes: int) -> None: ...
    def encode_planes(self, x: int, thresholds: NDArray[np.float32], table: NDArray[np.uint8]) -> int: ...
    def encode_bytes(self, x: int, thresholds: NDArray[np.float32], table: NDArray[np.uint8]) -> int: ...
    def encode_affine(self, x: int, scale: float, zero: float, top: float = 255.0) -> int: ...
    def plane_fully_connected(
        self,
        x: int,
        planes: NDArray[np.uint32],
        factors: NDArray[np.int32],
        offsets: NDArray[np.int32],
        input_factors: NDArray[np.int32],
        epilogue: Epilogue,
    ) -> int: ...
    def byte_fully_connected(
        self,
        x: int,
        weights: NDArray[np.int8],
        constant: NDArray[np.int32],
        row_factor: NDArray[np.int32],
        epilogue: Epilogue,
    ) -> int: ...
    def float_fully_connected(
        self, x: int, weights: NDArray[np.float32], bias: NDArray[np.float32]
    ) -> int: ...
    def weight_only_fully_connected(
        self,
        x: int,
        planes: NDArray[np.uint32],
        factors: NDArray[np.float32],
        offsets: NDArray[np.float32],
        bias: NDArray[np.float32],
    ) -> int: ...
    def look_up(self, x: int, table: NDArray[np.uint8]) -> int: ...
    def decode(self, x: int, table: NDArray[np.float32]) -> int: ...
    def activate(self, x: int, function: Function) -> int: ...
    def clip(self, x: int, low: float, high: float) -> int: ...
    def combine(self, x: int, y: int, operation: Arithmetic) -> int: ...
    def combine_constant(self, x: int, row: NDArray[np.float32], operation: Arithmetic) -> int: ...
    def softmax(self, x: int, logarithm: bool = False) -> int: ...
    def finish(
        self,
        output: int,
        input_shape: Sequence[int],
        output_shape: Sequence[int],
        threads: int = 1,
        pinned: bool = False,
    ) -> Program: ...

class Program:
    origin: Any
    @property
    def run(self) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]: ...
    @property
    def run_into(self) -> Callable[[NDArray[np.float32], NDArray[np.float32]], None]: ...
    def trace(self, x: NDArray[np.float32]) -> list[tuple[str, str, NDArray[Any]]]: ...
    def profile(self, x: NDArray[np.float32], repeats: int = 20) -> list[float]: ...
    @property
    def threads(self) -> int: ...
    @property
    def arena_bytes(self) -> int: ...
    @property
    def constant_bytes(self) -> int: ...
    @property
    def steps(self) -> list[tuple[str, str]]: ...

def sign_convolution(
    shape: Sequence[int],
    rows: Sequence[int],
    columns: Sequence[int],
    planes: NDArray[np.uint32],
    scale: NDArray[np.float64],
    threads: int = 1,
) -> Program: ...
def levels() -> list[str]: ...
def kernels(level: str = "") -> dict[str, str]: ...
def cpu_features() -> dict[str, bool]: ...
def measure_peak(level: str = "") -> dict[str, float]: ...
