"""Each kd_mode and each family of networks in a run that is killed.

First stages, banks, peers, connectors and partners go on exactly.
"""

import io
from pathlib import Path

import pytest
from rich.console import Console

from tests.support import CONF, TINY, compose_config, places
from tffd import session
from tffd.config import require_config
from tffd.teacher import Measured
from tffd.training.progress import EpochReporter
from tffd.trial import run_trial

MODES = sorted(path.stem for path in (CONF / "kd_mode").glob("*.yaml"))
EPOCHS = 3  # of which the second is begun again
FAMILIES = ("wrn_16_1", "vgg8", "mobilenet_v2", "shuffle_v1", "shuffle_v2", "resnet50")  # resnet8 is with the modes
STAGED = ("ab", "fsp", "ft")  # whose first stages are cut short


class Killed(BaseException):
    """Stands in for a signal: nothing in the trial may catch it."""


class KilledAfterTheFirstEpoch(EpochReporter):
    """Ends the run in its second epoch, once the checkpoint of the first was written."""

    def epoch(self, row: dict[str, float]) -> None:
        if row["epoch"] == 2:
            raise Killed


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of all modes' runs, which thereby share a teacher."""
    return tmp_path_factory.mktemp("modes")


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
def test_a_killed_run_of_every_mode_ends_with_the_same_numbers(
    mode: str, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weak = Measured(1.0, "val", 10)  # which the teacher is, after an epoch
    monkeypatch.setattr(session, "measure_teacher", lambda *args, **settings: weak)
    teacher = ("teacher=resnet14", "teacher.checkpoint=auto", "+teacher.trainer.epochs=1")
    staged = (f"kd_mode.{mode}.first_stage_epochs=1",) * (mode in STAGED)
    check_killed(directory / mode, *places(directory), f"kd_mode={mode}", *teacher, *staged)


@pytest.mark.slow
@pytest.mark.parametrize("network", FAMILIES)
def test_a_killed_run_of_every_family_of_networks_ends_with_the_same_numbers(network: str, directory: Path) -> None:
    check_killed(directory / network, *places(directory), f"model={network}")


def check_killed(runs: Path, *overrides: str) -> None:
    trainer = (f"trainer.epochs={EPOCHS}", "trainer.checkpoint_every=1", "dataset.train_size=100")
    cfg = require_config(compose_config(*TINY, *overrides, *trainer))
    whole, killed = runs / "whole", runs / "killed"
    silent = Console(file=io.StringIO())
    run_trial(cfg, whole, EpochReporter(silent))
    with pytest.raises(Killed):
        run_trial(cfg, killed, KilledAfterTheFirstEpoch(silent))
    assert (killed / "checkpoint.pt").exists()
    run_trial(cfg, killed, EpochReporter(silent))
    text = (killed / "metrics.csv").read_text(encoding="utf-8")
    assert len(text.splitlines()) == 1 + EPOCHS
    assert text == (whole / "metrics.csv").read_text(encoding="utf-8")
