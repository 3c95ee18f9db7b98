"""The published figures, to compare with: Ferrari et al. 2026, arXiv 2603.07577, tables 1 to 3.

Here positive = defective, as everywhere. The paper's table 1 fits positive = nominal: its "true
negative ratio" is our detection rate, one minus its "true positive ratio" our false reject rate.
Its tables 2 and 3 fit positive = defective: 0.9676 * 141/261 + 0.9599 * 120/261 = 0.9641.
"""

from dataclasses import dataclass
from typing import Final

DEFECTIVE_STRIPS: Final = 141
NOMINAL_STRIPS: Final = 120
RUNS: Final = 10

TIMES_NOTE: Final = (
    "The paper gives a “mean inference time” of 0.1689 ms per patch (table 1) and of 0.4873 "
    "without a unit (table 2). Both cannot belong to the same network: its 790 GFLOP in 0.1689 ms "
    "would be 4,700 TFLOP/s, where the paper's NVIDIA A4500 peaks near 24 (float32), 47 (TF32) "
    "and 95 (float16) TFLOP/s. 0.4873 s per strip is what fits the slot of 500 ms between two "
    "acquisitions."
)
TABLE_3_NOTE: Final = (
    "The rates of the paper's table 3 are no shares of whole strips: of 141 defective strips 136 "
    "would be 0.9645 and 137 would be 0.9716, printed is 0.9676. Its counts cannot be recovered."
)


@dataclass(frozen=True, kw_only=True)
class Published:
    """One column of the paper's tables, positive = defective; `threshold` None where none is."""

    unit: str
    threshold: float | None = None
    accuracy: float
    detection_rate: float
    false_reject_rate: float
    balanced_accuracy: float


def _published(unit: str, threshold: float | None, *printed: float) -> Published:
    """Take accuracy, detection rate, its counterpart on nominal units, balanced accuracy."""
    accuracy, detection_rate, true_nominal_rate, balanced_accuracy = printed
    return Published(
        unit=unit,
        threshold=threshold,
        accuracy=accuracy,
        detection_rate=detection_rate,
        false_reject_rate=round(1.0 - true_nominal_rate, 4),
        balanced_accuracy=balanced_accuracy,
    )


# Regions R0 to R3 under the names of the simulated line; printed TNR first, printed TPR second.
TABLE_1: Final = (
    _published("flag", 0.015589, 0.9919, 0.9093, 0.9966, 0.9530),
    _published("top_body", 0.038017, 0.9926, 0.9044, 0.9985, 0.9515),
    _published("liquid_body", 0.046568, 0.9957, 0.9779, 0.9986, 0.9883),
    _published("bottom", 0.029593, 0.9991, 0.9973, 0.9994, 0.9984),
    _published("vial", None, 0.9870, 0.9581, 0.9942, 0.9762),
)
# Printed TPR first, printed TNR second.
TABLE_2: Final = _published("strip", None, 0.9593, 0.9694, 0.9467, 0.9581)
TABLE_3: Final = _published("run", None, 0.9641, 0.9676, 0.9599, 0.9638)
REGIONS: Final = ("flag", "top_body", "liquid_body", "bottom")
THRESHOLDS: Final[dict[str, tuple[float, ...]]] = {
    "patch": (0.015589, 0.038017, 0.046568, 0.029593),
    "strip": (0.016156, 0.038584, 0.046635, 0.029660),
    "run": (0.013222, 0.034650, 0.046201, 0.029226),
}
