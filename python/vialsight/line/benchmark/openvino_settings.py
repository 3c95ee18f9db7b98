"""How a user who looks for low latency calls OpenVINO from Python."""

from typing import Any, Final

# By what manifests call a precision. Which convolutions are computed in integers the graph says.
HINTS: Final = {"float32": "f32", "bfloat16": "bf16", "int8": "f32"}


def settings_of(threads: int, hint: str) -> dict[str, Any]:
    """Return settings for `compile_model` on the CPU; `hint` is one of the values of HINTS."""
    return {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": threads,
        "INFERENCE_PRECISION_HINT": hint,
    }


def has_bfloat16(core: Any) -> bool:
    """Whether the CPU multiplies bfloat16, as `openvino.Core` knows it."""
    return "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
