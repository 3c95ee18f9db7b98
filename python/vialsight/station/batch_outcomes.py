"""What becomes of a batch when the inspector has done, or not done, what it was asked for.

The inspector carries commands out between strips and says so in the spool, behind all strips
before: only then the state changes. Where the batch stands lies in the record's file, so that it
goes on wherever the recorder was killed.
"""

import json
from typing import Any

from vialsight.station import challenge
from vialsight.station.accounts import ENGINEER
from vialsight.station.batch_state import HALTED, HELD, NOTHING, STARTED, BatchState
from vialsight.station.record import counts as counting
from vialsight.station.refusal import STATE

Answer = dict[str, Any]


class BatchOutcomes:
    """Changes a batch as the inspector's words in the spool say; appends their entries.

    Methods return the number of the command and the answer for whoever asked; None: nobody waits.
    """

    def __init__(self, at: BatchState) -> None:
        self._at, self._store = at, at.store

    def done(self, body: dict[str, Any]) -> tuple[int, dict[str, Any]] | None:
        """Take in the inspector's word on a command; return its number and the answer to give.

        None: nobody waits for it.
        """
        # Number 0 is no command: the inspector was started for production by its option.
        if body.get("ok") and body["command_id"]:
            self._store.put("producing", body["command"] == "produce")
        pending = self._at.state["pending"]
        if pending is None or pending["command_id"] != body.get("command_id"):
            return self._unasked(body)
        if not body.get("ok"):
            return pending["command_id"], self.fail(str(body.get("error") or "it does not say why"))
        finish = {
            "start_batch": self._started, "resume_batch": self._started,
            "halt_batch": self._halted, "run_challenge": self._challenged,
            "close_batch": self.close, "command": self._commanded,
        }[pending["action"]]  # fmt: skip
        return pending["command_id"], finish(pending)

    def began(self, body: dict[str, Any], entry: int) -> tuple[int, dict[str, Any]] | None:
        """Take in that the inspector began anew: a started batch is held; as `done` else."""
        answer = None
        pending = self._at.state["pending"]
        if pending is not None:
            failed = self.fail("it began anew")
            answer = pending["command_id"], failed
        if self._at.state["status"] == STARTED:
            self._store.append(
                "batch_held",
                "recorder",
                {"batch": self._at.state["id"], "why": "the inspector began anew", "start": entry},
            )
            self._at.set({**self._at.state, "status": HELD})
        self._store.put("session", {**body, "entry": entry})
        self._store.put("producing", False)
        return answer

    def fail(self, cause: str) -> dict[str, Any]:
        """Give up what the inspector was asked for; return the answer to give."""
        state = self._at.state
        pending = state["pending"]
        text = f"the inspector did not do it: {cause}"
        if pending["action"] == "run_challenge":
            self._store.append(
                "challenge_failed", pending["actor"],
                {"batch": state["id"], "why": text, "strips": []},
            )  # fmt: skip
        self._at.set({**self._at.state, "status": pending["back"], "pending": None})
        return {"ok": False, "code": STATE, "error": text}

    def give_up(self, cause: str) -> None:
        """Forget what the inspector was asked for; an entry says so."""
        pending = self._at.state["pending"]
        with self._store.transaction():
            self._store.append(
                "event", "recorder",
                {
                    "event": "command_given_up", "text": cause,
                    "command_id": pending["command_id"], "action": pending["action"],
                },
            )  # fmt: skip
            self.fail(cause)

    def close(self, pending: dict[str, Any]) -> dict[str, Any]:
        """Compare the counts and close the batch, or refuse to; return the answer to give."""
        state = self._at.state
        counts = counting.count(self._store.connection, state["id"], state["entry"])
        signed_by = {"user": pending["actor"], "full_name": pending["full_name"]}
        if not counts.agree:
            refusal = unbalanced(pending, counts.findings)
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
                    self._at.set({**state, "pending": None})
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
        self._at.set(NOTHING)
        return {"ok": True, "batch": state["id"], "counts": counts.to_json()}

    def _unasked(self, body: dict[str, Any]) -> tuple[int, dict[str, Any]] | None:
        """Follow a halt that nothing here waits for: an operator's, beside another command."""
        state = self._at.state
        if body.get("command") != "halt" or not body.get("ok"):
            return None
        if state["status"] == STARTED:
            self._store.append("batch_halted", "recorder", {"batch": state["id"], "why": "halt"})
            self._at.set({**state, "status": HALTED})
        return int(body.get("command_id") or 0), {"ok": True, "status": self._at.state["status"]}

    def _started(self, pending: dict[str, Any]) -> dict[str, Any]:
        kind = "batch_started" if pending["action"] == "start_batch" else "batch_resumed"
        return self._moved(pending, kind, STARTED)

    def _halted(self, pending: dict[str, Any]) -> dict[str, Any]:
        return self._moved(pending, "batch_halted", HALTED)

    def _commanded(self, pending: dict[str, Any]) -> dict[str, Any]:
        state = self._at.state
        if state["status"] == STARTED:
            return self._halted(pending)
        self._at.set({**state, "pending": None})
        return {"ok": True, "status": state["status"]}

    def _moved(self, pending: dict[str, Any], kind: str, status: str) -> dict[str, Any]:
        state = self._at.state
        self._store.append(
            kind, pending["actor"],
            {"batch": state["id"], "why": pending["why"], "challenge": _entry_of(state)},
        )  # fmt: skip
        self._at.set({**state, "status": status, "pending": None})
        return {"ok": True, "status": status, "batch": state["id"]}

    def _challenged(self, pending: dict[str, Any]) -> dict[str, Any]:
        state = self._at.state
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
        self._at.set({**state, "status": pending["back"], "pending": None, "challenge": last})
        return {"ok": True, "passed": passed, "strips": results}


def unbalanced(pending: dict[str, Any], findings: tuple[str, ...]) -> str | None:
    """Return why a batch whose counts differ is not closed; None: an engineer says why it is."""
    if pending["role"] == ENGINEER and pending["why"].strip():
        return None
    differ = "; ".join(findings)
    return f"the counts do not agree: {differ}. An engineer can close the batch and say why"


def _entry_of(state: dict[str, Any]) -> int | None:
    """Return the entry of the last challenge; None: there was none."""
    last = state["challenge"]
    return None if last is None else int(last["entry"])
