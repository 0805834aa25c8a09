"""What a setting is to a comparison, and that the analysis and the identity of a run agree on it."""

from pathlib import Path

import pytest

from analysis.read.method import changes_numbers, covers, is_compared, is_method, is_setting
from tests.support import compose_config, places
from tffd.config import require_config
from tffd.identity import hash_config


@pytest.mark.parametrize(
    ("column", "key", "covered"),
    [
        ("lambda_intra", "kd_mode.tfd.lambda_intra", True),  # the method is one thing
        ("kd_mode", "teacher.model.name", True),
        ("kd_mode", "trainer.lr", False),
        ("model", "model.weights", True),
        ("train_size", "dataset.train_size", True),
        ("train_size", "data", False),
        ("dataset", "data", True),
        ("trainer.name", "trainer.lr", True),
        ("trainer.lr", "trainer.lr_decay", False),
    ],
)
def test_what_a_column_stands_for(column: str, key: str, covered: bool) -> None:
    assert covers(column, key) is covered


def test_columns_are_told_by_their_names() -> None:
    assert [
        column for column in ("kd_mode", "kd_mode.at.weights.at", "lambda_inter", "kd_modes") if is_method(column)
    ] == [
        "kd_mode",
        "kd_mode.at.weights.at",
        "lambda_inter",
    ]
    names = ("trainer.lr", "data", "versions.torch", "split.val_sha256", "sweep.n_jobs", "dataset.cache", "epochs")
    assert [column for column in names if is_setting(column)] == ["trainer.lr", "data"]
    assert is_compared("epochs", ("trainer.name",))
    assert not is_compared("epochs", ("trainer.lr", "model"))


@pytest.mark.parametrize(
    "override",
    [
        *("name=other", "device=auto", "threads=2", "trainer.name=other", "trainer.checkpoint_every=3", "seed=5"),
        *("sweep.n_jobs=3", "dataset.cache=elsewhere", "results_dir=elsewhere", "trainer.eval_batch_size=7"),
        *("trainer.lr=0.3", "trainer.gamma=0.3", "trainer.precision=bf16", "dataset.augment.pad=2", "model=resnet14"),
        *("dataset.train_size=100", "protocol.split_seed=1", "protocol.val_fraction=0.2", "kd_mode.tfd.reduction=sum"),
    ],
)
def test_what_counts_is_what_makes_another_run(tmp_path: Path, override: str) -> None:
    """The seed aside, which pairs runs, a setting counts in a comparison exactly if it counts in the identity."""
    words = [word for word in places(tmp_path) if word.partition("=")[0] != override.partition("=")[0]]
    before, after = (hash_config(require_config(compose_config(*words, *more))) for more in ((), (override,)))
    key = override.partition("=")[0]
    assert changes_numbers(key) is (before.settings != after.settings)
