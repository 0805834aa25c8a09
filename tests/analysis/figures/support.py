"""The tables of numbers that a run leaves."""

from collections.abc import Sequence
from pathlib import Path

EPOCHS = 4


def write_csv(path: Path, header: str, rows: Sequence[Sequence[object]]) -> None:
    """Write a table of numbers as a run does."""
    path.write_text("\n".join([header, *(",".join(map(str, row)) for row in rows)]) + "\n")


def write_curves(run: Path, last: float, epochs: int = EPOCHS, terms: bool = True) -> None:
    """Write a metrics.csv that ends in this val_top1."""
    rows: list[list[object]] = [
        [i, last * i / epochs, 2.0 / i, *([10.0 / i, 4.0] if terms else [])] for i in range(1, epochs + 1)
    ]
    write_csv(run / "metrics.csv", "epoch,val_top1,train_ce" + ",intra,inter" * terms, rows)


def write_saliency(run: Path, level: float) -> None:
    """Write a saliency.csv of two stages, with 4 and 6 channels."""
    rows = [(stage, rank, level / rank) for stage, width in ((1, 4), (2, 6)) for rank in range(1, width + 1)]
    write_csv(run / "saliency.csv", "stage,rank,saliency", rows)
