"""Batches: what may follow what, challenges, the balance, and what a crash leaves."""

import json
from pathlib import Path
from typing import Any

import pytest
import station_support as support
from record_support import HOUR_NS, Desk
from station_support import PASSWORD


@pytest.fixture
def desk(tmp_path: Path):
    made = Desk(tmp_path, valid_hours=8.0)
    made.begin()
    yield made
    made.close()


@pytest.fixture
def engineer(desk: Desk) -> str:
    return desk.user("eva", "engineer")


@pytest.fixture
def operator(desk: Desk, engineer: str) -> str:
    return desk.user("otto", "operator", engineer)


def close(desk: Desk, token: str, **fields: Any) -> dict[str, Any]:
    given = {"password": PASSWORD, "meaning": "released", "why": ""} | fields
    return desk.ask("close_batch", token, **given)


def test_a_whole_batch(desk: Desk, operator: str) -> None:
    batch = desk.started(operator)
    for number in range(20):
        desk.strip(verdict="reject" if number % 4 == 0 else "accept", machine_count=number + 1)
    assert desk.ask("halt_batch", operator, why="lunch")["status"] == "halted"
    desk.strip(mode="halted", verdict="reject", reason="not_ready", scores=None)
    assert desk.ask("resume_batch", operator, why="back")["status"] == "started"
    desk.strip(machine_count=21)
    answer = close(desk, operator)
    assert answer["ok"], answer
    expected = {"triggers": 22, "accepted": 16, "rejected": {"defect": 5, "not_ready": 1}}
    assert answer["counts"] == {
        "recorded": expected, "inspector": expected, "machine_triggers": 22, "agree": True,
        "findings": [],
    }  # fmt: skip
    closed = desk.last("batch_closed")
    assert closed["signature"] == {
        "user": "otto", "full_name": "Otto", "role": "operator", "meaning": "released",
    }  # fmt: skip
    assert (closed["batch"], closed["actor"]) == (batch, "otto")
    assert desk.ask("batch_status")["status"] == "idle"
    assert [kind for kind in desk.kinds() if kind.startswith(("batch", "chall"))] == [
        "batch_opened", "challenge_started", "challenge_passed", "batch_started", "batch_halted",
        "batch_resumed", "batch_closed",
    ]  # fmt: skip


def test_an_entry_stands_before_the_inspector_is_told(desk: Desk, operator: str) -> None:
    desk.prepared(operator)
    assert desk.ask("start_batch", operator)["ok"]
    assert desk.recorded_before == "command"


@pytest.mark.parametrize(
    ("action", "fields", "expected"),
    [
        ("run_challenge", {}, "prepared or halted or held"),
        ("start_batch", {}, "prepared"),
        ("halt_batch", {"why": "x"}, "started"),
        ("resume_batch", {"why": "x"}, "halted or held"),
        ("close_batch", {"password": PASSWORD, "meaning": "m"},
         "prepared or started or halted or held"),
    ],
)  # fmt: skip
def test_nothing_without_a_batch(
    desk: Desk, operator: str, action: str, fields: dict[str, Any], expected: str
) -> None:
    answer = desk.ask(action, operator, **fields)
    assert (answer["code"], answer["error"]) == (
        "state", f"expected a batch that is {expected}, got idle",
    )  # fmt: skip
    refused = desk.last("refused")
    assert (refused["action"], refused["actor"]) == (action, "otto")
    assert desk.sent == []


def test_no_second_batch_and_no_number_twice(desk: Desk, operator: str) -> None:
    desk.started(operator, "1")
    assert "got started" in desk.ask("open_batch", operator, product="P", number="2")["error"]
    assert close(desk, operator)["ok"]
    again = desk.ask("open_batch", operator, product="P", number="1")
    assert again["error"] == "P 1: there is a batch of this number already"
    assert desk.ask("open_batch", operator, product="P", number="2")["batch"] == 2


def test_no_start_without_a_challenge(desk: Desk, operator: str) -> None:
    desk.ask("open_batch", operator, product="P", number="1")
    answer = desk.ask("start_batch", operator)
    assert (answer["code"], answer["error"]) == (
        "state", "the challenge was not passed; run it first",
    )  # fmt: skip
    assert desk.sent == []


@pytest.mark.parametrize(
    "change",
    [{"verdict": "accept", "reason": "none"}, {"reason": "frame_missing"}, {"name": "other"}],
)
def test_a_wrong_answer_fails_the_challenge(
    desk: Desk, operator: str, change: dict[str, Any]
) -> None:
    desk.ask("open_batch", operator, product="P", number="1")
    desk.ask("run_challenge", operator)
    for strip in json.loads((desk.folder / "kit" / "kit.json").read_text())["strips"]:
        fields = {"name": strip["name"], "verdict": strip["expected"],
                  "reason": strip["expected_reason"]}  # fmt: skip
        if strip["name"] == "crack":
            fields |= change
        desk.strip(mode="challenge", **fields)
    body = {"command_id": desk.sent[-1]["command_id"], "command": "challenge", "ok": True}
    desk.spool(support.COMMAND, body)
    assert desk.kinds()[-1] == "challenge_failed"
    wrong = [s["name"] for s in desk.last("challenge_failed")["strips"] if not s["right"]]
    assert wrong == ["crack"]
    assert not desk.ask("start_batch", operator)["ok"]
    assert desk.ask("challenge_status")["last"]["passed"] is False
    desk.ask("run_challenge", operator)
    assert desk.obey()[-1]["passed"]
    assert desk.ask("start_batch", operator)["ok"]


def test_a_strip_too_few_or_twice_fails_the_challenge(desk: Desk, operator: str) -> None:
    desk.ask("open_batch", operator, product="P", number="1")
    for names in (["good", "crack"], ["good", "crack", "lost", "lost"]):
        desk.ask("run_challenge", operator)
        for name in names:
            verdict = "accept" if name == "good" else "reject"
            reason = {"good": "none", "crack": "defect", "lost": "frame_missing"}[name]
            desk.strip(mode="challenge", name=name, verdict=verdict, reason=reason)
        body = {"command_id": desk.sent[-1]["command_id"], "command": "challenge", "ok": True}
        desk.spool(support.COMMAND, body)
        assert desk.kinds()[-1] == "challenge_failed"


def test_a_challenge_gets_too_old(desk: Desk, operator: str) -> None:
    desk.prepared(operator)
    desk.now_ns += 8 * HOUR_NS + 1
    operator = str(desk.ask("login", user="otto", password=PASSWORD)["token"])
    answer = desk.ask("start_batch", operator)
    assert answer["error"] == "the challenge is older than 8 hours; run it again"


def test_a_challenge_is_of_one_batch(desk: Desk, operator: str) -> None:
    desk.prepared(operator)
    assert close(desk, operator)["ok"]
    desk.ask("open_batch", operator, product="P", number="2")
    assert not desk.ask("start_batch", operator)["ok"]


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"bundle_sha256": "cd" * 32}, "expected a kit for the bundle abababababab… that runs"),
        ({"strips": [{"name": "a", "frames": [], "expected": "accept", "expected_reason": None}]},
         "expected strips to accept and strips to reject"),
        ({"format": 2}, "format"),
        ({"strips": []}, "strips"),
    ],
)  # fmt: skip
def test_a_kit_that_challenges_nothing_is_refused(
    desk: Desk, operator: str, change: dict[str, Any], error: str
) -> None:
    path = desk.folder / "kit" / "kit.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    desk.ask("open_batch", operator, product="P", number="1")
    answer = desk.ask("run_challenge", operator)
    assert answer["code"] == "state"
    assert error in answer["error"]
    assert desk.sent == []


def test_a_bundle_changed_under_a_batch(desk: Desk, operator: str, engineer: str) -> None:
    desk.prepared(operator)
    desk.begin(bundle_sha256="cd" * 32)
    answer = desk.ask("start_batch", operator)
    assert (
        "was opened with the bundle abababababab…, the inspector runs cdcdcdcdcdcd…"
        in (answer["error"])
    )
    assert close(desk, engineer, why="wrong bundle")["ok"]


def test_the_inspector_refuses(desk: Desk, operator: str) -> None:
    desk.prepared(operator)
    deferred = desk.actions.handle({"action": "start_batch", "token": operator, "origin": "web"})
    assert desk.batches.state["pending"]["command_id"] == deferred.command.command_id
    (answer,) = desk.obey(ok=False, error="the worker does not start")
    assert answer["error"] == "the inspector did not do it: the worker does not start"
    assert desk.ask("batch_status")["status"] == "prepared"
    assert "batch_started" not in desk.kinds()


def test_only_one_command_at_a_time(desk: Desk, operator: str) -> None:
    desk.prepared(operator)
    desk.actions.handle({"action": "start_batch", "token": operator, "origin": "web"})
    sent = len(desk.sent)
    assert desk.ask("start_batch", operator)["code"] == "busy"
    assert desk.ask("run_challenge", operator)["code"] == "busy"
    assert len(desk.sent) == sent


def test_a_halt_waits_for_nothing(desk: Desk, operator: str) -> None:
    desk.prepared(operator)
    desk.actions.handle({"action": "start_batch", "token": operator, "origin": "web"})
    start = desk.sent[-1]
    halt = desk.actions.handle(
        {"action": "command", "command": "halt", "token": operator, "origin": "web"}
    ).command.packet
    for packet in (start, halt):
        desk.spool(support.COMMAND, {**packet, "ok": True})
    assert desk.ask("batch_status")["status"] == "halted"


def test_unreachable_inspector(desk: Desk, operator: str) -> None:
    desk.started(operator)
    desk.is_reachable = False
    answer = desk.ask("halt_batch", operator, why="x")
    assert answer["error"] == "the inspector is not reachable; check the station"


def test_a_crash_holds_the_batch(desk: Desk, operator: str, engineer: str) -> None:
    batch = desk.started(operator)
    for _ in range(3):
        desk.strip()
    desk.begin()
    assert desk.ask("batch_status")["status"] == "held"
    held = desk.last("batch_held")
    assert (held["batch"], held["actor"]) == (batch, "recorder")
    assert desk.ask("resume_batch", operator, why="looked at it")["ok"]
    desk.strip()
    answer = close(desk, operator)
    assert answer["code"] == "state"
    assert "ended without a" in answer["error"]
    assert desk.last("refused")["counts"]["inspector"] is None
    assert desk.ask("batch_status")["status"] == "halted"
    assert close(desk, engineer)["code"] == "state"
    closed = close(desk, engineer, why="power was cut at 10:15; strips were thrown away")
    assert closed["ok"]
    assert closed["counts"]["agree"] is False
    assert closed["counts"]["recorded"]["triggers"] == 4
    assert desk.last("batch_closed")["why"].startswith("power was cut")


def test_a_crash_during_a_command(desk: Desk, operator: str) -> None:
    desk.prepared(operator)
    desk.actions.handle({"action": "start_batch", "token": operator, "origin": "web"})
    (answer,) = (answer for _, answer in desk.begin().answers)
    assert answer["error"] == "the inspector did not do it: it began anew"
    assert desk.ask("batch_status")["status"] == "prepared"


def test_a_crash_during_a_challenge(desk: Desk, operator: str) -> None:
    desk.ask("open_batch", operator, product="P", number="1")
    desk.ask("run_challenge", operator)
    desk.begin()
    assert desk.kinds()[-1] == "challenge_failed"
    assert desk.ask("batch_status")["status"] == "prepared"
    assert desk.ask("challenge_status")["running"] is False


def test_counts_that_differ_need_an_engineer_and_a_why(
    desk: Desk, operator: str, engineer: str
) -> None:
    batch = desk.started(operator)
    for _ in range(5):
        desk.strip()
    desk.counts[batch]["triggers"] = 6
    answer = close(desk, operator)
    assert "the inspector counted 6 strips" in answer["error"]
    assert "recorded are 5 strips" in answer["error"]
    assert "An engineer can close the batch and say why" in answer["error"]
    assert not close(desk, engineer)["ok"]
    assert close(desk, engineer, why="known")["ok"]


def test_the_machine_counted_more(desk: Desk, operator: str) -> None:
    batch = desk.started(operator)
    desk.strip(machine_count=1)
    desk.spool(support.EVENT, {"event": "lost_triggers", "text": "2", "lost": 2, "batch": batch})
    desk.strip(machine_count=4)
    assert "the machine counted 4 strips, recorded are 2" in close(desk, operator)["error"]


def test_gaps_count(desk: Desk, operator: str) -> None:
    batch = desk.started(operator)
    desk.strip()
    gap = {"from_strip": 8, "to_strip": 10, "count": 3, "batch": batch, "reason": "not_ready"}
    desk.spool(support.GAP, gap)
    desk.counts[batch] = {"triggers": 4, "accepted": 1, "rejected": {"not_ready": 3}}
    answer = close(desk, operator)
    assert answer["ok"], answer
    assert answer["counts"]["recorded"] == desk.counts[batch]


def test_closing_needs_the_password_and_a_meaning(desk: Desk, operator: str) -> None:
    desk.started(operator)
    sent = len(desk.sent)
    assert close(desk, operator, password="wrong password")["code"] == "denied"
    assert desk.last("login_failed")["purpose"] == "close_batch"
    assert "meaning" in close(desk, operator, meaning=" ")["error"]
    assert len(desk.sent) == sent


def test_closing_without_the_inspector(desk: Desk, operator: str, engineer: str) -> None:
    desk.started(operator)
    desk.strip()
    desk.is_reachable = False
    assert "the inspector is not reachable" in close(desk, operator)["error"]
    answer = close(desk, engineer, why="the computer is replaced")
    assert answer["ok"], answer
    assert answer["counts"]["agree"] is False
    assert desk.ask("batch_status")["status"] == "idle"


def test_a_halted_batch_may_need_a_new_challenge(tmp_path: Path) -> None:
    desk = Desk(tmp_path, on_resume=True)
    desk.begin()
    engineer = desk.user("eva", "engineer")
    desk.started(engineer)
    desk.ask("halt_batch", engineer, why="x")
    answer = desk.ask("resume_batch", engineer, why="y")
    assert answer["error"] == "a batch that was halted needs a new challenge; run it again"
    desk.ask("run_challenge", engineer)
    desk.obey()
    assert desk.ask("resume_batch", engineer, why="y")["ok"]
    desk.close()


def test_an_inspector_that_produces_by_itself_is_halted(desk: Desk, operator: str) -> None:
    desk.prepared(operator)
    assert desk.batches.halt_stray() is None
    desk.spool(support.COMMAND, {"command_id": 999, "command": "produce", "ok": True})
    command = desk.batches.halt_stray()
    assert command is not None
    assert command.packet["command"] == "halt"
    assert desk.last("command")["actor"] == "recorder"
    desk.spool(support.COMMAND, {**command.packet, "ok": True})
    assert desk.batches.halt_stray() is None


def test_a_command_without_a_batch(desk: Desk, operator: str, engineer: str) -> None:
    assert desk.ask("command", operator, command="halt", why="safety")["ok"]
    assert desk.ask("command", operator, command="produce")["code"] == "invalid"
    assert desk.ask("command", engineer, command="shutdown", why="maintenance")["ok"]
    assert [packet["command"] for packet in desk.sent] == ["halt", "shutdown"]


def test_counts_are_at_most_two_seconds_old(desk: Desk, operator: str) -> None:
    desk.started(operator)
    asked = {"action": "batch_status", "token": None, "origin": "web"}
    assert desk.actions.handle(asked)["counts"]["recorded"]["triggers"] == 0
    desk.strip()
    desk.now_s += 2.0
    assert desk.actions.handle(asked)["counts"]["recorded"]["triggers"] == 0
    desk.now_s += 0.01
    assert desk.actions.handle(asked)["counts"]["recorded"]["triggers"] == 1
