"""Adapters write dataset folders that the reader accepts."""

import importlib.util
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vialsight.data import Fractions, prepare_elpv, prepare_mvtec, prepare_split, read_dataset
from vialsight.errors import DataError


def by_split_and_label(folder: Path) -> Counter[tuple[str, str]]:
    return Counter((r.split, r.label) for r in read_dataset(folder).records)


@pytest.fixture
def mvtec(tmp_path: Path) -> Path:
    """A category as MVTec AD lays it out, with ten training and four test images."""
    category = tmp_path / "grid"
    names = [f"train/good/{i:03}.png" for i in range(10)]
    names += ["test/good/000.png", "test/bent/000.png", "test/bent/001.png", "test/glue/000.png"]
    names += [f"ground_truth/{name}_mask.png" for name in ("bent/000", "bent/001", "glue/000")]
    for number, name in enumerate(names):
        path = category / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((20, 24), number, np.uint8)).save(path)
    return category


class TestMvtec:
    def test_keeps_the_test_set_whole_by_default(self, mvtec: Path, tmp_path: Path) -> None:
        dataset = prepare_mvtec(mvtec, tmp_path / "out", patch_size=16, seed=0)
        counts = by_split_and_label(tmp_path / "out")
        assert counts["test", "nominal"] == 1
        assert counts["test", "defective"] == 3
        assert counts["train", "nominal"] == 8
        assert sum(counts.values()) == 14
        assert tuple(dataset.layout.box(0, 0)) == (0, 0, 24, 20)
        assert dataset.layout.regions == ["image"]

    def test_defects_have_their_masks(self, mvtec: Path, tmp_path: Path) -> None:
        dataset = prepare_mvtec(mvtec, tmp_path / "out", patch_size=16, seed=0)
        masks = {r.product: r.mask for r in dataset.records if r.defective}
        assert masks["test/bent/001"] == mvtec / "ground_truth/bent/001_mask.png"

    def test_defects_can_be_given_to_calibration(self, mvtec: Path, tmp_path: Path) -> None:
        defective = Fractions.parse("0/0/100/0")
        prepare_mvtec(mvtec, tmp_path / "out", patch_size=16, seed=0, defective=defective)
        assert by_split_and_label(tmp_path / "out")["calibration", "defective"] == 3

    def test_missing_mask(self, mvtec: Path, tmp_path: Path) -> None:
        (mvtec / "ground_truth/glue/000_mask.png").unlink()
        with pytest.raises(DataError, match=r"glue/000_mask\.png"):
            prepare_mvtec(mvtec, tmp_path / "out", patch_size=16, seed=0)
        assert not (tmp_path / "out").exists()

    def test_colour_category(self, mvtec: Path, tmp_path: Path) -> None:
        Image.new("CMYK", (24, 20)).save(mvtec / "train/good/003.tif")
        (mvtec / "train/good/003.png").unlink()
        with pytest.raises(DataError, match=r"got colours .* convert it first"):
            prepare_mvtec(mvtec, tmp_path / "out", patch_size=16, seed=0)
        assert [p.name for p in tmp_path.iterdir()] == ["grid"]

    def test_folder_of_another_form(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="expected a category of MVTec AD"):
            prepare_mvtec(tmp_path, tmp_path / "out", patch_size=16, seed=0)

    def test_existing_output_is_kept(self, mvtec: Path, tmp_path: Path) -> None:
        (tmp_path / "out").mkdir()
        with pytest.raises(DataError, match="exists; choose another name"):
            prepare_mvtec(mvtec, tmp_path / "out", patch_size=16, seed=0)


class TestElpv:
    def test_mono_cells_of_the_installed_package(self, tmp_path: Path) -> None:
        pytest.importorskip("elpv_dataset", reason="extra 'data' is not installed")
        dataset = prepare_elpv(tmp_path / "out", patch_size=128, seed=0)
        counts = by_split_and_label(tmp_path / "out")
        # 588 mono cells with P = 0 and 313 with P = 1, as counted in the package's labels.csv.
        # A few that look like cells of an earlier split are in none.
        assert sum(n for (_, label), n in counts.items() if label == "nominal") == 588
        assert sum(n for (_, label), n in counts.items() if label == "defective") == 313
        assert 0 < sum(n for (split, _), n in counts.items() if not split) < 10
        assert (counts["train", "nominal"], counts["validation", "nominal"]) == (353, 29)
        assert counts["calibration", "nominal"] in range(83, 89)
        assert counts["test", "nominal"] in range(113, 119)
        layout = dataset.layout
        assert (layout.frame_width, layout.frame_height, layout.frames) == (300, 300, 1)
        assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
            "dataset.csv",
            "layout.json",
        ]

    @pytest.mark.parametrize(
        ("cells", "nominal", "defective"), [("poly", 920, 402), ("all", 1508, 715)]
    )
    def test_other_cells(self, tmp_path: Path, cells: str, nominal: int, defective: int) -> None:
        pytest.importorskip("elpv_dataset", reason="extra 'data' is not installed")
        dataset = prepare_elpv(tmp_path / "out", patch_size=128, seed=0, cells=cells)
        counts = by_split_and_label(tmp_path / "out")
        assert sum(n for (_, label), n in counts.items() if label == "nominal") == nominal
        assert sum(n for (_, label), n in counts.items() if label == "defective") == defective
        assert dataset.layout.name == f"elpv-{cells}"

    def test_unknown_cells(self, tmp_path: Path) -> None:
        with pytest.raises(
            DataError, match="cells must be one of mono, poly, all; got 'amorphous'"
        ):
            prepare_elpv(tmp_path / "out", patch_size=128, seed=0, cells="amorphous")

    def test_missing_package_names_the_extra(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
        with pytest.raises(DataError, match=r"pip install 'vialsight\[data\]'"):
            prepare_elpv(tmp_path / "out", patch_size=128, seed=0)


class TestSplit:
    def test_splits_by_product_and_keeps_images_in_place(
        self, tiny_dataset_folder: Path, tmp_path: Path
    ) -> None:
        before = (tiny_dataset_folder / "dataset.csv").read_bytes()
        thirds = Fractions.parse("20/20/20/40")
        dataset = prepare_split(
            tiny_dataset_folder, tmp_path / "out", seed=5, nominal=thirds, defective=thirds
        )
        splits = {(r.product, r.split) for r in dataset.records}
        assert len(splits) == 21
        assert dataset.records[0].image.parent == tiny_dataset_folder
        assert (tiny_dataset_folder / "dataset.csv").read_bytes() == before
