"""Layers that more than one method's networks are built of."""

from typing import Any

from vialsight.pinned import layers, tf


class FusedBatchNormalization(layers.BatchNormalization):  # type: ignore[misc]
    """Keras batch norm computed by TensorFlow's fused kernel.

    Keras 3 composes the operation from moments and products, which on CPUs costs more than the
    convolution behind it. Statistics over several replicas have no fused kernel and stay composed.
    """

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """Normalise (n,h,w,c); in training also move the running statistics."""
        training = bool(training) and self.trainable
        if training and self.synchronized:
            return super().call(inputs, training=training, mask=mask)
        outputs, mean, variance = tf.compat.v1.nn.fused_batch_norm(
            inputs,
            tf.convert_to_tensor(self.gamma),
            tf.convert_to_tensor(self.beta),
            mean=tf.convert_to_tensor(self.moving_mean),
            variance=tf.convert_to_tensor(self.moving_variance),
            epsilon=self.epsilon,
            is_training=training,
            exponential_avg_factor=1.0 - self.momentum if training else 1.0,
        )
        if training:
            self.moving_mean.assign(mean)
            self.moving_variance.assign(variance)
        return outputs

    def _moments(self, inputs: Any, mask: Any) -> Any:
        """Mean and variance (c,) over the equal shares of all replicas.

        One exchange instead of the three that Keras makes: of sums, of squares and of counts.
        """
        own = [tf.reduce_mean(values, (0, 1, 2)) for values in (inputs, tf.square(inputs))]
        replica = tf.distribute.get_replica_context()
        mean, square = tf.unstack(
            replica.all_reduce(tf.distribute.ReduceOp.MEAN, tf.stack(own)), num=2
        )
        return mean, tf.maximum(square - tf.square(mean), 0.0)


class PlaneReLU(layers.ReLU):  # type: ignore[misc]
    """Keras' ReLU, which in training sees (n,h,w,c) as (n,h,w·c), without a copy.

    TensorFlow merges a ReLU behind a fused batch norm into it, and the merged kernel that CPUs have
    for fewer channels than a vector holds is eight times slower than the two apart. Views of
    another shape are not merged.
    """

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Return max(inputs, 0) of the same shape."""
        if not training:
            return super().call(inputs)
        _, height, width, channels = inputs.shape
        plane = super().call(tf.reshape(inputs, (-1, height, width * channels)))
        return tf.reshape(plane, (-1, height, width, channels))


class NearestUpsampling(layers.Layer):  # type: ignore[misc]
    """Double height and width of (n,h,w,c) by repeating pixels.

    Concatenation and reshape only: deterministic on every device, unlike the gradient of a
    resize, and with no shape arithmetic left in the frozen graph.
    """

    def call(self, inputs: Any) -> Any:
        """Return (n,2h,2w,c)."""
        _, height, width, channels = inputs.shape
        wide = tf.reshape(tf.concat([inputs, inputs], -1), (-1, height, 2 * width * channels))
        return tf.reshape(tf.concat([wide, wide], -1), (-1, 2 * height, 2 * width, channels))

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Shape (n,2h,2w,c) for (n,h,w,c)."""
        count, height, width, channels = input_shape
        return count, 2 * height, 2 * width, channels


class SpaceToDepth(layers.Layer):  # type: ignore[misc]
    """Fold each square of `factor` x `factor` pixels of (n,h,w,c) into channels, row by row."""

    def __init__(self, factor: int, **options: Any) -> None:
        super().__init__(**options)
        self._factor = factor

    def call(self, inputs: Any) -> Any:
        """Return (n,h/factor,w/factor,factor²c)."""
        _, height, width, channels = self.compute_output_shape(inputs.shape)
        factor, own = self._factor, inputs.shape[-1]
        parts = tf.reshape(inputs, (-1, height, factor, width, factor * own))
        return tf.reshape(tf.transpose(parts, (0, 1, 3, 2, 4)), (-1, height, width, channels))

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Shape (n,h/factor,w/factor,factor²c) for (n,h,w,c)."""
        count, height, width, channels = input_shape
        return count, height // self._factor, width // self._factor, channels * self._factor**2


class DepthToSpace(layers.Layer):  # type: ignore[misc]
    """Unfold channels of (n,h,w,factor²c) into squares of pixels; undoes `SpaceToDepth`."""

    def __init__(self, factor: int, **options: Any) -> None:
        super().__init__(**options)
        self._factor = factor

    def call(self, inputs: Any) -> Any:
        """Return (n,factor h,factor w,c)."""
        _, height, width, channels = inputs.shape
        own = channels // self._factor**2
        parts = tf.reshape(inputs, (-1, height, width, self._factor, self._factor * own))
        return tf.reshape(
            tf.transpose(parts, (0, 1, 3, 2, 4)),
            (-1, height * self._factor, width * self._factor, own),
        )

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Shape (n,factor h,factor w,c) for (n,h,w,factor²c)."""
        count, height, width, channels = input_shape
        return count, height * self._factor, width * self._factor, channels // self._factor**2
