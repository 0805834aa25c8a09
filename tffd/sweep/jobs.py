"""How the config of each run of a sweep comes about, and what the process that trains it is told."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from hydra.types import HydraContext
from omegaconf import open_dict

from tffd.config import require_config
from tffd.program import program_words
from tffd.sweep.executors.base import Executor
from tffd.sweep.implied import key_of, without_keys
from tffd.sweep.plan import Compose, SweepPlan
from tffd.sweep.studies.attributes import Claim
from tffd.sweep.studies.lease import Lease
from tffd.sweep.studies.study import ResumableStudy
from tffd.sweep.worker import Job
from tffd.variables import STUDY_VARIABLE, TRIAL_VARIABLE

MakeJob = Callable[[ResumableStudy, Claim, int | None], Job]
"""Study, trial and seed (None for that of the config) to a run."""


@dataclass(frozen=True)
class JobMaker:
    """Composes the runs of a plan.

    Attributes:
        context: Hydra's.
        plan: Whose runs they are.
        compose: Composes the config of a trial.
        executor: Trains the runs.
        lease: The sign of life of the sweep's command, with which the runs on its machine end.
        implied: What the file of the sweep sets for its runs, as overrides; see `tffd.sweep.implied`.
    """

    context: HydraContext
    plan: SweepPlan
    compose: Compose
    executor: Executor
    lease: Lease
    implied: list[str] = field(default_factory=list)

    def make(self, study: ResumableStudy, claim: Claim, seed: int | None) -> Job:
        """Compose one run: of a trial, with a seed of its own or the config's."""
        base, key = self.plan.config, study.plan.key
        # The address of the study concerns the sweep alone, and the configs of runs are kept and passed on.
        fixed = [override for override in self.plan.fixed if not override.lstrip("+").startswith("sweep.storage")]
        seeds = [] if seed is None else [f"seed={seed}"]
        composed = self.compose([*study.plan.overrides(fixed, claim.values), *seeds])
        subdir = f"{key}/{claim.number:04d}" + ("" if seed is None else f"/seed{seed}")
        with open_dict(composed):
            composed.hydra.job.id = subdir.replace("/", "-")
            composed.hydra.job.num = claim.number
            # Absolute, as all that another process is told: it may have another working directory.
            composed.hydra.sweep.dir = str((Path(base.results_dir) / base.name).absolute())
            composed.hydra.sweep.subdir = subdir
            composed.hydra.job.env_set |= {STUDY_VARIABLE: key, TRIAL_VARIABLE: str(claim.number)}
            task = list(composed.hydra.overrides.task)
            composed.hydra.overrides.task = [*without_keys(self.implied, map(key_of, task)), *task]
            composed.sweep.storage = None
            if composed.threads is None:
                composed.threads = self.executor.threads
        config = require_config(composed)  # once: the process that trains it is handed the typed one
        return Job(
            config=config,
            composed=composed,
            config_hash=self.plan.data.require_same(config).run,
            run_dir=Path(composed.hydra.sweep.dir) / subdir,
            context_parts=(self.context.config_loader, self.context.execution_whitelist),
            study=key,
            number=claim.number,
            lease=self.lease.path if self.executor.on_this_machine else None,
            program=tuple(program_words()),
        )
