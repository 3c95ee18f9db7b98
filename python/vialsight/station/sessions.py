"""Sessions: who is logged in. They lie in the record's file, so that they outlive web and recorder.

Of a token only its SHA-256 is kept: who reads the file cannot log in with it.
"""

import hashlib
import secrets
from dataclasses import dataclass, replace
from typing import Any, Final

from vialsight.station.accounts import Account, Accounts
from vialsight.station.record import schema
from vialsight.station.record.store import RecordStore
from vialsight.station.refusal import DENIED, Refusal

LONGEST_NS: Final = 12 * 3600 * 10**9
IDLE_NS: Final = 30 * 60 * 10**9
# The time of use is written when it is this old: a page asks often.
_WRITE_NS: Final = 60 * 10**9
_COLUMNS: Final = "token_sha256, user, origin, created_ns, expires_ns, used_ns"


@dataclass(frozen=True)
class Session:
    """A row of the table: times are Unix, ns."""

    token_sha256: str
    user: str
    origin: str
    created_ns: int
    expires_ns: int
    used_ns: int


class Sessions:
    """The sessions in a record; each begins and ends with an entry."""

    def __init__(self, store: RecordStore, accounts: Accounts) -> None:
        self._store, self._accounts = store, accounts

    def begin(self, account: Account, origin: str, address: str) -> tuple[str, Session]:
        """Begin a session of an account whose password was right; return its token as well."""
        token, now = secrets.token_urlsafe(32), self._store.now_ns()
        session = Session(_sha256(token), account.user, origin, now, now + LONGEST_NS, now)
        with self._store.transaction():
            self._store.append(
                "login",
                account.user,
                {"origin": origin, "address": address[:64], "session": session.token_sha256[:16]},
            )
            self._store.connection.execute(
                "DELETE FROM session WHERE expires_ns < ? OR used_ns < ?", (now, now - IDLE_NS)
            )
            self._write(session)
        return token, session

    def of_token(self, token: Any, *, passive: bool = False) -> tuple[Session, Account]:
        """Return the session of a token and whose it is; counts as use, unless `passive`.

        Raises Refusal when there is none, or it has ended.
        """
        session = self._find(token) if isinstance(token, str) else None
        account = None if session is None else self._accounts.get(session.user)
        now = self._store.now_ns()
        if session is None or account is None or account.disabled or _ended(session, now):
            raise Refusal(DENIED, "expected a session that is open; log in")
        if not passive and now - session.used_ns > _WRITE_NS:
            with self._store.transaction():
                self._write(replace(session, used_ns=now))
        return session, account

    def end(self, session: Session) -> None:
        """End a session."""
        with self._store.transaction():
            self._store.append("logout", session.user, {"session": session.token_sha256[:16]})
            self._delete("token_sha256", session.token_sha256)

    def end_all(self, user: str, *, but: Session | None = None) -> None:
        """End a user's sessions, but one, when the account changes; part of a transaction."""
        self._delete("user", user)
        if but is not None:
            self._write(but)

    def _find(self, token: str) -> Session | None:
        row = self._store.connection.execute(
            f"SELECT {_COLUMNS} FROM session WHERE token_sha256 = ?", (_sha256(token),)
        ).fetchone()
        return None if row is None else Session(*row)

    def _write(self, session: Session) -> None:
        values = (
            session.token_sha256, session.user, session.origin, session.created_ns,
            session.expires_ns, session.used_ns,
        )  # fmt: skip
        self._store.connection.execute(
            "INSERT OR REPLACE INTO session VALUES(?, ?, ?, ?, ?, ?, ?)",
            (*values, schema.row_digest(*values)),
        )

    def _delete(self, column: str, value: str) -> None:
        self._store.connection.execute(f"DELETE FROM session WHERE {column} = ?", (value,))


def _ended(session: Session, now_ns: int) -> bool:
    return now_ns >= session.expires_ns or now_ns - session.used_ns > IDLE_NS + _WRITE_NS


def _sha256(token: str) -> str:
    return hashlib.sha256(token.encode(errors="replace")).hexdigest()
