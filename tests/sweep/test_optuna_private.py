"""What we use of Optuna without a public name: that it is there, does what we take it to do, and where it was tried."""

import ast
import re
from pathlib import Path

import optuna
import pytest
from optuna.distributions import FloatDistribution, IntDistribution
from optuna.trial import TrialState

from tests.support import REPOSITORY
from tffd.sweep import optuna_private as private


@pytest.fixture
def study(tmp_path: Path) -> optuna.Study:
    return optuna.create_study(storage=f"sqlite:///{tmp_path}/study.db")


def test_the_pinned_version_of_optuna_is_one_that_it_was_checked_on() -> None:
    pinned = re.search(r"^optuna==(.*)$", (REPOSITORY / "constraints.txt").read_text(), re.MULTILINE)
    assert pinned is not None and pinned[1] in private.CHECKED_ON


def test_nothing_else_uses_what_has_no_public_name() -> None:
    """Names of modules with an underscore, and of attributes that are Optuna's."""
    theirs = {"_storage", "_study_id", "_trial_id", "_contains", "_min_resource"}
    for path in (REPOSITORY / "tffd").rglob("*.py"):
        if path.name == "optuna_private.py":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            assert not (isinstance(node, ast.Attribute) and node.attr in theirs), f"{path}:{node.lineno}"
            if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "optuna":
                assert not re.search(r"(^|\.)_", node.module), f"{path}:{node.lineno}"


def test_a_trial_that_waits_is_begun_by_its_number_and_taken_up_by_another_handle(study: optuna.Study) -> None:
    for cell in ("a", "b"):
        study.enqueue_trial({}, user_attrs={"cell": cell})
    second = study.get_trials()[1]
    private.begin_waiting(study, second)
    assert [trial.state for trial in study.get_trials()] == [TrialState.WAITING, TrialState.RUNNING]
    trial = private.take_up(study, second)
    assert (trial.number, trial.user_attrs) == (1, {"cell": "b"})
    trial.report(0.5, 3)
    assert private.reported_values(study, private.take_up(study, second)) == {3: 0.5}


def test_marks_of_a_study_are_apart_from_its_attributes(study: optuna.Study) -> None:
    private.write_mark(study, "tffd:beat", 7)
    assert private.read_marks(study)["tffd:beat"] == 7
    assert study.user_attrs == {}


def test_bounds_and_rungs() -> None:
    assert private.lies_within(FloatDistribution(0.1, 1.0), 0.1)
    assert not private.lies_within(IntDistribution(1, 9, step=2), 4)
    assert private.first_judged(optuna.pruners.SuccessiveHalvingPruner(min_resource=4), "min_resource") == 4
    assert private.first_judged(optuna.pruners.MedianPruner(n_warmup_steps=3), "n_warmup_steps") == 3
    assert (
        private.first_judged(optuna.pruners.SuccessiveHalvingPruner(), "min_resource") is None
    )  # "auto", set by the first trial
    assert private.first_judged(optuna.pruners.NopPruner(), "min_resource") is None


def test_names_of_tables_and_locks() -> None:
    assert {"studies", "trials", "trial_params"} <= private.TABLES
    assert private.LOCK_FILE_SUFFIX == ".lock"


def test_cmaes_looks_through_its_trials_once_and_not_for_each_generation(study: optuna.Study) -> None:
    space = {key: FloatDistribution(0.0, 1.0) for key in ("a", "b")}
    looks = []

    class Attributes(dict[str, int]):
        def get(self, key: str, default: object = None) -> object:  # type: ignore[override]
            looks.append(key)
            return super().get(key, default)

    for number in range(60):
        params = {"a": number % 7 / 7, "b": number % 5 / 5}
        study.add_trial(optuna.trial.create_trial(value=float(number), params=params, distributions=space))
    trials = study.get_trials()
    sampler = private.ReplayedCmaEs(seed=0)
    for number, trial in enumerate(trials):
        trial.system_attrs = Attributes({"cma:generation": number // 6})
    sampler._asked = study, space
    assert sampler._restore_optimizer(trials).generation == 10
    assert len(looks) == 60
