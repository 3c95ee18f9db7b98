"""Definitions of scores (SPEC §5.2, docs/scores.md), which the C++ core computes.

A component is the manifest's object of that name; a definition offers some and says which decide.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

Component = dict[str, Any]

# Pixels of a map. Wide enough that a single noisy pixel is no spot, narrow enough to keep a spot.
SMOOTHING: Final = 1.5
# Scales of msgms halve the patch three times.
_MSGMS_SCALES: Final = 4
# The whole definition of SSIM (SPEC §5): other common SSIMs differ in the first decimal.
_SSIM: Final[Mapping[str, Any]] = {
    "window": "gaussian",
    "window_size": 11,
    "sigma": 1.5,
    "padding": "valid",
    "covariance": "population",
    "k1": 0.01,
    "k2": 0.03,
    "dynamic_range": 1.0,
}


def ssim(name: str = "ssim") -> Component:
    """φ = 1 - SSIM(X, X̂), the paper's score."""
    return {"name": name, "component": "ssim", **_SSIM, "reduction": "mean"}


def ssim_local(
    name: str = "ssim_local",
    *,
    smoothing: float = SMOOTHING,
    top: float | None = None,
    per_location: bool = True,
) -> Component:
    """1 - SSIM where it is largest (`top` None), or over the `top` share of the patch."""
    filtering = _filtering(smoothing, top, per_location)
    return {"name": name, "component": "ssim_local", **_SSIM, **filtering}


def residual(
    name: str = "residual",
    *,
    smoothing: float = SMOOTHING,
    top: float | None = None,
    per_location: bool = True,
) -> Component:
    """|X - X̂| where it is largest (`top` None), or over the `top` share of the patch."""
    return {"name": name, "component": "residual", **_filtering(smoothing, top, per_location)}


def msgms(name: str = "msgms") -> Component:
    """Multi-scale gradient magnitude similarity and squared difference (Mekhilef eq. 7)."""
    return {
        "name": name,
        "component": "msgms",
        "c": 0.0026,
        "scales": _MSGMS_SCALES,
        "window_size": 21,
    }


def map_of(
    output: str,
    *,
    name: str | None = None,
    smoothing: float = 0.0,
    top: float | None = None,
    per_location: bool = False,
) -> Component:
    """Score a map that the network puts out under `output`."""
    filtering = _filtering(smoothing, top, per_location)
    return {"name": name or output, "component": "map", "output": output, **filtering}


def of_reconstruction(patch_size: int, *, local: bool = True) -> tuple[Component, ...]:
    """Return what can be said of a reconstruction of P×P pixels; the paper's score first.

    `local`: also what is per location, 16·P² bytes of a bundle for each region.
    """
    whole = residual("residual_mean", smoothing=0.0, top=1.0, per_location=False)
    offered = (ssim(), *((ssim_local(), residual()) if local else ()), whole)
    # msgms halves the patch, without a rest, down to its coarsest scale.
    return (*offered, msgms()) if patch_size % 2 ** (_MSGMS_SCALES - 1) == 0 else offered


def definition(components: Sequence[Component]) -> dict[str, Any]:
    """Return a score that offers `components`, of which the first decides."""
    return {
        "components": list(components),
        "decide": [components[0]["name"]],
        "combine": None,
        "normalisation": None,
    }


def choice(score: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return `score` with the one component `name` deciding."""
    return {**score, "decide": [name], "combine": None, "normalisation": None}


def in_words(component: Mapping[str, Any]) -> str:
    """Return what a component of a manifest's score says of a patch, for people."""
    kind = component["component"]
    if kind == "ssim":
        return "1 - SSIM of patch and reconstruction, the paper's score"
    if kind == "msgms":
        side = component["window_size"]
        return (
            f"largest of 1 - gradient similarity on {component['scales']} scales + squared "
            f"difference, both averaged over {side}x{side} pixels"
        )
    sources = {
        "ssim_local": "1 - SSIM at each pixel",
        "residual": "|patch - reconstruction|",
        "map": f"output {component.get('output')}",
    }
    return f"{_pooled(component['pooling'])} of {sources[kind]}{_filtered(component)}"


def _pooled(pooling: Any) -> str:
    if pooling == "max":
        return "largest"
    share = pooling["top"]
    return "mean" if share == 1.0 else f"mean of the largest {100 * share:g} %"


def _filtered(component: Mapping[str, Any]) -> str:
    located = component["per_location"], ", in standard deviations from its location's mean"
    sigma = component["smoothing"]
    smoothed = sigma, f", smoothed by {sigma:g} pixel{'' if sigma == 1.0 else 's'}"
    return "".join(text for applies, text in (located, smoothed) if applies)


def _filtering(smoothing: float, top: float | None, per_location: bool) -> dict[str, Any]:
    pooling = "max" if top is None else {"top": top}
    return {"smoothing": smoothing, "pooling": pooling, "per_location": per_location}
