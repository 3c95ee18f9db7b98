"""One decoder for train and line: every property of an image file has one rule in all formats."""

import logging
import shlex
import struct
import subprocess
import sys
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from vialsight.data import images
from vialsight.data.images import image_header, load_any, load_frame, load_mask, mask_problem
from vialsight.errors import DataError

GREY = (np.arange(7 * 11, dtype=np.uint8).reshape(7, 11) * 3).astype(np.uint8)
DEEP = GREY.astype(np.uint16) * 250 + 7
ORIENTATION = 274
FORMATS = ("png", "bmp", "tif", "jpg")
WITH_ORIENTATION = ("png", "tif", "jpg")


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, depth: int, kind: int, rows: bytes, *more: bytes) -> bytes:
    """A PNG made by hand; `rows` begin with their filter byte, `more` are chunks ahead of them."""
    head = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    parts = [chunk(b"IHDR", head), *more, chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def rows_of(pixels: np.ndarray) -> bytes:
    return b"".join(b"\0" + row.tobytes() for row in pixels)


def as_written(path: Path, pixels: np.ndarray, **options: object) -> np.ndarray:
    """Save an image; return what it holds, which in JPEG is not what was saved."""
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    image.save(path, **options)
    with Image.open(path) as again:
        return np.asarray(again)


class TestPhotometry:
    def test_white_is_zero_of_sixteen_bits(self, tmp_path: Path) -> None:
        import tifffile

        for name, stored, kind in (("b", DEEP, "minisblack"), ("w", 65535 - DEEP, "miniswhite")):
            tifffile.imwrite(tmp_path / f"{name}.tif", stored, photometric=kind)
            np.testing.assert_array_equal(load_frame(tmp_path / f"{name}.tif", 16), DEEP)

    def test_white_is_zero_of_eight_bits_and_one(self, tmp_path: Path) -> None:
        import tifffile

        tifffile.imwrite(tmp_path / "w.tif", 255 - GREY, photometric="miniswhite")
        np.testing.assert_array_equal(load_frame(tmp_path / "w.tif", 8), GREY)
        spot = GREY > 100
        tifffile.imwrite(tmp_path / "m.tif", ~spot, photometric="miniswhite")
        np.testing.assert_array_equal(load_mask(tmp_path / "m.tif"), spot)

    @pytest.mark.parametrize("order", ["<", ">"])
    def test_white_is_zero_in_either_byte_order(self, tmp_path: Path, order: str) -> None:
        import tifffile

        path = tmp_path / "w.tif"
        tifffile.imwrite(path, 65535 - DEEP, photometric="miniswhite", byteorder=order)
        np.testing.assert_array_equal(load_frame(path, 16), DEEP)

    def test_gamma_and_profiles_change_nothing(self, tmp_path: Path) -> None:
        gamma = chunk(b"gAMA", struct.pack(">I", 100_000))
        (tmp_path / "g.png").write_bytes(png(11, 7, 8, 0, rows_of(GREY), gamma))
        np.testing.assert_array_equal(load_frame(tmp_path / "g.png", 8), GREY)


class TestOrientation:
    @pytest.mark.parametrize("orientation", range(1, 9))
    @pytest.mark.parametrize("suffix", WITH_ORIENTATION)
    def test_is_obeyed_in_every_format(self, tmp_path: Path, suffix: str, orientation: int) -> None:
        path = tmp_path / f"o.{suffix}"
        if suffix == "tif":
            Image.fromarray(GREY).save(path, tiffinfo={ORIENTATION: orientation})
            stored = GREY
        else:
            exif = Image.Exif()
            exif[ORIENTATION] = orientation
            stored = as_written(path, GREY, exif=exif)
        # Pillow's own transposition, of the pixels as they are stored.
        turned = Image.fromarray(stored)
        turned.getexif()[ORIENTATION] = orientation
        expected = np.asarray(ImageOps.exif_transpose(turned))
        np.testing.assert_array_equal(load_frame(path, 8), expected)
        header = image_header(path)
        assert (header.height, header.width) == expected.shape

    def test_behind_the_pixels_of_a_png(self, tmp_path: Path) -> None:
        exif = Image.Exif()
        exif[ORIENTATION] = 6
        data = chunk(b"eXIf", exif.tobytes()[6:])
        whole = png(11, 7, 8, 0, rows_of(GREY))
        (tmp_path / "o.png").write_bytes(whole[:-12] + data + whole[-12:])
        np.testing.assert_array_equal(load_frame(tmp_path / "o.png", 8), np.rot90(GREY, 3))
        assert image_header(tmp_path / "o.png").width == 7

    @pytest.mark.parametrize("orientation", [0, 9, 300])
    def test_one_that_means_nothing_is_upright(self, tmp_path: Path, orientation: int) -> None:
        exif = Image.Exif()
        exif[ORIENTATION] = orientation
        Image.fromarray(GREY).save(tmp_path / "o.png", exif=exif)
        np.testing.assert_array_equal(load_frame(tmp_path / "o.png", 8), GREY)


class TestDepthAndColour:
    @pytest.mark.parametrize("suffix", FORMATS)
    def test_grey_in_colour_channels_is_grey(self, tmp_path: Path, suffix: str) -> None:
        path = tmp_path / f"c.{suffix}"
        expected = as_written(path, np.dstack([GREY] * 3))[..., 0]
        np.testing.assert_array_equal(load_frame(path, 8), expected)

    @pytest.mark.parametrize("suffix", FORMATS)
    def test_colours_are_refused(self, tmp_path: Path, suffix: str) -> None:
        pixels = np.dstack([GREY, GREY, 255 - GREY])
        Image.fromarray(pixels).save(tmp_path / f"c.{suffix}")
        with pytest.raises(DataError, match="expected 8-bit grayscale pixels, got colours; conv"):
            load_frame(tmp_path / f"c.{suffix}", 8)

    @pytest.mark.parametrize("suffix", ["png", "bmp", "tif"])
    def test_a_grey_palette_is_applied_and_another_refused(
        self, tmp_path: Path, suffix: str
    ) -> None:
        indexed = Image.fromarray(GREY // 3, "P")
        ramp = np.arange(256)[::-1]
        indexed.putpalette(np.repeat(ramp, 3).astype(np.uint8).tobytes())
        indexed.save(tmp_path / f"p.{suffix}")
        np.testing.assert_array_equal(load_frame(tmp_path / f"p.{suffix}", 8), 255 - GREY // 3)
        colours = np.stack([ramp, ramp, np.roll(ramp, 9)], axis=1)
        indexed.putpalette(colours.astype(np.uint8).tobytes())
        indexed.save(tmp_path / f"q.{suffix}")
        with pytest.raises(DataError, match="got colours"):
            load_frame(tmp_path / f"q.{suffix}", 8)

    @pytest.mark.parametrize("suffix", ["png", "bmp", "tif"])
    def test_one_bit_is_black_and_white(self, tmp_path: Path, suffix: str) -> None:
        Image.fromarray(GREY > 100).save(tmp_path / f"b.{suffix}")
        expected = np.where(GREY > 100, 255, 0)
        np.testing.assert_array_equal(load_frame(tmp_path / f"b.{suffix}", 8), expected)

    @pytest.mark.parametrize(("depth", "packed"), [(2, 0b00011011), (4, 0x0F)])
    def test_few_bits_are_stretched_to_eight(self, tmp_path: Path, depth: int, packed: int) -> None:
        count = 8 // depth
        (tmp_path / "f.png").write_bytes(png(count, 1, depth, 0, bytes([0, packed])))
        top = 2**depth - 1
        values = [(packed >> (8 - depth * (i + 1))) & top for i in range(count)]
        expected = [[value * 255 // top for value in values]]
        np.testing.assert_array_equal(load_frame(tmp_path / "f.png", 8), expected)

    @pytest.mark.parametrize("channels", [(2, 3), (6, 4), (4, 2)])
    def test_channels_of_sixteen_bits_are_refused(
        self, tmp_path: Path, channels: tuple[int, int]
    ) -> None:
        kind, count = channels
        pixels = np.full((2, 3 * count), 65535, ">u2")
        (tmp_path / "c.png").write_bytes(png(3, 2, 16, kind, rows_of(pixels)))
        with pytest.raises(DataError, match="got channels of 16 bits"):
            load_frame(tmp_path / "c.png", 8)

    @pytest.mark.parametrize("suffix", ["png", "tif"])
    def test_sixteen_bits_keep_their_values(self, tmp_path: Path, suffix: str) -> None:
        Image.fromarray(DEEP).save(tmp_path / f"d.{suffix}")
        np.testing.assert_array_equal(load_any(tmp_path / f"d.{suffix}"), DEEP)
        with pytest.raises(DataError, match="expected 8-bit grayscale pixels, got 16-bit"):
            load_frame(tmp_path / f"d.{suffix}", 8)


class TestTransparency:
    @pytest.mark.parametrize("suffix", ["png", "tif"])
    @pytest.mark.parametrize("channels", [1, 3])
    def test_opaque_is_dropped_and_transparent_refused(
        self, tmp_path: Path, suffix: str, channels: int
    ) -> None:
        opaque = np.full_like(GREY, 255)
        path = tmp_path / f"a.{suffix}"
        Image.fromarray(np.dstack([*[GREY] * channels, opaque])).save(path)
        np.testing.assert_array_equal(load_frame(path, 8), GREY)
        opaque[3, 4] = 254
        Image.fromarray(np.dstack([*[GREY] * channels, opaque])).save(path)
        with pytest.raises(DataError, match="got transparent ones"):
            load_frame(path, 8)

    def test_a_grey_value_that_stands_for_nothing(self, tmp_path: Path) -> None:
        for value, refused in ((GREY[0, 0], True), (255, False)):
            stands = chunk(b"tRNS", struct.pack(">H", int(value)))
            (tmp_path / "t.png").write_bytes(png(11, 7, 8, 0, rows_of(GREY), stands))
            if refused:
                with pytest.raises(DataError, match="got transparent ones"):
                    load_frame(tmp_path / "t.png", 8)
            else:
                np.testing.assert_array_equal(load_frame(tmp_path / "t.png", 8), GREY)


class TestLimits:
    @pytest.mark.parametrize("kind", [b"zTXt", b"tEXt", b"iTXt"])
    def test_a_large_text_does_not_matter(self, tmp_path: Path, kind: bytes) -> None:
        long = b"x" * 3_000_000
        data = {
            b"zTXt": b"k\0\0" + zlib.compress(long),
            b"tEXt": b"k\0" + long,
            b"iTXt": b"k\0\1\0\0\0" + zlib.compress(long),
        }[kind]
        (tmp_path / "t.png").write_bytes(png(11, 7, 8, 0, rows_of(GREY), chunk(kind, data)))
        np.testing.assert_array_equal(load_frame(tmp_path / "t.png", 8), GREY)
        assert image_header(tmp_path / "t.png").width == 11

    def test_pillows_own_limit_does_not_hold_and_stays(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        Image.fromarray(GREY).save(tmp_path / "l.png")
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 5)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            np.testing.assert_array_equal(load_frame(tmp_path / "l.png", 8), GREY)
        assert Image.MAX_IMAGE_PIXELS == 5

    def test_more_than_anyone_asked_for_is_not_decoded(self, tmp_path: Path) -> None:
        # A gigapixel of nothing in 12 bytes of pixels.
        (tmp_path / "bomb.png").write_bytes(png(40_000, 40_000, 8, 0, b"\0"))
        with pytest.raises(DataError, match=r"expected at most 268,435,456 pixels, got 40000x4000"):
            load_frame(tmp_path / "bomb.png", 8)

    @pytest.mark.parametrize("kept", [0, 7, 20, 60, -30])
    def test_a_part_of_a_png_is_named(self, tmp_path: Path, kept: int) -> None:
        whole = png(11, 7, 8, 0, rows_of(np.random.default_rng(0).integers(0, 256, (7, 11), "u1")))
        (tmp_path / "part.png").write_bytes(whole[:kept])
        with pytest.raises(DataError, match=r"part\.png: expected a complete PNG, BMP, TIFF, JPEG"):
            load_frame(tmp_path / "part.png", 8)

    @pytest.mark.parametrize("suffix", FORMATS)
    def test_a_part_of_any_format_is_named(self, tmp_path: Path, suffix: str) -> None:
        path = tmp_path / f"part.{suffix}"
        noise = np.random.default_rng(0).integers(0, 256, (90, 80), "u1")
        Image.fromarray(noise).save(path)
        whole = path.read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
        with pytest.raises(DataError, match="expected a complete PNG, BMP, TIFF, JPEG image"):
            load_frame(path, 8)

    def test_a_folder_and_a_missing_file(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="cannot be decoded"):
            load_frame(tmp_path, 8)
        with pytest.raises(DataError, match="no such file"):
            load_frame(tmp_path / "none.png", 8)


class TestJpeg:
    def test_is_read_as_pillow_reads_it_and_warned_of_once(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(images, "_told", set())
        expected = as_written(tmp_path / "j.jpg", GREY)
        with caplog.at_level(logging.WARNING, "vialsight"):
            for _ in range(3):
                np.testing.assert_array_equal(load_frame(tmp_path / "j.jpg", 8), expected)
        assert [r.getMessage().count("JPEG, which loses detail") for r in caplog.records] == [1]


class TestMasks:
    def test_any_colour_and_depth_that_is_not_black(self, tmp_path: Path) -> None:
        spot = GREY > 100
        deep, blue = spot.astype(np.uint16) * 256, np.zeros((*spot.shape, 3), np.uint8)
        blue[spot, 2] = 1
        labels = Image.fromarray(spot.astype(np.uint8), "P")
        labels.putpalette([0, 0, 0, 128, 0, 0])
        for name, image in (("deep", deep), ("blue", blue), ("labels", labels)):
            (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(
                tmp_path / f"{name}.png"
            )
            np.testing.assert_array_equal(load_mask(tmp_path / f"{name}.png"), spot)
            assert mask_problem(tmp_path / f"{name}.png", width=11, height=7) is None

    def test_what_jpeg_draws_around_a_spot_is_no_defect(self, tmp_path: Path) -> None:
        spot = np.zeros((64, 64), bool)
        spot[20:40, 30:50] = True
        found = as_written(tmp_path / "m.jpg", np.where(spot, 255, 0).astype(np.uint8))
        assert ((found > 0) & ~spot).any()
        np.testing.assert_array_equal(load_mask(tmp_path / "m.jpg"), spot)


def _colour(path: Path) -> None:
    Image.fromarray(np.dstack([GREY, GREY, 255 - GREY])).save(path)


def _transparent(path: Path) -> None:
    Image.fromarray(np.dstack([GREY, GREY])).save(path)


def _numbers(kind: type) -> Callable[[Path], None]:
    return lambda path: Image.fromarray(GREY.astype(kind)).save(path)


@pytest.mark.parametrize(
    ("name", "make", "depth"),
    [
        ("colour.bmp", _colour, 8),
        ("colour.png", _colour, 8),
        ("colour.tif", _colour, 8),
        ("colour.jpg", _colour, 8),
        ("transparent.png", _transparent, 8),
        ("float.tif", _numbers(np.float32), 8),
        ("float.tif", _numbers(np.float32), 12),
        ("integer.tif", _numbers(np.int32), 16),
    ],
)
def test_what_a_message_advises_works(
    tmp_path: Path, name: str, make: Callable[[Path], None], depth: int
) -> None:
    path = tmp_path / name
    make(path)
    with pytest.raises(DataError, match="convert it first: python") as caught:
        load_frame(path, depth)
    advised = str(caught.value).split("convert it first: ")[1]
    command = shlex.split(advised.replace("FILE ...", shlex.quote(str(path))))
    assert command[0] == "python"
    subprocess.run([sys.executable, *command[1:]], check=True)
    assert load_frame(path, depth).shape == GREY.shape
