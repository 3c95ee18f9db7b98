"""`vialsight simulate SET --out DIR`: what is written, by whom, through what accidents."""

import csv
import fcntl
import hashlib
import io
import json
import os
import resource
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from simulation_support import SMALL_KIT, simulate, small_kit, tree, write_quietly

import vialsight
from vialsight.cli import app
from vialsight.data import load_frame, load_mask, read_dataset
from vialsight.errors import SimulationError, VialSightError
from vialsight.simulation.plan import RENDERER_VERSION, plan_set
from vialsight.simulation.product import bfs_layout
from vialsight.simulation.rendering import rank_images, render_run
from vialsight.simulation.runs import encode_run, run_tasks
from vialsight.simulation.setfolder import SetFolder, describe
from vialsight.simulation.writing import announce_set, write_set


class TestFolder:
    def test_is_a_dataset_of_the_plan(self, kit_folder: Path) -> None:
        dataset = read_dataset(kit_folder)
        assert dataset.layout == bfs_layout(256)
        found = [(r.product, r.run, r.frame, r.label, r.split) for r in dataset.records]
        assert found == [
            (strip.product, 1, frame, strip.label, "test")
            for strip in small_kit().strips
            for frame in (1, 8, 16)
        ]
        paths = [record.image.relative_to(kit_folder) for record in dataset.records]
        assert paths[0] == Path("images/kit-s0-00000/run_01/frame_01.png")

    def test_images_and_masks_are_what_is_rendered(self, kit_folder: Path) -> None:
        strip = small_kit().strips[1]
        rendered = render_run(strip, 1, (1, 8, 16))
        records = [r for r in read_dataset(kit_folder).records if r.product == strip.product]
        images = np.stack([load_frame(record.image, 8) for record in records])
        masks = np.stack([load_mask(record.mask) for record in records if record.mask])
        np.testing.assert_array_equal(images, rendered.frames)
        np.testing.assert_array_equal(masks, rendered.masks)
        assert masks.any(axis=(1, 2)).all()
        with Image.open(records[0].mask) as mask:
            assert mask.mode == "1"

    def test_nominal_strips_have_no_masks(self, kit_folder: Path) -> None:
        masked = {r.product for r in read_dataset(kit_folder).records if r.mask is not None}
        assert masked == {strip.product for strip in small_kit().strips if strip.defects}
        folders = {path.name for path in (kit_folder / "masks").iterdir()}
        assert folders == masked

    def test_defects_are_listed(self, kit_folder: Path) -> None:
        with (kit_folder / "defects.csv").open(newline="") as file:
            rows = list(csv.reader(file))
        assert rows[0] == ["product", "kind", "severity", "vial"]
        # The table counts vials from 1, as everything that people read does.
        planned = [
            (strip.product, defect.kind, defect.severity, defect.vial + 1)
            for strip in small_kit().strips
            for defect in strip.defects
        ]
        assert [(p, k, float(s), int(v)) for p, k, s, v in rows[1:]] == planned

    def test_says_what_it_is(self, kit_folder: Path) -> None:
        assert json.loads((kit_folder / "simulation.json").read_text()) == {
            "format_version": 1,
            "set": "kit",
            "seed": 0,
            "strips": 3,
            "runs": 1,
            "content": "images",
            "patch_size": 256,
            "renderer_version": RENDERER_VERSION,
            "plan_sha256": small_kit().identity,
            "vialsight": vialsight.__version__,
        }

    def test_training_runs_have_rank_images(self) -> None:
        (task, *_) = run_tasks(plan_set("train", strips=2, runs=1))
        encoded = encode_run(task)
        decoded = {name: _decode(content) for name, content in encoded.images.items()}
        names = [f"frame_{number:02d}.png" for number in range(1, 17)]
        assert list(decoded) == [*names, "rank_min.png", "rank_max.png"]
        assert [number for number, _ in task.pictures] == list(range(1, 19))
        assert not encoded.masks
        low, high = rank_images(np.stack([decoded[name] for name in names]))
        np.testing.assert_array_equal(decoded["rank_min.png"], low)
        np.testing.assert_array_equal(decoded["rank_max.png"], high)


def _decode(content: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(content)) as image:
        return np.asarray(image)


def test_one_worker_and_another_patch_size_give_the_same_images(
    kit_folder: Path, tmp_path: Path
) -> None:
    write_quietly(small_kit(), tmp_path / "kit", workers=1, patch_size=32)
    here, there = tree(tmp_path / "kit"), tree(kit_folder)
    differing = {name for name in here.keys() | there.keys() if here.get(name) != there.get(name)}
    assert differing == {"layout.json", "simulation.json"}
    assert read_dataset(tmp_path / "kit").layout == bfs_layout(32)


def test_chosen_frames_are_those_of_the_whole_run(tmp_path: Path) -> None:
    simulate("train", "--strips", 2, "--runs", 1, "--frames", "16,8", "--out", tmp_path / "set")
    records = read_dataset(tmp_path / "set").records
    assert [record.frame for record in records] == [8, 16] * 2
    (strip, _) = plan_set("train", strips=2, runs=1).strips
    whole = render_run(strip, 1, range(1, 17)).frames
    for record in records[:2]:
        with Image.open(record.image) as image:
            np.testing.assert_array_equal(np.asarray(image), whole[record.frame - 1])
    poses = (tmp_path / "set" / "poses.csv").read_text().splitlines()
    assert len(poses) == 1 + 4


def test_sets_share_no_product_and_no_image() -> None:
    plans = [
        plan_set(name, strips=2, runs=2, seed=seed)
        for name in ("train", "calibration", "kit")
        for seed in (0, 1)
    ]
    products = [strip.product for plan in plans for strip in plan.strips]
    assert len(set(products)) == len(products) == 12
    images = [
        render_run(strip, run, (1,)).frames[0]
        for plan in plans[::2]
        for strip in plan.strips
        for run in (1, 2)
    ]
    assert len({hashlib.sha256(image.tobytes()).digest() for image in images}) == len(images)


class TestRepeated:
    def test_complete_folder_is_left_alone(self, kit_folder: Path) -> None:
        before = {path: path.stat().st_mtime_ns for path in kit_folder.rglob("*")}
        said = simulate(*SMALL_KIT, "--out", kit_folder)
        assert said == f"{kit_folder} is complete already; nothing to do\n"
        assert {path: path.stat().st_mtime_ns for path in kit_folder.rglob("*")} == before

    def test_missing_run_is_written_again(
        self, kit_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        out = Path(shutil.copytree(kit_folder, tmp_path / "kit"))
        monkeypatch.chdir(tmp_path)
        (out / "dataset.csv").unlink()
        product = out / "images" / "kit-s0-00002"
        (product / "run_01").rename(product / ".run_01.0123456789ab.tmp")
        (out / ".dataset.csv.0123456789ab.tmp").write_text("image,pro")
        said, steps = [], []
        assert write_set(
            small_kit(),
            Path("kit"),
            workers=1,
            say=said.append,
            progress=lambda *s: steps.append(s),
        )
        assert tree(out) == tree(kit_folder)
        assert said[0].startswith("kit: 3 of 9 images to write, about 2.")
        assert steps == [(9, 9)]

    def test_announced_size_is_about_right(self, tmp_path: Path, kit_folder: Path) -> None:
        folder = SetFolder(small_kit(), tmp_path, patch_size=256, content="images")
        sample = next(task for task in run_tasks(small_kit()) if task.strip.defects)
        need = announce_set(folder, run_tasks(small_kit()), encode_run(sample), lambda _: None)
        blocks = sum(path.stat().st_blocks * 512 for path in kit_folder.rglob("*"))
        assert 0.95 * blocks < need < 1.1 * blocks

    def test_second_process_is_refused(self, tmp_path: Path) -> None:
        held = os.open(tmp_path, os.O_RDONLY)
        fcntl.flock(held, fcntl.LOCK_EX)
        try:
            message = f"another process is writing into {tmp_path}; wait for its end"
            with pytest.raises(SimulationError, match=f"^{message}$"):
                write_quietly(small_kit(), tmp_path)
        finally:
            os.close(held)


def limit_files() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, resource.RLIM_INFINITY))


class TestRefused:
    def expect(self, out: Path, message: str, **options: int) -> None:
        with pytest.raises(SimulationError) as raised:
            write_quietly(small_kit(), out, **options)
        assert str(raised.value) == message

    def test_folder_with_other_files(self, tmp_path: Path) -> None:
        (tmp_path / "notes.txt").write_text("mine")
        self.expect(
            tmp_path,
            f"{tmp_path} holds other files (notes.txt); give --out an empty or new folder",
        )
        assert tree(tmp_path) == {"notes.txt": b"mine"}

    def test_another_plan(self, kit_folder: Path) -> None:
        with pytest.raises(SimulationError) as raised:
            write_quietly(plan_set("kit", strips=4, runs=2, seed=5), kit_folder)
        assert str(raised.value) == (
            f"{kit_folder} holds another set (seed: there 0, asked for 5; "
            "strips: there 3, asked for 4; runs: there 1, asked for 2); "
            "give --out a new folder, or the options it was begun with"
        )

    def test_another_patch_size(self, kit_folder: Path) -> None:
        self.expect(
            kit_folder,
            f"{kit_folder} holds another set (patch_size: there 256, asked for 128); "
            "give --out a new folder, or the options it was begun with",
            patch_size=128,
        )

    def test_other_frames(self, kit_folder: Path, tmp_path: Path) -> None:
        end = "; give --out a new folder, or the options it was begun with"
        chosen = plan_set("kit", strips=3, runs=1, frames=(8, 1))
        with pytest.raises(SimulationError) as raised:
            write_quietly(chosen, kit_folder)
        assert str(raised.value) == (
            f'{kit_folder} holds another set (frames: there "the set\'s own", asked for [1, 8])'
            + end
        )
        (tmp_path / "simulation.json").write_text(json.dumps(describe(chosen, 256, "images")))
        self.expect(
            tmp_path,
            f'{tmp_path} holds another set (frames: there [1, 8], asked for "the set\'s own")'
            + end,
        )

    def test_another_renderer(self, tmp_path: Path) -> None:
        found = {**describe(small_kit(), 256, "images"), "plan_sha256": "0" * 64}
        (tmp_path / "simulation.json").write_text(json.dumps(found))
        self.expect(
            tmp_path,
            f"{tmp_path} holds another set (plan_sha256: there '{'0' * 64}', asked for "
            f"'{small_kit().identity}'); give --out a new folder, or the options it was begun with",
        )

    @pytest.mark.parametrize("text", ["{", "[]", ""])
    def test_damaged_description(self, text: str, tmp_path: Path) -> None:
        path = tmp_path / "simulation.json"
        path.write_text(text)
        with pytest.raises(
            SimulationError, match=f"^{path} is damaged .*; give --out a new folder$"
        ):
            write_quietly(small_kit(), tmp_path)

    def test_a_file(self, tmp_path: Path) -> None:
        path = tmp_path / "file"
        path.touch()
        self.expect(path, f"{path} is a file; give --out a folder")

    def test_folder_that_cannot_be_made(self) -> None:
        self.expect(
            Path("/proc/vialsight"),
            "cannot write into /proc/vialsight: No such file or directory; put that right and run "
            "the same command again, it goes on where it stopped",
        )

    def test_too_small_a_disk(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=2**20))
        out, said = tmp_path / "kit", []
        with pytest.raises(SimulationError) as raised:
            write_set(small_kit(), out, say=said.append, progress=lambda *_: None)
        need = said[0].split("about ")[1].split(";")[0]
        assert said == [f"kit: 9 of 9 images to write, about {need}; 1 MiB are free in {out}"]
        assert str(raised.value) == (
            f"the images need about {need}, but 1 MiB are free in {out}; "
            "take fewer --strips or --runs, or another disk"
        )
        assert need.endswith("MiB")
        assert not out.exists()

    def test_disk_that_refuses(self, tmp_path: Path, kit_folder: Path) -> None:
        out = tmp_path / "kit"
        said = simulate(*SMALL_KIT, "--out", out, code=2, preexec_fn=limit_files)
        assert said.splitlines()[-1] == (
            f"error: cannot write into {out}: File too large; put that right and run the same "
            "command again, it goes on where it stopped"
        )
        assert [path for path in out.rglob("*.png") if "images" in path.parts] == []
        write_quietly(small_kit(), out)
        assert tree(out) == tree(kit_folder)


BAD_OPTIONS = {
    "": "expected --out DIR, or --live; give one of the two",
    "--out x --frames 1,x": "--frames must be numbers separated by commas, such as 1,8,16; "
    "got '1,x'",
    "--out x --frames 1,,8": "--frames must be numbers separated by commas, such as 1,8,16; "
    "got '1,,8'",
    "--out x --frames 8,8": "frames must be different numbers from 1 to 16, at least one; got 8, 8",
    "--live --frames 1,8": "--frames belongs to a folder; leave it out with --live",
    "--out x --patch-size 40": "--patch-size must be a multiple of 16; got 40",
    "--out x --patch-size 0": "--patch-size must be a multiple of 16; got 0",
    "--out x --locator y": "--locator needs --shards",
    "--live --locator y": "--locator belongs to a folder; leave it out with --live",
    "--out x --slot-ms 500": "--slot-ms needs --live or --gige",
    "--out x --loop": "--loop needs --live or --gige",
    "--live --out x": "--out belongs to a folder; leave it out with --live",
    "--live --shards": "--shards belongs to a folder; leave it out with --live",
}


@pytest.mark.parametrize("options", BAD_OPTIONS)
def test_bad_options(options: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(VialSightError) as raised:
        app(["simulate", "kit", *options.split()], standalone_mode=False)
    assert str(raised.value) == BAD_OPTIONS[options]
    assert list(tmp_path.iterdir()) == []


def test_unknown_set() -> None:
    message = "error: expected one of the sets train, calibration, kit; got 'tests'\n"
    assert simulate("tests", "--out", "x", code=2) == message
