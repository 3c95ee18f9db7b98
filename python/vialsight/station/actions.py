"""What can be asked of the recorder: who may, what is recorded of it, and what is answered."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from vialsight.station.accounts import AUDITOR, ENGINEER, OPERATOR, ROLES, Account, Accounts
from vialsight.station.alarms import Alarms
from vialsight.station.batches import Batches, Command
from vialsight.station.record.store import RecordStore
from vialsight.station.refusal import BUSY, DENIED, INVALID, RateLimit, Refusal
from vialsight.station.sessions import Session, Sessions

ORIGINS: Final = ("web", "opcua", "cli")
_LONGEST: Final = 512
_WORKERS: Final = (OPERATOR, ENGINEER)
_BOOTSTRAP: Final = "cli"
# What a user may do whose first password is still to be changed.
_BEFORE_CHANGE: Final = ("change_password", "whoami", "logout")
# Keys of requests that are never repeated in the record.
_SECRET: Final = frozenset({"token", "password", "old", "new"})


@dataclass(frozen=True)
class Request:
    """A request, and who sent it; `account` is None where nobody need be logged in."""

    fields: dict[str, Any]
    origin: str
    session: Session | None
    account: Account | None

    @property
    def who(self) -> Account:
        """The account; actions that need one are not reached without."""
        if self.account is None:
            raise Refusal(DENIED, "expected a session that is open; log in")
        return self.account

    def text(self, name: str, *, default: str | None = None, longest: int = _LONGEST) -> str:
        """Return a text of the request. Raises Refusal when it is none, or too long."""
        value = self.fields.get(name, default)
        if not isinstance(value, str) or len(value) > longest or not _is_unicode(value):
            raise Refusal(INVALID, f"{name}: expected a text of at most {longest} characters")
        return value

    def number(self, name: str) -> int:
        """Return a whole number of the request."""
        value = self.fields.get(name)
        if type(value) is not int or not 0 <= value < 2**62:
            raise Refusal(INVALID, f"{name}: expected a whole number, got {str(value)[:80]!r}")
        return value


@dataclass(frozen=True)
class Deferred:
    """The answer comes with the inspector's word on this command."""

    command: Command


Answer = dict[str, Any]
Handler = Callable[[Request], "Answer | Deferred"]


@dataclass(frozen=True)
class Action:
    """An action: the roles that may, None: anyone; and whether it changes something."""

    handler: Handler
    roles: tuple[str, ...] | None
    changes: bool = True


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
        self._store, self._batches, self._alarms = store, batches, alarms
        self._send, self._is_reachable, self._now_s = send, is_reachable, now_s
        self.accounts = Accounts(store)
        self.sessions = Sessions(store, self.accounts)
        self._logins = RateLimit(burst=10, per_second=0.5)
        self._passwords = RateLimit(burst=30, per_second=5.0)
        self._strangers = RateLimit(burst=20, per_second=0.5)
        self._unrecorded = 0
        self._table = self._actions()

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
        if is_first and not self.accounts.has_engineer():
            return None, None
        passive = fields.get("passive") is True
        session, account = self.sessions.of_token(token, passive=passive)
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

    def _record_refusal(
        self, name: str, fields: dict[str, Any], origin: str, account: Account | None,
        refusal: Refusal,
    ) -> None:  # fmt: skip
        if account is None and not self._strangers.allows(origin, self._now_s()):
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

    def _actions(self) -> dict[str, Action]:
        engineer, everyone = (ENGINEER,), ROLES
        return {
            "login": Action(self._login, None),
            "logout": Action(self._logout, everyone),
            "whoami": Action(self._whoami, everyone, changes=False),
            "change_password": Action(self._change_password, everyone),
            "users": Action(self._users, (ENGINEER, AUDITOR), changes=False),
            "add_user": Action(self._add_user, engineer),
            "set_role": Action(self._set_role, engineer),
            "disable_user": Action(self._disable_user, engineer),
            "reset_password": Action(self._reset_password, engineer),
            "batch_status": Action(self._batch_status, None, changes=False),
            "challenge_status": Action(self._challenge_status, None, changes=False),
            "open_batch": Action(self._open_batch, _WORKERS),
            "run_challenge": Action(self._run_challenge, _WORKERS),
            "start_batch": Action(self._start_batch, _WORKERS),
            "halt_batch": Action(self._halt_batch, _WORKERS),
            "resume_batch": Action(self._resume_batch, _WORKERS),
            "close_batch": Action(self._close_batch, _WORKERS),
            "command": Action(self._command, _WORKERS),
            "acknowledge_alarm": Action(self._acknowledge_alarm, _WORKERS),
            "note": Action(self._note, everyone),
            "review": Action(self._review, (AUDITOR,)),
        }

    def _login(self, request: Request) -> Answer:
        user = request.text("user", longest=128)
        password = request.text("password")
        address = request.text("address", default="", longest=64)
        now = self._now_s()
        if not self._logins.allows(f"{request.origin} {address}", now):
            raise Refusal(BUSY, "too many attempts; wait a few seconds")
        self._limit_passwords(now)
        account = self.accounts.check_password(user, password, request.origin, "login")
        token, session = self.sessions.begin(account, request.origin, address)
        return {
            "ok": True, "token": token, "user": account.user, "role": account.role,
            "full_name": account.full_name, "expires_unix": session.expires_ns // 10**9,
            "must_change": account.must_change,
        }  # fmt: skip

    def _logout(self, request: Request) -> Answer:
        if request.session is not None:
            self.sessions.end(request.session)
        return {"ok": True}

    def _whoami(self, request: Request) -> Answer:
        who = request.who
        expires = request.session.expires_ns // 10**9 if request.session else 0
        return {
            "ok": True, "user": who.user, "role": who.role, "full_name": who.full_name,
            "must_change": who.must_change, "expires_unix": expires,
        }  # fmt: skip

    def _change_password(self, request: Request) -> Answer:
        self._limit_passwords(self._now_s())
        old, new = request.text("old"), request.text("new")
        self.accounts.change_password(request.who.user, old, new, request.origin)
        with self._store.transaction():
            self.sessions.end_all(request.who.user, but=request.session)
        return {"ok": True}

    def _users(self, request: Request) -> Answer:
        return {"ok": True, "users": [account.shown() for account in self.accounts.all()]}

    def _add_user(self, request: Request) -> Answer:
        actor = "local" if request.account is None else request.account.user
        user, role = request.text("user", longest=128), request.text("role", longest=32)
        name = request.text("full_name", default="", longest=256)
        password = self.accounts.add(actor, user, role, name, request.origin)
        return {"ok": True, "password": password}

    def _set_role(self, request: Request) -> Answer:
        user, role = request.text("user", longest=128), request.text("role", longest=32)
        why = request.text("why", default="")
        self.accounts.set_role(request.who.user, user, role, request.origin, why)
        return {"ok": True}

    def _disable_user(self, request: Request) -> Answer:
        user, why = request.text("user", longest=128), request.text("why", default="")
        with self._store.transaction():
            self.accounts.disable(request.who.user, user, request.origin, why)
            self.sessions.end_all(user)
        return {"ok": True}

    def _reset_password(self, request: Request) -> Answer:
        user, why = request.text("user", longest=128), request.text("why", default="")
        with self._store.transaction():
            password = self.accounts.reset_password(request.who.user, user, request.origin, why)
            self.sessions.end_all(user)
        return {"ok": True, "password": password}

    def _batch_status(self, request: Request) -> Answer:
        return {"ok": True, **self._batches.status(), "reachable": self._is_reachable()}

    def _challenge_status(self, request: Request) -> Answer:
        state = self._batches.state
        pending = state["pending"] or {}
        return {
            "ok": True, "running": pending.get("action") == "run_challenge",
            "last": state["challenge"],
        }  # fmt: skip

    def _open_batch(self, request: Request) -> Answer:
        batch = self._batches.open(
            request.who, request.origin,
            request.text("product", longest=128), request.text("number", longest=128),
            request.text("comment", default=""),
        )  # fmt: skip
        return {"ok": True, "batch": batch}

    def _run_challenge(self, request: Request) -> Answer:
        self._require_reachable()
        self._tell(self._batches.run_challenge(request.who, request.origin))
        return {"ok": True, "running": True}

    def _start_batch(self, request: Request) -> Deferred:
        self._require_reachable()
        return self._tell(self._batches.start(request.who, request.origin))

    def _halt_batch(self, request: Request) -> Deferred:
        self._require_reachable()
        return self._tell(self._batches.halt(request.who, request.origin, request.text("why")))

    def _resume_batch(self, request: Request) -> Deferred:
        self._require_reachable()
        return self._tell(self._batches.resume(request.who, request.origin, request.text("why")))

    def _close_batch(self, request: Request) -> Answer | Deferred:
        meaning, why = request.text("meaning"), request.text("why", default="")
        signer = self._signed(request, "close_batch")
        reachable = self._is_reachable()
        with self._store.transaction():
            command = self._batches.close(signer, request.origin, meaning, why, reachable)
            if not reachable:
                return self._batches.close_unreachable(command.command_id)
        return self._tell(command)

    def _command(self, request: Request) -> Deferred:
        name, why = request.text("command", longest=32), request.text("why", default="")
        if name not in ("halt", "shutdown"):
            raise Refusal(INVALID, f"command: expected halt or shutdown, got {name!r}")
        if name == "shutdown" and request.who.role != ENGINEER:
            raise Refusal(DENIED, "shutdown: expected the role engineer")
        self._require_reachable()
        return self._tell(self._batches.command(request.who, request.origin, name, why))

    def _acknowledge_alarm(self, request: Request) -> Answer:
        why = request.text("why", default="")
        self._alarms.acknowledge(request.who.user, request.number("id"), why)
        return {"ok": True}

    def _note(self, request: Request) -> Answer:
        text = request.text("text", longest=4000)
        batch = self._batches.state["id"]
        body = {"text": text, "batch": batch, "origin": request.origin}
        return {"ok": True, "entry": self._store.append("note", request.who.user, body).id}

    def _review(self, request: Request) -> Answer:
        up_to, meaning = request.number("up_to"), request.text("meaning")
        signer = self._signed(request, "review")
        row = self._store.connection.execute(
            "SELECT hash FROM entry WHERE id = ?", (up_to,)
        ).fetchone()
        if row is None:
            raise Refusal(INVALID, f"up_to: expected the number of an entry, got {up_to}")
        signature = {"user": signer.user, "full_name": signer.full_name, "role": signer.role}
        body = {
            "up_to": up_to, "hash": row[0].hex(), "origin": request.origin,
            "signature": {**signature, "meaning": meaning},
        }  # fmt: skip
        return {"ok": True, "entry": self._store.append("review", signer.user, body).id}

    def _signed(self, request: Request, purpose: str) -> Account:
        """Return who signs: the session's user, who gives the password again."""
        self._limit_passwords(self._now_s())
        password = request.text("password")
        return self.accounts.check_password(request.who.user, password, request.origin, purpose)

    def _limit_passwords(self, now_s: float) -> None:
        if not self._passwords.allows("all", now_s):
            raise Refusal(BUSY, "too many attempts; wait a few seconds")

    def _require_reachable(self) -> None:
        if not self._is_reachable():
            raise Refusal(BUSY, "the inspector is not reachable; check the station")

    def _tell(self, command: Command) -> Deferred:
        # A command that could not be sent is sent when the inspector is there again.
        self._send(command.packet)
        return Deferred(command)


def _refused(refusal: Refusal) -> Answer:
    return {"ok": False, "code": refusal.code, "error": refusal.message}


def _is_unicode(text: str) -> bool:
    """Return whether a text can be written as UTF-8: JSON's escapes allow halves of characters."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in text


def _is_plain(key: str, value: Any) -> bool:
    whole = not isinstance(value, int) or abs(value) < 2**63
    return (
        len(key) <= 32
        and _is_unicode(key)
        and whole
        and (not isinstance(value, str) or _is_unicode(value))
    )
