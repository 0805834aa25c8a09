"""A look inside Tf-FD: the saliency of each stage's channels, by rank."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from analysis.figures.bands import CurvePanel, CurvePicture, assemble, curve_of
from analysis.figures.series import judging, make_series, notes_on_trials
from analysis.read.faults import ANY_FAULT, Fault, Skipped, Unreadable, as_skipped
from analysis.read.gather import Gathered
from analysis.read.number_files import read_columns
from analysis.select.trials import trials_by_search


@dataclass(frozen=True)
class Saliency:
    """The `saliency.csv` files of complete runs.

    Attributes:
        stages: By run directory: for each stage, shallow to deep, the saliency of its channels in descending order.
        skipped: Files that could not be used, with the reason.
    """

    stages: Mapping[str, tuple[np.ndarray, ...]]
    skipped: tuple[Skipped, ...]


def read_saliency(gathered: Gathered) -> Saliency:
    """Read the `saliency.csv` of every complete run that has one; runs of before it was recorded have none."""
    stages, skipped = {}, []
    for run in gathered.whole().flat:
        path = os.path.join(run.path, "saliency.csv")
        if run.status != "complete":
            continue
        try:
            stages[run.path] = _by_stage(read_columns(path))
        except FileNotFoundError:
            continue
        except ANY_FAULT as error:
            skipped.append(as_skipped(path, error))
    return Saliency(stages, tuple(skipped))


def saliency_info(gathered: Gathered, saliency: Saliency, metric: str | None = None, band: str = "sd") -> CurvePicture:
    """Show a panel a stage: the saliency of its channels by rank, mean over the runs of each setting.

    Args:
        gathered: The runs; complete ones are shown.
        saliency: What `read_saliency` makes of them.
        metric: What ranks the trials of a search; None for the objective.
        band: "sd" or "ci", as in `series.mean_and_band`.
    Raises:
        ValueError: If no complete run has recorded it.
    """
    if not saliency.stages:
        raise ValueError("no complete run has a saliency.csv that can be read")
    metrics = judging(gathered, metric)
    searches = trials_by_search(gathered, metrics)
    series = make_series(gathered, searches, metrics)
    panels = []
    for stage in range(max(map(len, saliency.stages.values()))):
        rows = {
            one.label: [
                saliency.stages[run.path][stage] for run in one.runs if len(saliency.stages.get(run.path, ())) > stage
            ]
            for one in series
        }
        drawn = [curve_of(label, of_series, band) for label, of_series in rows.items()]
        found = tuple(curve for curve in drawn if curve is not None)
        channels = {len(values) for of_series in rows.values() for values in of_series}
        # The intra term pulls the second half to the first; with several widths there are several halves.
        half = channels.pop() // 2 + 0.5 if len(channels) == 1 else None
        panels.append(CurvePanel("rank of the channel", "saliency", found, f"stage {stage + 1}", half))
    others = notes_on_trials(searches, metrics)
    return assemble("Channel saliency by rank", panels, series, band, others, "half of the channels")


def _by_stage(columns: Mapping[str, np.ndarray]) -> tuple[np.ndarray, ...]:
    """Split the columns by stage.

    Raises:
        Unreadable: If stages or ranks do not count up from 1, or if values are not finite or not in descending order.
    """
    if missing := [name for name in ("stage", "rank", "saliency") if name not in columns]:
        raise Unreadable(Fault.NO_COLUMN, f"has no column {missing[0]}")
    stage, rank, values = (columns[name] for name in ("stage", "rank", "saliency"))
    numbers: Sequence[float] = np.unique(stage).tolist()
    if numbers != list(range(1, len(numbers) + 1)):
        raise Unreadable(Fault.MISCOUNTED, "has stages that do not count up from 1")
    stages = tuple(values[stage == number] for number in numbers)
    for number, of_stage in zip(numbers, stages, strict=True):
        if not np.array_equal(rank[stage == number], np.arange(1, len(of_stage) + 1)):
            raise Unreadable(Fault.MISCOUNTED, f"has ranks that do not count up from 1 in stage {number:.0f}")
        if not np.isfinite(of_stage).all() or (np.diff(of_stage) > 0).any():
            reason = f"has saliencies that are not finite, or not in descending order, in stage {number:.0f}"
            raise Unreadable(Fault.DISORDERED, reason)
    if not stages:
        raise Unreadable(Fault.EMPTY, "has no rows")
    return stages
