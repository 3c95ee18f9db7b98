#!/usr/bin/env python3
"""Measures which lines and branches of the C++ core its tests run, and fails below the bounds.

usage: tools/coverage.py [--build FOLDER] [--uncovered] [CMAKE OPTION ...]

Builds the tests with Clang's source-based coverage, runs them, and prints a table by file.
Lines of cpp/src (without the TensorFlow backend, which has a test of its own on a real TensorFlow)
must reach 90 %, branches of decision, inspector, strip slot and bundle 95 %. A branch counts twice:
taken and not taken. exit 0: the bounds hold; 1: they do not, or a test failed; 2: a tool is
missing.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
LINE_BOUND = 90.0
BRANCH_BOUND = 95.0
# How the names of a family's files begin.
BRANCH_FAMILIES = {
    "bundle": ("bundle", "calibration_record", "manifest_fields"),
    "decision": ("decision",),
    "inspector": ("inspector",),
    "strip_slot": ("strip_slot",),
}
EXCLUDED = {"tensorflow_backend.cc"}
TEST_PROGRAM = "core_tests"
# The worker runs in a process of its own and is the other half of what the tests run.
OTHER_PROGRAMS = ("vialsight-worker",)


@dataclass(frozen=True)
class Count:
    """How many there are, and how many were reached."""

    total: int = 0
    reached: int = 0

    def __add__(self, other: "Count") -> "Count":
        return Count(self.total + other.total, self.reached + other.reached)

    @property
    def percent(self) -> float:
        return 100.0 * self.reached / self.total if self.total else 100.0

    def __str__(self) -> str:
        return f"{self.reached:5}/{self.total:<5}{self.percent:6.1f} %"


@dataclass(frozen=True)
class FileCoverage:
    name: str
    lines: Count
    branches: Count

    @property
    def family(self) -> str | None:
        """The family whose branches are bounded, if it is of one: `bundle_files.cc` is bundle."""
        families = BRANCH_FAMILIES.items()
        return next((name for name, begin in families if self.name.startswith(begin)), None)


def tool(name: str) -> str:
    """The program on the path, also under the name a distribution gives it (`llvm-cov-14`)."""
    versioned = (f"{name}-{version}" for version in range(30, 13, -1))
    for candidate in (name, *versioned):
        if path := shutil.which(candidate):
            return path
    print(f"error: {name} was not found. Run: apt-get install clang llvm", file=sys.stderr)
    sys.exit(2)


def build(folder: Path, options: list[str]) -> None:
    flags = "-fprofile-instr-generate -fcoverage-mapping"
    configure = ["cmake", "-S", str(ROOT), "-B", str(folder), "-G", "Ninja"]
    configure += [f"-DCMAKE_CXX_COMPILER={tool('clang++')}", f"-DCMAKE_CXX_FLAGS={flags}"]
    configure += ["-DCMAKE_BUILD_TYPE=Debug", "-DCMAKE_CXX_FLAGS_DEBUG=-O1"]
    configure += ["-DVIALSIGHT_TESTS=ON", "-DVIALSIGHT_TENSORFLOW=OFF", *options]
    subprocess.run(configure, check=True, stdout=subprocess.DEVNULL)
    subprocess.run(["cmake", "--build", str(folder), "--target", TEST_PROGRAM], check=True)


def find_program(folder: Path, name: str) -> Path | None:
    return next((path for path in folder.rglob(name) if path.is_file()), None)


def run_tests(folder: Path) -> Path:
    """The merged profile of one run of the tests."""
    profiles = folder / "profiles"
    shutil.rmtree(profiles, ignore_errors=True)
    program = find_program(folder, TEST_PROGRAM)
    assert program is not None
    # %p: a process each, because workers end while their supervisor writes.
    environment = os.environ | {"LLVM_PROFILE_FILE": str(profiles / "%p.profraw")}
    subprocess.run([str(program), "--gtest_brief=1"], check=True, env=environment)
    merged = folder / "coverage.profdata"
    raw = [str(path) for path in profiles.glob("*.profraw") if path.stat().st_size > 0]
    merge = [tool("llvm-profdata"), "merge", "-sparse", "--failure-mode=all", *raw]
    subprocess.run([*merge, "-o", str(merged)], check=True)
    return merged


def llvm_cov(folder: Path, profile: Path, command: str, *options: str) -> str:
    programs = [find_program(folder, name) for name in (TEST_PROGRAM, *OTHER_PROGRAMS)]
    first, *others = [str(path) for path in programs if path is not None]
    arguments = [tool("llvm-cov"), command, first, f"-instr-profile={profile}", *options]
    for other in others:
        arguments += ["-object", other]
    result = subprocess.run(arguments, check=True, stdout=subprocess.PIPE, text=True)
    return result.stdout


def count_of(summary: dict[str, Any]) -> Count:
    return Count(summary["count"], summary["covered"])


def read_coverage(folder: Path, profile: Path) -> list[FileCoverage]:
    """Every file of cpp/src, and the public headers with code in them."""
    report = json.loads(llvm_cov(folder, profile, "export", "-summary-only", "-skip-expansions"))
    files = []
    for entry in report["data"][0]["files"]:
        path = Path(entry["filename"])
        inside = path.is_relative_to(ROOT / "cpp/src") or path.is_relative_to(ROOT / "cpp/include")
        if inside and path.name not in EXCLUDED:
            summary = entry["summary"]
            lines, branches = count_of(summary["lines"]), count_of(summary["branches"])
            files.append(FileCoverage(path.name, lines, branches))
    return sorted(files, key=lambda file: file.name)


def check(name: str, count: Count, bound: float) -> bool:
    # Nothing counted is no coverage: paths of another folder, a compiler's cache.
    holds = count.total > 0 and count.percent >= bound
    print(f"{name:32}{count!s:>20}   at least {bound:.0f} %: {'ok' if holds else 'FAILED'}")
    return holds


def report(files: list[FileCoverage]) -> bool:
    """Prints the table; whether all bounds hold."""
    print(f"{'file':32}{'lines':>20}{'branches':>22}")
    for file in files:
        print(f"{file.name:32}{file.lines!s:>20}{file.branches!s:>22}")
    print()
    holds = [check("lines of cpp/src", sum((file.lines for file in files), Count()), LINE_BOUND)]
    for family in BRANCH_FAMILIES:
        branches = sum((file.branches for file in files if file.family == family), Count())
        holds.append(check(f"branches of {family}", branches, BRANCH_BOUND))
    return all(holds)


def print_uncovered(folder: Path, profile: Path) -> None:
    """Lines never run, and branches never taken one way, as `file:line:column`."""
    exported = json.loads(llvm_cov(folder, profile, "export", "-skip-expansions"))
    for entry in exported["data"][0]["files"]:
        path = Path(entry["filename"])
        if not path.is_relative_to(ROOT / "cpp") or path.name in EXCLUDED:
            continue
        name = path.relative_to(ROOT)
        for line, column, _, _, taken, not_taken, *_ in entry["branches"]:
            if not taken or not not_taken:
                print(f"{name}:{line}:{column}: never {'true' if not taken else 'false'}")
        for line, column, count, has_count, is_entry, *_ in entry["segments"]:
            if has_count and is_entry and count == 0:
                print(f"{name}:{line}:{column}: never run")


def main() -> int:
    assert __doc__ is not None
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n", 1)[0], formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--build", type=Path, default=ROOT / "build/coverage", metavar="FOLDER")
    parser.add_argument("--uncovered", action="store_true", help="name what was not reached")
    arguments, options = parser.parse_known_args()
    folder = arguments.build.resolve()
    try:
        build(folder, options)
        profile = run_tests(folder)
    except subprocess.CalledProcessError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if arguments.uncovered:
        print_uncovered(folder, profile)
    return 0 if report(read_coverage(folder, profile)) else 1


if __name__ == "__main__":
    sys.exit(main())
