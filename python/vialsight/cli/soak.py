"""The verb that runs a line slot by slot, with its deadlines."""

from contextlib import AbstractContextManager, nullcontext
from typing import Annotated, Any

import typer

from vialsight import _core, quiet
from vialsight.cli import console
from vialsight.cli.model import BundlePath
from vialsight.cli.options import (
    LONGEST_MS,
    LONGEST_SOAK_S,
    Isolation,
    Json,
    Threads,
    finite,
    isolation_of,
)
from vialsight.errors import CheckFailed, DataError
from vialsight.line.machine import described, machine
from vialsight.line.soak import run_slots, scheduling_jitter

# What a verdict may be late: the time to wake up on a busy machine, and no more.
ALLOWED_LATENESS_MS = 50.0
# The last one that a set of CPUs of the system's can hold.
LARGEST_CPU = 1023


def soak(
    bundle: BundlePath,
    *,
    seconds: Annotated[
        float,
        typer.Option(min=1.0, max=LONGEST_SOAK_S, callback=finite, help="How long to run."),
    ] = 60.0,
    slot_ms: Annotated[
        float,
        typer.Option(min=0.1, max=LONGEST_MS, callback=finite, help="From one strip to the next."),
    ] = 500.0,
    interval_ms: Annotated[
        float,
        typer.Option(
            min=0.0,
            max=LONGEST_MS,
            callback=finite,
            help="From one frame of a strip to the next.",
        ),
    ] = 0.0,
    isolation: Isolation = "in_process",
    priority: Annotated[
        int, typer.Option(min=0, max=99, help="SCHED_FIFO priority of what inspects; 0: none.")
    ] = 0,
    cpus: Annotated[str, typer.Option(help="Logical CPUs to stay on, for instance 2,3.")] = "",
    lock_memory: Annotated[
        bool, typer.Option("--lock-memory", help="Keep all memory resident (mlockall).")
    ] = False,
    jitter: Annotated[
        bool, typer.Option("--jitter", help="Run cyclictest meanwhile, to know the machine.")
    ] = False,
    threads: Threads = 0,
    as_json: Json = False,
) -> None:
    """Run slot after slot on random pixels, as a line would, and say how late it got.

    A verdict is due one slot after the slot opened. Late ones are rejected and counted; only one
    that came more than 50 ms behind its deadline makes the exit code 1.
    """
    where = isolation_of(isolation)
    chosen_cpus = _cpus(cpus)
    loaded = _core.Bundle.load(bundle)
    if where == "in_process":
        quiet.load_backend(loaded)
    inspector = _core.Inspector(
        loaded,
        threads=threads,
        require_fresh_frames=True,
        isolation=where,
        priority=priority,
        cpus=chosen_cpus,
        lock_memory=lock_memory,
    )
    beside: AbstractContextManager[dict[str, Any]]
    beside = scheduling_jitter(seconds) if jitter else nullcontext({})
    with console.progress("inspecting") as progress, beside as jitter_us:
        measured = run_slots(
            inspector,
            seconds=seconds,
            budget_s=slot_ms / 1e3,
            interval_s=interval_ms / 1e3,
            progress=lambda done, total: progress(int(done), int(total)),
        )
    result = {
        "bundle": loaded.name,
        "bundle_sha256": loaded.sha256,
        "machine": machine(threads),
        "isolation": isolation,
        "scheduling": {"priority": priority, "cpus": cpus, "lock_memory": lock_memory},
        **measured,
        "cyclictest": jitter_us or None,
    }
    if as_json:
        console.print_json(result)
    else:
        _print(result)
    if result["latest_verdict_ms"] > ALLOWED_LATENESS_MS:
        raise CheckFailed(
            f"a verdict came {result['latest_verdict_ms']:.1f} ms behind its deadline, "
            f"more than {ALLOWED_LATENESS_MS:g} ms; --jitter tells this machine's own lateness"
        )


def _cpus(text: str) -> list[int]:
    try:
        cpus = [int(cpu) for cpu in text.split(",") if text]
    except ValueError:
        cpus = [-1]
    if all(0 <= cpu <= LARGEST_CPU for cpu in cpus):
        return cpus
    raise DataError(f"--cpus: expected numbers from 0 to {LARGEST_CPU}, like 2,3; got {text!r}")


def _print(result: dict[str, Any]) -> None:
    for key, value in result["machine"].items():
        console.say(f"{key:<16} {described(value)}")
    console.say(f"{'isolation':<16} {result['isolation']}")
    console.say(f"\n{result['slots']} slots of {result['budget_ms']:g} ms, in ms:")
    stages = result["latency_ms"].items()
    console.print_table([{"stage": name, **values} for name, values in stages])
    console.say("verdicts: " + ", ".join(f"{name} {n}" for name, n in result["verdicts"].items()))
    if result["frames_not_located"]:
        console.say(f"frames in which the product was not found: {result['frames_not_located']}")
    console.say(f"latest verdict, behind its deadline: {result['latest_verdict_ms']:.2f} ms")
    console.say(f"memory growth: {result['memory_growth_bytes'] / 2**20:.2f} MiB")
    if result["cyclictest"] is not None:
        late = result["cyclictest"]["late_us"]
        text = ", ".join(f"{name} {us:g}" for name, us in late.items())
        console.say(f"this machine's own lateness (cyclictest), in us: {text}")
