"""Tables for machines: full precision, one record a cell, null where n does not allow a number."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from analysis.means.sheet import caption
from analysis.means.table import Cell, Table
from analysis.select.groups import Key


def table_content(table: Table) -> dict[str, Any]:
    """Everything that a table says, with the value of every seed; for JSON."""
    return {
        "caption": caption(table),
        "rows": table.rows,
        "cols": table.cols,
        "metrics": [asdict(metric) for metric in table.metrics],
        "baseline": None if table.baseline is None else {table.baseline.column: table.baseline.value},
        "conditions": table.conditions,
        "cells": [_with_values(record, cell) for record, cell in zip(table_records(table), _cells(table), strict=True)],
        "notes": tuple(map(str, table.notes)),
        "left_out": table.left_out,
    }


def _with_values(record: dict[str, Any], cell: Cell | None) -> dict[str, Any]:
    values = [] if cell is None else [{"seed": seed, "value": value} for seed, value in cell.sample]
    return record | {"values": values}


def _cells(table: Table) -> Iterator[Cell | None]:
    yield from table.cells
    yield from (None for _ in table.published)


def table_records(table: Table) -> Iterator[dict[str, Any]]:
    """One flat record a cell, those of published numbers last, with their source; for CSV.

    Tables with the same rows, cols and costs have the same fields.
    """
    metrics = {metric.name: metric for metric in table.metrics}
    for cell in table.cells:
        metric, d = metrics[cell.metric], cell.difference
        yield {
            **_place(table, cell.key),
            "metric": metric.name,
            "split": metric.split,
            "epoch_rule": metric.epoch,
            "mean": cell.mean,
            "sd": cell.sd,
            "n": cell.n,
            "diff": d and d.value,
            "ci_low": d and d.low,
            "ci_high": d and d.high,
            "p": d and d.p,
            "p_holm": d and d.p_holm,
            "compared_by": d and str(d),
            "best": cell.is_best,
            **_cost(table, cell.key),
            "source": None,
        }
    for place in table.published:
        number = place.published
        known = {"metric": "top1", "split": number.split, "epoch_rule": number.epoch, "mean": number.top1}
        empty = dict.fromkeys(("sd", "n", "diff", "ci_low", "ci_high", "p", "p_holm", "compared_by", "best"))
        taught = f", teacher {number.teacher}" if number.teacher else ""
        source = {"source": f"{number.source}{taught}: {number.protocol}"}
        yield _place(table, (*place.row, *place.col)) | known | empty | _cost(table, None) | source


def _place(table: Table, key: Key) -> dict[str, Any]:
    return dict(zip(table.by, key, strict=True))


def _cost(table: Table, key: Key | None) -> dict[str, Any]:
    if not table.costs:
        return {}
    some = next(iter(table.costs.values()))
    cost = table.costs.get(key) if key is not None else None
    return asdict(cost) if cost else dict.fromkeys(asdict(some))
