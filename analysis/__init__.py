"""Reads what runs left on disk and answers questions: read -> select -> a question -> figures, report -> commands.

Reads files only: no torch, no tffd, so that a laptop can look at results that a cluster computed. In a notebook:

    from analysis import load_curves, load_runs

    runs = load_runs("results/terms")  # a row a run
    curves = load_curves("results/terms")  # a row an epoch
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import os

    import pandas as pd

__all__ = ["load_curves", "load_runs"]


def load_runs(directory: "str | os.PathLike[str]") -> "pd.DataFrame":
    """Every run below a directory that counts, a row each: the newest of those with one configuration.

    Args:
        directory: Holds the runs of one or more sweeps, which may still be at work.
    Returns:
        `path`, `status` and the fields of `result.json` (accuracies in percent, times in seconds; null where nothing
        was measured), objects of it flattened (`versions.torch`), and a column for every setting that varies.
    Raises:
        ValueError: If it is not a directory.
    """
    from analysis.read.gather import gather
    from analysis.select.settings import with_settings

    return with_settings(gather(directory)).runs


def load_curves(directory: "str | os.PathLike[str]") -> "pd.DataFrame":
    """The learning curve of every run below a directory, a row an epoch.

    Args:
        directory: Holds the runs.
    Returns:
        What says which run a row belongs to (`path`, `kd_mode`, `seed` and others), `epoch` from 1, and every column of
        the runs' `metrics.csv`.
    Raises:
        ValueError: If it is not a directory.
    """
    from analysis.read.curves import read_curves
    from analysis.read.gather import gather

    return read_curves(gather(directory)).frame
