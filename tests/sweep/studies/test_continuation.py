"""Whether a command may go on in a directory, by what that holds already."""

import json
from pathlib import Path

import pytest

from tests.sweep.fakes import config, good, grid, open_sweep, search
from tffd.refusal import ConfigError
from tffd.sweep.plan import StudyPlan, SweepPlan
from tffd.sweep.studies.continuation import count_recorded, name_study, require_owned, require_same_sweep
from tffd.sweep.studies.storage import is_lacking, open_storage


def plan_of(*studies: StudyPlan) -> SweepPlan:
    settings = config()
    return SweepPlan(settings, [], list(studies), settings.sweep.objectives)


def leave_plan(directory: Path, *kinds: str, storage: str = "study.db") -> None:
    studies = [{"study": kind, "kind": kind, "n_trials": 4} for kind in kinds]
    (directory / "sweep.json").write_text(json.dumps({"storage": storage, "studies": studies}))


@pytest.mark.parametrize(
    ("before", "now", "words"),
    [
        (["grid", "search"], [grid(0, 1)], "is that of a search, and a grid would take the place of its plan"),
        (["grid"], [search(2)], "is that of a grid, and a search would take the place of its plan"),
    ],
)
def test_another_kind_of_sweep_under_the_same_name_is_refused(
    tmp_path: Path, before: list[str], now: list[StudyPlan], words: str
) -> None:
    leave_plan(tmp_path, *before)
    with pytest.raises(ConfigError, match=f"name=lambdas: {tmp_path} {words}; choose another name=..."):
        require_same_sweep(tmp_path, plan_of(*now), "study.db")


def test_the_same_kind_of_sweep_may_go_on_with_or_without_its_baseline(tmp_path: Path) -> None:
    require_same_sweep(tmp_path, plan_of(search(2)), "study.db")  # nothing is there yet
    leave_plan(tmp_path, "grid", "search")
    require_same_sweep(tmp_path, plan_of(search(2)), "study.db")
    require_same_sweep(tmp_path, plan_of(grid(0), search(2)), "study.db")


@pytest.mark.parametrize("content", ["{}", '{"storage": "study.db", "project": "of others"}', "[", None])
def test_a_file_of_others_with_the_name_of_a_plan_is_refused(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "sweep.json"
    path.mkdir() if content is None else path.write_text(content)
    with pytest.raises(ConfigError, match=f"{path} is there and is no plan of a sweep, and it would be replaced; move"):
        require_same_sweep(tmp_path, plan_of(search(2)), "study.db")


def test_another_storage_is_refused(tmp_path: Path) -> None:
    leave_plan(tmp_path, "search")
    with pytest.raises(ConfigError, match=r"keeps its study in study\.db, not in study\.journal"):
        require_same_sweep(tmp_path, plan_of(search(2)), "study.journal")


def test_a_storage_that_a_file_names_with_its_password_is_shown_without(tmp_path: Path) -> None:
    leave_plan(tmp_path, "search", storage="postgresql://user:secret@host/db")
    with pytest.raises(ConfigError, match=r"study in postgresql://user:\*\*\*@host/db, not in study\.db"):
        require_same_sweep(tmp_path, plan_of(search(2)), "study.db")


@pytest.mark.parametrize("address", [None, "journal"])
def test_records_whose_study_was_lost_are_refused_with_the_two_ways_out(tmp_path: Path, address: str | None) -> None:
    plan = plan_of(search(3))
    assert is_lacking(address, tmp_path)
    assert open_sweep(tmp_path, plan.studies[0], config(), good, storage=open_storage(address, tmp_path)).run() == 0
    assert not is_lacking(address, tmp_path)
    recorded = count_recorded(tmp_path, plan)
    assert recorded == {"search": 3}
    storage = open_storage(address, tmp_path)
    known = {"search": storage.count_trials(name_study(plan.config, plan.studies[0]))}
    assert known == {"search": 3}
    require_owned(tmp_path, recorded, known, "study.db")
    for lost in ({}, {"search": 2}):  # the file is gone, or an older copy of it is there
        with pytest.raises(ConfigError) as caught:
            require_owned(tmp_path, recorded, lost, "study.db")
        assert f"{tmp_path}/search holds records up to trial 2, and study.db knows {len(lost) * 2}" in str(caught.value)
        assert "Put the old study.db back, or choose another name=..." in str(caught.value)


def test_what_is_no_record_of_a_trial_needs_no_study(tmp_path: Path) -> None:
    for name in ("0007", "notes/x", ".0008/x", "x9/x"):
        (tmp_path / "search" / name).mkdir(parents=True)
    (tmp_path / "search" / "0009").touch()
    assert count_recorded(tmp_path, plan_of(search(3), grid(0))) == {"search": 0, "grid": 0}


def test_a_study_on_a_server_is_not_looked_for_among_the_files(tmp_path: Path) -> None:
    assert not is_lacking("postgresql+psycopg://user@host/db", tmp_path)
    assert not is_lacking("nonsense", tmp_path)
