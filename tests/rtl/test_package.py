"""The driver, with an imitation of PYNQ's DMA; what the scripts are filled with."""

import importlib.util
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from lowbit.errors import PlanError
from lowbit.quantization import Plan
from lowbit.rtl.design import Design
from lowbit.rtl.hardware import hardware
from lowbit.rtl.lst.design import lst_design
from lowbit.rtl.package import write_pynq
from lowbit.rtl.report import Bench
from tests.rtl.array.networks import perceptron, quantized
from tests.rtl.networks import expected_beats, network_and_bench


class Buffer(np.ndarray):
    """A buffer as `pynq.allocate` gives it; those not given back are counted."""

    held = 0

    def freebuffer(self) -> None:
        Buffer.held -= 1


def allocate(shape: tuple[int, ...], dtype: np.dtype) -> Buffer:  # type: ignore[type-arg]
    Buffer.held += 1
    return np.zeros(shape, dtype).view(Buffer)


class Dma:
    """Both channels of a DMA, and an engine that knows its answers; a transfer is a packet."""

    def __init__(self, beats: np.ndarray, pictures: np.ndarray) -> None:  # type: ignore[type-arg]
        self._answers = {picture.tobytes(): row for picture, row in zip(pictures, beats, strict=True)}
        self._size, self.packets = pictures[0].size, 0
        self._waiting: Buffer | None = None
        self.sendchannel = SimpleNamespace(transfer=self._send, wait=self._wait)
        self.recvchannel = SimpleNamespace(transfer=self._receive, wait=self._wait)

    def _receive(self, buffer: Buffer) -> None:
        assert self._waiting is None
        self._waiting = buffer

    def _send(self, buffer: Buffer) -> None:
        assert self._waiting is not None, "the receiver has to be ready before the first score"
        pictures = np.asarray(buffer).reshape(-1, self._size)
        answer = np.concatenate([self._answers[picture.tobytes()] for picture in pictures])
        assert answer.nbytes == self._waiting.nbytes
        self._waiting[:] = answer
        self.packets += 1

    def _wait(self) -> None:
        if self._waiting is not None and self.packets:
            self._waiting = None


def driver_of(design: Design, folder: Path) -> ModuleType:
    """Return the driver that is written for a design."""
    write_pynq(design, folder)
    specification = importlib.util.spec_from_file_location("driver", folder / "driver.py")
    assert specification is not None and specification.loader is not None
    driver = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(driver)
    return driver


@pytest.fixture(params=[(6, 7), (2, 10)], ids=str)
def case(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[ModuleType, Bench, Dma]:
    m, n = request.param
    network, bench = network_and_bench(9, 4, 6, 3, 5, 3, m=m, n=n, reach=0.8)
    driver = driver_of(lst_design(network), tmp_path)
    beats = np.array(expected_beats(network, bench), driver.SCORE_DTYPE)
    return driver, bench, Dma(beats, bench.pictures)


def test_a_driver_of_an_array_engine_has_channels_and_real_scores(tmp_path: Path) -> None:
    made = hardware(quantized(Plan("affine:8", "affine:8")), engine="array", cycles=900)
    driver, bench = driver_of(made.design, tmp_path), made.golden()
    sums = np.rint((bench.scores - made.design.score_bias) / made.design.score_scale).astype(np.int64)
    beats = np.column_stack([sums, made.design.real_class(sums)]).astype(driver.SCORE_DTYPE)
    scores, classes = driver.execute(Dma(beats, bench.pictures), allocate, bench.pictures)
    assert driver.SHAPE == (6, 5, 2)
    assert np.array_equal(scores, bench.scores) and np.array_equal(classes, beats[:, -1])


def test_beats_that_are_pictures_have_no_package(tmp_path: Path) -> None:
    made = hardware(perceptron(6, 4), engine="unroll")
    with pytest.raises(PlanError, match="--stream bytes"):
        made.design.write_package(tmp_path, counters=False)


def test_the_driver_gives_scores_and_classes(case: tuple[ModuleType, Bench, Dma]) -> None:
    driver, bench, dma = case
    scores, classes = driver.execute(dma, allocate, bench.pictures)
    assert np.array_equal(scores.astype(np.float32), bench.scores)
    assert np.array_equal(classes, bench.scores.argmax(axis=1))
    assert dma.packets == 1 and Buffer.held == 0


def test_large_batches_are_cut(case: tuple[ModuleType, Bench, Dma], monkeypatch: pytest.MonkeyPatch) -> None:
    driver, bench, dma = case
    monkeypatch.setattr(driver, "LARGEST_TRANSFER", 4 * bench.pictures[0].size + 1)
    scores, _ = driver.execute(dma, allocate, bench.pictures)
    assert np.array_equal(scores.astype(np.float32), bench.scores) and dma.packets == 3 and Buffer.held == 0


@pytest.mark.parametrize(
    "pictures",
    [np.zeros((2, 6, 4), np.uint8), np.zeros((2, 4, 6), np.float32), np.zeros((0, 4, 6), np.uint8)],
    ids=["turned", "floats", "none"],
)
def test_other_pictures_are_refused(
    case: tuple[ModuleType, Bench, Dma],
    pictures: np.ndarray,  # type: ignore[type-arg]
) -> None:
    driver, _, dma = case
    with pytest.raises(ValueError, match="expected uint8 pictures"):
        driver.execute(dma, allocate, pictures)


def test_counters_are_read_and_cleared(case: tuple[ModuleType, Bench, Dma]) -> None:
    driver, registers, writes = case[0], {0: 0x4C424954, 4: 7, 8: 10976, 12: 1568}, []
    engine = SimpleNamespace(read=registers.__getitem__, write=lambda *word: writes.append(word))
    assert driver.read_counters(engine) == {"pictures": 7, "clocks": 10976, "planned": 1568}
    assert writes == [(0, 0)]
    registers[0] = 0
    with pytest.raises(RuntimeError, match="no engine"):
        driver.read_counters(engine)


def test_scripts_are_filled_and_say_that_they_are_untested(tmp_path: Path) -> None:
    network, _ = network_and_bench(1)
    write_pynq(lst_design(network, "pipelined"), tmp_path, counters=True)
    assert "engine/s_axi_0" in (tmp_path / "block_design.tcl").read_text()
    for name in ("package_ip.tcl", "block_design.tcl", "driver.py"):
        text = (tmp_path / name).read_text()
        assert "@" not in text and ("not tested" in text or "not on a board" in text)
    assert "pipelined, Q6.7" in (tmp_path / "package_ip.tcl").read_text()
    assert "s2mm_tdata_width {32}" in (tmp_path / "block_design.tcl").read_text()
