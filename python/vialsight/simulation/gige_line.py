"""A simulated line over GigE Vision: strips into `vialsight-gige-camera`, which plays the machine.

The program serves a frame stream as a camera, triggers the station, takes its verdicts, drives a
gate and writes the truth. `docs/live.md` has what it does; `cpp/station/gige_camera/` how.
"""

import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, cast

from vialsight import _core
from vialsight.errors import SimulationError
from vialsight.simulation.live import LiveLine, stream_line
from vialsight.simulation.plan import SetPlan

PROGRAM: Final = "vialsight-gige-camera"
# The program sets the pace: it reads a strip when one of those that wait has passed.
_UNPACED_S: Final = 1e-6
_PATIENCE_S: Final = 10.0


@dataclass(frozen=True, kw_only=True)
class Faults:
    """What goes wrong with frames: shares of strips, which have one fault at most.

    `late_ms` is how late a late frame arrives; the camera is unplugged every `unplug_every_s`
    (0: never) for `unplug_for_s`.
    """

    lose_packets: float = 0.0
    late_frames: float = 0.0
    late_ms: float = 600.0
    missing_frames: float = 0.0
    repeat_frames: float = 0.0
    swap_frames: float = 0.0
    unplug_every_s: float = 0.0
    unplug_for_s: float = 2.0

    def arguments(self) -> list[str]:
        """Return the program's options for them."""
        shares = {
            "--lose-packets": self.lose_packets,
            "--late-frames": self.late_frames,
            "--missing-frames": self.missing_frames,
            "--repeat-frames": self.repeat_frames,
            "--swap-frames": self.swap_frames,
        }
        chosen = [part for name, share in shares.items() if share for part in (name, f"{share}")]
        if self.late_frames:
            chosen += ["--late-ms", f"{self.late_ms}"]
        if self.unplug_every_s:
            chosen += ["--unplug-every", f"{self.unplug_every_s}"]
            chosen += ["--unplug-for", f"{self.unplug_for_s}"]
        return chosen


@dataclass(frozen=True, kw_only=True)
class GigeLine:
    """A camera on `address`, and the machine of the station in folder `station`.

    Slots of `slot_ms`, over whose first `interval_ms` a strip's frames are spread; the line starts
    when `ahead` strips are there, and ends after `triggers` (0: with the stream). `truth` is a CSV
    file, one row a strip.
    """

    station: Path
    address: str = "127.0.0.1"
    slot_ms: float = 500.0
    interval_ms: float = 120.0
    ahead: int = 4
    triggers: int = 0
    truth: Path | None = None
    faults: Faults = Faults()
    seed: int = 0

    def arguments(self, source: str, *, loop: bool) -> list[str]:
        """Return the program's command line, itself first. Raises SimulationError without it."""
        chosen = [
            *(str(camera_program()), "--input", source, "--address", self.address),
            *("--machine", str(self.station / "run" / "machine.sock")),
            *("--slot-ms", f"{self.slot_ms}", "--interval-ms", f"{self.interval_ms}"),
            *("--ahead", f"{self.ahead}", "--seed", f"{self.seed}", *self.faults.arguments()),
        ]
        if self.triggers:
            chosen += ["--strips", f"{self.triggers}"]
        if self.truth is not None:
            chosen += ["--truth", str(self.truth)]
        return chosen + (["--loop"] if loop else [])

    def replay(self, recorded: Path, *, loop: bool) -> None:
        """Serve a recorded frame stream. Raises SimulationError when the program fails."""
        with _running(self.arguments(str(recorded), loop=loop), stdin=subprocess.DEVNULL) as camera:
            _check(camera.wait())

    def show(
        self,
        plan: SetPlan,
        *,
        workers: int,
        loop: bool,
        before_rendering: Callable[[], object] = lambda: None,
    ) -> None:
        """Render strips into the program, which takes them at its pace, `ahead` of the line.

        `before_rendering` is called when the program runs, and no process that renders does yet.
        Raises SimulationError when the program fails or a worker process is lost.
        """
        with _running(self.arguments("-", loop=False), stdin=subprocess.PIPE) as camera:
            before_rendering()
            line = LiveLine(plan, slot_s=_UNPACED_S, workers=workers, loop=loop)
            # Its end is how the program says that enough strips have passed.
            with line, suppress(BrokenPipeError), cast("BinaryIO", camera.stdin) as pipe:
                for _ in stream_line(line, pipe):
                    pass
            _check(camera.wait())


def camera_program() -> Path:
    """Return where the program lies.

    Raises SimulationError where this vialsight was built without it, naming the package to install.
    """
    path = Path(_core.__file__).with_name(PROGRAM)
    if path.is_file():
        return path
    raise SimulationError(
        f"this vialsight was built without GigE Vision: {PROGRAM} is not beside the package; "
        "install libaravis-dev (Debian, Ubuntu), and build and install vialsight again"
    )


def check_station(folder: Path) -> None:
    """Raise SimulationError where there is no folder of a station."""
    if not folder.is_dir():
        raise SimulationError(
            f"--gige: expected the folder of a station, {folder} is none; "
            "make one with `vialsight station init`"
        )


@contextmanager
def _running(arguments: Sequence[str], *, stdin: int) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(arguments, stdin=stdin) as camera:
        try:
            yield camera
        finally:
            _end(camera)


def _end(camera: subprocess.Popen[bytes]) -> None:
    """End it in order where it runs, else at all events."""
    if camera.poll() is not None:
        return
    camera.terminate()
    try:
        camera.wait(_PATIENCE_S)
    except subprocess.TimeoutExpired:
        camera.kill()


def _check(code: int) -> None:
    if code:
        raise SimulationError(f"{PROGRAM} ended with exit code {code}; its message is above")
