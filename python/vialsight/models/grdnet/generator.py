"""The paper's generator as what is expected of a patch, instead of the linear model.

It is trained as a GAN (SPEC section 4) on patches with anomalies, towards the same patches without
them, beside the segmenting network, whose gradients do not reach it (METHODS section 1).
"""

from vialsight.aliases import Tensor
from vialsight.models.configuration import Config, section_of
from vialsight.models.drae.network import NetworkOptions, build_generator
from vialsight.models.grdnet.section import GeneratorConfig, GrdnetSection
from vialsight.models.method import SavedState
from vialsight.models.optimization import numbered, values
from vialsight.pinned import tf


def generator_options(
    config: Config, patch_size: int, *, synchronized: bool = False, deployed: bool = False
) -> NetworkOptions:
    """Return what a configuration says of the generator; a deployed one computes in float32."""
    generator = generator_of(config)
    return NetworkOptions(
        patch_size=patch_size,
        preset=generator.preset,
        bottleneck=generator.bottleneck,
        batch_norm_momentum=section_of(config, GrdnetSection).batch_norm_momentum,
        dtype="float32" if deployed else config.training.precision,
        synchronized=synchronized,
    )


def generator_of(config: Config) -> GeneratorConfig:
    """Return what a configuration that has a generator says of it; ValueError of another."""
    generator = section_of(config, GrdnetSection).generator
    if generator is None:
        raise ValueError("expected a configuration with model.generator; got null")
    return generator


class TrainedGenerator(tf.Module):  # type: ignore[misc]
    """The generator of a finished training."""

    def __init__(self, config: Config, patch_size: int, saved: SavedState) -> None:
        super().__init__(name="generator")
        self._model = build_generator(generator_options(config, patch_size, deployed=True))
        saved.restore(numbered("generator", values(self._model.variables)))

    def __call__(self, patches: Tensor) -> tuple[Tensor, Tensor]:
        """Return X̂ of patches (n,P,P,1), and codes (n,k): z, or its means over all places."""
        reconstruction, z = self._model(patches, training=False)
        if len(z.shape) == 4:
            z = tf.reduce_mean(z, axis=(1, 2))
        return reconstruction, z


def trained_generator(
    config: Config, patch_size: int, saved: SavedState
) -> TrainedGenerator | None:
    """Return the generator of a training, None where a linear model stands for it."""
    if section_of(config, GrdnetSection).generator is None:
        return None
    return TrainedGenerator(config, patch_size, saved)
