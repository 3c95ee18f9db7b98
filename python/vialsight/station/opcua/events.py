"""Events: states, results, errors and alarms of a station, told to whoever subscribed.

asyncua's own event objects take a field's type from the NodeSet, where most have none, and send
null then. Here an event is a set of variants, each with its type.
"""

import logging
import uuid
from datetime import datetime, timezone
from typing import Any, Final

from asyncua import ua

from vialsight.station.opcua import vision as types
from vialsight.station.opcua.instance import MACHINE, RESULTS, ROOT, Instance, Machine
from vialsight.station.opcua.node_ids import node_id
from vialsight.station.opcua.results import Result, job
from vialsight.station.record.alarm_log import Alarm

_logger = logging.getLogger(__name__)

# Severities of OPC 10000-5: 1 to 1000.
_INFORMATION: Final = 100
_WARNING: Final = 500
_ERROR: Final = 800

_KINDS: Final = {
    "HasTransferableDataOnFile": ua.VariantType.Boolean,
    "IsPartial": ua.VariantType.Boolean,
    "IsSimulated": ua.VariantType.Boolean,
    "ResultState": ua.VariantType.Int32,
    "CreationTime": ua.VariantType.DateTime,
}


class Event:
    """One event as asyncua's subscriptions take it, of one object that emits it."""

    def __init__(self, emitter: ua.NodeId, fields: dict[str, ua.Variant]) -> None:
        self.emitting_node = emitter
        self.fields = fields

    def __getattr__(self, name: str) -> Any:
        """Return the value of a field, for where clauses."""
        fields: dict[str, ua.Variant] = self.__dict__.get("fields", {})
        if name not in fields:
            raise AttributeError(name)
        return fields[name].Value

    def to_event_fields(self, clauses: list[ua.SimpleAttributeOperand]) -> list[ua.Variant]:
        """Return what a subscription selected; what the event does not have is null."""
        return [self.fields.get(_name(clause), ua.Variant(None)) for clause in clauses or []]


def _name(clause: ua.SimpleAttributeOperand) -> str:
    if clause.BrowsePath:
        return "/".join(str(step.Name) for step in clause.BrowsePath)
    return ua.AttributeIds(clause.AttributeId).name


class Events:
    """Emits events of a station; at the server, at the station, and where they belong."""

    def __init__(self, instance: Instance) -> None:
        self._instance, self._vision = instance, instance.vision
        self._service = instance.server.iserver.subscription_service
        self.told: dict[int, tuple[Alarm, dict[str, ua.Variant]]] = {}

    async def result_ready(self, result: Result) -> None:
        """Tell that a strip has its verdict."""
        fields = {
            name: ua.Variant(value, _KINDS.get(name, ua.VariantType.ExtensionObject))
            for name, value in result.fields(self._vision).items()
            if name not in ("ResultContent", "HasTransferableDataOnFile")
        }
        content = result.fields(self._vision)["ResultContent"]
        fields["ResultContent"] = ua.Variant(content, ua.VariantType.Variant, is_array=True)
        message = f"strip {result.strip_id}: {result.verdict}, {result.reason}"
        await self._emit(types.RESULT_READY, RESULTS, message, _INFORMATION, fields)

    async def state_changed(
        self, path: str, machine: Machine, names: tuple[str, str], transition: str | None
    ) -> None:
        """Tell that a machine went from one state into another."""
        before, after = names
        fields = _state("FromState", before, machine) | _state("ToState", after, machine)
        if transition is not None:
            fields["Transition"] = _text(transition)
            fields["Transition/Id"] = _node(machine.transitions[transition])
        await self._emit(types.STATE_CHANGED, path, f"{before} → {after}", _INFORMATION, fields)

    async def error(self, text: str) -> None:
        """Tell that the station went into Error."""
        await self._emit(types.ERROR, MACHINE, text, _ERROR, {})

    async def error_resolved(self) -> None:
        """Tell that the station works again."""
        await self._emit(types.ERROR_RESOLVED, MACHINE, "works again", _INFORMATION, {})

    async def job_started(self, batch: int) -> None:
        """Tell that production or a challenge began."""
        await self._of_job(types.JOB_STARTED, batch, "started")

    async def ready(self, batch: int) -> None:
        """Tell that production or a challenge ended; another can begin."""
        await self._of_job(types.READY, batch, "ready")

    async def refused(self, text: str) -> None:
        """Tell that a method was refused; the text says why."""
        await self._emit(types.DIAGNOSTIC_INFO, ROOT, text, _WARNING, {})

    async def alarms(self, now: tuple[Alarm, ...]) -> None:
        """Tell of alarms that are new, changed, or gone since the last call."""
        for number in set(self.told) - {alarm.id for alarm in now}:
            _, last = self.told.pop(number)
            over = last | {"Retain": ua.Variant(False, ua.VariantType.Boolean)}
            await self._send(over | self._identity())
        for alarm in now:
            if alarm.id not in self.told or self.told[alarm.id][0] != alarm:
                fields = self._alarm(alarm)
                self.told[alarm.id] = alarm, fields
                await self._send(fields)

    def alarm_of(self, condition: ua.NodeId, event: bytes) -> int | None:
        """Return the alarm of a condition, if `event` is the last that told of it."""
        for number, (_, fields) in self.told.items():
            if fields["NodeId"].Value == condition:
                return number if fields["EventId"].Value == event else None
        return None

    async def refresh(self, subscription: int) -> None:
        """Tell one subscription all alarms that are open (ConditionRefresh)."""
        begin, end = ua.ObjectIds.RefreshStartEventType, ua.ObjectIds.RefreshEndEventType
        await self._send(self._fields(node_id(begin), ROOT, "", 1, {}), subscription)
        for _, fields in self.told.values():
            await self._send(fields, subscription)
        await self._send(self._fields(node_id(end), ROOT, "", 1, {}), subscription)

    def _alarm(self, alarm: Alarm) -> dict[str, ua.Variant]:
        own = condition(alarm, self._instance.id(f"Alarm.{alarm.id}"))
        kind = self._vision.node(types.WARNING_CONDITION)
        return self._fields(kind, ROOT, alarm.text, _WARNING, own)

    async def _of_job(self, kind: int, batch: int, message: str) -> None:
        made = ua.Variant(job(self._vision, batch), ua.VariantType.ExtensionObject)
        await self._emit(kind, MACHINE, message, _INFORMATION, {"JobId": made})

    async def _emit(
        self, kind: int, path: str, message: str, severity: int, fields: dict[str, ua.Variant]
    ) -> None:
        await self._send(self._fields(self._vision.node(kind), path, message, severity, fields))

    def _fields(
        self, kind: ua.NodeId, path: str, message: str, severity: int, own: dict[str, ua.Variant]
    ) -> dict[str, ua.Variant]:
        of_source = {
            "EventType": _node(kind),
            "SourceNode": _node(self._instance.id(path)),
            "SourceName": ua.Variant(path.rsplit(".", 1)[-1], ua.VariantType.String),
            "Message": _text(message),
            "Severity": ua.Variant(severity, ua.VariantType.UInt16),
        }
        return self._identity() | of_source | own

    def _identity(self) -> dict[str, ua.Variant]:
        now = ua.Variant(datetime.now(timezone.utc), ua.VariantType.DateTime)
        event = ua.Variant(uuid.uuid4().bytes, ua.VariantType.ByteString)
        return {"EventId": event, "Time": now, "ReceiveTime": now}

    async def _send(self, fields: dict[str, ua.Variant], subscription: int | None = None) -> None:
        source = fields["SourceNode"].Value
        server, station = node_id(ua.ObjectIds.Server), self._instance.id(ROOT)
        for number, one in list(self._service.subscriptions.items()):
            if subscription not in (None, number):
                continue
            for emitter in dict.fromkeys((server, station, source)):
                try:
                    await one.monitored_item_srv.trigger_event(Event(emitter, fields))
                except Exception:
                    _logger.exception("event for subscription %s", number)


def condition(alarm: Alarm, node: ua.NodeId) -> dict[str, ua.Variant]:
    """Return the fields of an alarm as a condition: a warning, until it is seen to and over."""
    active, acknowledged = alarm.cleared_ns is None, alarm.acknowledged_ns is not None
    boolean, string = ua.VariantType.Boolean, ua.VariantType.String
    return {
        "NodeId": _node(node),
        "ConditionName": ua.Variant(alarm.key, string),
        "ConditionClassId": _node(node_id(ua.ObjectIds.ProcessConditionClassType)),
        "ConditionClassName": _text("ProcessConditionClassType"),
        "BranchId": _node(ua.NodeId()),
        "Retain": ua.Variant(True, boolean),
        "EnabledState": _text("Enabled"),
        "EnabledState/Id": ua.Variant(True, boolean),
        "AckedState": _text("Acknowledged" if acknowledged else "Unacknowledged"),
        "AckedState/Id": ua.Variant(acknowledged, boolean),
        "ActiveState": _text("Active" if active else "Inactive"),
        "ActiveState/Id": ua.Variant(active, boolean),
        "Quality": ua.Variant(ua.StatusCode(), ua.VariantType.StatusCode),
        "LastSeverity": ua.Variant(_WARNING, ua.VariantType.UInt16),
        "Comment": _text(alarm.why or ""),
        "ClientUserId": ua.Variant(alarm.acknowledged_by or "", string),
        "CausePath": ua.Variant(alarm.key, string),
        "ErrorString": ua.Variant(alarm.text, string),
        "StopReaction": ua.Variant(False, boolean),
        "BlockReaction": ua.Variant(False, boolean),
    }


def _state(field: str, name: str, machine: Machine) -> dict[str, ua.Variant]:
    return {field: _text(name), f"{field}/Id": _node(machine.states[name])}


def _text(value: str) -> ua.Variant:
    return ua.Variant(ua.LocalizedText(value), ua.VariantType.LocalizedText)


def _node(value: ua.NodeId) -> ua.Variant:
    return ua.Variant(value, ua.VariantType.NodeId)
