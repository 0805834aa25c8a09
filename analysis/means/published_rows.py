"""Lays out the published rows below the measured ones."""

from collections.abc import Mapping, Sequence

from analysis.means.published import Published, PublishedCell
from analysis.means.table import Table
from analysis.select.groups import Key
from analysis.select.metrics import Metric
from analysis.sheets.sheet import Text
from analysis.sheets.words import as_text

Place = tuple[Key, str]  # a column of the table, and a metric


def published_rows(table: Table, groups: Sequence[tuple[Place | None, int]]) -> list[tuple[Text, ...]]:
    """A row for each method and source, or several where their numbers differ in the teacher alone, under the means.

    Args:
        table: What it says.
        groups: For each group of columns where its first one is the mean of, None for others, and their number.
    """
    rows: dict[tuple[Key, str], list[dict[Place, PublishedCell]]] = {}
    for cell in table.published:
        place, lines = (cell.col, cell.metric), rows.setdefault((cell.row, cell.published.source), [])
        line = next((line for line in lines if place not in line), None)
        if line is None:
            lines.append(line := {})
        line[place] = cell
    return [_row(table, groups, row, source, line) for (row, source), lines in rows.items() for line in lines]


def _row(
    table: Table,
    groups: Sequence[tuple[Place | None, int]],
    row: Key,
    source: str,
    cells: Mapping[Place, PublishedCell],
) -> tuple[Text, ...]:
    metrics = {metric.name: metric for metric in table.metrics}
    teachers = list(dict.fromkeys(cell.published.teacher for cell in cells.values()))
    taught = f"teacher {teachers[0]}; " if len(teachers) == 1 and teachers[0] else ""
    named = table.rows.index("kd_mode") if "kd_mode" in table.rows else 0
    title = f" ({taught}published, {source})"
    heads = [Text(as_text(value) + (title if place == named else "")) for place, value in enumerate(row)]
    texts: list[Text] = []
    for mean, width in groups:
        cell = cells.get(mean) if mean else None
        first = _number(cell.published, metrics[cell.metric], several=len(teachers) > 1) if cell else Text()
        texts += [first, *(Text() for _ in range(width - 1))]
    return (*heads, *texts)


def _number(number: Published, metric: Metric, several: bool) -> Text:
    """The number, with what its column does not say of it; so that none is taken for another split's or epoch's."""
    words = []
    if (number.split, number.epoch) != (metric.split, metric.epoch):
        words += [number.split, f"{number.epoch.removesuffix(f' {number.split}')} epoch"]
    if several and number.teacher:
        words.append(f"teacher {number.teacher}")
    return Text(f"{number.top1:.2f}" + (f" ({', '.join(words)})" if words else ""), number=not words)
