"""From Hydra's launcher, as chosen on the command line, to the executor that does its work trial by trial."""

from typing import Any

from omegaconf import DictConfig, OmegaConf

from tffd.machine import DeviceMissing, cores, cuda_device_key, visible_cuda_devices
from tffd.refusal import ConfigError
from tffd.schema import Config
from tffd.sweep.cluster.executor import SubmititExecutor
from tffd.sweep.executors.base import Executor
from tffd.sweep.executors.cards import Cards
from tffd.sweep.executors.local import LocalExecutor
from tffd.sweep.executors.on_cards import CardExecutor
from tffd.texts import counted

_MOST_JOBS = 8  # unless sweep.n_jobs asks for more: each needs about a gigabyte


def make_executor(base: DictConfig, config: Config) -> Executor:
    """Build the executor that `hydra/launcher` asks for.

    Hydra's launchers take a batch and wait for all of it; ours share their settings, and take a run at a time.

    Raises:
        ConfigError: If it is none that we know, or one of its settings does not go with runs taken one at a time.
    """
    launcher = OmegaConf.to_container(base.hydra.launcher, resolve=True)
    assert isinstance(launcher, dict)
    settings = {str(key): value for key, value in launcher.items() if key != "_target_"}
    match str(launcher["_target_"]).rpartition(".")[2]:
        case "BasicLauncher":
            slots = local_slots(config)
            return LocalExecutor(slots, max(1, cores() // slots))
        case "JoblibLauncher":
            slots = _joblib_slots(settings, config.sweep.n_jobs)
            _require_room(slots, config)
            return LocalExecutor(slots, settings["inner_max_num_threads"] or max(1, cores() // slots))
        case "LocalLauncher":
            slots = local_slots(config)
            threads = settings["cpus_per_task"] or max(1, cores() // slots)
            return SubmititExecutor("local", slots, threads, settings, config.sweep.heartbeat_timeout)
        case "SlurmLauncher":
            _refuse_sharing(config)
            slots = config.sweep.n_jobs or settings["array_parallelism"]
            threads = settings["cpus_per_task"] or 1
            return SubmititExecutor("slurm", slots, threads, settings, config.sweep.heartbeat_timeout)
    raise ConfigError(
        [
            f"hydra/launcher: {launcher['_target_']} is not one that a sweep can use; there are basic, joblib, "
            "submitit_local and submitit_slurm (or choose a stock sweeper with hydra/sweeper=basic)"
        ]
    )


def _joblib_slots(settings: dict[str, Any], n_jobs: int | None) -> int:
    """How many processes Hydra's joblib launcher is set to; its runs are the same as those of the basic launcher here.

    Args:
        settings: The settings of the launcher.
        n_jobs: sweep.n_jobs, which counts more.

    Raises:
        ConfigError: For settings that do not go with runs taken one at a time.
    """
    if settings["backend"] not in ("loky", None):
        raise ConfigError([f"hydra.launcher.backend={settings['backend']}: a sweep's runs are processes; leave it out"])
    if settings["timeout"] is not None:
        raise ConfigError([f"hydra.launcher.timeout={settings['timeout']}: use sweep.trial_timeout, in seconds"])
    jobs: int | None = n_jobs or settings["n_jobs"]
    if not jobs:
        raise ConfigError([
            f"hydra.launcher.n_jobs={jobs}: needs a number of processes, or -1 for one a CPU core"
        ])  # fmt: skip
    return jobs if jobs > 0 else max(1, cores() + 1 + jobs)  # joblib's -1 is all cores, -2 all but one


def local_slots(config: Config) -> int:
    """sweep.n_jobs; null means `trials_per_device` for each CUDA device, or else one for each CPU core.

    On a CPU, processes of one thread each finish more trials than threads would, and give the same bits on machines
    with other numbers of cores.

    Raises:
        ConfigError: If the CUDA devices have no room for so many.
    """
    if config.sweep.n_jobs is not None:
        _require_room(config.sweep.n_jobs, config)
        return config.sweep.n_jobs
    return len(cuda_devices(config)) * config.sweep.trials_per_device or min(cores(), _MOST_JOBS)


def _require_room(slots: int, config: Config) -> None:
    """Refuse to share a CUDA device among more trials than was asked for."""
    devices, each = len(cuda_devices(config)), config.sweep.trials_per_device
    if devices and slots > devices * each:
        raise ConfigError(
            [
                f"sweep.n_jobs: {slots} trials at a time are too many for sweep.trials_per_device={each} on "
                f"{counted(devices, 'CUDA device')}; use sweep.n_jobs={devices * each}, or "
                f"sweep.trials_per_device={-(-slots // devices)}"
            ]
        )


def _refuse_sharing(config: Config) -> None:
    """A job of a cluster has the devices that the cluster gives it."""
    if config.sweep.trials_per_device != 1:
        raise ConfigError(
            [
                f"sweep.trials_per_device={config.sweep.trials_per_device}: each job of SLURM has devices of its own; "
                "leave it out"
            ]
        )


def cuda_devices(config: Config) -> list[str]:
    """The CUDA devices that this process may use and the config asks for, as CUDA_VISIBLE_DEVICES names them.

    Raises:
        ConfigError: If CUDA_VISIBLE_DEVICES names some that PyTorch does not see: their runs would find no device.
    """
    if config.device == "cpu":
        return []
    try:
        return visible_cuda_devices()
    except DeviceMissing as error:
        raise ConfigError([str(error)]) from error


def pin_to_devices(executor: Executor, config: Config) -> Executor:
    """Let the runs of this machine share its CUDA devices, if there are any; clusters pin their jobs themselves."""
    names = cuda_devices(config) if executor.on_this_machine else []
    if not names:
        return executor
    devices = [(name, cuda_device_key(index, name)) for index, name in enumerate(names)]
    return CardExecutor(executor, Cards(devices, config.sweep.trials_per_device))
