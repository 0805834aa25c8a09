"""What a run was configured with, and the last row of its `metrics.csv`."""

import csv
import os
from collections.abc import Iterable, Mapping
from typing import Any

from analysis.read.bounds import check_number
from analysis.read.faults import Fault, Unreadable
from analysis.read.files import read_file
from analysis.read.yaml_text import parse_config, read_text

_TAIL = 4096  # bytes that hold the last row of any metrics.csv


def read_config(run: str) -> dict[str, Any]:
    """Read a run's config, flat: `trainer.lr`. Lists are text; interpolations stay as they are written.

    Raises:
        OSError: If it cannot be read.
        Unreadable: If it is no regular file, too large, not YAML, or not a mapping.
    """
    try:
        config = parse_config(read_text(os.path.join(run, ".hydra", "config.yaml")))
    except Unreadable as error:
        raise Unreadable(error.kind, f"has a config that {error}") from error
    if not isinstance(config, dict):
        raise Unreadable(Fault.NOT_A_CONFIG, "has a config that is not a mapping")
    return dict(_flat(config, ""))


def _flat(config: Mapping[Any, Any], prefix: str) -> Iterable[tuple[str, Any]]:
    for key, value in config.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", str(value) if isinstance(value, list) else value


def read_last_row(run: str) -> dict[str, float]:
    """Read the last row of a run's `metrics.csv`, without what is empty there.

    Raises:
        OSError: If it cannot be read.
        Unreadable: If it is no regular file, too large, or has no row, a row that does not fit its header, or a number
            that no run can have measured.
    """
    try:
        content = read_file(os.path.join(run, "metrics.csv"))
    except Unreadable as error:
        raise Unreadable(error.kind, f"has a metrics.csv that {error}") from error
    heading, _, rows = content.partition(b"\n")
    try:
        first, tail = heading.decode("utf-8-sig"), rows[-_TAIL:].decode(errors="replace")
        header, row = (next(csv.reader(lines), []) for lines in ([first], tail.splitlines()[-1:]))
    except (UnicodeDecodeError, csv.Error) as error:
        raise Unreadable(Fault.NOT_CSV, f"has a metrics.csv that is not CSV ({error})") from error
    if not tail.endswith("\n") or len(row) != len(header):
        raise Unreadable(Fault.CUT_OFF, "has a metrics.csv that is empty or cut off")
    try:
        last = {name: float(value) for name, value in zip(header, row, strict=True) if value}
    except ValueError as error:
        reason = f"has a metrics.csv with a value that is no number ({error})"
        raise Unreadable(Fault.NO_NUMBER, reason) from error
    for name, value in last.items():
        check_number(name, value, may_diverge=True)
    return last
