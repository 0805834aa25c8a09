"""The weights of the kd_modes that a search compares: a dimension each, found in the modes' own configs."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from hydra.errors import HydraException

from tffd.config import require_config
from tffd.refusal import ConfigError
from tffd.sweep.arguments import Arguments, listed, trial_overrides
from tffd.sweep.plan import Compose, Point

MODE = "kd_mode"


@dataclass(frozen=True)
class Weights:
    """What a search over kd_modes has besides what its file says.

    Attributes:
        space: The dimensions: the weight of each term that counts, log-uniform around its default.
        when: The modes in which each is searched.
        points: Each mode with its default weights.
    """

    space: dict[str, str] = field(default_factory=dict)
    when: dict[str, dict[str, Sequence[str]]] = field(default_factory=dict)
    points: list[Point] = field(default_factory=list)


def search_weights(factor: float, modes: str | None, arguments: Arguments, compose: Compose) -> Weights:
    """Give a search the weights of its modes, each from 1 / factor of its default to factor times it.

    A weight that two choices share, as those of st and [st,tfd], has one dimension, which reaches around both defaults.

    Args:
        factor: Above 1.
        modes: What the search varies as kd_mode, in sweep syntax; None where the command fixes it.
        arguments: The words of the command, of which those that are fixed hold for every mode.
        compose: Composes the config of a trial.
    Raises:
        ValueError: If a mode has no weight to search, as the baseline.
    """
    choices = listed(MODE, modes) if modes is not None else {}
    points: list[Point] = []
    allowed: dict[str, list[str]] = {}
    for name, written in choices.items() or [("", "")]:
        try:
            config = require_config(compose(trial_overrides(arguments.fixed, {MODE: written} if name else {})))
        except (HydraException, ConfigError):
            continue  # the plan's configs are checked one by one, with all that is wrong
        defaults = {
            f"{MODE}.{mode}.weights.{term}": weight
            for mode, section in config.kd_mode.items()
            for term, weight in section.weights.items()
            if weight > 0
        }
        if not defaults:
            raise ValueError(
                f"{MODE}={name or 'none'}: has no weight that counts, so sweep.weights={factor:g} finds none to "
                "search; leave it out (the baseline is sweep.baseline)"
            )
        points.append({MODE: name, **defaults} if name else defaults)
        for key in defaults:
            allowed.setdefault(key, []).append(name)
    return Weights(
        {key: _around([float(str(point[key])) for point in points if key in point], factor) for key in allowed},
        {key: {MODE: names} for key, names in allowed.items()} if choices else {},
        points,
    )


def _around(defaults: Sequence[float], factor: float) -> str:
    return f"tag(log,interval({min(defaults) / factor!r},{max(defaults) * factor!r}))"
