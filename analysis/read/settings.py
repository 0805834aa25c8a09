"""The settings of a run that change its numbers, from its config and its record."""

from collections.abc import Mapping
from operator import attrgetter
from typing import Any

from analysis.read.configs import read_config
from analysis.read.faults import Unreadable
from analysis.read.method import DATA, KEYS, METHOD, changes_numbers, is_method
from analysis.read.results import COLUMNS, Run

Values = Mapping[str, Any]

UNREAD = "a config that cannot be read"  # stands for all of its keys
SPLIT = ("split.train_sha256", "split.val_sha256")
# What result.json tells by content, and the keys of the config that only say where that lies or how it is chosen.
BY_CONTENT = {
    DATA: (DATA, ("dataset.name", "dataset.root", "dataset.source.root")),
    "weights.digest": ("model.weights", ()),
    "precision": ("trainer.precision", ()),
}
RECORDED = ("settings_hash", *METHOD, *KEYS, *BY_CONTENT, *SPLIT)


_fields = attrgetter(
    *(column for column in RECORDED if column in COLUMNS)
)  # begins with settings_hash, as RECORDED does
_FURTHER = tuple(column for column in RECORDED if column not in COLUMNS)


class Settings:
    """Reads the config of one run of each setting, when it is first asked for."""

    def __init__(self) -> None:
        self._known: dict[tuple[Any, ...], Values] = {}

    def of(self, run: Run) -> Values:
        """The settings of a run that change its numbers, by key of the config, and its data; one object a setting."""
        recorded = (*_fields(run), *map(run.more.get, _FURTHER))
        identity = recorded if recorded[0] is not None else (*recorded, run.path)
        if identity not in self._known:
            self._known[identity] = _read(run)
        return self._known[identity]


def _read(run: Run) -> Values:
    values: dict[str, Any] = {key: run[column] for column, key in KEYS.items() if run.get(column) is not None}
    try:
        config = read_config(run.path)
    except (OSError, Unreadable):
        values[UNREAD] = True
    else:
        # The lambdas work through the kd_mode alone, which says which of them it uses.
        keys = (key for key in config if changes_numbers(key) and key not in METHOD)
        values |= {key: _resolved(config[key], config) for key in keys}
    if not any(is_method(key) for key in values):
        values |= {column: run[column] for column in METHOD if run.get(column) is not None}
    for column, (key, replaced) in BY_CONTENT.items():
        if run.get(column) is not None:
            values = {other: value for other, value in values.items() if other not in replaced} | {key: run[column]}
    return values | {column: run[column] for column in SPLIT if run.get(column) is not None}


def _resolved(value: Any, config: Values) -> Any:
    """A value; where it is a reference, as in `${dataset.val_fraction}`, what it refers to."""
    for _ in range(10):  # references to references; a circle ends
        if not (isinstance(value, str) and value.startswith("${") and value[2:-1] in config):
            break
        value = config[value[2:-1]]
    return value
