"""What people ask about accounts: log in and out, passwords, and what an engineer does."""

from collections.abc import Callable

from vialsight.station.accounts import AUDITOR, ENGINEER, ROLES, Account, Accounts
from vialsight.station.record.store import RecordStore
from vialsight.station.refusal import BUSY, RateLimit, Refusal
from vialsight.station.requests import Action, Answer, Request
from vialsight.station.sessions import Sessions


class AccountActions:
    """Actions on the accounts and sessions of a record; `now_s` is a monotonic clock."""

    def __init__(self, store: RecordStore, now_s: Callable[[], float]) -> None:
        self._store, self._now_s = store, now_s
        self.accounts = Accounts(store)
        self.sessions = Sessions(store, self.accounts)
        self._logins = RateLimit(burst=10, per_second=0.5)
        self._passwords = RateLimit(burst=30, per_second=5.0)

    def table(self) -> dict[str, Action]:
        """Return the actions by name."""
        engineer = (ENGINEER,)
        return {
            "login": Action(self._login, None),
            "logout": Action(self._logout, ROLES),
            "whoami": Action(self._whoami, ROLES, changes=False),
            "change_password": Action(self._change_password, ROLES),
            "users": Action(self._users, (ENGINEER, AUDITOR), changes=False),
            "add_user": Action(self._add_user, engineer),
            "set_role": Action(self._set_role, engineer),
            "disable_user": Action(self._disable_user, engineer),
            "reset_password": Action(self._reset_password, engineer),
        }

    def signed(self, request: Request, purpose: str) -> Account:
        """Return who signs: the session's user, who gives the password again."""
        self._limit_passwords(self._now_s())
        password = request.text("password")
        return self.accounts.check_password(request.who.user, password, request.origin, purpose)

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

    def _limit_passwords(self, now_s: float) -> None:
        if not self._passwords.allows("all", now_s):
            raise Refusal(BUSY, "too many attempts; wait a few seconds")
