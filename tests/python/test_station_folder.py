"""A new station's folder, its services and its units."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from station_support import write_station

from vialsight.errors import BundleError, ConfigError
from vialsight.station import folder as folders
from vialsight.station import local_accounts, services, units
from vialsight.station.config import StationConfig, load_station
from vialsight.station.record.reading import RecordReader
from vialsight.station.refusal import Refusal

SOURCE = folders.parse_source("gige:127.0.0.9")


@pytest.fixture
def station(tmp_path: Path, tiny_calibrated_bundle: Path) -> StationConfig:
    return folders.make_station(tmp_path / "Line 7", tiny_calibrated_bundle, source=SOURCE)


class TestMaking:
    def test_what_is_written_is_what_was_asked(
        self, tmp_path: Path, tiny_calibrated_bundle: Path
    ) -> None:
        kit = tmp_path / "kit"
        made = folders.make_station(
            tmp_path / "line",
            tiny_calibrated_bundle,
            source=SOURCE,
            name="left-3",
            kit=kit,
            web_port=8001,
            opcua_port=8002,
        )
        assert made.name == "left-3"
        assert made.bundle == tiny_calibrated_bundle
        assert (made.source.kind, made.source.camera) == ("gige", "127.0.0.9")
        assert made.challenge.kit == kit
        assert (made.web.port, made.opcua.port) == (8001, 8002)

    def test_all_else_is_as_the_schema_has_it(self, station: StationConfig) -> None:
        plain = StationConfig(name=station.name, bundle=station.bundle, source=station.source)
        assert station.model_copy(update={"dir": Path()}) == plain

    def test_every_key_is_one_of_the_schema(self, station: StationConfig) -> None:
        text = yaml.safe_load((station.dir / "station.yaml").read_text())
        assert set(text) <= set(StationConfig.model_fields)

    def test_named_after_the_folder(self, station: StationConfig) -> None:
        assert station.name == "line-7"

    def test_folders_are_the_owners_alone(self, station: StationConfig) -> None:
        below = ("run", "spool", "frames", "web", "opcua")
        for path in (station.dir, *(station.dir / name for name in below)):
            assert path.stat().st_mode & 0o777 == 0o700, path

    @pytest.mark.parametrize(
        "path", ["with space/frames", 'quote"d', "line\nbreak", "colon: #hash", "ünïcode"]
    )
    def test_paths_of_all_kinds(
        self, tmp_path: Path, tiny_calibrated_bundle: Path, path: str
    ) -> None:
        made = folders.make_station(
            tmp_path / "line",
            tiny_calibrated_bundle,
            source=folders.parse_source(f"stream:{tmp_path}/{path}"),
        )
        assert made.source.path == tmp_path / path

    def test_a_station_is_not_written_over(
        self, station: StationConfig, tiny_calibrated_bundle: Path
    ) -> None:
        with pytest.raises(ConfigError, match="exists"):
            folders.make_station(station.dir, tiny_calibrated_bundle, source=SOURCE)

    def test_bundle_without_thresholds(self, tmp_path: Path, tiny_bundle: Path) -> None:
        with pytest.raises(BundleError, match="vialsight calibrate"):
            folders.make_station(tmp_path / "line", tiny_bundle, source=SOURCE)
        assert not (tmp_path / "line").exists()

    def test_name_that_is_none(self, tmp_path: Path, tiny_calibrated_bundle: Path) -> None:
        with pytest.raises(ConfigError, match=r"name: .*got 'Line 1'"):
            folders.make_station(
                tmp_path / "line", tiny_calibrated_bundle, source=SOURCE, name="Line 1"
            )

    @pytest.mark.parametrize("text", ["usb", "stream", "stream:", "folder:", "", "gig:1"])
    def test_source_that_is_none(self, text: str) -> None:
        with pytest.raises(ConfigError, match="--source: expected gige"):
            folders.parse_source(text)

    @pytest.mark.parametrize(
        ("name", "expected"),
        [("Line_7 (left)", "line-7-left"), ("-", "station"), ("x" * 40, "x" * 32)],
    )
    def test_name_of_a_folder(self, name: str, expected: str) -> None:
        assert folders.name_of(Path(name)) == expected


class TestAccounts:
    def test_first_engineer_with_a_password_of_their_own(self, station: StationConfig) -> None:
        with local_accounts.opened(station) as accounts:
            assert local_accounts.add_first_engineer(accounts, "anna", "long enough 1") is None
            found = accounts.check_password("anna", "long enough 1", "cli", "login")
            assert (found.role, found.must_change) == ("engineer", False)

    def test_first_engineer_without(self, station: StationConfig) -> None:
        with local_accounts.opened(station) as accounts:
            made = local_accounts.add_first_engineer(accounts, "anna", None)
            assert made is not None
            assert accounts.check_password("anna", made, "cli", "login").must_change

    def test_password_that_is_refused_adds_nobody(self, station: StationConfig) -> None:
        with local_accounts.opened(station) as accounts:
            with pytest.raises(Refusal, match="expected 10 to"):
                local_accounts.add_first_engineer(accounts, "anna", "short")
            assert accounts.all() == []

    def test_one_that_was_forgotten(self, station: StationConfig) -> None:
        with local_accounts.opened(station) as accounts:
            local_accounts.add_first_engineer(accounts, "anna", "long enough 1")
            new = local_accounts.reset(accounts, "anna")
            assert accounts.check_password("anna", new, "cli", "login").must_change

    def test_every_change_is_an_entry(self, station: StationConfig) -> None:
        with local_accounts.opened(station) as accounts:
            local_accounts.add_first_engineer(accounts, "anna", "long enough 1")
            local_accounts.add(accounts, "ben", "operator")
        reader = RecordReader(station.paths.record)
        bodies = [entry.value() for entry in reader.entries(kinds=["account"])]
        reader.close()
        assert [(body["action"], body["user"]) for body in bodies] == [
            ("add_user", "anna"),
            ("change_password", "anna"),
            ("add_user", "ben"),
        ]
        assert "long enough 1" not in json.dumps(bodies)

    def test_not_beside_a_writer(self, station: StationConfig) -> None:
        with (
            local_accounts.opened(station),
            pytest.raises(local_accounts.RecorderRuns, match="its recorder runs"),
            local_accounts.opened(station),
        ):
            pass


def config_of(folder: Path, **sections: Any) -> StationConfig:
    return load_station(write_station(folder, **sections))


def arguments(config: StationConfig) -> dict[str, str | None]:
    """The inspector's options, and their values."""
    _, *words = services.inspector_command(config)
    found: dict[str, str | None] = {}
    for word, after in zip(words, [*words[1:], "--"], strict=True):
        if word.startswith("--"):
            found[word] = None if after.startswith("--") else after
    return found


class TestServices:
    def test_inspector(self, tmp_path: Path) -> None:
        config = config_of(
            tmp_path,
            name="left",
            source={"kind": "gige", "camera": "10.0.0.2", "packet_bytes": 1500},
            slot_ms=400,
            budget_ms=333.5,
            margin_ms=3,
            isolation="in_process",
            scheduling={"priority": 30, "cpus": [2, 3], "lock_memory": True, "threads": 2},
        )
        assert arguments(config) == {
            "--name": "left",
            "--dir": str(tmp_path),
            "--bundle": str(tmp_path / "bundle.vsb"),
            "--source": "gige:10.0.0.2,packet=1500",
            "--slot-ms": "400",
            "--budget-ms": "333.5",
            "--margin-ms": "3",
            "--isolation": "in_process",
            "--threads": "2",
            "--priority": "30",
            "--cpus": "2,3",
            "--lock-memory": None,
        }

    @pytest.mark.parametrize(
        ("source", "expected"),
        [
            ({"kind": "gige"}, "gige:"),
            ({"kind": "stream", "path": "/run/pipe"}, "stream:/run/pipe"),
            ({"kind": "folder", "path": "/data/strips"}, "folder:/data/strips"),
        ],
    )
    def test_source(self, tmp_path: Path, source: dict[str, str], expected: str) -> None:
        config = config_of(tmp_path, source=source, scheduling={"priority": 0})
        assert arguments(config)["--source"] == expected

    def test_auto_is_what_the_system_allows(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        config = config_of(tmp_path)
        for allowed, expected in ((True, "40"), (False, "0")):
            monkeypatch.setattr(services, "may_have_priority", lambda _, answer=allowed: answer)
            assert arguments(config)["--priority"] == expected

    def test_highest_priority_is_the_control_threads(self, tmp_path: Path) -> None:
        config = config_of(tmp_path / "a", scheduling={"priority": 98})
        assert arguments(config)["--priority"] == "98"
        with pytest.raises(ConfigError, match="98"):
            config_of(tmp_path / "b", scheduling={"priority": 99})

    def test_asking_what_the_system_allows_changes_nothing(self) -> None:
        before = os.sched_getscheduler(0)
        services.may_have_priority(1)
        assert os.sched_getscheduler(0) == before

    def test_inspector_stops_before_the_recorder(self, tmp_path: Path) -> None:
        found = {s.name: s for s in services.services_of(config_of(tmp_path), tmp_path)}
        assert list(found) == ["inspector", "recorder", "web", "opcua"]
        assert found["inspector"].stop_rank < found["recorder"].stop_rank
        assert [name for name, service in found.items() if not service.background] == ["inspector"]

    def test_left_out(self, tmp_path: Path) -> None:
        config = config_of(tmp_path, opcua={"enabled": False})
        names = [s.name for s in services.services_of(config, tmp_path, without=["web"])]
        assert names == ["inspector", "recorder"]

    def test_addresses(self, tmp_path: Path) -> None:
        config = config_of(tmp_path, web={"host": "::1", "port": 81}, opcua={"port": 82})
        assert services.page_address(config) == "http://[::1]:81/"
        assert services.opcua_address(config) == "opc.tcp://127.0.0.1:82/"


class TestUnits:
    @pytest.fixture
    def written(self, tmp_path: Path) -> dict[str, str]:
        config = config_of(tmp_path / "station", name="left")
        paths = units.write_units(config, tmp_path / "station", tmp_path / "units", user="root")
        return {path.name: path.read_text() for path in paths}

    def test_one_for_each_process(self, written: dict[str, str]) -> None:
        services = ("inspector", "recorder", "web", "opcua")
        names = [f"vialsight-left-{service}.service" for service in services]
        assert list(written) == ["vialsight-left.target", *names]

    def test_what_is_left_out(self, tmp_path: Path) -> None:
        config = config_of(tmp_path, web={"enabled": False})
        assert not any("web" in name for name in units.unit_texts(config, tmp_path, user="root"))

    def test_only_the_inspector_may_have_priority(self, written: dict[str, str]) -> None:
        for name, text in written.items():
            is_inspector = "inspector" in name
            assert ("LimitRTPRIO=99" in text) == is_inspector
            if name.endswith(".service"):
                assert ("CPUSchedulingPolicy=idle" in text) != is_inspector
                assert "NoNewPrivileges=yes" in text
                assert "Restart=always" in text

    def test_started_as_the_supervisor_starts_them(
        self, written: dict[str, str], tmp_path: Path
    ) -> None:
        for service in ("recorder", "web", "opcua"):
            text = written[f"vialsight-left-{service}.service"]
            module = f"vialsight.station.{service}"
            assert f"ExecStart={sys.executable} -m {module} {tmp_path / 'station'}\n" in text

    def test_systemd_understands_them(self, tmp_path: Path, written: dict[str, str]) -> None:
        if shutil.which("systemd-analyze") is None:
            pytest.skip("systemd-analyze is not here")
        paths = [str(tmp_path / "units" / name) for name in written]
        done = subprocess.run(
            ["systemd-analyze", "verify", *paths], capture_output=True, text=True, check=False
        )
        # It also speaks of units of this machine that are not ours.
        ours = [line for line in done.stderr.splitlines() if "vialsight" in line]
        assert ours == []

    @pytest.mark.parametrize("name", ["with space", "per%cent", "semi;colon", "dollar$"])
    def test_path_that_cannot_stand_in_a_unit(self, tmp_path: Path, name: str) -> None:
        config = config_of(tmp_path)
        with pytest.raises(ConfigError, match="without spaces"):
            units.write_units(config, tmp_path / name, tmp_path / "units", user="root")


def test_inspector_of_a_unit_reads_the_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vialsight.station import inspector

    config = config_of(tmp_path, scheduling={"priority": 0})
    became: list[tuple[str, tuple[str, ...]]] = []
    monkeypatch.setattr(sys, "argv", ["inspector", str(tmp_path)])
    monkeypatch.setattr(os, "execv", lambda path, command: became.append((path, command)))
    inspector.main()
    command = services.inspector_command(config)
    assert became == [(command[0], command)]


def test_inspector_of_a_unit_without_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from vialsight.station import inspector

    monkeypatch.setattr(sys, "argv", ["inspector", str(tmp_path)])
    assert inspector.main() == 2
    assert "inspector: " in capsys.readouterr().err
