"""YAML as runs leave it: read at C's speed, and whatever is wrong with it is one kind of error."""

import re
from functools import lru_cache
from typing import Any

from analysis.read.faults import Fault, Unreadable
from analysis.read.files import SMALL, read_file
from analysis.read.passwords import without_passwords

_DEEPEST = 50  # levels; a config has 5
# A scalar that its tag does not fit, as in `!!bool maybe` or the thirteenth month, raises whatever it happens to.
_ILL_TYPED = (ValueError, KeyError, AttributeError)


def read_text(path: str) -> str:
    """The text of a YAML file of a run.

    Raises:
        OSError: If it cannot be read.
        Unreadable: If it is no regular file, too large, or no UTF-8.
    """
    content = read_file(path, SMALL)
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise Unreadable(Fault.NOT_YAML, f"is not YAML ({error})") from error


def parse_yaml(text: str) -> Any:
    """What a YAML document says, but for passwords.

    An alias lets a few lines stand for gigabytes, and no run writes one.

    Raises:
        Unreadable: If it is not YAML, has an alias, or is nested too deeply.
    """
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)(text)
    try:
        root = loader.get_single_node()
        if root is None:
            return None
        _require_tree(root)
        return without_passwords(loader.construct_document(root))
    except Unreadable:
        raise
    except (yaml.YAMLError, RecursionError, *_ILL_TYPED) as error:
        raise Unreadable(Fault.NOT_YAML, f"is not YAML ({' '.join(str(error).split())})") from error
    finally:
        loader.dispose()


def _require_tree(root: Any) -> None:
    """Refuse a document in which a node stands in two places, or deeper than in any config."""
    seen: set[int] = set()
    level = [root]
    for _ in range(_DEEPEST):
        if not level:
            return
        below: list[Any] = []
        for node in level:
            if type(node.value) is not str:  # a list has nodes, and a mapping pairs of them
                for child in node.value:
                    below += child if type(child) is tuple else (child,)
        number = len(seen) + len(below)
        seen.update(map(id, below))
        if len(seen) < number:
            raise Unreadable(Fault.ALIAS, "is YAML with an alias, such as *x, which no run writes")
        level = below
    if level:
        raise Unreadable(Fault.TOO_DEEP, f"is nested more than {_DEEPEST} levels deep")


_BEGINS = re.compile(r"^(?=[A-Za-z_])", re.MULTILINE)  # what is indented, or in a list, belongs to the line above


def parse_config(text: str) -> Any:
    """What `parse_yaml` says of a config, with each text of a section parsed once.

    Raises:
        Unreadable: If it is not YAML, or nested too deeply.
    """
    config: dict[Any, Any] = {}
    for section in _BEGINS.split(text):
        try:
            part = _parse_section(section)
        except Unreadable:
            return parse_yaml(text)
        if part is None:  # comments
            continue
        if not isinstance(part, dict):
            return parse_yaml(text)
        config.update(part)
    return config or None


@lru_cache(maxsize=1024)
def _parse_section(text: str) -> Any:
    return parse_yaml(text)
