"""Named arrays as bytes of an `.npz` file; equal arrays give equal bytes."""

import io
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt


def npz_bytes(arrays: Mapping[str, npt.NDArray[Any]]) -> bytes:
    """Return the content of a compressed `.npz` file with these arrays, without time stamps."""
    content = io.BytesIO()
    # The stub takes the names for savez's own option.
    named: dict[str, Any] = dict(arrays)
    np.savez_compressed(content, **named)
    return content.getvalue()


def npz_arrays(content: bytes) -> dict[str, npt.NDArray[Any]]:
    """Return the arrays of an `.npz` file; raises ValueError, OSError or EOFError if it is none."""
    with np.load(io.BytesIO(content), allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def npy_bytes(array: npt.NDArray[np.float32] | npt.NDArray[np.uint8]) -> bytes:
    """Return an array as the bytes of a .npy file, the same for equal arrays, float32 or uint8."""
    file = io.BytesIO()
    little_endian = np.ascontiguousarray(array, "|u1" if array.dtype == np.uint8 else "<f4")
    np.lib.format.write_array(file, little_endian, version=(1, 0), allow_pickle=False)
    return file.getvalue()
