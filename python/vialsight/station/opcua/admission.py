"""Who gets in: identity tokens of sessions, checked by the recorder."""

import logging
from dataclasses import dataclass
from typing import Any, Final

from asyncua import ua
from asyncua.common.utils import ServiceError
from asyncua.crypto import uacrypto

from vialsight.station.client import RecorderUnavailable
from vialsight.station.opcua.accounts import ANONYMOUS, Account, LoginRefused, Recorder
from vialsight.station.opcua.certificates import Identity, TrustedClients
from vialsight.station.opcua.sessions import StationSession

_logger = logging.getLogger(__name__)
# asyncua says nothing of its types.
_decrypted: Final[Any] = uacrypto.decrypt_rsa_oaep
# RSA with PKCS #1 v1.5 would answer a patient stranger bit by bit.
_ENCRYPTION: Final = "http://www.w3.org/2001/04/xmlenc#rsa-oaep"
_LONGEST_TEXT: Final = 256


@dataclass(frozen=True)
class Admission:
    """Decides who a session belongs to."""

    recorder: Recorder
    identity: Identity
    clients: TrustedClients
    anonymous_read: bool
    unencrypted: bool

    async def account(self, session: StationSession, token: Any, address: str) -> Account:
        """Return the account of the identity token that came with a session's activation.

        Raises:
            ServiceError: with the status code for the client.
        """
        if isinstance(token, ua.UserNameIdentityToken):
            return await self._named(session, token, address)
        if _is_anonymous(token) and self.anonymous_read:
            return ANONYMOUS
        raise ServiceError(ua.StatusCodes.BadIdentityTokenRejected)

    async def _named(
        self, session: StationSession, token: ua.UserNameIdentityToken, address: str
    ) -> Account:
        user, password = str(token.UserName or ""), self._password(session, token)
        if not user or len(user) > _LONGEST_TEXT or len(password) > _LONGEST_TEXT:
            raise ServiceError(ua.StatusCodes.BadIdentityTokenInvalid)
        try:
            return await self.recorder.login(user, password, address)
        except LoginRefused as refusal:
            _logger.warning("%s from %s: %s", user, address, refusal)
            raise ServiceError(ua.StatusCodes.BadUserAccessDenied) from refusal
        except RecorderUnavailable as error:
            _logger.warning("%s from %s: %s", user, address, error)
            raise ServiceError(ua.StatusCodes.BadResourceUnavailable) from error

    def _password(self, session: StationSession, token: ua.UserNameIdentityToken) -> str:
        """Return the password, decrypted when it came so, and then only for this session."""
        secret = bytes(token.Password or b"")
        try:
            if not token.EncryptionAlgorithm:
                return secret.decode()
            if token.EncryptionAlgorithm != _ENCRYPTION:
                raise ValueError(token.EncryptionAlgorithm)
            plain = bytes(_decrypted(self.identity.key, secret))
            nonce = session.nonce or b""
            end = 4 + int.from_bytes(plain[:4], "little") - len(nonce)
            # The session's nonce stands behind it: what was overheard opens no other session.
            if end < 4 or not nonce or plain[end:] != nonce:
                raise ValueError("of another session")
            return bytes(plain[4:end]).decode()
        except (ValueError, UnicodeDecodeError) as error:
            raise ServiceError(ua.StatusCodes.BadIdentityTokenInvalid) from error


def _is_anonymous(token: Any) -> bool:
    """Whether nobody is named; a null token means the same (OPC 10000-4, 5.6.3)."""
    return (
        token is None
        or isinstance(token, ua.AnonymousIdentityToken)
        or (isinstance(token, ua.ExtensionObject) and token.TypeId == ua.NodeId())
    )
