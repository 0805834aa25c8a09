"""What the pages say holds: their commands, their Python, their links; and what is made from the code is not stale."""

import doctest
import json
import re
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra._internal.utils import get_args_parser
from omegaconf import DictConfig, OmegaConf

from analysis.__main__ import _parser
from analysis.__main__ import main as analyse
from docs.modes import PAGE, read_header, render
from tests.analysis.conftest import RESULT
from tests.pages import EXTENDING, PAGES, Command, read_anchors, read_commands, read_links, read_python
from tests.support import CONF, REPOSITORY, compose_config
from tffd.app import register_resolvers
from tffd.config import require_config
from tffd.instantiation import build_distillation
from tffd.refusal import ConfigError
from tffd.sweep.arguments import sort_arguments
from tffd.sweep.planning import make_plan

HISTORY = REPOSITORY / "CHANGELOG.md"  # which speaks of commands that are gone
OTHERS = (EXTENDING, REPOSITORY / "docs" / "migration.md")  # with tests of their own
COMMANDS = [command for page in PAGES if page not in (HISTORY, *OTHERS) for command in read_commands(page)]


def _once(commands: list[Command]) -> list[Command]:
    """Commands that pages repeat, once: where one of them has output, that one."""
    ordered = sorted(commands, key=lambda command: len(command.output))
    return list({command.words: command for command in ordered}.values())


RUNS = [command for command in COMMANDS if command.program == "run"]
ANALYSES = [command for command in COMMANDS if command.program == "analysis"]
DRAWING = ("plot", "report")  # seconds each, and tested in tests/analysis
LATE = ("lambda_intra", "lambda_inter")
MODES = ("none", "intra", "inter", "tfd")


@pytest.mark.parametrize("command", _once(RUNS), ids=str)
def test_a_command_of_run_py_is_accepted(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Composed and checked as far as it can be without the files that it names; a sweep is planned, a little smaller.

    A command that is shown with its refusal is refused in these words.
    """
    monkeypatch.chdir(tmp_path)
    options = get_args_parser().parse_args(command.words)
    if not options.multirun:
        build_distillation(require_config(_compose(options.overrides)))
        return
    overrides = [word.split(",")[0] if word.startswith("seed=") else word for word in options.overrides]
    small = ["dataset=digits"] if any(word.startswith("experiment=") for word in overrides) else []
    overrides += ["model=resnet8", *small]  # nothing is downloaded, and little is built
    overrides += ["sweep.baseline=null", "sweep.enqueue=[]"] * any(word.startswith("sweep=") for word in overrides)
    if "sweep=modes" in overrides and not any(word.startswith("kd_mode=") for word in overrides):
        overrides.append("kd_mode=tfd,tf_kd")
    overrides += ["ablation.grid.seed='0'"] * any(word.startswith("ablation=") for word in overrides)
    base = _compose(sort_arguments(overrides).fixed)
    if command.output and command.output[0].startswith("The configuration has"):
        with pytest.raises(ConfigError) as refused:
            make_plan(overrides, base, _compose, _some_of)
        assert tuple(str(refused.value).splitlines()) == command.output
    else:
        assert make_plan(overrides, base, _compose, _some_of).studies
    assert not (tmp_path / "results").exists()


def _some_of(group: str) -> list[str]:
    return {"kd_mode": ["none", "st", "tfd"]}[group]


def _compose(overrides: list[str]) -> DictConfig:
    """Compose as a sweep does: numbers are set afterwards, and settings of a kd_mode hold for runs that have it."""
    late = [word for word in overrides if word.partition("=")[0] in LATE]
    groups = [word for word in overrides if word not in late]
    modes = _composed(tuple(word for word in groups if not word.startswith("kd_mode."))).kd_mode
    kept = [word for word in groups if not word.startswith("kd_mode.") or word.split(".")[1] in modes]
    config = deepcopy(_composed(tuple(kept)))
    for key, value in (word.split("=") for word in late):
        OmegaConf.update(config, key, float(value))
    return config


@cache
def _composed(overrides: tuple[str, ...]) -> DictConfig:
    register_resolvers()
    with initialize_config_dir(str(CONF)):
        return compose("config", overrides=list(overrides), return_hydra_config=True)


@pytest.mark.parametrize("command", _once(ANALYSES), ids=str)
def test_a_command_of_the_analysis_works(
    command: Command, small_results: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Tables are made of small results; of commands that draw, and those that are named alone, the words are read."""
    monkeypatch.chdir(small_results)
    name, *arguments = command.words
    if not arguments:
        with pytest.raises(SystemExit) as ended:
            analyse([name, "--help"])
        assert ended.value.code == 0
    elif name in DRAWING:
        assert Path(_parser().parse_args(command.words).directory).is_dir()
    else:
        assert analyse(command.words) == 0
        out = capsys.readouterr().out
        assert out.count("\n") >= 1
        if command.output and command.output[0].startswith("|"):
            assert _cells(out) >= _cells(command.output[0])


def _cells(text: str) -> set[str]:
    return {cell.strip() for cell in text.splitlines()[0].split("|")}


@pytest.fixture(scope="module")
def small_results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directories of results that the pages speak of, small and made up."""
    root = tmp_path_factory.mktemp("pages")
    for directory in ("terms", "a", "b"):
        _write_grid(root / "results" / directory, MODES, range(8))
    _write_grid(root / "results" / "zoo", MODES, range(3))
    beside = ("st", "intra+st", "inter+st", "st+tfd")
    _write_grid(root / "results" / "composition", (*MODES, *beside), range(10))
    _write_grid(
        root / "results" / "lambdas-final",
        ("none", "tfd"),
        range(3, 8),
        protocol="final",
        val_top1=None,
        test_top1=90.0,
    )
    search = root / "results" / "lambdas"
    _write_grid(search / "baseline", ("none",), range(3), study="baseline")
    for trial in range(4):
        lambdas = {"lambda_intra": 0.001 * (trial + 1), "lambda_inter": 0.01}
        _write_run(search / "search" / str(trial), "tfd", 0, study="search", trial=trial, **lambdas)
    cells = [{"kd_mode": "none", "seed": str(seed)} for seed in range(3)]
    studies = [
        {"study": "baseline", "kind": "grid", "n_trials": 3, "cells": cells},
        {"study": "search", "kind": "search", "n_trials": 4, "cells": None},
    ]
    space = dict.fromkeys(("lambda_intra", "lambda_inter"), "tag(log, interval(1e-5, 1e-1))")
    plan = {"name": "lambdas", "objective": "val_top1", "direction": "maximize", "studies": studies, "space": space}
    plan |= {"fixed": ["name=lambdas"], "command": "python run.py -m sweep=lambdas"}
    (search / "sweep.json").write_text(json.dumps(plan))
    return root


def _write_grid(directory: Path, modes: tuple[str, ...], seeds: range, **fields: Any) -> None:
    for mode in modes:
        for seed in seeds:
            _write_run(directory / f"{mode}-{seed}", mode, seed, **fields)


def _write_run(directory: Path, kd_mode: str, seed: int, **fields: Any) -> None:
    (directory / ".hydra").mkdir(parents=True)
    (directory / ".hydra" / "config.yaml").write_text(f"seed: {seed}\n")
    words = [f"kd_mode={kd_mode}", f"seed={seed}", *(f"{key}={fields[key]}" for key in fields if "lambda" in key)]
    (directory / ".hydra" / "overrides.yaml").write_text("".join(f"- {word}\n" for word in words))
    (directory / "metrics.csv").write_text("epoch,val_top1\n1,61.0\n2,60.0\n")
    accuracy = 60.0 + (seed * 7 + len(kd_mode) * 5) % 11
    parts = kd_mode.split("+")
    terms = {"intra": 8e-4 * bool({"intra", "tfd"} & {*parts}), "inter": 5e-4 * bool({"inter", "tfd"} & {*parts})}
    weights = {"term_weights": terms | {"st": float("st" in parts)}}
    lambdas = {f"lambda_{term}": weight for term, weight in terms.items()}
    measured = {"kd_mode": kd_mode, "seed": seed, "val_top1": accuracy, "best_val_top1": accuracy + 1}
    settings = f"{kd_mode} {fields.get('lambda_intra')}"
    hashes = {"settings_hash": settings, "config_hash": f"{settings} {seed} {directory.name}"}
    result = RESULT | hashes | lambdas | weights | measured | fields
    (directory / "result.json").write_text(json.dumps(result))


@pytest.mark.parametrize(
    ("page", "block"), [(page.name, block) for page in PAGES if page != EXTENDING for block in read_python(page)]
)
def test_python_in_the_pages_runs(page: str, block: str, small_results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(small_results)
    stages = {f"f{n}": torch.rand(2, 8 * n, 16 // n, 16 // n) for n in (1, 2, 4)}
    names: dict[str, Any] = {"f1": stages["f1"], "f2": stages["f2"], "f3": stages["f4"]}
    if ">>>" in block:
        example = doctest.DocTestParser().get_doctest(block, names, page, page, None)
        assert doctest.DocTestRunner().run(example).failed == 0
        return
    exec(block, names)
    if "runs" in names:
        assert len(names["runs"]) == 32
        assert {"kd_mode", "seed", "val_top1", "status"} <= set(names["runs"].columns)
        assert len(names["curves"]) == 64


def test_there_are_commands_and_python() -> None:
    assert len(RUNS) > 30
    assert len(ANALYSES) > 20
    assert {command.words[0] for command in ANALYSES} == {
        "table", "ablation", "runs", "plot", "best", "status", "compare", "report"
    }  # fmt: skip
    assert any(command.words[:1] == ("-m",) and command.output for command in RUNS)


def test_a_command_ends_where_its_comment_and_its_output_begin(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "`python -m\nanalysis best` and `tffd`\n```\n$ python run.py -m 'a=[b,c]' \\\n    d=1  # why\n3 trials\n"
        "$ make x\ny\n```\n```\npython run.py # all\npython -m analysis table d\n```\n"
    )
    assert read_commands(page) == [
        Command("page.md", "run", ("-m", "a=[b,c]", "d=1"), ("3 trials",)),
        Command("page.md", "run", ()),
        Command("page.md", "analysis", ("table", "d")),
        Command("page.md", "analysis", ("best",)),
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for link in read_links(page):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert not anchor or anchor in read_anchors(target), link


def test_links_of_the_readme_lead_to_every_page() -> None:
    linked = {(REPOSITORY / link.partition("#")[0]).resolve() for link in read_links(REPOSITORY / "README.md")}
    assert set(PAGES) - {REPOSITORY / "README.md"} <= linked


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_targets_of_make_exist(page: Path) -> None:
    targets = re.findall(r"^([a-z-]+):.*##", (REPOSITORY / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    named = re.findall(r"^(?:\$ )?make ([a-z-]+)|`make ([a-z-]+)`", page.read_text(encoding="utf-8"), re.MULTILINE)
    assert {first or second for first, second in named} <= set(targets)


@pytest.mark.parametrize("page", sorted((REPOSITORY / "docs").glob("*.md")), ids=lambda page: page.name)
def test_pages_are_short_and_begin_with_what_they_answer_and_a_command(page: Path) -> None:
    lines = page.read_text(encoding="utf-8").splitlines()
    assert len(lines) < 150
    assert lines[0].startswith("# ")
    opening = next(number for number, line in enumerate(lines) if line.startswith("```"))
    assert 3 <= opening <= 8


@pytest.mark.parametrize(("page", "limit"), [("README.md", 120), ("CONTRIBUTING.md", 70)])
def test_the_first_pages_are_short(page: str, limit: int) -> None:
    assert len((REPOSITORY / page).read_text(encoding="utf-8").splitlines()) <= limit


def test_pictures_are_small() -> None:
    pictures = sorted((REPOSITORY / "docs").glob("*.png"))
    assert pictures
    assert all(picture.stat().st_size <= 60_000 for picture in pictures)


def test_page_of_the_modes_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == render(), "run `make docs`"


@pytest.mark.parametrize("path", sorted((CONF / "kd_mode").glob("*.yaml")), ids=lambda path: path.stem)
def test_recipes_compose(path: Path) -> None:
    """What a header says of other published settings can be typed."""
    for _, overrides in read_header(path.read_text(encoding="utf-8")).recipes:
        config = require_config(compose_config(f"kd_mode={path.stem}", "teacher=resnet20", *overrides.split()))
        build_distillation(config)


def test_header_of_a_mode() -> None:
    text = """# @package kd_mode.x
# What it does,
# in two lines.
# Source: A paper. Weight of another.
# Recipe: Theirs at abc: kd_mode.x.p=1
#   kd_mode.x.q=2
_target_: a.b
p: 2  # Source: no
"""
    header = read_header(text)
    assert (header.what, header.source) == ("What it does, in two lines.", "A paper. Weight of another.")
    assert header.recipes == (("Theirs at abc", "kd_mode.x.p=1 kd_mode.x.q=2"),)
