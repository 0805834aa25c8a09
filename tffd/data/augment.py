"""Padding, random crop and mirroring of whole batches, on whatever device the pictures are on."""

from typing import Literal

import torch
from torch import Tensor

PadMode = Literal["reflect", "zero"]


def crop_and_flip(
    images: Tensor, picks: Tensor, top: Tensor, left: Tensor, flip: Tensor, *, pad: int, mode: PadMode
) -> Tensor:
    """Pad the picked pictures, cut a window of the original size out of each and mirror some of them.

    The same as torchvision's RandomCrop(size, padding=pad, padding_mode=...) and RandomHorizontalFlip for the same
    offsets, but in one gather: padding is only a rule about which pixel to read, so no padded copy is made.

    Args:
        images: All pictures, uint8, [N, H, W, C].
        picks: The places of the picked ones, [B].
        top, left: Upper left corner of each window in the padded picture, [B], from 0 to 2 * pad.
        flip: Whether each is mirrored, bool, [B].
        pad: Pixels on each side; below H and W for "reflect".
        mode: "reflect" (without repeating the edge) or "zero".
    Returns:
        uint8, [B, H, W, C].
    """
    height, width = images.shape[1:3]
    columns = torch.arange(width, device=images.device).expand(len(picks), width)
    columns = torch.where(flip[:, None], width - 1 - columns, columns) + left[:, None] - pad
    rows = torch.arange(height, device=images.device) + top[:, None] - pad
    row_index, row_inside = _source_pixels(rows, height, mode)
    column_index, column_inside = _source_pixels(columns, width, mode)
    windows = images[picks[:, None, None], row_index[:, :, None], column_index[:, None, :]]
    if mode == "zero":
        windows *= (row_inside[:, :, None] & column_inside[:, None, :]).unsqueeze(-1)
    return windows


def _source_pixels(positions: Tensor, size: int, mode: PadMode) -> tuple[Tensor, Tensor]:
    """Map positions in [-pad, size + pad) to pixels in [0, size), and say which lay inside."""
    inside = (positions >= 0) & (positions < size)
    if mode == "zero":
        return positions.clamp(0, size - 1), inside
    mirrored = positions.abs()
    return torch.where(mirrored < size, mirrored, 2 * (size - 1) - mirrored), inside


def normalise(images: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """Scale uint8 pictures [B, H, W, C] to (x / 255 - mean) / std.

    Args:
        mean, std: Per channel, [C], in units of the full range 0 to 1.
    Returns:
        float32, [B, C, H, W] in channels_last memory format: the layout the pictures are stored in, so nothing moves.
    """
    return images.to(torch.float32).div_(255).sub_(mean).div_(std).permute(0, 3, 1, 2)
