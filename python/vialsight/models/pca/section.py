"""What a configuration says of the linear autoencoder."""

from typing import Literal

from pydantic import Field

from vialsight.config import Section

MAX_COMPONENTS = 1024


class PcaSection(Section):
    """The linear autoencoder: principal components of each region, fitted in one pass."""

    method: Literal["pca"] = Field(default="pca", description="the linear autoencoder")
    components: int = Field(
        default=64, ge=1, le=MAX_COMPONENTS, description="of each region; at most, with variance"
    )
    variance: float | None = Field(
        default=None,
        gt=0.0,
        lt=1.0,
        description="share of the variance to keep, by as few components as do; null: all of them",
    )
    batch_patches: int = Field(
        default=128, ge=2, description="of a region, merged at a time; memory grows with them"
    )
