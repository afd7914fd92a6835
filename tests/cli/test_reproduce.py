"""``lowbit reproduce``: the list, and a row made again beside the original."""

import json
import sys
from pathlib import Path

import pytest

from lowbit.cli import app, guarded

ROOT = Path(__file__).parents[2]


def run(patch: pytest.MonkeyPatch, *words: object) -> int:
    patch.setattr(sys, "argv", ["lowbit", "reproduce", *map(str, words)])
    return guarded(app)


def test_the_list(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(ROOT)
    assert run(monkeypatch, "--json") == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)["rows"]}
    assert rows["L2"]["published"] == 0.9837 and rows["L2"]["command"] == "lowbit train recipes/lst1.toml"
    assert rows["Q10-2"]["ours"] > rows["Q10-2"]["published"]
    assert all((row["ours"] is None) == (not row["files"]) for row in rows.values())
    monkeypatch.setenv("COLUMNS", "200")
    assert run(monkeypatch) == 0
    text = capsys.readouterr().out
    assert "98.37 %" in text and "results/fixed-point.json · python benchmarks/fixed_point.py" in text
    assert all(row["name"] in text for row in rows.values())
    monkeypatch.setenv("COLUMNS", "80")
    assert run(monkeypatch) == 0
    assert all(len(line) <= 80 for line in capsys.readouterr().out.splitlines())


def test_what_is_not_made_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "--recipes", ROOT / "recipes", "--results", tmp_path, "--json") == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert all(row["ours"] is None and row["files"] == [] for row in rows)
    assert run(monkeypatch, "--recipes", ROOT / "recipes", "--results", tmp_path) == 0
    text = capsys.readouterr().out
    assert f"0 of {len(rows)} rows" in text and text.count("not made yet") == len(rows)


def test_rows_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    script = tmp_path / "made.py"
    script.write_text("import json, sys\njson.dump({'top1': 0.25}, open(sys.argv[2], 'w'))")
    row = 'what = "one"\npublished = 0.5\nsource = "paper"\nresult = "one"\n'
    row += f'command = "python {script} --json {{json}}"\n'
    (tmp_path / "rows.toml").write_text(f"[A-1]\n{row}[A-2]\n{row}")
    options = ("--recipes", tmp_path, "--results", tmp_path, "--runs", tmp_path)
    assert run(monkeypatch, "A", *options) == 0
    text = capsys.readouterr().out
    assert text.count("25.00 %") == 2 and text.count("50.00 %") == 2 and "paper" in text
    assert run(monkeypatch, "A-1", "--json", *options) == 0
    assert [found["remade"] for found in json.loads(capsys.readouterr().out)["rows"]] == [0.25]
    assert run(monkeypatch, "B", *options) == 6


def test_without_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(monkeypatch, "--recipes", tmp_path) == 3
