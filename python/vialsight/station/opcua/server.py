"""A station's OPC UA server, put together."""

import asyncio
import ipaddress
import logging
from collections.abc import Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from asyncua import ua
from asyncua.common.connection import TransportLimits

import vialsight
from vialsight.errors import ConfigError
from vialsight.station.client import RecorderUnavailable
from vialsight.station.opcua import certificates
from vialsight.station.opcua.accounts import Account, Recorder, Refused
from vialsight.station.opcua.admission import Admission
from vialsight.station.opcua.archive import Archive
from vialsight.station.opcua.conditions import Conditions
from vialsight.station.opcua.events import Events
from vialsight.station.opcua.instance import URI, Instance, make_instance
from vialsight.station.opcua.limits import DEFAULT, Limits
from vialsight.station.opcua.machine import MachineMethods
from vialsight.station.opcua.management import ManagementMethods
from vialsight.station.opcua.methods import Methods
from vialsight.station.opcua.node_ids import node_id
from vialsight.station.opcua.publisher import Publisher
from vialsight.station.opcua.sessions import StationServer
from vialsight.station.opcua.variables import Variables
from vialsight.station.opcua.view import View, Watcher
from vialsight.station.opcua.vision import import_vision
from vialsight.station.opcua.wire import ListeningServer

_logger = logging.getLogger(__name__)
_PRODUCT: Final = "urn:vialsight"
# The recorder hears of every session so often: a machine's does not idle out, and a session ends
# soon after its account was disabled.
_WHOAMI_S: Final = 60.0


@dataclass(frozen=True)
class Settings:
    """Of one server; paths are absolute."""

    name: str
    host: str
    port: int
    folder: Path
    snapshot: Path
    record: Path
    recorder_socket: Path
    anonymous_read: bool = False
    unencrypted: bool = False
    limits: Limits = DEFAULT
    whoami_s: float = _WHOAMI_S

    def check(self) -> None:
        """Refuse (ConfigError) passwords that would cross a network in the clear."""
        if self.unencrypted and not _is_loopback(self.host):
            raise ConfigError(
                f"opcua.unencrypted: expected opcua.host to be a loopback address, got {self.host}"
            )


class StationOpcua:
    """Runs between `start` and `stop`."""

    def __init__(self, settings: Settings) -> None:
        settings.check()
        self._settings = settings
        identity = certificates.server_identity(settings.folder, settings.name)
        self._recorder = Recorder(settings.recorder_socket)
        self._admission = Admission(
            recorder=self._recorder,
            identity=identity,
            clients=certificates.TrustedClients(settings.folder),
            anonymous_read=settings.anonymous_read,
            unencrypted=settings.unencrypted,
        )
        self._services = StationServer()
        self._server = ListeningServer(self._services, self._admission)
        self._watcher, self._archive = Watcher(settings.snapshot), Archive(settings.record)
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def port(self) -> int:
        """The TCP port, also when it was asked for as 0."""
        return self._server.port

    async def start(self) -> None:
        """Build the address space, then listen.

        Raises:
            OSError: the port is taken.
        """
        await self._prepare()
        vision = await import_vision(self._server)
        index = await self._server.register_namespace(URI)
        instance = await make_instance(self._server, vision, index, self._settings.name)
        publisher = await self._assemble(instance)
        self._services.left = lambda account: self._spawn(self._leave(account))
        await publisher.read_record()
        await publisher.look()
        await self._server.start()
        self._spawn(publisher.run())
        self._spawn(self._keep_sessions())

    async def stop(self) -> None:
        """End all connections and let everything go."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.stop()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._watcher.close()
        self._archive.close()
        self._recorder.close()

    async def _prepare(self) -> None:
        settings, server, bounds = self._settings, self._server, self._settings.limits
        self._services.limits = bounds
        self._services.max_connections = bounds.connections
        self._services.max_pending_activation_seconds = bounds.activation_s
        # Without a bound of asyncua's, which closes the connection: we stop reading instead.
        self._services.max_pending_messages_per_connection = 0
        self._services.max_monitored_item_queue_size = bounds.events_waiting
        self._services.max_unacked_messages_per_subscription = bounds.unacknowledged
        self._services.max_session_timeout_ms = bounds.session_s * 1e3
        self._services.min_session_timeout_ms = min(5e3, bounds.session_s * 1e3)
        self._services.max_subscriptions = bounds.sessions * bounds.subscriptions
        server.limits = TransportLimits(
            max_recv_buffer=bounds.chunk_bytes,
            max_send_buffer=bounds.chunk_bytes,
            max_chunk_count=bounds.message_bytes // 8_192,
            max_message_size=bounds.message_bytes,
        )
        identity = self._admission.identity
        server.application_type = ua.ApplicationType.Server
        server.product_uri, server.name = _PRODUCT, f"VialSight {settings.name}"
        server.manufacturer_name = "VialSight"
        await server.init()
        await server.set_application_uri(identity.uri)
        server.set_endpoint(f"opc.tcp://{_bracketed(settings.host)}:{settings.port}/")
        server.socket_address = (settings.host, settings.port)
        self._services.certificate = identity.certificate
        self._services.private_key = identity.key
        self._set_policies()
        await self._describe()

    def _set_policies(self) -> None:
        policies = [ua.SecurityPolicyType.Basic256Sha256_SignAndEncrypt]
        if self._settings.unencrypted:
            policies.append(ua.SecurityPolicyType.NoSecurity)
        self._server.set_security_policy(policies)
        tokens: list[type] = [ua.UserNameIdentityToken]
        if self._settings.anonymous_read:
            tokens.append(ua.AnonymousIdentityToken)
        self._server.set_identity_tokens(tokens)

    async def _describe(self) -> None:
        """Say in the standard nodes what this server is and what it bears."""
        version, bounds = vialsight.__version__, self._settings.limits
        status = await self._server.get_node(node_id(ua.ObjectIds.Server_ServerStatus)).read_value()
        await self._server.set_build_info(
            _PRODUCT, "VialSight", self._server.name, version, version, status.BuildInfo.BuildDate
        )
        prefix = "Server_ServerCapabilities_OperationLimits_MaxNodesPer"
        most = {
            "Read": bounds.operations,
            "Browse": bounds.browses,
            "TranslateBrowsePathsToNodeIds": bounds.operations,
            "MethodCall": bounds.calls,
        }
        for name, value in most.items():
            node = self._server.get_node(node_id(getattr(ua.ObjectIds, prefix + name)))
            await node.write_value(value, ua.VariantType.UInt32)

    async def _assemble(self, instance: Instance) -> Publisher:
        view, events, variables = View(), Events(instance), Variables(instance)
        await variables.make()

        async def refused(text: str) -> None:
            await variables.refusal(text)
            await events.refused(text)

        methods = Methods(instance, refused)
        management = ManagementMethods(instance, view, self._archive, self._settings.limits)
        await MachineMethods(instance, view, self._archive, self._recorder).bind(methods)
        await management.bind(methods)
        self._services.conditions = Conditions(events, self._recorder, refused).call
        return Publisher(
            instance=instance,
            view=view,
            variables=variables,
            events=events,
            management=management,
            watcher=self._watcher,
            archive=self._archive,
        )

    async def _leave(self, account: Account) -> None:
        if account.token is not None:
            await self._recorder.logout(account.token)

    async def _keep_sessions(self) -> None:
        while True:
            await asyncio.sleep(self._settings.whoami_s)
            for session in self._services.external_sessions():
                if session.account.token is not None and not await self._known(session.account):
                    _logger.warning("session of %s ended by the recorder", session.account.name)
                    await session.close_session()

    async def _known(self, account: Account) -> bool:
        try:
            answer = await self._recorder.ask(account.token, "whoami")
        except Refused:
            return False
        except RecorderUnavailable:
            return not account.expired  # nobody can say no now, and nothing can be done either
        return str(answer.get("role")) == account.station_role and not account.expired

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
