"""Adam on TensorFlow's fused kernel, loss scaling for float16, and the learning-rate schedule."""

import math
from collections.abc import Sequence
from typing import Any, Final

import tensorflow as tf

from vialsight.aliases import Tensor
from vialsight.config import OptimizerConfig, ScheduleConfig

INITIAL_LOSS_SCALE: Final = 2.0**15
GROWTH_INTERVAL: Final = 2000


class Adam(tf.Module):  # type: ignore[misc]
    """Adam over fixed variables; usable in replica context of a distribution strategy.

    One fused operation per variable: Keras' optimizer composes it from about forty, which
    multiplies the time to trace a training step. Same formula and epsilon as Keras.
    """

    def __init__(self, variables: Sequence[Any], options: OptimizerConfig) -> None:
        super().__init__(name="adam")
        self._variables = list(variables)
        self._options = options
        self._first = [_slot(variable) for variable in self._variables]
        self._second = [_slot(variable) for variable in self._variables]

    @property
    def slots(self) -> list[Any]:
        """First and second moments, the state a checkpoint needs."""
        return self._first + self._second

    def apply(self, gradients: Sequence[Tensor], *, learning_rate: Tensor, count: Tensor) -> None:
        """Move each variable against its gradient; `count` is 1 at the first call."""
        options, count = self._options, tf.cast(count, tf.float32)
        common = {
            "beta1_power": options.beta_1**count,
            "beta2_power": options.beta_2**count,
            "lr": tf.convert_to_tensor(learning_rate),
            "beta1": tf.constant(options.beta_1),
            "beta2": tf.constant(options.beta_2),
            "epsilon": tf.constant(options.epsilon),
        }
        moved = zip(self._variables, self._first, self._second, gradients, strict=True)
        for variable, first, second, gradient in moved:
            tf.raw_ops.ResourceApplyAdam(
                var=variable.handle, m=first.handle, v=second.handle, grad=gradient, **common
            )


class LossScale(tf.Module):  # type: ignore[misc]
    """Dynamic loss scale for float16: halved on overflow, doubled after a calm while."""

    def __init__(self) -> None:
        super().__init__(name="loss_scale")
        self.scale = tf.Variable(INITIAL_LOSS_SCALE, trainable=False)
        self.calm_steps = tf.Variable(0.0, trainable=False)

    def unscale(self, gradients: Sequence[Tensor]) -> list[Tensor]:
        """Divide gradients of the scaled loss by the scale."""
        return [gradient / self.scale for gradient in gradients]

    def update(self, finite: Tensor) -> None:
        """Adapt the scale to whether all gradients of this step were finite."""
        calm = tf.where(finite, self.calm_steps + 1.0, 0.0)
        grown = tf.where(calm >= GROWTH_INTERVAL, self.scale * 2.0, self.scale)
        # Assigned by handle: every replica computes the same value for its own copy.
        scale = tf.where(finite, grown, tf.maximum(self.scale / 2.0, 1.0))
        calm = tf.where(calm >= GROWTH_INTERVAL, 0.0, calm)
        tf.raw_ops.AssignVariableOp(resource=self.scale.handle, value=scale)
        tf.raw_ops.AssignVariableOp(resource=self.calm_steps.handle, value=calm)


def all_finite(gradients: Sequence[Tensor]) -> Tensor:
    """Scalar bool: no gradient holds NaN or infinity."""
    return tf.reduce_all([tf.reduce_all(tf.math.is_finite(gradient)) for gradient in gradients])


def learning_rate(
    step: int, maximum: float, schedule: ScheduleConfig, *, steps_per_epoch: int
) -> float:
    """Cosine decay with restarts at `step` >= 0; every restart lowers the maximum by the factor.

    maximum factor^k (1 + cos(pi t)) / 2, with k restarts so far and t in [0,1) the part of the
    current period that is over.
    """
    period = schedule.restart_period
    if schedule.restart_unit == "epochs":
        period *= steps_per_epoch
    restarts, over = divmod(step / period, 1.0)
    peak = maximum * math.pow(schedule.restart_factor, restarts)
    rate = peak * 0.5 * (1.0 + math.cos(math.pi * over))
    return rate * min(1.0, (step + 1) / schedule.warmup_steps) if schedule.warmup_steps else rate


def _slot(variable: Any) -> Any:
    return tf.Variable(tf.zeros(variable.shape, variable.dtype), trainable=False)
