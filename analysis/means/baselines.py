"""Which row of a table each row is compared to, and which rows compete."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from analysis.read.gather import Gathered
from analysis.read.results import Run
from analysis.select.groups import Baseline, Key, context_of, find_baselines
from analysis.select.searches import search_of, searched_settings


@dataclass(frozen=True)
class Matching:
    """Rows and their baselines.

    Attributes:
        baselines: Key of the baseline of each row that has one; a baseline is its own.
        blocks: What rows have in common that compete: those of one baseline, or of the same settings.
        searched: What a search varied in a row besides the method, () where no search chose it.
        compared: Columns in which every row may differ from its baseline.
    """

    baselines: Mapping[Key, Key]
    blocks: Mapping[Key, Key]
    searched: Mapping[Key, tuple[str, ...]]
    compared: tuple[str, ...]

    def compared_in(self, *keys: Key) -> tuple[str, ...]:
        """Columns in which rows may differ: what is compared, and what searches varied in them."""
        return tuple(
            dict.fromkeys((*self.compared, *(column for key in keys for column in self.searched.get(key, ()))))
        )


def match_baselines(
    gathered: Gathered, groups: Mapping[Key, Sequence[Run]], by: Sequence[str], baseline: Baseline
) -> Matching:
    """Find the baseline of each row: it agrees in all but what is compared.

    What a search varied is compared too: its trials may be far from every baseline in it, as in a rate.

    Raises:
        ValueError: If the baseline was asked for and is not there, or if it is several rows.
    """
    strictly = find_baselines(groups, by, baseline)
    context = context_of(by, baseline.compared)
    searched = _searched(gathered, groups)
    baselines: dict[Key, Key] = {}
    blocks: dict[Key, Key] = {}
    for key in groups:
        own = context(key)
        found = strictly.get(own)
        if keys := searched.get(key):
            loosely = context_of(by, (*baseline.compared, *keys))
            own = (*keys, *loosely(key))
            near = [other for other in strictly.values() if loosely(other) == loosely(key)]
            found = found or (near[0] if len(near) == 1 else None)
        if found is not None:
            baselines[key] = found
        blocks[key] = own if found is None else context(found)
    return Matching(baselines, blocks, searched, baseline.compared)


def _searched(gathered: Gathered, groups: Mapping[Key, Sequence[Run]]) -> dict[Key, tuple[str, ...]]:
    spaces = searched_settings(gathered)
    if not spaces:
        return {}
    found = {}
    for key, runs in groups.items():
        searches = {search_of(run.path) for run in runs}
        if len(searches) == 1 and (keys := spaces.get(searches.pop() or "")):
            found[key] = keys
    return found
