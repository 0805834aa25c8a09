"""Names of files in config groups: that they exist, and which is meant where one does not."""

import difflib
import re
from collections.abc import Callable, Iterable

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob
from hydra.errors import HydraException, MissingConfigException
from omegaconf import DictConfig

Options = Callable[[str], list[str]]
"""The names in a group."""

_OF_EVERY_RUN = ("model", "dataset", "kd_mode", "teacher", "lambdas", "trainer", "protocol", "sweep", "ablation")
"""Groups without which no config is complete."""


def missing_choices(cfg: DictConfig, options: Options) -> list[str]:
    """Return the choices of a composed config's command that name no file, a line each.

    Hydra refuses most of them itself, but passes over those of an entry that a defaults list calls optional. A group
    that another one is put into, as model into teacher (model@teacher), has the names of both.
    """
    faults = []
    relocated = [key.rpartition("@") for key in cfg.hydra.runtime.choices if "@" in key]
    words = [*cfg.hydra.overrides.task, *cfg.hydra.overrides.hydra]
    plain = [word for word in words if "." not in word.partition("=")[0]]
    for override in OverridesParser.create().parse_overrides(plain):
        if override.is_sweep_override() or override.is_delete() or not options(override.key_or_group):
            continue
        value = override.value()
        if value is None:
            continue
        for name in value if isinstance(value, list) else [value]:
            path = f"{override.key_or_group}/{name}".removesuffix(".yaml")
            group = path.rpartition("/")[0]
            known = [
                *options(group),
                *(name for other, _, into in relocated if into == group for name in options(other)),
            ]
            if path.rpartition("/")[2] not in known:
                faults.append(describe_missing(path, known))
    return faults


def removed_groups(words: Iterable[str], options: Options) -> list[str]:
    """Return the groups that a command removes, as in `~teacher`, though every run has them: a line each."""
    faults = []
    for word in words:
        group = word.removeprefix("~").partition("=")[0]
        if word.startswith("~") and group in _OF_EVERY_RUN:
            names = options(group)
            what = f"for none of it, set {group}=none" if "none" in names else f"choose one of {', '.join(names)}"
            faults.append(f"{word}: every run has a {group}; {what}")
    return faults


def all_modes(words: Iterable[str]) -> str | None:
    """Return the override that composes all kd_modes which a sweep varies; None where it varies none.

    On top of them Hydra can set what holds for one of them alone, as in `kd_mode=none,st kd_mode.st.temperature=2`.
    """
    of_modes = [word for word in words if word.startswith("kd_mode=")]
    names: dict[str, None] = {}
    for override in OverridesParser.create().parse_overrides(of_modes):
        if not override.is_sweep_override() or isinstance(override.value(), Glob):
            return None
        for choice in override.sweep_iterator():
            names |= dict.fromkeys(map(str, choice if isinstance(choice, list) else [choice]))
    return f"kd_mode=[{','.join(names)}]" if names else None


def describe_missing(path: str, known: Iterable[str]) -> str:
    """Say that a group has no such file, and which names are near."""
    group, _, name = path.rpartition("/")
    names = sorted(known)
    near = difflib.get_close_matches(name.lower(), names, n=3)
    hint = f"did you mean {', '.join(near)}?" if near else f"there are {', '.join(names) or 'none'}"
    return f"{group}={name}: there is no such choice; {hint}"


def describe_composition(error: HydraException, options: Options = lambda group: []) -> str:
    """Say in one line why Hydra could not compose a config.

    Args:
        error: Hydra's.
        options: The names in a group.
    """
    if isinstance(error, MissingConfigException) and error.options is not None:
        return describe_missing(str(error.missing_cfg_file), error.options)
    if found := re.search(r"Could not load '([\w/.@-]+)'", str(error)):  # one of a list of choices
        return describe_missing(found[1], options(found[1].rpartition("/")[0]))
    lines = [*str(error).splitlines(), *str(error.__cause__ or "").splitlines()]
    told = (line.strip() for line in dict.fromkeys(lines) if not line.strip().startswith(("full_key:", "object_type=")))
    return " ".join(line for line in told if line)
