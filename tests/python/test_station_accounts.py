"""Accounts: who may what, lockout, sessions; and every refusal stands in the record."""

from pathlib import Path
from typing import Any

import pytest
from record_support import HOUR_NS, SECOND_NS, Desk
from station_support import PASSWORD

MINUTE_NS = 60 * SECOND_NS


@pytest.fixture
def desk(tmp_path: Path):
    made = Desk(tmp_path)
    made.begin()
    yield made
    made.close()


def login(desk: Desk, user: str, password: str) -> dict[str, Any]:
    return desk.ask("login", user=user, password=password, address="10.0.0.7")


def test_the_first_engineer_is_added_locally_and_no_second_one(desk: Desk) -> None:
    assert desk.ask("add_user", user="eva", role="engineer")["code"] == "denied"
    first = desk.ask("add_user", user="eva", role="engineer", full_name="Eva", origin="cli")
    assert first["ok"]
    again = desk.ask("add_user", user="mallory", role="engineer", full_name="", origin="cli")
    assert again["code"] == "denied"
    assert desk.last("account")["actor"] == "local"


def test_a_first_password_must_be_changed(desk: Desk) -> None:
    made = desk.ask("add_user", user="eva", role="engineer", full_name="", origin="cli")
    entered = login(desk, "eva", made["password"])
    assert entered["must_change"] is True
    token = entered["token"]
    refused = desk.ask("open_batch", token, product="P", number="1")
    assert refused["error"] == "change your first password before anything else"
    assert desk.ask("whoami", token)["role"] == "engineer"
    short = desk.ask("change_password", token, old=made["password"], new="short")
    assert "expected 10 to 256 characters, got 5" in short["error"]
    named = desk.ask("change_password", token, old=made["password"], new="xxEVAxx123456")
    assert "without the user's name" in named["error"]
    same = desk.ask("change_password", token, old=made["password"], new=made["password"])
    assert "another password" in same["error"]
    assert desk.ask("change_password", token, old=made["password"], new=PASSWORD)["ok"]
    assert desk.ask("open_batch", token, product="P", number="1")["ok"]
    assert login(desk, "eva", made["password"])["code"] == "denied"


def test_no_password_and_no_token_is_kept_readable(desk: Desk) -> None:
    token = desk.user("eva", "engineer")
    desk.ask("close_batch", token, password="a secret in a request", meaning="m")
    desk.close()
    content = (desk.folder / "record.sqlite").read_bytes()
    for secret in (PASSWORD, token, "a secret in a request"):
        assert secret.encode() not in content
    desk.__init__(desk.folder)


def test_lockout_after_five_failures_for_fifteen_minutes(desk: Desk) -> None:
    desk.user("eva", "engineer")
    answers = [login(desk, "eva", "wrong password") for _ in range(5)]
    answers.append(login(desk, "eva", PASSWORD))
    answers.append(login(desk, "nobody", PASSWORD))
    assert len({str(answer) for answer in answers}) == 1
    assert answers[0]["code"] == "denied"
    rows = desk.store.connection.execute(
        "SELECT actor, json_extract(body, '$.cause'), json_extract(body, '$.locks') "
        "FROM entry WHERE kind = 'login_failed' ORDER BY id"
    ).fetchall()
    assert rows == [
        *[("eva", "password", 0)] * 4,
        ("eva", "password", 1),
        ("eva", "locked", 0),
        ("nobody", "unknown", 0),
    ]
    desk.now_ns += 15 * MINUTE_NS - 1
    assert not login(desk, "eva", PASSWORD)["ok"]
    desk.now_ns += 1
    assert login(desk, "eva", PASSWORD)["ok"]


def test_a_right_password_forgets_failures(desk: Desk) -> None:
    desk.user("eva", "engineer")
    for _ in range(3):
        for _ in range(4):
            login(desk, "eva", "wrong password")
        assert login(desk, "eva", PASSWORD)["ok"]


def test_a_reset_unlocks_and_ends_sessions(desk: Desk) -> None:
    engineer = desk.user("eva", "engineer")
    operator = desk.user("otto", "operator", engineer)
    for _ in range(5):
        login(desk, "otto", "wrong password")
    made = desk.ask("reset_password", engineer, user="otto", why="forgotten")
    assert desk.ask("whoami", operator)["code"] == "denied"
    assert login(desk, "otto", made["password"])["must_change"] is True
    assert desk.last("account") | {"new": 0, "old": 0} == {
        "action": "reset_password", "user": "otto", "origin": "web", "why": "forgotten",
        "actor": "eva", "new": 0, "old": 0,
    }  # fmt: skip


def test_changes_say_old_and_new(desk: Desk) -> None:
    engineer = desk.user("eva", "engineer")
    desk.user("otto", "operator", engineer)
    assert desk.ask("set_role", engineer, user="otto", role="auditor", why="audit")["ok"]
    entry = desk.last("account")
    assert (entry["old"]["role"], entry["new"]["role"]) == ("operator", "auditor")
    assert (entry["actor"], entry["why"]) == ("eva", "audit")


def test_a_disabled_user_is_out_at_once(desk: Desk) -> None:
    engineer = desk.user("eva", "engineer")
    operator = desk.user("otto", "operator", engineer)
    assert desk.ask("disable_user", engineer, user="otto", why="left")["ok"]
    assert desk.ask("note", operator, text="x")["code"] == "denied"
    assert login(desk, "otto", PASSWORD)["code"] == "denied"
    taken = desk.ask("add_user", engineer, user="otto", role="operator", full_name="")
    assert "exists" in taken["error"]


def test_the_last_engineer_stays(desk: Desk) -> None:
    engineer = desk.user("eva", "engineer")
    for action, more in (("disable_user", {}), ("set_role", {"role": "operator"})):
        refused = desk.ask(action, engineer, user="eva", why="", **more)
        assert refused["error"] == "eva is the last engineer; make another one before"
    desk.user("erna", "engineer", engineer)
    assert desk.ask("set_role", engineer, user="eva", role="operator", why="")["ok"]


@pytest.mark.parametrize(
    ("action", "fields"),
    [
        ("users", {}),
        ("add_user", {"user": "x", "role": "engineer", "full_name": ""}),
        ("set_role", {"user": "otto", "role": "engineer"}),
        ("disable_user", {"user": "eva"}),
        ("reset_password", {"user": "eva"}),
        ("review", {"password": PASSWORD, "meaning": "m", "up_to": 1}),
        ("command", {"command": "shutdown"}),
    ],
)
def test_what_an_operator_may_not(desk: Desk, action: str, fields: dict[str, Any]) -> None:
    operator = desk.user("otto", "operator", desk.user("eva", "engineer"))
    before = desk.store.head[0]
    answer = desk.ask(action, operator, **fields)
    assert (answer["ok"], answer["code"]) == (False, "denied")
    if action != "users":
        refused = desk.last("refused")
        assert (refused["action"], refused["actor"], refused["code"]) == (action, "otto", "denied")
        assert desk.store.head[0] == before + 1
    assert desk.sent == []


@pytest.mark.parametrize(
    "action",
    ["open_batch", "run_challenge", "start_batch", "halt_batch", "resume_batch", "close_batch",
     "command", "acknowledge_alarm", "add_user", "set_role", "disable_user", "reset_password"],
)  # fmt: skip
def test_an_auditor_changes_nothing(desk: Desk, action: str) -> None:
    auditor = desk.user("anna", "auditor", desk.user("eva", "engineer"))
    answer = desk.ask(action, auditor)
    assert (answer["ok"], answer["code"]) == (False, "denied")
    assert desk.last("refused")["actor"] == "anna"


def test_an_auditor_reads_and_reviews(desk: Desk) -> None:
    auditor = desk.user("anna", "auditor", desk.user("eva", "engineer"))
    assert {u["user"] for u in desk.ask("users", auditor)["users"]} == {"anna", "eva"}
    head = desk.store.head[0]
    wrong = desk.ask("review", auditor, password="wrong password", meaning="seen", up_to=head)
    assert wrong["code"] == "denied"
    assert desk.last("login_failed")["purpose"] == "review"
    assert desk.ask("review", auditor, password=PASSWORD, meaning="seen", up_to=10**6)["code"] == (
        "invalid"
    )
    assert desk.ask("review", auditor, password=PASSWORD, meaning="seen", up_to=head)["ok"]
    review = desk.last("review")
    assert review["signature"] == {
        "user": "anna", "full_name": "Anna", "role": "auditor", "meaning": "seen",
    }  # fmt: skip


@pytest.mark.parametrize("token", ["x" * 43, "", None, 7, {"a": 1}, "a" * 10_000, "\ud800"])
def test_a_forged_token_is_refused_and_recorded(desk: Desk, token: Any) -> None:
    desk.user("eva", "engineer")
    answer = desk.ask("open_batch", token, product="P", number="1")
    assert answer == {
        "ok": False, "code": "denied", "error": "expected a session that is open; log in",
    }  # fmt: skip
    refused = desk.last("refused")
    assert (refused["action"], refused["actor"]) == ("open_batch", "unknown")
    assert refused["asked"] == {"product": "P", "number": "1"}


def test_many_forged_requests_are_counted_not_written(desk: Desk) -> None:
    desk.user("eva", "engineer")
    before = desk.store.head[0]
    for _ in range(500):
        desk.actions.handle({"action": "note", "token": "forged", "origin": "web", "text": "x"})
    written = desk.store.head[0] - before
    assert 1 <= written <= 25
    desk.ask("note", "forged", text="x")
    assert desk.last("refused")["unrecorded_before"] == 500 - written


def test_nobody_with_an_account_fills_the_record_either(desk: Desk) -> None:
    auditor = desk.user("anna", "auditor", desk.user("eva", "engineer"))
    asked = {"action": "open_batch", "token": auditor, "origin": "web"}
    before = desk.store.head[0]
    for _ in range(500):
        desk.actions.handle(asked)
    assert desk.store.head[0] - before <= 25
    before = desk.store.head[0]
    codes = [
        desk.actions.handle({**asked, "action": "note", "text": "x" * 4000})["ok"]
        for _ in range(500)
    ]
    assert codes.count(True) <= 100
    assert desk.store.head[0] - before <= 130


def test_a_halt_is_not_held_up_by_notes(desk: Desk) -> None:
    operator = desk.user("otto", "operator", desk.user("eva", "engineer"))
    desk.started(operator)
    for _ in range(500):
        desk.actions.handle({"action": "note", "token": operator, "origin": "web", "text": "x"})
    assert desk.ask("halt_batch", operator, why="stop")["status"] == "halted"


def test_many_logins_are_slowed_down(desk: Desk) -> None:
    desk.user("eva", "engineer")
    codes = [
        desk.actions.handle({"action": "login", "user": "eva", "password": "wrong password",
                             "origin": "web", "address": "10.0.0.9"})["code"]
        for _ in range(30)
    ]  # fmt: skip
    assert codes.count("denied") == 10
    assert codes.count("busy") == 20


def test_sessions_end_after_twelve_hours_or_half_an_hour_without_use(desk: Desk) -> None:
    token = desk.user("eva", "engineer")
    for _ in range(24):
        desk.now_ns += 29 * MINUTE_NS
        assert desk.ask("whoami", token)["ok"]
    desk.now_ns += 20 * MINUTE_NS
    assert desk.ask("whoami", token)["ok"]
    desk.now_ns += 29 * MINUTE_NS
    assert desk.ask("whoami", token)["code"] == "denied"

    token = login(desk, "eva", PASSWORD)["token"]
    desk.now_ns += 32 * MINUTE_NS
    assert desk.ask("whoami", token)["code"] == "denied"


def test_a_page_that_only_looks_does_not_keep_a_session(desk: Desk) -> None:
    token = desk.user("eva", "engineer")
    for _ in range(31):
        desk.now_ns += MINUTE_NS
        answer = desk.ask("whoami", token, passive=True)
    desk.now_ns += MINUTE_NS
    assert answer["ok"]
    assert not desk.ask("whoami", token, passive=True)["ok"]


def test_sessions_outlive_the_recorder(desk: Desk) -> None:
    token = desk.user("eva", "engineer")
    desk.close()
    desk.__init__(desk.folder)
    desk.now_ns += HOUR_NS // 4
    assert desk.ask("whoami", token)["user"] == "eva"
    assert desk.ask("logout", token)["ok"]
    assert not desk.ask("whoami", token)["ok"]
    assert desk.last("logout")["actor"] == "eva"


def test_a_new_password_ends_other_sessions(desk: Desk) -> None:
    token = desk.user("eva", "engineer")
    other = login(desk, "eva", PASSWORD)["token"]
    assert desk.ask("change_password", token, old=PASSWORD, new="another pass 99")["ok"]
    assert desk.ask("whoami", token)["ok"]
    assert not desk.ask("whoami", other)["ok"]


@pytest.mark.parametrize("user", ["", "a b", "../x", "-x", "x" * 65, "ä", "a\n", None, 5])
def test_names_of_users(desk: Desk, user: Any) -> None:
    engineer = desk.user("eva", "engineer")
    answer = desk.ask("add_user", engineer, user=user, role="operator", full_name="")
    assert answer["code"] == "invalid"


@pytest.mark.parametrize(
    "fields",
    [
        {}, {"text": None}, {"text": "x" * 4001}, {"text": ["x"]}, {"text": "\ud800"},
        {"text": "\0"},
    ],
)  # fmt: skip
def test_wrong_fields_are_refused(desk: Desk, fields: dict[str, Any]) -> None:
    engineer = desk.user("eva", "engineer")
    answer = desk.ask("note", engineer, **fields)
    assert answer["error"] == "text: expected a text of at most 4000 characters"
    assert desk.last("refused")["action"] == "note"


@pytest.mark.parametrize(
    "request_",
    [{}, {"action": "nonsense"}, {"action": 5}, {"action": ["login"]}, {"action": None},
     {"action": "whoami", "origin": "moon"}, {"action": "whoami", "origin": {"a": 1}}],
)  # fmt: skip
def test_what_is_no_action(desk: Desk, request_: dict[str, Any]) -> None:
    assert desk.actions.handle(request_)["code"] == "invalid"
