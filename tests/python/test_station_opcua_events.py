"""Events of a station: that they come, with every field, and to whoever may hear them."""

import asyncio
import os
import time
from collections.abc import Iterator
from typing import Any

import pytest
from asyncua import ua
from station_opcua_support import SHA, Station, connected, run, started

FIELDS = (
    "EventId", "EventType", "SourceNode", "SourceName", "Time", "ReceiveTime", "Message",
    "Severity", "CreationTime", "ExternalConfigurationId", "ExternalRecipeId",
    "InternalConfigurationId", "InternalRecipeId", "IsPartial", "IsSimulated", "JobId", "PartId",
    "ProcessingTimes", "ProductId", "ResultContent", "ResultId", "ResultState",
)  # fmt: skip
OF_STATES = ("EventType", "SourceNode", "Message", "Transition", "FromState", "ToState")
OF_ALARMS = (
    "EventId", "EventType", "Message", "Severity", "ConditionName", "Retain", "Comment",
    "ClientUserId",
)  # fmt: skip


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Station]:
    with started(
        Station(tmp_path_factory.mktemp("station"), f"opcua-events-{os.getpid()}"), SHA
    ) as station:
        yield station


@pytest.fixture
def station(running: Station) -> Iterator[Station]:
    running.run_inspector(mode="halted", hindrance=0, batch=0)
    yield running
    running.recorder.answers.clear()
    running.recorder.asked.clear()


class Heard:
    """Takes events of one subscription: a dict of plain values each."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self.names, self.events = names, []

    def __call__(self, fields: list[ua.Variant]) -> None:
        self.events.append({name: one.Value for name, one in zip(self.names, fields, strict=True)})

    async def of(self, kind: ua.NodeId, number: int = 1, seconds: float = 10) -> list[Any]:
        """Wait for so many events of a type."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            found = [event for event in self.events if event["EventType"] == kind]
            if len(found) >= number:
                return found
            await asyncio.sleep(0.05)
        raise AssertionError(f"{number} events of {kind} expected, got {self.events}")


async def listen(peer, node, names, where=None) -> tuple[Heard, Any]:
    """Subscribe with the services themselves, so that nothing is guessed about fields."""
    heard = Heard(names)

    class Handler:
        def event_notification(self, event):
            heard([ua.Variant(getattr(event, name, None)) for name in _keys(names)])

    subscription = await peer.client.create_subscription(100, Handler())
    filtered = ua.EventFilter()
    for name in names:
        clause = ua.SimpleAttributeOperand()
        clause.TypeDefinitionId = ua.NodeId(ua.ObjectIds.BaseEventType)
        clause.AttributeId = ua.AttributeIds.Value
        clause.BrowsePath = [ua.QualifiedName(step, 0) for step in name.split("/")]
        filtered.SelectClauses.append(clause)
    if where is not None:
        filtered.WhereClause = where
    await subscription.subscribe_events(node, evfilter=filtered)
    return heard, subscription


def _keys(names):
    return names


@pytest.mark.parametrize("place", ["server", "Station", "ResultManagement"])
def test_result_ready_comes_with_all_fields(station, place):
    async def work():
        async with connected(station) as peer:
            await peer.comes("bfs-5", lambda: peer.signal("Bundle"))
            batch = 300 + ["server", "Station", "ResultManagement"].index(place)
            station.opened_batch(batch, "batch_started")
            await peer.comes(batch, lambda: peer.signal("Batch"))
            server = peer.client.nodes.server
            path = "" if place == "Station" else place
            heard, _ = await listen(peer, server if place == "server" else peer.node(path), FIELDS)
            made = station.strip(batch=batch, verdict="reject", reason="defect", vials="11011")
            (event,) = await heard.of(ua.NodeId(1024, peer.mv))
            assert [name for name in FIELDS if event[name] is None] == []
            check(event, made, peer)

    run(work)


def check(event, made, peer):
    from test_station_opcua import check_content

    assert event["SourceName"] == "ResultManagement"
    assert event["SourceNode"] == peer.node("ResultManagement").nodeid
    assert event["ResultId"].Id == str(made["seq"])
    assert event["PartId"].Id == str(made["strip_id"])
    assert event["JobId"].Id == str(made["batch"])
    assert event["ProductId"].Id == "bfs 5 ml"
    assert event["InternalRecipeId"].Hash == bytes.fromhex(SHA)
    assert type(event["InternalRecipeId"]).__name__ == "RecipeIdInternalDataType"
    assert type(event["ExternalRecipeId"]).__name__ == "RecipeIdExternalDataType"
    assert type(event["InternalConfigurationId"]).__name__ == "ConfigurationIdDataType"
    assert (event["IsPartial"], event["IsSimulated"], event["ResultState"]) == (False, False, 1)
    assert event["CreationTime"].timestamp() == pytest.approx(made["unix_ns"] / 1e9, abs=1e-5)
    assert event["Message"].Text == f"strip {made['strip_id']}: reject, defect"
    check_content(event["ResultContent"], made)


def test_every_strip_has_its_event_in_order(station):
    async def work():
        async with connected(station) as peer:
            await peer.comes("bfs-5", lambda: peer.signal("Bundle"))
            heard, _ = await listen(peer, peer.node(), ("EventType", "ResultId", "ResultState"))
            made = []
            for number in range(40):
                reason = "frame_missing" if number % 4 == 0 else "none"
                verdict = "reject" if number % 4 == 0 else "accept"
                made.append(station.strip(verdict=verdict, reason=reason, recorded=False))
                await asyncio.sleep(0.02)
            found = await heard.of(ua.NodeId(1024, peer.mv), 40)
            assert [event["ResultId"].Id for event in found] == [str(one["seq"]) for one in made]
            assert [event["ResultState"] for event in found] == [
                4 if one["reason"] == "frame_missing" else 1 for one in made
            ]

    run(work)


def test_strips_of_a_challenge_are_simulated(station):
    async def work():
        async with connected(station) as peer:
            await peer.comes("bfs-5", lambda: peer.signal("Bundle"))
            heard, _ = await listen(peer, peer.node(), ("EventType", "IsSimulated"))
            station.strip(mode="challenge")
            (event,) = await heard.of(ua.NodeId(1024, peer.mv))
            assert event["IsSimulated"] is True

    run(work)


def test_a_where_clause_selects_a_type(station):
    async def work():
        async with connected(station) as peer:
            await peer.comes("bfs-5", lambda: peer.signal("Bundle"))
            element = ua.ContentFilterElement(FilterOperator=ua.FilterOperator.OfType)
            kind = ua.Variant(ua.NodeId(1024, peer.mv), ua.VariantType.NodeId)
            element.FilterOperands = [ua.LiteralOperand(Value=kind)]
            where = ua.ContentFilter(Elements=[element])
            heard, _ = await listen(peer, peer.node(), ("EventType",), where)
            station.run_inspector(mode="production")
            await peer.comes(("Operational", "ContinuousExecution"), peer.state)
            station.strip()
            await heard.of(ua.NodeId(1024, peer.mv))
            assert {event["EventType"] for event in heard.events} == {ua.NodeId(1024, peer.mv)}

    run(work)


def test_transitions_are_told_by_the_names_of_the_specification(station):
    async def work():
        async with connected(station, "olga") as peer:
            station.opened_batch(400, "batch_started")
            await peer.comes(("Operational", "Ready"), peer.state)
            heard, _ = await listen(peer, peer.node(), OF_STATES)
            changed = ua.NodeId(1018, peer.mv)
            station.run_inspector(mode="production", batch=400)
            first = (await heard.of(changed))[0]
            assert first["Transition"].Text == "ReadyToContinuousExecutionAuto"
            assert (first["FromState"].Text, first["ToState"].Text) == (
                "Ready", "ContinuousExecution",
            )  # fmt: skip
            await heard.of(ua.NodeId(1013, peer.mv))
            stop = "VisionStateMachine.AutomaticModeStateMachine.Stop"
            await peer.call(stop, 0, "")
            station.run_inspector(mode="halted")
            second = (await heard.of(changed, 2))[1]
            assert second["Transition"].Text == "ContinuousExecutionToReadyStop"
            await heard.of(ua.NodeId(1023, peer.mv))

    run(work)


def test_reset_leads_out_of_halted_over_preoperational(station):
    async def work():
        async with connected(station, "olga") as peer:
            station.opened_batch(410)
            await peer.comes(("Operational", "Ready"), peer.state)
            heard, _ = await listen(peer, peer.node("VisionStateMachine"), OF_STATES)
            await peer.call("VisionStateMachine.Halt", 0, "")
            await peer.comes(("Halted", None), peer.state)
            await peer.call("VisionStateMachine.Reset", 0, "")
            found = await heard.of(ua.NodeId(1018, peer.mv), 3)
            assert [event["Transition"].Text for event in found] == [
                "OperationalToHalted", "HaltedToPreoperational", "PreoperationalToOperationalAuto",
            ]  # fmt: skip

    run(work)


def test_errors_come_and_go(station):
    async def work():
        async with connected(station) as peer:
            await peer.comes("Operational", lambda: _vision(peer))
            heard, _ = await listen(peer, peer.node(), OF_STATES)
            station.run_inspector(hindrance=1)
            (error,) = await heard.of(ua.NodeId(1019, peer.mv))
            assert error["Message"].Text == "the camera is lost"
            station.run_inspector(hindrance=0)
            await heard.of(ua.NodeId(1020, peer.mv))
            changed = await heard.of(ua.NodeId(1018, peer.mv), 2)
            assert [event["Transition"].Text for event in changed] == [
                "OperationalToErrorAuto", "ErrorToOperationalAuto",
            ]  # fmt: skip

    run(work)


async def _vision(peer):
    return (await peer.state())[0]


def test_a_refusal_is_told(station):
    async def work():
        async with connected(station, "anna") as peer:
            heard, _ = await listen(peer, peer.node(), ("EventType", "Message"))
            await peer.status_of("VisionStateMachine.Halt", 0, "")
            (event,) = await heard.of(ua.NodeId(1037, peer.mv))
            assert event["Message"].Text == (
                "Halt for anna: expected an operator or engineer, got auditor"
            )

    run(work)


def raise_alarm(station, text="frames are missing"):
    body = {"alarm": "reject_rate", "state": "raised", "text": text, "value": 0.5, "limit": 0.2}
    return station.record.append("alarm", "recorder", body).id


def clear_alarm(station, alarm):
    body = {"alarm": "reject_rate", "state": "cleared", "raised": alarm}
    station.record.append("alarm", "recorder", body)


def acknowledge_alarm(station, alarm):
    body = {"raised": alarm, "why": "camera cleaned"}
    station.record.append("alarm_acknowledged", "olga", body)


def test_an_alarm_is_a_condition_until_it_is_over_and_seen_to(station):
    async def work():
        async with connected(station) as peer:
            heard, _ = await listen(peer, peer.node(), OF_ALARMS)
            kind = ua.NodeId(1034, peer.mv)
            alarm = raise_alarm(station)
            (event,) = await heard.of(kind)
            assert event["Message"].Text == "frames are missing"
            assert (event["Retain"], event["ConditionName"]) == (True, "reject_rate")
            assert await peer.signal("OpenAlarms") == 1
            clear_alarm(station, alarm)
            assert [event["Retain"] for event in await heard.of(kind, 2)] == [True, True]
            acknowledge_alarm(station, alarm)
            assert (await heard.of(kind, 3))[2]["Retain"] is False
            await peer.comes(0, lambda: peer.signal("OpenAlarms"))

    run(work)


async def acknowledge(peer, alarm, event, comment="looked at it"):
    request = ua.CallMethodRequest()
    request.ObjectId = ua.NodeId(f"Alarm.{alarm}", peer.ours)
    request.MethodId = ua.NodeId(ua.ObjectIds.AcknowledgeableConditionType_Acknowledge)
    request.InputArguments = [
        ua.Variant(event, ua.VariantType.ByteString),
        ua.Variant(ua.LocalizedText(comment), ua.VariantType.LocalizedText),
    ]
    return (await peer.client.uaclient.call([request]))[0].StatusCode.name


def test_an_alarm_is_acknowledged_through_the_recorder(station):
    async def work():
        async with connected(station, "olga") as peer:
            heard, _ = await listen(peer, peer.node(), OF_ALARMS)
            alarm = raise_alarm(station)
            (event,) = await heard.of(ua.NodeId(1034, peer.mv))
            assert await acknowledge(peer, alarm, b"another event") == "BadEventIdUnknown"
            assert station.recorder.actions() == []
            assert await acknowledge(peer, alarm, event["EventId"]) == "Good"
            (asked,) = station.recorder.actions()
            assert (asked["action"], asked["id"], asked["why"]) == (
                "acknowledge_alarm", alarm, "looked at it",
            )  # fmt: skip
            async with connected(station, "anna") as auditor:
                found = await acknowledge(auditor, alarm, event["EventId"])
                assert found == "BadUserAccessDenied"
            clear_alarm(station, alarm)
            acknowledge_alarm(station, alarm)
            await peer.comes(0, lambda: peer.signal("OpenAlarms"))

    run(work)


def test_condition_refresh_tells_open_alarms_to_its_subscription(station):
    async def work():
        async with connected(station) as peer, connected(station) as other:
            alarm = raise_alarm(station)
            await peer.comes(1, lambda: peer.signal("OpenAlarms"))
            heard, subscription = await listen(peer, peer.client.nodes.server, OF_ALARMS)
            kind = ua.NodeId(1034, peer.mv)
            assert await refresh(other, subscription) == "BadSubscriptionIdInvalid"
            assert await refresh(peer, subscription) == "Good"
            (event,) = await heard.of(kind)
            assert event["ConditionName"] == "reject_rate"
            await heard.of(ua.NodeId(ua.ObjectIds.RefreshEndEventType))
            clear_alarm(station, alarm)
            acknowledge_alarm(station, alarm)
            await heard.of(kind, 2)

    run(work)


async def refresh(peer, subscription):
    request = ua.CallMethodRequest()
    request.ObjectId = ua.NodeId(ua.ObjectIds.ConditionType)
    request.MethodId = ua.NodeId(ua.ObjectIds.ConditionType_ConditionRefresh)
    request.InputArguments = [ua.Variant(subscription.subscription_id, ua.VariantType.UInt32)]
    return (await peer.client.uaclient.call([request]))[0].StatusCode.name
