"""Which runs belong to one row of a table."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd

from analysis.columns import check_name

Run = dict[str, Any]
Key = tuple[Any, ...]

METHOD = ("kd_mode", "lambda_intra", "lambda_inter")  # what is compared: a baseline differs in these alone
DEFAULT_BY = ("model", "dataset", "train_size", "protocol", "epochs", *METHOD)


def plain_runs(frame: pd.DataFrame) -> list[Run]:
    """The rows of a frame as Python's own values, null being None."""
    runs: list[Run] = frame.astype(object).where(frame.notna(), None).to_dict("records")
    return runs


def choose_by(complete: Sequence[Run], asked: Sequence[str] | None, known: Iterable[str]) -> tuple[str, ...]:
    """The columns that were asked for, else kd_mode and the settings that vary.

    A lambda that kd_mode determines (as in an ablation of the terms) says nothing new, and is dropped.

    Raises:
        ValueError: If a column does not exist, or if runs of several protocols would be mixed or compared.
    """
    if asked is None:
        return tuple(column for column in DEFAULT_BY if column == "kd_mode" or _shows(complete, column))
    by = tuple(dict.fromkeys(asked))
    if not by:
        raise ValueError("--by names no column; leave it out, or give columns such as model,kd_mode.")
    for column in by:
        check_name("column", column, known)
    protocols = sorted({str(run["protocol"]) for run in complete})
    if len(protocols) > 1 and "protocol" not in by:
        raise ValueError(
            f"the runs follow several protocols ({', '.join(protocols)}), whose numbers do not compare; "
            f"add protocol to the columns: --by {','.join((*by, 'protocol'))}."
        )
    return by


def _shows(complete: Sequence[Run], column: str) -> bool:
    if len({run[column] for run in complete}) < 2:
        return False
    if not column.startswith("lambda_"):
        return True
    kd_modes = {run["kd_mode"] for run in complete}
    return len({(run["kd_mode"], run[column]) for run in complete}) > len(kd_modes)


def group_runs(complete: Iterable[Run], by: Sequence[str]) -> dict[Key, list[Run]]:
    """List the runs by their values in the columns `by`, in the order of first appearance."""
    groups: dict[Key, list[Run]] = {}
    for run in complete:
        groups.setdefault(tuple(run[column] for column in by), []).append(run)
    return groups


def sortable(value: Any) -> tuple[bool, float, str]:
    """Sort key for the values of any column: numbers by size, then text, None last."""
    if isinstance(value, int | float):
        return False, float(value), ""
    return value is None, math.inf, str(value)


def context(key: Key, by: Sequence[str]) -> Key:
    """The part of a key in which a group and its baseline agree: all but the method."""
    return tuple(value for value, column in zip(key, by, strict=True) if column not in METHOD)


def find_baselines(groups: Iterable[Key], by: Sequence[str], asked: str | None) -> dict[Key, Key]:
    """Find the baseline's group for each context.

    Args:
        groups: Keys of all groups.
        by: The columns of a key.
        asked: The baseline's kd_mode; None means "none", if there is one.
    Returns:
        Key of the baseline's group by context; empty if there is no baseline.
    Raises:
        ValueError: If the baseline was asked for and is not there, or if it is several groups.
    """
    groups = list(groups)
    if "kd_mode" not in by:
        if asked is not None:
            raise ValueError(f"a baseline needs the column kd_mode: --by {','.join((*by, 'kd_mode'))}.")
        return {}
    place = by.index("kd_mode")
    kd_modes = dict.fromkeys(str(key[place]) for key in groups)
    if asked is not None and asked not in kd_modes:
        raise ValueError(f"no complete run has kd_mode={asked} as a baseline; there are: {', '.join(kd_modes)}.")
    found: dict[Key, Key] = {}
    for key in groups:
        if str(key[place]) != (asked or "none"):
            continue
        if context(key, by) in found:
            raise ValueError(
                f"the baseline kd_mode={asked or 'none'} is several rows, as its lambdas vary; "
                f"group by {','.join(column for column in by if not column.startswith('lambda_'))}, "
                f"or choose another baseline out of {', '.join(kd_modes)}."
            )
        found[context(key, by)] = key
    return found
