"""Carries out what the recorder is asked for, and records what it refuses."""

from collections.abc import Callable
from typing import Any, Final

from vialsight.station.account_actions import AccountActions
from vialsight.station.accounts import Account
from vialsight.station.alarms import Alarms
from vialsight.station.batch_actions import BatchActions
from vialsight.station.batches import Batches
from vialsight.station.record.store import RecordStore
from vialsight.station.refusal import BUSY, DENIED, INVALID, RateLimit, Refusal
from vialsight.station.requests import Action, Answer, Deferred, Request, is_unicode
from vialsight.station.sessions import Session

ORIGINS: Final = ("web", "opcua", "cli")
_BOOTSTRAP: Final = "cli"
_HALTING: Final = ("halt_batch", "command")
# What a user may do whose first password is still to be changed.
_BEFORE_CHANGE: Final = ("change_password", "whoami", "logout")
# Keys of requests that are never repeated in the record.
_SECRET: Final = frozenset({"token", "password", "old", "new"})


class Actions:
    """Carries actions out. Whatever changes something is an entry first, also what is refused.

    `send` hands a command to the inspector and returns whether it could; `is_reachable` says
    whether it would; `now_s` is a monotonic clock.
    """

    def __init__(
        self,
        store: RecordStore,
        batches: Batches,
        alarms: Alarms,
        *,
        send: Callable[[dict[str, Any]], bool],
        is_reachable: Callable[[], bool],
        now_s: Callable[[], float],
    ) -> None:
        self._store, self._now_s = store, now_s
        self._accounts = AccountActions(store, now_s)
        # Whoever it is: nobody may fill the disk with what is refused, or with notes.
        self._refusals = RateLimit(burst=20, per_second=0.5)
        self._changes = RateLimit(burst=100, per_second=1.0)
        self._unrecorded = 0
        batch_actions = BatchActions(
            store, batches, alarms, self._accounts, send=send, is_reachable=is_reachable
        )
        self._table = {**self._accounts.table(), **batch_actions.table()}

    def handle(self, fields: dict[str, Any]) -> Answer | Deferred:
        """Carry out a request and return its answer. Raises only when nothing can be recorded."""
        name = fields.get("action")
        origin = fields.get("origin", "cli")
        action = self._table.get(name) if isinstance(name, str) else None
        if action is None or origin not in ORIGINS:
            return _refused(Refusal(INVALID, "expected an action and an origin that there are"))
        account: Account | None = None
        try:
            session, account = self._who(action, str(name), fields, str(origin))
            self._check_right(action, str(name), account)
            self._check_rate(action, str(name), account)
            request = Request(fields, str(origin), session, account)
            return action.handler(request)
        except Refusal as refusal:
            if action.changes and name != "login":
                self._record_refusal(str(name), fields, str(origin), account, refusal)
            return _refused(refusal)

    def _who(
        self, action: Action, name: str, fields: dict[str, Any], origin: str
    ) -> tuple[Session | None, Account | None]:
        if action.roles is None:
            return None, None
        token = fields.get("token")
        is_first = name == "add_user" and token is None and origin == _BOOTSTRAP
        if is_first and not self._accounts.accounts.has_engineer():
            return None, None
        passive = fields.get("passive") is True
        session, account = self._accounts.sessions.of_token(token, passive=passive)
        return session, account

    @staticmethod
    def _check_right(action: Action, name: str, account: Account | None) -> None:
        if account is None or action.roles is None:
            return
        if account.must_change and name not in _BEFORE_CHANGE:
            raise Refusal(DENIED, "change your first password before anything else")
        if account.role not in action.roles:
            roles = " or ".join(action.roles)
            raise Refusal(DENIED, f"expected the role {roles}, got {account.role}")

    def _check_rate(self, action: Action, name: str, account: Account | None) -> None:
        """Refuse who changes things without end; what halts the line is counted by itself."""
        if account is None or not action.changes:
            return
        key = f"{account.user} {name if name in _HALTING else ''}"
        if not self._changes.allows(key, self._now_s()):
            raise Refusal(BUSY, "too many requests; wait a few seconds")

    def _record_refusal(
        self, name: str, fields: dict[str, Any], origin: str, account: Account | None,
        refusal: Refusal,
    ) -> None:  # fmt: skip
        who = f"stranger {origin}" if account is None else f"account {account.user}"
        if not self._refusals.allows(who, self._now_s()):
            self._unrecorded += 1
            return
        asked = {
            key: value[:80] if isinstance(value, str) else value
            for key, value in fields.items()
            if key not in _SECRET
            and isinstance(value, str | int)
            and key not in ("action", "origin")
        }
        body: dict[str, Any] = {
            "action": name, "origin": origin, "code": refusal.code, "why": refusal.message,
            "asked": {k: v for k, v in list(asked.items())[:16] if _is_plain(k, v)},
        }  # fmt: skip
        if self._unrecorded:
            body["unrecorded_before"] = self._unrecorded
        self._store.append("refused", "unknown" if account is None else account.user, body)
        self._unrecorded = 0


def _refused(refusal: Refusal) -> Answer:
    return {"ok": False, "code": refusal.code, "error": refusal.message}


def _is_plain(key: str, value: Any) -> bool:
    whole = not isinstance(value, int) or abs(value) < 2**63
    return (
        len(key) <= 32
        and is_unicode(key)
        and whole
        and (not isinstance(value, str) or is_unicode(value))
    )
