"""The verb that prints what a bundle is."""

import math
from typing import Any

from vialsight import _core
from vialsight.bundle import read_manifest
from vialsight.cli import console, streams
from vialsight.cli.model import BundlePath
from vialsight.cli.options import Json
from vialsight.cli.score_text import print_explained_score
from vialsight.data.fingerprints import Fingerprints


def show(bundle: BundlePath, as_json: Json = False) -> None:
    """Print what a bundle is: layout, network, score, thresholds, calibration, provenance."""
    loaded = _core.Bundle.load(bundle)
    if as_json:
        console.print_json_text(loaded.manifest_json)
        return
    manifest, layout = read_manifest(loaded), loaded.layout
    images = Fingerprints.from_bytes(loaded.fingerprints)
    console.say(f"bundle       {streams.shown(loaded.name)}, written {manifest['created']}")
    console.say(f"sha256       {loaded.sha256}")
    console.say(
        f"layout       {layout.name}: {layout.frames} frames of {layout.frame_width}x"
        f"{layout.frame_height}, {layout.bit_depth} bit; {layout.vials} vials x "
        f"{len(layout.regions)} regions; patches of {layout.patch_size}"
    )
    _print_locator(manifest)
    _print_network(manifest)
    print_explained_score(manifest["score"], layout.regions)
    console.say("provenance")
    for key, value in manifest["provenance"].items():
        text = f"{len(value)} products" if key == "training_products" else value
        console.say(f"  {key:<18} {text}")
    known = "" if images.training_known else ", not on record"
    console.say(f"  {'training_images':<18} {images.training_images}{known}")
    _print_calibration(manifest)


def _print_locator(manifest: dict[str, Any]) -> None:
    locate = manifest["locate"]
    if locate is None:
        console.say("locate       none: boxes are cut where they are drawn")
        return
    reach, limits = locate["reach"], locate["limits"]
    console.say(
        f"locate       {locate['model']}, up to {reach['shift_px']:g} pixels and "
        f"{math.degrees(reach['turn_rad']):.2g}°; residual up to {limits['residual']:.3g}; frames "
        f"of a strip up to {limits['apart_px']:.2g} pixels and "
        f"{math.degrees(limits['apart_turn_rad']):.2g}° apart"
    )


def _print_network(manifest: dict[str, Any]) -> None:
    runtime, version = manifest["runtime"], manifest["provenance"]["runtime_version"]
    mebibytes = manifest["files"]["model"]["size"] / 2**20
    console.say(f"method       {manifest['method']}, {mebibytes:.1f} MiB")
    console.say(f"runtime      {runtime['name']} {version}, {runtime['precision']}")
    _print_optimization(manifest)
    for name, output in manifest["outputs"].items():
        height, width = output["shape"][1:3]
        console.say(f"output       {name}: {output['role']} of {height}x{width}")


def _print_optimization(manifest: dict[str, Any]) -> None:
    record = manifest.get("optimization")
    if record is None:
        return
    changed = ", ".join(
        f"{each['changed']} of {each['units']} ({level})"
        for level, each in record["verdicts"].items()
    )
    console.say(
        f"  instead of         tensorflow, float32, manifest sha256 {record['parent_sha256']}"
    )
    console.say(
        f"  scores moved       by at most {record['largest_score_difference']:.3g} on the "
        "calibration set"
    )
    console.say(f"  verdicts changed   {changed}; allowed {record['max_verdict_changes']}")
    if "quantised" in record:
        made = record["quantised"]
        console.say(
            f"  in integers        {made['convolutions']} convolutions, within ranges of "
            f"{made['patches']} nominal patches"
        )


def _print_calibration(manifest: dict[str, Any]) -> None:
    calibration = manifest["calibration"]
    if calibration is None:
        console.say("calibration  none: run `vialsight calibrate`")
        return
    rule = calibration["run_rule"]
    console.say(f"calibration  {calibration['objective']}, {calibration['created']}")
    console.say(f"  products           {len(calibration['products'])}")
    if "not_located" in calibration:
        console.say(
            f"  not located        {calibration['not_located']}, rejected whatever their scores"
        )
    console.say(f"  run rule           {rule['agree']} of {rule['runs']}\n")
    thresholds = manifest["thresholds"]
    console.print_table(
        [
            {**record, **{f"t_{level}": values[i] for level, values in thresholds.items()}}
            for i, record in enumerate(calibration["regions"])
        ]
    )
    console.say()
    console.print_table(
        [{"level": level, **record} for level, record in calibration["levels"].items()]
    )
