"""Which runs belong to one cell of a table, and which cells are compared."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from analysis.read.method import DEFAULT_BY, METHOD, is_compared, is_method, is_setting
from analysis.read.results import Run
from analysis.read.values import is_one_of, is_value, sortable
from analysis.select.columns import check_name
from analysis.sheets.words import exact_text

Key = tuple[Any, ...]


@dataclass(frozen=True)
class Baseline:
    """What the others are compared to: the runs whose `column` is `value`.

    Attributes:
        asked: Whether the user named it; else it is a guess that may not be there.
    """

    column: str = "kd_mode"
    value: str = "none"
    asked: bool = False

    @property
    def compared(self) -> tuple[str, ...]:
        """The columns in which a cell and its baseline may differ."""
        return METHOD if is_method(self.column) else (self.column,)

    def __str__(self) -> str:
        """As in a title: the kd_mode alone, or column=value."""
        return self.value if self.column == "kd_mode" else f"{self.column}={self.value}"


def read_baseline(text: str | None) -> Baseline:
    """Read what a user typed: a kd_mode, or column=value."""
    if text is None:
        return Baseline()
    column, equals, value = text.partition("=")
    return Baseline(column.strip(), value.strip(), True) if equals else Baseline(value=text, asked=True)


def keep_where(runs: Sequence[Run], conditions: Mapping[str, str], known: Iterable[str]) -> list[Run]:
    """The runs whose columns have the given values, each in its own type; a list, `a,b`, means any of these.

    Raises:
        ValueError: If there is no such column, or no run is left; the message names the values that there are.
    """
    kept = list(runs)
    for column, wanted in conditions.items():
        check_name("column", column, known)
        there = {run[column] for run in kept}
        kept = [run for run in kept if is_one_of(run[column], wanted)]
        if not kept:
            shown = ", ".join(exact_text(value) for value in sorted(there, key=sortable))
            raise ValueError(f"--where {column}={wanted} leaves no complete run; {column} is one of: {shown}.")
    return kept


def choose_by(complete: Sequence[Run], asked: Sequence[str] | None, known: Iterable[str]) -> tuple[str, ...]:
    """The columns that were asked for, else kd_mode and every setting that varies, those of the method last.

    A lambda, or another argument of the method, that kd_mode determines (as in an ablation of the terms) says nothing
    new, and is dropped.

    Raises:
        ValueError: If a column does not exist.
    """
    if asked is None:
        settings = (column for column in known if is_setting(column))
        columns = sorted(dict.fromkeys((*DEFAULT_BY, *settings)), key=is_method)
        return tuple(column for column in columns if column == "kd_mode" or _shows(complete, column))
    by = tuple(dict.fromkeys(asked))
    if not by:
        raise ValueError("--rows names no column; leave it out, or give columns such as model,kd_mode.")
    for column in by:
        check_name("column", column, known)
    return by


def refuse_mixed_protocols(complete: Sequence[Run], by: Sequence[str], flag: str = "--rows") -> None:
    """Refuse to average or compare numbers of several protocols.

    Raises:
        ValueError: If there are several, and no column tells them apart.
    """
    protocols = sorted({str(run.protocol) for run in complete})
    if len(protocols) > 1 and "protocol" not in by:
        raise ValueError(
            f"the runs follow several protocols ({', '.join(protocols)}), whose numbers do not compare; "
            f"add protocol to the columns: {flag} {','.join((*by, 'protocol'))}, choose one: "
            f"--where protocol={protocols[0]}, or mix them all the same: --mix."
        )


def _shows(complete: Sequence[Run], column: str) -> bool:
    if len({run[column] for run in complete}) < 2:
        return False
    if not is_method(column):
        return True
    kd_modes = {run.kd_mode for run in complete}
    return len({(run.kd_mode, run[column]) for run in complete}) > len(kd_modes)


def group_runs(complete: Iterable[Run], by: Sequence[str]) -> dict[Key, list[Run]]:
    """List the runs by their values in the columns `by`, in the order of first appearance."""
    groups: dict[Key, list[Run]] = {}
    for run in complete:
        groups.setdefault(tuple(run[column] for column in by), []).append(run)
    return groups


def context_of(by: Sequence[str], compared: Sequence[str]) -> Callable[[Key], Key]:
    """A function from a key to the part of it in which a cell and its baseline agree: all but what is compared."""
    places = [place for place, column in enumerate(by) if not is_compared(column, compared)]
    return lambda key: tuple(key[place] for place in places)


def find_baselines(groups: Iterable[Key], by: Sequence[str], baseline: Baseline) -> dict[Key, Key]:
    """Find the baseline's group for each context.

    Args:
        groups: Keys of all groups.
        by: The columns of a key.
        baseline: What was asked for, or the default.
    Returns:
        Key of the baseline's group by context; empty if there is no baseline.
    Raises:
        ValueError: If the baseline was asked for and is not there, or if it is several groups.
    """
    groups, column = list(groups), baseline.column
    if column not in by:
        if baseline.asked:
            raise ValueError(f"a baseline needs the column {column}: --rows {','.join((*by, column))}.")
        return {}
    place, context = by.index(column), context_of(by, baseline.compared)
    values = dict.fromkeys(exact_text(key[place]) for key in groups)
    matching = [key for key in groups if is_value(key[place], baseline.value)]
    if baseline.asked and not matching:
        raise ValueError(
            f"no complete run has {column}={baseline.value} as a baseline; there are: {', '.join(values)}."
        )
    found: dict[Key, Key] = {}
    for key in matching:
        if context(key) in found:
            raise ValueError(
                f"the baseline {column}={baseline.value} is several rows, as its lambdas vary; "
                f"group by {','.join(other for other in by if not other.startswith('lambda_'))}, "
                f"or choose another baseline out of {', '.join(values)}."
            )
        found[context(key)] = key
    return found
