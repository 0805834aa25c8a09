"""`result.json`: what a run says about itself when it ends."""

import json
import math
from typing import Any

from analysis.read.bounds import check_number
from analysis.read.files import read_json

ENDED = ("complete", "pruned", "failed")

# Every field that a run writes, in the order of the gathered columns. `versions`, an object, is flattened.
FIELDS: dict[str, type] = {
    "status": str,
    "error": str,
    "name": str,
    "study": str,
    "trial": int,
    "model": str,
    "dataset": str,
    "kd_mode": str,
    "lambda_intra": float,
    "lambda_inter": float,
    "teacher": str,
    "seed": int,
    "protocol": str,
    "train_size": int,
    "epochs": int,
    "epochs_run": int,
    "val_top1": float,
    "val_top5": float,
    "val_loss": float,
    "best_val_top1": float,
    "best_val_epoch": int,
    "test_top1": float,
    "test_top5": float,
    "test_loss": float,
    "best_test_top1": float,
    "train_seconds": float,
    "images_per_second": float,
    "peak_memory_mb": float,
    "parameters": int,
    "classes": int,
    "device": str,
    "precision": str,
    "threads": int,
    "git_commit": str,
    "started": str,
    "finished": str,
    "config_hash": str,
    "settings_hash": str,
}
_WANTED = {str: "a string", int: "a whole number", float: "a number"}
_LARGEST = 2**63 - 1  # of the integers that a column can hold


def read_result(path: str) -> dict[str, Any]:
    """Read one `result.json` into a flat dict: an object inside it becomes `outer.inner` keys.

    Raises:
        FileNotFoundError: If the file is not there (any more).
        OSError: If it cannot be read.
        ValueError: If it is not the result of a run, or holds a number that none can have measured; the message says
            what is wrong with it.
    """
    result = read_json(path)
    if not isinstance(result, dict):
        raise ValueError("is not a JSON object")
    if "status" not in result:
        raise ValueError("has no status")
    if result["status"] not in ENDED:
        raise ValueError(f"has the status {result['status']!r}, not one of {', '.join(ENDED)}")
    _check_types(result)
    return _flatten(result)


def _check_types(result: dict[str, Any]) -> None:
    for name, wanted in FIELDS.items():
        value = result.get(name)
        if value is None:
            continue
        fits = isinstance(value, (int, float) if wanted is float else wanted) and not isinstance(value, bool)
        if fits and isinstance(value, int):
            fits = abs(value) <= _LARGEST
        if not fits:
            raise ValueError(f"has {name} = {value!r}, which is not {_WANTED[wanted]}")


def _flatten(result: dict[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in result.items():
        if isinstance(value, dict):
            flat.update({f"{name}.{inner}": _scalar(f"{name}.{inner}", one) for inner, one in value.items()})
        else:
            flat[name] = _scalar(name, value)
    return flat


def _scalar(name: str, value: Any) -> Any:
    """What a column can hold and group by; deeper structure stays readable as JSON text.

    Raises:
        ValueError: If it is a number that no run can have measured.
    """
    if isinstance(value, (dict, list)):
        return json.dumps(value)
    if isinstance(value, (float, int)) and not 0 <= value <= 100:  # as most are; truths are 0 and 1
        check_number(name, value)
    return value


def is_measured(value: Any) -> bool:
    """Whether a metric has a value: null is "not measured", and a diverged loss has no mean either."""
    return value is not None and math.isfinite(value)
