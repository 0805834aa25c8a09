"""Whole texts of commands, as they stand in `texts/`: of people's format and of programs'."""

from pathlib import Path
from typing import Any

import pytest

from analysis.__main__ import main

TEXTS = Path(__file__).parent / "texts"
LAMBDAS = {"none": (0.0, 0.0), "intra": (8e-4, 0.0), "inter": (0.0, 5e-4), "tfd": (8e-4, 5e-4)}
GAINS = {"none": 0.0, "intra": 1.0, "inter": 0.5, "tfd": 2.0}


@pytest.fixture
def trees(tmp_path: Path, write_run: Any, write_sweep: Any, monkeypatch: Any) -> None:
    """Two ablations of eight seeds, on two commits; tfd moved. In each a run failed, and one is missing."""
    monkeypatch.chdir(tmp_path)
    for tree, commit, better in (("a", "a" * 40, 0), ("b", "b" * 40, 1)):
        for kd_mode, (intra, inter) in LAMBDAS.items():
            for seed in range(8):
                fields = {"lambda_intra": intra, "lambda_inter": inter, "git_commit": commit, "study": "grid"}
                value = 60 + seed + GAINS[kd_mode] + (better + (1 + better) * seed / 8 if kd_mode == "tfd" else 0.0)
                words = ("ablation=terms", f"kd_mode={kd_mode}", f"seed={seed}")
                path = f"{tree}/grid/{kd_mode}-{seed}"
                write_run(path, kd_mode=kd_mode, seed=seed, val_top1=value, overrides=words, **fields)
        words = ("ablation=terms", "kd_mode=none", "seed=8")
        write_run(f"{tree}/grid/none-8", seed=8, status="failed", overrides=words)
        cells = [{"kd_mode": kd_mode, "seed": str(seed)} for kd_mode in LAMBDAS for seed in range(8)]
        cells += [{"kd_mode": "none", "seed": "8"}, {"kd_mode": "tfd", "seed": "8"}]
        study = {"study": "grid", "kind": "grid", "n_trials": len(cells), "cells": cells}
        write_sweep(study, path=tree, name=tree, fixed=["ablation=terms"])


COMMANDS = {"ablation": ["ablation", "a"], "compare": ["compare", "a", "b"], "missing": ["table", "a", "--missing"]}


@pytest.mark.parametrize("format_", ["md", "csv"])
@pytest.mark.parametrize("name", list(COMMANDS))
def test_whole_text(trees: None, capsys: Any, name: str, format_: str) -> None:
    assert main([*COMMANDS[name], "--format", format_]) == 0
    assert capsys.readouterr().out == (TEXTS / f"{name}.{format_}").read_text(encoding="utf-8")
