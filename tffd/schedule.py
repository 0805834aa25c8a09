"""Learning rate and distillation weight as functions of the epoch, counted from 1."""

from collections.abc import Sequence


def learning_rate(epoch: int, epochs: int, base: float, milestones: Sequence[float], gamma: float) -> float:
    """Step schedule with milestones as fractions of the run, so that one recipe serves runs of any length.

    Args:
        epoch: From 1 to epochs.
        epochs: Length of the run.
        base: Learning rate before the first milestone.
        milestones: Fractions in (0, 1); the rate drops *after* epoch round(fraction * epochs).
        gamma: Factor of each drop.
    Returns:
        base * gamma ** (number of milestones passed). With 240 epochs and (0.625, 0.75, 0.875): epochs 1 to 150 at the
        base rate, then 30 each at the base times gamma, gamma ** 2 and gamma ** 3, as in train_kd.py at 3427f98.
    """
    passed = sum(epoch > round(fraction * epochs) for fraction in milestones)
    return base * gamma**passed


def kd_factor(epoch: int, warmup_epochs: int) -> float:
    """Linear warm-up of the distillation loss, min(1, epoch / warmup_epochs); 1 without warm-up.

    Source: train_kd.py at 3427f98, where warmup_epochs is 20.
    """
    return min(1.0, epoch / warmup_epochs) if warmup_epochs > 0 else 1.0
