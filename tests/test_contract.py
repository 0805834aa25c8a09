"""What training writes and what the analysis reads are the same fields: one real sweep, every field by name.

The two sides share no code, as the analysis imports neither torch nor Hydra. A name that changes on one side only makes
a table quietly emptier; here it makes a test red.
"""

import csv
import json
import os
import shutil
from pathlib import Path

import pytest

from analysis.best.best import find_best
from analysis.figures import learning
from analysis.figures.saliency import read_saliency
from analysis.read import configs, overrides, plans, results, settings, tree
from analysis.read.curves import read_curves
from analysis.read.gather import Gathered, gather
from analysis.select import columns, conditions, fairness, metrics, searches
from analysis.status.status import find_status
from tests.support import TINY, places, run_py
from tffd import records
from tffd.provenance import CLEAN, UNKNOWN, Past

# Fields of result.json that are no column of the analysis by their own name: objects, whose parts are columns.
OBJECTS = {"split", "versions", "term_weights"}
# Columns of the analysis that a run may lack: what it rests cautions on, and what it only keeps.
OPTIONAL = {
    "data", "failure", "program", "weights", "teacher_digest", "teacher_past", "teacher_top1", "teacher_split",
    "mode_parameters",
}  # fmt: skip
# What a run under protocol=validation has no value of.
NULL = {"error", "teacher", "test_top1", "test_top5", "test_loss", "best_test_top1"}
EPOCH = {
    "epoch", "lr", "kd_factor", "train_loss", "train_ce", "train_top1", "intra", "inter",
    "val_top1", "val_top5", "val_loss",
}  # fmt: skip


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A search of one trial with two seeds, and its baseline: four runs of an epoch, one after the other."""
    directory = tmp_path_factory.mktemp("contract")
    search = ("-m", "sweep=lambdas", "sweep.n_trials=1", "sweep.seeds=[1,2]", "sweep.n_jobs=1")
    done = run_py(*search, *places(directory), *TINY, "trainer.epochs=1")
    assert done.returncode == 0, done.stdout + done.stderr
    return directory / "results" / "lambdas"


@pytest.fixture(scope="module")
def gathered(sweep: Path) -> Gathered:
    return gather(sweep)


def test_every_run_is_found_and_nothing_is_odd(gathered: Gathered) -> None:
    assert gathered.counts() == dict.fromkeys(gathered.counts(), 0) | {"complete": 4}


def test_the_fields_of_a_result(gathered: Gathered, sweep: Path) -> None:
    for path in sweep.rglob(records.RESULT):
        written = set(json.loads(path.read_text()))
        assert written - OBJECTS - OPTIONAL == set(results.COLUMNS) - {"path"}
        assert written >= OBJECTS
    runs = gathered.runs
    null = {name for name in results.COLUMNS if runs[name].isna().all()}
    assert null == NULL
    assert not (runs[list(set(results.COLUMNS) - NULL)].isna().any(axis=None))
    assert {"versions.torch", "versions.python"} <= set(runs)
    assert set(runs["model"]) == {"resnet8"} and set(runs["kd_mode"]) == {"none", "tfd"}
    assert sorted(runs["seed"]) == [1, 1, 2, 2]
    assert set(records.METRIC_NAMES) <= set(results.COLUMNS)
    assert (records.COMPLETE, records.PRUNED, records.FAILED) == results.ENDED


def test_the_columns_that_cautions_rest_on(gathered: Gathered) -> None:
    """One that no run has any more is no error to the analysis: it only never warns again."""
    asked = {*conditions._SHOULD_AGREE, *conditions._PASTS, *settings.RECORDED, *fairness._RECORDED}
    asked |= {column for column, _, _ in conditions._STATED} - {"split", "epoch"}  # those follow from the metric
    of_weights = Past("0123456789ab", UNKNOWN).record()
    assert {f"teacher_{name}" for name in of_weights} <= OPTIONAL
    assert asked - {*gathered.runs} == {f"weights.{name}" for name in of_weights}
    for column in ("data", "split.train_sha256", "split.val_sha256"):
        assert gathered.runs[column].nunique() == 1 and gathered.runs[column].notna().all()
    for past in (CLEAN, UNKNOWN):
        warned = [*conditions.past_notes(dict.fromkeys(conditions._PASTS, (past,)))]
        assert len(warned) == (2 if past == UNKNOWN else 0)


def test_the_columns_of_the_metrics(gathered: Gathered, sweep: Path) -> None:
    curves = read_curves(gathered)
    assert (curves.skipped, curves.waiting) == ((), ())
    assert {*curves.metrics(), "epoch"} == EPOCH
    assert curves.frame.groupby("path")["epoch"].max().tolist() == [1] * 4
    for path in sweep.rglob(records.METRICS):
        last = list(csv.DictReader(path.read_text().splitlines()))[-1]
        assert configs.read_last_row(str(path.parent)) == {name: float(text) for name, text in last.items() if text}
        assert float(last["val_top1"]) == json.loads((path.parent / records.RESULT).read_text())["val_top1"]
    assert {*records.METRIC_NAMES, *records.COST_OBJECTIVES} <= set(metrics._LISTED) <= {*results.COLUMNS, *EPOCH}
    assert set(learning._LABELS) <= EPOCH


def test_the_fields_of_a_plan(gathered: Gathered, sweep: Path, tmp_path: Path) -> None:
    (read,) = gathered.plan
    assert read.path == str(sweep)
    written = json.loads((sweep / "sweep.json").read_text())
    several = {key: written[key] for key in ("objectives", "directions")}  # what a reader of one objective overlooks
    assert plans._read_directions(several) == {"val_top1": "maximize"}
    assert (read.name, read.directions, read.seeds) == ("lambdas", {"val_top1": "maximize"}, (1, 2))
    assert read.space.keys() == {"lambda_intra", "lambda_inter"}
    assert read.fixed is not None and {"model=resnet8", "trainer.epochs=1"} <= set(read.fixed)
    assert read.command is not None and read.command.startswith("python run.py -m sweep=lambdas sweep.n_trials=1 ")
    assert read.origin.cwd == written["cwd"] == os.getcwd()
    moved = plans.read_sweep(shutil.copy(sweep / "sweep.json", tmp_path))  # told by the place that was recorded
    assert moved.place == {"results_dir": str(tmp_path.parent), "name": tmp_path.name}
    baseline = tuple({"kd_mode": "none", "seed": seed} for seed in ("1", "2"))
    assert read.studies == (
        plans.Study(searches.BASELINE, "grid", 2, baseline),
        plans.Study(searches.STUDY, "search", 1),
    )
    (status,) = {progress.to_do for progress in find_status(gathered).studies}
    assert status == 0


def test_a_search_is_read_with_its_settings_and_its_baseline(gathered: Gathered) -> None:
    best = find_best(gathered)
    assert (best.complete, best.planned, dict(best.statuses)) == (1, 1, {"complete": 1})
    (winner,) = best.front
    assert winner.settings.keys() == {"lambda_intra", "lambda_inter"}
    assert winner.measured["val_top1"].n == best.baselines[0].measured["val_top1"].n == 2
    assert best.retraining.used == (1, 2)


def test_the_columns_of_the_saliency(gathered: Gathered) -> None:
    saliency = read_saliency(gathered)
    assert saliency.skipped == ()
    assert [[len(stage) for stage in stages] for stages in saliency.stages.values()] == [[16, 32, 64]] * 4


def test_the_keys_of_a_config_and_the_words_of_a_command(gathered: Gathered) -> None:
    for run in gathered.runs.to_dict("records"):
        config = configs.read_config(run["path"])
        assert config.keys() >= {*columns._RECIPE, "trainer.epochs", "results_dir", "dataset.name", "model.name"}
        assert config["trainer.epochs"] == run["epochs"] == 1
        words = overrides.as_pairs(overrides.read_overrides(run["path"]))
        assert (words["model"], words["seed"]) == ("resnet8", str(run["seed"]))


def test_the_names_of_files(tmp_path: Path) -> None:
    assert tree._TRACES == (records.HEARTBEAT, records.METRICS)
    assert tree._SIGNS[:2] == (records.HEARTBEAT, records.METRICS)
    assert tree.SILENCE > 2 * records.BEAT_SECONDS
    (tmp_path / records.TRIAL).write_text("{}")
    assert tree.scan(str(tmp_path)).given_up == [str(tmp_path)]
