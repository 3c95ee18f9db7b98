"""Who gets into the OPC UA server, and what nobody may change."""

import asyncio
import contextlib
import os
import stat
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from asyncua import Client, ua
from asyncua.crypto.cert_gen import generate_self_signed_app_certificate
from asyncua.crypto.security_policies import SecurityPolicyBasic256Sha256
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID
from station_opcua_support import (
    SHA,
    Peer,
    PlayedRecorder,
    Station,
    connected,
    refused_with,
    run,
    serving,
    settings,
    started,
)

from vialsight.errors import ConfigError
from vialsight.station.opcua.certificates import TrustedClients, server_identity
from vialsight.station.opcua.server import StationOpcua

URI = "urn:freeopcua:client"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Station]:
    with started(
        Station(tmp_path_factory.mktemp("station"), f"opcua-open-{os.getpid()}"), SHA
    ) as station:
        station.run_inspector()
        yield station


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Station]:
    """A station as it comes: encrypted, and only for accounts."""
    closed = {"anonymous_read": False, "unencrypted": False}
    made = Station(tmp_path_factory.mktemp("closed"), f"opcua-closed-{os.getpid()}", **closed)
    with started(made) as station:
        station.run_inspector()
        yield station


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
    station: Station,
    owner: Owner,
    user: str | None = "olga",
    password: str = "staple-7",
    mode: ua.MessageSecurityMode = ua.MessageSecurityMode.SignAndEncrypt,
) -> AsyncIterator[Peer]:
    client = Client(f"opc.tcp://127.0.0.1:{station.port}/", timeout=20)
    await client.set_security(
        SecurityPolicyBasic256Sha256,
        str(owner.file),
        str(owner.key_file),
        mode=mode,
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


def test_a_channel_that_is_only_signed_is_refused(closed, owner):
    async def work():
        trust(closed, owner)
        signed = encrypted(closed, owner, mode=ua.MessageSecurityMode.Sign)
        with pytest.raises((ua.UaError, ConnectionError, asyncio.TimeoutError)):
            await signed.__aenter__()

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
