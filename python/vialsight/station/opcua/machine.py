"""Methods of both state machines: what they ask of the recorder, and from which states.

What is not possible is refused before the recorder is asked only where the specification has no
such transition; whether a batch may start is the recorder's word.
"""

from collections.abc import Sequence
from typing import Any

from asyncua import ua

from vialsight.station.opcua.accounts import Recorder
from vialsight.station.opcua.archive import Archive, BatchState
from vialsight.station.opcua.instance import AUTOMATIC, MACHINE, Instance
from vialsight.station.opcua.methods import (
    MethodRefused,
    Methods,
    id_argument,
    ok,
    text_argument,
)
from vialsight.station.opcua.results import job
from vialsight.station.opcua.sessions import caller
from vialsight.station.opcua.states import MACHINE_METHODS, allows
from vialsight.station.opcua.view import View


class MachineMethods:
    """Halt, Reset, SelectModeAutomatic, StartContinuous, StartSingleJob, Stop, Abort."""

    def __init__(
        self, instance: Instance, view: View, archive: Archive, recorder: Recorder
    ) -> None:
        self._instance, self._view = instance, view
        self._archive, self._recorder = archive, recorder

    async def bind(self, methods: Methods) -> None:
        """Bind the methods to their nodes."""
        await methods.add(f"{MACHINE}.Halt", self._halt, acts=True)
        await methods.add(f"{MACHINE}.Reset", self._reset, acts=True)
        await methods.add(f"{MACHINE}.SelectModeAutomatic", self._select_automatic, acts=True)
        await methods.add(f"{AUTOMATIC}.StartContinuous", self._start_continuous, acts=True)
        await methods.add(f"{AUTOMATIC}.StartSingleJob", self._start_single_job, acts=True)
        await methods.add(f"{AUTOMATIC}.Stop", self._stop, acts=True)
        await methods.add(f"{AUTOMATIC}.Abort", self._abort, acts=True)

    async def _halt(self, cause: Any, description: Any) -> Sequence[ua.Variant]:
        done = await self._end("Halt", cause, description)
        self._view.halt()
        return done

    async def _reset(self, cause: Any, description: Any) -> Sequence[ua.Variant]:
        self._check("Reset")
        if self._view.executing:
            raise MethodRefused(
                ua.StatusCodes.BadInvalidState, "the station works: Stop, Abort or Halt first"
            )
        self._view.caused_by = "Reset"
        self._view.reset()
        return ok()

    async def _select_automatic(self) -> Sequence[ua.Variant]:
        self._check("SelectModeAutomatic")
        return ok()

    async def _start_continuous(
        self, meas: Any, part: Any, recipe: Any, product: Any, parameters: Any
    ) -> Sequence[ua.Variant]:
        self._check("StartContinuous")
        # What was read last may be half a second old, and another batch.
        batch = (await self._archive.recorded()).batch
        self._check_job(batch, part, recipe, product)
        if batch.started:
            await self._ask("resume_batch", why=_why("StartContinuous", None, id_argument(meas)))
        else:
            await self._ask("start_batch")
        self._view.caused_by = "StartContinuous"
        return ok(self._job(batch.batch))

    async def _start_single_job(
        self, meas: Any, part: Any, recipe: Any, product: Any, parameters: Any
    ) -> Sequence[ua.Variant]:
        self._check("StartSingleJob")
        batch = (await self._archive.recorded()).batch
        self._check_job(batch, part, recipe, product)
        await self._ask("run_challenge")
        self._view.caused_by = "StartSingleJob"
        return ok(self._job(batch.batch))

    async def _stop(self, cause: Any, description: Any) -> Sequence[ua.Variant]:
        return await self._end("Stop", cause, description)

    async def _abort(self, cause: Any, description: Any) -> Sequence[ua.Variant]:
        return await self._end("Abort", cause, description)

    async def _end(self, method: str, cause: Any, description: Any) -> Sequence[ua.Variant]:
        """Halt whatever is carried out; the recorder halts a started batch with it."""
        self._check(method)
        await self._ask("command", command="halt", why=_why(method, cause, description))
        self._view.caused_by = method
        return ok()

    def _check(self, method: str) -> None:
        now = self._view.position
        if not allows(method, now):
            where = " or ".join(state.value for state in MACHINE_METHODS[method])
            stands = now.automatic.value if now.automatic else now.vision.value
            hindrance = self._view.hindrance_text
            reason = f" ({hindrance})" if hindrance else ""
            raise MethodRefused(
                ua.StatusCodes.BadInvalidState, f"expected {where}, the station is {stands}{reason}"
            )

    def _check_job(self, batch: BatchState, part: Any, recipe: Any, product: Any) -> None:
        """Refuse a job of another recipe or product than what is loaded and opened."""
        loaded = self._view.recipe
        if id_argument(recipe) not in ("", loaded.name):
            raise MethodRefused(
                ua.StatusCodes.BadInvalidArgument,
                f"RecipeId: the inspector has {loaded.name!r}, got {id_argument(recipe)!r}",
            )
        if id_argument(product) not in ("", batch.product):
            raise MethodRefused(
                ua.StatusCodes.BadInvalidArgument,
                f"ProductId: the open batch is of {batch.product!r}, got {id_argument(product)!r}",
            )
        if id_argument(part):
            raise MethodRefused(
                ua.StatusCodes.BadInvalidArgument,
                "PartId: strips are numbered by the machine; leave it empty",
            )

    def _job(self, batch: int) -> ua.Variant:
        return ua.Variant(job(self._instance.vision, batch), ua.VariantType.ExtensionObject)

    async def _ask(self, action: str, **fields: Any) -> dict[str, Any]:
        return await self._recorder.act(caller.get().token, action, **fields)


def _why(method: str, cause: Any, description: Any) -> str:
    said = text_argument(description)
    number = f" (cause {cause})" if cause else ""
    return f"{method} over OPC UA{number}" + (f": {said}" if said else "")
