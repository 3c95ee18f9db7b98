"""Where the time of a network goes: what each executed layer took, and what it should have.

A runtime fuses: what it executes under one name are several operations of the graph. An operation
that was not executed under its own name belongs to the first executed one that it feeds.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from vialsight.line.benchmark.operations import Operation


@dataclass(frozen=True, kw_only=True)
class Layer:
    """One executed piece of a network for one batch; `ms` is the median of its profiled runs.

    `bytes` are inputs, outputs and weights, each once: what a run with empty caches must move.
    `shape` is without the batch; `operations` are those of the graph in it, as far as is known.
    """

    name: str
    kind: str
    shape: str
    flop: int
    bytes: int
    ms: float
    operations: tuple[str, ...] = ()


def layers_of(operations: Sequence[Operation], executed: Mapping[str, float]) -> list[Layer]:
    """Return layers of a graph's operations, from the milliseconds of what was executed by name.

    Names that are in no operation (a runtime's own reorderings) become layers without FLOP. The
    FLOP of all layers are those of all operations.
    """
    owners = _owners(operations, executed)
    members: dict[str, list[Operation]] = {name: [] for name in executed}
    for operation in operations:
        owner = owners.get(operation.name)
        if owner is not None:
            members.setdefault(owner, []).append(operation)
    return [_layer(name, found, executed.get(name, 0.0)) for name, found in members.items()]


def table(layers: Iterable[Layer], peak_gflops: float | None) -> list[dict[str, Any]]:
    """Return layers as rows, the slowest first, with their share of time and of the peak.

    `lost_ms` is what would be gained if the layer ran at the peak; None without a peak.
    """
    ordered = sorted(layers, key=lambda layer: -layer.ms)
    total = sum(layer.ms for layer in ordered) or 1.0
    return [
        {**asdict(layer), "share_of_time": layer.ms / total, **_against(layer, peak_gflops)}
        for layer in ordered
    ]


def by_shape(layers: Iterable[Layer], peak_gflops: float | None) -> list[dict[str, Any]]:
    """Return rows as `table`, one for all layers of a kind and shape, with their number."""
    groups: dict[tuple[str, str], list[Layer]] = defaultdict(list)
    for layer in layers:
        groups[layer.kind, layer.shape].append(layer)
    merged = [
        Layer(
            name=f"{len(found)}",
            kind=kind,
            shape=shape,
            flop=sum(layer.flop for layer in found),
            bytes=sum(layer.bytes for layer in found),
            ms=sum(layer.ms for layer in found),
        )
        for (kind, shape), found in groups.items()
    ]
    rows = table(merged, peak_gflops)
    return [
        {"layers": int(row["name"])} | {k: v for k, v in row.items() if k not in _OF_ONE}
        for row in rows
    ]


_OF_ONE = ("name", "operations")


def _against(layer: Layer, peak_gflops: float | None) -> dict[str, float | None]:
    if peak_gflops is None or layer.ms <= 0.0:
        return {"share_of_peak": None, "lost_ms": None}
    needed_ms = layer.flop / peak_gflops / 1e6
    return {"share_of_peak": needed_ms / layer.ms, "lost_ms": layer.ms - needed_ms}


def _owners(operations: Sequence[Operation], executed: Mapping[str, float]) -> dict[str, str]:
    """Return for each operation the executed name it belongs to; constants belong to none."""
    owners = {o.name: o.name for o in operations if o.name in executed}
    consumers: dict[str, list[str]] = defaultdict(list)
    producers: dict[str, list[str]] = {}
    working = [o for o in operations if not o.constant]
    for operation in working:
        producers[operation.name] = [v.producer for v in operation.inputs if not v.constant]
        for producer in producers[operation.name]:
            consumers[producer].append(operation.name)
    for operation in reversed(working):
        _adopt(operation.name, consumers[operation.name], owners)
    # What feeds nothing, an output that was renamed, belongs to what it is made of.
    for operation in working:
        _adopt(operation.name, producers[operation.name], owners)
    for operation in working:
        if operation.flop:
            owners.setdefault(operation.name, operation.name)
    return owners


def _adopt(name: str, relatives: Iterable[str], owners: dict[str, str]) -> None:
    if name not in owners:
        owner = next((owners[each] for each in relatives if each in owners), None)
        if owner is not None:
            owners[name] = owner


def _layer(name: str, members: Sequence[Operation], ms: float) -> Layer:
    if not members:
        return Layer(name=name, kind="runtime's own", shape="", flop=0, bytes=0, ms=ms)
    first = max(members, key=lambda operation: operation.flop)
    named = next((o for o in members if o.name == name), first)
    shown = first if first.flop else named
    return Layer(
        name=name,
        kind=shown.kind,
        shape=shown.shape,
        flop=sum(operation.flop for operation in members),
        bytes=_bytes(members),
        ms=ms,
        operations=tuple(operation.name for operation in members),
    )


def _bytes(members: Sequence[Operation]) -> int:
    """Return the bytes of what enters and leaves a group; what stays inside is never written."""
    own = {operation.name for operation in members}
    entering = {
        (value.producer, value.shape): value.bytes
        for operation in members
        for value in operation.inputs
        if value.producer not in own
    }
    read = {v.producer for operation in members for v in operation.inputs}
    leaving = [v.bytes for o in members if o.name not in read for v in o.outputs[:1]]
    return sum(entering.values()) + sum(leaving)
