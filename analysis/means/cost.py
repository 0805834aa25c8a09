"""What the runs of a cell cost."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean

from analysis.read.results import Run, is_measured
from analysis.select.groups import group_runs
from analysis.select.metrics import sample_of, values_of
from analysis.statistics.differences import by_seed

_TIME = "train_seconds"


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
    on_gpu, on_cpu = ([run for run in runs if _on_gpu(run) == gpu] for gpu in (True, False))
    core_seconds = [seconds * (run.threads or 1) for run in on_cpu for seconds in values_of([run], _TIME)]
    epochs = [run.epochs_run for run in runs if run.epochs_run is not None]
    return Cost(
        gpu_hours=_total_hours(values_of(on_gpu, _TIME)),
        cpu_hours=_total_hours(core_seconds),
        epochs_run=sum(epochs) if epochs else None,
        peak_memory_mb=max(values_of(runs, "peak_memory_mb"), default=None),
        time_ratio=_time_ratio(runs, baseline) if baseline else None,
    )


def _total_hours(seconds: Sequence[float]) -> float | None:
    return sum(seconds) / 3600 if seconds else None


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
        unknown = len(own) - len(values_of(own, _TIME))
        parts = [*hours(cost_of(own)), *([f"{unknown} without a recorded time"] if unknown else [])]
        if own:
            found.append(f"{len(own)} {status} ({', '.join(parts)})")
    return found


def _on_gpu(run: Run) -> bool:
    return not (run.device or "cpu").startswith("cpu")


def _time_ratio(runs: Sequence[Run], baseline: Sequence[Run]) -> float | None:
    ours = [run for run in runs if is_measured(run.train_seconds)]
    theirs = [run for run in baseline if is_measured(run.train_seconds) and run.train_seconds]
    if not ours or not theirs or len({(run.device, run.threads) for run in (*ours, *theirs)}) > 1:
        return None
    times, reference = (sample_of(side, _TIME) for side in (ours, theirs))
    by_seed_here, by_seed_there = by_seed(times), by_seed(reference)
    if shared := by_seed_here.keys() & by_seed_there.keys():
        return fmean(by_seed_here[seed] for seed in shared) / fmean(by_seed_there[seed] for seed in shared)
    return fmean(seconds for _, seconds in times) / fmean(seconds for _, seconds in reference)
