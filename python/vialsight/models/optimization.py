"""What trainings in steps share: Adam, loss scaling for float16, the learning rate, their state.

Adam is TensorFlow's fused kernel.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, Final

from vialsight.aliases import Tensor
from vialsight.config import OptimizerConfig, ScheduleConfig
from vialsight.pinned import tf

INITIAL_LOSS_SCALE: Final = 2.0**15
GROWTH_INTERVAL: Final = 2000
# Names in checkpoints.
AVERAGE: Final = "average"
CYCLES_ENDED: Final = f"{AVERAGE}/ended"


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


class CycleAverage(tf.Module):  # type: ignore[misc]
    """Mean of variables over the ends of the schedule's cycles, where the learning rate is least.

    Minima of several cycles lie at the rim of one wide basin, and their mean inside it (stochastic
    weight averaging, Izmailov et al. 2018, arXiv:1803.05407). It costs nothing at inference.
    """

    def __init__(self, variables: Sequence[Any]) -> None:
        super().__init__(name="cycle_average")
        self._variables = list(variables)
        self._means = [_slot(variable) for variable in self._variables]
        self._ended = tf.Variable(0.0, trainable=False)

    @property
    def state(self) -> dict[str, Any]:
        """What a checkpoint needs by name: how many cycles have ended, and the means."""
        return {CYCLES_ENDED: self._ended, **numbered(AVERAGE, self._means)}

    def take(self, share: Tensor) -> None:
        """Move the means towards the variables by a `share`: 1/k at the end of cycle k, else 0."""

        def moved() -> bool:
            # By handle: every replica computes the same values for its own copy.
            for mean, variable in zip(self._means, self._variables, strict=True):
                value = mean + share * (variable - mean)
                tf.raw_ops.AssignVariableOp(resource=mean.handle, value=value)
            tf.raw_ops.AssignVariableOp(resource=self._ended.handle, value=1.0 / share)
            return True

        tf.cond(share > 0.0, moved, lambda: False)


class LossScale(tf.Module):  # type: ignore[misc]
    """Dynamic loss scale for float16: halved on overflow, doubled after a calm while."""

    def __init__(self) -> None:
        super().__init__(name="loss_scale")
        self.scale = tf.Variable(INITIAL_LOSS_SCALE, trainable=False)
        self.calm_steps = tf.Variable(0.0, trainable=False)

    @property
    def state(self) -> list[Any]:
        """What a checkpoint needs."""
        return [self.scale, self.calm_steps]

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


def scaled(loss: Tensor, scale: LossScale | None) -> Tensor:
    """Return a loss as its gradients are taken of it; `scale` is None in other precisions."""
    return loss if scale is None else loss * scale.scale


def apply_gradients(
    gradients: Sequence[Tensor], apply: Callable[[Sequence[Tensor]], None], scale: LossScale | None
) -> None:
    """Apply gradients of a scaled loss, averaged over all replicas, by moving the optimizers.

    With a scale only finite gradients are applied, unscaled, and the scale adapts.
    """
    gradients = _averaged(gradients)
    if scale is None:
        apply(gradients)
        return
    gradients = scale.unscale(gradients)
    finite = all_finite(gradients)

    def applied() -> bool:
        apply(gradients)
        return True

    tf.cond(finite, applied, lambda: False)
    scale.update(finite)


def compiled(learn: Callable[..., Any], jit_compile: bool) -> Callable[..., Any]:
    """Return a part of a step, compiled by XLA if a configuration says so.

    What draws random numbers or turns images stays outside: XLA draws other ones, and cannot turn.
    """
    return tf.function(learn, autograph=False, jit_compile=True) if jit_compile else learn


def values(variables: Sequence[Any]) -> list[Any]:
    """Return the TensorFlow variables behind Keras variables."""
    return [variable.value for variable in variables]


def numbered(name: str, variables: Sequence[Any]) -> dict[str, Any]:
    """Name variables by their order, for checkpoints."""
    return {f"{name}/{index:04d}": variable for index, variable in enumerate(variables)}


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
    restarts, over = divmod(step / _period(schedule, steps_per_epoch), 1.0)
    peak = maximum * math.pow(schedule.restart_factor, restarts)
    rate = peak * 0.5 * (1.0 + math.cos(math.pi * over))
    return rate * min(1.0, (step + 1) / schedule.warmup_steps) if schedule.warmup_steps else rate


def cycle_share(step: int, schedule: ScheduleConfig, *, steps_per_epoch: int) -> float:
    """Return 1/k where `step` >= 0 is the last of the schedule's cycle k = 1, 2, ..., else 0."""
    period = _period(schedule, steps_per_epoch)
    ended = math.floor((step + 1) / period)
    return 1.0 / ended if ended > math.floor(step / period) else 0.0


def _period(schedule: ScheduleConfig, steps_per_epoch: int) -> float:
    of_steps = schedule.restart_unit == "steps"
    return schedule.restart_period * (1.0 if of_steps else steps_per_epoch)


def _averaged(gradients: Sequence[Tensor]) -> Sequence[Tensor]:
    context = tf.distribute.get_replica_context()
    if context.num_replicas_in_sync == 1:
        return gradients
    averaged: list[Tensor] = context.all_reduce(tf.distribute.ReduceOp.MEAN, list(gradients))
    return averaged


def _slot(variable: Any) -> Any:
    return tf.Variable(tf.zeros(variable.shape, variable.dtype), trainable=False)
