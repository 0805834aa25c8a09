"""Between Hydra and the library: what a Hydra application needs so that `tffd.command` stays a page long."""

import os
import shlex
import sys
from contextlib import chdir
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.hydra_config import HydraConfig
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from tffd.links import require_no_links
from tffd.own_parts import find_own_parts, trusted_packages
from tffd.passwords import refuse_passwords, refuse_passwords_in, without_password
from tffd.program import CONFIGS, program_words
from tffd.refusal import ConfigError, refuse
from tffd.streams import open_streams
from tffd.variables import STUDY_VARIABLE, TRIAL_VARIABLE

if TYPE_CHECKING:
    from tffd.schema import Config


def register_resolvers() -> None:
    """Register `run_id`, which names a run's directory after what it computes."""
    OmegaConf.register_resolver("run_id", _run_id, replace=True)


def _run_id(*, _root_: DictConfig) -> str:
    from tffd.identity import run_name

    return run_name(_typed(_root_))


_checked: list[tuple[Any, "Config"]] = []
"""The config of this command, as it was written and as it was typed when it was checked.

Hydra hands each callback, resolver and task a copy of the one and no object of ours, so the other is kept here.
"""


def _keep_checked(composed: DictConfig, config: "Config") -> None:
    _checked[:] = [(_written(composed), config)]


def _typed(composed: DictConfig) -> "Config":
    """Return the typed config of this command, which is read here where another one was checked, or none."""
    from tffd.config import require_config

    for written, config in _checked:
        if written == _written(composed):
            return config
    return require_config(composed)


def _written(composed: DictConfig) -> Any:
    from tffd.config import without_hydra

    return OmegaConf.to_container(without_hydra(composed), resolve=False)


def prepare_command() -> None:
    """Do what comes before Hydra reads the command line: see that there are streams, and that it holds no password.

    Packages of TFFD_TRUST can be imported from the working directory from here on.

    Hydra repeats what it cannot read in its messages, and a password often holds a letter that it cannot.
    """
    open_streams()
    try:
        refuse_passwords_in(sys.argv[1:])
        trusted_packages()
        find_own_parts(os.getcwd())
    except ValueError as error:
        refuse(error)


class CheckFirst(Callback):
    """Checks a config before Hydra makes a directory. Hydra swallows exceptions of callbacks, but not SystemExit."""

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Refuse a sweep without -m, and a config with faults."""
        _refuse_passwords(config)
        from tffd.checks import check_config
        from tffd.instantiation import build_source
        from tffd.records import require_own_directory

        try:
            _require_multirun(config)
            checked = check_config(config)
            _keep_checked(config, checked)
            require_no_links(Path(config.hydra.run.dir))
            require_own_directory(Path(config.hydra.run.dir))
        except ValueError as error:
            refuse(error)
            return
        if notice := build_source(checked).check().notice:
            print(notice, flush=True)

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Check what a foreign sweeper starts from; our own checks every config that it can lead to."""
        _refuse_passwords(config)
        sweeper = config.hydra.sweeper._target_
        if sweeper.startswith("hydra_plugins.tffd_sweeper."):
            return
        from tffd.checks import check_config, trains_elsewhere

        try:
            _refuse_unpickling(config)
            checked = check_config(config, trains_elsewhere(config))
            chooses = "direction" in config.hydra.sweeper
            swept = [override for override in config.hydra.overrides.task if override.startswith("protocol")]
            if chooses and (checked.protocol.test != "never" or any("," in override for override in swept)):
                raise ConfigError(
                    [
                        f"protocol={checked.protocol.name}: reads the test set, which no search may; "
                        "use protocol=validation"
                    ]
                )
        except ConfigError as error:
            refuse(error)


def run_from_hydra(
    cfg: DictConfig, console: Console | None = None, *, config: "Config | None" = None, planned: str | None = None
) -> dict[str, Any]:
    """Run the trial of a Hydra job, whose results go into the job's output directory.

    Paths in a config are those of the directory in which the command was started, as they were when it was checked. So
    the trial runs there, also where Hydra (`hydra.job.chdir`) or a cluster has gone elsewhere.

    Args:
        cfg: The config as Hydra composed it, without its node.
        console: The console to which the run reports; None for standard output.
        config: The same, typed, where it was read before.
        planned: Hash of its config when a sweep planned it, if one did.
    Returns:
        The content of result.json.
    Raises:
        ConfigError: If Hydra's settings of the job may not be acted on.
    """
    from tffd.training.progress import EpochReporter
    from tffd.trial import run_trial
    from tffd.trust import find_distrust

    find_own_parts(HydraConfig.get().runtime.cwd)  # a launcher's process knows the environment, not the directory
    job: Any = HydraConfig.instance().cfg
    if job is not None and (faults := find_distrust(job)):  # Hydra's own sweepers compose it anew for each job
        raise ConfigError(faults)
    trial = os.environ.get(TRIAL_VARIABLE)
    runtime = HydraConfig.get().runtime
    with chdir(runtime.cwd):
        return run_trial(
            config or _typed(cfg),
            Path(_relative(runtime.output_dir)),
            EpochReporter(console),
            study=os.environ.get(STUDY_VARIABLE),
            trial=int(trial) if trial else None,
            planned=planned,
        )


def _refuse_passwords(config: DictConfig) -> None:
    try:
        refuse_passwords(config)
    except ValueError as error:
        refuse(error)


def _refuse_unpickling(config: DictConfig) -> None:
    """Refuse what our own sweeper refuses, or replaces: see tffd.sweep.samplers.ReplayedCmaEs."""
    sampler = str(OmegaConf.select(config, "hydra.sweeper.sampler._target_"))
    if sampler.endswith("CmaEsSampler") and OmegaConf.select(config, "hydra.sweeper.storage") is not None:
        raise ConfigError([
            f"hydra.sweeper.sampler={sampler}: unpickles what it finds in a study, and so runs the code of whoever can "
            "write to it; leave hydra.sweeper.storage out, or use sweep/sampler=cmaes with tffd's own sweeper"
        ])  # fmt: skip


def _require_multirun(config: DictConfig) -> None:

    for group, content in (("sweep", config.sweep.space), ("ablation", config.ablation.grid)):
        if content:
            choice = config.hydra.runtime.choices[group]
            raise ConfigError([f"{group}={choice} needs -m. Start it with: {multirun_command(config)}"])


def multirun_command(config: DictConfig) -> str:
    """The command line of a multirun with the overrides of a composed config, quoted for the shell."""
    chosen = [override for override in config.hydra.overrides.hydra if not override.startswith("hydra.mode=")]
    overrides = [without_password(override) for override in (*chosen, *config.hydra.overrides.task)]
    return shlex.join([*program_words(), "-m", *_config_options(config), *overrides])


def _config_options(config: DictConfig) -> list[str]:
    """Where configs came from, if not from conf/config.yaml alone, with whole paths."""
    options = []
    for flag, provider, usual in (
        ("--config-path", "main", str(CONFIGS)),
        ("--config-dir", "command-line", ""),
    ):
        sources = (source.path for source in config.hydra.runtime.config_sources if source.provider == provider)
        options += [word for path in sources if path and path != usual for word in (flag, path)]
    name = config.hydra.job.config_name
    return options if name in (None, "config") else [*options, "--config-name", name]


def _relative(path: str) -> str:
    """Paths are shown to people who will type them: short where they lie below the working directory."""
    return os.path.relpath(path) if path.startswith(os.getcwd() + os.sep) else path
