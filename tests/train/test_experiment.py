"""What an experiment adds to a run: best epochs, seeds, clipping, refusals, and NaN with its place."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from statistics import mean, stdev

import numpy as np
import pytest

from lowbit.data import Dataset, load
from tests.command import Command
from tests.train.own import CLASSES, pictures, write_folder, write_module

pytest.importorskip("lightning_fabric")

import torch

from lowbit.errors import DataError, LowbitError, NumericError, PlanError, UnsupportedError
from lowbit.train import Recipe, Splits, load_data, recipe_of, train, train_seeds
from lowbit.train.finite import first_not_finite
from lowbit.train.loop import best_epoch
from lowbit.train.recipe_file import as_toml, write_recipe

QUICK = {
    "network": "mynet.py:Net",
    "data": "own.npz",
    "epochs": 3,
    "batch": 8,
    "input": [1, 8, 8],
    "name": "own",
}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_module(tmp_path)
    return tmp_path


def part(seed: int, count: int = 30) -> Dataset:
    return load(pictures(count, seed))


def three() -> Splits:
    return Splits(part(0, 45), part(1), part(2))


def recipe(**settings: object) -> Recipe:
    return Recipe.of({**QUICK, **settings}, "test")


@pytest.fixture
def unexported(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out what costs seconds and is tried elsewhere."""
    monkeypatch.setattr("lowbit.train.network.refuse_unexportable", lambda *_: None)
    monkeypatch.setattr("lowbit.train.loop._export", lambda run: {"differences": {}, "not_written": {}})


@pytest.mark.usefixtures("here", "unexported")
def test_the_best_epoch_by_validation_is_what_the_test_samples_judge(monkeypatch: pytest.MonkeyPatch) -> None:
    found = iter([0.5, 0.75, 0.75, 0.1, 0.2])
    weights: list[torch.Tensor] = []

    def judged(run: object, module: torch.nn.Module, samples: object) -> dict[str, float]:
        weights.append(module.get_parameter("head.weight").detach().clone())
        return {"top1": next(found), "top5": 1.0}

    monkeypatch.setattr("lowbit.train.loop.accuracy", judged)
    facts = train(recipe(judge="both", keep="best"), three(), out="run").facts
    assert facts["kept_epoch"] == 2 and (facts["top1"], facts["validation"]["top1"]) == (0.1, 0.2)
    assert torch.equal(weights[3], weights[1]) and not torch.equal(weights[1], weights[2])


def test_the_first_of_equal_epochs_is_the_best() -> None:
    rows = [
        {"epoch": 1, "loss": 1.0},
        *({"epoch": n, "top1": top} for n, top in ((2, 0.5), (3, 0.7), (4, 0.7))),
    ]
    assert best_epoch(rows) == 3 and best_epoch(rows[:1]) == 0


@pytest.mark.usefixtures("here", "unexported")
def test_a_run_that_was_stopped_keeps_the_same_best_epoch() -> None:
    settings = recipe(judge="both", keep="best", epochs=4, optimizer={"rate": 0.02})

    def stop(done: int, total: int, what: str) -> None:
        if done == 12:
            raise KeyboardInterrupt

    whole = train(settings, three(), out="whole").facts
    with pytest.raises(KeyboardInterrupt):
        train(settings, three(), out="broken", progress=stop)
    again = train(settings, three(), out="broken").facts
    assert [again[name] for name in ("kept_epoch", "top1", "validation")] == [
        whole[name] for name in ("kept_epoch", "top1", "validation")
    ]
    Path("broken/best.safetensors").write_bytes(b"cut")
    with pytest.raises(LowbitError, match="--fresh"):
        train(settings, three(), out="broken")


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("settings", "data", "says"),
    [
        ({"keep": "best"}, Splits(part(0), part(1)), "best epoch is chosen by samples for validation alone"),
        (
            {"keep": "best", "judge": "training"},
            Splits(part(0), part(1)),
            "chosen by samples for validation alone",
        ),
        ({"judge": "both"}, Splits(part(0), part(1)), "not both.*found nothing for validation"),
        ({"judge": "both", "validation": 6}, Splits(part(0)), "not both.*found no test samples"),
        ({}, Splits(part(0)), "no test samples.*--validation"),
    ],
)
def test_nobody_judges_that_is_not_asked_for(settings: dict[str, object], data: Splits, says: str) -> None:
    with pytest.raises(PlanError, match=says):
        train(recipe(**settings), data, out="run")


@pytest.mark.usefixtures("here", "unexported")
def test_a_share_is_kept_out_by_its_own_seed() -> None:
    first, again, other = (
        train(
            recipe(validation=0.2, split_seed=seed, epochs=1), Splits(part(0, 45)), out=f"run{number}"
        ).facts
        for number, seed in enumerate((0, 0, 1))
    )
    assert (
        first["judged_by"] == "9 training samples kept out, by class, seed 0" and first["test_samples"] == 9
    )
    hashes = [each["made_from"]["judging data"] for each in (first, again, other)]
    assert hashes[0] == hashes[1] != hashes[2]


@pytest.mark.usefixtures("here", "unexported")
def test_the_norm_of_all_gradients_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    norms: list[float] = []
    step = torch.optim.SGD.step

    def watched(self: torch.optim.SGD, *arguments: object) -> object:
        grads = [each.grad for group in self.param_groups for each in group["params"]]
        norms.append(float(torch.cat([grad.flatten() for grad in grads]).norm()))
        return step(self, *arguments)

    monkeypatch.setattr(torch.optim.SGD, "step", watched)
    for clip in (0.0, 0.01):
        train(recipe(epochs=1, optimizer={"name": "sgd", "clip": clip}), three(), out=f"run{clip}")
    assert min(norms[:5]) > 0.02 and max(norms[5:]) == pytest.approx(0.01, rel=1e-4)


BREAKS = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, breaks="forward", at=4):
        super().__init__()
        self.first, self.second, self.head = nn.Linear(64, 8), nn.Linear(8, 8), nn.Linear(8, 3)
        self.breaks, self.at, self.seen = breaks, at, 0

    def forward(self, x):
        x = self.first(x.flatten(1))
        if self.training and len(x) == 8:
            self.seen += 1
            if self.seen == self.at and self.breaks == "forward":
                x = x * float("nan")
            if self.seen == self.at and self.breaks == "backward":
                x = torch.sqrt(x - x) * 0 + x
        return self.head(self.second(x))
"""


@pytest.mark.usefixtures("unexported")
@pytest.mark.parametrize(
    ("breaks", "settings", "says"),
    [
        ("forward", {}, r"epoch 1, step 4: .*first in layer second, its output, in step 4\. No epoch was"),
        (
            "backward",
            {},
            r"epoch 1, step 5: .*first in layer first, the gradient of first\.weight, in step 4",
        ),
        (
            "forward",
            {"at": 9},
            r"epoch 2, step 9: .*layer second, its output, in step 9\. The .*after epoch 1",
        ),
    ],
)
def test_a_loss_that_is_not_finite_names_the_layer_where_it_began(
    here: Path, breaks: str, settings: dict[str, object], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_module(here, BREAKS)
    arguments = {"breaks": breaks, "at": settings.pop("at", 4)}
    asked = recipe(arguments=arguments, optimizer=settings, judge="test")
    if arguments["at"] == 9:  # counted from the start of the process, and not from that of the epoch
        monkeypatch.setattr("lowbit.train.run.Run.restore", restored_with_count)
    with pytest.raises(NumericError, match=says):
        train(asked, three(), out="run")
    assert Path("run/checkpoint.safetensors").exists() == (arguments["at"] == 9)


def test_a_weight_that_its_step_breaks_is_named() -> None:
    module = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Linear(2, 1))

    def steps() -> Iterator[torch.Tensor]:
        yield module(torch.ones(1, 2)).sum()
        module[1].weight.data.mul_(float("inf"))
        yield torch.zeros(())

    found = first_not_finite(module, torch.optim.SGD(module.parameters()), steps(), 7)
    assert found == "layer 1, 1.weight after its step (the gradient was finite), in step 9"


def restored_with_count(run: object, force: bool = False) -> object:
    from lowbit.train.run import Position

    run.module.seen = 5 if force else 0  # type: ignore[attr-defined]
    return Position()


@pytest.mark.usefixtures("here", "unexported")
def test_several_seeds_have_a_mean_and_a_deviation() -> None:
    repeated = train_seeds(recipe(epochs=1), three(), 3, out=Path("seeds"))
    tops = [result.facts["top1"] for result in repeated.results]
    facts = json.loads(Path("seeds/result.json").read_text())
    assert facts == json.loads(json.dumps(repeated.facts)) and facts["seeds"] == [0, 1, 2]
    assert facts["top1"] == {"mean": mean(tops), "deviation": stdev(tops)}
    assert train(recipe(epochs=1, seed=2), three(), out="alone").top1 == tops[2]
    assert {"commit", "machine", "command", "made_from"} <= set(facts)
    with pytest.raises(PlanError, match="two or more"):
        train_seeds(recipe(), three(), 1, out=Path("one"))


@pytest.mark.usefixtures("here", "unexported")
def test_people_read_a_table_of_seeds(command: Command) -> None:
    np.savez("own.npz", **dict(zip("xy", pictures(), strict=True)))
    words = ["--data", "own.npz", "--input", "1,8,8", "--epochs", 1, "--batch", 8, "--seeds", 2, "--out", "s"]
    code, out, _ = command("train", "mynet.py:Net", *words)
    assert code == 0 and "deviation" in out and "9 samples" in out
    assert sorted(path.name for path in Path("s").iterdir()) == ["result.json", "seed0", "seed1"]


@pytest.mark.usefixtures("here")
def test_data_that_cannot_be_learned_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("PIL")
    data = three()
    one = replace(data, train=replace(data.train, labels=np.zeros(45, np.int64)))
    with pytest.raises(DataError, match=r"one class to learn.*all of class 0"):
        train(recipe(), one, out="run")
    assert data.train.labels is not None
    gap = replace(data, train=replace(data.train, labels=2 * data.train.labels))
    with pytest.raises(LowbitError, match=r"2 classes have no samples.*none of 1, 3"):
        train(recipe(arguments={"classes": 5}), gap, out="run")
    write_folder(tmp_path / "own", {"": 9})
    (tmp_path / "own/dog").mkdir()
    with pytest.raises(DataError, match=r"a class has no samples.*none of dog"):
        load_data(recipe_of("mynet.py:Net", "own", {}))
    assert not Path("run").exists() and CLASSES


@pytest.mark.usefixtures("here", "unexported")
def test_what_torch_cannot_compile_ends_the_run_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    from torch._dynamo.exc import Unsupported

    def fails(module: torch.nn.Module) -> torch.nn.Module:
        def forward(x: torch.Tensor) -> torch.Tensor:
            raise Unsupported("no such thing", "case")

        module.forward = forward
        return module

    monkeypatch.setattr("lowbit.train.run.compiled", fails)
    with pytest.raises(UnsupportedError, match=r"torch.compile cannot translate.*no such thing.*--compile"):
        train(recipe(compile=True), three(), out="run")


def test_low_bit_layers_are_translated_in_one_part(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What begins with the first values asks about numbers, which would cut what is translated."""
    whole = lambda module: torch.compile(module, backend="eager", fullgraph=True)
    monkeypatch.setattr("lowbit.train.run.compiled", whole)
    settings = recipe(compile=True, plan={"weights": "lq:2", "activations": "lq:2"}, epochs=2)
    assert train(settings, three(), out="run").facts["curve"][-1]["loss"] < 2


@pytest.mark.parametrize("seed", range(10))
def test_a_recipe_that_is_written_is_read_as_the_same(here: Path, seed: int) -> None:
    random = np.random.default_rng(seed)
    texts = ["lq:2", 'a "quote" \\ and\ttab', "Übung", "\x7f\x1b[0m"]
    settings = {
        "arguments": {"width": int(random.integers(9)), "name": texts[seed % 4], "parts": [1, 2.5, True]},
        "optimizer": {"rate": float(random.random() * 10.0 ** random.integers(-9, 2)), "clip": 0.5},
        "plan": {"weights": "lq:2", "layers": {"first*": {"weights": "affine:8"}}},
        "normalize": random.random(6).tolist(),
        "validation": [0, 7, 0.25][seed % 3],
        "search": {"optimizer.rate": {"low": 1e-5, "high": 0.1, "log": True}, "batch": [8, 16]},
    }
    asked = recipe(**settings)
    (here / "own.npz").touch()
    write_recipe(asked, here / "recipe.toml")
    assert Recipe.read(here / "recipe.toml") == asked
    assert as_toml({"a": {}, "b": 1}) == "b = 1\n"
