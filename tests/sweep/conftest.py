"""What several tests of sweeps share."""

import os
from pathlib import Path

import pytest

from tffd.sweep import scheduler


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An srun that does nothing: submitit looks whether there is one."""
    (tmp_path / "bin").mkdir()
    for name in ("srun", "sbatch", "squeue", "scancel"):
        path = tmp_path / "bin" / name
        path.write_text("#!/bin/sh\n")
        path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")


@pytest.fixture
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs that are played from a script take no time."""
    monkeypatch.setattr(scheduler, "_POLL_SECONDS", 0.0)
    monkeypatch.setattr(scheduler, "_LOOK_SECONDS", 0.01)
