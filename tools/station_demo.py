#!/usr/bin/env python3
"""Runs a station in front of a simulated GigE Vision camera: what `tools/demo --station` ends with.

usage: station_demo.py FOLDER --bundle NAME.vsb --kit KIT --data DATASET [--seconds N]

The camera shows strips of DATASET, mostly good ones. Makes FOLDER/line where there is none, gives
the account "operator" a new password and prints it, starts station and camera, passes the challenge
and starts a batch. Runs until Ctrl-C, or SIGTERM, or for so many seconds from then on. A batch that
was not closed goes on.
"""

import argparse
import contextlib
import os
import secrets
import signal
import sys
import time
from itertools import islice
from pathlib import Path
from types import FrameType
from typing import Final

from station_line import Camera, Line, NotDone, eventually, make_line, write_stream
from vialsight.data import Dataset, Strip, read_dataset
from vialsight.errors import VialSightError
from vialsight.station import local_accounts, services
from vialsight.station.accounts import OPERATOR

USER: Final = "operator"
PRODUCT: Final = "BFS strip, simulated"
# Of the loopback; nobody needs to be root to serve there.
ADDRESS: Final = "127.0.70.1"
PORTS: Final = (8480, 4840)
GOOD_BETWEEN: Final = 4


class Ended(BaseException):
    """Ctrl-C, or SIGTERM."""


def end(_: int, __: FrameType | None) -> None:
    raise Ended


def password_of(line: Line) -> str:
    """Give the operator a new password, so that nobody needs to keep the last one."""
    new = secrets.token_urlsafe(9)
    with local_accounts.opened(line.config) as accounts:
        known = accounts.get(USER) is not None
        if not known:
            local_accounts.add(accounts, USER, OPERATOR, "Operator of the demo")
        first = local_accounts.reset(accounts, USER)
        accounts.change_password(USER, first, new, "cli")
    return new


def made(options: argparse.Namespace) -> Line:
    """The station's folder, as it is or made anew."""
    folder = options.folder / "line"
    if (folder / "station.yaml").exists():
        return Line(folder)
    web, opcua = (port if not services.answers("127.0.0.1", port) else None for port in PORTS)
    changes = {
        "budget_ms": 480.0,
        **({} if web is None else {"web": {"port": web}}),
        "opcua": {"unencrypted": True, **({} if opcua is None else {"port": opcua})},
        "limits": {"min_free_gib": 0.5},
    }
    return make_line(
        folder,
        options.bundle,
        source=f"gige:{ADDRESS}",
        kit=options.kit,
        name="demo",
        changes=changes,
    )


def begin(line: Line) -> None:
    """Go on with the batch that is open, or open one and start it."""
    with line.client() as client:
        eventually(
            lambda: client.request("batch_status").get("reachable", False),
            "recorder and inspector know of each other",
        )
        status = client.request("batch_status")
        if status["status"] in ("halted", "held"):
            client.request("resume_batch", why="the demo goes on")
            return
        if status["status"] == "prepared":
            line.close_batch(why="it was never started")
    line.begin_batch(time.strftime("%Y%m%d-%H%M%S"), PRODUCT)


def tell(line: Line, password: str) -> None:
    print(
        f"page      {services.page_address(line.config)}\n"
        f"account   {USER}, password {password} (engineers: vialsight station user)\n"
        f"OPC UA    {services.opcua_address(line.config)} (same account, no encryption)\n"
        f"folder    {line.folder}\n"
        f"stop      Ctrl-C, or kill {os.getpid()}",
        flush=True,
    )


def shown(dataset: Dataset) -> list[Strip]:
    """The strips that the line makes: all good ones, and now and then a defective one."""
    strips = dataset.strips()
    good = [strip for strip in strips if not strip.defective]
    flawed = iter([strip for strip in strips if strip.defective])
    mixed = []
    for number, strip in enumerate(good, start=1):
        mixed.append(strip)
        if number % GOOD_BETWEEN == 0:
            mixed += islice(flawed, 1)
    return mixed


def stream_of(options: argparse.Namespace) -> Path:
    """The frame stream that the camera shows, written once."""
    path: Path = options.folder / f"{options.data.name}.stream"
    if not path.exists():
        dataset = read_dataset(options.data).select(split="test")
        unfinished = path.with_suffix(".unfinished")
        write_stream(dataset, unfinished, shown(dataset))
        unfinished.replace(path)
    return path


def show(options: argparse.Namespace) -> None:
    """Run it all until told to stop."""
    line = made(options)
    password = password_of(line)
    line = Line(line.folder, user=USER, password=password)
    truth = options.folder / "truth.csv"
    with line, Camera(line, stream_of(options), ADDRESS, truth) as camera:
        line.start()
        eventually(lambda: not line.status().hindrances, "camera and machine are there")
        tell(line, password)
        try:
            begin(line)
            print("a batch runs; its challenge was passed", flush=True)
        except NotDone as error:
            print(f"the batch does not run: {error}", flush=True)
        until = time.monotonic() + (options.seconds or float("inf"))
        try:
            while time.monotonic() < until:
                time.sleep(0.2)
        finally:
            with contextlib.suppress(Ended):
                finish(line, camera)


def finish(line: Line, camera: Camera) -> None:
    """Stop in order, and say what was inspected."""
    camera.stop()
    status = line.status()
    line.stop()
    rejected = ", ".join(f"{reason} {n}" for reason, n in status.rejected.items() if n) or "none"
    print(f"stopped: {status.triggers} strips, {status.accepted} accepted, rejected: {rejected}")


def main() -> int:
    """Run the demo; 0 also when it was interrupted."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    for name in ("--bundle", "--kit", "--data"):
        parser.add_argument(name, type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=None)
    options = parser.parse_args()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    try:
        show(options)
    except Ended:
        pass
    except (VialSightError, TimeoutError, RuntimeError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
