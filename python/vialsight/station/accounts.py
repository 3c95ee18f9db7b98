"""Accounts of a station: roles, passwords, lockout. Every change of one is an entry first."""

import hashlib
import re
import secrets
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from vialsight.station.record import schema
from vialsight.station.record.store import RecordStore
from vialsight.station.refusal import DENIED, INVALID, Refusal

if TYPE_CHECKING:
    from argon2 import PasswordHasher

OPERATOR: Final = "operator"
ENGINEER: Final = "engineer"
AUDITOR: Final = "auditor"
ROLES: Final = (OPERATOR, ENGINEER, AUDITOR)

SHORTEST_PASSWORD: Final = 10
_LONGEST_PASSWORD: Final = 256
MOST_FAILURES: Final = 5
LOCKED_NS: Final = 15 * 60 * 10**9
_USER: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_LONGEST_NAME: Final = 128
# One sentence for every reason: it must not tell which accounts there are, or that one is locked.
WRONG: Final = "expected the user's name and password, got others, or the account is locked"
_COLUMNS: Final = (
    "user, full_name, role, password, must_change, disabled, failures, locked_until_ns"
)


@dataclass(frozen=True)
class Account:
    """A row of the table; `password` is what argon2 makes of it."""

    user: str
    full_name: str
    role: str
    password: str
    must_change: bool
    disabled: bool
    failures: int
    locked_until_ns: int

    def shown(self) -> dict[str, Any]:
        """Return what an engineer sees of it, and the trail says of it."""
        return {
            "user": self.user,
            "full_name": self.full_name,
            "role": self.role,
            "must_change": self.must_change,
            "disabled": self.disabled,
        }

    def traced(self) -> dict[str, Any]:
        """Return what an entry says of it: as shown, and a hash by which the password is known."""
        digest = hashlib.sha256(self.password.encode()).hexdigest()
        return {**self.shown(), "password_sha256": digest}


class Accounts:
    """The accounts in a record. Methods that change one append the entry in the same transaction.

    Raise Refusal for what is not possible.
    """

    def __init__(self, store: RecordStore) -> None:
        self._store = store

    def get(self, user: str) -> Account | None:
        """Return an account; None: there is none of this name."""
        row = self._store.connection.execute(
            f"SELECT {_COLUMNS} FROM account WHERE user = ?", (user,)
        ).fetchone()
        return None if row is None else account_of_row(row)

    def all(self) -> list[Account]:
        """Return all accounts by name."""
        rows = self._store.connection.execute(
            f"SELECT {_COLUMNS} FROM account ORDER BY user"
        ).fetchall()
        return [account_of_row(row) for row in rows]

    def has_engineer(self) -> bool:
        """Return whether anyone could administer accounts."""
        return any(a.role == ENGINEER and not a.disabled for a in self.all())

    def add(self, actor: str, user: str, role: str, full_name: str, origin: str) -> str:
        """Add an account; return its first password, which must be changed at the first login."""
        _check_user(user, full_name)
        _check_role(role)
        if self.get(user) is not None:
            raise Refusal(INVALID, f"expected a new name, got {user!r}, which exists")
        password = _first_password()
        account = Account(user, full_name, role, _hasher().hash(password), True, False, 0, 0)
        self._change(actor, "add_user", None, account, origin=origin)
        return password

    def set_role(self, actor: str, user: str, role: str, origin: str, why: str) -> None:
        """Give an account another role."""
        _check_role(role)
        old = self._existing(user)
        self._keep_an_engineer(old, role != ENGINEER)
        self._change(actor, "set_role", old, replace(old, role=role), origin=origin, why=why)

    def disable(self, actor: str, user: str, origin: str, why: str) -> None:
        """Disable an account; its name stays taken, so that the trail keeps its meaning."""
        old = self._existing(user)
        self._keep_an_engineer(old, True)
        self._change(
            actor, "disable_user", old, replace(old, disabled=True), origin=origin, why=why
        )

    def reset_password(self, actor: str, user: str, origin: str, why: str) -> str:
        """Give an account a new first password and unlock it; return the password."""
        old = self._existing(user)
        password = _first_password()
        new = replace(
            old, password=_hasher().hash(password), must_change=True, failures=0, locked_until_ns=0
        )
        self._change(actor, "reset_password", old, new, origin=origin, why=why)
        return password

    def change_password(self, user: str, old_password: str, new_password: str, origin: str) -> None:
        """Change a user's own password, who gives the old one again."""
        self.check_password(user, old_password, origin, "change_password")
        old = self._existing(user)
        check_new_password(user, new_password)
        if new_password == old_password:
            raise Refusal(INVALID, "expected another password, got the old one")
        new = replace(old, password=_hasher().hash(new_password), must_change=False)
        self._change(user, "change_password", old, new, origin=origin)

    def check_password(self, user: str, password: str, origin: str, purpose: str) -> Account:
        """Return the account of a right password; a wrong one is recorded and counted.

        Raises Refusal, the same for an unknown user, a disabled or locked account and a wrong
        password; so much time passes in each case, too.
        """
        account = self.get(user)
        if account is None or account.disabled:
            _verified(_nobody(), password)
            self._record_failure(
                user, origin, purpose, "unknown" if account is None else "disabled"
            )
            raise Refusal(DENIED, WRONG)
        now = self._store.now_ns()
        right = _verified(account.password, password)
        if now < account.locked_until_ns:
            self._record_failure(user, origin, purpose, "locked")
            raise Refusal(DENIED, WRONG)
        if not right:
            self._count_failure(account, origin, purpose)
            raise Refusal(DENIED, WRONG)
        if account.failures:
            with self._store.transaction():
                self._write(replace(account, failures=0, locked_until_ns=0))
        return account

    def _count_failure(self, account: Account, origin: str, purpose: str) -> None:
        failures = account.failures + 1
        locks = failures >= MOST_FAILURES
        locked_until = self._store.now_ns() + LOCKED_NS if locks else 0
        with self._store.transaction():
            self._record_failure(account.user, origin, purpose, "password", locks=locks)
            self._write(
                replace(account, failures=0 if locks else failures, locked_until_ns=locked_until)
            )

    def _record_failure(
        self, user: str, origin: str, purpose: str, cause: str, *, locks: bool = False
    ) -> None:
        self._store.append(
            "login_failed",
            user[:_LONGEST_NAME] if _USER.fullmatch(user) else "unknown",
            {"origin": origin, "purpose": purpose, "cause": cause, "locks": locks},
        )

    def _change(
        self,
        actor: str,
        action: str,
        old: Account | None,
        new: Account,
        *,
        origin: str,
        why: str = "",
    ) -> None:
        with self._store.transaction():
            self._store.append(
                "account",
                actor,
                {
                    "action": action,
                    "user": new.user,
                    "old": None if old is None else old.traced(),
                    "new": new.traced(),
                    "origin": origin,
                    "why": why,
                },
            )
            self._write(new)

    def _write(self, account: Account) -> None:
        values = row_of_account(account)
        self._store.connection.execute(
            "INSERT OR REPLACE INTO account VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (*values, schema.row_digest(*values)),
        )

    def _existing(self, user: str) -> Account:
        account = self.get(user)
        if account is None:
            raise Refusal(INVALID, f"expected an account, got {user!r}, which does not exist")
        return account

    def _keep_an_engineer(self, account: Account, loses: bool) -> None:
        others = [a for a in self.all() if a.role == ENGINEER and not a.disabled and a != account]
        if loses and account.role == ENGINEER and not others:
            raise Refusal(INVALID, f"{account.user} is the last engineer; make another one before")


def account_of_row(row: tuple[Any, ...]) -> Account:
    """Return the account that a row of the table holds, without its digest."""
    user, full_name, role, password, must_change, disabled, failures, locked = row
    return Account(
        user, full_name, role, password, bool(must_change), bool(disabled), failures, locked
    )


def row_of_account(account: Account) -> tuple[Any, ...]:
    """Return the values of an account's row, without the digest."""
    return (
        account.user, account.full_name, account.role, account.password, int(account.must_change),
        int(account.disabled), account.failures, account.locked_until_ns,
    )  # fmt: skip


def _check_user(user: str, full_name: str) -> None:
    if not _USER.fullmatch(user):
        raise Refusal(
            INVALID,
            "a user's name: expected 1 to 64 letters, digits, dots, dashes or underscores, a "
            f"letter or digit first; got {user[:80]!r}",
        )
    if len(full_name) > _LONGEST_NAME or any(ord(c) < 32 for c in full_name):
        raise Refusal(INVALID, f"full_name: expected at most {_LONGEST_NAME} characters on a line")


def _check_role(role: str) -> None:
    if role not in ROLES:
        raise Refusal(INVALID, f"role: expected {', '.join(ROLES)}; got {role[:80]!r}")


def check_new_password(user: str, password: str) -> None:
    """Raise Refusal for a password that a user may not choose."""
    if not SHORTEST_PASSWORD <= len(password) <= _LONGEST_PASSWORD:
        raise Refusal(
            INVALID,
            f"a password: expected {SHORTEST_PASSWORD} to {_LONGEST_PASSWORD} characters, got "
            f"{len(password)}",
        )
    if user.lower() in password.lower():
        raise Refusal(INVALID, "a password: expected one without the user's name in it")


def _first_password() -> str:
    return secrets.token_urlsafe(12)


@cache
def _hasher() -> "PasswordHasher":
    from argon2 import PasswordHasher

    # 19 MiB and two passes: 25 ms of one core, which the recorder can spare now and then.
    return PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)


@cache
def _nobody() -> str:
    """Return a hash that no password has, to be compared with where there is no account."""
    return _hasher().hash(secrets.token_urlsafe(32))


def _verified(encoded: str, password: str) -> bool:
    from argon2.exceptions import InvalidHashError, VerificationError

    try:
        return _hasher().verify(encoded, password[:_LONGEST_PASSWORD])
    except (VerificationError, InvalidHashError):
        return False
