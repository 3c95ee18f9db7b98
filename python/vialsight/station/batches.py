"""Batches: idle → prepared → challenge → started → halted or held → closed.

```
idle ── open ──► prepared ── start, after a passed challenge ──► started ── halt ──► halted
                 prepared, halted, held ── challenge ──► challenge ── all strips told ──► as before
                 started ── the inspector began anew ──► held
                 halted, held ── resume ──► started
                 prepared, started, halted, held ── close ──► idle
```
"""

import time
from collections.abc import Callable
from typing import Any, Final

from vialsight.station import challenge
from vialsight.station.accounts import Account
from vialsight.station.batch_outcomes import BatchOutcomes, unbalanced
from vialsight.station.batch_state import (
    CHALLENGE,
    HALTED,
    HELD,
    IDLE,
    NOTHING,
    PREPARED,
    STARTED,
    BatchState,
    Command,
)
from vialsight.station.config import ChallengeSection
from vialsight.station.record.store import RecordStore
from vialsight.station.refusal import BUSY, INVALID, STATE, Refusal

_RECORDER: Final = Account("recorder", "", "", "", False, False, 0, 0)


class Batches:
    """The batch of a record: what operators do, and what the inspector says in the spool.

    Methods append their entries; those that need the inspector return a Command, whose answer
    comes with `outcomes.done`. Raise Refusal for what is not possible now.
    """

    def __init__(
        self,
        store: RecordStore,
        config: ChallengeSection,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._at = BatchState(store, config, now_s)
        self.outcomes = BatchOutcomes(self._at)

    @property
    def state(self) -> dict[str, Any]:
        """Return where the batch stands."""
        return self._at.state

    def status(self) -> dict[str, Any]:
        """Return where the batch stands, its counts, and whether the challenge holds."""
        return self._at.status()

    def status_of_challenge(self) -> str | None:
        """Return why the batch may not run for want of a challenge; None: it may."""
        return self._at.status_of_challenge()

    def open(self, who: Account, origin: str, product: str, number: str, comment: str) -> int:
        """Open a batch for the bundle that runs; return its number in the record."""
        self._at.require(IDLE)
        for name, text in (("product", product), ("number", number)):
            if not text.strip():
                raise Refusal(INVALID, f"{name}: expected a text, got none")
        session = self._at.require_session()
        known = self._store.connection.execute(
            "SELECT count(*) FROM batch WHERE product = ? AND number = ?", (product, number)
        ).fetchone()[0]
        if known:
            raise Refusal(INVALID, f"{product} {number}: there is a batch of this number already")
        last = self._store.connection.execute("SELECT max(id) FROM batch").fetchone()[0]
        batch = 1 + (last or 0)
        facts = {key: value for key, value in session.items() if key != "entry"}
        with self._store.transaction():
            entry = self._store.append(
                "batch_opened",
                who.user,
                {
                    "batch": batch, "product": product, "number": number, "comment": comment,
                    "bundle": session["bundle"], "bundle_sha256": session["bundle_sha256"],
                    "start": facts, "origin": origin,
                },
            )  # fmt: skip
            self._at.set({
                **NOTHING, "id": batch, "entry": entry.id, "status": PREPARED,
                "bundle_sha256": session["bundle_sha256"],
            })  # fmt: skip
        return batch

    def run_challenge(self, who: Account, origin: str) -> Command:
        """Have the inspector inspect the kit's strips; `done` says later whether it was passed."""
        self._at.require(PREPARED, HALTED, HELD)
        session = self._at.require_bundle()
        kit = challenge.load_kit(self._at.config.kit, session["bundle_sha256"])
        strips = [strip.model_dump(exclude={"frames"}) for strip in kit.kit.strips]
        with self._store.transaction():
            entry = self._store.append(
                "challenge_started",
                who.user,
                {
                    "batch": self.state["id"], "kit": str(kit.folder), "kit_sha256": kit.sha256,
                    "bundle_sha256": session["bundle_sha256"], "strips": strips, "origin": origin,
                },
            )  # fmt: skip
            command = self._at.ask(
                who, origin, "run_challenge", "challenge", fields={"kit": str(kit.folder)},
                keep={"started": entry.id, "strips": strips},
            )  # fmt: skip
            self._at.set({**self.state, "status": CHALLENGE})
        return command

    def start(self, who: Account, origin: str) -> Command:
        """Begin production of a prepared batch whose challenge was passed."""
        self._at.require(PREPARED)
        self._at.require_bundle()
        self._at.require_challenge()
        return self._at.ask(who, origin, "start_batch", "produce")

    def halt(self, who: Account, origin: str, why: str) -> Command:
        """Halt production."""
        self._at.require(STARTED)
        return self._at.ask(who, origin, "halt_batch", "halt", why=why)

    def resume(self, who: Account, origin: str, why: str) -> Command:
        """Go on with a halted or held batch."""
        self._at.require(HALTED, HELD)
        self._at.require_bundle()
        self._at.require_challenge()
        return self._at.ask(who, origin, "resume_batch", "produce", why=why)

    def close(self, who: Account, origin: str, meaning: str, why: str, reachable: bool) -> Command:
        """Halt, compare the counts and close, signed by `who`, whose password was right.

        Without the inspector its count is missing: an engineer can close, and says why.
        """
        self._at.require(PREPARED, STARTED, HALTED, HELD)
        if not meaning.strip():
            raise Refusal(INVALID, "meaning: expected what the signature means, got none")
        if not reachable:
            _require_engineer(who, why, ("the inspector is not reachable",))
        fields = {"meaning": meaning, "full_name": who.full_name, "role": who.role}
        return self._at.ask(who, origin, "close_batch", "halt", keep=fields, why=why)

    def command(self, who: Account, origin: str, name: str, why: str) -> Command:
        """Send `halt` or `shutdown` whatever the batch does; a started batch is halted by it.

        A halt waits for nothing: what the inspector is carrying out goes on being awaited.
        """
        waits = self.state["pending"] is not None
        if waits and name != "halt":
            raise Refusal(BUSY, "the inspector is still carrying out another command")
        return self._at.ask(who, origin, "command", name, why=why, awaited=not waits)

    def close_unreachable(self, command_id: int) -> dict[str, Any]:
        """Close a batch without the inspector; `close` has seen to it that an engineer does."""
        pending = self.state["pending"]
        if pending is None or pending["command_id"] != command_id:
            raise Refusal(STATE, "the batch was closed meanwhile")
        return self.outcomes.close(pending)

    def halt_stray(self) -> Command | None:
        """Return a halt for an inspector that produces although no batch is started."""
        state = self.state
        stray = self._store.get("producing", False) and state["status"] != STARTED
        if not stray or state["pending"] is not None:
            return None
        return self._at.ask(_RECORDER, "recorder", "command", "halt", why="no batch is started")


def _require_engineer(who: Account, why: str, findings: tuple[str, ...]) -> None:
    refusal = unbalanced({"role": who.role, "why": why}, findings)
    if refusal is not None:
        raise Refusal(STATE, refusal)
