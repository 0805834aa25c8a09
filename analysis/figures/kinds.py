"""Every kind of picture by its name, made from one reading of a directory."""

import os
from collections.abc import Callable
from dataclasses import dataclass, replace

from analysis.figures import KINDS
from analysis.figures.ablation import ablation_info
from analysis.figures.chart import Info
from analysis.figures.history import history_info
from analysis.figures.importance import importance_info
from analysis.figures.landscape import landscape_info
from analysis.figures.learning import learning_info, terms_info
from analysis.figures.parallel import parallel_info
from analysis.figures.pareto import pareto_info
from analysis.figures.saliency import Saliency, read_saliency, saliency_info
from analysis.read.curves import Curves, read_curves
from analysis.read.faults import Skipped
from analysis.read.gather import Gathered, gather
from analysis.select.columns import with_columns
from analysis.select.inventory import complete_runs
from analysis.select.metrics import choose_metric
from analysis.select.settings import with_settings


@dataclass(frozen=True)
class Source:
    """What pictures are made of: the runs, their learning curves and their saliencies."""

    gathered: Gathered
    curves: Curves
    saliency: Saliency

    @property
    def skipped(self) -> tuple[Skipped, ...]:
        """Files that could not be used, of all kinds."""
        return (*self.gathered.skipped, *self.curves.skipped, *self.saliency.skipped)


def read_source(directory: str | os.PathLike[str]) -> Source:
    """Read all that a directory has for pictures.

    Raises:
        ValueError: If it is not a directory.
    """
    gathered = with_settings(gather(directory))
    return Source(gathered, read_curves(gathered), read_saliency(gathered))


def with_metric(source: Source, name: str) -> Source:
    """Add a column of configs or of metrics.csv, such as train_loss, where the runs lack one of this name.

    Raises:
        ValueError: If there is no such metric, or no complete run has measured it; once, not for every picture.
    """
    gathered = with_columns(source.gathered, [name], kind="metric")
    choose_metric(gathered, complete_runs(gathered), name)
    return replace(source, gathered=gathered)


INFOS: dict[str, Callable[[Source, str | None], Info]] = {
    "landscape": lambda source, metric: landscape_info(source.gathered, metric),
    "history": lambda source, metric: history_info(source.gathered, metric),
    "parallel": lambda source, metric: parallel_info(source.gathered, metric),
    "importance": lambda source, metric: importance_info(source.gathered, metric),
    "learning": lambda source, metric: learning_info(source.gathered, source.curves, metric),
    "ablation": lambda source, metric: ablation_info(source.gathered, metric),
    "pareto": lambda source, metric: pareto_info(source.gathered, metric),
    "terms": lambda source, metric: terms_info(source.gathered, source.curves, metric),
    "saliency": lambda source, metric: saliency_info(source.gathered, source.saliency, metric),
}


def make_infos(
    source: Source, kinds: tuple[str, ...] = KINDS, metric: str | None = None
) -> tuple[dict[str, Info], dict[str, str]]:
    """Make the pictures' infos.

    Args:
        source: What was read.
        kinds: Names out of KINDS.
        metric: Column to show; None for the objective.
    Returns:
        The infos by kind, and for every other kind why it cannot be drawn.
    """
    infos, reasons = {}, {}
    for kind in kinds:
        try:
            infos[kind] = INFOS[kind](source, metric)
        except ValueError as error:
            reasons[kind] = str(error)
    return infos, reasons
