"""What a configuration says of GRD-Net: expectation, network, anomalies, losses, replay."""

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from vialsight.config import Positive, Probability, Section, Weight
from vialsight.models.anomalies.section import AnomaliesConfig
from vialsight.models.drae.section import GanLossConfig, Preset

# The network halves five times; it is deployed on whole patches, whatever it was trained on.
EDGE_MULTIPLE = 32


class SegmentationLossConfig(Section):
    """Losses of the segmenting network: of every pixel, and of the patch's largest logits."""

    pixel: Literal["cross_entropy", "focal"] = Field(
        default="cross_entropy", description="focal: GRD-Net's, with gamma 2 and alpha 0.25"
    )
    positive_weight: Positive = Field(
        default=3.0, description="of anomalous pixels in the cross-entropy"
    )
    patch_weight: Weight = Field(
        default=0.2, description="of the cross-entropy of the patch's largest logits"
    )
    largest: int = Field(default=8, ge=1, description="logits whose mean speaks for the patch")


class ReplayConfig(Section):
    """Nominal patches that looked most anomalous so far, shown again."""

    patches: int = Field(default=512, ge=0, description="kept in mind; 0: no replay")
    probability: Probability = Field(
        default=0.4, description="share of nominal patches that are replaced by one of them"
    )


class GeneratorConfig(Section):
    """A generator trained as a GAN, instead of the linear model; it needs whole patches."""

    preset: Preset = Field(default="line-S", description="its network, as of drae")
    bottleneck: Literal["dense", "convolutional"] = Field(
        default="dense", description="64 numbers, or 32 at each place of the last feature map"
    )
    learning_rate: Positive = Field(default=1e-3, description="maximum, of the generator")
    discriminator_learning_rate: Positive | None = Field(
        default=None, description="null: learning_rate"
    )
    loss: GanLossConfig = Field(default=GanLossConfig(), description=str(GanLossConfig.__doc__))


class GrdnetSection(Section):
    """GRD-Net (SPEC section 8): a U-Net looks at a patch and at what was expected of it."""

    method: Literal["grdnet"] = Field(default="grdnet", description="the segmenting network")
    preset: Literal["line-S", "line-M"] = Field(
        default="line-M", description="0.66 or 1.34 GFLOP a patch of 256x256"
    )
    components: int = Field(
        default=64, ge=0, le=256, description="of the linear model of each region, at a quarter"
    )
    generator: GeneratorConfig | None = Field(
        default=None, description="what is expected of a patch; null: the linear model"
    )
    batch_norm_momentum: float = Field(
        default=0.99, ge=0.0, lt=1.0, description="of the running statistics"
    )
    average_cycles: bool = Field(
        default=False,
        description="deploy the mean of the segmenting network's weights over the ends of the "
        "schedule's cycles, once one has ended, instead of the last ones",
    )
    crop: int | None = Field(
        default=None,
        ge=EDGE_MULTIPLE,
        multiple_of=EDGE_MULTIPLE,
        description="train on squares of this edge, cut from patches; null: on whole patches",
    )
    roi: tuple[Path | None, ...] | None = Field(
        default=None,
        description="of each region an image P×P, black where anomalies do not count, or null; "
        "null: they count everywhere",
    )
    anomalies: AnomaliesConfig = Field(
        default=AnomaliesConfig(), description=str(AnomaliesConfig.__doc__)
    )
    loss: SegmentationLossConfig = Field(
        default=SegmentationLossConfig(), description=str(SegmentationLossConfig.__doc__)
    )
    replay: ReplayConfig = Field(default=ReplayConfig(), description=str(ReplayConfig.__doc__))

    @model_validator(mode="after")
    def _whole_where_needed(self) -> "GrdnetSection":
        if self.crop is None:
            return self
        if self.anomalies.kind == "perlin":
            raise ValueError("anomalies of kind perlin need whole patches: set crop to null")
        if self.generator is not None:
            raise ValueError("a generator needs whole patches: set crop to null")
        return self
