"""The cells of a 2 x 2 or 2 x 2 x 2 ablation, and the effects as contrasts of them, seed by seed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import prod

Terms = tuple[bool, ...]
"""Whether each factor of an ablation is in the loss."""

TERMS = ("intra", "inter")
# Whether intra, and whether inter, is in the loss.
NEITHER, INTRA, INTER, BOTH = (False, False), (True, False), (False, True), (True, True)
_TITLES: Mapping[Terms, str] = {NEITHER: "neither", INTRA: "intra alone", INTER: "inter alone", BOTH: "both"}

_ROUNDING = 1e-12  # of a measured value


@dataclass(frozen=True)
class Contrast:
    """What one factor changes, or how much that depends on others.

    Attributes:
        factors: One for a main effect, several for an interaction.
        name: "intra", or "interaction" where there is but one, or "st x intra".
        values: One a seed.
    """

    factors: tuple[str, ...]
    name: str
    values: tuple[float, ...]


def contrasts_of(
    factors: Sequence[str], values: Mapping[Terms, Mapping[int, float]], seeds: Sequence[int]
) -> list[Contrast]:
    """Take the main effects, then the interactions, of cells that all have these seeds.

    A main effect is the difference that a factor makes, averaged over the cells of the others: of cells n (neither), a
    (intra), e (inter) and b (both), intra = ((a - n) + (b - e)) / 2. An interaction is the difference that another
    factor makes to that: (b - e) - (a - n); of three, the difference that the third makes.

    Args:
        factors: In the order of a cell's terms.
        values: By cell and seed.
        seeds: To use.
    """
    taken = []
    for count in range(1, len(factors) + 1):
        for places in combinations(range(len(factors)), count):
            signs = {terms: prod(1 if terms[place] else -1 for place in places) for terms in values}
            share = 2 ** (len(factors) - count)
            names = tuple(factors[place] for place in places)
            name = "interaction" if count == len(factors) == len(TERMS) else " x ".join(names)
            sums = (_total(*(sign * values[terms][seed] for terms, sign in signs.items())) / share for seed in seeds)
            taken.append(Contrast(names, name, tuple(sums)))
    return taken


def title_of(factors: Sequence[str], terms: Terms) -> str:
    """What is in the loss of a cell, in words."""
    if len(factors) == len(TERMS):
        return _TITLES[terms]
    return " + ".join(factor for factor, is_in in zip(factors, terms, strict=True) if is_in) or "none"


def size_of(factors: Sequence[str]) -> str:
    """In words: 2 x 2, or 2 x 2 x 2."""
    return " x ".join("2" for _ in factors)


def order_of(terms: Terms) -> tuple[bool, ...]:
    """Sort key of cells: neither, intra, inter, both; those without what stands beside them first."""
    *beside, intra, inter = terms
    return (*beside, inter, intra)


def _total(*parts: float) -> float:
    """A sum; 0 where it is what rounding leaves of parts that cancel, which no test should weigh."""
    total = sum(parts)
    return 0.0 if abs(total) <= _ROUNDING * max(map(abs, parts)) else total
