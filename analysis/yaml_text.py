"""YAML as runs leave it: read at C's speed, and whatever is wrong with it is one kind of error."""

from typing import Any


def parse_yaml(text: str) -> Any:
    """What a YAML document says.

    Raises:
        ValueError: If it is not YAML, or nested too deeply.
    """
    import yaml

    try:
        return yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError(f"not YAML ({' '.join(str(error).split())})") from error
