"""What the runs of a cell cost."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from analysis.read.results import is_measured
from analysis.select.groups import Run, group_runs
from analysis.statistics.differences import by_seed


@dataclass(frozen=True)
class Cost:
    """The cost of one cell, over its complete runs; None is not recorded.

    Attributes:
        gpu_hours: Training and evaluation time on GPUs, summed over runs; None where none ran on one.
        cpu_hours: Of the other runs, times their threads: hours of one core.
        epochs_run: Summed over runs.
        peak_memory_mb: The largest of any run: the device's memory on a GPU, the process's on a CPU.
        time_ratio: Mean time of a run over that of the baseline, over shared seeds where there are any. None where
            devices or threads differ, or one side did not record a time.
    """

    gpu_hours: float | None
    cpu_hours: float | None
    epochs_run: int | None
    peak_memory_mb: float | None
    time_ratio: float | None = None


def cost_of(runs: Sequence[Run], baseline: Sequence[Run] | None = None) -> Cost:
    """Add up what runs cost, and compare their time to the baseline's."""
    timed = [run for run in runs if is_measured(run["train_seconds"])]
    on_gpu = [run["train_seconds"] / 3600 for run in timed if _on_gpu(run)]
    on_cpu = [run["train_seconds"] * (run["threads"] or 1) / 3600 for run in timed if not _on_gpu(run)]
    epochs = [run["epochs_run"] for run in runs if run["epochs_run"] is not None]
    memory = [run["peak_memory_mb"] for run in runs if is_measured(run["peak_memory_mb"])]
    return Cost(
        gpu_hours=sum(on_gpu) if on_gpu else None,
        cpu_hours=sum(on_cpu) if on_cpu else None,
        epochs_run=sum(epochs) if epochs else None,
        peak_memory_mb=max(memory, default=None),
        time_ratio=_time_ratio(timed, baseline) if baseline else None,
    )


def hours(cost: Cost) -> list[str]:
    """The hours of a cost in words; [] where none were recorded."""
    found = {"GPU hours": cost.gpu_hours, "CPU core hours": cost.cpu_hours}
    return [f"{value:.3g} {unit}" for unit, value in found.items() if value is not None]


def other_costs(runs: Iterable[Run]) -> list[str]:
    """What the runs cost that are in no cell, in words, by status."""
    by_status = group_runs(runs, ("status",))
    found = []
    for status in ("pruned", "failed", "stale"):
        own = by_status.get((status,), [])
        unknown = sum(not is_measured(run["train_seconds"]) for run in own)
        parts = [*hours(cost_of(own)), *([f"{unknown} without a recorded time"] if unknown else [])]
        if own:
            found.append(f"{len(own)} {status} ({', '.join(parts)})")
    return found


def _on_gpu(run: Run) -> bool:
    return not str(run["device"] or "cpu").startswith("cpu")


def _time_ratio(runs: Sequence[Run], baseline: Sequence[Run]) -> float | None:
    theirs = [run for run in baseline if is_measured(run["train_seconds"]) and run["train_seconds"] > 0]
    if not runs or not theirs or len({_machine(run) for run in (*runs, *theirs)}) > 1:
        return None
    ours, reference = _times(runs), _times(theirs)
    shared = ours.keys() & reference.keys()
    if shared:
        return fmean(ours[seed] for seed in shared) / fmean(reference[seed] for seed in shared)
    return fmean(run["train_seconds"] for run in runs) / fmean(run["train_seconds"] for run in theirs)


def _times(runs: Sequence[Run]) -> dict[int, float]:
    return by_seed([(run["seed"], run["train_seconds"]) for run in runs])


def _machine(run: Run) -> tuple[Any, ...]:
    return run["device"], run["threads"]
