"""Folders of images as people have them: every file is used, or named with a reason."""

import contextlib
import csv
import logging
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vialsight.data import Geometry, prepare_mvtec, read_dataset
from vialsight.data.intake import INTAKE_NAME
from vialsight.errors import DataError

SIZE = (24, 20)


def picture(path: Path, size: tuple[int, int] = SIZE, grey: int = 90) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", size, grey).save(path)
    return path


def spot(path: Path, size: tuple[int, int] = SIZE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    mask = Image.new("L", size, 0)
    mask.paste(255, (2, 3, 9, 9))
    mask.save(path)
    return path


@pytest.fixture
def category(tmp_path: Path) -> Path:
    root = tmp_path / "cat"
    for number in range(6):
        picture(root / f"train/good/{number:03}.png")
    picture(root / "test/good/000.png")
    picture(root / "test/dent/000.png")
    spot(root / "ground_truth/dent/000_mask.png")
    return root


def prepared(category: Path, geometry: Geometry | None = None) -> Path:
    out = category.parent / "out"
    prepare_mvtec(category, out, patch_size=16, seed=0, geometry=geometry or Geometry())
    return out


def intake(out: Path) -> dict[str, tuple[str, str]]:
    with (out / INTAKE_NAME).open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["file", "used_as", "left_out_because"]
    assert len({row[0] for row in rows}) == len(rows)
    return {name: (use, reason) for name, use, reason in rows}


def products(out: Path) -> set[str]:
    return {record.product for record in read_dataset(out).records}


class TestEveryFile:
    @pytest.mark.parametrize("suffix", ["JPG", "jpeg", "PNG", "bmp", "TIF", "tiff"])
    def test_every_suffix_is_used(self, category: Path, suffix: str) -> None:
        picture(category / f"train/good/100.{suffix}")
        picture(category / f"test/scratch/000.{suffix}")
        spot(category / f"ground_truth/scratch/000_mask.{suffix}")
        out = prepared(category)
        assert {"train/good/100", "test/scratch/000"} <= products(out)
        assert intake(out)[f"ground_truth/scratch/000_mask.{suffix}"] == ("mask", "")

    def test_folders_below_are_used(self, category: Path) -> None:
        picture(category / "train/good/cam2/000.png")
        picture(category / "train/good/cam2/deep/000.png")
        picture(category / "test/dent/cam2/000.png")
        spot(category / "ground_truth/dent/cam2/000_mask.png")
        out = prepared(category)
        below = {"train/good/cam2/000", "train/good/cam2/deep/000", "test/dent/cam2/000"}
        assert below <= products(out)
        masks = {r.product: r.mask for r in read_dataset(out).records}
        assert masks["test/dent/cam2/000"] == category / "ground_truth/dent/cam2/000_mask.png"

    @pytest.mark.parametrize(
        "name",
        [
            "train/good/._000.png",
            "train/good/.DS_Store",
            "test/.ipynb_checkpoints/000.png",
            "test/dent/.cache/000.png",
            ".git/config",
        ],
    )
    def test_hidden_names_are_passed_over(self, category: Path, name: str) -> None:
        picture(category / "x.png").rename(category / "x")
        (category / name).parent.mkdir(parents=True, exist_ok=True)
        (category / "x").rename(category / name)
        out = prepared(category)
        assert len(products(out)) == 8
        hidden = {file for file, (_, reason) in intake(out).items() if reason == "hidden"}
        assert any(name.startswith(file) for file in hidden)

    @pytest.mark.parametrize(
        ("name", "reason"),
        [
            ("train/good/notes.txt", "no image by its name"),
            ("train/good/000.npy", "no image by its name"),
            ("train/good/Thumbs.db", "no image by its name"),
            ("readme.md", "not part of a category"),
            ("license/a.png", "not part of a category"),
            ("train/bad/000.png", "training takes train/good only"),
            ("test/000.png", "not in the folder of a class"),
            ("ground_truth/dent/007_mask.png", "no image of test has this mask"),
            ("ground_truth/good/000_mask.png", "no image of test has this mask"),
        ],
    )
    def test_what_is_left_out_is_named(
        self, category: Path, name: str, reason: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        image = picture(category / "x.png").read_bytes()
        (category / "x.png").unlink()
        (category / name).parent.mkdir(parents=True, exist_ok=True)
        (category / name).write_bytes(image)
        with caplog.at_level(logging.INFO, "vialsight"):
            out = prepared(category)
        use, why = intake(out)[name]
        assert (use, why[: len(reason)]) == ("", reason)
        lines = [r.getMessage() for r in caplog.records]
        folder = (Path("cat") / name).parent
        assert any(
            line.startswith(f"{folder}: 1 left out, {reason}") and Path(name).name in line
            for line in lines
        )
        assert any(line.startswith("cat/train/good: 6 images used") for line in lines)

    def test_links_are_followed_but_not_in_circles(self, category: Path) -> None:
        picture(category.parent / "store/900.png")
        (category / "train/good/more").symlink_to(category.parent / "store")
        (category / "train/good/again").symlink_to(category / "train")
        (category / "train/good/gone.png").symlink_to(category / "nowhere.png")
        out = prepared(category)
        assert "train/good/more/900" in products(out)
        reasons = {file: reason for file, (_, reason) in intake(out).items()}
        assert "a link to a folder that holds it" in reasons["train/good/again/good"]
        assert reasons["train/good/gone.png"].startswith("no file")

    def test_two_images_of_one_name_are_refused(self, category: Path) -> None:
        picture(category / "train/good/003.bmp")
        with pytest.raises(DataError, match=r"(?s)could not be told apart.*003\.bmp, 003\.png"):
            prepared(category)
        assert not (category.parent / "out").exists()

    @pytest.mark.parametrize("name", [b"caf\xe9.png", b"line\nend.png", b"tab\t.png"])
    def test_a_name_that_no_table_can_hold_is_named(self, category: Path, name: bytes) -> None:
        strange = Path(os.fsdecode(os.fsencode(category / "train/good") + b"/" + name))
        shutil.copy(category / "train/good/000.png", strange)
        with pytest.raises(DataError, match=r"names that dataset\.csv cannot hold") as caught:
            prepared(category)
        shown = str(caught.value).splitlines()[1]
        assert shown.encode("utf-8").decode("ascii")
        assert shown.endswith(".png")

    def test_damage_is_named(self, category: Path) -> None:
        (category / "train/good/001.png").write_bytes(b"")
        (category / "train/good/002.png").write_text("no image")
        with pytest.raises(DataError, match=r"images that cannot be used \(2\)"):
            prepared(category)


class TestProducts:
    def test_names_of_one_product_share_a_split(self, category: Path) -> None:
        for folder in ("A", "a", "ａ"):
            picture(category / f"train/good/{folder}/000.png")
        out = prepared(category)
        splits = {r.split for r in read_dataset(out).records if "/000" in r.product}
        of_one = {
            r.split
            for r in read_dataset(out).records
            if r.product.casefold().replace("ａ", "a") == "train/good/a/000"
        }
        assert len(of_one) == 1
        assert splits

    @pytest.mark.parametrize(
        "other",
        ["P 1", "p 1 ", " p 1", "p  1", "p\u00a01", "p\u200b 1", "ｐ 1", "p 1\u200d", "P\u20091"],
    )
    def test_a_table_may_not_spread_them(self, category: Path, other: str) -> None:
        out = prepared(category)
        rows = (out / "dataset.csv").read_text(encoding="utf-8").splitlines()
        cells = [row.split(",") for row in rows]
        train = next(i for i, row in enumerate(cells) if row[5] == "train")
        test = next(i for i, row in enumerate(cells) if row[5] == "test" and row[4] == "nominal")
        cells[train][1], cells[test][1] = "p 1", other
        (out / "dataset.csv").write_text(
            "\n".join(",".join(row) for row in cells) + "\n", encoding="utf-8"
        )
        with pytest.raises(DataError, match="products in more than one split"):
            read_dataset(out)

    def test_accents_have_one_form(self, category: Path) -> None:
        out = prepared(category)
        text = (out / "dataset.csv").read_text(encoding="utf-8")
        text = text.replace(",test/good/000,", ",caf\u00e9,", 1)
        text = text.replace(",train/good/000,", ",cafe\u0301,", 1)
        (out / "dataset.csv").write_text(text, encoding="utf-8")
        with pytest.raises(DataError, match=r"(?s)more than one split.*caf"):
            read_dataset(out)

    def test_masks_that_show_nothing_are_named(
        self, category: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        picture(category / "test/dent/001.png")
        picture(category / "ground_truth/dent/001_mask.png", grey=0)
        with caplog.at_level(logging.WARNING, "vialsight"):
            prepared(category)
        named = [r.getMessage() for r in caplog.records if "all black" in r.getMessage()]
        assert len(named) == 1
        assert "'test/dent/001'" in named[0]
        assert "'test/dent/000'" not in named[0]


class TestSizes:
    def test_many_sizes_ask_what_to_do(self, category: Path) -> None:
        picture(category / "train/good/100.png", (30, 20))
        with pytest.raises(
            DataError, match=r"expected images of one size, got 24x20 \(8\), 30x20 \(1\); say what"
        ):
            prepared(category)

    @pytest.mark.parametrize("fit", ["resize", "pad", "crop"])
    def test_they_are_fitted_with_their_masks(
        self, category: Path, fit: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        picture(category / "train/good/100.jpg", (30, 20))
        picture(category / "test/dent/001.jpg", (48, 40))
        spot(category / "ground_truth/dent/001_mask.png", (48, 40))
        with caplog.at_level(logging.INFO, "vialsight"):
            out = prepared(category, Geometry(fit=fit))
        lines = [r.getMessage() for r in caplog.records]
        assert any(line.startswith("size 24x20: the most frequent, of 8 of 10") for line in lines)
        assert any(line.startswith("2 of 10 images changed to 24x20") for line in lines)
        dataset = read_dataset(out)
        assert (dataset.layout.frame_width, dataset.layout.frame_height) == SIZE
        changed = {r.product: r for r in dataset.records if r.image.is_relative_to(out)}
        assert set(changed) == {"train/good/100", "test/dent/001"}
        mask = np.asarray(Image.open(changed["test/dent/001"].mask))
        assert mask.shape == (20, 24)
        assert 0 < (mask > 0).sum() < mask.size / 2
        dataset.sha256()  # decodes them all

    def test_a_size_can_be_chosen(self, category: Path) -> None:
        out = prepared(category, Geometry(fit="resize", size=(32, 16)))
        dataset = read_dataset(out)
        assert (dataset.layout.frame_width, dataset.layout.frame_height) == (32, 16)
        assert all(r.image.is_relative_to(out) for r in dataset.records)

    def test_a_mask_of_another_size_than_its_image_is_named(self, category: Path) -> None:
        picture(category / "test/dent/001.png", (48, 40))
        spot(category / "ground_truth/dent/001_mask.png", (24, 20))
        with pytest.raises(DataError, match=r"001_mask\.png: expected a mask of 48x40 pixels"):
            prepared(category, Geometry(fit="resize"))

    def test_tiles_are_regions(self, category: Path) -> None:
        layout = read_dataset(prepared(category, Geometry(tiles=(2, 3)))).layout
        assert layout.regions == ["r1c1", "r1c2", "r1c3", "r2c1", "r2c2", "r2c3"]
        boxes = [tuple(layout.box(0, region)) for region in range(6)]
        assert boxes[0] == (0, 0, 8, 10)
        covered = np.zeros((20, 24), int)
        for x, y, width, height in boxes:
            covered[y : y + height, x : x + width] += 1
        assert (covered == 1).all()


class TestDepth:
    def deep(self, category: Path, brightest: int) -> None:
        for path in (*category.glob("t*/*/*.png"),):
            pixels = np.full((20, 24), 100, np.uint16)
            pixels[3, 4] = brightest
            Image.fromarray(pixels).save(path)

    @pytest.mark.parametrize(
        ("brightest", "depth"), [(900, 10), (1024, 12), (4095, 12), (4096, 14), (40_000, 16)]
    )
    def test_it_is_guessed_and_said(
        self, category: Path, brightest: int, depth: int, caplog: pytest.LogCaptureFixture
    ) -> None:
        self.deep(category, brightest)
        with caplog.at_level(logging.INFO, "vialsight"):
            out = prepared(category)
        assert read_dataset(out).layout.bit_depth == depth
        said = [r.getMessage() for r in caplog.records if r.getMessage().startswith("bit depth")]
        assert said[0].startswith(f"bit depth {depth}: a guess")
        assert f"{brightest:,}; --bit-depth" in said[0]

    def test_it_can_be_said(self, category: Path) -> None:
        self.deep(category, 900)
        layout = read_dataset(prepared(category, Geometry(bit_depth=12))).layout
        assert layout.bit_depth == 12

    @pytest.mark.parametrize(("deep", "asked"), [(False, 12), (True, 8)])
    def test_one_that_cannot_be_is_refused(self, category: Path, deep: bool, asked: int) -> None:
        if deep:
            self.deep(category, 900)
        with pytest.raises(DataError, match=f"for --bit-depth {asked}, got images of"):
            prepared(category, Geometry(bit_depth=asked))

    def test_two_depths_are_named(self, category: Path) -> None:
        Image.fromarray(np.zeros((20, 24), np.uint16)).save(category / "train/good/004.png")
        with pytest.raises(DataError, match=r"got 8 and 16 bits; of 16 bits \(1\)[^,]*004\.png"):
            prepared(category)


class TestMoving:
    def test_folder_and_images_can_be_moved_together(self, category: Path) -> None:
        picture(category / "train/good/100.png", (30, 20))
        out = prepared(category, Geometry(fit="pad"))
        before = {r.product: r.image.name for r in read_dataset(out).records}
        moved = category.parent.parent / f"{category.parent.name}-elsewhere"
        category.parent.rename(moved)
        dataset = read_dataset(moved / "out")
        assert {r.product: r.image.name for r in dataset.records} == before
        assert all(r.image.is_relative_to(moved) for r in dataset.records)

    def test_through_a_link_to_the_folder(self, category: Path, tmp_path: Path) -> None:
        out = prepared(category)
        (tmp_path / "far").mkdir()
        (tmp_path / "far/link").symlink_to(out)
        assert len(read_dataset(tmp_path / "far/link").records) == 8


def test_whatever_lies_there_is_used_or_named(category: Path) -> None:
    """Random trees of files: no traceback, and every file has its line."""
    random = np.random.default_rng(14)
    folders = ["train/good", "train/good/a b", "test/dent", "test/ä", "ground_truth/dent", "", "x"]
    names = ["1.png", "2.PNG", "3.jpg", "n.txt", "no_suffix", ".hid", "é.bmp", "Z" * 200 + ".png"]
    accepted = 0
    for number in range(60):
        root = category.parent / f"tree{number}" / "cat"
        shutil.copytree(category, root)
        for _ in range(int(random.integers(1, 9))):
            path = root / str(random.choice(folders)) / str(random.choice(names))
            path.parent.mkdir(parents=True, exist_ok=True)
            kind = random.integers(4)
            if kind == 0:
                path.write_bytes(random.bytes(30))
            elif kind == 1:
                path.write_bytes(b"")
            else:
                Image.new("L", SIZE, int(random.integers(256))).save(path, "PNG")
        with contextlib.suppress(DataError):
            prepared(root)
        out = root.parent / "out"
        if not out.exists():
            with pytest.raises(DataError, match=re.escape(str(root))):
                prepared(root)
            continue
        accepted += 1
        listed = intake(out)
        for file in root.rglob("*"):
            if file.is_file():
                name = file.relative_to(root).as_posix()
                assert name in listed, name
                assert any(listed[name])
    assert 5 < accepted < 60
