"""`vialsight station` for people: what it writes, asks, refuses."""

import json
from pathlib import Path

import cli_support
import pytest
from station_support import (
    PASSWORD,
    FakeInspector,
    RecorderProcess,
    add_user,
    short_folder,
    write_station,
)

from vialsight.cli import station_options
from vialsight.files import atomic
from vialsight.station import services

NO_INSPECTOR = {"inspector": False, "recorder": False, "web": False, "opcua": False}


@pytest.fixture(autouse=True)
def nobody_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(station_options.PASSWORD, raising=False)
    monkeypatch.delenv(station_options.USER, raising=False)


def init(folder: Path, bundle: Path, *options: object) -> cli_support.Done:
    return cli_support.run("station", "init", folder, "--bundle", bundle, *options)


class TestInit:
    def test_password_is_made_and_shown(self, tmp_path: Path, tiny_calibrated_bundle: Path) -> None:
        done = init(tmp_path / "line", tiny_calibrated_bundle)
        assert "account engineer, first password " in done.stdout
        assert f"vialsight station run {tmp_path / 'line'}" in done.stdout

    def test_password_of_the_environment(
        self, tmp_path: Path, tiny_calibrated_bundle: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv(station_options.PASSWORD, PASSWORD)
        done = init(tmp_path / "line", tiny_calibrated_bundle, "--engineer", "anna")
        assert "first password" not in done.stdout
        listed = cli_support.run("station", "user", "list", tmp_path / "line").stdout
        assert listed.splitlines()[1].split() == ["anna", "engineer", "-", "active"]

    def test_twice(self, tmp_path: Path, tiny_calibrated_bundle: Path) -> None:
        init(tmp_path / "line", tiny_calibrated_bundle)
        arguments = ("station", "init", tmp_path / "line", "--bundle", tiny_calibrated_bundle)
        assert "exists" in cli_support.run(*arguments, code=2).stderr

    def test_no_bundle(self, tmp_path: Path) -> None:
        arguments = ("station", "init", tmp_path / "line", "--bundle", tmp_path / "none.vsb")
        assert "none.vsb" in cli_support.run(*arguments, code=2).stderr


class TestStatus:
    def test_of_one_that_does_not_run(self, tmp_path: Path, tiny_calibrated_bundle: Path) -> None:
        init(tmp_path / "line", tiny_calibrated_bundle, "--web-port", 1, "--opcua-port", 2)
        found = json.loads(cli_support.run("station", "status", tmp_path / "line", "--json").stdout)
        assert found["processes"] == NO_INSPECTOR
        assert found["inspector"] is None
        assert found["record"]["entries"] >= 1
        shown = cli_support.run("station", "status", tmp_path / "line").stdout
        assert "does not run" in shown

    def test_of_no_station(self, tmp_path: Path) -> None:
        assert "station.yaml" in cli_support.run("station", "status", tmp_path, code=2).stderr

    def test_beside_a_recorder(self) -> None:
        with short_folder() as folder:
            write_station(folder)
            with RecorderProcess(folder) as recorder:
                recorder.client().close()
                shown = cli_support.run("station", "status", folder, "--json").stdout
            assert json.loads(shown)["processes"]["recorder"] is True


class TestRun:
    def test_unknown_process(self, tmp_path: Path) -> None:
        write_station(tmp_path)
        done = cli_support.run("station", "run", tmp_path, "--without", "recorder", code=2)
        assert "--without: expected of web and opcua" in done.stderr

    def test_one_that_runs_already(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        write_station(tmp_path)
        monkeypatch.setattr(services, "inspector_program", lambda: Path("/bin/true"))
        with atomic.held_folder(tmp_path / "run", AssertionError()):
            done = cli_support.run("station", "run", tmp_path, code=2)
        assert "this station runs already" in done.stderr

    def test_without_an_inspector(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        write_station(tmp_path)
        monkeypatch.setattr(services, "inspector_program", lambda: tmp_path / "none")
        done = cli_support.run("station", "run", tmp_path, code=2)
        assert "built without the station" in done.stderr


class TestUsers:
    def test_while_no_recorder_runs(self, tmp_path: Path, tiny_calibrated_bundle: Path) -> None:
        line = tmp_path / "line"
        init(line, tiny_calibrated_bundle)
        added = cli_support.run(
            "station", "user", "add", line, "ben", "--role", "auditor", "--full-name", "Ben B."
        )
        assert "account ben, role auditor, first password " in added.stdout
        assert "first password " in cli_support.run("station", "user", "reset", line, "ben").stdout
        rows = cli_support.run("station", "user", "list", line).stdout.splitlines()
        assert [row.split()[:2] for row in rows[1:]] == [
            ["ben", "auditor"],
            ["engineer", "engineer"],
        ]

    def test_role_that_is_none(self, tmp_path: Path, tiny_calibrated_bundle: Path) -> None:
        init(tmp_path / "line", tiny_calibrated_bundle)
        arguments = ("station", "user", "add", tmp_path / "line", "ben", "--role", "boss")
        assert "role: expected operator" in cli_support.run(*arguments, code=2).stderr

    def test_through_the_recorder(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with short_folder() as folder:
            write_station(folder)
            with RecorderProcess(folder) as recorder:
                with recorder.client() as client:
                    add_user(client, "anna", "engineer").close()
                refused = cli_support.run("station", "user", "add", folder, "ben", code=2)
                assert "expected --login USER and its password" in refused.stderr
                monkeypatch.setenv(station_options.PASSWORD, PASSWORD)
                login = ("--login", "anna")
                cli_support.run("station", "user", "add", folder, "ben", *login)
                listed = cli_support.run("station", "user", "list", folder, *login).stdout
                cli_support.run("station", "user", "reset", folder, "ben", *login)
            assert [row.split()[0] for row in listed.splitlines()[1:]] == ["anna", "ben"]


class TestBatch:
    def test_recorder_does_not_run(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        write_station(tmp_path)
        monkeypatch.setenv(station_options.PASSWORD, PASSWORD)
        arguments = ("station", "batch", "start", tmp_path, "--login", "anna")
        assert "the recorder did not answer" in cli_support.run(*arguments, code=2).stderr

    def test_from_open_to_closed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv(station_options.PASSWORD, PASSWORD)
        monkeypatch.setenv(station_options.USER, "anna")

        with short_folder() as folder:
            write_station(folder)

            def batch(verb: str, *options: str, code: int = 0) -> cli_support.Done:
                return cli_support.run("station", "batch", verb, folder, *options, code=code)

            with FakeInspector(folder) as inspector, RecorderProcess(folder) as recorder:
                with recorder.client() as client:
                    add_user(client, "anna", "engineer").close()
                batch("open", "--product", "Saline", "--number", "7")
                assert "run it first" in batch("start", code=2).stderr
                assert "3 strips judged as expected" in batch("challenge").stdout
                batch("start")
                assert "Saline 7: started" in batch("status").stdout
                inspector.strip()
                batch("halt", "--why", "jam")
                batch("resume", "--why", "cleared")
                batch("close")
                assert json.loads(batch("status", "--json").stdout)["status"] == "idle"
                commands = [command["command"] for command in inspector.seen]
        assert commands == ["challenge", "produce", "halt", "produce", "halt"]

    def test_challenge_that_is_not_passed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv(station_options.PASSWORD, PASSWORD)
        monkeypatch.setenv(station_options.USER, "anna")
        with short_folder() as folder:
            write_station(folder)
            kit = json.loads((folder / "kit" / "kit.json").read_text())
            with FakeInspector(folder) as inspector, RecorderProcess(folder) as recorder:
                with recorder.client() as client:
                    add_user(client, "anna", "engineer").close()
                cli_support.run(
                    "station", "batch", "open", folder, "--product", "P", "--number", "1"
                )
                inspector.judged = {kit["strips"][1]["name"]: "accept"}
                done = cli_support.run("station", "batch", "challenge", folder, code=1)
        assert "crack: expected reject (defect), got accept (none)" in done.stderr


def test_kit(tmp_path: Path, tiny_calibrated_bundle: Path, tiny_dataset_folder: Path) -> None:
    arguments = ("station", "kit", tiny_calibrated_bundle, "--data", tiny_dataset_folder)
    out = ("--out", tmp_path / "kit", "--good", "1", "--defective", "1", "--split")
    shown = cli_support.run(*arguments, *out, "test").stdout.splitlines()
    assert [row.split()[1:] for row in shown] == [
        ["expected", "reason"],
        ["accept", "-"],
        ["reject", "defect"],
        ["reject", "frame_invalid"],
        ["reject", "frame_missing"],
        ["reject", "frame_stale"],
    ]
    assert "exists" in cli_support.run(*arguments, *out, "test", code=2).stderr
    more = ("--out", tmp_path / "more", "--good", "1", "--defective", "4")
    assert "expected 4 defective strips" in cli_support.run(*arguments, *more, code=2).stderr


def test_units(tmp_path: Path) -> None:
    write_station(tmp_path, name="left")
    shown = cli_support.run("station", "units", tmp_path, "--out", tmp_path / "units").stdout
    assert str(tmp_path / "units" / "vialsight-left.target") in shown.splitlines()
    assert "User=vialsight" in (tmp_path / "units" / "vialsight-left-web.service").read_text()
