"""Packages of your own, whose networks, data sources, kd_modes and samplers a config may name beside the library's.

Which they are is never said by a config, but by whoever starts the command (`TFFD_TRUST=mylab`, several with commas
between them) or has installed them, with an entry point of the group `tffd.parts`:

    [project.entry-points."tffd.parts"]
    mylab = "mylab"
"""

import os
import re
import sys
from functools import cache
from importlib.metadata import entry_points

VARIABLE = "TFFD_TRUST"
GROUP = "tffd.parts"

_NAME = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", re.ASCII)


def trusted_packages() -> tuple[str, ...]:
    """Return the packages, or modules of packages, that the environment and installed entry points name.

    Raises:
        ValueError: If the variable holds something else than names, or names Python's own modules.
    """
    return tuple(dict.fromkeys((*_of_environment(), *_of_entry_points())))


def find_own_parts(folder: str) -> None:
    """Let packages that lie in a folder be imported, where TFFD_TRUST asks for some that are not installed.

    The folder is the last place that is looked at, so that nothing in it takes the place of an installed package.
    """
    if _of_environment() and folder not in sys.path:
        sys.path.append(folder)


def describe_distrust(key: str, target: object) -> str:
    """Say why a config may not name a target, and both ways to allow it."""
    start = f"{key}={target}: is none of the classes that a config may name"
    package = str(target).partition(".")[0]
    if not _NAME.fullmatch(str(target)) or _is_of_python(package):
        return start
    if any(f"{target}.".startswith(f"{name}.") for name in trusted_packages()):
        return f"{start}; {package} is trusted, but this name is an import of it: name what was written in {package}"
    return (
        f"{start}; if you trust all code of the package {package}, set {VARIABLE}={package} before the command, or "
        f'install the package with an entry point of the group "{GROUP}"'
    )


def _of_environment() -> list[str]:
    names = [name for text in os.environ.get(VARIABLE, "").split(",") if (name := text.strip())]
    for name in names:
        if not _NAME.fullmatch(name):
            raise ValueError(f"{VARIABLE}={name!r}: needs names of packages with commas between them, such as mylab")
        if _is_of_python(name.partition(".")[0]):
            raise ValueError(f"{VARIABLE}={name}: is a module of Python itself, which can run anything; name your own")
    return names


@cache
def _of_entry_points() -> tuple[str, ...]:
    return tuple(point.module for point in entry_points(group=GROUP) if _NAME.fullmatch(point.module))


def _is_of_python(package: str) -> bool:
    return package in sys.stdlib_module_names or package in ("builtins", "__main__")
