"""The machine's own roofline, what is honest beside it, and costs that it writes."""

import json
from pathlib import Path
from time import sleep

import pytest

from lowbit.bench.costs import Cost, lines
from lowbit.bench.machine import UNITS, cache_sizes, measure_machine
from lowbit.bench.timing import Latency, cpu_ratio, interleaved_rounds, ratio, undisturbed
from lowbit.engine import _core, kernel_levels
from lowbit.errors import FileError
from tests.command import Command


def test_all_levels_and_units_are_measured_or_say_why_not() -> None:
    found = measure_machine(0.0005)
    assert [level.name for level in found.levels if not level.missing] == kernel_levels()
    here = {(unit, level) for unit, level, here in _core.units() if here and unit != "memory"}
    for level in found.levels:
        for unit, speed in level.units.items():
            assert (unit, level.name) in here and speed.rate > 1e7
        missing = {unit for unit, of in here if of == level.name} - set(level.units)
        assert all(level.absent[unit] for unit in missing)
        assert set(level.reads) in (set(), set(found.caches))
    assert {"popcount", "float"} <= {unit for unit in UNITS if found.fastest(unit)}
    assert set(found.absent) == {unit for unit in UNITS if found.fastest(unit) is None}
    assert all(found.absent.values())


def test_caches_grow() -> None:
    sizes, _ = cache_sizes()
    assert list(sizes) == sorted(sizes) and list(sizes.values()) == sorted(sizes.values())


CALM, LATE = Latency(10.0, 9.9), Latency(30.0, 10.0)


def test_what_others_disturb_gives_no_ratio() -> None:
    assert not CALM.preempted and LATE.preempted
    assert not Latency(10.0, 19.0).preempted and Latency(10.0, 19.0, 1).preempted  # two threads
    assert undisturbed([CALM, LATE, CALM]) == [CALM, CALM]
    twice = [Latency(20.0, 19.8)] * 3
    assert ratio(twice, [CALM] * 3) == pytest.approx(2)
    assert ratio([*twice, LATE], [LATE, *[CALM] * 3]) == pytest.approx(2)
    assert ratio(twice, [CALM, CALM, LATE]) is None
    assert ratio([LATE] * 3, [CALM] * 3) is None
    assert cpu_ratio([LATE] * 3, [CALM] * 3) == pytest.approx(10 / 9.9)


def test_a_call_that_waits_is_behind_the_clock() -> None:
    (round_,) = interleaved_rounds({"waits": lambda: sleep(0.002)}, 1, 0.004)["waits"]
    assert round_.wall > 2000 and round_.preempted


def test_a_call_that_was_disturbed_once_is_not_taken_for_a_long_one() -> None:
    calls: list[None] = []

    def quick() -> None:
        calls.append(None)
        if len(calls) == 1:
            sleep(0.02)

    interleaved_rounds({"quick": quick}, 1, 0.004)
    assert len(calls) > 500


def test_written_costs_are_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [Cost(path, level, 1.25, 0.5, 3.0) for path, level, *_ in _core.path_costs()]
    file = tmp_path / "costs"
    file.write_text("\n".join(lines(rows, "a test")) + "\n")
    monkeypatch.setenv("LOWBIT_COSTS", str(file))
    assert {row[-3:] for row in _core.path_costs()} == {(1.25, 0.5, 3.0)}


def test_the_command_prints_it_at_60_columns(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setattr("lowbit.bench.machine._MOST", 1 << 20)
    code, out, _ = command("bench", "--machine")
    assert code == 0 and max(map(len, out.splitlines())) <= 60
    for level in kernel_levels():
        assert level in out
    said = "tiles: not on this machine" in " ".join(out.split())
    assert said or ("tiles", True) in {(unit, here) for unit, _, here in _core.units()}
    shown = json.loads(command("bench", "--machine", "--json")[1])
    assert {level["name"] for level in shown["levels"]} >= set(kernel_levels())
    assert all({"rate", "cpu_us", "wall_us"} == set(one) for one in shown["levels"][0]["units"].values())


@pytest.mark.parametrize("words", [(), ("net.circle", "--machine"), ("net.circle", "--write", "costs")])
def test_a_network_or_the_machine(words: tuple[str, ...], command: Command) -> None:
    assert command("bench", *words)[0] == 2


def test_costs_go_where_a_file_can_be_written(tmp_path: Path, command: Command) -> None:
    code, _, err = command("bench", "--machine", "--write", tmp_path / "none" / "costs")
    assert code == FileError.exit_code or "none" in err
