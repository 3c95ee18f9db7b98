"""Plain variables of ours: signals, counters and the record's head, for clients that want no more.

They lie below `Station.Signals` in the namespace of this server, read-only. While the inspection
does not run, `Ready` and `Busy` are false and the others keep their last value, with the status
UncertainLastUsableValue.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from asyncua import ua

from vialsight.station.opcua.instance import ROOT, Instance
from vialsight.station.opcua.results import Result
from vialsight.station.opcua.view import View
from vialsight.station.snapshot import Status
from vialsight.station.snapshot_layout import REASONS

SIGNALS: Final = f"{ROOT}.Signals"
_BOOLEAN, _TEXT = ua.VariantType.Boolean, ua.VariantType.String
_COUNT, _REAL = ua.VariantType.UInt64, ua.VariantType.Double
_REJECTING: Final = tuple(reason for reason in REASONS if reason != "none")


@dataclass(frozen=True)
class Signal:
    """A variable that follows the snapshot."""

    name: str
    kind: ua.VariantType
    value: Callable[[Status], Any]
    description: str
    when_gone: Any = None


def _rejected(reason: str) -> Callable[[Status], int]:
    return lambda status: status.rejected[reason]


def _batch_rejected(reason: str) -> Callable[[Status], int]:
    return lambda status: status.batch_rejected[reason]


OF_SNAPSHOT: Final = (
    Signal("Ready", _BOOLEAN, lambda s: s.ready, "the station inspects what comes", False),
    Signal("Busy", _BOOLEAN, lambda s: s.busy, "a strip is being inspected", False),
    Signal("Mode", _TEXT, lambda s: s.mode, "halted, production, challenge"),
    Signal("Heartbeat", _COUNT, lambda s: s.heartbeat, "goes up as long as the inspector lives"),
    Signal("Triggers", _COUNT, lambda s: s.triggers, "Accepted + Rejected + InFlight"),
    Signal("Accepted", _COUNT, lambda s: s.accepted, "strips since start"),
    Signal("InFlight", _COUNT, lambda s: s.in_flight, "strips without a verdict yet"),
    *(
        Signal(f"Rejected.{reason}", _COUNT, _rejected(reason), "strips since start, by reason")
        for reason in _REJECTING
    ),
    Signal("BatchTriggers", _COUNT, lambda s: s.batch_triggers, "of the batch"),
    Signal("BatchAccepted", _COUNT, lambda s: s.batch_accepted, "of the batch"),
    *(
        Signal(f"BatchRejected.{reason}", _COUNT, _batch_rejected(reason), "of it, by reason")
        for reason in _REJECTING
    ),
    Signal("WorkerRestarts", _COUNT, lambda s: s.worker_restarts, "of the network's process"),
    Signal("FramesReceived", _COUNT, lambda s: s.frames_received, "since start"),
    Signal("FramesDropped", _COUNT, lambda s: s.frames_dropped, "since start"),
    Signal("SpooledEntry", _COUNT, lambda s: s.spooled_seq, "last entry that lies on the disk"),
    Signal("BudgetMs", _REAL, lambda s: s.budget_ms, "from trigger to verdict, at most"),
    Signal("LastFault", _TEXT, lambda s: s.last_fault, "of the inspector"),
    Signal("Source", _TEXT, lambda s: s.source, "of the frames"),
)
OF_RESULT: Final = (
    ("LastResult", _COUNT, "ResultId of the last strip"),
    ("LastStrip", _COUNT, "its number"),
    ("LastVerdict", _TEXT, "accept, reject"),
    ("LastReason", _TEXT, "why it was rejected; none"),
    ("LastLatencyMs", _REAL, "from its trigger to its verdict"),
)
OF_RECORD: Final = (
    ("Batch", ua.VariantType.UInt32, "the last one, open or closed; JobId is this number"),
    ("BatchNumber", _TEXT, "as people call it"),
    ("BatchProduct", _TEXT, "of the batch"),
    (
        "BatchState",
        _TEXT,
        "none, prepared, challenging, passed, failed, running, halted, held or closed",
    ),
    ("RecordEntry", _COUNT, "last entry of the record"),
    ("RecordHash", _TEXT, "SHA-256 of the chain up to it, hexadecimal"),
    ("RecordReadable", _BOOLEAN, "false: values of the record are the last that were read"),
    ("OpenAlarms", ua.VariantType.UInt32, "not over, or not acknowledged"),
)
OF_SERVER: Final = (
    ("Hindrance", _TEXT, "why the station is not ready; empty: nothing hinders it"),
    ("Bundle", _TEXT, "name of what inspects"),
    ("BundleSha256", _TEXT, "its hash"),
    ("LastRefusal", _TEXT, "of a method, with the reason"),
)


class Variables:
    """Makes the variables and lets them follow."""

    def __init__(self, instance: Instance) -> None:
        self._instance = instance

    async def make(self) -> None:
        """Make the nodes, empty."""
        instance = self._instance
        folder = await instance.node(ROOT).add_object(
            instance.id(SIGNALS), ua.QualifiedName("Signals", instance.index)
        )
        for group in ("Rejected", "BatchRejected"):
            await folder.add_object(
                instance.id(f"{SIGNALS}.{group}"), ua.QualifiedName(group, instance.index)
            )
        described = [(one.name, one.kind, one.description) for one in OF_SNAPSHOT]
        for name, kind, description in (*described, *OF_RESULT, *OF_RECORD, *OF_SERVER):
            above, _, last = f"{SIGNALS}.{name}".rpartition(".")
            node = await instance.node(above).add_variable(
                instance.id(f"{SIGNALS}.{name}"),
                ua.QualifiedName(last, instance.index),
                ua.Variant(_empty(kind), kind),
            )
            text = ua.Variant(ua.LocalizedText(description))
            await node.write_attribute(ua.AttributeIds.Description, ua.DataValue(text))

    async def follow(self, view: View) -> None:
        """Write what has changed."""
        await self._write("Hindrance", view.hindrance_text, _TEXT)
        await self._write("Bundle", view.recipe.name, _TEXT)
        await self._write("BundleSha256", view.recipe.sha256, _TEXT)
        if view.status is not None:
            for signal in OF_SNAPSHOT:
                await self._signal(signal, view.status, running=view.running)

    async def _signal(self, signal: Signal, status: Status, *, running: bool) -> None:
        if running:
            await self._write(signal.name, signal.value(status), signal.kind)
        elif signal.when_gone is not None:
            await self._write(signal.name, signal.when_gone, signal.kind)
        else:
            last = ua.StatusCodes.UncertainLastUsableValue
            await self._write(signal.name, signal.value(status), signal.kind, last)

    async def result(self, result: Result) -> None:
        """Show the last strip."""
        values = (
            result.seq, result.strip_id, result.verdict, result.reason, result.latency_ms or 0.0
        )  # fmt: skip
        for (name, kind, _), value in zip(OF_RESULT, values, strict=True):
            await self._write(name, value, kind)

    async def recorded(self, view: View) -> None:
        """Show the record."""
        now, batch = view.recorded, view.recorded.batch
        values = (
            batch.batch, batch.number, batch.product, batch.state, now.head, now.hash,
            view.record_readable, len(now.alarms),
        )  # fmt: skip
        for (name, kind, _), value in zip(OF_RECORD, values, strict=True):
            await self._write(name, value, kind)

    async def refusal(self, text: str) -> None:
        """Show why a method was refused."""
        await self._write("LastRefusal", text, _TEXT)

    async def _write(
        self, name: str, value: Any, kind: ua.VariantType, status: int = ua.StatusCodes.Good
    ) -> None:
        await self._instance.write(f"{SIGNALS}.{name}", value, kind, status)


def _empty(kind: ua.VariantType) -> Any:
    return {_BOOLEAN: False, _TEXT: "", _REAL: 0.0}.get(kind, 0)
