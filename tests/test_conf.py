"""Every file in conf/ composes into a config that fits the schema and builds its objects."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from hydra.errors import ConfigCompositionException

from tests.support import CONF, REPOSITORY, compose_config
from tffd import build, instantiation, machine
from tffd.config import require_config
from tffd.sweep.samplers import make_pruner, make_sampler

FILES = sorted(CONF.rglob("*.yaml"))
OPTIONS = [path.relative_to(CONF) for path in FILES if path.parent != CONF and "hydra" not in path.parts]


def test_there_are_files() -> None:
    assert len(OPTIONS) > 30
    assert {option.parts[0] for option in OPTIONS} == {
        "model", "dataset", "kd_mode", "teacher", "lambdas", "trainer", "protocol", "sweep", "ablation", "experiment"
    }  # fmt: skip


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(CONF)))
def test_is_short_and_says_what_it_is(path: Path) -> None:
    lines = path.read_text().splitlines()
    comment = lines[1] if lines[0].startswith("# @package") else lines[0]
    assert comment.startswith("# ")
    limit = 30 if path.name == "config.yaml" else 25
    assert len(lines) <= limit


def _compared_constants(tree: ast.AST) -> Iterator[object]:
    """What a module compares with, looks for in something, or matches, but for terms in those that are computed."""
    for node in ast.walk(tree):
        if isinstance(node, ast.MatchValue):
            operands = [node.value]
        elif isinstance(node, ast.Compare):
            operands = [node.left, *node.comparators]
            if isinstance(operands[-1], ast.Attribute) and operands[-1].attr == "active":
                continue
        else:
            continue
        for operand in operands:
            parts = operand.elts if isinstance(operand, ast.Tuple | ast.List | ast.Set) else [operand]
            yield from (part.value for part in parts if isinstance(part, ast.Constant))


def test_nothing_else_compares_the_name_of_a_mode() -> None:
    """Which modes a run has is the matter of their classes."""
    modes = {path.stem for path in (CONF / "kd_mode").glob("*.yaml")}
    modules = [path for folder in ("tffd", "analysis", "hydra_plugins") for path in (REPOSITORY / folder).rglob("*.py")]
    found = {
        (path.relative_to(REPOSITORY).as_posix(), constant)
        for path in modules
        for constant in _compared_constants(ast.parse(path.read_text(encoding="utf-8")))
        if constant in modes
    }
    assert found == {
        ("analysis/figures/series.py", "none"),  # the baseline, which has no mode at all, has a style of its own
        ("tffd/choices.py", "none"),  # any group's choice of nothing
        ("tffd/distill/base.py", "none"),  # of the terms of a first stage, how many go on after it
    }
    examples = "a == 'at'; 'at' in b; c in ('x', 'at')\nmatch d:\n    case 'at' | 'x': pass"
    assert list(_compared_constants(ast.parse(examples))).count("at") == 4


@pytest.mark.parametrize("option", OPTIONS, ids=str)
def test_composes_and_builds(option: Path) -> None:
    group, name = option.parent.as_posix(), option.stem
    config = require_config(compose_config(f"{group}={name}"))
    distillation = instantiation.build_distillation(config)
    assert set(distillation.weights) == {term for term, weight in config.term_weights.items() if weight > 0}
    instantiation.build_source(config)
    assert build.build_model(config, 10, 3).num_stages >= 3
    make_sampler(config.sweep)
    make_pruner(config.sweep)
    build.build_recipe(config, machine.effective_device("cpu"))
    if group in ("model", "dataset", "trainer", "protocol"):
        assert getattr(config, group).name == name


@pytest.mark.parametrize(
    ("column", "dataset"),
    [(name, "cifar100") for name in ("resnet20", "resnet32", "wrn_16_2", "resnet8x4", "vgg8")],
)
def test_experiments_are_the_published_columns(column: str, dataset: str) -> None:
    config = require_config(compose_config(f"experiment={dataset}_{column}"))
    assert (config.model.name, config.dataset.name, config.trainer.name) == (column, dataset, "script")
    assert (config.trainer.epochs, config.trainer.batch_size, config.trainer.lr) == (240, 128, 0.1)


@pytest.mark.parametrize(
    ("column", "teacher"),
    [
        ("resnet20", "resnet110"),
        ("resnet32", "resnet110"),
        ("wrn_16_2", "wrn_40_2"),
        ("resnet8x4", "resnet32x4"),
        ("vgg8", "vgg13"),
    ],
)
def test_pairs_of_the_poster(column: str, teacher: str) -> None:
    config = require_config(compose_config(f"experiment=cifar100_{column}", "kd_mode=tfd_plus"))
    assert (config.teacher.name, config.teacher.checkpoint, config.composition) == (teacher, "auto", "st+tfd")
    assert read_grid("published_poster")["experiment"].count(f"cifar100_{column}") == 1


# Teacher, student, learning rate, weights of DKD (mdistiller, configs/cifar100/dkd at a08d46f) and of ReviewKD
# (CIFAR-100/script/reviewKD.sh at 6607308), None where none is published, and the rate of FT's first stage
# (RepDistiller, helper/pretrain.py at b84f547).
PAIRS = [
    ("wrn_40_2", "wrn_16_2", 0.05, 6, 5, 0.01),
    ("wrn_40_2", "wrn_40_1", 0.05, 6, 5, 0.01),
    ("resnet56", "resnet20", 0.05, 2, 0.6, 0.01),
    ("resnet110", "resnet20", 0.05, None, None, 0.01),
    ("resnet110", "resnet32", 0.05, 2, 1, 0.01),
    ("resnet32x4", "resnet8x4", 0.05, 8, 5, 0.01),
    ("vgg13", "vgg8", 0.05, 6, None, 0.05),
    ("vgg13", "mobilenet_v2", 0.01, 6, None, 0.01),
    ("resnet50", "mobilenet_v2", 0.01, 8, None, 0.01),
    ("resnet50", "vgg8", 0.05, None, None, 0.05),
    ("resnet32x4", "shuffle_v1", 0.01, 8, 5, 0.01),
    ("resnet32x4", "shuffle_v2", 0.01, 8, 8, 0.01),
    ("wrn_40_2", "shuffle_v1", 0.01, 8, 5, 0.01),
]
# RepDistiller's weights (scripts/run_cifar_distill.sh at b84f547); those of AB and FSP have no effect there.
WEIGHTS = {
    "st": 0.9, "fitnet": 100, "at": 1000, "sp": 3000, "cc": 0.02, "vid": 1, "rkd_distance": 25, "rkd_angle": 50,
    "pkt": 30000, "ab": 1, "ft": 200, "nst": 50, "crd": 0.8, "tckd": 1,
}  # fmt: skip


def read_grid(ablation: str) -> dict[str, list[str]]:
    grid = require_config(compose_config(f"ablation={ablation}")).ablation.grid
    return {key: text.split(",") for key, text in grid.items()}


@pytest.mark.parametrize(("teacher", "student", "lr", "nckd", "reviewkd", "first_lr"), PAIRS)
def test_published_pairs(
    teacher: str, student: str, lr: float, nckd: float | None, reviewkd: float | None, first_lr: float
) -> None:
    """Each with all modes of ablation=published at once, which fit the pair and have the weights of their sources."""
    name = f"cifar100_{teacher}_{student}"
    modes = [mode for mode in read_grid("published")["kd_mode"] if mode != "none"]
    config = require_config(compose_config(f"experiment={name}", "protocol=final", f"kd_mode=[{','.join(modes)}]"))
    assert (config.name, config.model.name, config.teacher.name) == (name, student, teacher)
    trainer = config.trainer
    assert (trainer.lr, trainer.batch_size, trainer.epochs, trainer.warmup_epochs) == (lr, 64, 240, 0)
    assert config.teacher.trainer == {"lr": 0.05}
    assert config.term_weights == {**WEIGHTS, "nckd": nckd or 8, "reviewkd": reviewkd or 5}
    assert config.kd_mode["st"].cross_entropy == 0.1
    assert config.kd_mode["ft"].arguments()["first_stage_lr_factor"] * lr == pytest.approx(first_lr)
    setting = build.build_setting(config, classes=100, channels=3, image_size=32, pictures=1000)
    for other in ("ab", "ft"):  # of two with a first stage one at a time
        some = config.model_copy(
            update={"kd_mode": {key: mode for key, mode in config.kd_mode.items() if key != other}}
        )
        assert build.build_distillation(some).check(setting) == []


def test_the_published_grids_hold_every_pair() -> None:
    pairs = {f"cifar100_{teacher}_{student}" for teacher, student, *_ in PAIRS}
    grid = read_grid("published")
    assert sorted(grid["experiment"]) == sorted(pairs) and len(pairs) == 7 + 6
    files = {path.stem for path in (CONF / "experiment").glob("*.yaml")}
    assert pairs < files
    fsp = read_grid("published_fsp")
    assert fsp["kd_mode"] == ["none", "fsp"] and set(fsp["experiment"]) < pairs


@pytest.mark.parametrize(("pair", "intra", "inter"), [("readme", 8e-4, 5e-4), ("script", 4e-4, 5e-3)])
def test_published_lambdas(pair: str, intra: float, inter: float) -> None:
    config = require_config(compose_config(f"lambdas={pair}"))
    assert (config.lambda_intra, config.lambda_inter) == (intra, inter)
    assert config.term_weights == {"intra": intra, "inter": inter}


def test_the_search_begins_with_the_published_lambdas() -> None:
    config = require_config(compose_config("sweep=lambdas"))
    published = []
    for pair in ("readme", "script"):
        chosen = require_config(compose_config(f"lambdas={pair}"))
        published.append({"lambda_intra": chosen.lambda_intra, "lambda_inter": chosen.lambda_inter})
    assert config.sweep.enqueue == published


def test_unknown_option_is_hydras_own_error() -> None:
    with pytest.raises(ConfigCompositionException, match="kd_mode/nonsense"):
        compose_config("kd_mode=nonsense")
