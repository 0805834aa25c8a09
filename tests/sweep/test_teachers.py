"""Teachers of a sweep: one run each, before the trials that learn from them and beside those that do not."""

from pathlib import Path

import optuna
import pytest
from omegaconf import DictConfig

from tests.support import TINY, compose_config, places
from tests.sweep.fakes import COMPLETE_STATE, FAIL, Act, config, failing, good, grid, open_sweep, states
from tffd.config import require_config
from tffd.identity import hash_config, teacher_run
from tffd.refusal import ConfigError
from tffd.sweep.arguments import sort_arguments
from tffd.sweep.plan import GridPlan, StudyPlan, SweepPlan
from tffd.sweep.planning import make_plan
from tffd.sweep.studies.lease import Lease
from tffd.sweep.studies.storage import open_storage
from tffd.sweep.studies.study import ResumableStudy
from tffd.sweep.worker import Job

AUTO = ("teacher=resnet14", "teacher.checkpoint=auto")


def plan(directory: Path, *arguments: str) -> SweepPlan:
    def compose(overrides: list[str]) -> DictConfig:
        return compose_config(*places(directory), *TINY, *overrides)

    base = compose([word for word in sort_arguments(arguments).fixed if not word.startswith("kd_mode.")])
    return make_plan(arguments, base, compose)


def test_one_run_for_all_that_learn_from_one_teacher(tmp_path: Path) -> None:
    made = plan(tmp_path, "kd_mode=none,[st],[at,tfd]", "seed=0,1", *AUTO)
    teacher, students = made.studies
    assert (teacher.key, teacher.n_trials, teacher.after) == ("teacher", 1, None)
    assert teacher.cells == [{"model": "resnet14", "kd_mode": "none", "teacher": "none", "seed": "0"}]
    assert (students.key, students.n_trials, students.after) == ("grid", 6, "teacher")
    # It is the run that a student by itself would train first.
    student = require_config(compose_config(*places(tmp_path), *TINY, "kd_mode=st", *AUTO))
    assert teacher.identities[0]["hash"] == hash_config(teacher_run(student)).run


def test_a_teacher_for_each_recipe_and_data(tmp_path: Path) -> None:
    teacher, _ = plan(tmp_path, "kd_mode=st", "dataset.train_size=100,150", "seed=0,1", *AUTO).studies
    assert [cell["dataset.train_size"] for cell in teacher.cells or []] == ["100", "150"]
    teacher, _ = plan(tmp_path, "kd_mode=st", "trainer.lr=0.01,0.1", "+teacher.trainer.lr=0.05", *AUTO).studies
    assert [cell["trainer.lr"] for cell in teacher.cells or []] == ["0.05"]


def test_only_those_wait_that_learn_from_it(tmp_path: Path) -> None:
    teacher, baseline, search = plan(tmp_path, "sweep=lambdas", "kd_mode=tfd_plus", "sweep.n_trials=2", *AUTO).studies
    assert (teacher.after, baseline.after, search.after) == (None, None, "teacher")
    assert [study.key for study in plan(tmp_path, "kd_mode=none,tfd", *AUTO).studies] == ["grid"]


def test_settings_of_the_student_alone_are_none_of_the_teacher_s(tmp_path: Path) -> None:
    made = plan(
        tmp_path, "kd_mode=st", "kd_mode.st.temperature=2", "model=resnet8", "lambda_intra=1", "seed=3,4", *AUTO
    )
    teacher = made.studies[0]
    words = teacher.overrides(made.fixed, (teacher.cells or [])[0])
    assert not any(word.startswith(("kd_mode.", "teacher.", "model=resnet8", "seed=3")) for word in words)
    assert {"model=resnet14", "kd_mode=none", "teacher=none", "seed=0"} <= set(words)


def test_an_interval_makes_a_search(tmp_path: Path) -> None:
    *_, search = plan(tmp_path, "kd_mode=at", "kd_mode.at.weights.at=tag(log,interval(1,1e4))", *AUTO).studies
    assert (search.key, search.keys, search.n_trials) == ("search", ("kd_mode.at.weights.at",), 30)


def test_a_search_chooses_among_compositions(tmp_path: Path) -> None:
    arguments = ("sweep=lambdas", "kd_mode=[tfd],[st,tfd]", "sweep.enqueue=[]", "sweep.baseline=null", *AUTO)
    *_, search = plan(tmp_path, *arguments).studies
    assert search.space["kd_mode"].choices == ("[tfd]", "[st,tfd]")  # type: ignore[attr-defined]
    words = search.overrides([], {"kd_mode": "[st,tfd]", "lambda_intra": 0.1})
    assert words == ["kd_mode=[st,tfd]", "lambda_intra=0.1"]


# --- in which order


def waiting(*seeds: int) -> StudyPlan:
    made = grid(*seeds)
    return GridPlan("students", made.keys, made.n_trials, cells=made.cells, identities=made.identities, after="grid")


def test_students_begin_when_their_teacher_has_ended(tmp_path: Path) -> None:
    """And not before, though there is room for two."""
    running: list[str] = []
    seen: list[tuple[str, ...]] = []

    def script(job: Job, attempt: int) -> Act:
        running.append(job.study)
        seen.append(tuple(running))
        return good(job, attempt)

    sweep = open_sweep(tmp_path, grid(0), config(), slots=2, script=script, more=[waiting(1, 2)])
    assert sweep.run() == 0
    assert seen[0] == ("grid",) and seen[1][:2] == ("grid", "students")
    assert states(sweep) == [COMPLETE_STATE]


def test_a_teacher_that_cannot_be_trained_ends_the_sweep(tmp_path: Path) -> None:
    """Its students would each try again, and fail."""
    begun: list[str] = []

    def script(job: Job, attempt: int) -> Act:
        begun.append(job.study)
        return failing() if job.study == "grid" else good(job, attempt)

    sweep = open_sweep(tmp_path, grid(0), config(retries=0), slots=2, script=script, more=[waiting(1, 2)])
    assert sweep.run() > 0
    assert begun == ["grid"]
    assert "Stopping: there is no teacher to learn from" in sweep.output.getvalue()
    assert states(sweep) == [FAIL]


def test_a_grid_without_a_teacher_grows_by_modes_that_have_one(tmp_path: Path) -> None:
    def begin(*arguments: str) -> ResumableStudy:
        made = plan(tmp_path, "seed=0,1", *arguments)
        return ResumableStudy(made.studies[-1], made.config, storage)

    storage = open_storage(None, tmp_path)
    with Lease(tmp_path, [optuna.create_study(storage=storage.optuna)], timeout=60) as lease:
        for count, arguments in ((4, ("kd_mode=none,tfd",)), (6, ("kd_mode=none,tfd,st", *AUTO))):
            study = begin(*arguments)
            while claim := study.claim(lease):
                study.succeed(claim.trial, [1.0])
            assert len(study.trials()) == count
    with pytest.raises(ConfigError, match="teacher.trainer.epochs: was None, is 1"):
        begin("kd_mode=none,tfd,st", *AUTO, "+teacher.trainer.epochs=1")
