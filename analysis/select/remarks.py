"""What a reader of differences has to know: how they were made, if there are seeds enough, and what else differs."""

from collections.abc import Iterable, Iterator, Sequence

from analysis.sheets.notes import Kind, Level, Note, naming
from analysis.sheets.words import count
from analysis.statistics.differences import Difference
from analysis.statistics.paired import ALPHA, EXACT_UP_TO, holm, smallest_p


def comparison_notes(differences: Sequence[Difference]) -> Iterator[Note]:
    """How differences, intervals and p-values were made, and whether there are enough seeds for them."""
    methods = {difference.method for difference in differences}
    if methods & {"t", "exact", "bootstrap"}:
        intervals = f"95 % interval of each, uncorrected, {_how(methods)}"
        yield Note(Kind.PAIRED, f"paired seeds: mean difference over the seeds that both have; {intervals}")
    if tested := [difference for difference in differences if difference.p is not None]:
        tests = {"bootstrap" if difference.method == "bootstrap" else "exact" for difference in tested}
        how = {"exact": "exact paired permutation test", "bootstrap": "bootstrap of t, 9999 resamples, seed 0"}
        names = " or, from 13 pairs on, ".join(how[test] for test in ("exact", "bootstrap") if test in tests)
        correction = f"corrected (Holm) for {len(tested)} comparisons" if len(tested) > 1 else "one comparison"
        yield Note(Kind.P_VALUES, f"p: two-sided, {names}; {correction}")
    yield from _too_few(tested)
    yield from untested(differences)
    if "welch" in methods:
        text = "means (Welch): difference of the means, fewer than 2 shared seeds; Welch's t interval, no p-value"
        yield Note(Kind.WELCH, text)
    if "means" in methods:
        text = "means: difference of the means; a single run on one side allows no interval and no p-value"
        yield Note(Kind.MEANS, text)


def confounding_notes(named_differences: Iterable[tuple[str, Difference]], flag: str = "--mix") -> Iterator[Note]:
    """Name what differs besides what is compared, and whether it was compared all the same."""
    held_back: list[str] = []
    tested: list[str] = []
    for name, difference in named_differences:
        if difference.differs:
            lines = held_back if difference.is_confounded else tested
            lines.append(f"{name} ({', '.join(difference.differs)})")
    lead = f"neither interval nor p, as more differs than what is compared ({flag} tests it all the same): "
    yield from naming(Kind.CONFOUNDED, lead, held_back, Level.CAUTION)
    lead = "tested as was asked for, though more differs than what is compared: "
    yield from naming(Kind.MIXED, lead, tested, Level.CAUTION)


def _how(methods: set[str]) -> str:
    how = {
        "t": "by paired t, which takes the differences to be normal (exact intervals need 6 pairs)",
        "exact": "exact, by inverting the permutation test",
        "bootstrap": "by bootstrap of t",
    }
    return "; ".join(text for method, text in how.items() if method in methods)


def _too_few(tested: Sequence[Difference]) -> Iterator[Note]:
    """Warn where no p-value can be below 0.05, whatever the differences."""
    possible = holm([smallest_p(difference.pairs) for difference in tested])
    hopeless = [(d.pairs, least) for d, least in zip(tested, possible, strict=True) if least >= ALPHA]
    if not hopeless:
        return
    enough = (pairs for pairs in range(2, EXACT_UP_TO + 2) if len(tested) * smallest_p(pairs) < ALPHA)
    advice = "; ".join(f"{needed} shared seeds would do" for needed in list(enough)[:1])
    pairs = ", ".join(str(number) for number in sorted({number for number, _ in hopeless}))
    if len(hopeless) == len(tested):
        comparisons = f" and {len(tested)} comparisons" if len(tested) > 1 else ""
        least = min(p for _, p in hopeless)
        problem = f"With {pairs} pairs{comparisons} no p below {least:.3g} is possible, so nothing can be told apart"
    else:
        problem = f"In {len(hopeless)} of {len(tested)} comparisons ({pairs} pairs) no p below 0.05 is possible"
    text = f"too few seeds. {problem}" + (f"; {advice}" if advice else "")
    yield Note(Kind.FEW_SEEDS, text, Level.WARNING)


def untested(differences: Sequence[Difference]) -> Iterator[Note]:
    """Warn of what no test can tell apart."""
    if without := sum(difference.p is None and not difference.is_confounded for difference in differences):
        have = "has" if len(differences) == 1 else "have"
        of_all = f"{without} of {count(len(differences), 'comparison')} {have} fewer than 2 shared seeds"
        yield Note(Kind.UNTESTED, f"too few seeds. {of_all}, so no p tells them apart", Level.WARNING)
