"""The loop: what a run leaves behind, exact resume, several processes, and what goes wrong."""

import hashlib
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lowbit.data import load
from lowbit.errors import (
    DataError,
    FileError,
    MissingExtra,
    ModelFormatError,
    NumericError,
    PlanError,
    UnsupportedError,
)

pytest.importorskip("lightning_fabric")

import torch
from safetensors.torch import save

from lowbit.train import Recipe, Splits, train
from lowbit.train.checkpoint import read_tensors, write_tensors
from lowbit.train.judging import held_out

QUICK = {"network": "lenet", "data": "made", "epochs": 2, "batch": 16, "name": "quick"}


def made(count: int = 80, seed: int = 0) -> Splits:
    """Return pictures whose class is the place of a bright square, 20 of them to be judged by."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, 10, count + 20)
    pictures = random.integers(0, 60, (count + 20, 28, 28), np.uint8)
    for picture, label in zip(pictures, labels, strict=True):
        picture[14 * (label // 5) :, 5 * (label % 5) :][:12, :5] += 190
    return Splits(load((pictures[:count], labels[:count])), load((pictures[count:], labels[count:])))


def recipe(**settings: Any) -> Recipe:
    return Recipe.of({**QUICK, **settings}, "test")


def test_a_run_leaves_weights_network_curve_and_result(tmp_path: Path) -> None:
    from lowbit.formats import read_model
    from lowbit.ir import evaluate

    splits = made()
    result = train(recipe(epochs=12, optimizer={"rate": 0.01}), splits, out=tmp_path / "run")
    facts = json.loads((tmp_path / "run/result.json").read_text())
    assert facts == json.loads(json.dumps(result.facts)) and facts["top1"] > 0.8
    curve = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in curve] == list(range(1, 13)) and curve[-1]["loss"] < curve[0]["loss"] / 2
    graph = read_model(tmp_path / "run/model.onnx")
    logits = evaluate(graph, {"x": splits.test.samples.reshape(-1, 1, 28, 28)})["logits"]
    assert np.mean(logits.argmax(1) == splits.test.labels) == facts["top1"]


def test_the_files_remember_how_samples_were_normalized(tmp_path: Path) -> None:
    from lowbit import api

    splits = made()
    result = train(recipe(epochs=1, normalize=[0.25, 0.5]), splits, out=tmp_path / "run")
    raw = np.rint(255 * splits.test.samples).astype(np.uint8)
    np.savez(tmp_path / "test.npz", x=raw, y=splits.test.labels)
    for name in ("model.onnx", "model.circle"):
        assert api.evaluate(tmp_path / "run" / name, str(tmp_path / "test.npz"))["top1"] == result.top1


def test_a_seed_decides_every_number(tmp_path: Path) -> None:
    results = [
        train(recipe(seed=seed), made(), out=tmp_path / name) for name, seed in (("a", 1), ("b", 1), ("c", 2))
    ]
    losses = [[row["loss"] for row in result.facts["curve"]] for result in results]
    assert losses[0] == losses[1] != losses[2]


def test_samples_kept_out_judge_in_place_of_the_test_samples(tmp_path: Path) -> None:
    splits, settings = made(), recipe(epochs=1, validation=30)
    result = train(settings, splits, out=tmp_path / "held")
    assert result.facts["test_samples"] == 30
    assert result.facts["judged_by"] == "30 training samples kept out, by class, seed 0"
    cut = held_out(splits.train, 30)
    same = train(replace(settings, validation=0), cut, out=tmp_path / "cut")
    assert [row["loss"] for row in same.facts["curve"]] == [row["loss"] for row in result.facts["curve"]]
    assert same.top1 == result.top1 and same.facts["judged_by"] == "the test samples"
    with pytest.raises(PlanError, match="too many samples are kept out; expected at most 70"):
        train(recipe(validation=71), splits, out=tmp_path / "all")


def test_a_checkpoint_from_before_a_setting_existed_is_gone_on_from(tmp_path: Path) -> None:
    train(recipe(epochs=1), made(), out=tmp_path)
    path = tmp_path / "checkpoint.safetensors"
    tensors, facts = read_tensors(path, ("recipe", "position"))
    del facts["recipe"]["validation"]
    write_tensors(path, tensors, facts)
    assert train(recipe(epochs=1), made(), out=tmp_path).facts["curve"]


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_a_run_that_goes_on_gives_the_same_weights(tmp_path: Path, optimizer: str) -> None:
    settings = recipe(
        epochs=3,
        optimizer={"name": optimizer},
        average=0.9,
        augmentation={"flip": True, "crop": 2, "rotation": 10},
        precision="bf16",
        plan={"conv2": {"weight": "binary", "activation": "binary"}},
    )

    def stop(done: int, total: int, what: str) -> None:
        if done == 8:
            raise KeyboardInterrupt

    whole, broken = tmp_path / "whole", tmp_path / "broken"
    train(settings, made(), out=whole)
    with pytest.raises(KeyboardInterrupt):
        train(settings, made(), out=broken, progress=stop)
    train(settings, made(), out=broken)
    assert (whole / "weights.safetensors").read_bytes() == (broken / "weights.safetensors").read_bytes()


def test_a_checkpoint_of_another_recipe_is_refused(tmp_path: Path) -> None:
    train(recipe(epochs=1), made(), out=tmp_path / "run")
    with pytest.raises(PlanError, match="epochs was 1, is 2"):
        train(recipe(epochs=2), made(), out=tmp_path / "run")
    train(recipe(epochs=2), made(), out=tmp_path / "run", resume=False)


def another(what: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Splits:
    """Change one thing that a run depends on, and return the samples to go on with."""
    splits = made()
    labels = np.roll(np.asarray(splits.train.labels), 1)
    match what:
        case "data":
            return replace(splits, train=replace(splits.train, labels=labels))
        case "judging data":
            return replace(splits, test=replace(splits.test, samples=splits.test.samples[:, ::-1].copy()))
        case "teacher":
            train(recipe(epochs=1, seed=1), splits, out=folder / "parent", resume=False)
        case "code":
            copy = folder / "lowbit"
            (copy / "nn").mkdir(parents=True)
            (copy / "nn/step.py").write_text("a step\n")
            monkeypatch.setattr("lowbit.train.identity._PACKAGE", copy)
        case "torch":
            monkeypatch.setattr("torch.__version__", "9.9.9")
    return splits


@pytest.mark.parametrize("what", ["data", "judging data", "teacher", "code", "torch"])
def test_a_run_goes_on_with_another_thing_it_depends_on_only_by_force(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    def stop(done: int, total: int, line: str) -> None:
        if done == 8:
            raise KeyboardInterrupt

    train(recipe(epochs=1), made(), out=tmp_path / "parent")
    settings = recipe(
        loss={"teacher": "parent", "distillation": 0.5}, augmentation={"flip": True, "views": 1}, epochs=3
    )
    with pytest.raises(KeyboardInterrupt):
        train(settings, made(), out=tmp_path / "run", progress=stop)
    splits, kept = (
        another(what, tmp_path, monkeypatch),
        (tmp_path / "run/checkpoint.safetensors").read_bytes(),
    )
    with pytest.raises(PlanError, match=rf"of another recipe, data or code.*{what} was .*, is .*--force"):
        train(settings, splits, out=tmp_path / "run")
    assert (tmp_path / "run/checkpoint.safetensors").read_bytes() == kept
    facts = train(settings, splits, out=tmp_path / "run", force=True).facts
    assert len(facts["changed"]) == 1 and facts["changed"][0].startswith(f"after epoch 1: {what} was ")
    again = train(settings, splits, out=tmp_path / "run").facts  # it is this run's own now
    assert again["changed"] == facts["changed"]
    assert train(settings, splits, out=tmp_path / "run", resume=False).facts["changed"] == []


def test_a_run_goes_on_with_another_recipe_only_by_force(tmp_path: Path) -> None:
    train(recipe(epochs=1), made(), out=tmp_path / "run")
    facts = train(recipe(epochs=2), made(), out=tmp_path / "run", force=True).facts
    assert facts["changed"] == ["after epoch 1: epochs was 1, is 2"] and len(facts["curve"]) == 2
    with pytest.raises(ModelFormatError, match="does not fit the network"):
        train(recipe(network="mlp", epochs=2), made(), out=tmp_path / "run", force=True)


def test_answers_of_another_teacher_are_not_taken(tmp_path: Path) -> None:
    settings = recipe(loss={"teacher": "parent", "distillation": 0.9}, augmentation={"views": 1}, epochs=1)
    losses = []
    for seed in (0, 1):
        train(recipe(epochs=1), made(seed=seed), out=tmp_path / "parent", resume=False)
        for name in ("run", f"new{seed}"):
            curve = train(settings, made(), out=tmp_path / name, resume=False).facts["curve"]
            losses.append(curve[-1]["loss"])
    assert losses[0] == losses[1] != losses[2] == losses[3]


def test_weights_are_drawn_as_the_recipe_says(tmp_path: Path) -> None:
    from lowbit.train.network import build

    module, _ = build(recipe(network="mlp-784-40-10", initialization="xavier"), tmp_path)
    for weight in module.parameters():
        reach = (6 / sum(weight.shape)) ** 0.5 if weight.ndim > 1 else 0.0
        assert 0.9 * reach <= weight.abs().max() <= reach
    with pytest.raises(PlanError, match="torch or xavier"):
        recipe(initialization="he")


def test_a_result_names_its_files_by_their_hashes(tmp_path: Path) -> None:
    facts = train(recipe(epochs=1), made(), out=tmp_path).facts
    assert set(facts["files"]) == {"model.onnx", "model.circle"}
    for name, found in facts["files"].items():
        assert hashlib.sha256((tmp_path / name).read_bytes()).hexdigest() == found


@pytest.mark.parametrize("damage", ["cut", "empty", "of another tool", "of another network"])
def test_a_damaged_checkpoint_is_refused(tmp_path: Path, damage: str) -> None:
    train(recipe(epochs=1), made(), out=tmp_path)
    path = tmp_path / "checkpoint.safetensors"
    content = path.read_bytes()
    if damage == "of another network":
        write_tensors(
            path, {"module.conv1.weight": torch.zeros(3)}, read_tensors(path, ("recipe", "position"))[1]
        )
    else:
        other = save({"weight": torch.zeros(3)}, {"format": "pt"})
        path.write_bytes(
            {"cut": content[: len(content) // 2], "empty": b"", "of another tool": other}[damage]
        )
    with pytest.raises(FileError, match="--fresh"):
        train(recipe(epochs=1), made(), out=tmp_path)


def test_a_loss_that_is_not_finite_stops_with_its_step(tmp_path: Path) -> None:
    splits = made()
    train(recipe(epochs=1), splits, out=tmp_path / "run")
    kept = (tmp_path / "run/checkpoint.safetensors").read_bytes()
    bad = recipe(epochs=1, optimizer={"name": "sgd", "rate": 1e30})
    with pytest.raises(NumericError, match=r"quick, epoch 1, step \d.*No epoch was finished"):
        train(bad, splits, out=tmp_path / "run", resume=False)
    assert (tmp_path / "run/checkpoint.safetensors").read_bytes() == kept


def test_a_student_starts_from_its_parent_and_learns_from_it(tmp_path: Path) -> None:
    train(recipe(epochs=1), made(), out=tmp_path / "parent")
    binary = {"weight": "binary", "activation": "binary"}
    plan = {"conv2": {**binary, "before_sign": "prelu"}, "fc1": binary}
    loss = {"teacher": "parent", "distillation": 0.7, "temperature": 2}
    student = recipe(initial="parent", plan=plan, loss=loss, reestimate=2)
    result = train(student, made(), out=tmp_path / "student")
    assert result.facts["scheme"] == "binary" and result.facts["new_weights"] == ["act1.weight"]
    found = result.facts["differences"]
    assert found["codes"] == 20 * (6 * 14 * 14 + 16 * 5 * 5) and not found["why_not"]
    assert found["codes_engine"] == 0
    assert found["classes_engine"] == found["classes_onnxruntime"] == 0
    assert (tmp_path / "student/model.circle").exists() and not result.facts["not_written"]


def test_fixed_point_gives_the_reference_s_logits(tmp_path: Path) -> None:
    plan = {"*": {"weight": "fixed:6.3", "activation": "fixed:6.3"}}
    facts = train(recipe(network="lst1", normalize=[0.5, 0.5], plan=plan), made(), out=tmp_path / "run").facts
    assert facts["scheme"] == "fixed:6.3" and not facts["not_written"]
    found = facts["differences"]
    assert (found["logits"], found["logits_reference"]) == (200, 0)
    assert (found["classes_engine"], found["classes_onnxruntime"]) == (0, 0)


def test_the_curve_goes_to_tensorboard_on_request(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(MissingExtra, match=r"lowbit\[tensorboard\]"):
        train(recipe(epochs=1), made(), out=tmp_path / "run", tensorboard=True)
    monkeypatch.undo()
    pytest.importorskip("tensorboard")
    train(recipe(epochs=1), made(), out=tmp_path / "run", tensorboard=True)
    assert list((tmp_path / "run").glob("events.out.tfevents*"))


def test_a_sign_of_inputs_that_are_never_negative_is_refused_before_training(tmp_path: Path) -> None:
    plan = {"conv1": {"weight": "binary", "activation": "binary"}}
    with pytest.raises(UnsupportedError, match=r"conv1: .*the network's input is never negative"):
        train(recipe(plan=plan), made(), out=tmp_path / "run")
    train(recipe(plan=plan, normalize=[0.2, 0.3], epochs=1), made(), out=tmp_path / "run")


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match=r"teacher has not been trained.*lowbit train recipes/parent\.toml"):
        train(recipe(loss={"teacher": "parent", "distillation": 0.5}), made(), out=tmp_path / "run")
    with pytest.raises(PlanError, match="conv2"):
        train(recipe(plan={"conf2": {"weight": "binary"}}), made(), out=tmp_path / "run")
    unlabelled = replace(made().train, labels=None)
    with pytest.raises(DataError, match="no labels"):
        train(recipe(), replace(made(), train=unlabelled), out=tmp_path / "run")
    for split in ("train", "test"):
        dataset = getattr(made(), split)
        labels = np.append(dataset.labels[:-1], 10)
        other = replace(made(), **{split: replace(dataset, labels=labels)})
        with pytest.raises(DataError, match=f"no classes of the network.*found 0 to 10.*{len(labels) - 1}"):
            train(recipe(), other, out=tmp_path / "run")
    with pytest.raises(PlanError, match="no such device; expected auto or cpu"):
        train(recipe(), made(), out=tmp_path / "run", device="cuda:9")
    train(recipe(epochs=1), made(), out=tmp_path / "parent")
    with pytest.raises(PlanError, match="of another network; expected no such weights"):
        train(recipe(network="mlp", initial="parent"), made(), out=tmp_path / "run")
    with pytest.raises(PlanError, match="a batch has more samples"):
        train(recipe(batch=81), made(), out=tmp_path / "run")


def test_the_doctor_speaks_in_the_result_the_curve_and_on_request(tmp_path: Path) -> None:
    """Weights that the rate does not move are at rest; what was said before a run was stopped is kept."""
    plan = {"conv2": {"weight": "affine:4", "activation": "affine:4"}}
    settings = recipe(plan=plan, optimizer={"name": "sgd", "rate": 1e-30})
    said: list[str] = []

    def stop(done: int, total: int, what: str) -> None:
        if done == 7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(settings, made(), out=tmp_path, progress=stop)
    facts = train(settings, made(), out=tmp_path, tell=said.append).facts
    assert {(found["kind"], found["layer"]) for found in facts["findings"]} == {("at rest", "conv2")}
    assert {found["epoch"] for found in facts["findings"]} == {1, 2}
    assert [row["findings"] for row in facts["curve"]] == [len(said)] * 2
    assert said[0].startswith("epoch 2: conv2: at rest") and "optimizer" in said[0]
