"""A live line: pace and lateness by a clock of the test's, the stream through the command line."""

import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from simulation_support import finish, simulate, start

from vialsight.errors import SimulationError
from vialsight.simulation.frame_stream import FrameReader
from vialsight.simulation.live import LineStatistics, LiveLine, live_order
from vialsight.simulation.plan import plan_set
from vialsight.simulation.rendering import render_run

REPOSITORY = Path(__file__).resolve().parents[2]
LIVE = ("kit", "--live", "--strips", "2", "--runs", "1")


class ScriptedClock:
    """Gives the times it was made with, one per question; remembers the sleeps."""

    def __init__(self, times: Iterable[float]) -> None:
        self._times = iter(times)
        self.slept: list[float] = []

    def now(self) -> float:
        return next(self._times)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


def test_order_has_every_run_once_and_is_mixed() -> None:
    plan = plan_set("kit", strips=40, runs=3)
    order = [(task.strip.product, task.run) for task in live_order(plan)]
    assert sorted(order) == [(strip.product, run) for strip in plan.strips for run in (1, 2, 3)]
    assert order == [(task.strip.product, task.run) for task in live_order(plan)]
    assert order != sorted(order)
    labels = [task.strip.label for task in live_order(plan)]
    changes = sum(a != b for a, b in pairwise(labels))
    assert changes > 30, "nominal and defective strips alternate"


def test_keeps_pace_and_says_when_it_cannot() -> None:
    plan = plan_set("kit", strips=2, runs=1)
    asked_and_ready = (
        (0.0, 5.0),  # the line starts with the first strip
        (5.1, 5.2),  # in time: waits until 5.5
        (5.6, 6.4),  # due at 6.0: 0.4 late
        (7.9, 8.0),  # due at 6.9: the consumer held it for 1.0, then rendering for 0.1
    )
    clock = ScriptedClock(time for pair in asked_and_ready for time in pair)
    with LiveLine(plan, slot_s=0.5, workers=2, loop=True, clock=clock) as line:
        strips = [next(iter(line)) for _ in range(4)]
    assert [strip.strip_id for strip in strips] == [1, 2, 3, 4]
    assert [strip.start_s for strip in strips] == [5.0, 5.5, 6.4, 8.0]
    assert [strip.lateness_s for strip in strips] == pytest.approx([0.0, 0.0, 0.4, 0.1])
    assert clock.slept == pytest.approx([0.3])
    assert line.statistics == LineStatistics(
        strips=4,
        late=2,
        worst_lateness_s=pytest.approx(0.4),
        held=1,
        worst_hold_s=pytest.approx(1.0),
    )
    assert strips[0].product == strips[2].product != strips[1].product == strips[3].product
    for strip in strips:
        (planned,) = (s for s in plan.strips if s.product == strip.product)
        assert (strip.label, strip.run) == (planned.label, 1)
    expected = render_run(live_order(plan)[0].strip, 1, (1, 8, 16)).frames
    np.testing.assert_array_equal(strips[0].frames, expected)
    np.testing.assert_array_equal(strips[2].frames, expected)


def test_shows_every_run_once_without_loop() -> None:
    clock = ScriptedClock(float(n) for n in range(100))
    with LiveLine(plan_set("kit", strips=2, runs=2), slot_s=9.0, clock=clock) as line:
        shown = [(strip.strip_id, strip.product, strip.run) for strip in line]
    assert [strip_id for strip_id, _, _ in shown] == [1, 2, 3, 4]
    assert len({(product, run) for _, product, run in shown}) == 4


@pytest.mark.parametrize("slot_s", [0.0, -1.0, float("nan")])
def test_slot_must_take_time(slot_s: float) -> None:
    with pytest.raises(SimulationError, match=r"^the slot must be longer than 0 s; got "):
        LiveLine(plan_set("kit", strips=2), slot_s=slot_s)


class TestCommand:
    def test_stream_has_every_strip(self) -> None:
        process = start(*LIVE, "--slot-ms", "100")
        assert process.stdout is not None
        reader = FrameReader(process.stdout)
        frames = list(reader)
        said = finish(process).splitlines()
        assert (reader.format.width, reader.format.height, reader.format.frames) == (1408, 1152, 3)
        places = [(frame.strip_id, frame.index) for frame in frames]
        assert places == [(strip_id, index) for strip_id in (1, 2) for index in range(3)]
        (first, *_) = live_order(plan_set("kit", strips=2, runs=1))
        assert (frames[0].product, frames[0].label) == (first.strip.product, first.strip.label)
        rendered = render_run(first.strip, 1, (1, 8, 16)).frames
        np.testing.assert_array_equal([frame.pixels for frame in frames[:3]], rendered)
        assert said[0].startswith("live: a strip every 100 ms, ")
        assert said[-1].startswith("live: 2 strips shown; ")

    def test_ends_when_the_consumer_closes_the_pipe(self) -> None:
        process = start(*LIVE, "--loop", "--slot-ms", "100")
        assert process.stdout is not None
        next(iter(FrameReader(process.stdout)))
        process.stdout.close()
        process.stdout = None
        said = finish(process, 0)
        assert said.splitlines()[-1].startswith("live: 1 strips shown; 0 late")

    def test_stops_on_request(self) -> None:
        process = start(*LIVE, "--loop", "--slot-ms", "100")
        assert process.stdout is not None
        next(iter(FrameReader(process.stdout)))
        process.send_signal(signal.SIGTERM)
        process.stdout.close()
        process.stdout = None
        finish(process, 143)

    def test_refuses_a_terminal(self) -> None:
        ours, theirs = pty.openpty()
        process = start(*LIVE, stdout=theirs)
        os.close(theirs)
        assert finish(process, 2) == (
            "error: stdout is a terminal, the stream is binary; pipe it into a program or a file\n"
        )
        os.close(ours)


def test_unknown_set_has_no_stream() -> None:
    assert simulate("nothing", "--live", code=2).startswith("error: expected one of the sets ")


def test_example_of_the_documentation_runs(tmp_path: Path) -> None:
    text = (REPOSITORY / "docs" / "live.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    script = tmp_path / "example.py"
    script.write_text(code.replace("strips=20", "strips=2, runs=1"), encoding="utf-8")
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True)
    *strips, statistics = done.stdout.splitlines()
    shown = [line.split(maxsplit=4)[:4] for line in strips]
    expected = live_order(plan_set("kit", strips=2, runs=1))
    assert shown == [
        [str(number), task.strip.product, "1", task.strip.label]
        for number, task in enumerate(expected, start=1)
    ]
    assert all("(3, 1152, 1408)" in line for line in strips)
    assert statistics.startswith("LineStatistics(strips=2, ")
