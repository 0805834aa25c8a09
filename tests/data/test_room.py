"""Pictures that do not fit a card are refused with the figures, before the sweep or by the run, and not tried twice."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from tests.support import compose_config, places
from tffd.checks import check_config
from tffd.refusal import ConfigError
from tffd.data.arrays import Arrays
from tffd.data.loading import load_data
from tffd.data.room import DataTooLarge, bytes_on_device, require_room
from tffd.data.sources.digits import Digits
from tffd.data.splits import Split
from tffd.machine import smallest_memory
from tffd.failures import Failure, FailureKind

GIB = 2**30


def test_what_a_run_takes_to_its_device() -> None:
    images = np.zeros((10, 4, 4, 3), np.uint8)
    arrays = Arrays(images, np.zeros(10, np.int64), images[:5], np.zeros(5, np.int64), ("a",))
    split = Split(train=np.arange(6), val=np.arange(6, 8))
    assert bytes_on_device(arrays, split, read_test=False) == 8 * 48
    assert bytes_on_device(arrays, split, read_test=True) == 13 * 48


def test_the_figures_are_told() -> None:
    require_room(30 * GIB, 60 * GIB, "in all", trials=2)
    with pytest.raises(DataTooLarge) as caught:
        require_room(30 * GIB, 59 * GIB, "in all", trials=2)
    assert str(caught.value) == (
        "the pictures take 30.00 GiB of a CUDA device, times 2 trials that share it (sweep.trials_per_device=2), but it "
        "has 59.00 GiB in all; use a smaller dataset.train_size or picture size, a smaller sweep.trials_per_device, or "
        "device=cpu"
    )
    with pytest.raises(DataTooLarge, match="of a CUDA device, but it has 0.50 GiB free; use a smaller dataset.train_"):
        require_room(GIB, GIB // 2, "free")


def test_it_would_not_help_to_try_again() -> None:
    kind = Failure.of(DataTooLarge("the pictures take")).kind
    assert kind is FailureKind.SAME_AGAIN and not kind.may_go_away


@pytest.fixture
def small_cards(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two of them; the digits, of which 1297 are not for testing, take 64 bytes each: 83 kB."""
    sizes = [10**6, 100_000]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: len(sizes))
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda index: (9, 0))
    properties = [SimpleNamespace(total_memory=size) for size in sizes]
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: properties[index])
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (50_000, 100_000))


def test_a_sweep_is_refused_before_it_begins(tmp_path: Path, small_cards: None) -> None:
    whole = (*places(tmp_path), "dataset.train_size=null")
    check_config(compose_config(*whole))
    sharing = compose_config(*whole, "sweep.trials_per_device=2")
    with pytest.raises(
        ConfigError, match="dataset=digits: the pictures take 0.00 GiB of a CUDA device, times 2 trials"
    ):
        check_config(sharing)
    assert check_config(sharing, elsewhere=True).sweep.trials_per_device == 2  # by jobs whose cards are not seen here
    check_config(compose_config(*whole, "sweep.trials_per_device=2", "device=cpu"))


def test_a_run_is_refused_where_others_have_filled_the_card(tmp_path: Path, small_cards: None) -> None:
    with pytest.raises(DataTooLarge, match="0.00 GiB free"):
        load_data(
            Digits(), cache=tmp_path, mean=None, std=None, train_size=None, val_fraction=0.3, split_seed=0,
            read_test=False, device=torch.device("cuda"),
        )  # fmt: skip


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_real_card_has_more_in_all_than_it_has_free() -> None:
    assert smallest_memory() >= torch.cuda.mem_get_info(torch.device("cuda"))[0] > 0
