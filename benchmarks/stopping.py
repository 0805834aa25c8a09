"""Rules that stop trials early, searching in learning curves that were recorded before: what `searches.py` replays."""

import heapq
import random
import statistics
from collections.abc import Callable, Sequence

import optuna
from optuna.pruners import BasePruner

EPOCHS = 30

Curve = list[float]  # val_top1 of each epoch
Found = tuple[float, int]  # epochs spent, and which curve a search chose


class RayAsha(BasePruner):
    """Ray Tune's ASHAScheduler: a trial below the best share of those that were at the rung before it is stopped."""

    def __init__(self, first: int, factor: int) -> None:
        self._factor = factor
        self._rungs: dict[int, list[float]] = {first * factor**k: [] for k in range(9) if first * factor**k < EPOCHS}

    def prune(self, study: optuna.Study, trial: optuna.trial.FrozenTrial) -> bool:
        """Tell whether a trial is stopped after its last report."""
        earlier = self._rungs.get(trial.last_step or 0)
        if earlier is None:
            return False
        value, before = trial.intermediate_values[trial.last_step or 0], sorted(earlier)
        earlier.append(value)
        if not before:
            return False
        place = (1 - 1 / self._factor) * (len(before) - 1)  # as NumPy's percentile
        low, high = before[int(place)], before[min(int(place) + 1, len(before) - 1)]
        return value < low + (high - low) * (place % 1)


class BehindBaseline(BasePruner):
    """Stops a trial that is more than a margin behind the baseline of the same seed, by means of three epochs."""

    def __init__(self, baseline: Curve, first: int, margin: float) -> None:
        self._baseline, self._first, self._margin = means(baseline), first, margin

    def prune(self, study: optuna.Study, trial: optuna.trial.FrozenTrial) -> bool:
        """Tell whether a trial is stopped after its last report."""
        epoch = trial.last_step or 0
        values = [trial.intermediate_values[step] for step in range(max(1, epoch - 2), epoch + 1)]
        return epoch >= self._first and statistics.mean(values) < self._baseline[epoch - 1] - self._margin


class Either(BasePruner):
    """Stops what one of two pruners stops."""

    def __init__(self, *pruners: BasePruner) -> None:
        self._pruners = pruners

    def prune(self, study: optuna.Study, trial: optuna.trial.FrozenTrial) -> bool:
        """Tell whether a trial is stopped after its last report."""
        verdicts = [pruner.prune(study, trial) for pruner in self._pruners]  # each has to see all trials
        return any(verdicts)


def means(curve: Curve) -> Curve:
    return [statistics.mean(curve[max(0, end - 3) : end]) for end in range(1, len(curve) + 1)]


def best_so_far(curve: Curve) -> Curve:
    return [max(curve[:end]) for end in range(1, len(curve) + 1)]


def prune(pruner: BasePruner, curves: Sequence[Curve], name: str, shown: Callable[[Curve], Curve] = list) -> Found:
    """Search in curves as two workers do, which take the next trial when theirs has ended.

    Args:
        shown: What is reported of a curve.
    Returns:
        The best trial that came to its end, or the last one that was stopped where none did.
    """
    study = optuna.create_study(study_name=name, pruner=pruner, direction="maximize")
    drawn, waiting = random.Random(name), list(reversed(range(len(curves))))
    spent, last, ended = 0, 0, {}
    at_work: list[tuple[float, int, int, float, optuna.Trial, Curve]] = []

    def begin(now: float) -> None:
        if waiting:
            number, pace = waiting.pop(), drawn.uniform(0.9, 1.1)  # no two trials take the same time
            heapq.heappush(at_work, (now + pace, number, 1, pace, study.ask(), shown(curves[number])))

    begin(0)
    begin(0)
    while at_work:
        now, number, epoch, pace, trial, reported = heapq.heappop(at_work)
        spent += 1
        trial.report(reported[epoch - 1], epoch)
        stops = trial.should_prune()
        if epoch < EPOCHS and not stops:
            heapq.heappush(at_work, (now + pace, number, epoch + 1, pace, trial, reported))
            continue
        if epoch == EPOCHS:
            ended[number] = study.tell(trial, curves[number][-1]).value or 0.0
        else:
            study.tell(trial, state=optuna.trial.TrialState.PRUNED)
            last = number
        begin(now)
    return spent, max(ended, key=lambda number: ended[number], default=last)


def halve(curves: Sequence[Curve], rungs: Sequence[int], factor: int, resumed: bool) -> Found:
    """Halve in step: all to the first rung, the best of them on to the next, at last to the end."""
    left, spent, before = list(range(len(curves))), 0, 0
    for rung in (*rungs, EPOCHS):
        spent += len(left) * (rung - before if resumed else rung)
        before = rung
        left.sort(key=lambda number: -curves[number][rung - 1])
        left = left[: max(1, len(left) // factor)] if rung < EPOCHS else left
    return spent, left[0]


def promote(curves: Sequence[Curve], rungs: Sequence[int], factor: int) -> Found:
    """ASHA as published: a trial waits at its rung, and goes on as soon as it is among the best there."""
    ends = [*rungs, EPOCHS]
    reached: list[dict[int, float]] = [{} for _ in ends]
    gone: list[set[int]] = [set() for _ in ends]
    fresh, spent, at_work = iter(range(len(curves))), 0, [(0.0, 0, -1, -1), (0.5, 1, -1, -1)]
    while at_work:
        now, worker, number, rung = heapq.heappop(at_work)
        if number >= 0:
            reached[rung][number] = curves[number][ends[rung] - 1]
        for rung in reversed(range(len(rungs))):
            best = sorted(reached[rung], key=lambda one: -reached[rung][one])[: len(reached[rung]) // factor]
            if number := next((one + 1 for one in best if one not in gone[rung]), 0):
                gone[rung].add(number - 1)
                number, rung, epochs = number - 1, rung + 1, ends[rung + 1] - ends[rung]
                break
        else:
            number, rung, epochs = next(fresh, -1), 0, ends[0]
        if number >= 0:
            spent += epochs
            heapq.heappush(at_work, (now + epochs, worker, number, rung))
    return spent, max(reached[-1], key=lambda one: reached[-1][one])


def screen(curves: Sequence[Curve], cheap: Sequence[float], epochs: float, kept: int) -> Found:
    """Train all at a lower fidelity, and the best of them anew in full."""
    best = sorted(range(len(curves)), key=lambda number: -cheap[number])[:kept]
    return len(curves) * epochs + kept * EPOCHS, max(best, key=lambda number: curves[number][-1])
