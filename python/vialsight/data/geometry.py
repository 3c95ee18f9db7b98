"""One layout for images as they are found: one size, one bit depth, one region or a grid."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from vialsight._core import Layout
from vialsight.data.decoding import EIGHT_BIT
from vialsight.data.fits import Fit, FitKind, Size
from vialsight.data.images import Header, image_header, load_any
from vialsight.data.intake import Say
from vialsight.data.records import raise_listed
from vialsight.errors import DataError

# What cameras have; a file of 16 bits does not say it.
_DEPTHS: Final = (10, 12, 14, 16)
_SIZES_NAMED: Final = 5


@dataclass(frozen=True, kw_only=True)
class Geometry:
    """What a user asks for; None is found out from the images and said."""

    fit: FitKind | None = None
    size: Size | None = None
    bit_depth: int | None = None
    tiles: tuple[int, int] = (1, 1)

    def layout(
        self, name: str, region: str, images: Sequence[Path], patch_size: int, say: Say
    ) -> tuple[Layout, Fit | None]:
        """Return a layout that all images fit, and how they are made to; None: as they are.

        Raises DataError naming images that cannot be used, and where sizes differ and `fit` is not
        given.
        """
        headers = _headers(images)
        sizes = Counter((header.width, header.height) for header in headers)
        size = self._size(sizes, say)
        if set(sizes) != {size} and self.fit is None:
            raise DataError(
                f"expected images of one size, got {_in_words(sizes)}; say what to do: "
                "--fit resize, pad or crop, to the most frequent size or to --size WIDTHxHEIGHT"
            )
        depth = self._bit_depth(images, headers, say)
        rows, columns = self.tiles
        boxes = [
            box(row, column, rows, columns, size)
            for row in range(rows)
            for column in range(columns)
        ]
        if rows * columns == 1:
            regions = [region]
        else:
            regions = [f"r{r + 1}c{c + 1}" for r in range(rows) for c in range(columns)]
        layout = Layout(
            name=name,
            frame_width=size[0],
            frame_height=size[1],
            bit_depth=depth,
            frames=1,
            regions=regions,
            boxes=[boxes],
            patch_size=patch_size,
        )
        return layout, None if self.fit is None else Fit(self.fit, size)

    def _size(self, sizes: Counter[Size], say: Say) -> Size:
        if self.size is not None:
            return self.size
        # Of sizes that are as frequent the largest, which loses least.
        size, count = max(sizes.items(), key=lambda item: (item[1], item[0]))
        if len(sizes) > 1 and self.fit is not None:
            say(
                f"size {size[0]}x{size[1]}: the most frequent, of {count:,} of "
                f"{sizes.total():,} images (--size says another)"
            )
        return size

    def _bit_depth(self, images: Sequence[Path], headers: Sequence[Header], say: Say) -> int:
        bits = Counter(header.bits for header in headers)
        if len(bits) > 1:
            odd = min(bits, key=lambda found: bits[found])
            named = [str(i) for i, h in zip(images, headers, strict=True) if h.bits == odd]
            raise_listed(f"expected images of one depth, got 8 and 16 bits; of {odd} bits", named)
        deep = bits.most_common(1)[0][0] > EIGHT_BIT
        if self.bit_depth is not None:
            if (self.bit_depth > EIGHT_BIT) != deep:
                raise DataError(
                    f"expected images of {'9 to 16' if self.bit_depth > EIGHT_BIT else '8'} bits "
                    f"for --bit-depth {self.bit_depth}, got images of {16 if deep else 8}"
                )
            return self.bit_depth
        return _guessed_depth(images, say) if deep else EIGHT_BIT


AS_FOUND: Final = Geometry()


def box(row: int, column: int, rows: int, columns: int, size: Size) -> tuple[int, int, int, int]:
    """Return x, y, width and height of a tile; tiles meet, and differ by a pixel at most."""
    (left, right), (top, bottom) = (
        [(k * length) // count for k in (index, index + 1)]
        for index, count, length in ((column, columns, size[0]), (row, rows, size[1]))
    )
    return left, top, right - left, bottom - top


def _headers(images: Sequence[Path]) -> list[Header]:
    headers, problems = [], []
    for image in images:
        try:
            headers.append(image_header(image))
        except DataError as error:
            problems.append(str(error))
    raise_listed("images that cannot be used", problems)
    return headers


def _guessed_depth(images: Sequence[Path], say: Say) -> int:
    brightest = max(int(load_any(image).max()) for image in images)
    depth = next(bits for bits in _DEPTHS if brightest < 2**bits)
    say(
        f"bit depth {depth}: a guess, as the brightest pixel of {len(images):,} images is "
        f"{brightest:,}; --bit-depth says what the camera has"
    )
    return depth


def _in_words(sizes: Counter[Size]) -> str:
    named = ", ".join(
        f"{width}x{height} ({count:,})"
        for (width, height), count in sizes.most_common(_SIZES_NAMED)
    )
    return named if len(sizes) <= _SIZES_NAMED else f"{len(sizes)} sizes: {named}, ..."
