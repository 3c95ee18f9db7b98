"""What a configuration says of DRAE: the network, the noise laid over its input, its losses."""

from typing import Literal

from pydantic import Field, model_validator

from vialsight.config import Probability, Section, Weight

Preset = Literal[
    "drae-16",
    "drae-32",
    "drae-64",
    "drae-128",
    "drae-256",
    "drae-512",
    "drae-1024",
    "line-S",
    "line-M",
]


class PerturbationConfig(Section):
    """Perlin noise laid over X (SPEC section 3, equation 7)."""

    probability: Probability = Field(default=0.75, description="q, the share of perturbed patches")
    threshold: float = Field(
        default=0.6,
        ge=0.0,
        lt=1.0,
        description="noise above it is the mask; 0.5 is no noise, 1 its peak",
    )
    octaves: int = Field(
        default=3, ge=1, le=6, description="each doubles the cells, halves the amplitude"
    )
    min_scale: int = Field(
        default=1, ge=0, le=6, description="coarsest octave has at least 2^this cells"
    )
    max_scale: int = Field(
        default=4, ge=0, le=6, description="coarsest octave has at most 2^this cells"
    )

    @model_validator(mode="after")
    def _ordered(self) -> "PerturbationConfig":
        if self.min_scale > self.max_scale:
            raise ValueError(
                f"min_scale must not exceed max_scale; got {self.min_scale} > {self.max_scale}"
            )
        return self


class GanLossConfig(Section):
    """Weights and forms of the generator's losses (SPEC section 4)."""

    adversarial_weight: Weight = Field(default=1.0, description="w_1")
    contextual_weight: Weight = Field(default=50.0, description="w_2")
    encoder_weight: Weight = Field(default=1.0, description="w_3")
    pixel_weight: Weight = Field(default=2.0, description="w_a, inside the contextual loss")
    ssim_weight: Weight = Field(default=1.0, description="w_b, inside the contextual loss")
    ramp_steps: int = Field(
        default=0,
        ge=0,
        description="w_1 and w_3 grow linearly over this many steps; 0: in full from the start",
    )
    pixel: Literal["huber", "l1"] = Field(
        default="huber", description="huber: 2026 paper; l1: 2024 paper"
    )


class LossConfig(GanLossConfig):
    """Weights and forms of the generator's losses (SPEC section 4), that of the noise included."""

    noise_weight: Weight = Field(default=3.0, description="w_4")
    noise: Literal["2026", "2024"] = Field(default="2026", description="form of L_nse, by paper")


class DraeSection(Section):
    """The residual autoencoder, trained as a GAN (SPEC sections 2 to 4)."""

    method: Literal["drae"] = Field(default="drae", description="the residual autoencoder")
    preset: Preset = Field(
        default="drae-64",
        description="drae-N: the paper's, N channels in the last stage; line-S, line-M: for CPUs",
    )
    activation: Literal["relu", "leaky_relu"] = Field(
        default="relu", description="leaky_relu has slope 0.2"
    )
    batch_norm_momentum: float = Field(
        default=0.99,
        ge=0.0,
        lt=1.0,
        description="of the running statistics; 0.9 suits short trainings",
    )
    perturbation: PerturbationConfig = Field(
        default=PerturbationConfig(), description=str(PerturbationConfig.__doc__)
    )
    loss: LossConfig = Field(default=LossConfig(), description=str(LossConfig.__doc__))
