#!/usr/bin/env python3
"""Runs a whole station while others trouble it, and compares the books afterwards.

usage: station_trial.py --bundle NAME.vsb --kit KIT --stream FILE --out FOLDER
                        [--minutes 10] [--phases 10] [--kills 50] [--slow-clients 8] [--hostile N]
                        [--opcua-client] [--stall-recorder] [--slot-ms 500] [--budget-ms 450]
                        [--isolation worker] [--camera OPTION=VALUE ...]

A simulated GigE Vision camera and its machine trigger strip after strip. Phases without page, OPC
UA and recorder (they are stopped by SIGSTOP) and phases with them take turns; in the latter they
are killed at random, the recorder is made to stall, pages read slowly, an OPC UA client listens,
strangers send what they should not. Afterwards: triggers of the machine = counters of the inspector
= records; each strip has one verdict; none was accepted without a full inspection; the chain
verifies. Latencies, open to verdict, of both kinds of phases are printed with their spread.
Writes trial.json. exit 0: the books agree; 1: they do not; 2: it could not run.
`--stream` is what write_stream of station_line.py makes; its strips are not those of the kit.
"""

import argparse
import json
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from station_counts import (
    Recorded,
    differences,
    gaps,
    latencies,
    reasons,
    recorded_strips,
    verified,
)
from station_line import Camera, Line, eventually, make_line

OTHERS: Final = ("recorder", "web", "opcua")
STRANGERS: Final = Path(__file__).with_name("station_strangers.py")
ADDRESS: Final = "127.0.77.1"


@dataclass
class Phase:
    """A stretch of the trial, by the wall clock."""

    troubled: bool
    begin_ns: int
    end_ns: int = 0
    kills: int = 0
    stalls: int = 0
    strangers: dict[str, Any] = field(default_factory=dict)

    def strips(self, all_strips: list[Recorded]) -> list[Recorded]:
        """The strips that were triggered in it."""
        return [s for s in all_strips if self.begin_ns <= s.triggered_ns < self.end_ns]


class Trouble:
    """What happens in a troubled phase; a context of its length."""

    def __init__(self, line: Line, options: argparse.Namespace, phase: Phase, kills: int) -> None:
        self._line, self._options, self._phase, self._kills = line, options, phase, kills
        self._seconds = options.minutes * 60 / options.phases
        self._end = threading.Event()
        self._chance = random.Random(phase.begin_ns)

    def __enter__(self) -> "Trouble":
        options, config = self._options, self._line.config
        words = [config.web.port, config.opcua.port, options.slow_clients, options.hostile]
        command = [sys.executable, str(STRANGERS), *map(str, words), str(int(options.opcua_client))]
        self._strangers = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self._threads = [threading.Thread(target=self._kill)]
        if options.stall_recorder:
            self._threads.append(threading.Thread(target=self._stall))
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join()
        self._strangers.terminate()
        try:
            told, _ = self._strangers.communicate(timeout=30)
            self._phase.strangers = json.loads(told)
        except (subprocess.TimeoutExpired, json.JSONDecodeError):
            self._strangers.kill()
            self._strangers.communicate()

    def _kill(self) -> None:
        times = sorted(self._chance.uniform(0, self._seconds) for _ in range(self._kills))
        begin = time.monotonic()
        for at in times:
            if self._end.wait(max(0.0, begin + at - time.monotonic())):
                return
            # One that was killed may not be there yet; another is then.
            for role in self._chance.sample(OTHERS, len(OTHERS)):
                if self._line.signal(role, signal.SIGKILL):
                    self._phase.kills += 1
                    break

    def _stall(self) -> None:
        while not self._end.wait(self._chance.uniform(2, 8)):
            if self._line.signal("recorder", signal.SIGSTOP):
                self._phase.stalls += 1
                self._end.wait(self._chance.uniform(1, 10))
                self._line.signal("recorder", signal.SIGCONT)


def run_phases(line: Line, options: argparse.Namespace) -> list[Phase]:
    """Run quiet and troubled phases in turns."""
    phases = []
    troubled = max(1, options.phases // 2)
    shares = [options.kills // troubled + (n < options.kills % troubled) for n in range(troubled)]
    for number in range(options.phases):
        phase = Phase(troubled=number % 2 == 1 or not options.compare, begin_ns=time.time_ns())
        phases.append(phase)
        end = time.monotonic() + options.minutes * 60 / options.phases
        with ExitStack() as stack:
            if phase.troubled:
                stack.enter_context(Trouble(line, options, phase, shares[(number // 2) % troubled]))
            else:
                for role in OTHERS:
                    line.signal(role, signal.SIGSTOP)
            while time.monotonic() < end:
                time.sleep(0.2)
            phase.end_ns = time.time_ns()
        for role in OTHERS:
            line.signal(role, signal.SIGCONT)
        tell(phase, number)
    return phases


def tell(phase: Phase, number: int) -> None:
    kind = "with others" if phase.troubled else "without"
    print(f"phase {number + 1:>2} {kind}: {phase.kills} kills, {phase.stalls} stalls, "
          f"{phase.strangers.get('counts', {})}", flush=True)  # fmt: skip


def compared(phases: list[Phase], strips: list[Recorded]) -> dict[str, Any]:
    """Latencies of both kinds of phases, pooled, and the spread of single phases."""
    result: dict[str, Any] = {}
    for name, troubled in (("without", False), ("with", True)):
        chosen = [phase for phase in phases if phase.troubled == troubled]
        each = [latencies(phase.strips(strips)) for phase in chosen]
        each = [found for found in each if found["strips"]]
        pooled = [strip for phase in chosen for strip in phase.strips(strips)]
        result[name] = latencies(pooled)
        for figure in ("p50_ms", "p99_ms"):
            values = [found[figure] for found in each]
            if values:
                result[name][f"{figure}_of_phases"] = [round(float(v), 2) for v in (
                    np.min(values), np.median(values), np.max(values))]  # fmt: skip
    return result


def trial(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Run it all; return what was found."""
    changes = {
        "slot_ms": options.slot_ms, "budget_ms": options.budget_ms,
        "isolation": options.isolation, "web": {"public_now": True},
        "opcua": {"unencrypted": True}, "limits": {"min_free_gib": 0.0},
    }  # fmt: skip
    line_folder, record = folder / "line", folder / "line" / "record.sqlite"
    source = f"gige:{ADDRESS}"
    with make_line(
        line_folder, options.bundle, source=source, kit=options.kit, changes=changes
    ) as line, Camera(
        line, options.stream, ADDRESS, folder / "truth.csv", *options.camera
    ) as camera:  # fmt: skip
        line.start()
        eventually(lambda: not line.status().hindrances, "camera and machine are there")
        line.begin_batch("1")
        phases = run_phases(line, options)
        camera.stop()
        triggers = line.status().triggers
        eventually(
            lambda: len(recorded_strips(record)) + gaps(record) >= triggers, "all is recorded"
        )
        status = line.status()
        line.close_batch(why="trial")
        line.stop()
        machine, strips = camera.strips(), recorded_strips(record)
    found = differences(machine, strips, gaps(record))
    if triggers != len(machine):
        found.append(f"the inspector counted {triggers} triggers, the machine {len(machine)}")
    if not status.balanced:
        found.append("the inspector's counters are not balanced")
    check = verified(record)
    found += [str(finding) for finding in check.findings.found]
    return {
        "differences": found,
        "triggers": len(machine),
        "records": len(strips),
        "gaps": gaps(record),
        "reasons": reasons(strips),
        "verified": check.to_json(),
        "kills": sum(phase.kills for phase in phases),
        "stalls": sum(phase.stalls for phase in phases),
        "latency": compared(phases, strips),
        "phases": [vars(phase) for phase in phases],
        "pictures_left_out": status.pictures_left_out,
        "worker_restarts": status.worker_restarts,
    }


def keep(folder: Path, out: Path) -> None:
    """Keep books and logs; sockets need a short folder, which is why they do not lie there."""
    logs = [*folder.glob("line/logs/*.log*"), *folder.glob("line/*.log")]
    for path in (folder / "truth.csv", *folder.glob("line/record*"), *logs):
        if path.exists():
            shutil.copy(path, out)


def parsed(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--kit", type=Path, required=True)
    parser.add_argument("--stream", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--phases", type=int, default=10)
    parser.add_argument("--compare", action="store_true", help="quiet phases between the others")
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--slow-clients", type=int, default=8)
    parser.add_argument("--hostile", type=float, default=20.0, help="requests a second")
    parser.add_argument("--opcua-client", action="store_true")
    parser.add_argument("--stall-recorder", action="store_true")
    parser.add_argument("--slot-ms", type=float, default=500.0)
    parser.add_argument("--budget-ms", type=float, default=450.0)
    parser.add_argument("--isolation", choices=("worker", "in_process"), default="worker")
    parser.add_argument("--camera", action="append", default=[], help="option=value of the camera")
    return parser.parse_args(words)


def main() -> int:
    """Run the trial; print and write what was found."""
    options = parsed(sys.argv[1:])
    options.camera = [f"--{text}".replace("=", " ", 1) for text in options.camera]
    options.camera = " ".join(options.camera).split()
    options.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="vs-trial-") as folder:
        try:
            found = trial(options, Path(folder))
        finally:
            keep(Path(folder), options.out)
    (options.out / "trial.json").write_text(json.dumps(found, indent=2, default=str) + "\n")
    for name in ("triggers", "records", "gaps", "reasons", "kills", "stalls", "latency"):
        print(f"{name:<9} {found[name]}")
    print(f"chain     {'whole' if found['verified']['whole'] else 'BROKEN'}, "
          f"{found['verified']['entries']} entries")  # fmt: skip
    for difference in found["differences"]:
        print(f"DIFFERENT {difference}")
    return 1 if found["differences"] else 0


if __name__ == "__main__":
    sys.exit(main())
