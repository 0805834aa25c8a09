"""What the file of a search or an ablation sets for its runs besides what varies, written as overrides.

A single run takes neither `sweep=...` nor `ablation=...`. So that a command which repeats one (best, missing, the same
run again) trains the same network on the same data, what the file chose is recorded as if it had been typed.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf

from tffd.refusal import ConfigError
from tffd.sweep.arguments import write

_OF_THE_SWEEP = ("sweep", "ablation")
_OF_THE_COMMAND = (*_OF_THE_SWEEP, "hydra", "name", "results_dir")


def implied_words(
    base: DictConfig, fixed: Sequence[str], varied: Iterable[str], compose: Callable[[list[str]], DictConfig]
) -> list[str]:
    """Return the overrides that a command's files imply.

    Args:
        base: Composed config of the command, with Hydra's node.
        fixed: The command's overrides that hold for every trial.
        varied: Keys of the search or the grid.
        compose: Overrides to a composed config.
    """
    typed = [word for word in fixed if _section(word) not in _OF_THE_SWEEP]
    choices = [word for word in typed if key_of(word) in base.hydra.runtime.choices]
    try:
        without = compose(choices)
        groups = [
            f"{group}={write(_plain(choice))}"
            for group, choice in base.hydra.runtime.choices.items()
            if _section(group) not in _OF_THE_COMMAND and "@" not in group
            if choice is not None and without.hydra.runtime.choices.get(group) != choice
        ]
        again = dict(_leaves(compose([*groups, *typed])))
    except (HydraException, ConfigError):
        return []  # the file alone makes sense of what was typed: its runs are repeated by the sweep's own command
    values = [
        f"{'' if key in again else '+'}{key}={write(value)}"
        for key, value in _leaves(base)
        if key.partition(".")[0] not in _OF_THE_COMMAND and (key not in again or again[key] != value)
    ]
    return without_keys([*groups, *values], varied)


def without_keys(words: Iterable[str], keys: Iterable[str]) -> list[str]:
    """Leave out what sets some keys or groups, or lies below them."""
    prefixes = tuple(f"{key}." for key in keys)
    return [word for word in words if not f"{key_of(word)}.".startswith(prefixes)]


def key_of(word: str) -> str:
    """The key or group that an override sets."""
    return word.lstrip("+~").partition("=")[0]


def _section(word: str) -> str:
    return key_of(word).replace("/", ".").partition(".")[0]


def _plain(choice: Any) -> Any:
    return OmegaConf.to_container(choice) if OmegaConf.is_config(choice) else choice


def _leaves(config: DictConfig) -> Iterator[tuple[str, Any]]:
    """Every key that holds no section, with its value as it is written."""
    content: Any = OmegaConf.to_container(config, resolve=False)

    def below(node: Any, key: str) -> Iterator[tuple[str, Any]]:
        if isinstance(node, dict) and node:
            for name, value in node.items():
                yield from below(value, f"{key}.{name}".lstrip("."))
        else:
            yield key, node

    yield from below({key: value for key, value in content.items() if key not in _OF_THE_COMMAND}, "")
