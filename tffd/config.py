"""From a composed config to the typed one. Faults are collected, so that a user sees all of them at once."""

import difflib
from dataclasses import dataclass
from typing import Any, get_args, get_origin

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import (
    TypeAdapter,
    ValidationError,
)

from tffd.refusal import ConfigError
from tffd.schema import Config
from tffd.trust import find_distrust


@dataclass(frozen=True)
class Reading:
    """What the schema made of a composed config.

    Attributes:
        config: The typed config; None if it has faults.
        faults: One line each.
        values: The resolved plain values.
        sound: Those sections and keys that are without fault, typed, by name.
    """

    config: Config | None
    faults: list[str]
    values: dict[str, Any]
    sound: dict[str, Any]


def read_config(cfg: DictConfig) -> Reading:
    """Check a composed config against the schema, and that it may be acted on."""
    if distrust := find_distrust(cfg):
        return Reading(None, distrust, {}, {})
    try:
        values: Any = OmegaConf.to_container(without_hydra(cfg), resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        return Reading(None, [str(error).splitlines()[0]], {}, {})
    try:
        config = Config.model_validate(values)
    except ValidationError as error:
        faulty = {item["loc"][0] for item in error.errors(include_url=False)}
        sound = {
            name: TypeAdapter(field.rebuild_annotation()).validate_python(values[name])
            for name, field in Config.model_fields.items()
            if name not in faulty
        }
        return Reading(None, _describe(error), values, sound)
    return Reading(config, [], values, {name: getattr(config, name) for name in Config.model_fields})


def require_config(cfg: DictConfig) -> Config:
    """Return the typed config.

    Raises:
        ConfigError: If it does not fit the schema.
    """
    reading = read_config(cfg)
    if reading.config is None:
        raise ConfigError(reading.faults)
    return reading.config


def without_hydra(cfg: DictConfig) -> DictConfig:
    """Return a copy without Hydra's own node, some of which only resolves while a job runs."""
    return OmegaConf.masked_copy(cfg, [str(key) for key in cfg if key != "hydra"])


def _describe(error: ValidationError) -> list[str]:
    faults: dict[tuple[str, str, str], str] = {}
    for item in error.errors(include_url=False, include_context=False):
        key = ".".join(str(part) for part in item["loc"])
        match item["type"]:
            case "extra_forbidden":
                fault = f"{key}: no such key{_nearest(item['loc'])}"
            case "missing":
                fault = f"{key}: is missing{_none_instead(item['loc'])}"
            case "string_type" if isinstance(item["input"], int | float):
                fault = f"{key}={item['input']}: was read as a number, not as a text; quote it twice: \"{key}='...'\""
            case _:
                message = item["msg"].removeprefix("Value error, ").removeprefix("Input ")
                value = "" if isinstance(item["input"], dict) else f"={item['input']}"
                fault = f"{key}{value}: {message}"
        # A value that another section refers to under the same name is wrong once, where it is defined.
        name = str(item["loc"][-1]).removeprefix("lambda_")  # which the weights of the terms refer to
        faults.setdefault((name, item["msg"], str(item["input"])), fault)
    return list(faults.values())


def _section_at(location: tuple[int | str, ...]) -> Any:
    section: Any = Config
    for part in location:
        # A dictionary of sections, as of the kd_modes, has names of its own.
        section = get_args(section)[1] if get_origin(section) is dict else section.model_fields[str(part)].annotation
    return section


def _none_instead(location: tuple[int | str, ...]) -> str:
    """What `~key` was meant to do, where a key may have no value."""
    section = _section_at(location[:-1])
    field = next((field for name, field in section.model_fields.items() if (field.alias or name) == location[-1]), None)
    may_be_none = field is not None and type(None) in get_args(field.annotation)
    return f"; for none of it, set {'.'.join(map(str, location))}=null" if may_be_none else ""


def _nearest(location: tuple[int | str, ...]) -> str:
    section = _section_at(location[:-1])
    names = [field.alias or name for name, field in section.model_fields.items()]
    close = difflib.get_close_matches(str(location[-1]), names, n=1)
    return f"; did you mean {close[0]}?" if close else f"; there are {', '.join(names)}"
