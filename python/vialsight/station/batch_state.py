"""Where the batch of a station stands, and what it takes to change that."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from vialsight.station.accounts import Account
from vialsight.station.config import ChallengeSection
from vialsight.station.record import counts as counting
from vialsight.station.record.store import RecordStore
from vialsight.station.refusal import BUSY, INVALID, STATE, Refusal

IDLE: Final = "idle"
PREPARED: Final = "prepared"
CHALLENGE: Final = "challenge"
STARTED: Final = "started"
HALTED: Final = "halted"
HELD: Final = "held"
NOTHING: Final[dict[str, Any]] = {
    "id": 0, "entry": 0, "status": IDLE, "bundle_sha256": None, "challenge": None, "pending": None,
}  # fmt: skip
_LONGEST_TEXT: Final = 512
_COUNTED_S: Final = 2.0
_HOUR_NS: Final = 3600 * 10**9


@dataclass(frozen=True)
class Command:
    """What to send to the inspector; `packet` is the message."""

    command_id: int
    packet: dict[str, Any]


class BatchState:
    """The state of a record's batch, in the record's file, and commands that change it.

    `require…` raise Refusal for what is not possible now.
    """

    def __init__(
        self, store: RecordStore, config: ChallengeSection, now_s: Callable[[], float]
    ) -> None:
        self.store, self.config, self._now_s = store, config, now_s
        self._counted: tuple[int, float, dict[str, Any]] | None = None

    @property
    def state(self) -> dict[str, Any]:
        """Return where the batch stands."""
        found: dict[str, Any] = self.store.get("batch", NOTHING)
        return found

    @property
    def session(self) -> dict[str, Any] | None:
        """Return what the inspector said when it began last, and the entry's number as `entry`."""
        found: dict[str, Any] | None = self.store.get("session")
        return found

    def status(self) -> dict[str, Any]:
        """Return where the batch stands, its counts, and whether the challenge holds."""
        state = self.state
        counts, opened = None, {"product": None, "number": None}
        if state["id"]:
            product, number = self.store.connection.execute(
                "SELECT product, number FROM batch WHERE id = ?", (state["id"],)
            ).fetchone()
            opened = {"product": product, "number": number}
            counts = self._counts(state)
        hindrance = self.status_of_challenge()
        return {
            **state, **opened, "counts": counts, "challenge_valid": hindrance is None,
            "challenge_error": hindrance,
        }  # fmt: skip

    def status_of_challenge(self) -> str | None:
        """Return why the batch may not run for want of a challenge; None: it may."""
        state = self.state
        last = state["challenge"]
        if last is None or not last["passed"]:
            return "the challenge was not passed; run it first"
        if last["bundle_sha256"] != state["bundle_sha256"]:
            return "the challenge was passed with another bundle; run it again"
        if self.store.now_ns() - last["unix_ns"] > self.config.valid_hours * _HOUR_NS:
            return f"the challenge is older than {self.config.valid_hours:g} hours; run it again"
        if self.config.on_resume and last["entry"] < self._last_run(state):
            return "a batch that was halted needs a new challenge; run it again"
        return None

    def set(self, state: dict[str, Any]) -> None:
        """Set where the batch stands."""
        with self.store.transaction():
            self.store.put("batch", state)

    def ask(
        self,
        who: Account,
        origin: str,
        action: str,
        command: str,
        *,
        fields: dict[str, Any] | None = None,
        keep: dict[str, Any] | None = None,
        why: str = "",
        awaited: bool = True,
    ) -> Command:
        """Record that the inspector is asked for something, and what is done with its answer."""
        if len(why) > _LONGEST_TEXT:
            raise Refusal(INVALID, f"why: expected at most {_LONGEST_TEXT} characters")
        with self.store.transaction():
            state = self.state
            command_id = 1 + int(self.store.get("command_id", 0))
            packet: dict[str, Any] = {"command_id": command_id, "command": command}
            if command in ("produce", "challenge"):
                packet["batch"] = state["id"]
            packet |= fields or {}
            self.store.append(
                "command",
                who.user,
                {**packet, "action": action, "why": why, "origin": origin, "for": state["id"]},
            )
            self.store.put("command_id", command_id)
            if not awaited:
                return Command(command_id, packet)
            self.set({
                **state,
                "pending": {
                    "command_id": command_id, "action": action, "actor": who.user, "why": why,
                    "origin": origin, "back": state["status"], "packet": packet,
                    "since_ns": self.store.now_ns(), **(keep or {}),
                },
            })  # fmt: skip
        return Command(command_id, packet)

    def require(self, *statuses: str) -> None:
        """Refuse unless the batch is in one of these, and nothing is being carried out."""
        state = self.state
        if state["pending"] is not None:
            raise Refusal(BUSY, "the inspector is still carrying out another command")
        if state["status"] not in statuses:
            raise Refusal(
                STATE, f"expected a batch that is {' or '.join(statuses)}, got {state['status']}"
            )

    def require_session(self) -> dict[str, Any]:
        """Return what the inspector said when it began; refuse where it has not begun."""
        session = self.session
        if session is None:
            raise Refusal(STATE, "the inspector has not begun yet; start the station")
        return session

    def require_bundle(self) -> dict[str, Any]:
        """As `require_session`; refuse another bundle than that of the batch."""
        session = self.require_session()
        opened_with = self.state["bundle_sha256"]
        if session["bundle_sha256"] != opened_with:
            raise Refusal(
                STATE,
                f"the batch was opened with the bundle {opened_with[:12]}…, the inspector runs "
                f"{session['bundle_sha256'][:12]}…; close the batch, or start that bundle again",
            )
        return session

    def require_challenge(self) -> None:
        """Refuse unless a challenge was passed that still holds."""
        hindrance = self.status_of_challenge()
        if hindrance is not None:
            raise Refusal(STATE, hindrance)

    def _last_run(self, state: dict[str, Any]) -> int:
        row = self.store.connection.execute(
            "SELECT max(id) FROM entry WHERE kind IN ('batch_halted', 'batch_held') AND id > ?",
            (state["entry"],),
        ).fetchone()
        return row[0] or 0

    def _counts(self, state: dict[str, Any]) -> dict[str, Any]:
        """Return the counts of the batch, which are up to two seconds old: many may ask."""
        now = self._now_s()
        known = self._counted
        if known is None or known[0] != state["id"] or now - known[1] > _COUNTED_S:
            counts = counting.count(self.store.connection, state["id"], state["entry"])
            known = self._counted = state["id"], now, counts.to_json()
        return known[2]
