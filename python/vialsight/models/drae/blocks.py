"""Residual blocks with pre-activation: batch norm, activation, convolution, two or three times."""

from typing import Any, Final, Protocol

from vialsight.models.layers import FusedBatchNormalization, NearestUpsampling, PlaneReLU
from vialsight.pinned import layers

LEAKY_SLOPE: Final = 0.2
# Batch norm's kernels for CPUs want a multiple of so many channels: in half precision, where they
# are ten times slower otherwise, and in float32 (`PlaneReLU`).
_HALF_LANES: Final = 16
_LANES: Final = 8


class BlockOptions(Protocol):
    """What blocks have to know of the network they are part of."""

    @property
    def activation(self) -> str:
        """`relu` or `leaky_relu`."""

    @property
    def batch_norm_momentum(self) -> float:
        """Of the running statistics."""

    @property
    def dtype(self) -> str:
        """Name of a Keras dtype policy."""

    @property
    def synchronized(self) -> bool:
        """Whether batch norm averages its statistics over all replicas."""


class Blocks:
    """Blocks A, B and C of `depth` 3x3 convolutions each.

    `convolution` leaves the size as it is; `strided`, by default the same, halves it (Conv2D) or
    doubles it (Conv2DTranspose).
    """

    def __init__(
        self,
        options: BlockOptions,
        convolution: type[layers.Layer],
        *,
        strided: type[layers.Layer] | None = None,
        depth: int = 3,
    ) -> None:
        self._options = options
        self._convolution = convolution
        self._strided = strided or convolution
        self._depth = depth

    def widen(self, x: Any, width: int) -> Any:
        """Block A: the shortcut's 1x1 convolution changes the width."""
        return layers.add([self._main(x, width), self._project(x, width)], **self._typed())

    def keep(self, x: Any, width: int) -> Any:
        """Block B: identity shortcut."""
        return layers.add([self._main(x, width), x], **self._typed())

    def rescale(self, x: Any, width: int) -> Any:
        """Block C: one convolution halves (encoder) or doubles (decoder) the image.

        The middle one of three, the first one of two.
        """
        rescaling = (self._depth - 1) // 2
        main = self._main(x, width, rescaling)
        return layers.add([main, self._rescaled_shortcut(x, width)], **self._typed())

    def activate(self, x: Any) -> Any:
        """Batch norm and activation, ahead of every convolution and after the last block."""
        options, typed = self._options, self._typed()
        if x.shape[-1] % _HALF_LANES:
            # Rounded where the next convolution reads it: the same values.
            typed = {"dtype": "float32"}
        x = FusedBatchNormalization(
            momentum=options.batch_norm_momentum, synchronized=options.synchronized, **typed
        )(x)
        if options.activation == "leaky_relu":
            return layers.LeakyReLU(LEAKY_SLOPE, **typed)(x)
        return (PlaneReLU if x.shape[-1] % _LANES else layers.ReLU)(**typed)(x)

    def _rescaled_shortcut(self, x: Any, width: int) -> Any:
        if self._strided is layers.Conv2D:
            return self._project(layers.AveragePooling2D(2, **self._typed())(x), width)
        # A 1x1 convolution commutes with nearest upsampling and costs a quarter before it.
        return NearestUpsampling(**self._typed())(self._project(x, width))

    def _main(self, x: Any, width: int, rescaling: int | None = None) -> Any:
        for index in range(self._depth):
            layer, stride = (self._strided, 2) if index == rescaling else (self._convolution, 1)
            x = layer(width, 3, strides=stride, padding="same", use_bias=False, **self._typed())(
                self.activate(x)
            )
        return x

    def _project(self, x: Any, width: int) -> Any:
        return layers.Conv2D(width, 1, **self._typed())(x)

    def _typed(self) -> dict[str, Any]:
        return {"dtype": self._options.dtype}
