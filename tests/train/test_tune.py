"""Settings by search: what may be tried, who judges, and a search that was stopped."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lowbit.data import load
from tests.command import Command
from tests.train.own import pictures

pytest.importorskip("lightning_fabric")
pytest.importorskip("optuna")

from lowbit.errors import DataError, LowbitError, ModelFormatError, NumericError, PlanError
from lowbit.train import Recipe, Splits, tune
from lowbit.train.search import Choices, Range, said_of, space_of, with_settings

BASE = {"network": "mlp-784-10", "data": "made", "epochs": 2, "batch": 8, "name": "tuned", "validation": 9}
RATE = {"optimizer.rate": {"low": 1e-4, "high": 1e-1, "log": True}}


def recipe(search: dict[str, Any], **settings: Any) -> Recipe:
    return Recipe.of({**BASE, "search": search, **settings}, "test")


def splits() -> Splits:
    samples, labels = pictures(45)
    wide = np.zeros((45, 28, 28), np.uint8)
    wide[:, :8, :8] = samples
    return Splits(load((wide, labels)))


@pytest.mark.parametrize("seed", range(20))
def test_what_is_said_is_what_is_tried(seed: int) -> None:
    random = np.random.default_rng(seed)
    low, high = sorted(random.integers(1, 900, 2).tolist())
    high += 1
    assert said_of(f"batch={low}..{high}") == ("batch", {"low": low, "high": high})
    assert said_of(f"optimizer.rate={low / 7!r}..{high / 7!r},log")[1] == {
        "low": low / 7,
        "high": high / 7,
        "log": True,
    }
    assert said_of("plan.weights=lq:1, lq:2,3,true") == ("plan.weights", ["lq:1", "lq:2", 3, "true"])
    space = space_of(recipe({"batch": {"low": low, "high": high}, "plan.weights": ["lq:1", "lq:2"]}))
    assert space == {"batch": Range(low, high), "plan.weights": Choices(("lq:1", "lq:2"))}
    made = with_settings(
        recipe(RATE), {"batch": low, "plan.layers.fc1.weights": "affine:4", "arguments.width": 3}
    )
    assert (made.batch, made.plan, made.arguments) == (
        low,
        {"layers": {"fc1": {"weights": "affine:4"}}},
        {"width": 3},
    )


@pytest.mark.parametrize(
    ("search", "says"),
    [
        ({}, "nothing is said of what to try"),
        ({"optimizer.rat": [1, 2]}, "no such setting to try; expected optimizer.rate"),
        ({"seed": [1, 2]}, "no such setting to try"),
        ({"validation": [0.1, 0.2]}, "no such setting to try"),
        ({"batch": [8]}, "choices are two or more"),
        ({"batch": {"low": 9, "high": 8}}, "a range has two ends"),
        ({"optimizer.rate": {"low": 0, "high": 1, "log": True}}, "above 0 with log"),
        ({"batch": {"low": 1}}, "a range has two ends"),
        ({"batch": 7}, "a range has two ends"),
        ({"optimizer.name": ["sgd", "lion"]}, "optimizer.name = 'lion'.*expected adamw or adam or sgd"),
        (
            {"plan.weights": ["lq:2", "lq:9"], "batch": [0, 8]},
            r"(?s)for 2 reasons.*bits out of range.*batch = 0",
        ),
    ],
)
def test_what_cannot_be_tried_is_refused_before_anything_is(
    tmp_path: Path, search: dict[str, Any], says: str
) -> None:
    with pytest.raises(PlanError, match=says):
        tune(recipe(search), splits(), out=tmp_path / "search")
    assert not (tmp_path / "search").exists()


@pytest.mark.parametrize("text", ["rate", "rate=", "rate=1,,2"])
def test_a_text_that_says_no_search(text: str) -> None:
    with pytest.raises(PlanError, match="says no search"):
        said_of(text)


def test_a_search_that_was_stopped_goes_on_and_never_opens_the_test_samples(tmp_path: Path) -> None:
    class Closed:
        """Test samples that nobody may look at."""

        def __getattr__(self, name: str) -> Any:
            raise AssertionError("the test samples were opened")

    data = Splits(splits().train, Closed())  # type: ignore[arg-type]
    asked, calls = recipe({**RATE, "plan.weights": ["lq:1", "float"]}), []

    def stop(number: int) -> Any:
        def advance(done: int, total: int, what: str) -> None:
            calls.append(number)
            if len(calls) == 12:
                raise KeyboardInterrupt

        return advance

    with pytest.raises(KeyboardInterrupt):
        tune(asked, data, out=tmp_path / "search", trials=3, progress=stop, early=False)
    assert calls[-1] == 1  # within the second trial
    found = tune(asked, data, out=tmp_path / "search", trials=3, progress=stop, early=False)
    assert [row["state"] for row in found.facts["trials"]] == ["complete"] * 3
    assert len(list((tmp_path / "search").glob("trial-*"))) == 3  # what was begun is one of them
    assert found.facts["judged_by"] == "9 training samples kept out, by class, seed 0"
    best = max(row["top1"] for row in found.facts["trials"])
    assert found.facts["best"]["top1"] == best and not found.best.search
    written = Recipe.read(tmp_path / "search/recipe.toml")
    assert written.optimizer.rate == found.facts["best"]["settings"]["optimizer.rate"]
    more = tune(asked, data, out=tmp_path / "search", trials=4, early=False)
    assert [row["settings"] for row in more.facts["trials"][:3]] == [
        row["settings"] for row in found.facts["trials"]
    ]
    with pytest.raises(PlanError, match="a search of another recipe"):
        tune(recipe(RATE, epochs=3), data, out=tmp_path / "search")
    journal = tmp_path / "search/search.journal"
    journal.write_text("{" + journal.read_text())
    with pytest.raises(ModelFormatError, match="no journal of a search"):
        tune(asked, data, out=tmp_path / "search")


def test_trials_that_break_are_said_and_the_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lowbit.train.tuning import train

    def breaks(asked: Recipe, *arguments: Any, **options: Any) -> Any:
        if asked.optimizer.rate > 1:
            raise NumericError("the loss is not finite")
        return train(asked, *arguments, **options)

    monkeypatch.setattr("lowbit.train.tuning.train", breaks)
    asked = recipe({"optimizer.rate": [0.01, 1e30]}, epochs=1)
    found = tune(asked, splits(), out=tmp_path / "search", trials=6, early=False).facts
    failed = [row for row in found["trials"] if row["state"] == "failed"]
    assert 0 < len(failed) < 6 and all("loss is not finite" in row["why"] for row in failed)
    assert found["best"]["settings"] == {"optimizer.rate": 0.01}
    with pytest.raises(PlanError, match=r"no trial came to its end; found .*not finite"):
        tune(recipe({"optimizer.rate": [1e29, 1e30]}), splits(), out=tmp_path / "broken", trials=2)


def test_somebody_has_to_judge(tmp_path: Path) -> None:
    with pytest.raises(LowbitError, match="samples for validation alone") as found:
        tune(recipe(RATE, validation=0), splits(), out=tmp_path / "search")
    assert isinstance(found.value, PlanError | DataError)


def test_people_read_a_table_and_see_a_picture(
    tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("matplotlib")
    monkeypatch.chdir(tmp_path)
    train = splits().train
    np.savez("made.npz", x=(255 * train.samples).astype(np.uint8), y=train.labels)
    words = [
        "mlp-784-10",
        "--data",
        "made.npz",
        "--epochs",
        1,
        "--batch",
        8,
        "--search",
        "optimizer.rate=1e-3..1e-1,log",
    ]
    code, out, err = command("tune", *words, "--trials", 2, "--out", "found")
    assert (
        code == 0
        and "2 trials" in out
        and "Next: lowbit train found/recipe.toml" in out
        and "trial 1, 2/2" in err
    )
    facts = json.loads(Path("found/result.json").read_text())
    assert (
        facts["command"].startswith("lowbit tune mlp-784-10 --data DIR") and "--trials 2" in facts["command"]
    )
    assert Path("found/search.png").read_bytes().startswith(b"\x89PNG")
