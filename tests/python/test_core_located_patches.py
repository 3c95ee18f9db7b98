"""Extraction with a pose against the sum it is defined by, in NumPy and float64."""

import numpy as np
import numpy.typing as npt
import pytest

import vialsight

Frame = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]
Float = npt.NDArray[np.float64]
Box = tuple[int, int, int, int]
Pose = tuple[float, float, float]


def _layout(
    shape: tuple[int, int], boxes: list[Box], patch_size: int, bit_depth: int = 8
) -> vialsight.Layout:
    return vialsight.Layout(
        name="test",
        frame_width=shape[1],
        frame_height=shape[0],
        bit_depth=bit_depth,
        regions=[f"r{i}" for i in range(len(boxes))],
        boxes=[boxes],
        patch_size=patch_size,
    )


def _frame(height: int, width: int, *, bit_depth: int = 8, seed: int = 1) -> Frame:
    dtype = np.uint8 if bit_depth == 8 else np.uint16
    return np.random.default_rng(seed).integers(0, 2**bit_depth, (height, width)).astype(dtype)


def _cut(frame: Frame, box: Box, patch_size: int, pose: Pose, bit_depth: int = 8) -> Float:
    layout = _layout(frame.shape, [box], patch_size, bit_depth)
    return vialsight.extract_patches(frame, layout, pose)[0, 0].astype(np.float64)


def _positions(shape: tuple[int, int], box: Box, size: int, pose: Pose) -> tuple[Float, Float]:
    """Where samples lie: x and y (size, size), in indices of the frame's pixels."""
    (left, top, width, height), (dx, dy, turn) = box, pose
    # Half-pixel centres: pixel k covers [k, k + 1], the frame's centre is half its edge.
    u = left + (np.arange(size) + 0.5) * width / size - shape[1] / 2
    v = top + (np.arange(size) + 0.5) * height / size - shape[0] / 2
    x = u[None, :] + dx + turn * v[:, None] + shape[1] / 2 - 0.5
    y = v[:, None] + dy - turn * u[None, :] + shape[0] / 2 - 0.5
    return x, y


def _keys(d: Float) -> Float:
    """Cubic convolution (Keys 1981, eq. 15)."""
    d = np.abs(d)
    near = 3 / 2 * d**3 - 5 / 2 * d**2 + 1
    far = -1 / 2 * d**3 + 5 / 2 * d**2 - 4 * d + 2
    return np.where(d < 1, near, np.where(d < 2, far, 0.0))


def _weights(positions: Float, first: int, count: int, scale: float) -> Float:
    """Weights of pixels `first` to `first + count - 1` for samples (rows, columns), normalised."""
    pixels = first + np.arange(count)
    weights = _keys((pixels - positions[..., None]) / max(scale, 1.0))
    return weights / weights.sum(-1, keepdims=True)


def _expected(
    frame: Frame, box: Box, size: int, pose: Pose, bit_depth: int = 8, rows: slice = slice(None)
) -> Float:
    """Every pixel of the frame, its edge repeated, weighed for every sample of these rows."""
    x, y = (p[rows] for p in _positions(frame.shape, box, size, pose))
    ends = [(int(np.floor(p.min())) - 70, int(np.ceil(p.max())) + 70) for p in (x, y)]
    (left, right), (top, bottom) = ends
    across = np.clip(np.arange(left, right), 0, frame.shape[1] - 1)
    down = np.clip(np.arange(top, bottom), 0, frame.shape[0] - 1)
    pixels = frame[np.ix_(down, across)] / (2.0**bit_depth - 1)
    columns = _weights(x, left, right - left, box[2] / size)
    lines = _weights(y, top, bottom - top, box[3] / size)
    sums = np.einsum("ijr,ijr->ij", lines, np.einsum("ijc,rc->ijr", columns, pixels, optimize=True))
    return np.clip(sums, 0.0, 1.0)


POSES: list[Pose] = [
    (0.0, 0.0, 0.0),
    (0.25, -0.75, 0.0),
    (-3.0, 2.0, 0.0),
    (1.37, -2.61, 0.0035),
    (-8.9, 6.2, -0.0244),
    (5.5, 0.5, 0.1),
    (-0.5, -5.5, -0.1),
]
BOXES: list[tuple[Box, int]] = [
    ((60, 40, 48, 48), 48),  # equal
    ((60, 40, 31, 40), 48),  # enlarged
    ((64, 64, 1, 1), 11),
    ((50, 30, 49, 60), 48),  # hardly smaller
    ((50, 30, 80, 96), 48),  # up to half
    ((20, 10, 120, 110), 48),
    ((2, 3, 150, 140), 11),  # 13 times smaller
    ((60, 40, 31, 96), 48),  # wider, but lower
    ((60, 40, 48, 24), 48),  # equal along one axis
    ((0, 0, 160, 150), 48),  # the whole frame
    ((0, 0, 48, 48), 48),  # two of its edges
    ((112, 102, 48, 48), 48),  # the other two
]


@pytest.mark.parametrize("pose", POSES)
@pytest.mark.parametrize(("box", "size"), BOXES)
@pytest.mark.parametrize("bit_depth", [8, 12, 16])
def test_equals_the_definition(box: Box, size: int, pose: Pose, bit_depth: int) -> None:
    frame = _frame(150, 160, bit_depth=bit_depth)
    np.testing.assert_allclose(
        _cut(frame, box, size, pose, bit_depth),
        _expected(frame, box, size, pose, bit_depth),
        rtol=0,
        atol=1e-5,
    )


@pytest.mark.parametrize("pose", [(3.3, -2.6, 0.0035), (-31.2, 30.7, -0.0244)])
@pytest.mark.parametrize("box", [(1096, 832, 256, 256), (8, 0, 200, 200), (500, 300, 400, 400)])
def test_equals_the_definition_far_from_the_origin(box: Box, pose: Pose) -> None:
    frame = _frame(1152, 1408)
    found = _cut(frame, box, 256, pose)
    for rows in (slice(0, 4), slice(126, 130), slice(252, 256)):
        np.testing.assert_allclose(
            found[rows], _expected(frame, box, 256, pose, rows=rows), rtol=0, atol=1e-5
        )


@pytest.mark.parametrize("shift", [(0, 0), (1, 0), (0, -1), (-7, 12), (40, 26)])
@pytest.mark.parametrize("bit_depth", [8, 12])
def test_a_shift_by_whole_pixels_copies_the_shifted_box(
    shift: tuple[int, int], bit_depth: int
) -> None:
    frame = _frame(150, 160, bit_depth=bit_depth)
    box, moved = (60, 40, 32, 32), (60 + shift[0], 40 + shift[1], 32, 32)
    expected = vialsight.extract_patches(frame, _layout(frame.shape, [moved], 32, bit_depth))[0, 0]
    found = _cut(frame, box, 32, (*shift, 0.0), bit_depth)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("pose", [(4.25, -3.5, 0.0), (0.0, 0.0, 0.02), (-2.75, 5.5, -0.02)])
@pytest.mark.parametrize(("edge", "size"), [(64, 64), (40, 64), (96, 64)])
def test_a_located_product_looks_as_if_it_lay_in_place(pose: Pose, edge: int, size: int) -> None:
    """A smooth product, seen at its pose, without any resampling of ours."""

    def product(u: Float, v: Float) -> Float:
        return 0.5 + 0.2 * np.sin(u / 9.0 + 0.3) + 0.2 * np.cos(v / 11.0 - u / 30.0)

    dx, dy, turn = pose
    x, y = np.meshgrid(np.arange(200) + 0.5 - 100.0, np.arange(180) + 0.5 - 90.0)
    # The pose's formulas, solved for the point of the product.
    u, v = np.linalg.solve(
        [[1.0, turn], [-turn, 1.0]], np.stack([(x - dx), (y - dy)]).reshape(2, -1)
    )
    frame = np.rint(product(u, v).reshape(x.shape) * 65535).astype(np.uint16)
    box = (70, 20, edge, edge)
    step = (np.arange(size) + 0.5) * edge / size
    expected = product((70 + step - 100.0)[None, :], (20 + step - 90.0)[:, None])
    np.testing.assert_allclose(_cut(frame, box, size, pose, 16), expected, rtol=0, atol=2e-3)


def test_beyond_the_edge_its_pixels_are_repeated() -> None:
    frame = _frame(50, 64)
    corner = frame[-1, -1] / np.float32(255.0)
    np.testing.assert_array_equal(_cut(frame, (10, 10, 32, 32), 32, (64.0, 50.0, 0.0)), corner)
    first = frame[10:42, 0] / np.float32(255.0)
    np.testing.assert_array_equal(
        _cut(frame, (10, 10, 32, 32), 32, (-64.0, 0.0, 0.0)), first[:, None].repeat(32, axis=1)
    )


def test_overshoot_is_clipped() -> None:
    frame = np.zeros((50, 64), np.uint8)
    frame[:, 32:] = 255
    patch = _cut(frame, (16, 9, 32, 32), 32, (0.5, 0.0, 0.0))
    assert (patch.min(), patch.max()) == (0.0, 1.0)
    assert np.unique(patch).tolist() == [0.0, 0.5, 1.0]


def test_padded_rows_give_the_same_patches() -> None:
    frame = _frame(60, 70, bit_depth=12)
    padded = np.full((60, 90), 4095, np.uint16)
    padded[:, :70] = frame
    layout = _layout(frame.shape, [(3, 5, 40, 30), (0, 0, 16, 16)], 16, 12)
    pose = (2.5, -4.0, 0.01)
    np.testing.assert_array_equal(
        vialsight.extract_patches(padded[:, :70], layout, pose),
        vialsight.extract_patches(frame, layout, pose),
    )


def test_none_is_no_pose() -> None:
    frame = _frame(60, 70)
    layout = _layout(frame.shape, [(3, 5, 40, 30), (0, 0, 16, 16)], 16)
    np.testing.assert_array_equal(
        vialsight.extract_patches(frame, layout, pose=None),
        vialsight.extract_patches(frame, layout),
    )


def test_a_pixel_above_the_bit_depth_is_named_where_it_is_read() -> None:
    frame = np.full((50, 64), 100, np.uint16)
    frame[7, 50] = 5000
    layout = _layout(frame.shape, [(0, 0, 32, 32)], 32, 12)
    vialsight.extract_patches(frame, layout, (4.0, 0.0, 0.0))
    with pytest.raises(ValueError, match=r"\(x 50, y 7\) is 5000, but bit depth 12 ends at 4095"):
        vialsight.extract_patches(frame, layout, (20.0, 0.0, 0.0))


@pytest.mark.parametrize(
    ("pose", "match"),
    [
        ((float("nan"), 0.0, 0.0), "expected dx within ±64 pixels, got nan"),
        ((0.0, float("inf"), 0.0), "expected dy within ±50 pixels, got inf"),
        ((0.0, 0.0, float("nan")), "expected turn within ±0.1 radians, got nan"),
        ((64.5, 0.0, 0.0), "dx within ±64 pixels, got 64.5"),
        ((0.0, -50.5, 0.0), "dy within ±50 pixels, got -50.5"),
        ((0.0, 0.0, 0.11), "turn within ±0.1 radians, got 0.11"),
    ],
)
def test_a_wrong_pose_is_refused(pose: Pose, match: str) -> None:
    layout = _layout((50, 64), [(0, 0, 32, 32)], 32)
    with pytest.raises(ValueError, match=match):
        vialsight.extract_patches(_frame(50, 64), layout, pose)
    with pytest.raises(ValueError, match=match):
        vialsight.box_corners(layout, 0, 0, pose)


@pytest.mark.parametrize("pose", [(1.0, 2.0), (1.0, 2.0, 0.0, 0.0), "abc", 3.0])
def test_a_pose_that_is_not_three_numbers_is_refused(pose: object) -> None:
    layout = _layout((50, 64), [(0, 0, 32, 32)], 32)
    with pytest.raises(TypeError, match="pose"):
        vialsight.extract_patches(_frame(50, 64), layout, pose)  # type: ignore[arg-type]


class TestBoxCorners:
    LAYOUT = _layout((50, 64), [(3, 5, 20, 16), (30, 8, 20, 16)], 16)

    def test_of_the_zero_pose_are_the_boxes(self) -> None:
        corners = vialsight.box_corners(self.LAYOUT, 0, 1, (0.0, 0.0, 0.0))
        assert [tuple(c) for c in corners] == [(30, 8), (50, 8), (50, 24), (30, 24)]

    def test_follow_what_is_cut(self) -> None:
        """A patch's corner samples lie half a step inside the box, at any pose."""
        pose = (1.5, -2.25, 0.03)
        x, y = _positions((50, 64), (3, 5, 20, 16), 16, pose)
        corners = np.array(vialsight.box_corners(self.LAYOUT, 0, 0, pose))
        inner = [(p[0, 0] + p[-1, -1]) / 2 + 0.5 for p in (x, y)]
        np.testing.assert_allclose(corners.mean(axis=0), inner, atol=1e-12)
        across = np.array([x[0, -1] - x[0, 0], y[0, -1] - y[0, 0]]) * 16 / 15
        np.testing.assert_allclose(corners[1] - corners[0], across, atol=1e-12)
        np.testing.assert_allclose(corners[2] - corners[3], across, atol=1e-12)

    @pytest.mark.parametrize(("vial", "region"), [(1, 0), (0, 2)])
    def test_no_such_box(self, vial: int, region: int) -> None:
        with pytest.raises(IndexError, match="expected vial < 1 and region < 2"):
            vialsight.box_corners(self.LAYOUT, vial, region, (0.0, 0.0, 0.0))
