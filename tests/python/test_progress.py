"""Progress where stderr is no terminal: a line now and then, with the time left."""

from vialsight.progress import ProgressLines, shown


def test_line_every_half_minute_with_the_time_left() -> None:
    times, said = iter([0.0, 0.0, 10.0, 31.0, 40.0, 62.0]), []
    lines = ProgressLines("rendering", said.append, now=lambda: next(times))
    for done in (100, 110, 162, 170, 200):  # 100 were there before: 2 per second from then on
        lines(done, 1000)
    assert said == [
        "rendering: 162 of 1000, about 0:06:59 left",
        "rendering: 200 of 1000, about 0:08:16 left",
    ]


def test_note_ends_the_line() -> None:
    times, said = iter([0.0, 0.0, 40.0]), []
    lines = ProgressLines("training", said.append, now=lambda: next(times))
    lines(0, 30, "loss 0.9")
    lines(10, 30, "loss 0.5")
    assert said == ["training: 10 of 30, about 0:01:20 left: loss 0.5"]


def test_nothing_is_promised_before_anything_is_done() -> None:
    times, said = iter([0.0, 40.0]), []
    ProgressLines("rendering", said.append, now=lambda: next(times))(0, 10)
    assert said == ["rendering: 0 of 10"]


def test_short_work_says_nothing() -> None:
    said: list[str] = []
    with shown("rendering", said.append) as show:
        show(1, 2)
        show(2, 2)
    assert said == []
