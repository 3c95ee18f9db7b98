"""Our strip against the runtimes a user could pick instead: same weights, threads and batch."""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np

from vialsight import _core
from vialsight.aliases import Patches, Progress
from vialsight.bundle import RECONSTRUCTION, read_manifest
from vialsight.line.bench import spread, time_strip
from vialsight.line.benchmark import similarity
from vialsight.line.benchmark.runtimes import (
    LeftOutError,
    Network,
    Peer,
    Run,
    largest_difference,
    peers_of,
)
from vialsight.line.benchmark.sweep import real_patches
from vialsight.line.benchmark.turns import (
    LEAST_TURNS,
    Contender,
    alternate,
    milliseconds,
    ratios,
)
from vialsight.line.machine import cores
from vialsight.line.standin import inspectable
from vialsight.line.strips import made_strip

OURS: Final = "VialSight, inspect"
OURS_PATCHES: Final = "VialSight, score_patches"
# In parts of an output's range; rounding in another order stays far below. What differs more in
# float32 computes something else, and its time would say nothing.
SAME: Final = 1e-2
_NETWORK, _STRIP = "network", "strip"


def compare_with_peers(
    bundle: _core.Bundle,
    *,
    threads: int = 0,
    turns: int = LEAST_TURNS,
    peers: Sequence[Peer] | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Time one strip through the core and through every installed runtime, turn by turn.

    All get the same weights, `threads` (0: all cores) and a frame's patches as a batch. Ours is
    `inspect` of frames (`network`: its infer stage; `strip`: locating and cutting included) and
    `score_patches` of the strip's patches. A peer's `network` is its call for every frame; its
    `strip` adds the score of the strip in Python, where the score is 1 - SSIM alone: by the faster
    of `tf.image.ssim` and scikit-image in the same turn; else it is None. Times are milliseconds a
    patch; `ours_over` are ratios within turns. Outputs are compared first; a peer of our precision
    that differs by more than SAME of an output's range is left out.
    """
    count = threads or cores()
    with inspectable(bundle) as usable, _network_of(bundle, count) as network:
        inspector = _core.Inspector(usable, threads=count)
        patches = real_patches(bundle, bundle.layout.patches_per_strip)
        pair = _pair(patches, inspector)
        made, left_out = _made(network, peers_of(bundle) if peers is None else peers)
        differences = _differences(inspector, patches[: network.batch], made)
        wrong = _wrong(bundle, made, differences)
        timed = {name: run for name, (_, run) in made.items() if name not in wrong}
        contenders: dict[str, Contender] = {
            OURS: _inspecting(inspector, made_strip(bundle, seed)),
            OURS_PATCHES: _scoring(inspector, patches, network.batch),
            **{name: _running(run, patches, network.batch) for name, run in timed.items()},
            **similarity.contenders(*pair),
        }
        times = alternate(contenders, turns, progress=progress)
    scored = _is_ssim_alone(bundle)
    _add_strips(times, [name for name in timed if not made[name][0].ours], scored)
    per_patch = len(patches)
    rows = [
        {"name": OURS, "precision": _precision(bundle), **_row(times[OURS], times, per_patch)},
        {
            "name": OURS_PATCHES,
            "precision": _precision(bundle),
            **_row(times[OURS_PATCHES], times, per_patch),
        },
        *(
            {
                "name": made[name][0].name,
                "precision": made[name][0].precision,
                "largest_difference": differences[name],
                **_row(times[name], times, per_patch),
                "own_network_over": _own_over(name, made, times),
            }
            for name in timed
        ),
    ]
    return {
        "turns": turns,
        "threads": count,
        "batch": bundle.layout.patches_per_frame,
        "patches": per_patch,
        "score": ", ".join(bundle.components),
        "peers_score_too": scored,
        "rows": rows,
        "left_out": {**left_out, **wrong},
        "ssim": similarity.rows(times, *pair),
    }


@contextmanager
def _network_of(bundle: _core.Bundle, threads: int) -> Iterator[Network]:
    with tempfile.TemporaryDirectory(prefix="vialsight-bench-") as folder:
        path = Path(folder) / "model.pb"
        path.write_bytes(bundle.model)
        yield Network(
            bundle=bundle,
            path=path,
            graph_def=bundle.model,
            input_name=read_manifest(bundle)["input"]["name"],
            outputs=list(bundle.outputs),
            batch=bundle.layout.patches_per_frame,
            patch_size=bundle.layout.patch_size,
            threads=threads,
        )


def _made(
    network: Network, peers: Sequence[Peer]
) -> tuple[dict[str, tuple[Peer, Run]], dict[str, str]]:
    """Return the peers that can run by name and precision, and why others cannot."""
    made, left_out = {}, {}
    for peer in peers:
        name = f"{peer.name}, {peer.precision}"
        try:
            made[name] = peer, peer.make(network)
        except LeftOutError as reason:
            left_out[name] = str(reason)
    return made, left_out


def _differences(
    inspector: _core.Inspector, patches: Patches, made: Mapping[str, tuple[Peer, Run]]
) -> dict[str, dict[str, dict[str, float]]]:
    _, _, ours = inspector.score_with_outputs(patches, batch_size=len(patches))
    fed = patches[..., np.newaxis]
    return {name: largest_difference(ours, run(fed)) for name, (_, run) in made.items()}


def _wrong(
    bundle: _core.Bundle,
    made: Mapping[str, tuple[Peer, Run]],
    differences: Mapping[str, Mapping[str, Mapping[str, float]]],
) -> dict[str, str]:
    found = {}
    for name, (peer, _) in made.items():
        if not peer.precision == _precision(bundle) == "float32":
            continue
        output, apart = max(differences[name].items(), key=lambda item: item[1]["of_range"])
        if not apart["of_range"] <= SAME:
            found[name] = (
                f"it computes something else: output {output!r} differs by "
                f"{apart['absolute']:.3g}, {apart['of_range']:.1%} of its range; "
                f"{SAME:.0%} is allowed"
            )
    return found


def _inspecting(inspector: _core.Inspector, frames: Any) -> Contender:
    def run() -> dict[str, float]:
        times = time_strip(inspector, frames)
        return {_NETWORK: 1e3 * times["infer_s"], _STRIP: 1e3 * times["total_s"]}

    return run


def _scoring(inspector: _core.Inspector, patches: Patches, batch: int) -> Contender:
    def run() -> dict[str, float]:
        return {_STRIP: milliseconds(lambda: inspector.score_patches(patches, batch_size=batch))}

    return run


def _running(network: Run, patches: Patches, batch: int) -> Contender:
    fed = [
        patches[start : start + batch, ..., np.newaxis] for start in range(0, len(patches), batch)
    ]

    def all_frames() -> None:
        for frame in fed:
            network(frame)

    return lambda: {_NETWORK: milliseconds(all_frames)}


def _pair(patches: Patches, inspector: _core.Inspector) -> tuple[Patches, Patches]:
    """Return patches and what the network makes of them; where it makes none, they are moved."""
    outputs = inspector.bundle.outputs
    name = next((n for n, output in outputs.items() if output[0] == RECONSTRUCTION), None)
    if name is None:
        return patches, np.ascontiguousarray(np.roll(patches, 1, axis=2))
    batch = inspector.bundle.layout.patches_per_frame
    found = inspector.score_with_outputs(patches, batch_size=batch)[2][name]
    return patches, np.clip(found, 0.0, 1.0)


def _add_strips(
    times: dict[str, dict[str, list[float]]], names: Sequence[str], scored: bool
) -> None:
    """Give peers a strip: the network, and in each turn the faster score in Python."""
    scores = similarity.times_in_python(times)
    if scored and scores:
        fastest = np.min(np.array(scores), axis=0)
        for name in names:
            times[name][_STRIP] = (np.array(times[name][_NETWORK]) + fastest).tolist()


def _row(
    own: Mapping[str, list[float]],
    times: Mapping[str, Mapping[str, list[float]]],
    patches: int,
) -> dict[str, Any]:
    row: dict[str, Any] = {}
    for what in (_NETWORK, _STRIP):
        if what in own:
            row[f"{what}_ms_per_patch"] = spread([ms / patches for ms in own[what]])
            row[f"{what}_ours_over"] = ratios(times[OURS][what], own[what])
        else:
            row |= {f"{what}_ms_per_patch": None, f"{what}_ours_over": None}
    return row


def _own_over(
    name: str,
    made: Mapping[str, tuple[Peer, Run]],
    times: Mapping[str, Mapping[str, list[float]]],
) -> dict[str, float] | None:
    """Return our core's network over a peer's, both in the peer's runtime and precision."""
    theirs = made[name][0]
    same = (
        other
        for other, (peer, _) in made.items()
        if peer.ours and (peer.runtime, peer.precision) == (theirs.runtime, theirs.precision)
    )
    own = next((other for other in same if other in times), None)
    if theirs.ours or own is None:
        return None
    return ratios(times[own][_NETWORK], times[name][_NETWORK])


def _precision(bundle: _core.Bundle) -> str:
    return bundle.precision


def _is_ssim_alone(bundle: _core.Bundle) -> bool:
    score = read_manifest(bundle)["score"]
    kinds = {component["name"]: component["component"] for component in score["components"]}
    return [kinds[name] for name in score["decide"]] == ["ssim"]
