"""Checks every config that a sweep leads to before anything is written, and pins what it finds."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial

from hydra.errors import HydraException

from tffd.checks import check_reading
from tffd.choices import describe_composition
from tffd.config import Reading, read_config, require_config
from tffd.identity import hash_config
from tffd.instantiation import uses_teacher
from tffd.records import TEACHER
from tffd.refusal import ConfigError
from tffd.schema import Config
from tffd.soundness import Soundness
from tffd.sweep.arguments import Cell, as_overrides
from tffd.sweep.pinned import PinnedData
from tffd.sweep.plan import Compose, GridPlan, Point, SearchPlan, StudyPlan
from tffd.sweep.rules import idle_dimensions
from tffd.sweep.teachers import DROPPED, Teachers


class SweepChecks:
    """Checks the studies of a sweep command.

    Args:
        fixed: Overrides that hold for every trial.
        compose: Composes the config of a trial.
        elsewhere: Whether trials are trained on other machines.
        faults: The faults of the command that were found before.

    Attributes:
        data: What the data sets of all configs are.
    """

    def __init__(self, fixed: list[str], compose: Compose, elsewhere: bool, faults: Iterable[str]) -> None:
        self.data = PinnedData()
        self._fixed, self._compose, self._elsewhere = fixed, compose, elsewhere
        self._shown_at: dict[str, Point | None] = dict.fromkeys(faults)
        self._teachers = Teachers(fixed, compose)
        self._configs: dict[tuple[str, ...], Config] = {}

    def check(self, studies: Sequence[StudyPlan]) -> list[StudyPlan]:
        """Return the studies as they will run: after the training of their teachers, and without what is idle.

        Where there are faults, what is returned is worth nothing.
        """
        checked = [self._check(study) for study in studies]
        if self._teachers.cells and not self._shown_at:
            keys = tuple(dict.fromkeys(key for cell in self._teachers.cells for key in cell))
            first = GridPlan(TEACHER, keys, len(self._teachers.cells), self._teachers.cells, drops=DROPPED)
            checked.insert(0, self._check(first))
        if not self._shown_at:
            for study in checked:
                self._note(idle_dimensions(study, partial(self._config_at, study)))
        return checked

    def faults(self) -> list[str]:
        """All faults, each with the first point where it shows."""
        return [
            text if point is None else f"{text}  [in {' '.join(as_overrides(point))}]"
            for text, point in self._shown_at.items()
        ]

    def _note(self, faults: Iterable[str], point: Point | None = None) -> None:
        for text in faults:
            self._shown_at.setdefault(text, point)

    def _check(self, study: StudyPlan) -> StudyPlan:
        """Check the configs of a study, and give a grid's cells their hashes."""
        points = study.points()
        readings = [(point, reading) for point in points if (reading := self._read(study, point)) is not None]
        soundness = Soundness([reading.config for _, reading in readings])
        checked = [(point, self._check_reading(study, point, reading, soundness)) for point, reading in readings]
        found = [(point, config) for point, config in checked if config is not None]
        if not self._shown_at:
            soundness.keep()
        waits = [self._teachers.waits_for(config, study.overrides(self._fixed, point)) for point, config in found]
        if any(waits):
            study = replace(study, after=TEACHER)
        configs = [config for _, config in found]
        match study:
            case SearchPlan():
                self._note(_test_set_faults(configs))
            case GridPlan() if len(configs) == len(points):
                cells, configs = without_idle_settings(study.cells, configs)
                return replace(study, cells=cells, n_trials=len(cells), identities=list(map(_identify, configs)))
        return study

    def _read(self, study: StudyPlan, point: Point) -> Reading | None:
        """Compose and read the config at a point; None if it cannot be composed, which is noted."""
        try:
            return read_config(self._compose(study.overrides(self._fixed, point)))
        except ConfigError as error:
            self._note(error.faults, point)
        except HydraException as error:
            self._note([describe_composition(error)], point)
        return None

    def _check_reading(self, study: StudyPlan, point: Point, reading: Reading, soundness: Soundness) -> Config | None:
        """Check the config at a point, and pin its data; None if it has faults, which are noted."""
        try:
            config = check_reading(reading, self._elsewhere, soundness.is_known)
            self.data.pin(config)
        except ConfigError as error:
            self._note(error.faults, point)
            return None
        self._configs[tuple(study.overrides(self._fixed, point))] = config
        return config

    def _config_at(self, study: StudyPlan, point: Point) -> Config:
        """The config at any point of a sound study, as it was checked if it was."""
        overrides = study.overrides(self._fixed, point)
        if tuple(overrides) not in self._configs:
            self._configs[tuple(overrides)] = require_config(self._compose(overrides))
        return self._configs[tuple(overrides)]


def _test_set_faults(configs: Iterable[Config]) -> list[str]:
    return [
        f"protocol={config.protocol.name}: reads the test set, which no search may; use protocol=validation"
        for config in configs
        if config.protocol.test != "never"
    ]


def _identify(config: Config) -> dict[str, str]:
    """What must not change when a cell is run again, with its weights and teacher, so that a message says what did."""
    told = {f"weight of {term}": str(weight) for term, weight in config.term_weights.items()}
    if uses_teacher(config):
        teacher = config.teacher
        told |= {"teacher": teacher.name, "teacher.checkpoint": str(teacher.checkpoint)}
        told |= {f"teacher.trainer.{key}": str(value) for key, value in teacher.trainer.items()}
    return {"hash": hash_config(config).run} | told


def without_idle_settings(cells: Sequence[Cell], configs: Sequence[Config]) -> tuple[list[Cell], list[Config]]:
    """Take out of a grid's cells the settings of kd_modes that they do not have, and then what is there twice.

    A setting of a mode that no cell has stays, so that it is found to reach no run.

    Args:
        cells: The cells of the grid.
        configs: The config of each cell.
    """
    known = {mode for config in configs for mode in config.kd_mode}
    kept: dict[tuple[tuple[str, str], ...], Config] = {}
    for cell, config in zip(cells, configs, strict=True):
        idle = tuple(f"kd_mode.{mode}." for mode in known - config.kd_mode.keys())
        kept.setdefault(tuple(pair for pair in cell.items() if not pair[0].startswith(idle)), config)
    return [dict(pairs) for pairs in kept], list(kept.values())
