from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lowbit.program.steps import Step

Ends = list[tuple[str, str, Sequence[str], Sequence[int]]]

class Loader:
    def __init__(
        self, features: Sequence[int], level: str = "", allowed: int = ..., path: str = ""
    ) -> None: ...
    def take(self, bytes: int) -> None: ...
    def add(self, step: Step, value: str = "", why: str = "") -> None: ...
    def finish(
        self,
        outputs: Sequence[int],
        ports: Sequence[tuple[str, Sequence[int]]],
        by_rows: bool = True,
        threads: int = 1,
        pinned: bool = False,
    ) -> Program: ...

class Program:
    origin: Any
    @property
    def run(self) -> Callable[..., Any]: ...
    @property
    def run_into(self) -> Callable[..., None]: ...
    def trace(self, arrays: tuple[NDArray[Any], ...]) -> list[tuple[str, str, NDArray[Any]]]: ...
    def profile(self, arrays: tuple[NDArray[Any], ...], repeats: int = 20) -> list[float]: ...
    @property
    def threads(self) -> int: ...
    @property
    def arena_bytes(self) -> int: ...
    @property
    def merges_codes(self) -> bool: ...
    @property
    def constant_bytes(self) -> int: ...
    @property
    def work(self) -> list[tuple[str, float]]: ...
    @property
    def steps(self) -> list[tuple[str, str, str, str]]: ...

def sign_convolution(
    shape: Sequence[int],
    rows: Sequence[int],
    columns: Sequence[int],
    planes: NDArray[np.uint32],
    scale: NDArray[np.float64],
    threads: int = 1,
) -> Program: ...
def open(
    content: bytes,
    where: str,
    level: str = "",
    allowed: int = ...,
    path: str = "",
    threads: int = 1,
    pinned: bool = False,
) -> tuple[
    Program,
    Ends,
    Ends,
    list[tuple[str, str, Sequence[int], int, Sequence[int]]],
    bool,
    bool,
    dict[str, str],
]: ...
def file_lines() -> list[str]: ...
def levels() -> list[str]: ...
def step_fields() -> dict[str, dict[str, str]]: ...
def cpu_features() -> dict[str, bool]: ...
def measure_peak(level: str = "") -> dict[str, float]: ...
