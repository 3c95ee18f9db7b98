"""`vialsight locate` on a small product drawn at known poses."""

import csv
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from browser import find_browser, open_browser
from locator_images import HEIGHT, WIDTH, drawn
from PIL import Image
from typer.testing import CliRunner, Result

from vialsight._core import Layout
from vialsight.cli import app
from vialsight.data import Record, find_locator, write_dataset
from vialsight.errors import DataError, VialSightError

IMAGES = 15
BOXES = [[(20, 20, 40, 40)], [(70, 30, 40, 40)]]


def layout_of(locate: str) -> Layout:
    return Layout(
        name="drawn", frame_width=WIDTH, frame_height=HEIGHT, regions=("body",), boxes=BOXES,
        patch_size=32, locate=locate,
    )  # fmt: skip


def poses(seed: int = 0) -> np.ndarray:
    """Poses float64 (IMAGES,3) whose median is known to the tests only."""
    steps = np.random.default_rng(seed).uniform(-1.0, 1.0, (IMAGES, 3))
    return np.asarray(steps * (4.0, 3.0, 0.015))


def write_folder(
    folder: Path,
    frames: Sequence[np.ndarray],
    *,
    locate: str = "rigid",
    split: str = "train",
    defective: Sequence[int] = (),
) -> Path:
    folder.mkdir()
    records = []
    for number, frame in enumerate(frames):
        path = folder / f"{number:02d}.png"
        Image.fromarray(frame).save(path)
        bad = number in defective
        records.append(
            Record(
                image=path,
                product=f"p{number:02d}",
                label="defective" if bad else "nominal",
                split="test" if bad else split,
            )
        )
    write_dataset(folder, layout_of(locate), records)
    return folder


def moving() -> list[np.ndarray]:
    return [drawn(pose, noise=number) for number, pose in enumerate(poses())]


def locate(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["locate", *map(str, arguments)])


def refused(*arguments: object) -> str:
    done = locate(*arguments)
    assert isinstance(done.exception, VialSightError), done.output
    return str(done.exception)


def rows(out: Path) -> list[dict[str, str]]:
    with (out / "poses.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folder(tmp_path_factory.mktemp("located") / "data", moving())


@pytest.fixture(scope="module")
def out(data: Path) -> Path:
    done = locate(data, "--out", data.parent / "out")
    assert done.exit_code == 0, done.output
    return data.parent / "out"


def test_poses_are_the_true_ones(out: Path) -> None:
    came = np.array([[float(row[name]) for name in ("dx", "dy", "turn")] for row in rows(out)])
    difference = came - poses()
    # A locator measures against its own template.
    difference -= np.median(difference, axis=0)
    assert np.abs(difference[:, :2]).max() < 0.25
    assert np.abs(difference[:, 2]).max() < 0.004
    assert [row["image"] for row in rows(out)] == [f"{n:02d}.png" for n in range(IMAGES)]
    assert {row["found"] for row in rows(out)} == {"yes"}


def test_folder_holds_page_table_and_a_usable_locator(out: Path) -> None:
    assert sorted(path.name for path in out.iterdir()) == ["locate.html", "locator", "poses.csv"]
    assert find_locator(out).model == "rigid"
    page = (out / "locate.html").read_text("utf-8")
    assert find_locator(out).sha256 in page
    assert "<b>Yes: the product moves" in page
    assert "The product was found in every image." in page


def test_figures_are_printed(data: Path, tmp_path: Path) -> None:
    done = locate(data, "--out", tmp_path / "again")
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["figure", "5", "%", "median", "95", "%"]
    assert f"found in {IMAGES} of {IMAGES} images" in lines
    assert lines[-1].startswith("worth it? Yes")
    assert "next: open" in done.stderr


def test_same_data_gives_the_same_bytes(data: Path, out: Path, tmp_path: Path) -> None:
    locate(data, "--out", tmp_path / "again")
    for name in ("locate.html", "poses.csv"):
        assert (tmp_path / "again" / name).read_bytes() == (out / name).read_bytes()


def test_model_may_be_chosen(data: Path, tmp_path: Path) -> None:
    assert locate(data, "--out", tmp_path / "out", "--model", "translation").exit_code == 0
    assert {float(row["turn"]) for row in rows(tmp_path / "out")} == {0.0}


def test_still_product_need_not_be_located(tmp_path: Path) -> None:
    frames = [drawn((0.0, 0.0, 0.0), noise=number) for number in range(IMAGES)]
    folder = write_folder(tmp_path / "data", frames, locate="none")
    done = locate(folder, "--out", tmp_path / "out")
    assert "worth it? No: the product lies still" in done.stdout
    assert find_locator(tmp_path / "out").model == "rigid"


def test_without_a_train_split_all_nominal_images_serve(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "data", moving(), split="test")
    done = locate(folder, "--out", tmp_path / "out")
    assert "of all splits, as the train split has none" in done.stderr
    assert "of all splits, as the train split has none" in (
        tmp_path / "out" / "locate.html"
    ).read_text("utf-8")


def test_images_not_found_are_listed_with_the_reason(tmp_path: Path) -> None:
    black = np.zeros((HEIGHT, WIDTH), np.uint8)
    folder = write_folder(tmp_path / "data", [*moving(), black], defective=[IMAGES])
    assert locate(folder, "--out", tmp_path / "out").exit_code == 0
    assert [row["found"] for row in rows(tmp_path / "out")] == ["yes"] * IMAGES + ["no"]
    page = (tmp_path / "out" / "locate.html").read_text("utf-8")
    assert f'<td>{IMAGES}.png</td><td class="text">defective</td>' in page
    assert "In 1 of 16 images the product was not found." in page


def test_split_limits_what_is_located(tmp_path: Path) -> None:
    frames = [*moving(), drawn((1.0, 1.0, 0.0))]
    folder = write_folder(tmp_path / "data", frames, defective=[IMAGES])
    assert locate(folder, "--out", tmp_path / "out", "--split", "test").exit_code == 0
    assert [row["image"] for row in rows(tmp_path / "out")] == [f"{IMAGES}.png"]


class TestAnswer:
    def test_layout_that_does_not_locate_is_told_to(self, tmp_path: Path) -> None:
        folder = write_folder(tmp_path / "data", moving(), locate="none")
        done = locate(folder, "--out", tmp_path / "out")
        assert 'put "locate": "rigid" into layout.json' in done.stdout

    def test_products_that_are_not_found(self, out: Path, tmp_path: Path) -> None:
        black = np.zeros((HEIGHT, WIDTH), np.uint8)
        folder = write_folder(tmp_path / "data", [*moving()[:3], black, black])
        done = locate(folder, "--out", tmp_path / "out", "--bundle", out)
        assert "worth it? Not with this locator: it found the product in 3 of 5" in done.stdout
        assert 'set "locate": "none"' in done.stdout

    def test_nothing_found_at_all(self, out: Path, tmp_path: Path) -> None:
        black = np.zeros((HEIGHT, WIDTH), np.uint8)
        folder = write_folder(tmp_path / "data", [black])
        done = locate(folder, "--out", tmp_path / "out", "--bundle", out)
        assert done.exit_code == 0, done.output
        page = (tmp_path / "out" / "locate.html").read_text("utf-8")
        assert "the product was found nowhere" in page


class TestGivenLocator:
    def test_is_used(self, data: Path, out: Path, tmp_path: Path) -> None:
        done = locate(data, "--out", tmp_path / "again", "--bundle", out)
        assert done.exit_code == 0, done.output
        assert rows(tmp_path / "again") == rows(out)
        assert "worth it? Yes" in done.stdout

    def test_of_other_frames_is_refused(self, data: Path, out: Path, tmp_path: Path) -> None:
        folder = tmp_path / "data"
        folder.mkdir()
        frame = np.zeros((HEIGHT, WIDTH + 4), np.uint8)
        Image.fromarray(frame).save(folder / "a.png")
        fields = json.loads(layout_of("rigid").to_json())
        fields["frame"]["width"] += 4
        record = Record(image=folder / "a.png", product="a", label="nominal", split="train")
        write_dataset(folder, Layout.from_json(json.dumps(fields)), [record])
        assert "does not fit the layout" in refused(
            folder, "--out", tmp_path / "out", "--bundle", out
        )

    def test_with_a_model_is_refused(self, data: Path, out: Path, tmp_path: Path) -> None:
        options = ("--bundle", out, "--model", "rigid")
        assert "give one of them" in refused(data, "--out", tmp_path / "new", *options)

    def test_that_is_none_is_refused(self, data: Path, tmp_path: Path) -> None:
        text = refused(data, "--out", tmp_path / "out", "--bundle", data)
        assert "expected a folder that holds a locator" in text


class TestRefused:
    def test_folder_that_exists(self, data: Path, out: Path) -> None:
        assert "exists" in refused(data, "--out", out)

    def test_no_nominal_image(self, tmp_path: Path) -> None:
        folder = write_folder(tmp_path / "data", moving()[:2], defective=[0, 1])
        assert "expected nominal images" in refused(folder, "--out", tmp_path / "out")
        assert not (tmp_path / "out").exists()

    def test_products_that_lie_anyhow(self, tmp_path: Path) -> None:
        noise = np.random.default_rng(0)
        frames = [noise.integers(0, 255, (HEIGHT, WIDTH), np.uint8) for _ in range(IMAGES)]
        folder = write_folder(tmp_path / "data", frames)
        with pytest.raises(DataError, match=r"cannot be located|unlike the others"):
            raise locate(folder, "--out", tmp_path / "out").exception  # type: ignore[misc]
        assert list(tmp_path.iterdir()) == [folder]


@pytest.mark.skipif(find_browser() is None, reason="no Chromium is installed")
@pytest.mark.parametrize("width", [1280, 390])
def test_page_in_a_browser(out: Path, tmp_path: Path, width: int) -> None:
    """Quiet, self-contained, nothing broken, no wider than the screen."""
    address = (out / "locate.html").as_uri()
    with open_browser(tmp_path / "profile") as browser:
        page = browser.new_page(width)
        page.open(address)
        assert page.problems() == []
        assert page.requests() == [address]
        assert page.evaluate("document.scrollingElement.scrollWidth") <= width
        assert page.evaluate("[...document.images].every(i => i.complete && i.naturalWidth > 0)")
        assert page.evaluate("document.images.length") == 10
        assert page.evaluate("document.querySelectorAll('svg').length") == 4
