#!/usr/bin/env python3
"""Changes decision and inspector in one place at a time; counts which changes the tests notice.

usage: tools/mutants.py [--count N] [--seed S] [--list] [--only TEXT] [--build FOLDER]
                        [CMAKE OPTION ...]

Each mutant is one operator, constant, condition or statement changed in a copy of the sources; the
tests of the core are built with it and run with a time limit. A mutant that does not compile is
left out. EQUIVALENT names those that change nothing anyone could see, each with its reason.
exit 0: at least 95 % of the others are killed; 1: fewer are; 2: the tests fail without a mutant.
"""

import argparse
import contextlib
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BOUND = 95.0
SOURCES = (
    "cpp/include/vialsight/decision.h",
    "cpp/src/scoring/decision.cc",
    "cpp/src/inspector/inspector",
)
COPIED = ("cpp", "tests/cpp", "CMakeLists.txt", "pyproject.toml")
# Whole runs of the tests take a minute or less; a mutant that waits for ever is killed by it.
TIME_LIMIT_S = 120.0
# What kills most mutants comes first, in seconds; then what else decision and inspector are in.
QUICK_TESTS = (
    "Inspector*:StripSlot*:Decide*:Verdict*:NameOf*:*PatchIsDefective*:BatchCost*:RefusedFrame*:"
    "ScorePatches*:FrameStamp*:FlatFrame*:FrameDigest*:IdleTest*"
)
OTHER_TESTS = (
    "*PositiveRelease*:Handshake*:*CApi*:*Fork*:BackendLoader*:WorkerTest*:Scheduling*:Handles*"
)

# (pattern, replacement): one match of the pattern is replaced.
OPERATORS: tuple[tuple[str, str], ...] = (
    (r" <= ", " < "),
    (r" >= ", " > "),
    (r" < ", " <= "),
    (r" > ", " >= "),
    (r" == ", " != "),
    (r" != ", " == "),
    (r" && ", " || "),
    (r" \|\| ", " && "),
    (r"\+\+(?=\w)", "--"),
    (r"\btrue\b", "false"),
    (r"\bfalse\b", "true"),
    (r"Verdict::kReject", "Verdict::kAccept"),
    (r"Verdict::kAccept", "Verdict::kReject"),
    (r"Reason::k(?!None)\w+", "Reason::kNone"),
    (r"FrameState::k(?!Scored)\w+", "FrameState::kScored"),
    (r"\bif \((?!Status|const|!?status)", "if (!"),
    (r" \+ 1\b", " + 2"),
    (r"= 0;", "= 1;"),
    (r" - (?=\w)", " + "),
    (r"^(\s+)\w[\w.:>\[\]()-]*( [+|]?= |\()[^{}]*;$", r"\1;"),
)

# Nobody can see these: what --list prints behind the name, and why.
EQUIVALENT: dict[str, str] = {
    "inspector_impl.h: std::size_t set_ = 0; → std::size_t set_ = 1;": "open() sets it before use",
    "inspector_impl.h: std::atomic<std::uint64_t> heartbeat_ = 0; → "
    "std::atomic<std::uint64_t> heartbeat_ = 1;": "a heartbeat speaks by changing",
    "inspector_slot.cc: const std::size_t count = std::min(frames.size(), "
    "static_cast<std::size_t>(bundle_.layout().frames) + 1); → const std::size_t count = "
    "std::min(frames.size(), static_cast<std::size_t>(bundle_.layout().frames) + 2);": (
        "the second frame too many is refused as the first was"
    ),
}


@dataclass(frozen=True)
class Mutant:
    path: str
    line: int
    before: str
    after: str

    @property
    def change(self) -> str:
        """The change without its line, which moves: `decision.cc: a < b → a <= b`."""
        return f"{Path(self.path).name}: {self.before.strip()} → {self.after.strip()}"

    @property
    def name(self) -> str:
        """File, line, column and what changed there; nothing is left of a statement but `;`."""
        same = common_length(self.before, self.after)
        tail = common_length(self.before[same:][::-1], self.after[same:][::-1])
        # Whole words, so that the change can be read.
        while same > 0 and not self.before[same - 1].isspace():
            same -= 1
        before, after = (text[same : len(text) - tail] for text in (self.before, self.after))
        place = f"{Path(self.path).name}:{self.line}:{same + 1}"
        return f"{place}: `{before.strip()}` → `{after.strip()}`"


def common_length(one: str, other: str) -> int:
    """How many characters both begin with."""
    pairs = zip(one, other, strict=False)
    shorter = min(len(one), len(other))
    return next((index for index, (a, b) in enumerate(pairs) if a != b), shorter)


def sources() -> list[str]:
    found = []
    for start in SOURCES:
        path = ROOT / start
        if path.is_file():
            found.append(start)
        else:
            found += sorted(str(p.relative_to(ROOT)) for p in path.parent.glob(path.name + "*"))
    return found


def is_code(line: str) -> bool:
    stripped = line.strip()
    if not stripped or stripped.startswith(("//", "#", "case ", "template", "static_assert")):
        return False
    return '"' not in stripped and "operator" not in stripped and "= default" not in stripped


def mutants_of(path: str) -> Iterator[Mutant]:
    for number, line in enumerate((ROOT / path).read_text().splitlines(), start=1):
        if not is_code(line):
            continue
        code = line.split("//")[0].rstrip()
        for pattern, replacement in OPERATORS:
            for match in re.finditer(pattern, code):
                changed = code[: match.start()] + match.expand(replacement) + code[match.end() :]
                # A condition is negated as a whole.
                if pattern.startswith(r"\bif"):
                    changed = negated(code, match)
                if changed != code:
                    yield Mutant(path, number, code, changed)


def negated(code: str, match: re.Match[str]) -> str:
    """`if (a && b)` becomes `if (!(a && b))`; a condition that does not end on its line is left."""
    start = match.end() - 1 if match.group().endswith("!") else match.end()
    depth = 1
    for index in range(start, len(code)):
        depth += {"(": 1, ")": -1}.get(code[index], 0)
        if depth == 0:
            condition = code[start:index]
            if ";" in condition:
                return code
            return f"{code[:start]}!({condition}){code[index:]}"
    return code


def choose(count: int, seed: int) -> list[Mutant]:
    """`count` mutants drawn from all, the same for a seed; at most one of a kind per line."""
    everything = [mutant for path in sources() for mutant in mutants_of(path)]
    everything = list({mutant.change + str(mutant.line): mutant for mutant in everything}.values())
    chosen = random.Random(seed).sample(everything, min(count, len(everything)))
    return sorted(chosen, key=lambda mutant: (mutant.path, mutant.line, mutant.after))


class Workshop:
    """A copy of the sources, in which one mutant at a time is built and tested."""

    def __init__(self, folder: Path, options: list[str]) -> None:
        self._sources = folder / "sources"
        self._build = folder / "build"
        self._environment = os.environ | {"GTEST_BRIEF": "1", "GTEST_FAIL_FAST": "1"}
        shutil.rmtree(self._sources, ignore_errors=True)
        # With new times: in a used folder the last mutant's object is younger than its source.
        for name in COPIED:
            source, target = ROOT / name, self._sources / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, target, copy_function=shutil.copy)
            else:
                shutil.copy(source, target)
        configure = ["cmake", "-S", str(self._sources), "-B", str(self._build), "-G", "Ninja"]
        configure += [
            "-DCMAKE_BUILD_TYPE=Debug",
            "-DCMAKE_CXX_FLAGS_DEBUG=-O1 -D_GLIBCXX_ASSERTIONS",
        ]
        configure += ["-DVIALSIGHT_TESTS=ON", "-DVIALSIGHT_TENSORFLOW=OFF", *options]
        configure += ["-DVIALSIGHT_WERROR=OFF"]  # a mutant may be ugly, as long as it compiles
        subprocess.run(configure, check=True, stdout=subprocess.DEVNULL)

    def build(self) -> bool:
        command = ["cmake", "--build", str(self._build), "--target", "core_tests"]
        return subprocess.run(command, check=False, capture_output=True).returncode == 0

    def tests_pass(self) -> bool:
        return self._run(QUICK_TESTS) and self._run(OTHER_TESTS)

    def _run(self, tests: str) -> bool:
        command = [str(self._build / "tests/cpp/core_tests"), f"--gtest_filter={tests}"]
        # A group of its own, so that a mutant's worker processes end with it.
        process = subprocess.Popen(
            command,
            env=self._environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            return process.wait(TIME_LIMIT_S) == 0
        except subprocess.TimeoutExpired:
            return False
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def survives(self, mutant: Mutant) -> bool | None:
        """Whether the tests pass with it; None when it does not compile."""
        target = self._sources / mutant.path
        original = target.read_text()
        lines = original.splitlines(keepends=True)
        lines[mutant.line - 1] = mutant.after + "\n"
        try:
            target.write_text("".join(lines))
            return self.tests_pass() if self.build() else None
        finally:
            target.write_text(original)


def judge(workshop: Workshop, mutants: list[Mutant]) -> bool:
    """Builds and tests every mutant, prints each one's fate; whether the bound holds."""
    killed = survived = 0
    for mutant in mutants:
        if mutant.change in EQUIVALENT:
            print(f"equivalent  {mutant.name}: {EQUIVALENT[mutant.change]}", flush=True)
            continue
        started = time.monotonic()
        survives = workshop.survives(mutant)
        fate = {None: "no code", True: "SURVIVED", False: "killed"}[survives]
        killed += survives is False
        survived += survives is True
        print(f"{fate:11} {mutant.name} ({time.monotonic() - started:.0f} s)", flush=True)
    total = killed + survived
    percent = 100.0 * killed / total if total else 0.0
    print(
        f"{killed} of {total} mutants killed, {percent:.1f} %; at least {BOUND:.0f} % are asked for"
    )
    return percent >= BOUND


def main() -> int:
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--count", type=int, default=80, metavar="N", help="mutants to draw (80)")
    parser.add_argument("--seed", type=int, default=1, metavar="S", help="draw others (1)")
    parser.add_argument("--list", action="store_true", help="name the mutants and stop")
    parser.add_argument("--only", default="", metavar="TEXT", help="only with this in the name")
    parser.add_argument("--build", type=Path, default=ROOT / "build/mutants", metavar="FOLDER")
    arguments, options = parser.parse_known_args()
    mutants = [m for m in choose(arguments.count, arguments.seed) if arguments.only in m.name]
    if arguments.list:
        print(*(f"{mutant.name}\n    {mutant.change}" for mutant in mutants), sep="\n")
        return 0
    workshop = Workshop(arguments.build.resolve(), options)
    if not (workshop.build() and workshop.tests_pass()):
        print("error: the tests must pass without a mutant; run ctest first", file=sys.stderr)
        return 2
    return 0 if judge(workshop, mutants) else 1


if __name__ == "__main__":
    sys.exit(main())
