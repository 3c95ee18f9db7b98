"""What `tools/` makes of a report: figures by severity, and a picture of its cases."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from report_support import small_kit

from vialsight.evaluation.evidence import Evidence, write_evidence

TOOLS = Path(__file__).resolve().parents[2] / "tools"
sys.path.insert(0, str(TOOLS))

from gallery import CASES, margin, sections  # noqa: E402


@pytest.fixture(scope="module")
def evidence(tmp_path_factory: pytest.TempPathFactory) -> Evidence:
    made = small_kit(tmp_path_factory.mktemp("kit") / "report")
    write_evidence(made, made.folder)
    return made


def ran(tool: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(TOOLS / tool), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_figures_by_severity_count_strips_from_each_severity_on(evidence: Evidence) -> None:
    done = ran("results_by_severity.py", evidence.folder)
    assert done.returncode == 0, done.stderr
    rows = [line.split("|")[1:-1] for line in done.stdout.splitlines() if line.startswith("| ≥")]
    thresholds = np.array(evidence.thresholds["strip"])
    over = (evidence.scores - thresholds).max(axis=(1, 2, 3))
    severity = {d.product: d.severity or 0.0 for d in evidence.defects}
    for row, least in zip(rows, (0.0, 0.3, 0.5, 0.7), strict=True):
        graver = {p for p, s in severity.items() if s >= least}
        chosen = np.array([p in graver for p in evidence.products])
        good, bad = over[~evidence.defective], over[chosen]
        pairs = (bad[:, None] > good).mean() + 0.5 * (bad[:, None] == good).mean()
        assert int(row[1]) == len(graver)
        assert float(row[2].split("[")[0]) == pytest.approx(pairs, abs=6e-4)
        assert row[3].strip() == f"{np.mean(bad > 0):.1%}"
    assert f"of {np.sum(~evidence.defective)} inspections" in done.stdout


def test_gallery_shows_each_product_once_and_the_gravest_misses_first(evidence: Evidence) -> None:
    shown = dict(sections(evidence))
    assert len(shown) == 5
    severity = {d.product: d.severity or 0.0 for d in evidence.defects}
    for title, pictures in shown.items():
        assert len(pictures) <= CASES
        if "Found" not in title:
            assert len({p.product for p in pictures}) == len(pictures)
    gravest = [severity[p.product] for p in shown["Missed, the gravest"]]
    assert gravest == sorted(gravest, reverse=True)
    assert gravest[0] == max(severity[p.product] for p in evidence.pictures if p.purpose == "miss")
    alarms = [margin(p) for p in shown["Good strips rejected"]]
    assert alarms
    assert alarms == sorted(alarms, reverse=True)
    assert all(p.product not in severity for p in shown["Good strips rejected"])


def test_gallery_is_a_picture(evidence: Evidence, tmp_path: Path) -> None:
    done = ran("gallery.py", evidence.folder, tmp_path / "cases.png")
    assert done.returncode == 0, done.stderr
    with Image.open(tmp_path / "cases.png") as picture:
        assert picture.width > 1000
        assert np.asarray(picture).std() > 20.0


@pytest.mark.parametrize("tool", ["gallery.py", "results_by_severity.py"])
def test_tools_say_how_they_are_used(tool: str) -> None:
    done = ran(tool)
    assert done.returncode == 2
    assert f"usage: {tool}" in done.stderr
