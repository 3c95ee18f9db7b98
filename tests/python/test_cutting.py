"""From a frame to its patches: the core's own, wherever the product lies."""

import pickle
from concurrent.futures import ThreadPoolExecutor

import located_support as moved
import numpy as np
import pytest

from vialsight import _core
from vialsight.data import FrameCutter, NotLocatedError
from vialsight.data.cutting import naming
from vialsight.errors import DataError

POSES = [moved.AT_REST, (5.3, -4.1, 0.008), (-7.6, 3.2, -0.012)]


def as_they_lie(patch_size: int = moved.P) -> FrameCutter:
    return FrameCutter(moved.layout(locate="none", patch_size=patch_size))


def located(patch_size: int = moved.P) -> FrameCutter:
    return FrameCutter(moved.layout(patch_size=patch_size), moved.locator())


@pytest.mark.parametrize(("patch_size", "dtype"), [(moved.P, np.uint8), (32, np.float32)])
def test_as_they_lie_nothing_changes(patch_size: int, dtype: type) -> None:
    frame, cutter = moved.frame_at(POSES[1]), as_they_lie(patch_size)
    expected = _core.extract_patches(frame, cutter.layout).reshape(6, patch_size, patch_size)
    cut, pixels = cutter.cut(frame), cutter.pixels(frame)
    assert (cut.pose, pixels.dtype) == (None, dtype)
    np.testing.assert_array_equal(cut.patches, expected)
    scale = np.float32(255) if dtype == np.uint8 else np.float32(1)
    np.testing.assert_array_equal(pixels.astype(np.float32) / scale, expected)


@pytest.mark.parametrize("pose", POSES)
@pytest.mark.parametrize("patch_size", [moved.P, 32])
def test_located_patches_are_the_cores(pose: tuple[float, float, float], patch_size: int) -> None:
    frame, cutter = moved.frame_at(pose), located(patch_size)
    cut, pixels = cutter.cut(frame), cutter.pixels(frame)
    assert pixels.dtype == np.float32
    np.testing.assert_array_equal(cut.patches, moved.located_patches(frame, cutter.layout))
    np.testing.assert_array_equal(pixels, cut.patches)


@pytest.mark.parametrize("pose", POSES)
def test_the_product_stands_still_in_located_patches(pose: tuple[float, float, float]) -> None:
    cut = located().cut(moved.frame_at(pose, seed=3))
    rest = as_they_lie().cut(moved.frame_at(moved.AT_REST)).patches
    assert cut.pose is not None
    found = (cut.pose.dx, cut.pose.dy, cut.pose.turn)
    np.testing.assert_allclose(found, pose, atol=0.05)
    # Noise of both frames, rounding of both, and a twentieth of a pixel.
    assert float(np.abs(cut.patches - rest).mean()) < 0.01


def test_threads_share_a_cutter() -> None:
    cutter = located()
    frames = [moved.frame_at(moved.pose_of_run(n), seed=n) for n in range(16)]
    expected = [located().cut(frame).patches for frame in frames]
    with ThreadPoolExecutor(4) as pool:
        found = [cut.patches for cut in pool.map(cutter.cut, frames)]
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("cutter", [as_they_lie(), located()])
def test_a_copy_in_another_process_cuts_alike(cutter: FrameCutter) -> None:
    frame = moved.frame_at(POSES[1])
    expected = cutter.cut(frame).patches
    copy = pickle.loads(pickle.dumps(cutter))
    assert copy.layout == cutter.layout
    np.testing.assert_array_equal(copy.cut(frame).patches, expected)


class TestNotLocated:
    def refused(self) -> NotLocatedError:
        with pytest.raises(NotLocatedError) as caught:
            located().cut(np.full((moved.HEIGHT, moved.WIDTH), 128, np.uint8))
        return caught.value

    def test_says_what_was_seen_and_what_to_do(self) -> None:
        error = self.refused()
        assert error.location is not None
        assert f"not located ({error.location.reason}): residual" in str(error)
        assert "of at most 0.0200; the search ended at dx" in str(error)
        assert "take it out of the data" in str(error)

    def test_stays_itself_when_an_image_is_named(self) -> None:
        error = self.refused()
        with (
            pytest.raises(NotLocatedError, match=r"^a\.png: the product") as caught,
            naming("a.png"),
        ):
            raise error
        assert caught.value.location is error.location

    def test_travels_between_processes(self) -> None:
        error = self.refused()
        copy = pickle.loads(pickle.dumps(error))
        assert (type(copy), str(copy)) == (NotLocatedError, str(error))

    def test_pixels_are_refused_likewise(self) -> None:
        with pytest.raises(NotLocatedError):
            located().pixels(np.zeros((moved.HEIGHT, moved.WIDTH), np.uint8))

    def test_above_the_residual_limit(self) -> None:
        strict = FrameCutter(moved.layout(), moved.locator(residual_limit=1e-5))
        with pytest.raises(NotLocatedError, match=r"\(residual\).* of at most 0\.0000"):
            strict.cut(moved.frame_at(POSES[1]))


class TestRefusals:
    def test_no_locator_where_the_layout_locates(self) -> None:
        with pytest.raises(DataError, match=r"products are located \(rigid\), and there is no"):
            FrameCutter(moved.layout())

    def test_a_locator_where_the_layout_does_not(self) -> None:
        with pytest.raises(DataError, match="none"):
            FrameCutter(moved.layout(locate="none"), moved.locator())

    def test_a_locator_of_other_frames(self) -> None:
        with pytest.raises(DataError, match="320"):
            FrameCutter(moved.layout(width=320), moved.locator())

    @pytest.mark.parametrize("cutter", [as_they_lie(), as_they_lie(32), located()])
    @pytest.mark.parametrize(
        "frame", [np.zeros((200, 301), np.uint8), np.zeros((200, 300), np.uint16)]
    )
    def test_a_frame_that_does_not_fit(self, cutter: FrameCutter, frame: np.ndarray) -> None:
        for cut in (cutter.cut, cutter.pixels):
            with pytest.raises(DataError, match="frame") as caught:
                cut(frame)
            assert not isinstance(caught.value, NotLocatedError)
