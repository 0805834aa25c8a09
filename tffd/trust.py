"""What a config may make the program do: a short list of targets, and no settings that run commands of their own.

To the list come the packages that the user, and never a config, has named: see `tffd.own_parts`.

A config may come from another person. Hydra imports and calls whatever a `_target_` names, hands an environment to the
run, and gives lists of commands to a cluster; so all of these are looked at in the composed config before any of it is
acted on. Hydra is given the same list, for what only shows when values are resolved.
"""

import ast
from collections.abc import Iterator, Sequence
from functools import cache
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import find_spec, resolve_name
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from tffd.own_parts import describe_distrust, trusted_packages
from tffd.variables import STUDY_VARIABLE, TRIAL_VARIABLE

_SAMPLERS = ("BruteForce", "CmaEs", "GP", "Grid", "NSGAII", "NSGAIII", "QMC", "Random", "TPE")
_PRUNERS = ("Hyperband", "Median", "Nop", "Patient", "Percentile", "SuccessiveHalving", "Threshold", "Wilcoxon")
_LAUNCHERS = ("submitit_launcher.submitit_launcher.SlurmLauncher", "submitit_launcher.submitit_launcher.LocalLauncher",
              "joblib_launcher.joblib_launcher.JoblibLauncher")  # fmt: skip

TRUSTED_TARGETS = (
    "tffd.models.*",
    "tffd.data.sources.*",
    "tffd.distill.*",
    "tffd.app.CheckFirst",
    "tffd.sweep.samplers.EvenGrid",
    "tffd.sweep.samplers.ReplayedCmaEs",
    "tffd.sweep.samplers.auto_pruner",
    *(f"optuna.samplers.{name}Sampler" for name in _SAMPLERS),
    *(f"optuna.pruners.{name}Pruner" for name in _PRUNERS),
    "hydra_plugins.tffd_sweeper.sweeper.TffdSweeper",
    "hydra_plugins.hydra_optuna_sweeper.optuna_sweeper.OptunaSweeper",
    *(f"hydra_plugins.hydra_{name}" for name in _LAUNCHERS),
    "hydra._internal.core_plugins.basic_sweeper.BasicSweeper",
    "hydra._internal.core_plugins.basic_launcher.BasicLauncher",
)
"""What a config's `_target_` may name of the library and of its dependencies; `.*` is everything below."""

_LOGGING = ("logging.StreamHandler", "logging.NullHandler", "logging.Formatter", "colorlog.ColoredFormatter")
_STREAMS = ("ext://sys.stdout", "ext://sys.stderr")
_LOG_FILE = "${hydra.runtime.output_dir}/${hydra.job.name}.log"

_RECORDS = ".hydra"
"""Below a run's directory: Hydra writes three files into it, over whatever has their names."""

_ENVIRONMENT = (STUDY_VARIABLE, TRIAL_VARIABLE, "CUDA_VISIBLE_DEVICES")
"""What our own sweeper sets for a run."""

_SEARCH_SPACE = "hydra.sweeper.custom_search_space"
"""Of the stock Optuna sweeper: a function by name."""

_RUN_COMMANDS = ("setup", "teardown", "srun_args", "python", "additional_parameters", "env_setup")
"""Settings of launchers that end in a job's script."""


def trusted_targets() -> tuple[str, ...]:
    """Return all that a `_target_` may name, packages of the user's own included; see `tffd.own_parts`."""
    own = trusted_packages()
    return (*TRUSTED_TARGETS, *own, *(f"{name}.*" for name in own))


def find_distrust(cfg: DictConfig, typed: Sequence[str] | None = None) -> list[str]:
    """Return why a composed config may not be acted on, a line each; nothing in it is resolved or called.

    Args:
        cfg: With or without Hydra's node.
        typed: The words of the command line, which may give launchers their commands; None where it is not known,
            and launchers are left to the process that knows.
    """
    raw: Any = OmegaConf.to_container(cfg, resolve=False)
    faults = [describe_distrust(key, target) for key, target in _targets(raw, "") if not _is_trusted(target)]
    hydra = raw.get("hydra") or {}
    for place in ("job", "launcher", "sweeper", "callbacks", "job_logging", "hydra_logging"):
        if not isinstance(hydra.get(place), dict | None):
            return [*faults, f"hydra.{place}={hydra[place]}: is taken from elsewhere; write out what it is to hold"]
    faults += _logging_faults(hydra)
    if (folder := hydra.get("output_subdir", _RECORDS)) != _RECORDS:
        faults.append(f"hydra.output_subdir={folder}: a config lies beside its run, so use {_RECORDS}")
    faults += _environment_faults((hydra.get("job") or {}).get("env_set"))
    return [*faults, *(_command_faults(hydra.get("launcher") or {}, typed) if typed is not None else ())]


def _environment_faults(settings: Any) -> Iterator[str]:
    if not isinstance(settings, dict | None):
        yield f"hydra.job.env_set={settings}: is taken from elsewhere; leave it out"
        return
    for name, value in (settings or {}).items():
        if name not in _ENVIRONMENT:
            yield (
                f"hydra.job.env_set.{name}={value}: a config may not change the environment, which can make programs "
                f"run others; set {name} in the shell before the command"
            )


def _command_faults(launcher: dict[str, Any], typed: Sequence[str]) -> Iterator[str]:
    for name in _RUN_COMMANDS:
        key = f"hydra.launcher.{name}"
        if launcher.get(name) and not any(word.lstrip("+").startswith((f"{key}=", f"{key}.")) for word in typed):
            yield f"{key}={launcher[name]}: runs commands, so it is taken from the command line alone; type it there"


def _targets(node: Any, key: str) -> Iterator[tuple[str, Any]]:
    if isinstance(node, dict):
        for name, value in node.items():
            below = f"{key}.{name}".lstrip(".")
            if name == "_target_" or (below == _SEARCH_SPACE and value is not None):
                yield below, value
            else:
                yield from _targets(value, below)
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from _targets(value, f"{key}.{index}")


def _is_trusted(target: Any) -> bool:
    """An interpolation is no name: what it leads to could change after it was looked at."""
    return any(
        target == trusted or (trusted.endswith(".*") and str(target).startswith(trusted[:-1]) and _is_own(str(target)))
        for trusted in trusted_targets()
    )


def _is_own(target: str) -> bool:
    """Whether a name in a trusted package leads out of it by no import: `image_folder.os.system` is os.system.

    The source is read and not imported. A name that is not there at all is left to whoever looks it up.
    """
    top, *rest = target.split(".")
    spec, below = find_spec(top), list(rest)
    while spec and below and spec.submodule_search_locations is not None:
        inner = PathFinder.find_spec(f"{spec.name}.{below[0]}", list(spec.submodule_search_locations))
        if inner is None:
            break
        spec, below = inner, below[1:]
    origin = _imports(spec).get(below[0]) if spec and below else None
    return origin is None or _is_trusted(".".join([origin, *below[1:]]))


def _imports(spec: ModuleSpec) -> dict[str, str]:
    """What each name that a module imports stands for."""
    return _imports_of(spec.origin, spec.parent or "") if spec.origin and spec.has_location else {}


@cache
def _imports_of(path: str, package: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for node in ast.walk(ast.parse(Path(path).read_bytes())):
        if isinstance(node, ast.Import):
            for name in node.names:
                top = name.name.partition(".")[0]
                found[name.asname or top] = name.name if name.asname else top
        elif isinstance(node, ast.ImportFrom):
            module = resolve_name("." * node.level + (node.module or ""), package) if node.level else node.module
            found |= {name.asname or name.name: f"{module}.{name.name}" for name in node.names}
    return found


def _logging_faults(hydra: dict[str, Any]) -> Iterator[str]:
    """Only what prints is let through, and the file beside a run that Hydra's own `job_logging=default` writes."""
    for node in ("job_logging", "hydra_logging"):
        for key, settings in _dictionaries(hydra.get(node), f"hydra.{node}"):
            for name, value in settings.items():
                if str(value).startswith(("ext://", "cfg://")) and value not in _STREAMS:
                    yield f"{key}.{name}={value}: is none of the streams that a log may go to, {_STREAMS[0]}"
            for name in ("class", "()", "factory"):
                if name not in settings or settings[name] in _LOGGING:
                    continue
                if (name, settings[name]) == ("class", "logging.FileHandler"):
                    plain = "/" not in str((hydra.get("job") or {}).get("name"))
                    if settings.get("filename") == _LOG_FILE and plain:
                        continue
                    yield f"{key}.filename={settings.get('filename')}: a log lies beside its run, so use {_LOG_FILE}"
                    continue
                yield f"{key}.{name}={settings[name]}: is none of the handlers that a config may name, {_LOGGING[0]}"


def _dictionaries(node: Any, key: str) -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(node, dict):
        yield key, node
        for name, value in node.items():
            yield from _dictionaries(value, f"{key}.{name}")
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from _dictionaries(value, f"{key}.{index}")
