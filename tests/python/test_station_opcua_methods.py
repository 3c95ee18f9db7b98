"""What a client may tell a station, from which states, and what it hears when it may not."""

import asyncio
import os
from collections.abc import Iterator

import pytest
from asyncua import ua
from station_opcua_support import (
    NONE,
    PARAMETERS,
    SHA,
    Station,
    connected,
    count,
    run,
    started,
)

MACHINE = "VisionStateMachine"
AUTOMATIC = "VisionStateMachine.AutomaticModeStateMachine"
START = (NONE, NONE, NONE, NONE, PARAMETERS)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Station]:
    made = Station(tmp_path_factory.mktemp("station"), f"opcua-methods-{os.getpid()}")
    with started(made, SHA, "11" * 32) as station:
        yield station


@pytest.fixture
def station(running: Station) -> Iterator[Station]:
    running.run_inspector(mode="halted", hindrance=0, batch=0)
    yield running
    running.recorder.answers.clear()
    running.recorder.asked.clear()


batches = iter(range(1, 1000))


def open_batch(station: Station, *further: str) -> int:
    number = next(batches)
    station.opened_batch(number, *further)
    return number


async def becomes(peer, *state):
    await peer.comes(state, peer.state)


def test_start_continuous_starts_the_batch_in_the_caller_s_name(station):
    async def work():
        async with connected(station, "olga") as peer:
            batch = open_batch(station)
            await becomes(peer, "Operational", "Ready")
            job, error = await peer.call(f"{AUTOMATIC}.StartContinuous", *START)
            assert (job.Id, error) == (str(batch), 0)
            asked = station.recorder.actions()
            assert [one["action"] for one in asked] == ["start_batch"]
            assert asked[0]["origin"] == "opcua"
            assert station.recorder._tokens[asked[0]["token"]] == "olga"

    run(work)


@pytest.mark.parametrize("last", ["batch_halted", "batch_held"])
def test_start_continuous_resumes_a_batch_that_was_started(station, last):
    async def work():
        async with connected(station, "erik") as peer:
            open_batch(station, "batch_started", last)
            await becomes(peer, "Operational", "Ready")
            meas = ua.MeasIdDataType(Id="order 7")
            await peer.call(f"{AUTOMATIC}.StartContinuous", meas, *START[1:])
            (asked,) = station.recorder.actions()
            assert asked["action"] == "resume_batch"
            assert asked["why"] == "StartContinuous over OPC UA: order 7"

    run(work)


def test_start_single_job_runs_the_challenge(station):
    async def work():
        async with connected(station, "olga") as peer:
            open_batch(station)
            await becomes(peer, "Operational", "Ready")
            await peer.call(f"{AUTOMATIC}.StartSingleJob", *START)
            assert [one["action"] for one in station.recorder.actions()] == ["run_challenge"]

    run(work)


def test_what_the_recorder_forbids_is_an_invalid_state_with_its_sentence(station):
    async def work():
        async with connected(station, "olga") as peer:
            open_batch(station)
            await becomes(peer, "Operational", "Ready")
            sentence = "the challenge was not passed; run it first"
            refusal = {"ok": False, "code": "state", "error": sentence}
            station.recorder.answers["start_batch"] = refusal
            found = await peer.status_of(f"{AUTOMATIC}.StartContinuous", *START)
            assert found == "BadInvalidState"
            expected = f"StartContinuous for olga: {sentence}"
            assert await peer.signal("LastRefusal") == expected
            assert expected in station.log()

    run(work)


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("denied", "BadUserAccessDenied"),
        ("invalid", "BadInvalidArgument"),
        ("busy", "BadResourceUnavailable"),
        ("something new", "BadInvalidState"),
    ],
)
def test_each_answer_of_the_recorder_has_its_status(station, code, status):
    async def work():
        async with connected(station, "olga") as peer:
            open_batch(station)
            await becomes(peer, "Operational", "Ready")
            station.recorder.answers["start_batch"] = {"ok": False, "code": code, "error": "no"}
            assert await peer.status_of(f"{AUTOMATIC}.StartContinuous", *START) == status

    run(work)


def test_starting_needs_ready_and_is_not_asked_of_the_recorder_else(station):
    async def work():
        async with connected(station, "olga") as peer:
            station.run_inspector(mode="production")
            await becomes(peer, "Operational", "ContinuousExecution")
            for method in ("StartContinuous", "StartSingleJob"):
                assert await peer.status_of(f"{AUTOMATIC}.{method}", *START) == "BadInvalidState"
            station.run_inspector(hindrance=1)
            await becomes(peer, "Error", None)
            assert await peer.status_of(f"{AUTOMATIC}.StartContinuous", *START) == "BadInvalidState"
            assert "the camera is lost" in await peer.signal("LastRefusal")
            assert station.recorder.actions() == []

    run(work)


@pytest.mark.parametrize("method", ["Stop", "Abort"])
def test_stop_and_abort_halt_production(station, method):
    async def work():
        async with connected(station, "olga") as peer:
            open_batch(station, "batch_started")
            station.run_inspector(mode="production")
            await becomes(peer, "Operational", "ContinuousExecution")
            assert await peer.call(f"{AUTOMATIC}.{method}", 7, "end of shift") == [0]
            (asked,) = station.recorder.actions()
            assert (asked["action"], asked["command"]) == ("command", "halt")
            assert asked["why"] == f"{method} over OPC UA (cause 7): end of shift"

    run(work)


def test_a_long_reason_is_cut_and_the_station_halted(station):
    async def work():
        async with connected(station, "olga") as peer:
            station.run_inspector(mode="production")
            await becomes(peer, "Operational", "ContinuousExecution")
            await peer.call(f"{AUTOMATIC}.Stop", 2**31 - 1, "\0" + "é" * 5000)
            (asked,) = station.recorder.actions()
            assert 400 < len(asked["why"]) <= 512
            assert "\0" not in asked["why"]

    run(work)


def test_who_starts_too_often_is_busy_and_can_still_stop(station):
    async def work():
        async with connected(station, "olga") as peer:
            open_batch(station)
            await becomes(peer, "Operational", "Ready")
            refusal = {"ok": False, "code": "state", "error": "no"}
            station.recorder.answers["start_batch"] = refusal
            found = [
                await peer.status_of(f"{AUTOMATIC}.StartContinuous", *START) for _ in range(14)
            ]
            assert found[:10] == ["BadInvalidState"] * 10
            assert "BadResourceUnavailable" in found[10:]
            station.run_inspector(mode="production")
            await becomes(peer, "Operational", "ContinuousExecution")
            await peer.call(f"{AUTOMATIC}.Stop", 0, "")

    run(work)


def test_who_stops_does_not_wait_for_who_starts(station):
    async def work():
        async with connected(station, "olga") as peer, connected(station, "erik") as other:
            open_batch(station)
            await becomes(peer, "Operational", "Ready")
            station.recorder.delays["start_batch"] = 8.0
            starting = asyncio.ensure_future(peer.call(f"{AUTOMATIC}.StartContinuous", *START))
            await asyncio.sleep(0.5)
            await other.call(f"{MACHINE}.Halt", 0, "")
            assert not starting.done()
            await other.call(f"{MACHINE}.Reset", 0, "")
            await starting

    try:
        run(work)
    finally:
        station.recorder.delays.clear()


def test_a_challenge_is_stopped_in_the_same_way(station):
    async def work():
        async with connected(station, "olga") as peer:
            open_batch(station, "challenge_started")
            station.run_inspector(mode="challenge")
            await becomes(peer, "Operational", "SingleExecution")
            await peer.call(f"{AUTOMATIC}.Stop", 0, "")
            (asked,) = station.recorder.actions()
            assert (asked["action"], asked["command"]) == ("command", "halt")
            assert asked["why"] == "Stop over OPC UA"

    run(work)


def test_stop_needs_execution(station):
    async def work():
        async with connected(station, "olga") as peer:
            open_batch(station)
            await becomes(peer, "Operational", "Ready")
            assert await peer.status_of(f"{AUTOMATIC}.Stop", 0, "") == "BadInvalidState"
            assert station.recorder.actions() == []

    run(work)


def test_halt_stays_until_reset(station):
    async def work():
        async with connected(station, "olga") as peer:
            open_batch(station, "batch_started")
            await becomes(peer, "Operational", "Ready")
            await peer.call(f"{MACHINE}.Halt", 0, "cleaning")
            (asked,) = station.recorder.actions()
            assert (asked["action"], asked["command"]) == ("command", "halt")
            await becomes(peer, "Halted", None)
            assert await peer.status_of(f"{AUTOMATIC}.StartContinuous", *START) == "BadInvalidState"
            assert await peer.status_of(f"{MACHINE}.Halt", 0, "") == "BadInvalidState"
            await peer.call(f"{MACHINE}.Reset", 0, "")
            await becomes(peer, "Operational", "Ready")
            assert len(station.recorder.actions()) == 1

    run(work)


def test_somebody_else_may_set_a_halted_station_to_work(station):
    async def work():
        async with connected(station, "olga") as peer:
            open_batch(station, "batch_started")
            await becomes(peer, "Operational", "Ready")
            await peer.call(f"{MACHINE}.Halt", 0, "")
            await becomes(peer, "Halted", None)
            station.run_inspector(mode="production")
            await becomes(peer, "Operational", "ContinuousExecution")
            station.run_inspector(mode="halted")
            await becomes(peer, "Operational", "Ready")

    run(work)


def test_reset_does_not_interrupt_production(station):
    async def work():
        async with connected(station, "olga") as peer:
            station.run_inspector(mode="production")
            await becomes(peer, "Operational", "ContinuousExecution")
            assert await peer.status_of(f"{MACHINE}.Reset", 0, "") == "BadInvalidState"
            assert station.recorder.actions() == []

    run(work)


def test_automatic_mode_is_the_only_one(station):
    async def work():
        async with connected(station, "olga") as peer:
            open_batch(station)
            await becomes(peer, "Operational", "Ready")
            assert await peer.call(f"{MACHINE}.SelectModeAutomatic") == [0]
            station.run_inspector(hindrance=16)
            await becomes(peer, "Preoperational", None)
            found = await peer.status_of(f"{MACHINE}.SelectModeAutomatic")
            assert found == "BadInvalidState"
            assert station.recorder.actions() == []

    run(work)


ACTING = (
    (f"{MACHINE}.Halt", (0, "")),
    (f"{MACHINE}.Reset", (0, "")),
    (f"{MACHINE}.SelectModeAutomatic", ()),
    (f"{AUTOMATIC}.StartContinuous", START),
    (f"{AUTOMATIC}.StartSingleJob", START),
    (f"{AUTOMATIC}.Stop", (0, "")),
    (f"{AUTOMATIC}.Abort", (0, "")),
    ("RecipeManagement.PrepareRecipe", (NONE, NONE)),
    ("RecipeManagement.UnprepareRecipe", (NONE, NONE)),
    ("ConfigurationManagement.ActivateConfiguration", (NONE,)),
)


@pytest.mark.parametrize("user", [None, "anna"])
def test_nobody_and_auditors_only_read(station, user):
    async def work():
        async with connected(station, user) as peer:
            for path, arguments in ACTING:
                assert await peer.status_of(path, *arguments) == "BadUserAccessDenied", path
            assert station.recorder.actions() == []
            listing = "ConfigurationManagement.GetConfigurationList"
            await peer.call(listing, count(0), count(0), 0)

    run(work)


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        ((), "BadArgumentsMissing"),
        ((0,), "BadArgumentsMissing"),
        ((0, "", 1), "BadTooManyArguments"),
        (("0", ""), "BadInvalidArgument"),
        ((count(0), ""), "BadInvalidArgument"),
        ((NONE, ""), "BadInvalidArgument"),
        ((0, 5), "BadInvalidArgument"),
        ((ua.Variant([0, 0], ua.VariantType.Int32, is_array=True), ""), "BadInvalidArgument"),
    ],
)
def test_wrong_arguments_never_reach_the_recorder(station, arguments, status):
    async def work():
        async with connected(station, "olga") as peer:
            assert await peer.status_of(f"{MACHINE}.Halt", *arguments) == status
            assert station.recorder.actions() == []

    run(work)


def test_the_result_says_which_argument_is_wrong(station):
    async def work():
        async with connected(station, "olga") as peer:
            result = await peer.result(f"{MACHINE}.Halt", 0, 5)
            found = [one.name for one in result.InputArgumentResults]
            assert found == ["Good", "BadTypeMismatch"]

    run(work)


def test_a_structure_of_another_type_is_refused(station):
    async def work():
        async with connected(station, "olga") as peer:
            job = ua.JobIdDataType(Id="1")
            found = await peer.status_of("ResultManagement.GetResultById", job, 0)
            assert found == "BadInvalidArgument"

    run(work)


def test_prepare_recipe_knows_the_loaded_bundle_and_no_other(station):
    prepare, unprepare = "RecipeManagement.PrepareRecipe", "RecipeManagement.UnprepareRecipe"

    async def work():
        async with connected(station, "olga") as peer:
            await peer.comes("bfs-5", lambda: peer.signal("Bundle"))
            loaded = ua.RecipeIdExternalDataType(Id="bfs-5")
            internal, complete, error = await peer.call(prepare, loaded, NONE)
            assert (internal.Id, internal.Hash) == ("bfs-5", bytes.fromhex(SHA))
            assert (complete, error) == (True, 0)
            other = ua.RecipeIdExternalDataType(Id="bfs-6")
            assert await peer.status_of(prepare, other, NONE) == "BadNotFound"
            stale = ua.RecipeIdExternalDataType(Id="bfs-5", Hash=bytes(32))
            assert await peer.status_of(prepare, stale, NONE) == "BadNotFound"
            assert await peer.status_of(unprepare, loaded, NONE) == "BadNotSupported"
            assert station.recorder.actions() == []

    run(work)


def test_configurations_are_activated_by_another_bundle_only(station):
    activate = "ConfigurationManagement.ActivateConfiguration"

    async def work():
        async with connected(station, "olga") as peer:
            await peer.comes("bfs-5", lambda: peer.signal("Bundle"))
            for name, status in (
                (f"bfs-5@{SHA[:16]}", "Good"),
                (f"bfs-5@{'11' * 8}", "BadNotSupported"),
                ("other", "BadNotFound"),
            ):
                wanted = ua.ConfigurationIdDataType(Id=name)
                assert await peer.status_of(activate, wanted) == status, name

    run(work)


def test_jobs_of_another_recipe_product_or_part_are_refused(station):
    async def work():
        async with connected(station, "olga") as peer:
            open_batch(station)
            await becomes(peer, "Operational", "Ready")
            wrong = (
                (NONE, NONE, ua.RecipeIdExternalDataType(Id="bfs-6"), NONE, PARAMETERS),
                (NONE, NONE, NONE, ua.ProductIdDataType(Id="bfs 10 ml"), PARAMETERS),
                (NONE, ua.PartIdDataType(Id="1"), NONE, NONE, PARAMETERS),
            )
            for arguments in wrong:
                found = await peer.status_of(f"{AUTOMATIC}.StartContinuous", *arguments)
                assert found == "BadInvalidArgument"
            assert station.recorder.actions() == []
            right = (
                NONE, NONE, ua.RecipeIdExternalDataType(Id="bfs-5"),
                ua.ProductIdDataType(Id="bfs 5 ml"), PARAMETERS,
            )  # fmt: skip
            await peer.call(f"{AUTOMATIC}.StartContinuous", *right)

    run(work)


def test_methods_of_the_type_cannot_be_called(station):
    async def work():
        async with connected(station, "olga") as peer:
            request = ua.CallMethodRequest()
            request.ObjectId, request.MethodId = ua.NodeId(1017, peer.mv), ua.NodeId(7094, peer.mv)
            (result,) = await peer.client.uaclient.call([request])
            assert not result.StatusCode.is_good()
            assert station.recorder.actions() == []

    run(work)


def test_without_a_recorder_methods_say_so_and_reading_goes_on(tmp_path):
    station = Station(tmp_path / "s", f"opcua-norec-{os.getpid()}")
    station.record.append("start", "station", {"bundle": "bfs-5", "bundle_sha256": SHA})

    async def work():
        async with connected(station, "olga") as peer:
            station.run_inspector(mode="production")
            await becomes(peer, "Operational", "ContinuousExecution")
            station.recorder.close()
            found = await peer.status_of(f"{AUTOMATIC}.Stop", 0, "")
            assert found == "BadNoCommunication"
            station.run_inspector(mode="halted")
            await becomes(peer, "Operational", "Initialized")
            with pytest.raises(ua.UaStatusCodeError) as raised:
                async with connected(station, "olga"):
                    pass
            assert raised.value.code == ua.StatusCodes.BadResourceUnavailable

    try:
        station.start()
        run(work)
    finally:
        station.close()


def test_a_killed_server_starts_again_with_the_same_states(tmp_path):
    station = Station(tmp_path / "s", f"opcua-killed-{os.getpid()}")

    async def work():
        open_batch(station, "batch_started")
        station.run_inspector(mode="production", triggers=5)
        async with connected(station) as peer:
            await becomes(peer, "Operational", "ContinuousExecution")
            station.kill()
        station.start()
        async with connected(station) as peer:
            await becomes(peer, "Operational", "ContinuousExecution")
            assert await peer.signal("Triggers") == 5

    try:
        station.start()
        run(work)
    finally:
        station.close()
