"""A sweep's trials all see the pictures that it was planned on."""

import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from optuna.trial import TrialState
from PIL import Image
from rich.console import Console

from tests.support import TINY, compose_config, places, results
from tests.sweep.fakes import COMPLETE_STATE, RUNNING, Act, Opened, failing, grid, job_of, open_sweep, states
from tests.sweep.processes import finish, start, study_of, wait_until
from tffd import session
from tffd.build import build_parts
from tffd.config import require_config
from tffd.data import DataChanged
from tffd.identity import hash_config
from tffd.records import read_result
from tffd.schema import Config
from tffd.sweep.pinned import PinnedData
from tffd.sweep.studies.attributes import Claim
from tffd.sweep.studies.study import ResumableStudy
from tffd.sweep.worker import Job
from tffd.training.progress import EpochReporter
from tffd.trial import run_trial

QUIET = EpochReporter(Console(file=io.StringIO()))


def picture(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(path)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for split, pictures in (("train", 10), ("test", 2)):
        for label in range(2):
            for number in range(pictures):
                picture(tmp_path / "tree" / split / "ab"[label] / f"{number}.png", 100 * label + number)
    return tmp_path / "tree"


def overrides(tree: Path) -> list[str]:
    small = ("trainer.batch_size=4", "dataset.val_fraction=0.2", "dataset.source.image_size=8", "dataset.augment.pad=1")
    return ["dataset=image_folder", f"dataset.root={tree}", "dataset.name=mine", *small, *places(tree.parent)]


def config_of(tree: Path) -> Config:
    return require_config(compose_config(*overrides(tree)))


def test_what_changed_is_named(tree: Path) -> None:
    pinned, config = PinnedData(), config_of(tree)
    pinned.pin(config)
    before = pinned.require_same(config)
    picture(tree / "train" / "a" / "new.png", 7)
    (tree / "test" / "b" / "1.png").unlink()
    picture(tree / "test" / "b" / "0.png", 99)
    with pytest.raises(
        DataChanged,
        match=r"of dataset=mine have changed since the sweep began: added train/a/new.png; removed test/b/1.png; "
        r"changed test/b/0.png$",
    ):
        pinned.require_same(config)
    for number in range(7):
        picture(tree / "train" / "a" / f"more{number}.png", number)
    with pytest.raises(DataChanged, match=r"train/a/more4.png and 3 more; removed"):
        pinned.require_same(config)
    assert before.data not in (PinnedData().require_same(config).data, "")


def test_pictures_that_are_gone_are_told(tree: Path) -> None:
    pinned, config = PinnedData(), config_of(tree)
    pinned.pin(config)
    tree.rename(tree.with_name("moved"))
    with pytest.raises(DataChanged, match="of dataset=mine cannot be read any more: .*tree/train is missing"):
        pinned.require_same(config)


def test_pictures_of_the_same_content_are_the_same(tree: Path) -> None:
    pinned, config = PinnedData(), config_of(tree)
    before = pinned.require_same(config)
    os.utime(tree / "train" / "a" / "0.png", ns=(1, 1))
    assert pinned.require_same(config) == before
    assert pinned.notices() == [f"Pictures in {tree}: 20 in train and 4 in test, of 2 classes. Passed over: nothing."]


def opened(tree: Path, script: Callable[[Job, int], Act]) -> Opened:
    """A sweep of three seeds whose jobs are made as the engine makes them."""
    config = config_of(tree)
    sweep = open_sweep(tree.parent, grid(0, 1, 2), config, script)
    pinned = PinnedData()
    pinned.pin(config)

    def make(study: ResumableStudy, claim: Claim, seed: int | None) -> Job:
        pinned.require_same(config)
        return job_of(tree.parent, study.plan.key, claim, seed)

    sweep.scheduler._make_job = make
    return sweep


def edited(tree: Path) -> Callable[[int], None]:
    return lambda epoch: picture(tree / "train" / "a" / "new.png", 7)


def test_an_edit_during_a_trial_stops_the_sweep_before_the_next(tree: Path) -> None:
    sweep = opened(tree, lambda job, attempt: Act(after_epoch=edited(tree)))
    with pytest.raises(DataChanged, match="added train/a/new.png"):
        sweep.run()
    assert states(sweep) == [COMPLETE_STATE, RUNNING, TrialState.WAITING]  # the next command takes up the second
    assert sweep.executor.started == ["grid/0000"]

    (tree / "train" / "a" / "new.png").unlink()
    again = opened(tree, lambda job, attempt: Act())
    assert again.run() == 0
    assert states(again) == [COMPLETE_STATE] * 3


@pytest.mark.parametrize("error", ["DataChanged: it found other pictures", "RuntimeError: for another reason"])
def test_a_failed_run_is_not_tried_again_on_other_pictures(tree: Path, error: str) -> None:
    act = failing(error)
    sweep = opened(tree, lambda job, attempt: Act(end=act.end, error=act.error, after_epoch=edited(tree)))
    with pytest.raises(DataChanged, match="added train/a/new.png"):
        sweep.run()
    assert states(sweep) == [RUNNING, TrialState.WAITING, TrialState.WAITING]
    assert sweep.executor.started == ["grid/0000"]


def test_a_run_that_was_planned_on_other_pictures_is_not_trained(tree: Path) -> None:
    cfg, run_dir = compose_config(*overrides(tree), *TINY, "trainer.batch_size=4"), tree.parent / "run"
    planned = hash_config(require_config(cfg)).run
    picture(tree / "train" / "a" / "new.png", 7)
    with pytest.raises(DataChanged, match="have changed since this run was planned"):
        run_trial(require_config(cfg), run_dir, QUIET, planned=planned)
    record = read_result(run_dir)
    assert record is not None
    # As a failure of the run that was planned, which the sweep would take for another one otherwise.
    assert (record["status"], record["config_hash"], record["epochs_run"]) == ("failed", planned, 0)
    assert record["error"].startswith("DataChanged: the pictures, or the weights")


def test_pictures_that_change_while_a_run_begins_are_noticed(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cfg, run_dir = compose_config(*overrides(tree), *TINY, "trainer.batch_size=4"), tree.parent / "run"

    def edit_and_build(config: Config, teacher: None) -> Any:
        picture(tree / "train" / "a" / "new.png", 7)
        return build_parts(config, teacher)

    monkeypatch.setattr(session, "build_parts", edit_and_build)
    with pytest.raises(DataChanged, match="changed while the run began"):
        run_trial(require_config(cfg), run_dir, QUIET)
    monkeypatch.undo()
    result = run_trial(require_config(cfg), tree.parent / "again", QUIET)
    assert (result["status"], result["data"]) == ("complete", hash_config(require_config(cfg)).data)


@pytest.mark.slow
def test_a_user_is_told_what_changed_and_how_to_go_on(tree: Path) -> None:
    arguments: list[Any] = [*overrides(tree), *TINY, "trainer.epochs=60", "trainer.batch_size=4", "sweep.n_jobs=1"]
    process = start("-m", "seed=0,1,2", *arguments)
    first = tree.parent / "results" / "default" / "grid" / "0000"
    wait_until((first / "metrics.csv").exists, process)
    picture(tree / "train" / "a" / "new.png", 7)
    output = finish(process)
    assert process.returncode == 1
    assert "Pictures in" in output
    assert "have changed since the sweep began: added train/a/new.png. 1 of 3 trials are done" in output
    assert "go on with: python run.py -m" in output
    assert "Traceback" not in output
    assert [result["status"] for result in results(tree.parent)] == ["complete"]
    assert study_of(tree.parent, "default.grid").trials[0].state is COMPLETE_STATE
