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
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from PIL import Image

RULES = 2
"""Counts the changes of the rules above that change pixels; part of the identity of the data."""

BACKGROUND = (128, 128, 128)

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
    has_16_bits = picture.mode.startswith("I;16") or (picture.mode == "I" and picture.format == "PPM")
    picture.load()  # which turns TIFF, and finds what PNG says of itself at its end
    if picture.getexif().get(ExifTags.Base.Orientation, 1) != 1:
        picture = ImageOps.exif_transpose(picture)
    if has_16_bits:  # Pillow alone cuts values above 255 off: the picture would turn white
        picture = Image.fromarray((np.asarray(picture) // 256).astype(np.uint8))
    elif picture.mode in ("I", "F"):
        raise ValueError(f"its values are of mode {picture.mode}, without a known range; save it with 8 or 16 bits")
    elif picture.has_transparency_data:
        background = Image.new("RGBA", picture.size, (*BACKGROUND, 255))
        picture = Image.alpha_composite(background, picture.convert("RGBA"))
    return picture if picture.mode == "RGB" else picture.convert("RGB")


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
