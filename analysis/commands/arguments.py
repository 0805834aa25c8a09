"""How arguments of the command line are read."""

import argparse
import shlex
from collections.abc import Iterable
from typing import Any

FORMATS = ("md", "csv", "html", "latex", "json")
DIRECTORY = "directory with runs at any depth, such as results/<name>"


def add_selection(command: argparse.ArgumentParser) -> None:
    """What every command has that shows numbers of the runs below a directory."""
    command.add_argument("directory", help=DIRECTORY)
    add_choice(command)


def add_choice(command: argparse.ArgumentParser) -> None:
    """Which metrics, which runs, and in which format."""
    add_names(command, "--metric", metavar="COL,COL", help="default: the sweep's objectives, or val_top1")
    command.add_argument(
        "--where", type=condition, action="append", default=[], metavar="COL=VALUE", help="only these runs; repeatable"
    )
    command.add_argument("--format", choices=FORMATS, default="md", help="default: %(default)s")
    text = "of LaTeX: fit a page (default) or column of an article, with abbreviations in the notes; or all in full"
    command.add_argument("--width", choices=("page", "column", "full"), default="page", help=text)
    add_safe_csv(command)


def add_safe_csv(command: argparse.ArgumentParser) -> None:
    """What makes CSV fit for a spreadsheet; as it is, it is for programs, which need every text unchanged."""
    text = "CSV for a spreadsheet: an apostrophe before texts that begin with = + - or @, which it runs as formulas"
    command.add_argument("--safe-csv", action="store_true", help=text)


def add_mix(command: argparse.ArgumentParser) -> None:
    """Whether to average and compare what differs in more than the method."""
    command.add_argument("--mix", action="store_true", help="compare runs though other settings, or protocols, differ")


def add_names(command: argparse.ArgumentParser, *flags: str, **options: Any) -> None:
    """Add an option that takes several names, `a,b`; given again, it adds to them."""
    command.add_argument(*flags, type=names, action="extend", **options)


def names(text: str) -> list[str]:
    """Read `a,b`."""
    return [name.strip() for name in text.split(",") if name.strip()]


def condition(text: str) -> tuple[str, str]:
    """Read `column=value`."""
    column, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not COL=VALUE, such as model=resnet20")
    return column.strip(), value.strip()


def conditions(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """The conditions of all `--where` together.

    Raises:
        ValueError: If a column has several: a run that meets both does not exist, and either alone was not asked for.
    """
    found: dict[str, dict[str, None]] = {}
    for column, value in pairs:
        found.setdefault(column, {})[value] = None
    for column, values in found.items():
        if len(values) > 1:
            either = shlex.quote(f"{column}={','.join(values)}")
            raise ValueError(f"--where {column} is given twice; any of several values: --where {either}")
    return {column: next(iter(values)) for column, values in found.items()}
