from pathlib import Path

import pytest
from omegaconf import DictConfig

from tests.support import compose_config, places
from tffd.config import ConfigError
from tffd.sweep.plan import SweepPlan, make_plan


def plan(directory: Path, *arguments: str) -> SweepPlan:
    def compose(overrides: list[str]) -> DictConfig:
        return compose_config(*places(directory), *overrides)

    fixed = [argument for argument in arguments if "," not in argument]
    return make_plan(arguments, compose(fixed), compose)


def faults(directory: Path, *arguments: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        plan(directory, *arguments)
    assert not (directory / "results").exists()
    return caught.value.faults


def test_a_search_has_a_baseline_and_begins_with_the_published_points(tmp_path: Path) -> None:
    made = plan(tmp_path, "sweep=lambdas", "sweep.n_trials=12")
    baseline, search = made.studies
    assert baseline.cells == [{"kd_mode": "none", "seed": str(seed)} for seed in range(3)]
    assert (search.key, search.n_trials, search.cells) == ("search", 12, None)
    assert [tuple(point.values()) for point in search.enqueue] == [(8e-4, 5e-4), (4e-4, 5e-3)]
    assert made.objective == "val_top1"


def test_fixing_one_lambda_searches_the_other(tmp_path: Path) -> None:
    search = plan(tmp_path, "sweep=lambdas", "lambda_intra=0.01").studies[-1]
    assert search.keys == ("lambda_inter",)
    assert search.enqueue == [{"lambda_inter": 5e-4}, {"lambda_inter": 5e-3}]


def test_an_ablation_is_a_grid(tmp_path: Path) -> None:
    (grid,) = plan(tmp_path, "ablation=terms").studies
    assert grid.cells is not None
    assert len(grid.cells) == grid.n_trials == 20
    assert grid.cells[5] == {"kd_mode": "intra", "seed": "0"}


def test_listed_values_alone_are_a_grid(tmp_path: Path) -> None:
    (grid,) = plan(tmp_path, "seed=0,1", "kd_mode=none,tfd").studies
    assert grid.n_trials == 4


def test_a_grid_under_the_final_protocol_records_test_results(tmp_path: Path) -> None:
    assert plan(tmp_path, "ablation=terms", "protocol=final").objective == "test_top1"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("sweep=lambdas", "sweep.objective=test_top1"), "sweep.objective=test_top1: is a test metric"),
        (("sweep=lambdas", "sweep.objective=best_test_top1"), "is a test metric"),
        (("ablation=terms", "sweep.objective=test_top1"), "is a test metric"),
        (("sweep=lambdas", "sweep.objective=accuracy"), "sweep.objective=accuracy: is no objective"),
        (("sweep=lambdas", "protocol=final"), "protocol=final: holds nothing out"),
        (("sweep=lambdas", "protocol=paper"), "protocol=paper: holds nothing out"),
        (("sweep=lambdas", "~sweep.space.lambda_intra", "~sweep.space.lambda_inter"), "nothing varies in this sweep"),
        ((), "nothing varies in this sweep"),
        (("sweep=lambdas", "seed=0,1"), "seed=0,1: a search over seeds would choose luck"),
        (("sweep=lambdas", "ablation=terms"), "a search and an ablation were asked for at once"),
        (("sweep=lambdas", "sweep.n_trials=0"), "sweep.n_trials=0: should be greater than or equal to 1"),
        (("sweep=lambdas", "sweep.n_jobs=0"), "sweep.n_jobs=0: should be greater than or equal to 1"),
        (("sweep=lambdas", "lambda_intra=interval(-1,1)"), "lambda_intra=-1"),
        (("kd_mode=none,tfd", "lambda_intra=-1,0.1"), "lambda_intra=-1: should be greater than or equal to 0"),
        (("dataset.train_size=20,200",), "trainer.batch_size=32: larger than the training set of 20 pictures"),
    ],
)
def test_refused(tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    found = faults(tmp_path, *arguments)
    assert len(found) == 1
    assert message in found[0]


def test_faults_of_all_cells_are_told_once_with_a_cell_that_has_them(tmp_path: Path) -> None:
    found = faults(tmp_path, "seed=0,1", "trainer.lr=-1,0.1", "kd_mode.stages=[7,8],[1,2]")
    assert [fault.split(":")[0].split(" names")[0] for fault in found] == ["trainer.lr=-1", "kd_mode.stages=[7, 8]"]
    assert all("[in seed=0" in fault for fault in found)
