"""One strip as a result of OPC 40100-1, whether it comes from the snapshot or from the record.

`ResultContent` is an array of variants, in this order and always of this length: verdict (String),
reason (String), verdict of each vial (String of 0 and 1, 1 is accept), shape (UInt32[3]: frames F,
vials V, regions R), thresholds (Float[R]), scores φ (Float[F·V·R], frame by frame, in it vial by
vial; NaN where none was made; empty when nothing was scored), latency in ms (Double), what the
machine was told (String: accept or reject).
"""

from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from asyncua import ua

from vialsight.station import snapshot
from vialsight.station.opcua.vision import Vision
from vialsight.station.record import reading

# ResultStateDataType has three more: undefined, processing, aborted.
COMPLETED: Final = 1
FAILED: Final = 4
# With these a strip was inspected to its end; the others say why it was not.
_INSPECTED: Final = ("none", "defect")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=timezone.utc)

Scores = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Recipe:
    """A bundle, which is recipe and configuration in one: it holds the thresholds too."""

    name: str
    sha256: str

    @property
    def digest(self) -> bytes:
        """The hash in bytes; empty when it is not known."""
        try:
            return bytes.fromhex(self.sha256)
        except ValueError:
            return b""

    @property
    def configuration(self) -> str:
        """Id of the configuration: what distinguishes bundles of one name."""
        return f"{self.name}@{self.sha256[:16]}"

    def structure(self, vision: Vision, kind: str) -> Any:
        """Return it as a structure of `kind`, an id of a recipe or of a configuration."""
        configuration = kind == "ConfigurationIdDataType"
        return vision.make(
            kind,
            Id=self.configuration if configuration else self.name,
            Hash=self.digest,
            HashAlgorithm="SHA-256",
        )


UNKNOWN: Final = Recipe("", "")


@dataclass(frozen=True)
class Result:
    """A strip, independent of where it was read."""

    seq: int
    strip_id: int
    batch: int
    product: str
    mode: str
    verdict: str
    reason: str
    gate: str
    vials: str
    finished_ns: int
    latency_ms: float | None
    after_last_frame_ms: float | None
    thresholds: tuple[float, ...]
    scores: Scores | None
    recipe: Recipe

    @property
    def state(self) -> int:
        """ResultState: completed when the strip was inspected, failed when it could not be."""
        return COMPLETED if self.reason in _INSPECTED else FAILED

    def fields(self, vision: Vision) -> dict[str, Any]:
        """Return the members of ResultDataType, which are fields of ResultReadyEventType too."""
        product = {"ProductId": vision.make("ProductIdDataType", Id=self.product)}
        return {
            "ResultId": vision.make("ResultIdDataType", Id=str(self.seq)),
            "HasTransferableDataOnFile": False,
            "IsPartial": False,
            "IsSimulated": self.mode == "challenge",
            "ResultState": ua.Int32(self.state),
            "PartId": vision.make("PartIdDataType", Id=str(self.strip_id)),
            "ExternalRecipeId": self.recipe.structure(vision, "RecipeIdExternalDataType"),
            "InternalRecipeId": self.recipe.structure(vision, "RecipeIdInternalDataType"),
            "ExternalConfigurationId": self.recipe.structure(vision, "ConfigurationIdDataType"),
            "InternalConfigurationId": self.recipe.structure(vision, "ConfigurationIdDataType"),
            "JobId": job(vision, self.batch),
            "CreationTime": moment(self.finished_ns),
            "ProcessingTimes": self._times(vision),
            "ResultContent": self._content(),
        } | (product if self.product else {})

    def structure(self, vision: Vision) -> Any:
        """Return it as ResultDataType."""
        return vision.make("ResultDataType", **self.fields(vision))

    def _times(self, vision: Vision) -> Any:
        end, latency = moment(self.finished_ns), self.latency_ms
        if latency is None:
            return vision.make("ProcessingTimesDataType", StartTime=end, EndTime=end)
        start = end - timedelta(milliseconds=latency)
        behind = self.after_last_frame_ms
        if behind is None or not 0 < behind <= latency:
            return vision.make("ProcessingTimesDataType", StartTime=start, EndTime=end)
        return vision.make(
            "ProcessingTimesDataType",
            StartTime=start,
            EndTime=end,
            AcquisitionDuration=ua.Double(latency - behind),
            ProcessingDuration=ua.Double(behind),
        )

    def _content(self) -> list[ua.Variant]:
        frames, vials, regions = (0, 0, 0) if self.scores is None else self.scores.shape
        flat = [] if self.scores is None else [float(value) for value in self.scores.ravel()]
        text, single = ua.VariantType.String, ua.VariantType.Float
        return [
            ua.Variant(self.verdict, text),
            ua.Variant(self.reason, text),
            ua.Variant(self.vials, text),
            ua.Variant([frames, vials, regions], ua.VariantType.UInt32, is_array=True),
            ua.Variant(list(self.thresholds), single, is_array=True),
            ua.Variant(flat, single, is_array=True),
            ua.Variant(self.latency_ms or 0.0, ua.VariantType.Double),
            ua.Variant(self.gate, text),
        ]


def of_snapshot(strip: snapshot.Strip, recipe: Recipe, product: str) -> Result:
    """Return a strip of the snapshot as a result."""
    scored = bool(np.isfinite(strip.scores).any())
    return Result(
        seq=strip.seq,
        strip_id=strip.strip_id,
        batch=strip.batch,
        product=product,
        mode=strip.mode,
        verdict=strip.verdict,
        reason=strip.reason,
        gate=strip.gate,
        vials="".join("1" if vial else "0" for vial in strip.vials),
        finished_ns=strip.unix_ns,
        latency_ms=strip.latency_ms,
        after_last_frame_ms=strip.times_ms.get("after_last_frame"),
        thresholds=tuple(float(value) for value in strip.thresholds),
        scores=strip.scores if scored else None,
        recipe=recipe,
    )


def of_record(strip: reading.Strip, recipe: Recipe, product: str) -> Result:
    """Return a recorded strip as a result."""
    body = strip.body
    return Result(
        seq=strip.seq,
        strip_id=strip.strip_id,
        batch=strip.batch,
        product=product,
        mode=strip.mode,
        verdict=strip.verdict,
        reason=strip.reason,
        gate=str(body.get("gate", "reject")),
        vials=str(body.get("vials", "")),
        finished_ns=strip.unix_ns,
        latency_ms=strip.latency_ms,
        after_last_frame_ms=(body.get("times_ms") or {}).get("after_last_frame"),
        thresholds=tuple(float(np.float32(value)) for value in body.get("thresholds") or ()),
        scores=strip.scores,
        recipe=recipe,
    )


def job(vision: Vision, batch: int) -> Any:
    """Return a batch as JobIdDataType; its Id is empty where there is none."""
    return vision.make("JobIdDataType", Id=str(batch) if batch else "")


def moment(unix_ns: int) -> datetime:
    """Return a time; OPC UA knows 100 ns, Python 1 µs."""
    return _EPOCH + timedelta(microseconds=unix_ns // 1000)
