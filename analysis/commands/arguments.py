"""How arguments of the command line are read."""

import argparse


def names(text: str) -> list[str]:
    """Read `a,b`."""
    return [name.strip() for name in text.split(",") if name.strip()]


def condition(text: str) -> tuple[str, str]:
    """Read `column=value`."""
    column, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not COL=VALUE, such as model=resnet20")
    return column.strip(), value.strip()
