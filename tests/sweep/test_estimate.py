"""What a sweep would cost."""

import dataclasses
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import DictConfig
from rich.console import Console
from torch import nn

from tests.support import TINY, compose_config, places
from tests.sweep.fakes import FakeExecutor, good
from tests.training.tape import TapeRecorder
from tffd.config import require_config
from tffd.data import Data, Pictures
from tffd.data.augment import normalise
from tffd.models import create_model
from tffd.refusal import ConfigError
from tffd.schema import Config
from tffd.sweep import estimate as estimate_module
from tffd.sweep.arguments import sort_arguments
from tffd.sweep.estimate import RunCost, estimate, measure_run, settle
from tffd.sweep.executors import Executor
from tffd.sweep.plan import Compose, SweepPlan
from tffd.sweep.planning import make_plan
from tffd.training import loop
from tffd.training.loop import Progress, Recipe
from tffd.training.step import Learners


def plan(directory: Path, *arguments: str) -> tuple[SweepPlan, Compose]:
    def compose(overrides: list[str]) -> DictConfig:
        return compose_config(*places(directory), *TINY, *overrides)

    return make_plan(arguments, compose(sort_arguments(arguments).fixed), compose), compose


def printed(
    planned: tuple[SweepPlan, Compose], slots: int = 1, on_this_machine: bool = True
) -> tuple[float, list[str]]:
    executor, output = FakeExecutor(good, slots), io.StringIO()
    executor.on_this_machine = on_this_machine
    hours = estimate(*planned, executor, Console(file=output, width=200, highlight=False, soft_wrap=True))
    return hours, output.getvalue().splitlines()


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Two seconds an epoch for a baseline, six for all others; which were measured."""
    kinds: list[str] = []

    def measure(config: Config, executor: Executor) -> RunCost:
        kinds.append(config.composition)
        seconds = 2.0 if config.composition == "none" else 6.0
        return RunCost(f"with {config.composition}", "cpu (Z80)", 0.25, seconds, config.trainer.epochs, 0)

    monkeypatch.setattr(estimate_module, "measure_run", measure)
    return kinds


def test_a_search_with_its_baseline(tmp_path: Path, measured: list[str]) -> None:
    hours, lines = printed(plan(tmp_path, "sweep=lambdas", "sweep.n_trials=10", "trainer.epochs=5"), slots=2)
    # 3 baseline runs of 2 s and 10 of 6 s, 5 epochs each.
    assert hours * 3600 == pytest.approx(5 * (3 * 2 + 10 * 6))
    assert lines == [
        "lambdas: a dry run; no result is written",
        "baseline: 3 trials x 1 seed x 5 epochs",
        "search: 10 trials x 1 seed x 5 epochs",
        "  with none: 250.0 ms a step, 2.0 s an epoch",
        "  with tfd: 250.0 ms a step, 6.0 s an epoch",
        "in all 13 runs, at most 0.092 device-hours: about 3 min with 2 at a time",
    ]
    assert measured == ["none", "tfd"]  # each kind once


def test_seeds_are_counted(tmp_path: Path, measured: list[str]) -> None:
    hours, lines = printed(plan(tmp_path, "sweep=lambdas", "sweep.n_trials=4", "sweep.seeds=[1,2,3,4]"))
    assert hours * 3600 == pytest.approx(2 * (4 * 2 + 4 * 4 * 6))
    assert lines[1:3] == ["baseline: 4 trials x 1 seed x 2 epochs", "search: 4 trials x 4 seeds x 2 epochs"]
    assert lines[-1].startswith("in all 20 runs, ")


def test_the_cells_of_a_grid_cost_what_each_costs(tmp_path: Path, measured: list[str]) -> None:
    hours, lines = printed(plan(tmp_path, "kd_mode=none,tfd", "trainer.epochs=2,4"))
    assert hours * 3600 == pytest.approx(2 * 2 + 2 * 4 + 6 * 2 + 6 * 4)
    assert lines[1] == "grid: 4 trials x 1 seed x 2/4 epochs"


def test_numbers_that_cost_no_time_are_not_measured_again(tmp_path: Path, measured: list[str]) -> None:
    printed(plan(tmp_path, "seed=0,1,2", "trainer.lr=0.1,0.2", "lambda_intra=0.1,0.2"))
    assert measured == ["tfd"]


def test_settings_of_a_mode_and_of_the_teacher_are_measured_apart(tmp_path: Path, measured: list[str]) -> None:
    printed(plan(tmp_path, "kd_mode=tfd", "kd_mode.tfd.stages=[1,2],null", "lambda_intra=0,0.1,0.2"))
    assert len(measured) == 4  # the choices of stages, with the intra term and without
    measured.clear()
    teacher = ("teacher=wrn_16_2", "teacher.checkpoint=auto")
    printed(plan(tmp_path, "kd_mode=none,st", "teacher=wrn_16_2,resnet14", *teacher[1:]))
    assert sorted(measured) == ["none", "none", "none", "st", "st"]  # both teachers, a baseline, two students


def test_a_search_over_modes_is_spread_over_them(tmp_path: Path, measured: list[str]) -> None:
    arguments = ("sweep=lambdas", "kd_mode=none,tfd", "sweep.n_trials=10", "sweep.baseline=null")
    hours, _ = printed(plan(tmp_path, *arguments))
    assert hours * 3600 == pytest.approx(2 * 10 * (2 + 6) / 2)


def test_what_other_machines_will_do_is_measured_here_and_says_so(tmp_path: Path, measured: list[str]) -> None:
    _, lines = printed(plan(tmp_path, "seed=0,1", "kd_mode=none,tfd"), on_this_machine=False)
    assert lines[2:4] == [
        "measured here, on cpu (Z80); the jobs may have other devices and take more or less:",
        "  with none: 250.0 ms a step, 2.0 s an epoch",
    ]


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA, so it measures there")
def test_runs_for_a_gpu_elsewhere_are_measured_on_the_cpu_here(tmp_path: Path) -> None:
    overrides = (*places(tmp_path), *TINY, "device=cuda", "dataset.train_size=100", "trainer.precision=tf32")
    executor = FakeExecutor(good)
    executor.on_this_machine = False
    cost = measure_run(require_config(compose_config(*overrides)), executor)
    assert cost.device.startswith("cpu (")
    executor.on_this_machine = True
    with pytest.raises(ValueError, match="device=cuda: PyTorch sees no CUDA device here"):
        measure_run(require_config(compose_config(*overrides)), executor)


def test_steps_that_would_diverge_are_measured(tmp_path: Path) -> None:
    overrides = (*places(tmp_path), *TINY, "device=cpu", "dataset.train_size=100", "trainer.lr=1e30")
    assert measure_run(require_config(compose_config(*overrides)), FakeExecutor(good)).step > 0


@pytest.mark.parametrize("weight", ["1e39", "1e308"])
def test_a_weight_that_float32_does_not_hold_is_told_in_one_line(tmp_path: Path, weight: str) -> None:
    with pytest.raises(ConfigError, match="kd_mode=tfd: a few steps of training failed: ") as caught:
        printed(plan(tmp_path, "seed=0,1", "dataset.train_size=100", f"lambda_intra={weight}"))
    assert len(caught.value.faults) == 1 and "\n" not in caught.value.faults[0]


def test_the_first_stage_of_a_mode_counts(tmp_path: Path) -> None:
    mode = ("kd_mode=ab", "kd_mode.ab.first_stage_epochs=3", "teacher=resnet14", "teacher.checkpoint=auto")
    overrides = (*places(tmp_path), *TINY, *mode, "dataset.train_size=100")
    cost = measure_run(require_config(compose_config(*overrides)), FakeExecutor(good))
    assert cost.first_stage == 3 and 0 < cost.first_stage_step < cost.first_stage_epoch
    assert cost.seconds == pytest.approx(3 * cost.first_stage_epoch + 2 * cost.epoch)


def test_a_set_of_few_batches_is_timed_after_its_steps_were_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded = []

    def train_with_a_graph(learners: Learners, data: Data, recipe: Recipe, *others: Any) -> Iterator[Progress]:
        for progress in loop.train(learners, data, dataclasses.replace(recipe, cuda_graph=True), *others):
            recorded.append(TapeRecorder.captures)
            yield progress

    monkeypatch.setattr(TapeRecorder, "captures", 0)
    monkeypatch.setattr(loop, "CudaRecorder", TapeRecorder)
    monkeypatch.setattr(estimate_module, "train", train_with_a_graph)
    overrides = (*places(tmp_path), *TINY, "device=cpu", "dataset.train_size=100", "trainer.batch_size=80")
    measure_run(require_config(compose_config(*overrides)), FakeExecutor(good))
    assert recorded == [0, 0, 0, 1, 1]


def test_an_untrained_teacher_says_numbers_of_an_ordinary_size() -> None:
    """A resnet110 with the statistics that it begins with ends in maps of 1e8 and more, on which losses overflow."""
    torch.manual_seed(0)
    images = torch.randint(0, 256, (40, 16, 16, 3), dtype=torch.uint8)
    pictures = Pictures(images, torch.zeros(40, dtype=torch.long), torch.full((3,), 0.5), torch.full((3,), 0.25))
    network = create_model("resnet110", 10).eval()
    inputs = normalise(images, pictures.mean, pictures.std)
    with torch.no_grad():
        assert network(inputs).pooled.max() > 1e6
        settle(network, pictures)
        assert not network.training and 0.1 < network(inputs).pooled.max() < 100
    assert {module.momentum for module in network.modules() if isinstance(module, nn.BatchNorm2d)} == {0.1}


def test_the_published_pairs_are_a_grid_of_experiments(tmp_path: Path, measured: list[str]) -> None:
    """Each experiment brings its student, teacher and weights along; a teacher is trained once for all its students."""
    data = ("dataset=synthetic", "dataset.source.train_pictures=640", "device=cpu", *places(tmp_path))

    def compose(overrides: list[str]) -> DictConfig:
        return compose_config(*data, *overrides)

    pairs = ("resnet110_resnet20", "resnet110_resnet32", "vgg13_vgg8")
    experiments = ",".join(f"cifar100_{pair}" for pair in pairs)
    arguments = ("ablation=published", f"experiment={experiments}", "kd_mode=none,st_repdistiller,dkd")
    made = make_plan(arguments, compose(["ablation=published"]), compose)
    teachers, grid = made.studies
    assert (made.config.name, teachers.n_trials, grid.n_trials) == ("published", 2, 9)
    configs = [require_config(compose(grid.overrides(made.fixed, cell))) for cell in grid.cells or []]
    assert [config.model.name for config in configs[::3]] == ["resnet20", "resnet32", "vgg8"]
    assert [config.term_weights for config in configs[1:9:3]] == [{"st": 0.9}] * 3
    assert [config.term_weights["nckd"] for config in configs[2:9:3]] == [8, 2, 6]
    printed((made, compose))
    assert len(measured) == 2 + 9


def test_a_dry_run_measures_and_writes_nothing_but_the_decoded_pictures(tmp_path: Path) -> None:
    hours, lines = printed(plan(tmp_path, "seed=0,1", "dataset.train_size=100"))
    assert lines[1] == "grid: 2 trials x 1 seed x 2 epochs"
    assert lines[2].startswith("  resnet8 on digits, tfd, batch 50, cpu: ")
    assert 0 < hours < 1
    assert [path.name for path in tmp_path.iterdir()] == ["cache"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0123, "12 ms"), (1.0, "1.0 s"), (119.9, "119.9 s"), (120.0, "2 min"), (7199.0, "120 min"), (7200.0, "2.0 h")],
)
def test_durations(seconds: float, text: str) -> None:
    assert estimate_module._duration(seconds) == text
