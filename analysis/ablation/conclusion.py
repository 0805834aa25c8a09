"""What the data of an ablation support, in plain sentences."""

from collections.abc import Iterator

from analysis.ablation.factorial import Effect, Factorial
from analysis.sheets.numbers import difference_text, p_text
from analysis.statistics.contrasts import BOTH, INTER, INTRA, NEITHER
from analysis.statistics.paired import ALPHA, holm, smallest_p


def conclude(factorial: Factorial) -> str:
    """Say which effects the data support, and what else they leave open; p-values decide, corrected for all."""
    seeds = len(factorial.seeds)
    if not factorial.effects:
        return (
            f"One seed has all {_count(factorial)} cells, which says nothing about the spread: no effect can be judged."
        )
    if differs := [effect.difference.differs for effect in factorial.effects if effect.difference.is_confounded]:
        cells = f"The {_count(factorial)} cells"
        return f"{cells} differ in more than the terms, so no effect can be judged: {', '.join(differs[0])}."
    shown = [effect for effect in factorial.effects if _shown(effect)]
    if min(holm([smallest_p(seeds)] * len(factorial.effects))) >= ALPHA:
        enough = next(n for n in range(2, 64) if len(factorial.effects) * smallest_p(n) < ALPHA)
        opening = (
            f"With {seeds} seeds no effect can be told from none (p < 0.05), however large; {enough} seeds allow it."
        )
    elif not shown:
        what = "either term" if len(factorial.factors) == 2 else f"any of {', '.join(factorial.factors)}"
        opening = f"The data of {seeds} seeds support no effect of {what}, and no interaction."
    else:
        opening = (
            f"The data of {seeds} seeds support " + ", and ".join(_claim(effect, factorial) for effect in shown) + "."
        )
    rest = [_open(effect, factorial) for effect in factorial.effects if effect not in shown]
    left_open = f" Left open: {'; '.join(rest)}." if rest else ""
    return opening + left_open + "".join(_caveats(factorial, shown))


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
