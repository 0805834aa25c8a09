"""What our trials carry in a study, read as strictly as it was written: a study may be shared with anybody."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, Trial, TrialState

from tffd.sweep.arguments import Cell, Value
from tffd.sweep.space import contains

IDENTITY = "tffd"
"""User attribute of a study, and of a grid's trial: what may not change while it grows."""

CELL = "cell"
"""User attribute of a grid's trial: its place in the grid."""

OWNER = "owner"
"""User attribute of a trial: the token of the sweep command that runs it."""

FINAL = "final"
"""User attribute of a failed trial: that the same would happen again."""

ATTEMPTS = "failed_attempts"
"""User attribute of a trial: why it failed each time that it was tried again."""

_FIXED = "fixed_params"
_CONSTRAINTS = "constraints"
"""System attributes of Optuna: the values of a trial that was put in line, and what none of our samplers writes."""

_TOKEN = re.compile(r"(?P<place>[\w.-]+:\d+-\d+):(?P<file>\d+-[0-9a-f]+)", re.ASCII)
_SHOWN = 80  # letters of a foreign value


class ForeignEntry(ValueError):
    """A study holds what no sweep command writes, so somebody else has written to it."""

    def __init__(self, where: str, name: str, value: object) -> None:
        super().__init__(
            f"{where} has {name}={ascii(value)[:_SHOWN]}, which no sweep command writes: somebody else has written to "
            "this study. Choose another name=... or another sweep.storage=..."
        )


class Token(NamedTuple):
    """A sweep command's name for itself.

    Attributes:
        place: Its machine and the folder of lock files.
        file: Its lock file in that folder.
    """

    place: str
    file: str


@dataclass(frozen=True)
class Claim:
    """A trial that this command is to run.

    Attributes:
        number: Its number in its study.
        values: What varies, at the values of this trial.
        trial: Optuna's handle.
    """

    number: int
    values: Mapping[str, Value]
    trial: Trial


def parse_token(token: object) -> Token:
    """Take a sweep command's name for itself apart.

    Raises:
        ForeignEntry: If it has another form: its last part becomes the name of a file that is removed.
    """
    match = _TOKEN.fullmatch(token) if isinstance(token, str) else None
    if match is None:
        raise ForeignEntry("a trial", OWNER, token)
    return Token(match["place"], match["file"])


def identity_in(attributes: Mapping[str, Any], where: str) -> dict[str, str] | None:
    """Return what a study or trial says may not change, None if it says nothing.

    Raises:
        ForeignEntry: If that is no object of texts.
    """
    return None if attributes.get(IDENTITY) is None else _texts(attributes[IDENTITY], IDENTITY, where)


def cell_of(trial: Trial | FrozenTrial) -> Cell:
    """Return the place of a grid's trial.

    Raises:
        ForeignEntry: If it has none.
    """
    return _texts(trial.user_attrs.get(CELL), CELL, f"trial {trial.number}")


def key_of_cell(cell: Cell) -> frozenset[tuple[str, str]]:
    """Return what finds a cell among thousands at once, in whatever order the command names what varies."""
    return frozenset(cell.items())


def is_final(trial: FrozenTrial) -> bool:
    """Tell whether a failed trial would fail again."""
    return trial.user_attrs.get(FINAL) is True


def attempts_of(trial: Trial | FrozenTrial) -> list[str]:
    """Return why a trial failed each time that it was tried again.

    Raises:
        ForeignEntry: If that is no list of texts.
    """
    attempts: Any = trial.user_attrs.get(ATTEMPTS, [])
    if not isinstance(attempts, list) or not all(isinstance(reason, str) for reason in attempts):
        raise ForeignEntry(f"trial {trial.number}", ATTEMPTS, attempts)
    return attempts


def require_ours(trial: FrozenTrial, space: Mapping[str, BaseDistribution] | None, objectives: int) -> None:
    """Check everything of a trial that a sweep, or Optuna on its behalf, reads.

    Args:
        trial: Of a study.
        space: The space of a search; None for a grid.
        objectives: How many values a complete trial has.
    Raises:
        ForeignEntry: If a part of it has another form than the sweep writes.
    """
    where = f"trial {trial.number}"
    attempts_of(trial)
    identity_in(trial.user_attrs, where)
    if OWNER in trial.user_attrs:
        parse_token(trial.user_attrs[OWNER])
    if space is None:
        cell_of(trial)
    fixed = trial.system_attrs.get(_FIXED, {})
    if not isinstance(fixed, dict):
        raise ForeignEntry(where, _FIXED, fixed)
    for key, value in (*trial.params.items(), *fixed.items()):
        if space is None or key not in space or not contains(space[key], value):
            raise ForeignEntry(where, key, value)
    if _CONSTRAINTS in trial.system_attrs:
        raise ForeignEntry(where, _CONSTRAINTS, trial.system_attrs[_CONSTRAINTS])
    _require_numbers(trial, objectives, where)


def _require_numbers(trial: FrozenTrial, objectives: int, where: str) -> None:
    if trial.state is TrialState.COMPLETE:
        values = trial.values or []
        if len(values) != objectives or not all(map(_is_finite, values)):
            raise ForeignEntry(where, "values", trial.values)
    for step, value in trial.intermediate_values.items():
        if not isinstance(value, float | int):
            raise ForeignEntry(where, f"value at step {step}", value)


def _is_finite(value: object) -> bool:
    return isinstance(value, float | int) and math.isfinite(value)


def _texts(value: object, name: str, where: str) -> dict[str, str]:
    if not isinstance(value, dict) or not all(isinstance(text, str) for item in value.items() for text in item):
        raise ForeignEntry(where, name, value)
    return value


def fixed_values(trial: FrozenTrial) -> dict[str, Value]:
    """The values that a trial has, or was put in line with."""
    return {**trial.system_attrs.get(_FIXED, {}), **trial.params}
