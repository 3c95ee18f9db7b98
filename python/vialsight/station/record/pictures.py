"""Pictures of a reject: from the spool into a file, and out of it."""

import io
import struct
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from vialsight.errors import DataError
from vialsight.files.npz import npz_arrays

_HEAD: Final = struct.Struct("<QIIIIII")
_FRAME_HEAD: Final = struct.Struct("<II")
_MAP_HEAD: Final = struct.Struct("<IIIfff")
# Level 1 takes a quarter of the time of level 6; pictures of a line are noise in the lowest bits.
_LEVEL: Final = 1
_UNDATED: Final = (1980, 1, 1, 0, 0, 0)

Pixels = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]


@dataclass(frozen=True)
class Pictures:
    """Frames (k,H,W) that came, their indices (k,), and maps u8 (m,P,P) of the worst patches.

    `map_places` (m,3) are frame, vial, region; `map_scales` float32 (m,3) are φ, and the values
    that 0 and 255 of the map mean.
    """

    frames: Pixels
    indices: npt.NDArray[np.uint32]
    maps: npt.NDArray[np.uint8]
    map_places: npt.NDArray[np.uint32]
    map_scales: npt.NDArray[np.float32]


def pictures_of_payload(payload: bytes) -> tuple[int, Pictures]:
    """Return the strip's number in the spool and the pictures of an entry of kind pictures.

    Raises DataError when sizes do not add up.
    """
    try:
        return _parse(payload)
    except (struct.error, ValueError) as error:
        raise DataError(f"pictures in the spool: expected the sizes it names: {error}") from None


def file_bytes(pictures: Pictures) -> bytes:
    """Return the content of the pictures' file, the same for equal pictures."""
    content = io.BytesIO()
    arrays: dict[str, npt.NDArray[Any]] = {
        "frames": pictures.frames,
        "indices": pictures.indices,
        "maps": pictures.maps,
        "map_places": pictures.map_places,
        "map_scales": pictures.map_scales,
    }
    with zipfile.ZipFile(content, "w") as archive:
        for name, array in arrays.items():
            member = zipfile.ZipInfo(f"{name}.npy", _UNDATED)
            text = io.BytesIO()
            np.lib.format.write_array(text, np.ascontiguousarray(array), version=(1, 0))
            archive.writestr(member, text.getvalue(), zipfile.ZIP_DEFLATED, _LEVEL)
    return content.getvalue()


def pictures_of_file(content: bytes, name: str) -> Pictures:
    """Return the pictures in a file's content. Raises DataError when it is none, naming `name`."""
    try:
        arrays = npz_arrays(content)
        return Pictures(
            frames=arrays["frames"],
            indices=arrays["indices"],
            maps=arrays["maps"],
            map_places=arrays["map_places"],
            map_scales=arrays["map_scales"],
        )
    except (KeyError, ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(
            f"{name}: expected pictures of a reject, cannot read them: {error}"
        ) from None


def file_name(seq: int) -> str:
    """Return the name of the file with the pictures of the strip of this number."""
    return f"{seq:020}.npz"


def path_of(frames: Path, seq: int) -> Path:
    """Return the path of that file."""
    return frames / file_name(seq)


def payload_of(seq: int, pictures: Pictures) -> bytes:
    """Return pictures as an entry of the spool holds them."""
    count, height, width = pictures.frames.shape
    maps, size = len(pictures.maps), pictures.maps.shape[-1]
    parts = [_HEAD.pack(seq, width, height, pictures.frames.itemsize, count, maps, size)]
    for index, frame in zip(pictures.indices, pictures.frames, strict=True):
        parts += [_FRAME_HEAD.pack(index, 0), np.ascontiguousarray(frame).tobytes()]
    for place, scale, values in zip(
        pictures.map_places, pictures.map_scales, pictures.maps, strict=True
    ):
        parts += [_MAP_HEAD.pack(*place.tolist(), *scale.tolist()), values.tobytes()]
    return b"".join(parts)


def _parse(payload: bytes) -> tuple[int, Pictures]:
    seq, width, height, bytes_per_pixel, frames, maps, size = _HEAD.unpack_from(payload, 0)
    if bytes_per_pixel not in (1, 2):
        raise ValueError(f"1 or 2 bytes a pixel, not {bytes_per_pixel}")
    pixels = width * height * bytes_per_pixel
    expected = (
        _HEAD.size + frames * (_FRAME_HEAD.size + pixels) + maps * (_MAP_HEAD.size + size * size)
    )
    if len(payload) != expected:
        raise ValueError(f"{expected} bytes, not {len(payload)}")
    place, dtype = _HEAD.size, np.dtype("u1" if bytes_per_pixel == 1 else "<u2")
    images, indices = [], []
    for _ in range(frames):
        indices.append(_FRAME_HEAD.unpack_from(payload, place)[0])
        place += _FRAME_HEAD.size
        images.append(np.frombuffer(payload, dtype, width * height, place))
        place += pixels
    heads, values = [], []
    for _ in range(maps):
        heads.append(_MAP_HEAD.unpack_from(payload, place))
        place += _MAP_HEAD.size
        values.append(np.frombuffer(payload, np.uint8, size * size, place))
        place += size * size
    return seq, Pictures(
        frames=np.array(images, dtype).reshape(frames, height, width),
        indices=np.array(indices, np.uint32),
        maps=np.array(values, np.uint8).reshape(maps, size, size),
        map_places=np.array([head[:3] for head in heads], np.uint32).reshape(maps, 3),
        map_scales=np.array([head[3:] for head in heads], np.float32).reshape(maps, 3),
    )
