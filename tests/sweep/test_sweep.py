"""Sweeps: the same table from every backend, from the cache, after a kill, and after a damaged entry."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from lowbit.analysis import trace
from lowbit.data import Dataset, load, write_npz
from lowbit.errors import DataError, FileError, MissingExtra, PlanError
from lowbit.formats import write_model
from lowbit.ir import Graph
from lowbit.state import digest
from lowbit.sweep import Point, Setting, Sweep, Workers, front, grid, points, sweep
from lowbit.sweep.parallel import run_parallel
from tests.ir.networks import float_mlp

pytest.importorskip("joblib")

SETTINGS = grid(["fixed:4", "lq"], [3, 1])


@pytest.fixture(scope="module")
def graph() -> Graph:
    return float_mlp((16, 12, 5), activation="Relu", seed=2)


@pytest.fixture(scope="module")
def data(graph: Graph) -> Dataset:
    x = np.random.default_rng(1).normal(size=(300, 16)).astype(np.float32)
    return load((x, trace(graph)(x)["y"].argmax(axis=1)))


def test_the_grid_has_what_schemes_have() -> None:
    assert [setting.label for setting in grid(["affine", "lq"], range(1, 9), seeds=[0])] == [
        *(f"affine {bits}" for bits in range(8, 1, -1)),
        *(f"lq {bits}" for bits in range(4, 0, -1)),
    ]
    fixed = grid(["fixed:6"], seeds=[0, 1])
    assert fixed[:2] == (Setting("fixed:6", 7, "nearest", None), Setting("fixed:6", 7, "floor", None))
    assert len(fixed) == 14 and fixed[0].label == "Q6.7"
    assert len(grid(["lq"], [2], ["restore", "rtn"], seeds=[0, 1, 2])) == 6
    assert {setting.rounding for setting in grid(["lq", "fixed:2"], [2], ["plain", "floor"])} == {
        "rtn",
        "floor",
    }


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((["lqq"],), "unknown scheme"),
        ((["fixed:x"],), "unknown scheme"),
        ((["lq"], [8]), "nothing to try: bits"),
        ((["lq"], [2], ["up"]), "unknown rounding"),
        ((["lq"], [2], ["floor"]), "nothing to try: rounding"),
    ],
)
def test_grids_that_are_not_possible(words: tuple[list[str], ...], message: str) -> None:
    with pytest.raises(PlanError, match=message):
        grid(*words)


def test_every_row_says_what_its_setting_gives(graph: Graph, data: Dataset) -> None:
    result = sweep({"mlp": graph}, SETTINGS, data, data, samples=100)
    assert [row.setting for row in result.rows] == list(SETTINGS)
    assert result.models[0].top1 == 1
    finest, coarsest = result.rows[0], result.rows[2]
    assert finest.setting.bits == 3 and (finest.top1 or 0) > (coarsest.top1 or 1)
    assert (finest.divergence or 0) < (coarsest.divergence or 0) and (finest.bytes or 0) > (
        coarsest.bytes or 0
    )
    low = SETTINGS[0].apply(graph, None)
    found = trace(low)(data.samples)["y"].argmax(axis=1)
    assert finest.top1 == (found == data.labels).mean()


def test_what_is_known_is_not_measured_again(graph: Graph, data: Dataset, tmp_path: Path) -> None:
    seen: list[tuple[int, int, str]] = []

    def run() -> Sweep:
        seen.clear()
        return sweep(
            {"mlp": graph}, SETTINGS, data, data, cache=tmp_path, progress=lambda *step: seen.append(step)
        )

    first = run().table()
    assert seen[0] == (0, 6, "0 known") and seen[-1][:2] == (6, 6) and len(list(tmp_path.iterdir())) == 6
    assert run().table() == first and seen == [(6, 6, "6 known")]
    cut, changed, *_ = sorted(tmp_path.iterdir())
    cut.write_bytes(cut.read_bytes()[:40])
    changed.write_text(changed.read_text().replace('"bytes": ', '"bytes": 1'))
    assert run().table() == first and seen[0] == (4, 6, "4 known")
    assert run().table() == first and seen == [(6, 6, "6 known")]


def unusable(folder: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> Path:
    """Return a folder that a cache cannot use: it cannot be made, is a file, or has no room."""
    place = folder / "cache"
    if kind == "below a file":
        (folder / "file").write_text("")
        return folder / "file" / "cache"
    if kind == "a file":
        place.write_text("")
    if kind == "full":

        def fail(_: int) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(os, "fsync", fail)
    return place


@pytest.mark.parametrize("kind", ["below a file", "a file", "full"])
def test_a_cache_that_cannot_be_used_stops_nothing(
    kind: str, graph: Graph, data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = unusable(tmp_path, monkeypatch, kind)
    before = sorted(tmp_path.iterdir())
    result = sweep({"mlp": graph}, SETTINGS[:2], data, cache=place)
    assert result.table() == sweep({"mlp": graph}, SETTINGS[:2], data).table()
    (note,) = result.notes
    assert note.startswith("results are not kept: ") and str(place) in note
    left = [path for path in tmp_path.rglob("*") if path != place]
    assert sorted(left) == [path for path in before if path != place]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff",
        b"[" * 9999,
        b"[]",
        b"{}",
        b'{"result": 3, "sha256": 4}',
        b'{"result": {}, "sha256": "A"}',
    ],
)
def test_an_entry_that_is_none_is_measured_again(
    content: bytes, graph: Graph, data: Dataset, tmp_path: Path
) -> None:
    first = sweep({"mlp": graph}, SETTINGS[:1], data, cache=tmp_path).table()
    (path,) = tmp_path.iterdir()
    whole, key = path.read_bytes(), path.stem
    if b"A" in content:  # whole, and not what a measurement gives
        content = content.replace(b"A", digest(key, {}).encode())
    path.write_bytes(content)
    assert sweep({"mlp": graph}, SETTINGS[:1], data, cache=tmp_path).table() == first
    assert path.read_bytes() == whole


def test_other_contents_are_other_entries(graph: Graph, data: Dataset, tmp_path: Path) -> None:
    def count(network: Graph, samples: Dataset) -> int:
        sweep({"mlp": network}, SETTINGS[:1], samples, cache=tmp_path)
        return len(list(tmp_path.iterdir()))

    other = graph.copy()
    other.update("fc1.bias", data=graph.constant("fc1.bias") + 1)
    assert count(graph, data) == 1 and count(graph, data) == 1
    assert count(other, data) == 2
    assert count(graph, load((data.samples[:200], data.labels[:200]))) == 3
    assert digest(b"ab", b"c") != digest(b"a", b"bc")


def test_latency_comes_at_the_end(graph: Graph, data: Dataset, tmp_path: Path) -> None:
    result = sweep({"mlp": graph}, SETTINGS, data, data, cache=tmp_path, latency=True)
    timed = [row.setting.scheme for row in result.rows if row.latency_us is not None]
    assert timed == [row.setting.scheme for row in result.rows]
    assert result.table() == sweep({"mlp": graph}, SETTINGS, data, data, cache=tmp_path).table()
    result.write(tmp_path / "sweep.json")
    assert Sweep.read(tmp_path / "sweep.json") == result


def test_a_setting_that_cannot_be_made_says_why(data: Dataset) -> None:
    graph = float_mlp((16, 12, 5), activation="Sum")
    labelled = load((data.samples, np.zeros(len(data.samples), int)))
    result = sweep({"mlp": graph}, grid(["fixed:4", "lq"], [3]), labelled, data, samples=50)
    assert [row.top1 is None for row in result.rows] == [True, True, False]
    assert "no fixed-point form" in result.rows[0].error and len(points(result.rows)) == 1
    with pytest.raises(PlanError, match="no fixed-point form"):
        sweep({"mlp": graph}, grid(["fixed:4"], [3]), labelled)


def test_bad_questions(graph: Graph, data: Dataset, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="needs calibration samples"):
        sweep({"mlp": graph}, SETTINGS, data)
    with pytest.raises(DataError, match="labels"):
        sweep({"mlp": graph}, SETTINGS[:1], load(data.samples))
    with pytest.raises(DataError, match="no classes"):
        sweep({"mlp": graph}, SETTINGS[:1], load((data.samples, np.full(300, 5))))
    with pytest.raises(PlanError, match="nothing to sweep"):
        sweep({}, SETTINGS, data)
    with pytest.raises(PlanError, match="loky or dask or ray"):
        sweep({"mlp": graph}, SETTINGS[:1], data, workers=Workers("slurm"))
    with pytest.raises(PlanError, match="this machine alone"):
        sweep({"mlp": graph}, SETTINGS[:1], data, workers=Workers("loky", 1, "tcp://there:1"))
    for text in ("", "{}", "[1]", '{"models": 3, "rows": []}', '{"models": [], "rows": [{}], "data": ""}'):
        (tmp_path / "sweep.json").write_text(text)
        with pytest.raises(FileError, match=r"no sweep|does not fit"):
            Sweep.read(tmp_path / "sweep.json")


def test_a_backend_that_is_not_installed_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtra, match=r"lowbit\[ray\]"):
        list(run_parallel(len, [("a",)], "ray", 1))


def test_the_front_has_what_nothing_beats() -> None:
    def point(top1: float, size: float, latency: float | None = None) -> Point:
        return Point("", "lq", 2, "restore", top1, top1, top1, 0, size, latency)

    cheap, good, beaten, same = point(0.5, 10), point(0.9, 20, 5), point(0.8, 25, 4), point(0.9, 30, 9)
    assert front([beaten, good, cheap, same], "bytes") == (cheap, good)
    assert front([beaten, good, cheap, same], "latency_us") == (beaten, good)


# Whole processes, as users run them.


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory, graph: Graph, data: Dataset) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("sweep")
    write_model(graph, folder / "mlp.onnx")
    write_npz({"x": data.samples, "y": np.asarray(data.labels)}, folder / "data.npz")
    return folder / "mlp.onnx", folder / "data.npz"


def command(files: tuple[Path, Path], cache: Path, backend: str = "loky") -> list[str]:
    model, data = map(str, files)
    words = ["sweep", model, "--data", data, "--schemes", "lq,affine,fixed:4", "--bits", "4-1"]
    words += ["--seeds", "0,1", "--samples", "100", "--cache", str(cache)]
    start = [sys.executable, "-W", "ignore", "-m", "lowbit"]
    return [*start, *words, "--jobs", "2", "--backend", backend, "--json"]


def rows_of(words: list[str]) -> list[dict[str, object]]:
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return list(json.loads(done.stdout)["rows"])


@pytest.fixture(scope="module")
def whole(files: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, object]]:
    return rows_of(command(files, tmp_path_factory.mktemp("loky")))


@pytest.mark.parametrize("backend", ["dask", "ray"])
def test_other_workers_give_the_same_table(
    backend: str, files: tuple[Path, Path], whole: list[dict[str, object]], tmp_path: Path
) -> None:
    pytest.importorskip({"dask": "distributed"}.get(backend, backend))
    assert rows_of(command(files, tmp_path, backend)) == whole


def test_a_killed_sweep_goes_on_where_it_was(
    files: tuple[Path, Path], whole: list[dict[str, object]], tmp_path: Path
) -> None:
    running = subprocess.Popen(
        command(files, tmp_path), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    deadline = time.monotonic() + 120
    while len(list(tmp_path.glob("*.json"))) < 3 and running.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    os.killpg(running.pid, signal.SIGKILL)
    running.wait()
    kept = len(list(tmp_path.glob("*.json")))
    assert 3 <= kept < len(whole)
    assert rows_of(command(files, tmp_path)) == whole
    assert len(list(tmp_path.glob("*.json"))) == len(whole)
