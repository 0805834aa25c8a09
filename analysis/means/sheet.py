"""Lays a table out as a sheet: which columns it has, and what stands in each place."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from analysis.means.cost import Cost
from analysis.means.published_rows import published_rows
from analysis.means.table import Cell, Table
from analysis.select.columns import check_name
from analysis.select.conditions import conditions_text
from analysis.select.groups import Key
from analysis.select.metrics import Metric
from analysis.sheets.notes import Kind, Note
from analysis.sheets.places import EMPTY, difference_place, mean_place, p_place
from analysis.sheets.sheet import Column, Sheet, Text
from analysis.sheets.words import as_text, capital, count

PARTS = ("mean", "n", "difference", "p", "pairs")  # what can be shown of a cell, one column each


@dataclass(frozen=True)
class _Group:
    """Neighbouring columns: what is shown of one metric, or the costs, for one value of the table's `cols`.

    Attributes:
        texts: Of a row.
        mean: Which column of the table and which metric its first column is the mean of; None for others.
    """

    columns: tuple[Column, ...]
    texts: Callable[[Key], Sequence[Text]]
    mean: tuple[Key, str] | None = None


def lay_out(table: Table, show: Sequence[str] | None = None) -> Sheet:
    """Lay out a table.

    Args:
        table: What it says.
        show: Which of `PARTS` to show; None for all of them, but in a table with `cols` not how cells were compared.
    Raises:
        ValueError: If `show` names no part, or none that there is.
    """
    parts = tuple(show) if show is not None else PARTS[:-1] if table.cols else PARTS
    for part in parts or ("",):
        check_name("part to show", part, PARTS)
    groups = _groups(table, parts)
    columns = [column for group in groups for column in group.columns]
    if not columns:
        raise ValueError(f"--show {','.join(parts)} leaves no column, as nothing is compared; add mean.")
    levels = len(columns[0].above)
    heads = tuple(Column(name, ("",) * levels, head=True) for name in table.rows)
    rows = [_measured_row(table, groups, key) for key in table.row_keys]
    published = published_rows(table, [(group.mean, len(group.columns)) for group in groups])
    return Sheet(
        caption=caption(table),
        columns=(*heads, *columns),
        rows=(*rows, *published),
        breaks=(len(rows),) if published else (),
        notes=(*table.notes, *_n_note(table, parts)),
        left_out=table.left_out,
        conditions=_conditions(table),
    )


def caption(table: Table) -> str:
    """What the numbers are, and all conditions that they depend on."""
    metrics = " and ".join(metric.label for metric in table.metrics)
    return f"{capital(metrics)}: mean ± sample sd over runs. {_conditions(table)}"


def _conditions(table: Table) -> str:
    return f"{capital(conditions_text(table.conditions))}."


def _groups(table: Table, parts: Sequence[str]) -> list[_Group]:
    groups = []
    for col in table.col_keys:
        above = (_col_title(table.cols, col),) if table.cols else ()
        for metric in table.metrics:
            groups.append(_metric_group(table, col, metric, above, parts))
        if table.costs:
            titled = (*above, "cost") if len(table.metrics) > 1 else above
            groups.append(_cost_group(table, col, titled))
    return groups


def _col_title(cols: Sequence[str], key: Key) -> str:
    """Words speak for themselves; a number needs its name."""
    return ", ".join(
        value if isinstance(value, str) else f"{column}={as_text(value)}"
        for column, value in zip(cols, key, strict=True)
    )


def _metric_group(table: Table, col: Key, metric: Metric, above: tuple[str, ...], parts: Sequence[str]) -> _Group:
    several = len(table.metrics) > 1
    titles = {"mean": "mean ± sd" if several else metric.label, "n": "n"}  # a label that is above is not repeated
    if table.baseline is not None:
        corrected = "p (Holm)" if sum(_has_p(cell) for cell in table.cells) > 1 else "p"
        titles |= {"difference": f"difference to {table.baseline} [95 % CI]", "p": corrected, "pairs": "compared by"}
    shown = [part for part in parts if part in titles]
    above = (*above, metric.label) if several else above

    def texts(row: Key) -> list[Text]:
        cell = table[row, col, metric.name]
        return [_part(part, cell, metric) for part in shown]

    mean = (col, metric.name) if shown[:1] == ["mean"] else None
    short = {"difference": "Δ [95 % CI]", "pairs": "by"} | ({} if several else {"mean": _short(metric)})
    columns = (Column(titles[p], above, short=short.get(p, ""), aside=p in ("n", "pairs")) for p in shown)
    return _Group(tuple(columns), texts, mean)


def _short(metric: Metric) -> str:
    """A metric's label without the epoch and the unit."""
    return metric.label.partition(",")[0].removesuffix(" (%)")


def _has_p(cell: Cell) -> bool:
    return cell.difference is not None and cell.difference.p is not None


def _part(part: str, cell: Cell | None, metric: Metric) -> Text:
    if part == "mean":
        return mean_place(cell.mean, cell.sd, metric.decimals, cell.is_best) if cell else Text(EMPTY)
    if part == "n":
        return Text(str(cell.n) if cell else "0", number=True)
    difference = cell.difference if cell else None
    if difference is None:
        return Text()
    if part == "pairs":
        return Text(str(difference))
    return p_place(difference.p_holm) if part == "p" else difference_place(difference, metric.decimals)


def _cost_group(table: Table, col: Key, above: tuple[str, ...]) -> _Group:
    titles = {title: show for title, show in _COSTS.items() if table.baseline or "{baseline}" not in title}
    known = {title for title, show in titles.items() if any(show(cost) is not None for cost in table.costs.values())}
    shown = [(title, show) for title, show in titles.items() if title in known]

    def texts(row: Key) -> list[Text]:
        cost = table.costs.get((*row, *col))
        values = [show(cost) if cost else None for _, show in shown]
        return [Text(EMPTY) if value is None else Text(value, number=True) for value in values]

    columns = (Column(title.format(baseline=table.baseline), above, short=_SHORT.get(title, "")) for title, _ in shown)
    return _Group(tuple(columns), texts)


def _optional(value: float | None, spec: str) -> str | None:
    return None if value is None else f"{value:{spec}}"


_COSTS: dict[str, Callable[[Cost], str | None]] = {
    "GPU hours": lambda cost: _optional(cost.gpu_hours, ".3g"),
    "CPU core hours": lambda cost: _optional(cost.cpu_hours, ".3g"),
    "epochs run": lambda cost: _optional(cost.epochs_run, "d"),
    "peak memory (MB)": lambda cost: _optional(cost.peak_memory_mb, ".0f"),
    "time vs {baseline}": lambda cost: _optional(cost.time_ratio, ".2f"),
}


_SHORT = {
    "GPU hours": "GPU h",
    "CPU core hours": "CPU h",
    "epochs run": "epochs",
    "peak memory (MB)": "MB",
    "time vs {baseline}": "time",
}


def _measured_row(table: Table, groups: Sequence[_Group], key: Key) -> tuple[Text, ...]:
    heads = (Text(as_text(value)) for value in key)
    return (*heads, *(text for group in groups for text in group.texts(key)))


def _n_note(table: Table, parts: Sequence[str]) -> tuple[Note, ...]:
    """The number of runs, where it has no column."""
    if "n" in parts:
        return ()
    numbers = sorted({cell.n for cell in table.cells})
    text = f"n = {count(numbers[0], 'run')}" if len(numbers) == 1 else f"n = {numbers[0]} to {numbers[-1]} runs"
    return (Note(Kind.NUMBER_OF_RUNS, text),)
