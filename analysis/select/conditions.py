"""Under which conditions the numbers of a table came about: what its caption has to state."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from analysis.read.results import Run, column_of
from analysis.read.values import sortable
from analysis.select.metrics import Metric
from analysis.sheets.notes import Kind, Note, caution
from analysis.sheets.words import count, list_values, ranges

Conditions = Mapping[str, tuple[Any, ...]]

_STATED = (  # column, singular, plural
    ("dataset", "dataset", "datasets"),
    ("train_size", "train size", "train sizes"),
    ("model", "model", "models"),
    ("teacher", "teacher", "teachers"),
    ("protocol", "protocol", "protocols"),
    ("split", "split", "splits"),
    ("epoch", "epoch rule", "epoch rules"),
    ("epochs", "epochs", "epochs"),
    ("seed", "seed", "seeds"),
    ("device", "device", "devices"),
    ("precision", "precision", "precisions"),
    ("threads", "threads", "threads"),
    ("versions.python", "Python", "Python versions"),
    ("versions.torch", "torch", "torch versions"),
    ("versions.torchvision", "torchvision", "torchvision versions"),
    ("versions.numpy", "numpy", "numpy versions"),
    ("git_commit", "commit", "commits"),
)
# Numbers that were made under different ones of these may differ for this reason alone.
_SHOULD_AGREE = {
    "epochs": "epochs",
    "train_size": "train sizes",
    "split.val_sha256": "held-out pictures",
    "teacher_digest": "weights of the teacher",
    "device": "devices",
    "precision": "precisions",
    "threads": "threads",
    "versions.torch": "torch versions",
    "git_commit": "commits",
}
_RECORDED = ("device", "precision", "threads", "versions.", "git_commit")
_PASTS = {
    "weights.past": "runs start from weights of an unknown past (model.weights)",
    "teacher_past": "teachers have weights of an unknown past (teacher.checkpoint)",
}


def conditions_of(runs: Sequence[Run], metrics: Iterable[Metric] = ()) -> dict[str, tuple[Any, ...]]:
    """The values that the runs have, by column; all `versions` too, and the split and epoch rule of the metrics.

    Where some runs recorded their machine, versions or commit, "not recorded for 3 runs" is another value.
    """
    columns = dict.fromkeys(("kd_mode", *(column for column, _, _ in _STATED), *_SHOULD_AGREE, *_PASTS))
    columns.update(dict.fromkeys(column for run in runs[:1] for column in run.more if column.startswith("versions.")))
    found: dict[str, set[Any]] = {}
    for column in columns:
        values = column_of(runs, column)
        found[column] = {value for value in values if value is not None}
        if found[column] and None in values and column.startswith(_RECORDED):
            found[column].add(f"not recorded for {count(values.count(None), 'run')}")
    metrics = tuple(metrics)
    found["split"] = {metric.split for metric in metrics if metric.split}
    found["epoch"] = {metric.epoch for metric in metrics if metric.epoch}
    return {column: tuple(sorted(values, key=sortable)) for column, values in found.items() if values}


def conditions_text(conditions: Conditions) -> str:
    """The conditions in words: "dataset digits; protocol validation; seeds 0 to 4; ..."."""
    return "; ".join(f"{name} {values}" for name, values in stated(conditions)) or "conditions not recorded"


def stated(conditions: Conditions) -> Iterator[tuple[str, str]]:
    """The conditions that a caption states, each with its values in words."""
    for column, singular, plural in _STATED:
        if values := conditions.get(column):
            yield singular if len(values) == 1 else plural, ranges(values) if column == "seed" else list_values(values)


def condition_notes(conditions: Conditions, by: Sequence[str]) -> Iterator[Note]:
    """Cautions about conditions that may explain differences in the numbers.

    Args:
        conditions: Of the runs.
        by: The columns that tell cells apart; in these the runs may differ.
    """
    apart = {*by, *(("split.val_sha256",) if {"dataset", "protocol"} & {*by} else ())}
    varying = [
        name for column, name in _SHOULD_AGREE.items() if column not in apart and len(conditions.get(column, ())) > 1
    ]
    if varying:
        yield caution(Kind.CONDITIONS, f"the runs differ in {', '.join(varying)}")
    if any(str(commit).endswith(("+", "dirty")) for commit in conditions.get("git_commit", ())):
        yield caution(Kind.CHANGED_FILES, "a commit with + is not what ran; files differed from it")
    yield from past_notes(conditions)


def past_notes(conditions: Conditions) -> Iterator[Note]:
    """A caution where a run started from a network of which nobody can tell what it was trained on."""
    for column, whose in _PASTS.items():
        if "unknown" in conditions.get(column, ()):
            text = f"{whose}: if these have seen the pictures that judge the runs, the numbers flatter"
            yield caution(Kind.UNKNOWN_PAST, text)


def short_conditions(runs: Sequence[Run]) -> str:
    """Under which conditions runs were made, as in "resnet20 on digits, protocol validation, 6 epochs, seed 0"."""

    def values(column: str) -> str:
        found = sorted({str(run[column]) for run in runs if run[column] is not None})
        return ", ".join(found) if len(found) <= 3 else f"({len(found)} different)"

    seeds = {run.seed for run in runs if run.seed is not None}
    seed = f"seed {seeds.copy().pop()}" if len(seeds) == 1 else f"{len(seeds)} seeds"
    epochs = values("epochs")
    duration = f"{epochs} {'epoch' if epochs == '1' else 'epochs'}"
    return f"{values('model')} on {values('dataset')}, protocol {values('protocol')}, {duration}, {seed}"
