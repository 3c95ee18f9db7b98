"""Progress where stderr is no terminal: a line now and then, with the time left."""

import pytest

from vialsight.cli.console import ProgressLines, progress


def test_line_every_half_minute_with_the_time_left(capsys: pytest.CaptureFixture[str]) -> None:
    times = iter([0.0, 0.0, 10.0, 31.0, 40.0, 62.0])
    lines = ProgressLines("rendering", now=lambda: next(times))
    for done in (100, 110, 162, 170, 200):  # 100 were there before: 2 per second from then on
        lines(done, 1000)
    assert capsys.readouterr().err.splitlines() == [
        "rendering: 162 of 1000, about 0:06:59 left",
        "rendering: 200 of 1000, about 0:08:16 left",
    ]


def test_nothing_is_promised_before_anything_is_done(capsys: pytest.CaptureFixture[str]) -> None:
    times = iter([0.0, 40.0])
    ProgressLines("rendering", now=lambda: next(times))(0, 10)
    assert capsys.readouterr().err == "rendering: 0 of 10\n"


def test_short_work_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with progress("rendering") as report:
        report(1, 2)
        report(2, 2)
    captured = capsys.readouterr()
    assert captured.err == captured.out == ""
