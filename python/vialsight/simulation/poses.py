"""`poses.csv`: how the strip lies in every image of a simulated set, as only a simulator can know.

It is there to judge a locator by; nothing that learns or inspects reads it.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from vialsight.files import atomic
from vialsight.files.tables import table_text
from vialsight.simulation.plan import RANK_MIN_FRAME, SetPlan
from vialsight.simulation.rendering import frame_poses
from vialsight.simulation.runs import RunTask, run_tasks

POSES_NAME: Final = "poses.csv"
POSE_COLUMNS: Final = ("image", "dx", "dy", "turn")


def write_poses(path: Path, plan: SetPlan) -> None:
    """Write the true pose (SPEC §1) of every image of a set, atomically.

    dx and dy in pixels to 1e-6, turn in radians to 1e-9. A rank image shows all frames of its run
    at once; its pose is their mean.
    """
    rows = (row for task in run_tasks(plan) for row in _rows(task))
    atomic.write_text(path, table_text([POSE_COLUMNS, *rows]))


def _rows(task: RunTask) -> Iterator[tuple[str, str, str, str]]:
    poses = frame_poses(task.strip, task.run)
    for number, name in task.pictures:
        dx, dy, turn = poses[number - 1] if number < RANK_MIN_FRAME else poses.mean(axis=0)
        image = f"images/{task.folder.as_posix()}/{name}"
        yield image, f"{dx:.6f}", f"{dy:.6f}", f"{turn:.9f}"
