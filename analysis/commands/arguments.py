"""How arguments of the command line are read."""

import argparse

FORMATS = ("md", "csv", "html", "latex", "json")
DIRECTORY = "directory with runs at any depth, such as results/<name>"


def add_selection(command: argparse.ArgumentParser) -> None:
    """What every command has that shows numbers of the runs below a directory."""
    command.add_argument("directory", help=DIRECTORY)
    add_choice(command)


def add_choice(command: argparse.ArgumentParser) -> None:
    """Which metrics, which runs, and in which format."""
    command.add_argument("--metric", type=names, metavar="COL,COL", help="default: the sweep's objectives, or val_top1")
    command.add_argument(
        "--where", type=condition, action="append", default=[], metavar="COL=VALUE", help="only these runs; repeatable"
    )
    command.add_argument("--format", choices=FORMATS, default="md", help="default: %(default)s")


def names(text: str) -> list[str]:
    """Read `a,b`."""
    return [name.strip() for name in text.split(",") if name.strip()]


def condition(text: str) -> tuple[str, str]:
    """Read `column=value`."""
    column, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not COL=VALUE, such as model=resnet20")
    return column.strip(), value.strip()
