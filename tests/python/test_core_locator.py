"""The locator's binding: what it accepts and refuses, and the averaged frame against SciPy."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, shift

from vialsight import _core

SCALE = 2


def frame_of(seed: int = 1, *, dx: float = 0.0, dy: float = 0.0, bit_depth: int = 8) -> np.ndarray:
    """Smooth texture (200, 260), moved by Fourier-like splines of a larger picture."""
    large = gaussian_filter(np.random.default_rng(seed).standard_normal((280, 340)), 6.0)
    moved = shift(large, (dy, dx), order=5)[40:240, 40:300]
    values = np.clip(0.5 + 2.5 * moved, 0.0, 1.0) * (2**bit_depth - 1)
    return np.round(values).astype(np.uint8 if bit_depth <= 8 else np.uint16)


def arguments(**changes: object) -> dict[str, object]:
    template = _core.reduced_frame(frame_of(), SCALE)
    given = {
        "template": template,
        "weights": np.ones_like(template),
        "scale": SCALE,
        "kind": "rigid",
        "reach_px": 32.0,
        "reach_turn": 0.0262,
        "residual_limit": 0.02,
    }
    return given | changes


@pytest.mark.parametrize(("dtype", "largest"), [(np.uint8, 255), (np.uint16, 65535)])
@pytest.mark.parametrize("scale", [1, 2, 3, 4, 7])
def test_the_averaged_frame_is_scipys(dtype, largest, scale):
    frame = np.random.default_rng(2).integers(0, largest, (197, 263), dtype, endpoint=True)
    height, width = 197 // scale, 263 // scale
    cells = frame[: height * scale, : width * scale].reshape(height, scale, width, scale)
    expected = gaussian_filter(cells.mean(axis=(1, 3), dtype=np.float64) / largest, 1.0)
    reduced = _core.reduced_frame(frame, scale)
    assert reduced.dtype == np.float32
    np.testing.assert_allclose(reduced, expected, atol=2e-6)


def test_a_moved_texture_is_found():
    where = _core.Locator(**arguments()).locate(frame_of(dx=5.3, dy=-2.6))
    assert (where.found, where.reason) == (True, "none")
    assert (where.dx, where.dy) == (pytest.approx(5.3, abs=0.05), pytest.approx(-2.6, abs=0.05))
    assert where.turn == pytest.approx(0.0, abs=3e-4)
    assert where.contrast == pytest.approx(1.0, abs=0.03)
    assert 0.0 < where.residual < 0.02
    assert where.steps > 0


def test_a_moved_texture_is_found_in_12_bits():
    template = _core.reduced_frame(frame_of(bit_depth=12), SCALE, bit_depth=12)
    locator = _core.Locator(**arguments(template=template, bit_depth=12))
    where = locator.locate(frame_of(dx=5.3, dy=-2.6, bit_depth=12))
    assert where.found
    assert where.dx == pytest.approx(5.3, abs=0.05)


def test_frames_need_not_be_multiples_of_the_scale():
    frame = frame_of()[:199, :259]
    template = _core.reduced_frame(frame, SCALE)
    given = arguments(template=template, weights=np.ones_like(template))
    locator = _core.Locator(**given, frame_width=259, frame_height=199)
    assert locator.locate(frame).found


def test_padded_rows_are_read_by_their_stride():
    wide = np.zeros((200, 300), np.uint8)
    wide[:, :260] = frame_of(dx=3.0)
    assert _core.Locator(**arguments()).locate(wide[:, :260]).found


def test_another_texture_is_not_found():
    where = _core.Locator(**arguments()).locate(frame_of(seed=7))
    assert not where.found
    assert where.reason != "none"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "affine"}, 'expected "none", "translation" or "rigid", got "affine"'),
        ({"kind": "none"}, "kind: expected translation"),
        ({"scale": 0}, "frame size: expected"),
        ({"reach_px": 0.0}, "reach_px: expected"),
        ({"reach_turn": 0.1}, "reach_turn: expected"),
        ({"kind": "translation"}, "reach_turn: expected"),
        ({"residual_limit": float("nan")}, "residual_limit: expected"),
        ({"bit_depth": 0}, "bit_depth: expected"),
        ({"frame_width": 262}, "template: expected 13100 values, 131x100"),
        ({"weights": np.ones((100, 129), np.float32)}, "weights: expected the template's shape"),
        ({"weights": np.zeros((100, 130), np.float32)}, "weights: expected some above 0"),
        ({"template": np.full((100, 130), 0.5, np.float32)}, "does not determine a pose"),
    ],
)
def test_a_malformed_locator_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        _core.Locator(**arguments(**changes))


def test_a_float64_template_is_refused():
    with pytest.raises(TypeError, match="template: expected float32"):
        _core.Locator(**arguments(template=np.zeros((100, 130))))


def test_a_stack_of_frames_is_refused():
    with pytest.raises(ValueError, match=r"frame: expected shape \(height, width\)"):
        _core.Locator(**arguments()).locate(np.zeros((3, 200, 260), np.uint8))


def test_a_frame_of_another_size_is_refused():
    with pytest.raises(ValueError, match="expected 260x200 pixels"):
        _core.Locator(**arguments()).locate(np.zeros((200, 261), np.uint8))


def test_float_pixels_are_refused():
    with pytest.raises(TypeError, match="expected uint8 or uint16"):
        _core.reduced_frame(np.zeros((200, 260), np.float32), SCALE)


def test_a_scale_that_leaves_too_little_is_refused():
    with pytest.raises(ValueError, match="scale: expected one that leaves edges"):
        _core.reduced_frame(np.zeros((200, 260), np.uint8), 13)


def test_the_usual_scale():
    assert _core.locator_scale(1408, 1152) == 4
