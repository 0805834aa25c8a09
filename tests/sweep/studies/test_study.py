import json
from collections.abc import Callable, Iterator
from pathlib import Path

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.trial import TrialState

from tests.support import compose_config
from tffd.config import require_config
from tffd.refusal import ConfigError
from tffd.schema import Config
from tffd.sweep.plan import GridPlan, Point, SearchPlan, StudyPlan
from tffd.sweep.studies.attributes import ForeignEntry
from tffd.sweep.studies.lease import Lease
from tffd.sweep.studies.storage import Storage, open_storage
from tffd.sweep.studies.study import ResumableStudy

SPACE = {"lambda_intra": FloatDistribution(1e-5, 0.1, log=True)}


def config(*overrides: str) -> Config:
    return require_config(compose_config("sweep=lambdas", *overrides))


def search(n_trials: int) -> StudyPlan:
    return SearchPlan("search", tuple(SPACE), n_trials, space=dict(SPACE), known_points=[{"lambda_intra": 8e-4}])


def grid(*seeds: int) -> StudyPlan:
    cells = [{"seed": str(seed)} for seed in seeds]
    return GridPlan("grid", ("seed",), len(seeds), cells=cells, identities=[{"hash": str(seed)} for seed in seeds])


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return open_storage(None, tmp_path)


@pytest.fixture
def lease(tmp_path: Path, storage: Storage) -> Iterator[Lease]:
    with Lease(tmp_path, [optuna.create_study(storage=storage.optuna)], timeout=60) as lease:
        yield lease


def run_all(study: ResumableStudy, lease: Lease, fail: bool = False, final: bool = False) -> list[dict[str, object]]:
    """Hand out all trials, and succeed or fail in each; return their values."""
    values = []
    while (claim := study.claim(lease)) is not None:
        values.append(dict(claim.values))
        if fail:
            study.fail(claim.trial, "broken", final)
        else:
            study.succeed(claim.trial, [1.0])
    return values


def test_a_cell_is_found_without_comparing_it_with_all(storage: Storage, lease: Lease) -> None:
    compared = []

    class CountingCell(dict[str, str]):
        def __eq__(self, other: object) -> bool:
            compared.append(other)
            return super().__eq__(other)

    cells: list[dict[str, str]] = [CountingCell(seed=str(seed)) for seed in range(20)]
    study = ResumableStudy(GridPlan("grid", ("seed",), 20, cells=cells, identities=[{}] * 20), config(), storage)
    assert len(run_all(study, lease)) == 20
    assert study.counts()[TrialState.COMPLETE] == 20
    assert compared == []


def test_cells_are_the_same_in_whatever_order_the_command_names_what_varies(storage: Storage, lease: Lease) -> None:
    def plan(*keys: str) -> StudyPlan:
        values = {"seed": "0", "kd_mode": "tfd"}
        return GridPlan("grid", keys, 1, cells=[{key: values[key] for key in keys}], identities=[{"hash": "0"}])

    assert len(run_all(ResumableStudy(plan("seed", "kd_mode"), config(), storage), lease)) == 1
    again = ResumableStudy(plan("kd_mode", "seed"), config(), storage)
    assert run_all(again, lease) == []
    assert again.counts()[TrialState.COMPLETE] == 1


def test_every_value_of_a_choice_has_as_many_trials(storage: Storage, lease: Lease) -> None:
    """Also when the search goes on for longer, beside known points; the other dimensions are the sampler's."""
    space = {"kd_mode": CategoricalDistribution(["a", "b", "c"]), **SPACE}
    known: list[Point] = [{"kd_mode": "b", "lambda_intra": 8e-4}, {"kd_mode": "b", "lambda_intra": 4e-4}]

    def study(n_trials: int) -> ResumableStudy:
        plan = SearchPlan(
            "search", tuple(space), n_trials, space=dict(space), known_points=known, evenly="kd_mode",
            when={"lambda_intra": {"kd_mode": ["a", "b"]}},
        )  # fmt: skip
        return ResumableStudy(plan, config(), storage)

    first = run_all(study(5), lease)
    assert [point["kd_mode"] for point in first] == ["b", "b", "a", "c", "a"]
    assert [sorted(point) for point in first[3:]] == [["kd_mode"], ["kd_mode", "lambda_intra"]]
    assert [point["kd_mode"] for point in run_all(study(9), lease)] == ["c", "a", "b", "c"]
    assert len({point["lambda_intra"] for point in first if "lambda_intra" in point}) == 4


def test_n_trials_is_a_total_and_a_continued_search_does_not_repeat_itself(storage: Storage, lease: Lease) -> None:
    first = run_all(ResumableStudy(search(4), config(), storage), lease)
    assert len(first) == 4
    assert first[0] == {"lambda_intra": 8e-4}
    assert run_all(ResumableStudy(search(4), config(), storage), lease) == []
    smaller = ResumableStudy(search(2), config(), storage)
    assert run_all(smaller, lease) == []
    assert not smaller.is_open()
    more = run_all(ResumableStudy(search(7), config(), storage), lease)
    assert len(more) == 3
    assert len({str(point) for point in first + more}) == 7


def test_a_seeded_search_is_repeatable(tmp_path: Path) -> None:
    runs = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        study = ResumableStudy(search(5), config(), open_storage(None, tmp_path / name))
        with Lease(tmp_path / name, [study.optuna], timeout=60) as lease:
            runs.append(run_all(study, lease))
    assert runs[0] == runs[1]


def test_a_trial_left_running_goes_on_under_its_number(storage: Storage, lease: Lease, tmp_path: Path) -> None:
    study = ResumableStudy(search(3), config(), storage)
    with Lease(tmp_path, [study.optuna], timeout=60) as killed:
        left = study.claim(killed)
    assert left is not None
    again = ResumableStudy(search(3), config(), storage)
    taken_up = again.claim(lease)
    assert taken_up is not None
    assert (taken_up.number, taken_up.values) == (left.number, left.values)
    again.succeed(taken_up.trial, [2.0])
    assert len(run_all(again, lease)) == 2
    assert [trial.state for trial in again.trials()] == [TrialState.COMPLETE] * 3


def test_a_trial_cut_off_before_its_values_were_stored_gets_some(storage: Storage, lease: Lease) -> None:
    cut_off = ResumableStudy(search(2), config(), storage)
    cut_off._put_in_line()
    cut_off.optuna.ask()  # the known one, without suggesting
    points = run_all(ResumableStudy(search(2), config(), storage), lease)
    assert points[0] == {"lambda_intra": 8e-4}
    assert len(points) == 2


def test_a_grid_grows_and_repeats_only_what_failed(storage: Storage, lease: Lease) -> None:
    assert run_all(ResumableStudy(grid(0, 1), config(), storage), lease) == [{"seed": "0"}, {"seed": "1"}]
    assert run_all(ResumableStudy(grid(0, 1, 2), config(), storage), lease, fail=True) == [{"seed": "2"}]
    study = ResumableStudy(grid(0, 1, 2), config(), storage)
    assert study.counts() == {TrialState.COMPLETE: 2, TrialState.PRUNED: 0, TrialState.FAIL: 1}
    assert run_all(study, lease) == [{"seed": "2"}]
    assert study.counts() == {TrialState.COMPLETE: 3, TrialState.PRUNED: 0, TrialState.FAIL: 0}
    assert run_all(ResumableStudy(grid(0, 1, 2), config(), storage), lease) == []


def test_a_failure_keeps_its_reason(storage: Storage, lease: Lease) -> None:
    study = ResumableStudy(grid(0), config(), storage)
    run_all(study, lease, fail=True)
    (trial,) = study.trials(TrialState.FAIL)
    assert trial.user_attrs["error"] == "broken"


@pytest.mark.parametrize(
    ("overrides", "changed"),
    [
        (("trainer.epochs=99",), "trainer.epochs: was 30, is 99"),
        (("model=resnet8",), "model.name: was resnet20, is resnet8"),
        (("dataset.train_size=100",), "dataset.train_size: was 200, is 100"),
        (("seed=4",), "seed: was 0, is 4"),
        (("sweep.objective=val_loss", "sweep.direction=minimize"), "direction"),
    ],
)
def test_other_settings_under_the_same_name_are_refused_with_the_differences(
    storage: Storage, overrides: tuple[str, ...], changed: str
) -> None:
    ResumableStudy(search(2), config(), storage)
    with pytest.raises(ConfigError, match=changed):
        ResumableStudy(search(2), config(*overrides), storage)


def test_another_space_or_objective_is_refused(storage: Storage, lease: Lease) -> None:
    ResumableStudy(search(2), config(), storage)
    wider = SearchPlan("search", ("lambda_intra",), 2, space={"lambda_intra": FloatDistribution(1e-6, 1.0, log=True)})
    with pytest.raises(ConfigError, match="space of lambda_intra"):
        ResumableStudy(wider, config(), storage)
    with pytest.raises(ConfigError, match="objective: was val_top1, is val_top5"):
        ResumableStudy(search(2), config("sweep.objective=val_top5"), storage)


def test_what_cannot_change_results_may_change(storage: Storage, lease: Lease) -> None:
    ResumableStudy(search(2), config(), storage)
    ResumableStudy(search(5), config("dataset.cache=x", "trainer.checkpoint_every=1", "sweep.n_jobs=3"), storage)


def test_of_a_section_in_which_one_key_varies_the_others_may_not_change(storage: Storage, lease: Lease) -> None:
    plan = GridPlan("grid", ("trainer.lr",), 1, cells=[{"trainer.lr": "0.1"}], identities=[{}])
    ResumableStudy(plan, config(), storage)
    ResumableStudy(plan, config("trainer.lr=0.3"), storage)
    with pytest.raises(ConfigError, match="trainer.epochs: was 30, is 31"):
        ResumableStudy(plan, config("trainer.epochs=31"), storage)


def test_a_cell_under_other_lambdas_is_refused(storage: Storage, lease: Lease) -> None:
    def plan(intra: float) -> StudyPlan:
        identities = [{"hash": f"tfd {intra}", "lambda_intra": str(intra)}, {"hash": "none", "lambda_intra": "0.0"}]
        cells = [{"kd_mode": "tfd"}, {"kd_mode": "none"}]
        return GridPlan("grid", ("kd_mode",), 2, cells=cells, identities=identities)

    run_all(ResumableStudy(plan(0.1), config(), storage), lease)
    with pytest.raises(ConfigError, match="lambda_intra: was 0.1, is 0.2"):
        ResumableStudy(plan(0.2), config(), storage)


def test_a_grid_over_picture_trees_does_not_read_the_one_that_is_replaced(storage: Storage, lease: Lease) -> None:
    plan = GridPlan("grid", ("dataset.root",), 1, cells=[{"dataset.root": "here"}], identities=[{"hash": "here"}])
    absent = config("dataset=image_folder", "dataset.root=/nowhere")
    assert run_all(ResumableStudy(plan, absent, storage), lease) == [{"dataset.root": "here"}]


def test_a_fixed_lambda_may_not_change_during_a_search(storage: Storage, lease: Lease) -> None:
    plan = SearchPlan("search", ("lambda_intra",), 2, space=dict(SPACE))
    ResumableStudy(plan, config("lambda_inter=0.1"), storage)
    with pytest.raises(ConfigError, match="lambda_inter: was 0.1, is 0.2"):
        ResumableStudy(plan, config("lambda_inter=0.2"), storage)


def test_cells_that_a_smaller_grid_leaves_out_are_not_run(storage: Storage, lease: Lease) -> None:
    first = ResumableStudy(grid(0, 1, 2), config(), storage)
    claim = first.claim(lease)
    assert claim is not None
    first.succeed(claim.trial, [1.0])
    assert run_all(ResumableStudy(grid(0, 1), config(), storage), lease) == [{"seed": "1"}]
    assert run_all(ResumableStudy(grid(0, 1, 2), config(), storage), lease) == [{"seed": "2"}]


def test_a_smaller_grid_leaves_the_cells_of_a_larger_one_at_work_alone(storage: Storage, lease: Lease) -> None:
    larger, smaller = (ResumableStudy(grid(*range(size)), config(), storage) for size in (4, 2))
    claim = larger.claim(lease)
    assert claim is not None
    assert run_all(smaller, lease) == [{"seed": "1"}]
    assert smaller.at_work() == 1  # what it waits for
    larger.succeed(claim.trial, [1.0])
    assert not smaller.is_open()
    assert run_all(larger, lease) == [{"seed": "2"}, {"seed": "3"}]
    assert [trial.state for trial in larger.trials()] == [TrialState.COMPLETE] * 4


@pytest.mark.parametrize(
    ("attribute", "value"),
    [
        ("owner", "host:1-2:../../study.db"),
        ("owner", ["host:1-2:3-ab"]),
        ("failed_attempts", 3),
        ("failed_attempts", [{}]),
        ("tffd", "hash"),
    ],
)
def test_a_trial_with_what_no_command_writes_is_refused(
    storage: Storage, lease: Lease, attribute: str, value: object
) -> None:
    study = ResumableStudy(search(2), config(), storage)
    claim = study.claim(lease)
    assert claim is not None
    claim.trial.set_user_attr(attribute, value)
    with pytest.raises(ForeignEntry, match=f"trial 0 has {attribute}=|a trial has owner=") as caught:
        ResumableStudy(search(2), config(), storage)
    assert "somebody else has written to this study. Choose another name=..." in str(caught.value)
    with pytest.raises(ForeignEntry):
        study.claim(lease)  # as a sweep does that is at work


@pytest.mark.parametrize("cell", [None, "seed=0", {"seed": 0}, {"model._target_": ["os.system"]}])
def test_a_grids_trial_without_a_place_in_the_grid_is_refused(storage: Storage, cell: object) -> None:
    study = ResumableStudy(grid(0, 1), config(), storage)
    study.optuna.enqueue_trial({}, user_attrs={} if cell is None else {"cell": cell})
    with pytest.raises(ForeignEntry, match="trial 0 has cell="):
        ResumableStudy(grid(0, 1), config(), storage)


@pytest.mark.parametrize(("key", "value"), [("lambda_intra", 7.0), ("model", 1.0)])
def test_a_point_outside_the_search_is_refused(storage: Storage, lease: Lease, key: str, value: float) -> None:
    study = ResumableStudy(search(2), config(), storage)
    wide = FloatDistribution(1e-5, 10.0, log=True)
    study.optuna.add_trial(optuna.trial.create_trial(params={key: value}, distributions={key: wide}, value=99.0))
    with pytest.raises(ForeignEntry, match=f"trial 0 has {key}={value}, which no sweep command writes"):
        study.best()


def test_a_trial_whose_numbers_are_none_is_refused(storage: Storage) -> None:
    study = ResumableStudy(search(2), config(), storage)
    study.optuna.add_trial(optuna.trial.create_trial(value=float("inf")))
    with pytest.raises(ForeignEntry, match=r"trial 0 has values=\[inf\], which no sweep command writes"):
        ResumableStudy(search(2), config(), storage)


@pytest.mark.parametrize(
    ("trial", "words"),
    [
        ({"state": 1, "value": "\x1b[2J"}, r"values=\['\\x1b\[2J'\]"),
        ({"state": 1, "values": [1.0, 2.0]}, r"values=\[1.0, 2.0\]"),
        ({"state": 1, "value": None}, "values=None"),
        ({"state": 0, "intermediate_values": {"1": "b"}}, "value at step 1='b'"),
        ({"state": 4, "system_attrs": {"fixed_params": {"lambda_intra": "; rm -rf /"}}}, "lambda_intra='; rm -rf /'"),
        ({"state": 4, "system_attrs": {"fixed_params": {"model": "x"}}}, "model='x'"),
        ({"state": 4, "system_attrs": {"fixed_params": [1]}}, r"fixed_params=\[1\]"),
        ({"state": 0, "system_attrs": {"constraints": "x"}}, "constraints='x'"),
    ],
)
def test_a_line_of_a_journal_that_optuna_would_act_on_is_refused(
    tmp_path: Path, trial: dict[str, object], words: str
) -> None:
    study = ResumableStudy(search(2), config(), open_storage("journal", tmp_path))
    times = {"datetime_start": "2026-01-01T00:00:00", "datetime_complete": "2026-01-01T00:00:01"}
    line = {"op_code": 4, "worker_id": "x", "study_id": study.optuna._study_id, **times, **trial}
    with (tmp_path / "study.journal").open("a") as file:
        file.write(json.dumps(line) + "\n")
    with pytest.raises(ForeignEntry, match=f"trial 0 has {words}, which no sweep command writes"):
        ResumableStudy(search(2), config(), open_storage("journal", tmp_path))
    with pytest.raises(ForeignEntry):
        study.trials()  # as a sweep does that is at work


def test_a_journal_that_is_damaged_while_a_sweep_is_at_work_ends_it_with_a_reason(tmp_path: Path) -> None:
    study = ResumableStudy(search(2), config(), open_storage("journal", tmp_path))
    with (tmp_path / "study.journal").open("a") as file:
        file.write('{"op_code":777}\n')
    with pytest.raises(ForeignEntry, match="lambdas.search has a trial=AssertionError"):
        study.trials()


def test_what_others_wrote_cannot_steer_the_terminal(storage: Storage, lease: Lease) -> None:
    study = ResumableStudy(search(2), config(), storage)
    study.optuna.set_user_attr("tffd", {"seed": "\x1b]0;title\x07"})
    with pytest.raises(ConfigError) as caught:
        ResumableStudy(search(2), config(), storage)
    assert r"seed: was '\x1b]0;title\x07', is 0" in str(caught.value)
    assert "\x1b" not in str(caught.value)


def test_nothing_is_put_in_line_before_a_command_has_been_accepted(storage: Storage) -> None:
    assert ResumableStudy(grid(0, 1), config(), storage).trials() == []
    assert ResumableStudy(search(3), config(), storage).trials() == []


def test_a_damaged_database_is_named(tmp_path: Path) -> None:
    (tmp_path / "study.db").write_bytes(b"no database" * 100)
    with pytest.raises(ConfigError, match="study.db cannot be opened"):
        open_storage(None, tmp_path)
    with pytest.raises(ConfigError, match="nonsense cannot be opened"):
        open_storage("nonsense", tmp_path)


def test_best_goes_by_the_direction(storage: Storage, lease: Lease) -> None:
    study = ResumableStudy(search(3), config("sweep.objective=val_loss", "sweep.direction=minimize"), storage)
    assert study.best() == []
    for value in (2.0, 1.0, 3.0):
        claim = study.claim(lease)
        assert claim is not None
        study.succeed(claim.trial, [value])
    (best,) = study.best()
    assert best.number == 1


@pytest.fixture
def ended_elsewhere(storage: Storage, lease: Lease) -> tuple[ResumableStudy, optuna.trial.Trial]:
    """A trial of a command that was taken for dead; the one that took it up has finished it."""
    study = ResumableStudy(search(1), config("sweep/pruner=median"), storage)
    claim = study.claim(lease)
    assert claim is not None
    study.optuna.tell(claim.number, 5.0)
    return study, claim.trial


def test_a_trial_that_ended_elsewhere_keeps_its_value(
    ended_elsewhere: tuple[ResumableStudy, optuna.trial.Trial],
) -> None:
    study, trial = ended_elsewhere
    study.succeed(trial, [1.0])
    assert [(trial.state, trial.value) for trial in study.trials()] == [(TrialState.COMPLETE, 5.0)]


@pytest.mark.parametrize(
    "end",
    [
        lambda study, trial: study.prune(trial, 3),
        lambda study, trial: study.fail(trial, "broken"),
        lambda study, trial: study.report(trial, 1.0, 1),
        lambda study, trial: study.count_attempt(trial, "broken"),
    ],
    ids=["prune", "fail", "report", "count_attempt"],
)
def test_a_trial_that_ended_elsewhere_is_left_as_it_is(
    ended_elsewhere: tuple[ResumableStudy, optuna.trial.Trial],
    end: Callable[[ResumableStudy, optuna.trial.Trial], object],
) -> None:
    study, trial = ended_elsewhere
    end(study, trial)
    assert [(trial.state, trial.value) for trial in study.trials()] == [(TrialState.COMPLETE, 5.0)]
