"""A record in this process, with a clock that tests set, and an inspector that obeys at once."""

import json
from pathlib import Path
from typing import Any
from unittest import mock

import station_support as support
from argon2 import PasswordHasher

from vialsight.station import accounts
from vialsight.station.actions import Actions
from vialsight.station.alarms import Alarms
from vialsight.station.batches import Batches
from vialsight.station.config import ChallengeSection, LimitsSection
from vialsight.station.record.store import RecordStore
from vialsight.station.recording import Recorded, Recording
from vialsight.station.requests import Deferred
from vialsight.station.spool import SpoolEntry

SECOND_NS = 10**9
HOUR_NS = 3600 * SECOND_NS
# Argon2 as everywhere, but with next to no work.
CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


class Desk:
    """Everything of a recorder but its process: `ask` sends a request, `spool` records entries."""

    def __init__(
        self, folder: Path, *, limits: dict[str, Any] | None = None, **challenge: Any
    ) -> None:
        self.folder, self.now_ns, self.now_s = folder, 1_800_000_000 * SECOND_NS, 1000.0
        kit = folder / "kit"
        if not kit.exists():
            support.write_kit(kit)
        (folder / "frames").mkdir(exist_ok=True)
        self.store = RecordStore(folder / "record.sqlite", now_ns=lambda: self.now_ns)
        # Nobody pulls the plug of a test; what survives that is tested with processes.
        self.store.connection.execute("PRAGMA synchronous = OFF")
        self._cheaply = mock.patch.object(accounts, "_hasher", return_value=CHEAP)
        self._cheaply.start()
        self.batches = Batches(
            self.store, ChallengeSection(kit=kit, **challenge), now_s=lambda: self.now_s
        )
        self.alarms = Alarms(self.store, LimitsSection(**(limits or {})), ["a", "b", "c", "d"])
        self.sent: list[dict[str, Any]] = []
        self.recorded_before = ""
        self.is_reachable, self.seq, self.strip_id = True, 0, 0
        self.counts: dict[int, dict[str, Any]] = {}
        self.actions = Actions(
            self.store, self.batches, self.alarms, send=self._send,
            is_reachable=lambda: self.is_reachable, now_s=lambda: self.now_s,
        )  # fmt: skip
        self.recording = Recording(
            self.store, folder / "frames", self.batches, lambda: self.is_reachable
        )

    def close(self) -> None:
        self._cheaply.stop()
        self.store.close()

    def ask(self, action: str, token: str | None = None, **fields: Any) -> dict[str, Any]:
        """Send a request; a command is carried out by `obey` before the answer comes."""
        self.now_s += 10.0
        answer = self.actions.handle({"action": action, "token": token, "origin": "web", **fields})
        if not isinstance(answer, Deferred):
            return answer
        return self.obey()[-1]

    def obey(self, *, ok: bool = True, error: str | None = None, extra: int = 0) -> list[Any]:
        """Carry the last command out, and say so in the spool; return the answers."""
        command = self.sent[-1]
        if command["command"] == "challenge":
            for strip in json.loads((Path(command["kit"]) / "kit.json").read_text())["strips"]:
                self.strip(
                    mode="challenge", name=strip["name"], batch=command["batch"],
                    verdict=strip["expected"], reason=strip["expected_reason"],
                )  # fmt: skip
        batch = self.batches.state["id"]
        counts = self.counts.get(batch, {"triggers": 0, "accepted": 0, "rejected": {}})
        body = {
            "command_id": command["command_id"], "command": command["command"], "ok": ok,
            "error": error, "batch": batch,
            "balance": {**counts, "triggers": counts["triggers"] + extra},
        }  # fmt: skip
        return [answer for _, answer in self.spool(support.COMMAND, body).answers]

    def begin(self, **changes: Any) -> Recorded:
        """The inspector begins anew, and has counted nothing."""
        self.counts = {}
        return self.spool(support.START, support.start_body(**changes))

    def strip(self, **changes: Any) -> Recorded:
        """Record a strip, and count it as the inspector does."""
        self.strip_id += 1
        body = support.strip_body(self.strip_id, **({"batch": self.batches.state["id"]} | changes))
        if body["mode"] != "challenge":
            counts = self.counts.setdefault(
                body["batch"], {"triggers": 0, "accepted": 0, "rejected": {}}
            )
            counts["triggers"] += 1
            if body["verdict"] == "accept":
                counts["accepted"] += 1
            else:
                rejected = counts["rejected"]
                rejected[body["reason"]] = rejected.get(body["reason"], 0) + 1
        return self.spool(support.STRIP, body)

    def spool(self, kind: int, body: dict[str, Any] | bytes) -> Recorded:
        """Record an entry of the spool, as the recorder does."""
        self.seq += 1
        payload = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.recording.add([SpoolEntry(kind, self.seq, self.now_ns, payload)])
        recorded = self.recording.step()
        for start in recorded.starts:
            self.alarms.began(start)
        self.alarms.strips(recorded.strips)
        for event in recorded.events:
            self.alarms.event(event)
        return recorded

    def user(self, name: str, role: str, by: str | None = None) -> str:
        """Add an account with PASSWORD, log it in and return its token."""
        made = self.ask("add_user", by, user=name, role=role, full_name=name.title(),
                        **({"origin": "cli"} if by is None else {}))  # fmt: skip
        token = str(self.ask("login", user=name, password=made["password"])["token"])
        changed = self.ask("change_password", token, old=made["password"], new=support.PASSWORD)
        assert changed == {"ok": True}
        return token

    def prepared(self, token: str, number: str = "1") -> int:
        """Open a batch and pass its challenge; return its number."""
        opened = self.ask("open_batch", token, product="P", number=number)
        assert opened["ok"], opened
        assert self.ask("run_challenge", token)["ok"]
        assert self.obey()[-1]["passed"]
        return int(opened["batch"])

    def started(self, token: str, number: str = "1") -> int:
        """Open a batch, pass its challenge and start it."""
        batch = self.prepared(token, number)
        assert self.ask("start_batch", token)["ok"]
        return batch

    def kinds(self) -> list[str]:
        """The kinds of all entries."""
        return [
            row[0] for row in self.store.connection.execute("SELECT kind FROM entry ORDER BY id")
        ]

    def last(self, kind: str) -> dict[str, Any]:
        """The body of the last entry of a kind, with `actor`."""
        actor, body = self.store.connection.execute(
            "SELECT actor, body FROM entry WHERE kind = ? ORDER BY id DESC LIMIT 1", (kind,)
        ).fetchone()
        return {**json.loads(body), "actor": actor}

    def _send(self, packet: dict[str, Any]) -> bool:
        self.sent.append(packet)
        self.recorded_before = self.kinds()[-1]
        return self.is_reachable
