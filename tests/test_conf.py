"""Every file in conf/ composes into a config that fits the schema and builds its objects."""

from pathlib import Path

import pytest
from hydra.errors import ConfigCompositionException

from tests.support import CONF, compose_config
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
