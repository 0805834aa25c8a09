"""A sweep that is cut off at any of its writes, and started again, ends as if nothing had happened."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import optuna
import pytest
from optuna.trial import TrialState

from tests.sweep.fakes import MEDIAN, WILCOXON, Act, config, good, grid, name_of, open_sweep, search
from tffd import records
from tffd.files import replacing
from tffd.records import FAILED, read_result
from tffd.schema import Config
from tffd.sweep import scheduler as scheduler_module
from tffd.sweep.plan import GridPlan, StudyPlan
from tffd.sweep.studies.storage import Storage, open_storage
from tffd.sweep.worker import Job

WRITES = (
    "create_new_study", "create_new_trial", "set_trial_param", "set_trial_state_values", "set_trial_user_attr",
    "set_trial_system_attr", "set_trial_intermediate_value", "set_study_user_attr", "set_study_system_attr",
)  # fmt: skip


class PowerOff(BaseException):
    """The machine stops."""


class Machine:
    """Counts everything that is written, and stops at one write, before or after it.

    Args:
        at: The write, counted from 1; 0 for none.
        before: Whether it is lost.
    """

    def __init__(self, at: int, before: bool) -> None:
        self._at, self._before = at, before
        self._counting = threading.RLock()
        self.writes: list[str] = []
        self._off = False

    def wrap(self, storage: optuna.storages.BaseStorage) -> None:
        for name in WRITES:
            setattr(storage, name, self._counted(name, getattr(storage, name)))

    def restart(self) -> None:
        self._off, self._at = False, 0

    def _counted(self, name: str, write: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any, **named: Any) -> Any:
            # The sign of life is written from a thread, now and then, and decides nothing on one machine.
            if name == "set_study_system_attr" and str(arguments[1]).startswith("tffd:beat:"):
                return write(*arguments, **named)
            with self.writing(name):
                return write(*arguments, **named)

        return counted

    @contextmanager
    def writing(self, what: str) -> Iterator[None]:
        with self._counting:
            self.writes.append(what)
            hit = len(self.writes) == self._at
            if self._off or (hit and self._before):
                self._off = True
                raise PowerOff
            yield
            if hit:
                self._off = True
                raise PowerOff

    @contextmanager
    def replacing(self, path: Path) -> Iterator[BinaryIO]:
        with self.writing(path.name), replacing(path) as file:
            yield file


def rising(job: Job, attempt: int) -> Act:
    """The second and fourth trial are behind from their first epoch."""
    return Act([(10.0, 5.0, 11.0, 4.0)[job.number % 4] + epoch / 10 for epoch in range(3)])


def failing_once(job: Job, attempt: int) -> Act:
    """Every run fails when it is started for the first time."""
    before = job.run_dir / "started"
    if before.exists():
        return good(job, attempt)
    job.run_dir.mkdir(parents=True)
    before.touch()
    return Act(end=FAILED)


CASES: dict[str, tuple[StudyPlan, Config, Callable[[Job, int], Act], int]] = {
    "pruned search with known points": (search(4, 8e-4, 4e-4), config(pruner=MEDIAN), rising, 2),
    "search with seeds": (search(2), config(seeds=[1, 2, 3]), good, 1),
    "search with seeds and pruning": (search(3), config(seeds=[1, 2, 3], pruner=WILCOXON), rising, 1),
    "grid": (grid(0, 1, 2), config(), good, 2),
    "grid with failures": (grid(0, 1), config(retries=1), failing_once, 1),
}


Outcome = tuple[str, str, float | None]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(scheduler_module, "_POLL_SECONDS", 0.0)
    monkeypatch.setattr(scheduler_module, "_LOOK_SECONDS", 0.0)
    monkeypatch.setattr("os.fsync", lambda descriptor: None)  # nothing really stops here
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    yield
    optuna.logging.set_verbosity(optuna.logging.INFO)


def run_until_it_ends(
    case: str, directory: Path, machine: Machine, reopen: Callable[[], Storage]
) -> tuple[int, list[Outcome]]:
    """Run a sweep, again and again until the machine stays on; return how often it was started, and what came of it."""
    plan, settings, script, slots = CASES[case]
    trained: list[str] = []

    def watched(job: Job, attempt: int) -> Act:
        trained.append(name_of(job))
        return script(job, attempt)

    for start in (1, 2, 3):
        storage = reopen()
        machine.wrap(storage.optuna)
        try:
            assert open_sweep(directory, plan, settings, watched, slots=slots, storage=storage).run() == 0
        except PowerOff:
            machine.restart()
            continue
        check(case, directory, storage)
        failures = 1 if script is failing_once else 0
        assert all(trained.count(name) <= start + failures for name in trained)
        return start, outcomes(case, storage)
    raise AssertionError("it stopped three times")


def outcomes(case: str, storage: Storage) -> list[Outcome]:
    study = optuna.load_study(study_name=f"lambdas.{CASES[case][0].key}", storage=storage.optuna)
    return [(str(trial.params or trial.user_attrs["cell"]), trial.state.name, trial.value) for trial in study.trials]


def check(case: str, directory: Path, storage: Storage) -> None:
    plan, settings, _, _ = CASES[case]
    trials = optuna.load_study(study_name=f"lambdas.{plan.key}", storage=storage.optuna).trials
    assert [trial.number for trial in trials] == list(range(plan.n_trials))
    assert {trial.state for trial in trials} <= {TrialState.COMPLETE, TrialState.PRUNED}
    seeds: Sequence[int | None] = settings.sweep.seeds or [None]
    for trial in trials:
        place = directory / plan.key / f"{trial.number:04d}"
        found = [read_result(place / f"seed{seed}" if seed is not None else place) for seed in seeds]
        ran = [record for record in found if record is not None]
        if trial.state is TrialState.COMPLETE:
            assert [record["status"] for record in ran] == ["complete"] * len(seeds)
            values = [record["val_top1"] for record in ran]
            assert trial.value == sum(values) / len(values)
        else:
            assert trial.value == ran[-1]["val_top1"]
            assert trial.user_attrs["epochs_run"] == sum(record["epochs_run"] for record in ran)
        if trial.params:
            assert [str(trial.params["lambda_intra"]) in record["config_hash"] for record in ran] == [True] * len(ran)
    if isinstance(plan, GridPlan):
        assert [trial.user_attrs["cell"] for trial in trials] == plan.cells


def stopping(monkeypatch: pytest.MonkeyPatch, at: int, before: bool) -> Machine:
    machine = Machine(at, before)
    monkeypatch.setattr(records, "replacing", machine.replacing)
    return machine


def memory() -> Callable[[], Storage]:
    """A storage that outlives the machine: each of its writes is there as a whole, or not, as in a database."""
    kept = optuna.storages.InMemoryStorage()
    plain = {name: getattr(kept, name) for name in WRITES}

    def reopen() -> Storage:
        for name, method in plain.items():
            setattr(kept, name, method)
        return Storage(kept, threading.RLock())

    return reopen


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
def test_power_off_at_every_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str, before: bool) -> None:
    undisturbed = stopping(monkeypatch, 0, before)
    starts, expected = run_until_it_ends(case, tmp_path / "undisturbed", undisturbed, memory())
    assert starts == 1
    assert ("PRUNED" in {state for _, state, _ in expected}) == ("prun" in case)
    assert len(undisturbed.writes) > 25
    for at in range(1, len(undisturbed.writes) + 1):
        machine = stopping(monkeypatch, at, before)
        starts, ended = run_until_it_ends(case, tmp_path / str(at), machine, memory())
        assert starts == 2
        assert [point for point, _, _ in ended] == [point for point, _, _ in expected]
        # Of epochs, a verdict that was about to be carried out may be lost: the fourth trial then comes to its end.
        unjudged = [(point, "COMPLETE", 4.2) if value == 4.1 else (point, *others, value)
                    for point, *others, value in expected]  # fmt: skip
        assert ended in ([expected, unjudged] if case == "pruned search with known points" else [expected])


@pytest.mark.slow
@pytest.mark.parametrize("address", [None, "journal"])
@pytest.mark.parametrize("case", CASES)
def test_power_off_at_every_write_to_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str, address: str | None
) -> None:
    def opened(directory: Path) -> Callable[[], Storage]:
        return lambda: open_storage(address, directory)

    undisturbed = stopping(monkeypatch, 0, True)
    (tmp_path / "undisturbed").mkdir()
    run_until_it_ends(case, tmp_path / "undisturbed", undisturbed, opened(tmp_path / "undisturbed"))
    for at in range(1, len(undisturbed.writes) + 1):
        machine = stopping(monkeypatch, at, True)
        (tmp_path / str(at)).mkdir()
        run_until_it_ends(case, tmp_path / str(at), machine, opened(tmp_path / str(at)))
