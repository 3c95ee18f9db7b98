"""VialSight's C++ core: what training, calibration and the line share.

Arrays are refused, with what was expected, never converted. The GIL is released while C++ computes.
"""

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

__version__: str
git_revision: str

_Float32 = npt.NDArray[np.float32]
_Box = tuple[int, int, int, int]
_Pose = tuple[float, float, float]
_Point = tuple[float, float]

class Layout:
    """Where the regions of every vial lie in a frame, and how many frames make a strip.

    Boxes are (x, y, width, height) in pixels of the frame, one per vial and region.

    Raises:
        DataError: a field is missing, unknown or out of range, or a box leaves the frame.
    """

    def __init__(
        self,
        *,
        name: str,
        frame_width: int,
        frame_height: int,
        regions: Sequence[str],
        boxes: Sequence[Sequence[_Box]],
        patch_size: int = 256,
        frames: int = 1,
        bit_depth: int = 8,
        locate: Literal["none", "translation", "rigid"] = "none",
    ) -> None: ...
    @staticmethod
    def from_json(text: str) -> Layout:
        """Layout from the text of a `layout.json`; the schema is closed."""
    @staticmethod
    def load(path: str | PathLike[str]) -> Layout:
        """Layout from a `layout.json` file."""
    def to_json(self) -> str:
        """Return the layout as `layout.json` text."""
    def box(self, vial: int, region: int) -> _Box:
        """Box (x, y, width, height) of a region of a vial, in pixels."""
    @property
    def name(self) -> str: ...
    @property
    def frame_width(self) -> int: ...
    @property
    def frame_height(self) -> int: ...
    @property
    def bit_depth(self) -> int: ...
    @property
    def frames(self) -> int: ...
    @property
    def patch_size(self) -> int: ...
    @property
    def regions(self) -> list[str]: ...
    @property
    def locate(self) -> Literal["none", "translation", "rigid"]:
        """How the product may lie in a frame, against the place for which boxes are drawn."""
    @property
    def vials(self) -> int: ...
    @property
    def patches_per_frame(self) -> int: ...
    @property
    def patches_per_strip(self) -> int: ...
    def __eq__(self, other: object) -> bool: ...
    def __hash__(self) -> int: ...

def extract_patches(
    frame: npt.NDArray[np.uint8] | npt.NDArray[np.uint16],
    layout: Layout,
    pose: _Pose | None = None,
) -> _Float32:
    """Cut a frame (H, W) into patches (V, R, P, P), float32 in [0, 1].

    uint8 is divided by 255, uint16 by 2^bit_depth - 1. Without a pose, resampling equals
    `tf.image.resize(method="bilinear", antialias=True)` within 1e-5; a box that is P×P is copied.

    With a pose (dx, dy in pixels, turn in radians about the frame's centre, SPEC §1) the boxes are
    cut where the product is seen: a point (u, v) of it, counted from the centre, lies at
    (u + dx + turn·v, v + dy - turn·u). One resampling by Keys' cubic (a = -1/2), widened where the
    patch shrinks the box; beyond the frame's edge its pixels are repeated.

    Raises:
        TypeError: pixels are not uint8 or uint16, or the pose is not three numbers.
        ValueError: size, dtype, stride or a pixel value does not fit the layout, or the pose is not
            finite, turned by more than 0.1 or shifted by more than the frame's edge.
    """

def box_corners(layout: Layout, vial: int, region: int, pose: _Pose) -> list[_Point]:
    """Corners (x, y) of a box as seen in the frame: top left and right, bottom right and left.

    In pixels from the frame's top left corner, pixel k covering [k, k + 1]: of the pose (0, 0, 0)
    they are (x, y) to (x + width, y + height) of the box.

    Raises:
        IndexError: no such vial or region.
        ValueError: a pose that `extract_patches` refuses.
    """

class Location:
    """Where a product lies in a frame, or why it was not found.

    A point (u, v) of the product lies at x = u + dx + turn·v, y = v + dy - turn·u, in pixels from
    pixel (width / 2, height / 2) of the frame (SPEC §1 "Pose").
    """

    @property
    def found(self) -> bool: ...
    @property
    def reason(
        self,
    ) -> Literal[
        "none",
        "not_finite",
        "contrast",
        "degenerate",
        "outside_reach",
        "no_convergence",
        "residual",
        "not_searched",
    ]:
        """Why the product was not found; "none" when it was."""
    @property
    def dx(self) -> float:
        """Pixels to the right; like `dy` and `turn` where the search ended, found or not."""
    @property
    def dy(self) -> float:
        """Pixels down."""
    @property
    def turn(self) -> float:
        """Radians about the frame's centre, counter-clockwise as seen."""
    @property
    def residual(self) -> float:
        """Weighted mean of what pose and light leave unexplained at the last step.

        1 is from black to white; 0 without any step.
        """
    @property
    def contrast(self) -> float:
        """Contrast of the frame, relative to the template's."""
    @property
    def steps(self) -> int:
        """Gauss–Newton steps, on all resolutions."""

class Locator:
    """Finds the product in frames: robust Gauss–Newton on the averaged frame (SPEC §1 "Pose").

    Args:
        template: float32 (h, w), the product at rest as `reduced_frame` shows it.
        weights: float32 (h, w), at least 0; only their ratios matter.
        scale: averaging factor of template and weights.
        kind: "translation", or "rigid" for a turn, too.
        reach_px: largest |dx| and |dy| of a found product, pixels.
        reach_turn: its largest |turn|, radians, up to 0.0524; 0 for a translation.
        residual_limit: its largest residual, in (0, 1].
        apart_px: see `poses_agree`; checked here only.
        apart_turn: likewise.
        frame_width: of the frames, pixels; 0 means w·scale.
        frame_height: 0 means h·scale.
        bit_depth: of the frames; uint8 up to 8, else uint16.

    One thread at a time. Raises ValueError or TypeError, with the field and what was expected.
    """

    def __init__(
        self,
        template: _Float32,
        weights: _Float32,
        *,
        scale: int,
        kind: Literal["translation", "rigid"],
        reach_px: float,
        reach_turn: float,
        residual_limit: float,
        apart_px: float = 64.0,
        apart_turn: float = 0.0524,
        frame_width: int = 0,
        frame_height: int = 0,
        bit_depth: int = 8,
    ) -> None: ...
    def locate(self, frame: npt.NDArray[np.uint8] | npt.NDArray[np.uint16]) -> Location:
        """Find the product in a frame (H, W).

        Raises ValueError or TypeError only for a frame that does not fit; a product that is not
        there is a Location that says so.
        """
    def locate_reduced(self, reduced: _Float32) -> Location:
        """Find the product in what `reduced_frame` made of a frame, (h, w); raises as `locate`."""

def poses_agree(frames: Sequence[Location], *, apart_px: float, apart_turn: float) -> bool:
    """Whether these are the frames of one strip: each found, and their poses not farther apart.

    `apart_px` is the largest difference of dx and of dy, `apart_turn` that of the turn in radians.
    """

def locator_scale(frame_width: int, frame_height: int) -> int:
    """Return the averaging factor for frames of this size: at most 2^17 pixels are left."""

def reduced_frame(
    frame: npt.NDArray[np.uint8] | npt.NDArray[np.uint16], scale: int, *, bit_depth: int = 0
) -> _Float32:
    """Return a frame (H, W) as a Locator sees it: (H // scale, W // scale), float32 in [0, 1].

    Averaged scale×scale, then smoothed (Gaussian of σ 1, reflected borders). `bit_depth` 0 means
    all bits of the dtype. Raises ValueError or TypeError for a frame or scale that does not fit.
    """

def ssim(x: _Float32, y: _Float32) -> _Float32:
    """Mean SSIM (n,) of two stacks (n, H, W) in [0, 1], exactly as `tf.image.ssim` defines it.

    Gaussian window 11×11, σ = 1.5, valid padding, population covariance, K1 = 0.01, K2 = 0.03,
    L = 1. NaN where a pixel is not finite. The anomaly score is φ = 1 - SSIM (paper eq. 10).

    Raises:
        TypeError: not float32.
        ValueError: shapes differ, an edge is below 11, or memory is not contiguous.
    """

def heatmap(maps: _Float32, *, vmin: float | None = None, vmax: float | None = None) -> _Float32:
    """Scale maps of a score (n, h, w) to [0, 1] (paper eq. 12).

    With `vmin` and `vmax` the scale is fixed; without, it is each map's own minimum and maximum,
    which makes every good part glow: not for an operator's screen.
    """

class Score:
    """A bundle's score: `Bundle.make_score`. Numbers and maps as `score`, for any regions.

    `regions` (n,) says of which region each patch is; None: patch i of region i modulo R.
    """

    def run(
        self,
        patches: _Float32,
        outputs: Mapping[str, _Float32],
        regions: Sequence[int] | None = None,
    ) -> tuple[_Float32, _Float32]:
        """φ (n,) and the numbers (n, K) of `components` of patches (n, P, P)."""
    def maps(
        self,
        patches: _Float32,
        outputs: Mapping[str, _Float32],
        regions: Sequence[int] | None = None,
    ) -> _Float32:
        """Return maps (n, h, w) of patches (n, P, P), h and w as `map_size`."""
    def combine(self, components: _Float32, regions: Sequence[int] | None = None) -> _Float32:
        """φ (n,) of the numbers (n, K) of `components`, as `run` makes it of them."""
    @property
    def components(self) -> list[str]:
        """Names of the K components that decide."""
    @property
    def map_size(self) -> tuple[int, int]: ...

def score(
    patches: _Float32,
    outputs: Mapping[str, _Float32],
    definition: Mapping[str, Any],
    *,
    region: int = 0,
    locations: Mapping[str, _Float32] | None = None,
) -> tuple[_Float32, _Float32]:
    """Numbers φ (n,) and maps (n, h, w) of a bundle's score (SPEC §5.2, docs/scores.md).

    `patches` (n, P, P) in [0, 1] and the network's `outputs`: "reconstruction" (n, P, P), and maps
    (n, h, w) by any other name. `definition` is the manifest's `score`; of its normalisation the
    entries of `region` count. `locations` holds mean and spread (2, h, w) of that region for each
    component that is per location. The map is the deciding component's, or P×P of a combination.

    Raises:
        BundleError: the definition is not valid; the message names the field.
        ValueError, TypeError: arrays that do not fit, with what was expected.
    """

def decide(
    layout: Layout, scores: _Float32, thresholds: Sequence[float]
) -> tuple[list[bool], bool]:
    """Vials accepted (V) and strip accepted, from φ (F, V, R) and one threshold per region.

    A patch is defective when φ > t or φ is not finite (SPEC §6, paper eq. 14).
    """

class Bundle:
    """The checked contents of a `NAME.vsb` folder. Immutable.

    Raises:
        BundleError: a file is missing, extra, altered or malformed; the message names it.
    """

    @staticmethod
    def load(path: str | PathLike[str]) -> Bundle:
        """Read and check a bundle: schema, sizes, hashes, shapes. Loads no inference library."""
    @property
    def path(self) -> Any: ...
    @property
    def name(self) -> str: ...
    @property
    def layout(self) -> Layout: ...
    @property
    def manifest_json(self) -> str: ...
    @property
    def sha256(self) -> str: ...
    @property
    def method(self) -> str: ...
    @property
    def runtime(self) -> str:
        """Name of the inference library: "tensorflow" or "openvino"."""
    @property
    def precision(self) -> str:
        """In what numbers it multiplies: "float32", "bfloat16" or "int8"."""
    @property
    def outputs(self) -> dict[str, tuple[str, int, int]]:
        """Role ("reconstruction" or "map"), height and width by name."""
    @property
    def components(self) -> list[str]:
        """Names of the K components of the score that decide."""
    @property
    def locations(self) -> dict[str, _Float32]:
        """Mean and spread (2, R, h, w) by component, of those that are per location."""
    @property
    def locator(self) -> dict[str, Any] | None:
        """Fields of a `vialsight.locator.ProductLocator`; None where nothing is located."""
    def make_score(self, definition: dict[str, Any] | None = None) -> Score:
        """Make the bundle's score, or of another choice among the components it offers.

        Raises:
            BundleError: `definition` is none; the message names the field.
        """
    @property
    def thresholds(self) -> dict[str, list[float] | None]: ...
    def heatmap_scale(self, region: int) -> tuple[float, float] | None:
        """(vmin, vmax) fitted at calibration, or None before it."""
    @property
    def model(self) -> bytes: ...
    @property
    def fingerprints(self) -> bytes:
        """Contents of `fingerprints.npz`, see `vialsight.data.fingerprints`."""
    @property
    def golden_inputs(self) -> _Float32:
        """(R, K, P, P) in [0, 1]."""
    @property
    def golden_outputs(self) -> dict[str, _Float32]:
        """(R, k, h, w) by output, of the first k patches of each region, k from 1 to K."""
    @property
    def golden_scores(self) -> _Float32: ...
    @property
    def golden_components(self) -> _Float32:
        """(R, K, C), of all components that the score offers."""
    @property
    def golden_scales(self) -> npt.NDArray[np.float64]:
        """By what the tolerance is multiplied, (R·K, C) of the components that decide.

        max(1, |s|), and where a component is per location 1/σ, for the least spread σ ≥ 10⁻³ of the
        region: by that its score is more sensitive to what the network puts out.
        """
    @property
    def golden_tolerance(self) -> float: ...

class StripVerdict:
    """Result of one strip; `scores` are φ (F, V, R), NaN where no score was made in time.

    `component_scores` (F, V, R, K) are the numbers that φ is made of, see `Bundle.components`.
    `locations` (F,) say where the product lies in each frame; empty where nothing is located.
    """

    @property
    def strip_id(self) -> int: ...
    @property
    def verdict(self) -> Literal["accept", "reject"]: ...
    @property
    def accepted(self) -> bool: ...
    @property
    def reason(self) -> str: ...
    @property
    def scores(self) -> _Float32: ...
    @property
    def component_scores(self) -> _Float32: ...
    @property
    def thresholds(self) -> list[float]: ...
    @property
    def vials(self) -> list[bool]: ...
    @property
    def locations(self) -> list[Location]: ...
    @property
    def times(self) -> dict[str, float]: ...
    @property
    def slack_s(self) -> float: ...

class Statistics:
    """Counters of an Inspector; strips = accepted + sum of rejected."""

    @property
    def strips(self) -> int: ...
    @property
    def accepted(self) -> int: ...
    @property
    def rejected(self) -> dict[str, int]: ...
    @property
    def overruns(self) -> int: ...
    @property
    def batch_cost_s(self) -> float: ...
    @property
    def frames_not_located(self) -> int: ...

class Health:
    """What an Inspector says of itself; `last_fault` says why a frame could last not be scored."""

    @property
    def ready(self) -> bool: ...
    @property
    def heartbeat(self) -> int: ...
    @property
    def restarts(self) -> int: ...
    @property
    def worker_pid(self) -> int: ...
    @property
    def last_fault(self) -> str: ...

class KeptStderr:
    """Keeps what is written to file descriptor 2 in memory, from its making to its end.

    One at a time does; others do nothing. Whatever ends the process meanwhile, but SIGKILL, what
    was kept is written out first.
    """

    def __init__(self) -> None: ...
    def end(self, *, everything: bool) -> None:
        """Give the descriptor back and write what was kept to it, or all but TensorFlow's notes."""

class Network:
    """What a bundle computes between patch and score, by itself: for comparing runtimes.

    Args:
        bundle: a Bundle; it need not be calibrated.
        runtime: "tensorflow" or "openvino"; "" means the bundle's.
        precision: "float32", "bfloat16" or "int8"; None means the bundle's.
        threads: inside one batch; 0 means one per core.
        backend_module: path of the backend's shared object; None means the one installed with us.
        model: a serialised GraphDef of the same input and outputs; None means the bundle's.

    Raises:
        BundleError: the runtime is not installed, does not know an operation or not this precision
            on this machine; of `run` also: this process came of a fork.
    """

    def __init__(
        self,
        bundle: Bundle,
        *,
        runtime: str = "",
        precision: Literal["float32", "bfloat16", "int8"] | None = None,
        threads: int = 0,
        backend_module: str | PathLike[str] | None = None,
        model: bytes | None = None,
    ) -> None: ...
    def run(self, patches: _Float32) -> dict[str, _Float32]:
        """Return all outputs (n,h,w), by name, of patches float32 (n,P,P) in [0,1] as one batch."""
    @property
    def runtime_version(self) -> str:
        """Of the inference library."""

class Inspector:
    """Strips in, verdicts out, through the C++ core and its TensorFlow backend.

    Args:
        bundle: a Bundle, or the path of one.
        threads: of the backend inside one batch; 0 means one per core.
        level: which threshold set decides: "patch", "strip" (the line's) or "run".
        require_thresholds: False for scoring only, as calibration does.
        margin_s: `close` returns this long before the deadline.
        backend_module: path of the backend's shared object; None means the one installed with us.
        require_fresh_frames: reject frames whose pixels were submitted before, as a line should;
            False here, since recorded images are inspected more than once.
        isolation: "in_process", or "worker" for TensorFlow in a supervised process of its own.
        priority: SCHED_FIFO priority (1 to 99) of the threads that inspect; 0 leaves it as it is.
        cpus: logical CPUs they stay on; empty means all.
        lock_memory: keep all memory of this process, and of the worker, resident (mlockall).
        device: where the network runs: "cpu", "gpu:0" (TensorFlow only); "" means the first GPU
            that TensorFlow has, else the CPU.

    Works in the process that made it. After a fork (`os.fork`, multiprocessing's "fork") the child
    can do nothing with it: every call raises BundleError at once and says so, and the child's end
    leaves threads and worker to the parent, which goes on. Make an Inspector in the child, where
    isolation "worker" does not depend on what TensorFlow does after a fork, or use "spawn".

    Raises:
        BundleError: the bundle is broken or not calibrated, an operation is not allowed, the golden
            patches score differently here, TensorFlow cannot be loaded, or the operating system
            does not permit the scheduling. Of every method and property but `bundle`: this process
            came of a fork.
    """

    def __init__(
        self,
        bundle: Bundle | str | PathLike[str],
        *,
        threads: int = 0,
        level: Literal["patch", "strip", "run"] = "strip",
        require_thresholds: bool = True,
        margin_s: float = 0.002,
        backend_module: str | PathLike[str] | None = None,
        require_fresh_frames: bool = False,
        isolation: Literal["in_process", "worker"] = "in_process",
        priority: int = 0,
        cpus: Sequence[int] = (),
        lock_memory: bool = False,
        device: str = "",
    ) -> None: ...
    def inspect(
        self,
        frames: npt.NDArray[np.uint8] | npt.NDArray[np.uint16],
        *,
        budget_s: float | None = None,
        strip_id: int = 0,
    ) -> StripVerdict:
        """Inspect one strip from its frames (F, H, W) within `budget_s` seconds (None: no limit).

        Lateness and faults are verdicts; only wrong arrays raise (TypeError, ValueError).
        """
    def open(self, strip_id: int, *, budget_s: float | None = None) -> None:
        """Open a slot that must be decided within `budget_s` seconds."""
    def submit(
        self, frame_index: int, frame: npt.NDArray[np.uint8] | npt.NDArray[np.uint16]
    ) -> None:
        """Hand over frame (H, W) number `frame_index` from 0; it is copied and scored at once."""
    def close(self) -> StripVerdict:
        """End the slot and return its verdict by the deadline."""
    def score_patches(
        self,
        patches: npt.NDArray[np.uint8] | _Float32,
        *,
        batch_size: int = 0,
        regions: Sequence[int] | None = None,
    ) -> _Float32:
        """φ (n,) of patches (n, P, P), uint8 or float32 in [0, 1]; 0 means one frame's batch.

        `regions` (n,) says of which region each is; None: patch i of region i modulo R.
        """
    def score_with_outputs(
        self,
        patches: _Float32,
        *,
        batch_size: int = 0,
        regions: Sequence[int] | None = None,
    ) -> tuple[_Float32, _Float32, dict[str, _Float32]]:
        """φ (n,), components (n, K) and the network's outputs (n, h, w) by name, at once."""
    def images(self, frame: int, vial: int, region: int) -> tuple[_Float32, _Float32 | None] | None:
        """Input and reconstruction (P, P) of a patch of the last strip; None if not scored.

        The reconstruction is None where the network gives none.
        """
    def map(self, frame: int, vial: int, region: int) -> _Float32 | None:
        """Map (P, P) that the score makes of a patch of the last strip; None if not scored."""
    @property
    def bundle(self) -> Bundle: ...
    @property
    def batch_size(self) -> int:
        """So many patches the network gets at a time on the line: a frame's, or one vial's.

        Whichever was faster here when this was made.
        """
    @property
    def statistics(self) -> Statistics: ...
    @property
    def health(self) -> Health: ...
