"""Files of pictures to RGB pixels: one rule for every kind of picture.

| picture | rule |
|:--|:--|
| turned by its EXIF orientation | turned upright |
| transparent, fully or partly | laid over mid-grey (128, 128, 128), on which neither black nor white drawings vanish |
| 16 bits a channel | reduced to 8 |
| 32 bits or floating point | refused, for its range is unknown; save it with 8 or 16 bits |
| grey, palette, CMYK, 1 bit | converted to RGB |
| animation (GIF, PNG, WebP), or a photo with others behind it (MPO) | the first one counts |
| TIFF of several pages | refused, for each may be a picture of its own; save the pages as files (reduced copies do not count) |
| any size | resized to a square: bilinear, with antialiasing |
"""

import io
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from PIL import Image

RULES = 3
"""Counts the changes of the rules above that change pixels; part of the identity of the data."""

BACKGROUND = (128, 128, 128)

_GREYS_SCALED = {"L;2": 85, "L;4": 17}  # by what Pillow multiplies PNG's greys of few bits

_SUBFILE_TYPE = 254  # TIFF tag, whose first bit marks a reduced copy of another page


class UnreadablePicture(ValueError):
    """A file that is no picture, or none whose pixels could be known; the message says why, in a few words."""


def decode(content: bytes, size: int) -> np.ndarray:
    """Decode the content of a picture file to uint8, [size, size, 3].

    Raises:
        UnreadablePicture: If it cannot be.
    """
    from PIL import Image

    try:
        with Image.open(io.BytesIO(content)) as picture:
            rgb = _to_rgb(picture)
            if rgb.size != (size, size):
                # Pillow's bilinear filter widens with the reduction, as torchvision's Resize(antialias=True) does.
                rgb = rgb.resize((size, size), Image.Resampling.BILINEAR)
            return np.asarray(rgb)
    except MemoryError:
        raise
    except Exception as error:  # decoders that stumble over a file raise errors of all kinds
        reason = "it has no format that Pillow knows" if isinstance(error, Image.UnidentifiedImageError) else str(error)
        raise UnreadablePicture(reason or type(error).__name__) from error


def _to_rgb(picture: "Image.Image") -> "Image.Image":
    """Convert to 8 bits a channel, opaque and upright."""
    from PIL import ExifTags, Image, ImageOps

    if picture.format == "TIFF" and (pages := _pages(picture)) > 1:
        raise ValueError(f"it has {pages} pages; save each that counts as a file of its own")
    if "transparency" in picture.info:
        picture.info["transparency"] = _as_decoded(picture.info["transparency"], picture)
    has_16_bits = picture.mode.startswith("I;16") or (picture.mode == "I" and picture.format == "PPM")
    picture.load()  # which turns TIFF, and finds what PNG says of itself at its end
    if picture.getexif().get(ExifTags.Base.Orientation, 1) != 1:
        picture = ImageOps.exif_transpose(picture)
    if has_16_bits:  # Pillow alone cuts values above 255 off: the picture would turn white
        values, transparent = np.asarray(picture), picture.info.get("transparency")
        picture = Image.fromarray((values // 256).astype(np.uint8))
        if transparent is not None:
            picture.putalpha(Image.fromarray((values != transparent).astype(np.uint8) * 255))
    elif picture.mode in ("I", "F"):
        raise ValueError(f"its values are of mode {picture.mode}, without a known range; save it with 8 or 16 bits")
    if picture.has_transparency_data:
        background = Image.new("RGBA", picture.size, (*BACKGROUND, 255))
        picture = Image.alpha_composite(background, picture.convert("RGBA"))
    return picture if picture.mode == "RGB" else picture.convert("RGB")


def _as_decoded(transparent: Any, picture: "Image.Image") -> Any:
    """Return the colour of a PNG that stands for transparent, as its pixels are decoded; Pillow leaves it unscaled.

    Args:
        transparent: That colour, or the transparency of each colour of a palette.
        picture: Not decoded yet.
    """
    stored_as = picture.tile[0][3] if picture.format == "PNG" and picture.tile else None  # type: ignore[attr-defined]
    if stored_as == "RGB;16B":
        return tuple(value >> 8 for value in transparent)
    return transparent * _GREYS_SCALED[stored_as] if stored_as in _GREYS_SCALED else transparent


def _pages(picture: "Image.Image") -> int:
    """Count the pages of a TIFF that are no reduced copies of others."""
    frames = getattr(picture, "n_frames", 1)
    if frames == 1:
        return 1
    pages = 0
    for frame in range(frames):
        picture.seek(frame)
        pages += not picture.tag_v2.get(_SUBFILE_TYPE, 0) & 1  # type: ignore[attr-defined]  # TIFF pictures have it
    picture.seek(0)
    return pages
