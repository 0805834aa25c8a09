"""The command line of a run, as Hydra left it in `.hydra/overrides.yaml`."""

import os


def read_overrides(run: str) -> dict[str, str]:
    """Read what the command line of a run set, key to value; {} where Hydra left nothing that can be read.

    The file is a list of words, `- key=value`, so that it takes no YAML parser.
    """
    try:
        with open(os.path.join(run, ".hydra", "overrides.yaml"), encoding="utf-8") as file:
            lines = file.read().splitlines()
    except (OSError, ValueError):
        return {}
    words = (line.removeprefix("- ").strip("'\"") for line in lines)
    pairs = (word.partition("=") for word in words if "=" in word)
    return {key.lstrip("+"): value for key, _, value in pairs}
