"""Names of files in config groups: that they exist, and which is meant where one does not."""

import difflib
from collections.abc import Callable, Iterable

from hydra.errors import HydraException, MissingConfigException
from omegaconf import DictConfig

Options = Callable[[str], list[str]]
"""The names in a group."""


def missing_choices(cfg: DictConfig, options: Options) -> list[str]:
    """Return the choices of a composed config's command that name no file, a line each.

    Hydra refuses most of them itself, but passes over those of an entry that a defaults list calls optional.
    """
    typed = {word.lstrip("+").split("=")[0].split("@")[0] for word in _words(cfg) if "=" in word}
    faults = []
    for group, choice in cfg.hydra.runtime.choices.items():
        if group not in typed or choice is None:
            continue
        for name in [choice] if isinstance(choice, str) else choice:
            below, _, stem = f"{group}/{name}".removesuffix(".yaml").rpartition("/")
            if stem not in (known := options(below)):
                faults.append(describe_missing(f"{group}/{name}", known))
    return faults


def describe_missing(path: str, known: Iterable[str]) -> str:
    """Say that a group has no such file, and which names are near."""
    group, _, name = path.rpartition("/")
    names = sorted(known)
    near = difflib.get_close_matches(name.lower(), names, n=3)
    hint = f"did you mean {', '.join(near)}?" if near else f"there are {', '.join(names) or 'none'}"
    return f"{group}={name}: there is no such choice; {hint}"


def describe_composition(error: HydraException) -> str:
    """Say in one line why Hydra could not compose a config."""
    if isinstance(error, MissingConfigException) and error.options is not None:
        return describe_missing(str(error.missing_cfg_file), error.options)
    lines = [*str(error).splitlines(), *str(error.__cause__ or "").splitlines()]
    told = (line.strip() for line in dict.fromkeys(lines) if not line.strip().startswith(("full_key:", "object_type=")))
    return " ".join(line for line in told if line)


def _words(cfg: DictConfig) -> list[str]:
    return [*cfg.hydra.overrides.task, *cfg.hydra.overrides.hydra]
