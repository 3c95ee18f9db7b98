"""Stored pictures are inspected again: the same bits, or it is said why not."""

import base64
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import station_support as support
from cli_support import run
from record_support import Desk

from vialsight import _core
from vialsight.station.record.findings import Findings
from vialsight.station.record.pictures import Pictures, file_bytes, payload_of
from vialsight.station.record.rescoring import (
    INSTRUCTIONS,
    Rescored,
    Rescoring,
    StoredStrip,
    rescore,
)
from vialsight.station.record.verify import open_record

pytestmark = pytest.mark.tensorflow

REPOSITORY = Path(__file__).resolve().parents[2]
HERE = frozenset({"avx2", "fma"})


def make_frames(seed: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    rows, columns = np.indices((80, 96))
    waves = np.sin(rows / random.uniform(5, 9)) + np.cos(columns / random.uniform(5, 9))
    noise = random.normal(0, 3, (3, 80, 96))
    return np.clip(128 + 40 * waves + noise, 0, 255).astype(np.uint8)


def pictures_of(frames: np.ndarray, indices: list[int]) -> Pictures:
    return Pictures(
        frames=frames[indices],
        indices=np.array(indices, np.uint32),
        maps=np.empty((0, 32, 32), np.uint8),
        map_places=np.empty((0, 3), np.uint32),
        map_scales=np.empty((0, 3), np.float32),
    )


class Line:
    """What an inspector says of frames, as the record has it."""

    def __init__(self, bundle: Path) -> None:
        self.bundle = bundle
        self.inspector = _core.Inspector(bundle)

    def start(self, **changes: Any) -> dict[str, Any]:
        return support.start_body(
            bundle_sha256=self.inspector.bundle.sha256, flags=sorted(HERE), threads=1,
            batch_size=self.inspector.batch_size, vialsight=_core.__version__,
        ) | changes  # fmt: skip

    def strip(self, frames: np.ndarray, indices: list[int], **changes: Any) -> dict[str, Any]:
        self.inspector.open(1)
        for index in indices:
            self.inspector.submit(index, frames[index])
        verdict = self.inspector.close()
        scores = verdict.scores.reshape(3, 2, 2)
        body = support.strip_body(
            1, verdict=verdict.verdict, reason=verdict.reason, scores=scores,
            thresholds=verdict.thresholds, vials="".join("01"[v] for v in verdict.vials),
        )  # fmt: skip
        return body | changes


@pytest.fixture(scope="module")
def line(tiny_calibrated_bundle: Path) -> Line:
    return Line(tiny_calibrated_bundle)


def compared(
    line: Line,
    body: dict[str, Any],
    content: bytes,
    *,
    here: frozenset[str] = HERE,
    **start: Any,
) -> tuple[Rescored, list[str]]:
    rescoring, findings = Rescoring(line.bundle, instructions=here), Findings()
    rescoring.check(StoredStrip(7, body, line.start(**start)), content, findings)
    return rescoring.result, [str(finding) for finding in findings.found]


def changed_scores(body: dict[str, Any], change: Any) -> dict[str, Any]:
    scores = np.frombuffer(base64.b64decode(body["scores"]), "<f4").copy()
    change(scores)
    return body | {"scores": base64.b64encode(scores.tobytes()).decode()}


def one_bit(scores: np.ndarray) -> None:
    scores.view(np.uint32)[5] ^= 1


def test_the_same_pictures_give_the_same_bits(line: Line) -> None:
    frames = make_frames(1)
    content = file_bytes(pictures_of(frames, [0, 1, 2]))
    result, found = compared(line, line.strip(frames, [0, 1, 2]), content)
    assert (result.same_bits, result.other_bits, found) == (1, 0, [])


@pytest.mark.parametrize("indices", [[0], [1], [0, 2], [2, 1]])
def test_a_strip_that_lacks_frames(line: Line, indices: list[int]) -> None:
    frames = make_frames(2)
    body = line.strip(frames, sorted(indices))
    assert body["reason"] == "frame_missing"
    content = file_bytes(pictures_of(frames, sorted(indices)))
    result, found = compared(line, body, content)
    assert (result.same_bits, result.other_bits, found) == (1, 0, [])


@pytest.mark.parametrize("portion", [1, 2, 4])
@pytest.mark.parametrize("threads", [1, 2])
def test_other_portions_and_threads(line: Line, portion: int, threads: int) -> None:
    frames = make_frames(3)
    body, content = line.strip(frames, [0, 1, 2]), file_bytes(pictures_of(frames, [0, 1, 2]))
    result, _ = compared(line, body, content, batch_size=portion, threads=threads)
    assert result.other_decision == 0
    assert result.largest < 1e-5


def test_one_bit_is_noticed(line: Line) -> None:
    frames = make_frames(4)
    body = changed_scores(line.strip(frames, [0, 1, 2]), one_bit)
    content = file_bytes(pictures_of(frames, [0, 1, 2]))
    result, found = compared(line, body, content)
    assert (result.same_bits, result.other_bits) == (0, 1)
    assert len(found) == 1
    assert "although instruction sets, program and library are the same here" in found[0]


@pytest.mark.parametrize(
    ("here", "start", "expected"),
    [
        (frozenset({"avx2"}), {}, {"other instruction sets"}),
        (HERE, {"vialsight": "0.0.1"}, {"another version of vialsight"}),
        (HERE, {"runtime_version": "1.0"}, {"another version of tensorflow"}),
    ],
)
def test_one_bit_can_be_explained(
    line: Line, here: frozenset[str], start: dict[str, Any], expected: set[str]
) -> None:
    frames = make_frames(4)
    whole = line.strip(frames, [0, 1, 2])
    body = changed_scores(whole, one_bit)
    content = file_bytes(pictures_of(frames, [0, 1, 2]))
    result, found = compared(line, body, content, here=here, **start)
    assert (found, result.explanations) == ([], expected)
    before, after = (np.frombuffer(base64.b64decode(b["scores"]), "<f4") for b in (whole, body))
    assert result.largest == pytest.approx(np.abs(before - after.astype(np.float64)).max())


def test_a_setting_of_the_library_explains(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    frames = make_frames(4)
    body = changed_scores(line.strip(frames, [0, 1, 2]), one_bit)
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX512_CORE")
    result, found = compared(line, body, file_bytes(pictures_of(frames, [0, 1, 2])))
    assert (found, result.explanations) == ([], {"ONEDNN_MAX_CPU_ISA is set here"})


def test_another_decision_is_never_explained(line: Line) -> None:
    frames = make_frames(5)
    whole = line.strip(frames, [0, 1, 2])

    def decide_otherwise(scores: np.ndarray) -> None:
        threshold = whole["thresholds"][1]
        scores[1] = threshold + 0.1 if scores[1] <= threshold else threshold - 0.1

    body = changed_scores(whole, decide_otherwise)
    content = file_bytes(pictures_of(frames, [0, 1, 2]))
    result, found = compared(line, body, content, here=frozenset())
    assert result.other_decision == 1
    assert found == ["entry 7: inspected again, a patch of it is decided otherwise"]


def test_other_pictures_are_noticed(line: Line) -> None:
    frames = make_frames(6)
    body = line.strip(frames, [0, 1, 2])
    frames[1, 10, 10] ^= 0x80
    _, found = compared(line, body, file_bytes(pictures_of(frames, [0, 1, 2])))
    assert found != []


def test_pictures_that_do_not_fit_are_a_finding(line: Line) -> None:
    frames = make_frames(7)
    body = line.strip(frames, [0, 1, 2])
    for content in (b"", b"nonsense", file_bytes(pictures_of(frames[:, :40], [0, 1, 2]))):
        _, found = compared(line, body, content)
        assert "cannot be inspected again" in found[0]


def test_what_cannot_be_compared_is_counted(line: Line) -> None:
    frames = make_frames(8)
    body, content = line.strip(frames, [0, 1, 2]), file_bytes(pictures_of(frames, [0, 1, 2]))
    result, found = compared(line, body, content, bundle_sha256="ab" * 32)
    assert (dict(result.skipped), found) == ({"inspected with another bundle": 1}, [])
    result, found = compared(line, body | {"scores": None}, content)
    assert (dict(result.skipped), found) == ({"nothing was scored": 1}, [])


def test_instruction_sets_are_those_that_the_inspector_names() -> None:
    source = (REPOSITORY / "cpp" / "station" / "start_record.cc").read_text(encoding="utf-8")
    names = re.search(r"kInstructions = \{(.*?)\}", source, flags=re.DOTALL)
    assert names is not None
    assert tuple(re.findall(r'"(\w+)"', names[1])) == INSTRUCTIONS


def write_record(line: Line, folder: Path) -> Path:
    desk = Desk(folder)
    flags = sorted(Rescoring(line.bundle)._instructions)
    desk.spool(support.START, line.start(flags=flags))
    for number in range(4):
        frames = make_frames(10 + number)
        desk.spool(support.STRIP, line.strip(frames, [0, 2], pictures="kept"))
        seq = desk.seq
        desk.spool(support.PICTURES, payload_of(seq, pictures_of(frames, [0, 2])))
    desk.close()
    return folder / "record.sqlite"


def test_a_record_is_inspected_again(line: Line, tmp_path: Path) -> None:
    record = write_record(line, tmp_path)
    done = run("record", "verify", record, "--bundle", line.bundle)
    assert "rescored  4 strips to the same bits" in done.stdout
    assert "rescored" not in run("record", "verify", record, "--no-rescore", "--bundle",
                                 line.bundle).stdout.replace("rescored  nothing", "")  # fmt: skip
    sealed = tmp_path / "x.vsr"
    run("record", "export", record, "--sealed", sealed)
    run("record", "verify", sealed, "--bundle", line.bundle)
    sorted((tmp_path / "frames").iterdir())[1].unlink()
    file = open_record(record)
    findings = Findings()
    result = rescore(file.rows(), file.picture, Rescoring(line.bundle), findings)
    file.close()
    assert (result.same_bits, dict(result.skipped)) == (3, {"its pictures are not there": 1})


def test_a_bundle_that_cannot_be_used(line: Line, tmp_path: Path) -> None:
    record = write_record(line, tmp_path)
    broken = tmp_path / "broken.vsb"
    shutil.copytree(line.bundle, broken)
    (broken / "model.pb").write_bytes(b"x")
    done = run("record", "verify", record, "--bundle", broken, code=1)
    assert "cannot inspect here" in done.stderr
