"""Who gets into the OPC UA server, and how little a hostile client achieves."""

import asyncio
import contextlib
import os
import socket
import stat
import struct
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import numpy as np
import pytest
from asyncua import Client, ua
from asyncua.crypto.cert_gen import generate_self_signed_app_certificate
from asyncua.crypto.security_policies import SecurityPolicyBasic256Sha256
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID
from station_opcua_support import SHA, Peer, PlayedRecorder, Station, connected, run

from vialsight.errors import ConfigError
from vialsight.station.opcua.certificates import TrustedClients, server_identity
from vialsight.station.opcua.limits import Limits
from vialsight.station.opcua.server import Settings, StationOpcua

URI = "urn:freeopcua:client"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Station]:
    station = Station(tmp_path_factory.mktemp("station"), f"opcua-open-{os.getpid()}")
    station.record.append("start", "station", {"bundle": "bfs-5", "bundle_sha256": SHA})
    try:
        station.start()
        station.run_inspector()
        yield station
    finally:
        station.close()


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Station]:
    """A station as it comes: encrypted, and only for accounts."""
    closed = {"anonymous_read": False, "unencrypted": False}
    station = Station(tmp_path_factory.mktemp("closed"), f"opcua-closed-{os.getpid()}", **closed)
    try:
        station.start()
        station.run_inspector()
        yield station
    finally:
        station.close()


class Owner:
    """A client's key and certificate, as files."""

    def __init__(self, folder: Path, name: str) -> None:
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.certificate = generate_self_signed_app_certificate(
            key, name, {}, [x509.UniformResourceIdentifier(URI)],
            extended=[ExtendedKeyUsageOID.CLIENT_AUTH],
        )  # fmt: skip
        self.key_file, self.file = folder / f"{name}.pem", folder / f"{name}.der"
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        self.key_file.write_bytes(pem)
        self.file.write_bytes(self.certificate.public_bytes(Encoding.DER))


@pytest.fixture(scope="module")
def owner(tmp_path_factory: pytest.TempPathFactory) -> Owner:
    return Owner(tmp_path_factory.mktemp("owner"), "plc")


@contextlib.asynccontextmanager
async def encrypted(
    station: Station, owner: Owner, user: str | None = "olga", password: str = "staple-7"
) -> AsyncIterator[Peer]:
    client = Client(f"opc.tcp://127.0.0.1:{station.port}/", timeout=20)
    await client.set_security(
        SecurityPolicyBasic256Sha256,
        str(owner.file),
        str(owner.key_file),
        mode=ua.MessageSecurityMode.SignAndEncrypt,
        server_certificate=str(station.folder / "opcua" / "server-certificate.der"),
    )
    if user is not None:
        client.set_user(user)
        client.set_password(password)
    async with client:
        peer = Peer(client)
        await peer.namespaces()
        yield peer


def trust(station: Station, owner: Owner) -> None:
    target = station.folder / "opcua" / "trusted" / owner.file.name
    target.write_bytes(owner.file.read_bytes())


async def refused_with(context) -> str:
    """Name of the status that a connection is refused with."""
    try:
        async with context:
            return "Good"
    except ua.UaStatusCodeError as error:
        return type(error).__name__
    except (ConnectionError, asyncio.TimeoutError):
        return "closed"


def test_a_trusted_client_opens_an_encrypted_session(closed, owner):
    async def work():
        trust(closed, owner)
        async with encrypted(closed, owner) as peer:
            await peer.comes(("Operational", "Initialized"), peer.state)
            closed.recorder.asked.clear()
            assert await peer.call("VisionStateMachine.Halt", 0, "") == [0]
            assert closed.recorder.actions()[0]["action"] == "command"
            await peer.call("VisionStateMachine.Reset", 0, "")

    run(work)


def test_a_stranger_s_certificate_is_refused_and_kept_to_be_looked_at(closed, tmp_path):
    stranger = Owner(tmp_path, "stranger")

    async def work():
        assert await refused_with(encrypted(closed, stranger)) != "Good"
        refused = list((closed.folder / "opcua" / "refused").iterdir())
        assert stranger.file.read_bytes() in [path.read_bytes() for path in refused]
        trust(closed, stranger)
        assert await refused_with(encrypted(closed, stranger)) == "Good"

    run(work)


@pytest.mark.parametrize(
    ("user", "password", "status"),
    [
        ("olga", "horse-9", "BadUserAccessDenied"),
        ("nobody", "staple-7", "BadUserAccessDenied"),
        ("new", "staple-7", "BadUserAccessDenied"),
        (None, "", "BadIdentityTokenRejected"),
        ("o" * 300, "staple-7", "BadIdentityTokenInvalid"),
    ],
)
def test_wrong_names_and_passwords_are_refused(closed, owner, user, password, status):
    async def work():
        trust(closed, owner)
        found = await refused_with(encrypted(closed, owner, user, password))
        assert found == status

    run(work)


def test_the_recorder_hears_who_logs_in_from_where_and_when_he_leaves(closed, owner):
    async def work():
        trust(closed, owner)
        closed.recorder.asked.clear()
        async with encrypted(closed, owner):
            pass
        until = time.monotonic() + 5
        while len(closed.recorder.asked) < 2 and time.monotonic() < until:
            await asyncio.sleep(0.05)
        login, logout = closed.recorder.asked
        assert (login["action"], login["origin"], login["user"]) == ("login", "opcua", "olga")
        assert login["address"] == "127.0.0.1"
        assert logout["action"] == "logout"

    run(work)


def test_without_encryption_there_is_only_discovery(closed):
    async def work():
        client = Client(f"opc.tcp://127.0.0.1:{closed.port}/", timeout=20)
        endpoints = await client.connect_and_get_server_endpoints()
        assert [one.SecurityMode for one in endpoints] == [ua.MessageSecurityMode.SignAndEncrypt]
        assert {one.SecurityPolicyUri for one in endpoints} == {SecurityPolicyBasic256Sha256.URI}
        assert [token.PolicyId for token in endpoints[0].UserIdentityTokens] == ["username"]
        assert await connect_plainly(closed) == "BadSecurityPolicyRejected"

    run(work)


async def connect_plainly(station: Station) -> str:
    """Do what a client does that does not look for an endpoint first."""
    client = Client(f"opc.tcp://127.0.0.1:{station.port}/", timeout=20)
    await client.connect_socket()
    try:
        await client.send_hello()
        await client.open_secure_channel()
        await client.create_session()
    except ua.UaStatusCodeError as error:
        return type(error).__name__
    finally:
        client.disconnect_socket()
    return "Good"


def test_no_password_is_logged(closed):
    assert "horse-9" not in closed.log()
    assert "staple-7" not in closed.log()


def test_writes_are_refused(running):
    async def work():
        async with connected(running, "erik") as peer:
            value = ua.DataValue(ua.Variant(True, ua.VariantType.Boolean))
            ready = peer.node("Signals.Ready").nodeid
            status = ua.NodeId(ua.ObjectIds.Server_ServerStatus_State)
            writes = [
                (ready, ua.AttributeIds.Value, "BadNotWritable"),
                (ready, ua.AttributeIds.DisplayName, "BadNotWritable"),
                (ready, ua.AttributeIds.AccessLevel, "BadNotWritable"),
                (status, ua.AttributeIds.Value, "BadNotWritable"),
                (ua.NodeId("Nowhere", peer.ours), ua.AttributeIds.Value, "BadNodeIdUnknown"),
            ]
            params = ua.WriteParameters()
            for node, attribute, _ in writes:
                one = ua.WriteValue(NodeId=node, AttributeId=attribute, Value=value)
                params.NodesToWrite.append(one)
            found = await peer.client.uaclient.write(params)
            assert [one.name for one in found] == [expected for _, _, expected in writes]
            assert await peer.signal("Ready") is False

    run(work)


def test_no_variable_says_it_is_writable(running):
    async def work():
        async with connected(running) as peer:
            waiting = [peer.node()]
            while waiting:
                node = waiting.pop()
                waiting += await node.get_children()
                if await node.read_node_class() == ua.NodeClass.Variable:
                    levels = await node.get_access_level() | await node.get_user_access_level()
                    assert ua.AccessLevel.CurrentWrite not in levels, node

    run(work)


def test_nodes_are_neither_added_nor_deleted(running):
    async def work():
        async with connected(running, "erik") as peer:
            with pytest.raises(ua.UaStatusCodeError):
                await peer.client.nodes.objects.add_variable(peer.ours, "mine", 1)
            with pytest.raises(ua.UaStatusCodeError):
                (await peer.client.delete_nodes([peer.node("Signals.Ready")]))[1][0].check()
            assert await peer.signal("Ready") is False

    run(work)


@pytest.mark.parametrize("name", ["admin", "Admin"])
def test_asyncua_s_administrator_is_nobody_here(running, name):
    async def work():
        assert await refused_with(connected(running, name)) == "BadUserAccessDenied"

    run(work)


def test_sessions_of_others_cannot_be_guessed(running):
    async def work():
        async with connected(running, "erik"):
            client = Client(f"opc.tcp://127.0.0.1:{running.port}/", timeout=20)
            await client.connect_socket()
            await client.send_hello()
            await client.open_secure_channel()
            for number in range(1000, 1040):
                client.uaclient.protocol.authentication_token = ua.NodeId(number)
                parameters = ua.ActivateSessionParameters()
                parameters.UserIdentityToken = ua.AnonymousIdentityToken()
                with pytest.raises(ua.uaerrors.BadSessionIdInvalid):
                    await client.uaclient.activate_session(parameters)
            client.disconnect_socket()

    run(work)


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
            nodes = [peer.node("Signals.Ready")] * 500
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


def settings(folder: Path, **changes) -> Settings:
    return Settings(
        **{
            "name": "limits", "host": "127.0.0.1", "port": 0, "folder": folder / "opcua",
            "snapshot": folder / "snapshot", "record": folder / "record.sqlite",
            "recorder_socket": folder / "run" / "recorder.sock", "anonymous_read": True,
            "unencrypted": True, **changes,
        }
    )  # fmt: skip


@contextlib.asynccontextmanager
async def serving(made: Settings) -> AsyncIterator[StationOpcua]:
    server = StationOpcua(made)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


def test_connections_are_bounded_and_the_silent_are_closed(tmp_path):
    async def work():
        limits = Limits(connections=3, activation_s=1.0)
        async with serving(settings(tmp_path, limits=limits)) as server:
            opened = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(4)]
            assert await asyncio.wait_for(opened[3][0].read(), 5) == b""
            for reader, writer in opened[:3]:
                writer.write(b"HEL")
                assert await asyncio.wait_for(reader.read(), 10) == b""
            for _, writer in opened:
                writer.close()
            assert await refused_with(connected(server)) == "Good"

    run(work)


def test_a_session_ends_when_the_recorder_no_longer_knows_it(tmp_path):
    recorder = PlayedRecorder(tmp_path / "run" / "recorder.sock")

    async def work():
        async with (
            serving(settings(tmp_path, whoami_s=0.2)) as server,
            connected(server, "olga") as peer,
        ):
            await asyncio.sleep(0.6)
            assert await peer.signal("Ready") is False
            recorder.answers["whoami"] = {"ok": False, "code": "denied", "error": "expired"}
            await asyncio.sleep(1)
            with pytest.raises((ua.UaError, ConnectionError)):
                await peer.signal("Ready")

    try:
        run(work)
    finally:
        recorder.close()


def test_a_session_ends_when_its_role_changes(tmp_path):
    recorder = PlayedRecorder(tmp_path / "run" / "recorder.sock")

    async def work():
        async with (
            serving(settings(tmp_path, whoami_s=0.2)) as server,
            connected(server, "erik") as peer,
        ):
            recorder.answers["whoami"] = {"ok": True, "user": "erik", "role": "auditor"}
            await asyncio.sleep(1)
            with pytest.raises((ua.UaError, ConnectionError)):
                await peer.signal("Ready")

    try:
        run(work)
    finally:
        recorder.close()


def test_passwords_never_cross_a_network_in_the_clear(tmp_path):
    with pytest.raises(ConfigError, match=r"opcua\.host to be a loopback address, got 0\.0\.0\.0"):
        StationOpcua(settings(tmp_path, host="0.0.0.0"))


def test_the_key_is_the_owner_s_alone_and_stays(tmp_path):
    first = server_identity(tmp_path / "opcua", "line")
    key = tmp_path / "opcua" / "server-key.pem"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "opcua").stat().st_mode) == 0o700
    again = server_identity(tmp_path / "opcua", "line")
    assert again.certificate == first.certificate
    assert again.uri == first.uri
    assert again.uri.endswith(":vialsight:line")


@pytest.mark.parametrize("broken", ["server-key.pem", "server-certificate.der"])
def test_a_broken_identity_is_told(tmp_path, broken):
    server_identity(tmp_path, "line")
    (tmp_path / broken).write_bytes(b"nonsense")
    with pytest.raises(ConfigError, match="expected an RSA key and its certificate"):
        server_identity(tmp_path, "line")


def test_a_key_of_another_certificate_is_told(tmp_path):
    server_identity(tmp_path / "a", "line")
    server_identity(tmp_path / "b", "line")
    key = (tmp_path / "b" / "server-key.pem").read_bytes()
    (tmp_path / "a" / "server-key.pem").write_bytes(key)
    with pytest.raises(ConfigError, match="the key is not the certificate's"):
        server_identity(tmp_path / "a", "line")


def test_strangers_fill_no_disk(tmp_path):
    clients = TrustedClients(tmp_path)
    owner = Owner(tmp_path, "plc")
    der = owner.file.read_bytes()
    (tmp_path / "trusted" / "readme.txt").write_text("certificates of clients")
    assert clients.objection(None) == "the client shows no usable certificate"
    assert clients.objection(b"x" * 100) == "the client's certificate cannot be read"
    assert "is not in" in clients.objection(der)
    for number in range(30):
        (tmp_path / "refused" / str(number)).touch()
    clients.objection(Owner(tmp_path, "other").file.read_bytes())
    assert len(list((tmp_path / "refused").iterdir())) == 31
    pem = owner.certificate.public_bytes(Encoding.PEM)
    (tmp_path / "trusted" / "plc.pem").write_bytes(pem)
    assert clients.objection(der) is None
