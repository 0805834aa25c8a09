"""Trees that reports are made of, and a browser to read them with."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.analysis.figures.conftest import search, write_terms, write_trial
from tests.analysis.report.browser import COMMAND, Browser, find_chromium

__all__ = ["search", "write_terms", "write_trial"]

EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(1)>\"'&"


@pytest.fixture
def troubled(tmp_path: Path, write_run: Any, write_sweep: Any) -> Path:
    """A grid with hostile names, and runs that failed, died, left a broken result, or are still to come."""
    root = tmp_path / "troubled"
    for kd_mode, level in (("none", 60.0), (EVIL, 61.0)):
        for seed in range(2):
            path = f"troubled/grid/{'none' if kd_mode == 'none' else '<i>'}-{seed}"
            words = (f"kd_mode={kd_mode}", f"seed={seed}")
            write_run(path, overrides=words, kd_mode=kd_mode, seed=seed, val_top1=level + seed, study="grid", name=EVIL)
    write_run("troubled/grid/final", protocol="final", val_top1=None, test_top1=70.0, study="grid")
    for seed in range(2, 9):
        error = f"Traceback (most recent call last):\n  File {EVIL}\nRuntimeError: out of memory {EVIL}"
        write_run(f"troubled/grid/javascript:{seed}", status="failed", error=error, kd_mode="tfd", seed=seed)
    write_run("troubled/grid/dead", ended=False, overrides=("kd_mode=tfd", "seed=20"))
    (write_run("troubled/grid/broken") / "result.json").write_text('{"status": "comp')
    cells = [{"kd_mode": kd_mode, "seed": str(seed)} for kd_mode in ("none", EVIL) for seed in range(4)]
    study = {"study": "grid", "kind": "grid", "n_trials": 8, "cells": cells}
    write_sweep(study, path="troubled", name=EVIL, command=f"python run.py -m {EVIL}", fixed=[f"name={EVIL}"])
    return root


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Debian's Chromium without a window; skipped where it is not installed."""
    if find_chromium() is None:
        pytest.skip(f"no browser: {COMMAND} is not installed (apt-get install {COMMAND})")
    with Browser(tmp_path_factory.mktemp("browser") / "profile") as opened:
        yield opened


@pytest.fixture
def browser(chromium: Browser) -> Browser:
    """The browser with an empty page."""
    chromium.fresh()
    return chromium
