"""What stands beside numbers, as values: each note says what it is about, so that nobody has to read its sentence."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum

_MOST = 10  # names that a line lists


class Kind(Enum):
    """What a note is about."""

    COUNTS = "how many runs there are of which status"
    SELECTION = "complete runs that are not shown"
    NO_BASELINE = "why there is no difference"
    PAIRED = "how differences and their intervals were made"
    P_VALUES = "which test the p-values are of, and for how many it is corrected"
    FEW_SEEDS = "no p-value can be below 0.05"
    UNTESTED = "too few shared seeds for a p-value"
    WELCH = "differences of means, with an interval"
    MEANS = "differences of means, without one"
    CONFOUNDED = "more differs than what is compared, so nothing was tested"
    MIXED = "more differs than what is compared, and it was tested as was asked for"
    UNSUPPORTED = "an interval that leaves out zero beside a p-value that supports nothing"
    NO_INTERVAL = "differences that are nearly all equal"
    UNSHARED_SEEDS = "seeds that one side lacks"
    BOLD = "what is bold"
    SEVERAL_SETTINGS = "a cell whose runs differ in more than the seed"
    SEVERAL_PROTOCOLS = "a cell whose runs follow several protocols"
    NOT_MEASURED = "complete runs without a value"
    EMPTY_CELLS = "cells without a complete run"
    PICKED = "a best trial that was chosen by its score"
    UNEQUAL_SEARCH = "settings that were searched for the trials and not for the baseline"
    BUDGET = "how many trials each kd_mode of a search had, and how many runs the baseline"
    CHOSEN_EPOCH = "an epoch that was chosen by the numbers that it is judged by"
    COST = "costs that are not in the columns of cost"
    FRACTIONS = "accuracies that may be fractions"
    ONE_CLASS = "accuracies that nothing can lower"
    CONDITIONS = "conditions in which the runs differ"
    CHANGED_FILES = "commits that are not what ran"
    UNKNOWN_PAST = "weights of which nobody knows what they have seen"
    DATA_VERSIONS = "trials that saw different data"
    PUBLISHED = "where published numbers come from, and how they differ"
    NUMBER_OF_RUNS = "over how many runs the means are"
    CONCLUSION = "what the data support"
    PROGRESS = "how far a search is"
    CERTAINTY = "how sure a value is"
    SEEDS = "which seeds are used, and which fresh"
    WEIGHTS = "weights of a term that are not the same in all cells"
    VERDICT = "what moved, and what did not"
    NO_VERDICT = "why a row has none"
    ONE_SIDE = "what one side alone has"
    DIFFERS = "what differs between two sides"
    NO_ABLATION = "why runs with and without a term are no ablation"
    STATUS = "runs that failed, were killed or are to do"
    SKIPPED = "what could not be read"
    DONE = "nothing is left to do"
    SWEEP = "the command that goes on with a whole sweep"
    COLUMNS = "what a narrow table has no room for"
    STATED = "conditions that hold for a whole narrow table"
    AT_WORK = "runs that are at work"


class Level(Enum):
    """How much a note matters to a reader of the numbers; what its line begins with."""

    NOTE = ""
    CAUTION = "caution: "
    WARNING = "warning: "


@dataclass(frozen=True)
class Note:
    """A line beside numbers.

    Attributes:
        kind: What it is about.
        text: The line, without the word that tells its level.
        level: Whether a reader has to be warned.
    """

    kind: Kind
    text: str
    level: Level = Level.NOTE

    def __str__(self) -> str:
        return f"{self.level.value}{self.text}"


def caution(kind: Kind, text: str) -> Note:
    """A note of what may make numbers mislead."""
    return Note(kind, text, Level.CAUTION)


def naming(kind: Kind, lead: str, names: Iterable[str], level: Level = Level.NOTE, most: int = _MOST) -> Iterator[Note]:
    """One note that names some things after a lead, if there are any; those beyond the first ten are counted."""
    names = list(names)
    if names:
        more = f"; and {len(names) - most} more" if len(names) > most else ""
        yield Note(kind, f"{lead}{'; '.join(names[:most])}{more}", level)
