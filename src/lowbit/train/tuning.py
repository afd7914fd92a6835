"""Settings by search: Optuna proposes, a run of its own judges each proposal by samples for validation.

The test samples are never opened. A search that was killed goes on: what was proposed and found is a journal
in the folder, and every trial a run that goes on with its own checkpoint. Trials that are behind at half of
the others end early (the median rule; Golovin et al. 2017, section 3.2).
"""

import json
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lowbit.errors import (
    LowbitError,
    MissingExtra,
    ModelFormatError,
    NumericError,
    PlanError,
    UnsupportedError,
)
from lowbit.provenance import provenance
from lowbit.state import digest
from lowbit.train.judging import judged_splits
from lowbit.train.loop import Progress, train
from lowbit.train.metrics import Row
from lowbit.train.recipe import Recipe
from lowbit.train.recipe_file import RECIPE, write_recipe
from lowbit.train.result import RESULT
from lowbit.train.samples import Splits
from lowbit.train.search import Choices, Space, space_of, with_settings
from lowbit.untrusted import write_atomic

if TYPE_CHECKING:
    import optuna

JOURNAL = "search.journal"
"""What was proposed and found, a line of JSON each."""

Ended = Callable[[int, int, dict[str, Any]], None]
"""Called with trials that are done, trials in all, and the row of the last."""

_WHY = "why"  # a trial failed
_STARTUP = 5  # trials before some are compared with others


@dataclass(frozen=True)
class Tuned:
    """What a search found.

    Attributes:
        folder: of its journal, its trials and the best recipe.
        facts: the content of its ``result.json``: trials, the best, importance.
        best: the recipe with the best settings, as the search was given it otherwise.
    """

    folder: Path
    facts: dict[str, Any]
    best: Recipe


class _Behind(Exception):  # noqa: N818 - no error: a trial that ends early
    """Ends the run of a trial that is behind the others."""


def tune(
    recipe: Recipe,
    data: Splits,
    *,
    out: Path,
    trials: int = 20,
    device: str = "auto",
    early: bool = True,
    progress: Callable[[int], Progress] | None = None,
    ended: Ended | None = None,
    command: str = "",
) -> Tuned:
    """Search for the settings whose best epoch has the highest top-1 over samples for validation.

    Args:
        recipe: with a table `search`.
        data: training samples, and those for validation where the recipe keeps none out; no test samples.
        out: the folder.
        trials: how many in all, those of an earlier start counted.
        device: as of `lowbit.train.train`.
        early: whether trials that are behind end early.
        progress: gives, for the number of a trial, what is called after every step.
        ended: called after every trial.
        command: what the result says it was made by.

    Raises:
        PlanError: the recipe says no search or an impossible one, keeps nothing out to judge by, or differs
            from what the folder's search began with; or no trial came to an end.
        ModelFormatError: the journal is damaged.
        MissingExtra: Optuna is not installed.
    """
    space = space_of(recipe)
    data = Splits(data.train, None, data.validation)
    tried = replace(recipe, judge="test", search={})
    _, judges = judged_splits(replace(tried, keep="best"), data)
    out.mkdir(parents=True, exist_ok=True)
    study = _study(out, recipe, space)

    def judged(trial: "optuna.Trial") -> float:
        chosen = {name: _proposed(trial, name, part) for name, part in space.items()}
        made = with_settings(tried, chosen)
        folder = out / f"trial-{digest(chosen)[:10]}"
        tops: list[float] = []

        def epoch_done(row: Row) -> None:
            if "top1" in row:
                tops.append(float(row["top1"]))
                trial.report(max(tops), int(row["epoch"]))
                if early and trial.should_prune():
                    raise _Behind

        advance = progress(trial.number) if progress else None
        found = train(
            replace(made, keep="last"),
            data,
            out=folder,
            device=device,
            progress=advance,
            epoch_done=epoch_done,
            command=command,
            export=False,
        )
        return max(float(row["top1"]) for row in found.facts["curve"] if "top1" in row)

    while (done := len(_over(study))) < trials:
        trial, value, state = study.ask(), None, _states().COMPLETE
        try:
            value = judged(trial)
        except _Behind:
            state = _states().PRUNED
        except (NumericError, PlanError, UnsupportedError) as error:
            state = _states().FAIL
            trial.set_user_attr(_WHY, str(error))
        study.tell(trial, value, state)
        if ended is not None:
            ended(done + 1, trials, _row(study.trials[trial.number]))
    return _finish(study, recipe, out, judges, command)


def _finish(study: "optuna.Study", recipe: Recipe, out: Path, judges: str, command: str) -> Tuned:
    found = [_row(trial) for trial in _over(study)]
    complete = [row for row in found if row["state"] == "complete"]
    if not complete:
        reasons = list(dict.fromkeys(row["why"] for row in found if row["why"]))
        raise PlanError("no trial came to its end", where=str(out), found="; ".join(reasons[:3]) or "none")
    best = max(complete, key=lambda row: (row["top1"], -row["trial"]))
    chosen = replace(with_settings(recipe, best["settings"]), search={})
    write_recipe(chosen, out / RECIPE)
    facts = {
        "recipe": recipe.name,
        "judged_by": judges,
        "best": best,
        "trials": found,
        "importance": _importance(study),
        "settings": recipe.to_dict(),
        **provenance(command or "lowbit tune"),
    }
    write_atomic(out / RESULT, (json.dumps(facts, indent=1) + "\n").encode())
    return Tuned(out, facts, chosen)


def _study(out: Path, recipe: Recipe, space: Space) -> "optuna.Study":
    """Return the search of a folder, begun or gone on with; proposals that were not judged come first."""
    try:
        import optuna
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend
    except ImportError as error:
        raise MissingExtra("optuna", "train") from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    path, said = out / JOURNAL, digest(recipe.to_dict())
    with _readable(path), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of parts that Optuna calls experimental
        storage = JournalStorage(JournalFileBackend(str(path)))
        study = optuna.create_study(
            storage=storage,
            study_name="search",
            direction="maximize",
            load_if_exists=True,
            pruner=optuna.pruners.MedianPruner(n_startup_trials=_STARTUP),
        )
        began = study.user_attrs.get("recipe", said)
        study.sampler = optuna.samplers.TPESampler(seed=(recipe.seed + 7919 * len(study.trials)) % (1 << 32))
        if began != said:
            raise PlanError(
                "the folder holds a search of another recipe",
                where=str(path),
                expected="the recipe that it began with",
                found="another",
                remedy="Give another --out.",
            )
        study.set_user_attr("recipe", said)
        for trial in study.trials:
            if trial.state is optuna.trial.TrialState.RUNNING:  # of a process that is gone
                study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
                if trial.params.keys() == space.keys():
                    study.enqueue_trial(trial.params)
    return study


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Turn what a damaged journal makes of Optuna into an error of ours."""
    try:
        yield
    except LowbitError:
        raise
    except Exception as error:  # whatever a line that is none of its own makes it raise
        raise ModelFormatError(
            "this is no journal of a search",
            where=str(path),
            expected="what lowbit tune wrote",
            found=f"{type(error).__name__}: {error}"[:160],
            remedy="Begin another search, in another folder (--out).",
        ) from error


def _states() -> Any:
    from optuna.trial import TrialState

    return TrialState


def _over(study: "optuna.Study") -> list["optuna.trial.FrozenTrial"]:
    """Return the trials that are over; those of a process that is gone are proposed again, and count then."""
    return [
        trial
        for trial in study.trials
        if trial.state.is_finished() and (trial.state is not _states().FAIL or _WHY in trial.user_attrs)
    ]


def _proposed(trial: "optuna.Trial", name: str, part: Any) -> Any:
    if isinstance(part, Choices):
        return trial.suggest_categorical(name, part.values)
    suggest: Any = trial.suggest_int if part.whole else trial.suggest_float
    return suggest(name, part.low, part.high, log=part.log)


def _row(trial: "optuna.trial.FrozenTrial") -> dict[str, Any]:
    """Return what is said of a trial; of one that ended early its best until then."""
    states = {"COMPLETE": "complete", "PRUNED": "early"}
    seen = list(trial.intermediate_values.values())
    return {
        "trial": trial.number,
        "top1": max(seen, default=None) if trial.value is None else trial.value,
        "state": states.get(trial.state.name, "failed"),
        "settings": dict(trial.params),
        "why": str(trial.user_attrs.get(_WHY, "")),
    }


def _importance(study: "optuna.Study") -> dict[str, float]:
    """Return how much of the figure's differences each setting makes; nothing of too few trials."""
    from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

    complete = [trial for trial in study.trials if trial.state is _states().COMPLETE]
    if len(complete) < 2 * _STARTUP or len({trial.value for trial in complete}) < 3:
        return {}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = get_param_importances(study, evaluator=PedAnovaImportanceEvaluator())
    except Exception:  # a picture is no reason to lose a search
        return {}
    return {name: float(share) for name, share in found.items()}
