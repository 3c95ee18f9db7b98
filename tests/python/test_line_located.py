"""Verbs around a bundle that locates: verify, show, and strips to measure it with."""

from pathlib import Path

import numpy as np
import pytest
from gripped_product import product_locator, write_located_bundle, write_located_dataset
from typer.testing import CliRunner

import vialsight
from vialsight.cli import app
from vialsight.line.bench import measure_latency
from vialsight.line.strips import made_strip

pytestmark = pytest.mark.tensorflow


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from vialsight.calibration.fitting import calibrate

    folder = tmp_path_factory.mktemp("located")
    dataset = write_located_dataset(folder / "data")
    frozen = write_located_bundle(folder / "frozen.vsb", dataset)
    calibrate(vialsight.Bundle.load(frozen), dataset, folder / "line.vsb")
    return folder / "line.vsb"


def said(*arguments: object) -> str:
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert done.exit_code == 0, done.output
    return done.stdout


def test_verify_says_that_golden_frames_were_located_again(bundle: Path) -> None:
    assert "ok  golden frames            2 located where they were" in said("verify", bundle)


def test_show_says_how_products_are_located(bundle: Path) -> None:
    text = said("show", bundle)
    assert "locate       rigid, up to 8 pixels and 2.3°; residual up to 0.05" in text


def test_show_says_that_nothing_is_located(tiny_bundle: Path) -> None:
    assert "locate       none: boxes are cut where they are drawn" in said("show", tiny_bundle)


def test_made_strips_show_the_product_of_the_first_golden_frame(bundle: Path) -> None:
    loaded = vialsight.Bundle.load(bundle)
    frames = made_strip(loaded, 5)
    assert (frames.shape, frames.dtype) == ((3, 80, 96), np.uint8)
    expected = product_locator().golden_poses[0]
    for frame in frames:
        where = product_locator().core().locate(frame)
        assert where.found
        np.testing.assert_allclose((where.dx, where.dy), expected[:2], atol=0.2)
    assert not np.array_equal(frames[0], frames[1])
    np.testing.assert_array_equal(made_strip(loaded, 5), frames)


def test_latency_is_of_strips_that_were_located_and_scored(bundle: Path) -> None:
    result = measure_latency(vialsight.Bundle.load(bundle), None, count=2, budget_ms=500.0)
    assert result["input"] == "made"
    assert result["latency_ms"]["locate"]["min"] > 0.0
