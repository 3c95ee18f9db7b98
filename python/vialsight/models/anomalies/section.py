"""What a configuration says of synthetic anomalies."""

from typing import Annotated, Final, Literal

from pydantic import Field, model_validator

from vialsight.config import Positive, Probability, Section, Weight

FAMILIES: Final = (
    "absorbing",
    "lighter",
    "texture",
    "relief",
    "displacement",
    "fading",
    "repetition",
)

Range = Annotated[tuple[Positive, Positive], Field(description="from, to")]


class FamilyWeights(Section):
    """How often each family is drawn, in proportion."""

    absorbing: Weight = Field(default=0.30, description="spots, clouds and threads that darken")
    lighter: Weight = Field(default=0.08, description="spots and pieces that brighten")
    texture: Weight = Field(default=0.08, description="the look of another region or place")
    relief: Weight = Field(default=0.22, description="grooves, hills and grains that bend light")
    displacement: Weight = Field(default=0.20, description="parts that lie elsewhere")
    fading: Weight = Field(default=0.10, description="parts that are blurred, or lack contrast")

    repetition: Weight = Field(default=0.08, description="many of a detail that is there already")

    @model_validator(mode="after")
    def _some(self) -> "FamilyWeights":
        if not sum(getattr(self, family) for family in FAMILIES) > 0.0:
            raise ValueError("at least one family must have a weight above 0")
        return self


class AnomaliesConfig(Section):
    """Synthetic anomalies, and the camera that sees them. Lengths are pixels of a patch."""

    kind: Literal["mixed", "perlin"] = Field(
        default="mixed", description="mixed: the families below; perlin: GRD-Net's masked noise"
    )
    probability: Probability = Field(default=0.55, description="share of patches that are changed")
    second: Probability = Field(default=0.3, description="share of changed patches changed twice")
    families: FamilyWeights = Field(default=FamilyWeights(), description=str(FamilyWeights.__doc__))
    radius: Range = Field(default=(1.5, 45.0), description="of spots and pieces")
    optical_depth: Range = Field(default=(0.1, 3.0), description="of absorbing shapes")
    width: Range = Field(default=(1.2, 5.0), description="of threads and grooves")
    length: Range = Field(default=(10.0, 200.0), description="of threads and grooves")
    bending: Range = Field(default=(0.5, 6.0), description="shift of the image by relief")
    shift: Range = Field(
        default=(1.5, 25.0), description="of displaced parts; not less than what locating leaves"
    )
    lens_sigma: Range = Field(default=(0.7, 1.3), description="blur of the change by the lens")
    full_well: Positive = Field(default=20000.0, description="electrons of a white pixel")
    visible: Positive = Field(
        default=0.012, description="smallest change of grey value that noise leaves visible"
    )
    beyond_nominal: Weight = Field(
        default=1.0, description="a change is labelled beyond this many usual nominal differences"
    )
    play: Weight = Field(default=0.3, description="deviation of the shift that locating leaves")
    gain: float = Field(default=0.05, ge=0.0, lt=1.0, description="exposure varies by this share")
    blur: Range = Field(default=(0.3, 0.7), description="slight blur of any patch, in 3 of 10")
    noise: Weight = Field(default=0.006, description="largest deviation of noise on any patch")

    @model_validator(mode="after")
    def _ordered(self) -> "AnomaliesConfig":
        for name in type(self).model_fields:
            if not isinstance(getattr(self, name), tuple):
                continue
            low, high = getattr(self, name)
            if low > high:
                raise ValueError(f"{name} must go from smaller to larger; got {low}, {high}")
        return self
