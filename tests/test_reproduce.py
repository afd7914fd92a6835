"""Rows: every one that the repository declares is whole; figures are found, and what is wrong is named."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from lowbit.errors import DataError, FileError, PlanError
from lowbit.recipes import read_recipe
from lowbit.reproduce import Row, find_rows, kept, read_rows, remake, steps
from lowbit.zoo import NETWORKS
from lowbit.zoo.published import FIGURES, LST1_ACCURACY, LST1_ENGINE

ROOT = Path(__file__).parent.parent
RECIPES, RESULTS = ROOT / "recipes", ROOT / "results"
ROWS = read_rows(RECIPES)


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_every_row_is_whole(row: Row) -> None:
    assert (
        row.command
        and row.result
        and row.unit in ("%", "KB", "×", "clocks", "DSP", "RAMB18", "LUT", "FF", "pictures/s")
    )
    ours = kept(row, RESULTS)
    if row.recipe:
        assert read_recipe(RECIPES / f"{row.recipe}.toml")["network"] in NETWORKS
        assert row.published is None or 0.5 < row.published < 1
    else:
        assert ours is not None and row.published and row.source


def test_no_row_says_ours_without_a_result(tmp_path: Path) -> None:
    """Every figure of ours, in the list and in both tables, is in a file that the repository keeps."""
    for row in ROWS.values():
        assert kept(row, tmp_path) is None
        ours = kept(row, RESULTS)
        if ours is not None:
            assert ours.files and all(path.parent == RESULTS and path.is_file() for path in ours.files)
            assert row.text(ours.value) in said_by(ours.files, row)
    for name, published, figure in table(RESULTS / "reproduced.md") + table(ROOT / "docs/results.md"):
        ours = kept(ROWS[name], RESULTS)
        assert figure == ("pending" if ours is None else ROWS[name].text(ours.value))
        assert published == ROWS[name].text(ROWS[name].published)


def test_results_are_kept_by_git() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "results"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listed.returncode:
        pytest.skip("needs a checkout")
    files = {path for row in ROWS.values() if (ours := kept(row, RESULTS)) for path in ours.files}
    assert {f"results/{path.name}" for path in files} <= set(listed.stdout.split())


def said_by(files: tuple[Path, ...], row: Row) -> set[str]:
    """Return every number of that name in these files, and the mean of any two, as the row writes it."""
    found: list[float] = []

    def walk(value: object, name: str) -> None:
        for key, each in value.items() if isinstance(value, dict) else ():
            walk(each, key)
        for each in value if isinstance(value, list) else ():
            walk(each, name)
        if isinstance(value, int | float) and name == row.figure.split(".")[-1]:
            found.append(value / 1024 if row.unit == "KB" else value)

    for path in files:
        walk(json.loads(path.read_text()), "")
    return {row.text((one + other) / 2) for one in found for other in found}


def table(path: Path) -> list[tuple[str, str, str]]:
    """Return name, published and ours of every row in a page's table."""
    lines = [
        line.strip("| \n").split(" | ") for line in path.read_text().splitlines() if line.startswith("| ")
    ]
    rows = [line for line in lines if line[0] in ROWS]
    assert rows
    return [(line[0], line[2].strip(), line[3].strip()) for line in rows]


def test_published_figures_of_the_engine_are_said_once(tmp_path: Path) -> None:
    found = {row.figure: row.published for row in ROWS.values() if row.result == "hdl-lst1"}
    engine = {key: figure for key, figure in LST1_ENGINE.items() if key in found}
    assert len(engine) > 3 and engine.items() <= found.items()
    assert ROWS["L3-rounded-6.7"].published == LST1_ACCURACY[0].top1
    text = (RECIPES / "rows.toml").read_text()
    assert not any(f"published = {figure:g}" in text for figure in FIGURES.values())
    (tmp_path / "rows.toml").write_text('[one]\nwhat = "a row"\npublished = "lst1 dps"\n')
    with pytest.raises(PlanError, match="published figure") as refused:
        read_rows(tmp_path)
    assert "lst1 dsp" in refused.value.expected


def test_rows_by_name() -> None:
    assert [row.recipe for row in find_rows(ROWS, "L2")] == ["lst1"]
    assert [row.name for row in find_rows(ROWS, "L10")] == [name for name in ROWS if name.startswith("L10")]
    with pytest.raises(PlanError, match="Q10-3"):
        find_rows(ROWS, "Q10-33")


def test_a_goal_that_is_not_reached_is_said() -> None:
    lines = (RESULTS / "reproduced.md").read_text().splitlines()
    of_row = {line.strip("| ").split(" | ")[0]: line for line in lines}
    goals = [row for row in ROWS.values() if row.goal is not None]
    assert len(goals) >= 10
    for row in goals:
        ours = kept(row, RESULTS)
        word = "" if ours is None else ", reached" if ours.value >= row.goal else ", not reached"
        assert f"(goal {row.text(row.goal)}{word})" in of_row[row.name]


def test_what_is_missing_is_trained_first_and_takes_so_long(tmp_path: Path) -> None:
    named = [(step.recipe, step.cpu_s) for step in steps(ROWS["L3-rounded-6.7"], RECIPES, tmp_path, RESULTS)]
    assert [name for name, _ in named] == ["lst1"] and named[0][1] and named[0][1] > 100
    blend = steps(ROWS["P2-alexnet-3"], RECIPES, tmp_path, RESULTS)
    assert [step.recipe for step in blend] == ["alexnet-fashion", "alexnet-fashion-pow2-3-blend"]
    for name in ("alexnet-fashion", "lst1"):
        (tmp_path / f"{name}-seed0").mkdir()
        (tmp_path / f"{name}-seed0/result.json").write_text("{}")
    assert [step.recipe for step in steps(ROWS["P2-alexnet-3"], RECIPES, tmp_path)] == [
        ROWS["P2-alexnet-3"].recipe
    ]
    assert steps(ROWS["L3-rounded-6.7"], RECIPES, tmp_path) == [] == steps(ROWS["V2"], RECIPES, tmp_path)
    assert [step.recipe for step in steps(ROWS["L8-6.3"], RECIPES, tmp_path)] == ["lst1-fixed-6.3"]


@pytest.mark.parametrize(
    ("unit", "same", "other"),
    [("%", 0.9049, 0.894), ("KB", 0.9, 0.9001), ("×", 1.1, 0.6), ("clocks", 0.92, 0.84)],
)
def test_a_figure_agrees_within_what_its_unit_is_repeated_to(unit: str, same: float, other: float) -> None:
    row = Row("a", "a", unit=unit)
    assert row.agrees(0.9, 0.9) and row.agrees(same, 0.9) and not row.agrees(other, 0.9)


def test_figures_are_for_people() -> None:
    assert Row("a", "a").text(0.98765) == "98.77 %" and Row("a", "a").text(None) == ""
    assert Row("a", "a", unit="KB").text(12.34) == "12.3 KB"
    assert Row("a", "a", unit="clocks").text(1568) == "1,568 clocks"


def write(folder: Path, name: str, content: object) -> None:
    (folder / f"{name}.json").write_text(json.dumps(content))


def test_a_figure_of_several_seeds_is_their_median(tmp_path: Path) -> None:
    row = Row("a", "a", result="net-*-seed[0-9]*", select={"recipe": "net"})
    assert kept(row, tmp_path) is None
    for seed, top1 in enumerate((0.9, 0.5, 0.8)):
        write(tmp_path, f"net-float-seed{seed}", {"recipe": "net", "top1": top1, "data": "mnist"})
    write(tmp_path, "net-other-float-seed0", {"recipe": "net-other", "top1": 0})
    found = kept(row, tmp_path)
    assert found is not None and found.value == 0.8 and len(found.files) == 3 and found.data == "mnist"


def test_a_figure_inside_rows(tmp_path: Path) -> None:
    write(tmp_path, "sizes", {"rows": [{"network": "a", "at": {"b.c": 1, "bytes": 2048}}, {"network": "b"}]})
    row = Row("a", "a", result="sizes", select={"network": "a"}, figure="at.bytes", unit="KB")
    found = kept(row, tmp_path)
    assert found is not None and found.value == 2
    assert kept(Row("a", "a", result="sizes", select={"network": "c"}), tmp_path) is None
    with pytest.raises(FileError, match="no such figure"):
        kept(Row("a", "a", result="sizes", select={"network": "b"}), tmp_path)
    (tmp_path / "sizes.json").write_text("[1")
    with pytest.raises(FileError, match="this is no result"):
        kept(row, tmp_path)


def test_a_command_makes_its_figure_again(tmp_path: Path) -> None:
    script = tmp_path / "made.py"
    script.write_text("import json, sys\njson.dump({'top1': 0.25}, open(sys.argv[2], 'w'))")
    row = Row("a", "a", command=f"python {script} --json {{json}}")
    assert remake(row, tmp_path, tmp_path) == 0.25
    with pytest.raises(DataError, match="exit code 3"):
        script.write_text("import sys; print('Traceback …', file=sys.stderr); raise SystemExit(3)")
        remake(row, tmp_path, tmp_path)
    with pytest.raises(PlanError, match="nets"):
        remake(Row("a", "a", command="python a.py --nets {nets}"), tmp_path, tmp_path)


def test_rows_of_one_command_are_made_by_one_run(tmp_path: Path) -> None:
    script, made = tmp_path / "made.py", dict[str, dict[str, Any]]()
    script.write_text(
        "import json, sys\nfrom pathlib import Path\nruns = Path(__file__).with_name('runs.txt')\n"
        "runs.open('a').write('.')\nrows = [{'bits': bits, 'top1': bits / 8} for bits in (1, 2)]\n"
        "json.dump({'rows': rows}, open(sys.argv[2], 'w'))"
    )
    rows = [
        Row("a", "a", select={"bits": bits}, command=f"python {script} --json {{json}}") for bits in (1, 2)
    ]
    assert [remake(row, tmp_path, tmp_path, made=made) for row in rows] == [1 / 8, 2 / 8]
    assert (tmp_path / "runs.txt").read_text() == "."


@pytest.mark.parametrize(
    ("text", "says"),
    [("[a]\nfigure = 'x'", "no what"), ("[a]\nwhat = 'x'\nfigur = 1", "figur"), ("[a", "not TOML")],
)
def test_rows_that_are_not_as_they_should_be(text: str, says: str, tmp_path: Path) -> None:
    (tmp_path / "rows.toml").write_text(text)
    with pytest.raises(PlanError, match=says):
        read_rows(tmp_path)
    with pytest.raises(FileError):
        read_rows(tmp_path / "none")


def test_a_recipe_is_trained_again_with_its_parents(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("lightning_fabric")
    small = 'network = "mlp-8x8"\ndata = "digits"\nepochs = 4\nprecision = "bf16"\n'
    rate = "[optimizer]\nrate = 0.02\n"
    (tmp_path / "parent.toml").write_text(small + rate)
    (tmp_path / "child.toml").write_text(small + f'initial = "parent"\n{rate}[published]\ntop1 = 0.9\n')
    (tmp_path / "rows.toml").write_text('[A]\nwhat = "digits"\nrecipe = "child"\n')
    row = read_rows(tmp_path)["A"]
    assert row.published == 0.9
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(NETWORKS, "mlp-8x8", _small())
        assert remake(row, tmp_path, tmp_path / "runs", precision="float32") > 0.8
    for name in ("parent", "child"):
        made = json.loads((tmp_path / "runs" / f"{name}-seed0" / "result.json").read_text())
        assert made["settings"]["precision"] == "float32"


def _small():  # type: ignore[no-untyped-def]
    from lowbit.zoo.architecture import Activation, Architecture, Linear

    return Architecture("mlp-8x8", (64,), (Linear(32), Activation(), Linear(10)))
