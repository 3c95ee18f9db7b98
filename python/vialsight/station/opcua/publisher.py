"""Lets nodes and events follow the station: the snapshot ten times a second, the record twice."""

import asyncio
import logging
from typing import Final

from asyncua import ua

from vialsight.station.opcua.archive import Archive, RecordGone
from vialsight.station.opcua.events import Events
from vialsight.station.opcua.instance import (
    AUTOMATIC,
    CONFIGURATIONS,
    MACHINE,
    ROOT,
    Instance,
    Machine,
)
from vialsight.station.opcua.management import ManagementMethods
from vialsight.station.opcua.results import UNKNOWN, Recipe
from vialsight.station.opcua.states import Automatic, Position, State, transition
from vialsight.station.opcua.variables import Variables
from vialsight.station.opcua.view import View, Watcher

_logger = logging.getLogger(__name__)
_LOOK_S: Final = 0.1
_RECORD_S: Final = 0.5
# SystemStateDataType: productive, standby, unscheduled down time.
_SYSTEM_STATES: Final = {
    Automatic.CONTINUOUS: 1,
    State.ERROR: 5,
}
_STANDBY: Final = 2


class Publisher:
    """Runs until it is cancelled; no fault of the station ends it."""

    def __init__(
        self,
        *,
        instance: Instance,
        view: View,
        variables: Variables,
        events: Events,
        management: ManagementMethods,
        watcher: Watcher,
        archive: Archive,
    ) -> None:
        self._instance, self._view = instance, view
        self._variables, self._events, self._management = variables, events, management
        self._watcher, self._archive = watcher, archive
        self._shown: Position | None = None
        self._job = 0
        self._recipe: Recipe = UNKNOWN

    async def run(self) -> None:
        """Follow the snapshot and the record."""
        await asyncio.gather(
            _again(self.look, _LOOK_S, "snapshot"), _again(self.read_record, _RECORD_S, "record")
        )

    async def look(self) -> None:
        """Look at the snapshot once."""
        loop = asyncio.get_running_loop()
        look = await loop.run_in_executor(self._watcher.thread, self._watcher.look)
        results = self._view.take(look)
        for result in results:
            await self._events.result_ready(result)
        if results:
            await self._variables.result(results[-1])
        await self._move()
        await self._variables.follow(self._view)
        await self._configuration()

    async def read_record(self) -> None:
        """Read the record once."""
        view = self._view
        try:
            view.recorded, view.record_readable = await self._archive.recorded(), True
            await self._events.alarms(view.recorded.alarms)
        except RecordGone as error:
            if view.record_readable:
                _logger.warning("%s", error)
            view.record_readable = False
        await self._variables.recorded(view)

    async def _move(self) -> None:
        """Show the states, and tell of the way to them."""
        before, after = self._shown, self._view.place()
        if before == after:
            return
        cause, self._view.caused_by = self._view.caused_by, None
        await self._instance.show(after)
        await self._system_state(after)
        self._shown = after
        if before is not None:
            await self._tell(before, after, cause)

    async def _tell(self, before: Position, after: Position, cause: str | None) -> None:
        machine, automatic = self._instance.machine, self._instance.automatic
        left, entered = before.automatic, after.automatic
        if left is not None and entered is not None:
            await self._path(AUTOMATIC, automatic, (left.value, entered.value), cause, "Ready")
        ends = (before.vision.value, after.vision.value)
        await self._path(MACHINE, machine, ends, cause, "Preoperational")
        if after.vision is State.ERROR and before.vision is not State.ERROR:
            await self._events.error(self._view.hindrance_text)
        if before.vision is State.ERROR and after.vision is State.OPERATIONAL:
            await self._events.error_resolved()
        await self._jobs(left, entered)

    async def _jobs(self, left: Automatic | None, entered: Automatic | None) -> None:
        executing = (Automatic.SINGLE, Automatic.CONTINUOUS)
        status = self._view.status
        if entered in executing and left != entered:
            self._job = 0 if status is None else status.batch
            await self._events.job_started(self._job)
        elif entered is Automatic.READY and left in executing:
            await self._events.ready(self._job)

    async def _path(
        self, path: str, machine: Machine, ends: tuple[str, str], cause: str | None, between: str
    ) -> None:
        """Tell of a change, over the state in between where there is no direct transition."""
        if ends[0] == ends[1]:
            return
        names = set(machine.transitions)
        direct = transition(*ends, names, cause)
        if direct is not None or between in ends:
            await self._events.state_changed(path, machine, ends, direct)
            return
        for step, by in (((ends[0], between), cause), ((between, ends[1]), None)):
            name = transition(*step, names, by)
            await self._events.state_changed(path, machine, step, name)

    async def _system_state(self, now: Position) -> None:
        number = _SYSTEM_STATES.get(now.automatic or now.vision, _STANDBY)
        made = self._instance.vision.make(
            "SystemStateDescriptionDataType",
            State=ua.SystemStateDataType(number),  # type: ignore[attr-defined]
            StateDescription=(now.automatic or now.vision).value,
        )
        await self._instance.write(f"{ROOT}.SystemState", made, ua.VariantType.ExtensionObject)

    async def _configuration(self) -> None:
        recipe = self._view.recipe
        if recipe == self._recipe:
            return
        self._recipe = recipe
        made = self._management.configuration(recipe, self._view.started_ns)
        path = f"{CONFIGURATIONS}.ActiveConfiguration"
        await self._instance.write(path, made, ua.VariantType.ExtensionObject)


async def _again(step: object, pause_s: float, name: str) -> None:
    told = ""
    while True:
        try:
            await step()  # type: ignore[operator]
            told = ""
        except Exception as error:
            # Something that nobody thought of must not end what follows the station.
            if told != repr(error):
                _logger.exception("following the %s", name)
            told = repr(error)
        await asyncio.sleep(pause_s)
