"""Patch extraction of the C++ core against tf.image.resize and plain slicing."""

import numpy as np
import numpy.typing as npt
import pytest

import vialsight

Frame = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]
Box = tuple[int, int, int, int]


def _layout(
    frame: Frame, boxes: list[Box], patch_size: int, *, bit_depth: int | None = None
) -> vialsight.Layout:
    return vialsight.Layout(
        name="test",
        frame_width=frame.shape[1],
        frame_height=frame.shape[0],
        bit_depth=bit_depth or 8 * frame.dtype.itemsize,
        regions=[f"r{i}" for i in range(len(boxes))],
        boxes=[boxes],
        patch_size=patch_size,
    )


def _frame(height: int, width: int, *, bit_depth: int = 8, seed: int = 1) -> Frame:
    dtype = np.uint8 if bit_depth == 8 else np.uint16
    values = np.random.default_rng(seed).integers(0, 2**bit_depth, (height, width))
    return values.astype(dtype)


def _crop(frame: Frame, box: Box, bit_depth: int = 8) -> npt.NDArray[np.float32]:
    x, y, width, height = box
    pixels = frame[y : y + height, x : x + width].astype(np.float32)
    return pixels / np.float32(2**bit_depth - 1)


@pytest.mark.parametrize("bit_depth", [8, 9, 10, 12, 14, 16])
def test_a_box_of_the_patch_size_is_copied_exactly(bit_depth: int) -> None:
    frame = _frame(300, 400, bit_depth=bit_depth)
    boxes: list[Box] = [(0, 0, 256, 256), (144, 44, 256, 256), (7, 13, 256, 256)]
    patches = vialsight.extract_patches(frame, _layout(frame, boxes, 256, bit_depth=bit_depth))
    for patch, box in zip(patches[0], boxes, strict=True):
        np.testing.assert_array_equal(patch, _crop(frame, box, bit_depth))


SHAPES = [
    (1, 1),
    (2, 2),
    (11, 11),
    (64, 64),
    (128, 128),
    (255, 257),
    (256, 300),
    (300, 256),
    (100, 400),
    (400, 100),
    (512, 512),
    (640, 1000),
    (777, 33),
]


@pytest.mark.tensorflow
@pytest.mark.parametrize("patch_size", [64, 256])
@pytest.mark.parametrize("bit_depth", [8, 12, 16])
@pytest.mark.parametrize(("height", "width"), SHAPES)
def test_equals_tensorflow(height: int, width: int, bit_depth: int, patch_size: int) -> None:
    import tensorflow as tf

    frame = _frame(height + 5, width + 9, bit_depth=bit_depth)
    box = (6, 3, width, height)
    layout = _layout(frame, [box], patch_size, bit_depth=bit_depth)
    expected = tf.image.resize(
        _crop(frame, box, bit_depth)[..., None],
        (patch_size, patch_size),
        method="bilinear",
        antialias=True,
    )
    np.testing.assert_allclose(
        vialsight.extract_patches(frame, layout)[0, 0], expected[..., 0], rtol=0, atol=1e-5
    )


@pytest.mark.tensorflow
def test_equals_tensorflow_far_from_the_origin_of_a_wide_box() -> None:
    """Sample positions are float32 there: an exact computation would differ by more than 1e-5."""
    import tensorflow as tf

    frame = np.zeros((40, 4000), np.uint8)
    frame[:, 1::2] = 255
    layout = _layout(frame, [(0, 0, 4000, 40)], 1024)
    expected = tf.image.resize(
        _crop(frame, (0, 0, 4000, 40))[..., None], (1024, 1024), method="bilinear", antialias=True
    )
    np.testing.assert_allclose(
        vialsight.extract_patches(frame, layout)[0, 0], expected[..., 0], rtol=0, atol=1e-5
    )


def test_patches_are_ordered_by_vial_then_region() -> None:
    frame = np.repeat(np.arange(6, dtype=np.uint8), 16)[None, :].repeat(16, axis=0)
    layout = vialsight.Layout(
        name="test",
        frame_width=96,
        frame_height=16,
        regions=["a", "b"],
        boxes=[[(32 * v + 16 * r, 0, 16, 16) for r in range(2)] for v in range(3)],
        patch_size=16,
    )
    patches = vialsight.extract_patches(np.ascontiguousarray(frame), layout)
    assert patches.shape == (3, 2, 16, 16)
    assert patches.dtype == np.float32
    np.testing.assert_array_equal(patches[:, :, 0, 0] * 255, [[0, 1], [2, 3], [4, 5]])


def test_padded_rows_give_the_same_patches() -> None:
    frame = _frame(48, 64, bit_depth=12)
    padded = np.full((48, 80), 4095, np.uint16)
    padded[:, :64] = frame
    layout = _layout(frame, [(3, 5, 40, 30), (0, 0, 16, 16)], 16, bit_depth=12)
    np.testing.assert_array_equal(
        vialsight.extract_patches(padded[:, :64], layout), vialsight.extract_patches(frame, layout)
    )


def test_pixels_outside_the_box_do_not_contribute() -> None:
    frame = _frame(48, 64)
    layout = _layout(frame, [(10, 10, 21, 19)], 16)
    before = vialsight.extract_patches(frame, layout)
    inside = frame[10:29, 10:31].copy()
    frame = 255 - frame
    frame[10:29, 10:31] = inside
    np.testing.assert_array_equal(vialsight.extract_patches(frame, layout), before)


def test_a_pixel_above_the_bit_depth_is_named() -> None:
    frame = _frame(32, 32, bit_depth=12)
    frame[7, 9] = 5000
    layout = _layout(frame, [(0, 0, 32, 32)], 16, bit_depth=12)
    with pytest.raises(ValueError, match=r"\(x 9, y 7\) is 5000, but bit depth 12 ends at 4095"):
        vialsight.extract_patches(frame, layout)


@pytest.mark.parametrize("dtype", [np.float32, np.int16, np.int64, np.bool_])
def test_another_dtype_is_refused(dtype: type) -> None:
    layout = _layout(np.zeros((32, 32), np.uint8), [(0, 0, 16, 16)], 16)
    with pytest.raises(TypeError, match="uint8"):
        vialsight.extract_patches(np.zeros((32, 32), dtype), layout)


def test_another_size_is_refused() -> None:
    layout = _layout(np.zeros((32, 64), np.uint8), [(0, 0, 16, 16)], 16)
    with pytest.raises(ValueError, match=r"expected 64x32 pixels \(width x height\), got 32x64"):
        vialsight.extract_patches(np.zeros((64, 32), np.uint8), layout)


def test_a_pixel_type_that_does_not_fit_the_bit_depth_is_refused() -> None:
    layout = _layout(np.zeros((32, 32), np.uint8), [(0, 0, 16, 16)], 16)
    with pytest.raises(ValueError, match="expected uint8 pixels for bit depth 8"):
        vialsight.extract_patches(np.zeros((32, 32), np.uint16), layout)


def test_pixels_that_are_not_adjacent_are_refused() -> None:
    layout = _layout(np.zeros((32, 32), np.uint8), [(0, 0, 16, 16)], 16)
    with pytest.raises(ValueError, match="frame"):
        vialsight.extract_patches(np.zeros((32, 64), np.uint8)[:, ::2], layout)


def test_rows_in_reverse_order_are_refused() -> None:
    layout = _layout(np.zeros((32, 32), np.uint8), [(0, 0, 16, 16)], 16)
    with pytest.raises(ValueError, match="frame"):
        vialsight.extract_patches(np.zeros((32, 32), np.uint8)[::-1], layout)


def test_a_colour_image_is_refused() -> None:
    layout = _layout(np.zeros((32, 32), np.uint8), [(0, 0, 16, 16)], 16)
    with pytest.raises(ValueError, match="shape"):
        vialsight.extract_patches(np.zeros((32, 32, 3), np.uint8), layout)
