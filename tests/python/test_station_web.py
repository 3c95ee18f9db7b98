"""The page, asked directly: who may see and do what, and what it says to forgeries."""

import re
import time
from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("starlette", reason="the extra 'station' is not installed")

from starlette.testclient import TestClient
from station_support import wait_until
from station_web_support import PASSWORD, ROLES, Station, application, station

from vialsight.station.record.reading import RecordReader
from vialsight.station.web.actions import ACTIONS
from vialsight.station.web.pages import VIEWS

ORIGIN = "http://localhost"
SEEN_BY = {
    "now": ROLES,
    "rejects": ROLES,
    "counts": ROLES,
    "trend": ROLES,
    "batch": ROLES,
    "alarms": ROLES,
    "log": ("engineer", "auditor"),
    "what-if": ("engineer",),
    "users": ("engineer", "auditor"),
    "account": ROLES,
}
# Who may, whatever the state of the batch: any answer but 403 is the recorder's word on the state.
DONE_BY = {
    "open_batch": ("operator", "engineer"),
    "run_challenge": ("operator", "engineer"),
    "start_batch": ("operator", "engineer"),
    "halt_batch": ("operator", "engineer"),
    "resume_batch": ("operator", "engineer"),
    "close_batch": ("operator", "engineer"),
    "acknowledge_alarm": ("operator", "engineer"),
    "note": ROLES,
    "review": ("auditor",),
    "add_user": ("engineer",),
    "set_role": ("engineer",),
    "disable_user": ("engineer",),
    "reset_password": ("engineer",),
    "change_password": ROLES,
}
FIELDS = {
    "open_batch": {"product": "P", "number": "1"},
    "halt_batch": {"why": "test"},
    "resume_batch": {"why": "test"},
    "close_batch": {"password": PASSWORD, "meaning": "responsible", "why": "test"},
    "acknowledge_alarm": {"id": "1", "why": "test"},
    "note": {"text": "seen"},
    "review": {"password": PASSWORD, "meaning": "reviewed", "up_to": "1"},
    "add_user": {"user": "new", "role": "operator", "full_name": "New"},
    "set_role": {"user": "new", "role": "auditor"},
    "disable_user": {"user": "new"},
    "reset_password": {"user": "new"},
    "change_password": {"old": PASSWORD, "new": PASSWORD + "!"},
}


@pytest.fixture(scope="module")
def running() -> Iterator[Station]:
    with station() as made:
        made.start_batch()
        for _ in range(3):
            made.strip()
        made.strip(accept=False)
        made.wait_recorded()
        yield made


@pytest.fixture
def client(running: Station) -> Iterator[TestClient]:
    with TestClient(application(running.folder), base_url=ORIGIN, follow_redirects=False) as made:
        yield made


def csrf_of(page: str) -> str:
    match = re.search(r'name="csrf" value="([0-9a-f]{64})"', page)
    assert match is not None
    return match[1]


def log_in(client: TestClient, user: str, password: str = PASSWORD) -> Any:
    csrf = csrf_of(client.get("/login").text)
    form = {"csrf": csrf, "user": user, "password": password}
    return client.post("/login", data=form, headers={"origin": ORIGIN})


def enter(client: TestClient, running: Station, role: str) -> None:
    """Come with a session that is there already: the recorder lets nobody log in too often."""
    client.cookies.clear()
    client.cookies.set("vialsight_session", str(running.people[role].token))


def do(client: TestClient, action: str, form: dict[str, str], **headers: str) -> Any:
    csrf = csrf_of(client.get("/account").text)
    return client.post(
        f"/do/{action}", data={"csrf": csrf, **form}, headers={"origin": ORIGIN, **headers}
    )


def test_tables_above_name_every_view_and_action() -> None:
    assert set(SEEN_BY) == set(VIEWS)
    assert set(DONE_BY) == set(ACTIONS)


@pytest.mark.parametrize("path", ["/", *(f"/{view}" for view in SEEN_BY), "/rejects/4"])
def test_strangers_see_nothing_but_the_login(client: TestClient, path: str) -> None:
    answer = client.get(path, follow_redirects=True)
    assert str(answer.url) == f"{ORIGIN}/login"
    assert 'id="data"' not in answer.text
    assert "data-key" not in answer.text


@pytest.mark.parametrize(
    "path", ["/events", "/trend.json", "/frames/4/0.jpg", "/snap/a/0/0.jpg", "/snap/a/0/scene.json"]
)
def test_strangers_get_no_data(client: TestClient, path: str) -> None:
    assert client.get(path).status_code == 401
    assert client.get("/log.jsonl").headers["location"] == "/login"


@pytest.mark.parametrize("role", ROLES)
def test_each_role_sees_its_views(running: Station, client: TestClient, role: str) -> None:
    enter(client, running, role)
    for view, roles in SEEN_BY.items():
        assert client.get(f"/{view}").status_code == (200 if role in roles else 403), view
    assert client.get("/log.jsonl").status_code == (200 if role in SEEN_BY["log"] else 403)
    shown = set(re.findall(r'data-key="(\d)"', client.get("/now").text))
    assert len(shown) == sum(role in roles for roles in SEEN_BY.values())


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("action", DONE_BY)
def test_each_role_does_what_it_may(role: str, action: str, rights: Any) -> None:
    status = rights(role, action)
    if role in DONE_BY[action]:
        # 503: the challenge that the role before asked for is still being carried out.
        assert status in (303, 400, 409, 503), status
    else:
        assert status == 403


@pytest.fixture(scope="module")
def rights() -> Iterator[Any]:
    """Asks for an action in a role at a station of its own, since actions change it."""
    with station() as made:
        app = application(made.folder)
        with TestClient(app, base_url=ORIGIN, follow_redirects=False) as shared:

            def ask(role: str, action: str) -> int:
                enter(shared, made, role)
                form = dict(FIELDS.get(action, {}))
                if action == "change_password":
                    form["old"] = "not the password"
                    return 303 if do(shared, action, form).status_code == 403 else 500
                return int(do(shared, action, form).status_code)

            yield ask


def test_an_action_that_is_not_allowed_is_recorded(running: Station, client: TestClient) -> None:
    enter(client, running, "auditor")
    assert do(client, "halt_batch", {"why": "mischief"}).status_code == 403
    reader = RecordReader(running.folder / "record.sqlite")
    (refused,) = reader.entries(kinds=("refused",), newest=True, limit=1)
    assert refused.actor == "auditor"
    assert refused.value()["action"] == "halt_batch"
    reader.close()


def test_what_was_done_is_told_once_and_recorded(running: Station, client: TestClient) -> None:
    enter(client, running, "operator")
    answer = do(client, "note", {"text": "Filter <changed> & cleaned"})
    assert answer.status_code == 303
    assert "The note is recorded." in client.get(answer.headers["location"]).text
    assert "The note is recorded." not in client.get(answer.headers["location"]).text
    enter(client, running, "engineer")
    assert "Filter &lt;changed&gt; &amp; cleaned" in client.get("/log").text


def test_first_passwords_are_shown_once_and_must_be_changed(
    running: Station, client: TestClient
) -> None:
    enter(client, running, "engineer")
    form = {"user": "fresh", "role": "operator", "full_name": "Fresh"}
    answer = do(client, "add_user", form)
    page = client.get(answer.headers["location"]).text
    match = re.search(r'<code class="secret">([^<]+)</code>', page)
    assert match is not None
    assert match[1] not in client.get(answer.headers["location"]).text
    client.cookies.clear()
    assert log_in(client, "fresh", match[1]).headers["location"] == "/account"
    assert client.get("/now").headers["location"] == "/account"
    assert client.get("/trend.json").status_code == 401
    changed = do(client, "change_password", {"old": match[1], "new": "another horse 8"})
    assert changed.status_code == 303
    assert client.get("/now").status_code == 200


@pytest.mark.parametrize(
    ("user", "password"),
    [("operator", "wrong"), ("nobody", PASSWORD), ("", ""), ("operator\0", PASSWORD), ("ü", "ü")],
)
def test_whatever_is_wrong_the_login_says_the_same(
    client: TestClient, user: str, password: str
) -> None:
    answer = log_in(client, user, password)
    assert answer.status_code == 401
    assert "Name or password is wrong, or the account is locked." in answer.text
    assert "vialsight_session" not in answer.cookies


def test_the_session_cookie_is_closed_to_scripts_and_other_sites(client: TestClient) -> None:
    cookie = log_in(client, "operator").headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie


def test_logging_out_ends_the_session_at_the_recorder(client: TestClient) -> None:
    log_in(client, "operator")
    token = client.cookies["vialsight_session"]
    csrf = csrf_of(client.get("/account").text)
    client.post("/logout", data={"csrf": csrf}, headers={"origin": ORIGIN})
    client.cookies.clear()
    client.cookies.set("vialsight_session", token)
    assert client.get("/now").headers["location"] == "/login"


@pytest.mark.parametrize("token", ["x" * 43, "A" * 5000, "'; DROP TABLE session; --", "", "ü" * 40])
def test_forged_sessions_lead_to_the_login(client: TestClient, token: str) -> None:
    headers = {"cookie": f"vialsight_session={token}".encode("latin-1", "replace")}
    assert client.get("/now", headers=headers).headers["location"] == "/login"


def test_a_session_that_ended_leads_to_the_login(running: Station, client: TestClient) -> None:
    log_in(client, "auditor")
    assert client.get("/now").status_code == 200
    token = client.cookies["vialsight_session"]
    assert running.recorder.client(origin="web").request("logout", token=token)["ok"]
    wait_until(lambda: client.get("/now").status_code == 303, 8)


def test_a_form_without_its_token_is_refused(running: Station, client: TestClient) -> None:
    enter(client, running, "operator")
    for csrf in ("", "0" * 64, "ü", csrf_of(client.get("/account").text)[:-1]):
        answer = client.post(
            "/do/note", data={"csrf": csrf, "text": "x"}, headers={"origin": ORIGIN}
        )
        assert answer.status_code == 403, csrf


def test_a_token_of_another_session_is_refused(running: Station, client: TestClient) -> None:
    enter(client, running, "operator")
    csrf = csrf_of(client.get("/account").text)
    client.cookies.clear()
    enter(client, running, "engineer")
    answer = client.post("/do/note", data={"csrf": csrf, "text": "x"}, headers={"origin": ORIGIN})
    assert answer.status_code == 403


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "https://localhost"},
        {"origin": "http://localhost:81"},
        {"sec-fetch-site": "cross-site"},
        {"referer": "http://evil.example/localhost"},
        {},
    ],
)
def test_forms_of_other_sites_are_refused(
    running: Station, client: TestClient, headers: dict[str, str]
) -> None:
    enter(client, running, "operator")
    form = {"csrf": csrf_of(client.get("/account").text), "text": "x"}
    assert client.post("/do/note", data=form, headers=headers).status_code == 403
    assert client.post("/logout", data=form, headers=headers).status_code == 403
    form |= {"user": "operator", "password": PASSWORD}
    assert client.post("/login", data=form, headers=headers).status_code == 403


def test_nothing_is_done_by_a_link(running: Station, client: TestClient) -> None:
    enter(client, running, "operator")
    for path in ("/do/halt_batch", "/logout", "/preferences"):
        assert client.get(path).status_code in (404, 405)


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "", "a b", "[::1"])
def test_names_that_are_not_ours_are_refused(client: TestClient, host: str) -> None:
    assert client.get("/login", headers={"host": host}).status_code == 421


@pytest.mark.parametrize("host", ["127.0.0.1:8480", "[::1]:8480", "192.168.1.5", "LOCALHOST"])
def test_addresses_and_own_names_are_answered(client: TestClient, host: str) -> None:
    assert client.get("/login", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "/static/../app.py",
        "/static/..%2fapp.py",
        "/static/%2e%2e/app.py",
        "/static//etc/passwd",
        "/static/\\..\\app.py",
        "/.git/config",
        "/frames/1/..%2f..%2frecord.sqlite",
        "/now%00",
        "/now;x=1",
        "/%6eow",
        "/" + "a" * 300,
    ],
)
def test_path_tricks_are_refused(running: Station, client: TestClient, path: str) -> None:
    enter(client, running, "engineer")
    answer = client.request("GET", f"{ORIGIN}{path}")
    assert answer.status_code in (400, 404)
    assert len(answer.content) < 40


@pytest.mark.parametrize(
    "path",
    [
        "/now/",
        "/nothing",
        "/static/app.py",
        "/static/page.css.map",
        "/frames/1/record.sqlite",
        "/frames/99999999999999999999999/0.jpg",
        "/frames/-1/0.jpg",
        "/frames/4/map99.png",
        "/frames/4/mapx.png",
        "/rejects/99999999",
        "/rejects/9999999999999999999999",
        "/rejects/x",
        "/trend.json?batch=77777",
    ],
)
def test_what_is_not_there_is_not_found(running: Station, client: TestClient, path: str) -> None:
    enter(client, running, "engineer")
    assert client.get(path).status_code == 404


@pytest.mark.parametrize("method", ["PUT", "DELETE", "TRACE", "OPTIONS", "PATCH", "PROPFIND"])
def test_other_methods_are_refused(client: TestClient, method: str) -> None:
    assert client.request(method, "/now").status_code == 405


def test_bodies_beyond_the_limit_are_refused(running: Station, client: TestClient) -> None:
    enter(client, running, "operator")
    csrf = csrf_of(client.get("/account").text)
    headers = {"origin": ORIGIN, "content-type": "application/x-www-form-urlencoded"}
    large = f"csrf={csrf}&text=".encode() + b"x" * 20_000
    assert client.post("/do/note", content=large, headers=headers).status_code == 413
    chunks = (large[i : i + 1000] for i in range(0, len(large), 1000))
    assert client.post("/do/note", content=chunks, headers=headers).status_code == 413


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b'{"csrf": "x", "text": "y"}', "application/json"),
        (b"\xff\xfe\x00", "application/x-www-form-urlencoded"),
        (b"csrf=" + b"&a=1" * 100, "application/x-www-form-urlencoded"),
        (b"--x\r\n\r\n", "multipart/form-data; boundary=x"),
        (b"", ""),
    ],
)
def test_other_bodies_are_no_form_of_ours(
    running: Station, client: TestClient, content: bytes, kind: str
) -> None:
    enter(client, running, "operator")
    answer = client.post(
        "/do/note", content=content, headers={"origin": ORIGIN, "content-type": kind}
    )
    assert answer.status_code == 403


@pytest.mark.parametrize(
    ("action", "form"),
    [
        ("note", {"text": ""}),
        ("note", {"text": "   "}),
        ("note", {"text": "x" * 600}),
        ("acknowledge_alarm", {"id": "1e9", "why": "x"}),
        ("acknowledge_alarm", {"id": "-1", "why": "x"}),
        ("acknowledge_alarm", {"id": "٣", "why": "x"}),
        ("acknowledge_alarm", {"id": "9" * 30, "why": "x"}),
        ("halt_batch", {}),
    ],
)
def test_forms_with_wrong_fields_change_nothing(
    running: Station, client: TestClient, action: str, form: dict[str, str]
) -> None:
    enter(client, running, "operator")
    head = head_of(running)
    assert do(client, action, form).status_code == 400
    assert head_of(running) == head


def head_of(running: Station) -> int:
    reader = RecordReader(running.folder / "record.sqlite")
    try:
        return reader.head()[0]
    finally:
        reader.close()


@pytest.mark.parametrize("path", ["/login", "/static/page.js", "/nothing", "/now", "/%00"])
def test_every_answer_carries_the_headers(client: TestClient, path: str) -> None:
    headers = client.get(path).headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "same-origin"
    assert "server" not in headers


def test_pages_need_nothing_that_the_policy_forbids(running: Station, client: TestClient) -> None:
    enter(client, running, "engineer")
    for view in VIEWS:
        page = client.get(f"/{view}").text
        assert not re.search(r'\sstyle="|\son[a-z]+="|javascript:|<style', page), view
        scripts = re.findall(r"<script([^>]*)>", page)
        assert all("src=" in s or 'type="application/json"' in s for s in scripts), view
        assert not re.search(r'(?:src|href|action)="(?:https?:)?//', page), view


def test_too_many_logins_are_slowed_down() -> None:
    with station(people=False) as made:
        app = application(made.folder)
        with TestClient(app, base_url=ORIGIN, follow_redirects=False) as client:
            statuses = [log_in(client, "engineer", f"guess {n}").status_code for n in range(14)]
            assert statuses[0] == 401
            assert statuses[-1] == 429
            assert set(statuses) == {401, 429}


def test_a_recorder_that_is_gone_is_told_and_the_line_still_shown() -> None:
    with station() as made:
        made.tell(mode="production", ready=True)
        made.strip()
        app = application(made.folder, public_now=True)
        with TestClient(app, base_url=ORIGIN, follow_redirects=False) as client:
            made.recorder.kill()
            answer = log_in(client, "operator")
            assert answer.status_code == 503
            assert "Inspection goes on" in answer.text
            made.tell()
            assert '"shown":"accept"' in client.get("/now").text.replace("\\u0022", '"')


def test_the_wall_display_sees_the_line_and_nothing_else() -> None:
    with station(people=False) as made:
        app = application(made.folder, public_now=True)
        with TestClient(app, base_url=ORIGIN, follow_redirects=False) as client:
            assert client.get("/now").status_code == 200
            for view in set(VIEWS) - {"now"}:
                assert client.get(f"/{view}").headers["location"] == "/login"
            assert client.get("/trend.json").status_code == 401
            assert client.get("/frames/1/0.jpg").status_code == 401


def test_what_the_line_says_cannot_break_out_of_the_page(running: Station) -> None:
    app = application(running.folder, public_now=True)
    running.tell(last_fault="</script><script>alert(1)</script>")
    time.sleep(0.01)
    with TestClient(app, base_url=ORIGIN) as client:
        page = client.get("/now").text
        assert "alert(1)" in page
        assert "<script>alert" not in page


def test_language_and_looks_stay_with_the_browser(running: Station, client: TestClient) -> None:
    enter(client, running, "operator")
    assert '<html lang="de"' in client.get("/now", headers={"accept-language": "de-AT"}).text
    form = {"language": "it", "back": "/account"}
    answer = client.post("/preferences", data=form, headers={"origin": ORIGIN})
    assert answer.headers["location"] == "/account"
    assert '<html lang="it"' in client.get("/now", headers={"accept-language": "de-AT"}).text
    for back in ("//evil.example", "//now", "/\\now", "https://evil.example", "/log?x", ""):
        form = {"theme": "dark", "back": back}
        answer = client.post("/preferences", data=form, headers={"origin": ORIGIN})
        assert answer.headers["location"] == "/login"
