"""The commands that train the winner of a search again, on seeds that had no part in its choice."""

import os
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count

from analysis.read.command_lines import Origin, assign, command_line, read_origin, shown_path
from analysis.read.configs import read_config
from analysis.read.faults import Unreadable
from analysis.read.gather import Gathered, gather
from analysis.read.method import as_choice
from analysis.read.overrides import as_pairs, grid_command, kept_overrides, key_of, read_overrides, single_command
from analysis.read.plans import Sweep
from analysis.read.programs import analysis_words
from analysis.read.results import Run
from analysis.select.searches import BASELINE, STUDY

PROTOCOL = "final"


@dataclass(frozen=True)
class Retraining:
    """How a trial is trained again.

    Attributes:
        used: Every seed that a run below the directory has, or will have.
        seeds: The smallest consecutive ones above those.
        directory: Where the runs will lie.
        train: Commands, one after the other.
        tabulate: The command that shows what came of it.
        has_baseline: Whether a baseline is trained on the same seeds.
    """

    used: tuple[int, ...]
    seeds: tuple[int, ...]
    directory: str
    train: tuple[str, ...]
    tabulate: str
    has_baseline: bool


def plan_retraining(
    gathered: Gathered, plan: Sweep | None, run: Run, searched: Iterable[str], seeds: int
) -> Retraining:
    """Write the commands for one run's settings.

    Args:
        gathered: All runs; none of their seeds is fresh.
        plan: Of the run's sweep.
        run: The one to train again.
        searched: The keys that the search chose values for.
        seeds: How many.
    Raises:
        ValueError: If `seeds` is below 1.
    """
    if seeds < 1:
        raise ValueError(f"--seeds {seeds}: training needs at least 1 seed, and 2 for a spread.")
    used = sorted(used_seeds(gathered))
    fresh = tuple(range(used[-1] + 1, used[-1] + 1 + seeds) if used else range(seeds))
    words = read_overrides(run.path)
    chosen = [word for word in words if key_of(word) in {*searched} and key_of(word) != "kd_mode"]
    fixed = words if plan is None or plan.fixed is None else plan.fixed
    replaced = {"name", "protocol", "kd_mode", "seed", *map(key_of, chosen)}
    kept = [word for word in kept_overrides(fixed, replaced) if not key_of(word).startswith("protocol.")]
    mode = str(as_pairs(words).get("kd_mode", as_choice(run.kd_mode or "none")))
    origin = plan.origin if plan and plan.origin.cwd else read_origin(run.path)
    results, name = _place(run, plan, origin)
    if origin.cwd is not None:  # else nothing says that the directory has moved
        kept = [word for word in kept if key_of(word) != "results_dir"]
        kept += [assign("results_dir", results)] if results != "results" else []
    for number in count(1):
        final = f"{name}-final" if number == 1 else f"{name}-final{number}"
        directory = os.path.join(results, final)
        train = _commands(directory, kept, chosen, mode, baselines_of(plan), fresh, _launcher(plan), origin)
        if not os.path.exists(directory) or _is_begun(directory, train):
            break
    tabulate = command_line([*analysis_words(), "table", directory])
    return Retraining(tuple(used), fresh, directory, train, tabulate, bool(baselines_of(plan)))


def used_seeds(gathered: Gathered) -> set[int]:
    """The seeds of all runs below a directory, ended or not, and those that are planned."""
    runs = gathered.flat
    found = {run.seed for run in runs if run.seed is not None}
    texts = [as_pairs(read_overrides(run.path)).get("seed", "") for run in runs if run.seed is None]
    for plan in gathered.plan:
        found |= set(plan.seeds or ())
        texts += [cell.get("seed", "") for study in plan.studies for cell in study.cells]
    return found | {int(text) for text in texts if text.lstrip("-").isdecimal()}


def baselines_of(plan: Sweep | None) -> list[dict[str, str]]:
    """The settings of a search's baseline, the seed apart."""
    cells = [cell for study in plan.studies if study.name == BASELINE for cell in study.cells] if plan else []
    settings = ({key: value for key, value in cell.items() if key != "seed"} for cell in cells)
    return [dict(pairs) for pairs in dict.fromkeys(tuple(setting.items()) for setting in settings)]


def _place(run: Run, plan: Sweep | None, origin: Origin) -> tuple[str, str]:
    """The directory that holds the run's sweep now, and the name that it has there."""
    if origin.cwd is not None:
        sweep = plan.path if plan else os.path.abspath(run.path).rpartition(f"{os.sep}{STUDY}{os.sep}")[0]
        parent, name = os.path.split(os.path.abspath(sweep))
        return shown_path(parent, origin), name
    try:
        results = read_config(run.path).get("results_dir")
    except (OSError, Unreadable):
        results = None
    name = (plan.name if plan else None) or run.name or "search"
    return os.path.normpath(str(results or "results")), name


def _launcher(plan: Sweep | None) -> list[str]:
    """What sent the trials to a cluster, and sends the runs there too."""
    words = shlex.split(plan.command) if plan and plan.command else []
    return [word for word in words if key_of(word).startswith(("hydra/launcher", "hydra.launcher"))]


def _commands(
    directory: str,
    kept: Sequence[str],
    chosen: Sequence[str],
    mode: str,
    baselines: Sequence[Mapping[str, str]],
    seeds: Sequence[int],
    launcher: Sequence[str],
    origin: Origin,
) -> tuple[str, ...]:
    """One grid with the baseline's kd_mode as a value; a grid each where one would refuse the other's settings."""
    name = os.path.basename(directory)

    def command(place: Sequence[str], modes: Iterable[str], kept: Iterable[str], own: Iterable[str]) -> str:
        modes = list(dict.fromkeys(modes))
        varied = (f"kd_mode={','.join(modes)}", *own, f"seed={','.join(map(str, seeds))}")
        overrides = (*place, f"protocol={PROTOCOL}", *kept, *varied)
        several = len(modes) > 1 or len(seeds) > 1
        return grid_command(overrides, launcher, origin) if several else single_command(overrides, origin)

    of_mode = [word for word in (*kept, *chosen) if key_of(word).startswith("kd_mode.")]
    if not baselines or (not of_mode and all(baseline.keys() <= {"kd_mode"} for baseline in baselines)):
        modes = [*(baseline.get("kd_mode", mode) for baseline in baselines), mode]
        return (command([f"name={name}"], modes, kept, chosen),)
    kept = [word for word in kept if key_of(word) != "results_dir"]
    commands = [command(["name=best", assign("results_dir", directory)], [mode], kept, chosen)]
    for number, baseline in enumerate(baselines, start=1):
        own = [f"{key}={value}" for key, value in baseline.items() if key != "kd_mode"]
        others = [word for word in kept if word not in of_mode and key_of(word) not in baseline]
        place = f"name=baseline{number if len(baselines) > 1 else ''}"
        commands.append(
            command([place, assign("results_dir", directory)], [baseline.get("kd_mode", mode)], others, own)
        )
    return tuple(commands)


def _is_begun(directory: str, train: Sequence[str]) -> bool:
    """Whether what lies in a directory was begun by these very commands, which go on with it; seeds may be added."""
    began = [plan.command for plan in gather(directory).plan if plan.command]
    wanted = [_without_seeds(command) for command in train]
    return bool(began) and all(_without_seeds(command) in wanted for command in began)


def _without_seeds(command: str) -> set[str]:
    return {word for word in kept_overrides(shlex.split(command), {"seed"}) if "=" in word}
