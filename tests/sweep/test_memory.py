"""What becomes of a trial whose run finds no memory."""

import io
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from optuna.trial import TrialState
from rich.console import Console

from tests.support import TINY, compose_config, places
from tests.sweep.fakes import LOST, Act, config, grid, job_of, open_sweep
from tffd import session
from tffd.config import require_config
from tffd.identity import hash_config
from tffd.records import read_result
from tffd.sweep.studies.attributes import Claim
from tffd.sweep.studies.study import ResumableStudy
from tffd.sweep.worker import Job
from tffd.training.progress import EpochReporter
from tffd.trial import run_trial


@pytest.mark.parametrize("retries", [0, 2])
@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (MemoryError("Unable to allocate 2 GiB"), "MemoryError: Unable to allocate 2 GiB"),
        (torch.OutOfMemoryError("CUDA out of memory."), "OutOfMemoryError: CUDA out of memory."),
    ],
)
def test_it_fails_with_its_reason_after_its_retries(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, reason: str, retries: int
) -> None:
    cfg = require_config(compose_config(*places(tmp_path), *TINY))

    def train(*arguments: object) -> None:
        raise error

    def make_job(study: ResumableStudy, claim: Claim, seed: int | None) -> Job:
        job = job_of(tmp_path, "grid", claim, seed)
        return replace(job, config=cfg, config_hash=hash_config(cfg).run)

    def script(job: Job, attempt: int) -> Act:
        with suppress(MemoryError, torch.OutOfMemoryError):
            run_trial(job.config, job.run_dir, EpochReporter(Console(file=io.StringIO())))
        return Act((), LOST)  # nothing but what the run itself left

    monkeypatch.setattr(session, "train", train)
    sweep = open_sweep(tmp_path, grid(0), config(retries=retries), script)
    sweep.scheduler._make_job = make_job
    assert sweep.run() == 1
    assert sweep.executor.started == ["grid/0000"] * (1 + retries)
    (trial,) = sweep.studies[0].trials()
    assert (trial.state, trial.user_attrs["error"]) == (TrialState.FAIL, reason)
    assert trial.user_attrs.get("failed_attempts", []) == [reason] * retries
    record = read_result(tmp_path / "grid" / "0000")
    assert record is not None
    assert (record["status"], record["error"]) == ("failed", reason)
