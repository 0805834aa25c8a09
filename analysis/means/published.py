"""Published numbers beside the measured ones, with a caution wherever protocols differ."""

import csv
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from analysis.select.conditions import Conditions
from analysis.select.groups import Key
from analysis.select.metrics import Metric
from analysis.sheets.notes import Kind, Note
from analysis.sheets.words import as_text, list_values

_KNOWN = (
    "dataset",
    "model",
    "kd_mode",
    "teacher",
    "epochs",
)  # columns of the runs that are known of a published number too


@dataclass(frozen=True)
class Published:
    """One number of `published.csv`: top-1 accuracy in percent.

    Attributes:
        split: The split that it was measured on.
        epoch: The epoch rule, as in `Metric.epoch`.
        epoch_stated: Whether its source says so; else it is what the released script does.
        epochs: Length of the training.
        batch_size: Of the training.
        lr: Learning rate that it began with.
        pad_mode: How pictures are padded before they are cropped, as in `trainer.pad_mode`.
        nesterov: Whether the momentum is Nesterov's.
        protocol: How it came about, as far as it is known.
        source: Where it is published.
    """

    dataset: str
    model: str
    kd_mode: str
    teacher: str
    top1: float
    split: str
    epoch: str
    epoch_stated: bool
    epochs: int
    batch_size: int
    lr: float
    pad_mode: str
    nesterov: bool
    protocol: str
    source: str


@dataclass(frozen=True)
class PublishedCell:
    """A published number in a table: it stands in the row `row` (after the measured ones), and under these titles."""

    row: Key
    col: Key
    metric: str
    published: Published


@cache
def read_published() -> tuple[Published, ...]:
    """All published numbers, in the order of the file."""
    text = files("analysis.means").joinpath("published.csv").read_text(encoding="utf-8")
    rows = csv.DictReader(text.splitlines())
    parsers: dict[str, Callable[[str], Any]] = {"top1": float, "epochs": int, "batch_size": int, "lr": float}
    parsers |= dict.fromkeys(("epoch_stated", "nesterov"), lambda text: text == "true")
    return tuple(Published(**{name: parsers.get(name, str)(text) for name, text in row.items()}) for row in rows)


def published_cells(
    rows: Sequence[str],
    cols: Sequence[str],
    col_keys: Iterable[Key],
    metrics: Sequence[Metric],
    conditions: Conditions,
) -> tuple[PublishedCell, ...]:
    """The published numbers for the data sets and models of a table, and with a teacher for its teachers and kd_modes.

    Where a table has a column for the split and the epoch rule of a number, it stands there; else under the first
    top-1 accuracy, and it and `published_notes` say so. There are none where it is not clear to which rows or columns
    they belong.

    Args:
        rows: Columns that make a row.
        cols: Columns that make a column.
        col_keys: Values of `cols` that are shown.
        metrics: Shown.
        conditions: Of the measured runs.
    """
    by = (*rows, *cols)
    accuracies = [metric for metric in metrics if metric.name.endswith("top1") and metric.split in ("val", "test")]
    ambiguous = any(len(conditions.get(column, ())) != 1 and column not in by for column in ("dataset", "model"))
    if not accuracies or ambiguous or "kd_mode" not in by or not {*cols} <= {*_KNOWN}:
        return ()
    found = []
    for number in read_published():
        measured = ("dataset", "model", *(["teacher", "kd_mode"] if number.teacher else []))
        if any(getattr(number, column) not in conditions.get(column, ()) for column in measured):
            continue
        same = (metric for metric in accuracies if (metric.split, metric.epoch) == (number.split, number.epoch))
        metric = next(same, accuracies[0])
        row = tuple(_value(number, column) for column in rows)
        for col in col_keys:
            if all(_value(number, column) == value for column, value in zip(cols, col, strict=True)):
                found.append(PublishedCell(row, col, metric.name, number))
    return tuple(found)


def _value(number: Published, column: str) -> Any:
    return (getattr(number, column) or None) if column in _KNOWN else None


def published_notes(
    cells: Iterable[PublishedCell], metrics: Iterable[Metric], conditions: Conditions
) -> Iterator[Note]:
    """A note for each source and way in which its numbers were made, with what differs from the measured ones."""
    by_name = {metric.name: metric for metric in metrics}
    shown: dict[tuple[str, ...], list[str]] = {}
    for cell in cells:
        number = cell.published
        line = (number.source, number.protocol, _differences(number, by_name[cell.metric], conditions))
        shown.setdefault(line, []).append(number.kd_mode)
    for (source, protocol, differences), kd_modes in shown.items():
        line_start = f"published, {source} ({', '.join(dict.fromkeys(kd_modes))}): {protocol}"
        text = f"{line_start}; caution, the protocols differ: {differences}" if differences else line_start
        yield Note(Kind.PUBLISHED, text)


def _differences(number: Published, metric: Metric, conditions: Conditions) -> str:
    def recipe(key: str) -> str:
        return list_values(conditions.get(f"trainer.{key}", ("not known",)))

    here = (
        ("split", number.split, metric.split),
        ("epoch rule", f"{number.epoch} epoch" if number.epoch_stated else "not stated", f"{metric.epoch} epoch"),
        ("epochs", str(number.epochs), list_values(conditions.get("epochs", ()))),
        ("batch size", str(number.batch_size), recipe("batch_size")),
        ("learning rate", str(number.lr), recipe("lr")),
        ("padding", number.pad_mode, recipe("pad_mode")),
        ("Nesterov momentum", as_text(number.nesterov), recipe("nesterov")),
        ("train size", "all", list_values(conditions.get("train_size", ("all",)))),
    )
    return ", ".join(f"{what} {there} (here {ours})" for what, there, ours in here if there != ours)
