"""The published pairs of lambdas, and whether they mean in some runs what they meant there."""

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from analysis.read.configs import read_config
from analysis.read.results import Run

# lambda_intra, lambda_inter: the command in the README, and the defaults of train_kd.py (Tf-FD at 3427f98).
PUBLISHED = (("published: README", 8e-4, 5e-4), ("published: script", 4e-4, 5e-3))
_WEIGHT = re.compile(r"kd_mode\.([^.]+)\.weights\.(.+)")
_REDUCTION = re.compile(r"kd_mode\.([^.]+)\.reduction")
_TERMS = {"intra", "inter"}  # that the lambdas weigh


def published_pairs(
    runs: Sequence[Run], overrides: Sequence[Mapping[str, str]]
) -> tuple[tuple[str, float, float], ...]:
    """The pairs; () unless the terms are means over stages, as for them: a sum asks for a third of the lambdas.

    Args:
        runs: Of one kd_mode.
        overrides: Of each. What none of them says is the same in all, so that the config of one run tells it.
    """
    config: dict[str, Any] = {}
    with suppress(OSError, ValueError):
        config = read_config(runs[0].path)
    terms: dict[str, set[str]] = {}
    for mode, term in (found.groups() for key in config if (found := _WEIGHT.fullmatch(key))):
        terms.setdefault(mode, set()).add(term)
    # A config that tells no weights of a mode does not tell that its terms are others.
    weighed = {mode for mode in str(runs[0].kd_mode).split("+") if terms.get(mode, _TERMS) & _TERMS}
    settings = ((key, value) for one in (config, *overrides) for key, value in one.items())
    reductions = {value for key, value in settings if (found := _REDUCTION.fullmatch(key)) and found[1] in weighed}
    return PUBLISHED if reductions <= {"mean"} else ()
