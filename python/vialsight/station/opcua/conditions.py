"""Methods of alarms: acknowledge one, and be told again of all that are open.

A client calls them at an alarm, which is no node, so they are answered before asyncua looks for it.
"""

from typing import Final

from asyncua import ua

from vialsight.station.opcua.accounts import Recorder
from vialsight.station.opcua.events import Events
from vialsight.station.opcua.methods import MethodRefused, Refuse, answered, text_argument
from vialsight.station.opcua.node_ids import node_id
from vialsight.station.opcua.sessions import StationSession, caller

_ACKNOWLEDGE: Final = node_id(ua.ObjectIds.AcknowledgeableConditionType_Acknowledge)
_REFRESH: Final = node_id(ua.ObjectIds.ConditionType_ConditionRefresh)
_REFRESH_ITEM: Final = node_id(ua.ObjectIds.ConditionType_ConditionRefresh2)
_ARGUMENTS: Final = {
    _ACKNOWLEDGE: (ua.VariantType.ByteString, ua.VariantType.LocalizedText),
    _REFRESH: (ua.VariantType.UInt32,),
    _REFRESH_ITEM: (ua.VariantType.UInt32, ua.VariantType.UInt32),
}


class Conditions:
    """Answers calls of the methods of alarms."""

    def __init__(self, events: Events, recorder: Recorder, refused: Refuse) -> None:
        self._events, self._recorder, self._refused = events, recorder, refused

    async def call(
        self, session: StationSession, asked: ua.CallMethodRequest
    ) -> ua.CallMethodResult | None:
        """Return the answer; None: the call is of another method."""
        expected = _ARGUMENTS.get(asked.MethodId)
        if expected is None:
            return None
        given = list(asked.InputArguments or [])
        wrong = [
            one.Value is None or one.VariantType != kind
            for one, kind in zip(given, expected, strict=False)
        ]

        async def work() -> list[ua.Variant]:
            if asked.MethodId == _ACKNOWLEDGE:
                await self._acknowledge(asked.ObjectId, given[0].Value, given[1].Value)
            else:
                await self._refresh(session, given[0].Value)
            return []

        acts = asked.MethodId == _ACKNOWLEDGE
        name = "Acknowledge" if acts else "ConditionRefresh"
        counts = (len(given), len(expected))
        return await answered(name, work, counts, wrong, self._refused, acts=acts)

    async def _acknowledge(self, condition: ua.NodeId, event: bytes, comment: object) -> None:
        alarm = self._events.alarm_of(condition, event)
        if alarm is None:
            raise MethodRefused(
                ua.StatusCodes.BadEventIdUnknown, "expected the last event of an open alarm"
            )
        why = text_argument(comment)
        await self._recorder.act(caller.get().token, "acknowledge_alarm", id=alarm, why=why)

    async def _refresh(self, session: StationSession, subscription: int) -> None:
        if subscription not in session.own_subscriptions():
            raise MethodRefused(
                ua.StatusCodes.BadSubscriptionIdInvalid, "expected a subscription of the session"
            )
        await self._events.refresh(subscription)
