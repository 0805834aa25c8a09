"""Small tables for the tests of layouts and formats."""

from dataclasses import replace
from typing import Any

from analysis.means.cost import Cost
from analysis.means.published import Published, PublishedCell
from analysis.means.table import Cell, Table
from analysis.select.groups import Baseline
from analysis.select.metrics import describe_metric
from analysis.statistics.differences import Sample, compare, corrected, mean_and_sd

BASELINE: Sample = [(0, 60.0), (1, 61.0), (2, 62.0)]


def make_cell(row: tuple[Any, ...], sample: Sample, col: tuple[Any, ...] = (), **fields: Any) -> Cell:
    """A cell with the mean of its sample."""
    mean, sd = mean_and_sd([value for _, value in sample])
    return Cell(row, col, fields.pop("metric", "val_top1"), sample, mean, sd, len(sample), 1, **fields)


def publish(model: str, kd_mode: str, top1: float, **fields: Any) -> Published:
    """A number of the script's recipe, of the best test epoch."""
    usual = {"dataset": "cifar100", "teacher": "", "split": "test", "epoch": "best test", "epoch_stated": False}
    recipe = {"epochs": 240, "batch_size": 128, "lr": 0.1, "pad_mode": "reflect", "nesterov": True}
    told = {"protocol": "not stated", "source": "poster"}
    return Published(**{"model": model, "kd_mode": kd_mode, "top1": top1, **usual, **recipe, **told} | fields)


def down() -> Table:
    """Four rows: the baseline, one with an interval, a single run, and one without a value."""
    better: Sample = [(0, 61.0), (1, 63.0), (2, 65.0)]
    single: Sample = [(0, 60.999)]
    differences = corrected([compare(better, BASELINE), compare(single, BASELINE)])
    return Table(
        rows=("kd_mode", "lambda_inter"),
        cols=(),
        metrics=(describe_metric("val_top1"),),
        baseline=Baseline(),
        cells=(
            make_cell(("none", 0.0), BASELINE, is_baseline=True),
            make_cell(("tfd_plus", 5e-4), better, difference=differences[0], is_best=True),
            make_cell(("tfd", 1e-3), single, difference=differences[1]),
            make_cell(("at", None), ()),
        ),
        conditions={"dataset": ("digits",), "seed": (0, 1, 2)},
        notes=("7 complete, 0 pruned, 1 failed",),
        left_out=("failed: results/x/terms/0003: 100 % wrong",),
    )


def across() -> Table:
    """Two methods on two models, one place empty, with two metrics, costs and a published number."""
    cells = []
    for model, level in (("resnet20", 60.0), ("vgg8", 50.0)):
        for kd_mode, gain in (("none", 0.0), ("tfd", 1.0)):
            if (model, kd_mode) == ("vgg8", "tfd"):
                continue
            for metric in ("test_top1", "best_test_top1"):
                sample: Sample = [(0, level + gain), (1, level + gain + 1)]
                cell = make_cell((kd_mode,), sample, (model,), metric=metric, is_baseline=kd_mode == "none")
                baseline: Sample = [(0, level), (1, level + 1)]
                cells.append(cell if gain == 0 else replace(cell, difference=compare(sample, baseline)))
    costs = {cell.key: Cost(0.5, None, 480, 812.4, 1.0 + 0.16 * (cell.row == ("tfd",))) for cell in cells}
    number = publish("vgg8", "tfd", 71.62)
    return Table(
        rows=("kd_mode",),
        cols=("model",),
        metrics=(describe_metric("test_top1"), describe_metric("best_test_top1")),
        baseline=Baseline(),
        cells=tuple(sorted(cells, key=lambda cell: cell.row)),
        costs=costs,
        published=(PublishedCell(("tfd",), ("vgg8",), "best_test_top1", number),),
    )
