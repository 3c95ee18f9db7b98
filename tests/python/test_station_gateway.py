"""The example of a machine's gateway, against a station that the test plays by the protocol."""

import queue
import shutil
import socket
import struct
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from station_support import short_folder

EXAMPLE = Path(__file__).resolve().parents[2] / "cpp" / "examples" / "machine_gateway.c"
MAGIC = 0x314D5356
PATIENCE_S = 30.0


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler is here")
    out = tmp_path_factory.mktemp("gateway") / "machine_gateway"
    flags = ("-std=c11", "-pedantic", "-Wall", "-Wextra", "-Werror", "-D_GNU_SOURCE")
    subprocess.run([compiler, *flags, str(EXAMPLE), "-o", str(out)], check=True)
    return out


class Machine:
    """The gateway with its machine: products in, gate out; and the station's end of its socket."""

    def __init__(self, program: Path, path: Path) -> None:
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.listener.bind(str(path))
        self.listener.listen(1)
        self.listener.settimeout(PATIENCE_S)
        self.process = subprocess.Popen(
            [str(program), str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._gate: queue.Queue[str] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.station = self._accepted()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._gate.put(line.strip())

    def _accepted(self) -> socket.socket:
        connection, _ = self.listener.accept()
        connection.settimeout(PATIENCE_S)
        return connection

    def accept_again(self) -> None:
        self.station = self._accepted()

    def gate(self) -> str:
        return self._gate.get(timeout=PATIENCE_S)

    def gate_rests(self) -> bool:
        return self._gate.empty()

    def product(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def requested(self) -> tuple[int, int, int, int]:
        """Type, strip, time and count of the gateway's next packet."""
        packet = self.station.recv(1024)
        assert len(packet) == 64
        magic, kind, strip, time_ns, count = struct.unpack("<IIQqQ32x", packet)
        assert magic == MAGIC
        return kind, strip, time_ns, count

    def say(self, strip: int, *, valid: int, accept: int, magic: int = MAGIC) -> None:
        bits = (1, 0, valid, accept, 0, 1)
        self.station.send(
            struct.pack("<IIQQ6BHIIQQQ", magic, 16, strip, 1, *bits, 0, 0, 0, 9, 8, 0)
        )

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        for end in (self.process.stdin, self.process.stdout, self.station, self.listener):
            if end is not None:
                end.close()


@pytest.fixture
def machine(program: Path) -> Iterator[Machine]:
    with short_folder() as folder:
        made = Machine(program, folder / "machine.sock")
        try:
            assert made.gate() == "gate 0"
            yield made
        finally:
            made.close()


def test_accepted_product_opens_the_gate_until_the_next_comes(machine: Machine) -> None:
    machine.product()
    assert machine.requested() == (1, 1, 0, 1)
    machine.say(1, valid=1, accept=1)
    assert machine.gate() == "gate 1"
    assert machine.requested()[:2] == (2, 1)
    machine.product()
    assert machine.gate() == "gate 0"
    assert machine.requested() == (1, 2, 0, 2)


def test_rejected_product_leaves_it_shut(machine: Machine) -> None:
    machine.product()
    machine.requested()
    machine.say(1, valid=1, accept=0)
    assert machine.requested()[:2] == (2, 1)
    assert machine.gate_rests()


def test_verdict_of_another_strip_counts_for_nothing(machine: Machine) -> None:
    machine.product()
    machine.requested()
    machine.say(7, valid=1, accept=1)
    machine.say(1, valid=0, accept=1)
    machine.say(1, valid=1, accept=0)
    assert machine.requested()[:2] == (2, 1)
    assert machine.gate_rests()


def opened(machine: Machine) -> None:
    machine.product()
    machine.requested()
    machine.say(1, valid=1, accept=1)
    assert machine.gate() == "gate 1"
    machine.requested()


def test_station_that_says_nothing_shuts_it(machine: Machine) -> None:
    opened(machine)
    assert machine.gate() == "gate 0"


def test_station_that_went_away_shuts_it_and_is_found_again(machine: Machine) -> None:
    opened(machine)
    machine.station.close()
    assert machine.gate() == "gate 0"
    machine.accept_again()
    machine.product()
    assert machine.requested()[1] == 2
    machine.say(2, valid=1, accept=1)
    assert machine.gate() == "gate 1"


def test_stranger_is_not_believed(machine: Machine) -> None:
    machine.product()
    machine.requested()
    machine.say(1, valid=1, accept=1, magic=1)
    machine.accept_again()
    assert machine.gate_rests()


def test_end_of_the_machine_shuts_it(machine: Machine) -> None:
    opened(machine)
    assert machine.process.stdin is not None
    machine.process.stdin.close()
    assert machine.gate() == "gate 0"
    assert machine.process.wait(PATIENCE_S) == 0


def test_path_that_no_socket_can_have(program: Path) -> None:
    done = subprocess.run([str(program), "x" * 108], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "at most 107 bytes" in done.stderr
