"""What people ask about batches, alarms and the trail."""

from collections.abc import Callable
from typing import Any, Final

from vialsight.station.account_actions import AccountActions
from vialsight.station.accounts import AUDITOR, ENGINEER, OPERATOR, ROLES
from vialsight.station.alarms import Alarms
from vialsight.station.batch_state import Command
from vialsight.station.batches import Batches
from vialsight.station.record.store import RecordStore
from vialsight.station.refusal import BUSY, DENIED, INVALID, Refusal
from vialsight.station.requests import Action, Answer, Deferred, Request

_WORKERS: Final = (OPERATOR, ENGINEER)


class BatchActions:
    """Actions on the batch, the alarms and the trail of a record.

    `send` hands a command to the inspector; `is_reachable` says whether it would get one.
    """

    def __init__(
        self,
        store: RecordStore,
        batches: Batches,
        alarms: Alarms,
        accounts: AccountActions,
        *,
        send: Callable[[dict[str, Any]], bool],
        is_reachable: Callable[[], bool],
    ) -> None:
        self._store, self._batches, self._alarms = store, batches, alarms
        self._accounts, self._send, self._is_reachable = accounts, send, is_reachable

    def table(self) -> dict[str, Action]:
        """Return the actions by name."""
        return {
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
            "note": Action(self._note, ROLES),
            "review": Action(self._review, (AUDITOR,)),
        }

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
        signer = self._accounts.signed(request, "close_batch")
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
        signer = self._accounts.signed(request, "review")
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

    def _require_reachable(self) -> None:
        if not self._is_reachable():
            raise Refusal(BUSY, "the inspector is not reachable; check the station")

    def _tell(self, command: Command) -> Deferred:
        # A command that could not be sent is sent when the inspector is there again.
        self._send(command.packet)
        return Deferred(command)
