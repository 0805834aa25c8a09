"""`result.json`: what a run says about itself when it ends."""

import json
import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from operator import attrgetter
from typing import TYPE_CHECKING, Any, get_args, get_type_hints

from analysis.read.bounds import check_number
from analysis.read.faults import Fault, Unreadable
from analysis.read.files import read_json

if TYPE_CHECKING:
    import pandas as pd

ENDED = ("complete", "pruned", "failed")


@dataclass(frozen=True)
class Run:
    """What is known of one run: the fields of its `result.json`, and any further columns.

    A value that was not recorded or not measured is None. Units are those of `result.json`: accuracies are percent,
    times seconds.

    Attributes:
        path: Its directory.
        status: complete, pruned or failed, as it recorded; without a record running, stale, or broken where the record
            cannot be read.
        more: Further columns by name: objects of the record, flattened (`versions.torch`), keys of the config and
            columns of `metrics.csv`.
    """

    path: str
    status: str
    error: str | None = None
    name: str | None = None
    study: str | None = None
    trial: int | None = None
    model: str | None = None
    dataset: str | None = None
    kd_mode: str | None = None
    lambda_intra: float | None = None
    lambda_inter: float | None = None
    teacher: str | None = None
    seed: int | None = None
    protocol: str | None = None
    train_size: int | None = None
    epochs: int | None = None
    epochs_run: int | None = None
    val_top1: float | None = None
    val_top5: float | None = None
    val_loss: float | None = None
    best_val_top1: float | None = None
    best_val_epoch: int | None = None
    test_top1: float | None = None
    test_top5: float | None = None
    test_loss: float | None = None
    best_test_top1: float | None = None
    train_seconds: float | None = None
    images_per_second: float | None = None
    peak_memory_mb: float | None = None
    parameters: int | None = None
    classes: int | None = None
    device: str | None = None
    precision: str | None = None
    threads: int | None = None
    git_commit: str | None = None
    started: str | None = None
    finished: str | None = None
    config_hash: str | None = None
    settings_hash: str | None = None
    more: Mapping[str, Any] = field(default_factory=dict)

    def __getitem__(self, column: str) -> Any:
        """The value of a column.

        Raises:
            KeyError: If the run has no such column.
        """
        return getattr(self, column) if column in COLUMNS else self.more[column]

    def get(self, column: str) -> Any:
        """The value of a column; None if the run has no such column."""
        return getattr(self, column) if column in COLUMNS else self.more.get(column)

    def columns(self) -> tuple[str, ...]:
        """The columns that it has."""
        return (*COLUMNS, *self.more)

    def values(self) -> dict[str, Any]:
        """Every column and its value."""
        return {**{column: getattr(self, column) for column in COLUMNS}, **self.more}

    def having(self, values: Mapping[str, Any]) -> "Run":
        """The same run with other or further values."""
        known = {column: value for column, value in values.items() if column in COLUMNS}
        return replace(self, **known, more={**self.more, **{k: v for k, v in values.items() if k not in COLUMNS}})


# The columns that every run has, and the type of each, in the order of the gathered table.
COLUMNS: dict[str, type] = {
    name: next(kind for kind in (*get_args(hint), hint) if kind in (str, int, float))
    for name, hint in get_type_hints(Run).items()
    if name != "more"
}
_WANTED = {str: "a string", int: "a whole number", float: "a number"}
_KINDS: dict[str, tuple[type, ...]] = {
    name: (int, float) if kind is float else (kind,) for name, kind in COLUMNS.items() if name != "path"
}
_LARGEST = 2**63 - 1  # of the integers that a column can hold


def read_result(path: str) -> Run:
    """Read one `result.json`: an object inside it becomes `outer.inner` columns.

    Raises:
        FileNotFoundError: If the file is not there (any more).
        OSError: If it cannot be read.
        Unreadable: If it is not the result of a run, or holds a number that none can have measured.
    """
    result = read_json(path)
    if not isinstance(result, dict):
        raise Unreadable(Fault.NOT_A_RESULT, "is not a JSON object")
    if "status" not in result:
        raise Unreadable(Fault.NOT_A_RESULT, "has no status")
    if result["status"] not in ENDED:
        reason = f"has the status {result['status']!r}, not one of {', '.join(ENDED)}"
        raise Unreadable(Fault.NOT_A_RESULT, reason)
    _check_types(result)
    flat = _flatten(result)
    flat["path"] = os.path.dirname(path)  # a foreign file may have a path of its own
    known = {name: flat.pop(name, None) for name in COLUMNS}
    return Run(**known, more=flat)


def runs_of(frame: "pd.DataFrame") -> list[Run]:
    """The rows of a table as runs, each value as Python's own, null being None."""
    values = {}
    for name in frame.columns:
        values[name] = frame[name].to_numpy(dtype=object, copy=True)
        values[name][frame[name].isna().to_numpy()] = None
    others = [name for name in values if name not in COLUMNS]
    nothing = [None] * len(frame)
    known = [values[name].tolist() if name in values else nothing for name in COLUMNS]
    more = zip(*(values[name].tolist() for name in others), strict=True) if others else [()] * len(frame)
    return [
        Run(**dict(zip(COLUMNS, row, strict=True)), more=dict(zip(others, of_others, strict=True)))
        for row, of_others in zip(zip(*known, strict=True), more, strict=True)
    ]


def column_of(runs: Iterable[Run], name: str) -> list[Any]:
    """A column of many runs, None for those that do not have it."""
    return list(map(attrgetter(name), runs)) if name in COLUMNS else [run.more.get(name) for run in runs]


def _check_types(result: dict[str, Any]) -> None:
    for name, value in result.items():
        kinds = _KINDS.get(name)
        if kinds is None or value is None:
            continue
        # The type itself, as true and false would pass for whole numbers.
        if type(value) not in kinds or (type(value) is int and abs(value) > _LARGEST):
            raise Unreadable(Fault.WRONG_TYPE, f"has {name} = {value!r}, which is not {_WANTED[COLUMNS[name]]}")


def _flatten(result: dict[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in result.items():
        if isinstance(value, dict):
            for inner, one in value.items():
                column = f"{name}.{inner}"
                flat[column] = _scalar(column, one)
        else:
            flat[name] = _scalar(name, value)
    return flat


def _scalar(name: str, value: Any) -> Any:
    """What a column can hold and group by; deeper structure stays readable as JSON text.

    Raises:
        Unreadable: If it is a number that no run can have measured.
    """
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, (dict, list)):
        return json.dumps(value)
    if not 0 <= value <= 100:  # as most are; truths are 0 and 1
        check_number(name, value)
    return value


def is_measured(value: Any) -> bool:
    """Whether a metric has a value: null is "not measured", and a diverged loss has no mean either."""
    return value is not None and math.isfinite(value)
