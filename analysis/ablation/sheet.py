"""Lays an ablation out: its cells, and below them the effects with what they support."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Any

from analysis.ablation.conclusion import conclude
from analysis.ablation.factorial import Factorial
from analysis.select.conditions import condition_notes, conditions_text
from analysis.select.remarks import comparison_notes, confounding_notes
from analysis.sheets.notes import Kind, Note, caution
from analysis.sheets.places import difference_place, mean_place, p_place
from analysis.sheets.sheet import Column, Sheet, Text
from analysis.sheets.words import as_text, capital
from analysis.statistics.contrasts import Terms

_TWO = (
    "Effects, seed by seed: a main effect is what a term changes, averaged over the other one in and out; the "
    "interaction is what intra changes beside inter minus what it changes alone."
)
_THREE = (
    "Effects, seed by seed: a main effect is what one factor changes, averaged over the others in and out; an "
    "interaction of two is what the one changes beside the other minus what it changes without it, and one of three is "
    "what the third changes in that."
)


def lay_out_factorial(factorial: Factorial, counts: str) -> list[Sheet]:
    """Two sheets: the cells, and the effects with what the data support.

    Args:
        factorial: The ablation.
        counts: How many runs there are of which status.
    """
    return [_cells(factorial), _effects(factorial, counts)]


def _cells(factorial: Factorial) -> Sheet:
    *beside, _, _ = factorial.factors
    across = list(product((False, True), repeat=len(beside) + 1))  # what stands beside the terms, and inter
    titles = (
        ", ".join(_with(factor, is_in) for factor, is_in in zip((*beside, "inter"), place, strict=True))
        for place in across
    )
    columns = (Column("", head=True), *(Column(title) for title in titles))
    rows = tuple(
        (Text(_with("intra", intra)), *(_mean(factorial, (*place[:-1], intra, place[-1])) for place in across))
        for intra in (False, True)
    )
    what = f"{_context(factorial)}{factorial.metric.label}"
    spread = f"mean ± sample sd, n = {len(factorial.seeds)} in each cell"
    conditions = f"{capital(conditions_text(factorial.conditions))}."
    return Sheet(f"{capital(what)}: {spread}. {conditions}", columns, rows, conditions=conditions)


def _with(factor: str, is_in: bool) -> str:
    return f"with {factor}" if is_in else f"without {factor}"


def _context(factorial: Factorial) -> str:
    return "".join(f"{key} {value}, " for key, value in factorial.context.items())


def _mean(factorial: Factorial, terms: Terms) -> Text:
    return mean_place(*factorial.means[terms], factorial.metric.decimals)


def _effects(factorial: Factorial, counts: str) -> Sheet:
    columns = (Column("effect", head=True), Column("estimate [95 % CI]"), Column("p (Holm)"), Column("by", aside=True))
    rows = tuple(
        (
            Text(effect.name),
            difference_place(effect.difference, factorial.metric.decimals),
            p_place(effect.difference.p_holm),
            Text(str(effect.difference)),
        )
        for effect in factorial.effects
    )
    caption = _TWO if len(factorial.factors) == 2 else _THREE
    notes = (Note(Kind.CONCLUSION, conclude(factorial).text), Note(Kind.COUNTS, counts), *_notes(factorial))
    return Sheet(caption, columns, rows, notes=notes)


def _notes(factorial: Factorial) -> Iterator[Note]:
    yield from comparison_notes([effect.difference for effect in factorial.effects])
    # What differs is the same for all effects.
    cells = f"the {_count(factorial)} cells"
    yield from confounding_notes((cells, effect.difference) for effect in factorial.effects[:1])
    if factorial.other_seeds:
        seeds = ", ".join(map(str, factorial.other_seeds))
        lead = f"not used, as not all {_count(factorial)} cells have a complete run of it"
        yield Note(Kind.UNSHARED_SEEDS, f"{lead}: seed {seeds}")
    for name, values in factorial.weights.items():
        where = "both cells" if len(factorial.factors) == 2 else "all cells"
        text = f"{name} is not the same in {where} that have it ({', '.join(map(as_text, values))})"
        yield caution(Kind.WEIGHTS, text)
    yield from factorial.doubts
    yield from condition_notes(factorial.conditions, tuple(factorial.context))


def _count(factorial: Factorial) -> str:
    return "four" if len(factorial.means) == 4 else "eight"


def factorial_records(factorial: Factorial) -> Iterator[dict[str, Any]]:
    """One flat record a cell and an effect."""
    base = {**factorial.context, "metric": factorial.metric.name}
    names = ("mean", "sd", "n", "ci_low", "ci_high", "p", "p_holm", "compared_by")
    for terms, (mean, sd) in factorial.means.items():
        of_cell = {"mean": mean, "sd": sd, "n": len(factorial.seeds)}
        yield base | {"what": factorial.title(terms)} | dict.fromkeys(names) | of_cell
    for effect in factorial.effects:
        d = effect.difference
        values = (d.value, None, d.pairs, d.low, d.high, d.p, d.p_holm, str(d))
        yield base | {"what": effect.name} | dict(zip(names, values, strict=True))


def factorial_content(factorial: Factorial, notes: Sequence[str]) -> Mapping[str, Any]:
    """Everything about an ablation, for JSON."""
    return {
        "context": factorial.context,
        "metric": factorial.metric.name,
        "conclusion": conclude(factorial).text,
        "kd_modes": {factorial.title(terms): mode for terms, mode in factorial.kd_modes.items()},
        "seeds": factorial.seeds,
        "conditions": factorial.conditions,
        "records": list(factorial_records(factorial)),
        "notes": [*notes, *map(str, _notes(factorial))],
    }
