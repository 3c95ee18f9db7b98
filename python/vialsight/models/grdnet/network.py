"""The segmenting network: a U-Net that starts at half size and sees what was expected.

Presets suit CPUs (docs/methods.md): a strided stem instead of narrow layers at full size, widths
in multiples of 16, dense 3x3 convolutions, strided ones instead of pooling.
"""

from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from vialsight.models.grdnet.expectation import PLANES
from vialsight.models.layers import FusedBatchNormalization, NearestUpsampling
from vialsight.pinned import keras, layers

# Probability of an anomaly at first: rare, so that the first steps do not unlearn everything.
_RARE: Final = -3.0
# The stage whose features tell how usual a place is, in pixels of the patch.
FEATURE_SCALE: Final = 16


class Preset(NamedTuple):
    """Channels of each stage, from half size on, and how the way back meets the way down."""

    widths: tuple[int, ...]
    fusion: str


PRESETS: Final[dict[str, Preset]] = {
    "line-S": Preset((16, 32, 64, 64, 64), "add"),
    "line-M": Preset((16, 32, 64, 128, 128), "concatenate"),
}


@dataclass(frozen=True, kw_only=True)
class SegmentationOptions:
    """What makes up a network for square inputs of `size` pixels; `dtype` is a Keras policy."""

    size: int
    regions: int
    preset: str = "line-M"
    batch_norm_momentum: float = 0.99
    dtype: str = "float32"
    synchronized: bool = False


def build_segmentation(options: SegmentationOptions) -> keras.Model:
    """Create the network with fresh weights.

    Inputs: image (n,S,S,1) in [0,1], differences (n,S/2,S/2,5), region (n,R) as one-hot. Outputs:
    logits (n,S/2,S/2,1) float32, features (n,S/16,S/16,C).
    """
    return _Builder(options).build()


class _Builder:
    def __init__(self, options: SegmentationOptions) -> None:
        self._options = options
        self._preset = PRESETS[options.preset]
        self._typed = {"dtype": options.dtype}

    def build(self) -> keras.Model:
        size, half = self._options.size, self._options.size // 2
        image = keras.Input((size, size, 1), name="image")
        differences = keras.Input((half, half, PLANES), name="differences")
        region = keras.Input((self._options.regions,), name="region")
        x = self._stem(image, differences, region)
        skips = [x]
        for width in self._preset.widths[1:]:
            x = self._block(self._block(x, width, stride=2), width)
            skips.append(x)
        features = skips[3]
        skips.pop()
        for width in reversed(self._preset.widths[:-1]):
            x = self._joined(x, skips.pop(), width)
        logits = layers.Conv2D(
            1, 1, bias_initializer=keras.initializers.Constant(_RARE), **self._typed
        )(x)
        logits = layers.Activation("linear", dtype="float32", name="logits")(logits)
        return keras.Model([image, differences, region], [logits, features], name="segmentation")

    def _stem(self, image: Any, differences: Any, region: Any) -> Any:
        width = self._preset.widths[0]
        # Zero in the middle of [0,1], so that padding looks like grey and not like black.
        centred = layers.Rescaling(2.0, -1.0, **self._typed)(image)
        seen = self._convolution(centred, width, kernel=5, stride=2)
        known = self._convolution(differences, width)
        bias = layers.Dense(width, use_bias=False, **self._typed)(region)
        bias = layers.Reshape((1, 1, width), **self._typed)(bias)
        x = layers.add([seen, known, bias], **self._typed)
        return self._block(self._normalized(x), width)

    def _joined(self, x: Any, skip: Any, width: int) -> Any:
        if self._preset.fusion == "concatenate":
            x = NearestUpsampling(**self._typed)(x)
            return self._block(layers.concatenate([x, skip], **self._typed), width)
        # A 1x1 convolution commutes with nearest upsampling and costs a quarter before it.
        x = NearestUpsampling(**self._typed)(self._convolution(x, width, kernel=1))
        return self._block(layers.add([x, skip], **self._typed), width)

    def _block(self, x: Any, width: int, *, stride: int = 1) -> Any:
        return self._normalized(self._convolution(x, width, stride=stride))

    def _convolution(self, x: Any, width: int, *, kernel: int = 3, stride: int = 1) -> Any:
        return layers.Conv2D(
            width,
            kernel,
            strides=stride,
            padding="same",
            use_bias=False,
            kernel_initializer="he_normal",
            **self._typed,
        )(x)

    def _normalized(self, x: Any) -> Any:
        x = FusedBatchNormalization(
            momentum=self._options.batch_norm_momentum,
            synchronized=self._options.synchronized,
            **self._typed,
        )(x)
        return layers.ReLU(**self._typed)(x)
