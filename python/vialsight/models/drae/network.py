"""The DRAE network: residual encoder, dense bottleneck, residual decoder, discriminator.

Every block is pre-activation (batch norm, activation, convolution) and adds three 3x3
convolutions to a shortcut. Source: paper section 5.1.3 and figures 6 to 8; SPEC section 2.
"""

from dataclasses import dataclass
from typing import Any, Final

import keras
from keras import layers

from vialsight.bundle import RECONSTRUCTION
from vialsight.models.layers import FusedBatchNormalization, NearestUpsampling

LATENT_SIZE: Final = 64
STAGES: Final = 4
LEAKY_SLOPE: Final = 0.2
PATCH_MULTIPLE: Final = 2**STAGES

# Width of the last encoder stage; drae-1024 is the paper's, 16 and 32 serve small demonstrations.
PRESETS: Final[dict[str, int]] = {
    f"drae-{width}": width for width in (16, 32, 64, 128, 256, 512, 1024)
}


@dataclass(frozen=True, kw_only=True)
class NetworkOptions:
    """What the four networks of one training have in common.

    `dtype` is a Keras dtype policy name; `synchronized` makes batch norm average its statistics
    over all replicas of a distribution strategy.
    """

    patch_size: int
    preset: str = "drae-64"
    activation: str = "relu"
    batch_norm_momentum: float = 0.99
    dtype: str = "float32"
    synchronized: bool = False

    def __post_init__(self) -> None:
        if self.preset not in PRESETS:
            raise ValueError(f"preset must be one of {', '.join(PRESETS)}; got {self.preset!r}")
        if self.activation not in ("relu", "leaky_relu"):
            raise ValueError(f"activation must be relu or leaky_relu; got {self.activation!r}")
        if self.patch_size < PATCH_MULTIPLE or self.patch_size % PATCH_MULTIPLE:
            raise ValueError(
                f"patch size must be a positive multiple of {PATCH_MULTIPLE}; got {self.patch_size}"
            )

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of the encoder's stages, doubling up to the preset's width."""
        last = PRESETS[self.preset]
        return tuple(last >> shift for shift in reversed(range(STAGES)))

    @property
    def code_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of the encoder's last feature map."""
        side = self.patch_size // PATCH_MULTIPLE
        return side, side, self.widths[-1]


@dataclass(frozen=True, kw_only=True)
class Networks:
    """The trained networks; only `generator` is deployed.

    generator: X* (n,P,P,1) -> (X̂ (n,P,P,1), z (n,64)); encoder: X̂ -> ẑ (n,64);
    discriminator: X -> (logit (n,1), F_C (n,P/16,P/16,width)).
    """

    generator: keras.Model
    encoder: keras.Model
    discriminator: keras.Model


class _Blocks:
    """Blocks A, B and C for one direction: `convolution` is Conv2D or Conv2DTranspose."""

    def __init__(self, options: NetworkOptions, convolution: type[layers.Layer]) -> None:
        self._options = options
        self._convolution = convolution

    def widen(self, x: Any, width: int) -> Any:
        """Block A: the shortcut's 1x1 convolution changes the width."""
        return layers.add([self._main(x, width), self._project(x, width)], **self._typed())

    def keep(self, x: Any, width: int) -> Any:
        """Block B: identity shortcut."""
        return layers.add([self._main(x, width), x], **self._typed())

    def rescale(self, x: Any, width: int) -> Any:
        """Block C: the middle convolution halves (encoder) or doubles (decoder) the image."""
        main = self._main(x, width, stride=2)
        return layers.add([main, self._rescaled_shortcut(x, width)], **self._typed())

    def _rescaled_shortcut(self, x: Any, width: int) -> Any:
        if self._convolution is layers.Conv2D:
            return self._project(layers.AveragePooling2D(2, **self._typed())(x), width)
        # A 1x1 convolution commutes with nearest upsampling and costs a quarter before it.
        return NearestUpsampling(**self._typed())(self._project(x, width))

    def _main(self, x: Any, width: int, stride: int = 1) -> Any:
        for one_stride in (1, stride, 1):
            x = self.activate(x)
            x = self._convolution(
                width, 3, strides=one_stride, padding="same", use_bias=False, **self._typed()
            )(x)
        return x

    def activate(self, x: Any) -> Any:
        """Batch norm and activation, ahead of every convolution and after the last block."""
        options = self._options
        x = FusedBatchNormalization(
            momentum=options.batch_norm_momentum,
            synchronized=options.synchronized,
            **self._typed(),
        )(x)
        if options.activation == "relu":
            return layers.ReLU(**self._typed())(x)
        return layers.LeakyReLU(LEAKY_SLOPE, **self._typed())(x)

    def _project(self, x: Any, width: int) -> Any:
        return layers.Conv2D(width, 1, **self._typed())(x)

    def _typed(self) -> dict[str, Any]:
        return {"dtype": self._options.dtype}


def build_networks(options: NetworkOptions) -> Networks:
    """Create generator, second encoder and discriminator with fresh weights.

    Initial weights follow `keras.utils.set_random_seed`.
    """
    return Networks(
        generator=build_generator(options),
        encoder=_build_encoder(options),
        discriminator=_build_discriminator(options),
    )


def build_generator(options: NetworkOptions) -> keras.Model:
    """Create G_E, bottleneck and G_D: (n,P,P,1) in [0,1] -> [X̂ (n,P,P,1) in [0,1], z (n,64)]."""
    image = _image_input(options)
    z = _latent(_encode(image, options), options)
    return keras.Model(image, [_decode(z, options), z], name="generator")


def deployed_part(generator: keras.Model) -> keras.Model:
    """Return the generator reduced to its output "reconstruction": (n,P,P,1) -> (n,P,P,1)."""
    return keras.Model(generator.input, {RECONSTRUCTION: generator.outputs[0]}, name="deployed")


def _build_encoder(options: NetworkOptions) -> keras.Model:
    image = _image_input(options)
    return keras.Model(image, _latent(_encode(image, options), options), name="encoder")


def _build_discriminator(options: NetworkOptions) -> keras.Model:
    image = _image_input(options)
    features = _encode(image, options)
    flat = layers.Flatten(dtype=options.dtype)(features)
    logit = layers.Dense(1, dtype="float32")(flat)
    return keras.Model(image, [logit, _as_float32(features)], name="discriminator")


def _encode(image: Any, options: NetworkOptions) -> Any:
    blocks, x = _Blocks(options, layers.Conv2D), image
    for width in options.widths:
        x = blocks.rescale(blocks.keep(blocks.widen(x, width), width), width)
    return blocks.activate(x)


def _latent(features: Any, options: NetworkOptions) -> Any:
    flat = layers.Flatten(dtype=options.dtype)(features)
    # Losses are computed in float32, whatever the precision of the layers.
    return layers.Dense(LATENT_SIZE, dtype="float32", name="z")(flat)


def _decode(z: Any, options: NetworkOptions) -> Any:
    height, width, channels = options.code_shape
    x = layers.Dense(height * width * channels, dtype=options.dtype)(z)
    x = layers.Reshape((height, width, channels), dtype=options.dtype)(x)
    blocks = _Blocks(options, layers.Conv2DTranspose)
    for stage_width in reversed(options.widths):
        x = blocks.widen(x, stage_width)
        x = blocks.rescale(blocks.keep(x, stage_width), stage_width)
    # Without this the sum of all residuals saturates the sigmoid within the first steps.
    x = blocks.activate(x)
    x = layers.Conv2D(1, 3, padding="same", dtype=options.dtype)(x)
    return layers.Activation("sigmoid", dtype="float32", name="reconstruction")(x)


def _image_input(options: NetworkOptions) -> Any:
    return keras.Input((options.patch_size, options.patch_size, 1), name="patches")


def _as_float32(x: Any) -> Any:
    return layers.Activation("linear", dtype="float32")(x)
