"""What was run, and with what."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from analysis.means.cost import cost_of, hours
from analysis.read.plans import Study, Sweep
from analysis.read.results import Run
from analysis.select.conditions import conditions_of, stated
from analysis.sheets.words import count


@dataclass(frozen=True)
class Fact:
    """A term and what there is to say about it, a line each; `code` if it can be typed."""

    term: str
    texts: tuple[str, ...]
    code: bool = False


def sweep_facts(sweep: Sweep) -> tuple[Fact, ...]:
    """What a sweep planned."""
    directions = {"maximize": ", maximised", "minimize": ", minimised"}
    objectives = (f"{name}{directions.get(way or '', '')}" for name, way in sweep.directions.items())
    cells = [cell for study in sweep.studies for cell in study.cells]
    keys = dict.fromkeys(key for cell in cells for key in cell)
    grid = (f"{key}={','.join(dict.fromkeys(cell[key] for cell in cells if key in cell))}" for key in keys)
    found = (
        Fact("command", (sweep.command,) if sweep.command else (), code=True),
        Fact("objective", tuple(objectives)),
        Fact("planned", tuple(_planned(study, sweep) for study in sweep.studies)),
        Fact("searched", tuple(f"{key}={text}" for key, text in sweep.space.items()), code=True),
        Fact("grid", tuple(grid), code=True),
        Fact("fixed", sweep.fixed or (), code=True),
    )
    return tuple(fact for fact in found if fact.texts)


def _planned(study: Study, sweep: Sweep) -> str:
    name = "" if study.name == study.kind else f"{study.name}: "
    if study.kind == "grid":
        return f"{name}a grid of {count(study.n_trials, 'run')}"
    seeds = f", each with seeds {', '.join(map(str, sweep.seeds))}" if sweep.seeds else ""
    return f"{name}a search of {count(study.n_trials, 'trial')}{seeds}"


def run_facts(runs: Sequence[Run]) -> tuple[Fact, ...]:
    """Under which conditions the runs took place, when, and what they cost."""
    ended = [run for run in runs if run.finished]
    conditions = (Fact(name, (values,)) for name, values in stated(conditions_of(ended)))
    return (*conditions, *_time(ended))


def _time(ended: Sequence[Run]) -> Iterator[Fact]:
    begun = [run.started for run in ended if run.started]
    over = [run.finished for run in ended if run.finished]
    if begun and over:
        yield Fact("time", (f"{_plain(min(begun))} to {_plain(max(over))}",))
    if texts := hours(cost_of(ended)):
        yield Fact("cost", (" and ".join(texts),))


def _plain(time: str) -> str:
    return time.replace("T", " ").removesuffix("+00:00") + (" UTC" if time.endswith("+00:00") else "")
