"""The components of a bundle's score that decide, and how their numbers are made comparable."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from vialsight.bundle import RECONSTRUCTION


@dataclass(frozen=True, kw_only=True)
class DecidingScore:
    """K components, as the manifest has them, and how they become φ.

    `combine` and `normalisation` are the manifest's (docs/scores.md); `reconstructs` says whether
    the network puts out a reconstruction, which pictures then show.
    """

    components: tuple[Mapping[str, Any], ...]
    combine: str | None
    normalisation: tuple[Mapping[str, Any], ...] | None
    reconstructs: bool

    @classmethod
    def of_manifest(cls, manifest: Mapping[str, Any]) -> "DecidingScore":
        """Take from a bundle's manifest what decides."""
        score, outputs = manifest["score"], manifest["outputs"].values()
        offered = {component["name"]: component for component in score["components"]}
        normalisation = score["normalisation"]
        return cls(
            components=tuple(offered[name] for name in score["decide"]),
            combine=score["combine"],
            normalisation=None if normalisation is None else tuple(normalisation),
            reconstructs=any(output["role"] == RECONSTRUCTION for output in outputs),
        )

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "DecidingScore":
        """Restore what `to_json` gave; raises KeyError or TypeError where it is something else."""
        normalisation = value["normalisation"]
        return cls(
            components=tuple(value["components"]),
            combine=value["combine"],
            normalisation=None if normalisation is None else tuple(normalisation),
            reconstructs=bool(value["reconstructs"]),
        )

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the K components."""
        return tuple(component["name"] for component in self.components)

    @property
    def is_published(self) -> bool:
        """Whether φ is the paper's, so that its thresholds mean the same as ours."""
        return [component["component"] for component in self.components] == ["ssim"]

    @property
    def leaves_out_published(self) -> bool:
        """Whether the paper's φ takes no part, though there are reconstructions to make it of."""
        kinds = [component["component"] for component in self.components]
        return self.reconstructs and "ssim" not in kinds

    def comparable(self, numbers: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        """Return numbers (...,R,K) as float64, less the offset and by the scale of their region.

        As they are where the score has no normalisation.
        """
        values = numbers.astype(np.float64)
        if self.normalisation is None:
            return values
        entries = {entry["component"]: entry for entry in self.normalisation}
        offset, scale = (
            np.array([entries[name][key] for name in self.names], np.float64).T
            for key in ("offset", "scale")
        )
        return np.asarray((values - offset) / scale)
