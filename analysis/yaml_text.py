"""YAML as runs leave it: read at C's speed, and whatever is wrong with it is one kind of error."""

from typing import Any

_DEEPEST = 50  # levels; a config has 5


def parse_yaml(text: str) -> Any:
    """What a YAML document says. An alias lets a few lines stand for gigabytes, and no run writes one.

    Raises:
        ValueError: If it is not YAML, has an alias, or is nested too deeply.
    """
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)(text)
    try:
        root = loader.get_single_node()
        if root is None:
            return None
        _require_tree(root)
        return loader.construct_document(root)
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError(f"not YAML ({' '.join(str(error).split())})") from error
    finally:
        loader.dispose()


def _require_tree(root: Any) -> None:
    """Refuse a document in which a node stands in two places, or deeper than in any config."""
    seen: set[int] = set()
    pending = [(root, 1)]
    while pending:
        node, depth = pending.pop()
        if id(node) in seen:
            raise ValueError("YAML with an alias, such as *x, which no run writes")
        if depth > _DEEPEST:
            raise ValueError(f"nested more than {_DEEPEST} levels deep")
        seen.add(id(node))
        if not isinstance(node.value, str):  # a list has nodes, and a mapping pairs of them
            parts = (part for child in node.value for part in (child if isinstance(child, tuple) else (child,)))
            pending += [(part, depth + 1) for part in parts]
