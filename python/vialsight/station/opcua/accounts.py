"""Who may do what: accounts of the station, checked by the recorder.

A session carries the token that the recorder gave for name and password, and every action carries
the token, so that the recorder, not this server, decides and records.
"""

import asyncio
import functools
import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from asyncua.crypto.permission_rules import User, UserRole

from vialsight.errors import VialSightError
from vialsight.station.client import RecorderClient, RecorderUnavailable
from vialsight.station.refusal import BUSY, RateLimit

_logger = logging.getLogger(__name__)
ACTING_ROLES: Final = ("operator", "engineer")
# A password is tried once in this time, whoever asks: guessing costs the guesser, not the line.
_AFTER_A_FAILURE_S: Final = 1.0
# Passwords are hashed slowly, and the recorder works when the inspector leaves it time.
# What starts or halts is answered when the inspector has done it, 12 s later at most.
_ANSWER_S: Final = 15.0
# So that who halts does not wait for who starts, or for a slow log-in.
_AT_ONCE: Final = 4


class LoginRefused(VialSightError):
    """Name and password open no session."""


class Refused(VialSightError):
    """The recorder says no; `code` is its word, the message its sentence."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass
class Account(User):
    """Whoever a session belongs to. Never asyncua's administrator: nobody changes nodes."""

    role: UserRole = UserRole.User
    station_role: str = "none"
    token: str | None = field(default=None, repr=False)
    expires_unix: float = 0.0

    @property
    def may_act(self) -> bool:
        """Whether methods that change something may be asked of the recorder."""
        return self.token is not None and self.station_role in ACTING_ROLES

    @property
    def expired(self) -> bool:
        """Whether the recorder no longer knows the token."""
        return self.token is not None and time.time() >= self.expires_unix


ANONYMOUS: Final = Account(name=None, station_role="anonymous")


class Recorder:
    """The recorder, asked without holding up the loop."""

    def __init__(self, socket_path: Path) -> None:
        self._path = socket_path
        self._threads = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="recorder")
        # A connection answers one question at a time, so each thread has its own.
        self._own = threading.local()
        self._clients: list[RecorderClient] = []
        self._logins = asyncio.Lock()
        self._acting = RateLimit(burst=10, per_second=1.0)

    def close(self) -> None:
        """End the connections."""
        self._threads.shutdown(wait=True, cancel_futures=True)
        for client in self._clients:
            client.close()

    async def login(self, user: str, password: str, address: str) -> Account:
        """Return the account of name and password.

        Raises:
            LoginRefused: wrong, locked, or the first password was not changed yet.
            RecorderUnavailable: the recorder does not answer, or hears too many attempts.
        """
        async with self._logins:
            try:
                answer = await self.ask(
                    None, "login", user=user, password=password, address=address
                )
            except Refused as refusal:
                await asyncio.sleep(_AFTER_A_FAILURE_S)
                if refusal.code == BUSY:
                    raise RecorderUnavailable(refusal.message) from refusal
                raise LoginRefused(refusal.message) from refusal
        if answer.get("must_change"):
            await self.logout(str(answer["token"]))
            raise LoginRefused(f"{user} must change the first password, at the operators' page")
        return Account(
            name=str(answer["user"]),
            station_role=str(answer["role"]),
            token=str(answer["token"]),
            expires_unix=float(answer["expires_unix"]),
        )

    async def logout(self, token: str) -> None:
        """End a session of the recorder; if it cannot be reached, the session ends by itself."""
        try:
            await self.ask(token, "logout")
        except (Refused, RecorderUnavailable) as error:
            _logger.info("logout: %s", error)

    async def act(self, token: str | None, action: str, **fields: Any) -> dict[str, Any]:
        """Ask for an action that is recorded, even if it is refused: not without bound.

        Raises:
            Refused: also `busy`: too often. Starting too often does not keep from halting.
            RecorderUnavailable: it does not answer.
        """
        if not self._acting.allows(f"{action} {token}", time.monotonic()):
            raise Refused(BUSY, "too many requests; wait a few seconds")
        return await self.ask(token, action, **fields)

    async def ask(self, token: str | None, action: str, **fields: Any) -> dict[str, Any]:
        """Ask for an action and return the answer.

        Raises:
            Refused: the recorder says no.
            RecorderUnavailable: it does not answer.
        """
        request = functools.partial(self._request, action, token=token, **fields)
        answer = await asyncio.get_running_loop().run_in_executor(self._threads, request)
        if not answer.get("ok"):
            raise Refused(str(answer.get("code", "invalid")), str(answer.get("error", "refused")))
        return answer

    def _request(self, action: str, **fields: Any) -> dict[str, Any]:
        client: RecorderClient | None = getattr(self._own, "client", None)
        if client is None:
            client = RecorderClient(self._path, timeout_s=_ANSWER_S, origin="opcua")
            self._own.client = client
            self._clients.append(client)
        return client.request(action, **fields)
