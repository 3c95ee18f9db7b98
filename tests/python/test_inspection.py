"""Products from files, and pictures of rejected patches."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from score_bundles import write_map_bundle

import vialsight
from vialsight.data import Dataset
from vialsight.errors import DataError
from vialsight.line.inspection import (
    Product,
    inspect_product,
    picture_of,
    products_of_dataset,
    products_of_images,
    rejected_patches,
    write_heatmaps,
)
from vialsight.line.pictures import fixed_heatmap


def test_images_are_grouped_in_the_order_given() -> None:
    paths = [Path(name) for name in "fbdace"]
    products = products_of_images(paths, 3)
    assert [product.images for product in products] == [tuple(paths[:3]), tuple(paths[3:])]


@pytest.mark.parametrize("count", [0, 1, 4])
def test_images_that_do_not_divide(count: int) -> None:
    with pytest.raises(DataError, match=f"a multiple of 3 images .* got {count}"):
        products_of_images([Path("a")] * count, 3)


def test_picture_shows_heat_in_red_only_where_it_is() -> None:
    image = np.full((4, 4), 0.5, np.float32)
    heat = np.zeros((4, 4), np.float32)
    heat[1, 2] = 1.0
    picture = picture_of(image, image, heat)
    assert picture.shape == (4, 12, 3)
    assert picture[1, 8 + 2].tolist() == [255, 26, 0]
    assert (np.delete(picture.reshape(-1, 3), 1 * 12 + 10, axis=0) == 128).all()


def test_picture_without_reconstruction_has_no_panel_for_it() -> None:
    image, heat = np.full((4, 4), 0.5, np.float32), np.ones((4, 4), np.float32)
    picture = picture_of(image, None, heat, np.ones((4, 4), bool))
    assert picture.shape == (4, 12, 3)
    # Input, all of it hot, all of it in the mask's colour over the input.
    assert picture[0, ::4].tolist() == [[128, 128, 128], [255, 26, 0], [51, 120, 158]]


def test_heatmap_before_calibration_is_on_a_scale_of_0_to_1(tiny_bundle: Path) -> None:
    bundle = vialsight.Bundle.load(tiny_bundle)
    values = np.array([[-0.5, 0.0], [0.25, 3.0]], np.float32)
    assert fixed_heatmap(bundle, 0, values).tolist() == [[0.0, 0.0], [0.25, 1.0]]


@pytest.mark.tensorflow
class TestInspect:
    def test_network_without_reconstruction(self, tiny_dataset: Dataset, tmp_path: Path) -> None:
        bundle = vialsight.Bundle.load(write_map_bundle(tmp_path, tiny_dataset))
        inspector, written = vialsight.Inspector(bundle), 0
        for product in products_of_dataset(tiny_dataset.select(split="test")):
            inspected = inspect_product(inspector, product)
            for patch in rejected_patches(inspector, inspected):
                low, high = bundle.heatmap_scale(patch.region)
                values = 40.0 * (patch.image - 0.3) ** 2 - 3.0
                expected = np.clip((values - low) / (high - low), 0, 1)
                assert patch.reconstruction is None
                np.testing.assert_allclose(patch.heatmap, expected, atol=1e-5)
            for path in write_heatmaps(inspector, inspected, tmp_path, number=1):
                with Image.open(path) as picture:
                    assert picture.size == (64, 32)
                written += 1
        assert written

    def test_rejected_patches_match_scores(
        self, tiny_calibrated_bundle: Path, tiny_dataset: Dataset
    ) -> None:
        bundle = vialsight.Bundle.load(tiny_calibrated_bundle)
        inspector = vialsight.Inspector(bundle)
        for product in products_of_dataset(tiny_dataset.select(split="test")):
            inspected = inspect_product(inspector, product)
            patches = list(rejected_patches(inspector, inspected))
            over = inspected.scores > np.array(inspected.thresholds)
            assert len(patches) == over.sum()
            assert inspected.accepted == (not patches)
            for patch in patches:
                difference = np.abs(patch.image - patch.reconstruction)
                vmax = bundle.heatmap_scale(patch.region)[1]
                np.testing.assert_allclose(
                    patch.heatmap, np.clip(difference / vmax, 0, 1), atol=1e-6
                )

    @pytest.mark.parametrize("damage", ["missing", "truncated", "other size", "colour"])
    def test_unusable_image_is_a_reject(
        self, tiny_calibrated_bundle: Path, own_dataset_folder: Path, damage: str
    ) -> None:
        paths = tuple(own_dataset_folder / f"test-nominal-0-{i}.png" for i in (1, 2, 3))
        if damage == "missing":
            paths[1].unlink()
        elif damage == "truncated":
            paths[1].write_bytes(paths[1].read_bytes()[:-300])
        elif damage == "other size":
            Image.new("L", (96, 81)).save(paths[1])
        else:
            Image.new("RGB", (96, 80)).save(paths[1])
        inspector = vialsight.Inspector(vialsight.Bundle.load(tiny_calibrated_bundle))
        inspected = inspect_product(inspector, Product(name="p", images=paths))
        assert not inspected.accepted
        assert inspected.reason == "frame_invalid"
        assert inspected.error
        assert list(rejected_patches(inspector, inspected)) == []
        assert inspected.to_json()["verdict"] == "reject"

    def test_all_frames_of_other_size_are_a_reject_with_a_message(
        self, tiny_calibrated_bundle: Path, tmp_path: Path
    ) -> None:
        paths = tuple(tmp_path / f"{i}.png" for i in range(3))
        for path in paths:
            Image.new("L", (20, 20)).save(path)
        inspector = vialsight.Inspector(vialsight.Bundle.load(tiny_calibrated_bundle))
        inspected = inspect_product(inspector, Product(name="p", images=paths))
        assert (inspected.accepted, inspected.reason) == (False, "frame_invalid")
        assert inspected.error
        assert inspected.to_json()["scores"] == [[[None] * 2] * 2] * 3
