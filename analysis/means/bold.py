"""What is best in a table, and what cannot be told from it."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from analysis.means.table import Cell
from analysis.select.groups import Key
from analysis.select.metrics import Metric
from analysis.statistics.differences import Difference
from analysis.statistics.paired import ALPHA, holm

Place = int  # in the list of cells


def mark_best(
    cells: Sequence[Cell],
    blocks: Mapping[Key, Key],
    metrics: Iterable[Metric],
    compare: Callable[[Sequence[tuple[Cell, Cell]]], Sequence[Difference]],
) -> list[Cell]:
    """Mark, among the cells that compete, the best mean and all that cannot be told from it.

    Cells compete that differ in the method alone; one without a competitor is not marked. A cell can be told from the
    best if its p-value against it is below 0.05, by the paired test of the differences to the baseline; where that test
    was refused, it is not marked. The best was found by looking, so the correction (Holm) is for all pairs of competing
    cells, not only for those with the best.

    Args:
        cells: Of all metrics.
        blocks: Of each key, the part of it that competing cells share.
        metrics: Which end of each is best.
        compare: Gives the difference of the first cell of each pair to the second.
    """
    signs = {metric.name: 1 if metric.smaller_is_better else -1 for metric in metrics}
    competing: dict[tuple[str, Key], list[Place]] = defaultdict(list)
    for place, cell in enumerate(cells):
        if cell.mean is not None:
            competing[cell.metric, blocks[cell.key]].append(place)
    rivals: dict[Place, list[Place]] = {}
    for (metric, _), places in competing.items():
        if len(places) > 1:
            scores = {place: signs[metric] * (cells[place].mean or 0.0) for place in places}
            best = min(scores, key=scores.__getitem__)
            rivals[best] = [place for place in places if place != best]
    pairs = [(place, best) for best, others in rivals.items() for place in others]
    differences = compare([(cells[place], cells[best]) for place, best in pairs])
    to_best = {place: difference for (place, _), difference in zip(pairs, differences, strict=True)}
    best_ones = set(rivals)
    for others in rivals.values():
        best_ones |= _not_told_apart({place: to_best[place] for place in others})
    return [replace(cell, is_best=place in best_ones, to_best=to_best.get(place)) for place, cell in enumerate(cells)]


def _not_told_apart(differences: Mapping[Place, Difference]) -> set[Place]:
    """The cells whose p-value against the best, corrected for all pairs of the best and them, is not below 0.05.

    One that has too few seeds for a test cannot be told apart. One that differs in more than what is compared is
    another matter: nothing says that it is as good.
    """
    tested = {place: difference.p for place, difference in differences.items() if difference.p is not None}
    competing = len(differences) + 1
    corrected = dict(zip(tested, holm(list(tested.values()), competing * (competing - 1) // 2), strict=True))
    compared = (place for place, difference in differences.items() if not difference.is_confounded)
    return {place for place in compared if corrected.get(place, 1.0) >= ALPHA}
