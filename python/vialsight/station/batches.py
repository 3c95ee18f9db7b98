"""Batches: idle → prepared → challenge → started → halted or held → closed.

```
idle ── open ──► prepared ── start, after a passed challenge ──► started ── halt ──► halted
                 prepared, halted, held ── challenge ──► challenge ── all strips told ──► as before
                 started ── the inspector began anew ──► held
                 halted, held ── resume ──► started
                 prepared, started, halted, held ── close ──► idle
```
The inspector carries commands out between strips and says so in the spool, behind all strips
before: only then the state changes. Where the batch stands lies in the record's file, so that it
goes on wherever the recorder was killed.
"""

import json
from dataclasses import dataclass
from typing import Any, Final

from vialsight.station import challenge
from vialsight.station.accounts import ENGINEER, Account
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
_LONGEST_TEXT: Final = 512
_HOUR_NS: Final = 3600 * 10**9
_RECORDER: Final = Account("recorder", "", "", "", False, False, 0, 0)
_NOTHING: Final[dict[str, Any]] = {
    "id": 0, "entry": 0, "status": IDLE, "bundle_sha256": None, "challenge": None, "pending": None,
}  # fmt: skip


@dataclass(frozen=True)
class Command:
    """What to send to the inspector; `packet` is the message."""

    command_id: int
    packet: dict[str, Any]


class Batches:
    """The batch of a record: what operators do, and what the inspector says in the spool.

    Methods append their entries; those that need the inspector return a Command, and `done` brings
    the answer for whoever asked. Raise Refusal for what is not possible now.
    """

    def __init__(self, store: RecordStore, config: ChallengeSection) -> None:
        self._store, self._config = store, config

    @property
    def state(self) -> dict[str, Any]:
        """Return where the batch stands."""
        found: dict[str, Any] = self._store.get("batch", _NOTHING)
        return found

    @property
    def session(self) -> dict[str, Any] | None:
        """Return what the inspector said when it began last, and the entry's number as `entry`."""
        found: dict[str, Any] | None = self._store.get("session")
        return found

    def status(self) -> dict[str, Any]:
        """Return where the batch stands, its counts, and whether the challenge holds."""
        state = self.state
        counts, opened = None, {"product": None, "number": None}
        if state["id"]:
            product, number = self._store.connection.execute(
                "SELECT product, number FROM batch WHERE id = ?", (state["id"],)
            ).fetchone()
            opened = {"product": product, "number": number}
            counts = counting.count(self._store.connection, state["id"], state["entry"]).to_json()
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
        if self._store.now_ns() - last["unix_ns"] > self._config.valid_hours * _HOUR_NS:
            return f"the challenge is older than {self._config.valid_hours:g} hours; run it again"
        if self._config.on_resume and last["entry"] < self._last_run(state):
            return "a batch that was halted needs a new challenge; run it again"
        return None

    def open(self, who: Account, origin: str, product: str, number: str, comment: str) -> int:
        """Open a batch for the bundle that runs; return its number in the record."""
        self._require(IDLE)
        for name, text in (("product", product), ("number", number)):
            if not text.strip():
                raise Refusal(INVALID, f"{name}: expected a text, got none")
        session = self._require_session()
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
            self._set({
                **_NOTHING, "id": batch, "entry": entry.id, "status": PREPARED,
                "bundle_sha256": session["bundle_sha256"],
            })  # fmt: skip
        return batch

    def run_challenge(self, who: Account, origin: str) -> Command:
        """Have the inspector inspect the kit's strips; `done` says later whether it was passed."""
        self._require(PREPARED, HALTED, HELD)
        session = self._require_bundle()
        kit = challenge.load_kit(self._config.kit, session["bundle_sha256"])
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
            command = self._ask(
                who, origin, "run_challenge", "challenge", fields={"kit": str(kit.folder)},
                keep={"started": entry.id, "strips": strips},
            )  # fmt: skip
            self._set({**self.state, "status": CHALLENGE})
        return command

    def start(self, who: Account, origin: str) -> Command:
        """Begin production of a prepared batch whose challenge was passed."""
        self._require(PREPARED)
        self._require_bundle()
        self._require_challenge()
        return self._ask(who, origin, "start_batch", "produce")

    def halt(self, who: Account, origin: str, why: str) -> Command:
        """Halt production."""
        self._require(STARTED)
        return self._ask(who, origin, "halt_batch", "halt", why=why)

    def resume(self, who: Account, origin: str, why: str) -> Command:
        """Go on with a halted or held batch."""
        self._require(HALTED, HELD)
        self._require_bundle()
        self._require_challenge()
        return self._ask(who, origin, "resume_batch", "produce", why=why)

    def close(self, who: Account, origin: str, meaning: str, why: str, reachable: bool) -> Command:
        """Halt, compare the counts and close, signed by `who`, whose password was right.

        Without the inspector its count is missing: an engineer can close, and says why.
        """
        self._require(PREPARED, STARTED, HALTED, HELD)
        if not meaning.strip():
            raise Refusal(INVALID, "meaning: expected what the signature means, got none")
        if not reachable:
            self._require_engineer(who, why, ("the inspector is not reachable",))
        fields = {"meaning": meaning, "full_name": who.full_name, "role": who.role}
        return self._ask(who, origin, "close_batch", "halt", keep=fields, why=why)

    def command(self, who: Account, origin: str, name: str, why: str) -> Command:
        """Send `halt` or `shutdown` whatever the batch does; a started batch is halted by it.

        A halt waits for nothing: what the inspector is carrying out goes on being awaited.
        """
        waits = self.state["pending"] is not None
        if waits and name != "halt":
            raise Refusal(BUSY, "the inspector is still carrying out another command")
        return self._ask(who, origin, "command", name, why=why, awaited=not waits)

    def close_unreachable(self, command_id: int) -> dict[str, Any]:
        """Close a batch without the inspector; `close` has seen to it that an engineer does."""
        pending = self.state["pending"]
        if pending is None or pending["command_id"] != command_id:
            raise Refusal(STATE, "the batch was closed meanwhile")
        return self._close(pending)

    def halt_stray(self) -> Command | None:
        """Return a halt for an inspector that produces although no batch is started."""
        state = self.state
        stray = self._store.get("producing", False) and state["status"] != STARTED
        if not stray or state["pending"] is not None:
            return None
        return self._ask(_RECORDER, "recorder", "command", "halt", why="no batch is started")

    def done(self, body: dict[str, Any]) -> tuple[int, dict[str, Any]] | None:
        """Take in the inspector's word on a command; return its number and the answer to give.

        None: nobody waits for it.
        """
        # Number 0 is no command: the inspector was started for production by its option.
        if body.get("ok") and body["command_id"]:
            self._store.put("producing", body["command"] == "produce")
        pending = self.state["pending"]
        if pending is None or pending["command_id"] != body.get("command_id"):
            return self._unasked(body)
        if not body.get("ok"):
            return pending["command_id"], self.fail(str(body.get("error") or "it does not say why"))
        finish = {
            "start_batch": self._started, "resume_batch": self._started,
            "halt_batch": self._halted, "run_challenge": self._challenged,
            "close_batch": self._close, "command": self._commanded,
        }[pending["action"]]  # fmt: skip
        return pending["command_id"], finish(pending)

    def fail(self, cause: str) -> dict[str, Any]:
        """Give up what the inspector was asked for; return the answer to give."""
        state = self.state
        pending = state["pending"]
        text = f"the inspector did not do it: {cause}"
        if pending["action"] == "run_challenge":
            self._store.append(
                "challenge_failed", pending["actor"],
                {"batch": state["id"], "why": text, "strips": []},
            )  # fmt: skip
        self._set({**self.state, "status": pending["back"], "pending": None})
        return {"ok": False, "code": STATE, "error": text}

    def began(self, body: dict[str, Any], entry: int) -> tuple[int, dict[str, Any]] | None:
        """Take in that the inspector began anew: a started batch is held; as `done` else."""
        answer = None
        pending = self.state["pending"]
        if pending is not None:
            failed = self.fail("it began anew")
            answer = pending["command_id"], failed
        if self.state["status"] == STARTED:
            self._store.append(
                "batch_held",
                "recorder",
                {"batch": self.state["id"], "why": "the inspector began anew", "start": entry},
            )
            self._set({**self.state, "status": HELD})
        self._store.put("session", {**body, "entry": entry})
        self._store.put("producing", False)
        return answer

    def _unasked(self, body: dict[str, Any]) -> tuple[int, dict[str, Any]] | None:
        """Follow a halt that nothing here waits for: an operator's, beside another command."""
        state = self.state
        if body.get("command") != "halt" or not body.get("ok"):
            return None
        if state["status"] == STARTED:
            self._store.append("batch_halted", "recorder", {"batch": state["id"], "why": "halt"})
            self._set({**state, "status": HALTED})
        return int(body.get("command_id") or 0), {"ok": True, "status": self.state["status"]}

    def _started(self, pending: dict[str, Any]) -> dict[str, Any]:
        kind = "batch_started" if pending["action"] == "start_batch" else "batch_resumed"
        return self._moved(pending, kind, STARTED)

    def _halted(self, pending: dict[str, Any]) -> dict[str, Any]:
        return self._moved(pending, "batch_halted", HALTED)

    def _commanded(self, pending: dict[str, Any]) -> dict[str, Any]:
        state = self.state
        if state["status"] == STARTED:
            return self._halted(pending)
        self._set({**state, "pending": None})
        return {"ok": True, "status": state["status"]}

    def _moved(self, pending: dict[str, Any], kind: str, status: str) -> dict[str, Any]:
        state = self.state
        self._store.append(
            kind, pending["actor"],
            {"batch": state["id"], "why": pending["why"], "challenge": _entry_of(state)},
        )  # fmt: skip
        self._set({**state, "status": status, "pending": None})
        return {"ok": True, "status": status, "batch": state["id"]}

    def _challenged(self, pending: dict[str, Any]) -> dict[str, Any]:
        state = self.state
        rows = self._store.connection.execute(
            "SELECT e.id, e.unix_ns, e.body FROM strip s JOIN entry e ON e.id = s.entry "
            "WHERE s.entry > ? AND s.mode = 'challenge' ORDER BY s.entry",
            (pending["started"],),
        ).fetchall()
        bodies = [json.loads(row[2]) for row in rows]
        passed, results = challenge.results(pending["strips"], bodies)
        entry = self._store.append(
            "challenge_passed" if passed else "challenge_failed",
            pending["actor"],
            {"batch": state["id"], "bundle_sha256": state["bundle_sha256"], "strips": results},
        )
        last = {
            "entry": entry.id, "unix_ns": entry.unix_ns, "passed": passed, "results": results,
            "bundle_sha256": state["bundle_sha256"],
        }  # fmt: skip
        # With a halted batch only a new challenge after the halt counts, where that is wanted.
        self._set({**state, "status": pending["back"], "pending": None, "challenge": last})
        return {"ok": True, "passed": passed, "strips": results}

    def _close(self, pending: dict[str, Any]) -> dict[str, Any]:
        state = self.state
        counts = counting.count(self._store.connection, state["id"], state["entry"])
        signed_by = {"user": pending["actor"], "full_name": pending["full_name"]}
        if not counts.agree:
            refusal = _unbalanced(pending, counts.findings)
            if refusal is not None:
                self._store.append(
                    "refused", pending["actor"],
                    {
                        "action": "close_batch", "code": STATE, "why": refusal,
                        "counts": counts.to_json(), "origin": pending["origin"],
                    },
                )  # fmt: skip
                after = HALTED if state["status"] == STARTED else state["status"]
                if after != state["status"]:
                    self._moved(pending, "batch_halted", HALTED)
                else:
                    self._set({**state, "pending": None})
                return {"ok": False, "code": STATE, "error": refusal, "counts": counts.to_json()}
        self._store.append(
            "batch_closed",
            pending["actor"],
            {
                "batch": state["id"], "counts": counts.to_json(), "why": pending["why"],
                "signature": {
                    **signed_by, "role": pending["role"], "meaning": pending["meaning"],
                },
                "challenge": _entry_of(state), "origin": pending["origin"],
            },
        )  # fmt: skip
        self._set(_NOTHING)
        return {"ok": True, "batch": state["id"], "counts": counts.to_json()}

    def _ask(
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
        with self._store.transaction():
            state = self.state
            command_id = 1 + int(self._store.get("command_id", 0))
            packet: dict[str, Any] = {"command_id": command_id, "command": command}
            if command in ("produce", "challenge"):
                packet["batch"] = state["id"]
            packet |= fields or {}
            self._store.append(
                "command",
                who.user,
                {**packet, "action": action, "why": why, "origin": origin, "for": state["id"]},
            )
            self._store.put("command_id", command_id)
            if not awaited:
                return Command(command_id, packet)
            self._set({
                **state,
                "pending": {
                    "command_id": command_id, "action": action, "actor": who.user, "why": why,
                    "origin": origin, "back": state["status"], "packet": packet, **(keep or {}),
                },
            })  # fmt: skip
        return Command(command_id, packet)

    def _set(self, state: dict[str, Any]) -> None:
        with self._store.transaction():
            self._store.put("batch", state)

    def _require(self, *statuses: str) -> None:
        state = self.state
        if state["pending"] is not None:
            raise Refusal(BUSY, "the inspector is still carrying out another command")
        if state["status"] not in statuses:
            raise Refusal(
                STATE, f"expected a batch that is {' or '.join(statuses)}, got {state['status']}"
            )

    def _require_session(self) -> dict[str, Any]:
        session = self.session
        if session is None:
            raise Refusal(STATE, "the inspector has not begun yet; start the station")
        return session

    def _require_bundle(self) -> dict[str, Any]:
        session = self._require_session()
        opened_with = self.state["bundle_sha256"]
        if session["bundle_sha256"] != opened_with:
            raise Refusal(
                STATE,
                f"the batch was opened with the bundle {opened_with[:12]}…, the inspector runs "
                f"{session['bundle_sha256'][:12]}…; close the batch, or start that bundle again",
            )
        return session

    def _require_challenge(self) -> None:
        hindrance = self.status_of_challenge()
        if hindrance is not None:
            raise Refusal(STATE, hindrance)

    def _last_run(self, state: dict[str, Any]) -> int:
        row = self._store.connection.execute(
            "SELECT max(id) FROM entry WHERE kind IN ('batch_halted', 'batch_held') AND id > ?",
            (state["entry"],),
        ).fetchone()
        return row[0] or 0

    @staticmethod
    def _require_engineer(who: Account, why: str, findings: tuple[str, ...]) -> None:
        refusal = _unbalanced({"role": who.role, "why": why}, findings)
        if refusal is not None:
            raise Refusal(STATE, refusal)


def _unbalanced(pending: dict[str, Any], findings: tuple[str, ...]) -> str | None:
    """Return why a batch whose counts differ is not closed; None: an engineer says why it is."""
    if pending["role"] == ENGINEER and pending["why"].strip():
        return None
    differ = "; ".join(findings)
    return f"the counts do not agree: {differ}. An engineer can close the batch and say why"


def _entry_of(state: dict[str, Any]) -> int | None:
    """Return the entry of the last challenge; None: there was none."""
    last = state["challenge"]
    return None if last is None else int(last["entry"])
