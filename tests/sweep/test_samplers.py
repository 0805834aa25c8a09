"""How a search chooses its points, and when it gives one up."""

import itertools
import math
import os
import pickle
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from omegaconf import OmegaConf
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.pruners import BasePruner, MedianPruner, NopPruner, WilcoxonPruner
from optuna.storages.journal import JournalFileBackend
from optuna.storages.journal._base import BaseJournalSnapshot
from optuna.trial import TrialState

from tests.support import CONF
from tests.sweep.fakes import config, search
from tffd.schema import SweepSection
from tffd.sweep.optuna_private import ReplayedCmaEs
from tffd.sweep.plan import SearchPlan, StudyPlan
from tffd.sweep.rules import require_fit
from tffd.sweep.samplers import EvenGrid, auto_pruner, make_pruner, make_sampler
from tffd.sweep.studies.attributes import Claim
from tffd.sweep.studies.lease import Lease
from tffd.sweep.studies.storage import open_storage
from tffd.sweep.studies.study import ResumableStudy

TWO: dict[str, BaseDistribution] = {
    "lambda_intra": FloatDistribution(1e-5, 0.1, log=True),
    "lambda_inter": FloatDistribution(1e-5, 0.1, log=True),
}

SAMPLERS = {
    "tpe": optuna.samplers.TPESampler,
    "gp": optuna.samplers.GPSampler,
    "cmaes": ReplayedCmaEs,
    "qmc": optuna.samplers.QMCSampler,
    "random": optuna.samplers.RandomSampler,
    "grid": EvenGrid,
}

PRUNERS = {
    "auto": NopPruner,
    "halving": optuna.pruners.SuccessiveHalvingPruner,
    "hyperband": optuna.pruners.HyperbandPruner,
    "median": MedianPruner,
    "none": NopPruner,
    "percentile": optuna.pruners.PercentilePruner,
    "wilcoxon": WilcoxonPruner,
}


def read(group: str, name: str, **sweep: Any) -> dict[str, Any]:
    """One option of conf/sweep, in a config that has what it refers to."""
    component = OmegaConf.load(CONF / "sweep" / group / f"{name}.yaml")
    settings = {"seeds": None, "objective": "val_top1", **sweep, group: component}
    whole = OmegaConf.create({"sweep": settings, "trainer": {"epochs": 30}})
    content: dict[str, Any] = OmegaConf.to_container(whole.sweep[group], resolve=True)  # type: ignore[assignment]
    return content


def sweep_with(sampler: str, **others: Any) -> SweepSection:
    return config(sampler=read("sampler", sampler), **others).sweep


def test_every_option_is_known_here() -> None:
    assert {path.stem for path in (CONF / "sweep" / "sampler").glob("*.yaml")} == set(SAMPLERS)
    assert {path.stem for path in (CONF / "sweep" / "pruner").glob("*.yaml")} == set(PRUNERS)


@pytest.mark.parametrize("name", SAMPLERS)
def test_every_sampler_builds(name: str) -> None:
    assert type(make_sampler(sweep_with(name))) is SAMPLERS[name]


@pytest.mark.parametrize("name", PRUNERS)
def test_every_pruner_builds(name: str) -> None:
    assert type(make_pruner(config(pruner=read("pruner", name)).sweep)) is PRUNERS[name]


def pruner_of(name: str, seeds: int = 0, **others: Any) -> BasePruner:
    numbers = list(range(seeds)) or None
    return make_pruner(config(pruner=read("pruner", name, seeds=numbers, **others), seeds=numbers).sweep)


def test_without_a_sampler_or_pruner_there_are_defaults() -> None:
    sweep = config(sampler=None, pruner=None).sweep
    assert type(make_sampler(sweep)) is optuna.samplers.TPESampler
    assert type(make_pruner(sweep)) is NopPruner


def first_point(sweep: SweepSection, number: int) -> dict[str, Any]:
    """The point of a study's first trial, from the sampler of some trial."""
    study = optuna.create_study(sampler=make_sampler(sweep, number))
    return study.ask(dict(TWO)).params


@pytest.mark.parametrize("name", ["tpe", "gp", "cmaes", "random"])
def test_the_seed_moves_on_with_the_trials_number(name: str) -> None:
    sweep = sweep_with(name)
    points = [str(first_point(sweep, number)) for number in range(4)]
    assert len(set(points)) == 4
    assert points == [str(first_point(sweep, number)) for number in range(4)]
    moved = config(sampler={**read("sampler", name), "seed": 2}).sweep
    assert [str(first_point(moved, number)) for number in (0, 1)] == points[2:]


def test_the_seed_of_qmc_stays_because_it_scrambles_all_points_alike() -> None:
    sweep = sweep_with("qmc")
    assert [make_sampler(sweep, number)._seed for number in (0, 1, 7)] == [0, 0, 0]  # type: ignore[attr-defined]


def test_a_seed_of_null_differs_every_time() -> None:
    sweep = config(sampler={"_target_": "optuna.samplers.RandomSampler", "seed": None}).sweep
    assert first_point(sweep, 0) != first_point(sweep, 0)


def test_a_seed_that_is_no_number_is_refused() -> None:
    sweep = config(sampler={"_target_": "optuna.samplers.RandomSampler", "seed": "x"}).sweep
    with pytest.raises(ValueError, match="sweep.sampler.seed=x: needs a whole number"):
        make_sampler(sweep)


@pytest.mark.parametrize("seed", [-1, 2**32 - 3, 10**20])
def test_a_seed_that_a_later_trial_could_not_add_its_number_to_is_refused(seed: int) -> None:
    sampler = {"_target_": "optuna.samplers.RandomSampler", "seed": seed}
    with pytest.raises(ValueError, match=f"sweep.sampler.seed={seed}: needs a whole number from 0 to 4294967292"):
        make_sampler(config(sampler=sampler, n_trials=3).sweep)
    make_sampler(config(sampler=sampler | {"seed": 2**32 - 4}, n_trials=3).sweep, number=2)


def value_at(claim: Claim) -> float:
    """A landscape with its top at (1e-3, 1e-2)."""
    intra, inter = (math.log10(float(str(claim.values[key]))) for key in TWO)
    return -((intra + 3) ** 2) - (inter + 2) ** 2


class Command:
    """A command that searches, with everything opened anew."""

    def __init__(self, directory: Path, plan: StudyPlan, sampler: str) -> None:
        directory.mkdir(exist_ok=True)
        settings = config(sampler=read("sampler", sampler))
        self.study = ResumableStudy(plan, settings, open_storage("journal", directory))
        self.lease = Lease(directory, [self.study.optuna], timeout=60)

    def claim(self) -> Claim:
        claim = self.study.claim(self.lease)
        assert claim is not None
        return claim

    def run(self, trials: int, value: Callable[[Claim], float] = value_at) -> list[tuple[int, dict[str, Any]]]:
        points = []
        with self.lease:
            for _ in range(trials):
                claim = self.claim()
                points.append((claim.number, dict(claim.values)))
                self.study.succeed(claim.trial, [value(claim)])
        return points

    def leave(self) -> None:
        """Take a trial and die."""
        with self.lease:
            self.claim()


# Past the startup trials of each, ten for TPE: its models, not only its first draws, have to be the same.
LENGTHS = {"tpe": 13, "gp": 11, "cmaes": 9, "qmc": 8, "random": 6}


@pytest.mark.parametrize("name", LENGTHS)
def test_an_interrupted_search_asks_for_the_points_of_one_that_was_not(tmp_path: Path, name: str) -> None:
    length = LENGTHS[name]
    plan = search(length, 8e-4, space=TWO)
    whole = Command(tmp_path / "whole", plan, name).run(length)
    assert [number for number, _ in whole] == list(range(length))
    assert whole[0][1]["lambda_intra"] == 8e-4
    cut = tmp_path / "cut"
    parts = [length // 2, length - length // 2 - 2, 2]
    points = [point for part in parts for point in Command(cut, plan, name).run(part)]
    assert points == whole


@pytest.mark.parametrize("name", LENGTHS)
def test_trials_that_a_killed_command_left_change_no_point(tmp_path: Path, name: str) -> None:
    length = LENGTHS[name]
    plan = search(length, space=TWO)
    whole = Command(tmp_path / "whole", plan, name).run(length)
    points = []
    for part in (2, length - 4, 2):
        points += Command(tmp_path / "cut", plan, name).run(part)
        if len(points) < length:
            Command(tmp_path / "cut", plan, name).leave()
    assert points == whole


def claims_of_two_commands(directory: Path, plan: StudyPlan, sampler: str) -> list[Claim]:
    """Two commands take turns, with two trials at a time each."""
    commands = [Command(directory, plan, sampler) for _ in range(2)]
    claims: list[Claim] = []
    open_claims: list[tuple[Command, Claim]] = []
    with commands[0].lease, commands[1].lease:
        for command, _ in zip(itertools.cycle(commands), range(plan.n_trials), strict=False):
            claim = command.claim()
            claims.append(claim)
            open_claims.append((command, claim))
            if len(open_claims) == 4:
                ended, first = open_claims.pop(0)
                ended.study.succeed(first.trial, [value_at(first)])
        assert [command.study.claim(command.lease) for command in commands] == [None, None]
    return claims


@pytest.mark.parametrize(
    "name",
    [
        "tpe",
        "gp",
        "cmaes",
        "qmc",
        "random",
    ],
)
def test_a_search_whose_trials_fail_does_not_repeat_them(tmp_path: Path, name: str) -> None:
    command = Command(tmp_path, search(4, space=TWO), name)
    points = []
    with command.lease:
        for _ in range(4):
            claim = command.claim()
            points.append(str(claim.values))
            command.study.fail(claim.trial, "TrainingDiverged", final=True)
    assert len(set(points)) == 4


@pytest.mark.parametrize("name", LENGTHS)
def test_two_commands_never_get_the_same_point_or_number(tmp_path: Path, name: str) -> None:
    claims = claims_of_two_commands(tmp_path, search(10, space=TWO), name)
    assert [claim.number for claim in claims] == list(range(10))
    assert len({str(claim.values) for claim in claims}) == 10


class Trap:
    """Makes a directory when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


def test_cmaes_reads_no_pickle_from_a_study_and_leaves_none(tmp_path: Path) -> None:
    plan, trap = search(12, space=TWO), tmp_path / "sprung"
    command = Command(tmp_path / "study", plan, "cmaes")
    points = command.run(10)
    study = command.study.optuna
    planted = pickle.dumps(Trap(trap)).hex()
    claim = command.claim()
    study._storage.set_trial_system_attr(claim.trial._trial_id, "cma:optimizer:0", planted)
    command.study.succeed(claim.trial, [value_at(claim)])
    assert len({str(point) for point in [*points, *Command(tmp_path / "study", plan, "cmaes").run(1)]}) == 11
    assert not trap.exists()
    kept = [key for trial in study.trials for key in trial.system_attrs if "optimizer" in key]
    assert kept == ["cma:optimizer:0"]


def test_cmaes_comes_to_where_optunas_own_has_come(tmp_path: Path) -> None:
    study = optuna.create_study(sampler=optuna.samplers.CmaEsSampler(seed=1))
    study.optimize(lambda trial: (trial.suggest_float("x", -1, 1) - 0.3) ** 2 + trial.suggest_float("y", -1, 1), 40)
    space = study.trials[0].distributions
    ours = ReplayedCmaEs(seed=1)
    ours.sample_relative(study, study.ask()._get_latest_trial(), space)
    theirs = optuna.samplers.CmaEsSampler()._restore_optimizer(study.get_trials(states=(TrialState.COMPLETE,)))
    mine = ours._restore_optimizer(study.get_trials(states=(TrialState.COMPLETE,)))
    assert theirs is not None
    if mine.generation > theirs.generation:  # Optuna tells the last generation when it is asked again
        theirs.tell(
            [
                (np.array([(trial.params[key] + 1) / 2 for key in space]), trial.value)
                for trial in ours._get_solution_trials(study.trials, theirs.generation)[: theirs.population_size]
            ]
        )
    assert mine.generation == theirs.generation > 3
    assert np.allclose(mine._mean, theirs._mean, rtol=1e-12)
    assert np.allclose(mine._C, theirs._C, rtol=1e-12)


@pytest.mark.parametrize(
    "sampler",
    [
        {"_target_": "optuna.samplers.CmaEsSampler", "seed": 0},
        {
            "_target_": "optuna.samplers.QMCSampler",
            "independent_sampler": {"_target_": "optuna.samplers.CmaEsSampler"},
        },
    ],
)
def test_a_sampler_that_unpickles_what_is_in_a_study_is_refused(sampler: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"so runs the code of whoever can write to it; use sweep/sampler=cmaes"):
        make_sampler(config(sampler=sampler).sweep)


def test_no_other_part_of_optuna_that_a_sweep_uses_unpickles() -> None:
    """The journal's snapshots are for Redis, which is no storage here."""
    sources = Path(optuna.__file__).parent.rglob("*.py")
    users = {path.stem for path in sources if "pickle.load" in path.read_text() and "testing" not in path.parts}
    assert users == {"_cmaes", "_storage"}
    assert not issubclass(JournalFileBackend, BaseJournalSnapshot)


def test_the_points_of_qmc_are_those_of_its_sequence(tmp_path: Path) -> None:
    from scipy.stats import qmc

    points = Command(tmp_path, search(5, space=TWO), "qmc").run(5)
    # Optuna draws the first point at random, from which the sampler learns the space.
    drawn = [[(math.log10(value) + 5) / 4 for value in point.values()] for _, point in points[1:]]
    expected = qmc.Sobol(2, seed=0, scramble=True).random(4)
    assert np.allclose(drawn, expected, atol=1e-6)


def test_the_known_points_come_first_whoever_takes_them(tmp_path: Path) -> None:
    plan = search(3, 8e-4, 4e-4)
    commands = [Command(tmp_path, plan, "tpe") for _ in range(2)]
    with commands[0].lease, commands[1].lease:
        claims = [commands[i].claim() for i in (1, 0, 1)]
    assert [claim.values["lambda_intra"] for claim in claims[:2]] == [8e-4, 4e-4]


def test_the_values_of_a_grid_are_spaced_on_their_scale() -> None:
    space: dict[str, BaseDistribution] = {
        "log": FloatDistribution(1e-4, 1e-1, log=True),
        "linear": FloatDistribution(0.0, 0.3),
        "choice": CategoricalDistribution(["a", None, True]),
    }
    points = EvenGrid(4).points_of(space)
    assert len(points) == 4 * 4 * 3
    logs = list(dict.fromkeys(point["log"] for point in points))
    assert logs == pytest.approx([1e-4, 1e-3, 1e-2, 1e-1])
    assert (logs[0], logs[-1]) == (1e-4, 1e-1)
    assert list(dict.fromkeys(point["linear"] for point in points)) == pytest.approx([0.0, 0.1, 0.2, 0.3])
    assert [point["choice"] for point in points[:4]] == ["a", None, True, "a"]
    assert points[3]["linear"] == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("distribution", "points", "values"),
    [
        (IntDistribution(1, 9), 3, [1, 5, 9]),
        (IntDistribution(1, 3), 6, [1, 2, 3]),
        (IntDistribution(1, 100, log=True), 3, [1, 10, 100]),
        (IntDistribution(1, 8, log=True), 4, [1, 2, 4, 8]),
    ],
)
def test_a_grid_of_whole_numbers_has_none_twice(distribution: IntDistribution, points: int, values: list[int]) -> None:
    assert [point["n"] for point in EvenGrid(points).points_of({"n": distribution})] == values


def test_a_grid_of_a_stepped_range_keeps_to_its_steps() -> None:
    values = [point["n"] for point in EvenGrid(3).points_of({"n": IntDistribution(16, 112, step=32)})]
    assert set(values) <= {16, 48, 80, 112}


@pytest.mark.parametrize("points", [1, 0, 2.5])
def test_a_grid_of_less_than_two_points_is_refused(points: Any) -> None:
    with pytest.raises(ValueError, match=f"sweep.sampler.points={points}: a grid needs at least 2 points"):
        EvenGrid(points)


def test_a_grid_search_tries_every_point_once(tmp_path: Path) -> None:
    sampler = EvenGrid(2)
    known = sampler.points_of(TWO)
    plan = SearchPlan("search", tuple(TWO), 4, space=dict(TWO), known_points=known)
    points = [Command(tmp_path, plan, "grid").run(2) for _ in range(2)]
    assert [list(point.values()) for part in points for _, point in part] == [
        [1e-5, 1e-5], [1e-5, 0.1], [0.1, 1e-5], [0.1, 0.1]
    ]  # fmt: skip


@pytest.mark.parametrize(("seeds", "threshold"), [(3, 1.01 * 0.25), (4, 1.01 * 0.125), (5, 0.1), (8, 0.1)])
def test_the_threshold_of_auto_can_be_reached_by_all_seeds_but_the_last(seeds: int, threshold: float) -> None:
    pruner = pruner_of("auto", seeds)
    assert isinstance(pruner, WilcoxonPruner)
    assert pruner._p_threshold == pytest.approx(threshold)


def test_auto_prunes_nothing_without_seeds_or_with_several_objectives() -> None:
    assert isinstance(auto_pruner(None, "val_top1"), NopPruner)
    assert isinstance(auto_pruner([1, 2], "val_top1"), NopPruner)  # one seed of two tells nothing
    assert isinstance(auto_pruner([1, 2, 3], ["val_top1", "train_seconds"]), NopPruner)


def verdicts(pruner: BasePruner, best: Sequence[float], values: Sequence[float]) -> list[bool]:
    """What becomes of a trial after each of its seeds but the last, beside the best trial."""
    study = optuna.create_study(direction="maximize", pruner=pruner)
    first = study.ask()
    for step, value in enumerate(best, start=1):
        first.report(value, step)
    study.tell(first, sum(best) / len(best))
    trial = study.ask()
    found = []
    for step, value in enumerate(values[:-1], start=1):
        trial.report(value, step)
        found.append(trial.should_prune())
    return found


BEST = (80.0, 81.0, 79.0, 82.0, 80.5, 81.5, 79.5, 80.2)


@pytest.mark.parametrize(
    ("seeds", "given_up_after"),
    [
        (3, 2),
        (5, 4),
        (8, 4),
    ],
)
def test_a_trial_that_is_behind_on_its_first_seeds_is_given_up(seeds: int, given_up_after: int) -> None:
    pruner = pruner_of("auto", seeds)
    found = verdicts(pruner, BEST[:seeds], [value - 5 - i / 10 for i, value in enumerate(BEST[:seeds])])
    assert found.index(True) + 1 == given_up_after


@pytest.mark.parametrize("seeds", [2, 3, 5, 8])
def test_a_trial_that_is_ahead_or_level_is_not(seeds: int) -> None:
    pruner = pruner_of("auto", seeds)
    ahead = [value + 1 for value in BEST[:seeds]]
    mixed = [value + (-1) ** i * (1 + i / 10) for i, value in enumerate(BEST[:seeds])]
    for values in (ahead, mixed, list(BEST[:seeds])):
        assert verdicts(pruner, BEST[:seeds], values) == [False] * (seeds - 1)


NUMBERS = {"x": FloatDistribution(0.0, 1.0)}
CHOICES = {**NUMBERS, "kd_mode": CategoricalDistribution(["intra", "tfd"])}
WHEN = {"x": {"kd_mode": ["tfd"]}}
BOTH = {"objective": ["val_top1", "train_seconds"], "direction": ["maximize", "minimize"]}


@pytest.mark.parametrize(
    ("sampler", "pruner", "space", "when", "sweep", "message"),
    [
        ("cmaes", "none", CHOICES, {}, {}, "sweep/sampler=cmaes: is for numbers, and kd_mode is a choice"),
        ("cmaes", "none", NUMBERS, {}, BOTH, "sweep/sampler=cmaes: takes one objective"),
        ("gp", "none", CHOICES, WHEN, {}, "sweep.when: conditional dimensions need sweep/sampler=tpe or random"),
        ("qmc", "none", CHOICES, WHEN, {}, "sweep.when: conditional dimensions need sweep/sampler=tpe or random"),
        ("grid", "none", CHOICES, WHEN, {}, "sweep.when: conditional dimensions need sweep/sampler=tpe or random"),
        ("tpe", "median", NUMBERS, {}, BOTH, "sweep/pruner: with several objectives no trial is the worse one early"),
        ("tpe", "wilcoxon", NUMBERS, {}, {}, "sweep/pruner=wilcoxon: compares trials seed by seed; set sweep.seeds"),
        ("tpe", "median", NUMBERS, {}, {"seeds": [1, 2]}, "sweep.seeds: trials of several seeds are pruned between"),
    ],
)
def test_what_does_not_go_together_is_refused(
    sampler: str,
    pruner: str,
    space: dict[str, BaseDistribution],
    when: dict[str, dict[str, list[str]]],
    sweep: dict[str, Any],
    message: str,
) -> None:
    section = sweep_with(sampler, **sweep)
    with pytest.raises(ValueError) as caught:
        require_fit(section, make_sampler(section), pruner_of(pruner), space, when)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("sampler", "pruner", "space", "when", "sweep"),
    [
        ("cmaes", "median", NUMBERS, {}, {}),
        ("tpe", "none", CHOICES, WHEN, BOTH),
        ("random", "median", CHOICES, WHEN, {}),
        ("gp", "wilcoxon", CHOICES, {}, {"seeds": [1, 2]}),
    ],
)
def test_what_goes_together_is_accepted(
    sampler: str,
    pruner: str,
    space: dict[str, BaseDistribution],
    when: dict[str, dict[str, list[str]]],
    sweep: dict[str, Any],
) -> None:
    section = sweep_with(sampler, **sweep)
    require_fit(section, make_sampler(section), pruner_of(pruner), space, when)
