"""`poses.csv` of an evaluation: written, read again, refused where it is something else."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from report_support import located, small_kit

from vialsight.errors import DataError
from vialsight.evaluation.evidence import Evidence, read_evidence, write_evidence
from vialsight.evaluation.pose_evidence import read_true_poses
from vialsight.files.atomic import file_sha256

LOST = (3, 20)


@pytest.fixture(scope="module")
def evidence(tmp_path_factory: pytest.TempPathFactory) -> Evidence:
    return located(small_kit(tmp_path_factory.mktemp("kit")), lost=LOST, truth=True)


@pytest.fixture
def folder(evidence: Evidence, tmp_path: Path) -> Path:
    write_evidence(evidence, tmp_path)
    return tmp_path


def rows_of(folder: Path, name: str = "poses.csv") -> list[dict[str, str]]:
    with (folder / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_columns_and_order(evidence: Evidence, folder: Path) -> None:
    rows = rows_of(folder)
    columns = "image,product,run,frame,dx,dy,turn,residual,found,true_dx,true_dy,true_turn"
    assert ",".join(rows[0]) == columns
    assert [row["product"] for row in rows] == list(evidence.products)
    assert [row["found"] for row in rows].count("no") == len(LOST)
    assert float(rows[5]["dx"]) == pytest.approx(evidence.poses.pose[5, 0, 0], abs=1e-6)


def test_without_truth_there_are_no_columns_for_it(tmp_path: Path) -> None:
    evidence = located(small_kit(tmp_path))
    write_evidence(evidence, tmp_path)
    assert list(rows_of(tmp_path)[0])[-1] == "found"
    assert read_evidence(tmp_path).poses.truth is None


def test_read_again(evidence: Evidence, folder: Path) -> None:
    again = read_evidence(folder).poses
    assert again.images == evidence.poses.images
    for name in ("pose", "residual", "truth"):
        np.testing.assert_allclose(
            getattr(again, name), getattr(evidence.poses, name), rtol=0, atol=6e-7
        )
    assert (again.found == evidence.poses.found).all()


def test_patches_that_were_not_cut_have_no_score(evidence: Evidence, folder: Path) -> None:
    again = read_evidence(folder)
    assert np.flatnonzero(again.not_located).tolist() == list(LOST)
    assert np.array_equal(again.scores, evidence.scores, equal_nan=True)
    empty = {
        (row["product"], row["run"]) for row in rows_of(folder, "scores.csv") if not row["score"]
    }
    assert empty == {(evidence.products[s], str(evidence.runs[s])) for s in LOST}


def test_products_that_are_not_located_have_no_file(tmp_path: Path) -> None:
    write_evidence(small_kit(tmp_path), tmp_path)
    assert not (tmp_path / "poses.csv").exists()
    assert "locate_s" not in rows_of(tmp_path, "strips.csv")[0]
    assert read_evidence(tmp_path).poses is None


def rewrite(folder: Path, name: str, change: Callable[[list[dict[str, str]]], object]) -> None:
    """Change the rows of a file and vouch for them, as only a writer gone wrong would."""
    rows = rows_of(folder, name)
    change(rows)
    with (folder / name).open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    identity = json.loads((folder / "identity.json").read_text("utf-8"))
    identity["files"][name] = file_sha256(folder / name)
    (folder / "identity.json").write_text(json.dumps(identity), "utf-8")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: rows.reverse(), "does not hold the frames of the strips in their order"),
        (lambda rows: rows.pop(), "does not hold the frames of the strips in their order"),
        (lambda rows: rows[0].update(dx="nan"), "found, but not where"),
        (lambda rows: rows[0].update(residual=""), "found, but not where"),
        (lambda rows: rows[0].update(found="maybe"), "maybe"),
        (lambda rows: rows[0].update(turn="left"), "left"),
    ],
)
def test_poses_that_cannot_be(folder: Path, change, message: str) -> None:
    rewrite(folder, "poses.csv", change)
    with pytest.raises(DataError, match=message):
        read_evidence(folder)


def test_score_missing_where_the_product_was_located(folder: Path) -> None:
    rewrite(folder, "scores.csv", lambda rows: rows[0].update(score=""))
    with pytest.raises(DataError, match="not finite"):
        read_evidence(folder)


class TestTruth:
    def test_no_file(self, tmp_path: Path) -> None:
        assert read_true_poses(tmp_path / "poses.csv") == {}

    def test_of_a_simulator(self, tmp_path: Path) -> None:
        path = tmp_path / "poses.csv"
        path.write_text("image,dx,dy,turn\nimages/a.png,1.5,-2,0.001\n", "utf-8")
        assert read_true_poses(path) == {"images/a.png": (1.5, -2.0, 0.001)}

    def test_file_of_another_kind_is_not_read(self, tmp_path: Path) -> None:
        path = tmp_path / "poses.csv"
        path.write_text("image,dx,dy,turn,residual,found\na.png,1,2,3,4,yes\n", "utf-8")
        assert read_true_poses(path) == {}

    @pytest.mark.parametrize("cells", ["1,2", "1,2,left", "1,nan,3", "1,2,3,4"])
    def test_row_that_is_no_pose(self, tmp_path: Path, cells: str) -> None:
        path = tmp_path / "poses.csv"
        path.write_text(f"image,dx,dy,turn\na.png,0,0,0\nb.png,{cells}\n", "utf-8")
        with pytest.raises(DataError, match="line 3: expected dx, dy and turn"):
            read_true_poses(path)
