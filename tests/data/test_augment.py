"""Batched augmentation against torchvision's, picture by picture."""

import itertools

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms import functional as F
from torchvision.transforms import v2

from tffd.data.augment import PadMode, crop_and_flip, normalise


def pictures(count: int, height: int, width: int, channels: int) -> Tensor:
    return torch.from_numpy(
        np.random.default_rng(0).integers(0, 256, size=(count, height, width, channels), dtype=np.uint8)
    )


def one_by_one(
    images: Tensor, picks: list[int], tops: list[int], lefts: list[int], flips: list[bool], pad: int, mode: PadMode
) -> Tensor:
    """The reference's pipeline on Pillow pictures: pad, crop, then mirror the crop."""
    height, width, channels = images.shape[1:]
    results = []
    for pick, top, left, flip in zip(picks, tops, lefts, flips, strict=True):
        array = images[pick].numpy()
        picture = Image.fromarray(array if channels == 3 else array[..., 0])
        picture = F.pad(picture, [pad], padding_mode="reflect" if mode == "reflect" else "constant")
        picture = F.crop(picture, top, left, height, width)
        picture = F.hflip(picture) if flip else picture
        results.append(torch.from_numpy(np.array(picture)).reshape(height, width, channels))
    return torch.stack(results)


@pytest.mark.parametrize("mode", ["reflect", "zero"])
@pytest.mark.parametrize("pad", [0, 1, 2, 4])
@pytest.mark.parametrize(("height", "width", "channels"), [(8, 8, 1), (8, 8, 3), (5, 9, 3), (7, 6, 1)])
def test_equals_torchvision_at_every_offset(height: int, width: int, channels: int, pad: int, mode: PadMode) -> None:
    images = pictures(3, height, width, channels)
    cases = list(itertools.product(range(2 * pad + 1), range(2 * pad + 1), (False, True)))
    tops, lefts, flips = (list(values) for values in zip(*cases, strict=True))
    picks = [index * 2 % 3 for index in range(len(cases))]
    found = crop_and_flip(
        images,
        torch.tensor(picks),
        torch.tensor(tops),
        torch.tensor(lefts),
        torch.tensor(flips),
        pad=pad,
        mode=mode,
    )
    assert found.dtype == torch.uint8
    assert torch.equal(found, one_by_one(images, picks, tops, lefts, flips, pad, mode))


def test_equals_torchvisions_own_random_crop(monkeypatch: pytest.MonkeyPatch) -> None:
    # RandomCrop asks for its offsets in the order top, left; RandomHorizontalFlip comes after it.
    images = pictures(1, 32, 32, 3)
    recipe = v2.Compose([v2.RandomCrop(32, padding=4, padding_mode="reflect"), v2.RandomHorizontalFlip(p=1.0)])
    chosen = {"top": 1, "left": 7}
    monkeypatch.setattr(recipe.transforms[0], "make_params", _fixed_offsets(recipe.transforms[0], **chosen))
    found = crop_and_flip(
        images,
        torch.tensor([0]),
        torch.tensor([chosen["top"]]),
        torch.tensor([chosen["left"]]),
        torch.tensor([True]),
        pad=4,
        mode="reflect",
    )
    assert torch.equal(found[0].permute(2, 0, 1), recipe(images[0].permute(2, 0, 1)))


def _fixed_offsets(crop: v2.RandomCrop, top: int, left: int):  # type: ignore[no-untyped-def]
    drawn = crop.make_params
    return lambda inputs: {**drawn(inputs), "top": top, "left": left}


def test_hand_made_row() -> None:
    images = torch.tensor([10, 20, 30], dtype=torch.uint8).reshape(1, 1, 3, 1)
    zero = torch.tensor([0])

    def row(left: int, flip: bool, mode: PadMode) -> list[int]:
        # A picture of one row cannot be reflected upwards, so it is three rows of the same.
        window = crop_and_flip(
            images.expand(1, 3, 3, 1),
            zero,
            torch.tensor([2]),
            torch.tensor([left]),
            torch.tensor([flip]),
            pad=2,
            mode=mode,
        )
        return window[0, 0, :, 0].tolist()

    assert row(0, False, "reflect") == [30, 20, 10]
    assert row(1, False, "reflect") == [20, 10, 20]
    assert row(4, False, "reflect") == [30, 20, 10]
    assert row(1, True, "reflect") == [20, 10, 20]
    assert row(0, False, "zero") == [0, 0, 10]
    assert row(0, True, "zero") == [10, 0, 0]
    assert row(3, False, "zero") == [20, 30, 0]


@pytest.mark.parametrize("channels", [1, 3])
def test_normalise_equals_to_tensor_and_normalize(channels: int) -> None:
    images = torch.arange(256, dtype=torch.uint8).reshape(1, 16, 16, 1).repeat(2, 1, 1, channels)
    images[1] = images[1].flip(0)
    mean, std = [0.4914, 0.4822, 0.4465][:channels], [0.2470, 0.2435, 0.2616][:channels]
    found = normalise(images, torch.tensor(mean), torch.tensor(std))
    expected = torch.stack([F.normalize(F.to_tensor(picture.numpy()), mean, std) for picture in images])
    assert found.dtype == torch.float32
    assert torch.equal(found, expected)


def test_normalise_leaves_the_pictures_and_their_layout() -> None:
    images = pictures(4, 6, 5, 3)
    before = images.clone()
    found = normalise(images, torch.zeros(3), torch.ones(3))
    assert found.shape == (4, 3, 6, 5)
    assert found.is_contiguous(memory_format=torch.channels_last)
    assert not found.is_contiguous()
    assert torch.equal(images, before)
