"""What `bench` measured, as tables for people; the JSON has more."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from vialsight.cli import console
from vialsight.line.machine import described

# Rows of the layers; the JSON has all.
_LAYERS: Final = 25
_SHAPES: Final = 12


def print_all(result: Mapping[str, Any]) -> None:
    """Print every part that was measured."""
    for key, value in result["machine"].items():
        console.say(f"{key:<16} {described(value)}")
    runtime = result["runtime"]
    console.say(f"{'bundle':<16} {result['bundle']}, {runtime['name']} in {runtime['precision']}")
    _latency(result)
    for name, show in _PARTS.items():
        if name in result:
            show(result[name])


def _latency(result: Mapping[str, Any]) -> None:
    where = {"in_process": "in this process", "worker": "in a worker"}[result["isolation"]]
    strips = f"{result['strips']} strips of {result['patches_per_strip']} patches"
    console.say(f"\n{strips}, {where}, in ms:")
    if not result["verdicts"]:
        console.say("(not calibrated: located, cut, inferred and scored, without verdicts)")
    _table([{"stage": name, **values} for name, values in result["latency_ms"].items()])
    console.say(f"misses of {result['budget_ms']:g} ms: {result['misses']} of {result['strips']}")


def _isolation(isolated: Mapping[str, Any]) -> None:
    console.say(f"\nms per strip, {isolated['strips']} turns:")
    names = {
        "in process": "in_process_ms",
        "worker": "worker_ms",
        "difference": "worker_minus_in_process_ms",
    }
    _table([{"who": who, **isolated[key]} for who, key in names.items()])


def _startup(started: Mapping[str, Any]) -> None:
    console.say(f"\n{started['starts']} fresh processes each, median (smallest to largest):")
    words = {
        "imported_ms": "start to package imported, ms",
        "loaded_ms": "start to bundle loaded, ms",
        "ready_ms": "start to ready, ms",
        "first_verdict_ms": "start to first verdict, ms",
        "first_strip_ms": "first strip, ms",
        "second_strip_ms": "second strip, ms",
        "process_mib": "largest memory, process, MiB",
        "worker_mib": "largest memory, worker, MiB",
    }
    rows = []
    for key, text in words.items():
        cells = {who: started[who].get(key) for who in ("in_process", "worker")}
        rows.append({"what": text, **{who: _ranged(cell) for who, cell in cells.items()}})
    console.print_table(rows)


def _throughput(found: Mapping[str, Any]) -> None:
    console.say(f"\nnetwork and scores by batch and threads, {found['turns']} turns:")
    console.print_table(
        [
            {
                "threads": row["threads"],
                "batch": row["batch"],
                "ms a patch": _ranged(row["ms_per_patch"]),
                "patches/s": _number(row["patches_per_s"]),
            }
            for row in found["rows"]
        ]
    )


def _peak(peak: Mapping[str, Any]) -> None:
    console.say(f"\nfastest matrix product on {peak['threads']} threads:")
    for precision in ("float32", "bfloat16"):
        row = peak[precision]
        text = "no library computes it here"
        if row is not None:
            rate = _number(row["gflops"]["max"])
            median = _number(row["gflops"]["p50"])
            text = f"{rate} GFLOP/s by {row['library']}, edge {row['size']} (median {median})"
        console.say(f"{precision:<10} {text}")


def _network(network: Mapping[str, Any]) -> None:
    if network["gflop_per_patch"] is None:
        console.say("share of the peak: not told without TensorFlow, which reads the graph")
        return
    share = network["share_of_peak"]
    reached = "no peak to compare with" if share is None else f"{share:.1%} of the peak"
    console.say(
        f"network    {_number(network['gflop_per_patch'])} GFLOP in "
        f"{_number(network['ms_per_patch'])} ms a patch: {_number(network['gflops'])} GFLOP/s, "
        f"{reached}"
    )


def _layers(found: Mapping[str, Any]) -> None:
    console.say(
        f"\nlayers, {found['runtime']} in {found['precision']}, a batch of {found['batch']}, "
        f"medians of {found['runs']}; their sum {_number(found['profiled_ms'])} ms, unprofiled "
        f"{_number(found['whole_ms'])} ms:"
    )
    rows = found["rows"]
    console.print_table([_layer_row(row, row["name"]) for row in rows[:_LAYERS]])
    if len(rows) > _LAYERS:
        rest = sum(row["ms"] for row in rows[_LAYERS:])
        console.say(f"{len(rows) - _LAYERS} more: {_number(rest)} ms (--json has all)")
    console.say("\nby shape, those that lose most against the peak:")
    shapes = sorted(found["by_shape"], key=lambda row: -(row["lost_ms"] or row["ms"]))
    console.print_table([_layer_row(row, f"{row['layers']} x") for row in shapes[:_SHAPES]])


def _layer_row(row: Mapping[str, Any], name: str) -> dict[str, Any]:
    share = row["share_of_peak"]
    return {
        "ms": _number(row["ms"]),
        "time": f"{row['share_of_time']:.1%}",
        "GFLOP": _number(row["flop"] / 1e9),
        "MB": _number(row["bytes"] / 1e6),
        "of peak": "-" if share is None or not row["flop"] else f"{share:.1%}",
        "lost ms": _number(row["lost_ms"]),
        "kind": row["kind"],
        "shape": row["shape"] or "-",
        "layer": name,
    }


def _peers(found: Mapping[str, Any]) -> None:
    console.say(
        f"\nsame weights, {found['threads']} threads, batch {found['batch']}, strips of "
        f"{found['patches']} patches, {found['turns']} turns; ms a patch, median (smallest to "
        "largest); ours/theirs within turns:"
    )
    console.print_table(
        [
            {
                "runtime": row["name"],
                "precision": row["precision"],
                "network": _ranged(row["network_ms_per_patch"]),
                "ours/theirs": _ranged(row["network_ours_over"]),
                "own network/theirs": _ranged(row.get("own_network_over")),
                "strip": _ranged(row["strip_ms_per_patch"]),
                "ours/theirs, strip": _ranged(row["strip_ours_over"]),
                "largest difference": _difference(row.get("largest_difference")),
            }
            for row in found["rows"]
        ]
    )
    if not found["peers_score_too"]:
        console.say(
            f"(this score, {found['score']}, is not 1 - SSIM alone: peers run the network only)"
        )
    _left_out(found["left_out"])
    _ssim(found["ssim"])


def _ssim(found: Mapping[str, Any]) -> None:
    size = found["patch_size"]
    console.say(
        f"\n1 - SSIM of {found['patches']} patches of {size}x{size}, all without the "
        f"{found['edge_left_out']} pixels at each edge; ms a patch:"
    )
    console.print_table(
        [
            {
                "who": row["name"],
                "ms": _ranged(row["ms_per_patch"]),
                "ours/theirs": _ranged(row["ours_over"]),
                "largest difference": f"{row['largest_difference']:.2g}",
            }
            for row in found["rows"]
        ]
    )
    _left_out(found["left_out"])


def _left_out(reasons: Mapping[str, str]) -> None:
    for name, reason in reasons.items():
        console.say(f"left out: {name}: {reason}")


_PARTS: Final = {
    "against_in_process": _isolation,
    "startup": _startup,
    "throughput": _throughput,
    "peak": _peak,
    "network": _network,
    "layers": _layers,
    "peers": _peers,
}


def _table(rows: Sequence[Mapping[str, Any]]) -> None:
    console.print_table(
        [{k: _number(v) if isinstance(v, float) else v for k, v in row.items()} for row in rows]
    )


def _difference(differences: Mapping[str, Mapping[str, float]] | None) -> str:
    if differences is None:
        return "-"
    name, apart = max(differences.items(), key=lambda item: item[1]["of_range"])
    return f"{apart['absolute']:.2g} in {name} ({apart['of_range']:.2%} of its range)"


def _ranged(values: Mapping[str, float] | None) -> str:
    if values is None:
        return "-"
    return f"{_number(values['p50'])} ({_number(values['min'])} to {_number(values['max'])})"


def _number(value: float | None) -> str:
    """Return a number with three significant digits, as far as it has a fraction."""
    if value is None:
        return "-"
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2 if abs(value) >= 1 else 3
    return f"{value:.{digits}f}"
