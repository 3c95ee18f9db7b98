"""How little a hostile client achieves against the OPC UA server."""

import asyncio
import contextlib
import logging
import os
import socket
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from asyncua import Client, ua
from station_opcua_support import (
    SHA,
    Peer,
    Station,
    connected,
    refused_with,
    run,
    serving,
    settings,
    started,
)

from vialsight.station.opcua.limits import Limits
from vialsight.station.opcua.sparing import Sparing


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Station]:
    with started(
        Station(tmp_path_factory.mktemp("station"), f"opcua-hostile-{os.getpid()}"), SHA
    ) as station:
        station.run_inspector()
        yield station


def test_subscriptions_of_others_are_unknown(running):
    async def work():
        async with connected(running) as peer, connected(running) as other:
            mine = await peer.client.create_subscription(200, Ignoring())
            number = mine.subscription_id
            found = await other.client.uaclient.delete_subscriptions([number])
            assert found[0].name == "BadSubscriptionIdInvalid"
            parameters = ua.CreateMonitoredItemsParameters(SubscriptionId=number)
            item = ua.MonitoredItemCreateRequest()
            item.ItemToMonitor.NodeId = other.node("Signals.Ready").nodeid
            item.ItemToMonitor.AttributeId = ua.AttributeIds.Value
            parameters.ItemsToCreate = [item]
            with pytest.raises(ua.uaerrors.BadSubscriptionIdInvalid):
                await other.client.uaclient.create_monitored_items(parameters)
            found = await peer.client.uaclient.delete_subscriptions([number])
            assert found[0].is_good()

    run(work)


class Ignoring:
    def datachange_notification(self, node, value, data):
        pass

    def event_notification(self, event):
        pass


def test_subscriptions_and_their_rates_are_bounded(running):
    async def work():
        async with connected(running) as peer:
            made = [await peer.client.create_subscription(0, Ignoring()) for _ in range(10)]
            revised = made[0].parameters
            answer = await peer.client.uaclient.modify_subscription(
                ua.ModifySubscriptionParameters(SubscriptionId=made[0].subscription_id)
            )
            assert answer.RevisedPublishingInterval == 100
            assert revised is not None
            with pytest.raises(ua.uaerrors.BadTooManySubscriptions):
                await peer.client.create_subscription(100, Ignoring())

    run(work)


def test_monitored_items_are_bounded(running):
    async def work():
        async with connected(running) as peer:
            subscription = await peer.client.create_subscription(1000, Ignoring())
            for _ in range(10):
                await subscription.subscribe_events(peer.node(), evfilter=filter_of())
            with pytest.raises(ua.uaerrors.BadTooManyMonitoredItems):
                await subscription.subscribe_events(peer.node(), evfilter=filter_of())
            nodes = [peer.node("Signals.Ready")] * 190
            await subscription.subscribe_data_change(nodes)
            with pytest.raises(ua.uaerrors.BadTooManyMonitoredItems):
                await subscription.subscribe_data_change([peer.node("Signals.Busy")])

    run(work)


def test_long_requests_are_refused(running):
    async def work():
        async with connected(running) as peer:
            nodes = [peer.node("Signals.Ready")] * 1001
            with pytest.raises(ua.uaerrors.BadTooManyOperations):
                await peer.client.read_values(nodes)
            parameters = ua.BrowseParameters()
            one = ua.BrowseDescription(NodeId=ua.NodeId(ua.ObjectIds.ObjectsFolder))
            parameters.NodesToBrowse = [one] * 101
            with pytest.raises(ua.uaerrors.BadTooManyOperations):
                await peer.client.uaclient.browse(parameters)

    run(work)


def filter_of(*elements):
    clause = ua.SimpleAttributeOperand(AttributeId=ua.AttributeIds.Value)
    clause.BrowsePath = [ua.QualifiedName("Message", 0)]
    where = ua.ContentFilter(Elements=list(elements))
    return ua.EventFilter(SelectClauses=[clause], WhereClause=where)


async def vision_state(peer):
    return (await peer.state())[0]


def test_filters_that_go_in_circles_are_refused(running):
    async def work():
        async with connected(running) as peer:
            subscription = await peer.client.create_subscription(100, Ignoring())
            loop = ua.ContentFilterElement(FilterOperator=ua.FilterOperator.Not)
            loop.FilterOperands = [ua.ElementOperand(Index=0)]
            with pytest.raises(ua.uaerrors.BadEventFilterInvalid):
                await subscription.subscribe_events(peer.node(), evfilter=filter_of(loop))
            inner = filter_of()
            inner.SelectClauses[0].BrowsePath = [ua.QualifiedName("emitting_node", 0)]
            await subscription.subscribe_events(peer.node(), evfilter=inner)
            # Strips from before the server's first look at the snapshot are not told.
            await peer.comes("Operational", lambda: vision_state(peer))
            running.strip()
            await peer.comes(running._sequence, lambda: peer.signal("LastResult"))

    run(work)


def test_history_and_registration_are_not_offered(running):
    async def work():
        async with connected(running) as peer:
            with pytest.raises(ua.uaerrors.BadHistoryOperationUnsupported):
                await peer.node("Signals.Ready").read_raw_history()
            server = ua.RegisteredServer(ServerUri="urn:evil", ServerNames=[ua.LocalizedText("x")])
            with pytest.raises(ua.uaerrors.BadServiceUnsupported):
                await peer.client.uaclient.register_server(server)

    run(work)


def test_one_connection_has_one_session(running):
    async def work():
        async with connected(running) as peer:
            with pytest.raises(ua.uaerrors.BadTooManySessions):
                await peer.client.create_session()

    run(work)


def hello(receive=65_536, send=65_536, url=b"opc.tcp://x/"):
    body = struct.pack("<5I", 0, receive, send, 0, 0) + struct.pack("<i", len(url)) + url
    return b"HELF" + struct.pack("<I", 8 + len(body)) + body


HOSTILE = {
    "random": np.random.default_rng(1).bytes(4096),
    "text": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "zeros": bytes(4096),
    "a header that claims 4 GB": b"HELF" + struct.pack("<I", 0xFFFFFFFF) + b"x" * 100,
    "a header that claims nothing": b"MSGF" + struct.pack("<I", 0) + b"x" * 100,
    "a message before hello": b"MSGF" + struct.pack("<4I", 24, 1, 1, 1) + b"x" * 8,
    "an acknowledge": b"ACKF" + struct.pack("<6I", 28, 0, 8192, 8192, 0, 0),
    "hello with tiny buffers": hello(receive=1, send=1),
    "hello with a long name": hello(url=b"x" * 5000),
    "hello twice": hello() + hello(),
    "hello cut in its name": b"HELF" + struct.pack("<7I", 32, 0, 65536, 65536, 0, 0, 99999),
    "a channel of an unknown policy": hello()
    + b"OPNF" + struct.pack("<II", 12 + 4 + 5 + 8 + 8, 0)
    + struct.pack("<i", 5) + b"policy"[:5] + struct.pack("<iiII", -1, -1, 1, 1),
    "an open channel of random bytes": hello()
    + b"OPNF" + struct.pack("<II", 1012, 0) + np.random.default_rng(2).bytes(1000),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_bytes_end_their_connection_and_nothing_else(running, name):
    with socket.create_connection(("127.0.0.1", running.port), timeout=15) as connection:
        connection.sendall(HOSTILE[name])
        received = b"x"
        with contextlib.suppress(ConnectionResetError):
            while received:
                received = connection.recv(65_536)
    assert running.process.poll() is None

    async def work():
        async with connected(running) as peer:
            assert (await peer.state())[0] == "Operational"

    run(work)


def test_the_log_lets_so_many_lines_a_minute_through():
    now, lines = [0.0], []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())
    handler.addFilter(Sparing(lines=3, now_s=lambda: now[0]))
    for number in range(10):
        handler.handle(logging.makeLogRecord({"msg": "line %d", "args": (number,)}))
    now[0] = 61.0
    handler.handle(logging.makeLogRecord({"msg": "%s", "args": ("later",)}))
    assert lines == ["line 0", "line 1", "line 2", "later (7 lines were left out before)"]


def test_a_thousand_strangers_write_few_lines(running):
    before = len(running.log().splitlines())
    for _ in range(1000):
        with socket.create_connection(("127.0.0.1", running.port), timeout=15) as connection:
            connection.sendall(b"\0" * 16)
    assert len(running.log().splitlines()) - before <= 60

    async def work():
        # Until the last of them are gone there may be no place.
        async def comes_in():
            return await refused_with(connected(running))

        await Peer.comes(None, "Good", comes_in)

    run(work)


def memory_mib(process_id: int) -> float:
    for line in Path(f"/proc/{process_id}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    raise AssertionError


def test_who_sends_and_never_reads_costs_little_memory(running):
    # Discovery, which anybody may ask for: small questions, long answers.
    async def open_channel():
        client = Client(f"opc.tcp://127.0.0.1:{running.port}/", timeout=20)
        await client.connect_socket()
        await client.send_hello()
        await client.open_secure_channel()
        return client

    async def work():
        before = memory_mib(running.process.pid)
        client = await open_channel()
        protocol = client.uaclient.protocol
        request = ua.GetEndpointsRequest()
        request.Parameters.EndpointUrl = "opc.tcp://" + "x" * 4000
        protocol.transport.pause_reading()
        sent = 0
        until = time.monotonic() + 20
        largest = before
        while time.monotonic() < until and not protocol.transport.is_closing() and sent < 5000:
            waiting = asyncio.ensure_future(protocol.send_request(request, timeout=60))
            waiting.add_done_callback(lambda done: done.cancelled() or done.exception())
            sent += 1
            if sent % 100 == 0:
                await asyncio.sleep(0.02)
                largest = max(largest, memory_mib(running.process.pid))
        client.disconnect_socket()
        assert largest - before < 64
        async with connected(running) as peer:
            assert (await peer.state())[0] == "Operational"

    run(work, 90)


async def is_closed(reader):
    """Wait for the end of a connection; what lay unread at the other end makes it a reset."""
    try:
        return await asyncio.wait_for(reader.read(), 10) == b""
    except ConnectionResetError:
        return True


@pytest.mark.parametrize("limits_of", [(3, 10), (10, 3)], ids=["of all", "of one address"])
def test_connections_are_bounded_and_the_silent_are_closed(tmp_path, limits_of):
    async def work():
        limits = Limits(connections=limits_of[0], connections_of_one=limits_of[1], activation_s=1.0)
        async with serving(settings(tmp_path, limits=limits)) as server:
            opened = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(4)]
            assert await is_closed(opened[3][0])
            for reader, writer in opened[:3]:
                writer.write(b"HEL")
                assert await is_closed(reader)
            for _, writer in opened:
                writer.close()
            assert await refused_with(connected(server)) == "Good"

    run(work)


def test_sessions_that_were_left_give_way_to_others(tmp_path):
    async def leave(server):
        """End a connection as a cut cable does; the session would wait for its client."""
        async with connected(server) as peer:
            await peer.client.create_subscription(100, Ignoring())
            peer.client.disconnect_socket()

    async def work():
        async with serving(settings(tmp_path, limits=Limits(sessions=2))) as server:
            for _ in range(4):
                await leave(server)
            async with connected(server) as first, connected(server) as second:
                assert await refused_with(connected(server)) == "BadTooManySessions"
                assert await first.signal("Ready") is await second.signal("Ready") is False

    run(work)
