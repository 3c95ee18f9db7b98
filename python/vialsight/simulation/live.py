"""A line at its pace: one strip per slot, rendered ahead, late when it must be, never skipped."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain, repeat
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

from vialsight.errors import SimulationError
from vialsight.simulation.frame_stream import FrameWriter, Sink, StreamFormat, StreamFrame
from vialsight.simulation.plan import INSPECTED_FRAMES, SetPlan
from vialsight.simulation.product import bfs_layout
from vialsight.simulation.runs import RunTask, render_pictures, run_tasks
from vialsight.simulation.workers import WorkerPool

DEFAULT_SLOT_S: Final = 0.5
# Strips waiting per worker: enough to bridge one slow strip, 5 MB each.
_AHEAD_PER_WORKER: Final = 3
_LATE_S: Final = 1e-3  # a sleep may end this much after its time


class LineClock(Protocol):
    """The time of a line, in seconds from anywhere."""

    def now(self) -> float:
        """Return the time; it never goes back."""

    def sleep(self, seconds: float) -> None:
        """Return that much later."""


class SystemClock:
    """Time that passes by itself."""

    def now(self) -> float:
        """Return seconds of the monotonic clock."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Sleep."""
        time.sleep(seconds)


@dataclass(frozen=True, kw_only=True)
class LiveStrip:
    """One strip as it passes: its frames, uint8 (F,H,W), and when.

    `strip_id` counts from 1. `start_s` is the line clock's time at which its slot began,
    `lateness_s` how long it kept the line waiting because it was not rendered yet.
    """

    strip_id: int
    product: str
    run: int
    label: str
    frames: npt.NDArray[np.uint8]
    start_s: float
    lateness_s: float


@dataclass
class LineStatistics:
    """What happened so far.

    `late`: strips that were not rendered in time; `held`: strips that waited because the consumer
    came back later than the slot's end. The first strip is neither: the line starts with it.
    """

    strips: int = 0
    late: int = 0
    worst_lateness_s: float = 0.0
    held: int = 0
    worst_hold_s: float = 0.0

    def count_late(self, seconds: float) -> None:
        """Count a strip that rendering delivered this late."""
        self.late += seconds > _LATE_S
        self.worst_lateness_s = max(self.worst_lateness_s, seconds)

    def count_held(self, seconds: float) -> None:
        """Count a strip that the consumer asked for this late."""
        self.held += seconds > _LATE_S
        self.worst_hold_s = max(self.worst_hold_s, seconds)


@dataclass
class LiveLine:
    """Iterates over the strips of a plan, one per slot, mixed in an order that its seed fixes.

    A context manager: its workers render ahead from entering on and end on leaving. A strip that
    comes late shifts all that follow; none is skipped, repeated or hurried. With `loop` the strips
    come again without end, ids going on. Raises SimulationError when a worker process is lost.
    """

    plan: SetPlan
    slot_s: float = DEFAULT_SLOT_S
    workers: int = 0
    loop: bool = False
    clock: LineClock = field(default_factory=SystemClock)
    statistics: LineStatistics = field(default_factory=LineStatistics, init=False)

    def __post_init__(self) -> None:
        if not self.slot_s > 0:
            raise SimulationError(f"the slot must be longer than 0 s; got {self.slot_s}")
        self._pool = WorkerPool(self.workers)
        self._strips = self._paced()

    def __enter__(self) -> "LiveLine":
        return self

    def __exit__(self, *exception: object) -> None:
        self._pool.__exit__(*exception)

    def __iter__(self) -> Iterator[LiveStrip]:
        return self._strips

    def _paced(self) -> Iterator[LiveStrip]:
        ahead = _AHEAD_PER_WORKER * self._pool.workers
        rendered = self._pool.map_ahead(_render, self._tasks(), ahead=ahead)
        due: float | None = None
        for strip_id, task in enumerate(self._tasks(), start=1):
            asked = self.clock.now()
            frames = next(rendered)
            ready = self.clock.now()
            start, lateness = self._start(due, asked, ready)
            due = start + self.slot_s
            yield LiveStrip(
                strip_id=strip_id,
                product=task.strip.product,
                run=task.run,
                label=task.strip.label,
                frames=frames,
                start_s=start,
                lateness_s=lateness,
            )

    def _start(self, due: float | None, asked: float, ready: float) -> tuple[float, float]:
        """Wait for a strip's slot; return when it begins and how long rendering delayed it."""
        self.statistics.strips += 1
        if due is None:
            return ready, 0.0
        expected = max(due, asked)
        lateness = max(0.0, ready - expected)
        self.statistics.count_held(expected - due)
        self.statistics.count_late(lateness)
        if ready < due:
            self.clock.sleep(due - ready)
        return max(ready, expected), lateness

    def _tasks(self) -> Iterator[RunTask]:
        order = live_order(self.plan)
        return chain.from_iterable(repeat(order) if self.loop else (order,))


def live_order(plan: SetPlan) -> tuple[RunTask, ...]:
    """Return the runs of a plan as they pass: each once, nominal and defective ones mixed."""
    tasks = [
        RunTask(task.strip, task.run, INSPECTED_FRAMES, rank_images=False)
        for task in run_tasks(plan)
    ]
    order = np.random.default_rng([plan.seed, len(tasks)]).permutation(len(tasks))
    return tuple(tasks[i] for i in order)


def stream_line(line: LiveLine, sink: Sink) -> Iterator[LiveStrip]:
    """Write each strip of a line to `sink` as a frame stream, its frames spread over the slot.

    Yields every strip after its last frame is written. Raises BrokenPipeError when the consumer
    has closed the pipe.
    """
    layout = bfs_layout()
    writer = FrameWriter(
        sink,
        StreamFormat(width=layout.frame_width, height=layout.frame_height, frames=layout.frames),
    )
    for strip in line:
        for index, pixels in enumerate(strip.frames):
            _wait_until(line.clock, strip.start_s + index * line.slot_s / len(strip.frames))
            writer.write(_stream_frame(strip, index, pixels))
        yield strip


def _stream_frame(strip: LiveStrip, index: int, pixels: npt.NDArray[np.uint8]) -> StreamFrame:
    return StreamFrame(
        strip_id=strip.strip_id,
        product=strip.product,
        run=strip.run,
        index=index,
        label=strip.label,
        pixels=pixels,
    )


def _wait_until(clock: LineClock, moment: float) -> None:
    left = moment - clock.now()
    if left > 0:
        clock.sleep(left)


def _render(task: RunTask) -> npt.NDArray[np.uint8]:
    return np.stack(render_pictures(task))
