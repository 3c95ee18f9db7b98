"""The DRAE network: residual encoder, dense bottleneck, residual decoder, discriminator.

Blocks add 3x3 convolutions to a shortcut. Source: paper section 5.1.3 and figures 6 to 8; SPEC
section 2; of the presets for CPUs (`topology.py`), what these say.
"""

from dataclasses import dataclass
from typing import Any, Final

from vialsight.bundle import RECONSTRUCTION
from vialsight.models.drae.blocks import Blocks
from vialsight.models.drae.topology import TOPOLOGIES, Topology
from vialsight.models.layers import DepthToSpace, SpaceToDepth
from vialsight.pinned import keras, layers

LATENT_SIZE: Final = 64
# Channels of a convolutional bottleneck; GRD-Net's (METHODS section 1).
LATENT_CHANNELS: Final = 32
BOTTLENECKS: Final = ("dense", "convolutional")

# Layers by whose names `opened` finds what lies between encoder and decoder.
_FLAT: Final = "flat"
_Z: Final = "z"


@dataclass(frozen=True, kw_only=True)
class NetworkOptions:
    """What the four networks of one training have in common.

    `bottleneck` is `dense` (z is 64 numbers) or `convolutional` (z is 32 at each place of the last
    feature map); `dtype` is a Keras dtype policy name; `synchronized` makes batch norm average its
    statistics over all replicas of a distribution strategy.
    """

    patch_size: int
    preset: str = "drae-64"
    activation: str = "relu"
    bottleneck: str = "dense"
    batch_norm_momentum: float = 0.99
    dtype: str = "float32"
    synchronized: bool = False

    def __post_init__(self) -> None:
        if self.preset not in TOPOLOGIES:
            raise ValueError(f"preset must be one of {', '.join(TOPOLOGIES)}; got {self.preset!r}")
        if self.activation not in ("relu", "leaky_relu"):
            raise ValueError(f"activation must be relu or leaky_relu; got {self.activation!r}")
        if self.bottleneck not in BOTTLENECKS:
            raise ValueError(
                f"bottleneck must be one of {', '.join(BOTTLENECKS)}; got {self.bottleneck!r}"
            )
        multiple = self.topology.reduction
        if self.patch_size < multiple or self.patch_size % multiple:
            raise ValueError(
                f"patch size of {self.preset} must be a positive multiple of {multiple}; "
                f"got {self.patch_size}"
            )

    @property
    def topology(self) -> Topology:
        """Stages of encoder and decoder."""
        return TOPOLOGIES[self.preset]

    @property
    def code_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of the encoder's last feature map."""
        side = self.patch_size // self.topology.reduction
        return side, side, self.topology.widths[-1]


@dataclass(frozen=True, kw_only=True)
class Networks:
    """The trained networks; only `generator` is deployed.

    generator: X* (n,P,P,1) -> (X̂ (n,P,P,1), z); encoder: X̂ -> ẑ, shaped as z: (n,64), or
    (n,h,w,32) of a convolutional bottleneck;
    discriminator: X -> (logit (n,1), F_C of `code_shape`).
    """

    generator: keras.Model
    encoder: keras.Model
    discriminator: keras.Model


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
    """Create G_E, bottleneck and G_D: (n,P,P,1) in [0,1] -> [X̂ (n,P,P,1) in [0,1], z]."""
    image = _image_input(options)
    z = _latent(_encode(image, options), options)
    return keras.Model(image, [_decode(z, options), z], name="generator")


def deployed_part(generator: keras.Model) -> keras.Model:
    """Return the generator reduced to its output "reconstruction": (n,P,P,1) -> (n,P,P,1)."""
    return keras.Model(generator.input, {RECONSTRUCTION: generator.outputs[0]}, name="deployed")


def opened(deployed: keras.Model) -> keras.Model:
    """Return the deployed part with its inside: (n,P,P,1) -> [X̂, z (n,64), features of `_encode`].

    Of a dense bottleneck. The features are float32 (n,P/16,P/16,width), the encoder's last.
    """
    features = _as_float32(deployed.get_layer(_FLAT).input)
    z = deployed.get_layer(_Z).output
    return keras.Model(deployed.input, [deployed.output[RECONSTRUCTION], z, features])


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
    return (_encode_at_full_size if options.topology.fold == 1 else _encode_folded)(image, options)


def _encode_at_full_size(image: Any, options: NetworkOptions) -> Any:
    blocks, x = Blocks(options, layers.Conv2D), image
    for width in options.topology.widths:
        x = blocks.rescale(blocks.keep(blocks.widen(x, width), width), width)
    return blocks.activate(x)


def _encode_folded(image: Any, options: NetworkOptions) -> Any:
    topology, blocks = options.topology, Blocks(options, layers.Conv2D, depth=2)
    # Zero in the middle of [0,1], so that the convolution's padding looks like grey, not black.
    x = layers.Rescaling(2.0, -1.0, dtype=options.dtype)(image)
    x = SpaceToDepth(topology.fold, dtype=options.dtype)(x)
    x = layers.Conv2D(topology.widths[0], 3, padding="same", use_bias=False, dtype=options.dtype)(x)
    for stage, (width, repeats) in enumerate(zip(topology.widths, topology.repeats, strict=True)):
        if stage:
            x = blocks.rescale(x, width)
        for _ in range(repeats):
            x = blocks.keep(x, width)
    return blocks.activate(x)


def _latent(features: Any, options: NetworkOptions) -> Any:
    if options.bottleneck == "convolutional":
        return layers.Conv2D(LATENT_CHANNELS, 1, dtype="float32", name=_Z)(features)
    flat = layers.Flatten(dtype=options.dtype, name=_FLAT)(features)
    # Losses are computed in float32, whatever the precision of the layers.
    return layers.Dense(LATENT_SIZE, dtype="float32", name=_Z)(flat)


def _decode(z: Any, options: NetworkOptions) -> Any:
    x = _widened(z, options)
    x = (_decode_to_full_size if options.topology.fold == 1 else _decode_folded)(x, options)
    return layers.Activation("sigmoid", dtype="float32", name="reconstruction")(x)


def _widened(z: Any, options: NetworkOptions) -> Any:
    """Return the feature map that the decoder starts from."""
    height, width, channels = options.code_shape
    if options.bottleneck == "convolutional":
        return layers.Conv2D(channels, 1, dtype=options.dtype)(z)
    x = layers.Dense(height * width * channels, dtype=options.dtype)(z)
    return layers.Reshape((height, width, channels), dtype=options.dtype)(x)


def _decode_to_full_size(x: Any, options: NetworkOptions) -> Any:
    blocks = Blocks(options, layers.Conv2DTranspose)
    for width in reversed(options.topology.widths):
        x = blocks.widen(x, width)
        x = blocks.rescale(blocks.keep(x, width), width)
    # Without this the sum of all residuals saturates the sigmoid within the first steps.
    x = blocks.activate(x)
    return layers.Conv2D(1, 3, padding="same", dtype=options.dtype)(x)


def _decode_folded(x: Any, options: NetworkOptions) -> Any:
    topology = options.topology
    blocks = Blocks(options, layers.Conv2D, strided=layers.Conv2DTranspose, depth=2)
    stages = list(zip(topology.widths, topology.repeats, strict=True))
    for (width, repeats), below in zip(
        reversed(stages), [*topology.widths[-2::-1], 0], strict=True
    ):
        for _ in range(repeats):
            x = blocks.keep(x, width)
        if below:
            x = blocks.rescale(x, below)
    x = blocks.activate(x)
    x = layers.Conv2D(topology.fold**2, 3, padding="same", dtype=options.dtype)(x)
    return DepthToSpace(topology.fold, dtype=options.dtype)(x)


def _image_input(options: NetworkOptions) -> Any:
    return keras.Input((options.patch_size, options.patch_size, 1), name="patches")


def _as_float32(x: Any) -> Any:
    return layers.Activation("linear", dtype="float32")(x)
