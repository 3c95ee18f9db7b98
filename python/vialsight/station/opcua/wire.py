"""From bytes to services: what a connection may send before anybody believes it.

A connection lives under a few rules. A header that is no OPC UA, or claims more than a chunk may
have, ends it, and so does whatever cannot be decoded. Without encryption there is no session,
unless the configuration says so; with it, only for certificates that are trusted. The password of
a session is checked by the recorder before asyncua activates the session, and without holding up
the others.
"""

import logging
import time
from typing import Any, Final

from asyncua import Server, ua
from asyncua.common.connection import TransportLimits
from asyncua.common.utils import Buffer, ServiceError
from asyncua.server.binary_server_asyncio import BinaryServer, OPCUAProtocol
from asyncua.server.uaprocessor import UaProcessor
from asyncua.ua.ua_binary import header_from_binary, struct_from_binary, uatcp_to_binary

from vialsight.station.opcua.admission import Admission
from vialsight.station.opcua.limits import Limits
from vialsight.station.opcua.node_ids import node_id
from vialsight.station.opcua.sessions import StationServer, StationSession

_logger = logging.getLogger(__name__)
_HEADER_BYTES: Final = 8
# A header of any kind and something behind it.
_SMALLEST_CHUNK: Final = 16
# OPC 10000-6, 7.1.2.3.
_SMALLEST_BUFFER: Final = 8_192
_LONGEST_URL: Final = 4_096
_KINDS: Final = (b"HEL", b"OPN", b"MSG", b"CLO")
# Of the chunks a client may send: to be continued, last, given up.
_CHUNKS: Final = (b"C", b"F", b"A")
_DISCOVERY: Final = {
    node_id(ua.ObjectIds.FindServersRequest_Encoding_DefaultBinary),
    node_id(ua.ObjectIds.GetEndpointsRequest_Encoding_DefaultBinary),
    node_id(ua.ObjectIds.CloseSecureChannelRequest_Encoding_DefaultBinary),
}
_CREATE: Final = node_id(ua.ObjectIds.CreateSessionRequest_Encoding_DefaultBinary)
_ACTIVATE: Final = node_id(ua.ObjectIds.ActivateSessionRequest_Encoding_DefaultBinary)


class Processor(UaProcessor):
    """Answers the requests of one connection."""

    def __init__(
        self, server: StationServer, transport: Any, limits: TransportLimits, admission: Admission
    ) -> None:
        super().__init__(server, transport, limits)
        self._server, self._admission = server, admission
        self._greeted = False

    async def process(self, header: Any, body: Buffer) -> bool:
        """Answer one message; False ends the connection."""
        if self._transport.get_write_buffer_size() > self._server.limits.unsent_bytes:
            _logger.warning("%s takes no answers: closed", self.name)
            return False
        if header.MessageType == ua.MessageType.Hello:
            if self._greeted or not _fits(struct_from_binary(ua.Hello, body.copy())):
                self._transport.write(_error(ua.StatusCodes.BadTcpMessageTypeInvalid))
                return False
            self._greeted = True
        elif not self._greeted:
            return False
        first = header.MessageType == ua.MessageType.SecureOpen and not self._connection.is_open()
        going_on = await super().process(header, body)  # type: ignore[no-untyped-call]
        if first and going_on and (objection := self._objection()):
            _logger.warning("%s: channel refused: %s", self.name, objection)
            self._transport.write(_error(ua.StatusCodes.BadSecurityChecksFailed))
            return False
        return bool(going_on)

    def _objection(self) -> str | None:
        policy = self._connection.security_policy
        if policy.Mode == ua.MessageSecurityMode.None_:
            return None
        return self._admission.clients.objection(policy.peer_certificate)

    async def _process_message(self, typeid: Any, requesthdr: Any, seqhdr: Any, body: Any) -> Any:
        encrypted = self._connection.security_policy.Mode != ua.MessageSecurityMode.None_
        if not encrypted and not self._admission.unencrypted and typeid not in _DISCOVERY:
            raise ServiceError(ua.StatusCodes.BadSecurityPolicyRejected)
        if typeid == _ACTIVATE:
            return await self._activate(typeid, requesthdr, seqhdr, body)
        if typeid == _CREATE:
            self._may_create(struct_from_binary(ua.CreateSessionParameters, body.copy()))
            if not await self._server.make_room():
                raise ServiceError(ua.StatusCodes.BadTooManySessions)
        elif typeid not in _DISCOVERY and isinstance(self.session, StationSession):
            _check_token(self.session, requesthdr)
        return await self._serve(typeid, requesthdr, seqhdr, body)

    async def _serve(self, *request: Any) -> Any:
        return await super()._process_message(*request)  # type: ignore[no-untyped-call]

    def _may_create(self, asked: ua.CreateSessionParameters) -> None:
        if self.session is not None and self.session.state.name != "Closed":
            raise ServiceError(ua.StatusCodes.BadTooManySessions)
        policy = self._connection.security_policy
        encrypted = policy.Mode != ua.MessageSecurityMode.None_
        if encrypted and asked.ClientCertificate != policy.peer_certificate:
            raise ServiceError(ua.StatusCodes.BadCertificateInvalid)

    async def _activate(self, typeid: Any, requesthdr: Any, seqhdr: Any, body: Any) -> Any:
        """Let the recorder check who it is, then let asyncua activate the session."""
        asked = struct_from_binary(ua.ActivateSessionParameters, body.copy())
        session = self.session or self._server.lookup_external_session(
            requesthdr.AuthenticationToken
        )
        certificate = self._connection.security_policy.peer_certificate
        if not isinstance(session, StationSession):
            raise ServiceError(ua.StatusCodes.BadSessionIdInvalid)
        _check_token(session, requesthdr)
        if self.session is None and session.certificate != certificate:
            raise ServiceError(ua.StatusCodes.BadSessionIdInvalid)
        address = str(self.name[0]) if self.name else ""
        before = session.account
        admitted = await self._admission.account(session, asked.UserIdentityToken, address)
        session.admitted, session.certificate, session.left_at = admitted, certificate, None
        try:
            return await self._serve(typeid, requesthdr, seqhdr, body)
        finally:
            # Whoever the session does not belong to any more, or did not come to belong to.
            session.admitted = None
            for account in (before, admitted):
                if account is not session.account:
                    self._server.left(account)

    async def close(self) -> None:
        """Clean up behind a connection that is gone; its session may come back on another."""
        if isinstance(self.session, StationSession):
            self.session.left_at = time.monotonic()
        await super().close()  # type: ignore[no-untyped-call]


class Protocol(OPCUAProtocol):
    """Bytes of one connection."""

    admission: Admission

    def connection_made(self, transport: Any) -> None:
        """Begin, unless there are enough connections, of all or of the same address."""
        address = transport.get_extra_info("peername")[0]
        same = sum(one.peer_name[0] == address for one in self.clients)
        if same >= self._limits.connections_of_one:
            transport.close()
            return
        super().connection_made(transport)
        if self.transport is not None:
            assert isinstance(self.iserver, StationServer)
            self.processor = Processor(self.iserver, self.transport, self.limits, self.admission)
            self.processor.set_policies(self.policies)  # type: ignore[no-untyped-call]

    def data_received(self, data: bytes) -> None:
        """Collect chunks; the first byte that is no OPC UA ends the connection.

        Whoever sends faster than answers come is not read from until they do. asyncua's own way
        keeps a copy of all that follows with every chunk.
        """
        if self.transport is None or self.transport.is_closing():
            return
        content, at = self._buffer + data, 0
        while size := _size_of_chunk(content, at, self.limits.max_recv_buffer):
            if size < 0:
                _logger.warning("%s sends no OPC UA: closed", self.peer_name)
                self.transport.write(_error(ua.StatusCodes.BadTcpMessageTypeInvalid))
                self.transport.close()
                return
            if at + size > len(content):
                break
            chunk = Buffer(content[at : at + size])
            self.messages.put_nowait((header_from_binary(chunk), chunk))
            at += size
        self._buffer = content[at:]
        if self.messages.qsize() > self._limits.waiting_requests:
            self.transport.pause_reading()

    async def _process_one_msg(self, header: Any, buf: Buffer) -> bool:
        try:
            going_on = await super()._process_one_msg(header, buf)
        except Exception as error:
            # asyncua would log a traceback and go on with the next message of a broken client.
            _logger.warning("%s: %s: closed", self.peer_name, type(error).__name__)
            going_on = False
        if self.transport is not None:
            if not going_on:
                self.transport.close()
            elif self.messages.qsize() <= self._limits.waiting_requests // 2:
                self.transport.resume_reading()
        return going_on

    @property
    def _limits(self) -> Limits:
        assert isinstance(self.iserver, StationServer)
        return self.iserver.limits


class StationBinaryServer(BinaryServer):
    """Listens; connections are `Protocol`s."""

    admission: Admission

    def _make_protocol(self) -> OPCUAProtocol:
        protocol = Protocol(
            self.iserver, self._policies, self.clients, self.closing_tasks, self.limits
        )
        protocol.admission = self.admission
        return protocol


class ListeningServer(Server):
    """asyncua's server over our connections."""

    def __init__(self, iserver: StationServer, admission: Admission) -> None:
        super().__init__(iserver=iserver)
        self._admission = admission

    async def start(self) -> None:
        """Listen at the endpoint; port 0 takes a free one, see `port`."""
        await self._setup_server_nodes()
        await self.iserver.start()
        host, port = self._get_bind_socket_info()
        self.bserver = StationBinaryServer(
            self.iserver, host or "127.0.0.1", port or 0, self.limits
        )
        self.bserver.admission = self._admission
        self.bserver.set_policies(self._policies)
        try:
            await self.bserver.start()
        except OSError:
            await self.iserver.stop()
            raise

    @property
    def port(self) -> int:
        """The TCP port that clients connect to."""
        assert self.bserver is not None
        return self.bserver.port


def _fits(hello: ua.Hello) -> bool:
    """Whether the client takes chunks of the size that the specification asks for at least."""
    smallest = min(hello.ReceiveBufferSize, hello.SendBufferSize)
    return smallest >= _SMALLEST_BUFFER and len(hello.EndpointUrl or "") <= _LONGEST_URL


def _check_token(session: StationSession, requesthdr: Any) -> None:
    if requesthdr.AuthenticationToken != session.auth_token:
        raise ServiceError(ua.StatusCodes.BadSessionIdInvalid)


def _size_of_chunk(content: bytes, at: int, largest: int) -> int:
    """Return the bytes of the chunk that begins at `at`; 0: not known yet; -1: it is none."""
    kind, of = content[at : at + 3], content[at + 3 : at + 4]
    if not any(known.startswith(kind) for known in _KINDS) or of not in (b"", *_CHUNKS):
        return -1
    if len(content) - at < _HEADER_BYTES:
        return 0
    size = int.from_bytes(content[at + 4 : at + 8], "little")
    return size if _SMALLEST_CHUNK <= size <= largest else -1


def _error(code: int) -> bytes:
    message, kind = ua.ErrorMessage(ua.StatusCode(ua.UInt32(code))), ua.MessageType.Error
    return uatcp_to_binary(kind, message)  # type: ignore[arg-type]
