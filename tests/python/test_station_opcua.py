"""What a client sees of a station: types, states, values, events, results."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator

import numpy as np
import pytest
from asyncua import ua
from station_opcua_support import (
    NONE,
    SHA,
    ServerProcess,
    Station,
    connected,
    count,
    record_strip,
    run,
    started,
    strip_values,
)
from station_support import write_station

from vialsight.station.opcua import archive
from vialsight.station.record.store import RecordStore

MACHINE = "VisionStateMachine"
AUTOMATIC = "VisionStateMachine.AutomaticModeStateMachine"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Station]:
    with started(
        Station(tmp_path_factory.mktemp("station"), f"opcua-test-{os.getpid()}"), SHA
    ) as station:
        yield station


@pytest.fixture
def station(running: Station) -> Iterator[Station]:
    running.run_inspector(mode="halted", hindrance=0, ready=False, batch=0)
    yield running
    running.recorder.answers.clear()


def test_station_is_an_instance_of_the_vision_system_type(station):
    async def work():
        async with connected(station) as peer:
            kind = await peer.node().read_type_definition()
            assert kind == ua.NodeId(1003, peer.mv)
            assert (await peer.node().read_browse_name()).NamespaceIndex == peer.ours
            assert (await peer.node().read_display_name()).Text == station.name
            machine = await peer.node(MACHINE).read_type_definition()
            assert machine == ua.NodeId(1017, peer.mv)
            automatic = await peer.node(AUTOMATIC).read_type_definition()
            assert automatic == ua.NodeId(1021, peer.mv)

    run(work)


def test_everything_below_the_station_lies_in_its_own_namespace(station):
    async def work():
        async with connected(station) as peer:
            waiting, seen = [peer.node()], []
            while waiting:
                children = await waiting.pop().get_children()
                seen += children
                waiting += children
            assert len(seen) > 60
            assert {node.nodeid.NamespaceIndex for node in seen} == {peer.ours}

    run(work)


def test_methods_of_the_profile_are_there_and_only_those(station):
    expected = {
        "Halt", "Reset", "SelectModeAutomatic", "StartContinuous", "StartSingleJob", "Stop",
        "Abort", "GetResultById", "GetResultComponentsById", "GetResultListFiltered",
        "PrepareRecipe", "UnprepareRecipe", "GetRecipeListFiltered", "GetConfigurationList",
        "GetConfigurationById", "ActivateConfiguration",
    }  # fmt: skip

    async def work():
        async with connected(station) as peer:
            waiting, found = [peer.node()], set()
            while waiting:
                node = waiting.pop()
                if await node.read_node_class() == ua.NodeClass.Method:
                    found.add((await node.read_browse_name()).Name)
                waiting += await node.get_children()
            assert found == expected

    run(work)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"hindrance": 16}, ("Preoperational", None)),
        ({"hindrance": 1}, ("Error", None)),
        ({"hindrance": 2, "mode": "production"}, ("Error", None)),
        ({"hindrance": 8, "mode": "production"}, ("Error", None)),
        ({"mode": "production", "ready": True}, ("Operational", "ContinuousExecution")),
        ({"mode": "challenge"}, ("Operational", "SingleExecution")),
    ],
)
def test_states_follow_the_snapshot(station, values, expected):
    async def work():
        async with connected(station) as peer:
            station.run_inspector(**values)
            await peer.comes(expected, peer.state)
            assert await peer.signal("Ready") == values.get("ready", False)

    run(work)


def test_an_open_batch_makes_ready_and_a_closed_one_initialized(station):
    async def work():
        async with connected(station) as peer:
            station.opened_batch(71)
            await peer.comes(("Operational", "Ready"), peer.state)
            assert await peer.signal("BatchState") == "prepared"
            assert await peer.signal("BatchNumber") == "L71"
            station.record.append("batch_closed", "olga", {"batch": 71})
            await peer.comes(("Operational", "Initialized"), peer.state)

    run(work)


def test_ids_of_states_are_those_of_the_specification(station):
    async def work():
        async with connected(station) as peer:
            station.run_inspector(mode="production")
            await peer.comes(("Operational", "ContinuousExecution"), peer.state)
            machine = await peer.node(f"{MACHINE}.CurrentState.Id").read_value()
            automatic = await peer.node(f"{AUTOMATIC}.CurrentState.Id").read_value()
            assert machine == ua.NodeId(5031, peer.mv)
            assert automatic == ua.NodeId(5059, peer.mv)

    run(work)


def test_a_station_that_stands_still_is_an_error_and_comes_back(station):
    async def work():
        async with connected(station) as peer:
            await peer.comes("Operational", lambda: _vision(peer))
            station.still()
            await peer.comes("Error", lambda: _vision(peer))
            assert await peer.signal("Hindrance") == "the inspection does not run"
            triggers = await peer.node("Signals.Triggers").read_data_value(False)
            assert triggers.StatusCode.name == "UncertainLastUsableValue"
            assert await peer.signal("Ready") is False
            station.end_inspector()
            await asyncio.sleep(0.5)
            assert await _vision(peer) == "Error"
            station.run_inspector()
            await peer.comes("Operational", lambda: _vision(peer))

    run(work)


def test_a_station_that_loads_its_network_writes_nothing_and_is_no_error(station):
    async def work():
        async with connected(station) as peer:
            station.run_inspector(hindrance=16)
            await peer.comes("Preoperational", lambda: _vision(peer))
            station.still()
            await asyncio.sleep(2.5)
            assert await _vision(peer) == "Preoperational"
            assert await peer.signal("Hindrance") == "the station starts"

    run(work)


async def _vision(peer):
    return (await peer.state())[0]


def test_counters_are_those_of_the_snapshot(station):
    async def work():
        async with connected(station) as peer:
            rejected = {"defect": 3, "frame_missing": 2, "not_located": 1}
            station.run_inspector(triggers=17, accepted=10, rejected=rejected, in_flight=1)
            await peer.comes(17, lambda: peer.signal("Triggers"))
            assert await peer.signal("Accepted") == 10
            assert await peer.signal("InFlight") == 1
            reasons = ("defect", "frame_missing", "not_located", "backend_fault")
            found = [await peer.signal(f"Rejected.{reason}") for reason in reasons]
            assert found == [3, 2, 1, 0]

    run(work)


def test_the_record_s_head_is_shown(station):
    async def work():
        async with connected(station) as peer:
            entry = station.record.append("note", "olga", {"text": "hello"})
            await peer.comes(entry.id, lambda: peer.signal("RecordEntry"))
            assert await peer.signal("RecordHash") == entry.hash.hex()

    run(work)


def test_a_result_by_id_equals_the_record(station):
    async def work():
        async with connected(station) as peer:
            wanted = station.strip(verdict="reject", reason="defect", vials="10111")
            wanted_id = ua.ResultIdDataType(Id=str(wanted["seq"]))
            handle, result, error = await peer.call("ResultManagement.GetResultById", wanted_id, 0)
            assert (handle, error) == (0, 0)
            check_result(result, wanted)

    run(work)


def check_result(result, wanted):
    assert result.ResultId.Id == str(wanted["seq"])
    assert result.PartId.Id == str(wanted["strip_id"])
    assert result.ResultState == 1
    assert result.IsPartial is False
    assert result.IsSimulated is False
    assert result.InternalRecipeId.Id == "bfs-5"
    assert result.InternalRecipeId.Hash == bytes.fromhex(SHA)
    assert result.InternalConfigurationId.Id == f"bfs-5@{SHA[:16]}"
    assert result.JobId.Id == (str(wanted["batch"]) if wanted["batch"] else "")
    assert result.CreationTime.timestamp() == pytest.approx(wanted["unix_ns"] / 1e9, abs=1e-5)
    times = result.ProcessingTimes
    latency_s = (times.EndTime - times.StartTime).total_seconds()
    assert latency_s == pytest.approx(wanted["latency_ms"] / 1e3, abs=1e-5)
    assert times.ProcessingDuration == pytest.approx(wanted["after_last_frame"])
    check_content(result.ResultContent, wanted)


def check_content(content, wanted):
    verdict, reason, vials, shape, thresholds, scores, latency, gate = (
        one.Value if isinstance(one, ua.Variant) else one for one in content
    )
    assert (verdict, reason, vials) == (wanted["verdict"], wanted["reason"], wanted["vials"])
    assert gate == wanted["verdict"]
    assert latency == wanted["latency_ms"]
    assert thresholds == wanted["thresholds"]
    found = np.array(scores, np.float32).reshape(shape)
    np.testing.assert_array_equal(found, wanted["scores"])


def test_components_of_a_result_are_its_members(station):
    async def work():
        async with connected(station) as peer:
            wanted = station.strip()
            wanted_id = ua.ResultIdDataType(Id=str(wanted["seq"]))
            components = "ResultManagement.GetResultComponentsById"
            found = await peer.call(components, wanted_id, 0)
            assert len(found) == 17
            on_file, handle, partial, simulated, state, meas, part = found[:7]
            assert (on_file, handle, partial, simulated, state, meas) == (
                False, 0, False, False, 1, None,
            )  # fmt: skip
            assert part.Id == str(wanted["strip_id"])
            assert [type(one).__name__ for one in (found[7], found[8], found[11])] == [
                "RecipeIdExternalDataType", "RecipeIdInternalDataType", "ConfigurationIdDataType",
            ]  # fmt: skip
            check_content(found[15], wanted)
            assert found[16] == 0

    run(work)


def test_a_strip_that_is_not_recorded_yet_is_told_from_the_snapshot(station):
    async def work():
        async with connected(station) as peer:
            await peer.comes("Operational", lambda: _vision(peer))
            wanted = station.strip(recorded=False)
            await peer.comes(wanted["seq"], lambda: peer.signal("LastResult"))
            wanted_id = ua.ResultIdDataType(Id=str(wanted["seq"]))
            _, result, _ = await peer.call("ResultManagement.GetResultById", wanted_id, 0)
            check_result(result, wanted)

    run(work)


def test_an_unknown_result_is_not_found(station):
    async def work():
        async with connected(station) as peer:
            for text, status in (
                ("999999999", "BadNotFound"),
                (str(2**80), "BadInvalidArgument"),
                (str(2**64 - 1), "BadNotFound"),
                ("-1", "BadInvalidArgument"),
                ("²", "BadInvalidArgument"),
                ("", "BadInvalidArgument"),
            ):
                wanted = ua.ResultIdDataType(Id=text)
                found = await peer.status_of("ResultManagement.GetResultById", wanted, 0)
                assert found == status, text

    run(work)


def filters(state=0, part="", job="", most=0, first=0):
    part_id = ua.PartIdDataType(Id=part) if part else NONE
    job_id = ua.JobIdDataType(Id=job) if job else NONE
    return (
        state, NONE, part_id, NONE, NONE, NONE, NONE, NONE, job_id, count(most), count(first), 0
    )  # fmt: skip


def test_results_are_listed_newest_first_and_filtered(station):
    listing = "ResultManagement.GetResultListFiltered"

    async def work():
        async with connected(station) as peer:
            station.opened_batch(81)
            made = [station.strip(batch=81) for _ in range(5)]
            made.append(station.strip(batch=81, verdict="reject", reason="frame_missing"))
            ids = [str(one["seq"]) for one in reversed(made)]
            complete, number, handle, found, error = await peer.call(listing, *filters(job="81"))
            assert (complete, number, handle, error) == (True, 6, 0, 0)
            assert [one.ResultId.Id for one in found] == ids
            assert {one.ProductId.Id for one in found} == {"bfs 5 ml"}
            assert {one.JobId.Id for one in found} == {"81"}
            complete, _, _, found, _ = await peer.call(listing, *filters(job="81", most=2, first=1))
            assert not complete
            assert [one.ResultId.Id for one in found] == ids[1:3]
            _, _, _, found, _ = await peer.call(listing, *filters(job="81", state=4))
            assert [one.ResultId.Id for one in found] == ids[:1]
            part = str(made[2]["strip_id"])
            _, _, _, found, _ = await peer.call(listing, *filters(part=part))
            assert [one.ResultId.Id for one in found] == [str(made[2]["seq"])]
            complete, number, _, found, _ = await peer.call(listing, *filters(job="4711"))
            assert (complete, number, found) == (True, 0, [])
            station.record.append("batch_closed", "olga", {"batch": 81})

    run(work)


def test_a_list_that_was_not_searched_to_its_end_is_not_complete(tmp_path, monkeypatch):
    record = RecordStore(tmp_path / "record.sqlite")
    for seq in range(1, 11):
        record_strip(record, strip_values(seq) | {"batch": 1})
    monkeypatch.setattr(archive, "SEARCHED", 5)

    async def work():
        reading = archive.Archive(tmp_path / "record.sqlite")
        try:
            for wanted, first, numbers, expected in (
                (archive.Wanted(batch=1), 0, [10, 9], False),
                (archive.Wanted(batch=1), 3, [7, 6], False),
                (archive.Wanted(batch=1), 100, [], False),
                (archive.Wanted(strip_id=1009), 0, [9], False),
                (archive.Wanted(batch=2), 0, [], True),
            ):
                found, complete = await reading.results(wanted, first, 2)
                assert ([result.seq for result in found], complete) == (numbers, expected)
        finally:
            reading.close()
            record.close()

    run(work)


def test_recipes_and_configurations_are_the_bundle(station):
    async def work():
        async with connected(station) as peer:
            await peer.comes("bfs-5", lambda: peer.signal("Bundle"))
            listing = "RecipeManagement.GetRecipeListFiltered"
            prepared = (NONE, NONE, ua.Variant(1, ua.VariantType.Int32), count(0), count(0), 0)
            complete, number, _, recipes, error = await peer.call(listing, *prepared)
            assert (complete, number, error) == (True, 1, 0)
            assert (recipes[0].Id, recipes[0].Hash) == ("bfs-5", bytes.fromhex(SHA))
            assert type(recipes[0]).__name__ == "RecipeIdInternalDataType"
            listing = "ConfigurationManagement.GetConfigurationList"
            _, number, _, found, _ = await peer.call(listing, count(0), count(0), 0)
            assert [one.InternalId.Id for one in found] == [f"bfs-5@{SHA[:16]}"]
            by_id = "ConfigurationManagement.GetConfigurationById"
            _, one, _ = await peer.call(by_id, found[0].InternalId, 0)
            assert one.InternalId == found[0].InternalId
            active = peer.node("ConfigurationManagement.ActiveConfiguration")
            assert (await active.read_value()).InternalId == found[0].InternalId
            unknown = ua.ConfigurationIdDataType(Id="other")
            assert await peer.status_of(by_id, unknown, 0) == "BadNotFound"

    run(work)


def test_sigterm_ends_it_in_order(tmp_path):
    write_station(tmp_path, name=f"opcua-ends-{os.getpid()}", opcua={"port": 0})
    server = ServerProcess(tmp_path)
    try:
        server.start()
        server.process.terminate()
        assert server.process.wait(30) == 0
    finally:
        server.close()
    assert "Traceback" not in server.log()


@pytest.mark.parametrize(
    ("opcua", "message"),
    [
        ({"port": 70_000}, "opcua.port"),
        ({"host": "0.0.0.0", "unencrypted": True}, "expected a host on the loopback, got 0.0.0.0"),
    ],
)
def test_a_wrong_configuration_is_told(tmp_path, opcua, message):
    write_station(tmp_path, opcua=opcua)
    command = [sys.executable, "-m", "vialsight.station.opcua", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
