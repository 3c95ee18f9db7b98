#!/usr/bin/env python3
"""Times an evaluation of the paper's size: every strip of a kit in 10 runs, report and all.

usage: tools/benchmark_evaluation.py BUNDLE.vsb KIT SCRATCH [--runs 10]

KIT is a dataset folder with one run per strip; its further runs are hard links to the same images
(rendering 2,610 runs takes an hour; reading, inspecting and counting them costs the same). SCRATCH
is a folder for them and the report; it is made anew. One JSON document on stdout.
"""

import argparse
import dataclasses
import json
import os
import resource
import shutil
import time
from pathlib import Path

import vialsight
from vialsight.data import DEFECTS_NAME, Dataset, read_dataset, write_dataset
from vialsight.evaluation.evaluate import evaluate
from vialsight.evaluation.evidence import read_evidence
from vialsight.evaluation.findings import find
from vialsight.line.machine import machine
from vialsight.report import new_report


def with_runs(kit: Dataset, folder: Path, runs: int) -> Dataset:
    """Write a dataset whose strips have `runs` runs, hard links all."""
    records = []
    (folder / "images").mkdir(parents=True)
    for number, record in enumerate(kit.select(split="test").records):
        for run in range(1, runs + 1):
            image = folder / "images" / f"{number:05}_{run:02}{record.image.suffix}"
            os.link(record.image, image)
            records.append(dataclasses.replace(record, image=image, run=run))
    write_dataset(folder, kit.layout, records)
    if (kit.folder / DEFECTS_NAME).exists():
        shutil.copyfile(kit.folder / DEFECTS_NAME, folder / DEFECTS_NAME)
    return read_dataset(folder)


def peak_mib() -> float:
    """Return the largest memory this process has had so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Evaluate, then compute and write the report again from its evidence."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bundle", type=Path)
    parser.add_argument("kit", type=Path)
    parser.add_argument("scratch", type=Path)
    parser.add_argument("--runs", type=int, default=10)
    options = parser.parse_args()
    shutil.rmtree(options.scratch, ignore_errors=True)
    dataset = with_runs(read_dataset(options.kit), options.scratch / "kit", options.runs)
    bundle, out = vialsight.Bundle.load(options.bundle), options.scratch / "report"
    times: dict[str, float] = {}

    started, cpu = time.perf_counter(), time.process_time()
    with evaluate(bundle, dataset, out) as evidence:
        inspected = time.perf_counter()
        new_report(evidence, out)
    times["report_s"] = time.perf_counter() - inspected
    times |= {"all_s": time.perf_counter() - started, "all_cpu_s": time.process_time() - cpu}
    started = time.perf_counter()
    evidence = read_evidence(out)
    times["read_evidence_s"] = time.perf_counter() - started
    started = time.perf_counter()
    find(evidence)
    times["figures_s"] = time.perf_counter() - started
    sizes = {p.name: p.stat().st_size for p in sorted(out.iterdir()) if p.is_file()}
    result = {
        "machine": machine(0),
        "runs": len(evidence.products),
        "strips": len(set(evidence.products)),
        "patches": int(evidence.scores.size),
        "pictures": len(evidence.pictures),
        "times": {name: round(value, 2) for name, value in times.items()},
        "inspection_s": round(float(evidence.times["total_s"].sum()), 2),
        "peak_memory_mib": round(peak_mib()),
        "bytes": sizes,
    }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
