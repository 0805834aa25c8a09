"""What holds of all configs: settings that change numbers change identities, and no way of writing them does."""

import shlex
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import DictConfig, OmegaConf

from analysis.read.command_lines import Origin, assign, read_command, write_command
from tests.support import compose_config
from tffd.config import require_config
from tffd.identity import Hashes, hash_config
from tffd.sweep.arguments import write_value
from tffd.sweep.space import parse_distribution

few = settings(max_examples=25, deadline=None, derandomize=True, database=None)

# Every setting that can change a run's numbers, with what it may be.
SETTINGS: dict[str, Any] = {
    "seed": st.integers(0, 2**32 - 1),
    "lambda_intra": st.floats(1e-9, 10),
    "lambda_inter": st.floats(1e-9, 10),
    "trainer.lr": st.floats(1e-6, 10),
    "trainer.epochs": st.integers(1, 500),
    "trainer.batch_size": st.integers(1, 100),
    "trainer.momentum": st.floats(0.01, 0.99),
    "trainer.weight_decay": st.floats(0, 1),
    "trainer.gamma": st.floats(0.01, 1),
    "trainer.warmup_epochs": st.integers(0, 30),
    "trainer.milestones": st.sampled_from([[], [0.5], [0.625, 0.75], [0.75]]),
    "trainer.compile": st.booleans(),
    "trainer.pad_mode": st.sampled_from(["reflect", "zero"]),
    "trainer.nesterov": st.booleans(),
    "dataset.train_size": st.one_of(st.none(), st.integers(10, 900)),
    "dataset.mean": st.sampled_from([None, [0.25], [0.5]]),
    "dataset.std": st.sampled_from([None, [0.25], [0.5]]),
    "dataset.augment.pad": st.integers(0, 7),
    "dataset.augment.flip": st.booleans(),
    "trainer.evaluate_every": st.integers(1, 9),
    "protocol.split_seed": st.integers(0, 2**32 - 1),
    "protocol.val_fraction": st.floats(0.01, 0.9),
    "protocol.test": st.sampled_from(["never", "last_epoch", "every_epoch"]),
    "model.name": st.sampled_from(["resnet8", "resnet20", "vgg8"]),
    "kd_mode.tfd.reduction": st.sampled_from(["mean", "sum"]),
    "kd_mode.tfd.stages": st.sampled_from([None, [1], [1, 3]]),
}
# Settings that change no number, with another value each.
IDLE: dict[str, Any] = {
    "name": "other", "results_dir": "elsewhere", "device": "cpu", "threads": 3, "teacher.name": "other",
    "teacher.checkpoint": "auto", "dataset.name": "other", "dataset.root": "elsewhere", "dataset.cache": "elsewhere",
    "trainer.name": "other", "trainer.checkpoint_every": 3, "trainer.eval_batch_size": 3,
    "trainer.cuda_graph": False, "protocol.name": "other",
    "sweep.n_jobs": 3, "pair.nckd": 3.0, "pair.reviewkd": 3.0, "pair.ft_lr_factor": 1.0,
}  # fmt: skip
# Settings that count by what they name or come to, with tests of their own.
BY_MEANING = {
    "model._target_", "dataset.source._target_", "kd_mode.tfd._target_", "model.weights", "dataset.val_fraction",
    "kd_mode.tfd.weights.intra", "kd_mode.tfd.weights.inter", "trainer.precision",
}  # fmt: skip
changes = st.dictionaries(st.sampled_from(sorted(SETTINGS)), st.none(), max_size=4).flatmap(
    lambda keys: st.fixed_dictionaries({key: SETTINGS[key] for key in keys})
)
texts = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=12).filter(str.isprintable)


@cache
def base() -> DictConfig:
    return compose_config()


def identity(values: dict[str, Any]) -> Hashes:
    config = OmegaConf.create(base())
    for key, value in values.items():
        OmegaConf.update(config, key, value)
    return hash_config(require_config(config))  # type: ignore[arg-type]


def complete(values: dict[str, Any]) -> dict[str, Any]:
    return {key: values.get(key, OmegaConf.select(base(), key)) for key in SETTINGS}


@few
@given(changes, changes)
def test_two_configs_are_one_run_if_and_only_if_their_settings_are_equal(
    one: dict[str, Any], other: dict[str, Any]
) -> None:
    same = complete(one) == complete(other)
    assert (identity(one).run == identity(other).run) is same
    without_seed = [{**complete(values), "seed": 0} for values in (one, other)]
    assert (identity(one).settings == identity(other).settings) is (without_seed[0] == without_seed[1])


@pytest.mark.parametrize("key", SETTINGS)
@settings(few, max_examples=5)
@given(data=st.data())
def test_each_setting_alone_makes_another_run(key: str, data: st.DataObject) -> None:
    value = data.draw(SETTINGS[key].filter(lambda value: value != OmegaConf.select(base(), key)))
    assert identity({key: value}).run != identity({}).run


def test_no_setting_is_forgotten_here() -> None:
    """A new one belongs into one of the three lists."""

    def keys(section: dict[str, Any], prefix: str = "") -> Iterator[str]:
        for key, value in section.items():
            yield from keys(value, f"{prefix}{key}.") if isinstance(value, dict) else (f"{prefix}{key}",)

    found = keys(OmegaConf.to_container(base()))  # type: ignore[arg-type]
    assert {key for key in found if not key.startswith("sweep.")} | {"sweep.n_jobs"} == {*SETTINGS, *IDLE, *BY_MEANING}


@pytest.mark.parametrize("key", IDLE)
def test_what_changes_no_number_makes_no_other_run(key: str) -> None:
    assert OmegaConf.select(base(), key) != IDLE[key]
    assert identity({key: IDLE[key]}) == identity({})


@few
@given(changes.flatmap(lambda values: st.permutations(list(values.items()))))
def test_the_order_of_overrides_changes_no_identity(items: list[tuple[str, Any]]) -> None:
    assert identity(dict(items)) == identity(dict(reversed(items))) == identity(dict(sorted(items)))


def parsed(word: str) -> Any:
    return OverridesParser.create().parse_override(word).value()


@settings(few, max_examples=100)
@given(texts)
def test_a_text_survives_being_written_printed_pasted_and_read(text: str) -> None:
    word = assign("dataset.root", text)
    command = write_command([word], Origin())
    pasted = read_command(command)
    assert pasted is not None
    assert pasted.overrides == tuple(shlex.split(command)[2:]) == (word,)
    assert parsed(word) == text


@settings(few, max_examples=100)
@given(st.lists(texts, min_size=2, max_size=4, unique=True))
def test_a_choice_of_a_search_is_the_text_that_was_typed(choices: list[str]) -> None:
    quoted: Callable[[str], str] = lambda text: assign("k", text).removeprefix("k=")  # noqa: E731
    dimension = f"choice({','.join(map(quoted, choices))})"
    distribution = parse_distribution("k", dimension)
    assert list(distribution.choices) == choices  # type: ignore[attr-defined]
    for choice in choices:
        assert parsed(f"k={write_value('k', choice, dimension)}") == choice
