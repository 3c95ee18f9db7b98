"""The run folder: held by one process at a time."""

from pathlib import Path

import pytest

from vialsight.errors import TrainingError
from vialsight.training.runfolder import RunFolder


def test_held_run_is_refused(tmp_path: Path) -> None:
    # A second descriptor of this process is refused as another process's is.
    first, second = RunFolder(tmp_path / "run"), RunFolder(tmp_path / "run")
    with (
        first.locked(),
        pytest.raises(TrainingError, match=r"another process trains in .*run; wait for it"),
        second.locked(),
    ):
        pass


def test_released_run_holds_nothing_of_the_lock(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    for _ in range(2):
        with folder.locked():
            pass
    assert list(folder.path.iterdir()) == []


def test_record_of_a_run_that_has_not_begun(tmp_path: Path) -> None:
    assert RunFolder(tmp_path / "run").record() is None


def test_record_that_is_no_json(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(TrainingError, match=r"cannot read .*run\.json"):
        RunFolder(tmp_path).record()


def test_record_that_is_no_object(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("[]")
    with pytest.raises(TrainingError, match="must hold an object"):
        RunFolder(tmp_path).record()
