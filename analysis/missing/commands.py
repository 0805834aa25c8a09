"""The command that fills one cell of a table, from what the runs beside it were started with."""

from collections.abc import Mapping, Sequence
from typing import Any

from analysis.read.method import METHOD, as_choice, is_method, weight_of
from analysis.read.overrides import as_pairs, read_overrides, single_command, single_overrides
from analysis.read.places import origin_and_place
from analysis.read.plans import Sweep
from analysis.read.results import Run
from analysis.sheets.words import as_text

# What a column is called on the command line, where it has another name there.
TYPED = {"train_size": "dataset.train_size", "epochs": "trainer.epochs"}
_SETTABLE = (*METHOD, "model", "dataset", "protocol", "seed", *TYPED)


class CellCommands:
    """Writes the command of a cell from what the runs beside it were started with.

    What all runs have in common holds for the cell too; and what the runs of the cell itself have in common, or, where
    it has none, those with one of its settings: as the path that goes with a data set.
    """

    def __init__(self, by: Sequence[str], runs: Sequence[Run], plans: Sequence[Sweep]) -> None:
        self._by = by
        read = [read_overrides(run.path) for run in runs]
        self._overrides = [(run, set(words)) for run, words in zip(runs, read, strict=True)]
        self._order = list(dict.fromkeys(word for words in read for word in words))
        self._shared = set.intersection(*(words for _, words in self._overrides))
        self._varying = [column for column in by if len({run[column] for run in runs}) > 1]
        self._origin, self._place = origin_and_place(runs[0], plans)
        if len({run.name for run in runs}) > 1:
            self._place.pop("name", None)

    def for_cell(self, settings: Mapping[str, Any]) -> str | None:
        """The command of one cell; None if one of its columns cannot be set."""
        of_cell = self._in_common({column: settings[column] for column in self._by})
        words = self._shared | of_cell
        cell: dict[str, str] = {}
        for column in (*self._varying, "seed"):
            if column not in _SETTABLE and "." not in column:
                return None
            key, value = TYPED.get(column, column), settings[column]
            if column != "seed" and not of_cell:
                words |= {word for word in self._in_common({column: value}) if _concerns(word, key)}
            # The mode itself turns a term off: its lambda need not be 0, nor does it take another mode's argument.
            follows = is_method(column) and column != "kd_mode" and not value
            there = as_pairs(words)  # a lambda may be there as the weight of its kd_mode
            if column == "seed" or (weight_of(key, there) not in there and not follows):
                cell[key] = "null" if value is None else as_choice(value) if key == "kd_mode" else typed(value)
        kept = [word for word in self._order if word in words]
        return single_command(single_overrides(kept, cell, self._place), self._origin)

    def _in_common(self, settings: Mapping[str, Any]) -> set[str]:
        """The overrides of all runs with some settings."""
        sets = [words for run, words in self._overrides if all(run[key] == value for key, value in settings.items())]
        return set.intersection(*sets) if sets else set()


def _concerns(word: str, key: str) -> bool:
    return word.lstrip("+").startswith((f"{key}=", f"{key}."))


def typed(value: Any) -> str:
    """A value as it is typed: with fewer digits, a lambda would be another one, and its cell would stay empty."""
    return repr(value) if isinstance(value, float) else as_text(value)
