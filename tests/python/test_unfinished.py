"""Work in pieces that goes on after an interruption, against sums worked out by hand."""

from pathlib import Path

import numpy as np
import pytest

from vialsight.files.unfinished import Arrays, Unfinished


class Summing:
    """Adds 1, 2, 3, … to one sum; interrupted in the middle of the piece `stop_in`."""

    def __init__(self, kept: Arrays | None, stop_in: int | None = None) -> None:
        self.sum = np.zeros((), np.int64) if kept is None else kept["sum"].copy()
        self.began_with = int(self.sum)
        self.did: list[int] = []
        self._stop_in, self._before = stop_in, (-1, 0)

    def arrays(self) -> Arrays:
        return {"sum": self.sum}

    def do(self, number: int) -> None:
        self._before = (number, int(self.sum))
        self.sum += number + 1
        if number == self._stop_in:
            raise KeyboardInterrupt
        self.did.append(number)

    def undo(self, number: int) -> None:
        if self._before[0] == number:
            self.sum[...] = self._before[1]


def interrupted(path: Path, *, stop_in: int) -> None:
    with pytest.raises(KeyboardInterrupt):
        Unfinished(path, "sums").resume(lambda kept: Summing(kept, stop_in), 5)


def resumed(path: Path, identity: str = "sums") -> tuple[int, Summing]:
    works = []

    def begin(kept: Arrays | None) -> Summing:
        works.append(Summing(kept))
        return works[0]

    arrays = Unfinished(path, identity).resume(begin, 5)
    return int(arrays["sum"]), works[0]


def test_uninterrupted_work_is_done_once(tmp_path: Path) -> None:
    total, work = resumed(tmp_path / "work.npz")
    assert (total, work.did) == (15, [0, 1, 2, 3, 4])


def test_interrupted_work_goes_on_where_it_was(tmp_path: Path) -> None:
    path = tmp_path / "work.npz"
    interrupted(path, stop_in=3)
    total, work = resumed(path)
    # The half-counted fourth piece was taken back: 1 + 2 + 3.
    assert (work.began_with, work.did, total) == (6, [3, 4], 15)


def test_interruption_right_after_a_piece_keeps_it(tmp_path: Path) -> None:
    path = tmp_path / "work.npz"

    def interrupt(done: int, _: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Unfinished(path, "sums").resume(Summing, 5, interrupt)
    total, work = resumed(path)
    assert (work.did, total) == ([2, 3, 4], 15)


def test_other_work_starts_anew(tmp_path: Path) -> None:
    path = tmp_path / "work.npz"
    interrupted(path, stop_in=3)
    total, work = resumed(path, "other sums")
    assert (work.did, total) == ([0, 1, 2, 3, 4], 15)


def test_broken_file_is_not_used(tmp_path: Path) -> None:
    path = tmp_path / "work.npz"
    interrupted(path, stop_in=3)
    path.write_bytes(path.read_bytes()[:-30])
    assert resumed(path)[1].did == [0, 1, 2, 3, 4]


def test_work_is_written_every_half_minute(tmp_path: Path) -> None:
    path, written, moment = tmp_path / "work.npz", [], [0.0]
    unfinished = Unfinished(path, "sums", now=lambda: moment[0])

    def pass_time(_: int, __: int) -> None:
        written.append(path.exists())
        moment[0] += 12.0

    unfinished.resume(Summing, 5, pass_time)
    # Looked at after 0, 12, 24, 36 and 48 seconds.
    assert written == [False, False, False, True, True]


def test_finished_work_is_forgotten(tmp_path: Path) -> None:
    path = tmp_path / "work.npz"
    interrupted(path, stop_in=3)
    Unfinished(path, "sums").remove()
    assert not path.exists()
