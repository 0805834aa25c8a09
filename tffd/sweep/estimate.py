"""What a sweep would cost, from a few real steps of each of its distinct networks; no result is written."""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from omegaconf import DictConfig
from rich.console import Console

from tffd.build import build_parts
from tffd.config import require_config
from tffd.data import Data, Pictures
from tffd.data.augment import normalise
from tffd.instantiation import WEIGHING, uses_teacher
from tffd.machine import device_name
from tffd.refusal import ConfigError
from tffd.schema import Config
from tffd.sweep.executors import Executor
from tffd.sweep.plan import Compose, SearchPlan, StudyPlan, SweepPlan
from tffd.sweep.space import corners
from tffd.texts import counted, printable
from tffd.training.captured import STEPS_BEFORE
from tffd.training.loop import Progress, Recipe, evaluate, make_optimizer, train, train_first_stage
from tffd.training.step import Learners

_STEPS = {"cpu": 6, "cuda": 60}  # timed, after as many to warm up; on a card they are over before an epoch has begun
_EVALUATED = 2000  # pictures at most
_SETTLED = 32


@dataclass(frozen=True)
class RunCost:
    """What one run of a kind takes.

    Attributes:
        name: Network, data set and kd_mode.
        device: On which it was measured.
        step: Seconds of one training step.
        epoch: Seconds of an epoch, its evaluation included.
        epochs: The number of epochs of a run.
        first_stage: Epochs that a kd_mode trains before them.
        first_stage_step: Seconds of one training step of those; 0 where there are none.
        first_stage_epoch: Seconds of one of those epochs, which are not evaluated.
    """

    name: str
    device: str
    step: float
    epoch: float
    epochs: int
    first_stage: int
    first_stage_step: float = 0.0
    first_stage_epoch: float = 0.0

    @property
    def seconds(self) -> float:
        """The seconds of a whole run."""
        return self.first_stage_epoch * self.first_stage + self.epoch * self.epochs


def measure_run(config: Config, executor: Executor) -> RunCost:
    """Time a few real steps and a part of the evaluation, and extend them to a run."""
    if not executor.on_this_machine and not torch.cuda.is_available():
        return _measure(_on_this_cpu(config), executor)  # what is printed says so
    return _measure(config, executor)


def _on_this_cpu(config: Config) -> Config:
    trainer = config.trainer.model_copy(update={"precision": "fp32"})
    return config.model_copy(update={"device": "cpu", "trainer": trainer})


def _measure(config: Config, executor: Executor) -> RunCost:
    torch.set_num_threads(config.threads or executor.threads)
    parts = build_parts(config, untrained=True)
    batch, data = config.trainer.batch_size, parts.data
    few = replace(data, train=data.train.first(_STEPS[parts.device.type] * batch), val=None, test=None)
    steps = -(-len(few.train) // batch)
    if parts.learners.teacher is not None:
        settle(parts.learners.teacher, few.train)
    # Before the epoch that is timed, a CUDA graph has been recorded.
    epochs = 1 + -(-(STEPS_BEFORE + 1) // max(1, len(few.train) // batch))
    # Steps take as long at any learning rate, and at this one they cannot diverge. It does not drop, for then the graph
    # would be recorded anew.
    recipe = replace(parts.recipe, epochs=epochs, test_every_epoch=False, lr=1e-9, milestones=())
    staged, first, first_step = parts.learners.distillation.staged, 0, 0.0
    if staged is not None and staged.first_stage is not None:
        first = staged.first_stage.epochs
        staged.first_stage = replace(staged.first_stage, epochs=2)
        first_step = _epoch_seconds(train_first_stage, parts.learners, few, recipe) / steps
    step = _epoch_seconds(train, parts.learners, few, recipe) / steps
    whole = -(-len(data.train) // batch)
    epoch = step * whole
    name = f"{config.model.name} on {config.dataset.name}, {_learns(config)}, batch {batch}, {parts.device.type}"
    epoch += _evaluation_seconds(parts.learners.student, data, recipe.bf16) / recipe.evaluate_every
    return RunCost(
        name, device_name(parts.device), step, epoch, config.trainer.epochs, first, first_step, first_step * whole
    )


def _epoch_seconds(trains: Callable[..., Iterator[Progress]], learners: Learners, data: Data, recipe: Recipe) -> float:
    """Train for a few epochs, of which all but the last warm up, and return the seconds of that one."""
    optimizer = make_optimizer(learners, recipe, trains is train_first_stage)
    seconds = [each.seconds for each in trains(learners, data, recipe, optimizer, Progress(0, [], 0.0))]
    return seconds[-1] - seconds[-2]


@torch.no_grad()
def settle(network: torch.nn.Module, pictures: Pictures) -> None:
    """Give an untrained network the batch statistics of some pictures.

    Without them its maps grow from block to block: those of a resnet110 end near 1e9, and losses on them overflow.
    """
    norms = [module for module in network.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    before = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 1.0  # the statistics of this batch alone
    network.train()
    some = pictures.first(_SETTLED)
    network(normalise(some.images, some.mean, some.std))
    network.eval()
    for norm, momentum in zip(norms, before, strict=True):
        norm.momentum = momentum


def estimate(plan: SweepPlan, compose: Compose, executor: Executor, console: Console | None = None) -> float:
    """Print what each study and the whole sweep would take.

    Args:
        executor: The executor that would train it.
    Returns:
        Device-hours in all: hours that runs keep a device busy, however many there are.
    """
    console = console or Console(markup=False, emoji=False, highlight=False, soft_wrap=True)
    console.print(printable(plan.config.name) + ": a dry run; no result is written")
    measured: dict[str, RunCost] = {}
    total = runs_in_all = 0.0
    for study in plan.studies:
        seeds = len(plan.config.sweep.seeds or [0]) if isinstance(study, SearchPlan) else 1
        costs = [_cost(config, executor, measured) for config in _configs(study, plan, compose)]
        runs = study.n_trials * seeds
        # The trials of a search are taken to spread evenly over what it varies.
        total += runs * sum(cost.seconds for cost in costs) / len(costs)
        runs_in_all += runs
        lengths = sorted({cost.epochs for cost in costs})
        epochs = counted(lengths[0], "epoch") if len(lengths) == 1 else f"{'/'.join(map(str, lengths))} epochs"
        console.print(f"{study.key}: {counted(study.n_trials, 'trial')} x {counted(seeds, 'seed')} x {epochs}")
    if not executor.on_this_machine:
        devices = ", ".join(dict.fromkeys(cost.device for cost in measured.values()))
        console.print(f"measured here, on {devices}; the jobs may have other devices and take more or less:")
    for cost in measured.values():
        line = f"  {printable(cost.name)}: {1000 * cost.step:.1f} ms a step, {_duration(cost.epoch)} an epoch"
        if cost.first_stage:
            line += f"; first stage: {1000 * cost.first_stage_step:.1f} ms and {_duration(cost.first_stage_epoch)}"
        console.print(line)
    console.print(
        f"in all {counted(round(runs_in_all), 'run')}, at most {total / 3600:.2g} device-hours: "
        f"about {_duration(total / executor.slots)} with {executor.slots} at a time"
    )
    return total / 3600


def _configs(study: StudyPlan, plan: SweepPlan, compose: Compose) -> list[DictConfig]:
    points = corners(study.space, study.when) if isinstance(study, SearchPlan) else study.points()
    return [compose(study.overrides(plan.fixed, point)) for point in points]


def _cost(cfg: DictConfig, executor: Executor, measured: dict[str, RunCost]) -> RunCost:
    """The cost of a config's run, measured once for all that differ in numbers that cost no time."""
    config = require_config(cfg)
    kind = json.dumps([
        config.model.arguments(), config.dataset.name, config.dataset.root, config.dataset.train_size,
        _modes(config), config.teacher.network.arguments() if uses_teacher(config) else None, config.protocol.name,
        config.trainer.batch_size, config.trainer.precision, config.trainer.compile,
        config.trainer.cuda_graph, config.trainer.evaluate_every, config.device,
    ])  # fmt: skip
    if kind not in measured:
        try:
            measured[kind] = measure_run(config, executor)
        except ValueError as error:
            raise ConfigError([f"kd_mode={config.composition}: a few steps of training failed: {error}"]) from error
    return replace(measured[kind], epochs=config.trainer.epochs)


def _learns(config: Config) -> str:
    return f"{config.composition} from {config.teacher.name}" if uses_teacher(config) else config.composition


def _modes(config: Config) -> dict[str, Any]:
    """The kd_modes without what costs no time: how much a term counts, if it does."""
    return {
        name: {
            **{key: value for key, value in mode.arguments().items() if key not in WEIGHING},
            "terms": [term for term, weight in mode.weights.items() if weight > 0],
        }
        for name, mode in config.kd_mode.items()
    }


def _evaluation_seconds(model: torch.nn.Module, data: Data, bf16: bool) -> float:
    if data.val is None:
        return 0.0  # the test set is read once
    some = data.val.first(_EVALUATED)
    started = time.perf_counter()
    evaluate(model, some, "val", bf16)["val_loss"].item()
    return (time.perf_counter() - started) * len(data.val) / len(some)


def _duration(seconds: float) -> str:
    if seconds < 1:
        return f"{1000 * seconds:.0f} ms"
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
