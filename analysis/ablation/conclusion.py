"""What the data of an ablation support: as values, and in plain sentences."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from analysis.ablation.factorial import Effect, Factorial
from analysis.sheets.numbers import difference_text, p_text
from analysis.statistics.contrasts import BOTH, INTER, INTRA, NEITHER
from analysis.statistics.paired import ALPHA, holm, smallest_p


class Support(Enum):
    """What an ablation can say."""

    ONE_SEED = "nothing, as one seed tells no spread"
    CONFOUNDED = "nothing, as more differs than the terms"
    TOO_FEW_SEEDS = "nothing, as no effect can be told from none with so few seeds"
    NO_EFFECT = "that the data support no effect"
    EFFECTS = "which effects the data support"


@dataclass(frozen=True)
class Conclusion:
    """What the data support.

    Attributes:
        support: How much can be said.
        better: Names of the effects that the data support and that improve the metric.
        worse: Of those that the data support and that make it worse.
        left_open: Of the others, if effects can be judged.
        text: The same in sentences, with the numbers.
    """

    support: Support
    text: str
    better: tuple[str, ...] = ()
    worse: tuple[str, ...] = ()
    left_open: tuple[str, ...] = ()


def conclude(factorial: Factorial) -> Conclusion:
    """Say which effects the data support, and what else they leave open; p-values decide, corrected for all."""
    seeds = len(factorial.seeds)
    if not factorial.effects:
        text = f"One seed has all {_count(factorial)} cells, which says nothing about the spread"
        return Conclusion(Support.ONE_SEED, f"{text}: no effect can be judged.")
    if differs := [effect.difference.differs for effect in factorial.effects if effect.difference.is_confounded]:
        text = f"The {_count(factorial)} cells differ in more than the terms, so no effect can be judged"
        return Conclusion(Support.CONFOUNDED, f"{text}: {', '.join(differs[0])}.")
    shown = [effect for effect in factorial.effects if _shown(effect)]
    if min(holm([smallest_p(seeds)] * len(factorial.effects))) >= ALPHA:
        support = Support.TOO_FEW_SEEDS
        enough = next(n for n in range(2, 64) if len(factorial.effects) * smallest_p(n) < ALPHA)
        opening = (
            f"With {seeds} seeds no effect can be told from none (p < 0.05), however large; {enough} seeds allow it."
        )
    elif not shown:
        support = Support.NO_EFFECT
        what = "either term" if len(factorial.factors) == 2 else f"any of {', '.join(factorial.factors)}"
        opening = f"The data of {seeds} seeds support no effect of {what}, and no interaction."
    else:
        support = Support.EFFECTS
        opening = (
            f"The data of {seeds} seeds support " + ", and ".join(_claim(effect, factorial) for effect in shown) + "."
        )
    rest = [effect for effect in factorial.effects if effect not in shown]
    left_open = f" Left open: {'; '.join(_open(effect, factorial) for effect in rest)}." if rest else ""
    return Conclusion(
        support,
        opening + left_open + "".join(_caveats(factorial, shown)),
        better=tuple(effect.name for effect in shown if _improves(effect.difference.value, factorial)),
        worse=tuple(effect.name for effect in shown if not _improves(effect.difference.value, factorial)),
        left_open=tuple(effect.name for effect in rest),
    )


def _count(factorial: Factorial) -> str:
    return "four" if len(factorial.means) == 4 else "eight"


def _shown(effect: Effect) -> bool:
    p = effect.difference.p_holm
    return p is not None and p < ALPHA


def _claim(effect: Effect, factorial: Factorial) -> str:
    difference = effect.difference
    text = f"{difference_text(difference, factorial.metric.decimals)}, p {p_text(difference.p_holm or 0.0)}"
    more = "more" if _improves(difference.value, factorial) else "less"
    if effect.name == "interaction":
        return f"that the terms together are worth {more} than the sum of both alone ({text})"
    if len(effect.factors) == 2:
        return f"that {' and '.join(effect.factors)} together are worth {more} than the sum of both ({text})"
    if len(effect.factors) > 2:
        return f"that the interaction of two of {', '.join(effect.factors)} depends on the third ({text})"
    return f"that {effect.name} {'helps' if _improves(difference.value, factorial) else 'harms'} ({text})"


def _improves(value: float, factorial: Factorial) -> bool:
    return (value < 0) == factorial.metric.smaller_is_better


def _open(effect: Effect, factorial: Factorial) -> str:
    what = "the interaction" if effect.name == "interaction" else effect.name
    return f"{what} {difference_text(effect.difference, factorial.metric.decimals)}"


def _caveats(factorial: Factorial, shown: list[Effect]) -> Iterator[str]:
    names = {effect.name for effect in shown}
    means = {terms: mean or 0.0 for terms, (mean, _) in factorial.means.items()}
    decimals = factorial.metric.decimals
    if len(factorial.factors) > 2:
        if names:
            yield " An effect is the average over the factors that it does not name, in and out."
    elif "interaction" in names:
        alone, beside = means[INTRA] - means[NEITHER], means[BOTH] - means[INTER]
        yield (
            f" As they interact, a main effect is an average of two things: intra is worth {alone:+.{decimals}f} alone "
            f"and {beside:+.{decimals}f} beside inter."
        )
    elif names:
        yield " A main effect is the average over the other term, in and out; an interaction is not excluded."
