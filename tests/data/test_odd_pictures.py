"""The rule for every kind of picture, on files that Pillow and these tests write."""

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from PIL import ExifTags, Image

from tests.support import CONF
from tffd.app import CheckFirst, register_resolvers
from tffd.data.sources.decoding import BACKGROUND, UnreadablePicture, decode
from tffd.data.sources.image_folder import ImageFolder

SIZE = 8
QUARTERS = np.zeros((SIZE, SIZE, 3), dtype=np.uint8)  # red, green, blue and black quarters: every turn shows
QUARTERS[:4, :4, 0] = QUARTERS[:4, 4:, 1] = QUARTERS[4:, :4, 2] = 255


def saved(picture: Image.Image | np.ndarray, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    (picture if isinstance(picture, Image.Image) else Image.fromarray(picture)).save(buffer, kind, **options)
    return buffer.getvalue()


def turned(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    return exif


TURNS: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    1: lambda a: a,
    2: np.fliplr,
    3: lambda a: np.rot90(a, 2),
    4: np.flipud,
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.rot90(a, 2).transpose(1, 0, 2),
    8: lambda a: np.rot90(a),
}


@pytest.mark.parametrize("orientation", TURNS)
@pytest.mark.parametrize("kind", ["png", "tiff", "webp"])
def test_a_picture_that_a_camera_turned_is_upright(orientation: int, kind: str) -> None:
    content = saved(QUARTERS, kind, exif=turned(orientation), **({"lossless": True} if kind == "webp" else {}))
    np.testing.assert_array_equal(decode(content, SIZE), TURNS[orientation](QUARTERS))


def test_a_photo_that_a_camera_turned_is_upright() -> None:
    decoded = decode(saved(QUARTERS, "jpeg", exif=turned(6), quality=100, subsampling=0), SIZE)
    np.testing.assert_allclose(decoded, TURNS[6](QUARTERS), atol=8)  # JPEG is lossy


def drawing(shade: int) -> np.ndarray:
    """A square on a background that is of the same shade and fully transparent."""
    picture = np.full((SIZE, SIZE, 4), shade, dtype=np.uint8)
    picture[..., 3] = 0
    picture[2:6, 2:6, 3] = 255
    return picture


@pytest.mark.parametrize("shade", [0, 255])
@pytest.mark.parametrize("mode", ["RGBA", "LA", "palette", "colour key"])
def test_transparent_pictures_lie_on_grey(shade: int, mode: str) -> None:
    picture, options = drawing(shade), {}
    if mode == "RGBA":
        content = saved(picture, "png")
    elif mode == "LA":
        content = saved(Image.fromarray(picture).convert("LA"), "png")
    else:
        inside = Image.fromarray((picture[..., 3] > 0).astype(np.uint8))
        if mode == "palette":
            inside = inside.convert("P")
            inside.putpalette([shade] * 6)
            options = {"transparency": bytes([0, 255])}
        else:  # one grey value stands for transparent
            inside = inside.point([128 - shade // 4, shade] + [0] * 254)
            options = {"transparency": 128 - shade // 4}
        content = saved(inside, "png", **options)
    expected = np.full((SIZE, SIZE, 3), BACKGROUND, dtype=np.uint8)
    expected[2:6, 2:6] = shade
    np.testing.assert_array_equal(decode(content, SIZE), expected)


def png(depth: int, colour: int, row: bytes, transparent: bytes) -> bytes:
    """A PNG of 8 equal rows, of depths that Pillow does not write."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", SIZE, SIZE, depth, colour, 0, 0, 0)
    parts = {b"IHDR": header, b"tRNS": transparent, b"IDAT": zlib.compress((b"\0" + row) * SIZE), b"IEND": b""}
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(name, data) for name, data in parts.items())


@pytest.mark.parametrize(
    ("content", "shade"),
    [
        (png(1, 0, b"\x0f", b"\0\1"), 0),
        (png(2, 0, b"\xaa\xff", b"\0\3"), 170),
        (png(4, 0, b"\x22\x22\xff\xff", b"\0\x0f"), 34),
        (png(16, 0, b"\xff\xfe" * 4 + b"\xff\xff" * 4, b"\xff\xff"), 255),  # two whites, of which one is none
        (png(16, 2, b"\x22\0" * 12 + b"\xff\1" * 12, b"\xff\1" * 3), 34),
    ],
    ids=["1 bit", "2 bits", "4 bits", "16 bits", "48 bits"],
)
def test_a_colour_that_stands_for_transparent_is_told_at_every_depth(content: bytes, shade: int) -> None:
    expected = np.full((SIZE, SIZE, 3), BACKGROUND, dtype=np.uint8)
    expected[:, :4] = shade
    np.testing.assert_array_equal(decode(content, SIZE), expected)


def test_a_picture_that_is_half_transparent_is_mixed_with_grey() -> None:
    content = saved(np.full((SIZE, SIZE, 4), (255, 0, 128, 128), dtype=np.uint8), "png")
    assert np.abs(decode(content, SIZE)[0, 0].astype(int) - (192, 64, 128)).max() <= 1  # rounding


WIDE = np.random.default_rng(0).integers(0, 65536, size=(SIZE, SIZE), dtype=np.uint16)
SIXTEEN_BITS: dict[str, bytes] = {
    "PNG": saved(WIDE, "png"),
    "TIFF": saved(WIDE, "tiff"),
    "PGM": b"P5 8 8 65535\n" + WIDE.astype(">u2").tobytes(),
    "PGM as text": b"P2 8 8 65535\n" + b" ".join(b"%d" % value for value in WIDE.ravel()),
}


@pytest.mark.parametrize("content", SIXTEEN_BITS.values(), ids=SIXTEEN_BITS)
def test_values_of_16_bits_are_scaled_not_cut_off(content: bytes) -> None:
    expected = np.repeat((WIDE >> 8).astype(np.uint8)[..., None], 3, axis=2)
    np.testing.assert_array_equal(decode(content, SIZE), expected)


def test_a_pgm_of_10_bits_fills_the_range() -> None:
    content = b"P5 8 8 1023\n" + np.full((SIZE, SIZE), 1023, dtype=">u2").tobytes()
    assert (decode(content, SIZE) == 255).all()


@pytest.mark.parametrize("type_", [np.float32, np.int32])
def test_values_without_a_range_are_refused(type_: type) -> None:
    with pytest.raises(UnreadablePicture, match=r"mode (F|I), .* save it with 8 or 16 bits"):
        decode(saved(np.ones((SIZE, SIZE), dtype=type_), "tiff"), SIZE)


@pytest.mark.parametrize("kind", ["gif", "png", "webp"])
def test_of_an_animation_the_first_picture_counts(kind: str) -> None:
    frames = [Image.fromarray(np.full((SIZE, SIZE, 3), shade, dtype=np.uint8)) for shade in (255, 0)]
    options = {"lossless": True} if kind == "webp" else {}
    content = saved(frames[0], kind, save_all=True, append_images=frames[1:], **options)
    assert getattr(Image.open(io.BytesIO(content)), "n_frames", 1) == 2
    assert (decode(content, SIZE) == 255).all()


def test_a_tiff_of_several_pages_is_refused() -> None:
    pages = [Image.fromarray(np.full((SIZE, SIZE, 3), shade, dtype=np.uint8)) for shade in (1, 2, 3)]
    with pytest.raises(UnreadablePicture, match="has 3 pages; save each that counts as a file of its own"):
        decode(saved(pages[0], "tiff", save_all=True, append_images=pages[1:]), SIZE)


def test_reduced_copies_in_a_tiff_are_no_pages() -> None:
    small = Image.fromarray(QUARTERS[::2, ::2])
    small.encoderinfo = {"tiffinfo": {254: 1}}
    content = saved(QUARTERS, "tiff", save_all=True, append_images=[small])
    assert Image.open(io.BytesIO(content)).n_frames == 2  # type: ignore[attr-defined]
    np.testing.assert_array_equal(decode(content, SIZE), QUARTERS)


@pytest.mark.parametrize(
    "content", [b"", b"P5", b"GIF89a" + bytes(9), struct.pack("<2sI", b"BM", 99), b"\xff\xd8\xff\xe1"]
)
def test_what_is_no_picture_is_refused_in_one_way(content: bytes) -> None:
    with pytest.raises(UnreadablePicture, match="."):
        decode(content, SIZE)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Two classes of two pictures in each split, with many things between them that are none."""
    for split in ("train", "test"):
        for name in ("cat", "dog"):
            directory = tmp_path / split / name
            directory.mkdir(parents=True)
            for number in range(2):
                (directory / f"{number}.png").write_bytes(saved(QUARTERS, "png"))
    return tmp_path


def test_a_line_says_what_was_found_and_what_was_passed_over(tree: Path) -> None:
    assert ImageFolder(str(tree), SIZE).check().notice == (
        f"Pictures in {tree}: 4 in train and 4 in test, of 2 classes. Passed over: nothing."
    )
    cat, before = tree / "train" / "cat", ImageFolder(str(tree), SIZE).content()
    for folder in ("@eaDir", "__MACOSX", ".thumbnails", "#recycle"):
        for directory in (cat / folder / "deep", tree / "train" / folder):
            directory.mkdir(parents=True)
            (directory / "0.png").write_bytes(saved(QUARTERS, "png"))
    (cat / "._0.png").write_bytes(b"written beside every file by macOS")
    for name in ("1.heic", "2.HEIC", "notes.txt", "LICENSE"):
        (cat / name).write_bytes(b"x")
    (tree / "train" / "list.csv").write_bytes(b"x")
    (tree / "train" / "stray.png").write_bytes(saved(QUARTERS, "png"))
    assert ImageFolder(str(tree), SIZE).check().notice == (
        f"Pictures in {tree}: 4 in train and 4 in test, of 2 classes. Passed over: 9 hidden or system names, 4 files "
        "of other suffixes (.heic 2, without suffix 1, .txt 1), 2 files outside the folders of classes."
    )
    assert ImageFolder(str(tree), SIZE).content() == before


def test_the_line_is_shown_when_a_run_starts(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    register_resolvers()
    (tree / "train" / "cat" / "3.heic").write_bytes(b"x")
    overrides = ("dataset=image_folder", f"dataset.root={tree}", f"dataset.cache={tree}/cache", "dataset.val_fraction=0.5",
                 "trainer.batch_size=2", "model=resnet8", "sweep=none")  # fmt: skip
    with initialize_config_dir(str(CONF)):
        cfg = compose("config", overrides=list(overrides), return_hydra_config=True)
    CheckFirst().on_run_start(cfg)
    assert (
        "4 in train and 4 in test, of 2 classes. Passed over: 1 file of other suffixes (.heic 1)."
        in capsys.readouterr().out
    )


@pytest.mark.parametrize("suffix", [".jfif", ".gif", ".JPE", ".pbm"])
def test_more_suffixes_than_torchvisions(tree: Path, suffix: str) -> None:
    kind = {".gif": "gif", ".pbm": "ppm"}.get(suffix, "jpeg")
    (tree / "test" / "dog" / f"9{suffix}").write_bytes(saved(Image.fromarray(QUARTERS).convert("L"), kind))
    assert len(ImageFolder(str(tree), SIZE).read().test_labels) == 5


def test_all_broken_pictures_are_named_at_once(tree: Path) -> None:
    source = ImageFolder(str(tree), SIZE)
    (tree / "train" / "cat" / "a.png").write_bytes(b"")
    (tree / "test" / "dog" / "b.png").symlink_to(tree / "nowhere.png")
    with pytest.raises(
        ValueError, match=r"^2 files are no .*cat/a\.png \(.*dog/b\.png \(No such file.* Replace or"
    ) as two:
        source.read()
    assert "and" not in str(two.value).split("Replace")[0].split(")")[-2]
    for number in range(21):
        (tree / "train" / "dog" / f"broken{number:02}.png").write_bytes(b"no picture")
    with pytest.raises(ValueError, match=r"^23 files are no readable pictures: .* and 3 more\. Replace") as many:
        source.read()
    assert str(many.value).count(".png (") == 20
