"""The rules that `benchmarks/searches.py` replays, on curves whose outcome is known."""

from optuna.pruners import NopPruner, SuccessiveHalvingPruner

from benchmarks import stopping
from benchmarks.stopping import EPOCHS, BehindBaseline, Either, RayAsha

FALLING = [[90.0 - place] * EPOCHS for place in range(9)]
"""Nine level curves, the best one first."""


def test_no_pruner_spends_all_epochs_and_finds_the_best_last_value() -> None:
    curves = [*FALLING, [0.0] * (EPOCHS - 1) + [95.0]]
    assert stopping.prune(NopPruner(), curves, "order") == (10 * EPOCHS, 9)


def test_a_pruner_stops_trials_at_its_rungs() -> None:
    # The first of three values at a rung goes on, as does an equal one; every later curve is worse.
    assert stopping.prune(SuccessiveHalvingPruner(3, 3), FALLING, "order") == (EPOCHS + 8 * 3, 0)
    assert stopping.prune(RayAsha(3, 3), FALLING, "order") == (EPOCHS + 8 * 3, 0)
    # In the other order each is the best so far, and none is stopped.
    assert stopping.prune(RayAsha(3, 3), FALLING[::-1], "order")[1] == 8


def test_trials_behind_their_baseline_are_stopped() -> None:
    assert stopping.prune(BehindBaseline([87.5] * EPOCHS, 3, 0.0), FALLING, "order") == (3 * EPOCHS + 6 * 3, 0)
    assert stopping.prune(BehindBaseline([87.5] * EPOCHS, 3, 2.0), FALLING, "order") == (5 * EPOCHS + 4 * 3, 0)
    both = Either(SuccessiveHalvingPruner(3, 3), BehindBaseline([99.0] * EPOCHS, 3, 0.0))
    assert stopping.prune(both, FALLING, "order") == (9 * 3, 8)  # all were stopped: the last of them


def test_halving_in_step_pays_for_what_is_trained_anew() -> None:
    assert stopping.halve(FALLING, (3, 9), 3, resumed=True) == (9 * 3 + 3 * 6 + 1 * 21, 0)
    assert stopping.halve(FALLING, (3, 9), 3, resumed=False) == (9 * 3 + 3 * 9 + 1 * 30, 0)


def test_asha_promotes_the_best_of_each_rung() -> None:
    assert stopping.promote(FALLING, (3, 9), 3)[1] == 0
    # Rising, each best so far is promoted too early: after 3, 6 and 9 values the first of the best third.
    spent, chosen = stopping.promote(FALLING[::-1], (3, 9), 3)
    assert chosen >= 6
    assert spent >= 9 * 3 + 3 * 6 + 1 * 21


def test_screening_trains_the_best_of_a_lower_fidelity_in_full() -> None:
    cheap = [1.0, 5.0, 4.0, *[0.0] * 6]
    assert stopping.screen(FALLING, cheap, 6, kept=2) == (9 * 6 + 2 * EPOCHS, 1)


def test_what_is_shown_of_a_curve() -> None:
    assert stopping.means([1.0, 3.0, 5.0, 7.0]) == [1.0, 2.0, 3.0, 5.0]
    assert stopping.best_so_far([1.0, 3.0, 2.0]) == [1.0, 3.0, 3.0]
